//! The first records of a file as they are: names and values, whatever the names mean.

use pinport_model::{Format, ReadOptions, RecordLimits};
use serde_json::Value;

use super::flatten;
use crate::{
    parse::{block::Block, names, structure},
    split::{SEPARATORS, SplitOptions, Splitter, dialect_of},
    text::Dialect,
};

/// Objects in objects of which names are made.
const MAX_DEPTH: usize = 8;

/// The values of a record by their names, in order.
pub type Record = Vec<(String, String)>;

/// The first records of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// Every name, in order of first appearance.
    pub names: Vec<String>,
    /// The records.
    pub records: Vec<Record>,
}

impl Sample {
    /// The values of a name that are not empty.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let values = self.records.iter().flatten().filter(move |(known, _)| known == name);
        values.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }
}

/// Reads the first records of an object that begins with `head`; `whole`: it ends with it. Records that cannot be read
/// are left out.
///
/// # Errors
/// Why there are none, in a sentence.
pub fn sample(
    head: &[u8],
    whole: bool,
    format: Format,
    read: &ReadOptions,
    records: usize,
) -> Result<Sample, String> {
    let sample = match format {
        Format::Csv => of_csv(head, whole, read, records)?,
        Format::Json => of_json(head, read, records)?,
    };
    if sample.names.is_empty() {
        return Err("it has no record".into());
    }
    Ok(sample)
}

fn of_csv(head: &[u8], whole: bool, read: &ReadOptions, records: usize) -> Result<Sample, String> {
    let head = if whole { head } else { super::whole_records(head) };
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let options = SplitOptions { rules: read.rules, ..SplitOptions::default() };
    let (mut dialect, skip, is_found) = dialect_of(head, whole, &options);
    let text = String::from_utf8_lossy(&head[skip..]);
    // Where carriage returns end lines, they are no part of what lies between.
    let text =
        if dialect.carriage { text.replace("\r\n", "\n").replace('\r', "\n") } else { text.into_owned() };
    if !is_found && read.rules.delimiter.is_none() {
        dialect.delimiter = likely_separator(&text, dialect);
    }
    let mut rows = structure::rows_of(&text, dialect).into_iter();
    let header = trimmed(rows.next().unwrap_or_default());
    let is_row = |row: &Vec<String>| row.iter().any(|cell| !cell.trim().is_empty());
    let records = rows.filter(is_row).take(records).map(|row| of_row(&header, row)).collect();
    let mut names = Vec::new();
    for name in header {
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(Sample { names, records })
}

fn trimmed(header: Vec<String>) -> Vec<String> {
    header.iter().map(|name| names::trimmed(name).to_owned()).collect()
}

/// The cells of a row by their names. What has no name is left out.
fn of_row(header: &[String], row: Vec<String>) -> Record {
    header.iter().cloned().zip(row).filter(|(name, _)| !name.is_empty()).collect()
}

/// The members of an object by their dotted names.
fn of_object(record: &[u8]) -> Option<Record> {
    let value = serde_json::from_slice(record).ok().filter(|value| depth(value) <= MAX_DEPTH)?;
    let mut found = Vec::new();
    if matches!(value, Value::Object(_)) {
        flatten("", &value, &mut found);
    }
    Some(found)
}

/// The first record of a block as it is; nothing, if it cannot be taken apart.
pub(super) fn record_of(block: &Block) -> Record {
    let Some(header) = &block.header else {
        let first = block.records.as_ref().and_then(|records| block.bytes().get(records.first()?.clone()));
        return of_object(first.unwrap_or(block.bytes())).unwrap_or_default();
    };
    let rows = |bytes: &[u8]| structure::rows_of(&String::from_utf8_lossy(bytes), header.dialect());
    let first = |bytes: &[u8]| rows(bytes).into_iter().next().unwrap_or_default();
    of_row(&trimmed(first(header.raw())), first(block.bytes()))
}

/// The separator by which the most rows have as many cells as the first.
fn likely_separator(text: &str, dialect: Dialect) -> u8 {
    let fits = |delimiter: u8| {
        let rows = structure::rows_of(text, Dialect { delimiter, ..dialect });
        let width = rows.first().map_or(0, Vec::len);
        let same = rows.iter().filter(|row| row.len() == width).count();
        (width > 1).then_some(same * 1000 / rows.len().max(1) * width.min(8))
    };
    // The first of equals is the usual separator.
    SEPARATORS.into_iter().rev().max_by_key(|&delimiter| fits(delimiter)).unwrap_or(b',')
}

fn of_json(head: &[u8], read: &ReadOptions, records: usize) -> Result<Sample, String> {
    let limits = RecordLimits::default();
    let options = SplitOptions { block_bytes: head.len().max(1), limits, rules: read.rules, map: None };
    let mut splitter = Splitter::new(Format::Json, options, 0);
    let (mut rest, mut sample) = (head, Sample::default());
    let mut add = |record: &[u8]| {
        if sample.records.len() < records
            && let Some(found) = of_object(record).filter(|found| !found.is_empty())
        {
            for (name, _) in &found {
                if !sample.names.contains(name) {
                    sample.names.push(name.clone());
                }
            }
            sample.records.push(found);
        }
    };
    // What is cut off at the end is no whole object, and so no record.
    while let Some(block) = splitter.next_of(&mut rest, None).map_err(|refused| refused.to_string())? {
        match &block.records {
            Some(records) => {
                let bytes = block.bytes();
                records.iter().filter_map(|record| bytes.get(record.clone())).for_each(&mut add);
            }
            None => block.bytes().split(|byte| *byte == b'\n').for_each(&mut add),
        }
    }
    Ok(sample)
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
