//! Every acknowledgement follows the syncs it rests on, by strace.

use std::process::{Command, Stdio};

use crate::{Way, child};

/// The trace of a child that commits four pieces in this way, with `inject` done to its calls; `None`, and why, if tracing is not
/// possible here.
fn traced(way: Way, inject: &[&str]) -> Option<String> {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: strace is not installed");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let mut program = Command::new("strace");
    program.args(["-f", "-y", "-s", "64", "-o"]).arg(&trace);
    program.args(["-e", "trace=fsync,fdatasync,sync_file_range,link,linkat,rename,write"]);
    for inject in inject {
        program.args(["-e", &format!("inject={inject}")]);
    }
    program.arg(std::env::current_exe().unwrap());
    let store = folder.path().join("new/store");
    let output =
        crate::child(&mut program, &store, child::TRACED, way).stderr(Stdio::piped()).output().unwrap();
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.contains("ptrace"), "{message}");
        println!("skipped: strace is not allowed here");
        return None;
    }
    Some(std::fs::read_to_string(trace).unwrap())
}

/// Whether each acknowledgement of a trace follows its syncs; how many there are.
fn judge(way: Way, trace: &str) -> Result<u64, String> {
    let need = |is: bool, what: &str| if is { Ok(()) } else { Err(what.to_owned()) };
    let (mut since, mut acknowledged) = (Vec::<&str>::new(), 0);
    let mut opened = false;
    for line in trace.lines() {
        if line.contains("write(1<") && line.contains("opened") {
            opened = true;
            for folder in ["/new>", "/new/store>", "/layout.new>"] {
                need(since.iter().any(|line| synced(line, folder)), "the folders and the layout are synced")?;
            }
            since.clear();
        } else if line.contains("write(1<") && line.contains("acknowledged") {
            acknowledged += 1;
            let logged = since.iter().filter(|line| synced(line, ".log>")).count();
            if way == Way::Log {
                need(logged == 1, "a small piece is one sync of the log")?;
                need(!since.iter().any(|line| synced(line, "/staging/")), "a small piece is no file")?;
                since.clear();
                continue;
            }
            let files = since.iter().filter(|line| synced(line, "/staging/")).count();
            need(files == 5, "a file a table is synced")?;
            need(since.iter().filter(|line| line.contains("link(")).count() == 5, "five files are linked")?;
            let place = |what: &str| since.iter().rposition(|line| synced(line, what));
            let (data, folder) = (place("/staging/").or(place(".sst>")), place("/db>"));
            let manifest = place("/db/MANIFEST-");
            need(data < folder && folder < manifest, "files, then their folder, then the manifest")?;
            need(manifest.is_some(), "the manifest is synced")?;
            since.clear();
        } else if line.contains("write(1<") && line.contains("put") {
            need(since.iter().any(|line| synced(line, ".log>")), "the log is synced")?;
            since.clear();
        } else if line.contains("write(1<") && line.contains("hundred") {
            let logged = since.iter().filter(|line| synced(line, ".log>")).count();
            need(logged == 1, "a batch of endpoints is one sync of the log")?;
            since.clear();
        } else {
            since.push(line);
        }
    }
    need(opened, "the store was opened")?;
    Ok(acknowledged)
}

/// Whether a line is a sync of this path that was done.
fn synced(line: &str, path: &str) -> bool {
    (line.contains("fsync(") || line.contains("fdatasync("))
        && line.contains(path)
        && !line.contains("INJECTED")
}

#[test]
fn every_acknowledgement_follows_its_syncs() {
    for way in [Way::Runs, Way::Log] {
        if let Some(trace) = traced(way, &[]) {
            assert_eq!(judge(way, &trace), Ok(child::TRACED), "{way:?}");
        }
    }
}

#[test]
fn syncs_that_are_not_done_are_noticed() {
    // The call says that it worked, and did nothing.
    for (calls, noticed) in [
        ("fsync,fdatasync:retval=0", "the folders and the layout are synced"),
        ("fsync:retval=0", "the folders and the layout are synced"),
        ("fdatasync:retval=0", "a file a table is synced"),
    ] {
        let Some(trace) = traced(Way::Runs, &[calls]) else { return };
        assert_eq!(judge(Way::Runs, &trace), Err(noticed.to_owned()), "{calls}");
        println!("{calls}: noticed, \"{noticed}\"");
    }
    // One kind of sync at a time is taken out of a trace that is right.
    let Some(trace) = traced(Way::Runs, &[]) else { return };
    for (path, noticed) in [
        ("/new>", "the folders and the layout are synced"),
        ("/layout.new>", "the folders and the layout are synced"),
        ("/staging/", "a file a table is synced"),
        ("/db>", "files, then their folder, then the manifest"),
        ("/db/MANIFEST-", "files, then their folder, then the manifest"),
        (".log>", "the log is synced"),
    ] {
        let without: Vec<_> = trace.lines().filter(|line| !synced(line, path)).collect();
        assert_eq!(judge(Way::Runs, &without.join("\n")), Err(noticed.to_owned()), "{path}");
    }
    let Some(trace) = traced(Way::Log, &[]) else { return };
    let without: Vec<_> = trace.lines().filter(|line| !synced(line, ".log>")).collect();
    let noticed = "a small piece is one sync of the log".to_owned();
    assert_eq!(judge(Way::Log, &without.join("\n")), Err(noticed));
}
