//! Input that is out to hurt: one bad record costs one record, nothing aborts, and memory stays bounded.

use std::{io::Write as _, process::Stdio};

use crate::support::*;

const MOST_MEMORY: u64 = 512 << 20;

const GOOD: [&str; 2] = [
    "{\"Id\":\"first\",\"ChannelType\":\"EMAIL\",\"Address\":\"first@example.com\"}\n",
    "{\"Id\":\"last\",\"ChannelType\":\"EMAIL\",\"Address\":\"last@example.com\"}\n",
];

/// A bad record between two good ones: they are imported, it fails with this code, at line 2.
fn between_good_ones(bad: &[u8], code: &str) -> Outcome {
    let lab = Lab::new();
    lab.write("in.json", [GOOD[0].as_bytes(), bad, b"\n", GOOD[1].as_bytes()].concat());
    let outcome = lab.import("in.json", "json", &["--segment", "s"]).expect(3);
    let json = outcome.json();
    assert_eq!(counts(&json), (3, 2, 1));
    assert_eq!(codes(&json), [(code.to_owned(), 1)].into());
    assert_eq!(lines(&failures(&json))[0]["line"], 2);
    assert_eq!(lines(&lab.members("data", "s")).len(), 2);
    assert!(outcome.peak < MOST_MEMORY, "{} MiB", outcome.peak >> 20);
    assert!(outcome.out.len() < 20_000, "what it says is bounded");
    outcome
}

#[test]
fn deep_nesting_costs_one_record() {
    between_good_ones(format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)).as_bytes(), "too_deep");
    between_good_ones("{\"a\":".repeat(100_000).as_bytes(), "too_deep");
    between_good_ones(format!("{{\"Id\":\"x\",\"y\":{}", "[".repeat(100_000)).as_bytes(), "too_deep");
}

#[test]
fn a_line_of_64_mib_costs_one_record() {
    let mut line = b"{\"Id\":\"long\",\"ChannelType\":\"EMAIL\",\"Address\":\"".to_vec();
    line.resize(64 << 20, b'x');
    line.extend_from_slice(b"\"}");
    let outcome = between_good_ones(&line, "line_too_long");
    let told = outcome.json()["Failures"][0].as_str().unwrap().to_owned();
    assert!(told.ends_with(", so it is not among the rejects"), "{told}");
    line.fill(0);
    between_good_ones(&line, "line_too_long");
}

#[test]
fn bytes_that_are_no_text_cost_one_record() {
    for (bad, code) in [
        (&b"{\"Id\":\"x\0y\"}"[..], "invalid_json"),
        (b"\0\0\0\0", "invalid_json"),
        (b"{\"I\xffd\":\"x\",\"ChannelType\":\"EMAIL\",\"Address\":\"a\"}", "invalid_utf8"),
        (b"{\"Id\":\"x\xc3\",\"ChannelType\":\"EMAIL\",\"Address\":\"a\"}", "invalid_utf8"),
        (b"{\"Attributes\":{\"\xed\xa0\x80\":\"1\"},\"Id\":\"x\",\"ChannelType\":\"EMAIL\",\"Address\":\"a\"}", "invalid_utf8"),
        (b"{\"Id\":\"\\ud800\",\"ChannelType\":\"EMAIL\",\"Address\":\"a\"}", "invalid_json"),
        (b"{\"Id\":\"x\"}}", "invalid_json"),
        (b"{\xef\xbb\xbf\"Id\":\"a mark inside\"}", "invalid_json"),
        (b"\x1b[2J\x1b]0;gotcha\x07", "invalid_json"),
    ] {
        let outcome = between_good_ones(bad, code);
        let hostile = |byte: &u8| *byte < b' ' && *byte != b'\n';
        assert!(!outcome.out.iter().any(hostile), "control characters come out escaped");
    }
}

#[test]
fn other_encodings_are_refused_with_the_remedy() {
    let lab = Lab::new();
    let mut bytes = b"\xff\xfe\0\0".to_vec();
    bytes.extend(GOOD[0].chars().flat_map(|character| u32::from(character).to_le_bytes()));
    lab.write("in.json", bytes);
    for format in ["json", "csv"] {
        lab.import("in.json", format, &[]).expect(1).says(&["UTF-32", "iconv -f UTF-32LE -t UTF-8"]);
    }
}

