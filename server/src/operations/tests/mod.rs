//! The operations over a real server on port 0, spoken to as a client would; every answer of `/v1` is held
//! against the shapes of the service model.

mod also;
mod answers;
mod bounds;
mod document;
mod exports;
mod house;
mod identity;
mod imports;
mod rules;
mod segments;
mod shapes;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::*;
use crate::{
    Limits,
    access::{
        Access, FixedClock, KeyConfig, KeyRing,
        sigv4::tests::{KEY, NOW, REGION, SECRET, Signer, key},
    },
    http::{Listener, Server, serve},
};
use house::{Answer, House};

const APP: &str = "0000000000000000000000000000000a";
const LONG: Duration = Duration::from_secs(30);

const LINES: &str = "{\"Id\":\"e1\",\"Address\":\"a@x\",\"ChannelType\":\"EMAIL\",\"User\":{\"UserId\":\"u\"}}\n\
     {\"Id\":\"e2\",\"Address\":\"+1\",\"ChannelType\":\"SMS\"}\n{\"Id\":\"e3\",\"ChannelType\":\"PIGEON\"}\n";

#[tokio::test]
async fn mistakes_in_a_request_are_400s_that_say_so() {
    let house = House::new(2).await;
    let url = house.file("a.json", LINES);
    let jobs = format!("/v1/apps/{APP}/jobs/import");
    let whole = json!({ "Format": "JSON", "RoleArn": "role", "S3Url": url });
    let with = |member: &str, value: Value| {
        let mut body = whole.clone();
        body[member] = value;
        body
    };
    for (body, told) in [
        (json!({}), "Format is missing"),
        (with("Format", json!("XML")), "Format \"XML\" is not one of CSV, JSON"),
        (with("Format", json!("json")), "is not one of"),
        (with("RoleArn", json!("")), "RoleArn is missing or empty"),
        (with("S3Url", json!(null)), "S3Url is missing"),
        (with("S3Url", json!("ftp://x/y")), "S3Url"),
        (with("S3Url", json!("file:///etc/")), "is not below the folder"),
        (with("RegisterEndpoints", json!(false)), "both false"),
        (with("Format", json!("CSV")), "the header has none of the columns"),
        (with("DefineSegment", json!("yes")), "The body is not the JSON"),
    ] {
        let message = house.fails("POST", &jobs, &body, 400, "BadRequestException").await;
        assert!(message.contains(told), "{message}");
    }
    let segment = with("SegmentId", json!("0".repeat(32)));
    house.fails("POST", &jobs, &segment, 404, "NotFoundException").await;
    house.fails("GET", &format!("{jobs}/{}", "0".repeat(32)), &Value::Null, 404, "NotFoundException").await;
    house.fails("GET", "/v1/apps/nothing/jobs/import", &Value::Null, 404, "NotFoundException").await;
    house.fails("GET", "/v1/apps//jobs/import", &Value::Null, 404, "NotFoundException").await;
    let message = house
        .fails("GET", &format!("/v1/apps/{APP}/campaigns/x"), &Value::Null, 405, "MethodNotAllowedException")
        .await;
    assert!(message.contains("import jobs"), "{message}");
    house.fails("PATCH", &jobs, &Value::Null, 405, "MethodNotAllowedException").await;
    let options = house.send("OPTIONS", &jobs, "", b"").await;
    assert_eq!((options.status, options.header("allow")), (200, Some("GET, HEAD, OPTIONS, POST")));
    assert!(options.body.is_empty());
}

