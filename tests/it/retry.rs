//! `pinport jobs retry`: rejects are mended in an editor and imported as their job imported them.

use serde_json::json;

use crate::{pty::OnTerminal, serving::Serving, support::*};

const ROWS: &str = "Id;ChannelType;Address;Attributes.note\n1;EMAIL;a@example.com;fine\n\
     2;PIGEON;b@example.com;\"two\nlines; one; cell\"\n3;SMS;;none\n4;DOVE;d@example.com;fine\n";

/// A server with a job of these rows into the segment `all`, and its id.
fn served(lab: &Lab) -> (Serving, String) {
    lab.write("rows.csv", ROWS);
    let server = Serving::start(lab);
    let import = ["import", "rows.csv", "--format", "csv", "--app", "shop", "--segment", "all", "--json"];
    let job = lab.pinport(&import).args(["--server", &server.url]).expect(3).json();
    assert_eq!(counts(&job), (4, 1, 3));
    (server, job["Id"].as_str().unwrap().to_owned())
}

fn retry(lab: &Lab, server: &Serving, job: &str, more: &[&str]) -> Run {
    lab.pinport(&["jobs", "retry", job, "--server", &server.url]).args(more).env("VISUAL", "")
}

/// An editor that runs a line of shell on its file.
fn editor(lab: &Lab, line: &str) -> String {
    format!("sh {}", lab.write("editor.sh", format!("set -e\ncp \"$1\" seen\n{line}\n")).display())
}

