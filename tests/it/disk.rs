//! A full disk: a clear error and no completion; when there is room again, the same command goes on.

use std::{fs, path::PathBuf, process::Command};

use crate::support::*;

/// A small file system in memory, unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(path: PathBuf, size: &str) -> Result<Self, String> {
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

    fn enlarge(&self, size: &str) {
        let options = format!("remount,size={size}");
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
fn a_full_disk_is_told_and_the_import_goes_on_when_there_is_room() {
    let lab = Lab::new();
    let disk = match Disk::mount(lab.path("disk"), "14m") {
        Ok(disk) => disk,
        Err(reason) => return skip("a full disk", reason),
    };
    lab.write("rows.json", lab.sample("--rows 50000 --bad 1% --updates 2%"));
    lab.write("one.json", lab.sample("--rows 1 --seed 99"));
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

    disk.enlarge("400m");
    let outcome = lab.import_with("disk/data", "rows.json", "json", &more).expect(3);
    outcome.says(&["it goes on"]);
    same_outcome(&outcome.json(), &whole);
    let members = |data: &str, outcome| masked(&lab.members(data, "s"), outcome);
    same_lines(&members("disk/data", &outcome.json()), &members("whole", &whole), "the members");
}
