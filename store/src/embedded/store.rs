//! What a store can be asked: each call takes the locks it needs and goes to the room that answers it.

use std::{
    collections::BTreeSet,
    ops::ControlFlow,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use pinport_model::{
    Application, ApplicationId, Criteria, Endpoint, ImportJob, JobId, PieceRecord, Segment, SegmentId,
    SegmentVersion, Settings, Timestamp, limits::RecordLimits, segment::MemberCount,
};

use super::{
    Embedded, applications, compaction, endpoints, folds, jobs,
    keys::{self, Table, key},
    layers, read,
    read_out::{self, Wish},
    segments, writer,
};
use crate::{
    AttributeKind, COUNTED_AT_ONCE, EndpointUpdate, Figures, JobWriter, RangeTaker, Result, Scope, Store,
    Stored, lifecycle, piece_rows::Target,
};

impl Store for Embedded {
    fn create_application(&self, application: &Application) -> Result<()> {
        let engine = self.engine()?;
        let _control = engine.control();
        applications::create(&engine, application)
    }

    fn create_named_application(&self, application: &Application) -> Result<()> {
        let engine = self.engine()?;
        let _control = engine.control();
        applications::create_named(&engine, application)
    }

    fn application(&self, id: ApplicationId) -> Result<Option<Application>> {
        let engine = self.engine()?;
        applications::find(&engine, id)
    }

    fn applications_by_name(&self, name: &str) -> Result<Vec<Application>> {
        let engine = self.engine()?;
        applications::named(&engine, name)
    }

    fn applications(&self, after: Option<ApplicationId>, limit: usize) -> Result<Vec<Application>> {
        let engine = self.engine()?;
        applications::list(&engine, after, limit)
    }

    fn save_application(&self, application: &Application) -> Result<()> {
        let engine = self.engine()?;
        let _control = engine.control();
        applications::save(&engine, application)
    }

    fn settings(&self, application: ApplicationId) -> Result<Option<Settings>> {
        let engine = self.engine()?;
        applications::settings(&engine, application)
    }

    fn save_settings(&self, application: ApplicationId, settings: &Settings) -> Result<()> {
        let engine = self.engine()?;
        let _control = engine.control();
        applications::save_settings(&engine, application, settings)
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
        applications::delete(&engine, id)
    }

    fn create_job(&self, job: &ImportJob) -> Result<()> {
        let engine = self.engine()?;
        let _control = engine.control();
        jobs::create(&engine, job)
    }

    fn save_job(&self, job: &ImportJob) -> Result<()> {
        let engine = self.engine()?;
        let _control = engine.control();
        jobs::save(&engine, job)
    }

    fn finish_job(&self, job: &ImportJob, replace: bool) -> Result<()> {
        let engine = self.engine()?;
        let mut control = engine.control();
        jobs::finish(&engine, &mut control, job, replace)
    }

    fn job(&self, id: JobId) -> Result<Option<ImportJob>> {
        let engine = self.engine()?;
        jobs::find(&engine, id)
    }

    fn jobs(
        &self,
        application: Option<ApplicationId>,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<ImportJob>> {
        let engine = self.engine()?;
        jobs::list(&engine, application, before, limit)
    }

    fn delete_job(&self, id: JobId) -> Result<bool> {
        let engine = self.engine()?;
        let _control = engine.control();
        jobs::delete(&engine, id)
    }

    fn unfinished_jobs(&self) -> Result<Vec<ImportJob>> {
        let engine = self.engine()?;
        jobs::unfinished(&engine)
    }

    fn last_piece(&self, job: JobId) -> Result<Option<PieceRecord>> {
        let engine = self.engine()?;
        jobs::last_piece(&engine, job)
    }

    fn pieces(&self, job: JobId, from: u64, limit: usize) -> Result<Vec<PieceRecord>> {
        let engine = self.engine()?;
        jobs::pieces(&engine, job, from, limit)
    }

    fn writer(&self, job: &ImportJob) -> Result<Arc<dyn JobWriter>> {
        let engine = self.engine()?;
        lifecycle::check_open(jobs::find(&engine, job.id)?.as_ref(), job)?;
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
        applications::needed(&engine, application)?;
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
        layers::jobs(&engine, segment, version, limit)
    }

    fn create_segment(&self, segment: &Segment) -> Result<()> {
        let engine = self.engine()?;
        let _control = engine.control();
        applications::needed(&engine, segment.application)?;
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
        segments::save(&engine, segment)
    }

    fn delete_segment(&self, application: ApplicationId, id: SegmentId) -> Result<bool> {
        let engine = self.engine()?;
        let _control = engine.control();
        segments::delete_one(&engine, application, id)
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
        read_out::read_out(&engine, Wish::all(scope, after.map(str::as_bytes), batch), each)
    }

    fn read_ranges(
        &self,
        scope: Scope<'_>,
        after: Option<&str>,
        batch: usize,
        takers: &mut [&mut (dyn RangeTaker + Send)],
    ) -> Result<()> {
        let engine = self.engine()?;
        read_out::read_ranges(&engine, Wish::all(scope, after.map(str::as_bytes), batch), takers)
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
        let wish = Wish { scope, after: None, batch: COUNTED_AT_ONCE, with_users: false, go_on };
        read_out::read_out(&engine, wish, &mut |stored| {
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
