//! Turns blocks into encoded drafts and failures, by the rules of the data.
//!
//! One [`Parser`] belongs to one thread and keeps its buffers: a good record costs no allocation. A bad
//! record becomes a [`FailedRecord`] and never anything else; nothing here returns an error. JSON is read
//! in [`json`] and [`json_fast`], CSV in [`csv`]; both fill a draft and leave the last judgement to [`validate`].

pub mod block;
mod clean;
mod csv;
mod csv_attributes;
mod cursor;
mod dates;
mod decimal;
mod json;
mod json_fast;
mod json_fault;
mod json_members;
mod json_near;
mod json_walk;
mod mapped;
pub(crate) mod names;
mod plan;
mod scan;
mod single;
pub(crate) mod structure;
#[cfg(any(test, feature = "portable", not(target_arch = "x86_64")))]
mod swar;
#[cfg(test)]
mod tests;
mod validate;

use std::{hash::BuildHasher as _, sync::Arc};

use pinport_model::{
    Channel, Draft, FailureCode, JobId, NoticeKind, Notices, Origin, ReadOptions, ReadRules, RecordLimits,
    TextMember, Timestamp, failure::FailureReason,
};
use pinport_store::{DraftBatch, DraftKind};

use self::block::{Block, FailedRecord, ParsedBlock};
use crate::text::{content_len, too_long};
pub use mapped::{Map, WrongMapping};
pub use plan::{CsvHeader, HeaderRules};
pub use single::with_endpoint;
use validate::Judged;

/// Names of ignored members that a parser reports.
const MAX_UNKNOWN: usize = 100;

/// Characters of such a name that are reported.
const MAX_UNKNOWN_NAME: usize = 100;

/// What a parser must know of the job.
#[derive(Debug, Clone)]
pub struct ParseContext {
    /// Dates of records that bring none.
    pub now: Timestamp,
    /// The bounds on a record.
    pub limits: RecordLimits,
    /// What the caller said about how to read.
    pub rules: ReadRules,
    /// What the members of JSON records become. The columns of CSV are mapped by their header.
    pub map: Option<Arc<Map>>,
    /// The job that the records come with, if they are to say so.
    pub mark: Option<JobId>,
}

impl ParseContext {
    /// What a caller said about how to read. Dates of records that bring none are `now`.
    ///
    /// # Errors
    /// What is wrong with the mapping.
    pub(crate) fn new(
        read: &ReadOptions,
        limits: RecordLimits,
        now: Timestamp,
    ) -> Result<Self, WrongMapping> {
        let map = read.map.as_deref().map(|mapping| Map::new(mapping).map(Arc::new)).transpose()?;
        Ok(Self { now, limits, rules: read.rules, map, mark: None })
    }
}

/// Parses blocks, one after the other. Blocks with a header are CSV, the others JSON.
#[derive(Debug, Default)]
pub struct Parser {
    json: json::JsonReader,
    csv: csv::CsvReader,
    draft: Draft<'static>,
    unknown: Unknown,
}

impl Parser {
    /// A parser with empty buffers.
    pub fn new() -> Self {
        Self::default()
    }

    /// A parser that reads no JSON line in one pass: what it says, the fast way must say too.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn judging() -> Self {
        let mut parser = Self::new();
        parser.json.backoff = json::Backoff::NONE;
        parser
    }

    /// Parses a block. Returns its buffer too, to be given back to the splitter.
    pub fn parse(&mut self, block: Block, context: &ParseContext) -> (ParsedBlock, Vec<u8>) {
        self.read(block, context, true)
    }

    /// Parses a block and judges its records by the same code, but keeps no drafts.
    pub fn check(&mut self, block: Block, context: &ParseContext) -> (ParsedBlock, Vec<u8>) {
        self.read(block, context, false)
    }

    fn read(&mut self, block: Block, context: &ParseContext, keeps: bool) -> (ParsedBlock, Vec<u8>) {
        let mut sink = Sink::new(&block, context, keeps);
        match &block.header {
            Some(header) => self.csv.read(&block, header, &mut sink, &mut self.draft),
            None => match &block.records {
                Some(records) => {
                    self.json.read_objects(&block, records, &mut sink, &mut self.draft, &mut self.unknown);
                }
                None => {
                    self.json.read(block.bytes(), block.first, &mut sink, &mut self.draft, &mut self.unknown)
                }
            },
        }
        let Sink { registered, drafts, channels, failed, ids, updates, mut notices, done, .. } = sink;
        done.tell(&mut notices);
        self.unknown.tell(&mut notices);
        let parsed = ParsedBlock {
            origin: block.origin,
            end: block.end,
            registered,
            drafts,
            channels,
            failed,
            ids,
            updates,
            header: block.header.clone(),
            notices,
        };
        (parsed, block.into_buffer())
    }
}

/// The number that stands for an endpoint's id where ids are counted: the same in every process.
pub fn id_number(id: &str) -> u64 {
    const STATE: foldhash::quality::FixedState = foldhash::quality::FixedState::with_seed(0x70_69_6e);
    STATE.hash_one(id.as_bytes())
}

/// Bytes of a block up to which its records may be judged by what their endpoints have: imports of a few records.
const SMALL_BLOCK: usize = 64 << 10;

