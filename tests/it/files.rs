//! Files that are not quite what is expected: read exactly, or refused in a sentence; and never in silence.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::*;

const HEADER: &str = "Id,Address,ChannelType,OptOut,Attributes.Plan";

/// The rows of five people, with the header.
fn people(header: &str, separator: &str, end: &str) -> String {
    let mut text = format!("{}{end}", header.replace(',', separator));
    for number in 1..=5 {
        let row = format!("c{number},user{number}@example.test,EMAIL,NONE,basic").replace(',', separator);
        text.push_str(&format!("{row}{end}"));
    }
    text
}

/// The members of the segment by their ids.
fn members(lab: &Lab) -> BTreeMap<String, Value> {
    let members = lines(&lab.members("data", "s"));
    members.into_iter().map(|member| (member["Id"].as_str().unwrap().to_owned(), member)).collect()
}

/// The kinds of the notices of an import.
fn noted(outcome: &Value) -> BTreeMap<String, u64> {
    let mut noted = BTreeMap::new();
    for notice in outcome["Notices"].as_array().unwrap() {
        *noted.entry(notice["kind"].as_str().unwrap().to_owned()).or_default() +=
            notice["count"].as_u64().unwrap();
    }
    noted
}

/// Imports one file with a segment, and checks it: both say the same.
fn import(lab: &Lab, name: &str, bytes: impl AsRef<[u8]>, more: &[&str], code: i32) -> Outcome {
    lab.write(name, bytes);
    let format = if name.contains(".json") { "json" } else { "csv" };
    let checked = lab.import_with("checks", name, format, &[more, &["--check"]].concat()).expect(code);
    let outcome = lab.import(name, format, &[more, &["--segment", "s"]].concat()).expect(code);
    if code != 1 {
        assert_eq!(counts(&checked.json()), counts(&outcome.json()), "{name}");
        assert_eq!(checked.json()["Notices"], outcome.json()["Notices"], "{name}");
    }
    outcome
}

/// A file that is read whole, with what is said of it.
fn reads(name: &str, bytes: impl AsRef<[u8]>, notices: &[(&str, u64)]) -> BTreeMap<String, Value> {
    let lab = Lab::new();
    let json = import(&lab, name, bytes, &[], 0).json();
    let expected = notices.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect();
    assert_eq!(noted(&json), expected, "{name}");
    members(&lab)
}

fn reads_people(name: &str, bytes: impl AsRef<[u8]>, notices: &[(&str, u64)]) {
    let members = reads(name, bytes, notices);
    assert_eq!(members.keys().map(String::as_str).collect::<Vec<_>>(), ["c1", "c2", "c3", "c4", "c5"]);
    for (id, member) in members {
        assert_eq!(member["Address"], format!("user{}@example.test", &id[1..]), "{name}");
        assert_eq!(member["Attributes"]["Plan"][0], "basic");
    }
}

/// What a check says for people.
fn said(lab: &Lab, source: &str, format: &str, code: i32) -> Outcome {
    lab.pinport_with("said", &["import", source, "--format", format, "--check"]).expect(code)
}

/// A file of which nothing is stored.
fn refuses(name: &str, bytes: impl AsRef<[u8]>, words: &[&str]) {
    let lab = Lab::new();
    import(&lab, name, bytes, &[], 1).says(words);
    assert!(!lab.path("data/store").exists());
}

#[test]
fn lines_end_in_carriage_returns() {
    reads_people("cr.csv", people(HEADER, ",", "\r"), &[("line_end_detected", 1)]);
    let mixed = people(HEADER, ",", "\n").replacen("basic\n", "basic\r", 2);
    reads_people("mixed.csv", mixed, &[("line_end_detected", 1)]);
    let odd = people(HEADER, ",", "\r\n").replacen("Plan\r\n", "Plan\r", 1);
    reads_people("header.csv", odd, &[("line_end_detected", 1)]);
}

#[test]
fn a_header_alone_is_said() {
    let lab = Lab::new();
    let json = import(&lab, "none.csv", format!("{HEADER}\r\n\n"), &[], 0).json();
    assert_eq!(noted(&json), [("no_record".to_owned(), 1)].into());
}

#[test]
fn separators_and_titles_are_detected() {
    for (separator, name) in [(";", "semicolon"), ("\t", "tab"), ("|", "bar")] {
        reads_people(&format!("{name}.csv"), people(HEADER, separator, "\n"), &[("separator_detected", 1)]);
    }
    reads_people(
        "sep.csv",
        format!("sep=;\r\n{}", people(HEADER, ";", "\r\n")),
        &[("separator_detected", 1)],
    );
    let titled = format!("Contacts of spring,,,,\n,,,,\n{}", people(HEADER, ",", "\n"));
    reads_people("title.csv", titled, &[("title_skipped", 1)]);
    let trailing = people(HEADER, ",", "\n").replace("basic\n", "basic,\n");
    reads_people("trailing.csv", trailing, &[("trailing_separator", 5)]);
    reads_people("both.csv", people(HEADER, ",", ",\n"), &[("trailing_separator", 5)]);
    let lab = Lab::new();
    import(&lab, "caret.csv", people(HEADER, "^", "\n"), &["--delimiter", "^"], 0);
    assert_eq!(members(&lab).len(), 5);
}

