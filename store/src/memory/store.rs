//! What a store can be asked: small answers are here, larger ones in the file of what they are about.

use std::{
    collections::BTreeSet,
    ops::{Bound, ControlFlow},
    sync::Arc,
};

use pinport_model::{
    Application, ApplicationId, Criteria, Endpoint, ImportJob, JobId, PieceRecord, Segment, SegmentId,
    SegmentVersion, Settings, limits::RecordLimits, segment::MemberCount,
};

use super::{Memory, writer};
use crate::{
    AttributeKind, EndpointUpdate, JobWriter, Result, Scope, Store, StoreError, Stored,
    lifecycle::{self, not_found},
};

impl Store for Memory {
    fn create_application(&self, application: &Application) -> Result<()> {
        let mut state = self.state.lock();
        if state.applications.contains_key(&application.id) {
            return Err(lifecycle::application_exists(application));
        }
        state.applications.insert(application.id, application.clone());
        Ok(())
    }

    fn create_named_application(&self, application: &Application) -> Result<()> {
        let mut state = self.state.lock();
        let is_same = |other: &Application| other.name == application.name || other.id == application.id;
        if state.applications.values().any(is_same) {
            return Err(lifecycle::application_exists(application));
        }
        state.applications.insert(application.id, application.clone());
        Ok(())
    }

    fn application(&self, id: ApplicationId) -> Result<Option<Application>> {
        Ok(self.state.lock().applications.get(&id).cloned())
    }

    fn applications_by_name(&self, name: &str) -> Result<Vec<Application>> {
        let state = self.state.lock();
        Ok(state.applications.values().filter(|application| application.name == name).cloned().collect())
    }

    fn applications(&self, after: Option<ApplicationId>, limit: usize) -> Result<Vec<Application>> {
        let range = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        Ok(self.state.lock().applications.range(range).take(limit).map(|(_, found)| found.clone()).collect())
    }

    fn save_application(&self, application: &Application) -> Result<()> {
        let mut state = self.state.lock();
        let stored = state.applications.get_mut(&application.id);
        stored.ok_or_else(|| not_found("application", application.id))?.tags = application.tags.clone();
        Ok(())
    }

    fn settings(&self, application: ApplicationId) -> Result<Option<Settings>> {
        Ok(self.state.lock().settings.get(&application).cloned())
    }

    fn save_settings(&self, application: ApplicationId, settings: &Settings) -> Result<()> {
        let mut state = self.state.lock();
        state.application(application)?;
        state.settings.insert(application, settings.clone());
        Ok(())
    }

    fn remove_attributes(
        &self,
        application: ApplicationId,
        kind: AttributeKind,
        is_named: &dyn Fn(&str) -> bool,
    ) -> Result<BTreeSet<String>> {
        Ok(self.state.lock().remove_attributes(application, kind, is_named))
    }

    fn delete_application(&self, id: ApplicationId) -> Result<()> {
        self.state.lock().delete_application(id)
    }

    fn create_job(&self, job: &ImportJob) -> Result<()> {
        let mut state = self.state.lock();
        let application = job.definition.application;
        state.application(application)?;
        if state.jobs.contains_key(&job.id) {
            return Err(StoreError::Conflict(format!("there is already a job {}", job.id)));
        }
        if let Some(id) = job.definition.segment {
            let found = state.segments.get(&(application, id)).cloned();
            let (segment, layer) = lifecycle::open_layer(found, id, job)?;
            state.segments.insert((application, id), segment);
            state.open_layers.insert((id, job.id), layer);
        }
        state.jobs.insert(job.id, job.clone());
        Ok(())
    }

    fn save_job(&self, job: &ImportJob) -> Result<()> {
        let mut state = self.state.lock();
        lifecycle::check_save(state.jobs.get(&job.id), job)?;
        state.jobs.insert(job.id, job.clone());
        Ok(())
    }

    fn finish_job(&self, job: &ImportJob, replace: bool) -> Result<()> {
        let mut state = self.state.lock();
        lifecycle::check_finish(state.jobs.get(&job.id), job)?;
        if let Some(id) = job.definition.segment {
            state.close_layer(job, id, replace)?;
        }
        state.jobs.insert(job.id, job.clone());
        Ok(())
    }

