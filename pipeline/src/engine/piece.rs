//! A piece on its way: blocks are parsed in any order, collected here, and built when the last one is in.

use std::sync::Arc;

use parking_lot::Mutex;
use pinport_model::{
    Channel, LostObject, Notices, ObjectTally, Origin, Position, Tally, failure::FailureReason,
};
use pinport_store::{DraftBatch, PreparedPiece};

use super::budget::ByteGuard;
use crate::parse::{
    CsvHeader,
    block::{FailedRecord, ParsedBlock},
};

/// The name of an object as messages give it.
pub(super) type ObjectName = Arc<str>;

/// A piece whose blocks are being read and parsed.
#[derive(Debug)]
pub(super) struct OpenPiece {
    /// From 0.
    pub(super) number: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    blocks: Vec<Option<CollectedBlock>>,
    /// The bytes of all blocks, also of those that still wait for a parser: closing the piece closes them all.
    guards: Vec<ByteGuard>,
    missing: usize,
    closed: Option<PieceEnd>,
}

/// A parsed block with the name of its object.
#[derive(Debug)]
pub(super) struct CollectedBlock {
    pub(super) parsed: ParsedBlock,
    pub(super) name: ObjectName,
}

/// What the reader knows when it has read a piece.
#[derive(Debug, Clone)]
pub(super) struct PieceEnd {
    /// Where the next piece begins.
    pub(super) position: Position,
    /// Objects that ended in this piece.
    pub(super) complete: Vec<u64>,
    /// Objects that could not be read whole, with their places among the objects.
    pub(super) lost: Vec<(u64, LostObject)>,
    /// What is to be said of the objects that ended.
    pub(super) notices: Notices,
}

impl OpenPiece {
    pub(super) fn new(number: u64) -> Self {
        Self { number, state: Mutex::default() }
    }

    /// Makes a place for the next block of the piece, which holds these bytes.
    pub(super) fn expect(&self, guard: ByteGuard) -> usize {
        let mut state = self.state.lock();
        state.blocks.push(None);
        state.guards.push(guard);
        state.missing += 1;
        state.blocks.len() - 1
    }

    /// Puts a parsed block in its place. Returns the piece when it is whole now.
    pub(super) fn put(&self, place: usize, block: CollectedBlock) -> Option<WholePiece> {
        let mut state = self.state.lock();
        state.blocks[place] = Some(block);
        state.missing -= 1;
        self.take_if_whole(&mut state)
    }

    /// Notes that no more blocks come. Returns the piece when it is whole now.
    pub(super) fn close(&self, end: PieceEnd) -> Option<WholePiece> {
        let mut state = self.state.lock();
        state.closed = Some(end);
        state.guards.iter_mut().for_each(ByteGuard::close);
        self.take_if_whole(&mut state)
    }

    fn take_if_whole(&self, state: &mut State) -> Option<WholePiece> {
        if state.missing > 0 {
            return None;
        }
        let end = state.closed.take()?;
        let blocks = std::mem::take(&mut state.blocks);
        let blocks = blocks.into_iter().map(|block| block.expect("no block is missing")).collect();
        Some(WholePiece { number: self.number, blocks, guards: std::mem::take(&mut state.guards), end })
    }
}

/// A piece all of whose blocks are parsed.
#[derive(Debug)]
pub(super) struct WholePiece {
    pub(super) number: u64,
    blocks: Vec<CollectedBlock>,
    guards: Vec<ByteGuard>,
    pub(super) end: PieceEnd,
}

/// A failed record with all that is known of it. Its `Failure` is made when the piece is committed: it has a copy
/// of the object's name, and millions of records may fail.
#[derive(Debug)]
pub(super) struct Reject {
    pub(super) origin: Origin,
    pub(super) reason: FailureReason,
    pub(super) name: ObjectName,
    pub(super) header: Option<Arc<CsvHeader>>,
    pub(super) raw: Option<Vec<u8>>,
}

/// What a piece counted, apart from its drafts.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Without failures: they are counted when the piece is committed, in source order.
    pub(super) tally: Tally,
    pub(super) objects: Vec<ObjectTally>,
    pub(super) rejects: Vec<Reject>,
    pub(super) notices: Notices,
    /// The ids of the records, a list for each block, and those of records that may fail yet.
    pub(super) ids: Vec<Vec<u64>>,
    pub(super) updates: Vec<(Origin, u64)>,
    /// Names of the objects whose records may still fail when the piece is committed.
    names: Vec<(u64, ObjectName, Option<Arc<CsvHeader>>)>,
}

