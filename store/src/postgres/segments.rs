//! Segments, their versions, and the layers that jobs put into them.
//!
//! A version names a range of places: the order in which layers were closed. A layer's number is its own in the whole
//! database; rows of members carry it, and operands of copies have it, negated, as their space.

use pinport_model::{
    ApplicationId, Criteria, ImportJob, JobId, JobStatus, Segment, SegmentId, SegmentVersion, Timestamp,
    criteria::SegmentReference, segment::MemberCount,
};
use uuid::Uuid;

use super::{
    connection::Connection,
    documents::{key, limit, read, text},
};
use crate::{
    Result, StoreError,
    lifecycle::{self, SegmentState, no_version, not_found},
};

/// A closed layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layer {
    /// What its members' rows have.
    pub(super) layer: i32,
    pub(super) copies: bool,
    /// The job that made it, if it was one.
    pub(super) job: Option<JobId>,
    /// The places it stands for.
    pub(super) first: u32,
    pub(super) last: u32,
}

pub(super) fn state(
    connection: &mut Connection,
    application: ApplicationId,
    id: SegmentId,
    is_changed: bool,
) -> Result<Option<SegmentState>> {
    let sql = match is_changed {
        false => "SELECT doc::text FROM segments WHERE application = $1 AND id = $2",
        true => "SELECT doc::text FROM segments WHERE application = $1 AND id = $2 FOR UPDATE",
    };
    let found = connection.query_opt(sql, &[&key(application.as_bytes()), &key(id.as_bytes())])?;
    found.map(|row| read(&row, 0)).transpose()
}

/// A segment that no one else changes until the transaction ends.
fn locked(connection: &mut Connection, application: ApplicationId, id: SegmentId) -> Result<SegmentState> {
    state(connection, application, id, true)?.ok_or_else(|| not_found("segment", id))
}

pub(super) fn put_state(connection: &mut Connection, state: &SegmentState) -> Result<()> {
    let Segment { application, id, .. } = &state.segment;
    connection.execute(
        "INSERT INTO segments (application, id, doc) VALUES ($1, $2, $3::text::json) \
         ON CONFLICT (application, id) DO UPDATE SET doc = EXCLUDED.doc",
        &[&key(application.as_bytes()), &key(id.as_bytes()), &text(state)?],
    )?;
    Ok(())
}

pub(super) fn put_version(
    connection: &mut Connection,
    segment: SegmentId,
    version: &SegmentVersion,
) -> Result<()> {
    connection.execute(
        "INSERT INTO versions (segment, version, doc) VALUES ($1, $2, $3::text::json) \
         ON CONFLICT (segment, version) DO UPDATE SET doc = EXCLUDED.doc",
        &[&key(segment.as_bytes()), &version.version.cast_signed(), &text(version)?],
    )?;
    Ok(())
}

fn delete_version(connection: &mut Connection, segment: SegmentId, version: u32) -> Result<()> {
    let sql = "DELETE FROM versions WHERE segment = $1 AND version = $2";
    connection.execute(sql, &[&key(segment.as_bytes()), &version.cast_signed()])?;
    Ok(())
}

pub(super) fn list(
    connection: &mut Connection,
    application: ApplicationId,
    before: Option<SegmentId>,
    most: usize,
) -> Result<Vec<Segment>> {
    let before = before.map(|before| key(before.as_bytes()));
    let found = connection.query(
        "SELECT doc::text FROM segments WHERE application = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
        &[&key(application.as_bytes()), &before, &limit(most)],
    )?;
    found.iter().map(|row| Ok(read::<SegmentState>(row, 0)?.segment)).collect()
}

pub(super) fn version(
    connection: &mut Connection,
    segment: SegmentId,
    version: u32,
) -> Result<Option<SegmentVersion>> {
    let sql = "SELECT doc::text FROM versions WHERE segment = $1 AND version = $2";
    let found = connection.query_opt(sql, &[&key(segment.as_bytes()), &version.cast_signed()])?;
    found.map(|row| read(&row, 0)).transpose()
}

