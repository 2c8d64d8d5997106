//! `pinport verify`: what a source says against what is stored.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{serving::Serving, support::*};

fn verify(lab: &Lab, source: &str, more: &[&str]) -> Run {
    lab.pinport(&["verify", source, "--json"]).args(more)
}

#[test]
fn what_was_imported_is_stored_as_its_source_says() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 3000 --bad 1% --updates 2%");
    let outcome = lab.import("rows.json", "json", &["--segment", "s"]).expect(3).json();
    // Also after another source brought other values for others, and after settling.
    lab.write("other.csv", "Id,Address,ChannelType,Attributes.plan\nz-1,z1@x.test,EMAIL,gold\n");
    lab.import("other.csv", "csv", &["--segment", "s"]).expect(0);
    for scope in [&["--segment", "s"][..], &[]] {
        let found = verify(&lab, "rows.json", scope).expect(3).json();
        assert_eq!((&found["Missing"], &found["Different"]), (&json!(0), &json!(0)), "{found}");
        let number = |name: &str| found[name].as_u64().unwrap();
        assert_eq!(number("Equal") + number("Unknown"), number("Endpoints"));
        let failed = number("FailedRecords") + number("Unknown");
        assert_eq!(failed, outcome["TotalFailures"].as_u64().unwrap(), "{found}");
        assert_eq!(found["Records"], outcome["TotalProcessed"]);
        assert_eq!(found["Others"], 1);
        lab.pinport(&["settle"]).expect(0);
    }
    assert!(!is_left(&lab));
}

/// Whether the folder of a verification is there.
fn is_left(lab: &Lab) -> bool {
    let mut entries = fs::read_dir(lab.path("data")).unwrap();
    entries.any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("verify-"))
}

#[test]
fn differences_are_named_with_object_line_and_member() {
    let lab = Lab::new();
    let header =
        "Id,Address,ChannelType,OptOut,Location.City,Attributes.plan,User.UserId,User.UserAttributes.tier\n";
    let rows = "a,a@x.test,EMAIL,NONE,Bonn,gold,u1,one\n\
                b,b@x.test,EMAIL,ALL,Bonn,gold,u2,one\n\
                c,c@x.test,EMAIL,NONE,Bonn,gold,u3,one\n\
                d,d@x.test,EMAIL,NONE,Bonn,gold,u4,one\n";
    lab.write("rows.csv", format!("{header}{rows}"));
    lab.import("rows.csv", "csv", &["--segment", "s"]).expect(0);
    let found = verify(&lab, "rows.csv", &["--segment", "s"]).expect(0).json();
    assert_eq!((&found["Endpoints"], &found["Equal"], &found["Others"]), (&json!(4), &json!(4), &json!(0)));

    // The later record of an id is what the source says.
    let changed = "a,a@x.test,EMAIL,NONE,Bonn,gold,u1,one\n\
                   b,b@x.test,EMAIL,NONE,Bonn,gold,u2,one\n\
                   c,c@x.test,EMAIL,NONE,Bonn,silver,u3,one\n\
                   d,d@x.test,EMAIL,NONE,Bonn,gold,u4,two\n\
                   c,c@x.test,EMAIL,NONE,Bonn,bronze,u3,one\n\
                   e,e@x.test,EMAIL,NONE,Bonn,gold,u5,one\n\
                   f,,,,,,,\n";
    lab.write("changed.csv", format!("{header}{changed}"));
    let found = verify(&lab, "changed.csv", &["--segment", "s"]).expect(1).json();
    let differences = found["Differences"].as_array().unwrap();
    let shown: Vec<Value> = differences
        .iter()
        .map(|one| json!([one["Id"], one["Line"], one["Member"], one["Said"], one["Stored"]]))
        .collect();
    let expected = [
        json!(["b", 3, "OptOut", "\"NONE\"", "\"ALL\""]),
        json!(["c", 6, "Attributes.plan", "[\"bronze\"]", "[\"gold\"]"]),
        json!(["d", 5, "User.UserAttributes.tier", "[\"two\"]", "[\"one\"]"]),
        json!(["e", 7, null, null, null]),
    ];
    assert_eq!(shown, expected);
    assert!(differences[0]["Object"].as_str().unwrap().ends_with("changed.csv"));
    let counts = ["Equal", "Missing", "Different", "Unknown"].map(|name| found[name].as_u64().unwrap());
    // The last record only updates an endpoint, which is not there.
    assert_eq!(counts, [1, 1, 3, 1]);

    let text = lab.pinport(&["verify", "changed.csv", "--segment", "s"]).expect(1);
    text.says(&[
        "changed.csv:6: \"c\": Attributes.plan is [\"bronze\"] in the source and [\"gold\"] in the store",
    ]);
    text.says(&["changed.csv:7: \"e\" is not stored", "1 are not stored", "3 are stored with other values"]);
}

#[test]
fn what_cannot_be_verified_is_refused() {
    let lab = Lab::new();
    lab.write("rows.csv", "Id,Address,ChannelType\na,a@x.test,EMAIL\n");
    lab.pinport(&["verify", "rows.csv"]).expect(2).says(&["there is no pinport data in"]);
    lab.import("rows.csv", "csv", &[]).expect(0);
    lab.pinport(&["verify", "-", "--format", "csv"]).expect(2).says(&["standard input cannot be read twice"]);
    lab.pinport(&["verify", "rows.csv", "--segment", "no"]).expect(1).says(&["has no segment \"no\""]);
    lab.pinport(&["verify", "rows.csv", "--app", "no"]).expect(1).says(&["there is no application \"no\""]);
}

