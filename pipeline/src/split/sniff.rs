//! How a CSV object is written, detected from its first bytes: separator, escape, line ends, and where its header is.
//!
//! Only the first [`SNIFF_BYTES`](crate::limits::SNIFF_BYTES) are looked at, always as many if the object has them, so that the result does not
//! depend on how the bytes arrive. After a crash an object that goes on is detected the same.

use pinport_model::{Delimiter, Escape, NoticeKind, Notices};

use super::SplitOptions;
use crate::{
    limits::HEADER_LINES,
    parse::names,
    text::{Dialect, content_len, is_blank, walk},
};

/// Known names that prove a header after titles. One alone may be a word of a title.
const PROOF: usize = 2;

/// The separators that are tried when none is set; the first is the usual one.
pub(crate) const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// What was detected.
#[derive(Debug, Default)]
pub(super) struct Sniffed {
    pub(super) dialect: Dialect,
    /// Bytes before the header.
    pub(super) skip: usize,
    /// Whether a line was found that is surely the header.
    pub(super) is_found: bool,
    pub(super) notices: Notices,
}

/// Where a header was found.
struct Found {
    delimiter: u8,
    skip: usize,
    titles: u64,
}

/// Detects how an object is written that begins with `head`; `whole`: it ends with it.
pub(super) fn sniff(head: &[u8], whole: bool, options: &SplitOptions) -> Sniffed {
    let rules = &options.rules;
    let mut sniffed = Sniffed::default();
    let (separator, lead) = match separator_line(head) {
        Some((separator, len)) => (Some(separator), len),
        None => (None, 0),
    };
    let set = rules.delimiter.map(Delimiter::byte).or(separator);
    let body = &head[lead..];
    let usual = [set.unwrap_or(b',')];
    let candidates: &[u8] = if set.is_some() { &usual } else { &SEPARATORS };
    let found = find_header(body, candidates, options);
    let dialect = &mut sniffed.dialect;
    sniffed.skip = lead;
    dialect.delimiter = usual[0];
    sniffed.is_found = found.is_some();
    if let Some(found) = &found {
        dialect.delimiter = found.delimiter;
        sniffed.skip += found.skip;
        sniffed.notices.add(NoticeKind::TitleSkipped, "", found.titles);
    }
    if rules.delimiter.is_none() && dialect.delimiter != b',' {
        let name = Delimiter::new(dialect.delimiter).unwrap_or_default().name();
        sniffed.notices.add(NoticeKind::SeparatorDetected, &name, 1);
    }
    let rest = &head[sniffed.skip..];
    dialect.carriage = ends_in_carriage_returns(rest, dialect.delimiter, whole);
    if dialect.carriage {
        sniffed.notices.add(NoticeKind::LineEndDetected, "carriage returns", 1);
    }
    dialect.backslash = match rules.escape {
        Escape::Double => false,
        Escape::Backslash => true,
        Escape::Auto => is_escaped_by_backslash(rest, dialect.delimiter),
    };
    if found.is_some() {
        dialect.trailing = trailing_separators(rest, whole, *dialect);
    }
    if dialect.backslash && rules.escape == Escape::Auto {
        sniffed.notices.add(NoticeKind::EscapeDetected, "backslashes", 1);
    }
    sniffed
}

/// The physical lines of `head`, whatever ends them, terminators included.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = head;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let len = match memchr::memchr2(b'\n', b'\r', rest) {
            Some(at) if rest[at] == b'\r' && rest.get(at + 1) == Some(&b'\n') => at + 2,
            Some(at) => at + 1,
            None => rest.len(),
        };
        let (line, behind) = rest.split_at(len);
        rest = behind;
        Some(line)
    })
}

/// The separator that a line `sep=;` names, as Excel reads it, and the line's length.
fn separator_line(head: &[u8]) -> Option<(u8, usize)> {
    let line = lines(head).next()?;
    let text = line.trim_ascii_end();
    let text = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text);
    // A tab is white space at the end of its line.
    let text = if text.len() == 4 { &line[..5.min(line.len())] } else { text };
    match text {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', separator] => {
            Delimiter::new(*separator).map(|_| (*separator, line.len()))
        }
        _ => None,
    }
}