pub(super) fn versions(
    connection: &mut Connection,
    segment: SegmentId,
    before: Option<u32>,
    most: usize,
) -> Result<Vec<SegmentVersion>> {
    let before = before.map_or(i32::MAX, |before| i32::try_from(before).unwrap_or(i32::MAX));
    let found = connection.query(
        "SELECT doc::text FROM versions WHERE segment = $1 AND version < $2 ORDER BY version DESC LIMIT $3",
        &[&key(segment.as_bytes()), &before, &limit(most)],
    )?;
    found.iter().map(|row| read(row, 0)).collect()
}

/// Adds a segment that is made of criteria.
pub(super) fn create(connection: &mut Connection, segment: &Segment) -> Result<()> {
    let Segment { application, id, .. } = *segment;
    let sql = "SELECT 1 FROM applications WHERE id = $1 FOR SHARE";
    if connection.query_opt(sql, &[&key(application.as_bytes())])?.is_none() {
        return Err(not_found("application", application));
    }
    if state(connection, application, id, true)?.is_some() {
        return Err(StoreError::Conflict(format!("there is already a segment {id}")));
    }
    let state = lifecycle::new_segment(segment)?;
    if let Some(made) = &state.segment.current {
        check_references(connection, application, None, made.criteria.as_deref())?;
        put_version(connection, id, made)?;
    }
    put_state(connection, &state)
}

/// Gives a segment a name and, if it is made of criteria, its next version.
pub(super) fn update(
    connection: &mut Connection,
    application: ApplicationId,
    id: SegmentId,
    name: Option<&str>,
    criteria: Option<&Criteria>,
) -> Result<Segment> {
    // Two segments could come to refer to each other, so one is changed at a time.
    connection.query(
        "SELECT 1 FROM applications WHERE id = $1 FOR NO KEY UPDATE",
        &[&key(application.as_bytes())],
    )?;
    let mut state = locked(connection, application, id)?;
    if criteria.is_some() || state.segment.criteria().is_some() {
        check_references(connection, application, Some(id), criteria)?;
        let made = lifecycle::next_version(&mut state, criteria, Timestamp::now())?;
        put_version(connection, id, &made)?;
        if let Some(forgotten) = lifecycle::forgotten(made.version) {
            delete_version(connection, id, forgotten)?;
        }
    }
    if let Some(name) = name {
        state.segment.name = name.to_owned();
    }
    put_state(connection, &state)?;
    Ok(state.segment)
}

fn check_references(
    connection: &mut Connection,
    application: ApplicationId,
    own: Option<SegmentId>,
    criteria: Option<&Criteria>,
) -> Result<()> {
    let Some(criteria) = criteria else { return Ok(()) };
    let connection = std::cell::RefCell::new(connection);
    let find = |reference: &SegmentReference| {
        let connection = &mut **connection.borrow_mut();
        let Some(found) = state(connection, application, reference.id, false)? else { return Ok(None) };
        match reference.version {
            None => Ok(found.segment.current),
            Some(number) => version(connection, reference.id, number),
        }
    };
    lifecycle::check_references(own, criteria, &find)
}

/// Notes how many members a version by criteria has.
pub(super) fn save_count(
    connection: &mut Connection,
    segment: &Segment,
    number: u32,
    count: &MemberCount,
) -> Result<()> {
    let Some(mut state) = state(connection, segment.application, segment.id, true)? else { return Ok(()) };
    let Some(mut counted) = version(connection, segment.id, number)? else { return Ok(()) };
    counted.count(count);
    put_version(connection, segment.id, &counted)?;
    if state.segment.current().is_some_and(|current| current.version == number) {
        state.segment.current = Some(counted);
        put_state(connection, &state)?;
    }
    Ok(())
}

/// Replaces a segment's name and tags.
pub(super) fn save(connection: &mut Connection, segment: &Segment) -> Result<()> {
    let mut state = locked(connection, segment.application, segment.id)?;
    state.segment.name = segment.name.clone();
    state.segment.tags = segment.tags.clone();
    put_state(connection, &state)
}

