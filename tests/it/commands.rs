//! The commands that read: endpoints, segments, jobs; and that each of them helps.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use crate::support::*;

fn filled() -> (Lab, serde_json::Value) {
    let lab = Lab::new();
    lab.write_sample("one.json", "--rows 4000 --bad 2%");
    lab.write_sample("two.json", "--rows 500 --start 4000");
    let one = lab.import("one.json", "json", &["--segment", "s"]).expect(3).json();
    lab.import("two.json", "json", &["--segment", "s"]).expect(0);
    (lab, one)
}

#[test]
fn segments_and_their_versions() {
    let (lab, one) = filled();
    lab.import("two.json", "json", &["--segment", "other", "--app", "shop"]).expect(0);
    let segments = lines(&lab.pinport(&["segment", "ls", "--json"]).expect(0).out);
    assert_eq!(segments.len(), 1, "another application's segments are its own");
    let registered = counts(&one).1;
    let current = &segments[0]["current"];
    assert_eq!((&current["version"], &current["size"]), (&2.into(), &(registered + 500).into()));
    let table = String::from_utf8(lab.pinport(&["segment", "ls"]).expect(0).out).unwrap();
    assert!(
        table.lines().count() == 2 && table.contains("NAME") && table.trim_end().ends_with(" s"),
        "{table}"
    );

    let of_version = |version: &str| lab.pinport(&["segment", "members", "s", "--version", version]);
    assert_eq!(lines(&of_version("1").expect(0).out).len() as u64, registered);
    assert_eq!(lines(&of_version("2").expect(0).out).len() as u64, registered + 500);
    assert_eq!(of_version("2").expect(0).out, lab.members("data", "s"));
    of_version("3").expect(1).says(&["no such version"]);
    // By id too.
    let id = segments[0]["id"].as_str().unwrap();
    assert_eq!(lab.members("data", id), lab.members("data", "s"));
    assert_eq!(
        lines(&lab.pinport(&["segment", "members", "other", "--app", "shop"]).expect(0).out).len(),
        500
    );
}

#[test]
fn a_segment_is_made_of_what_its_members_have_in_common() {
    let (lab, _) = filled();
    let all = lines(&lab.members("data", "s"));
    let is_one = |member: &serde_json::Value| {
        member["ChannelType"] == "EMAIL" && member["Location"]["Country"] == "CAN"
    };
    let expected = all.iter().filter(|member| is_one(member)).count();
    assert!(expected > 0 && expected < all.len(), "{expected} of {}", all.len());
    let tests = "Demographic.Channel = 'EMAIL' and Location.Country in ('CAN')";
    let make = |name: &str, tests: &str| lab.pinport(&["segment", "create", name, "--where", tests]);
    let made = make("found", tests).expect(0);
    made.says(&[&format!("segment \"found\": {expected} members")]);
    let id = String::from_utf8(made.out).unwrap();
    let found = lines(&lab.members("data", "found"));
    assert_eq!(found, all.iter().filter(|member| is_one(member)).cloned().collect::<Vec<_>>());
    let table = String::from_utf8(lab.pinport(&["segment", "ls"]).expect(0).out).unwrap();
    let row = table.lines().find(|line| line.starts_with(id.trim())).unwrap();
    assert!(row.contains(&format!(" {expected} ")) && row.contains("counted"), "{row}");
    // Made of it.
    make("rest", &format!("Segment != '{}'", id.trim())).expect(0);
    assert_eq!(lines(&lab.members("data", "rest")).len(), all.len() - expected);
    let out = lab.pinport(&["export", "out.csv", "--segment", "found", "--format", "csv"]).expect(0);
    out.says(&[&format!("exported {expected} endpoints")]);

    let print = lab.pinport(&["segment", "create", "x", "--where", tests, "--print"]).expect(0);
    let request: serde_json::Value = serde_json::from_slice(&print.out).unwrap();
    assert_eq!(request["Dimensions"]["Location"]["Country"]["Values"][0], "CAN");
    make("wrong", "Location.Country = CAN").expect(2).says(&[
        "--where: a value stands in single quotes: 'CAN'",
        "  Location.Country = CAN\n                     ^",
    ]);
    make("wrong", &format!("Segment = '{}'", "0".repeat(32))).expect(2).says(&["there is no segment"]);
}

#[test]
fn a_settled_store_has_few_files_and_the_same_endpoints() {
    let (lab, _) = filled();
    let runs = || {
        let files = std::fs::read_dir(lab.path("data/store/db")).unwrap().map(|file| file.unwrap().path());
        files.filter(|file| file.extension().is_some_and(|suffix| suffix == "sst")).count()
    };
    let (before, members) = (runs(), lab.members("data", "s"));
    lab.pinport(&["settle"]).expect(0).says(&["is settled"]);
    assert!(runs() < before, "{before} runs became {}", runs());
    assert_eq!(lab.members("data", "s"), members);
    lab.pinport_with("nothing", &["settle"]).expect(2).says(&["no pinport data"]);
}

