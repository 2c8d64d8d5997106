//! Shows the bytes of a failed record, and finds where in them the fault is.

use pinport_model::{Failure, Format};
use unicode_width::UnicodeWidthChar as _;

use crate::{look::Symbols, text::harmless};

/// The cells that lie before the fault in a record that is cut, of all cells.
const BEFORE: (usize, usize) = (1, 2);

/// A line of a record, and the cell of it that the fault is at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) caret: Option<usize>,
}

/// The byte of the record that the fault is at: its column, or else where its member's value begins.
pub(crate) fn spot(failure: &Failure, format: Format, header: Option<&[u8]>, record: &[u8]) -> Option<usize> {
    if let Some(column) = failure.column {
        let at = usize::try_from(column).ok()?.checked_sub(1)?;
        return (at <= record.len()).then_some(at);
    }
    let member = failure.member.as_deref()?;
    match format {
        Format::Json => value_of(record, member),
        Format::Csv => cell_of(header?, record, member),
    }
}

/// Where the value of a dotted member begins in a JSON object: behind each name of the path, one inside the other.
fn value_of(record: &[u8], member: &str) -> Option<usize> {
    // Names have dots too: the longest name that is there is meant.
    let (object, mut found) = (0, None);
    let mut ends: Vec<usize> = member.match_indices('.').map(|(at, _)| at).collect();
    ends.push(member.len());
    for end in ends.into_iter().rev() {
        let Some(at) = key_of(record, object, &member[..end]) else { continue };
        let rest = member.get(end + 1..).filter(|rest| !rest.is_empty());
        let inner = rest.and_then(|rest| Some(at + value_of(&record[at..], rest)?));
        // A member that is missing is missing in its object.
        found = Some(inner.unwrap_or(at));
        break;
    }
    found
}

