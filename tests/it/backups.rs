//! Backups of a folder and of a running server, to a folder and to a bucket, and what is restored of them.

use std::{fs, path::Path};

use serde_json::json;

use crate::{s3::Server, serving::Serving, support::*};

fn made(lab: &Lab, arguments: &[&str]) -> String {
    let done = lab.pinport(&[&["backup"], arguments].concat()).expect(0);
    String::from_utf8(done.out).unwrap().trim().to_owned()
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn a_backup_gives_back_what_was_there_and_the_next_takes_what_is_new() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 2000 --bad 1%");
    lab.import("rows.json", "json", &["--segment", "all"]).expect(3);
    let members = lab.members("data", "all");
    let first = made(&lab, &["--to", "out"]);
    let objects = files(&lab.path("out/objects"));
    // Nothing is new but what the opening of the store wrote.
    let again = lab.pinport(&["backup", "--to", "out"]).expect(0);
    let new: f64 =
        again.err.split(" MiB of them new").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(new < 0.3 && files(&lab.path("out/objects")) < objects + 8, "{}", again.err);
    assert!(!lab.path("data/snapshots/own").exists());
    lab.write_sample("more.json", "--rows 1000 --start 50000");
    lab.import("more.json", "json", &["--segment", "all"]).expect(0);
    let more = lab.members("data", "all");
    made(&lab, &["--to", "out"]);
    let listed = lab.pinport(&["backup", "ls", "out"]).expect(0);
    assert_eq!(String::from_utf8(listed.out).unwrap().lines().count(), 3);
    lab.pinport(&["backup", "verify", "out"]).expect(0);

    for (name, backup, expected) in [("old", &["--backup", &first][..], &members), ("new", &[], &more)] {
        let restore = lab.pinport_with(name, &[&["restore", "out"], backup].concat());
        restore.expect(0).says(&["restored backup"]);
        assert!(lab.members(name, "all") == *expected, "{name}");
        // The failures of its job came along.
        let failures = lab.pinport_with(name, &["jobs", "failures", "last"]).expect(0);
        assert_eq!(failures.out.is_empty(), name == "new");
        lab.pinport_with(name, &["restore", "out"]).expect(2).says(&["has data already"]);
    }
    lab.pinport(&["backup", "prune", "out", "--keep", "1"]).expect(0).says(&["removed 2 backups"]);
    lab.pinport(&["backup", "verify", "out"]).expect(0);
    lab.pinport(&["backup", "verify", "out", "--backup", &first]).expect(1).says(&["there is no backup"]);
    // A damaged file is named and not restored.
    let largest = fs::read_dir(lab.path("out/objects")).unwrap().map(|entry| entry.unwrap().path());
    let largest = largest.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&largest, bytes).unwrap();
    let verified = lab.pinport(&["backup", "verify", "out"]).expect(1);
    assert!(String::from_utf8(verified.out).unwrap().contains("its bytes are not those"));
    lab.pinport_with("bad", &["restore", "out"]).expect(1).says(&["the backup is damaged"]);
    assert!(!lab.path("bad/store").exists());
    lab.pinport(&["backup"]).expect(2).says(&["--to"]);
    lab.pinport_with("none", &["backup", "--to", "out"]).expect(2);
}

/// The store keeps its tables, so that the second backup reads little but the lists of them.
#[test]
fn a_second_backup_does_not_read_the_tables_again() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 60000");
    lab.import("rows.json", "json", &["--segment", "all"]).expect(0);
    let read = || -> f64 {
        let said = lab.pinport(&["backup", "--to", "out"]).expect(0).err;
        said.split(" MiB read").next().unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    };
    let (first, second) = (read(), read());
    assert!(first > 15.0 && second < first / 4.0, "{first} MiB, then {second} MiB");
    lab.pinport(&["backup", "verify", "out"]).expect(0);
}

