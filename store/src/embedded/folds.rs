//! Folds large layers of segments while the store settles: what [`super::closing`] folds with an import is small. A large layer
//! that stays by itself gets one run instead of one a piece.
//!
//! The members are merged as a stream into sorted runs, in bounded memory and without a lock, and become part of the
//! store under a number that no row names yet. Then, in one write, the row of the new layer takes the place of those it
//! stands for, if they are all still there. Whatever ends this before leaves members that no one reads; the next attempt
//! with that number begins by deleting them.

use pinport_model::{Segment, SegmentId, SegmentVersion};
use rocksdb::WriteBatch;

use super::{
    blocks,
    closing::{FOLD_AT, FOLD_MEMBERS},
    delete_prefix,
    engine::{Engine, from_json, to_json},
    keys::{self, Table, key},
    layers::{self, Layer},
    member_runs::Source,
    merged::{AT_HAND, Members},
    runs, segments,
};
use crate::{Result, copied::FIRST_FOLDED, lifecycle, lifecycle::SegmentState};

/// Numbers of layers that were folded here have this beside [`FIRST_FOLDED`].
const FOLDED_LARGE: u32 = 1 << 30;

/// Numbers of layers whose runs were merged here have this.
const ORDERED: u32 = 1 << 27;

/// Layers of fewer records stay as they are: they have few runs.
const ORDERED_FROM: u64 = 1024;

/// Folds the layers of all segments that have many large ones.
pub(super) fn fold_all(engine: &Engine) -> Result<()> {
    let prefix = key(Table::Segments, &[]);
    let mut after: Option<Vec<u8>> = None;
    loop {
        // Not one scan for all: it would keep what is deleted meanwhile, which may take hours.
        let next = {
            let mut rows = engine.scan(&prefix);
            match &after {
                None => rows.seek_first(),
                Some(after) => rows.seek_after(after),
            }
            match rows.entry()? {
                None => return Ok(()),
                Some((id, json)) => {
                    let state: SegmentState = from_json(json)?;
                    ([&prefix[..], id].concat(), state.segment)
                }
            }
        };
        let many = {
            let _control = engine.control();
            due(engine, &next.1)?
        };
        fold(engine, &next.1, many, &[], FOLDED_LARGE)?;
        for layer in to_order(engine, &next.1)? {
            let before = before(engine, &next.1, &layer)?;
            fold(engine, &next.1, vec![layer], &before, ORDERED)?;
        }
        after = Some(next.0);
    }
}

/// Folds some layers of a segment into one, whose number has `kind`: what they have that the layers before them, which
/// go with them into every version, do not have.
fn fold(engine: &Engine, segment: &Segment, due: Vec<Layer>, before: &[u32], kind: u32) -> Result<()> {
    let (Some(first), Some(last)) = (due.first(), due.last()) else { return Ok(()) };
    let number = blocks::numbered(FIRST_FOLDED | kind | last.last, first.copies);
    if due.iter().any(|layer| layer.number == number) {
        return Ok(());
    }
    let mut batch = WriteBatch::default();
    layers::delete_layer(engine, &mut batch, segment.id, (number, first.copies))?;
    engine.write(batch)?;
    let (written, records) = {
        let snapshot = engine.db.snapshot();
        let mut source = Source::new(engine, &snapshot, segment.id, true);
        let members = Members::open(&mut source, &layers::to_open(&due), None, AT_HAND)?;
        let before = Members::to_ask(&mut source, before.iter().copied(), AT_HAND)?;
        let mut prefix = keys::layer(segment.id, number);
        if !first.copies {
            prefix = blocks::run(&prefix, 0, 0);
        }
        runs::write_layer(engine, (&prefix, !first.copies), &mut source, members, before)?
    };
    engine.wait_for_room()?;
    written.commit(engine)?;
    let folded = Layer {
        number,
        copies: first.copies,
        job: first.job.filter(|_| due.len() == 1),
        first: first.first,
        last: last.last,
        records,
        is_empty: records == 0,
    };
    let _control = engine.control();
    let mut batch = WriteBatch::default();
    if are_there(engine, segment.id, &due)? {
        for layer in &due {
            layers::delete_row(engine, &mut batch, segment.id, layer)?;
        }
        layers::put_layer(&mut batch, segment.id, &folded)?;
    } else {
        // Its versions were forgotten, or the segment deleted.
        delete_prefix(engine, &mut batch, &keys::layer(segment.id, number))?;
    }
    engine.write(batch)
}

