//! The operations over a real server on port 0, spoken to as a client would; every answer of `/v1` is held
//! against the shapes of the service model.

mod also;
mod bounds;
mod document;
mod exports;
mod identity;
mod rules;
mod segments;
mod shapes;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use pinport_model::JobId;
use pinport_pipeline::{
    engine::{Engine, EngineOptions},
    jobs::{JobsOptions, Resolver, SourcesConfig},
    source::{Settings, SourceOptions},
};
use pinport_store::memory::Memory;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::{
    Limits,
    access::{
        Access, FixedClock, KeyConfig, KeyRing,
        sigv4::tests::{KEY, NOW, REGION, SECRET, Signer, key},
    },
    http::{Listener, Server, serve},
};
use document::Document;
use shapes::Shapes;

const APP: &str = "0000000000000000000000000000000a";
const LONG: Duration = Duration::from_secs(30);

/// A server over the in-memory store.
struct House {
    folder: tempfile::TempDir,
    address: std::net::SocketAddr,
    jobs: Jobs,
    shapes: Shapes,
    document: Document,
    _stop: DropGuard,
}

/// An answer.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

impl House {
    async fn new(max_running: usize) -> Self {
        Self::guarded(max_running, Access::open()).await
    }

    async fn guarded(max_running: usize, access: Access) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let sources = SourcesConfig { local_root: Some(root), ..SourcesConfig::default() };
        let options = SourceOptions { settings: Settings::empty(), ..SourceOptions::default() };
        let engine = EngineOptions { threads: 1, ..EngineOptions::default() };
        let jobs = Jobs::start(
            Arc::new(Memory::default()),
            Arc::new(Engine::start(engine).unwrap()),
            Resolver::new(sources, options).unwrap(),
            JobsOptions { max_running, ..JobsOptions::new(folder.path().join("jobs")) },
            tokio::runtime::Handle::current(),
        )
        .unwrap();
        let metrics = Arc::new(Metrics::new("test"));
        let router = router(jobs.clone(), ApiOptions::default(), Arc::clone(&metrics));
        let document = Document::new(openapi::build(router.routes()));
        let server =
            Arc::new(Server { router, access: Arc::new(access), metrics, limits: Limits::default() });
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (socket.local_addr().unwrap(), CancellationToken::new());
        tokio::spawn(serve([Listener::new(socket, None)], server, stop.clone()));
        Self { folder, address, jobs, shapes: Shapes::read(), document, _stop: stop.drop_guard() }
    }

    async fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(LONG, socket.read_to_end(&mut answer)).await.unwrap().unwrap();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let mut body = answer[end + 4..].to_vec();
        if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            body = unchunked(&body);
        }
        let answer = Answer { status: head[9..12].parse().unwrap(), head, body };
        self.document.check(method, path, &answer);
        answer
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", b"").await
    }

    /// Calls an operation of the service and checks the answer's shape.
    async fn call(&self, operation: &str, method: &str, path: &str, body: &Value) -> Value {
        let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        let answer = self.send(method, path, "Content-Type: application/json\r\n", &bytes).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, self.shapes.status(operation), "{operation}: {text}");
        assert!(answer.header("x-amzn-requestid").is_some_and(|id| id.len() == 36));
        if answer.status == 204 {
            assert!(answer.body.is_empty());
            return Value::Null;
        }
        let value = answer.json();
        self.shapes.check_output(operation, &value);
        value
    }

    /// Calls an operation that must fail; the message.
    async fn fails(&self, method: &str, path: &str, body: &Value, status: u16, kind: &str) -> String {
        let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        let answer = self.send(method, path, "", &bytes).await;
        let value = answer.json();
        assert_eq!(
            (answer.status, answer.header("x-amzn-errortype")),
            (status, Some(kind)),
            "{path}: {value}"
        );
        assert_eq!(answer.header("x-amzn-requestid"), value["RequestID"].as_str());
        value["Message"].as_str().unwrap().to_owned()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.folder.path().join("root").join(name);
        std::fs::write(&path, text).unwrap();
        format!("file://{}", path.display())
    }

    /// The first events of the stream.
    async fn events(&self, count: usize) -> Vec<Value> {
        const PATH: &str = "/pinport/v1/events";
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(format!("GET {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
        let mut all = Vec::new();
        loop {
            let mut part = [0; 4096];
            let read = tokio::time::timeout(LONG, socket.read(&mut part)).await.unwrap().unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&all));
            all.extend_from_slice(&part[..read]);
            let Some(end) = all.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let body = unchunked(&all[end + 4..]);
            let text = String::from_utf8_lossy(&body);
            let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
            if whole.matches("data: ").count() >= count {
                let head = String::from_utf8(all[..end].to_vec()).unwrap();
                let answer = Answer { status: head[9..12].parse().unwrap(), head, body: whole.into() };
                self.document.check("GET", PATH, &answer);
                let data = whole.lines().filter_map(|line| line.strip_prefix("data: "));
                return data.map(|data| serde_json::from_str(data).unwrap()).collect();
            }
        }
    }

    async fn done(&self, id: &str) {
        let (jobs, id) = (self.jobs.clone(), id.parse::<JobId>().unwrap());
        assert!(tokio::task::spawn_blocking(move || jobs.wait(id, LONG)).await.unwrap());
    }

    async fn import(&self, body: &Value) -> Value {
        self.call("CreateImportJob", "POST", &format!("/v1/apps/{APP}/jobs/import"), body).await
    }
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(at) = body.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&body[..at]).unwrap(), 16).unwrap();
        // The last one may not be whole yet.
        let Some(chunk) = body.get(at + 2..at + 2 + size) else { break };
        whole.extend_from_slice(chunk);
        body = body.get(at + 4 + size..).unwrap_or_default();
    }
    whole
}

