//! The rows of jobs and of the pieces they committed.

use pinport_model::{ApplicationId, ImportJob, JobId, PieceRecord};
use rocksdb::WriteBatch;

use super::{
    applications, blocks, closing, delete_prefix,
    engine::{Control, Engine, from_json, to_json},
    keys::{self, Table, key},
    segments,
};
use crate::{Result, StoreError, lifecycle, record::mark_of};

pub(super) fn create(engine: &Engine, job: &ImportJob) -> Result<()> {
    let application = job.definition.application;
    applications::needed(engine, application)?;
    if engine.get(&keys::job(job.id))?.is_some() {
        return Err(StoreError::Conflict(format!("there is already a job {}", job.id)));
    }
    let mut batch = WriteBatch::default();
    if let Some(id) = job.definition.segment {
        let found = segments::state(engine, application, id)?;
        let (state, mut layer) = lifecycle::open_layer(found, id, job)?;
        layer.number = blocks::numbered(layer.number, layer.copies);
        segments::put_state(&mut batch, &state)?;
        batch.put(keys::open_layer(id, job.id), to_json(&layer)?);
    }
    batch.put(keys::job(job.id), to_json(job)?);
    batch.put(keys::open_job(job.id), []);
    batch.put(keys::indexed_job(application, job.id), []);
    engine.write(batch)
}

pub(super) fn save(engine: &Engine, job: &ImportJob) -> Result<()> {
    lifecycle::check_save(find(engine, job.id)?.as_ref(), job)?;
    let mut batch = WriteBatch::default();
    batch.put(keys::job(job.id), to_json(job)?);
    engine.write(batch)
}

/// Ends a job and closes the layer it wrote to. The caller holds `control`.
pub(super) fn finish(engine: &Engine, control: &mut Control, job: &ImportJob, replace: bool) -> Result<()> {
    lifecycle::check_finish(find(engine, job.id)?.as_ref(), job)?;
    let mut batch = WriteBatch::default();
    let close = |id| {
        let pieces = last_number(engine, control, job.id)?.map_or(0, |last| last + 1);
        closing::close_layer(engine, &mut batch, (job, pieces), id, replace)
    };
    let unread = job.definition.segment.map(close).transpose()?.flatten();
    batch.put(keys::job(job.id), to_json(job)?);
    batch.delete(keys::open_job(job.id));
    engine.write(batch)?;
    if let Some(prefix) = unread {
        engine.drop_files(&prefix)?;
    }
    control.last_pieces.remove(&job.id);
    engine.keep_left_out()?;
    engine.keep_up()
}

pub(super) fn find(engine: &Engine, id: JobId) -> Result<Option<ImportJob>> {
    let mut job = engine.get_json(&keys::job(id))?;
    if let Some(job) = &mut job {
        engine.count_left_out(job)?;
    }
    Ok(job)
}

pub(super) fn list(
    engine: &Engine,
    application: Option<ApplicationId>,
    before: Option<JobId>,
    limit: usize,
) -> Result<Vec<ImportJob>> {
    // Ids of jobs begin with the time they were made, so the order of keys is the order of age.
    let prefix = match application {
        None => key(Table::Jobs, &[]),
        Some(application) => key(Table::JobIndex, &[application.as_bytes()]),
    };
    let mut entries = engine.scan(&prefix);
    match before {
        None => entries.seek_last(),
        Some(before) => entries.seek_before(&[&prefix[..], before.as_bytes()].concat()),
    }
    let mut found: Vec<ImportJob> = Vec::new();
    while found.len() < limit
        && let Some((id, json)) = entries.entry()?
    {
        match application {
            None => found.push(from_json(json)?),
            Some(_) => found.extend(engine.get_json(&key(Table::Jobs, &[id]))?),
        }
        entries.back();
    }
    found.iter_mut().try_for_each(|job| engine.count_left_out(job))?;
    Ok(found)
}

pub(super) fn delete(engine: &Engine, id: JobId) -> Result<bool> {
    let Some(job) = find(engine, id)? else { return Ok(false) };
    lifecycle::check_deletable(&job)?;
    let mut batch = WriteBatch::default();
    batch.delete(keys::job(id));
    batch.delete(keys::indexed_job(job.definition.application, id));
    batch.delete(keys::left_out(job.definition.application, mark_of(id)));
    delete_prefix(engine, &mut batch, &key(Table::Pieces, &[id.as_bytes()]))?;
    engine.write(batch)?;
    Ok(true)
}

pub(super) fn unfinished(engine: &Engine) -> Result<Vec<ImportJob>> {
    let mut entries = engine.scan(&key(Table::OpenJobs, &[]));
    entries.seek_first();
    let mut found = Vec::new();
    while let Some((id, _)) = entries.entry()? {
        found.extend(engine.get_json(&key(Table::Jobs, &[id]))?);
        entries.forward();
    }
    Ok(found)
}

pub(super) fn last_piece(engine: &Engine, job: JobId) -> Result<Option<PieceRecord>> {
    match find_last(engine, job)? {
        None => Ok(None),
        Some(last) => engine.get_json(&keys::piece(job, last)),
    }
}

/// The number of the last piece of a job.
pub(super) fn last_number(engine: &Engine, control: &Control, job: JobId) -> Result<Option<u64>> {
    match control.last_pieces.get(&job) {
        Some(last) => Ok(Some(*last)),
        None => find_last(engine, job),
    }
}

/// Finds that number. Pieces are numbered without gaps, so a few of them are looked up: a scan would open every file in
/// level 0.
fn find_last(engine: &Engine, job: JobId) -> Result<Option<u64>> {
    let is_there = |piece: u64| Ok::<_, StoreError>(engine.get(&keys::piece(job, piece))?.is_some());
    // It has at least `some` pieces, and fewer than `most`.
    let (mut some, mut most) = (0, 1);
    while is_there(most - 1)? {
        some = most;
        most *= 2;
    }
    while some + 1 < most {
        let middle = some + (most - some) / 2;
        match is_there(middle - 1)? {
            true => some = middle,
            false => most = middle,
        }
    }
    Ok(some.checked_sub(1))
}

pub(super) fn pieces(engine: &Engine, job: JobId, from: u64, limit: usize) -> Result<Vec<PieceRecord>> {
    let mut entries = engine.scan(&key(Table::Pieces, &[job.as_bytes()]));
    entries.seek(&keys::piece(job, from));
    let mut found = Vec::new();
    while found.len() < limit
        && let Some((_, json)) = entries.entry()?
    {
        found.push(from_json(json)?);
        entries.forward();
    }
    Ok(found)
}