/// Whether the rows of all these layers are as they were.
fn are_there(engine: &Engine, segment: SegmentId, layers: &[Layer]) -> Result<bool> {
    for layer in layers {
        let row = engine.get(&keys::closed_layer(segment, layer.first))?;
        if row.is_none_or(|row| to_json(layer).is_ok_and(|json| json != *row)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Layers that have several runs, or a key for each member: they are read faster when they have one run of blocks.
fn to_order(engine: &Engine, segment: &Segment) -> Result<Vec<Layer>> {
    let _control = engine.control();
    let mut found = rows(engine, segment)?;
    found.retain(|layer| {
        let is_in_runs = blocks::has_blocks(layer.number) && layer.number & FIRST_FOLDED == 0;
        let is_in_keys = !blocks::has_blocks(layer.number) && !layer.copies;
        !layer.is_empty && layer.records >= ORDERED_FROM && (is_in_runs || is_in_keys)
    });
    Ok(found)
}

/// The numbers of the layers that every version has that has this one, if they all name registered endpoints.
fn before(engine: &Engine, segment: &Segment, layer: &Layer) -> Result<Vec<u32>> {
    let _control = engine.control();
    let versions = segments::versions(engine, segment.id, None, usize::MAX)?;
    // Those that have it all begin with the same layer.
    let has_it =
        |version: &&SegmentVersion| (version.first_layer..=version.last_layer).contains(&layer.first);
    let Some(version) = versions.iter().find(has_it) else { return Ok(Vec::new()) };
    let mut found = rows(engine, segment)?;
    found.retain(|other| (version.first_layer..layer.first).contains(&other.first) && !other.is_empty);
    // What comes after a copy of a member says that it is none any more.
    if found.iter().any(|other| other.copies) {
        return Ok(Vec::new());
    }
    Ok(found.into_iter().map(|other| other.number).collect())
}

/// The rows of all layers of the versions that are kept.
fn rows(engine: &Engine, segment: &Segment) -> Result<Vec<Layer>> {
    let Some((oldest, current)) = kept(engine, segment)? else { return Ok(Vec::new()) };
    let snapshot = engine.db.snapshot();
    layers::rows(engine, &snapshot, segment.id, oldest.first_layer, current.last_layer)
}

/// The oldest version that is kept, and the newest.
fn kept(engine: &Engine, segment: &Segment) -> Result<Option<(SegmentVersion, SegmentVersion)>> {
    let Some(state) = segments::state(engine, segment.application, segment.id)? else { return Ok(None) };
    let Some(current) = state.segment.current else { return Ok(None) };
    let oldest = lifecycle::forgotten(current.version).map_or(1, |forgotten| forgotten + 1);
    Ok(segments::version(engine, segment.id, oldest)?.map(|oldest| (oldest, current)))
}

/// The last rows of the oldest version that is kept, oldest first, if they are many and too large to be folded with an
/// import. No kept version ends between them. As there, a row is taken along while it is at most twice what comes after
/// it, so a member is folded again only when its row has about doubled.
fn due(engine: &Engine, segment: &Segment) -> Result<Vec<Layer>> {
    let Some((oldest, _)) = kept(engine, segment)? else { return Ok(Vec::new()) };
    let snapshot = engine.db.snapshot();
    let rows = layers::rows(engine, &snapshot, segment.id, oldest.first_layer, oldest.last_layer)?;
    let mut layers: Vec<Layer> = Vec::new();
    let mut records = 0_u64;
    for layer in rows.into_iter().rev() {
        let is_other = layers.first().is_some_and(|last| last.copies != layer.copies);
        let is_large = !layers.is_empty() && layer.records / 2 > records.max(FOLD_MEMBERS);
        if is_other || is_large {
            break;
        }
        records = records.saturating_add(layer.records.max(1));
        layers.push(layer);
    }
    if layers.len() < FOLD_AT {
        return Ok(Vec::new());
    }
    layers.reverse();
    Ok(layers)
}
