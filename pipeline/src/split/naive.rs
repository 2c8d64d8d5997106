//! The splitter's rules once more, slowly: readers that see the whole object at once and look at every byte.
//!
//! It shares no code with what it judges. The tests use it, and the fuzz targets (`fuzz/`) include this file.

use pinport_model::FailureCode;

/// What the splitter says of a record: its place, and its bytes if it is good, or why it failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) byte: u64,
    pub(crate) line: u64,
    pub(crate) outcome: Result<Vec<u8>, (FailureCode, Option<Vec<u8>>)>,
}

pub(crate) fn trimmed(record: &[u8]) -> Vec<u8> {
    record[..content_len(record)].to_vec()
}

pub(crate) fn lines_in(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// The length of the record at the start of `bytes`, whether it spans lines, is closed, has stray text; its cells.
pub(crate) struct Naive {
    pub(crate) len: usize,
    pub(crate) lines: u64,
    pub(crate) closed: bool,
    pub(crate) stray: bool,
    pub(crate) cells: usize,
}

/// Reads one record byte by byte.
pub(crate) fn naive_record(bytes: &[u8]) -> Naive {
    let mut found = Naive { len: bytes.len(), lines: 0, closed: true, stray: false, cells: 1 };
    let (mut inside, mut cell_start, mut at) = (false, true, 0);
    while bytes[at..].starts_with(b"\xef\xbb\xbf") {
        at += 3;
    }
    while at < bytes.len() {
        let byte = bytes[at];
        at += 1;
        if inside {
            if byte == b'"' && bytes.get(at) == Some(&b'"') {
                at += 1;
            } else if byte == b'"' {
                inside = false;
                let rest = &bytes[at..];
                let white = rest.iter().take_while(|byte| b" \t".contains(byte)).count();
                let rest = &rest[white..];
                found.stray |= !(rest.is_empty()
                    || rest == b"\r"
                    || rest[0] == b','
                    || rest[0] == b'\n'
                    || rest.starts_with(b"\r\n"));
            } else if byte == b'\n' {
                found.lines += 1;
            }
            continue;
        }
        match byte {
            b'"' if cell_start => inside = true,
            b',' => found.cells += 1,
            b'\n' => {
                found.len = at;
                found.lines += 1;
                return found;
            }
            _ => {}
        }
        cell_start = byte == b',' || cell_start && b" \t".contains(&byte);
    }
    found.closed = !inside;
    found
}

pub(crate) fn line_len(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |newline| newline + 1)
}

/// Judges the record at the start of `bytes`: its length, or why it fails. `candidate`: its width counts always.
pub(crate) fn naive_judge(
    bytes: &[u8],
    columns: usize,
    max_line: usize,
    trailing: usize,
    candidate: bool,
) -> Result<usize, FailureCode> {
    let line = line_len(bytes);
    if content_len(&bytes[..line]) > max_line {
        return Err(FailureCode::LineTooLong);
    }
    let record = naive_record(bytes);
    let spans = record.len > line;
    let ends = trimmed(&bytes[..record.len]).iter().rev().take_while(|byte| **byte == b',').count();
    let fits =
        record.cells == columns || trailing > 0 && record.cells == columns + trailing && ends >= trailing;
    // What comes after the limit cannot be known when the record is given up.
    let known = content_len(&bytes[..record.len]) <= max_line;
    if !spans && record.closed {
        return if candidate && !fits { Err(FailureCode::CellCount) } else { Ok(line) };
    }
    if !known || !record.closed || record.stray {
        return Err(FailureCode::UnterminatedQuote);
    }
    if fits { Ok(record.len) } else { Err(FailureCode::CellCount) }
}

/// The separators at the end of the first record that belong to no column.
fn naive_trailing(rows: &[u8], columns: usize) -> usize {
    let Some(line) = rows.split_inclusive(|byte| *byte == b'\n').find(|line| !is_blank(line)) else {
        return 0;
    };
    let record = naive_record(line);
    let ends = trimmed(line).iter().rev().take_while(|byte| **byte == b',').count();
    let more = record.cells.saturating_sub(columns);
    if record.closed && !record.stray && more <= ends { more } else { 0 }
}

/// All records of a CSV object after its header.
pub(crate) fn naive_csv(bytes: &[u8], from: usize, columns: usize, max_line: usize) -> Vec<Item> {
    let mut items = Vec::new();
    let mut at = from;
    // Only if the header is a line, too.
    let trailing = if lines_in(&bytes[..from]) <= 1 { naive_trailing(&bytes[from..], columns) } else { 0 };
    while at < bytes.len() {
        let start = at;
        let line = 1 + lines_in(&bytes[..at]);
        let physical = &bytes[at..at + line_len(&bytes[at..])];
        // Of a longer one no one knows whether it is blank to its end.
        if is_blank(physical) && content_len(physical) <= max_line {
            at += physical.len();
            continue;
        }
        let outcome = match naive_judge(&bytes[at..], columns, max_line, trailing, false) {
            Ok(len) => {
                at += len;
                Ok(trimmed(&bytes[start..at]))
            }
            Err(code) => {
                loop {
                    at += line_len(&bytes[at..]);
                    let rest = &bytes[at..];
                    let blank = is_blank(&rest[..line_len(rest)]);
                    if rest.is_empty()
                        || !blank && naive_judge(rest, columns, max_line, trailing, true).is_ok()
                    {
                        break;
                    }
                }
                let raw = trimmed(&bytes[start..at]);
                Err((code, (raw.len() <= max_line).then_some(raw)))
            }
        };
        items.push(Item { byte: start as u64, line, outcome });
    }
    items
}

pub(crate) fn naive_lines(bytes: &[u8], max_line: usize) -> Vec<Item> {
    let mut at = 0;
    let mut items = Vec::new();
    for (number, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let content = trimmed(line);
        let outcome =
            if content.len() > max_line { Err((FailureCode::LineTooLong, None)) } else { Ok(content) };
        if outcome.is_err() || !is_blank(line) {
            items.push(Item { byte: at, line: number as u64 + 1, outcome });
        }
        at += line.len() as u64;
    }
    items
}

/// Length of `line` without its terminator.
fn content_len(line: &[u8]) -> usize {
    let line_feed = usize::from(line.last() == Some(&b'\n'));
    let rest = &line[..line.len() - line_feed];
    rest.len() - usize::from(rest.last() == Some(&b'\r'))
}

/// Whether a line is white space only.
pub(crate) fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| b" \t\r\n".contains(byte))
}
