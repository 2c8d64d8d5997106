//! The real binary against a real S3 server in this process, over loopback.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use hyper::{body::Incoming, service::Service};
use tokio::runtime::Runtime;

use crate::support::*;

const KEY: &str = "AKTEST";
const SECRET: &str = "secret/+key";

/// A server whose buckets are the folders of `s3` in a lab. It ends with its runtime.
pub(crate) struct Server {
    pub(crate) lab: Lab,
    address: SocketAddr,
    /// Requests for a range, and for a listing.
    ranges: Arc<AtomicU64>,
    listings: Arc<AtomicU64>,
    _runtime: Runtime,
}

impl Server {
    pub(crate) fn start() -> Self {
        let lab = Lab::new();
        fs::create_dir_all(lab.path("s3/bucket")).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut builder =
            s3s::service::S3ServiceBuilder::new(s3s_fs::FileSystem::new(lab.path("s3")).unwrap());
        builder.set_auth(s3s::auth::SimpleAuth::from_single(KEY, SECRET));
        let service = builder.build();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (ranges, listings) = <(Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        let (counted_ranges, counted_listings) = (Arc::clone(&ranges), Arc::clone(&listings));
        runtime.spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let service = service.clone();
                let (ranges, listings) = (Arc::clone(&counted_ranges), Arc::clone(&counted_listings));
                let counted = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
                    if request.headers().contains_key("range") {
                        ranges.fetch_add(1, Ordering::Relaxed);
                    }
                    if request.uri().query().is_some_and(|query| query.contains("list-type=2")) {
                        listings.fetch_add(1, Ordering::Relaxed);
                    }
                    Service::call(&service, request)
                });
                tokio::spawn(async move {
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(hyper_util::rt::TokioIo::new(socket), counted)
                        .await;
                });
            }
        });
        Self { lab, address, ranges, listings, _runtime: runtime }
    }

    fn put(&self, key: &str, bytes: impl AsRef<[u8]>) {
        self.lab.write(&format!("s3/bucket/{key}"), bytes);
    }

    fn import(&self, source: &str, format: &str, more: &[&str]) -> Run {
        self.import_with("data", source, format, more)
    }

    fn import_with(&self, data: &str, source: &str, format: &str, more: &[&str]) -> Run {
        self.remote(self.lab.import_with(data, source, format, more))
    }

    /// With what finds the server.
    pub(crate) fn remote(&self, run: Run) -> Run {
        run.env("AWS_ENDPOINT_URL_S3", &format!("http://{}", self.address))
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
    }

    /// The ids that an import of `source` brings.
    #[track_caller]
    fn ids(&self, source: &str) -> Vec<String> {
        let data = format!("data {source}").replace('/', "|");
        self.import_with(&data, source, "json", &["--segment", "s"]).expect(0);
        let members = lines(&self.lab.members(&data, "s"));
        members.iter().map(|member| member["Id"].as_str().unwrap().to_owned()).collect()
    }
}

fn record(id: &str) -> String {
    let address = id.len();
    format!("{{\"Id\":\"{id}\",\"ChannelType\":\"SMS\",\"Address\":\"{address}\"}}\n")
}

#[test]
fn keys_match_as_plain_text_and_the_exact_one_wins() {
    let server = Server::start();
    let keys = [
        "con%20t/ü b+c.json",
        "con/a&b=c.json",
        "con/sub/x y.json",
        "contacts.json",
        "contacts.json.old/1.json",
        "contacts/1.json",
        "contacts/2.json",
        "cöñ #1?.json",
    ];
    for key in keys {
        server.put(key, record(key));
    }
    server.put("contacts/_SUCCESS", "");
    server.put("contacts/z.csv", "Id\n");
    assert_eq!(server.ids("s3://bucket/con"), keys[..7]);
    assert_eq!(server.ids("s3://bucket/con/"), keys[1..3]);
    assert_eq!(server.ids("s3://bucket/contacts"), keys[3..7], "a prefix does not end at a slash");
    assert_eq!(server.ids("s3://bucket/contacts.json"), keys[3..4], "the exact key wins");
    assert_eq!(server.ids("s3://bucket/con%"), keys[..1]);
    assert_eq!(server.ids("s3://bucket/con%20t/ü b+c.json"), keys[..1]);
    assert_eq!(server.ids("s3://bucket/cöñ #1?"), keys[7..]);
    assert_eq!(server.ids("s3://bucket"), keys);
    assert_eq!(server.ids("s3://bucket/"), keys);
    let outcome = server.import("s3://bucket/contacts/", "json", &[]).expect(0).json();
    assert_eq!(outcome["Definition"]["S3Url"], "s3://bucket/contacts/", "echoed as it was written");
    assert!(
        outcome["Warnings"].to_string().contains("skipped s3://bucket/contacts/z.csv: its name says CSV")
    );
}

