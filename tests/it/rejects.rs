//! Records that failed: their original bytes are importable as they are, fail again in the same way, and
//! pass when they are mended.

use std::{collections::BTreeMap, fs};

use serde_json::Value;

use crate::support::*;

/// Failures by code, member and message, without their places.
fn kinds(outcome: &Value) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for failure in lines(&failures(outcome)) {
        let kind = format!("{} {} {}", failure["code"], failure["member"], failure["message"]);
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

fn fail_again(format: &str) {
    let lab = Lab::new();
    let sample = format!("--rows 6000 --bad 10% --format {format}");
    lab.write(&format!("rows.{format}"), lab.sample(&sample));
    let first = lab.import_with("one", &format!("rows.{format}"), format, &[]).expect(3).json();
    let expected = lab.sample_tally(&sample);
    assert_eq!(first["Failed"], expected["failed"]);
    assert_eq!(serde_json::to_value(codes(&first)).unwrap(), expected["codes"]);

    let rejects = reject_files(&first);
    assert_eq!(rejects.len(), 1);
    // Into an empty store: none of them may pass, and none may be lost.
    let again = lab.import_with("two", rejects[0].to_str().unwrap(), format, &[]).expect(3).json();
    assert_eq!(counts(&again), (counts(&first).2, 0, counts(&first).2));
    assert_eq!(kinds(&again), kinds(&first));
    assert_eq!(fs::read(&reject_files(&again)[0]).unwrap(), fs::read(&rejects[0]).unwrap());
}

#[test]
fn json_rejects_fail_again_in_the_same_way() {
    fail_again("json");
}

#[test]
fn csv_rejects_fail_again_in_the_same_way() {
    fail_again("csv");
}

#[test]
fn mended_rejects_are_imported() {
    let lab = Lab::new();
    let good = |id: &str| format!(r#"{{"Id":"{id}","ChannelType":"EMAIL","Address":"{id}@example.com"}}"#);
    let text = [
        good("a"),
        good("b").replace("EMAIL", "PIGEON"),
        good("c"),
        good("d").replace("EMAIL", "PIGEON"),
        r#"{"Id":"a","Metrics":{"visits":"many"}}"#.to_owned(),
    ]
    .join("\r\n");
    lab.write("rows.json", text);
    let first = lab.import("rows.json", "json", &["--segment", "s"]).expect(3).json();
    assert_eq!(counts(&first), (5, 2, 3));
    let rejects = lab.pinport(&["jobs", "rejects", "last"]).expect(0).out;
    let mended = String::from_utf8(rejects).unwrap().replace("PIGEON", "SMS").replace("\"many\"", "3");
    lab.write("mended.json", mended);
    let second = lab.import("mended.json", "json", &["--segment", "s"]).expect(0).json();
    assert_eq!(counts(&second), (3, 3, 0));
    assert_eq!(lab.endpoint("d")["ChannelType"], "SMS");
    assert_eq!(lab.endpoint("a")["Metrics"]["visits"], 3.0);
    assert_eq!(lines(&lab.members("data", "s")).len(), 4);
}

#[test]
fn objects_with_other_headers_have_rejects_of_their_own() {
    let lab = Lab::new();
    lab.write("in/1.csv", "Id,ChannelType,Address\nok-1,EMAIL,a@example.com\nbad-1,EMAIL\n");
    lab.write("in/2.csv", "Address,ChannelType,Id\nb@example.com,PIGEON,bad-2\nc@example.com,SMS,ok-2\n");
    lab.write("in/3.csv", "Id,ChannelType,Address\nbad-3,PIGEON,d@example.com\n");
    let first = lab.import("in", "csv", &[]).expect(3).json();
    assert_eq!(counts(&first), (5, 2, 3));
    let parts = reject_files(&first);
    let text: Vec<String> = parts.iter().map(|part| fs::read_to_string(part).unwrap()).collect();
    assert_eq!(
        text,
        [
            "Id,ChannelType,Address\nbad-1,EMAIL\n",
            "Address,ChannelType,Id\nb@example.com,PIGEON,bad-2\n",
            "Id,ChannelType,Address\nbad-3,PIGEON,d@example.com\n"
        ]
    );
    for (number, text) in text.iter().enumerate() {
        let part = (number + 1).to_string();
        let printed = lab.pinport(&["jobs", "rejects", "last", "--part", &part]).expect(0);
        assert_eq!(String::from_utf8_lossy(&printed.out), *text);
        printed.says(&[&format!("part {part} of 3")]);
    }
    lab.pinport(&["jobs", "rejects", "last", "--part", "4"]).expect(2).says(&["have 3 parts"]);
    let again = lab.import_with("two", parts[1].to_str().unwrap(), "csv", &[]).expect(3).json();
    assert_eq!(codes(&again), [("unknown_value".to_owned(), 1)].into());
    let mended = text[1].replace("PIGEON", "EMAIL");
    lab.write("mended.csv", mended);
    lab.import("mended.csv", "csv", &[]).expect(0);
    assert_eq!(lab.endpoint("bad-2")["Address"], "b@example.com");
}
