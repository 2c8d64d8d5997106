//! What a parser says of an object: drafts in their encoded form, failures, unknown members; and an encoded draft
//! by the names of its members.

use std::collections::BTreeMap;

use pinport_model::{
    Channel, Delimiter, EndpointStatus, Escape, FailureCode, Format, Notices, OptOut, Origin, ReadRules,
    RecordLimits, Timestamp, failure::FailureReason,
};
use pinport_pipeline::{
    parse::{CsvHeader, ParseContext, Parser},
    split::{Cut, Head, Split, SplitOptions, Splitter},
    text::ObjectRefused,
};
use pinport_store::{
    DraftKind,
    fuzzing::{Encoded, encoded, members},
};

/// Bounds that short inputs do not reach.
pub const WIDE: RecordLimits = RecordLimits {
    max_line: 1 << 20,
    max_depth: 64,
    max_columns: 4096,
    max_attributes: 1 << 20,
    max_name: 1 << 20,
    max_value: 1 << 20,
    max_values: 1 << 20,
    max_id: 1 << 20,
    max_endpoint: 1 << 20,
};

/// Bounds that short inputs do reach.
pub fn narrow() -> RecordLimits {
    RecordLimits {
        max_line: 64,
        max_depth: 8,
        max_columns: 8,
        max_attributes: 3,
        max_name: 6,
        max_value: 6,
        max_values: 3,
        max_id: 8,
        max_endpoint: 48,
    }
}

/// Columns are known by their exact names alone, as the readers know them that these are held against.
pub const RULES: ReadRules = ReadRules {
    strict_names: true,
    delimiter: Some(Delimiter::COMMA),
    escape: Escape::Double,
    allow_suspicious: true,
    allow_incomplete: false,
};

/// Whether a CSV record has no value at all: such a row may be skipped.
pub fn is_nothing(record: &[u8]) -> bool {
    String::from_utf8_lossy(record)
        .chars()
        .all(|found| matches!(found, ',' | '"' | '\u{feff}') || found.is_whitespace())
}

/// Codes of the rules that are about bounds.
pub const BOUNDS: [FailureCode; 8] = [
    FailureCode::TooDeep,
    FailureCode::LineTooLong,
    FailureCode::InvalidName,
    FailureCode::ValueTooLong,
    FailureCode::TooManyValues,
    FailureCode::TooManyAttributes,
    FailureCode::InvalidId,
    FailureCode::EndpointTooLarge,
];

/// How an object arrives.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Bytes of a read.
    pub chunk: usize,
    /// Bytes of a block.
    pub block: usize,
    /// Where a block must end.
    pub cut: Option<Cut>,
}

/// All at once.
pub const WHOLE: Arrival = Arrival { chunk: usize::MAX, block: 1 << 16, cut: None };

/// A failed record: where, why, its bytes.
pub type Failed = (Origin, FailureReason, Option<Vec<u8>>);

/// What was said of an object.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The good records.
    pub drafts: Vec<Encoded>,
    /// The others.
    pub failed: Vec<Failed>,
    /// What was merged, guessed or skipped.
    pub notices: Notices,
    /// The header of a CSV object.
    pub header: Option<std::sync::Arc<CsvHeader>>,
    /// What its start told.
    pub head: Option<Head>,
    /// Where blocks ended.
    pub ends: Vec<Origin>,
}

impl Seen {
    /// What was made of the record at byte `at`: a draft, or why it failed.
    pub fn at(&self, at: u64) -> (Option<&Encoded>, Option<FailureCode>) {
        let failed = self.failed.iter().find(|failed| failed.0.byte == at);
        (self.drafts.iter().find(|draft| draft.origin.byte == at), failed.map(|failed| failed.1.code))
    }
}

/// Splits and parses `input` from its beginning.
pub fn read(
    parser: &mut Parser,
    format: Format,
    input: &[u8],
    arrival: Arrival,
    limits: RecordLimits,
) -> Result<Seen, ObjectRefused> {
    let options = SplitOptions { block_bytes: arrival.block, limits, rules: RULES, map: None };
    go_on(parser, Splitter::new(format, options, 3), input, arrival, limits)
}

/// What a parser that only checks says of `input`: the number of good records, and the others.
pub fn checked(
    format: Format,
    input: &[u8],
    limits: RecordLimits,
) -> Result<(u64, Vec<Failed>), ObjectRefused> {
    let options = SplitOptions { block_bytes: WHOLE.block, limits, rules: RULES, map: None };
    let (mut splitter, mut parser) = (Splitter::new(format, options, 3), Parser::new());
    let (mut rest, mut good, mut failed) = (input, 0, Vec::new());
    loop {
        match splitter.next(None)? {
            Split::NeedInput if rest.is_empty() => splitter.finish(),
            Split::NeedInput => rest = &rest[splitter.push(rest)..],
            Split::Block(block) => {
                let (parsed, buffer) = parser.check(block, &context(limits));
                good += parsed.registered;
                failed.extend(
                    parsed.failed.into_iter().map(|failed| (failed.origin, failed.reason, failed.raw)),
                );
                splitter.give_back(buffer);
            }
            Split::End => return Ok((good, failed)),
        }
    }
}

fn context(limits: RecordLimits) -> ParseContext {
    ParseContext { now: Timestamp::from_millis(0), limits, rules: RULES, map: None, mark: None }
}

