//! The command: imports that are ended at a boundary and run again.

use std::fs;

use serde_json::Value;

use crate::{Passed, abort_at, list, list::In, passed, support::*, times};

const MORE: &[&str] = &["--segment", "s", "--piece", "32"];
const SAMPLE: &str = "--bad 2% --updates 3% --format csv";

/// Three objects, one of them a gzip of several members, with two headers between them: rejects go to two files.
/// The last has a column that are unknown, of which a piece in the middle warns.
fn write_objects(lab: &Lab) {
    let part = |start: u64| lab.sample(&format!("--rows 700 --start {start} {SAMPLE}"));
    lab.write("in/0.csv", part(0));
    let rows = part(700);
    let members: Vec<&[u8]> = rows.chunks(rows.len() / 3 + 11).collect();
    lab.write("in/1.csv.gz", gzip(&members));
    let mut other = String::from("Id,ChannelType,Address,Nonsense\n");
    for row in 0..600 {
        let channel = if row % 50 == 7 { "PIGEON" } else { "EMAIL" };
        other += &format!("other-{row},{channel},other-{row}@example.com,{:0100}\n", row);
    }
    lab.write("in/2.csv", other);
}

/// What an import that was not disturbed did, from a folder of data to begin with.
struct Whole<'a> {
    lab: &'a Lab,
    /// The folder it began with; empty for none.
    base: &'a str,
    passed: Passed,
    outcome: Value,
    /// The members of its segment, with what differs from application to application masked; only how many where
    /// every run makes an application of its own.
    members: String,
}

impl<'a> Whole<'a> {
    fn import(lab: &'a Lab, base: &'a str) -> Self {
        let data = format!("whole-{base}");
        copy(lab, base, &data);
        let trail = lab.path(&format!("{data}.trail"));
        let run =
            lab.import_with(&data, "in", "csv", MORE).env("PINPORT_BOUNDARIES", trail.to_str().unwrap());
        let outcome = run.expect(3).json();
        let members = members(lab, base, &data, &outcome);
        Self { lab, base, passed: passed(&trail), outcome, members }
    }

    /// Ends an import at a boundary, runs it again, and looks whether anything is different for it.
    fn survives(&self, name: &str, n: u64) {
        let (lab, data) = (self.lab, "torn");
        copy(lab, self.base, data);
        let what = format!("{name}, time {n}");
        let torn = lab.import_with(data, "in", "csv", MORE).env("FAILPOINTS", &abort_at(name, n)).run();
        assert_eq!(torn.code, None, "{what}: it did not abort\n{}", torn.err);
        let again = lab.import_with(data, "in", "csv", MORE).run();
        assert_eq!(again.code, Some(3), "{what}: {}", again.err);
        eprintln!("{what}: {}", again.err.lines().next().unwrap_or_default());
        let outcome = again.json();
        same_outcome(&outcome, &self.outcome);
        same_lines(&members(lab, self.base, data, &outcome), &self.members, &format!("{what}: the members"));
        let jobs = lines(&lab.pinport_with(data, &["jobs", "ls", "--json"]).expect(0).out);
        let ours = jobs.iter().filter(|job| job["Definition"]["S3Url"] == "in").count();
        assert_eq!(ours, 1, "{what}: one job is made and gone on with");
        assert_eq!(fs::read_dir(lab.path(data).join("store/staging")).unwrap().count(), 0, "{what}");
        assert!(!job_folders(&lab.path(data)).pop().unwrap().join("untold").exists(), "{what}");
    }

    /// At all boundaries that it passed.
    fn survives_all(&self, random: &mut Random) -> u64 {
        let mut aborts = 0;
        for (name, count) in &self.passed {
            for n in times(*count, random) {
                self.survives(name, n);
                aborts += 1;
            }
        }
        aborts
    }
}

fn copy(lab: &Lab, base: &str, data: &str) {
    let _ = fs::remove_dir_all(lab.path(data));
    if !base.is_empty() {
        copy_folder(&lab.path(base), &lab.path(data));
    }
}

fn members(lab: &Lab, base: &str, data: &str, outcome: &Value) -> String {
    let members = masked(&lab.members(data, "s"), outcome);
    if base.is_empty() { members.lines().count().to_string() } else { members }
}

/// Whether all boundaries of a place were passed.
fn all_of(place: In, passed: &Passed) {
    let missing: Vec<_> = list::of(place).filter(|name| !passed.contains_key(*name)).collect();
    assert!(missing.is_empty(), "{missing:?} are not passed in {place:?}");
}

/// A folder with an application, so that every copy derives the same ids.
fn base(lab: &Lab) {
    write_objects(lab);
    lab.write("one.json", lab.sample("--rows 1 --seed 99"));
    lab.import_with("base", "one.json", "json", &[]).expect(0);
}

#[test]
fn a_first_import_survives_an_abort_at_every_boundary() {
    let lab = Lab::new();
    write_objects(&lab);
    let whole = Whole::import(&lab, "");
    all_of(In::First, &whole.passed);
    let mut aborts = 0;
    // The others have their turn in the next test; here the folder, the store and the application are made.
    for name in list::of(In::First).chain(["store.locked", "store.swept", "store.opened"]) {
        for n in 0..whole.passed[name] {
            whole.survives(name, n);
            aborts += 1;
        }
    }
    for name in ["write.begun", "write.durable"] {
        for n in 0..3 {
            whole.survives(name, n);
            aborts += 1;
        }
    }
    eprintln!("{aborts} aborts");
}

