//! The server: what it has answered holds after an abort at any boundary, and what it has not is whole or absent.

use std::{fs, time::Instant};

use serde_json::Value;

use crate::{Passed, abort_at, list, list::In, passed, serving::Serving, support::*, times};

const SAMPLE: &str = "--rows 1500 --bad 2% --format csv";
/// Pieces take this long, so that a job still runs when it is paused or cancelled.
const SLOW: &str = "piece.begun=sleep(15)";

/// A server that may be gone at any time.
struct Server(Serving);

impl Server {
    /// None if it ends before it listens.
    fn start(lab: &Lab, data: &str, failing: &str, trail: Option<&str>) -> Option<Self> {
        let mut serve = lab.pinport_with(data, &["serve"]);
        serve.command.env("FAILPOINTS", failing).env("PINPORT_PIECE", "16");
        if let Some(trail) = trail {
            serve.command.env("PINPORT_BOUNDARIES", lab.path(trail));
        }
        Serving::spawn(serve).ok().map(Self)
    }

    /// The status and the body of the answer, if one came.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Option<(u16, Value)> {
        let reply = self.0.send(method, path, "", body).ok()?;
        Some((reply.status, serde_json::from_slice(&reply.body).unwrap_or_default()))
    }

    fn upload(&self, rows: &[u8], segment: &str) -> Option<String> {
        let path = format!("/pinport/v1/apps/shop/uploads?format=csv&segment={segment}&name=rows.csv");
        let (status, job) = self.ask("POST", &path, rows)?;
        assert_eq!(status, 201, "{job}");
        Some(job["id"].as_str().unwrap().to_owned())
    }

    /// Asks for a change of a job. Whether it was answered, and that it was done.
    fn change(&self, job: &str, what: &str) -> Option<bool> {
        let (status, answer) = self.ask("POST", &format!("/pinport/v1/jobs/{job}/{what}"), b"")?;
        assert!(status == 200 || status == 409, "{what}: {status} {answer}");
        Some(status == 200)
    }

    fn job(&self, id: &str) -> Option<Value> {
        Some(self.ask("GET", &format!("/pinport/v1/jobs/{id}"), b"")?.1["job"].clone())
    }

    fn jobs(&self) -> Option<Vec<Value>> {
        let list = self.ask("GET", "/pinport/v1/jobs", b"")?.1;
        Some(list["jobs"].as_array().unwrap_or_else(|| panic!("{list}")).clone())
    }

    /// Waits until `done` of a job.
    fn until(&self, id: &str, done: impl Fn(&Value) -> bool) -> Option<Value> {
        let begun = Instant::now();
        loop {
            let job = self.job(id)?;
            if done(&job) {
                return Some(job);
            }
            assert!(begun.elapsed() < PATIENCE, "{job}");
            std::thread::yield_now();
        }
    }
}

fn status(job: &Value) -> &str {
    job["progress"]["status"].as_str().unwrap_or_else(|| panic!("{job}"))
}

fn has_ended(job: &Value) -> bool {
    ["COMPLETED", "FAILED", "CANCELLED"].contains(&status(job))
}

/// What was asked of a server and answered.
#[derive(Debug, Default)]
struct Answered {
    first: Option<String>,
    second: Option<String>,
    paused: bool,
    resumed: bool,
    cancelled: bool,
}

/// Uploads a file, pauses and resumes its job, uploads another, cancels its job: as far as the server lives.
fn session(server: &Server, rows: &[u8], answered: &mut Answered) -> Option<()> {
    let first = server.upload(rows, "one")?;
    answered.first = Some(first.clone());
    answered.paused = server.change(&first, "pause")?;
    server.job(&first)?;
    answered.resumed = server.change(&first, "resume")?;
    let second = server.upload(rows, "two")?;
    answered.second = Some(second.clone());
    server.until(&second, |job| job["progress"]["pieces_done"].as_u64() > Some(0) || has_ended(job))?;
    answered.cancelled = server.change(&second, "cancel")?;
    server.until(&first, has_ended)?;
    server.until(&second, has_ended)?;
    Some(())
}

/// Starts a server after an abort and looks whether all it had answered holds.
fn look(lab: &Lab, data: &str, answered: &Answered, expected: &Value, what: &str) {
    let server = Server::start(lab, data, "", None).unwrap_or_else(|| panic!("{what}: it does not start"));
    for id in [&answered.first, &answered.second].into_iter().flatten() {
        assert_eq!(server.job(id).unwrap()["id"], **id, "{what}: a job that was answered is there");
    }
    if let Some(first) = &answered.first {
        let job = server.job(first).unwrap();
        if answered.paused && !answered.resumed && answered.second.is_none() && job["paused"] == true {
            assert_eq!(server.change(first, "resume"), Some(true), "{what}");
        }
    }
    for job in server.jobs().unwrap() {
        let id = job["id"].as_str().unwrap();
        let is_second = job["segment_name"] == "two";
        if job["paused"] == true {
            assert!(!is_second && !answered.resumed, "{what}: {job}");
            server.change(id, "resume").unwrap();
        }
        let job = server.until(id, has_ended).unwrap();
        let progress = &job["progress"];
        if is_second && (answered.cancelled || status(&job) == "CANCELLED") {
            assert_eq!(status(&job), "CANCELLED", "{what}: {job}");
            continue;
        }
        assert_eq!(status(&job), "COMPLETED", "{what}: {job}");
        assert_eq!(progress["registered"], expected["registered"], "{what}: {job}");
        assert_eq!(progress["failed"], expected["failed"], "{what}: {job}");
    }
    let known: Vec<String> =
        server.jobs().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect();
    server.0.stop();
    for folder in job_folders(&lab.path(data)) {
        let id = folder.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(known.contains(&id), "{what}: a folder is left of no job: {}", folder.display());
        assert!(!folder.join("upload").exists(), "{what}: an uploaded file is left");
    }
}

