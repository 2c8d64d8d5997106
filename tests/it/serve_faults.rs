//! A store that fails while a server looks at it, lists it and reads it: what can never work is a 400 that says why,
//! what may pass is waited for, and what is lost is lost loudly. No wrong byte, no secret, no other host.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{fault_store::*, http::Reply, serving::Serving, support::*};

const SECRET: &str = "canary-of-a-secret";
/// Rows of an object, and how many of both fail.
const ROWS: u64 = 3000;

/// A server that reads a store with two objects, `a.json` and `b.json`.
struct House {
    lab: Lab,
    store: FaultStore,
    server: Serving,
    app: String,
}

impl House {
    fn new() -> Self {
        let lab = Lab::new();
        let sample = |start| lab.sample(&format!("--rows {ROWS} --start {start}"));
        let objects = BTreeMap::from([("a.json".to_owned(), sample(0)), ("b.json".to_owned(), sample(ROWS))]);
        let store = FaultStore::start(objects);
        let config = format!(
            "[jobs]\nlook_seconds = 1\npiece_kib = 200\n[sources]\nendpoint = \"{}\"\naccess_key_id = \"AKTEST\"\n\
             secret_access_key = \"{SECRET}\"\n",
            store.url()
        );
        let server = Serving::start_in(&lab, "data", &config);
        let app = server.app("default");
        Self { lab, store, server, app }
    }

    fn create(&self) -> Reply {
        let body =
            json!({ "Format": "JSON", "RoleArn": "role", "S3Url": "s3://bucket/", "DefineSegment": true });
        let path = format!("/v1/apps/{}/jobs/import", self.app);
        self.server.send("POST", &path, "", body.to_string().as_bytes()).unwrap()
    }

    /// The message of a creation that must be refused.
    #[track_caller]
    fn refused(&self, what: &str) -> String {
        let reply = self.create();
        let json = reply.json();
        assert_eq!(reply.status, 400, "{what}: {json}");
        assert!(reply.head.contains("x-amzn-errortype: badrequestexception"), "{what}: {}", reply.head);
        json["Message"].as_str().unwrap().to_owned()
    }

