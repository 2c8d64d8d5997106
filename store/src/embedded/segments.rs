//! The rows of segments: the segment itself and its versions. Their layers are in [`super::layers`].

use pinport_model::{
    ApplicationId, Criteria, ImportJob, JobId, Segment, SegmentId, SegmentVersion, Timestamp,
    criteria::SegmentReference,
    segment::{MemberCount, SegmentLayer},
};
use rocksdb::WriteBatch;

use super::{
    delete_prefix,
    engine::{Engine, from_json, to_json},
    keys::{self, Table, key},
};
use crate::{
    Result, StoreError,
    lifecycle::{self, SegmentState, not_found},
};

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

/// Notes the name and the tags of a segment.
pub(super) fn save(engine: &Engine, segment: &Segment) -> Result<()> {
    let mut state = needed(engine, segment.application, segment.id)?;
    state.segment.name = segment.name.clone();
    state.segment.tags = segment.tags.clone();
    let mut batch = WriteBatch::default();
    put_state(&mut batch, &state)?;
    engine.write(batch)
}

/// Deletes a segment that no job writes to; whether it was there.
pub(super) fn delete_one(engine: &Engine, application: ApplicationId, id: SegmentId) -> Result<bool> {
    if engine.get_json::<Segment>(&keys::segment(application, id))?.is_none() {
        return Ok(false);
    }
    if let Some(job) = writing_job(engine, id)? {
        return Err(StoreError::Conflict(format!("job {job} still writes to the segment")));
    }
    let mut batch = WriteBatch::default();
    delete(engine, &mut batch, application, id)?;
    engine.write(batch)?;
    Ok(true)
}
