//! The real server with its store in PostgreSQL: what is imported is read again, and a server that is killed in the middle of
//! an import goes on where the last committed piece ended.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{cluster::Cluster, fault_store::FaultStore, serving::Serving, support::*};

/// A database with pinport's tables; the URL has a lease that a test can wait for.
fn database(lab: &Lab) -> (Cluster, String) {
    let cluster = Cluster::start();
    let url = format!("{}?lease=5", cluster.url());
    let refused = lab.pinport(&["store", "check", "--store-url", &url]).expect(1);
    assert!(refused.err.contains("pinport store init"), "{}", refused.err);
    let made = lab.pinport(&["store", "init", "--store-url", &url]).expect(0);
    assert!(made.err.contains("has pinport's tables now"), "{}", made.err);
    let again = lab.pinport(&["store", "init", "--store-url", &url]).expect(0);
    assert!(again.err.contains("had pinport's tables already"), "{}", again.err);
    lab.pinport(&["store", "check", "--store-url", &url]).expect(0);
    (cluster, url)
}

/// Starts a server on a database, with a data folder of its own.
fn start(lab: &Lab, data: &str, url: &str, configuration: &str) -> Serving {
    let configuration = lab.write(&format!("{data}.toml"), configuration);
    let root = lab.path("");
    let serve =
        ["serve", "--config", configuration.to_str().unwrap(), "--local-root", root.to_str().unwrap()];
    let serve = lab.pinport_with(data, &serve).env("PINPORT_STORE_URL", url);
    Serving::spawn(serve).unwrap_or_else(|log| panic!("it does not say where it listens: {log}"))
}

/// Waits until a statement answers so.
fn until(cluster: &Cluster, sql: &str, is_it: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = cluster.ask(sql);
        if is_it(&answer) {
            return;
        }
        assert!(Instant::now() < deadline, "{sql}: {answer}");
        pause(Duration::from_millis(5));
    }
}

const SAMPLE: &str = "--rows 20000 --bad 1% --updates 3% --format json --seed 7";

/// Checks what is stored against what the sample counts, and that no operand is there twice.
fn check_counts(lab: &Lab, cluster: &Cluster, ended: &Value) {
    let tally = lab.sample_tally(SAMPLE);
    assert_eq!(ended["JobStatus"], "COMPLETED", "{ended}");
    assert_eq!(ended["TotalProcessed"], tally["read"], "{ended}");
    assert_eq!(ended["TotalFailures"], tally["failed"], "{ended}");
    let twice = "SELECT count(*) FROM (SELECT FROM pinport.ops GROUP BY space, id, job, part, piece HAVING count(*) > 1) d";
    assert_eq!(cluster.ask(twice), "0");
    let ids = cluster.ask("SELECT count(DISTINCT id) FROM pinport.ops");
    assert_eq!(ids, tally["endpoints"].to_string());
}

#[test]
fn a_killed_server_goes_on_in_its_database() {
    let lab = Lab::new();
    let (cluster, url) = database(&lab);
    lab.write_sample("in/a.json", SAMPLE);
    let config = "[jobs]\npiece_kib = 64\nrows_per_second = 20000\n";
    let server = start(&lab, "data", &url, config);
    server.until_said("the store is in postgres://pinport@");
    assert_eq!(server.get("/readyz").status, 200);
    let app = server.app("shop");
    let body = json!({
        "Format": "JSON", "RoleArn": "role", "DefineSegment": true, "SegmentName": "all",
        "S3Url": format!("file://{}", lab.path("in/a.json").display()),
    });
    let created = server.post(&format!("/v1/apps/{app}/jobs/import"), &body);
    let job = created["Id"].as_str().unwrap();
    until(&cluster, "SELECT count(*) FROM pinport.pieces", |count| count.parse::<u64>().unwrap() > 3);
    server.signal(libc::SIGKILL);
    server.wait(None);
    let before: u64 = cluster.ask("SELECT count(*) FROM pinport.pieces").parse().unwrap();
    let server = start(&lab, "data", &url, "[jobs]\npiece_kib = 64\n");
    let ended = server.ended(&app, job);
    check_counts(&lab, &cluster, &ended);
    let after: u64 = cluster.ask("SELECT count(*) FROM pinport.pieces").parse().unwrap();
    assert!(before < after, "it was not in the middle: {before} of {after} pieces");

    // What the server answers is what an import into a folder comes to.
    let segment = ended["Definition"]["SegmentId"].as_str().unwrap();
    let segment = server.get(&format!("/v1/apps/{app}/segments/{segment}"));
    assert_eq!(segment.status, 200);
    let id = cluster.ask("SELECT convert_from(id, 'UTF8') FROM pinport.members ORDER BY id LIMIT 1");
    let found = server.get(&format!("/v1/apps/{app}/endpoints/{}", id.replace('/', "%2F"))).json();
    assert_eq!(found["Id"], Value::from(id));
    server.stop();
    lab.import_with(
        "folder",
        lab.path("in/a.json").to_str().unwrap(),
        "json",
        &["--app", "shop", "--segment", "all"],
    )
    .expect(3);
    let members = |run: Run| {
        let lines = run.args(["segment", "members", "all", "--app", "shop"]).expect(0).out;
        let dateless = |line: &str| {
            let mut member: Value = serde_json::from_str(line).unwrap();
            for own in ["ApplicationId", "CreationDate", "EffectiveDate"] {
                member[own].take();
            }
            member.to_string()
        };
        String::from_utf8(lines).unwrap().lines().map(dateless).collect::<Vec<_>>()
    };
    let stored = members(lab.pinport_with("data", &[]).env("PINPORT_STORE_URL", &url));
    let expected = members(lab.pinport_with("folder", &[]));
    assert_eq!(stored.len(), expected.len());
    assert!(stored == expected, "the members are others");
}

