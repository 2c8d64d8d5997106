//! The rows of applications, of their settings, and of the names that applications share.

use pinport_model::{Application, ApplicationId, JobId, Segment, Settings};
use rocksdb::WriteBatch;

use super::{
    delete_prefix,
    engine::{Engine, from_json, to_json},
    keys::{self, Table, key},
    segments,
};
use crate::{
    Result, StoreError,
    lifecycle::{self, not_found},
};

/// An error if the application is not there.
pub(super) fn needed(engine: &Engine, id: ApplicationId) -> Result<()> {
    match engine.get(&keys::application(id))? {
        Some(_) => Ok(()),
        None => Err(not_found("application", id)),
    }
}

/// The ids of the applications with one name, as they are stored.
pub(super) fn concatenated(ids: &[ApplicationId]) -> Vec<u8> {
    ids.iter().flat_map(|id| *id.as_bytes()).collect()
}

/// The ids of the applications with this name, in the order in which they were made.
pub(super) fn ids_of_name(engine: &Engine, name: &str) -> Result<Vec<ApplicationId>> {
    let Some(ids) = engine.get(&keys::name(name))? else { return Ok(Vec::new()) };
    let (ids, rest) = ids.as_chunks();
    if !rest.is_empty() {
        return Err(StoreError::Corrupt("an application's id is not 16 bytes".into()));
    }
    Ok(ids.iter().map(|id| ApplicationId::from_bytes(*id)).collect())
}

/// Adds an application to those of its name.
fn add(engine: &Engine, application: &Application, same_name: &[ApplicationId]) -> Result<()> {
    let key = keys::application(application.id);
    if engine.get(&key)?.is_some() {
        return Err(lifecycle::application_exists(application));
    }
    let mut batch = WriteBatch::default();
    batch.put(key, to_json(application)?);
    let ids = [same_name, &[application.id]].concat();
    batch.put(keys::name(&application.name), concatenated(&ids));
    engine.write(batch)
}

pub(super) fn create(engine: &Engine, application: &Application) -> Result<()> {
    add(engine, application, &ids_of_name(engine, &application.name)?)
}

pub(super) fn create_named(engine: &Engine, application: &Application) -> Result<()> {
    match &ids_of_name(engine, &application.name)?[..] {
        [] => add(engine, application, &[]),
        _ => Err(lifecycle::application_exists(application)),
    }
}

pub(super) fn find(engine: &Engine, id: ApplicationId) -> Result<Option<Application>> {
    engine.get_json(&keys::application(id))
}

pub(super) fn named(engine: &Engine, name: &str) -> Result<Vec<Application>> {
    let mut ids = ids_of_name(engine, name)?;
    ids.sort_unstable();
    // One that is deleted meanwhile is not there any more.
    ids.into_iter().filter_map(|id| find(engine, id).transpose()).collect()
}

pub(super) fn list(engine: &Engine, after: Option<ApplicationId>, limit: usize) -> Result<Vec<Application>> {
    let mut entries = engine.scan(&key(Table::Applications, &[]));
    match after {
        None => entries.seek_first(),
        Some(after) => entries.seek_after(&keys::application(after)),
    }
    let mut found = Vec::new();
    while found.len() < limit
        && let Some((_, json)) = entries.entry()?
    {
        found.push(from_json(json)?);
        entries.forward();
    }
    Ok(found)
}

pub(super) fn save(engine: &Engine, application: &Application) -> Result<()> {
    let stored = find(engine, application.id)?;
    let mut stored = stored.ok_or_else(|| not_found("application", application.id))?;
    stored.tags = application.tags.clone();
    let mut batch = WriteBatch::default();
    batch.put(keys::application(stored.id), to_json(&stored)?);
    engine.write(batch)
}

pub(super) fn settings(engine: &Engine, application: ApplicationId) -> Result<Option<Settings>> {
    engine.get_json(&keys::settings(application))
}

pub(super) fn save_settings(engine: &Engine, application: ApplicationId, settings: &Settings) -> Result<()> {
    needed(engine, application)?;
    let mut batch = WriteBatch::default();
    batch.put(keys::settings(application), to_json(settings)?);
    engine.write(batch)
}

pub(super) fn delete(engine: &Engine, id: ApplicationId) -> Result<()> {
    let application = find(engine, id)?.ok_or_else(|| not_found("application", id))?;
    let mut batch = WriteBatch::default();
    let mut jobs = engine.scan(&key(Table::JobIndex, &[id.as_bytes()]));
    jobs.seek_first();
    while let Some((job, _)) = jobs.entry()? {
        if engine.get(&key(Table::OpenJobs, &[job]))?.is_some() {
            let job: Result<[u8; 16], _> = job.try_into();
            let job = job.map(|id| JobId::from_bytes(id).to_string()).unwrap_or_default();
            return Err(StoreError::Conflict(format!("job {job} of the application has not ended")));
        }
        batch.delete(key(Table::Jobs, &[job]));
        delete_prefix(engine, &mut batch, &key(Table::Pieces, &[job]))?;
        jobs.forward();
    }
    let mut segments = engine.scan(&key(Table::Segments, &[id.as_bytes()]));
    segments.seek_first();
    while let Some((_, json)) = segments.entry()? {
        segments::delete(engine, &mut batch, id, from_json::<Segment>(json)?.id)?;
        segments.forward();
    }
    for table in [
        Table::Endpoints,
        Table::Users,
        Table::Links,
        Table::LinkGroups,
        Table::Addresses,
        Table::Segments,
        Table::JobIndex,
        Table::LeftOut,
    ] {
        delete_prefix(engine, &mut batch, &key(table, &[id.as_bytes()]))?;
    }
    let mut same_name = ids_of_name(engine, &application.name)?;
    same_name.retain(|other| *other != id);
    match &same_name[..] {
        [] => batch.delete(keys::name(&application.name)),
        others => batch.put(keys::name(&application.name), concatenated(others)),
    }
    batch.delete(keys::application(id));
    batch.delete(keys::settings(id));
    engine.write(batch)
}
