//! The rows of segments: the segment itself, its versions and its layers.
//!
//! A version names a range of layers by their *places*, the order in which they were closed. Each closed layer is a row,
//! so what an import writes does not grow with the imports before it. A row may stand for several layers that lie next
//! to each other: when no kept version ends between them, small ones are folded into one ([`fold`]). A segment that
//! many small imports add to therefore is read from few rows.

use pinport_model::{
    ApplicationId, Criteria, ImportJob, JobId, Segment, SegmentId, SegmentVersion, Timestamp,
    criteria::SegmentReference,
    segment::{MemberCount, SegmentLayer},
};
use rocksdb::{Snapshot, WriteBatch};
use serde::{Deserialize, Serialize};

use super::{
    delete_prefix, end_of,
    engine::{Engine, from_json, to_json},
    keys::{self, Key, Table, key},
    merged::Merged,
};
use crate::{
    Result, StoreError,
    copied::FIRST_FOLDED,
    lifecycle::{self, SegmentState, no_version, not_found},
};

/// Rows that wait to be folded: to begin a scan opens every file of level 0.
pub(super) const FOLD_AT: usize = 16;
/// Members that are folded in one write, and copies, which have a record each. Larger layers are folded while the store
/// settles ([`super::folds`]).
pub(super) const FOLD_MEMBERS: u64 = 16_384;
const FOLD_COPIES: u64 = 256;

/// A closed layer, or several in one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layer {
    /// What its members' keys have.
    pub(super) number: u32,
    pub(super) copies: bool,
    /// The job that made it, if it was one.
    pub(super) job: Option<JobId>,
    /// The places of the layers it stands for, from the first to the last.
    pub(super) first: u32,
    pub(super) last: u32,
    /// About how many members it has.
    pub(super) records: u64,
    /// Whether all that its import put into it were members before, and so none is in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_empty: bool,
}

pub(super) fn state(
    engine: &Engine,
    application: ApplicationId,
    id: SegmentId,
) -> Result<Option<SegmentState>> {
    engine.get_json(&keys::segment(application, id))
}

pub(super) fn needed(engine: &Engine, application: ApplicationId, id: SegmentId) -> Result<SegmentState> {
    state(engine, application, id)?.ok_or_else(|| not_found("segment", id))
}

pub(super) fn put_state(batch: &mut WriteBatch, state: &SegmentState) -> Result<()> {
    batch.put(keys::segment(state.segment.application, state.segment.id), to_json(state)?);
    Ok(())
}

/// Adds a segment that is made of criteria.
pub(super) fn create(engine: &Engine, segment: &Segment) -> Result<()> {
    let Segment { application, id, .. } = *segment;
    if state(engine, application, id)?.is_some() {
        return Err(StoreError::Conflict(format!("there is already a segment {id}")));
    }
    let state = lifecycle::new_segment(segment)?;
    let mut batch = WriteBatch::default();
    if let Some(made) = &state.segment.current {
        check_references(engine, application, None, made.criteria.as_deref())?;
        batch.put(keys::version(id, made.version), to_json(made)?);
    }
    put_state(&mut batch, &state)?;
    engine.write(batch)
}

/// Gives a segment a name and, if it is made of criteria, its next version.
pub(super) fn update(
    engine: &Engine,
    application: ApplicationId,
    id: SegmentId,
    name: Option<&str>,
    criteria: Option<&Criteria>,
) -> Result<Segment> {
    let mut state = needed(engine, application, id)?;
    let mut batch = WriteBatch::default();
    if criteria.is_some() || state.segment.criteria().is_some() {
        check_references(engine, application, Some(id), criteria)?;
        let made = lifecycle::next_version(&mut state, criteria, Timestamp::now())?;
        batch.put(keys::version(id, made.version), to_json(&made)?);
        if let Some(forgotten) = lifecycle::forgotten(made.version) {
            batch.delete(keys::version(id, forgotten));
        }
    }
    if let Some(name) = name {
        state.segment.name = name.to_owned();
    }
    put_state(&mut batch, &state)?;
    engine.write(batch)?;
    Ok(state.segment)
}

fn check_references(
    engine: &Engine,
    application: ApplicationId,
    own: Option<SegmentId>,
    criteria: Option<&Criteria>,
) -> Result<()> {
    let Some(criteria) = criteria else { return Ok(()) };
    let find = |reference: &SegmentReference| -> Result<Option<SegmentVersion>> {
        let Some(found) = state(engine, application, reference.id)? else { return Ok(None) };
        match reference.version {
            None => Ok(found.segment.current),
            Some(number) => version(engine, reference.id, number),
        }
    };
    lifecycle::check_references(own, criteria, &find)
}

