//! Disks that fail (full, read-only, broken, no descriptors left): a clear error and no completion; when that is
//! mended, the same command goes on and nothing is missing.

use std::{fs, path::PathBuf, process::Command};

use serde_json::Value;

use crate::support::*;

/// A small file system in memory, unmounted when dropped.
pub(crate) struct Disk(PathBuf);

impl Disk {
    pub(crate) fn mount(path: PathBuf, size: &str) -> Result<Self, String> {
        fs::create_dir_all(&path).unwrap();
        if !is_root() {
            return Err("mounting a small disk needs root".into());
        }
        let options = format!("size={size}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).output();
        match mount {
            Ok(done) if done.status.success() => Ok(Self(path)),
            Ok(done) => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(crate) fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg(&self.0).status();
        assert!(std::thread::panicking() || done.unwrap().success());
    }
}

#[test]
fn a_full_disk_is_reported_and_the_import_goes_on_when_there_is_room() {
    let lab = Lab::new();
    let disk = match Disk::mount(lab.path("disk"), "14m") {
        Ok(disk) => disk,
        Err(reason) => return skip("a full disk", reason),
    };
    lab.write_sample("rows.json", "--rows 50000 --bad 1% --updates 2%");
    lab.write_sample("one.json", "--rows 1 --seed 99");
    lab.import_with("base", "one.json", "json", &[]).expect(0);
    for data in ["disk/data", "whole"] {
        copy_folder(&lab.path("base"), &lab.path(data));
    }
    let more = ["--segment", "s", "--piece", "1024"];
    let whole = lab.import_with("whole", "rows.json", "json", &more).expect(3).json();

    let full = lab.import_with("disk/data", "rows.json", "json", &more).expect(1);
    let disk_name = lab.path("disk/data");
    full.says(&[disk_name.to_str().unwrap(), "hint: free some space, then run the same command again"]);
    assert!(full.err.to_lowercase().contains("no space left"), "{}", full.err);
    let stopped = full.json();
    assert_ne!(stopped["JobStatus"], "COMPLETED");
    let (read, registered, failed) = counts(&stopped);
    assert!(read == registered + failed && read < 50_000);
    // Still full: it fails again, and says so again.
    let again = lab.import_with("disk/data", "rows.json", "json", &more).run();
    assert_eq!(again.code, Some(1), "{}", again.err);
    assert!(again.err.to_lowercase().contains("no space left"), "{}", again.err);

    disk.remount("size=400m");
    let outcome = lab.import_with("disk/data", "rows.json", "json", &more).expect(3);
    outcome.says(&["it goes on"]);
    same_outcome(&outcome.json(), &whole);
    let members = |data: &str, outcome| masked(&lab.members(data, "s"), outcome);
    same_lines(&members("disk/data", &outcome.json()), &members("whole", &whole), "the members");
}

/// An import that no fault disturbs, and the folder of data it began with.
struct Undisturbed {
    lab: Lab,
    outcome: Value,
}

const MORE: &[&str] = &["--segment", "s", "--piece", "512"];

impl Undisturbed {
    fn import(rows: u64) -> Self {
        let lab = Lab::new();
        lab.write_sample("rows.json", &format!("--rows {rows} --bad 1% --updates 2%"));
        lab.write_sample("one.json", "--rows 1 --seed 99");
        lab.import_with("base", "one.json", "json", &[]).expect(0);
        copy_folder(&lab.path("base"), &lab.path("whole"));
        let outcome = lab.import_with("whole", "rows.json", "json", MORE).expect(3).json();
        Self { lab, outcome }
    }

    /// The import into a new copy of the folder, which something is going to happen to.
    fn again(&self) -> Run {
        let _ = fs::remove_dir_all(self.lab.path("data"));
        copy_folder(&self.lab.path("base"), &self.lab.path("data"));
        self.lab.import("rows.json", "json", MORE)
    }

    /// It failed and says so with one of these words and a hint; with the fault gone it goes on to the same end.
    fn recovers(&self, failed: &Outcome, what: &str, words: &[&str]) {
        assert_eq!(failed.code, Some(1), "{what}: {}", failed.err);
        let error = serde_json::from_slice::<Value>(&failed.out).map(|json| json["Error"].to_string());
        let said = (failed.err.clone() + &error.unwrap_or_default()).to_lowercase();
        assert!(words.iter().any(|word| said.contains(word)) && said.contains("hint: "), "{what}: {said}");
        assert!(!said.contains("panic"), "{what}: {said}");
        if let Ok(json) = serde_json::from_slice::<Value>(&failed.out) {
            assert_ne!(json["JobStatus"], "COMPLETED", "{what}");
            let (read, registered, failed) = counts(&json);
            assert_eq!(read, registered + failed, "{what}");
        }
        let outcome = self.lab.import("rows.json", "json", MORE).expect(3);
        same_outcome(&outcome.json(), &self.outcome);
        let members = |data: &str, outcome| masked(&self.lab.members(data, "s"), outcome);
        same_lines(&members("data", &outcome.json()), &members("whole", &self.outcome), "the members");
    }
}

#[test]
fn a_failed_write_or_sync_stops_the_import_and_loses_nothing() {
    let whole = Undisturbed::import(8000);
    let mut random = Random::seeded("failed system calls");
    let sst = whole.lab.path("data/store/staging/7.sst");
    let sst = sst.to_str().unwrap();
    // Which calls fail, from the n-th of a thread on.
    let mut faults: Vec<(String, Option<&str>)> = Vec::new();
    for call in ["fsync", "fdatasync"] {
        for _ in 0..4 {
            faults.push((format!("{call}:error=EIO:when={}+", 1 + random.below(12)), None));
        }
    }
    faults.push(("write:error=EIO".into(), Some(sst)));
    faults.push(("write:error=ENOSPC".into(), Some(sst)));
    faults.push(("linkat,link:error=EIO".into(), None));
    let mut failures = 0;
    for (fault, path) in &faults {
        let inject = format!("inject={fault}");
        let mut arguments = vec!["-f", "-qq", "-o", "/dev/null", "-e", &inject];
        arguments.extend(path.iter().flat_map(|path| ["-P", *path]));
        let calls = format!("trace={}", fault.split(':').next().unwrap());
        arguments.extend(["-e", &calls]);
        let outcome = whole.again().under("strace", &arguments).run();
        if outcome.err.contains("ptrace") {
            return skip("failed system calls", outcome.err);
        }
        eprintln!("{fault}: {:?} {}", outcome.code, outcome.err.lines().last().unwrap_or_default());
        if outcome.code == Some(3) {
            // No thread came so far.
            same_outcome(&outcome.json(), &whole.outcome);
            continue;
        }
        failures += 1;
        whole.recovers(&outcome, fault, &["input/output error", "no space left"]);
    }
    assert!(failures >= 5, "only {failures} of {} faults came to bear", faults.len());
}

#[test]
fn without_descriptors_the_import_says_so_and_loses_nothing() {
    if Command::new("prlimit").arg("-V").output().is_err() {
        return skip("out of descriptors", "prlimit (util-linux) is not installed");
    }
    let whole = Undisturbed::import(8000);
    let (mut failures, mut enough) = (0, 0);
    for most in [12, 16, 20, 24, 28, 32, 40, 64, 256] {
        let outcome = whole.again().under("prlimit", &[&format!("--nofile={most}")]).run();
        eprintln!(
            "{most} descriptors: {:?} {}",
            outcome.code,
            outcome.err.lines().last().unwrap_or_default()
        );
        if outcome.code == Some(3) {
            same_outcome(&outcome.json(), &whole.outcome);
            enough += 1;
            continue;
        }
        failures += 1;
        whole.recovers(&outcome, &format!("{most} descriptors"), &["too many open files"]);
    }
    assert!(failures >= 2 && enough >= 1, "{failures} failed, {enough} did not");
}

#[test]
fn a_read_only_folder_is_reported() {
    let whole = Undisturbed::import(2000);
    let disk = match Disk::mount(whole.lab.path("data"), "400m") {
        Ok(disk) => disk,
        Err(reason) => return skip("a read-only folder", reason),
    };
    copy_folder(&whole.lab.path("base"), &whole.lab.path("data"));
    disk.remount("ro");
    let failed = whole.lab.import("rows.json", "json", MORE).run();
    disk.remount("rw");
    whole.recovers(&failed, "read-only", &["read-only file system"]);
}
