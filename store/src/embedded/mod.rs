//! The embedded engine: RocksDB, with the pieces of an import ingested as sorted runs.
//!
//! One column family holds all tables, told apart by the first byte of the key ([`keys`]). A piece's runs
//! ([`runs`]) and its record become part of the store in one ingestion, so a piece is there whole or not at
//! all. Endpoints are merge operands: an import never reads what it updates. [`engine`] keeps the promise
//! that what is acknowledged is durable, [`options`] holds the settings with their reasons.
//!
//! A store is a folder: `db` (RocksDB's), `staging` (runs that are no part of it yet), `layout` (a number), `bounds`
//! (of endpoints, if they are not the usual ones) and `pinport.lock`.

mod compaction;
mod copying;
mod criteria;
mod endpoints;
mod engine;
mod error;
mod facts;
mod folding;
mod folds;
mod keys;
mod layout;
mod left_out;
mod lock;
mod merged;
mod options;
mod read;
mod read_out;
mod rows;
mod runs;
mod scan;
mod seek;
mod segments;
#[cfg(test)]
mod tests;
mod users;
mod writer;

use std::{
    collections::BTreeSet,
    fmt,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::RwLock;
use pinport_model::{
    Application, ApplicationId, Criteria, Endpoint, ImportJob, JobId, PieceRecord, Segment, SegmentId,
    SegmentVersion, Settings, Timestamp, limits::RecordLimits, segment::MemberCount,
};
use rocksdb::WriteBatch;

pub use self::options::EmbeddedOptions;
use self::{
    engine::{Engine, from_json, to_json},
    keys::{Table, end_of, key},
};
use crate::{
    AttributeKind, COUNTED_AT_ONCE, EndpointUpdate, Figures, JobWriter, Result, Scope, Store, StoreError,
    Stored,
    lifecycle::{self, not_found},
    piece_rows::Target,
    record::mark_of,
};

/// A durable store in a folder.
///
/// When the engine stops because it could not open a file in the background, it is opened again as soon as no one uses it:
/// nothing is wrong with what it wrote. Until then it answers reads.
pub struct Embedded {
    path: PathBuf,
    options: EmbeddedOptions,
    /// None while it could not be opened again.
    engine: RwLock<Option<Arc<Engine>>>,
    /// What the engines before this one left out.
    left_out: AtomicU64,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").finish_non_exhaustive()
    }
}

impl Embedded {
    /// Opens the store in the folder `path`, which is created if it is not there.
    pub fn open(path: impl AsRef<Path>, options: EmbeddedOptions) -> Result<Self> {
        let store = Self::open_to_copy(path, options)?;
        copying::check_whole(&*store.engine()?)?;
        Ok(store)
    }

    /// The same for a copy, which may have been interrupted.
    pub fn open_to_copy(path: impl AsRef<Path>, options: EmbeddedOptions) -> Result<Self> {
        let engine = Engine::open(path.as_ref(), &options)?;
        if engine.is_older {
            segments::upgrade(&engine)?;
            engine.note_upgrade()?;
        }
        Ok(Self {
            path: path.as_ref().into(),
            options,
            engine: RwLock::new(Some(Arc::new(engine))),
            left_out: AtomicU64::new(0),
        })
    }

    /// The engine. While a caller holds it, it is not opened again.
    fn engine(&self) -> Result<Arc<Engine>> {
        match &*self.engine.read() {
            Some(engine) if !engine.lacked_descriptors() => return Ok(Arc::clone(engine)),
            _ => {}
        }
        let mut place = self.engine.write();
        if let Some(engine) = &*place {
            if !engine.lacked_descriptors() || Arc::strong_count(engine) > 1 || !engine.is_to_be_opened() {
                return Ok(Arc::clone(engine));
            }
            // Counts that cannot be kept are lost, which is no reason not to open it.
            let _ = engine.keep_left_out();
            self.left_out.fetch_add(engine.folding.left_out.members(), Ordering::Relaxed);
            // Closed, and its lock released, before another is opened.
            *place = None;
        }
        let engine = Arc::new(Engine::open(&self.path, &self.options)?);
        *place = Some(Arc::clone(&engine));
        Ok(engine)
    }

