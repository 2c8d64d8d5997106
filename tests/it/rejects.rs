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
    lab.write_sample(&format!("rows.{format}"), &sample);
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

/// 3 bytes that fail take 150 on the disk: what is kept of them has a bound.
#[test]
fn failures_over_the_budget_are_counted_and_sampled_and_the_job_says_so() {
    let lab = Lab::new();
    lab.write("bad.json.gz", gzip(&[&b"{}\n".repeat(40_000), b"[]\n", &b"{}\n".repeat(20_000)]));
    let run = lab.import_with("data", "bad.json.gz", "json", &["--kept-failures", "1"]).expect(3);
    let outcome = run.json();
    assert_eq!(counts(&outcome), (60_001, 0, 60_001));
    assert_eq!(codes(&outcome)["not_an_object"], 1, "it is counted though it was not kept");
    let kept = lines(&failures(&outcome));
    let size = fs::metadata(&reject_files(&outcome)[0]).unwrap().len() + failures(&outcome).len() as u64;
    assert!(size <= 1 << 20, "{size}");
    assert_eq!(outcome["UnkeptFailures"], 60_001 - kept.len());
    let lines_kept: Vec<u64> = kept.iter().map(|failure| failure["line"].as_u64().unwrap()).collect();
    assert_eq!(lines_kept[..4000], (1..=4000).collect::<Vec<_>>());
    assert!(lines_kept.last() > Some(&50_000), "the sample reaches to the end");
    let warning = outcome["Warnings"].to_string();
    assert!(warning.contains("counted but not kept: the job keeps 1 MiB"), "{warning}");
    // The report of the job says it again.
    let shown = lab.pinport(&["jobs", "show", "last"]).expect(0);
    let shown = String::from_utf8(shown.out).unwrap();
    assert!(shown.contains("counted but not kept") && !shown.contains("every failed record"), "{shown}");
}