    fn delete_job(&self, id: JobId) -> Result<bool> {
        let mut state = self.state.lock();
        state.jobs.get(&id).map_or(Ok(()), lifecycle::check_deletable)?;
        state.pieces.retain(|(job, _), _| *job != id);
        Ok(state.jobs.remove(&id).is_some())
    }

    fn job(&self, id: JobId) -> Result<Option<ImportJob>> {
        Ok(self.state.lock().jobs.get(&id).cloned())
    }

    fn jobs(
        &self,
        application: Option<ApplicationId>,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<ImportJob>> {
        let state = self.state.lock();
        let range = (Bound::Unbounded, before.map_or(Bound::Unbounded, Bound::Excluded));
        let jobs = state.jobs.range(range).rev().map(|(_, job)| job);
        let own = jobs.filter(|job| application.is_none_or(|id| id == job.definition.application));
        Ok(own.take(limit).cloned().collect())
    }

    fn unfinished_jobs(&self) -> Result<Vec<ImportJob>> {
        Ok(self.state.lock().jobs.values().filter(|job| !job.status.is_terminal()).cloned().collect())
    }

    fn last_piece(&self, job: JobId) -> Result<Option<PieceRecord>> {
        let state = self.state.lock();
        Ok(state.pieces.range((job, 0)..=(job, u64::MAX)).next_back().map(|(_, piece)| piece.clone()))
    }

    fn pieces(&self, job: JobId, from: u64, limit: usize) -> Result<Vec<PieceRecord>> {
        let state = self.state.lock();
        Ok(state
            .pieces
            .range((job, from)..=(job, u64::MAX))
            .take(limit)
            .map(|(_, piece)| piece.clone())
            .collect())
    }

    fn writer(&self, job: &ImportJob) -> Result<Arc<dyn JobWriter>> {
        let state = self.state.lock();
        lifecycle::check_open(state.jobs.get(&job.id), job)?;
        let layer = match job.definition.segment {
            None => None,
            Some(id) => {
                let layer = state.open_layers.get(&(id, job.id)).copied();
                Some((id, layer.ok_or_else(|| lifecycle::no_layer(job))?))
            }
        };
        Ok(writer::writer(Arc::clone(&self.state), job, layer))
    }

    fn endpoint(&self, application: ApplicationId, id: &str) -> Result<Option<Endpoint>> {
        self.state.lock().endpoint(application, id.as_bytes())
    }

    fn put_endpoints(
        &self,
        application: ApplicationId,
        updates: &[EndpointUpdate],
        limits: &RecordLimits,
    ) -> Result<()> {
        let mut state = self.state.lock();
        state.application(application)?;
        state.put_endpoints(application, updates, limits)
    }

    fn delete_endpoint(&self, application: ApplicationId, id: &str) -> Result<bool> {
        Ok(self.state.lock().delete_endpoint(application, id.as_bytes()))
    }

    fn delete_user_endpoints(&self, application: ApplicationId, user: &str) -> Result<u64> {
        let ids = self.state.lock().endpoints_of(application, user.as_bytes());
        for id in &ids {
            self.delete_endpoint(application, &String::from_utf8_lossy(id))?;
        }
        // Also of one whose endpoints have gone to another user.
        self.state.lock().users.remove(&(application, user.as_bytes().to_vec()));
        Ok(ids.len() as u64)
    }

    fn user_endpoints(
        &self,
        application: ApplicationId,
        user: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Endpoint>> {
        let state = self.state.lock();
        let ids = state.endpoints_of(application, user.as_bytes());
        let behind = ids.iter().filter(|id| after.is_none_or(|after| id.as_slice() > after.as_bytes()));
        behind.take(limit).filter_map(|id| state.endpoint(application, id).transpose()).collect()
    }

    fn segment(&self, application: ApplicationId, id: SegmentId) -> Result<Option<Segment>> {
        Ok(self.state.lock().segments.get(&(application, id)).map(|state| state.segment.clone()))
    }

    fn segments(
        &self,
        application: ApplicationId,
        before: Option<SegmentId>,
        limit: usize,
    ) -> Result<Vec<Segment>> {
        let state = self.state.lock();
        let own = state.segments.iter().rev().filter(|((app, _), _)| *app == application);
        let older = own.filter(|((_, id), _)| before.is_none_or(|before| *id < before));
        Ok(older.take(limit).map(|(_, state)| state.segment.clone()).collect())
    }

    fn segment_version(&self, segment: &Segment, version: u32) -> Result<Option<SegmentVersion>> {
        Ok(self.state.lock().versions.get(&(segment.id, version)).cloned())
    }

    fn segment_versions(
        &self,
        segment: &Segment,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<SegmentVersion>> {
        let state = self.state.lock();
        let range = state.versions.range((segment.id, 0)..(segment.id, before.unwrap_or(u32::MAX)));
        Ok(range.rev().take(limit).map(|(_, version)| version.clone()).collect())
    }

    fn version_jobs(
        &self,
        segment: &Segment,
        version: &SegmentVersion,
        limit: usize,
    ) -> Result<Option<Vec<JobId>>> {
        if version.criteria.is_some() {
            return Ok(Some(Vec::new()));
        }
        let layers = self.state.lock().layers_of(segment.id, version);
        Ok((layers.len() <= limit).then(|| layers.into_iter().map(|layer| layer.job).collect()))
    }

    fn create_segment(&self, segment: &Segment) -> Result<()> {
        let mut state = self.state.lock();
        state.application(segment.application)?;
        if state.segments.contains_key(&(segment.application, segment.id)) {
            return Err(StoreError::Conflict(format!("there is already a segment {}", segment.id)));
        }
        let made = lifecycle::new_segment(segment)?;
        state.check_references(segment.application, None, segment.criteria())?;
        if let Some(version) = &made.segment.current {
            state.versions.insert((segment.id, version.version), version.clone());
        }
        state.segments.insert((segment.application, segment.id), made);
        Ok(())
    }

    fn update_segment(
        &self,
        application: ApplicationId,
        id: SegmentId,
        name: Option<&str>,
        criteria: Option<&Criteria>,
    ) -> Result<Segment> {
        self.state.lock().update_segment(application, id, name, criteria)
    }

    fn save_count(&self, segment: &Segment, version: u32, count: &MemberCount) -> Result<()> {
        let mut state = self.state.lock();
        let Some(counted) = state.versions.get_mut(&(segment.id, version)) else { return Ok(()) };
        counted.count(count);
        let counted = counted.clone();
        let stored = &mut state.segment_mut(segment.application, segment.id)?.segment;
        if stored.current.as_ref().is_some_and(|current| current.version == version) {
            stored.current = Some(counted);
        }
        Ok(())
    }

    fn save_segment(&self, segment: &Segment) -> Result<()> {
        let mut state = self.state.lock();
        let stored = &mut state.segment_mut(segment.application, segment.id)?.segment;
        stored.name = segment.name.clone();
        stored.tags = segment.tags.clone();
        Ok(())
    }

    fn delete_segment(&self, application: ApplicationId, id: SegmentId) -> Result<bool> {
        let mut state = self.state.lock();
        if !state.segments.contains_key(&(application, id)) {
            return Ok(false);
        }
        if let Some((_, job)) = state.open_layers.keys().find(|(segment, _)| *segment == id) {
            return Err(StoreError::Conflict(format!("job {job} still writes to the segment")));
        }
        state.segments.remove(&(application, id));
        state.delete_segment(id);
        Ok(true)
    }

    fn members(
        &self,
        segment: &Segment,
        version: &SegmentVersion,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Endpoint>> {
        self.state.lock().members(segment, version, after.map(str::as_bytes), limit)
    }

    fn read_out(
        &self,
        scope: Scope<'_>,
        after: Option<&str>,
        batch: usize,
        each: &mut dyn FnMut(Stored<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        // Copied in batches: `each` may ask the store. What changes meanwhile is seen in later ones.
        let mut after = after.map(|after| after.as_bytes().to_vec());
        loop {
            let found = self.state.lock().batch_after(scope, after.as_deref(), batch)?;
            for [id, record, user_record] in &found {
                if each(Stored { id, record, user_record })?.is_break() {
                    return Ok(());
                }
            }
            match found.into_iter().next_back() {
                Some([last, ..]) => after = Some(last),
                None => return Ok(()),
            }
        }
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }
}