/// Opens a layer for a job.
pub(super) fn open_layer(connection: &mut Connection, job: &ImportJob, id: SegmentId) -> Result<()> {
    let found = state(connection, job.definition.application, id, true)?;
    let (state, layer) = lifecycle::open_layer(found, id, job)?;
    put_state(connection, &state)?;
    connection.execute(
        "INSERT INTO layers (layer, segment, job, copies) VALUES (nextval('space_no')::int4, $1, $2, $3)",
        &[&key(id.as_bytes()), &key(job.id.as_bytes()), &layer.copies],
    )?;
    Ok(())
}

/// The open layer of a job, and whether it holds copies.
pub(super) fn layer_of(
    connection: &mut Connection,
    segment: SegmentId,
    job: &ImportJob,
) -> Result<(i32, bool)> {
    let found = connection.query_opt(
        "SELECT layer, copies FROM layers WHERE segment = $1 AND job = $2 AND place IS NULL",
        &[&key(segment.as_bytes()), &key(job.id.as_bytes())],
    )?;
    let found = found.ok_or_else(|| lifecycle::no_layer(job))?;
    Ok((found.get(0), found.get(1)))
}

/// The closed layers of a version, oldest first. Nothing, if the segment is gone.
pub(super) fn layers(
    connection: &mut Connection,
    segment: &Segment,
    version: &SegmentVersion,
) -> Result<Vec<Layer>> {
    let found = connection.query_opt(
        "SELECT EXISTS (SELECT FROM versions WHERE segment = $1 AND version = $2), \
                EXISTS (SELECT FROM segments WHERE application = $3 AND id = $1)",
        &[&key(segment.id.as_bytes()), &version.version.cast_signed(), &key(segment.application.as_bytes())],
    )?;
    let (is_kept, is_there) = found.map_or((false, false), |row| (row.get(0), row.get(1)));
    match (is_kept, is_there) {
        (true, _) => rows(connection, segment.id, version.first_layer, version.last_layer),
        (false, true) => Err(no_version(segment, version.version)),
        (false, false) => Ok(Vec::new()),
    }
}

fn rows(connection: &mut Connection, segment: SegmentId, first: u32, last: u32) -> Result<Vec<Layer>> {
    let found = connection.query(
        "SELECT layer, copies, job, place, last FROM layers WHERE segment = $1 AND place BETWEEN $2 AND $3 ORDER BY place",
        &[&key(segment.as_bytes()), &first.cast_signed(), &last.cast_signed()],
    )?;
    let layer = |row: &postgres::Row| Layer {
        layer: row.get(0),
        copies: row.get(1),
        job: row.get::<_, Option<Uuid>>(2).map(|job| JobId::from_bytes(job.into_bytes())),
        first: row.get::<_, i32>(3).cast_unsigned(),
        last: row.get::<_, i32>(4).cast_unsigned(),
    };
    Ok(found.iter().map(layer).collect())
}

/// The jobs that made the layers of a version.
pub(super) fn jobs(
    connection: &mut Connection,
    segment: &Segment,
    version: &SegmentVersion,
    most: usize,
) -> Result<Option<Vec<JobId>>> {
    if version.criteria.is_some() {
        return Ok(Some(Vec::new()));
    }
    if version.last_layer - version.first_layer >= u32::try_from(most).unwrap_or(u32::MAX) {
        return Ok(None);
    }
    Ok(layers(connection, segment, version)?.into_iter().map(|layer| layer.job).collect())
}

