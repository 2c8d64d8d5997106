//! A CSV object means what it means to the csv crate: the cells of each record that the naive reader lets stand,
//! and of the whole object, if no record of it is given up.

use std::collections::BTreeMap;

use csv::{ReaderBuilder, Terminator};
use pinport_model::{Channel, EndpointStatus, FailureCode, Format, OptOut, TextMember};
use pinport_pipeline::parse::Parser;
use pinport_store::DraftKind;

use super::{
    arrival::naive_items,
    input::Input,
    naive::naive_record,
    seen::{BOUNDS, Seen, WHOLE, WIDE, assert_says, checked, is_nothing, narrow, read},
};

/// Checks an object.
pub fn check(data: &[u8]) {
    let mut data = Input(data);
    let strict = data.byte() < 200;
    let limits = if strict { WIDE } else { pinport_model::RecordLimits { max_line: 1 << 20, ..narrow() } };
    let input = &data.0[..data.0.len().min(4096)];
    let Ok(seen) = read(&mut Parser::new(), Format::Csv, input, WHOLE, limits) else { return };
    let good = seen.drafts.len() as u64;
    assert_eq!(checked(Format::Csv, input, limits), Ok((good, seen.failed.clone())), "a check says the same");
    let Some(header) = &seen.header else { return };
    let mut names = cells(header.raw());
    while names.len() > 1
        && names.last().is_some_and(|name| trimmed(&String::from_utf8_lossy(name)).is_empty())
    {
        names.pop();
    }
    assert_eq!(names.len(), header.columns());
    let names: Vec<_> = names
        .into_iter()
        .map(|name| String::from_utf8(name).expect("the header is UTF-8").trim().to_owned())
        .collect();
    let items = naive_items(Format::Csv, input, &seen, limits.max_line).expect("the header is good");
    let mut all = Vec::new();
    for item in &items {
        let Ok(record) = &item.outcome else { continue };
        // The csv crate skips a mark wherever it begins to read.
        if record.starts_with(b"\xef\xbb\xbf") {
            continue;
        }
        let cells = cells(record);
        if !has_late_quote(record) {
            as_csv(record, &cells, &names, item.byte, &seen, strict);
            all.push(cells);
        }
    }
    let is_first = input.strip_prefix(b"\xef\xbb\xbf").unwrap_or(input).starts_with(header.raw());
    let is_usual = is_first && !header.dialect().carriage();
    if is_usual
        && items.iter().all(|item| item.outcome.is_ok())
        && !lone_return(input)
        && all.len() == items.len()
    {
        let mut reader = ReaderBuilder::new().flexible(true).has_headers(false).from_reader(input);
        let is_blank =
            |cells: &Vec<Vec<u8>>| cells.len() == 1 && cells[0].iter().all(|byte| b" \t".contains(byte));
        let records =
            reader.byte_records().map(|record| to_cells(&record.expect("bytes are always records")));
        let records: Vec<_> = records.filter(|record| !is_blank(record)).collect();
        let all: Vec<_> = all.into_iter().filter(|record| !is_blank(record)).collect();
        assert_eq!(records[1..], all, "the whole object");
    }
}

/// Whether a quote follows white space at the start of a cell, or white space one that ends it: the csv crate takes the
/// first for text and the second for a part of the cell.
fn has_late_quote(record: &[u8]) -> bool {
    record.windows(2).any(|pair| matches!(pair, [b' ' | b'\t', b'"'] | [b'"', b' ' | b'\t']))
}