fn members(lab: &Lab, server: &Serving) -> Vec<String> {
    let list = ["segment", "members", "all", "--app", "shop", "--server", &server.url];
    let members = lines(&lab.pinport(&list).expect(0).out);
    members.iter().map(|member| member["Id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_was_mended_is_imported_into_the_same_segment_and_names_its_job() {
    let lab = Lab::new();
    let (server, job) = served(&lab);
    let mend = editor(&lab, "sed -i s/PIGEON/EMAIL/ \"$1\"");
    let done = retry(&lab, &server, &job, &["--edit", "--search", "channeltype Pigeon", "--json"]);
    let done = done.env("EDITOR", &mend).expect(0);
    done.says(&["imports mended records of job", &job]);
    let made = done.json();
    assert_eq!(counts(&made), (1, 1, 0));
    // The editor saw the header and the record that was searched, with its lines.
    let seen = std::fs::read_to_string(lab.path("seen")).unwrap();
    assert_eq!(
        seen,
        "Id;ChannelType;Address;Attributes.note\n2;PIGEON;b@example.com;\"two\nlines; one; cell\"\n"
    );
    assert_eq!(members(&lab, &server), ["1", "2"], "it adds to the members");

    // It names its job, also after a restart.
    let id = made["Id"].as_str().unwrap();
    server.stop();
    let server = Serving::start(&lab);
    let detail = server.get(&format!("/pinport/v1/jobs/{id}")).json();
    assert_eq!(detail["definition"]["retry_of"], job.as_str());
    let show = lab.pinport(&["jobs", "show", id, "--server", &server.url]).expect(0);
    assert!(String::from_utf8(show.out).unwrap().contains(&format!("retry of  job {job}")));

    // As they are, the others fail again, with their own reasons.
    let again = retry(&lab, &server, &job, &["--json", "--search", "dove"]).expect(3).json();
    assert_eq!(counts(&again), (1, 0, 1));
    assert_eq!(members(&lab, &server), ["1", "2"]);
}

#[test]
fn without_a_change_nothing_is_imported() {
    let lab = Lab::new();
    let (server, job) = served(&lab);
    let jobs = || server.get("/pinport/v1/jobs").json()["jobs"].as_array().unwrap().len();
    let edit = |line: &str| retry(&lab, &server, &job, &["--edit"]).env("EDITOR", &editor(&lab, line));
    edit("true").expect(7).says(&["left as they were", "nothing was imported"]);
    edit(": > \"$1\"").expect(7).says(&["no record is left"]);
    edit("sed -i 2,99d \"$1\"").expect(7).says(&["no record is left"]);
    edit("exit 9").expect(1).says(&["editor", "nothing was imported", "EDITOR"]);
    retry(&lab, &server, &job, &["--search", "no such words"]).expect(7).says(&["no reject of job"]);
    assert_eq!(jobs(), 1);

    // Jobs without rejects, and those that are not there.
    lab.write("good.json", "{\"Id\":\"9\",\"ChannelType\":\"SMS\",\"Address\":\"+4915112345678\"}\n");
    let import = ["import", "good.json", "--app", "shop", "--json", "--server", &server.url];
    let good = lab.pinport(&import).expect(0).json();
    retry(&lab, &server, good["Id"].as_str().unwrap(), &["--edit"]).expect(7).says(&["has no rejects"]);
    retry(&lab, &server, &"0".repeat(32), &[]).expect(1).says(&["no job"]);
}

#[test]
fn the_api_refuses_what_cannot_be_mended() {
    let lab = Lab::new();
    let (server, job) = served(&lab);
    let path = format!("/pinport/v1/jobs/{job}/retry");
    let long = "x".repeat(201);
    assert_eq!(server.ask("POST", &format!("{path}?name={long}"), Some(&json!({}))).0, 400);
    let (status, text) = server.ask("POST", "/pinport/v1/jobs/none/retry", Some(&json!({})));
    assert_eq!(status, 404, "{text}");
}

/// The dashboard of this server with an editor, before the reasons of its only job.
fn opened(lab: &Lab, server: &Serving, editor: &str) -> OnTerminal {
    let top = lab.pinport(&["top", "--server", &server.url]).env("VISUAL", "").env("EDITOR", editor);
    std::fs::create_dir_all(lab.path("tmp")).unwrap();
    let top = top.env("TMPDIR", lab.path("tmp").to_str().unwrap());
    let top = OnTerminal::start(top, 110, 30);
    top.wait_for("✓ completed");
    top.keys("f");
    top.wait_for("all reasons");
    top
}

#[test]
fn a_key_of_the_dashboard_opens_the_marked_records_and_imports_what_was_mended() {
    let lab = Lab::new();
    let (server, job) = served(&lab);
    // It has the terminal: what it prints is seen, and it waits for a line.
    let line = "echo this is the editor; read line; sed -i -e s/PIGEON/EMAIL/ -e 's/^3;SMS;/&+4915112345678/' \"$1\"";
    let top = opened(&lab, &server, &editor(&lab, line));
    top.keys("\r");
    top.wait_for("selected");
    top.keys("mm");
    top.wait_for("2 marked: E edits them");
    top.keys("E");
    top.wait_for("this is the editor");
    assert!(!top.is_full_screen() && top.is_as_before(), "the terminal is the editor's");
    top.keys("\n");
    top.wait_for("imports mended records of job");
    assert!(top.is_full_screen());
    let seen = std::fs::read_to_string(lab.path("seen")).unwrap();
    let (head, records) = seen.split_once('\n').unwrap();
    assert_eq!(head, "Id;ChannelType;Address;Attributes.note");
    assert!(records.starts_with("2;PIGEON;") && records.ends_with("3;SMS;;none\n"), "{records}");
    // The new job names the old one, and adds to the same segment.
    let jobs = server.get("/pinport/v1/jobs").json();
    let made = jobs["jobs"][0]["id"].as_str().unwrap();
    let app = jobs["jobs"][0]["application"].as_str().unwrap();
    server.ended(app, made);
    let detail = server.get(&format!("/pinport/v1/jobs/{made}")).json();
    assert_eq!(detail["definition"]["retry_of"], job.as_str());
    assert_eq!(members(&lab, &server), ["1", "2", "3"]);
    top.keys("q");
    assert_eq!(top.end().status.code(), Some(0));
}

#[test]
fn the_dashboard_imports_nothing_that_was_not_mended_and_loses_nothing_that_was() {
    let lab = Lab::new();
    let (server, _) = served(&lab);
    let jobs = || server.get("/pinport/v1/jobs").json()["jobs"].as_array().unwrap().len();
    let top = opened(&lab, &server, &editor(&lab, "true"));
    top.keys("E");
    top.wait_for("left as they were: nothing was imported");
    let seen = std::fs::read_to_string(lab.path("seen")).unwrap();
    assert_eq!(seen.lines().count(), 5, "all three records: {seen}");
    // The editor's Ctrl-C does not end the dashboard.
    editor(&lab, "echo this is the editor; read line");
    top.keys("E");
    top.wait_for("this is the editor");
    top.keys("\x03");
    top.wait_for("nothing was imported, because the editor ended with signal");
    assert!(top.is_full_screen());
    assert_eq!(jobs(), 1);

    // Without a server what was mended stays in a file.
    editor(&lab, "echo this is the editor; read line; sed -i s/PIGEON/EMAIL/ \"$1\"");
    top.keys("E");
    top.wait_for("this is the editor");
    server.stop();
    top.keys("\n");
    top.wait_for("the mended records of job");
    top.keys("q");
    top.end();
    let tmp = std::fs::read_dir(lab.path("tmp")).unwrap();
    let kept: Vec<_> = tmp.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    assert!(kept.len() == 1 && kept[0].contains("2;EMAIL;b@example.com"), "{kept:?}");
}
