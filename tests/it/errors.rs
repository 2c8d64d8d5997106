//! Errors that a user meets: each says what, where and what to do.

use std::{fs, io::Write as _, os::unix::fs::PermissionsExt as _};

use crate::support::*;

const ROW: &str = "{\"Id\":\"a\",\"ChannelType\":\"EMAIL\",\"Address\":\"a@example.com\"}\n";

#[test]
fn a_store_in_use_names_its_holder() {
    let lab = Lab::new();
    lab.write("rows.json", ROW);
    let mut holder = lab.import("-", "json", &[]).start();
    // Nothing is stored before there is something to read.
    holder.input.as_mut().unwrap().write_all(ROW.repeat(1000).as_bytes()).unwrap();
    assert!(
        holder.until(|| job_folders(&lab.path("data")).iter().any(|job| job.join("plan.ndjson").exists()))
    );
    let id = format!("in use by process {} (", holder.id());
    let words = [
        &id[..],
        "import - --format json",
        "hint: wait until it is done, or name another folder with --data",
    ];
    lab.import("rows.json", "json", &[]).expect(1).says(&words);
    lab.pinport(&["jobs", "ls"]).expect(1).says(&words);
    // A check needs no store.
    lab.import("rows.json", "json", &["--check"]).expect(0);
    assert_eq!(holder.wait().code, Some(0));
    lab.import("rows.json", "json", &[]).expect(0);
}

#[test]
fn what_is_not_there_is_named() {
    let lab = Lab::new();
    lab.write("folder/empty.json", "");
    lab.write("folder/rows.csv", "Id\n");
    let missing = lab.path("nothing.json");
    lab.import("nothing.json", "json", &[]).expect(1).says(&[missing.to_str().unwrap(), "No such file"]);
    lab.import("folder", "json", &[]).expect(1).says(&[
        "no object to read matches",
        "2 skipped; the first:",
        "empty.json: it is empty",
        "hint: check --format",
    ]);
    fs::create_dir(lab.path("nobody")).unwrap();
    lab.import("nobody", "json", &[]).expect(1).says(&["no object to read matches", "hint:"]);
    lab.import("gopher://x/y", "json", &[]).expect(2).says(&["gopher"]);
    assert!(!lab.path("data/store").exists(), "what was refused leaves no store");
}

#[test]
fn a_wrong_format_is_reported_before_anything_is_stored() {
    let lab = Lab::new();
    lab.write("rows.json", ROW);
    lab.write("rows.csv", "Id,ChannelType,Address\na,EMAIL,a@example.com\n");
    lab.write("names.csv", "customer,name\n1,x\n");
    lab.import("rows.csv", "json", &[]).expect(1).says(&[
        "rows.csv: it does not look like JSON",
        "line 1",
        "hint: check --format and the first lines of the object",
    ]);
    lab.import("rows.json", "csv", &[]).expect(1).says(&[
        "rows.json: line 1",
        "none of the columns",
        "hint:",
    ]);
    lab.import("names.csv", "csv", &[]).expect(1).says(&[
        "names.csv: line 1",
        "none of the columns Id, Address, User.UserId (it has \"customer\", \"name\")",
        "the header must be among the first 10 lines",
    ]);
    assert!(!lab.path("data/store").exists());
}

/// By another process: what this one has open for writing, a command that another test starts has open too for a moment, and
/// what someone has open for writing does not run.
fn copy_binary(lab: &Lab) {
    let copied = std::process::Command::new("cp").arg(BINARY).arg(lab.path("pinport")).status();
    assert!(copied.unwrap().success());
}

#[test]
fn what_may_not_be_read_is_named() {
    if !is_root() {
        return skip("what may not be read", "changing users needs root");
    }
    let lab = Lab::new();
    let open =
        |name: &str, mode| fs::set_permissions(lab.path(name), fs::Permissions::from_mode(mode)).unwrap();
    lab.write("in/secret/rows.json", ROW);
    lab.write("in/rows.json", ROW);
    lab.write("in/private.json", ROW);
    fs::create_dir(lab.path("data")).unwrap();
    copy_binary(&lab);
    for (name, mode) in [("", 0o755), ("data", 0o777), ("pinport", 0o755), ("in/secret", 0o700)] {
        open(name, mode);
    }
    let as_nobody = |source: &str| {
        let mut run = lab.import(source, "json", &["--segment", "s"]);
        let mut command = std::process::Command::new(lab.path("pinport"));
        command.args(run.command.get_args()).current_dir(lab.path("")).env("PINPORT_DATA", lab.path("data"));
        run.command = command;
        run.user(65_534)
    };
    as_nobody("in").expect(1).says(&["in/secret", "Permission denied"]);
    open("in/secret", 0o755);
    open("in/private.json", 0o600);
    // One file of several: the others are imported, and the job says what is missing.
    let outcome = as_nobody("in").run();
    assert_eq!(outcome.code, Some(1), "{}", outcome.err);
    outcome.says(&["private.json cannot be read", "ermission denied"]);
    as_nobody("in/private.json").expect(1).says(&["private.json cannot be read", "ermission denied"]);
    open("data", 0o755);
    let fresh = lab.path("data/store").exists();
    if !fresh {
        as_nobody("in/rows.json").expect(1).says(&["data", "ermission denied", "hint:"]);
    }
}

#[test]
fn a_store_of_a_newer_pinport_is_left_alone() {
    let lab = Lab::new();
    lab.write("rows.json", ROW);
    lab.import("rows.json", "json", &[]).expect(0);
    lab.write("data/store/layout", "4711\n");
    for run in [lab.import("rows.json", "json", &[]), lab.pinport(&["jobs", "ls"])] {
        run.expect(1).says(&[
            "has layout 4711; this pinport knows layouts up to",
            "hint: use the pinport that wrote it, or a newer one",
        ]);
    }
    lab.write("data/store/layout", "what\n");
    lab.pinport(&["jobs", "ls"]).expect(1).says(&[
        "the store is damaged",
        "layout",
        "hint: restore the data folder",
    ]);
}

#[test]
fn a_full_output_is_told_as_one() {
    let lab = Lab::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let Ok(full) = full else { return skip("full output", "there is no /dev/full") };
    for arguments in [&["sample", "--rows", "100000"][..], &["completions", "bash"]] {
        let mut command = lab.pinport(arguments).command;
        let output = command.stdout(full.try_clone().unwrap()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        // Not of the disk of the data, to which nothing was written.
        assert!(
            said.contains("hint: what standard output goes to has no room left")
                && !said.contains("same command"),
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn a_port_below_1024_is_told_as_one() {
    let lab = Lab::new();
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if first.is_ok_and(|first| first.trim() != "1024") {
        return skip("ports below 1024", "this system gives them to everybody");
    }
    let mut run = lab.pinport(&["serve", "--listen", "127.0.0.1:1023"]);
    if is_root() {
        // As another user, who may not reach the folder that it was built in.
        copy_binary(&lab);
        for name in ["", "pinport"] {
            fs::set_permissions(lab.path(name), fs::Permissions::from_mode(0o777)).unwrap();
        }
        let mut command = std::process::Command::new(lab.path("pinport"));
        command.args(run.command.get_args()).current_dir(lab.path(""));
        run.command = command;
        run = run.user(65_534);
    }
    run.expect(2).says(&["ports below 1024 are root's", "--listen", "CAP_NET_BIND_SERVICE"]);
}