/// Notes how many members a version by criteria has.
pub(super) fn save_count(engine: &Engine, segment: &Segment, number: u32, count: &MemberCount) -> Result<()> {
    let mut batch = WriteBatch::default();
    let Some(mut counted) = version(engine, segment.id, number)? else { return Ok(()) };
    counted.count(count);
    batch.put(keys::version(segment.id, number), to_json(&counted)?);
    let Some(mut state) = state(engine, segment.application, segment.id)? else { return Ok(()) };
    if state.segment.current().is_some_and(|current| current.version == number) {
        state.segment.current = Some(counted);
        put_state(&mut batch, &state)?;
    }
    engine.write(batch)
}

/// The layer that a job writes to.
pub(super) fn layer_of(engine: &Engine, segment: SegmentId, job: &ImportJob) -> Result<SegmentLayer> {
    engine.get_json(&keys::open_layer(segment, job.id))?.ok_or_else(|| lifecycle::no_layer(job))
}

/// A job whose layer is open, if there is one.
pub(super) fn writing_job(engine: &Engine, segment: SegmentId) -> Result<Option<JobId>> {
    let mut open = engine.scan(&key(Table::OpenLayers, &[segment.as_bytes()]));
    open.seek_first();
    Ok(open.entry()?.map(|(_, json)| from_json::<SegmentLayer>(json)).transpose()?.map(|layer| layer.job))
}

pub(super) fn has_members(engine: &Engine, segment: SegmentId, layer: u32) -> Result<bool> {
    let mut members = engine.scan(&keys::layer(segment, layer));
    members.seek_first();
    Ok(members.entry()?.is_some())
}

pub(super) fn version(engine: &Engine, segment: SegmentId, version: u32) -> Result<Option<SegmentVersion>> {
    engine.get_json(&keys::version(segment, version))
}

/// Versions, newest first.
pub(super) fn versions(
    engine: &Engine,
    segment: SegmentId,
    before: Option<u32>,
    limit: usize,
) -> Result<Vec<SegmentVersion>> {
    let before = before.map(|before| keys::version(segment, before));
    engine.newest(&key(Table::Versions, &[segment.as_bytes()]), before, limit)
}

/// The rows of the layers of a version that have members, oldest first. Nothing, if the segment is gone.
pub(super) fn layers(
    engine: &Engine,
    snapshot: &Snapshot<'_>,
    segment: &Segment,
    version: &SegmentVersion,
) -> Result<Vec<Layer>> {
    let mut found = all_layers(engine, snapshot, segment, version)?;
    found.retain(|layer| !layer.is_empty);
    Ok(found)
}

/// The rows of all layers of a version, oldest first.
fn all_layers(
    engine: &Engine,
    snapshot: &Snapshot<'_>,
    segment: &Segment,
    version: &SegmentVersion,
) -> Result<Vec<Layer>> {
    let found = rows(engine, snapshot, segment.id, version.first_layer, version.last_layer)?;
    if found.last().is_some_and(|last| last.last == version.last_layer) {
        return Ok(found);
    }
    match state(engine, segment.application, segment.id)? {
        Some(_) => Err(no_version(segment, version.version)),
        None => Ok(Vec::new()),
    }
}

/// The rows from one place to another, oldest first, as far as they are there. Each is looked up where the one before ends: between
/// them lie as many deleted ones as were folded, and a scan would pass them all.
pub(super) fn rows(
    engine: &Engine,
    snapshot: &Snapshot<'_>,
    segment: SegmentId,
    first: u32,
    last: u32,
) -> Result<Vec<Layer>> {
    let mut found: Vec<Layer> = Vec::new();
    let mut place = first;
    while place <= last
        && let Some(layer) = engine.get_json_in::<Layer>(snapshot, &keys::closed_layer(segment, place))?
    {
        place = layer.last.saturating_add(1);
        found.push(layer);
    }
    Ok(found)
}

/// The jobs that made the layers of a version.
pub(super) fn jobs(
    engine: &Engine,
    segment: &Segment,
    version: &SegmentVersion,
    limit: usize,
) -> Result<Option<Vec<JobId>>> {
    if version.criteria.is_some() {
        return Ok(Some(Vec::new()));
    }
    if version.last_layer - version.first_layer >= u32::try_from(limit).unwrap_or(u32::MAX) {
        return Ok(None);
    }
    let found = all_layers(engine, &engine.db.snapshot(), segment, version)?;
    Ok(found.into_iter().map(|layer| layer.job).collect())
}

