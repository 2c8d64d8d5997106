//! Parquet by the real binary, read back by the crate's own reader: value by value what JSON says.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parquet::{
    basic::Compression,
    file::reader::{FileReader as _, SerializedFileReader},
    record::{Field, Row},
};
use serde_json::{Value, json};

use crate::{exported::in_folder, exports::nasty, serving::Serving, support::*, write_faults::noise};

fn open(file: &[u8]) -> SerializedFileReader<Bytes> {
    SerializedFileReader::new(Bytes::copy_from_slice(file)).unwrap()
}

fn groups(file: &[u8]) -> usize {
    open(file).metadata().num_row_groups()
}

/// How the columns of all groups are compressed.
fn codec(file: &[u8]) -> Compression {
    let reader = open(file);
    let groups = reader.metadata().row_groups().iter();
    let mut found = groups.flat_map(|group| group.columns().iter().map(|column| column.compression()));
    let first = found.next().unwrap();
    assert!(found.all(|other| other == first));
    first
}

/// An endpoint as JSON: what is null is not there.
fn object(row: &Row) -> Value {
    let members = row.get_column_iter().filter(|(_, field)| !matches!(field, Field::Null));
    Value::Object(members.map(|(name, field)| (name.clone(), value(field))).collect())
}

fn value(field: &Field) -> Value {
    match field {
        Field::Str(text) => json!(text),
        Field::Double(number) => json!(number),
        Field::Group(row) => object(row),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        Field::MapInternal(map) => {
            let entries = map.entries().iter().map(|(name, field)| match name {
                Field::Str(name) => (name.clone(), value(field)),
                other => panic!("{other:?} is no name"),
            });
            Value::Object(entries.collect())
        }
        other => panic!("{other:?} has a type of no member"),
    }
}

/// The files have the endpoints of these lines, value by value.
#[track_caller]
fn same_values(files: &[&[u8]], json: &[u8], what: &str) {
    let mut lines = json.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    for file in files {
        for row in open(file).get_row_iter(None).unwrap() {
            let line = lines.next().unwrap_or_else(|| panic!("{what} has more endpoints"));
            let expected: Value = serde_json::from_slice(line).unwrap();
            assert_eq!(object(&row.unwrap()), expected, "{what}");
        }
    }
    assert_eq!(lines.next(), None, "{what} has fewer endpoints");
}

#[test]
fn parquet_has_the_values_of_json() {
    let mut random = Random::seeded("parquet");
    for round in 0..4 {
        let lab = Lab::new();
        lab.write("rows.json", nasty(&mut random, 200, round % 2 == 0));
        lab.import("rows.json", "json", &["--segment", "s"]).expect(0);
        let none = "{\"Id\":\"none\",\"CreationDate\":\"2020-01-02T03:04:05.678Z\",\"OptOut\":\"NONE\"}\n";
        lab.write("none.json", none);
        lab.import("none.json", "json", &["--segment", "s"]).expect(0);
        let export = |more: &[&str]| lab.pinport(&["export"]).args(more).expect(0);
        let json = export(&["-", "--format", "json"]).out;
        let read = |name: &str| fs::read(lab.path(name)).unwrap();

        same_values(&[&export(&["-", "--parquet"]).out], &json, "standard output");
        for (name, flags) in [
            ("a.parquet", &["--parquet"][..]),
            ("b.parquet", &["--format", "parquet", "--zstd"]),
            ("c.parquet", &["--format", "json", "--parquet", "--gzip", "--segment", "s"]),
            ("d.parquet", &["--parquet", "--none"]),
        ] {
            export(&[&[name], flags].concat());
            same_values(&[&read(name)], &json, name);
            let names = ["ZSTD", "GZIP", "UNCOMPRESSED"];
            let expected = names[usize::from(name == "c.parquet") + 2 * usize::from(name == "d.parquet")];
            assert!(format!("{:?}", codec(&read(name))).starts_with(expected), "{name}");
        }
        let server = Serving::start_in(&lab, "data", "");
        export(&["e.parquet", "--parquet", "--gzip", "--server", &server.url]);
        let streamed = export(&["-", "--parquet", "--segment", "s", "--server", &server.url]).out;
        server.stop();
        same_values(&[&read("e.parquet")], &json, "a server's file");
        assert!(format!("{:?}", codec(&read("e.parquet"))).starts_with("GZIP"));
        same_values(&[&streamed], &json, "a server's stream");
    }
}

