//! Helps people to write a mapping: the first records of a file as they are, a mapping that may suit them, and what
//! comes of them by it. Nothing here is part of an import.

mod propose;
mod sample;
#[cfg(test)]
mod tests;

use pinport_model::{Format, NoticeKind, Origin, ReadOptions, RecordLimits, Timestamp, escape_controls};
use serde_json::Value;

use crate::{
    block::FailedRecord,
    parse::{ParseContext, Parser, compiled},
    split::{Cut, Head, Split, SplitOptions, Splitter},
};
pub use propose::{Proposal, propose};
pub use sample::{Record, Sample, sample};

/// Bytes of an object that are looked at.
pub const HEAD_BYTES: usize = 256 << 10;

/// What came of one record.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Its members by their dotted names.
    Members(Vec<(String, String)>),
    /// Why it fails.
    Failed(String),
    /// A drop rule skips it.
    Dropped,
}

/// Reads the first records of an object that begins with `head` as an import would. `whole`: it ends with it.
///
/// # Errors
/// Why the object cannot be read.
pub fn preview(
    head: &[u8],
    whole: bool,
    format: Format,
    read: &ReadOptions,
    records: usize,
) -> Result<Vec<(u64, Outcome)>, String> {
    let limits = RecordLimits::default();
    let map = compiled(read).map_err(|wrong| wrong.to_string())?;
    let context =
        ParseContext { now: Timestamp::from_millis(0), limits, rules: read.rules, map: map.clone() };
    let options = SplitOptions { block_bytes: HEAD_BYTES, limits, rules: read.rules, map };
    let bytes = if whole { head } else { whole_records(head) };
    let Some((begin, start)) = first_record(bytes, format, &options)? else { return Ok(Vec::new()) };
    let mut splitter = Splitter::resume(format, options, begin, start);
    let (mut parser, mut outcomes, mut at) = (Parser::new(), Vec::new(), begin);
    let mut rest = &bytes[begin.byte as usize..];
    while outcomes.len() < records {
        // One record a block, so that each is known by itself.
        let cut = Cut { byte: at.byte + 1, line: at.line + 1, records: 1 };
        match splitter.next(Some(cut)).map_err(|refused| refused.to_string())? {
            Split::NeedInput if rest.is_empty() => splitter.finish(),
            Split::NeedInput => rest = &rest[splitter.push(rest)..],
            Split::End => break,
            Split::Block(block) => {
                let (parsed, _) = parser.parse(block, &context);
                at = parsed.end;
                for FailedRecord { origin, reason, .. } in parsed.failed {
                    let member = reason.member.map(|member| format!("{member}: ")).unwrap_or_default();
                    let why = escape_controls(&format!("{member}{}", reason.message)).into_owned();
                    outcomes.push((origin.line, Outcome::Failed(why)));
                }
                for index in 0..parsed.drafts.len() {
                    let endpoint = parsed.drafts.endpoint(index).map_err(|error| error.to_string())?;
                    let value = serde_json::to_value(endpoint).unwrap_or_default();
                    outcomes.push((parsed.origin.line, Outcome::Members(members(&value))));
                }
                if parsed.notices.count(NoticeKind::RecordDropped) > 0 {
                    outcomes.push((parsed.origin.line, Outcome::Dropped));
                }
            }
        }
    }
    outcomes.truncate(records);
    Ok(outcomes)
}

/// Where the first record begins, and what the start of the object told. Nothing: there is no record.
fn first_record(
    mut bytes: &[u8],
    format: Format,
    options: &SplitOptions,
) -> Result<Option<(Origin, Option<Head>)>, String> {
    let mut splitter = Splitter::new(format, options.clone(), 0);
    loop {
        match splitter.next(None).map_err(|refused| refused.to_string())? {
            Split::NeedInput if bytes.is_empty() => splitter.finish(),
            Split::NeedInput => bytes = &bytes[splitter.push(bytes)..],
            Split::End => return Ok(None),
            Split::Block(block) => return Ok(Some((block.origin, splitter.head()))),
        }
    }
}

/// What precedes the last line break: a record behind it may be cut off.
fn whole_records(head: &[u8]) -> &[u8] {
    &head[..memchr::memrchr2(b'\n', b'\r', head).map_or(head.len(), |at| at + 1)]
}

/// The members of an endpoint that a record brought, by their dotted names.
fn members(endpoint: &Value) -> Vec<(String, String)> {
    // What is filled in for every endpoint says nothing.
    const FILLED_IN: [&str; 2] = ["ApplicationId", "CohortId"];
    let mut found = Vec::new();
    flatten("", endpoint, &mut found);
    let epoch = Timestamp::from_millis(0).to_string();
    found.retain(|(name, value)| {
        let is_filled_in = FILLED_IN.contains(&name.as_str())
            || matches!(name.as_str(), "CreationDate" | "EffectiveDate") && *value == epoch
            || name == "EndpointStatus" && value == "ACTIVE";
        !is_filled_in && !value.is_empty()
    });
    found
}

/// The scalars of a value by their dotted names; lists as one.
fn flatten(prefix: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let dot = if prefix.is_empty() { "" } else { "." };
                flatten(&format!("{prefix}{dot}{name}"), value, found);
            }
        }
        value => found.push((prefix.to_owned(), shown(value))),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
