//! Aborts the real binary at every boundary of a commit, at the first, a middle, the last and some other time it
//! is passed; then the same command again, left alone, must give what an import that was never disturbed gives.
//!
//! Needs the feature `failpoints`; `scripts/test` runs it. `PINPORT_TORTURE_SEED` repeats the times.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

#[path = "../../store/tests/conformance/cluster.rs"]
mod cluster;
mod database;
mod exports;
#[path = "../it/fault_store.rs"]
#[allow(dead_code, reason = "the other test binary uses the rest")]
mod fault_store;
#[path = "../it/http.rs"]
#[allow(dead_code, reason = "the other test binary uses the rest")]
mod http;
mod imports;
mod list;
#[path = "../it/pair.rs"]
#[allow(dead_code, reason = "the other test binary uses the rest")]
mod pair;
#[path = "../it/pg_proxy.rs"]
#[allow(dead_code, reason = "the other test binary uses the rest")]
mod pg_proxy;
mod server;
#[path = "../it/serving.rs"]
#[allow(dead_code, reason = "the other test binary uses the rest")]
mod serving;
#[path = "../it/support.rs"]
#[allow(dead_code, reason = "the other test binary uses the rest")]
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use support::TOP;

/// How often a run passed each boundary.
pub(crate) type Passed = BTreeMap<String, u64>;

/// Reads the file that `PINPORT_BOUNDARIES` named.
pub(crate) fn passed(trail: &Path) -> Passed {
    let mut passed = Passed::new();
    for name in fs::read_to_string(trail).unwrap_or_default().lines() {
        *passed.entry(name.to_owned()).or_default() += 1;
    }
    passed
}

/// What makes the process abort when it passes the boundary for the `n`-th time, from 0.
pub(crate) fn abort_at(name: &str, n: u64) -> String {
    match n {
        0 => format!("{name}=return"),
        n => format!("{name}={n}*off->return"),
    }
}

/// The first, a middle, the last and some other one of `count` times.
pub(crate) fn times(count: u64, random: &mut support::Random) -> BTreeSet<u64> {
    [0, count / 2, count - 1, random.below(count)].into()
}

#[test]
fn the_list_of_boundaries_is_complete() {
    let mut found = BTreeSet::new();
    let mut folders: Vec<_> =
        ["src", "store/src", "pipeline/src", "server/src"].map(|name| Path::new(TOP).join(name)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            for after in fs::read_to_string(&path).unwrap().split("boundary(\"").skip(1) {
                let name = after.split_once('"').unwrap().0.to_owned();
                assert!(found.insert(name.clone()), "{name} is the name of two boundaries");
            }
        }
    }
    let listed: BTreeSet<String> = list::BOUNDARIES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(listed.len(), list::BOUNDARIES.len());
    assert_eq!(listed, found);
}