#[test]
fn a_server_verifies_a_job() {
    let lab = Lab::new();
    let path = lab.write_sample("rows.json", "--rows 3000 --bad 1%");
    let server = Serving::start(&lab);
    let app = server.app("shop");
    let url = format!("file://{}", path.display());
    let body = json!({
        "Format": "JSON", "S3Url": url, "RoleArn": "role", "DefineSegment": true, "SegmentName": "all",
    });
    let made = server.post(&format!("/v1/apps/{app}/jobs/import"), &body);
    let job = made["Id"].as_str().unwrap();
    let ended = server.ended(&app, job);
    let verified = || lab.pinport(&["jobs", "verify", job, "--json", "--server", &server.url]);
    let found = verified().expect(3).json();
    assert_eq!((&found["Missing"], &found["Different"], &found["Others"]), (&json!(0), &json!(0), &json!(0)));
    let number = |name: &str| found[name].as_u64().unwrap();
    assert_eq!(number("Equal") + number("Unknown"), number("Endpoints"));
    assert_eq!(number("FailedRecords") + number("Unknown"), ended["TotalFailures"].as_u64().unwrap());
    assert_eq!(found["Records"], ended["TotalProcessed"]);

    let rows = fs::read(&path).unwrap();
    let rows: Vec<&[u8]> = rows.split(|byte| *byte == b'\n').collect();
    let row = |line: usize| serde_json::from_slice(rows[line - 1]).unwrap_or(Value::Null);
    let sound: Vec<usize> = (1..3000).filter(|line| row(*line)["Address"].is_string()).take(2).collect();
    let id = |line: usize| format!("/v1/apps/{app}/endpoints/{}", row(line)["Id"].as_str().unwrap());
    let change =
        json!({ "EffectiveDate": row(sound[0])["EffectiveDate"], "Location": { "City": "Nowhere" } });
    assert_eq!(server.ask("PUT", &id(sound[0]), Some(&change)).0, 202);
    assert_eq!(server.ask("DELETE", &id(sound[1]), None).0, 202);
    let found = verified().expect(1).json();
    assert_eq!((&found["Missing"], &found["Different"]), (&json!(1), &json!(1)), "{found}");
    let differences = found["Differences"].as_array().unwrap();
    let of = |line: usize| differences.iter().find(|one| one["Id"] == row(line)["Id"]).unwrap();
    let changed = of(sound[0]);
    assert_eq!(
        (&changed["Line"], &changed["Member"], &changed["Stored"]),
        (&json!(sound[0]), &json!("Location.City"), &json!("\"Nowhere\""))
    );
    assert_eq!((&of(sound[1])["Line"], &of(sound[1])["Member"]), (&json!(sound[1]), &Value::Null));
    assert!(changed["Object"].as_str().unwrap().ends_with("rows.json"));
    lab.pinport(&["jobs", "verify", job, "--server", &server.url])
        .expect(1)
        .says(&["1 are not stored", "in the source and \"Nowhere\" in the store"]);

    // A source that is gone is named.
    fs::remove_file(&path).unwrap();
    verified().expect(1).says(&["rows.json"]);
    assert!(!is_left(&lab));
}

#[test]
fn a_server_verifies_one_job_at_a_time_for_who_listens() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 100000");
    let server = Serving::start_with(&lab, "[jobs]\npiece_kib = 256\n", &[]);
    let job = server.import(&lab, "rows.json");
    let path = format!("/pinport/v1/jobs/{job}/verify");
    let refused = |words: &str| {
        let (status, body) = server.ask("POST", &path, None);
        assert!(status == 409 && body.contains(words), "{status} {body}");
    };
    let rate = |rate: Value| assert_eq!(server.ask("PUT", "/pinport/v1/throttle", Some(&rate)).0, 202);
    let apps = server.get("/v1/apps").json();
    server.ended(apps["Item"][0]["Id"].as_str().unwrap(), &job);
    rate(json!({ "rows_per_second": 1000 }));
    let address = server.url.strip_prefix("http://").unwrap();
    let mut listener = TcpStream::connect(address).unwrap();
    let request = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
    listener.write_all(request.as_bytes()).unwrap();
    let mut lines = BufReader::new(listener).lines();
    let progress = lines.find(|line| line.as_ref().unwrap().contains("Progress"));
    assert!(progress.unwrap().unwrap().contains("\"Records\":"));
    refused("one at a time");
    assert!(is_left(&lab));
    // Who hangs up stops it, and others have their turn.
    drop(lines);
    rate(json!({}));
    let begun = Instant::now();
    while server.ask("POST", &path, None).0 == 409 {
        assert!(begun.elapsed() < PATIENCE);
        pause(Duration::from_millis(20));
    }
    while is_left(&lab) {
        assert!(begun.elapsed() < PATIENCE);
        pause(Duration::from_millis(20));
    }

    // What is not there to be read, or not yet.
    let upload = ["import", "rows.json", "--format", "json", "--server", &server.url, "--json"];
    let sent = lab.pinport(&upload).expect(0).json();
    let other = sent["Id"].as_str().unwrap();
    lab.pinport(&["jobs", "verify", other, "--server", &server.url]).expect(1).says(&["that is not kept"]);
    rate(json!({ "rows_per_second": 1 }));
    let slow = server.import(&lab, "rows.json");
    lab.pinport(&["jobs", "verify", &slow, "--server", &server.url]).expect(1).says(&["has not ended yet"]);
    let none = "00000000000000000000000000000000";
    assert_eq!(server.ask("POST", &format!("/pinport/v1/jobs/{none}/verify"), None).0, 404);
}

#[test]
fn what_a_killed_verification_left_is_removed() {
    let lab = Lab::new();
    drop(Serving::start(&lab));
    fs::create_dir_all(lab.path("data/verify-0/store")).unwrap();
    let _server = Serving::start(&lab);
    assert!(!is_left(&lab));
}
