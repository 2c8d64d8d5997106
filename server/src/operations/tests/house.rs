//! A server that tests talk to: it holds every answer against the document, and those of `/v1` against the service model.

use std::{path::PathBuf, sync::Arc};

use pinport_model::JobId;
use pinport_pipeline::{
    engine::{Engine, EngineOptions},
    jobs::{JobsOptions, Resolver, SourcesConfig},
    source::{Settings, SourceOptions},
};
use pinport_store::memory::Memory;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{document::Document, shapes::Shapes, *};

/// A server over the in-memory store.
pub(super) struct House {
    pub(super) folder: tempfile::TempDir,
    pub(super) address: std::net::SocketAddr,
    pub(super) jobs: Jobs,
    pub(super) shapes: Shapes,
    pub(super) document: Document,
    pub(super) _stop: DropGuard,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

impl House {
    pub(super) async fn new(max_running: usize) -> Self {
        Self::guarded(max_running, Access::open()).await
    }

    pub(super) async fn guarded(max_running: usize, access: Access) -> Self {
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

    pub(super) async fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
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

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", b"").await
    }

    /// Calls an operation of the service and checks the answer's shape.
    pub(super) async fn call(&self, operation: &str, method: &str, path: &str, body: &Value) -> Value {
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
    pub(super) async fn fails(
        &self,
        method: &str,
        path: &str,
        body: &Value,
        status: u16,
        kind: &str,
    ) -> String {
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

    pub(super) fn file(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.folder.path().join("root").join(name);
        std::fs::write(&path, text).unwrap();
        format!("file://{}", path.display())
    }

    /// The first events of the stream.
    pub(super) async fn events(&self, count: usize) -> Vec<Value> {
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

    pub(super) async fn done(&self, id: &str) {
        let (jobs, id) = (self.jobs.clone(), id.parse::<JobId>().unwrap());
        assert!(tokio::task::spawn_blocking(move || jobs.wait(id, LONG)).await.unwrap());
    }

    pub(super) async fn import(&self, body: &Value) -> Value {
        self.call("CreateImportJob", "POST", &format!("/v1/apps/{APP}/jobs/import"), body).await
    }
}

pub(super) fn unchunked(mut body: &[u8]) -> Vec<u8> {
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
