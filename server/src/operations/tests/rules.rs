//! Rules of Pinpoint's API beside its shapes: what is there when it is empty, what order lists have, and what is
//! answered for an operation that pinport does not have.

use super::*;

/// Programs create what a 404 says is missing.
#[tokio::test]
async fn an_operation_that_pinport_does_not_have_is_a_405_with_its_name() {
    let house = House::new(2).await;
    let mut count = 0;
    for (pattern, methods) in absent::ABSENT {
        let path = pattern.split('/').map(|part| if part.starts_with('{') { APP } else { part });
        let path = path.collect::<Vec<_>>().join("/");
        for (method, name) in *methods {
            let message = house.fails(method, &path, &Value::Null, 405, "MethodNotAllowedException").await;
            let begin = format!("pinport does not have the operation {name} ({method} {path}). ");
            assert!(message.starts_with(&begin), "{message}");
            assert!(message.contains("import jobs"), "{message}");
            count += 1;
        }
    }
    // The service model (version 2016-12-01) has 122 operations.
    let covered = house.shapes.operations().filter(|(name, _)| !is_absent(name)).count();
    assert_eq!(count + covered, 122);
}

fn is_absent(operation: &str) -> bool {
    absent::ABSENT.iter().any(|(_, methods)| methods.iter().any(|(_, name)| *name == operation))
}

const NULL: Value = Value::Null;

/// AWS's own examples and programs index these without a look at whether they are there.
#[tokio::test]
async fn empty_maps_and_the_last_token_are_there() {
    let house = House::new(2).await;
    let app = house.call("CreateApp", "POST", "/v1/apps", &json!({ "Name": "a" })).await;
    assert_eq!(app["tags"], json!({}));
    let app = format!("/v1/apps/{}", app["Id"].as_str().unwrap());
    let endpoint = format!("{app}/endpoints/e");
    let body = json!({ "Address": "a@example.com", "ChannelType": "EMAIL", "User": { "UserId": "u" } });
    house.call("UpdateEndpoint", "PUT", &endpoint, &body).await;
    let found = house.call("GetEndpoint", "GET", &endpoint, &NULL).await;
    assert_eq!((&found["Attributes"], &found["Metrics"]), (&json!({}), &json!({})));
    assert_eq!(found["User"], json!({ "UserAttributes": {}, "UserId": "u" }));
    for member in ["Demographic", "Location"] {
        assert!(found.get(member).is_none(), "{found}");
    }

    let segment = house.segment(&app, "a.json").await;
    let found = house.call("GetSegment", "GET", &format!("{app}/segments/{segment}"), &NULL).await;
    assert_eq!(found["tags"], json!({}));
    for (operation, path) in [
        ("GetApps", "/v1/apps".to_owned()),
        ("GetImportJobs", format!("{app}/jobs/import")),
        ("GetSegments", format!("{app}/segments")),
        ("GetSegmentVersions", format!("{app}/segments/{segment}/versions")),
        ("GetSegmentImportJobs", format!("{app}/segments/{segment}/jobs/import")),
    ] {
        let page = house.call(operation, "GET", &path, &NULL).await;
        assert_eq!(page.get("NextToken"), Some(&NULL), "{operation}: {page}");
    }
}

