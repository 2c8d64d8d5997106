//! A block: whole records of one object, as they go from the splitter to a parser; and what a parser makes of it.

use std::sync::Arc;

use pinport_model::{Channel, Origin, failure::FailureReason};
use pinport_store::DraftBatch;

use crate::parse::CsvHeader;

/// Whole records of one object. It accounts for the decoded bytes from `origin.byte` to `end.byte`: every
/// one of them belongs to a record in `bytes`, to one of `faults`, or to the header, a BOM or a blank line.
#[derive(Debug)]
pub struct Block {
    /// Where the block begins.
    pub origin: Origin,
    /// Where the next block begins.
    pub end: Origin,
    /// The records, terminators included.
    pub bytes: Vec<u8>,
    /// Where `bytes` begins (not before `origin`).
    pub first: Origin,
    /// The header of the object, for CSV.
    pub header: Option<Arc<CsvHeader>>,
    /// Records that the splitter itself had to give up; they are not in `bytes`.
    pub faults: Vec<FailedRecord>,
}

/// A record that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRecord {
    /// Where it begins.
    pub origin: Origin,
    /// Why.
    pub reason: FailureReason,
    /// Its original bytes without the terminator; `None` when it was too long to keep.
    pub raw: Option<Vec<u8>>,
}

/// What a block said.
#[derive(Debug)]
pub struct ParsedBlock {
    /// Where the block began.
    pub origin: Origin,
    /// Where the next block begins.
    pub end: Origin,
    /// The drafts of its good records, encoded.
    pub drafts: DraftBatch,
    /// Good records by channel, by the order of [`Channel::ALL`].
    pub channels: [u64; Channel::ALL.len()],
    /// Its failed records in source order. `read = drafts.len() + failed.len()`.
    pub failed: Vec<FailedRecord>,
    /// The header of the object, for CSV: rejects need it.
    pub header: Option<Arc<CsvHeader>>,
    /// Members that were ignored because nobody knows them: each name once a parser, at most 100.
    pub unknown: Vec<String>,
}