    fn needs_application(&self, id: ApplicationId) -> Result<()> {
        let engine = self.engine()?;
        match engine.get(&keys::application(id))? {
            Some(_) => Ok(()),
            None => Err(not_found("application", id)),
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.get_mut() {
            // It may have stopped. What was counted is then lost, as it would be by a crash.
            let _ = engine.rest();
        }
    }
}

/// Keys that are deleted one by one rather than as a range: until the engine compacts, each read sorts the ranges that lie
/// in its write buffer.
const FEW: usize = 256;

/// Deletes all keys that begin with `prefix`. Nothing may add one before the batch is written.
fn delete_prefix(engine: &Engine, batch: &mut WriteBatch, prefix: &[u8]) -> Result<()> {
    let mut entries = engine.scan(prefix);
    entries.seek_first();
    let mut found = Vec::new();
    while let Some((rest, _)) = entries.entry()?
        && found.len() <= FEW
    {
        found.push([prefix, rest].concat());
        entries.forward();
    }
    if found.len() > FEW {
        batch.delete_range(prefix, &end_of(prefix));
    } else {
        found.into_iter().for_each(|key| batch.delete(key));
    }
    Ok(())
}

/// The ids of the applications with one name, as they are stored.
fn concatenated(ids: &[ApplicationId]) -> Vec<u8> {
    ids.iter().flat_map(|id| *id.as_bytes()).collect()
}

impl Embedded {
    /// The ids of the applications with this name, in the order in which they were made.
    fn ids_of_name(&self, name: &str) -> Result<Vec<ApplicationId>> {
        let engine = self.engine()?;
        let Some(ids) = engine.get(&keys::name(name))? else { return Ok(Vec::new()) };
        let (ids, rest) = ids.as_chunks();
        if !rest.is_empty() {
            return Err(StoreError::Corrupt("an application's id is not 16 bytes".into()));
        }
        Ok(ids.iter().map(|id| ApplicationId::from_bytes(*id)).collect())
    }

    /// Adds an application to those of its name.
    fn add_application(&self, application: &Application, same_name: &[ApplicationId]) -> Result<()> {
        let engine = self.engine()?;
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
}

impl Store for Embedded {
    fn create_application(&self, application: &Application) -> Result<()> {
        let engine = self.engine()?;
        let _control = engine.control();
        self.add_application(application, &self.ids_of_name(&application.name)?)
    }

    fn create_named_application(&self, application: &Application) -> Result<()> {
        let engine = self.engine()?;
        let _control = engine.control();
        match &self.ids_of_name(&application.name)?[..] {
            [] => self.add_application(application, &[]),
            _ => Err(lifecycle::application_exists(application)),
        }
    }

    fn application(&self, id: ApplicationId) -> Result<Option<Application>> {
        let engine = self.engine()?;
        engine.get_json(&keys::application(id))
    }

    fn applications_by_name(&self, name: &str) -> Result<Vec<Application>> {
        let mut ids = self.ids_of_name(name)?;
        ids.sort_unstable();
        // One that is deleted meanwhile is not there any more.
        ids.into_iter().filter_map(|id| self.application(id).transpose()).collect()
    }

