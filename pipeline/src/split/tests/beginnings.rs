//! What objects begin with: marks, headers, and encodings that are refused.

use super::*;

fn refused(format: Format, input: &[u8]) -> ObjectRefused {
    let mut first = None;
    for chunk in 1..=input.len() {
        let refused = drive(Splitter::new(format, options(8, 40), 0), input, &[chunk], None).unwrap_err();
        assert_eq!(*first.get_or_insert(refused.clone()), refused);
    }
    first.unwrap()
}

#[test]
fn other_encodings_are_refused_with_advice() {
    for (bytes, word) in [
        (&b"\xff\xfe{\0}\0"[..], "UTF-16LE"),
        (b"\xfe\xff\0{\0}", "UTF-16BE"),
        (b"\xff\xfe\0\0{\0\0\0", "UTF-32LE"),
        (b"\0\0\xfe\xff\0\0\0{", "UTF-32BE"),
        (b"\xff\xfe", "UTF-16LE"),
    ] {
        for format in [Format::Csv, Format::Json] {
            let text = refused(format, bytes).to_string();
            assert!(text.contains(&format!("iconv -f {word} -t UTF-8")), "{text}");
        }
    }
}

#[test]
fn a_mark_is_skipped() {
    let splitter = |format| Splitter::new(format, options(5, 100), 0);
    for chunk in 1..9 {
        let (items, _) = drive(splitter(Format::Json), b"\xef\xbb\xbf{}\n", &[chunk], None).unwrap();
        assert_eq!(items, [Item { byte: 3, line: 1, outcome: Ok(b"{}".to_vec()) }]);
        let (items, _) = drive(splitter(Format::Csv), b"\xef\xbb\xbf\"Id\"\n1\n", &[chunk], None).unwrap();
        assert_eq!(items, [Item { byte: 8, line: 2, outcome: Ok(b"1".to_vec()) }]);
        assert_eq!(drive(splitter(Format::Csv), b"\xef\xbb\xbf", &[chunk], None).unwrap().0, []);
    }
}

#[test]
fn at_the_very_beginning_nothing_is_resumed() {
    for (format, input) in [(Format::Json, "\u{feff}{}\n[]\n"), (Format::Csv, "\u{feff}Id,City\na,b\n")] {
        let begin = Origin { object: 3, byte: 0, line: 1 };
        let resumed = Splitter::resume(format, options(32, 100), begin, None);
        let new = Splitter::new(format, options(32, 100), 3);
        let [resumed, new] =
            [resumed, new].map(|splitter| drive(splitter, input.as_bytes(), &[5], None).unwrap());
        assert!(!new.0.is_empty());
        assert_eq!(resumed, new);
    }
}

#[test]
fn bad_headers_are_refused() {
    let text = |input: &[u8]| refused(Format::Csv, input).to_string();
    assert!(text(b"\nname,mail\n1,2\n").starts_with("line 2: the header has none of the columns Id"));
    assert!(text(b"Id,\"a\nb\nc").starts_with("line 1 column 4: a quoted name in the header does not end"));
    assert!(text(b"Id,\xff\n1,2\n").starts_with("line 1 column 4: the header is not UTF-8"));
    assert!(text(&[b'a'; 50]).contains("longer than 40 bytes"));
    let mut few = options(64, 100);
    few.limits.max_columns = 2;
    let refused = drive(Splitter::new(Format::Csv, few, 0), b"Id,a,b\n", &[64], None).unwrap_err();
    assert!(refused.to_string().contains("3 columns, at most 2"), "{refused}");
}