#[test]
fn commands_work_on_a_database() {
    let lab = Lab::new();
    let (cluster, url) = database(&lab);
    lab.write_sample("a.json", SAMPLE);
    let import = |code| {
        lab.import("a.json", "json", &["--app", "shop", "--segment", "all", "--store-url", &url])
            .expect(code)
            .json()
    };
    let tally = lab.sample_tally(SAMPLE);
    for _ in 0..2 {
        let told = import(3);
        let counts = (&told["TotalProcessed"], &told["TotalFailures"]);
        assert_eq!(counts, (&tally["read"], &tally["failed"]), "{told}");
    }
    let of_database = ["--app", "shop", "--store-url", &url];
    let members = lab.pinport(&["segment", "members", "all"]).args(of_database).expect(0).out;
    let lines = members.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines.to_string(), tally["endpoints"].to_string());
    let first: Value = serde_json::from_slice(members.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    let id = first["Id"].as_str().unwrap();
    let got = lab.pinport(&["endpoint", "get", id]).args(of_database).expect(0).json();
    assert_eq!(got, first);
    let exported = lab.pinport(&["export", "out", "--format", "json"]).args(of_database).expect(0);
    assert!(exported.err.contains(&lines.to_string()), "{}", exported.err);
    let listed = String::from_utf8(lab.pinport(&["jobs", "ls", "--store-url", &url]).expect(0).out).unwrap();
    assert_eq!(listed.matches("COMPLETED").count(), 2, "{listed}");
    lab.pinport(&["settle", "--store-url", &url]).expect(0);
    assert_eq!(cluster.ask("SELECT count(*) FROM pinport.ops"), lines.to_string(), "one operand of each");
    assert_eq!(lab.pinport(&["segment", "members", "all"]).args(of_database).expect(0).out, members);
    let backup = lab.pinport(&["backup", "--to", "there", "--store-url", &url]).expect(2);
    assert!(backup.err.contains("pg_dump"), "{}", backup.err);
}

#[test]
fn a_database_that_is_away_is_said_in_a_sentence() {
    let lab = Lab::new();
    let url = "postgres://someone:secret@127.0.0.1:1/none?connect_timeout=2";
    for arguments in [&["store", "check"][..], &["jobs", "ls"], &["settle"]] {
        let told = lab.pinport(arguments).env("PINPORT_STORE_URL", url).expect(1).err;
        assert!(told.contains("postgres://someone@127.0.0.1:1/none is not available"), "{told}");
        assert!(!told.contains("secret"), "{told}");
    }
    lab.write("pinport.toml", format!("[store]\nurl = \"{url}\"\n"));
    let checked = lab.pinport(&["config", "check"]).expect(1);
    let said = String::from_utf8(checked.out).unwrap();
    assert!(said.contains("store postgres://someone@127.0.0.1:1/none"), "{said}");
    assert!(said.contains("WRONG  store") && !said.contains("secret"), "{said}");
    let told = lab.pinport(&["store", "check", "--store-url", "mysql://x"]).expect(2).err;
    assert!(told.contains("does not begin with postgres://"), "{told}");
}

/// Two servers on one database, each with a data folder of its own, and an import that the first of them works on slowly.
struct Pair {
    lab: Lab,
    cluster: Cluster,
    first: Serving,
    second: Serving,
    app: String,
    job: String,
    _objects: FaultStore,
}

impl Pair {
    /// `more`: lines of the second server's section of jobs.
    fn start(more: &str) -> Self {
        let lab = Lab::new();
        let (cluster, url) = database(&lab);
        let objects = BTreeMap::from([("a.json".to_owned(), lab.sample(SAMPLE))]);
        let objects = FaultStore::start(objects);
        let sources = format!(
            "[sources]\nendpoint = \"{}\"\naccess_key_id = \"AKTEST\"\nsecret_access_key = \"canary\"\n",
            objects.url()
        );
        let first = format!("[jobs]\npiece_kib = 64\nrows_per_second = 10000\n{sources}");
        let first = start(&lab, "first", &url, &first);
        let app = first.app("shop");
        let body = json!({
            "Format": "JSON", "RoleArn": "role", "DefineSegment": true, "SegmentName": "all", "S3Url": "s3://bucket/",
        });
        let created = first.post(&format!("/v1/apps/{app}/jobs/import"), &body);
        let job = created["Id"].as_str().unwrap().to_owned();
        until(&cluster, "SELECT count(*) FROM pinport.pieces", |count| count.parse::<u64>().unwrap() > 3);
        let second = start(&lab, "second", &url, &format!("[jobs]\npiece_kib = 64\n{more}{sources}"));
        Self { lab, cluster, first, second, app, job, _objects: objects }
    }