#[test]
fn a_server_survives_an_abort_at_every_boundary() {
    let lab = Lab::new();
    let rows = lab.sample(SAMPLE);
    let expected = lab.sample_tally(SAMPLE);
    let server = Server::start(&lab, "whole", SLOW, Some("trail")).unwrap();
    let mut answered = Answered::default();
    session(&server, &rows, &mut answered).unwrap();
    assert!(answered.paused && answered.resumed && answered.cancelled, "{answered:?}");
    // The store settles when no job runs.
    let trail = lab.path("trail");
    let begun = Instant::now();
    while !passed(&trail).contains_key("settle.joined") {
        assert!(begun.elapsed() < PATIENCE, "it does not settle");
        std::thread::yield_now();
    }
    server.0.stop();
    let passed_by_first: Passed = passed(&trail);
    let mut random = Random::seeded("aborts of a server");
    let mut aborts = 0;
    let ends = ["ingest.durable", "piece.committed", "job.ending", "job.ended"];
    for name in list::of(In::Server).chain(ends) {
        let count = *passed_by_first.get(name).unwrap_or_else(|| panic!("{name} is not passed"));
        for n in times(count, &mut random) {
            let what = format!("{name}, time {n}");
            let data = format!("data-{aborts}");
            let failing = format!("{SLOW};{}", abort_at(name, n));
            let mut answered = Answered::default();
            let trail = format!("trail-{aborts}");
            let mut server = Server::start(&lab, &data, &failing, Some(&trail)).unwrap();
            if session(&server, &rows, &mut answered).is_some() {
                // What comes after the last answer: the store settles, and the process ends there. The first server may
                // have settled between two jobs, and this one not: after another job it settles once more.
                let begun = Instant::now();
                let mut settled = 0;
                while server.0.child.try_wait().unwrap().is_none() {
                    assert!(begun.elapsed() < PATIENCE, "{what}: it does not abort");
                    let now = passed(&lab.path(&trail)).get("settle.joined").copied().unwrap_or(0);
                    if now > settled {
                        settled = now;
                        let _ = server.upload(&rows, "one");
                    }
                    std::thread::yield_now();
                }
            }
            drop(server);
            eprintln!("{what}: {answered:?}");
            look(&lab, &data, &answered, &expected, &what);
            fs::remove_dir_all(lab.path(&data)).unwrap();
            aborts += 1;
        }
    }
    eprintln!("{aborts} aborts");
}

/// The endpoints of an application that is made on its first use.
const ENDPOINTS: &str = "/v1/apps/0123456789abcdef0123456789abcdef/endpoints";

/// The ids of a batch that are there.
fn ids_there(server: &Server, ids: &[String]) -> usize {
    let found = |id: &&String| {
        let (status, answer) = server.ask("GET", &format!("{ENDPOINTS}/{id}"), b"").unwrap();
        assert!(status == 200 || status == 404, "{status} {answer}");
        status == 200
    };
    ids.iter().filter(found).count()
}

#[test]
fn a_batch_of_endpoints_is_there_whole_or_not_at_all() {
    let lab = Lab::new();
    let ids: Vec<String> = (0..100).map(|number| format!("e{number}")).collect();
    let item = |id: &String| {
        format!(r#"{{"Id":"{id}","Address":"x","ChannelType":"EMAIL","User":{{"UserId":"u"}}}}"#)
    };
    let batch = format!(r#"{{"Item":[{}]}}"#, ids.iter().map(item).collect::<Vec<_>>().join(","));
    let path = ENDPOINTS;
    // Makes the application, so that the batch is the only write of its request.
    let first =
        |server: &Server| server.ask("PUT", &format!("{path}/first"), item(&ids[0]).as_bytes()).unwrap();

    let server = Server::start(&lab, "whole", "", Some("batch.trail")).unwrap();
    assert_eq!(first(&server).0, 202);
    let trail = lab.path("batch.trail");
    let writes = |name: &str| passed(&trail).get(name).copied().unwrap_or_default();
    let before = writes("write.durable");
    assert_eq!(server.ask("PUT", path, batch.as_bytes()).unwrap().0, 202);
    assert_eq!(writes("write.durable"), before + 1, "a batch is one write");
    assert_eq!(ids_there(&server, &ids), 100);
    server.0.stop();

    for (name, there) in [("write.begun", 0), ("write.durable", 100)] {
        let data = format!("torn-{name}");
        let server = Server::start(&lab, &data, &abort_at(name, before), None).unwrap();
        assert_eq!(first(&server).0, 202);
        assert_eq!(server.ask("PUT", path, batch.as_bytes()), None, "{name}: it did not abort");
        drop(server);
        let server = Server::start(&lab, &data, "", None).unwrap();
        assert_eq!(ids_there(&server, &ids), there, "{name}");
        server.0.stop();
    }
}