/// Where drafts and failures of a block go.
struct Sink<'c> {
    context: &'c ParseContext,
    /// Whether drafts are kept.
    keeps: bool,
    /// Whether any of them may fail yet, by what is stored when its piece is committed.
    small: bool,
    registered: u64,
    drafts: DraftBatch,
    channels: [u64; Channel::ALL.len()],
    failed: Vec<FailedRecord>,
    ids: Vec<u64>,
    updates: Vec<(Origin, u64)>,
    /// What was merged, guessed, taken or skipped.
    notices: Notices,
    /// What is noted at the end of the block.
    done: clean::Done,
    /// Bytes that a mapping added to the record that is read.
    more: usize,
}

impl<'c> Sink<'c> {
    fn new(block: &Block, context: &'c ParseContext, keeps: bool) -> Self {
        let mut drafts = DraftBatch::new(block.origin, context.now);
        let bytes = block.bytes().len();
        let small = keeps && bytes <= SMALL_BLOCK;
        if keeps {
            if let Some(job) = context.mark {
                drafts.mark(job);
            }
            drafts.reserve(bytes / 256, bytes);
            if small {
                drafts.keep_raw();
            }
        }
        let failed = block.lost.iter().cloned().collect();
        let channels = [0; Channel::ALL.len()];
        let notices = block.notices.clone();
        Self {
            context,
            keeps,
            small,
            registered: 0,
            drafts,
            channels,
            failed,
            ids: Vec::with_capacity(bytes / 256),
            updates: Vec::new(),
            notices,
            done: clean::Done::default(),
            more: 0,
        }
    }

    /// Judges and adds a draft that was read from `raw`.
    fn add(&mut self, draft: &mut Draft<'_>, raw: &[u8], origin: Origin) -> Judged {
        let limits = &self.context.limits;
        let kind = validate::kind(limits, &self.context.rules, draft)?;
        let mut derived = [0; validate::DERIVED_ID];
        let id = match (draft.id, draft.text(TextMember::Address)) {
            (Some(id), _) => id,
            (None, Some(address)) => validate::derived_id(address, &mut derived),
            (None, None) => "",
        };
        // What is encoded only to be measured need not be when it is small for sure.
        if self.keeps || self.stored_at_most(draft, raw) > limits.max_endpoint {
            self.keep(draft, kind, id, raw, origin)?;
        }
        self.registered += 1;
        if kind != DraftKind::UserOnly {
            let number = id_number(id);
            if self.keeps && (kind == DraftKind::Update || self.small) {
                self.updates.push((origin, number));
            } else {
                self.ids.push(number);
            }
        }
        if let Some(channel) = draft.channel {
            self.channels[channel as usize] += 1;
        }
        Ok(())
    }

    /// A bound on what a draft takes when it is stored.
    fn stored_at_most(&self, draft: &Draft<'_>, raw: &[u8]) -> usize {
        DraftBatch::stored_at_most(draft, raw.len() + self.more, self.context.limits.max_name)
    }

    /// Encodes a draft, and keeps it unless it is too large or only measured.
    fn keep(
        &mut self,
        draft: &mut Draft<'_>,
        kind: DraftKind,
        id: &str,
        raw: &[u8],
        origin: Origin,
    ) -> Judged {
        let limits = &self.context.limits;
        let kept_raw = if kind == DraftKind::Blind && !self.small { &[] } else { &raw[..content_len(raw)] };
        let stored = self.drafts.push(draft, kind, id, kept_raw, origin);
        if stored > limits.max_endpoint || !self.keeps {
            self.drafts.pop();
        }
        if stored > limits.max_endpoint {
            let message = format!("the endpoint takes {stored} bytes, the limit is {}", limits.max_endpoint);
            return Err(Box::new(FailureReason::new(FailureCode::EndpointTooLarge, message)));
        }
        #[cfg(test)]
        tests::seen::note(draft, kind, id, origin, stored..=self.stored_at_most(draft, raw));
        Ok(())
    }

    #[cold]
    fn fail(&mut self, reason: FailureReason, raw: &[u8], origin: Origin) {
        let raw = Some(raw[..content_len(raw)].to_vec());
        self.failed.push(FailedRecord { origin, reason, raw });
    }

    #[cold]
    fn fail_too_long(&mut self, origin: Origin) {
        let reason = too_long(self.context.limits.max_line as u64);
        self.failed.push(FailedRecord { origin, reason, raw: None });
    }
}

/// Members that are unknown, with how many records have them.
#[derive(Debug, Default)]
struct Unknown {
    seen: Vec<(&'static str, String, u64)>,
    others: u64,
}

impl Unknown {
    fn add(&mut self, prefix: &'static str, name: &str) {
        let shown = name.char_indices().nth(MAX_UNKNOWN_NAME).map_or(name, |(end, _)| &name[..end]);
        if let Some(seen) = self.seen.iter_mut().find(|seen| seen.0 == prefix && seen.1 == shown) {
            seen.2 += 1;
        } else if self.seen.len() < MAX_UNKNOWN {
            self.seen.push((prefix, shown.to_owned(), 1));
        } else {
            self.others += 1;
        }
    }

    fn has(&self, prefix: &str, name: &str) -> bool {
        self.seen.iter().any(|seen| seen.0 == prefix && seen.1 == name)
    }

    /// Notes all of them, and forgets them.
    fn tell(&mut self, notices: &mut Notices) {
        for (prefix, name, count) in self.seen.drain(..) {
            let dot = if prefix.is_empty() { "" } else { "." };
            let subject = names::shown_unknown(&format!("{prefix}{dot}{name}"));
            notices.add(NoticeKind::UnknownMember, &subject, count);
        }
        notices.add(NoticeKind::UnknownMember, "", std::mem::take(&mut self.others));
    }
}
