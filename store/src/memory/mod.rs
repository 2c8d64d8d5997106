//! The engine that is simple before all else: maps under a mutex, nothing durable, no index.
//!
//! It is the oracle that other engines are compared with, so it shares neither their merging nor their
//! indexes: records are maps here, and what has no index is found by looking at everything.

mod criteria;
mod member_map;
mod removal;
mod writer;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Bound, ControlFlow},
    sync::Arc,
};

use parking_lot::Mutex;
use pinport_model::{
    Application, ApplicationId, Criteria, Endpoint, ImportJob, JobId, PieceRecord, Segment, SegmentId,
    SegmentVersion, Settings, Timestamp,
    failure::FailureReason,
    limits::RecordLimits,
    segment::{MemberCount, SegmentLayer},
};

use self::member_map::{MemberMap, bounds};
use crate::{
    AttributeKind, EndpointUpdate, JobWriter, Result, Scope, Store, StoreError, Stored,
    lifecycle::{self, SegmentState, no_version, not_found},
    record::{self, Tag, read::decode},
};

/// A store that lives as long as the process.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    applications: BTreeMap<ApplicationId, Application>,
    settings: BTreeMap<ApplicationId, Settings>,
    segments: BTreeMap<(ApplicationId, SegmentId), SegmentState>,
    open_layers: BTreeMap<(SegmentId, JobId), SegmentLayer>,
    /// Closed layers, by the order in which they were closed.
    closed_layers: BTreeMap<(SegmentId, u32), SegmentLayer>,
    versions: BTreeMap<(SegmentId, u32), SegmentVersion>,
    jobs: BTreeMap<JobId, ImportJob>,
    pieces: BTreeMap<(JobId, u64), PieceRecord>,
    endpoints: BTreeMap<(ApplicationId, Vec<u8>), MemberMap>,
    users: BTreeMap<(ApplicationId, Vec<u8>), MemberMap>,
    layers: BTreeMap<(SegmentId, u32), BTreeMap<Vec<u8>, MemberMap>>,
    /// The addresses of endpoints that came one by one, with their ids.
    addresses: BTreeSet<(ApplicationId, Vec<u8>, Vec<u8>)>,
}

impl State {
    fn application(&self, id: ApplicationId) -> Result<()> {
        if self.applications.contains_key(&id) { Ok(()) } else { Err(not_found("application", id)) }
    }

    fn registered(&self, application: ApplicationId, id: &[u8]) -> Option<&MemberMap> {
        self.endpoints.get(&(application, id.to_vec())).filter(|record| record.is_endpoint())
    }

    fn endpoint(&self, application: ApplicationId, id: &[u8]) -> Result<Option<Endpoint>> {
        let Some(record) = self.registered(application, id) else { return Ok(None) };
        let user = self.user_record(application, record);
        Ok(decode(application, id, &record.bytes(), &user.bytes())?)
    }

    fn user_record(&self, application: ApplicationId, record: &MemberMap) -> MemberMap {
        let user = record.user().and_then(|user| self.users.get(&(application, user.clone())));
        user.cloned().unwrap_or_default()
    }

    /// The ids of a user's endpoints, in order.
    fn endpoints_of(&self, application: ApplicationId, user: &[u8]) -> Vec<Vec<u8>> {
        let own = self.endpoints.iter().filter(|((app, _), record)| {
            *app == application && record.is_endpoint() && record.user().is_some_and(|own| own == user)
        });
        own.map(|((_, id), _)| id.clone()).collect()
    }

    /// A copy with what its registered endpoint adds, if the copy is not whole by itself.
    fn whole_copy(&self, application: ApplicationId, id: &[u8], copy: &MemberMap) -> MemberMap {
        if copy.is_endpoint() {
            return copy.clone();
        }
        let mut whole = self.registered(application, id).cloned().unwrap_or_default();
        let user = self.user_record(application, &whole);
        whole.apply(&user);
        whole.apply(copy);
        whole
    }