#[test]
fn ten_thousand_small_objects() {
    let server = Server::start();
    for number in 0..10_000 {
        server.put(&format!("many/{number:05}.json"), record(&format!("id-{number:05}")));
    }
    server.put("many/05000.json", "{\"Id\":\"nobody\"}\n");
    let outcome = server.import("s3://bucket/many/", "json", &["--segment", "s"]).expect(3).json();
    assert_eq!(counts(&outcome), (10_000, 9_999, 1));
    assert_eq!(outcome["Objects"], 10_000);
    let failure = outcome["Failures"][0].as_str().unwrap();
    assert!(
        failure.starts_with("s3://bucket/many/05000.json line 1: Id: no endpoint \"nobody\""),
        "{failure}"
    );
    assert_eq!(lines(&server.lab.members("data", "s")).len(), 9_999);
    let listings = server.listings.load(Ordering::Relaxed);
    assert!((10..40).contains(&listings), "{listings} listings");
}

#[test]
fn a_large_object_is_read_by_ranges() {
    let server = Server::start();
    let rows = server.lab.write_sample("s3/bucket/large.json", "--rows 190000").metadata().unwrap().len();
    assert!(rows > 100_000_000, "{rows}");
    let outcome = server.import("s3://bucket/large.json", "json", &["--check"]).expect(0);
    assert_eq!(counts(&outcome.json()), (190_000, 190_000, 0));
    assert_eq!(outcome.json()["Bytes"], rows);
    let ranges = server.ranges.load(Ordering::Relaxed);
    assert!((13..60).contains(&ranges), "{ranges} ranges");
    assert!(outcome.peak < 512 << 20, "{} MiB", outcome.peak >> 20);
}

