//! Segments of criteria by the service's shapes: made, changed, read and exported, and what is wrong with them.

use super::*;

const NULL: Value = Value::Null;

/// A request with every kind of dimension.
pub(super) fn every_dimension() -> Value {
    let set = json!({ "DimensionType": "EXCLUSIVE", "Values": ["x"] });
    let dimensions = json!({
        "Attributes": { "a": { "AttributeType": "CONTAINS", "Values": ["b"] } },
        "Behavior": { "Recency": { "Duration": "DAY_30", "RecencyType": "ACTIVE" } },
        "Demographic": {
            "AppVersion": set, "Channel": { "DimensionType": "INCLUSIVE", "Values": ["EMAIL"] }, "DeviceType": set,
            "Make": set, "Model": set, "Platform": set,
        },
        "Location": {
            "Country": { "Values": ["CAN"] },
            "GPSPoint": { "Coordinates": { "Latitude": 1.5, "Longitude": -2.0 }, "RangeInKilometers": 7.5 },
        },
        "Metrics": { "m": { "ComparisonOperator": "LESS_THAN_OR_EQUAL", "Value": 3.0 } },
        "UserAttributes": { "u": { "AttributeType": "BETWEEN", "Values": ["2026-01-01T00:00:00Z", "2026-02-01"] } },
    });
    json!({ "Name": "all kinds", "SegmentGroups": {
        "Groups": [{ "Dimensions": [dimensions], "SourceSegments": [], "SourceType": "ANY", "Type": "ANY" }],
        "Include": "ALL",
    } })
}

impl House {
    async fn put(&self, id: &str, endpoint: Value) {
        self.call("UpdateEndpoint", "PUT", &format!("/v1/apps/{APP}/endpoints/{id}"), &endpoint).await;
    }

