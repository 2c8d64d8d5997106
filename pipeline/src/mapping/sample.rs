//! The first records of a file as they are: names and values, whatever the names mean.

use pinport_model::{Format, ReadOptions, RecordLimits};
use serde_json::Value;

use super::flatten;
use crate::{
    parse::{names, structure},
    split::{Dialect, SEPARATORS, SNIFF_BYTES, Split, SplitOptions, Splitter, told},
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
        Format::Json => of_json(head, whole, read, records)?,
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
    let (mut dialect, skip, is_found) = told(head, whole || head.len() > SNIFF_BYTES, &options);
    let text = String::from_utf8_lossy(&head[skip..]);
    // Where carriage returns end lines, they are no part of what lies between.
    let text =
        if dialect.carriage { text.replace("\r\n", "\n").replace('\r', "\n") } else { text.into_owned() };
    if !is_found && read.rules.delimiter.is_none() {
        dialect.delimiter = likely_separator(&text, dialect);
    }
    let mut rows = structure::rows_of(&text, dialect).into_iter();
    let header = rows.next().unwrap_or_default();
    let header: Vec<_> = header.iter().map(|name| names::trimmed(name).to_owned()).collect();
    let is_row = |row: &Vec<String>| row.iter().any(|cell| !cell.trim().is_empty());
    let records = rows
        .filter(is_row)
        .take(records)
        .map(|row| header.iter().cloned().zip(row).filter(|(name, _)| !name.is_empty()).collect());
    let records = records.collect();
    let mut names = Vec::new();
    for name in header {
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(Sample { names, records })
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

fn of_json(head: &[u8], whole: bool, read: &ReadOptions, records: usize) -> Result<Sample, String> {
    let limits = RecordLimits::default();
    let options = SplitOptions { block_bytes: head.len().max(1), limits, rules: read.rules, map: None };
    let mut splitter = Splitter::new(Format::Json, options, 0);
    let (mut rest, mut sample) = (head, Sample::default());
    let mut add = |record: &[u8]| {
        if let Ok(value @ Value::Object(_)) = serde_json::from_slice::<Value>(record)
            && sample.records.len() < records
            && depth(&value) <= MAX_DEPTH
        {
            let mut found = Vec::new();
            flatten("", &value, &mut found);
            for (name, _) in &found {
                if !sample.names.contains(name) {
                    sample.names.push(name.clone());
                }
            }
            sample.records.push(found);
        }
    };
    loop {
        match splitter.next(None).map_err(|refused| refused.to_string())? {
            // What is cut off is no record.
            Split::NeedInput if rest.is_empty() && !whole => break,
            Split::NeedInput if rest.is_empty() => splitter.finish(),
            Split::NeedInput => rest = &rest[splitter.push(rest)..],
            Split::End => break,
            Split::Block(block) => match &block.records {
                Some(records) => {
                    let bytes = block.bytes();
                    records.iter().filter_map(|record| bytes.get(record.clone())).for_each(&mut add);
                }
                None => block.bytes().split(|byte| *byte == b'\n').for_each(&mut add),
            },
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
