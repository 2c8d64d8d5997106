//! The demo: it shows everything, on a terminal and without one, and leaves nothing.

#![allow(unsafe_code, reason = "calls libc")]

use std::process::Stdio;

use crate::{pty::OnTerminal, support::*};

/// What is in the folder for temporary files.
fn left_over(lab: &Lab) -> Vec<String> {
    let names = std::fs::read_dir(lab.path("tmp")).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn demo(lab: &Lab, rows: &str) -> Run {
    std::fs::create_dir_all(lab.path("tmp")).unwrap();
    lab.pinport(&["demo", "--rows", rows]).env("TMPDIR", lab.path("tmp").to_str().unwrap())
}

#[test]
fn the_demo_shows_everything_and_leaves_nothing() {
    let lab = Lab::new();
    let demo = OnTerminal::start(demo(&lab, "20000"), 120, 40);
    demo.wait_for("0 active of 6 jobs");
    assert!(demo.is_full_screen());
    assert_eq!(left_over(&lab).len(), 1);
    // Sorted by failures the old CRM is first: of its rows a third is broken.
    demo.keys("sssssssss\r");
    demo.wait_for("old-crm.csv");
    demo.keys("f");
    demo.wait_for("all reasons");
    demo.keys("q");
    let left = demo.end();
    assert_eq!(left.status.code(), Some(0));
    assert!(left.text.contains("6 jobs, 0 active") && left.text.contains("next: "), "{}", left.text);
    assert_eq!(left_over(&lab), [""; 0]);
}

#[test]
fn the_demo_without_a_terminal() {
    let lab = Lab::new();
    let demo_ = demo(&lab, "3000").expect(0);
    let text = String::from_utf8(demo_.out).unwrap();
    let ended = |word: &str| text.lines().filter(|line| line.contains(&format!(": {word} "))).count();
    assert_eq!((ended("completed"), ended("failed")), (5, 1), "{text}");
    assert!(text.lines().last().unwrap().starts_with("next: "), "{text}");
    assert_eq!(left_over(&lab), [""; 0]);

    for signal in [libc::SIGTERM, libc::SIGINT] {
        // More than it makes before it is stopped.
        let mut run = demo(&lab, "100000000").command;
        let mut child =
            run.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        while left_over(&lab).is_empty() {
            std::thread::yield_now();
        }
        // SAFETY: the child was not waited for, so its id is its own.
        assert_eq!(unsafe { libc::kill(child.id().cast_signed(), signal) }, 0);
        std::io::copy(&mut out, &mut std::io::sink()).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert_eq!(left_over(&lab), [""; 0]);
    }
}

#[test]
fn a_demo_that_is_interrupted_on_a_terminal_leaves_nothing() {
    let lab = Lab::new();
    let demo = OnTerminal::start(demo(&lab, "100000000"), 80, 24);
    demo.wait_for("connected");
    demo.signal(libc::SIGTERM);
    let left = demo.end();
    assert_eq!(left.status.code(), Some(0));
    assert_eq!(left_over(&lab), [""; 0]);
}
