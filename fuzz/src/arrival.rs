//! What is said of an object does not depend on how it arrives: chunks, blocks, cuts, and going on at a border.
//! Where records begin and which of them the splitter gives up is what a naive reader says.

use pinport_model::{Format, Origin};
use pinport_pipeline::{
    parse::Parser,
    split::{Cut, Head, SplitOptions, Splitter},
    text::JsonForm,
};

use super::{
    input::Input,
    naive::{Item, is_blank, naive_csv, naive_lines, naive_record},
    seen::{Arrival, Seen, WHOLE, WIDE, go_on, is_nothing, narrow, read},
};

/// The longest input: the naive reader looks at every line again for every bad record.
const MOST: usize = 4096;

/// Checks a JSON object.
pub fn json(data: &[u8]) {
    check(Format::Json, data);
}

/// Checks a CSV object.
pub fn csv(data: &[u8]) {
    check(Format::Csv, data);
}

/// The first bytes of `data` say how the rest arrives.
fn check(format: Format, data: &[u8]) {
    let mut data = Input(data);
    let (chunk, block) = (data.number(255), data.number(255));
    let (byte, line) = (data.number(1023) as u64, data.number(63) as u64);
    let limits = if data.byte().is_multiple_of(2) { narrow() } else { WIDE };
    let input = &data.0[..data.0.len().min(MOST)];
    let mut parser = Parser::new();
    let whole = read(&mut parser, format, input, WHOLE, limits);
    if let Ok(whole) = &whole {
        as_naive(format, input, whole, limits.max_line);
    }
    let cut = Cut { byte: byte + 1, line: line + 2, records: line + 1 };
    let arrival = Arrival { chunk, block, cut: Some(cut) };
    let other = read(&mut Parser::new(), format, input, arrival, limits);
    match (whole, other) {
        (Ok(whole), Ok(other)) => {
            same(&whole, &other.drafts, &other);
            resumed(format, input, &whole, &other, arrival, limits);
        }
        (whole, other) => assert_eq!(whole.err(), other.err()),
    }
}

fn same(whole: &Seen, drafts: &[pinport_store::fuzzing::Encoded], other: &Seen) {
    assert_eq!(whole.drafts, drafts);
    assert_eq!(whole.failed, other.failed);
    assert_eq!(whole.header, other.header);
    assert_eq!(whole.notices, other.notices);
}

/// What is read before a border and, by another parser, after it, is what is read in one go.
fn resumed(
    format: Format,
    input: &[u8],
    whole: &Seen,
    cut: &Seen,
    arrival: Arrival,
    limits: pinport_model::RecordLimits,
) {
    let Some(&border) = cut.ends.get(cut.ends.len() / 2) else { return };
    if format == Format::Csv && whole.header.is_none() {
        return;
    }
    let options = SplitOptions { block_bytes: arrival.block, limits, ..SplitOptions::default() };
    let splitter = Splitter::resume(format, options, border, whole.head.clone());
    let arrival = Arrival { cut: None, ..arrival };
    let behind = go_on(&mut Parser::new(), splitter, input, arrival, limits).expect("it was read before");
    let is_behind = |origin: &Origin| origin.byte >= border.byte;
    let drafts: Vec<_> = whole.drafts.iter().filter(|draft| is_behind(&draft.origin)).cloned().collect();
    let failed: Vec<_> = whole.failed.iter().filter(|failed| is_behind(&failed.0)).cloned().collect();
    assert_eq!(behind.drafts, drafts, "behind {border:?}");
    assert_eq!(behind.failed, failed, "behind {border:?}");
}

/// The records of an object as the naive reader finds them, or nothing if it has no say.
pub(crate) fn naive_items(format: Format, input: &[u8], whole: &Seen, max_line: usize) -> Option<Vec<Item>> {
    let mark = if input.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    if format == Format::Json {
        let mut items = naive_lines(&input[mark..], max_line);
        for item in &mut items {
            item.byte += mark as u64;
        }
        return Some(items);
    }
    let header = whole.header.as_ref()?;
    let input = &line_feeds(input, header.dialect().carriage());
    let begins = |from: &usize| {
        let rest = &input[*from..];
        rest.starts_with(header.raw()) && is_blank(&rest[header.raw().len()..naive_record(rest).len])
    };
    let mut from = mark;
    while input[from..].starts_with(b"\xef\xbb\xbf") {
        from += 3;
    }
    let starts = input[from..]
        .iter()
        .enumerate()
        .filter(|(_, byte)| b"\r\n".contains(byte))
        .map(|(at, _)| from + at + 1);
    let from = std::iter::once(from).chain(starts).find(begins).expect("the header is in the object");
    let end = from + naive_record(&input[from..]).len;
    let mut items = naive_csv(input, end, header.columns(), max_line);
    // The header of a joined file is no record.
    items.retain(|item| !matches!(&item.outcome, Ok(record) if without_marks(record) == header.raw()));
    Some(items)
}

/// The object as it is read: with line feeds where carriage returns by themselves end lines.
pub(crate) fn line_feeds(input: &[u8], carriage: bool) -> Vec<u8> {
    let mut input = input.to_vec();
    for at in 0..input.len() {
        if carriage && input[at] == b'\r' && input.get(at + 1) != Some(&b'\n') {
            input[at] = b'\n';
        }
    }
    input
}

/// A record without the byte order marks of joined files.
pub(crate) fn without_marks(mut record: &[u8]) -> &[u8] {
    while let Some(rest) = record.strip_prefix(b"\xef\xbb\xbf") {
        record = rest;
    }
    record
}

/// Every record that the naive reader finds is one draft or one failure, and what it gives up is a failure.
fn as_naive(format: Format, input: &[u8], whole: &Seen, max_line: usize) {
    // The naive reader knows lines alone.
    if format == Format::Csv && whole.header.is_none()
        || matches!(whole.head, Some(Head::Json(JsonForm::Objects { .. })))
    {
        return;
    }
    let Some(mut items) = naive_items(format, input, whole, max_line) else { return };
    let mut origins: Vec<Origin> = whole.drafts.iter().map(|draft| draft.origin).collect();
    origins.extend(whole.failed.iter().map(|failed| failed.0));
    origins.sort();
    // A record that names several users is several drafts.
    origins.dedup();
    let found: Vec<_> = origins.iter().map(|origin| (origin.byte, origin.line)).collect();
    if format == Format::Csv {
        let is_skipped = |item: &Item| matches!(&item.outcome, Ok(record) if is_nothing(record));
        items.retain(|item| !is_skipped(item) || found.contains(&(item.byte, item.line)));
    }
    let expected: Vec<_> = items.iter().map(|item| (item.byte, item.line)).collect();
    assert_eq!(found, expected, "where records begin");
    for item in &items {
        let Err((code, raw)) = &item.outcome else { continue };
        let failed = whole.failed.iter().find(|failed| failed.0.byte == item.byte).expect("it failed");
        assert_eq!((failed.1.code, &failed.2), (*code, raw), "at byte {}", item.byte);
    }
}
