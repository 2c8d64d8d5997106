//! What fuzzing found worth keeping is run once more: every file of `fuzz/corpus`, by the same checks.
//!
//! `fuzz/run` makes the corpora; the seeds they begin with are written by `write_seeds` here, which no one else runs.

mod seeds;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use crate::{support::TOP, targets::TARGETS};

/// Bytes of a target's corpus, and of all of them.
const MOST_BYTES: [u64; 2] = [300 << 10, 3 << 20];

fn corpus() -> PathBuf {
    Path::new(TOP).join("fuzz/corpus")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_target_has_its_binary_and_its_corpus() {
    let names: Vec<_> = TARGETS.iter().map(|target| target.0.to_owned()).collect();
    let mut named = names.clone();
    named.sort();
    for (folder, suffix) in
        [("fuzz/corpus", ""), ("fuzz/fuzz_targets", ".rs"), ("fuzz/dictionaries", ".dict")]
    {
        let found = files(&Path::new(TOP).join(folder));
        let name =
            |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().trim_end_matches(suffix).to_owned();
        assert_eq!(found.iter().map(name).collect::<Vec<_>>(), named, "{folder}");
    }
    let mut all = 0;
    for name in names {
        let bytes: u64 =
            files(&corpus().join(&name)).iter().map(|file| fs::metadata(file).unwrap().len()).sum();
        assert!(bytes <= MOST_BYTES[0], "{name} has {bytes} bytes: fuzz/run --minimise {name}");
        all += bytes;
    }
    assert!(all <= MOST_BYTES[1], "{all} bytes");
}

#[test]
fn the_corpora_find_nothing() {
    let (mut inputs, mut bad) = (0, Vec::new());
    for (name, check) in TARGETS {
        check(b"");
        for file in files(&corpus().join(name)) {
            let bytes = fs::read(&file).unwrap();
            inputs += 1;
            if catch_unwind(AssertUnwindSafe(|| check(&bytes))).is_err() {
                bad.push(file);
            }
        }
    }
    assert_eq!(bad, [] as [PathBuf; 0]);
    println!("R6: {inputs} inputs of {} targets", TARGETS.len());
}
