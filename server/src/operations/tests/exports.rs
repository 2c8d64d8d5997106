//! Export jobs by the service's shapes, and the stream of our own.

use std::path::Path;

use super::*;

const NULL: Value = Value::Null;

impl House {
    /// A folder that exports may write to, as its URL.
    fn target(&self, name: &str) -> String {
        format!("file://{}", self.folder.path().join("root").join(name).display())
    }

    async fn export(&self, app: &str, body: &Value) -> Value {
        self.call("CreateExportJob", "POST", &format!("{app}/jobs/export"), body).await
    }
}

/// The lines of all parts in the one folder below `target`, in order, and the manifest.
fn exported(target: &Path) -> (Vec<Value>, Value) {
    let folder = std::fs::read_dir(target).unwrap().next().unwrap().unwrap().path();
    let mut names: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let manifest: Value = serde_json::from_slice(&std::fs::read(folder.join("_SUCCESS")).unwrap()).unwrap();
    let mut lines = Vec::new();
    let listed: Vec<_> =
        manifest["parts"].as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect();
    let there: Vec<_> =
        names.iter().map(|name| name.to_str().unwrap()).filter(|name| *name != "_SUCCESS").collect();
    assert_eq!(listed, there);
    for part in manifest["parts"].as_array().unwrap() {
        let packed = std::fs::read(folder.join(part["name"].as_str().unwrap())).unwrap();
        let hash: String = <sha2::Sha256 as sha2::Digest>::digest(&packed)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            (part["sha256"].as_str(), part["bytes"].as_u64()),
            (Some(&*hash), Some(packed.len() as u64))
        );
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(&packed[..]), &mut text)
            .unwrap();
        assert_eq!(part["records"].as_u64(), Some(text.lines().count() as u64));
        lines.extend(text.lines().map(|line| serde_json::from_str(line).unwrap()));
    }
    (lines, manifest)
}

#[tokio::test]
async fn an_export_from_creation_to_its_manifest() {
    let house = House::new(2).await;
    let app = format!("/v1/apps/{APP}");
    let url = house.file("a.json", LINES);
    let import = house
        .import(&json!({ "Format": "JSON", "RoleArn": "r", "S3Url": url, "DefineSegment": true, "SegmentName": "all" }))
        .await;
    let segment = import["Id"].as_str().unwrap();
    house.done(segment).await;
    let single = json!({ "Address": "z@x", "ChannelType": "EMAIL" });
    house.call("UpdateEndpoint", "PUT", &format!("{app}/endpoints/alone"), &single).await;

    // Of the segment.
    let request =
        json!({ "RoleArn": "role", "S3UrlPrefix": house.target("out"), "SegmentId": segment, "More": 1 });
    let created = house.export(&app, &request).await;
    assert_eq!((&created["JobStatus"], &created["Type"]), (&json!("CREATED"), &json!("EXPORT")));
    assert_eq!(
        created["Definition"],
        json!({ "RoleArn": "role", "S3UrlPrefix": house.target("out"), "SegmentId": segment })
    );
    let id = created["Id"].as_str().unwrap();
    house.done(id).await;
    let job = house.call("GetExportJob", "GET", &format!("{app}/jobs/export/{id}"), &NULL).await;
    let counts = ["CompletedPieces", "FailedPieces", "TotalPieces", "TotalProcessed", "TotalFailures"];
    assert_eq!(counts.map(|name| job[name].as_i64().unwrap()), [1, 0, 1, 2, 0], "{job}");
    assert_eq!((&job["JobStatus"], &job["Failures"]), (&json!("COMPLETED"), &json!([])));
    assert!(job["CompletionDate"].is_string());
    let (lines, manifest) = exported(&house.folder.path().join("root/out"));
    assert_eq!(lines.iter().map(|line| &line["Id"]).collect::<Vec<_>>(), ["e1", "e2"]);
    assert_eq!((&manifest["application"], &manifest["segment"]), (&json!(APP), &json!(segment)));
    assert_eq!((&manifest["version"], &manifest["records"]), (&json!(1), &json!(2)));

    // Of the application, beside the first.
    let all = house.export(&app, &json!({ "RoleArn": "role", "S3UrlPrefix": house.target("all/") })).await;
    house.done(all["Id"].as_str().unwrap()).await;
    let (lines, _) = exported(&house.folder.path().join("root/all"));
    assert_eq!(lines.iter().map(|line| &line["Id"]).collect::<Vec<_>>(), ["alone", "e1", "e2"]);

    // Each list has its own kind, newest first.
    let list = |value: &Value| -> Vec<String> {
        let items = value["Item"].as_array().unwrap();
        items.iter().map(|item| item["Id"].as_str().unwrap().to_owned()).collect()
    };
    let jobs = house.call("GetExportJobs", "GET", &format!("{app}/jobs/export"), &NULL).await;
    assert_eq!(list(&jobs), [all["Id"].as_str().unwrap(), id]);
    let first = house.call("GetExportJobs", "GET", &format!("{app}/jobs/export?page-size=1"), &NULL).await;
    let next = format!("{app}/jobs/export?page-size=1&token={}", first["NextToken"].as_str().unwrap());
    let second = house.call("GetExportJobs", "GET", &next, &NULL).await;
    assert_eq!((list(&second), &second["NextToken"]), (vec![id.to_owned()], &NULL));
    let path = format!("{app}/segments/{segment}/jobs/export");
    assert_eq!(list(&house.call("GetSegmentExportJobs", "GET", &path, &NULL).await), [id]);
    let imports = house.call("GetImportJobs", "GET", &format!("{app}/jobs/import"), &NULL).await;
    assert_eq!(list(&imports), [segment]);
    for path in [format!("{app}/jobs/import/{id}"), format!("{app}/jobs/export/{segment}")] {
        house.fails("GET", &path, &NULL, 404, "NotFoundException").await;
    }
    let view = house.get(&format!("/pinport/v1/jobs/{id}")).await.json();
    assert_eq!(view["job"]["kind"], "EXPORT");
    assert_eq!(view["job"]["source"], format!("to {}", house.target("out")));
}