/// The cells of a line, roughly: quotes around them are taken off.
fn cells(line: &str, delimiter: u8) -> Vec<String> {
    let (mut found, mut cell, mut inside) = (Vec::new(), String::new(), false);
    for character in line.trim_end_matches(['\r', '\n']).chars() {
        match character {
            '"' => inside = !inside,
            other if !inside && other == char::from(delimiter) => found.push(std::mem::take(&mut cell)),
            other => cell.push(other),
        }
    }
    found.push(cell);
    found
}

/// Finds the header among the first lines.
fn find_header(body: &[u8], candidates: &[u8], options: &SplitOptions) -> Option<Found> {
    let strict = options.rules.strict_names;
    let is_mapped = |cell: &String| options.map.as_ref().is_some_and(|map| map.is_named(cell, strict));
    let (mut skip, mut titles, mut seen) = (0, Vec::new(), 0);
    for line in lines(body) {
        // A byte order mark may follow another or come after a title.
        let text = String::from_utf8_lossy(line);
        if is_blank(line) {
            skip += line.len();
            continue;
        }
        let judged = candidates.iter().filter_map(|&delimiter| {
            let cells = cells(&text, delimiter);
            if !cells.iter().any(|cell| names::is_key(cell, strict) || is_mapped(cell)) {
                return None;
            }
            let known = cells.iter().filter(|cell| names::known(cell).is_some() || is_mapped(cell)).count();
            let is_header = options.map.as_ref().is_some_and(|map| map.is_header(&cells, strict));
            let known = if is_header { known.max(PROOF) } else { known };
            Some((known, delimiter, cells.len()))
        });
        // The first of equals is the usual separator.
        let best = judged.reduce(|best, next| if next.0 > best.0 { next } else { best });
        if let Some((known, delimiter, columns)) = best {
            // A row of data has as many cells as its header; a title has few, and a sole name proves little.
            let is_title = |line: &String| {
                let filled = cells(line, delimiter).iter().filter(|cell| !cell.trim().is_empty()).count();
                filled <= columns / 2
            };
            let proved = titles.is_empty() || known >= PROOF && titles.iter().all(is_title);
            return proved.then_some(Found { delimiter, skip, titles: titles.len() as u64 });
        }
        seen += 1;
        if seen >= HEADER_LINES {
            return None;
        }
        // Rows of empty cells are nothing.
        if line.iter().any(|byte| !byte.is_ascii_whitespace() && !candidates.contains(byte) && *byte != b'"')
        {
            titles.push(text.into_owned());
        }
        skip += line.len();
    }
    None
}

/// Whether carriage returns by themselves end lines: one that lies outside quotes ends a line of as many cells as
/// the first line has. (One in the middle of a cell does not.)
fn ends_in_carriage_returns(head: &[u8], delimiter: u8, whole: bool) -> bool {
    if memchr::memchr(b'\r', head).is_none() {
        return false;
    }
    let (mut inside, mut cells, mut width) = (false, 0, None);
    for (at, &byte) in head.iter().enumerate() {
        match byte {
            b'"' => inside = !inside,
            _ if inside => {}
            b'\n' => {
                width = width.or((cells > 0).then_some(cells));
                cells = 0;
            }
            b'\r' => match head.get(at + 1) {
                Some(b'\n') => {}
                None if !whole => {}
                _ if width.is_none_or(|width| width == cells) => return true,
                _ => {}
            },
            byte if byte == delimiter => cells += 1,
            _ => {}
        }
    }
    false
}

/// Whether quotes in quoted cells are escaped by backslashes: some must be, and read so, every cell ends well.
fn is_escaped_by_backslash(head: &[u8], delimiter: u8) -> bool {
    if memchr::memmem::find(head, b"\\\"").is_none() {
        return false;
    }
    let ends = |byte: Option<&u8>| {
        byte.is_none_or(|byte| *byte == delimiter || matches!(byte, b'\r' | b'\n' | b' ' | b'\t'))
    };
    let (mut inside, mut start, mut escaped, mut at) = (false, true, 0, 0);
    while at < head.len() {
        let byte = head[at];
        at += 1;
        if !inside {
            inside = byte == b'"' && start;
            start =
                byte == delimiter || matches!(byte, b'\r' | b'\n') || start && matches!(byte, b' ' | b'\t');
            continue;
        }
        match byte {
            b'\\' => {
                if head.get(at) == Some(&b'"') && !ends(head.get(at + 1)) {
                    escaped += 1;
                }
                at += 1;
            }
            b'"' if head.get(at) == Some(&b'"') => at += 1,
            b'"' if ends(head.get(at)) => inside = false,
            b'"' => return false,
            _ => {}
        }
    }
    escaped > 0
}

