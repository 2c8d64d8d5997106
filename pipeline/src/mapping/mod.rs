//! Helps people to write a mapping: the first records of a file as they are, a mapping that may suit them, and what
//! comes of them by it. Nothing here is part of an import.

mod propose;
mod sample;
#[cfg(test)]
mod tests;

use pinport_model::{Format, NoticeKind, ReadOptions, RecordLimits, Timestamp, escape_controls};
use serde_json::Value;

use crate::{
    parse::{ParseContext, Parser, block::FailedRecord},
    split::{Cut, SplitOptions, Splitter},
    text::ObjectRefused,
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

/// A record before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// Where it begins.
    pub line: u64,
    /// Its values as they are; none if it cannot be taken apart.
    pub before: Record,
    /// What came of it.
    pub outcome: Outcome,
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
) -> Result<Vec<Shown>, String> {
    let context = ParseContext::new(read, RecordLimits::default(), Timestamp::from_millis(0));
    let context = context.map_err(|wrong| wrong.to_string())?;
    let options = SplitOptions::of(&context, HEAD_BYTES);
    let refused = |refused: ObjectRefused| refused.to_string();
    let bytes = if whole { head } else { whole_records(head) };
    // Where the first record begins, and what the start of the object says.
    let mut splitter = Splitter::new(format, options.clone(), 0);
    let Some(first) = splitter.next_of(&mut &bytes[..], None).map_err(refused)? else {
        return Ok(Vec::new());
    };
    let mut at = first.origin;
    let mut splitter = Splitter::resume(format, options, at, splitter.head());
    let (mut parser, mut shown) = (Parser::new(), Vec::new());
    let mut rest = &bytes[at.byte as usize..];
    while shown.len() < records {
        // One record a block, so that each is known by itself.
        let cut = Cut { byte: at.byte + 1, line: at.line + 1, records: 1 };
        let Some(block) = splitter.next_of(&mut rest, Some(cut)).map_err(refused)? else { break };
        let before = sample::record_of(&block);
        let (parsed, _) = parser.parse(block, &context);
        at = parsed.end;
        let mut show = |line, outcome| shown.push(Shown { line, before: before.clone(), outcome });
        for FailedRecord { origin, reason, .. } in parsed.failed {
            let member = reason.member.map(|member| format!("{member}: ")).unwrap_or_default();
            let why = escape_controls(&format!("{member}{}", reason.message)).into_owned();
            show(origin.line, Outcome::Failed(why));
        }
        for index in 0..parsed.drafts.len() {
            let endpoint = parsed.drafts.endpoint(index).map_err(|error| error.to_string())?;
            let value = serde_json::to_value(endpoint).unwrap_or_default();
            show(parsed.origin.line, Outcome::Members(members(&value)));
        }
        if parsed.notices.count(NoticeKind::RecordDropped) > 0 {
            show(parsed.origin.line, Outcome::Dropped);
        }
    }
    shown.truncate(records);
    Ok(shown)
}

/// What precedes the last line break: a record after it may be cut off.
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
