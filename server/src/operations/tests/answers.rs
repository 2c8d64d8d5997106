//! Every operation is in the document, and answers as it says there.

use super::*;

#[tokio::test]
async fn every_route_is_in_the_document() {
    let house = House::new(0).await;
    let document = house.get("/openapi.json").await.json();
    let router = router(house.jobs.clone(), ApiOptions::default(), Arc::new(Metrics::new("test")));
    let mut routes = 0;
    for route in router.routes() {
        let method = route.method.to_ascii_lowercase();
        let operation = &document["paths"][route.pattern][&method];
        assert_eq!(operation["operationId"], route.name, "{} {}", route.method, route.pattern);
        routes += 1;
    }
    let told = document["paths"].as_object().unwrap().values();
    assert_eq!(routes, told.map(|methods| methods.as_object().unwrap().len()).sum::<usize>());
    // What the service model has is where and as the model has it.
    for (name, (method, path)) in house.shapes.operations() {
        let listed = &document["paths"][path][method.to_ascii_lowercase()]["operationId"];
        assert!(listed.is_null() || *listed == name, "{name}");
    }
}

/// Every answer of every test here is held against the document; this one leaves no operation out.
#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a line for each operation")]
async fn answers_are_what_the_document_says() {
    let house = House::new(2).await;
    let upload = "/pinport/v1/apps/shop/uploads?format=json&segment=all&max-failures=50%25";
    let made = house.send("POST", upload, "", LINES.as_bytes()).await.json();
    let (id, app) = (made["id"].as_str().unwrap(), made["application"].as_str().unwrap());
    house.done(id).await;
    let app = &format!("/v1/apps/{app}");
    let segment = &format!("{app}/segments/{id}");
    for path in [
        "/v1/apps",
        app,
        &format!("{app}/jobs/import?page-size=1"),
        &format!("{app}/jobs/import/{id}"),
        &format!("{app}/segments"),
        segment,
        &format!("{segment}/versions"),
        &format!("{segment}/versions/1"),
        &format!("{segment}/jobs/import"),
        &format!("{segment}/jobs/export"),
        &format!("{app}/jobs/export"),
        "/pinport/v1/apps/shop/export?format=csv",
        &format!("{app}/endpoints/e1"),
        &format!("{app}/users/u"),
        "/pinport/v1/apps/shop",
        "/pinport/v1/apps/shop/segments",
        "/pinport/v1/apps/shop/segments/all/members?version=1",
        "/pinport/v1/jobs",
        &format!("/pinport/v1/jobs/{id}"),
        &format!("/pinport/v1/jobs/{id}/failures"),
        &format!("/pinport/v1/jobs/{id}/rejects"),
        &format!("{app}/settings"),
        &format!("{app}/channels"),
        &format!("{app}/campaigns"),
        &format!("{app}/journeys"),
        "/v1/templates",
        "/v1/recommenders",
        "/",
        "/livez",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/pinport/v1/throttle",
        "/pinport/v1/sources",
    ] {
        assert_eq!(house.get(path).await.status, 200, "{path}");
    }
    let members = house.get("/pinport/v1/apps/shop/segments/all/members").await;
    assert_eq!(members.body.iter().filter(|byte| **byte == b'\n').count(), 2);
    for path in [
        "/pinport/v1/apps/none",
        "/pinport/v1/apps/shop/segments/all/members?version=2",
        "/pinport/v1/apps/shop/segments/none/members",
    ] {
        assert_eq!(house.get(path).await.status, 404, "{path}");
    }
    let whole = json!({
        "Address": "a@x", "Attributes": { "a": ["b"] }, "ChannelType": "EMAIL", "Demographic": { "Make": "m" },
        "EffectiveDate": "2026-01-01T00:00:00Z", "EndpointStatus": "ACTIVE",
        "Location": { "City": "c", "Latitude": 1.5 }, "Metrics": { "m": 1.5 }, "OptOut": "NONE", "RequestId": "r",
        "User": { "UserId": "v", "UserAttributes": { "a": ["b"] } },
    });
    let batch = json!({ "Item": [{ "Id": "f", "Address": "f@x", "ChannelType": "EMAIL" }] });
    let job = json!({ "Format": "JSON", "RoleArn": "role", "S3Url": house.file("a.json", LINES), "SegmentName": "s",
        "DefineSegment": true });
    let made = house.send("POST", "/v1/apps", "", br#"{"Name":"idle","tags":{"a":"b"}}"#).await.json();
    let tags = format!("/v1/tags/{}", made["Arn"].as_str().unwrap().replace(':', "%3A").replace('/', "%2F"));
    let idle = format!("/v1/apps/{}", made["Id"].as_str().unwrap());
    let created =
        house.send("POST", &format!("{app}/jobs/import"), "", job.to_string().as_bytes()).await.json();
    let export = json!({ "RoleArn": "r", "S3UrlPrefix": format!("file://{}", house.folder.path().join("root/out").display()) });
    let made =
        house.send("POST", &format!("{app}/jobs/export"), "", export.to_string().as_bytes()).await.json();
    let exported = made["Id"].as_str().unwrap();
    house.done(exported).await;
    let found = house.send("POST", &format!("{app}/segments"), "", b"{}").await.json();
    let found = format!("{app}/segments/{}", found["Id"].as_str().unwrap());
    for (method, path, body, status) in [
        ("PUT", &found, segments::every_dimension(), 200),
        ("PUT", &format!("{app}/settings"), json!({ "QuietTime": { "Start": "22:00" } }), 200),
        ("PUT", &format!("{app}/attributes/endpoint-custom-attributes"), json!({ "Blacklist": ["x"] }), 200),
        ("POST", &"/v1/phone/number/validate".into(), json!({ "PhoneNumber": "+12065550142" }), 200),
        ("POST", &format!("{app}/events"), json!({ "BatchItem": {} }), 202),
        ("PUT", &format!("{app}/endpoints/whole"), whole, 202),
        ("GET", &format!("{app}/endpoints/whole"), Value::Null, 200),
        ("PUT", &format!("{app}/endpoints"), batch, 202),
        ("DELETE", &format!("{app}/endpoints/f"), Value::Null, 202),
        ("DELETE", &format!("{app}/users/v"), Value::Null, 202),
        ("POST", &tags, json!({ "tags": { "c": "d" } }), 204),
        ("GET", &tags, Value::Null, 200),
        ("DELETE", &format!("{tags}?tagKeys=a"), Value::Null, 204),
        ("DELETE", &idle, Value::Null, 200),
        ("DELETE", segment, Value::Null, 200),
        ("GET", &format!("{app}/jobs/export/{exported}"), Value::Null, 200),
        ("DELETE", &format!("/pinport/v1/jobs/{exported}"), Value::Null, 200),
        ("PUT", &"/pinport/v1/throttle".to_owned(), json!({ "bytes_per_second": 1 << 40 }), 202),
    ] {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = house.send(method, path, "", body.as_bytes()).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", String::from_utf8_lossy(&answer.body));
    }
    let created = created["Id"].as_str().unwrap();
    house.done(created).await;
    let again = format!("/pinport/v1/jobs/{created}/retry");
    assert_eq!(house.send("POST", &again, "", LINES.as_bytes()).await.status, 201);
    house.events(1).await;
    // The store in memory has no files.
    assert_eq!(house.send("POST", "/pinport/v1/snapshots", "", b"").await.status, 409);
    assert_eq!(house.send("DELETE", "/pinport/v1/snapshots/..", "", b"").await.status, 404);
    let idle = House::new(0).await;
    let job = json!({ "Format": "JSON", "RoleArn": "role", "S3Url": idle.file("a.json", LINES) });
    let job = idle.import(&job).await;
    let path = format!("/pinport/v1/jobs/{}", job["Id"].as_str().unwrap());
    let rate = format!("{path}/throttle");
    assert_eq!(idle.send("PUT", &rate, "", br#"{"rows_per_second":5}"#).await.status, 202);
    assert_eq!(idle.get(&rate).await.json(), json!({ "rows_per_second": 5 }));
    assert_eq!(idle.send("PUT", &rate, "", br#"{"rows_per_second":0}"#).await.status, 400);
    assert_eq!(idle.send("DELETE", &path, "", b"").await.status, 409);
    for what in ["pause", "resume", "cancel"] {
        let path = format!("{path}/{what}");
        assert_eq!(idle.send("POST", &path, "", b"").await.status, 200, "{what}");
    }
    let seen = house.document.seen().union(&idle.document.seen()).cloned().collect::<BTreeSet<_>>();
    // There is never an event stream; tests/it/backups.rs, verify.rs and webhooks.rs have the others.
    let mut answered = house.document.operations();
    for other in ["GetEventStream", "CreateSnapshot", "DeleteSnapshot", "SetJobWebhook", "VerifyJob"] {
        assert!(answered.remove(other), "{other}");
    }
    assert_eq!(seen, answered);
}
