//! A block: whole records of one object, as they go from the splitter to a parser; and what a parser makes of it.

use std::{ops::Range, sync::Arc};

use pinport_model::{Channel, Notices, Origin, failure::FailureReason};
use pinport_store::DraftBatch;

use super::CsvHeader;

/// Whole records of one object. It accounts for the decoded bytes from `origin.byte` to `end.byte`: every
/// one of them belongs to `lost`, to a record or a fault in [`Block::bytes`], or to the header, a BOM or a blank line.
#[derive(Debug)]
pub struct Block {
    /// Where the block begins.
    pub origin: Origin,
    /// Where the next block begins.
    pub end: Origin,
    /// Where [`Block::bytes`] begins (not before `origin`).
    pub first: Origin,
    /// The header of the object, for CSV.
    pub header: Option<Arc<CsvHeader>>,
    /// A record too long to keep, which lies before `first`.
    pub lost: Option<FailedRecord>,
    /// Records in [`Block::bytes`] that the splitter gave up, in source order.
    pub faults: Vec<Fault>,
    /// Where the records lie within [`Block::bytes`], for JSON that is not one object a line.
    pub records: Option<Vec<Range<usize>>>,
    /// What the splitter guessed or skipped since the block before.
    pub notices: Notices,
    pub(crate) buffer: Vec<u8>,
    pub(crate) range: Range<usize>,
}

impl Block {
    /// The records, terminators included; they end where the block ends.
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }

    /// The same with a line feed after them, where [`Block::records`] says where records are.
    pub(crate) fn bytes_and_line_feed(&self) -> &[u8] {
        &self.buffer[self.range.start..=self.range.end]
    }

    /// Bytes of memory the block holds.
    pub fn memory(&self) -> usize {
        self.buffer.capacity()
            + self.faults.capacity() * size_of::<Fault>()
            + self.records.as_ref().map_or(0, |records| records.capacity() * size_of::<Range<usize>>())
    }

    /// The buffer, to be given back to a splitter.
    pub fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }
}

/// A record that the splitter gave up, still in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its bytes within [`Block::bytes`], terminator included.
    pub range: Range<usize>,
    /// Why.
    pub reason: FailureReason,
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
    /// Its good records.
    pub registered: u64,
    /// Their drafts, encoded; none if the block was only checked.
    pub drafts: DraftBatch,
    /// The ids of its good records, as [`id_number`](crate::parse::id_number) has them.
    pub ids: Vec<u64>,
    /// The same of records that may still fail when they meet the store, with where they begin.
    pub updates: Vec<(Origin, u64)>,
    /// Good records by channel, by the order of [`Channel::ALL`].
    pub channels: [u64; Channel::ALL.len()],
    /// Its failed records in source order. `read = registered + failed.len()`.
    pub failed: Vec<FailedRecord>,
    /// The header of the object, for CSV: rejects need it.
    pub header: Option<Arc<CsvHeader>>,
    /// What was merged, guessed, taken or skipped in it.
    pub notices: Notices,
}