    /// A job that must be created.
    #[track_caller]
    fn created(&self, what: &str) -> String {
        let reply = self.create();
        assert_eq!(reply.status, 201, "{what}: {}", reply.json());
        reply.json()["Id"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn ended(&self, job: &str) -> Value {
        self.server.ended(&self.app, job)
    }

    /// What an operator reads of why a job failed.
    fn error(&self, job: &str) -> String {
        let detail = self.server.get(&format!("/pinport/v1/jobs/{job}")).json();
        detail["job"]["error"].as_str().unwrap_or_default().to_owned()
    }

    fn jobs(&self) -> usize {
        let list = self.server.get(&format!("/v1/apps/{}/jobs/import", self.app)).json();
        list["Item"].as_array().unwrap().len()
    }

    #[track_caller]
    fn completed(&self, job: &str, what: &str) {
        let ended = self.ended(job);
        let found = (&ended["JobStatus"], &ended["TotalProcessed"], &ended["TotalFailures"]);
        assert_eq!(found, (&json!("COMPLETED"), &json!(2 * ROWS), &json!(0)), "{what}: {}", self.error(job));
        assert_eq!((&ended["FailedPieces"], &ended["Failures"]), (&json!(0), &json!([])), "{what}");
    }
}

/// Nothing of the secret in all that was said and kept.
fn no_secret(house: &House) {
    assert!(!house.server.log().contains(SECRET), "the log holds a secret");
    for job in job_folders(&house.lab.path("data")) {
        for file in std::fs::read_dir(job).unwrap() {
            let path = file.unwrap().path();
            if path.is_file() {
                let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                assert!(!text.contains(SECRET), "{} holds a secret", path.display());
            }
        }
    }
}

#[test]
fn what_can_never_work_is_refused_at_once() {
    let house = House::new();
    // Whoever is redirected to must not hear of it.
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let target = format!("http://{}/bucket", elsewhere.local_addr().unwrap());
    let at = target.clone();
    type Table = Vec<(&'static str, Box<dyn Fn() -> Answer + Send + Sync>, Vec<String>)>;
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let table: Table = vec![
        (
            "no such bucket",
            Box::new(|| Answer::Error(404, None, "NoSuchBucket")),
            words(&["no bucket", "s3://bucket"]),
        ),
        (
            "access denied",
            Box::new(|| Answer::Error(403, None, "AccessDenied")),
            words(&["denied", "s3://bucket", "AccessDenied"]),
        ),
        (
            "expired credentials",
            Box::new(|| Answer::Error(400, None, "ExpiredToken")),
            words(&["denied", "ExpiredToken"]),
        ),
        (
            "unknown key",
            Box::new(|| Answer::Error(403, None, "InvalidAccessKeyId")),
            words(&["denied", "InvalidAccessKeyId"]),
        ),
        (
            "wrong secret",
            Box::new(|| Answer::Error(403, None, "SignatureDoesNotMatch")),
            words(&["denied", "SignatureDoesNotMatch"]),
        ),
        (
            "another region",
            Box::new(|| {
                Answer::Error(301, Some(("x-amz-bucket-region", "eu-west-1".into())), "PermanentRedirect")
            }),
            words(&["redirected", "eu-west-1"]),
        ),
        (
            "another host",
            Box::new(move || Answer::Error(307, Some(("Location", at.clone())), "TemporaryRedirect")),
            words(&["redirected", &target]),
        ),
        (
            "nothing there",
            Box::new(|| Answer::Body(listing([].into_iter()))),
            words(&["no object to read matches s3://bucket/"]),
        ),
        (
            "only markers",
            Box::new(|| Answer::Body(listing([("_SUCCESS", 0)].into_iter()))),
            words(&["no object to read", "_SUCCESS"]),
        ),
    ];
    for (what, answer, words) in table {
        house.store.script(move |ask| if ask.is_list() { answer() } else { Answer::Right });
        let message = house.refused(what);
        let lower = message.to_lowercase();
        assert!(words.iter().all(|word| lower.contains(&word.to_lowercase())), "{what}: {message}");
        assert!(!message.contains(SECRET), "{message}");
    }
    // The listing is right, the first object is not to be had.
    for (what, code, status, word) in
        [("object denied", "AccessDenied", 403, "denied"), ("object gone", "NoSuchKey", 404, "gone")]
    {
        house
            .store
            .script(move |ask| if ask.is_list() { Answer::Right } else { Answer::Error(status, None, code) });
        let message = house.refused(what);
        assert!(message.contains("a.json") && message.contains(word), "{what}: {message}");
    }
    assert_eq!(house.jobs(), 0, "what was refused left a job");
    assert!(elsewhere.accept().is_err(), "a redirect was followed");
    no_secret(&house);
}

#[test]
fn a_store_that_is_late_gets_a_job_that_waits_for_it() {
    let house = House::new();
    // The look hears nothing for its whole second; the job that follows it is answered.
    house.store.script(|ask| if ask.is_list() && ask.before == 0 { Answer::Silence } else { Answer::Right });
    let begun = Instant::now();
    let job = house.created("silence");
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(20), "{waited:?}");
    house.completed(&job, "silence");
    // The listing is there, the first object is not.
    house.store.script(|ask| if !ask.is_list() && ask.before == 0 { Answer::Silence } else { Answer::Right });
    house.completed(&house.created("silence at the object"), "silence at the object");
    // No connection lives until after the 201; the job tries again on its own.
    house.store.script(|_| Answer::Close);
    let job = house.created("closed");
    let path = format!("/v1/apps/{}/jobs/import/{job}", house.app);
    let status = house.server.get(&path).json()["JobStatus"].as_str().unwrap().to_owned();
    assert!(!["COMPLETED", "FAILED"].contains(&&*status), "{status}");
    house.store.script(|_| Answer::Right);
    house.completed(&job, "closed");
    // One that never comes back does not keep its job from being cancelled.
    house.store.script(|_| Answer::Body("<html>a captive portal</html>".into()));
    let job = house.created("no listing");
    let cancel = house.server.send("POST", &format!("/pinport/v1/jobs/{job}/cancel"), "", b"").unwrap();
    assert_eq!(cancel.status, 200);
    assert_eq!(house.ended(&job)["JobStatus"], "CANCELLED");
    no_secret(&house);
}

#[test]
fn passing_faults_leave_no_trace_in_a_job() {
    let house = House::new();
    type Fault = fn() -> Answer;
    let faults: [(&str, Fault); 6] = [
        ("503", || Answer::Error(503, None, "SlowDown")),
        ("503 with Retry-After", || Answer::Error(503, Some(("Retry-After", "0".into())), "SlowDown")),
        ("429", || Answer::Error(429, None, "TooManyRequests")),
        ("500", || Answer::Error(500, None, "InternalError")),
        ("closed", || Answer::Close),
        ("cut off", || Answer::Cut),
    ];
    for (what, fault) in faults {
        // The first listing of the look, and every third read from then on.
        house.store.script(move |ask| match (ask.is_list(), ask.before) {
            (true, 0) => fault(),
            (false, before) if before % 3 == 1 => fault(),
            _ => Answer::Right,
        });
        let job = house.created(what);
        house.completed(&job, what);
        assert!(house.store.requests() > 6, "{what}");
    }
}

/// Half of a listing is never taken for the whole.
#[test]
fn a_listing_whose_second_page_fails_is_whole_or_nothing() {
    let house = House::new();
    type Fault = fn() -> Answer;
    let passing: [(&str, Fault); 5] = [
        ("503", || Answer::Error(503, Some(("Retry-After", "0".into())), "SlowDown")),
        ("500", || Answer::Error(500, None, "InternalError")),
        ("closed", || Answer::Close),
        ("cut off", || Answer::Cut),
        ("no listing", || Answer::Body("<ListBucketResult><IsTruncated>".into())),
    ];
    for (what, fault) in passing {
        let failed = AtomicUsize::new(0);
        house.store.script(move |ask| {
            if ask.is_next_page() && failed.fetch_add(1, Ordering::SeqCst) < 2 {
                fault()
            } else {
                Answer::Paged
            }
        });
        house.completed(&house.created(what), what);
    }
    let jobs = house.jobs();
    let lasting: [(&str, Fault, &str); 3] = [
        ("denied", || Answer::Error(403, None, "AccessDenied"), "AccessDenied"),
        ("expired", || Answer::Error(400, None, "ExpiredToken"), "ExpiredToken"),
        ("bucket gone", || Answer::Error(404, None, "NoSuchBucket"), "no bucket"),
    ];
    for (what, fault, word) in lasting {
        house.store.script(move |ask| if ask.is_next_page() { fault() } else { Answer::Paged });
        let message = house.refused(what);
        assert!(message.contains(word), "{what}: {message}");
    }
    assert_eq!(house.jobs(), jobs, "what was refused left a job");
    // The look lists both pages, the job only the first.
    let lists = AtomicUsize::new(0);
    house.store.script(move |ask| match ask.is_next_page() && lists.fetch_add(1, Ordering::SeqCst) > 0 {
        true => Answer::Error(403, None, "AccessDenied"),
        false => Answer::Paged,
    });
    let job = house.created("denied later");
    let ended = house.ended(&job);
    assert_eq!((&ended["JobStatus"], &ended["TotalProcessed"]), (&json!("FAILED"), &json!(0)), "{ended}");
    assert!(house.error(&job).contains("AccessDenied"), "{}", house.error(&job));
    no_secret(&house);
}

#[test]
fn what_is_lost_while_a_job_runs_is_lost_loudly() {
    let house = House::new();
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let target = format!("http://{}/bucket", elsewhere.local_addr().unwrap());
    type Table = Vec<(&'static str, Box<dyn Fn() -> Answer + Send>, Vec<&'static str>)>;
    let table: Table = vec![
        (
            "expired credentials",
            Box::new(|| Answer::Error(400, None, "ExpiredToken")),
            vec!["b.json", "ExpiredToken"],
        ),
        (
            "denied",
            Box::new(|| Answer::Error(403, None, "AccessDenied")),
            vec!["s3://bucket/b.json", "denied"],
        ),
        (
            "gone",
            Box::new(|| Answer::Error(404, None, "NoSuchKey")),
            vec!["s3://bucket/b.json", "gone at byte 0"],
        ),
        (
            "another object",
            Box::new(|| Answer::Changed),
            vec!["s3://bucket/b.json", "changed while it was read"],
        ),
        (
            "precondition",
            Box::new(|| Answer::Error(412, None, "PreconditionFailed")),
            vec!["s3://bucket/b.json", "changed"],
        ),
        (
            "an error for data",
            Box::new(|| Answer::Body("<Error><Code>NoSuchKey</Code></Error>".into())),
            vec!["s3://bucket/b.json"],
        ),
        (
            "redirected",
            Box::new(move || Answer::Error(307, Some(("Location", target.clone())), "TemporaryRedirect")),
            vec!["redirected"],
        ),
    ];
    for (what, answer, words) in table {
        house.store.script(move |ask| if ask.is_of("b.json") { answer() } else { Answer::Right });
        let job = house.created(what);
        let ended = house.ended(&job);
        assert_eq!(ended["JobStatus"], "FAILED", "{what}: {ended}");
        let read = ended["TotalProcessed"].as_u64().unwrap();
        assert!(read <= ROWS && ended["TotalFailures"] == 0, "{what}: {ended}");
        assert!(ended["CompletionDate"].is_string());
        let error = house.error(&job);
        assert!(words.iter().all(|word| error.contains(word)), "{what}: {error}");
        assert!(!error.contains(SECRET));
        // A client without pinport's own API learns it too.
        let said = ended["Failures"][0].as_str().unwrap_or_default();
        assert!(words.iter().all(|word| said.contains(word)), "{what}: {}", ended["Failures"]);
    }
    assert!(elsewhere.accept().is_err(), "a redirect was followed");
    no_secret(&house);
}

#[test]
fn a_listing_that_never_ends_is_refused() {
    let house = House::new();
    let page = |objects: &str| {
        format!(
            "<ListBucketResult><IsTruncated>true</IsTruncated>{objects}\
             <NextContinuationToken>again</NextContinuationToken></ListBucketResult>"
        )
    };
    house.store.script(move |ask| match () {
        () if !ask.is_list() => Answer::Right,
        () if ask.is_next_page() => Answer::Body(page("")),
        () => Answer::Body(page("<Contents><Key>a.json</Key><Size>10</Size></Contents>")),
    });
    // The look may see it, or else the job.
    let reply = house.create();
    let said = match reply.status {
        201 => {
            let job = reply.json()["Id"].as_str().unwrap().to_owned();
            assert_eq!(house.ended(&job)["JobStatus"], "FAILED");
            house.error(&job)
        }
        _ => reply.json()["Message"].as_str().unwrap().to_owned(),
    };
    assert!(said.contains("leads back"), "{said}");
}
