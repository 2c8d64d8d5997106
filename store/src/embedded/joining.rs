//! Joins runs of a layer that has very many, one a piece: each run that is read has a block in memory.
//!
//! What is joined becomes a run of the same layer, and then the runs that it was made of are deleted. A layer is a set of ids:
//! whatever ends this in between leaves some of them twice, which changes nothing.

use pinport_model::SegmentId;
use rocksdb::WriteBatch;

use super::{
    blocks::{self, RUN},
    engine::Engine,
    keys,
    member_runs::Source,
    merged::Members,
    runs,
};
use crate::Result;

/// Runs that a layer may have: 16 MiB of blocks, and about a hundred million members.
pub(super) const MOST_RUNS: usize = if cfg!(test) { 8 } else { 2048 };

/// Runs that a piece may have: of the records that it says all about, and of those that waited for what the store holds.
pub(super) const RUNS_OF_PIECE: u64 = 2;

/// Joins runs of a layer that is stored in blocks until they are at most [`MOST_RUNS`].
pub(super) fn join_runs(engine: &Engine, segment: SegmentId, layer: u32) -> Result<()> {
    loop {
        let (written, first, last) = {
            let snapshot = engine.db.snapshot();
            let mut source = Source::new(engine, &snapshot, segment, true);
            let Some((members, last)) = Members::of_first_runs(&mut source, layer, MOST_RUNS)? else {
                return Ok(());
            };
            // It comes after all that it is made of, and before the next run, which may be of the same piece.
            let (piece, number) = last.split_at(RUN - 1);
            let piece =
                u64::from_be_bytes(piece.try_into().expect("all but the last byte are a piece's number"));
            let layer = keys::layer(segment, layer);
            let joined = blocks::run(&layer, piece, number[0].saturating_add(1));
            let none = Members::to_ask(&mut source, std::iter::empty(), 0)?;
            let (written, _) = runs::write_layer(engine, (&joined, true), &mut source, members, none)?;
            (written, layer, joined)
        };
        engine.wait_for_room()?;
        written.commit(engine)?;
        let mut batch = WriteBatch::default();
        batch.delete_range(&first, &last);
        engine.write(batch)?;
    }
}
