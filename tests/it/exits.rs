//! Exit codes, the JSON outcome, and `--check`.

use std::{collections::BTreeSet, fs};

use crate::support::*;

/// Members of the service model's ImportJobResponse, the required ones first.
const RESPONSE: [&str; 13] = [
    "ApplicationId",
    "CreationDate",
    "Definition",
    "Id",
    "JobStatus",
    "Type",
    "CompletedPieces",
    "CompletionDate",
    "FailedPieces",
    "Failures",
    "TotalFailures",
    "TotalPieces",
    "TotalProcessed",
];

const DEFINITION: [&str; 8] = [
    "DefineSegment",
    "ExternalId",
    "Format",
    "RegisterEndpoints",
    "RoleArn",
    "S3Url",
    "SegmentId",
    "SegmentName",
];

/// The members that are pinport's own.
const OURS: [&str; 13] = [
    "Registered",
    "Failed",
    "Objects",
    "SkippedObjects",
    "Bytes",
    "SourceBytes",
    "FailureClasses",
    "Warnings",
    "LostObjects",
    "Notices",
    "Resumed",
    "Run",
    "UnkeptFailures",
];

#[test]
fn the_outcome_has_the_members_of_the_service_model() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 3000 --bad 10%");
    let outcome = lab.import("rows.json", "json", &["--segment", "s"]).expect(3);
    assert_eq!(outcome.out.iter().filter(|byte| **byte == b'\n').count(), 1, "one object on one line");
    let json = outcome.json();
    let members: BTreeSet<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, RESPONSE.iter().chain(&OURS).copied().collect());
    let definition: BTreeSet<&str> =
        json["Definition"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(definition, DEFINITION.iter().copied().collect());
    assert_eq!((&json["JobStatus"], &json["Type"]), (&"COMPLETED".into(), &"IMPORT".into()));
    for id in [&json["Id"], &json["ApplicationId"], &json["Definition"]["SegmentId"]] {
        let id = id.as_str().unwrap();
        assert!(id.len() == 32 && id.bytes().all(|byte| b"0123456789abcdef".contains(&byte)), "{id}");
    }
    assert_eq!(json["Definition"]["SegmentId"], json["Id"], "a new segment has its job's id");
    for name in ["CreationDate", "CompletionDate"] {
        let date = json[name].as_str().unwrap();
        assert!(date.len() == 24 && date.ends_with('Z') && date.as_bytes()[19] == b'.', "{date}");
    }
    for name in ["TotalFailures", "TotalProcessed", "CompletedPieces", "FailedPieces", "TotalPieces"] {
        assert!(json[name].as_i64().unwrap() <= i64::from(i32::MAX), "{name}");
    }
    let shown = json["Failures"].as_array().unwrap();
    assert_eq!(shown.len(), 100, "the first 100, in source order");
    let all = lines(&failures(&json));
    assert_eq!(all.len() as u64, counts(&json).2);
    assert!(all.is_sorted_by_key(|failure| failure["line"].as_u64()));
    for (text, failure) in shown.iter().zip(&all) {
        let place = format!("{} line {}", failure["object"].as_str().unwrap(), failure["line"]);
        assert!(text.as_str().unwrap().starts_with(&place), "{text} {place}");
        assert!(!text.as_str().unwrap().contains('\n'));
    }
    let classes = codes(&json).values().sum::<u64>();
    assert_eq!(classes, counts(&json).2);
}

#[test]
fn each_end_has_its_exit_code() {
    let lab = Lab::new();
    lab.write_sample("good.json", "--rows 2000");
    let bad = "--rows 3000 --bad 2%";
    lab.write_sample("bad.json", bad);
    let failed = lab.sample_tally(bad)["failed"].as_u64().unwrap();
    lab.import("good.json", "json", &[]).expect(0);
    lab.import("bad.json", "json", &[]).expect(3);

    let most = failed.to_string();
    lab.import("bad.json", "json", &["--max-failures", &most]).expect(3);
    let over =
        lab.import("bad.json", "json", &["--max-failures", &(failed - 1).to_string()]).expect(4).json();
    assert_eq!(over["JobStatus"], "FAILED");
    assert!(over["Error"].as_str().unwrap().contains("over the failure budget"), "{}", over["Error"]);
    lab.import("bad.json", "json", &["--max-failures", "5%"]).expect(3);
    lab.import("bad.json", "json", &["--max-failures", "1%"]).expect(4);
    lab.import("bad.json", "json", &["--check", "--max-failures", "1%"]).expect(4);
    lab.import("good.json", "json", &["--max-failures", "0"]).expect(0);

    // Cut off in the middle: what was whole is imported, and the job failed.
    let whole = gzip(&[&lab.sample("--rows 2000")]);
    lab.write("cut.json.gz", &whole[..whole.len() / 2]);
    let cut = lab.import("cut.json.gz", "json", &[]).expect(1).json();
    assert_eq!((&cut["JobStatus"], cut["FailedPieces"].as_u64()), (&"FAILED".into(), Some(1)));
    let error = cut["Error"].as_str().unwrap();
    assert!(error.contains("cut.json.gz is cut off at byte"), "{error}");
}

