//! Imports that are stopped and go on: by a signal, beside a changed object, from a pipe, and anew.

use std::{fs, io::Write as _};

use crate::support::*;

/// Three objects of rows with failures; returns what an import of the `n`-th must count.
fn objects(lab: &Lab) -> Vec<(u64, u64)> {
    let make = |number: u64| {
        let sample = format!("--rows 8000 --bad 1% --start {} --seed {number}", number * 8000);
        // The first piece warns of a member that are unknown, and no other does.
        let odd = match number {
            1 => "{\"Id\":\"odd\",\"ChannelType\":\"SMS\",\"Address\":\"1\",\"Nonsense\":1}\n",
            _ => "",
        };
        lab.write(&format!("in/{number}.json"), [odd.as_bytes(), &lab.sample(&sample)].concat());
        let tally = lab.sample_tally(&sample);
        let registered = tally["registered"].as_u64().unwrap() + odd.lines().count() as u64;
        (registered, tally["failed"].as_u64().unwrap())
    };
    (1..=3).map(make).collect()
}

const PIECES: &[&str] = &["--piece", "512", "--segment", "s"];

/// Runs an import of `in` until its first failures are written, then kills it.
fn kill_early(lab: &Lab) {
    let run = lab.import("in", "json", PIECES).start();
    assert!(run.until(|| has_begun(&lab.path("data"))), "it ended too early");
    let (killed, _) = run.kill_after(std::time::Duration::ZERO);
    assert!(killed, "it ended too early");
}

#[test]
fn a_stopped_import_goes_on() {
    let lab = Lab::new();
    let expected = objects(&lab);
    let whole = lab.import_with("whole", "in", "json", PIECES).expect(3).json();
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let run = lab.import("in", "json", PIECES).start();
        let (lock, holder) = (lab.path("data/store/pinport.lock"), format!("process {} ", run.id()));
        let holds = || fs::read_to_string(&lock).is_ok_and(|text| text.starts_with(&holder));
        assert!(run.until(|| holds() && has_begun(&lab.path("data"))), "it ended too early");
        run.signal(signal);
        let stopped = run.wait();
        assert_eq!(stopped.code, Some(5), "{}", stopped.err);
        stopped.says(&["stopped; run the same command again to go on behind the last committed piece"]);
        let json = stopped.json();
        assert_eq!(json["Run"]["Stopped"], "the job was stopped");
        assert!(json.get("CompletionDate").is_none());
        let (read, registered, failed) = counts(&json);
        assert_eq!(read, registered + failed);
        let list = lab.pinport(&["jobs", "ls"]).expect(0);
        assert!(String::from_utf8_lossy(&list.out).contains("interrupted"));
    }
    let outcome = lab.import("in", "json", PIECES).expect(3);
    outcome.says(&["was interrupted; it goes on behind piece", "(--fresh starts anew)"]);
    let json = outcome.json();
    let (registered, failed) = expected.iter().fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    assert_eq!(counts(&json), (24_001, registered, failed));
    assert_eq!(json["Resumed"], 2);
    assert!(json["Run"]["Records"].as_u64().unwrap() < 24_001, "it did not read all again");
    same_outcome(&json, &whole);
    let notices = json["Notices"].as_array().unwrap();
    let unknown = notices.iter().find(|notice| notice["kind"] == "unknown_member").unwrap();
    assert_eq!(unknown["subject"], "\"Nonsense\"");
    assert_eq!(job_folders(&lab.path("data")).len(), 1);
}

#[test]
fn an_object_that_changed_meanwhile_fails_loudly_and_alone() {
    for changed in 1..=3 {
        let lab = Lab::new();
        let expected = objects(&lab);
        kill_early(&lab);
        let file = format!("in/{changed}.json");
        let mut rows = fs::read(lab.path(&file)).unwrap();
        rows.truncate(rows.len() / 2);
        lab.write(&file, rows);
        let outcome = lab.import("in", "json", PIECES).expect(1);
        let json = outcome.json();
        assert_eq!(json["JobStatus"], "FAILED");
        let error = json["Error"].as_str().unwrap();
        assert!(error.contains(&file) && error.contains("changed while it was read"), "{error}");
        assert_eq!(json["FailedPieces"], 1);
        outcome.says(&[
            "hint: import it anew when nobody writes to it any more; then run the same command again",
        ]);
        // The others are whole.
        let (read, registered, failed) = counts(&json);
        let others: Vec<_> = (1..=3).filter(|number| *number != changed).collect();
        let least: u64 = others.iter().map(|number| expected[number - 1].0).sum();
        assert!(registered >= least, "{registered} of {least} are there");
        assert_eq!(read, registered + failed);
        let text = String::from_utf8(failures(&json)).unwrap();
        for number in others {
            let of_it = text.lines().filter(|line| line.contains(&format!("in/{number}.json\""))).count();
            assert_eq!(of_it as u64, expected[number - 1].1, "failures of in/{number}.json");
        }
        let list = lab.pinport(&["segment", "ls"]).expect(0);
        assert!(String::from_utf8_lossy(&list.out).contains("partial: its last import did not complete"));
        // The job has ended, so the same command begins a new one.
        let anew = lab.import("in", "json", PIECES).expect(3);
        assert!(!anew.err.contains("goes on"), "{}", anew.err);
        assert_eq!(anew.json()["JobStatus"], "COMPLETED");
    }
}