/// Splits and parses `input` from where `splitter` stands, and checks that every byte is accounted for.
pub fn go_on(
    parser: &mut Parser,
    mut splitter: Splitter,
    input: &[u8],
    arrival: Arrival,
    limits: RecordLimits,
) -> Result<Seen, ObjectRefused> {
    let context = context(limits);
    let mut seen = Seen::default();
    let mut end = splitter.position();
    let mut rest = &input[end.byte as usize..];
    loop {
        match splitter.next(arrival.cut)? {
            Split::NeedInput if rest.is_empty() => splitter.finish(),
            Split::NeedInput => {
                let chunk = rest.len().min(arrival.chunk.max(1));
                rest = &rest[splitter.push(&rest[..chunk])..];
            }
            Split::Block(block) => {
                assert_eq!(block.origin, end, "blocks follow each other");
                end = block.end;
                let (parsed, buffer) = parser.parse(block, &context);
                let drafts = encoded(&parsed.drafts);
                assert_eq!(parsed.registered, drafts.len() as u64);
                let channels: u64 = parsed.channels.iter().sum();
                assert!(channels <= drafts.len() as u64);
                seen.drafts.extend(drafts);
                let failed =
                    parsed.failed.into_iter().map(|failed| (failed.origin, failed.reason, failed.raw));
                seen.failed.extend(failed);
                seen.notices.merge(&parsed.notices);
                seen.ends.push(end);
                splitter.give_back(buffer);
            }
            Split::End => break,
        }
    }
    assert_eq!(end.byte, input.len() as u64, "every byte is accounted for");
    seen.header = splitter.header().cloned();
    seen.head = splitter.head();
    Ok(seen)
}

/// The members of a draft by their dotted names, of which what was not given is left out.
pub fn shown(draft: &Encoded) -> BTreeMap<String, Vec<String>> {
    let mut shown = BTreeMap::new();
    if draft.kind != DraftKind::UserOnly {
        shown.insert("Id".to_owned(), vec![text(&draft.id)]);
    }
    let mut last = None;
    for record in [&draft.record, &draft.user_record] {
        for (tag, name, value) in members(record).expect("what was encoded just now can be read") {
            let place = Some((tag, name.clone()));
            assert!(last < place, "members ascend");
            last = place;
            let name = text(&name);
            let (name, values) = match tag {
                0x02 => ("ChannelType".into(), vec![Channel::ALL[usize::from(value[0])].to_string()]),
                0x03 => ("OptOut".into(), vec![OptOut::ALL[usize::from(value[0])].to_string()]),
                0x04 => {
                    ("EndpointStatus".into(), vec![EndpointStatus::ALL[usize::from(value[0])].to_string()])
                }
                // The default of a record that brings no date.
                0x06 | 0x07 if value[0] == 1 => continue,
                0x06 => ("EffectiveDate".into(), vec![text(&value[1..])]),
                0x07 => ("CreationDate".into(), vec![text(&value[1..])]),
                0x24 => ("Location.Latitude".into(), vec![number(&value)]),
                0x25 => ("Location.Longitude".into(), vec![number(&value)]),
                0x40 => (format!("Attributes.{name}"), list(&value)),
                0x41 => (format!("Metrics.{name}"), vec![number(&value)]),
                0x50 => (format!("User.UserAttributes.{name}"), list(&value)),
                tag => (
                    TEXTS.iter().find(|text| text.0 == tag).expect("a known tag").1.into(),
                    vec![text(&value)],
                ),
            };
            assert!(shown.insert(name, values).is_none(), "each member once");
        }
    }
    shown
}

const TEXTS: [(u8, &str); 16] = [
    (0x01, "Address"),
    (0x05, "RequestId"),
    (0x08, "CohortId"),
    (0x10, "Demographic.AppVersion"),
    (0x11, "Demographic.Locale"),
    (0x12, "Demographic.Make"),
    (0x13, "Demographic.Model"),
    (0x14, "Demographic.ModelVersion"),
    (0x15, "Demographic.Platform"),
    (0x16, "Demographic.PlatformVersion"),
    (0x17, "Demographic.Timezone"),
    (0x20, "Location.City"),
    (0x21, "Location.Country"),
    (0x22, "Location.PostalCode"),
    (0x23, "Location.Region"),
    (0x30, "User.UserId"),
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text is stored as UTF-8")
}

fn number(bytes: &[u8]) -> String {
    let number = f64::from_bits(u64::from_be_bytes(bytes.try_into().expect("a number has 8 bytes")));
    assert!(number.is_finite());
    number.to_string()
}

/// The values of an attribute: each its length, of seven bits a byte, and its bytes.
fn list(mut bytes: &[u8]) -> Vec<String> {
    let mut values = Vec::new();
    while !bytes.is_empty() {
        let (mut len, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            bytes = &bytes[1..];
            len |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        values.push(text(&bytes[..len]));
        bytes = &bytes[len..];
    }
    values
}

/// Checks that a draft says what another reader read; an id that was not given is derived from the address.
pub fn assert_says(draft: &Encoded, mut members: BTreeMap<String, Vec<String>>) {
    let shown = shown(draft);
    if !members.contains_key("Id")
        && let Some(id) = shown.get("Id")
    {
        assert_eq!(id[0].len(), 27);
        members.insert("Id".into(), id.clone());
    }
    assert!(same(&shown, &members), "{shown:?} {members:?}");
}

/// Whether two readers mean the same values: numbers may be written in two ways, and -0 is 0.
fn same(one: &BTreeMap<String, Vec<String>>, other: &BTreeMap<String, Vec<String>>) -> bool {
    let value = |one: &String, other: &String| {
        one == other || matches!((one.parse::<f64>(), other.parse::<f64>()), (Ok(a), Ok(b)) if a == b)
    };
    let values = |one: &Vec<String>, other: &Vec<String>| {
        one.len() == other.len() && one.iter().zip(other).all(|(one, other)| value(one, other))
    };
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|((name, one), (other_name, other))| name == other_name && values(one, other))
}