#[tokio::test]
async fn endpoints_are_put_read_and_deleted() {
    let house = House::new(2).await;
    let endpoint = format!("/v1/apps/{APP}/endpoints/user%40example.com%2F%2B1");
    let body = json!({
        "Address": "a@x", "ChannelType": "EMAIL", "Attributes": { "plan": ["pro"] },
        "User": { "UserId": "u/1", "UserAttributes": { "city": ["Ulm"] } },
    });
    let accepted = house.call("UpdateEndpoint", "PUT", &endpoint, &body).await;
    assert_eq!(accepted["Message"], "Accepted");
    house.call("UpdateEndpoint", "PUT", &endpoint, &json!({ "OptOut": "ALL" })).await;
    let found = house.call("GetEndpoint", "GET", &endpoint, &Value::Null).await;
    assert_eq!((&found["Id"], &found["OptOut"]), (&json!("user@example.com/+1"), &json!("ALL")));
    assert_eq!(found["Attributes"], json!({ "plan": ["pro"] }));
    let batch = json!({ "Item": [
        { "Id": "b", "Address": "b@x", "ChannelType": "EMAIL", "User": { "UserId": "u/1" } },
        { "Id": "c", "Address": "c@x", "ChannelType": "EMAIL" },
    ] });
    let endpoints = format!("/v1/apps/{APP}/endpoints");
    house.call("UpdateEndpointsBatch", "PUT", &endpoints, &batch).await;
    let user = format!("/v1/apps/{APP}/users/u%2F1");
    let of_user = house.call("GetUserEndpoints", "GET", &user, &Value::Null).await;
    assert_eq!(of_user["Item"].as_array().unwrap().len(), 2);
    assert_eq!(of_user["Item"][0]["User"]["UserAttributes"], json!({ "city": ["Ulm"] }));
    // One bad item and nothing of the batch is stored.
    let bad = json!({ "Item": [
        { "Id": "d", "Address": "d@x", "ChannelType": "EMAIL" }, { "Id": "e", "ChannelType": "PIGEON" },
    ] });
    let message = house.fails("PUT", &endpoints, &bad, 400, "BadRequestException").await;
    assert!(message.starts_with("Item[1]: ChannelType: \"PIGEON\""), "{message}");
    house.fails("GET", &format!("{endpoints}/d"), &Value::Null, 404, "NotFoundException").await;
    let good = json!({ "Item": [
        { "Id": "d", "Address": "d@x", "ChannelType": "EMAIL" }, { "Id": "d", "OptOut": "ALL" },
    ] });
    house.call("UpdateEndpointsBatch", "PUT", &endpoints, &good).await;
    let found = house.call("GetEndpoint", "GET", &format!("{endpoints}/d"), &Value::Null).await;
    assert_eq!(found["OptOut"], "ALL");
    house.call("DeleteEndpoint", "DELETE", &format!("{endpoints}/c"), &Value::Null).await;
    house.fails("DELETE", &format!("{endpoints}/c"), &Value::Null, 404, "NotFoundException").await;
    house.call("DeleteUserEndpoints", "DELETE", &user, &Value::Null).await;
    house.fails("GET", &user, &Value::Null, 404, "NotFoundException").await;
}

#[tokio::test]
async fn applications_and_tags() {
    let house = House::new(0).await;
    let made =
        house.call("CreateApp", "POST", "/v1/apps", &json!({ "Name": "shop", "tags": { "a": "1" } })).await;
    let (id, arn) = (made["Id"].as_str().unwrap(), made["Arn"].as_str().unwrap());
    assert_eq!(arn, format!("arn:aws:mobiletargeting:us-east-1:000000000000:apps/{id}"));
    house.fails("POST", "/v1/apps", &json!({ "Name": "" }), 400, "BadRequestException").await;
    let all = house.call("GetApps", "GET", "/v1/apps", &Value::Null).await;
    assert_eq!(all["Item"].as_array().unwrap().len(), 1);
    let tags = format!("/v1/tags/{}", arn.replace(':', "%3A").replace('/', "%2F"));
    house.call("TagResource", "POST", &tags, &json!({ "tags": { "b": "2", "c": "3" } })).await;
    house.call("UntagResource", "DELETE", &format!("{tags}?tagKeys=a&tagKeys=c"), &Value::Null).await;
    let found = house.call("ListTagsForResource", "GET", &tags, &Value::Null).await;
    assert_eq!(found, json!({ "tags": { "b": "2" } }));
    house.fails("GET", "/v1/tags/arn%3Ax", &Value::Null, 404, "NotFoundException").await;
    // An application with a job that has not ended stays.
    let url = house.file("a.json", LINES);
    let jobs = format!("/v1/apps/{id}/jobs/import");
    let job = json!({ "Format": "JSON", "RoleArn": "role", "S3Url": url });
    let job = house.call("CreateImportJob", "POST", &jobs, &job).await;
    let app = format!("/v1/apps/{id}");
    house.fails("DELETE", &app, &Value::Null, 409, "ConflictException").await;
    let cancel = format!("/pinport/v1/jobs/{}/cancel", job["Id"].as_str().unwrap());
    assert_eq!(house.send("POST", &cancel, "", b"").await.json()["progress"]["status"], "CANCELLED");
    house.call("DeleteApp", "DELETE", &app, &Value::Null).await;
    house.fails("GET", &app, &Value::Null, 404, "NotFoundException").await;
}

/// They count all applications together.
#[tokio::test]
async fn metrics_are_for_keys_that_see_every_application() {
    let tenant = KeyConfig { applications: Some([APP.parse().unwrap()].into()), ..key("TENANT", SECRET) };
    let auditor = KeyConfig { read_only: true, ..key("AUDITOR", SECRET) };
    let ring = KeyRing::new([key(KEY, SECRET), tenant, auditor]).unwrap();
    let access = Access::with_keys(REGION, ring, Arc::new(FixedClock::at(NOW)));
    let house = House::guarded(0, access).await;
    for (key, status) in [(KEY, 200), ("AUDITOR", 200), ("TENANT", 403), ("NOBODY", 403)] {
        let sent = Signer { key, ..Signer::default() }.sign("GET", "/metrics", b"");
        let headers = sent.headers.iter().filter(|(name, _)| name != "host");
        let headers: String = headers.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let answer = house.send("GET", "/metrics", &headers, b"").await;
        assert_eq!(answer.status, status, "{key}: {}", String::from_utf8_lossy(&answer.body));
        if key == "TENANT" {
            let said = answer.json();
            assert!(said["Message"].as_str().unwrap().starts_with("Metrics are of all applications"));
        }
    }
}