    fn applications(&self, after: Option<ApplicationId>, limit: usize) -> Result<Vec<Application>> {
        let engine = self.engine()?;
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

    fn save_application(&self, application: &Application) -> Result<()> {
        let engine = self.engine()?;
        let _control = engine.control();
        let stored = self.application(application.id)?;
        let mut stored = stored.ok_or_else(|| not_found("application", application.id))?;
        stored.tags = application.tags.clone();
        let mut batch = WriteBatch::default();
        batch.put(keys::application(stored.id), to_json(&stored)?);
        engine.write(batch)
    }

    fn settings(&self, application: ApplicationId) -> Result<Option<Settings>> {
        self.engine()?.get_json(&keys::settings(application))
    }

    fn save_settings(&self, application: ApplicationId, settings: &Settings) -> Result<()> {
        let engine = self.engine()?;
        let _control = engine.control();
        self.needs_application(application)?;
        let mut batch = WriteBatch::default();
        batch.put(keys::settings(application), to_json(settings)?);
        engine.write(batch)
    }

    fn remove_attributes(
        &self,
        application: ApplicationId,
        kind: AttributeKind,
        is_named: &dyn Fn(&str) -> bool,
    ) -> Result<BTreeSet<String>> {
        let engine = self.engine()?;
        endpoints::remove_attributes(&engine, application, kind, is_named)
    }

    fn delete_application(&self, id: ApplicationId) -> Result<()> {
        let engine = self.engine()?;
        let _control = engine.control();
        let _endpoints = engine.endpoints_of(id);
        let application = self.application(id)?.ok_or_else(|| not_found("application", id))?;
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
            delete_prefix(&engine, &mut batch, &key(Table::Pieces, &[job]))?;
            jobs.forward();
        }
        let mut segments = engine.scan(&key(Table::Segments, &[id.as_bytes()]));
        segments.seek_first();
        while let Some((_, json)) = segments.entry()? {
            segments::delete(&engine, &mut batch, id, from_json::<Segment>(json)?.id)?;
            segments.forward();
        }
        for table in [
            Table::Endpoints,
            Table::Users,
            Table::Links,
            Table::Addresses,
            Table::Segments,
            Table::JobIndex,
            Table::LeftOut,
        ] {
            delete_prefix(&engine, &mut batch, &key(table, &[id.as_bytes()]))?;
        }
        let mut same_name = self.ids_of_name(&application.name)?;
        same_name.retain(|other| *other != id);
        match &same_name[..] {
            [] => batch.delete(keys::name(&application.name)),
            others => batch.put(keys::name(&application.name), concatenated(others)),
        }
        batch.delete(keys::application(id));
        batch.delete(keys::settings(id));
        engine.write(batch)
    }

    fn create_job(&self, job: &ImportJob) -> Result<()> {
        let engine = self.engine()?;
        let _control = engine.control();
        let application = job.definition.application;
        self.needs_application(application)?;
        if engine.get(&keys::job(job.id))?.is_some() {
            return Err(StoreError::Conflict(format!("there is already a job {}", job.id)));
        }
        let mut batch = WriteBatch::default();
        if let Some(id) = job.definition.segment {
            let found = segments::state(&engine, application, id)?;
            let (state, layer) = lifecycle::open_layer(found, id, job)?;
            segments::put_state(&mut batch, &state)?;
            batch.put(keys::open_layer(id, job.id), to_json(&layer)?);
        }
        batch.put(keys::job(job.id), to_json(job)?);
        batch.put(keys::open_job(job.id), []);
        batch.put(keys::indexed_job(application, job.id), []);
        engine.write(batch)
    }

    fn save_job(&self, job: &ImportJob) -> Result<()> {
        let engine = self.engine()?;
        let _control = engine.control();
        lifecycle::check_save(self.job(job.id)?.as_ref(), job)?;
        let mut batch = WriteBatch::default();
        batch.put(keys::job(job.id), to_json(job)?);
        engine.write(batch)
    }

