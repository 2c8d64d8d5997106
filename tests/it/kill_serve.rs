//! A server killed or stopped at random moments of two concurrent jobs: both go on by themselves and end as if they
//! had been left alone, and a request that is sent again makes no second job.
//!
//! `PINPORT_TORTURE_KILLS` asks for more kills, `PINPORT_TORTURE_SEED` repeats their times.

use std::{
    io,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{serving::Serving, support::*};

const CONFIG: &str = "[jobs]\npiece_kib = 150\n";
/// Rows of each job; different seeds, so that the jobs do not touch each other's endpoints and users.
const SAMPLES: [(&str, &str); 2] = [
    ("json", "--rows 6000 --bad 1% --updates 3% --seed 1"),
    ("csv", "--rows 5000 --bad 1% --updates 3% --seed 2"),
];

/// Two objects, the second a gzip file of several members, for each of the jobs.
fn write_objects(lab: &Lab) {
    for (format, sample) in SAMPLES {
        for part in 0..2 {
            let rows = sample.split(' ').nth(1).unwrap().parse::<u64>().unwrap();
            let bytes = lab.sample(&format!("{sample} --format {format} --start {}", part * rows));
            if part == 1 {
                let members: Vec<&[u8]> = bytes.chunks(bytes.len() / 5 + 17).collect();
                lab.write(&format!("in/{format}/1.{format}.gz"), gzip(&members));
            } else {
                lab.write(&format!("in/{format}/0.{format}"), bytes);
            }
        }
    }
}

/// Sends the request of a job, as an SDK sends each of its tries; gives the job's id.
fn post(server: &Serving, lab: &Lab, app: &str, format: &str, call: &str) -> io::Result<String> {
    let body = json!({
        "Format": format.to_uppercase(), "RoleArn": "role", "DefineSegment": true, "SegmentName": format,
        "S3Url": format!("file://{}", lab.path(&format!("in/{format}")).display()),
    });
    let path = format!("/v1/apps/{app}/jobs/import");
    let invocation = format!("amz-sdk-invocation-id: {call}-{format}\r\n");
    let reply = server.send("POST", &path, &invocation, body.to_string().as_bytes())?;
    if reply.status == 503 {
        // It is stopping.
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
    Ok(reply.json()["Id"].as_str().unwrap().to_owned())
}

/// Whether all jobs have ended; an error when the server is gone.
fn have_ended(server: &Serving, app: &str, jobs: usize) -> io::Result<bool> {
    let reply = server.send("GET", &format!("/v1/apps/{app}/jobs/import"), "", b"")?;
    if reply.status == 503 {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let list = reply.json();
    let list = list["Item"].as_array().unwrap();
    Ok(list.len() == jobs && list.iter().all(|job| job["JobStatus"] == "COMPLETED"))
}

/// Everything of a job that must not depend on whether it was interrupted.
#[derive(PartialEq)]
struct Outcome {
    answer: Value,
    detail: Value,
    failures: String,
    rejects: Vec<u8>,
    members: String,
}

/// The outcome of both jobs; ends the server.
fn outcomes(server: Serving, lab: &Lab, data: &str, app: &str, jobs: &[String; 2]) -> [Outcome; 2] {
    let list = server.get(&format!("/v1/apps/{app}/jobs/import")).json();
    assert_eq!(list["Item"].as_array().unwrap().len(), 2, "a request sent again made another job: {list}");
    let mut seen = jobs.each_ref().map(|job| {
        let mut answer = server.ended(app, job);
        let created = answer["CreationDate"].take().as_str().unwrap().to_owned();
        for own in ["Id", "CompletionDate"] {
            assert!(answer[own].take().is_string());
        }
        answer["Definition"]["SegmentId"].take();
        let text = |what: &str| {
            let reply = server.get(&format!("/pinport/v1/jobs/{job}{what}"));
            assert_eq!(reply.status, 200, "{what}");
            reply
        };
        let detail = text("").json();
        let progress =
            ["registered", "failed", "parsed", "source_bytes", "bytes", "pieces_done", "objects_done"];
        let progress = progress.map(|name| (name.to_owned(), detail["job"]["progress"][name].clone()));
        let detail = json!({
            "classes": detail["classes"], "failures": detail["failures"], "objects": detail["objects"],
            "warnings": detail["warnings"], "progress": Value::Object(progress.into_iter().collect()),
        });
        let failures = String::from_utf8(text("/failures").body).unwrap();
        let rejects = text("/rejects").body;
        (created, Outcome { answer, detail, failures, rejects, members: String::new() })
    });
    server.stop();
    for ((format, _), (created, outcome)) in SAMPLES.iter().zip(&mut seen) {
        let members = String::from_utf8(lab.members(data, format)).unwrap();
        outcome.members = members.replace(&*created, "CREATED");
    }
    seen.map(|(_, outcome)| outcome)
}

fn same(one: &Outcome, other: &Outcome) {
    assert_eq!(one.answer, other.answer);
    assert_eq!(one.detail, other.detail);
    same_lines(&one.failures, &other.failures, "the failures");
    assert!(one.rejects == other.rejects, "the rejects differ");
    same_lines(&one.members, &other.members, "the members");
}

#[test]
fn jobs_of_a_killed_server_end_as_if_left_alone() {
    let kills_wanted: u64 =
        std::env::var("PINPORT_TORTURE_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(20);
    let lab = Lab::new();
    write_objects(&lab);
    // All rounds begin with the same application, so that its id is the same too.
    let server = Serving::start_in(&lab, "base", CONFIG);
    let app = server.app("default");
    server.stop();

    copy_folder(&lab.path("base"), &lab.path("whole"));
    let server = Serving::start_in(&lab, "whole", CONFIG);
    let begun = Instant::now();
    let jobs = SAMPLES.map(|(format, _)| post(&server, &lab, &app, format, "whole").unwrap());
    for job in &jobs {
        assert_eq!(server.ended(&app, job)["JobStatus"], "COMPLETED");
    }
    let took = u64::try_from(begun.elapsed().as_millis()).unwrap();
    let whole = outcomes(server, &lab, "whole", &app, &jobs);
    for (outcome, (format, sample)) in whole.iter().zip(SAMPLES) {
        let rows: u64 = 2 * sample.split(' ').nth(1).unwrap().parse::<u64>().unwrap();
        let all = sample.replacen(&(rows / 2).to_string(), &rows.to_string(), 1);
        let expected = lab.sample_tally(&format!("{all} --format {format}"));
        assert_eq!(outcome.detail["progress"]["registered"], expected["registered"]);
        assert_eq!(outcome.answer["TotalFailures"], expected["failed"]);
        assert_eq!(outcome.members.lines().count() as u64, expected["endpoints"].as_u64().unwrap());
        assert!(outcome.answer["TotalPieces"].as_u64().unwrap() > 10, "{}", outcome.answer);
    }

    let mut random = Random::seeded("kill -9 of a server");
    let (mut kills, mut stops, mut rounds, mut again) = (0, 0, 0, 0);
    while kills < kills_wanted {
        rounds += 1;
        let data = format!("torn-{rounds}");
        copy_folder(&lab.path("base"), &lab.path(&data));
        let mut jobs: [Option<String>; 2] = [None, None];
        let server = loop {
            let server = Serving::start_in(&lab, &data, CONFIG);
            // Some fall into the recovery from the one before; when there were enough, it is left alone.
            let most = if random.below(4) == 0 { 40 } else { took };
            let in_order = random.below(5) == 0;
            let left_alone = kills >= kills_wanted;
            let time = if left_alone { PATIENCE } else { Duration::from_millis(random.below(most)) };
            let fuse = server.signal_after(time, if in_order { libc::SIGTERM } else { libc::SIGKILL });
            let mut work = || -> io::Result<()> {
                for ((format, _), job) in SAMPLES.iter().zip(&mut jobs) {
                    // A client that got its answer asks no more, or does: what it hears is the same.
                    if job.is_none() || random.below(2) == 0 {
                        let id = post(&server, &lab, &app, format, &data)?;
                        again += u64::from(job.is_some());
                        assert_eq!(
                            job.get_or_insert_with(|| id.clone()),
                            &id,
                            "the same request, another job"
                        );
                    }
                }
                let begun = Instant::now();
                while !have_ended(&server, &app, 2)? {
                    assert!(begun.elapsed() < PATIENCE, "the jobs do not end:\n{}", server.log());
                    pause(Duration::from_millis(5));
                }
                Ok(())
            };
            let ended = work();
            let fired = fuse.put_out();
            assert!(ended.is_ok() || fired, "{ended:?}\n{}", server.log());
            if !fired {
                break server;
            }
            kills += u64::from(!in_order);
            stops += u64::from(in_order);
            server.wait(in_order.then_some(0));
        };
        let jobs = jobs.map(Option::unwrap);
        for (outcome, expected) in outcomes(server, &lab, &data, &app, &jobs).iter().zip(&whole) {
            same(outcome, expected);
        }
        std::fs::remove_dir_all(lab.path(&data)).unwrap();
    }
    eprintln!(
        "{kills} kills and {stops} stops in order in {rounds} rounds of two jobs, {took} ms each; \
         {again} requests sent again"
    );
}

/// M9: UpdateEndpointsBatch is one write. The trace of its syncs is in the store's tests.
#[test]
fn a_batch_of_a_killed_server_is_there_whole_or_not_at_all() {
    const KILLS: usize = 12;
    let lab = Lab::new();
    let mut server = Serving::start(&lab);
    let app = server.app("shop");
    let path = format!("/v1/apps/{app}/endpoints");
    let mut random = Random::seeded("kill -9 in the middle of batches");
    let (mut number, mut acknowledged, mut torn) = (0_u64, 0_u64, 0);
    for _ in 0..KILLS {
        let fuse = server.signal_after(Duration::from_millis(random.below(60)), libc::SIGKILL);
        loop {
            number += 1;
            let item = |endpoint: u64| {
                json!({
                    "Id": endpoint.to_string(), "Address": format!("a{endpoint}"), "ChannelType": "EMAIL",
                    "User": { "UserId": "u" }, "Attributes": { "number": [number.to_string()] },
                })
            };
            let batch = json!({ "Item": (0..100).map(item).collect::<Vec<_>>() }).to_string();
            match server.send("PUT", &path, "", batch.as_bytes()) {
                Ok(reply) => {
                    assert_eq!(reply.status, 202, "{}", String::from_utf8_lossy(&reply.body));
                    acknowledged = number;
                }
                Err(_) => break,
            }
        }
        assert!(fuse.put_out(), "it ended by itself:\n{}", server.log());
        server = Serving::start(&lab);
        let found = server.get(&format!("/v1/apps/{app}/users/u"));
        if acknowledged == 0 && found.status == 404 {
            continue;
        }
        let found = found.json();
        let found = found["Item"].as_array().unwrap();
        assert_eq!(found.len(), 100);
        let numbers: std::collections::BTreeSet<u64> = found
            .iter()
            .map(|endpoint| endpoint["Attributes"]["number"][0].as_str().unwrap().parse().unwrap())
            .collect();
        assert_eq!(numbers.len(), 1, "parts of batches {numbers:?}");
        let there = *numbers.first().unwrap();
        assert!((acknowledged..=number).contains(&there), "{there} of {acknowledged}..={number}");
        torn += u64::from(there > acknowledged);
        acknowledged = there;
    }
    assert!(acknowledged > 0, "no batch was ever taken");
    println!("{KILLS} kills, {number} batches; {torn} times one that nobody was told of was there");
}