#[test]
fn an_unterminated_quote_costs_one_record() {
    let lab = Lab::new();
    let mut text = String::from("Id,ChannelType,Address\n");
    for number in 0..20_000 {
        let quote = if number == 7000 { "\"" } else { "" };
        text.push_str(&format!("id-{number},EMAIL,{quote}{number}@example.com\n"));
    }
    lab.write("in.csv", &text);
    let outcome = lab.import("in.csv", "csv", &["--segment", "s", "--piece", "64"]).expect(3);
    let json = outcome.json();
    assert_eq!(counts(&json), (20_000, 19_999, 1));
    assert_eq!(codes(&json), [("unterminated_quote".to_owned(), 1)].into());
    let failure = &lines(&failures(&json))[0];
    assert_eq!(failure["line"], 7002);
    assert_eq!(failure["byte"], text.find("id-7000,").unwrap());
    assert_eq!(lines(&lab.members("data", "s")).len(), 19_999);
    // At the very end there is nothing to go on with.
    lab.write("end.csv", "Id,ChannelType,Address\na,EMAIL,a@example.com\nb,EMAIL,\"b@example.com\n");
    let end = lab.import("end.csv", "csv", &[]).expect(3).json();
    assert_eq!(counts(&end), (2, 1, 1));
}

#[test]
fn csv_bytes_that_are_no_text_cost_one_record() {
    let lab = Lab::new();
    let mut text = b"Id,ChannelType,Address,Attributes.x\n".to_vec();
    for bad in [&b"n\0l,EMAIL,a@example.com,1"[..], b"u,EMAIL,u@example.com,\xff\xfe", b"a,b,c,d,e,f", b"x"] {
        text.extend_from_slice(b"before,EMAIL,b@example.com,1\r\n");
        text.extend_from_slice(bad);
        text.extend_from_slice(b"\r\nafter,EMAIL,c@example.com,2\n");
    }
    lab.write("in.csv", text);
    let json = lab.import("in.csv", "csv", &[]).expect(3).json();
    let (read, _, failed) = counts(&json);
    assert_eq!(read, 12);
    assert!((3..=4).contains(&failed), "{json}");
    assert_eq!(lab.endpoint("after")["Attributes"]["x"][0], "2");
}

/// A file that unpacks to a gibibyte of zeroes after a good record, in many members.
fn bomb(codec: &str) -> Vec<u8> {
    let member = |bytes: &[u8]| {
        let mut packed = Vec::new();
        match codec {
            "gz" => {
                let mut encoder = flate2::write::GzEncoder::new(&mut packed, flate2::Compression::new(6));
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap();
            }
            "zst" => packed = zstd::encode_all(bytes, 3).unwrap(),
            "bz2" => {
                let mut encoder = bzip2::write::BzEncoder::new(&mut packed, bzip2::Compression::best());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap();
            }
            _ => {
                let mut encoder = liblzma::write::XzEncoder::new(&mut packed, 1);
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap();
            }
        }
        packed
    };
    [member(GOOD[0].as_bytes()), member(&vec![0; 16 << 20]).repeat(64)].concat()
}

#[test]
fn a_bomb_fails_its_object_and_no_other() {
    let lab = Lab::new();
    lab.write("in/1.json", GOOD[0]);
    // gzip never packs better than 1032 to 1.
    lab.write("in/2.json.zst", bomb("zst"));
    lab.write("in/3.json.gz", bomb("gz"));
    lab.write("in/4.json.bz2", bomb("bz2"));
    lab.write("in/5.json.xz", bomb("xz"));
    lab.write("in/6.json", GOOD[1]);
    let outcome = lab.import("in", "json", &["--segment", "s"]).expect(1);
    let json = outcome.json();
    assert_eq!(json["JobStatus"], "FAILED");
    let error = json["Error"].as_str().unwrap();
    assert!(error.contains("2.json.zst is too large at byte"), "{error}");
    assert_eq!(lines(&lab.members("data", "s")).len(), 2, "the other objects are imported");
    eprintln!("R5: 4 bombs of 1 GiB: {} MiB at most", outcome.peak >> 20);
    assert!(outcome.peak < MOST_MEMORY, "{} MiB", outcome.peak >> 20);
}