    fn finish_job(&self, job: &ImportJob, replace: bool) -> Result<()> {
        let engine = self.engine()?;
        let mut control = engine.control();
        lifecycle::check_finish(self.job(job.id)?.as_ref(), job)?;
        let mut batch = WriteBatch::default();
        let close = |id| segments::close_layer(&engine, &mut batch, job, id, replace);
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

    fn job(&self, id: JobId) -> Result<Option<ImportJob>> {
        let engine = self.engine()?;
        let mut job = engine.get_json(&keys::job(id))?;
        if let Some(job) = &mut job {
            engine.count_left_out(job)?;
        }
        Ok(job)
    }

    fn jobs(
        &self,
        application: Option<ApplicationId>,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<ImportJob>> {
        let engine = self.engine()?;
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

    fn delete_job(&self, id: JobId) -> Result<bool> {
        let engine = self.engine()?;
        let _control = engine.control();
        let Some(job) = self.job(id)? else { return Ok(false) };
        lifecycle::check_deletable(&job)?;
        let mut batch = WriteBatch::default();
        batch.delete(keys::job(id));
        batch.delete(keys::indexed_job(job.definition.application, id));
        batch.delete(keys::left_out(job.definition.application, mark_of(id)));
        delete_prefix(&engine, &mut batch, &key(Table::Pieces, &[id.as_bytes()]))?;
        engine.write(batch)?;
        Ok(true)
    }

    fn unfinished_jobs(&self) -> Result<Vec<ImportJob>> {
        let engine = self.engine()?;
        let mut entries = engine.scan(&key(Table::OpenJobs, &[]));
        entries.seek_first();
        let mut found = Vec::new();
        while let Some((id, _)) = entries.entry()? {
            found.extend(engine.get_json(&key(Table::Jobs, &[id]))?);
            entries.forward();
        }
        Ok(found)
    }

    fn last_piece(&self, job: JobId) -> Result<Option<PieceRecord>> {
        let engine = self.engine()?;
        let mut entries = engine.scan(&key(Table::Pieces, &[job.as_bytes()]));
        entries.seek_last();
        entries.entry()?.map(|(_, json)| from_json(json)).transpose()
    }

    fn pieces(&self, job: JobId, from: u64, limit: usize) -> Result<Vec<PieceRecord>> {
        let engine = self.engine()?;
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

    fn writer(&self, job: &ImportJob) -> Result<Arc<dyn JobWriter>> {
        let engine = self.engine()?;
        lifecycle::check_open(self.job(job.id)?.as_ref(), job)?;
        let application = job.definition.application;
        let layer = match job.definition.segment {
            None => None,
            Some(id) => Some((id, segments::layer_of(&engine, id, job)?)),
        };
        Ok(writer::writer(Arc::clone(&engine), job, Target { application, layer }))
    }

    fn endpoint(&self, application: ApplicationId, id: &str) -> Result<Option<Endpoint>> {
        let engine = self.engine()?;
        read::endpoint(&engine, application, id.as_bytes())
    }

    fn put_endpoints(
        &self,
        application: ApplicationId,
        updates: &[EndpointUpdate],
        limits: &RecordLimits,
    ) -> Result<()> {
        let engine = self.engine()?;
        let _endpoints = engine.endpoints_of(application);
        self.needs_application(application)?;
        endpoints::put(&engine, application, updates, limits)
    }

    fn delete_endpoint(&self, application: ApplicationId, id: &str) -> Result<bool> {
        let engine = self.engine()?;
        let _endpoints = engine.endpoints_of(application);
        endpoints::delete(&engine, application, id.as_bytes())
    }

    fn delete_user_endpoints(&self, application: ApplicationId, user: &str) -> Result<u64> {
        let engine = self.engine()?;
        let mut removed = 0;
        loop {
            // Others have their turn in between.
            let _endpoints = engine.endpoints_of(application);
            let (some, is_last) = endpoints::delete_some_of_user(&engine, application, user.as_bytes())?;
            removed += some;
            if is_last {
                return Ok(removed);
            }
        }
    }

    fn user_endpoints(
        &self,
        application: ApplicationId,
        user: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Endpoint>> {
        let engine = self.engine()?;
        read::user_endpoints(&engine, application, user.as_bytes(), after.map(str::as_bytes), limit)
    }

    fn segment(&self, application: ApplicationId, id: SegmentId) -> Result<Option<Segment>> {
        let engine = self.engine()?;
        engine.get_json(&keys::segment(application, id))
    }

    fn segments(
        &self,
        application: ApplicationId,
        before: Option<SegmentId>,
        limit: usize,
    ) -> Result<Vec<Segment>> {
        let engine = self.engine()?;
        // A segment has the id of the job that made it, which begins with the time.
        let before = before.map(|before| keys::segment(application, before));
        engine.newest(&key(Table::Segments, &[application.as_bytes()]), before, limit)
    }

    fn segment_version(&self, segment: &Segment, version: u32) -> Result<Option<SegmentVersion>> {
        let engine = self.engine()?;
        segments::version(&engine, segment.id, version)
    }

    fn segment_versions(
        &self,
        segment: &Segment,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<SegmentVersion>> {
        let engine = self.engine()?;
        segments::versions(&engine, segment.id, before, limit)
    }

    fn version_jobs(
        &self,
        segment: &Segment,
        version: &SegmentVersion,
        limit: usize,
    ) -> Result<Option<Vec<JobId>>> {
        let engine = self.engine()?;
        segments::jobs(&engine, segment, version, limit)
    }

    fn create_segment(&self, segment: &Segment) -> Result<()> {
        let engine = self.engine()?;
        let _control = engine.control();
        self.needs_application(segment.application)?;
        segments::create(&engine, segment)
    }

    fn update_segment(
        &self,
        application: ApplicationId,
        id: SegmentId,
        name: Option<&str>,
        criteria: Option<&Criteria>,
    ) -> Result<Segment> {
        let engine = self.engine()?;
        let _control = engine.control();
        segments::update(&engine, application, id, name, criteria)
    }

    fn save_count(&self, segment: &Segment, version: u32, count: &MemberCount) -> Result<()> {
        let engine = self.engine()?;
        let _control = engine.control();
        segments::save_count(&engine, segment, version, count)
    }

    fn save_segment(&self, segment: &Segment) -> Result<()> {
        let engine = self.engine()?;
        let _control = engine.control();
        let mut state = segments::needed(&engine, segment.application, segment.id)?;
        state.segment.name = segment.name.clone();
        state.segment.tags = segment.tags.clone();
        let mut batch = WriteBatch::default();
        segments::put_state(&mut batch, &state)?;
        engine.write(batch)
    }

    fn delete_segment(&self, application: ApplicationId, id: SegmentId) -> Result<bool> {
        let engine = self.engine()?;
        let _control = engine.control();
        if self.segment(application, id)?.is_none() {
            return Ok(false);
        }
        if let Some(job) = segments::writing_job(&engine, id)? {
            return Err(StoreError::Conflict(format!("job {job} still writes to the segment")));
        }
        let mut batch = WriteBatch::default();
        segments::delete(&engine, &mut batch, application, id)?;
        engine.write(batch)?;
        Ok(true)
    }

    fn members(
        &self,
        segment: &Segment,
        version: &SegmentVersion,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Endpoint>> {
        let engine = self.engine()?;
        if version.criteria.is_some() {
            return read_out::members(
                &engine,
                Scope::Version(segment, version),
                after.map(str::as_bytes),
                limit,
            );
        }
        read::members(&engine, segment, version, after.map(str::as_bytes), limit)
    }

    fn read_out(
        &self,
        scope: Scope<'_>,
        after: Option<&str>,
        batch: usize,
        each: &mut dyn FnMut(Stored<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let engine = self.engine()?;
        let after = after.map(str::as_bytes);
        read_out::read_out(&engine, scope, after, (batch, true), &|| true, each)
    }

    fn count_members(
        &self,
        segment: &Segment,
        version: &SegmentVersion,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<MemberCount>> {
        let engine = self.engine()?;
        let mut count = MemberCount { size: 0, channels: Default::default(), at: Timestamp::now() };
        let scope = Scope::Version(segment, version);
        read_out::read_out(&engine, scope, None, (COUNTED_AT_ONCE, false), go_on, &mut |stored| {
            stored.count_into(&mut count)?;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(go_on().then_some(count))
    }

    fn check(&self) -> Result<()> {
        let engine = self.engine()?;
        engine.check()
    }

    fn marks_jobs(&self) -> bool {
        true
    }

    fn left_out(&self) -> u64 {
        let engine = self.engine.read();
        let now = engine.as_ref().map_or(0, |engine| engine.folding.left_out.members());
        self.left_out.load(Ordering::Relaxed) + now
    }

    fn checkpoint(&self, folder: &Path) -> Result<()> {
        let engine = self.engine()?;
        engine.checkpoint(folder)
    }

    fn figures(&self) -> Option<Figures> {
        // Watching opens nothing again.
        let engine = self.engine.read().clone()?;
        engine.figures().ok()
    }

    fn leave(&self) {
        // Others may use it while this waits.
        let engine = self.engine.read().clone();
        let _ = engine.map(|engine| engine.rest());
    }

    fn settle(&self) -> Result<()> {
        let engine = self.engine()?;
        folds::fold_all(&engine)?;
        compaction::settle(&engine)?;
        engine.keep_left_out()
    }
}