#[test]
fn an_endpoint_is_printed_as_its_segment_has_it() {
    let (lab, _) = filled();
    for member in lines(&lab.members("data", "s")).iter().step_by(500) {
        assert_eq!(lab.endpoint(member["Id"].as_str().unwrap()), *member);
    }
}

#[test]
fn a_segment_of_copies_registers_nothing() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 50");
    lab.import("rows.json", "json", &["--segment", "s", "--segment-only"]).expect(0);
    let members = lines(&lab.members("data", "s"));
    assert_eq!(members.len(), 50);
    lab.pinport(&["endpoint", "get", members[0]["Id"].as_str().unwrap()]).expect(1);
}

#[test]
fn jobs_are_found_by_id_prefix_and_last() {
    let (lab, one) = filled();
    let jobs = lines(&lab.pinport(&["jobs", "ls", "--json"]).expect(0).out);
    assert_eq!(jobs.len(), 2);
    assert_eq!(jobs[1]["Id"], one["Id"], "newest first");
    assert_eq!(lines(&lab.pinport(&["jobs", "ls", "--json", "--limit", "1"]).expect(0).out), jobs[..1]);
    let show = |job: &str| lab.pinport(&["jobs", "show", job, "--json"]);
    assert_eq!(show("last").expect(0).json(), jobs[0]);
    let id = one["Id"].as_str().unwrap();
    let other = jobs[0]["Id"].as_str().unwrap();
    let common = id.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    for job in [id, &id[..common + 1], &id[..31], &id[24..]] {
        let mut shown = show(job).expect(0).json();
        let mut expected = one.clone();
        expected.as_object_mut().unwrap().remove("Run");
        assert_eq!(shown.as_object_mut().unwrap().remove("Run"), None);
        assert_eq!(shown, expected);
    }
    show(&id[..common]).expect(2).says(&["2 jobs have ids with", "give more of the id"]);
    let text = String::from_utf8(lab.pinport(&["jobs", "show", id]).expect(0).out).unwrap();
    for word in ["status    COMPLETED", "one.json", "4,000 read =", "by reason, with the first of each"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let printed = lab.pinport(&["jobs", "failures", id]).expect(0).out;
    assert_eq!(printed, failures(&one));
    assert_eq!(lines(&printed).len() as u64, counts(&one).2);
    let rejects = lab.pinport(&["jobs", "rejects", &id[..common + 1]]).expect(0).out;
    assert_eq!(rejects, std::fs::read(&reject_files(&one)[0]).unwrap());
    for command in ["failures", "rejects"] {
        assert!(lab.pinport(&["jobs", command, "last"]).expect(0).out.is_empty());
    }
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let (lab, one) = filled();
    let id = one["Id"].as_str().unwrap();
    for arguments in [
        &["segment", "members", "s"][..],
        &["sample", "--rows", "100000"],
        &["jobs", "failures", id],
        &["jobs", "rejects", id],
        &["jobs", "show", id, "--json"],
        &["completions", "bash"],
    ] {
        let mut command = lab.pinport(arguments).command;
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        let mut reader = BufReader::with_capacity(64, child.stdout.take().unwrap());
        reader.read_line(&mut first).unwrap();
        assert!(!first.is_empty(), "{arguments:?}");
        drop(reader);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*said), (Some(0), ""), "{arguments:?}");
    }
}

/// The commands below `path`, by what its help lists.
fn commands(lab: &Lab, path: &[String], found: &mut Vec<Vec<String>>) {
    let help = lab.pinport(&[]).args(path).args(["--help"]).expect(0);
    let help = String::from_utf8(help.out).unwrap();
    let Some((_, list)) = help.split_once("Commands:\n") else {
        found.push(path.to_vec());
        assert!(help.contains("Example"), "`pinport {} --help` has no example", path.join(" "));
        assert!(
            help.contains(&format!("  pinport {}", path.join(" ")))
                || help.contains(&format!("| pinport {}", path.join(" "))),
            "{help}"
        );
        return;
    };
    for line in list.lines().take_while(|line| !line.is_empty()) {
        let name = line.split_whitespace().next().unwrap();
        if line.starts_with("  ") && !line.starts_with("   ") && name != "help" {
            commands(lab, &[path, &[name.to_owned()]].concat(), found);
        }
    }
}

#[test]
fn every_command_helps_with_an_example() {
    let lab = Lab::new();
    let mut found = Vec::new();
    commands(&lab, &[], &mut found);
    assert!(found.len() >= 10, "{found:?}");
    let help = String::from_utf8(lab.pinport(&["import", "--help"]).expect(0).out).unwrap();
    for flag in
        ["--check", "--max-failures", "--fresh", "--json", "--segment", "--app", "--data", "Exit codes"]
    {
        assert!(help.contains(flag), "{flag}");
    }
}

#[test]
fn completions_are_scripts() {
    let lab = Lab::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = lab.pinport(&["completions", shell]).expect(0).out;
        assert!(script.len() > 1000, "{shell}");
        let path = lab.write(&format!("script.{shell}"), script);
        match Command::new(shell).arg("-n").arg(path).output() {
            Ok(output) => {
                assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr))
            }
            Err(_) => skip(shell, "it is not installed"),
        }
    }
}