#[test]
fn a_line_of_a_gibibyte_costs_one_record() {
    let head = "Id,ChannelType,Address\nfirst,EMAIL,a@example.com\n";
    let quoted = [head, "long,EMAIL,\""].concat();
    let unquoted = [head, "long,EMAIL,"].concat();
    let json = [GOOD[0], "{\"Id\":\""].concat();
    for (format, head, tail) in [
        ("json", json, GOOD[1]),
        ("csv", unquoted, "last,EMAIL,b@example.com\n"),
        ("csv", quoted, "last,EMAIL,b@example.com\n"),
    ] {
        let lab = Lab::new();
        let mut run = lab.import("-", format, &[]);
        run.command.stdout(Stdio::piped());
        let mut run = run.start();
        let mut input = run.input.take().unwrap();
        input.write_all(head.as_bytes()).unwrap();
        let part = vec![b'x'; 1 << 20];
        (0..1024).for_each(|_| input.write_all(&part).unwrap());
        input.write_all(b"\n").unwrap();
        input.write_all(tail.as_bytes()).unwrap();
        drop(input);
        let outcome = run.wait();
        assert_eq!(outcome.code, Some(3), "{}", outcome.err);
        let json = outcome.json();
        assert_eq!(counts(&json), (3, 2, 1));
        assert_eq!(codes(&json), [("line_too_long".to_owned(), 1)].into());
        eprintln!("R5: a {format} line of 1 GiB: {} MiB at most", outcome.peak >> 20);
        assert!(outcome.peak < MOST_MEMORY, "{} MiB", outcome.peak >> 20);
    }
}

#[test]
fn millions_of_empty_objects_are_counted() {
    let lab = Lab::new();
    let mut run = lab.import("-", "json", &["--check"]);
    run.command.stdout(Stdio::piped());
    let mut run = run.start();
    let mut input = run.input.take().unwrap();
    let chunk = b"{}\n".repeat(100_000);
    for _ in 0..20 {
        input.write_all(&chunk).unwrap();
    }
    drop(input);
    let outcome = run.wait();
    assert_eq!(outcome.code, Some(3), "{}", outcome.err);
    let json = outcome.json();
    assert_eq!(counts(&json), (2_000_000, 0, 2_000_000));
    assert_eq!(codes(&json), [("missing_member".to_owned(), 2_000_000)].into());
    assert_eq!(json["Bytes"], 6_000_000);
    assert_eq!(std::fs::read(&reject_files(&json)[0]).unwrap().len(), 6_000_000);
    assert!(outcome.peak < MOST_MEMORY, "{} MiB", outcome.peak >> 20);
    // The same through the store.
    lab.write("in.json", b"{}\n".repeat(2_000_000));
    let outcome = lab.import("in.json", "json", &["--segment", "s"]).expect(3);
    assert_eq!(counts(&outcome.json()), (2_000_000, 0, 2_000_000));
    assert!(outcome.peak < MOST_MEMORY, "{} MiB", outcome.peak >> 20);
}

#[test]
fn a_flood_of_attributes_and_columns_is_bounded() {
    let lab = Lab::new();
    let columns = "Attributes.x,".repeat(5000);
    lab.write("wide.csv", format!("{columns}Id\n"));
    lab.import("wide.csv", "csv", &[])
        .expect(1)
        .says(&["wide.csv", "5001 columns, at most 4096 are allowed"]);
    // One unknown member a record, each another: they are named once, and not all of them.
    let mut text = String::new();
    for number in 0..50_000 {
        text.push_str(&format!(
            "{{\"Id\":\"i\",\"ChannelType\":\"SMS\",\"Address\":\"1\",\"x{number}\":1}}\n"
        ));
    }
    lab.write("unknown.json", text);
    let outcome = lab.import("unknown.json", "json", &[]).expect(0);
    let json = outcome.json();
    assert_eq!(counts(&json), (50_000, 50_000, 0));
    let notices = json["Notices"].as_array().unwrap();
    assert!((1..=102).contains(&notices.len()), "{} notices", notices.len());
    let unknown = notices.iter().filter(|notice| notice["kind"] == "unknown_member");
    let counted: u64 = unknown.map(|notice| notice["count"].as_u64().unwrap()).sum();
    assert_eq!(counted, 50_000);
}