#[test]
fn large_exports_have_parts_and_groups_of_rows() {
    const ROWS: usize = 18_000;
    let lab = Lab::new();
    lab.write("rows.json", noise(ROWS));
    lab.import("rows.json", "json", &["--segment", "s"]).expect(0);
    let export = |more: &[&str]| lab.pinport(&["export"]).args(more).expect(0);
    let json = export(&["-", "--format", "json"]).out;

    export(&["out", "--parquet"]);
    let files = in_folder(&lab.path("out"));
    let manifest: Value = serde_json::from_slice(&files["_SUCCESS"]).unwrap();
    assert_eq!((&manifest["format"], &manifest["records"]), (&json!("PARQUET"), &json!(ROWS)));
    let listed = manifest["parts"].as_array().unwrap();
    assert_eq!(listed.len(), 2, "{manifest}");
    assert_eq!(files.len(), 3);
    let mut parts = Vec::new();
    for (number, part) in listed.iter().enumerate() {
        assert_eq!(part["name"], format!("part-{number:05}.parquet"));
        let file = &files[part["name"].as_str().unwrap()][..];
        assert_eq!((&part["bytes"], &part["sha256"]), (&json!(file.len()), &json!(sha256(file))));
        assert_eq!(part["records"], open(file).metadata().file_metadata().num_rows());
        parts.push(file);
    }
    assert!(groups(parts[0]) >= 4, "{} groups", groups(parts[0]));
    same_values(&parts, &json, "parts");

    export(&["one.parquet", "--parquet"]);
    let one = fs::read(lab.path("one.parquet")).unwrap();
    assert!(groups(&one) >= 5, "{} groups", groups(&one));
    same_values(&[&one], &json, "one file");

    let server = Serving::start_in(&lab, "data", "");
    let streamed = export(&["-", "--parquet", "--server", &server.url]).out;
    server.stop();
    // A server has less memory for each of them.
    assert!(groups(&streamed) > groups(&one), "{} groups", groups(&streamed));
    same_values(&[&streamed], &json, "a stream");
}

/// Killed at any moment, a part is there whole or not at all, and a manifest says that all are there.
#[test]
fn a_killed_export_leaves_whole_parts() {
    let lab = Lab::new();
    lab.write("rows.json", noise(18_000));
    lab.import("rows.json", "json", &[]).expect(0);
    let export = |target: &str| lab.pinport(&["export", target, "--parquet", "--none"]);
    let begun = Instant::now();
    export("whole").expect(0);
    let mut most = u64::try_from(begun.elapsed().as_millis()).unwrap();
    let whole = in_folder(&lab.path("whole"));
    let parts: Vec<_> = whole.keys().filter(|name| name.ends_with(".parquet")).collect();
    assert!(parts.len() > 1, "{parts:?}");
    export("whole.parquet").expect(0);
    let one = fs::read(lab.path("whole.parquet")).unwrap();

    let mut random = Random::seeded("kill -9 of Parquet");
    let (mut kills, mut rounds) = (0, 0);
    while kills < 12 {
        rounds += 1;
        let is_one = rounds % 3 == 0;
        let target = format!("torn-{rounds}{}", if is_one { ".parquet" } else { "" });
        let time = Duration::from_millis(random.below(most.max(1)));
        let (killed, outcome) = export(&target).start().kill_after(time);
        if !killed {
            assert_eq!(outcome.code, Some(0), "{}", outcome.err);
            // The first run took longer than one takes now.
            most -= most / 4;
        }
        kills += u32::from(killed);
        if is_one {
            let file = fs::read(lab.path(&target)).ok();
            assert!(file.as_ref().map_or(killed, |file| *file == one), "half a file");
            continue;
        }
        // It may have been killed before it had a folder.
        let folder = fs::read_dir(lab.path(&target)).ok().and_then(|mut folders| folders.next());
        let files = if folder.is_some() { in_folder(&lab.path(&target)) } else { BTreeMap::new() };
        for name in &parts {
            let part = files.get(*name);
            assert!(part.is_none_or(|part| *part == whole[*name]), "half of {name}");
            assert!(part.is_some() || !files.contains_key("_SUCCESS"), "a manifest without {name}");
        }
        assert!(killed || files.contains_key("_SUCCESS"));
    }
}

#[test]
fn what_makes_no_sense_with_parquet_is_said() {
    let lab = Lab::new();
    lab.write("rows.json", lab.sample("--rows 10"));
    lab.import("rows.json", "json", &[]).expect(0);
    let export = |more: &[&str]| lab.pinport(&["export"]).args(more);
    for (wrong, says) in [
        (&["x.parquet", "--parquet", "--columns", "Id"][..], "columns are for CSV"),
        (&["x.parquet", "--parquet", "--format", "csv"], "leave --format csv out"),
        (&["x.parquet"], "--format"),
        (&["x.parquet", "--parquet", "--gzip", "--zstd"], "cannot be used with"),
    ] {
        export(wrong).expect(2).says(&[says]);
    }
    assert!(!lab.path("x.parquet").exists());

    // Without rows a file has its schema, and a folder no parts.
    let where_none = ["segment", "create", "nobody", "--where", "Attributes.none = 'never'"];
    lab.pinport(&where_none).expect(0);
    export(&["none.parquet", "--parquet", "--segment", "nobody"]).expect(0);
    export(&["none", "--parquet", "--segment", "nobody"]).expect(0);
    let file = fs::read(lab.path("none.parquet")).unwrap();
    assert_eq!((groups(&file), open(&file).metadata().file_metadata().num_rows()), (0, 0));
    assert_eq!(open(&file).metadata().file_metadata().schema_descr().num_columns(), 31);
    assert_eq!(in_folder(&lab.path("none")).keys().collect::<Vec<_>>(), ["_SUCCESS"]);
}

fn sha256(bytes: &[u8]) -> String {
    let hash = <sha2::Sha256 as sha2::Digest>::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
