//! A CSV object means what it means to the csv crate: the cells of each record that the naive reader lets stand,
//! and of the whole object, if no record of it is given up.

use std::collections::BTreeMap;

use csv::{ReaderBuilder, Terminator};
use pinport_model::{Channel, EndpointStatus, FailureCode, Format, OptOut, TextMember};
use pinport_pipeline::parse::Parser;

use super::{
    arrival::naive_items,
    input::Input,
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
    let names = cells(header.raw());
    assert_eq!(names.len(), header.columns());
    let names: Vec<_> = names
        .into_iter()
        .map(|name| String::from_utf8(name).expect("the header is UTF-8").trim().to_owned())
        .collect();
    let items = naive_items(Format::Csv, input, limits.max_line).expect("the header is good");
    let mut all = Vec::new();
    for item in &items {
        let Ok(record) = &item.outcome else { continue };
        // The csv crate skips a mark wherever it begins to read.
        if record.starts_with(b"\xef\xbb\xbf") {
            continue;
        }
        let cells = cells(record);
        as_csv(record, &cells, &names, item.byte, &seen, strict);
        all.push(cells);
    }
    if items.iter().all(|item| item.outcome.is_ok()) && !lone_return(input) && all.len() == items.len() {
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
    if draft.is_none() && failed.is_none() && is_nothing(record) {
        return;
    }
    let last = |code: &FailureCode| {
        let always = [FailureCode::MissingMember, FailureCode::InvalidId, FailureCode::EndpointTooLarge];
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
    if cells.len() != names.len() {
        return Err(FailureCode::CellCount);
    }
    if str::from_utf8(record).is_err() {
        return Err(FailureCode::InvalidUtf8);
    }
    let mut members = BTreeMap::<String, Vec<String>>::new();
    let mut metrics = BTreeMap::new();
    for (name, cell) in names.iter().zip(cells) {
        let cell = str::from_utf8(cell).expect("a part of UTF-8 between ASCII characters").to_owned();
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
                metrics.insert(name.clone(), cell);
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

fn number(cell: &str) -> Result<String, FailureCode> {
    let number = cell.parse::<f64>().ok().filter(|number| number.is_finite());
    number.map(|number| number.to_string()).ok_or(FailureCode::InvalidNumber)
}