    async fn members(&self, segment: &str) -> Vec<String> {
        let path = format!("/pinport/v1/apps/{APP}/segments/{segment}/members");
        let answer = self.get(&path).await;
        let text = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.status, 200, "{text}");
        let ids = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["Id"].clone());
        ids.map(|id| id.as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn a_segment_of_dimensions_from_creation_to_its_members() {
    let house = House::new(2).await;
    let segments = format!("/v1/apps/{APP}/segments");
    for (id, country, plan) in [("a", "CAN", "gold"), ("b", "CAN", "lead"), ("c", "DEU", "gold")] {
        let location = json!({ "Country": country });
        let endpoint = json!({ "Address": id, "ChannelType": "EMAIL", "Location": location, "Attributes": { "plan": [plan] } });
        house.put(id, endpoint).await;
    }
    let dimensions = json!({
        "Attributes": { "plan": { "AttributeType": "INCLUSIVE", "Values": ["gold"] } },
        "Location": { "Country": { "DimensionType": "INCLUSIVE", "Values": ["CAN"] } },
    });
    let request = json!({ "Name": "gold", "Dimensions": dimensions, "tags": { "t": "1" }, "More": 1 });
    let made = house.call("CreateSegment", "POST", &segments, &request).await;
    let id = made["Id"].as_str().unwrap();
    assert_eq!(
        (&made["Name"], &made["Version"], &made["SegmentType"], &made["tags"]),
        (&json!("gold"), &json!(1), &json!("DIMENSIONAL"), &json!({ "t": "1" }))
    );
    assert!(made.get("ImportDefinition").is_none() && made.get("SegmentGroups").is_none(), "{made}");
    let mut told = dimensions.clone();
    (told["Metrics"], told["UserAttributes"]) = (json!({}), json!({}));
    assert_eq!(made["Dimensions"], told);
    let path = format!("{segments}/{id}");
    assert_eq!(house.call("GetSegment", "GET", &path, &NULL).await, made);
    assert_eq!(house.call("GetSegments", "GET", &segments, &NULL).await["Item"], json!([made]));
    assert_eq!(house.members("gold").await, ["a"]);

    // Its size is counted in the background.
    let counted = async || {
        let list = house.get(&format!("/pinport/v1/apps/{APP}/segments")).await.json();
        Some(list["segments"][0]["current"].clone()).filter(|current| current["counted"].is_string())
    };
    let begun = std::time::Instant::now();
    let current = loop {
        if let Some(current) = counted().await {
            break current;
        }
        assert!(begun.elapsed() < LONG, "it is not counted");
        tokio::task::yield_now().await;
    };
    assert_eq!((&current["size"], &current["channels"][9]), (&json!(1), &json!(1)), "{current}");

    // A change is a new version; the old one stays. Tags have operations of their own.
    let groups =
        json!({ "Groups": [{ "SourceSegments": [{ "Id": id, "Version": 1 }], "SourceType": "NONE" }] });
    let request = json!({ "SegmentGroups": groups, "tags": {} });
    let reason = house.fails("PUT", &path, &request, 400, "BadRequestException").await;
    assert!(reason.contains("made of itself"), "{reason}");
    let request = json!({ "Dimensions": { "Location": { "Country": { "Values": ["DEU"] } } }, "tags": {} });
    let changed = house.call("UpdateSegment", "PUT", &path, &request).await;
    assert_eq!((&changed["Version"], &changed["Name"]), (&json!(2), &json!("gold")));
    assert_eq!((&changed["tags"], &changed["CreationDate"]), (&made["tags"], &made["CreationDate"]));
    assert_eq!(house.members(id).await, ["c"]);
    assert_eq!(
        house.call("GetSegmentVersion", "GET", &format!("{path}/versions/1"), &NULL).await["Dimensions"],
        told
    );
    let versions = house.call("GetSegmentVersions", "GET", &format!("{path}/versions"), &NULL).await;
    assert_eq!(versions["Item"].as_array().unwrap().len(), 2);
    let jobs = house.call("GetSegmentImportJobs", "GET", &format!("{path}/jobs/import"), &NULL).await;
    assert_eq!(jobs["Item"], json!([]));

    // Groups of segments.
    let whole = house.call("CreateSegment", "POST", &segments, &json!({})).await;
    assert_eq!((&whole["Name"], house.members(whole["Id"].as_str().unwrap()).await.len()), (&whole["Id"], 3));
    let groups = json!({ "Include": "ALL", "Groups": [{
        "SourceSegments": [{ "Id": id }, { "Id": id, "Version": 1 }], "SourceType": "NONE", "Type": "ALL", "Dimensions": [],
    }] });
    let rest = house
        .call("CreateSegment", "POST", &segments, &json!({ "Name": "rest", "SegmentGroups": groups }))
        .await;
    assert_eq!(rest["SegmentGroups"], groups);
    assert_eq!(house.members("rest").await, ["b"]);
    let all = house.call("CreateSegment", "POST", &segments, &every_dimension()).await;
    let mut told = every_dimension()["SegmentGroups"].clone();
    assert_eq!(all["SegmentGroups"], told.take());

    // What it is made of may go; then it cannot be read, and says so.
    house.call("DeleteSegment", "DELETE", &path, &NULL).await;
    let members = format!("/pinport/v1/apps/{APP}/segments/rest/members");
    let reason = house.fails("GET", &members, &NULL, 409, "ConflictException").await;
    assert!(reason.contains(&format!("there is no segment {id}")), "{reason}");
}

#[tokio::test]
async fn an_export_of_a_segment_of_dimensions_finds_its_members() {
    let house = House::new(2).await;
    let app = format!("/v1/apps/{APP}");
    let url = house.file("a.json", LINES);
    let imported =
        house.import(&json!({ "Format": "JSON", "RoleArn": "r", "S3Url": url, "DefineSegment": true })).await;
    let source = imported["Id"].as_str().unwrap();
    house.done(source).await;
    let groups = json!({ "Groups": [{
        "SourceSegments": [{ "Id": source }],
        "Dimensions": [{ "Demographic": { "Channel": { "Values": ["SMS"] } } }],
    }] });
    let made = house
        .call("CreateSegment", "POST", &format!("{app}/segments"), &json!({ "SegmentGroups": groups }))
        .await;
    let target = format!("file://{}", house.folder.path().join("root/out").display());
    let request = json!({ "RoleArn": "r", "S3UrlPrefix": target, "SegmentId": made["Id"] });
    let job = house.call("CreateExportJob", "POST", &format!("{app}/jobs/export"), &request).await;
    house.done(job["Id"].as_str().unwrap()).await;
    let path = format!("{app}/jobs/export/{}", job["Id"].as_str().unwrap());
    let job = house.call("GetExportJob", "GET", &path, &NULL).await;
    assert_eq!((&job["JobStatus"], &job["TotalProcessed"]), (&json!("COMPLETED"), &json!(1)), "{job}");
    let csv = format!("/pinport/v1/apps/{APP}/export?format=csv&segment={}", made["Id"].as_str().unwrap());
    let csv = house.get(&csv).await;
    assert_eq!(csv.body.iter().filter(|byte| **byte == b'\n').count(), 2);

    // An import adds to no segment of dimensions, and no dimensions go into a segment of imports.
    let into = json!({ "Format": "JSON", "RoleArn": "r", "S3Url": url, "SegmentId": made["Id"] });
    let reason = house.fails("POST", &format!("{app}/jobs/import"), &into, 400, "BadRequestException").await;
    assert!(reason.contains("is made of dimensions"), "{reason}");
    let path = format!("{app}/segments/{source}");
    let request = json!({ "Dimensions": {} });
    let reason = house.fails("PUT", &path, &request, 400, "BadRequestException").await;
    assert!(reason.contains("was imported"), "{reason}");
    let renamed = house.call("UpdateSegment", "PUT", &path, &json!({ "Name": "new" })).await;
    assert_eq!(
        (&renamed["Name"], &renamed["Version"], &renamed["SegmentType"]),
        (&json!("new"), &json!(1), &json!("IMPORT"))
    );
}

#[tokio::test]
async fn wrong_dimensions_are_400s_that_name_the_member() {
    let house = House::new(0).await;
    let segments = format!("/v1/apps/{APP}/segments");
    let group = |group: Value| json!({ "SegmentGroups": { "Groups": [{}, group] } });
    let attribute = |attribute: Value| json!({ "Dimensions": { "Attributes": { "plan": attribute } } });
    for (request, said) in [
        (json!({ "Name": "n".repeat(65) }), "Name has 65 characters"),
        (json!({ "tags": { "": "x" } }), "tag"),
        (json!({ "Dimensions": [] }), "Dimensions: invalid type: sequence"),
        (json!({ "Dimensions": {}, "SegmentGroups": {} }), "Dimensions and SegmentGroups are both given"),
        (attribute(json!([])), "Dimensions.Attributes.plan: invalid type: sequence"),
        (group(json!([])), "SegmentGroups.Groups[1]: invalid type: sequence"),
        (attribute(json!({})), "Dimensions.Attributes.plan: missing field `Values`"),
        (attribute(json!({ "Values": [] })), "Dimensions.Attributes.plan.Values is empty"),
        (attribute(json!({ "Values": [7] })), "Dimensions.Attributes.plan.Values[0]: invalid type"),
        (
            attribute(json!({ "Values": ["x"], "AttributeType": "LIKE" })),
            "Dimensions.Attributes.plan.AttributeType: unknown variant `LIKE`",
        ),
        (
            attribute(json!({ "Values": ["soon"], "AttributeType": "AFTER" })),
            "Dimensions.Attributes.plan.Values[0]: \"soon\" is no time",
        ),
        (group(json!({ "Type": "SOME" })), "SegmentGroups.Groups[1].Type: unknown variant `SOME`"),
        (
            group(json!({ "SourceSegments": [{ "Version": 1 }] })),
            "SegmentGroups.Groups[1].SourceSegments[0]: missing field `Id`",
        ),
        (
            group(json!({ "SourceSegments": [{ "Id": "x" }] })),
            "SegmentGroups.Groups[1].SourceSegments[0].Id: \"x\" is not an id",
        ),
        (
            group(json!({ "SourceSegments": [{ "Id": APP }] })),
            "SegmentGroups.Groups[1].SourceSegments[0]: there is no segment",
        ),
        (
            group(
                json!({ "Dimensions": [{ "Metrics": { "m": { "ComparisonOperator": "LIKE", "Value": 1 } } }] }),
            ),
            "SegmentGroups.Groups[1].Dimensions[0].Metrics.m.ComparisonOperator: unknown variant `LIKE`",
        ),
        (
            group(json!({ "Dimensions": [{ "Behavior": { "Recency": { "RecencyType": "ACTIVE" } } }] })),
            "SegmentGroups.Groups[1].Dimensions[0].Behavior.Recency: missing field `Duration`",
        ),
        (
            group(
                json!({ "Dimensions": [{ "Location": { "GPSPoint": { "Coordinates": { "Latitude": 91, "Longitude": 0 } } } }] }),
            ),
            "SegmentGroups.Groups[1].Dimensions[0].Location.GPSPoint.Coordinates.Latitude is 91",
        ),
    ] {
        let reason = house.fails("POST", &segments, &request, 400, "BadRequestException").await;
        assert!(reason.contains(said), "{request}: {reason}");
    }
}
