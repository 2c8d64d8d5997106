//! What a newcomer does first: the README's command, a folder of mixed files, an export as Pinpoint left it.

use std::collections::BTreeSet;

use crate::support::*;

#[test]
fn the_first_command_of_the_readme() {
    let lab = Lab::new();
    let readme = std::fs::read_to_string(format!("{TOP}/README.md")).unwrap();
    let command = "import examples/contacts --format json";
    let shown = format!("{command} --check\n");
    assert!(readme.contains(&shown), "the README's first command changed: change this test with it");
    let report =
        lab.pinport(&[]).args(command.split(' ')).args(["--segment", "everyone"]).folder(TOP).expect(3);
    report.says(&[
        "imported examples/contacts into application \"default\", segment \"everyone\"",
        "objects   4, 2 skipped",
        "143 read = 136 registered + 7 failed",
        "line 12: ChannelType: \"PIGEON\" is not one of PUSH, GCM,",
        "line 25 column 68: the line is no JSON",
        "no endpoint \"00000000-0000-4000-8000-000000000000\" to update",
        "no user \"nobody-we-know\"",
        "failures.ndjson",
        "rejects.json",
        "_SUCCESS: it is empty",
        "archive/2025.csv: its name says CSV",
    ]);
    assert!(report.out.is_empty(), "the report goes to standard error");

    let members = lines(&lab.members("data", "everyone"));
    let ids: BTreeSet<&str> = members.iter().map(|member| member["Id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), members.len());
    // 136 registered, of which 5 update by id, one names a user alone, and vip.jsonl has one id twice.
    assert_eq!(ids.len(), 129);
    assert!(ids.is_superset(&BTreeSet::from(["vip-ada", "vip-ada-phone", "vip-grace", "vip-søren"])));
    assert!(members.is_sorted_by_key(|member| member["Id"].as_str().unwrap().to_owned()));
    let ada = lab.endpoint("vip-ada-phone");
    assert_eq!(
        ada["User"]["UserAttributes"]["FirstName"][0], "Ada",
        "a user's attributes are those of all its endpoints"
    );
    let grace = lab.endpoint("vip-grace");
    assert_eq!(grace["ChannelType"], "EMAIL");
    assert_eq!(grace["Attributes"]["since"][0], "1959");

    let json = lab.pinport(&["jobs", "show", "last", "--json"]).expect(0).json();
    assert_eq!(counts(&json), (143, 136, 7));
    let expected = [
        ("invalid_json", 1),
        ("unknown_endpoint", 1),
        ("unknown_user", 1),
        ("unknown_value", 1),
        ("value_too_long", 1),
        ("wrong_type", 2),
    ];
    assert_eq!(codes(&json), expected.map(|(code, count)| (code.to_owned(), count)).into());
    assert_eq!(lab.pinport(&["jobs", "rejects", "last"]).expect(0).out.split(|b| *b == b'\n').count(), 8);
}

#[test]
fn the_example_in_csv() {
    let lab = Lab::new();
    let outcome =
        lab.import("examples/contacts.csv", "csv", &["--segment", "few"]).folder(TOP).expect(3).json();
    assert_eq!(counts(&outcome), (10, 8, 2));
    assert_eq!(codes(&outcome), [("cell_count".to_owned(), 1), ("invalid_number".to_owned(), 1)].into());
    // The last row updates the first.
    assert_eq!(lines(&lab.members("data", "few")).len(), 7);
    let notices = outcome["Notices"].as_array().unwrap();
    assert!(notices.iter().any(|notice| notice["kind"] == "unknown_column"), "{notices:?}");
}

fn record(id: &str) -> String {
    format!("{{\"Id\":\"{id}\",\"ChannelType\":\"EMAIL\",\"Address\":\"{id}@example.com\"}}\n")
}

#[test]
fn a_mixed_folder_is_read_by_format() {
    let lab = Lab::new();
    for name in ["a.json", "b.jsonl", "c.ndjson", "plain", "deep/er/d.JSON", "sp ace ü.json"] {
        lab.write(&format!("mixed/{name}"), record(name));
    }
    lab.write("mixed/g.json.gz", gzip(&[record("g1").as_bytes(), record("g2").as_bytes()]));
    lab.write("mixed/z.json.zst", zstd::encode_all(record("z").as_bytes(), 1).unwrap());
    let csv = "Id,ChannelType,Address\ncsv-1,EMAIL,one@example.com\n";
    for name in ["x.csv", "deep/y.csv.gz", "no-suffix-but-csv"] {
        let bytes = if name.ends_with("gz") { gzip(&[csv.as_bytes()]) } else { csv.into() };
        lab.write(&format!("mixed/{name}"), bytes);
    }
    for name in ["_SUCCESS", "x.manifest", "y.csv.metadata", "empty.json"] {
        lab.write(&format!("mixed/{name}"), if name.starts_with('e') { "" } else { "whatever" });
    }
    let json = lab.import("mixed", "json", &["--segment", "json"]).expect(0).json();
    assert_eq!(counts(&json), (9, 9, 0));
    assert_eq!((json["Objects"].as_u64(), json["SkippedObjects"].as_u64()), (Some(8), Some(7)));
    let csv = lab.import("mixed", "csv", &["--segment", "csv"]).expect(0).json();
    assert_eq!(counts(&csv), (3, 3, 0), "the same id in three objects is three records");
    assert_eq!(lines(&lab.members("data", "csv")).len(), 1);
    // Each object that was not read is named with the reason.
    let warnings = json["Warnings"].to_string();
    for reason in [
        "x.csv: its name says CSV",
        "no-suffix-but-csv: its content looks like CSV",
        "_SUCCESS: it is a job's",
    ] {
        assert!(warnings.contains(reason), "{reason}: {warnings}");
    }
}

#[test]
fn an_export_as_pinpoint_left_it() {
    let lab = Lab::new();
    lab.write("export/_SUCCESS", "");
    // Every member that an export has, in parts without a suffix that says JSON.
    let whole = r#"{"ChannelType":"EMAIL","Address":"old@example.com","EndpointStatus":"ACTIVE","OptOut":"NONE","CohortId":"17","EffectiveDate":"2023-05-06T07:08:09.010Z","CreationDate":"2020-01-02T03:04:05.006Z","ApplicationId":"0123456789abcdef0123456789abcdef","RequestId":"r-1","Id":"old-1","Attributes":{"plan":["pro"]},"Metrics":{"visits":2.0},"Demographic":{},"Location":{},"User":{}}
"#;
    lab.write("export/part-0000.gz", gzip(&[whole.as_bytes(), &lab.sample("--rows 300")]));
    lab.write("export/part-0001.gz", gzip(&[&lab.sample("--rows 200 --start 300")]));
    let outcome = lab.import("export", "json", &["--segment", "all"]).expect(0).json();
    assert_eq!(counts(&outcome), (501, 501, 0));
    assert_eq!(lines(&lab.members("data", "all")).len(), 501);
    let old = lab.endpoint("old-1");
    assert_eq!(old["CreationDate"], "2020-01-02T03:04:05.006Z");
    assert_eq!(old["EffectiveDate"], "2023-05-06T07:08:09.010Z");
    assert_eq!(old["ApplicationId"], outcome["ApplicationId"], "it is ours now");
}

#[test]
fn both_formats_say_the_same() {
    let lab = Lab::new();
    let mut texts = Vec::new();
    for format in ["json", "csv"] {
        lab.write_sample(&format!("rows.{format}"), &format!("--rows 3000 --format {format}"));
        let outcome =
            lab.import_with(format, &format!("rows.{format}"), format, &["--segment", "s"]).expect(0).json();
        assert_eq!(counts(&outcome), (3000, 3000, 0));
        texts.push(masked(&lab.members(format, "s"), &outcome));
    }
    same_lines(&texts[0], &texts[1], "the members");
    assert_eq!(texts[0].lines().count(), 3000);
}
