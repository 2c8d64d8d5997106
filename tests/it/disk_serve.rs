//! A server on a disk that is full: the job that filled it waits, the others go on, and a store that stopped says so.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{disk::Disk, serving::Serving, support::*};

/// Asks until the answer is what is waited for.
fn until(what: &str, mut ask: impl FnMut() -> Result<(), String>) {
    let begun = Instant::now();
    while let Err(answer) = ask() {
        assert!(begun.elapsed() < PATIENCE, "{what} does not come: {answer}");
        pause(Duration::from_millis(20));
    }
}

fn wanted(is: bool, answer: &impl ToString) -> Result<(), String> {
    if is { Ok(()) } else { Err(answer.to_string()) }
}

fn view(server: &Serving, job: &str) -> Value {
    server.get(&format!("/pinport/v1/jobs/{job}")).json()["job"].clone()
}

/// Leaves so many bytes free on a disk.
fn fill(disk: &std::path::Path, leave: u64) {
    let free = free_bytes(disk);
    fs::write(disk.join("filler"), vec![1; usize::try_from(free.saturating_sub(leave)).unwrap()]).unwrap();
}

fn submit(server: &Serving, lab: &Lab, app: &str, file: &str) -> (u16, String) {
    let url = format!("file://{}", lab.path(file).display());
    let body = json!({ "Format": "JSON", "S3Url": url, "RoleArn": "role" });
    server.ask("POST", &format!("/v1/apps/{app}/jobs/import"), Some(&body))
}

#[test]
fn below_its_reserve_a_server_refuses_jobs_and_uploads_until_there_is_room() {
    let lab = Lab::new();
    let _disk = match Disk::mount(lab.path("disk"), "64m") {
        Ok(disk) => disk,
        Err(reason) => return skip("a reserve of the disk", reason),
    };
    lab.write_sample("rows.json", "--rows 1000");
    let server = Serving::start_in(&lab, "disk/data", "[jobs]\ndisk_reserve_mib = 16\n");
    let app = server.app("shop");
    fill(&lab.path("disk"), 8 << 20);
    let (status, answer) = submit(&server, &lab, &app, "rows.json");
    assert_eq!(status, 503, "{answer}");
    assert!(answer.contains("too little room"), "{answer}");
    let upload = format!("/pinport/v1/apps/{app}/uploads?format=json");
    let reply = server.send("POST", &upload, "", b"{}\n").unwrap();
    assert_eq!(reply.status, 503);
    until("the trouble", || {
        let text = lab.pinport(&["top", "--once", "--server", &server.url]).expect(0);
        let text = String::from_utf8(text.out).unwrap();
        wanted(text.contains("no job runs: the disk has"), &text)
    });
    // What is stored is answered, and so is a small write.
    assert_eq!(server.get("/readyz").status, 200);
    server.app("another");
    fs::remove_file(lab.path("disk/filler")).unwrap();
    let mut job = String::new();
    until("room", || {
        let (status, answer) = submit(&server, &lab, &app, "rows.json");
        job = serde_json::from_str::<Value>(&answer).unwrap()["Id"].as_str().unwrap_or_default().into();
        wanted(status == 201, &answer)
    });
    assert_eq!(server.ended(&app, &job)["JobStatus"], "COMPLETED");
    server.stop();
}

#[test]
fn a_full_disk_parks_the_job_that_filled_it_and_no_other() {
    let lab = Lab::new();
    let _disk = match Disk::mount(lab.path("disk"), "64m") {
        Ok(disk) => disk,
        Err(reason) => return skip("a job that fills the disk", reason),
    };
    lab.write_sample("large.json", "--rows 60000");
    lab.write_sample("small.json", "--rows 10 --seed 7");
    let server = Serving::start_in(&lab, "disk/data", "[jobs]\ndisk_reserve_mib = 0\npiece_kib = 4096\n");
    let (app, other) = (server.app("shop"), server.app("other"));
    fill(&lab.path("disk"), 6 << 20);
    let (status, answer) = submit(&server, &lab, &app, "large.json");
    assert_eq!(status, 201, "{answer}");
    let large = serde_json::from_str::<Value>(&answer).unwrap()["Id"].as_str().unwrap().to_owned();
    until("the full disk", || {
        let view = view(&server, &large);
        wanted(view["waits_for"].as_str().is_some_and(|why| why.contains("disk is full")), &view)
    });
    let shown = lab.pinport(&["jobs", "show", &large, "--server", &server.url]).expect(0);
    let shown = String::from_utf8(shown.out).unwrap();
    assert!(shown.contains("PENDING_JOB: the server's disk is full"), "{shown}");
    assert_eq!(server.get("/readyz").status, 200, "the store can write");
    let (status, answer) = submit(&server, &lab, &other, "small.json");
    assert_eq!(status, 201, "{answer}");
    let small = serde_json::from_str::<Value>(&answer).unwrap()["Id"].as_str().unwrap().to_owned();
    assert_eq!(server.ended(&other, &small)["JobStatus"], "COMPLETED");
    fs::remove_file(lab.path("disk/filler")).unwrap();
    let ended = server.ended(&app, &large);
    assert_eq!((&ended["JobStatus"], &ended["TotalProcessed"]), (&json!("COMPLETED"), &json!(60_000)));
    let log = server.stop();
    assert!(!log.contains("all jobs are stopped"), "{log}");
}

