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
    // In a folder, under names of data: each of them is lost, the good one is not, and no one is told it went well.
    lab.write("all/z.csv", csv("z"));
    lab.pinport(&["import", "all", "--format", "csv", "--segment", "all"])
        .expect(1)
        .says(&["neither CSV nor JSON"]);
    assert_eq!(lab.endpoint("z")["Address"], "z@example.com");
}

/// A tar of these members.
fn tar(members: &[(&str, &str)]) -> Vec<u8> {
    let mut all = Vec::new();
    for (name, text) in members {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", text.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        all.extend(header);
        all.extend(text.as_bytes());
        all.resize(all.len().next_multiple_of(512), 0);
    }
    all.resize(all.len() + 1024, 0);
    all
}

/// A zip of these members, not compressed.
fn zip(members: &[(&str, &str)]) -> Vec<u8> {
    let (mut all, mut directory) = (Vec::new(), Vec::new());
    for (name, text) in members {
        let mut crc = flate2::Crc::new();
        crc.update(text.as_bytes());
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for number in [crc.sum(), text.len() as u32, text.len() as u32, name.len() as u32] {
            common.extend(number.to_le_bytes());
        }
        for (into, front, behind) in
            [(&mut all, &b"PK\x03\x04"[..], 0), (&mut directory, b"PK\x01\x02\x14\0", 14)]
        {
            into.extend(front);
            into.extend(&common);
            into.extend(vec![0; behind]);
            into.extend(name.as_bytes());
        }
        all.extend(text.as_bytes());
    }
    all.extend(directory);
    all.extend(b"PK\x05\x06");
    all.extend([0; 18]);
    all
}

#[test]
fn members_of_archives_are_read_as_objects_of_a_folder_are() {
    let lab = Lab::new();
    let (a, b) = (csv("a"), csv("b"));
    let members = [("list/a.csv", &*a), ("list/notes.json", "{}"), ("._a.csv", "x"), ("b.csv", b.trim_end())];
    for (name, bytes) in [
        ("people.tar", tar(&members)),
        ("people.tar.gz", gzip(&[&tar(&members)])),
        ("people.zip", zip(&members)),
        ("twice.csv.gz", gzip(&[&gzip(&[a.as_bytes()])])),
    ] {
        let rows = if name.starts_with('t') { 1 } else { 2 };
        lab.write(name, &bytes);
        lab.write(&format!("all/{name}"), &bytes);
        for more in [&["--check"][..], &["--segment", name]] {
            let outcome = lab.import(name, "csv", more).expect(0).json();
            assert_eq!(counts(&outcome), (rows, rows, 0), "{name}: {outcome}");
            if rows == 2 {
                let notices = outcome["Notices"].to_string();
                assert!(notices.contains("list/notes.json: its name says JSON"), "{notices}");
            }
        }
    }
    lab.write("all/pictures.zip", zip(&[("a.png", "\u{89}PNG"), ("b.json", "{}")]));
    let outcome = lab.import("all", "csv", &["--segment", "all"]).expect(0).json();
    assert_eq!(counts(&outcome), (7, 7, 0));
    let said = "none of its members is CSV";
    assert!(warnings(&outcome).contains(said), "{}", warnings(&outcome));
    lab.pinport(&["import", "all/pictures.zip", "--format", "csv"]).expect(1).says(&[said, "check --format"]);
    lab.write("other.zip", zip(&[("a.csv", &a), ("b.csv", "Address,ChannelType,Id\nx,EMAIL,x\n")]));
    let report = lab.pinport(&["import", "other.zip", "--format", "csv"]).expect(1);
    report.says(&["b.csv has another header line than a.csv", "hint: extract it"]);
}