#[tokio::test]
async fn what_is_wrong_with_an_export_is_reported_before_it_is_made() {
    let house = House::new(2).await;
    let unknown = "0".repeat(32);
    let target = house.target("out");
    let plain = json!({ "RoleArn": "r", "S3UrlPrefix": target });
    house.fails("POST", &format!("/v1/apps/{unknown}/jobs/export"), &plain, 404, "NotFoundException").await;
    let app = house.call("CreateApp", "POST", "/v1/apps", &json!({ "Name": "a" })).await;
    let app = format!("/v1/apps/{}", app["Id"].as_str().unwrap());
    let jobs = format!("{app}/jobs/export");
    for (body, says) in [
        (json!({ "S3UrlPrefix": target }), "RoleArn is missing"),
        (json!({ "RoleArn": "r", "S3UrlPrefix": " " }), "S3UrlPrefix is missing"),
        (json!({ "RoleArn": "r", "S3UrlPrefix": "bucket/prefix" }), "is no URL"),
        (json!({ "RoleArn": "r", "S3UrlPrefix": "file:///etc/pinport" }), "is not below"),
        (json!({ "RoleArn": "r", "S3UrlPrefix": house.target("../beside") }), "is not below"),
        (json!({ "RoleArn": "r", "S3UrlPrefix": "s3://bucket/" }), "No credentials are"),
        (json!({ "RoleArn": "r", "S3UrlPrefix": target, "SegmentVersion": 1 }), "SegmentId is missing"),
    ] {
        let message = house.fails("POST", &jobs, &body, 400, "BadRequestException").await;
        assert!(message.contains(says), "{message}");
    }
    for segment in [&unknown, "none"] {
        let body = json!({ "RoleArn": "r", "S3UrlPrefix": target, "SegmentId": segment });
        house.fails("POST", &jobs, &body, 404, "NotFoundException").await;
    }
    let segment = house.segment(&app, "a.json").await;
    let body = json!({ "RoleArn": "r", "S3UrlPrefix": target, "SegmentId": segment, "SegmentVersion": 7 });
    let message = house.fails("POST", &jobs, &body, 404, "NotFoundException").await;
    assert!(message.contains("no version 7"), "{message}");
    let none = house.call("GetExportJobs", "GET", &jobs, &NULL).await;
    assert_eq!(none, json!({ "Item": [], "NextToken": null }));
    assert!(!house.folder.path().join("root/out").exists());
}

#[tokio::test]
async fn endpoints_are_streamed_as_an_import_reads_them() {
    let house = House::new(2).await;
    let app = house.call("CreateApp", "POST", "/v1/apps", &json!({ "Name": "shop" })).await;
    let app = format!("/v1/apps/{}", app["Id"].as_str().unwrap());
    house.segment(&app, "a.json").await;
    let stream = "/pinport/v1/apps/shop/export";
    let json = house.get(stream).await;
    let text = String::from_utf8(json.body.clone()).unwrap();
    assert!(text.starts_with("{\"ChannelType\":\"EMAIL\",\"Address\":"), "{text}");
    let csv = house.get(&format!("{stream}?format=csv&columns=Id,Address")).await;
    assert_eq!(csv.header("content-type"), Some("text/csv"));
    assert!(String::from_utf8(csv.body).unwrap().starts_with("Id,Address\ne1,a@x\n"));
    let whole = house.get(&format!("{stream}?format=csv")).await;
    assert!(String::from_utf8(whole.body).unwrap().starts_with("ChannelType,Address,EndpointStatus,OptOut,"));
    let parquet = house.get(&format!("{stream}?format=parquet&compression=none")).await;
    assert_eq!(parquet.header("content-type"), Some("application/vnd.apache.parquet"));
    let file = &parquet.body[..];
    assert!(file.starts_with(b"PAR1") && file.ends_with(b"PAR1"));
    let holds = |text: &[u8]| file.windows(text.len()).any(|window| window == text);
    assert!(holds(b"a@x") && holds(b"UserAttributes"));
    let compressed = house.get(&format!("{stream}?format=parquet")).await;
    assert!(compressed.status == 200 && compressed.body.len() != file.len());
    for wrong in [
        "format=xml",
        "columns=Id",
        "format=csv&columns=Nothing",
        "segment=none",
        "segment=s&version=9",
        "compression=gzip",
        "format=parquet&compression=snappy",
        "format=parquet&columns=Id",
    ] {
        let status = house.get(&format!("{stream}?{wrong}")).await.status;
        assert!([400, 404].contains(&status), "{wrong}: {status}");
    }
}