    /// Merges an update into a registered endpoint; its user attributes go to the endpoint's user.
    fn put(&mut self, application: ApplicationId, id: &[u8], record: &MemberMap, user_record: &MemberMap) {
        let whole = self.endpoints.entry((application, id.to_vec())).or_default();
        whole.apply(record);
        if user_record.0.is_empty() {
            return;
        }
        match whole.user().cloned() {
            Some(user) => self.users.entry((application, user)).or_default().apply(user_record),
            None => whole.apply(user_record),
        }
    }

    /// Why an endpoint or its user has no room for a record, if it has none.
    fn too_large(
        &self,
        application: ApplicationId,
        id: &[u8],
        record: &MemberMap,
        user_record: &MemberMap,
    ) -> Result<Option<FailureReason>> {
        let endpoint = self.endpoints.get(&(application, id.to_vec())).cloned().unwrap_or_default();
        let mut whole = endpoint.clone();
        whole.apply(record);
        match whole.user() {
            None => whole.apply(user_record),
            Some(user) => {
                if let Some(reason) = self.user_too_large(application, user, user_record)? {
                    return Ok(Some(reason));
                }
            }
        }
        lifecycle::too_large(&endpoint.bytes(), &whole.bytes(), &bounds())
    }

    fn user_too_large(
        &self,
        application: ApplicationId,
        user: &[u8],
        user_record: &MemberMap,
    ) -> Result<Option<FailureReason>> {
        let user = self.users.get(&(application, user.to_vec())).cloned().unwrap_or_default();
        let mut whole = user.clone();
        whole.apply(user_record);
        lifecycle::too_large(&user.bytes(), &whole.bytes(), &bounds())
    }

    /// The records whose size an update changes: the user's that the endpoint has with it, and the endpoint's.
    fn sizes(&self, application: ApplicationId, id: &[u8], update: &MemberMap) -> [Vec<u8>; 2] {
        let endpoint = self.endpoints.get(&(application, id.to_vec()));
        let named = update.user().or_else(|| endpoint.and_then(MemberMap::user));
        let user = named.and_then(|user| self.users.get(&(application, user.clone())));
        [user, endpoint].map(|record| record.map(MemberMap::bytes).unwrap_or_default())
    }

    /// What an update that comes by itself does to others with its address: they become inactive.
    fn note_address(&mut self, application: ApplicationId, id: &[u8], record: &MemberMap) -> Result<()> {
        let stored = self.endpoints.get(&(application, id.to_vec()));
        let stored = stored.and_then(|stored| stored.get(Tag::Address)).cloned();
        let given = record.get(Tag::Address).cloned();
        if let Some(address) = &given {
            let others: Vec<_> =
                self.addresses.iter().filter(|other| other.0 == application).cloned().collect();
            for other in others.into_iter().filter(|other| other.1 == *address && other.2 != id) {
                self.addresses.remove(&other);
                if let Some(endpoint) = self.endpoints.get_mut(&(application, other.2))
                    && endpoint.get(Tag::Address) == Some(address)
                {
                    endpoint.apply(&MemberMap::of(record::INACTIVE)?);
                }
            }
        }
        if let Some(address) = given.or(stored) {
            self.addresses.insert((application, address, id.to_vec()));
        }
        Ok(())
    }

    fn segment_mut(&mut self, application: ApplicationId, id: SegmentId) -> Result<&mut SegmentState> {
        self.segments.get_mut(&(application, id)).ok_or_else(|| not_found("segment", id))
    }

    /// The layers of a version, oldest first.
    fn layers_of(&self, segment: SegmentId, version: &SegmentVersion) -> Vec<SegmentLayer> {
        let range = (segment, version.first_layer)..=(segment, version.last_layer);
        self.closed_layers.range(range).map(|(_, layer)| *layer).collect()
    }

    /// The members of a version in order of id, each with its copy if the last layer that has it holds one.
    fn members_of(
        &self,
        segment: &Segment,
        version: &SegmentVersion,
    ) -> Result<BTreeMap<&Vec<u8>, Option<&MemberMap>>> {
        let mut last_layer = BTreeMap::new();
        let is_kept = self.versions.contains_key(&(segment.id, version.version));
        if !is_kept && self.segments.contains_key(&(segment.application, segment.id)) {
            return Err(no_version(segment, version.version));
        }
        for layer in self.layers_of(segment.id, version) {
            let members = self.layers.get(&(segment.id, layer.number));
            for (id, copy) in members.into_iter().flatten() {
                last_layer.insert(id, layer.copies.then_some(copy));
            }
        }
        Ok(last_layer)
    }