/// Writes endpoints until the disk takes no more of the store's log.
fn stop_the_store(server: &Serving, app: &str) -> bool {
    let text = "x".repeat(90);
    let item = |number: u32, batch: u32| {
        let attributes: serde_json::Map<_, _> =
            (0..100).map(|name| (format!("a{name}"), json!([text]))).collect();
        json!({ "Id": format!("{batch}-{number}"), "Address": "a", "ChannelType": "SMS", "Attributes": attributes })
    };
    (0..500).any(|batch| {
        let items: Vec<_> = (0..100).map(|number| item(number, batch)).collect();
        let body = json!({ "Item": items }).to_string();
        let path = format!("/v1/apps/{app}/endpoints");
        // The server may go away over it.
        server.send("PUT", &path, "", body.as_bytes()).map_or(true, |reply| reply.status >= 500)
    })
}

#[test]
fn a_store_that_stopped_is_shown_and_ends_the_server_where_that_is_wanted() {
    let lab = Lab::new();
    let _disk = match Disk::mount(lab.path("disk"), "64m") {
        Ok(disk) => disk,
        Err(reason) => return skip("a store that stops", reason),
    };
    let server = Serving::start_in(&lab, "disk/data", "[jobs]\ndisk_reserve_mib = 0\n");
    let app = server.app("shop");
    lab.write_sample("rows.json", "--rows 3000");
    assert_eq!(server.ask("PUT", "/pinport/v1/throttle", Some(&json!({ "bytes_per_second": 1 }))).0, 202);
    let job = server.import(&lab, "rows.json");
    fill(&lab.path("disk"), 1 << 20);
    assert!(stop_the_store(&server, &app), "the store takes more than its disk");
    until("the metric", || {
        let text = String::from_utf8(server.get("/metrics").body).unwrap();
        wanted(text.contains("\npinport_store_stopped 1\n"), &text)
    });
    let text = lab.pinport(&["top", "--once", "--server", &server.url]).expect(0);
    let text = String::from_utf8(text.out).unwrap();
    assert!(text.contains("no job runs: nothing can be stored any more"), "{text}");
    assert_eq!(server.get("/readyz").status, 503);
    // Whoever waits for a job hears it too, and whoever comes later finds it among the events.
    let wait = lab.pinport(&["jobs", "wait", &job, "--timeout", "2s", "--server", &server.url]);
    wait.expect(6).says(&["has not ended after 2 s; it waits: the server's store has stopped"]);
    let sample = lab.pinport(&["top", "--once", "--json", "--server", &server.url]).expect(0).json();
    let events = sample["past"]["events"].as_array().unwrap();
    let stopped =
        |event: &Value| event["text"].as_str().unwrap().starts_with("nothing can be stored any more");
    assert!(events.iter().any(stopped), "{events:?}");
    server.stop();
    fs::remove_file(lab.path("disk/filler")).unwrap();

    let server =
        Serving::start_in(&lab, "disk/data", "[jobs]\ndisk_reserve_mib = 0\nexit_when_stopped = true\n");
    fill(&lab.path("disk"), 1 << 20);
    assert!(stop_the_store(&server, &app));
    let log = server.wait(Some(1));
    assert!(log.contains("error: the store has stopped: nothing can be stored any more"), "{log}");
}

#[test]
fn uploads_have_a_bound() {
    let lab = Lab::new();
    let server = Serving::start_with(&lab, "[jobs]\nuploads_mib = 1\n", &[]);
    let app = server.app("shop");
    let path = format!("/pinport/v1/apps/{app}/uploads?format=json");
    let rows = lab.sample("--rows 9000");
    assert!(rows.len() > 2 << 20);
    let reply = server.send("POST", &path, "", &rows).unwrap();
    assert_eq!(reply.status, 413, "{}", String::from_utf8_lossy(&reply.body));
    assert!(String::from_utf8_lossy(&reply.body).contains("larger than the 1 MiB"));
    assert!(job_folders(&lab.path("data")).is_empty(), "what was refused is gone");
    // As many as one likes, one after the other.
    for round in 0..3 {
        let rows = lab.sample(&format!("--rows 1000 --seed {round}"));
        let reply = server.send("POST", &path, "", &rows).unwrap();
        assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
        let job = reply.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(server.ended(&app, &job)["JobStatus"], "COMPLETED");
    }
    server.stop();
}