#[test]
fn proxies_of_the_environment_are_asked_for_amazon_and_not_for_loopback() {
    let server = Server::start();
    server.put("rows.json", record("a"));
    // Notes what it is asked for, and refuses it.
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let (notes, asked) = mpsc::sync_channel(64);
    thread::spawn(move || {
        for mut socket in proxy.incoming().map_while(Result::ok) {
            let mut line = String::new();
            BufReader::new(&socket).read_line(&mut line).unwrap();
            let _ = notes.send(line);
            let _ = socket.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let proxied = |run: Run| {
        let run = run.env("NO_PROXY", "").env("no_proxy", "");
        ["HTTP_PROXY", "HTTPS_PROXY"].iter().fold(run, |run, name| run.env(name, &address))
    };
    proxied(server.import("s3://bucket/rows.json", "json", &[])).expect(0);
    assert!(asked.try_recv().is_err(), "the store is on loopback");
    let amazon = server.lab.import_with("other", "s3://bucket/rows.json", "json", &[]);
    let amazon = amazon.env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", SECRET);
    let running = proxied(amazon.env("AWS_REGION", "us-east-1")).start();
    let line = asked.recv_timeout(PATIENCE).expect("the proxy is asked");
    running.kill_after(Duration::ZERO);
    assert!(line.starts_with("CONNECT ") && line.contains(".us-east-1.amazonaws.com:443 "), "{line}");
}

#[test]
fn each_error_says_what_where_and_what_to_do() {
    let server = Server::start();
    server.put("rows.json", record("a"));
    server.put("rows.csv", "Id,ChannelType,Address\na,SMS,1\n");
    let import = |source: &str| server.import(source, "json", &[]);
    import("s3://nobucket/x").expect(1).says(&[
        "error: there is no bucket s3://nobucket",
        "hint: check the bucket's name, the region (AWS_REGION) and the endpoint (AWS_ENDPOINT_URL_S3)",
    ]);
    for (name, value) in [("AWS_SECRET_ACCESS_KEY", "wrong-canary"), ("AWS_ACCESS_KEY_ID", "AKWRONG")] {
        let denied = import("s3://bucket/rows").env(name, value).expect(1);
        denied.says(&["error: access to s3://bucket", "is denied", "hint: check the credentials"]);
        assert!(!denied.err.contains("canary") && !denied.err.contains(SECRET), "{}", denied.err);
    }
    import("s3://bucket/none").expect(1).says(&[
        "error: no object to read matches s3://bucket/none",
        "hint: check the prefix: keys are compared letter by letter",
    ]);
    import("s3://bucket/rows.c").expect(1).says(&[
        "no object to read matches s3://bucket/rows.c",
        "s3://bucket/rows.csv: its name says CSV",
        "hint: check --format: objects of the other format are skipped",
    ]);
    import("s3://bucket/rows.csv").expect(1).says(&[
        "error: s3://bucket/rows.csv: it does not look like JSON",
        "line 1",
        "hint: check --format and the first lines of the object",
    ]);
    import("s3://").expect(2).says(&["s3://"]);
    let gone = import("s3://bucket/rows.json").env("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9").expect(1);
    gone.says(&["cannot be reached", "hint: check the endpoint (AWS_ENDPOINT_URL_S3) and the network"]);
    assert!(!server.lab.path("data/store").exists(), "what was refused leaves no store");
}

#[test]
fn a_killed_import_goes_on_by_ranges() {
    let server = Server::start();
    for part in 0..3 {
        let rows = server.lab.sample(&format!("--rows 40000 --start {} --bad 1%", part * 40_000));
        let packed = gzip(&rows.chunks(rows.len() / 3 + 5).collect::<Vec<_>>());
        let (key, bytes) =
            if part == 1 { ("in/1.json.gz".to_owned(), packed) } else { (format!("in/{part}.json"), rows) };
        server.put(&key, bytes);
    }
    let more = ["--segment", "s", "--piece", "600"];
    server.lab.write("one.json", record("one"));
    server.lab.import_with("base", "one.json", "json", &[]).expect(0);
    for data in ["data", "whole"] {
        copy_folder(&server.lab.path("base"), &server.lab.path(data));
    }
    let whole = server.import_with("whole", "s3://bucket/in/", "json", &more).expect(3).json();
    let mut random = Random::seeded("kill -9 over S3");
    let committed = |least: u64| {
        let job = job_folders(&server.lab.path("data")).pop();
        let failures = job.and_then(|job| fs::metadata(job.join("failures.ndjson")).ok());
        failures.is_some_and(|failures| failures.len() > least)
    };
    // Killed whenever it got a little further: in each of the objects.
    let mut kills = 0;
    let mut least = 0;
    let outcome = loop {
        let run = server.import("s3://bucket/in/", "json", &more).start();
        // Not at its very end: a job that had ended already would be no one's to go on with.
        if kills == 4 || !run.until(|| job_folders(&server.lab.path("data")).len() > 1 && committed(least)) {
            break run.wait();
        }
        let (killed, outcome) = run.kill_after(Duration::from_millis(random.below(20)));
        if !killed {
            break outcome;
        }
        kills += 1;
        least += failures(&whole).len() as u64 / 6;
    };
    assert!(kills >= 3, "{kills} kills");
    assert_eq!(outcome.code, Some(3), "{}", outcome.err);
    outcome.says(&["it goes on behind piece"]);
    let json = outcome.json();
    same_outcome(&json, &whole);
    let members = |data: &str, outcome| masked(&server.lab.members(data, "s"), outcome);
    same_lines(&members("data", &json), &members("whole", &whole), "the members");
    // What another object of the same name holds is not taken for it.
    let more = [&more[..], &["--app", "second"]].concat();
    let jobs = job_folders(&server.lab.path("data")).len();
    let run = server.import("s3://bucket/in/", "json", &more).start();
    let begun = || job_folders(&server.lab.path("data")).len() > jobs && committed(0);
    assert!(run.until(begun), "it ended too early");
    assert!(run.kill_after(Duration::ZERO).0);
    server.put("in/2.json", record("another"));
    let changed = server.import("s3://bucket/in/", "json", &more).expect(1).json();
    let error = changed["Error"].as_str().unwrap();
    assert!(error.contains("s3://bucket/in/2.json changed while it was read"), "{error}");
}

/// Small files by one request, large ones in parts, each with a signature that the server checks.
#[test]
fn what_is_exported_to_a_bucket_is_imported_from_there() {
    let server = Server::start();
    let sample = server.lab.sample("--rows 20000");
    server.put("in/rows.json", &sample);
    server.import("s3://bucket/in/", "json", &["--segment", "s"]).expect(0);
    let export = |prefix: &str, more: &[&str]| {
        let target = format!("s3://bucket/{prefix}");
        server.remote(server.lab.pinport(&["export", &target, "--format", "json"])).args(more)
    };
    export("ü b/out", &["--none"]).expect(0);
    let folder = fs::read_dir(server.lab.path("s3/bucket/ü b/out")).unwrap().next().unwrap().unwrap().path();
    let size = |name: &str| fs::metadata(folder.join(name)).unwrap().len();
    assert!(size("part-00000.json") > 8 << 20 && size("_SUCCESS") > 0);
    let again = server.import_with("again", "s3://bucket/ü b/out", "json", &[]).expect(0).json();
    assert_eq!(counts(&again), (20_000, 20_000, 0));
    // A key that may not write.
    let refused = export("out", &[]).env("AWS_SECRET_ACCESS_KEY", "wrong").run();
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    refused.says(&["access to s3://bucket/out/"]);
    assert!(!server.lab.path("s3/bucket/out").exists());
}