#[test]
fn a_file_without_a_header_is_refused_as_that() {
    refuses(
        "none.csv",
        "c1,user1@example.test,EMAIL\nc2,user2@example.test,EMAIL\n",
        &["the file has no header", "Id,Address,ChannelType"],
    );
}

#[test]
fn quotes_are_escaped_by_backslashes() {
    let text = "Id,Address,ChannelType,Attributes.Note\n\"b1\",\"a@example.test\",\"EMAIL\",\"said \\\"hi\\\" to me\"\n\
                \"b2\",\"b@example.test\",\"EMAIL\",\"fine\"\n";
    let members = reads("mysql.csv", text, &[("escape_detected", 1)]);
    assert_eq!(members["b1"]["Attributes"]["Note"][0], "said \"hi\" to me");
    assert_eq!(members.len(), 2);
    // The same fault fails on one line as over two.
    let lab = Lab::new();
    let text = "Id,Address,ChannelType,Attributes.Note\nb1,a@x.test,EMAIL,\"x\" y\nb2,b@x.test,EMAIL,\"x\nz\" y\n\
                b3,c@x.test,EMAIL,ok\n";
    let json = import(&lab, "stray.csv", text, &[], 3).json();
    assert_eq!(codes(&json), [("unterminated_quote".to_owned(), 2)].into());
}

#[test]
fn encodings_are_decoded() {
    let text = people(HEADER, ",", "\r\n");
    let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (name, bytes) in [
        ("le.csv", little.clone()),
        ("be.csv", big.clone()),
        ("marked.csv", [&b"\xff\xfe"[..], &little].concat()),
        ("marked-be.csv", [&b"\xfe\xff"[..], &big].concat()),
        ("packed.csv.gz", gzip(&[&little])),
    ] {
        reads_people(name, bytes, &[("encoding_detected", 1)]);
    }
    reads_people("twice.csv", format!("\u{feff}\u{feff}{}", people(HEADER, ",", "\n")), &[]);
    let latin = people(HEADER, ",", "\n").replace("basic", "caf\u{e9}");
    let bytes: Vec<u8> = latin.chars().map(|character| character as u8).collect();
    let lab = Lab::new();
    let json = import(&lab, "latin.csv", &bytes, &[], 3).json();
    assert_eq!(codes(&json), [("invalid_utf8".to_owned(), 5)].into());
    let lab = Lab::new();
    import(&lab, "latin.csv", &bytes, &["--encoding", "windows-1252"], 0);
    assert_eq!(members(&lab)["c1"]["Attributes"]["Plan"][0], "café");
}

#[test]
fn joined_files_are_read_on() {
    let one = people(HEADER, ",", "\n");
    let other = one.replace('c', "d");
    let other = other.replacen(other.lines().next().unwrap(), HEADER, 1).replace("basid", "basic");
    let members = reads(
        "two.csv",
        format!("\u{feff}{one}\u{feff}{other}"),
        &[("header_repeated", 1), ("bom_skipped", 1)],
    );
    assert_eq!(members.len(), 10);
}