impl House {
    /// Imports a file into a segment of its own.
    pub(super) async fn segment(&self, app: &str, file: &str) -> String {
        let body = json!({ "Format": "JSON", "RoleArn": "r", "S3Url": self.file(file, LINES), "DefineSegment": true });
        let job = self.call("CreateImportJob", "POST", &format!("{app}/jobs/import"), &body).await;
        self.done(job["Id"].as_str().unwrap()).await;
        job["Definition"]["SegmentId"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn segments_are_listed_newest_first() {
    let house = House::new(2).await;
    let app = format!("/v1/apps/{APP}");
    let mut made = Vec::new();
    for file in ["a.json", "b.json", "c.json"] {
        made.insert(0, house.segment(&app, file).await);
    }
    let (mut listed, mut token) = (Vec::new(), String::new());
    loop {
        let path = format!("{app}/segments?page-size=1{token}");
        let page = house.call("GetSegments", "GET", &path, &NULL).await;
        listed.extend(
            page["Item"].as_array().unwrap().iter().map(|one| one["Id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["NextToken"].as_str() else { break };
        token = format!("&token={next}");
    }
    assert_eq!(listed, made);
}

#[tokio::test]
async fn define_segment_is_echoed_as_it_was_given() {
    let house = House::new(2).await;
    let app = format!("/v1/apps/{APP}");
    let segment = house.segment(&app, "a.json").await;
    let jobs = format!("{app}/jobs/import");
    for (given, echoed) in [(NULL, false), (json!(false), false), (json!(true), true)] {
        let body = json!({
            "Format": "JSON", "RoleArn": "r", "S3Url": house.file("b.json", LINES), "SegmentId": segment,
            "DefineSegment": given,
        });
        let job = house.call("CreateImportJob", "POST", &jobs, &body).await;
        let id = job["Id"].as_str().unwrap();
        house.done(id).await;
        let later = house.call("GetImportJob", "GET", &format!("{jobs}/{id}"), &NULL).await;
        for job in [job, later] {
            assert_eq!(job["Definition"]["DefineSegment"], echoed, "{given}");
            assert_eq!(job["Definition"]["SegmentId"], segment.as_str());
        }
    }
    let versions = format!("{app}/segments/{segment}/versions");
    let versions = house.call("GetSegmentVersions", "GET", &versions, &NULL).await;
    assert_eq!(versions["Item"].as_array().unwrap().len(), 4, "each import is in the segment");
}

#[tokio::test]
async fn the_request_id_of_an_endpoint_is_that_of_its_last_update() {
    let house = House::new(2).await;
    let endpoints = format!("/v1/apps/{APP}/endpoints");
    let one = format!("{endpoints}/e");
    let body = json!({ "Address": "a@example.com", "ChannelType": "EMAIL" });
    let batch = json!({ "Item": [{ "Id": "e", "OptOut": "ALL" }] });
    for (operation, path, body) in [
        ("UpdateEndpoint", &one, &body),
        ("UpdateEndpointsBatch", &endpoints, &batch),
        ("UpdateEndpoint", &one, &body),
    ] {
        let answer = house.call(operation, "PUT", path, body).await;
        let found = house.call("GetEndpoint", "GET", &one, &NULL).await;
        assert_eq!(found["RequestId"], answer["RequestID"], "{operation}");
    }
    house.call("UpdateEndpoint", "PUT", &one, &json!({ "RequestId": "mine" })).await;
    assert_eq!(house.call("GetEndpoint", "GET", &one, &NULL).await["RequestId"], "mine");
}

#[tokio::test]
async fn applications_may_have_the_same_name() {
    let house = House::new(2).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let made = house.call("CreateApp", "POST", "/v1/apps", &json!({ "Name": "shop" })).await;
        ids.push(made["Id"].as_str().unwrap().to_owned());
    }
    assert_ne!(ids[0], ids[1]);
    for id in &ids {
        assert_eq!(house.get(&format!("/pinport/v1/apps/{id}")).await.json()["id"], id.as_str());
    }
    let path = "/pinport/v1/apps/shop";
    let message = house.fails("GET", path, &NULL, 409, "ConflictException").await;
    assert_eq!(
        message,
        format!("2 applications are named \"shop\"; give the id of one: {}.", ids.join(", "))
    );
    house.fails("GET", "/pinport/v1/jobs?app=shop", &NULL, 409, "ConflictException").await;
    house.call("DeleteApp", "DELETE", &format!("/v1/apps/{}", ids[0]), &NULL).await;
    assert_eq!(house.get(path).await.json()["id"], ids[1].as_str());
}

/// As many and as large ones as there may be; they are more than other bodies may have.
#[tokio::test]
async fn a_batch_takes_a_hundred_endpoints_of_fifteen_kib() {
    let house = House::new(0).await;
    let endpoints = format!("/v1/apps/{APP}/endpoints");
    let attributes: serde_json::Map<_, _> =
        (0..140).map(|name| (format!("attribute{name:03}"), json!(["x".repeat(90)]))).collect();
    let item = |number: usize| {
        json!({
            "Id": format!("e{number}"), "Address": format!("{number}@example.com"), "ChannelType": "EMAIL",
            "Attributes": attributes,
        })
    };
    let items: Vec<_> = (0..100).map(item).collect();
    let body = json!({ "Item": items });
    assert!(serde_json::to_vec(&body).unwrap().len() > Limits::default().body_bytes);
    house.call("UpdateEndpointsBatch", "PUT", &endpoints, &body).await;
    let found = house.call("GetEndpoint", "GET", &format!("{endpoints}/e99"), &NULL).await;
    assert_eq!(found["Attributes"].as_object().unwrap().len(), 140);
    let more = json!({ "Item": (0..101).map(item).collect::<Vec<_>>() });
    let message = house.fails("PUT", &endpoints, &more, 400, "BadRequestException").await;
    assert!(message.contains("the limit is 100"), "{message}");
    let large = json!({ "Item": [{ "Id": "x".repeat(3 << 20) }] });
    house.fails("PUT", &endpoints, &large, 413, "PayloadTooLargeException").await;
}

/// Web and mobile clients register before they have a token.
#[tokio::test]
async fn an_endpoint_may_come_without_address_and_channel() {
    let house = House::new(2).await;
    let endpoints = format!("/v1/apps/{APP}/endpoints");
    let one = format!("{endpoints}/web");
    let body = json!({ "Attributes": { "page": ["home"] }, "User": { "UserId": "u" } });
    house.call("UpdateEndpoint", "PUT", &one, &body).await;
    let found = house.call("GetEndpoint", "GET", &one, &NULL).await;
    assert!(found.get("Address").is_none() && found.get("ChannelType").is_none(), "{found}");
    assert_eq!((&found["OptOut"], &found["EndpointStatus"]), (&json!("ALL"), &json!("ACTIVE")));
    assert_eq!(found["Attributes"]["page"], json!(["home"]));
    let given =
        json!({ "Item": [{ "Id": "given", "OptOut": "NONE" }, { "Id": "given", "ChannelType": "GCM" }] });
    house.call("UpdateEndpointsBatch", "PUT", &endpoints, &given).await;
    let found = house.call("GetEndpoint", "GET", &format!("{endpoints}/given"), &NULL).await;
    assert_eq!((&found["OptOut"], &found["ChannelType"]), (&json!("NONE"), &json!("GCM")));
    let user = house.call("GetUserEndpoints", "GET", &format!("/v1/apps/{APP}/users/u"), &NULL).await;
    assert_eq!(user["Item"][0]["Id"], "web");
}

#[tokio::test]
async fn of_endpoints_with_one_address_the_last_updated_is_active() {
    let house = House::new(2).await;
    let endpoints = format!("/v1/apps/{APP}/endpoints");
    let put = async |id: &str, body: Value| {
        house.call("UpdateEndpoint", "PUT", &format!("{endpoints}/{id}"), &body).await;
    };
    let status = async |id: &str| {
        let found = house.call("GetEndpoint", "GET", &format!("{endpoints}/{id}"), &NULL).await;
        found["EndpointStatus"].as_str().unwrap().to_owned()
    };
    put("old", json!({ "Address": "token", "ChannelType": "GCM" })).await;
    put("new", json!({ "Address": "token", "ChannelType": "GCM" })).await;
    assert_eq!((status("old").await, status("new").await), ("INACTIVE".into(), "ACTIVE".into()));
    put("old", json!({ "Attributes": { "a": ["b"] } })).await;
    assert_eq!(status("old").await, "ACTIVE", "an update makes it active");
    put("old", json!({ "EndpointStatus": "INACTIVE" })).await;
    assert_eq!(status("old").await, "INACTIVE", "unless it says otherwise");
}