/// How many separators the first record has at its end beyond those of the header, if both stand on a line each.
fn trailing_separators(head: &[u8], whole: bool, dialect: Dialect) -> usize {
    let ends_line = |byte: &u8| *byte == b'\n' || dialect.carriage && *byte == b'\r';
    let mut cells = head.split_inclusive(ends_line).filter(|line| !is_blank(line)).map(|line| {
        let walk = walk::<true>(line, false, dialect);
        let is_ended = whole || line.last().is_some_and(ends_line);
        (is_ended && !walk.inside && !walk.stray).then_some((line, walk.commas + 1))
    });
    let (Some(Some((header, names))), Some(Some((record, cells)))) = (cells.next(), cells.next()) else {
        return 0;
    };
    let at_end = |line: &[u8]| {
        let content = &line[..content_len(line)];
        content.iter().rev().take_while(|byte| **byte == dialect.delimiter).count()
    };
    let columns = (names - at_end(header).min(names - 1)).max(1);
    let more = cells.saturating_sub(columns);
    if more <= at_end(record) { more } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sniffed(head: &str) -> (char, bool, bool, usize) {
        let Sniffed { dialect, skip, .. } = sniff(head.as_bytes(), true, &SplitOptions::default());
        (char::from(dialect.delimiter), dialect.backslash, dialect.carriage, skip)
    }

    #[test]
    fn separators_are_detected_in_the_header() {
        assert_eq!(sniffed("Id,Address\nx;y,z;a\n").0, ',');
        assert_eq!(sniffed("Id;Address\nx,y;z\n").0, ';');
        assert_eq!(sniffed("Id\tAddress\n").0, '\t');
        assert_eq!(sniffed("\"Id\"|\"Address\"\n").0, '|');
        assert_eq!(sniffed("Address\n").0, ',');
        assert_eq!(sniffed("sep=;\r\nId;Address\r\n"), (';', false, false, 7));
        assert_eq!(sniffed("\"sep=|\"\nId|Address\n"), ('|', false, false, 8));
        assert_eq!(sniffed("sep=\t\nId\tAddress\n"), ('\t', false, false, 6));
        assert_eq!(sniffed("Attributes.a;b,Id,Address\n").0, ',');
    }

    #[test]
    fn titles_are_skipped_and_data_is_not() {
        assert_eq!(sniffed("Contacts,,,,\n,,,,\nId,Address,ChannelType,OptOut,Attributes.Plan\n").3, 18);
        assert_eq!(sniffed("My list\n\nId;Address\n"), (';', false, false, 9));
        assert_eq!(sniffed("a@x.test\nAddress\n").3, 0);
        assert_eq!(sniffed("c1,a@x.test,EMAIL\nId,Address,ChannelType\n").3, 0);
        let late = format!("{}Id,Address\n", "x\n".repeat(10));
        assert_eq!(sniffed(&late).3, 0);
    }

    #[test]
    fn line_ends_are_detected() {
        assert!(sniffed("Id,Address\rc1,a\r").2);
        assert!(sniffed("Id,Address\nc1,a\nc2,b\rc3,c\n").2);
        assert!(sniffed("Id,Address\r\r\nc1,a\r\r\n").2);
        assert!(!sniffed("Id,Address\r\nc1,a\r\n").2);
        assert!(!sniffed("Id,Address\nc1,\"a\rb\"\n").2);
        assert!(!sniffed("Id,Address,City\nc1,a\rb,x\n").2);
    }

    #[test]
    fn backslashes_escape_quotes_when_every_cell_ends_well_by_it() {
        assert!(sniffed("Id,Note\n\"b1\",\"said \\\"hi\\\" to me\"\n").1);
        assert!(!sniffed("Id,Note\n\"b1\",\"C:\\dir\\\"\n\"b2\",\"x\"\n").1);
        assert!(!sniffed("Id,Note\n\"b1\",\"said \"\"hi\"\" to me\"\n").1);
    }
}
