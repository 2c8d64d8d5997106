//! `pinport jobs retry`: rejects are mended in an editor and imported as their job imported them.

use serde_json::json;

use crate::{serving::Serving, support::*};

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