#[test]
fn an_import_survives_an_abort_at_every_boundary() {
    let lab = Lab::new();
    base(&lab);
    let mut random = Random::seeded("aborts of an import");
    let whole = Whole::import(&lab, "base");
    all_of(In::Import, &whole.passed);
    assert!(whole.outcome["TotalPieces"].as_u64().unwrap() > 10, "{}", whole.outcome);
    assert_eq!(reject_files(&whole.outcome).len(), 2);
    let aborts = whole.survives_all(&mut random);
    eprintln!("{aborts} aborts at {} boundaries", whole.passed.len());
}

#[test]
fn an_import_that_loses_an_object_says_so_after_an_abort_too() {
    let lab = Lab::new();
    base(&lab);
    lab.write("in/3.csv", "a;b\n1;2\n");
    copy(&lab, "base", "lost");
    let trail = lab.path("lost.trail");
    let run = lab.import_with("lost", "in", "csv", MORE).env("PINPORT_BOUNDARIES", trail.to_str().unwrap());
    let whole = run.expect(1).json();
    assert_eq!(whole["LostObjects"].as_array().unwrap().len(), 1);
    let passed = passed(&trail);
    all_of(In::Lost, &passed);
    for name in list::of(In::Lost) {
        for n in 0..passed[name] {
            copy(&lab, "base", "torn");
            let torn = lab.import_with("torn", "in", "csv", MORE).env("FAILPOINTS", &abort_at(name, n)).run();
            assert_eq!(torn.code, None, "{name}: it did not abort\n{}", torn.err);
            let again = lab.import_with("torn", "in", "csv", MORE).expect(1).json();
            same_outcome(&again, &whole);
            assert_eq!(again["LostObjects"], whole["LostObjects"]);
        }
    }
}

#[test]
fn an_import_without_a_segment_counts_its_ids_again_after_an_abort() {
    let lab = Lab::new();
    base(&lab);
    copy(&lab, "base", "whole");
    let whole = lab.import_with("whole", "in", "csv", &[]).expect(3).json();
    for name in ["job.all-committed", "job.ending"] {
        copy(&lab, "base", "torn");
        let torn = lab.import_with("torn", "in", "csv", &[]).env("FAILPOINTS", &abort_at(name, 0)).run();
        assert_eq!(torn.code, None, "{name}: it did not abort\n{}", torn.err);
        let again = lab.import_with("torn", "in", "csv", &[]).expect(3).json();
        assert_eq!(again["Notices"], whole["Notices"], "{name}");
        let jobs = job_folders(&lab.path("torn"));
        assert!(jobs.iter().all(|job| !job.join("ids").exists()), "{name}");
    }
}

#[test]
fn a_recovery_survives_an_abort_at_every_boundary() {
    let lab = Lab::new();
    base(&lab);
    let mut random = Random::seeded("aborts of a recovery");
    let undisturbed = Whole::import(&lab, "base");
    // The piece in which the second file of rejects is begun is lost, and so is the file.
    copy(&lab, "base", "crashed");
    let synced = undisturbed.passed["rejects.synced"];
    let crash = (1..synced).find(|n| {
        copy(&lab, "base", "crashed");
        let torn =
            lab.import_with("crashed", "in", "csv", MORE).env("FAILPOINTS", &abort_at("rejects.synced", *n));
        assert_eq!(torn.run().code, None);
        job_folders(&lab.path("crashed")).pop().unwrap().join("rejects-2.csv").exists()
    });
    assert!(crash.is_some(), "no piece begins a second file of rejects");
    let whole = Whole::import(&lab, "crashed");
    same_outcome(&whole.outcome, &undisturbed.outcome);
    assert_eq!(whole.members, undisturbed.members);
    all_of(In::Recovery, &whole.passed);
    let aborts = whole.survives_all(&mut random);
    eprintln!("{aborts} aborts at {} boundaries", whole.passed.len());
}

#[test]
fn a_panic_at_a_boundary_is_reported_and_the_import_goes_on() {
    let lab = Lab::new();
    base(&lab);
    let whole = Whole::import(&lab, "base");
    for name in
        ["run.begun", "run.synced", "piece.begun", "failures.synced", "ingest.begun", "ingest.durable"]
    {
        copy(&lab, "base", "torn");
        let n = whole.passed[name] / 2;
        let failing = format!("{name}={n}*off->panic(boundary)");
        let failed = lab.import_with("torn", "in", "csv", MORE).env("FAILPOINTS", &failing).expect(1);
        failed.says(&["a defect in pinport stopped the job"]);
        assert_ne!(failed.json()["JobStatus"], "COMPLETED");
        let again = lab.import_with("torn", "in", "csv", MORE).expect(3);
        again.says(&["it goes on"]);
        same_outcome(&again.json(), &whole.outcome);
    }
}