/// A server goes on while it is backed up, in the middle of a job too: what is restored is one moment, and the job of it
/// goes on to the same end.
#[test]
fn a_running_server_is_backed_up_in_the_middle_of_a_job() {
    let lab = Lab::new();
    let rows = "--rows 8000 --bad 1%";
    lab.write_sample("in/rows.json", rows);
    let configuration = "[jobs]\npiece_kib = 64\nrows_per_second = 4000\n";
    let server = Serving::start_with(&lab, configuration, &[]);
    let job = server.import(&lab, "in/rows.json");
    let pieces = |server: &Serving| {
        let detail = server.get(&format!("/pinport/v1/jobs/{job}")).json();
        detail["job"]["progress"]["pieces_done"].as_u64().unwrap()
    };
    while pieces(&server) < 3 {
        pause(std::time::Duration::from_millis(5));
    }
    made(&lab, &["--to", "out"]);
    let moment = pieces(&server);
    assert!(files(&lab.path("data/snapshots")) == 0, "the snapshot stays");
    assert_eq!(server.ask("PUT", "/pinport/v1/throttle", Some(&json!({}))).0, 202);
    let app = server.get("/v1/apps").json()["Item"][0]["Id"].as_str().unwrap().to_owned();
    let ended = server.ended(&app, &job);
    let failures = server.get(&format!("/pinport/v1/jobs/{job}/failures")).body;
    let whole = lab
        .pinport(&["export", "-", "--app", "shop", "--format", "json", "--server", &server.url])
        .expect(0)
        .out;
    server.stop();
    lab.pinport_with("back", &["restore", "out"]).expect(0).says(&["1 jobs that go on"]);
    let server = Serving::start_in(&lab, "back", "[jobs]\npiece_kib = 64\n");
    let again = server.ended(&app, &job);
    for member in ["JobStatus", "TotalProcessed", "TotalFailures", "CompletedPieces"] {
        assert_eq!(again[member], ended[member], "{member}; it was backed up at piece {moment}");
    }
    assert!(server.get(&format!("/pinport/v1/jobs/{job}/failures")).body == failures);
    let exported = ["export", "-", "--app", "shop", "--format", "json", "--server", &server.url];
    let exported = lab.pinport_with("back", &exported).expect(0).out;
    assert_eq!(ids(&exported), ids(&whole));
}

fn ids(endpoints: &[u8]) -> Vec<String> {
    lines(endpoints).iter().map(|endpoint| endpoint["Id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn snapshots_are_for_those_who_run_the_server() {
    let lab = Lab::new();
    let server = Serving::start(&lab);
    let (status, body) = server.ask("POST", "/pinport/v1/snapshots", None);
    assert_eq!(status, 201, "{body}");
    let made: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert!(Path::new(made["folder"].as_str().unwrap()).join("store/db").is_dir());
    assert_eq!(server.ask("POST", "/pinport/v1/snapshots", None).0, 201);
    assert_eq!(server.ask("POST", "/pinport/v1/snapshots", None).0, 409);
    let path = format!("/pinport/v1/snapshots/{}", made["id"].as_str().unwrap());
    assert_eq!((server.ask("DELETE", &path, None).0, server.ask("DELETE", &path, None).0), (204, 404));
    assert_eq!(server.ask("DELETE", "/pinport/v1/snapshots/%2e%2e", None).0, 404);
    // What was left behind goes with the next start.
    server.stop();
    let server = Serving::start(&lab);
    assert_eq!(files(&lab.path("data/snapshots")), 0);
    drop(server);
}

#[test]
fn a_bucket_takes_backups_too() {
    let server = Server::start();
    let lab = &server.lab;
    lab.write_sample("rows.json", "--rows 2000");
    lab.import("rows.json", "json", &["--segment", "all"]).expect(0);
    let run = |data: &str, arguments: &[&str]| server.remote(lab.pinport_with(data, arguments));
    let first = run("data", &["backup", "--to", "s3://bucket/backups"]).expect(0);
    let objects = files(&lab.path("s3/bucket/backups/objects"));
    assert!(objects > 5, "{}", first.err);
    run("data", &["backup", "--to", "s3://bucket/backups/"]).expect(0);
    assert!(files(&lab.path("s3/bucket/backups/objects")) < objects + 8);
    run("data", &["backup", "verify", "s3://bucket/backups/"]).expect(0);
    run("back", &["restore", "s3://bucket/backups/"]).expect(0);
    assert!(lab.members("back", "all") == lab.members("data", "all"));
    run("data", &["backup", "prune", "s3://bucket/backups/", "--keep", "1"]).expect(0);
    run("data", &["backup", "verify", "s3://bucket/backups/"]).expect(0);
    run("data", &["backup", "verify", "s3://bucket/other/"]).expect(1).says(&["there is no backup there"]);
}
