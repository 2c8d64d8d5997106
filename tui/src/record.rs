//! Shows the bytes of a failed record with a mark under its fault.

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
    use proptest::prelude::*;

    use super::*;

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
        }
    }
}