const LINES: &str = "{\"Id\":\"e1\",\"Address\":\"a@x\",\"ChannelType\":\"EMAIL\",\"User\":{\"UserId\":\"u\"}}\n\
     {\"Id\":\"e2\",\"Address\":\"+1\",\"ChannelType\":\"SMS\"}\n{\"Id\":\"e3\",\"ChannelType\":\"PIGEON\"}\n";

#[tokio::test]
async fn an_import_from_creation_to_its_segment() {
    let house = House::new(2).await;
    let url = house.file("a b.json", LINES);
    let request = json!({
        "Format": "JSON", "RoleArn": "role", "S3Url": url, "DefineSegment": true, "SegmentName": "all", "More": 1,
    });
    let created = house.import(&request).await;
    let id = created["Id"].as_str().unwrap();
    assert_eq!(created["JobStatus"], "CREATED");
    assert_eq!(
        created["Definition"],
        json!({
            "DefineSegment": true, "ExternalId": "000000000000", "Format": "JSON", "RegisterEndpoints": true,
            "RoleArn": "role", "S3Url": url, "SegmentId": id, "SegmentName": "all",
        })
    );
    assert!(created.get("CompletionDate").is_none());
    // The segment can be asked for from the moment of the 201.
    let segment = format!("/v1/apps/{APP}/segments/{id}");
    house.call("GetSegment", "GET", &segment, &Value::Null).await;
    house.done(id).await;

    let job = format!("/v1/apps/{APP}/jobs/import/{id}");
    let job = house.call("GetImportJob", "GET", &job, &Value::Null).await;
    assert_eq!(job["JobStatus"], "COMPLETED");
    assert_eq!((&job["TotalProcessed"], &job["TotalFailures"]), (&json!(3), &json!(1)));
    assert_eq!(
        (&job["TotalPieces"], &job["CompletedPieces"], &job["FailedPieces"]),
        (&json!(1), &json!(1), &json!(0))
    );
    let failure = job["Failures"][0].as_str().unwrap();
    assert!(failure.contains("a b.json line 3: ChannelType: \"PIGEON\" is not one of"), "{failure}");
    assert!(job["CompletionDate"].as_str().unwrap().ends_with('Z'));

    let found = house.call("GetSegment", "GET", &segment, &Value::Null).await;
    assert_eq!(
        (&found["Version"], &found["SegmentType"], &found["Name"]),
        (&json!(1), &json!("IMPORT"), &json!("all"))
    );
    assert_eq!(
        found["ImportDefinition"],
        json!({
            "ChannelCounts": { "EMAIL": 1, "SMS": 1 }, "ExternalId": "000000000000", "Format": "JSON",
            "RoleArn": "role", "S3Url": url, "Size": 2,
        })
    );
    // Added to: a new version.
    let more =
        json!({ "Format": "JSON", "RoleArn": "role", "S3Url": url, "DefineSegment": true, "SegmentId": id });
    let second = house.import(&more).await;
    assert_eq!(second["Definition"]["SegmentId"], id);
    house.done(second["Id"].as_str().unwrap()).await;
    let versions =
        house.call("GetSegmentVersions", "GET", &format!("{segment}/versions"), &Value::Null).await;
    let numbers: Vec<_> =
        versions["Item"].as_array().unwrap().iter().map(|one| one["Version"].clone()).collect();
    assert_eq!(numbers, [json!(2), json!(1)]);
    house.call("GetSegmentVersion", "GET", &format!("{segment}/versions/1"), &Value::Null).await;
    house.fails("GET", &format!("{segment}/versions/3"), &Value::Null, 404, "NotFoundException").await;
    let of_segment =
        house.call("GetSegmentImportJobs", "GET", &format!("{segment}/jobs/import"), &Value::Null).await;
    assert_eq!(of_segment["Item"].as_array().unwrap().len(), 2);
    house.call("DeleteSegment", "DELETE", &segment, &Value::Null).await;
    house.fails("GET", &segment, &Value::Null, 404, "NotFoundException").await;
}