#[test]
fn wrong_usage_and_what_is_not_there_have_codes_of_their_own() {
    let lab = Lab::new();
    lab.write_sample("good.json", "--rows 10");
    for (arguments, word) in [
        (&["import", "good.json", "--format", "xml"][..], "xml"),
        (&["import", "ftp://host/x", "--format", "json"], "ftp"),
        (&["import", "good.json", "--format", "json", "--max-failures", "101%"], "0% and 100%"),
        (
            &["import", "good.json", "--format", "json", "--limit", "max_lines=3"],
            "there is no limit max_lines",
        ),
        (&["import", "good.json", "--format", "json", "--segment-only"], "--segment"),
        (&["import", "good.json", "--format", "json", "--check", "--fresh"], "--fresh"),
        (&["import", "good.json", "--format", "json", "--piece", "0"], "--piece"),
        (&["nonsense"], "nonsense"),
        (&["jobs", "ls"], "there is no pinport data"),
    ] {
        lab.pinport(arguments).expect(2).says(&[word]);
    }
    assert!(!lab.path("data").exists(), "a wrong call leaves nothing behind");
    lab.import("good.json", "json", &[]).expect(0);
    for (arguments, word) in [
        (&["endpoint", "get", "nobody"][..], "has no endpoint \"nobody\""),
        (&["endpoint", "get", "x", "--app", "none"], "there is no application \"none\""),
        (&["segment", "members", "none"], "has no segment \"none\""),
        (&["jobs", "show", "ffff"], "there is no job \"ffff\"; `pinport jobs ls` lists them"),
    ] {
        lab.pinport(arguments).expect(1).says(&[word]);
    }
}

#[test]
fn a_check_says_the_same_and_stores_nothing() {
    let lab = Lab::new();
    for format in ["json", "csv"] {
        // Without records that ask the store: a check has none to ask.
        let rows = lab.sample(&format!("--rows 5000 --bad 5% --format {format}"));
        let file = format!("rows.{format}");
        lab.write(&file, rows);
        let data = format!("checked-{format}");
        let checked = lab.import_with(&data, &file, format, &["--check", "--segment", "s"]).expect(3).json();
        assert!(!lab.path(&data).join("store").exists(), "a check makes no store");
        assert_eq!(checked["Run"]["CheckedOnly"], true);
        let imported = lab.import_with(format, &file, format, &["--segment", "s"]).expect(3).json();
        let asks = |line: &&str| line.contains("\"unknown_endpoint\"") || line.contains("\"unknown_user\"");
        let [one, other] = [&checked, &imported].map(|outcome| String::from_utf8(failures(outcome)).unwrap());
        // Fewer rejects lie before one.
        let placeless = |line: &str| {
            let line = line.split_once(",\"reject\":").map_or(line, |(line, _)| line);
            format!("{}\n", line.trim_end_matches('}'))
        };
        let checked_lines: String = one.lines().map(placeless).collect();
        let without: String = other.lines().filter(|line| !asks(line)).map(placeless).collect();
        same_lines(&checked_lines, &without, "the failures");
        let asking = other.lines().filter(asks).count() as u64;
        let (read, registered, failed) = counts(&imported);
        assert_eq!(counts(&checked), (read, registered + asking, failed - asking));
        assert_eq!(checked["Bytes"], imported["Bytes"]);
    }
    // Without failures nothing stays of it.
    lab.write_sample("good.json", "--rows 100");
    let checked = lab.import_with("clean", "good.json", "json", &["--check"]).expect(0).json();
    assert_eq!(checked["Run"].get("FailuresFile"), None, "{checked}");
    assert!(!lab.path("clean").exists());
    // Where there is a store, it is not touched.
    lab.import("rows.json", "json", &[]).expect(3);
    let listing = |folder: &str| {
        let mut names: Vec<_> = fs::read_dir(lab.path(folder))
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                (entry.file_name(), entry.metadata().unwrap().modified().unwrap())
            })
            .collect();
        names.sort();
        names
    };
    let before = listing("data/store/db");
    lab.import("rows.csv", "csv", &["--check"]).expect(3);
    assert_eq!(listing("data/store/db"), before);
    assert_eq!(
        lab.pinport(&["jobs", "ls", "--json"]).expect(0).out.iter().filter(|byte| **byte == b'\n').count(),
        1
    );
}