fn object(number: usize) -> String {
    format!(r#"{{"Id":"j{number}","Address":"u{number}@example.test","ChannelType":"EMAIL"}}"#)
}

#[test]
fn json_that_is_no_lines_is_read_record_by_record() {
    let objects: Vec<_> = (0..5).map(object).collect();
    let pretty: Vec<_> =
        objects.iter().map(|object| object.replace('{', "{\n  ").replace(',', ",\n  ")).collect();
    for (name, text) in [
        ("firehose.json", objects.join("")),
        ("array.json", format!("[{}]", objects.join(","))),
        ("array-lines.json", format!("[\n{}\n]\n", objects.join(",\n"))),
        ("commas.json", objects.join(",\n")),
        ("pretty.json", pretty.join("\n")),
        ("pretty-array.json", format!("[\n{}\n]", pretty.join(",\n"))),
        ("item.json", format!("{{\"Item\":[{}]}}", objects.join(", "))),
        (
            "answers.json",
            objects
                .iter()
                .map(|object| {
                    format!(
                        "{{\"ResponseMetadata\":{{\"RetryAttempts\":0}},\"EndpointResponse\":{object}}}\n"
                    )
                })
                .collect(),
        ),
        ("user.json", format!("{{\"EndpointsResponse\":{{\"Item\":[{}]}}}}", objects.join(","))),
        ("returns.json", objects.join("\r")),
    ] {
        let members = reads(name, text, &[("json_form", 1)]);
        assert_eq!(
            members.keys().map(String::as_str).collect::<Vec<_>>(),
            ["j0", "j1", "j2", "j3", "j4"],
            "{name}"
        );
    }
    // A broken object costs itself, and its place is right.
    let lab = Lab::new();
    let text = format!("{}{}{{\"Id\":\"x\",\"Address\":}}{}", objects[0], objects[1], objects[2]);
    let json = import(&lab, "broken.json", &text, &[], 3).json();
    assert_eq!(counts(&json), (4, 3, 1));
    assert_eq!(lines(&failures(&json))[0]["byte"], objects[0].len() * 2);
    let lab = Lab::new();
    let json = import(&lab, "cut.json", format!("[{},{}", objects[0], objects[1]), &[], 3).json();
    assert_eq!(counts(&json), (3, 2, 1));
}

#[test]
fn rows_without_a_value_are_skipped() {
    let text = format!("{}\n,,,,\n\"\",\"\",,,\n , ,\u{a0},,\n", people(HEADER, ",", "\n"));
    reads_people("excel.csv", text, &[("blank_rows_skipped", 3)]);
}

#[test]
fn cells_are_trimmed_and_unwrapped() {
    let text = "Id, Address, ChannelType, Attributes.Name\ns1, a@example.test\u{a0}, EMAIL, \"Doe, Jan\"\n";
    let members = reads("spaces.csv", text, &[]);
    assert_eq!(members["s1"]["Attributes"]["Name"][0], "Doe, Jan");
    assert_eq!(members["s1"]["Address"], "a@example.test");
    let text = "Id,Address,ChannelType\np1,'+447700900123,SMS\np2,\"=\"\"+447700900124\"\"\",SMS\n";
    let members = reads("excel.csv", text, &[("cell_unwrapped", 2)]);
    assert_eq!(members["p1"]["Address"], "+447700900123");
    assert_eq!(members["p2"]["Address"], "+447700900124");
}

#[test]
fn spoilt_keys_fail_their_records() {
    let text = "Id,Address,ChannelType\np1,4.47701E+11,SMS\np2,#N/A,SMS\np3,NULL,SMS\np4,\\N,SMS\n4.2E+10,+447700900123,SMS\n\
                p6,+447700900124,SMS\n";
    let lab = Lab::new();
    let json = import(&lab, "phones.csv", text, &[], 3).json();
    assert_eq!(codes(&json), [("suspicious_key".to_owned(), 5)].into());
    assert_eq!(members(&lab).len(), 1);
    let lab = Lab::new();
    import(&lab, "phones.csv", text, &["--allow-suspicious"], 0);
    assert_eq!(members(&lab).len(), 6);
}

#[test]
fn two_columns_of_one_name_are_refused() {
    refuses(
        "twice.csv",
        "Id,Address,ChannelType,Address\nd1,a@example.test,EMAIL,b@example.test\n",
        &["number 2", "number 4", "rename or remove one of them"],
    );
}

#[test]
fn names_that_nearly_fit_are_taken() {
    let text = "ID,Address,Channel Type,Optout,User.UserID\nc1,a@example.test,EMAIL,ALL,u1\n";
    let members = reads("case.csv", text, &[("name_taken", 4)]);
    assert_eq!((&members["c1"]["OptOut"], &members["c1"]["User"]["UserId"]), (&"ALL".into(), &"u1".into()));
    let text = r#"{"Id":"c1","address":"a@example.test","ChannelType":"EMAIL","optOut":"ALL","User.UserId":"u1","Attributes.Plan":"gold"}"#;
    let members = reads("flat.json", text, &[("name_taken", 4)]);
    assert_eq!((&members["c1"]["OptOut"], &members["c1"]["User"]["UserId"]), (&"ALL".into(), &"u1".into()));
    assert_eq!(members["c1"]["Attributes"]["Plan"][0], "gold");
    let lab = Lab::new();
    let json = import(&lab, "flat.json", text, &["--strict-names"], 3).json();
    assert_eq!(codes(&json), [("invalid_name".to_owned(), 1)].into());
}

#[test]
fn numbers_keep_their_digits_and_dates_get_one_form() {
    let text = r#"{"Id":42,"Address":447700900123,"ChannelType":"SMS","Attributes":{"Iccid":[89014103211118510720],"Version":1.10,"Exp":[1e3],"Neg":-12345678901234567890}}"#;
    let members = reads("numbers.json", text, &[("number_as_text", 2)]);
    let attributes = &members["42"]["Attributes"];
    let first = |name: &str| attributes[name][0].as_str().unwrap().to_owned();
    assert_eq!(
        ["Iccid", "Version", "Exp", "Neg"].map(first),
        ["89014103211118510720", "1.10", "1e3", "-12345678901234567890"]
    );
    let lab = Lab::new();
    let text = "Id,Address,ChannelType,EffectiveDate\nd1,a@x.test,EMAIL,13/02/2026 10:00\nd2,b@x.test,EMAIL,2026-02-13\n\
                d3,c@x.test,EMAIL,1770976800\nd4,d@x.test,EMAIL,2026-02-13T10:00:00.000Z\nd5,e@x.test,EMAIL,yesterday\n";
    let outcome = import(&lab, "dates.csv", text, &[], 3);
    said(&lab, "dates.csv", "csv", 3).says(&["2026-02-13T10:00:00.000Z, 2026-02-13"]);
    assert_eq!(codes(&outcome.json()), [("invalid_date".to_owned(), 2)].into());
    let members = members_dates(&lab);
    assert_eq!(members, ["2026-02-13T00:00:00.000Z", "2026-02-13T10:00:00.000Z", "2026-02-13T10:00:00.000Z"]);
}

fn members_dates(lab: &Lab) -> Vec<String> {
    members(lab).values().map(|member| member["EffectiveDate"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn half_a_surrogate_pair_is_named() {
    let lab = Lab::new();
    let text = format!("{}\n{{\"Id\":\"x\",\"Attributes\":{{\"a\":\"\\ud83d\"}}}}\n", object(1));
    import(&lab, "cut.json", text, &[], 3);
    said(&lab, "cut.json", "json", 3).says(&["half of a surrogate pair"]);
}

#[test]
fn records_of_one_id_are_counted_and_are_one_member() {
    let lab = Lab::new();
    let text = "Address,ChannelType\na@example.test,EMAIL\na@example.test ,EMAIL\n a@example.test,EMAIL\na@example.test\u{a0},EMAIL\n";
    let json = import(&lab, "derived.csv", text, &[], 0).json();
    assert_eq!(noted(&json), [("id_seen_already".to_owned(), 3)].into());
    assert_eq!(members(&lab).len(), 1);
    let size = |lab: &Lab| {
        let list = lab.pinport(&["segment", "ls", "--json"]).expect(0);
        lines(&list.out)[0]["current"]["size"].clone()
    };
    assert_eq!(size(&lab), 1);
    // Of two imports into one segment those of both count once.
    import(&lab, "more.csv", "Address,ChannelType\na@example.test,EMAIL\nb@example.test,EMAIL\n", &[], 0);
    assert_eq!(size(&lab), 2);
}

#[test]
fn several_users_in_a_cell_are_users_of_their_own() {
    let lab = Lab::new();
    import(
        &lab,
        "base.csv",
        "Id,Address,ChannelType,User.UserId\ne1,a@x.test,EMAIL,u1\ne2,b@x.test,EMAIL,u2\ne3,c@x.test,EMAIL,u3\n",
        &[],
        0,
    );
    lab.write("users.csv", "User.UserId\nu1\nu2 u3\n");
    lab.import("users.csv", "csv", &["--segment", "named"]).expect(0);
    assert_eq!(lines(&lab.members("data", "named")).len(), 3);
}

#[test]
fn every_object_that_is_lost_is_named() {
    let lab = Lab::new();
    lab.write("in/1.csv", people(HEADER, ",", "\n"));
    lab.write("in/2.csv", "a;b\n1;2\n");
    lab.write("in/3.csv", "c;d\n1;2\n");
    let packed = gzip(&[people(HEADER, ",", "\n").as_bytes()]);
    lab.write("in/4.csv.gz", &packed[..packed.len() / 2]);
    let outcome = lab.import("in", "csv", &["--segment", "s"]).expect(1);
    said(&lab, "in", "csv", 1).says(&[
        "3 objects could not be read whole",
        "2.csv",
        "3.csv",
        "4.csv.gz",
        "1 committed, 3 failed",
    ]);
    let json = outcome.json();
    assert_eq!((counts(&json).1, &json["CompletedPieces"], &json["FailedPieces"]), (5, &1.into(), &3.into()));
    let lost = json["LostObjects"].as_array().unwrap();
    assert_eq!(lost.len(), 3);
    for (lost, name) in lost.iter().zip(["2.csv", "3.csv", "4.csv.gz"]) {
        assert!(
            lost["object"].as_str().unwrap().ends_with(name) && !lost["reason"].as_str().unwrap().is_empty()
        );
    }
    let failures = lines(&failures(&json));
    let named: Vec<_> = failures.iter().filter(|failure| failure["code"] == "object_lost").collect();
    assert_eq!(named.len(), 3);
    assert!(named[2]["object"].as_str().unwrap().ends_with("4.csv.gz"));
}