#[tokio::test]
async fn pages_are_newest_first_and_tokens_belong_to_their_list() {
    let house = House::new(0).await;
    let url = house.file("a.json", LINES);
    let mut made = Vec::new();
    for _ in 0..5 {
        let body = json!({ "Format": "JSON", "RoleArn": "role", "S3Url": url });
        made.insert(0, house.import(&body).await["Id"].clone());
    }
    let list = format!("/v1/apps/{APP}/jobs/import");
    let (mut seen, mut token) = (Vec::new(), None);
    loop {
        let token_text = token.as_ref().map(|token| format!("&token={token}")).unwrap_or_default();
        let page = house
            .call("GetImportJobs", "GET", &format!("{list}?page-size=2{token_text}"), &Value::Null)
            .await;
        seen.extend(page["Item"].as_array().unwrap().iter().map(|job| job["Id"].clone()));
        let Some(next) = Some(&page["NextToken"]).filter(|next| !next.is_null()) else { break };
        token = Some(next.as_str().unwrap().to_owned());
    }
    assert_eq!(seen, made);
    let token = token.unwrap();
    let other = house.call("CreateApp", "POST", "/v1/apps", &json!({ "Name": "other" })).await;
    let other = format!("/v1/apps/{}/jobs/import", other["Id"].as_str().unwrap());
    let empty = house.call("GetImportJobs", "GET", &other, &Value::Null).await;
    assert_eq!(empty, json!({ "Item": [], "NextToken": null }));
    for path in [
        format!("{other}?token={token}"),
        format!("/v1/apps/{APP}/segments?token={token}"),
        format!("{list}?token=x"),
        format!("{list}?page-size=0"),
        format!("{list}?page-size=1001"),
    ] {
        house.fails("GET", &path, &Value::Null, 400, "BadRequestException").await;
    }
}

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
async fn a_retried_post_makes_one_job() {
    let house = House::new(2).await;
    let url = house.file("a.json", LINES);
    let path = format!("/v1/apps/{APP}/jobs/import");
    let body = serde_json::to_vec(&json!({ "Format": "JSON", "RoleArn": "role", "S3Url": url })).unwrap();
    let mut ids = Vec::new();
    for invocation in ["one", "one", "two"] {
        let header = format!("amz-sdk-invocation-id: {invocation}\r\n");
        ids.push(house.send("POST", &path, &header, &body).await.json()["Id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
    // L9: what is asked for in the query belongs to the request.
    let asking = format!("{path}?max-failures=1");
    for (path, same) in [(&asking, false), (&asking, true), (&format!("{path}?max-failures=2"), false)] {
        ids.push(
            house.send("POST", path, "amz-sdk-invocation-id: one\r\n", &body).await.json()["Id"].clone(),
        );
        let (last, before) = ids.split_last().unwrap();
        assert_eq!(before.contains(last), same, "{path}");
    }
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

#[tokio::test]
async fn our_own_view_of_jobs() {
    let house = House::new(2).await;
    let upload = "/pinport/v1/apps/shop/uploads?format=json&segment=all&name=mine.json";
    let made = house.send("POST", upload, "", LINES.as_bytes()).await;
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
    let id = made.json()["id"].as_str().unwrap().to_owned();
    house.done(&id).await;
    let jobs = house.get("/pinport/v1/jobs?app=shop&status=COMPLETED&ended=true").await.json();
    assert_eq!(jobs["jobs"][0]["id"], id.as_str());
    assert_eq!(house.get("/pinport/v1/jobs?ended=false").await.json(), json!({ "jobs": [] }));
    assert_eq!(house.get("/pinport/v1/jobs?status=DONE").await.status, 400);
    let detail = house.get(&format!("/pinport/v1/jobs/{id}")).await.json();
    assert_eq!(detail["job"]["progress"]["registered"], 2);
    assert_eq!(detail["objects"][0]["name"], "upload:mine.json");
    // L4: where the server keeps it is no one's business.
    assert!(!detail.to_string().contains(house.folder.path().to_str().unwrap()), "{detail}");
    assert_eq!(detail["failures"][0]["line"], 3);
    let failures = house.get(&format!("/pinport/v1/jobs/{id}/failures")).await;
    assert_eq!(failures.json()["code"], "unknown_value");
    let rejects = house.get(&format!("/pinport/v1/jobs/{id}/rejects")).await;
    assert_eq!(rejects.body, LINES.lines().last().map(|line| format!("{line}\n")).unwrap().into_bytes());
    assert_eq!(rejects.header("x-pinport-parts"), Some("1"));
    assert_eq!(house.get(&format!("/pinport/v1/jobs/{id}/rejects?part=2")).await.status, 404);
    for (path, status) in [("cancel", 409), ("pause", 409), ("resume", 409)] {
        assert_eq!(
            house.send("POST", &format!("/pinport/v1/jobs/{id}/{path}"), "", b"").await.status,
            status
        );
    }
    let text = String::from_utf8(house.get("/metrics").await.body).unwrap();
    assert!(!text.contains("ImportedEndpointFailure") && !text.contains("# EOF"), "{text}");
    let accept = "accept: application/openmetrics-text\r\n";
    let metrics = house.send("GET", "/metrics", accept, b"").await;
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let metrics = String::from_utf8(metrics.body).unwrap();
    for line in [
        "ImportedEndpointFailure_total 1",
        "ImportJobFailure_total 0",
        "ImportJobDuration_total ",
        "pinport_jobs_ended_total{status=\"COMPLETED\"} 1",
        "pinport_stage_busy_seconds_total{stage=\"parse\"} ",
        "pinport_build_info{version=\"test\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    assert_eq!(metrics.matches("# EOF").count(), 1);
    assert_eq!((house.get("/livez").await.status, house.get("/readyz").await.status), (200, 200));
    let jobs = house.jobs.clone();
    tokio::task::spawn_blocking(move || jobs.stop(LONG)).await.unwrap();
    assert_eq!((house.get("/livez").await.status, house.get("/readyz").await.status), (200, 503));
}

#[tokio::test]
async fn events_begin_with_how_things_stand_and_go_on_while_nothing_changes() {
    let house = House::new(0).await;
    let url = house.file("a.json", LINES);
    let job = house.import(&json!({ "Format": "JSON", "RoleArn": "role", "S3Url": url })).await;
    // The last of them come because nothing happens.
    let samples: Vec<pinport_model::view::Sample> =
        house.events(3).await.into_iter().map(|event| serde_json::from_value(event).unwrap()).collect();
    for pair in samples.windows(2) {
        assert_eq!(pair[1].jobs[0].id.to_string(), job["Id"].as_str().unwrap());
        assert!(pair[1].time >= pair[0].time);
        // None seems to be lost, right after connecting least of all.
        assert!(pair[1].sequence - pair[0].sequence <= 1, "{} and {}", pair[0].sequence, pair[1].sequence);
    }
}

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
