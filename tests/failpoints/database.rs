//! Servers that share a database, one of which has a clock that jumps, or commits without asking whether it may.

use std::fs;

use crate::pair::{Pair, Setting, duplicates, number, until, until_more};

/// Without the token the tests of frozen servers would find what it prevents: records that are stored twice.
#[test]
fn a_frozen_server_that_need_not_ask_commits_twice() {
    let unchecked = || Some(("PINPORT_UNCHECKED_TOKENS", "1".to_owned()));
    let pair = Pair::start(Setting { variables: [unchecked(), unchecked()], ..Setting::default() });
    pair.first.signal(libc::SIGSTOP);
    let ended = pair.second.ended(&pair.app, &pair.job);
    assert_eq!((&ended["JobStatus"], duplicates(&pair.cluster)), (&"COMPLETED".into(), 0));
    pair.first.signal(libc::SIGCONT);
    pair.first.until_said("another server works on it");
    assert!(
        duplicates(&pair.cluster) > 0,
        "the tests that count duplicates find none where there must be some"
    );
}

#[test]
fn a_clock_that_jumps_takes_no_job_and_keeps_none() {
    let lab = crate::support::Lab::new();
    let files = ["first", "second"].map(|name| lab.path(&format!("{name}.clock")));
    let jump = |at: usize, seconds: i64| {
        let whole = lab.path("clock");
        fs::write(&whole, (seconds * 1000).to_string()).unwrap();
        fs::rename(&whole, &files[at]).unwrap();
    };
    jump(0, 0);
    jump(1, 7200);
    let variables = files.each_ref().map(|file| Some(("PINPORT_CLOCK", file.to_str().unwrap().to_owned())));
    let pair = Pair::start(Setting { rate: 4000, variables, ..Setting::default() });
    // One is hours ahead and looks for jobs each second: a lease by its clock would have ended long ago.
    pair.second.until_said("listens on");
    let seen = "SELECT count(*) FROM pinport.servers";
    until(&pair.cluster, seen, |servers| servers == "2");
    for seconds in [86_400, -86_400, 0] {
        jump(0, seconds);
        until_more(&pair.cluster, 3);
        jump(1, -seconds);
        until_more(&pair.cluster, 3);
    }
    assert_eq!(
        number(&pair.cluster, "SELECT count(DISTINCT token) FROM pinport.pieces"),
        1,
        "it changed hands"
    );
    // And whoever is a day behind loses its job when the lease has ended by the database's clock.
    jump(0, -86_400);
    pair.first.signal(libc::SIGSTOP);
    until(&pair.cluster, "SELECT count(DISTINCT token) FROM pinport.pieces", |tokens| tokens == "2");
    pair.first.signal(libc::SIGKILL);
    pair.check(&pair.second);
}