    /// Id, record and user's record of the next endpoints after an id: of at least one, until they have so many bytes.
    fn batch_after(&self, scope: Scope<'_>, after: Option<&[u8]>, bytes: usize) -> Result<Vec<[Vec<u8>; 3]>> {
        if let Scope::Version(segment, SegmentVersion { criteria: Some(criteria), .. }) = scope {
            return self.found_after(segment, criteria, after, bytes);
        }
        let (application, members) = match scope {
            Scope::Application(application) => {
                let own = self.endpoints.keys().filter(|(of, _)| *of == application);
                (application, own.map(|(_, id)| (id, None)).collect())
            }
            Scope::Version(segment, version) => (segment.application, self.members_of(segment, version)?),
        };
        let (mut found, mut size) = (Vec::new(), 0);
        for (id, copy) in members {
            if after.is_some_and(|after| id.as_slice() <= after) {
                continue;
            }
            let (record, user) = match copy {
                Some(copy) => (self.whole_copy(application, id, copy), MemberMap::default()),
                None => match self.registered(application, id) {
                    Some(record) => (record.clone(), self.user_record(application, record)),
                    None => continue,
                },
            };
            if record.is_endpoint() {
                let row = [id.clone(), record.bytes(), user.bytes()];
                size += row.iter().map(Vec::len).sum::<usize>();
                found.push(row);
                if size >= bytes {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// How many members of a layer are not members of a version.
    fn count_new(&self, segment: SegmentId, layer: SegmentLayer, base: Option<&SegmentVersion>) -> u64 {
        let ids = |layer: SegmentLayer| self.layers.get(&(segment, layer.number)).into_iter().flatten();
        let base = base.map_or_else(Vec::new, |base| self.layers_of(segment, base));
        let known: BTreeSet<_> = base.into_iter().flat_map(ids).map(|(id, _)| id).collect();
        ids(layer).filter(|(id, _)| !known.contains(id)).count() as u64
    }

    fn delete_segment(&mut self, id: SegmentId) {
        self.layers.retain(|(segment, _), _| *segment != id);
        self.closed_layers.retain(|(segment, _), _| *segment != id);
        self.versions.retain(|(segment, _), _| *segment != id);
    }
}

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
        let mut state = self.state.lock();
        state.settings.remove(&id);
        state.application(id)?;
        let mut jobs = state.jobs.values().filter(|job| job.definition.application == id);
        if let Some(job) = jobs.find(|job| !job.status.is_terminal()) {
            return Err(StoreError::Conflict(format!("job {} of the application has not ended", job.id)));
        }
        let jobs: BTreeSet<_> =
            state.jobs.values().filter(|job| job.definition.application == id).map(|job| job.id).collect();
        let segments: BTreeSet<_> =
            state.segments.keys().filter(|(app, _)| *app == id).map(|(_, segment)| *segment).collect();
        state.applications.remove(&id);
        state.jobs.retain(|job, _| !jobs.contains(job));
        state.pieces.retain(|(job, _), _| !jobs.contains(job));
        state.segments.retain(|(app, _), _| *app != id);
        segments.into_iter().for_each(|segment| state.delete_segment(segment));
        state.endpoints.retain(|(app, _), _| *app != id);
        state.addresses.retain(|(app, ..)| *app != id);
        state.users.retain(|(app, _), _| *app != id);
        Ok(())
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
            let mut segment = state.segment_mut(job.definition.application, id)?.clone();
            let layer = state.open_layers.get(&(id, job.id)).copied();
            let layer = layer.ok_or_else(|| lifecycle::no_layer(job))?;
            let has_members =
                state.layers.get(&(id, layer.number)).is_some_and(|members| !members.is_empty());
            let count_new = |base: Option<&SegmentVersion>| Ok(state.count_new(id, layer, base));
            let made = lifecycle::close_layer(&mut segment, job, replace, has_members, count_new)?;
            state.open_layers.remove(&(id, job.id));
            if let Some(made) = made {
                state.closed_layers.insert((id, made.last_layer), layer);
                if let Some(forgotten) = lifecycle::forgotten(made.version) {
                    state.versions.remove(&(id, forgotten));
                }
                state.versions.insert((id, made.version), made);
            }
            *state.segment_mut(job.definition.application, id)? = segment;
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
        // All or none: what it comes to is made beside what there is.
        let mut trial = State { addresses: state.addresses.clone(), ..state.clone_data() };
        for update in updates {
            let id = update.id.as_bytes();
            let mut record = MemberMap::of(&update.record)?;
            if !record.is_endpoint() && trial.registered(application, id).is_none() {
                record = MemberMap::incomplete(&record)?;
            }
            trial.note_address(application, id, &record)?;
            let before = trial.sizes(application, id, &record);
            trial.put(application, id, &record, &MemberMap::of(&update.user_record)?);
            let after = trial.sizes(application, id, &record);
            for (before, after) in before.iter().zip(&after) {
                lifecycle::check_size(update, before, after, limits)?;
            }
        }
        let State { endpoints, users, addresses, .. } = trial;
        (state.endpoints, state.users, state.addresses) = (endpoints, users, addresses);
        Ok(())
    }

    fn delete_endpoint(&self, application: ApplicationId, id: &str) -> Result<bool> {
        let mut state = self.state.lock();
        let Some(record) = state.endpoints.remove(&(application, id.as_bytes().to_vec())) else {
            return Ok(false);
        };
        if let Some(address) = record.get(Tag::Address) {
            state.addresses.remove(&(application, address.clone(), id.as_bytes().to_vec()));
        }
        if let Some(user) = record.user()
            && state.endpoints_of(application, user).is_empty()
        {
            state.users.remove(&(application, user.clone()));
        }
        Ok(record.is_endpoint())
    }

    fn delete_user_endpoints(&self, application: ApplicationId, user: &str) -> Result<u64> {
        let ids = self.state.lock().endpoints_of(application, user.as_bytes());
        for id in &ids {
            self.delete_endpoint(application, &String::from_utf8_lossy(id))?;
        }
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
        let mut state = self.state.lock();
        let mut changed = state.segment_mut(application, id)?.clone();
        if criteria.is_some() || changed.segment.criteria().is_some() {
            state.check_references(application, Some(id), criteria)?;
            let made = lifecycle::next_version(&mut changed, criteria, Timestamp::now())?;
            if let Some(forgotten) = lifecycle::forgotten(made.version) {
                state.versions.remove(&(id, forgotten));
            }
            state.versions.insert((id, made.version), made);
        }
        if let Some(name) = name {
            changed.segment.name = name.to_owned();
        }
        let segment = changed.segment.clone();
        *state.segment_mut(application, id)? = changed;
        Ok(segment)
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
        let state = self.state.lock();
        if let Some(criteria) = &version.criteria {
            let found = state.found_by(segment, criteria)?.into_iter();
            let behind = found.filter(|(id, _)| after.is_none_or(|after| id.as_slice() > after.as_bytes()));
            let decoded = behind
                .take(limit)
                .map(|(id, [record, user])| decode(segment.application, &id, &record.bytes(), &user.bytes()));
            return Ok(decoded.filter_map(Result::transpose).collect::<Result<_, _>>()?);
        }
        let last_layer = state.members_of(segment, version)?;
        let mut members = Vec::new();
        for (id, copy) in last_layer {
            if members.len() == limit {
                break;
            }
            if after.is_some_and(|after| id.as_slice() <= after.as_bytes()) {
                continue;
            }
            let application = segment.application;
            members.extend(match copy {
                None => state.endpoint(application, id)?,
                Some(copy) => decode(application, id, &state.whole_copy(application, id, copy).bytes(), &[])?,
            });
        }
        Ok(members)
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