/// Writes what closing the layer of an ended job changes. Returns what the keys begin with that no one reads once this is
/// written, if they are many.
pub(super) fn close_layer(
    engine: &Engine,
    batch: &mut WriteBatch,
    job: &ImportJob,
    id: SegmentId,
    replace: bool,
) -> Result<Option<Key>> {
    let mut state = needed(engine, job.definition.application, id)?;
    let layer = layer_of(engine, id, job)?;
    batch.delete(keys::open_layer(id, job.id));
    // A completed job makes a version anyway, and to look would open every file of level 0.
    let has_members =
        job.status != pinport_model::JobStatus::Completed && has_members(engine, id, layer.number)?;
    let segment = state.segment.clone();
    let mut few = None;
    let count_new = |base: Option<&SegmentVersion>| {
        let snapshot = engine.db.snapshot();
        let base = base.map_or_else(|| Ok(Vec::new()), |base| layers(engine, &snapshot, &segment, base))?;
        let new = count_new(engine, &snapshot, id, layer.number, &base)?;
        few = new.few;
        Ok(new.count)
    };
    let Some(made) = lifecycle::close_layer(&mut state, job, replace, has_members, count_new)? else {
        delete_layer(engine, batch, id, layer.number)?;
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
    if let Some(new) = few.filter(|new| is_thinned(&row, new.len())) {
        // Every version that has this layer has those before it too, and the other members are in them.
        let prefix = keys::layer(id, row.number);
        batch.delete_range(&prefix, &end_of(&prefix));
        unread = Some(prefix);
        row.number = FIRST_FOLDED | THINNED | row.last;
        let prefix = keys::layer(id, row.number);
        new.iter().for_each(|member| batch.put([&prefix[..], member].concat(), b""));
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

pub(super) fn put_layer(batch: &mut WriteBatch, segment: SegmentId, layer: &Layer) -> Result<()> {
    batch.put(keys::closed_layer(segment, layer.first), to_json(layer)?);
    Ok(())
}

/// Deletes the members of a layer.
pub(super) fn delete_layer(
    engine: &Engine,
    batch: &mut WriteBatch,
    segment: SegmentId,
    number: u32,
) -> Result<()> {
    delete_prefix(engine, batch, &keys::layer(segment, number))?;
    delete_prefix(engine, batch, &keys::copy_links(segment, number))
}

/// Deletes a segment and all that is its own.
pub(super) fn delete(
    engine: &Engine,
    batch: &mut WriteBatch,
    application: ApplicationId,
    segment: SegmentId,
) -> Result<()> {
    for table in [Table::Members, Table::CopyLinks, Table::OpenLayers, Table::Layers, Table::Versions] {
        delete_prefix(engine, batch, &key(table, &[segment.as_bytes()]))?;
    }
    batch.delete(keys::segment(application, segment));
    Ok(())
}

/// Members that are looked up in each of the other layers rather than read beside them.
const LOOKED_UP: usize = 16;

/// Layers of fewer records stay as they are: to delete a range costs every later read something.
const THINNED_FROM: u64 = 1024;

/// Numbers of layers that keep only their new members have this beside [`FIRST_FOLDED`].
const THINNED: u32 = 1 << 29;

/// Whether a layer keeps only its new members. An import that brings the same endpoints every hour so costs no member keys,
/// and reading the segment does not get slower by it.
fn is_thinned(layer: &Layer, new: usize) -> bool {
    !layer.copies && layer.records >= THINNED_FROM && new as u64 <= layer.records / 2
}

/// Members of a layer that are in none of the others.
struct New {
    count: u64,
    /// Which they are, if they are few enough for one write, and no other layer has copies: what comes after a copy of a member
    /// says that it is none any more.
    few: Option<Vec<Vec<u8>>>,
}

impl New {
    fn add(&mut self, id: Vec<u8>) {
        self.count += 1;
        match &mut self.few {
            Some(few) if self.count <= FOLD_MEMBERS => few.push(id),
            few => *few = None,
        }
    }
}

/// Finds the members of a layer that are in none of the others.
fn count_new(
    engine: &Engine,
    snapshot: &Snapshot<'_>,
    segment: SegmentId,
    layer: u32,
    others: &[Layer],
) -> Result<New> {
    let mut own = Merged::new(engine, snapshot, segment, [(layer, false)], None)?;
    let mut first = Vec::new();
    while first.len() <= LOOKED_UP
        && let Some((id, _)) = own.next()?
    {
        first.push(id);
    }
    if first.len() <= LOOKED_UP {
        let has = |id: &Vec<u8>| -> Result<bool> {
            for other in others.iter().rev() {
                let key = [&keys::layer(segment, other.number)[..], id].concat();
                if engine.get_in(snapshot, &key)?.is_some() {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let count =
            first.iter().try_fold(0, |count, id| -> Result<u64> { Ok(count + u64::from(!has(id)?)) })?;
        return Ok(New { count, few: None });
    }
    let has_copies = others.iter().any(|other| other.copies);
    // The largest has most of them.
    let mut others: Vec<_> = others.iter().collect();
    others.sort_by_key(|other| std::cmp::Reverse(other.records));
    let mut others = Merged::to_ask(engine, snapshot, segment, others.iter().map(|other| other.number));
    let mut new = New { count: 0, few: (!has_copies).then(Vec::new) };
    let mut look_up = |id: Vec<u8>| -> Result<()> {
        if !others.has(&id)? {
            new.add(id);
        }
        Ok(())
    };
    first.into_iter().try_for_each(&mut look_up)?;
    while let Some((id, _)) = own.next()? {
        look_up(id)?;
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
        delete_layer(engine, batch, segment, layer.number)?;
        batch.delete(keys::closed_layer(segment, layer.first));
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
    let number = FIRST_FOLDED | last.last;
    let prefix = keys::layer(segment, number);
    let parts = layers.iter().map(|layer| (layer.number, layer.copies));
    let mut members = Merged::new(engine, &snapshot, segment, parts, None)?;
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
        entries.push(([&prefix[..], &id].concat(), copy.unwrap_or_default()));
    }
    folded.records = entries.len() as u64;
    entries.into_iter().for_each(|(key, value)| batch.put(key, value));
    for layer in &layers {
        delete_layer(engine, batch, segment, layer.number)?;
        batch.delete(keys::closed_layer(segment, layer.first));
    }
    put_layer(batch, segment, &folded)
}

/// Brings the segments of a store of an older layout to this one: there a segment was one row with all its versions, each
/// with a list of its layers. The members stay as they are.
pub(super) fn upgrade(engine: &Engine) -> Result<()> {
    let mut rows = engine.scan(&key(Table::Segments, &[]));
    rows.seek_first();
    while let Some((_, json)) = rows.entry()? {
        let row: serde_json::Value = from_json(json)?;
        // One that has none was brought here before a crash.
        if row.get("versions").is_some() {
            let mut batch = WriteBatch::default();
            from_layout_2(engine, &mut batch, from_json(json)?)?;
            engine.write(batch)?;
        }
        rows.forward();
    }
    Ok(())
}

/// A segment as layouts 1 and 2 had it.
#[derive(Deserialize)]
struct OldSegment {
    #[serde(flatten)]
    segment: Segment,
    versions: Vec<OldVersion>,
    #[serde(default)]
    next_layer: u32,
    #[serde(default)]
    open_layers: Vec<SegmentLayer>,
}

#[derive(Deserialize)]
struct OldVersion {
    version: u32,
    created: pinport_model::Timestamp,
    layers: Vec<SegmentLayer>,
    job: JobId,
    source: String,
    format: pinport_model::Format,
    size: u64,
    channels: [u64; pinport_model::Channel::ALL.len()],
    partial: bool,
}

fn from_layout_2(engine: &Engine, batch: &mut WriteBatch, old: OldSegment) -> Result<()> {
    let OldSegment { mut segment, versions, next_layer, open_layers } = old;
    let id = segment.id;
    let closed = u32::try_from(versions.len()).unwrap_or(u32::MAX);
    // Each version had the layers of the one before and one of its own, or that alone: so its layers are neighbours.
    let mut first_kept = 0;
    let forgotten = versions.last().and_then(|version| lifecycle::forgotten(version.version));
    let oldest_kept = forgotten.map_or(0, |forgotten| forgotten + 1);
    for (place, version) in (0..).zip(&versions) {
        let first_layer = (place + 1_u32).saturating_sub(version.layers.len() as u32);
        let made = SegmentVersion {
            version: version.version,
            created: version.created,
            first_layer,
            last_layer: place,
            job: version.job,
            source: version.source.clone(),
            format: version.format,
            size: version.size,
            channels: version.channels,
            partial: version.partial,
            criteria: None,
            counted: None,
        };
        if version.version <= oldest_kept {
            first_kept = first_layer;
        }
        if version.version >= oldest_kept {
            batch.put(keys::version(id, made.version), to_json(&made)?);
        }
        segment.current = Some(made);
    }
    for (place, version) in (0..).zip(&versions) {
        let Some(layer) = version.layers.last() else { continue };
        if place < first_kept {
            delete_layer(engine, batch, id, layer.number)?;
            continue;
        }
        let job: Option<ImportJob> = engine.get_json(&keys::job(layer.job))?;
        let records = job.map_or(FOLD_MEMBERS, |job| job.tally.registered);
        let SegmentLayer { number, job, copies } = *layer;
        let row =
            Layer { number, copies, job: Some(job), first: place, last: place, records, is_empty: false };
        put_layer(batch, id, &row)?;
    }
    for layer in &open_layers {
        batch.put(keys::open_layer(id, layer.job), to_json(layer)?);
    }
    put_state(batch, &SegmentState { segment, next_layer, closed })
}