/// Closes the layer of an ended job, and makes the version it leads to.
pub(super) fn close_layer(
    connection: &mut Connection,
    job: &ImportJob,
    id: SegmentId,
    replace: bool,
) -> Result<()> {
    let mut state = locked(connection, job.definition.application, id)?;
    let (layer, copies) = layer_of(connection, id, job)?;
    if copies {
        // Whose they are is asked only while their job runs.
        connection.execute("DELETE FROM uops WHERE space < 0 AND space = $1", &[&-layer])?;
    }
    let has_members = job.status == JobStatus::Completed || has_members(connection, layer)?;
    let count_new = |base: Option<&SegmentVersion>| {
        let base =
            base.map_or(Ok(Vec::new()), |base| rows(connection, id, base.first_layer, base.last_layer))?;
        count_new(connection, layer, &base)
    };
    let Some(made) = lifecycle::close_layer(&mut state, job, replace, has_members, count_new)? else {
        delete_layers(connection, &[layer])?;
        return put_state(connection, &state);
    };
    let place = made.last_layer.cast_signed();
    connection.execute("UPDATE layers SET place = $2, last = $2 WHERE layer = $1", &[&layer, &place])?;
    put_version(connection, id, &made)?;
    if let Some(number) = lifecycle::forgotten(made.version) {
        let (forgotten, oldest) = (version(connection, id, number)?, version(connection, id, number + 1)?);
        delete_version(connection, id, number)?;
        if let Some(oldest) = oldest {
            let first = forgotten.map_or(oldest.first_layer, |forgotten| forgotten.first_layer);
            if let Some(last) = oldest.first_layer.checked_sub(1) {
                let gone: Vec<_> =
                    rows(connection, id, first, last)?.iter().map(|layer| layer.layer).collect();
                delete_layers(connection, &gone)?;
            }
            let kept = rows(connection, id, oldest.first_layer, oldest.last_layer)?;
            super::layers::fold(connection, id, &kept)?;
        }
    }
    put_state(connection, &state)
}

fn has_members(connection: &mut Connection, layer: i32) -> Result<bool> {
    Ok(connection.query_opt("SELECT 1 FROM members WHERE layer = $1 LIMIT 1", &[&layer])?.is_some())
}

/// How many members of a layer are in none of the others.
fn count_new(connection: &mut Connection, layer: i32, others: &[Layer]) -> Result<u64> {
    let others: Vec<_> = others.iter().map(|layer| layer.layer).collect();
    let counted = connection.query(
        "SELECT count(*) FROM (SELECT DISTINCT h8, id FROM members WHERE layer = $1) own WHERE NOT EXISTS \
         (SELECT FROM members m WHERE m.layer = ANY($2) AND m.h8 = own.h8 AND m.id = own.id)",
        &[&layer, &others],
    )?;
    Ok(counted[0].get::<_, i64>(0).cast_unsigned())
}

/// Deletes layers with their members.
pub(super) fn delete_layers(connection: &mut Connection, layers: &[i32]) -> Result<()> {
    if layers.is_empty() {
        return Ok(());
    }
    let spaces: Vec<_> = layers.iter().map(|layer| -layer).collect();
    connection.execute("DELETE FROM ops WHERE space < 0 AND space = ANY($1)", &[&spaces])?;
    connection.execute("DELETE FROM uops WHERE space < 0 AND space = ANY($1)", &[&spaces])?;
    connection.execute("DELETE FROM members WHERE layer = ANY($1)", &[&layers])?;
    connection.execute("DELETE FROM layers WHERE layer = ANY($1)", &[&layers])?;
    Ok(())
}

/// Deletes a segment and all that is its own; whether there was one.
pub(super) fn delete(connection: &mut Connection, application: ApplicationId, id: SegmentId) -> Result<bool> {
    if state(connection, application, id, true)?.is_none() {
        return Ok(false);
    }
    let key_of = key(id.as_bytes());
    let writing = connection.query_opt(
        "SELECT job FROM layers WHERE segment = $1 AND place IS NULL ORDER BY layer LIMIT 1",
        &[&key_of],
    )?;
    if let Some(job) = writing {
        let job = job.get::<_, Uuid>(0).simple();
        return Err(StoreError::Conflict(format!("job {job} still writes to the segment")));
    }
    let layers = connection.query("SELECT layer FROM layers WHERE segment = $1", &[&key_of])?;
    delete_layers(connection, &layers.iter().map(|row| row.get(0)).collect::<Vec<_>>())?;
    connection.execute("DELETE FROM versions WHERE segment = $1", &[&key_of])?;
    connection.execute(
        "DELETE FROM segments WHERE application = $1 AND id = $2",
        &[&key(application.as_bytes()), &key_of],
    )?;
    Ok(true)
}
