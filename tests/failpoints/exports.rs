//! Exports of a server: after an abort at any boundary the job goes on, and its parts are those of one left alone.

use std::{collections::BTreeMap, fs, path::Path, time::Instant};

use serde_json::{Value, json};

use crate::{Passed, abort_at, list, list::In, passed, serving::Serving, support::*, times};

const APP: &str = "0123456789abcdef0123456789abcdef";

fn start(lab: &Lab, data: &str, failing: &str, trail: Option<&str>) -> Serving {
    let root = lab.path("");
    let mut serve = lab.pinport_with(data, &["serve", "--local-root", root.to_str().unwrap()]);
    serve.command.env("FAILPOINTS", failing).env("PINPORT_PIECE", "64");
    if let Some(trail) = trail {
        serve.command.env("PINPORT_BOUNDARIES", lab.path(trail));
    }
    Serving::spawn(serve).unwrap()
}

/// Asks for an export, unless it was made, and waits for its end: as far as the server lives.
fn session(server: &Serving, lab: &Lab, target: &str) -> Option<()> {
    let jobs = format!("/v1/apps/{APP}/jobs/export");
    let list: Value = server.send("GET", &jobs, "", b"").ok()?.json();
    if list["Item"].as_array().is_none_or(Vec::is_empty) {
        let target = format!("file://{}", lab.path(target).display());
        let body = json!({ "RoleArn": "role", "S3UrlPrefix": target }).to_string();
        assert_eq!(server.send("POST", &jobs, "", body.as_bytes()).ok()?.status, 202);
    }
    let begun = Instant::now();
    loop {
        let list: Value = server.send("GET", &jobs, "", b"").ok()?.json();
        let items = list["Item"].as_array().unwrap();
        assert_eq!(items.len(), 1, "{list}");
        match items[0]["JobStatus"].as_str().unwrap() {
            "COMPLETED" => return Some(()),
            "FAILED" | "CANCELLED" => panic!("{list}"),
            _ => assert!(begun.elapsed() < PATIENCE, "{list}"),
        }
        std::thread::yield_now();
    }
}

/// The files of the one export below a folder.
fn files(target: &Path) -> BTreeMap<String, Vec<u8>> {
    let folder = fs::read_dir(target).unwrap().next().unwrap().unwrap().path();
    let files = fs::read_dir(folder).unwrap().map(|entry| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    });
    files.collect()
}

#[test]
fn an_export_survives_an_abort_at_every_boundary() {
    let lab = Lab::new();
    lab.write("rows.json", lab.sample("--rows 600"));
    lab.import("rows.json", "json", &["--app", APP]).expect(0);
    copy_folder(&lab.path("data"), &lab.path("whole"));
    let server = start(&lab, "whole", "", Some("trail"));
    session(&server, &lab, "out/whole").unwrap();
    server.stop();
    let expected = files(&lab.path("out/whole"));
    assert!(expected.len() > 4, "{} files", expected.len());
    let passed: Passed = passed(&lab.path("trail"));
    let mut random = Random::seeded("aborts of an export");
    let mut aborts = 0;
    for name in list::of(In::Export).chain(["piece.staged", "write.durable", "job.ending", "job.ended"]) {
        let count = *passed.get(name).unwrap_or_else(|| panic!("{name} is not passed"));
        for n in times(count, &mut random) {
            let data = format!("data-{aborts}");
            let target = format!("out/{aborts}");
            copy_folder(&lab.path("data"), &lab.path(&data));
            let server = start(&lab, &data, &abort_at(name, n), None);
            // What comes after the end may be what ends it.
            let _ = session(&server, &lab, &target);
            drop(server);
            let server = start(&lab, &data, "", None);
            session(&server, &lab, &target).unwrap_or_else(|| panic!("{name}, time {n}: {}", server.log()));
            server.stop();
            assert!(files(&lab.path(&target)) == expected, "{name}, time {n}: the files differ");
            fs::remove_dir_all(lab.path(&data)).unwrap();
            aborts += 1;
        }
    }
    eprintln!("{aborts} aborts");
}
