//! Closes the layer of a job that ended: makes a version with it, forgets the oldest one, and folds small layers.

use std::convert::Infallible;

use pinport_model::{ImportJob, SegmentId, SegmentVersion};
use rocksdb::{Snapshot, WriteBatch};

use super::{
    blocks::{self, Blocks},
    engine::{Engine, to_json},
    joining::{MOST_RUNS, RUNS_OF_PIECE, join_runs},
    keys::{self, Key, end_of},
    layers::{self, Layer, delete_layer, delete_row, put_layer, rows},
    member_runs::Source,
    merged::{AT_HAND, Members, Merged},
    segments::{has_members, layer_of, needed, put_state, version},
};
use crate::{Result, copied::FIRST_FOLDED, lifecycle};

/// Rows that wait to be folded: to begin a scan opens every file of level 0.
pub(super) const FOLD_AT: usize = 16;
/// Members that are folded in one write, and copies, which have a record each. Larger layers are folded while the store
/// settles ([`super::folds`]).
pub(super) const FOLD_MEMBERS: u64 = 16_384;

const FOLD_COPIES: u64 = 256;

/// Writes what closing the layer of an ended job of so many pieces changes. Returns what the keys begin with that no one reads
/// once this is written, if they are many.
pub(super) fn close_layer(
    engine: &Engine,
    batch: &mut WriteBatch,
    (job, pieces): (&ImportJob, u64),
    id: SegmentId,
    replace: bool,
) -> Result<Option<Key>> {
    let mut state = needed(engine, job.definition.application, id)?;
    let layer = layer_of(engine, id, job)?;
    batch.delete(keys::open_layer(id, job.id));
    if blocks::has_blocks(layer.number) && pieces.saturating_mul(RUNS_OF_PIECE) > MOST_RUNS as u64 {
        join_runs(engine, id, layer.number)?;
    }
    // A completed job makes a version anyway, and to look would open every file of level 0.
    let has_members =
        job.status != pinport_model::JobStatus::Completed && has_members(engine, id, layer.number)?;
    let segment = state.segment.clone();
    let snapshot = engine.db.snapshot();
    let others = |base: &SegmentVersion| layers::of_version(engine, &snapshot, &segment, base);
    let new_beside =
        |others: &[Layer]| find_new(engine, &snapshot, id, (layer.number, job.tally.registered), others);
    let (mut few, mut is_found) = (None, false);
    let count_new = |base: Option<&SegmentVersion>| {
        let new = new_beside(&base.map_or_else(|| Ok(Vec::new()), others)?)?;
        (few, is_found) = (new.few, true);
        Ok(new.count)
    };
    let Some(made) = lifecycle::close_layer(&mut state, job, replace, has_members, count_new)? else {
        delete_layer(engine, batch, id, (layer.number, layer.copies))?;
        return Ok(None);
    };
    let mut unread = None;
    let mut row = Layer {
        number: layer.number,
        copies: layer.copies,
        job: Some(job.id),
        first: made.last_layer,
        last: made.last_layer,
        records: job.tally.registered,
        is_empty: false,
    };
    // A job that counted by itself knows how many are new, but not surely which.
    if let Some(base) = segment.current().filter(|_| !replace && !is_found)
        && row.records <= FOUND_TO
        && is_thinned(&row, made.size.saturating_sub(base.size))
    {
        let others = others(base)?;
        if others.iter().filter(|other| other.records >= THINNED_FROM).count() >= WHOLE {
            few = new_beside(&others)?.few;
        }
    }
    if let Some(new) = few.filter(|new| is_thinned(&row, new.len() as u64)) {
        // Every version that has this layer has those before it too, and the other members are in them.
        let prefix = keys::layer(id, row.number);
        batch.delete_range(&prefix, &end_of(&prefix));
        unread = Some(prefix);
        row.number = blocks::numbered(FIRST_FOLDED | THINNED | row.last, false);
        put_members(batch, id, row.number, new.iter().map(Vec::as_slice));
        (row.records, row.is_empty) = (new.len() as u64, new.is_empty());
    }
    put_layer(batch, id, &row)?;
    batch.put(keys::version(id, made.version), to_json(&made)?);
    if let Some(number) = lifecycle::forgotten(made.version) {
        let (forgotten, oldest) = (version(engine, id, number)?, version(engine, id, number + 1)?);
        batch.delete(keys::version(id, number));
        if let Some(oldest) = oldest {
            let first = forgotten.map_or(oldest.first_layer, |forgotten| forgotten.first_layer);
            forget_layers(engine, batch, id, first, oldest.first_layer)?;
            fold(engine, batch, id, &oldest)?;
        }
    }
    put_state(batch, &state)?;
    Ok(unread)
}

/// Records that are looked up in the other layers one by one.
const LOOKED_UP: u64 = 16;

/// Layers of fewer records stay as they are: to delete a range costs every later read something.
const THINNED_FROM: u64 = 1024;

/// Records of a layer whose new members are found although their number is known. Those of a larger layer are left to settling:
/// it would take longer than the import of a record may.
const FOUND_TO: u64 = 1 << 18;

/// Layers of many records that a segment may have before those of the next jobs keep only new members: to find these costs
/// an import 5% more instructions, and two layers cost a read little more than one.
const WHOLE: usize = 2;

/// Numbers of layers that keep only their new members have this beside [`FIRST_FOLDED`].
const THINNED: u32 = 1 << 29;

/// Whether a layer keeps only its new members. An import that brings the same endpoints every hour so costs no members,
/// and reading the segment does not get slower by it.
fn is_thinned(layer: &Layer, new: u64) -> bool {
    !layer.copies && layer.records >= THINNED_FROM && new <= layer.records / 2
}