/// A text without what cannot be seen around it.
fn trimmed(text: &str) -> &str {
    let is_seen = |character: char| {
        !(character.is_whitespace()
            || character.is_control() && character != '\0'
            || matches!(character, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}'))
    };
    let start = text.find(is_seen).unwrap_or(text.len());
    let end =
        text.rfind(is_seen).map_or(start, |at| at + text[at..].chars().next().map_or(0, char::len_utf8));
    &text[start..end]
}

/// The csv crate ends a record at a carriage return, too.
fn lone_return(input: &[u8]) -> bool {
    input.iter().enumerate().any(|(at, byte)| *byte == b'\r' && input.get(at + 1) != Some(&b'\n'))
}

fn to_cells(record: &csv::ByteRecord) -> Vec<Vec<u8>> {
    record.iter().map(<[u8]>::to_vec).collect()
}

/// The cells of one record without its terminator.
fn cells(record: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = ReaderBuilder::new()
        .flexible(true)
        .has_headers(false)
        .terminator(Terminator::Any(b'\n'))
        .from_reader(record);
    let mut records =
        reader.byte_records().map(|record| to_cells(&record.expect("bytes are always records")));
    let cells = records.next().expect("a record that is not blank");
    assert_eq!(records.next(), None, "one record");
    cells
}

/// What is said of a record is what its cells say.
fn as_csv(record: &[u8], cells: &[Vec<u8>], names: &[String], at: u64, seen: &Seen, strict: bool) {
    let (draft, failed) = seen.at(at);
    // Several users in one record are several drafts.
    let has_spaces = |text: &String| text.contains(' ');
    if draft.is_some_and(|draft| draft.kind == DraftKind::UserOnly)
        && members(record, cells, names).is_ok_and(|members| members["User.UserId"].iter().any(has_spaces))
    {
        return;
    }
    if draft.is_none() && failed.is_none() && is_nothing(record) {
        return;
    }
    let last = |code: &FailureCode| {
        let always = [
            FailureCode::MissingMember,
            FailureCode::InvalidDate,
            FailureCode::InvalidId,
            FailureCode::EndpointTooLarge,
        ];
        always.contains(code) || (!strict && BOUNDS.contains(code))
    };
    match (members(record, cells, names), draft, failed) {
        (Ok(members), Some(draft), None) => assert_says(draft, members),
        (Ok(_), None, Some(code)) => assert!(last(&code), "{code} for a good record"),
        (Err(expected), None, Some(code)) => {
            let value = |code| matches!(code, FailureCode::UnknownValue | FailureCode::InvalidNumber);
            let either = value(expected) && (value(code) || last(&code));
            assert!(code == expected || either, "{code} for {expected}");
        }
        (expected, draft, failed) => panic!("{expected:?} {draft:?} {failed:?}"),
    }
}

/// What the cells of a record say by the names of their columns.
fn members(
    record: &[u8],
    cells: &[Vec<u8>],
    names: &[String],
) -> Result<BTreeMap<String, Vec<String>>, FailureCode> {
    if naive_record(record).stray {
        return Err(FailureCode::UnterminatedQuote);
    }
    if str::from_utf8(record).is_err() {
        return Err(FailureCode::InvalidUtf8);
    }
    let is_white = |cell: &Vec<u8>| cell.iter().all(|byte| b" \t".contains(byte));
    if cells.len() < names.len() || !cells[names.len()..].iter().all(is_white) {
        return Err(FailureCode::CellCount);
    }
    let mut members = BTreeMap::<String, Vec<String>>::new();
    let mut metrics = BTreeMap::new();
    for (name, cell) in names.iter().zip(cells) {
        let cell = str::from_utf8(cell).expect("a part of UTF-8 between ASCII characters").to_owned();
        let cell = if is_free(name) { cell } else { cleaned(&cell) };
        if cell.is_empty() {
            continue;
        }
        let below = |prefix: &str| name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty());
        let word = |word: Option<&str>| word.map(str::to_owned).ok_or(FailureCode::UnknownValue);
        let value = match name.as_str() {
            "ChannelType" => word(Channel::from_name(&cell).map(|word| word.as_str()))?,
            "OptOut" => word(OptOut::from_name(&cell).map(|word| word.as_str()))?,
            "EndpointStatus" => word(EndpointStatus::from_name(&cell).map(|word| word.as_str()))?,
            "Location.Latitude" | "Location.Longitude" => number(&cell)?,
            _ if below("Metrics.") => {
                if !cell.trim().is_empty() {
                    metrics.insert(name.clone(), cell.trim().to_owned());
                }
                continue;
            }
            _ if below("Attributes.") || below("User.UserAttributes.") => {
                members.entry(name.clone()).or_default().push(cell);
                continue;
            }
            "Id" => cell,
            _ if TextMember::ALL.into_iter().any(|member| member.name() == name) => cell,
            _ => continue,
        };
        members.insert(name.clone(), vec![value]);
    }
    // Of a repeated metric the last counts, and it alone is judged.
    for (name, cell) in metrics {
        members.insert(name, vec![number(&cell)?]);
    }
    Ok(members)
}

/// Whether a column's cells are the user's own text.
fn is_free(name: &str) -> bool {
    ["Attributes.", "User.UserAttributes.", "Metrics."].iter().any(|prefix| name.starts_with(prefix))
}

/// A value without what people and spreadsheets put around it.
fn cleaned(cell: &str) -> String {
    let cell = trimmed(cell);
    if let Some(inner) = cell.strip_prefix("=\"").and_then(|cell| cell.strip_suffix('"')) {
        return trimmed(inner).to_owned();
    }
    match cell.strip_prefix('\'') {
        Some(inner) if inner.starts_with(|c: char| c.is_ascii_digit() || "+-=@".contains(c)) => {
            cleaned(inner)
        }
        _ => cell.to_owned(),
    }
}

fn number(cell: &str) -> Result<String, FailureCode> {
    let number = cell.parse::<f64>().ok().filter(|number| number.is_finite());
    number.map(|number| number.to_string()).ok_or(FailureCode::InvalidNumber)
}