/// Where the value of the key `name` of the object that begins at `from` begins.
fn key_of(record: &[u8], from: usize, name: &str) -> Option<usize> {
    let (mut at, mut depth) = (from, 0_u32);
    while at < record.len() {
        match record[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return None;
                }
            }
            b'"' => {
                let end = string_end(record, at + 1);
                let is_name = record[at + 1..end].eq_ignore_ascii_case(name.as_bytes());
                at = end + 1;
                let colon = skip_space(record, at);
                if depth == 1 && is_name && record.get(colon) == Some(&b':') {
                    return Some(skip_space(record, colon + 1)).filter(|at| *at < record.len());
                }
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the string that begins at `at` has its closing quote, or the end of the record.
fn string_end(record: &[u8], mut at: usize) -> usize {
    while at < record.len() && record[at] != b'"' {
        at += if record[at] == b'\\' { 2 } else { 1 };
    }
    at.min(record.len())
}

fn skip_space(record: &[u8], mut at: usize) -> usize {
    while record.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// Where the cell of a member's column begins in a CSV row.
fn cell_of(header: &[u8], record: &[u8], member: &str) -> Option<usize> {
    let separator = *b",;\t|".iter().max_by_key(|separator| cells(header, **separator).len())?;
    let is_name = |(from, to): &(usize, usize)| {
        let name = header[*from..*to].trim_ascii();
        let name = name.strip_prefix(b"\xef\xbb\xbf").unwrap_or(name);
        let name = name.strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"\"")).unwrap_or(name);
        name.eq_ignore_ascii_case(member.as_bytes())
    };
    let column = cells(header, separator).iter().position(is_name)?;
    cells(record, separator).get(column).map(|(from, _)| *from)
}

/// Where the cells of a row begin and end.
fn cells(row: &[u8], separator: u8) -> Vec<(usize, usize)> {
    let (mut cells, mut from, mut inside) = (Vec::new(), 0, false);
    for (at, byte) in row.iter().enumerate() {
        if *byte == b'"' {
            inside = !inside;
        } else if *byte == separator && !inside {
            cells.push((from, at));
            from = at + 1;
        }
    }
    cells.push((from, row.len()));
    cells
}

/// Adds the parts of a record as they are shown: each with its byte, its cells, and whether a line ends with it.
fn parts(record: &[u8], first: usize, symbols: Symbols, mut add: impl FnMut(usize, &str, usize, bool)) {
    let mut byte = first;
    for chunk in record.utf8_chunks() {
        for character in chunk.valid().chars() {
            let text = match character {
                ' '..='~' => {
                    add(byte, character.encode_utf8(&mut [0; 4]), 1, false);
                    byte += 1;
                    continue;
                }
                _ => harmless(character.encode_utf8(&mut [0; 4]), symbols),
            };
            let cells = text.chars().map(|character| character.width().unwrap_or(0)).sum();
            add(byte, &text, cells, character == '\n');
            byte += character.len_utf8();
        }
        for invalid in chunk.invalid() {
            add(byte, &format!("\\x{invalid:02x}"), 4, false);
            byte += 1;
        }
    }
}

/// The record in one line of at most `width` cells, cut around the fault.
pub(crate) fn cut(record: &[u8], spot: Option<usize>, width: usize, symbols: Symbols) -> Line {
    let at = spot.unwrap_or(0).min(record.len());
    // More bytes than these do not fit, whatever they are; what is there is a window of a record that may be large.
    let is_border = |at: usize| record.get(at).is_none_or(|byte| byte & 0xc0 != 0x80);
    let near = |at: usize| (at..(at + 4).min(record.len())).find(|at| is_border(*at)).unwrap_or(at);
    let first = near(at.saturating_sub(width * 4));
    let last = near((at + width * 4).min(record.len()));
    let mut shown: Vec<(String, usize)> = Vec::new();
    let mut under = None;
    parts(&record[first..last], first, symbols, |byte, text, cells, _| {
        if byte <= at {
            under = Some(shown.len());
        }
        shown.push((text.to_owned(), cells));
    });
    // A fault at the end of the record is behind its last character.
    if at == record.len() && spot.is_some() {
        under = Some(shown.len());
    }
    let under = under.unwrap_or(0);
    let cells = |range: &[(String, usize)]| range.iter().map(|(_, cells)| cells).sum::<usize>();
    let (mut from, mut to) = (0, shown.len());
    let room = width.saturating_sub(1);
    let whole = first == 0 && last == record.len() && cells(&shown) <= room;
    if !whole {
        let half = width * BEFORE.0 / BEFORE.1;
        if cells(&shown[..under]) > half || first > 0 {
            from = under;
            while from > 0 && cells(&shown[from - 1..under]) < half {
                from -= 1;
            }
        }
        let start = usize::from(from > 0 || first > 0);
        let mut used = start;
        to = from;
        while to < shown.len() && used + shown[to].1 < room {
            used += shown[to].1;
            to += 1;
        }
    }
    let mark = symbols.ellipsis();
    let mut line = Line::default();
    if from > 0 || first > 0 {
        line.text.push(mark);
    }
    line.caret = spot.map(|_| usize::from(from > 0 || first > 0) + cells(&shown[from..under.max(from)]));
    line.text.extend(shown[from..to].iter().map(|(text, _)| text.as_str()));
    if to < shown.len() || last < record.len() {
        line.text.push(mark);
    }
    line
}

/// The whole record in lines of at most `width` cells.
pub(crate) fn whole(record: &[u8], spot: Option<usize>, width: usize, symbols: Symbols) -> Vec<Line> {
    let (mut lines, mut line, mut used) = (Vec::new(), Line::default(), 0);
    parts(record, 0, symbols, |byte, text, cells, ends| {
        if used > 0 && used + cells > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if spot == Some(byte) {
            line.caret = Some(used);
        }
        line.text.push_str(text);
        used += cells;
        if ends {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
    });
    if spot == Some(record.len()) {
        line.caret = Some(used);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use pinport_model::{
        FailureCode,
        failure::{FailureReason, Origin},
    };
    use proptest::prelude::*;

    use super::*;

    fn failure(member: &str) -> Failure {
        FailureReason::of(member, FailureCode::WrongType, "is wrong")
            .locate("o", Origin { object: 0, byte: 0, line: 1 })
    }

    fn rest<'a>(format: Format, header: &str, record: &'a str, member: &str) -> Option<&'a str> {
        spot(&failure(member), format, Some(header.as_bytes()), record.as_bytes()).map(|at| &record[at..])
    }

    #[test]
    fn a_member_of_an_object_is_found() {
        let json = r#"{"x":{"ChannelType":"no"},"t":"\"ChannelType\":", "ChannelType" : "PIGEON","Attributes":{"a.b":[1],"c":2},"User":{"UserId":7}}"#;
        let starts = |member, text| {
            let found = rest(Format::Json, "", json, member).unwrap();
            assert!(found.starts_with(text), "{member}: {found}");
        };
        starts("ChannelType", "\"PIGEON\"");
        starts("channeltype", "\"PIGEON\"");
        starts("Attributes.a.b", "[1]");
        starts("Attributes.c", "2}");
        starts("User.UserId", "7}");
        starts("User.missing", "{\"UserId\"");
        assert_eq!(rest(Format::Json, "", json, "Id"), None);
    }

    #[test]
    fn a_cell_of_a_column_is_found() {
        let found = |header, record, member| rest(Format::Csv, header, record, member);
        assert_eq!(found("Id,Address,ChannelType", "1,\"a,\nb\",PIGEON", "ChannelType"), Some("PIGEON"));
        assert_eq!(found("\u{feff}Id;\"Address\"", "1;x", "Address"), Some("x"));
        assert_eq!(found("\u{feff}Id;\"Address\"", "1;x", "Id"), Some("1;x"));
        assert_eq!(found("Id,Address", "1", "Address"), None);
    }

    #[test]
    fn a_column_is_a_byte() {
        let mut failure = failure("Id");
        failure.column = Some(3);
        assert_eq!(spot(&failure, Format::Json, None, b"abc"), Some(2));
        failure.column = Some(5);
        assert_eq!(spot(&failure, Format::Json, None, b"abc"), None);
    }

    fn under(line: &Line) -> String {
        line.text.chars().skip(line.caret.unwrap()).collect()
    }

    #[test]
    fn a_long_record_is_cut_around_the_fault() {
        let record = format!("{}FAULT{}", "a".repeat(5000), "z".repeat(5000));
        let line = cut(record.as_bytes(), Some(5000), 40, Symbols::Unicode);
        assert!(line.text.starts_with("…aaa") && line.text.ends_with("zz…"), "{line:?}");
        assert!(under(&line).starts_with("FAULT") && line.text.chars().count() <= 40, "{line:?}");
        let start = cut(record.as_bytes(), Some(2), 40, Symbols::Unicode);
        assert!(start.text.starts_with("aaa") && start.caret == Some(2), "{start:?}");
        let end = cut(b"short", Some(5), 40, Symbols::Unicode);
        assert_eq!(end, Line { text: "short".into(), caret: Some(5) });
    }

    #[test]
    fn controls_are_escapes_and_lines_end_where_they_do() {
        let record = b"1,\"a\x1b[2J\nb\xff\",PIG";
        let line = cut(record, Some(13), 60, Symbols::Unicode);
        assert_eq!(line.text, "1,\"a\\u{1b}[2J\\nb\\xff\",PIG");
        assert!(under(&line).starts_with("PIG"), "{line:?}");
        let lines = whole(record, Some(13), 60, Symbols::Unicode);
        assert_eq!(lines[0].text, "1,\"a\\u{1b}[2J\\n");
        assert_eq!(lines[1], Line { text: "b\\xff\",PIG".into(), caret: Some(7) });
    }

    proptest! {
        #[test]
        fn no_bytes_and_no_width_are_too_strange(
            record in proptest::collection::vec(any::<u8>(), 0..300), at in 0..320_usize, width in 0..60_usize,
        ) {
            let spot = (at <= record.len()).then_some(at);
            let line = cut(&record, spot, width, Symbols::Unicode);
            prop_assert!(!line.text.chars().any(char::is_control));
            prop_assert!(line.text.chars().count() <= width.max(2) * 2 + 12);
            if width > 12 && let Some(caret) = line.caret {
                prop_assert!(caret <= width, "{line:?}");
            }
            let lines = whole(&record, spot, width, Symbols::Ascii);
            prop_assert_eq!(lines.iter().filter(|line| line.caret.is_some()).count() <= 1, true);
            prop_assert!(lines.iter().all(|line| line.text.is_ascii()));
            value_of(&record, "a.b");
            cell_of(&record, &record, "a");
        }
    }
}