/// Members of a layer that are in none of the others.
struct New {
    count: u64,
    /// Which they are, if they are few enough for one write, and no other layer has copies: what comes after a copy of a member
    /// says that it is none any more.
    few: Option<Vec<Vec<u8>>>,
}

impl New {
    fn add(&mut self, id: &[u8]) {
        self.count += 1;
        match &mut self.few {
            Some(few) if self.count <= FOLD_MEMBERS => few.push(id.to_vec()),
            few => *few = None,
        }
    }
}

/// For each record of a layer so many that others have at least, and they are read from one end to the other: a block has
/// some hundred.
const NEAR: u64 = 64;

/// Bytes of members that are taken at once then.
const AT_ONCE: usize = if cfg!(test) { 10 << 10 } else { AT_HAND };

/// Finds the members of a layer of so many records that are in none of the others.
fn find_new(
    engine: &Engine,
    snapshot: &Snapshot<'_>,
    segment: SegmentId,
    (layer, records): (u32, u64),
    others: &[Layer],
) -> Result<New> {
    let mut source = Source::new(engine, snapshot, segment, false);
    source.at_once = AT_ONCE;
    let mut own = Members::open(&mut source, &[(layer, false)], None, AT_HAND)?;
    let has_copies = others.iter().any(|other| other.copies);
    // Few ids are not near each other: most blocks are not asked for.
    let all: u64 = others.iter().map(|other| other.records).sum();
    source.at_once = if all / records.max(1) < NEAR { AT_ONCE } else { 0 };
    // The largest has most of them.
    let mut others: Vec<_> = others.iter().collect();
    others.sort_by_key(|other| std::cmp::Reverse(other.records));
    let room = if records > LOOKED_UP { AT_HAND } else { 0 };
    let mut others = Members::to_ask(&mut source, others.iter().map(|other| other.number), room)?;
    let mut new = New { count: 0, few: (!has_copies).then(Vec::new) };
    while let Some((id, _)) = own.next(&mut source)? {
        if !others.has(&mut source, id)? {
            new.add(id);
        }
    }
    Ok(new)
}

/// Deletes the layers from one place to before another: no kept version has them.
fn forget_layers(
    engine: &Engine,
    batch: &mut WriteBatch,
    segment: SegmentId,
    first: u32,
    before: u32,
) -> Result<()> {
    let Some(last) = before.checked_sub(1) else { return Ok(()) };
    for layer in rows(engine, &engine.db.snapshot(), segment, first, last)? {
        delete_row(engine, batch, segment, &layer)?;
    }
    Ok(())
}

/// Folds the last rows of the oldest version that is kept into one, if enough of them are small: no kept version ends
/// between them. A row is taken along while it is at most twice what comes after it, so a member is folded again
/// only when its row has about doubled.
fn fold(engine: &Engine, batch: &mut WriteBatch, segment: SegmentId, oldest: &SegmentVersion) -> Result<()> {
    let snapshot = engine.db.snapshot();
    let mut layers: Vec<Layer> = Vec::new();
    let (mut records, mut waiting, mut most) = (0, 0, 0);
    for layer in rows(engine, &snapshot, segment, oldest.first_layer, oldest.last_layer)?.into_iter().rev() {
        let copies = layers.first().map_or(layer.copies, |last| last.copies);
        most = if copies { FOLD_COPIES } else { FOLD_MEMBERS };
        let small = records == 0 || layer.records <= records * 2;
        if layer.copies != copies || !small || records.saturating_add(layer.records) > most {
            break;
        }
        records += layer.records.max(1);
        waiting += usize::from(layer.job.is_some());
        layers.push(layer);
    }
    if waiting < FOLD_AT {
        return Ok(());
    }
    layers.reverse();
    let (Some(first), Some(last)) = (layers.first(), layers.last()) else { return Ok(()) };
    // The last layer that is folded is another each time.
    let number = blocks::numbered(FIRST_FOLDED | last.last, first.copies);
    let mut members = Merged::new(engine, &snapshot, segment, &layers::to_open(&layers), (None, false))?;
    let mut folded = Layer {
        number,
        copies: first.copies,
        job: None,
        first: first.first,
        last: last.last,
        records: 0,
        is_empty: false,
    };
    let mut entries = Vec::new();
    while let Some((id, copy)) = members.next()? {
        if entries.len() as u64 == 2 * most {
            // A record that names a user alone may bring many members. It is not tried again here.
            let last = Layer { records: 2 * FOLD_MEMBERS, ..last.clone() };
            return put_layer(batch, segment, &last);
        }
        entries.push((id.to_vec(), copy.unwrap_or_default().to_vec()));
    }
    (folded.records, folded.is_empty) = (entries.len() as u64, entries.is_empty());
    if first.copies {
        let prefix = keys::layer(segment, number);
        entries.iter().for_each(|(id, copy)| batch.put([&prefix[..], id].concat(), copy));
    } else {
        put_members(batch, segment, number, entries.iter().map(|(id, _)| &id[..]));
    }
    for layer in &layers {
        delete_row(engine, batch, segment, layer)?;
    }
    put_layer(batch, segment, &folded)
}

/// Puts the members of a layer, which ascend, into blocks.
fn put_members<'a>(
    batch: &mut WriteBatch,
    segment: SegmentId,
    layer: u32,
    ids: impl Iterator<Item = &'a [u8]>,
) {
    let run = blocks::run(&keys::layer(segment, layer), 0, 0);
    let mut members = Blocks::new();
    let mut put = |first: &[u8], others: &[u8]| {
        batch.put([&run[..], first].concat(), others);
        Ok::<_, Infallible>(())
    };
    for id in ids {
        let Ok(()) = members.push(id, &mut put);
    }
    let Ok(()) = members.finish(&mut put);
}
