//! Files that hold no records beside data, and in place of it: what is skipped, what is refused, and what is said.

use crate::support::*;

const HEADER: &str = "Id,ChannelType,Address\n";

fn csv(id: &str) -> String {
    format!("{HEADER}{id},EMAIL,{id}@example.com\n")
}

fn warnings(outcome: &serde_json::Value) -> String {
    outcome["Warnings"].to_string()
}

#[test]
fn what_stands_beside_the_data_is_skipped_and_named() {
    let lab = Lab::new();
    lab.write("spark/part-00000-aa.csv", csv("a"));
    for name in [
        ".DS_Store",
        "._SUCCESS.crc",
        ".part-00000-aa.csv.crc",
        "_delta_log/0.csv",
        "_temporary/0/part-1.csv",
        "~$contacts.csv",
        "Thumbs.db",
        "README.md",
        "part-00001.csv~",
    ] {
        lab.write(&format!("spark/{name}"), csv("never"));
    }
    lab.write("spark/table", b"PAR1\x15\x04\x15\x40\x15");
    for check in [&["--check"][..], &["--segment", "s"]] {
        let outcome = lab.import("spark", "csv", check).expect(0).json();
        assert_eq!(counts(&outcome), (1, 1, 0));
        assert_eq!(outcome["SkippedObjects"], 10);
        for said in [
            "spark/.DS_Store: it is a hidden file",
            "spark/_delta_log/0.csv: it lies in a folder whose name begins with _",
            "spark/table: it is a Parquet file",
        ] {
            assert!(warnings(&outcome).contains(said), "{said}: {}", warnings(&outcome));
        }
    }
    assert_eq!(lines(&lab.members("data", "s")).len(), 1);
    // An object that is named exactly is read, whatever its name.
    let outcome = lab.import("spark/_delta_log/0.csv", "csv", &["--segment", "t"]).expect(0).json();
    assert_eq!(counts(&outcome), (1, 1, 0));
}

#[test]
fn another_kind_of_file_is_refused_with_what_to_do() {
    let lab = Lab::new();
    let office = [&b"PK\x03\x04"[..], &[0; 26], b"[Content_Types].xml", &[0; 400]].concat();
    for (name, bytes, what, hint) in [
        ("w.csv", office, "workbook", "save the sheet as CSV"),
        ("p.csv", b"PAR1\x15\x04\x15\x40\x15".to_vec(), "a Parquet file", "DuckDB"),
        ("g.csv.gz", gzip(&[b"PAR1\x15\x04\x15\x40\x15"]), "a Parquet file", "DuckDB"),
        (
            "e.csv",
            b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>".to_vec(),
            "store",
            "again",
        ),
        (
            "l.csv",
            b"version https://git-lfs.github.com/spec/v1\noid".to_vec(),
            "git-LFS pointer",
            "git lfs pull",
        ),
    ] {
        lab.write(&format!("all/{name}"), &bytes);
        lab.write(name, &bytes);
        for more in [&["--check"][..], &["--segment", "s"]] {
            let report = lab.pinport(&["import", name, "--format", "csv"]).args(more).expect(1);
            report.says(&[name, what, hint]);
        }
    }
    // In a folder, under names of data: each of them is lost, the good one is not, and nobody is told it went well.
    lab.write("all/z.csv", csv("z"));
    lab.pinport(&["import", "all", "--format", "csv", "--segment", "all"])
        .expect(1)
        .says(&["neither CSV nor JSON"]);
    assert_eq!(lab.endpoint("z")["Address"], "z@example.com");
}