#[test]
fn a_killed_import_of_a_pipe_starts_over() {
    let lab = Lab::new();
    let rows = lab.sample("--rows 20000 --bad 1%");
    let expected = lab.sample_tally("--rows 20000 --bad 1%");
    let mut run = lab.import("-", "json", PIECES).start();
    let mut input = run.input.take().unwrap();
    input.write_all(&rows[..rows.len() / 2]).unwrap();
    assert!(run.until(|| has_begun(&lab.path("data"))));
    let (killed, _) = run.kill_after(std::time::Duration::ZERO);
    assert!(killed);
    drop(input);
    let outcome = lab.import("-", "json", PIECES).input(rows).expect(3);
    outcome.says(&["starting anew (standard input cannot be read twice); what job"]);
    assert_eq!(outcome.json()["Registered"], expected["registered"]);
    assert_eq!(outcome.json()["Resumed"], 0);
}

#[test]
fn fresh_starts_over() {
    let lab = Lab::new();
    objects(&lab);
    kill_early(&lab);
    let fresh = [PIECES, &["--fresh"]].concat();
    let outcome = lab.import("in", "json", &fresh).expect(3);
    outcome.says(&["starting anew (--fresh); what job"]);
    assert_eq!(counts(&outcome.json()).0, 24_001);
    assert_eq!(outcome.json()["Run"]["Records"], 24_001);
    let jobs = lines(&lab.pinport(&["jobs", "ls", "--json"]).expect(0).out);
    assert_eq!(jobs.len(), 2, "newest first");
    assert_eq!((&jobs[0]["JobStatus"], &jobs[1]["JobStatus"]), (&"COMPLETED".into(), &"CANCELLED".into()));
    assert!(jobs[1]["Error"].as_str().unwrap().contains("given up for a new import (--fresh)"));
}

#[test]
fn another_import_is_not_gone_on_with() {
    let lab = Lab::new();
    objects(&lab);
    kill_early(&lab);
    for more in [&["--piece", "512"][..], &["--segment", "other"], &["--segment", "s", "--app", "other"]] {
        let outcome = lab.import("in", "json", more).expect(3);
        assert!(!outcome.err.contains("goes on"), "{more:?}: {}", outcome.err);
    }
    // From another folder, and with other bounds, it is the same import still.
    let source = lab.path("in");
    let outcome = lab
        .import(source.to_str().unwrap(), "json", &["--segment", "s", "--threads", "1"])
        .folder("/")
        .expect(3);
    outcome.says(&["it goes on"]);
}

#[test]
fn a_job_that_ended_before_it_could_say_so_is_reported_and_not_run_again() {
    let lab = Lab::new();
    objects(&lab);
    let first = lab.import("in", "json", PIECES).expect(3).json();
    let untold = job_folders(&lab.path("data"))[0].join("untold");
    assert!(!untold.exists(), "it was told");
    // As a kill between the last commit and the report leaves it.
    fs::write(&untold, "").unwrap();
    let told = lab.import("in", "json", PIECES).expect(3);
    told.says(&["had been completed when its process ended; this is its report (--fresh imports anew)"]);
    assert_eq!(told.json()["Id"], first["Id"]);
    same_outcome(&told.json(), &first);
    assert_eq!(told.json()["Run"]["Records"], 0);
    // Told once, the same command imports again; and so it does with --fresh or when the source has changed.
    let runs = |more: &[&str]| {
        let outcome = lab.import("in", "json", &[PIECES, more].concat()).expect(3);
        assert!(!outcome.err.contains("had been completed"), "{}", outcome.err);
        outcome.json()
    };
    assert_ne!(runs(&[])["Id"], first["Id"]);
    let owe = || fs::write(job_folders(&lab.path("data")).pop().unwrap().join("untold"), "").unwrap();
    owe();
    runs(&["--fresh"]);
    owe();
    lab.write_sample("in/4.json", "--rows 10");
    assert_eq!(counts(&runs(&[])).0, 24_011);
}
