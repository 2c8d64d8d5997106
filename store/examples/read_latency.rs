//! How long single reads of a store in PostgreSQL take: an endpoint, the endpoints of a user, a page of 1,000 members. Prints
//! p50 and p99 in milliseconds. `benches/scale` runs it beside an import.
//!
//!     cargo run --release -p pinport-store --example read_latency -- postgres://… APPLICATION SEGMENT [SECONDS]

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement")]

use std::time::{Duration, Instant};

use pinport_model::{Endpoint, RecordLimits};
use pinport_store::{
    Store,
    postgres::{Postgres, PostgresOptions},
};

/// Members of a page.
const PAGE: usize = 1000;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [url, application, segment, rest @ ..] = &arguments[..] else {
        panic!("read_latency URL APPLICATION SEGMENT [SECONDS]");
    };
    let seconds = rest.first().map_or(5, |seconds| seconds.parse().unwrap());
    let options = PostgresOptions::new(url, |name| std::env::var(name).ok()).unwrap();
    let store = Postgres::open(options, "read_latency/0", &RecordLimits::default()).unwrap();
    let application = application.parse().unwrap();
    let segment = store.segment(application, segment.parse().unwrap()).unwrap().unwrap();
    let version = segment.current().unwrap();
    let first = store.members(&segment, version, None, PAGE).unwrap();
    assert_eq!(first.len(), PAGE, "the segment is too small");
    let each = Duration::from_secs(seconds) / 3;
    let mut next = first.iter().cycle();
    measure("GetEndpoint", each, || {
        let endpoint = next.next().unwrap();
        assert_eq!(store.endpoint(application, &endpoint.id).unwrap().as_ref(), Some(endpoint));
    });
    let users: Vec<_> = first.iter().filter(|endpoint| endpoint.user.user_id.is_some()).collect();
    let mut next = users.iter().cycle();
    measure("endpoints of a user", each, || {
        let endpoint = next.next().unwrap();
        let user = endpoint.user.user_id.as_deref().unwrap();
        let found = store.user_endpoints(application, user, None, 100).unwrap();
        assert!(found.iter().any(|found| found.id == endpoint.id));
    });
    let mut after = None;
    measure("a page of 1,000 members", each, || {
        let page = store.members(&segment, version, after.as_deref(), PAGE).unwrap();
        assert!(!page.is_empty(), "the segment has no more");
        after = page.last().filter(|_| page.len() == PAGE).map(|last: &Endpoint| last.id.clone());
    });
}

/// Reads again and again for some time.
fn measure(what: &str, time: Duration, mut read: impl FnMut()) {
    read();
    let begun = Instant::now();
    let mut took = Vec::new();
    while begun.elapsed() < time {
        let at = Instant::now();
        read();
        took.push(at.elapsed());
    }
    took.sort_unstable();
    let at = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)].as_secs_f64() * 1000.0;
    println!("{what:<34}{:>10.2}{:>10.2}   ms, of {} reads", at(50), at(99), took.len());
}