/// A piece that is ready to be committed at its turn.
pub(super) struct BuiltPiece {
    pub(super) number: u64,
    /// `None` when the import only checks.
    pub(super) prepared: Option<Box<dyn PreparedPiece>>,
    pub(super) counts: Counts,
    pub(super) end: PieceEnd,
    /// The bytes the piece holds until it is committed.
    pub(super) _guards: Vec<ByteGuard>,
}

impl WholePiece {
    /// Takes the piece apart: what the store builds from, and what is counted.
    pub(super) fn take_apart(self) -> (Vec<DraftBatch>, Counts, PieceEnd, Vec<ByteGuard>) {
        let mut counts = Counts::default();
        let mut batches = Vec::with_capacity(self.blocks.len());
        for CollectedBlock { parsed, name } in self.blocks {
            counts.count(&parsed, &name);
            let ParsedBlock { drafts, failed, header, ids, updates, .. } = parsed;
            counts.ids.push(ids);
            counts.updates.extend(updates);
            counts.rejects.reserve(failed.len());
            for FailedRecord { origin, reason, raw } in failed {
                let (name, header) = (Arc::clone(&name), header.clone());
                counts.rejects.push(Reject { origin, reason, name, header, raw });
            }
            batches.push(drafts);
        }
        counts.notices.merge(&self.end.notices);
        for object in &self.end.complete {
            counts.object(*object).complete = true;
        }
        (batches, counts, self.end, self.guards)
    }
}

impl Counts {
    fn count(&mut self, block: &ParsedBlock, name: &ObjectName) {
        let bytes = block.end.byte - block.origin.byte;
        let registered = block.registered;
        let failed = block.failed.len() as u64;
        self.notices.merge(&block.notices);
        self.tally.bytes += bytes;
        self.tally.read += registered;
        self.tally.registered += registered;
        for (sum, count) in self.tally.channels.iter_mut().zip(block.channels) {
            *sum += count;
        }
        let object = self.object(block.origin.object);
        object.bytes += bytes;
        object.read += registered + failed;
        object.failed += failed;
        if self.names.last().is_none_or(|(last, ..)| *last != block.origin.object) {
            self.names.push((block.origin.object, Arc::clone(name), block.header.clone()));
        }
    }

    /// The tally of an object; objects come in order.
    pub(super) fn object(&mut self, object: u64) -> &mut ObjectTally {
        match self.objects.binary_search_by_key(&object, |tally| tally.object) {
            Ok(index) => &mut self.objects[index],
            Err(index) => {
                self.objects.insert(index, ObjectTally { object, ..ObjectTally::default() });
                &mut self.objects[index]
            }
        }
    }

    /// The name of an object of this piece, and its header.
    pub(super) fn name(&self, object: u64) -> (ObjectName, Option<Arc<CsvHeader>>) {
        let index = self.names.binary_search_by_key(&object, |(number, ..)| *number);
        let (_, name, header) = &self.names[index.expect("a late failure is of an object of its piece")];
        (Arc::clone(name), header.clone())
    }

    /// Turns a record that was counted as registered into a failed one.
    pub(super) fn reject_late(&mut self, reject: Reject, channel: Option<Channel>) {
        self.tally.read -= 1;
        self.tally.registered -= 1;
        if let Some(channel) = channel {
            self.tally.channels[channel as usize] -= 1;
        }
        self.object(reject.origin.object).failed += 1;
        self.rejects.push(reject);
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::{super::budget::ByteBudget, *};

    #[test]
    fn a_piece_that_was_read_holds_others_back_although_its_blocks_wait_for_a_parser() {
        let budget = ByteBudget::new(10);
        let (never, cancelled) = (CancellationToken::new(), CancellationToken::new());
        cancelled.cancel();
        let piece = OpenPiece::new(0);
        piece.expect(budget.take(8, &never).unwrap());
        // While it is being read, its reader must not wait for itself.
        piece.expect(budget.take(8, &never).unwrap());
        let end = PieceEnd {
            position: Position::default(),
            complete: Vec::new(),
            lost: Vec::new(),
            notices: Notices::new(),
        };
        assert!(piece.close(end).is_none());
        assert!(budget.take(8, &cancelled).is_none());
        drop(piece);
        assert_eq!(budget.used(), 0);
    }
}