    fn job_of(&self, server: &Serving) -> Value {
        server.get(&format!("/v1/apps/{}/jobs/import/{}", self.app, self.job)).json()
    }

    /// What the job came to, told by one of the servers, is what a single run comes to.
    fn check(&self, server: &Serving) {
        let ended = server.ended(&self.app, &self.job);
        check_counts(&self.lab, &self.cluster, &ended);
        self.lab.write_sample("in/a.json", SAMPLE);
        let run = ["--app", "shop", "--segment", "all"];
        self.lab.import_with("folder", self.lab.path("in/a.json").to_str().unwrap(), "json", &run).expect(3);
        let failures = |job: &Value| {
            let failures = job["Failures"].as_array().unwrap().clone();
            failures
                .iter()
                .map(|failure| failure.as_str().unwrap().split_once(" line ").unwrap().1.to_owned())
                .collect::<Vec<_>>()
        };
        let alone = Serving::start_in(&self.lab, "folder", "");
        let apps = alone.get("/v1/apps").json();
        let app = apps["Item"][0]["Id"].as_str().unwrap();
        let jobs = alone.get(&format!("/v1/apps/{app}/jobs/import")).json();
        let id = jobs["Item"][0]["Id"].as_str().unwrap();
        let one = alone.get(&format!("/v1/apps/{app}/jobs/import/{id}")).json();
        assert_eq!(failures(&ended), failures(&one));
        let rejects =
            |server: &Serving, job: &str| server.get(&format!("/pinport/v1/jobs/{job}/rejects")).body;
        assert!(rejects(server, &self.job) == rejects(&alone, id), "the rejects are others");
        let segment = ended["Definition"]["SegmentId"].as_str().unwrap();
        let size = |server: &Serving, app: &str, segment: &str| {
            server.get(&format!("/v1/apps/{app}/segments/{segment}")).json()["ImportDefinition"]["Size"]
                .clone()
        };
        let other = one["Definition"]["SegmentId"].as_str().unwrap();
        assert_eq!(size(server, &self.app, segment), size(&alone, app, other));
    }
}

#[test]
fn another_server_takes_over_what_a_killed_one_left() {
    let pair = Pair::start("");
    // Any server answers for any job.
    let seen = pair.job_of(&pair.second);
    assert_eq!(seen["JobStatus"], "PROCESSING", "{seen}");
    assert!(seen["TotalProcessed"].as_u64() > Some(0), "{seen}");
    pair.first.signal(libc::SIGKILL);
    pair.check(&pair.second);
}

#[test]
fn a_frozen_server_that_comes_back_commits_nothing() {
    let pair = Pair::start("");
    pair.first.signal(libc::SIGSTOP);
    let ended = pair.second.ended(&pair.app, &pair.job);
    let pieces = pair.cluster.ask("SELECT count(*) FROM pinport.pieces");
    pair.first.signal(libc::SIGCONT);
    pair.first.until_said("another server works on it");
    assert_eq!(pair.cluster.ask("SELECT count(*) FROM pinport.pieces"), pieces);
    let tokens = pair.cluster.ask("SELECT count(DISTINCT token) FROM pinport.pieces");
    assert!(tokens.parse::<u64>().unwrap() > 1, "both committed some");
    assert_eq!(pair.job_of(&pair.first)["TotalProcessed"], ended["TotalProcessed"]);
    pair.check(&pair.first);
}

#[test]
fn a_job_is_cancelled_and_paused_through_any_server() {
    let pair = Pair::start("rows_per_second = 2000\n");
    let control =
        |what: &str| pair.second.ask("POST", &format!("/pinport/v1/jobs/{}/{what}", pair.job), None);
    let (status, said) = control("pause");
    assert!(status < 300, "{status} {said}");
    until(&pair.cluster, "SELECT lease IS NULL FROM pinport.parts", |answer| answer == "t");
    let (status, said) = control("resume");
    assert!(status < 300, "{status} {said}");
    until(&pair.cluster, "SELECT lease IS NULL FROM pinport.parts", |answer| answer == "f");
    let (status, said) = control("cancel");
    assert!(status < 300, "{status} {said}");
    assert_eq!(pair.first.ended(&pair.app, &pair.job)["JobStatus"], "CANCELLED");
    assert_eq!(pair.second.ended(&pair.app, &pair.job)["JobStatus"], "CANCELLED");
}
