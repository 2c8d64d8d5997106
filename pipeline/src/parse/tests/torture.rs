//! Files made to break parsers (R5): every known trick in one file each, at every chunk size. One bad record
//! costs one record, and which ones are bad is what the oracles say.

use super::*;

/// Values that are JSON or nearly so.
const VALUES: &[&str] = &[
    "[]",
    "[ ]",
    "[[]]",
    "[\"a\",1,true,null]",
    "[1,2",
    "[1,,2]",
    "[,1]",
    "[1,]",
    "[1 2]",
    "[\"\": 1]",
    "[-]",
    "[\"x\"",
    "]",
    "{}",
    "{\"a\":1}",
    "{\"a\":1,\"a\":2}",
    "{\"\":0}",
    "{\"a\":1,}",
    "{,}",
    "{\"a\"}",
    "{\"a\":}",
    "{a:1}",
    "{'a':1}",
    "{1:1}",
    "{\"a\" b}",
    "{\"a\":1 \"b\":2}",
    "{\"a\":1}}",
    "{\"a\":[}",
    "{\"a\":/**/1}",
    "{\"a\":1}//",
    "0",
    "-0",
    "-",
    "--1",
    "+1",
    "01",
    "-01",
    "1.",
    ".5",
    "1.5",
    "1e5",
    "1E+5",
    "1e",
    "1e+",
    "1.e1",
    "0e1",
    "1e400",
    "-1e400",
    "1e-400",
    "0x1",
    "Infinity",
    "NaN",
    "nan",
    "123456789012345678901234567890",
    "0.1234567890123456789012345678901234567890",
    "1_000",
    "1a",
    "1 000",
    "\u{ff11}",
    "true",
    "TRUE",
    "tru",
    "truee",
    "null",
    "nul",
    "false",
    "fals",
    "\"\"",
    "\"",
    "\"\\\"",
    "\"a\"\"b\"",
    "'a'",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u0000\"",
    "\"\\u00e9\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\"\\ude00\"",
    "\"\\ude00\\ud83d\"",
    "\"\\ud83d\\ud83d\"",
    "\"\\ud83dx\"",
    "\"\\U0041\"",
    "\"\\/\\b\\f\\n\\r\\t\\\\\"",
    "\"\t\"",
    "\"\u{0}\"",
    "\"\u{7f}\"",
    "\"\u{2028}\"",
    "\"\u{feff}\"",
    "\u{feff}1",
    "\"\u{10ffff}\"",
    "\u{a0}1",
    "\u{c}1",
    "1\u{b}",
    "undefined",
    "<a>",
    "=1+1",
    "\\u0031",
    "\"a\" \"b\"",
    "[\"a\"] x",
    "*",
    "{\"a\":true,false}",
];

/// Bytes that are no UTF-8, inside a string.
const BYTES: &[&[u8]] = &[
    b"\xff",
    b"\x80",
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xc3",
    b"\xe0\x80\x80",
    b"\xe2\x82",
    b"\xed\xa0\x80",
    b"\xf0\x80\x80\x80",
    b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfe\xff",
];

fn json_file() -> (Vec<u8>, usize) {
    let mut file = b"\xef\xbb\xbf".to_vec();
    let mut bad = 0;
    let mut add = |line: &[u8]| {
        bad += usize::from(serde_json::from_slice::<serde_json::Value>(line).is_err());
        file.extend_from_slice(line);
        file.extend_from_slice(b"\n{\"Id\":\"between\"}\r\n");
    };
    for value in VALUES {
        add(format!("{{\"Id\":\"i\",\"other\":{value}}}").as_bytes());
    }
    for bytes in BYTES {
        add(&[b"{\"Id\":\"i\",\"other\":\"", *bytes, b"\"}"].concat());
        add(&[b"{\"Id\":\"i\"}", *bytes].concat());
    }
    add(format!("{{\"Id\":\"i\",\"other\":{}1{}}}", "[".repeat(500), "]".repeat(500)).as_bytes());
    add("{\"Id\":".repeat(500).as_bytes());
    (file, bad)
}

/// What is said of a file that arrives in chunks of one size.
fn said_in(chunk: usize, block_bytes: usize, format: Format, file: &[u8]) -> Outcome {
    let mut parser = Parser::new();
    parse_in(&mut parser, format, file, &context(), block_bytes, chunk)
}

fn at_every_chunk_size(format: Format, file: &[u8]) -> Outcome {
    let whole = said_in(usize::MAX, 1 << 16, format, file);
    for chunk in (1..=600).chain([1000, 4096, file.len() - 1]) {
        for block_bytes in [50, 1 << 16] {
            let said = said_in(chunk, block_bytes, format, file);
            assert_eq!(said.drafts, whole.drafts, "chunks of {chunk}, blocks of {block_bytes}");
            assert_eq!(said.failed, whole.failed, "chunks of {chunk}, blocks of {block_bytes}");
        }
    }
    whole
}

#[test]
fn json_torture_costs_its_own_records() {
    let (file, bad) = json_file();
    let said = at_every_chunk_size(Format::Json, &file);
    let lines = file.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!((said.drafts.len(), said.failed.len()), (lines - bad, bad));
    let between = said.drafts.iter().filter(|draft| draft.id == "between").count();
    assert_eq!(between, lines / 2, "no good record is lost");
    println!("R5: {bad} of {lines} JSON lines are bad, at every chunk size");
}

#[test]
fn csv_torture_costs_its_own_records() {
    // Rows, and whether they are good. Each stands between good ones; an open quote costs what it opens.
    let rows: &[(&[u8], bool)] = &[
        (b"a,x,y", true),
        (b"a,\"x\",\"y\"", true),
        (b"a,\"x,y\",\"\"\"\"", true),
        (b"a,\"two\nlines\",\"\r\n\n\"", true),
        (b"a,x\"y,z\"", true),
        (b"a,\"x\"y,z", false),
        (b"a, \"x\",z", true),
        (b"a,,", true),
        (b"a,x", false),
        (b"a,x,y,z", false),
        (b"a", false),
        (b"\"\",x,y", false),
        (b"a,\"x,y", false),
        (b"\"a,x,y", false),
        (b"\"", false),
        (b"a,\"x\ny\"z,1", false),
        (b"a,\xff,y", false),
        (b"a,\"\xc3\",y", false),
        (b"a,x\0,y", true),
        (b"\0,x,y", true),
        (b"a;x;y", false),
        (b"a\tx\ty", false),
        (b"=1+1,\x1b[2J,\xe2\x80\xae", true),
    ];
    let mut file = b"Id,Attributes.a,Attributes.b\n".to_vec();
    let good: &[u8] = b"between,1,2\n";
    for (row, _) in rows {
        // Twice, so that the second shows whether the reader found its way back.
        file.extend_from_slice(&[good, row, b"\n", good, row, b"\r\n", good, b"\n"].concat());
    }
    let said = at_every_chunk_size(Format::Csv, &file);
    let bad = rows.iter().filter(|(_, is_good)| !is_good).count();
    let between = said.drafts.iter().filter(|draft| draft.id == "between").count();
    let failed: Vec<_> = said.failed.iter().map(|failed| (failed.origin.line, failed.reason.code)).collect();
    assert_eq!(said.failed.len(), 2 * bad, "{failed:?}");
    assert_eq!(between, 3 * rows.len(), "no good record is lost");
    assert_eq!(said.drafts.len(), 3 * rows.len() + 2 * (rows.len() - bad));
    println!("R5: {} of {} CSV rows are bad, at every chunk size", 2 * bad, 5 * rows.len());
}
