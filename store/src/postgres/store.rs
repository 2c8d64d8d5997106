//! What a store can be asked: each call takes its connection and goes to the file that answers it.

use std::{
    collections::BTreeSet,
    ops::ControlFlow,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use pinport_model::{
    Application, ApplicationId, Criteria, Endpoint, ImportJob, JobId, PieceRecord, Segment, SegmentId,
    SegmentVersion, Settings, Timestamp, limits::RecordLimits, progress::Progress, segment::MemberCount,
    view::ServerView,
};

use super::{
    Postgres, applications, endpoints, folds, jobs, layers, leases::WHOLE, parts::part_of, read, removal,
    requests, segments, servers, writer,
};
use crate::{
    AttributeKind, COUNTED_AT_ONCE, EachKept, EndpointUpdate, JobWriter, OpenJob, Parts, Result, Scope,
    StopRequest, Store, Stored, record::read::decode,
};

/// Registered records of a job from which on the planner's figures are made anew.
const ANALYZED_FROM: u64 = 1000;

impl Store for Postgres {
    fn create_application(&self, application: &Application) -> Result<()> {
        self.pool().write(|connection| applications::create(connection, application, false))
    }

    fn create_named_application(&self, application: &Application) -> Result<()> {
        self.pool().write(|connection| applications::create(connection, application, true))
    }

    fn application(&self, id: ApplicationId) -> Result<Option<Application>> {
        self.pool().read(|connection| applications::find(connection, id))
    }

    fn applications_by_name(&self, name: &str) -> Result<Vec<Application>> {
        self.pool().read(|connection| applications::named(connection, name))
    }

    fn applications(&self, after: Option<ApplicationId>, limit: usize) -> Result<Vec<Application>> {
        self.pool().read(|connection| applications::list(connection, after, limit))
    }

    fn save_application(&self, application: &Application) -> Result<()> {
        self.pool().write(|connection| applications::save(connection, application))
    }

    fn settings(&self, application: ApplicationId) -> Result<Option<Settings>> {
        self.pool().read(|connection| applications::settings(connection, application))
    }

    fn save_settings(&self, application: ApplicationId, settings: &Settings) -> Result<()> {
        self.pool().write(|connection| applications::save_settings(connection, application, settings))
    }

    fn remove_attributes(
        &self,
        application: ApplicationId,
        kind: AttributeKind,
        is_named: &dyn Fn(&str) -> bool,
    ) -> Result<BTreeSet<String>> {
        removal::remove(&self.engine, application, kind, is_named)
    }

    fn delete_application(&self, id: ApplicationId) -> Result<()> {
        self.pool().write(|connection| applications::delete(connection, id))?;
        self.engine.spaces.lock().remove(&id);
        Ok(())
    }

    fn create_job(&self, job: &ImportJob) -> Result<()> {
        self.pool().write(|connection| jobs::create(connection, job, &self.pool().options.place))
    }

    fn create_requested_job(&self, job: &ImportJob, window: Duration) -> Result<Option<JobId>> {
        let Some(request) = &job.request else { return self.create_job(job).map(|()| None) };
        self.pool().write(|connection| {
            let made = requests::note(connection, request, job.id, window)?;
            if made.is_none() {
                jobs::create(connection, job, &self.pool().options.place)?;
            }
            Ok(made)
        })
    }

    fn requested_job(&self, request: &str, window: Duration) -> Result<Option<JobId>> {
        self.pool().read(|connection| requests::find(connection, request, window))
    }

    fn save_job(&self, job: &ImportJob) -> Result<()> {
        self.pool().write(|connection| {
            self.engine.leases.check(connection, job.id)?;
            jobs::save(connection, job)
        })
    }

    fn finish_job(&self, job: &ImportJob, replace: bool) -> Result<()> {
        self.pool().write(|connection| {
            self.engine.leases.check(connection, job.id)?;
            self.engine.leases.check_pieces(connection, (job.id, WHOLE))?;
            jobs::finish(connection, job, replace)
        })?;
        self.engine.leases.forget((job.id, WHOLE));
        if job.tally.registered >= ANALYZED_FROM {
            // Only plans depend on it, and the database does it by itself some time later.
            let _ = self.pool().read(|connection| connection.batch("ANALYZE ops, uops, members"));
        }
        Ok(())
    }

    fn claim(&self, id: JobId) -> Result<Option<ImportJob>> {
        Ok(Some(self.engine.leases.claim(id)?.0))
    }

    fn release(&self, id: JobId) {
        self.engine.leases.release((id, WHOLE), false);
    }

    fn open_jobs(&self) -> Result<Vec<OpenJob>> {
        let own = (self.engine.leases.owner(), &*self.pool().options.place);
        let newest = self.engine.newest.load(Ordering::Relaxed);
        let (jobs, newest) = self.pool().read(|connection| jobs::open(connection, own, newest))?;
        self.engine.newest.fetch_max(newest, Ordering::Relaxed);
        Ok(jobs)
    }

    fn deleted_jobs(&self, jobs: &[JobId]) -> Result<Vec<JobId>> {
        self.pool().read(|connection| jobs::deleted(connection, jobs))
    }

    fn report(&self, job: JobId, progress: &Progress) {
        self.engine.leases.report((job, WHOLE), progress);
    }

    fn meet(&self, version: &str, running: u64) -> Result<Vec<ServerView>> {
        let (owner, lease) = (self.engine.leases.owner(), self.pool().options.lease);
        self.pool().write(|connection| servers::meet(connection, owner, lease, (version, running)))
    }

    fn leave(&self) {
        let owner = self.engine.leases.owner();
        // If it cannot be said, the others notice that this one is not heard of.
        let _ = self.pool().write_once(|connection| servers::leave(connection, owner));
    }

    fn name(&self) -> Option<&str> {
        Some(servers::shown(self.engine.leases.owner()))
    }

    fn ask(&self, job: JobId, asked: Option<StopRequest>) -> Result<bool> {
        self.pool().write(|connection| jobs::ask(connection, job, asked))
    }

    fn keep_file(&self, job: JobId, part: u32, name: &str, at: u64, bytes: &[u8]) -> Result<()> {
        let part = part_of(job, part);
        self.pool().write(|connection| {
            self.engine.leases.check_held(connection, part)?;
            jobs::keep_file(connection, part, name, at, bytes)
        })
    }

    fn kept_files(&self, job: JobId, part: u32, each: &mut EachKept<'_>) -> Result<()> {
        let part = part_of(job, part);
        let (mut name, mut at) = (String::new(), -1);
        while let Some((next, from, bytes)) =
            self.pool().read(|connection| jobs::next_file(connection, part, (&name, at)))?
        {
            each(&next, from.cast_unsigned(), &bytes)?;
            (name, at) = (next, from);
        }
        Ok(())
    }

    fn totals(&self, job: JobId) -> Result<Option<PieceRecord>> {
        self.totals_of_parts(job)
    }

    fn parts(&self) -> Option<&dyn Parts> {
        Some(self)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn wants_settling(&self) -> bool {
        self.pool().read(folds::is_due).unwrap_or(false)
    }

    fn job(&self, id: JobId) -> Result<Option<ImportJob>> {
        self.pool().read(|connection| jobs::find(connection, id))
    }

    fn jobs(
        &self,
        application: Option<ApplicationId>,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<ImportJob>> {
        self.pool().read(|connection| jobs::list(connection, application, before, limit))
    }

    fn delete_job(&self, id: JobId) -> Result<bool> {
        self.pool().write(|connection| jobs::delete(connection, id))
    }

    fn unfinished_jobs(&self) -> Result<Vec<ImportJob>> {
        self.pool().read(jobs::unfinished)
    }

    fn last_piece(&self, job: JobId) -> Result<Option<PieceRecord>> {
        self.pool().read(|connection| jobs::last_of_part(connection, (job, WHOLE)))
    }

    fn pieces(&self, job: JobId, from: u64, limit: usize) -> Result<Vec<PieceRecord>> {
        self.pool().read(|connection| jobs::pieces(connection, job, from, limit))
    }

    fn writer(&self, job: &ImportJob) -> Result<Arc<dyn JobWriter>> {
        writer::writer(&self.engine, job)
    }

    fn endpoint(&self, application: ApplicationId, id: &str) -> Result<Option<Endpoint>> {
        let Some(space) = self.engine.space(application)? else { return Ok(None) };
        let ids = [id.as_bytes().to_vec()];
        let bounds = self.engine.bounds;
        let found =
            self.pool().read(|connection| read::decoded(connection, application, space, &ids, bounds))?;
        Ok(found.into_iter().next())
    }

    fn put_endpoints(
        &self,
        application: ApplicationId,
        updates: &[EndpointUpdate],
        limits: &RecordLimits,
    ) -> Result<()> {
        let bounds = self.engine.bounds;
        self.pool().write(|connection| endpoints::put(connection, application, updates, limits, bounds))
    }

    fn delete_endpoint(&self, application: ApplicationId, id: &str) -> Result<bool> {
        let bounds = self.engine.bounds;
        if self.engine.space(application)?.is_none() {
            return Ok(false);
        }
        self.pool().write(|connection| {
            let space = applications::locked(connection, application)?;
            endpoints::delete(connection, application, space, id.as_bytes(), bounds)
        })
    }

    fn delete_user_endpoints(&self, application: ApplicationId, user: &str) -> Result<u64> {
        let bounds = self.engine.bounds;
        let mut removed = 0;
        if self.engine.space(application)?.is_none() {
            return Ok(0);
        }
        loop {
            let (some, is_last) = self.pool().write(|connection| {
                let space = applications::locked(connection, application)?;
                endpoints::delete_some_of_user(connection, space, user.as_bytes(), bounds)
            })?;
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
        let Some(space) = self.engine.space(application)? else { return Ok(Vec::new()) };
        let from = (user.as_bytes(), after.map(str::as_bytes));
        let bounds = self.engine.bounds;
        self.pool()
            .read(|connection| read::user_endpoints(connection, application, space, from, limit, bounds))
    }

    fn segment(&self, application: ApplicationId, id: SegmentId) -> Result<Option<Segment>> {
        let found = self.pool().read(|connection| segments::state(connection, application, id, false))?;
        Ok(found.map(|state| state.segment))
    }

    fn segments(
        &self,
        application: ApplicationId,
        before: Option<SegmentId>,
        limit: usize,
    ) -> Result<Vec<Segment>> {
        self.pool().read(|connection| segments::list(connection, application, before, limit))
    }

    fn segment_version(&self, segment: &Segment, version: u32) -> Result<Option<SegmentVersion>> {
        self.pool().read(|connection| segments::version(connection, segment.id, version))
    }

    fn segment_versions(
        &self,
        segment: &Segment,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<SegmentVersion>> {
        self.pool().read(|connection| segments::versions(connection, segment.id, before, limit))
    }

    fn version_jobs(
        &self,
        segment: &Segment,
        version: &SegmentVersion,
        limit: usize,
    ) -> Result<Option<Vec<JobId>>> {
        self.pool().read(|connection| segments::jobs(connection, segment, version, limit))
    }

    fn create_segment(&self, segment: &Segment) -> Result<()> {
        self.pool().write(|connection| segments::create(connection, segment))
    }

    fn update_segment(
        &self,
        application: ApplicationId,
        id: SegmentId,
        name: Option<&str>,
        criteria: Option<&Criteria>,
    ) -> Result<Segment> {
        self.pool().write(|connection| segments::update(connection, application, id, name, criteria))
    }

    fn save_count(&self, segment: &Segment, version: u32, count: &MemberCount) -> Result<()> {
        self.pool().write(|connection| segments::save_count(connection, segment, version, count))
    }

    fn save_segment(&self, segment: &Segment) -> Result<()> {
        self.pool().write(|connection| segments::save(connection, segment))
    }

    fn delete_segment(&self, application: ApplicationId, id: SegmentId) -> Result<bool> {
        self.pool().write(|connection| segments::delete(connection, application, id))
    }

    fn members(
        &self,
        segment: &Segment,
        version: &SegmentVersion,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Endpoint>> {
        let (application, after) = (segment.application, after.map(str::as_bytes));
        let Some(space) = self.engine.space(application)? else { return Ok(Vec::new()) };
        if version.criteria.is_none() {
            let of = (segment, version);
            let bounds = self.engine.bounds;
            return self
                .pool()
                .snapshot(|connection| layers::members(connection, space, of, after, limit, bounds));
        }
        let mut found = Vec::new();
        if limit > 0 {
            let scope = Scope::Version(segment, version);
            self.stream(scope, after, (COUNTED_AT_ONCE, true), &|| true, &mut |stored| {
                found.extend(decode(application, stored.id, stored.record, stored.user_record)?);
                Ok(if found.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
        }
        Ok(found)
    }

    fn read_out(
        &self,
        scope: Scope<'_>,
        after: Option<&str>,
        batch: usize,
        each: &mut dyn FnMut(Stored<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.stream(scope, after.map(str::as_bytes), (batch, true), &|| true, each)
    }

    fn count_members(
        &self,
        segment: &Segment,
        version: &SegmentVersion,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<MemberCount>> {
        let mut count = MemberCount { size: 0, channels: Default::default(), at: Timestamp::now() };
        let scope = Scope::Version(segment, version);
        self.stream(scope, None, (COUNTED_AT_ONCE, false), go_on, &mut |stored| {
            stored.count_into(&mut count)?;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(go_on().then_some(count))
    }

    fn check(&self) -> Result<()> {
        self.pool().read(|connection| connection.batch("SELECT 1"))
    }

    fn left_out(&self) -> u64 {
        self.engine.left_out.load(Ordering::Relaxed)
    }

    fn settle(&self) -> Result<()> {
        self.settle_while(&mut |_| true)
    }

    fn settle_while(&self, go_on: &mut dyn FnMut(Duration) -> bool) -> Result<()> {
        let left_out = folds::all(self.pool(), self.engine.bounds, go_on)?;
        self.engine.count_left_out(left_out);
        Ok(())
    }
}
