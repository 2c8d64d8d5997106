//! `pinport top` and a server: what is seen of its jobs from outside.

#![allow(unsafe_code, reason = "calls libc")]

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    process::Stdio,
};

use serde_json::Value;

use crate::{serving::Serving, support::*};

#[test]
fn once_and_json_show_the_jobs() {
    let lab = Lab::new();
    lab.write_sample("in/rows.json", "--rows 300");
    let server = Serving::start(&lab);
    let top = |more: &[&str]| lab.pinport(&["top", "--server", &server.url]).args(more);

    let empty = top(&["--once"]).expect(0);
    let text = String::from_utf8(empty.out).unwrap();
    assert!(text.starts_with("0 jobs at "), "{text}");

    let id = server.import(&lab, "in/rows.json");
    // The same stream that a dashboard follows tells when the job has ended.
    let mut follow = top(&["--json"]).command;
    let mut follow = follow.stdout(Stdio::piped()).spawn().unwrap();
    let ended = BufReader::new(follow.stdout.take().unwrap()).lines().find_map(|line| {
        let sample: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_eq!(sample["jobs_total"], 1);
        (sample["jobs"][0]["progress"]["status"] == "COMPLETED").then_some(sample)
    });
    // The reader is gone, which is how `| head` ends it.
    let _ = follow.kill();
    follow.wait().unwrap();
    assert_eq!(ended.unwrap()["jobs"][0]["id"], *id);

    let sample = top(&["--once", "--json"]).expect(0).json();
    assert_eq!(sample["jobs"][0]["id"], *id);
    assert_eq!(sample["jobs"][0]["application_name"], "shop");
    assert_eq!(sample["jobs"][0]["progress"]["parsed"], 300);
    let text = String::from_utf8(top(&["--once"]).expect(0).out).unwrap();
    assert!(text.starts_with("1 job at ") && text.contains(&id) && text.contains("300 read"), "{text}");
}

#[test]
fn without_a_terminal_lines_come_until_a_signal() {
    let lab = Lab::new();
    lab.write_sample("in/rows.json", "--rows 300");
    let server = Serving::start(&lab);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut top = lab.pinport(&["top", "--json", "--server", &server.url]).command;
        let mut top = top.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(top.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["jobs_total"], 0);
        // SAFETY: the child was not waited for, so its id is its own.
        assert_eq!(unsafe { libc::kill(top.id().cast_signed(), signal) }, 0);
        std::io::copy(&mut out, &mut std::io::sink()).unwrap();
        assert_eq!(top.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_server_that_is_not_there_is_explained() {
    let lab = Lab::new();
    // No one listens on a port that was just given back.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    for more in [&["--once"][..], &["--once", "--json"]] {
        let top = lab.pinport(&["top", "--server", &url]).args(more).expect(1);
        top.says(&[&url, "cannot be reached", "hint: ", "pinport serve", "--server"]);
        assert!(top.out.is_empty());
    }
    for wrong in ["ftp://127.0.0.1:1", "example.com", "http://a:b@c", "http://"] {
        lab.pinport(&["top", "--once", "--server", wrong]).expect(2).says(&["--server", "http://"]);
    }
}
