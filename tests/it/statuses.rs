//! The statuses that jobs are shown with: each step, as the log tells it, is one that may be taken.

use std::collections::BTreeMap;

use pinport_model::JobStatus;
use serde_json::{Value, json};

use crate::{serving::Serving, support::*};

const CONFIGURATION: &str = "[jobs]\nmax_running = 1\npiece_kib = 128\n[engine]\nthreads = 1\n\
     [log]\nformat = \"json\"\nfilter = \"pinport::job=debug\"\n";

/// What each job was shown with, in order.
type Ways = BTreeMap<String, Vec<JobStatus>>;

fn read(log: &str, ways: &mut Ways) {
    for line in log.lines().filter(|line| line.starts_with('{')) {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["message"] != "status" {
            continue;
        }
        let status: JobStatus = serde_json::from_value(line["status"].clone()).unwrap();
        // A job is CREATED when its request is answered, which is no step.
        let way =
            ways.entry(line["job"].as_str().unwrap().into()).or_insert_with(|| vec![JobStatus::Created]);
        if way.last() != Some(&status) {
            way.push(status);
        }
    }
}

#[test]
fn every_step_of_every_job_is_one_that_may_be_taken() {
    use JobStatus::{
        Cancelled, Cancelling, Completed, Completing, Created, Failed, Failing, Initializing, PendingJob,
        PreparingForInitialization as Preparing, Processing,
    };
    let lab = Lab::new();
    lab.write_sample("in/large.json", "--rows 40000");
    lab.write_sample("in/small.json", "--rows 10");
    lab.write_sample("in/gone.json", "--rows 10");
    let server = Serving::start_with(&lab, CONFIGURATION, &[]);
    let app = server.app("shop");
    let create = |file: &str| {
        let url = format!("file://{}", lab.path(file).display());
        let body = json!({ "Format": "JSON", "S3Url": url, "RoleArn": "role" });
        let made = server.post(&format!("/v1/apps/{app}/jobs/import"), &body);
        made["Id"].as_str().unwrap().to_owned()
    };
    let ask = |job: &str, what: &str| {
        let reply = server.send("POST", &format!("/pinport/v1/jobs/{job}/{what}"), "", b"").unwrap();
        assert_eq!(reply.status, 200, "{what}: {}", String::from_utf8_lossy(&reply.body));
    };
    let works = |job: &str| {
        let job = server.get(&format!("/pinport/v1/jobs/{job}")).json();
        job["job"]["progress"]["pieces_done"].as_u64().unwrap() > 0
    };
    // One at a time: the others wait, one of them is cancelled there, and the object of one is taken away.
    let paused = create("in/large.json");
    let waiting = create("in/small.json");
    let gone = create("in/gone.json");
    let ended = create("in/small.json");
    while !works(&paused) {}
    ask(&waiting, "cancel");
    std::fs::remove_file(lab.path("in/gone.json")).unwrap();
    ask(&paused, "pause");
    assert_eq!(server.ended(&app, &ended)["JobStatus"], "COMPLETED");
    let cancelled = create("in/large.json");
    ask(&paused, "resume");
    while !works(&cancelled) {}
    ask(&cancelled, "cancel");
    assert_eq!(server.ended(&app, &gone)["JobStatus"], "FAILED");
    assert_eq!(server.ended(&app, &paused)["JobStatus"], "COMPLETED");
    // One that goes on after a restart.
    let interrupted = create("in/large.json");
    while !works(&interrupted) {}
    let mut ways = Ways::new();
    read(&server.stop(), &mut ways);
    let server = Serving::start_with(&lab, CONFIGURATION, &[]);
    assert_eq!(server.ended(&app, &interrupted)["JobStatus"], "COMPLETED");
    read(&server.stop(), &mut ways);

    assert_eq!(ways.len(), 6, "{ways:?}");
    let mut seen = vec![Created];
    for (job, way) in &ways {
        let legal = way.windows(2).all(|step| step[0].may_become(step[1]));
        assert!(legal && way.last().unwrap().is_terminal(), "{job}: {way:?}");
        seen.extend(way);
    }
    assert!(JobStatus::ALL.iter().all(|status| seen.contains(status)), "not all were shown: {ways:?}");
    let to_the_end = [Preparing, Initializing, Processing, Completing, Completed];
    assert_eq!(ways[&ended][2..], to_the_end);
    assert_eq!(ways[&waiting], [Created, PendingJob, Cancelling, Cancelled]);
    assert_eq!(ways[&gone], [Created, PendingJob, Preparing, Failing, Failed]);
    let begun = [Preparing, Initializing, Processing];
    assert!(ways[&cancelled].ends_with(&[&begun[..], &[Cancelling, Cancelled]].concat()), "{ways:?}");
    for job in [&paused, &interrupted] {
        let way = [&begun[..], &[PendingJob], &to_the_end].concat();
        assert!(ways[job].ends_with(&way), "{:?}", ways[job]);
    }
}
