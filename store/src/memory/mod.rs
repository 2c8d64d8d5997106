//! The engine that is simple before all else: maps under a mutex, nothing durable, no index.
//!
//! It is the oracle that other engines are compared with, so it shares neither their merging nor their
//! indexes: records are maps here, and what has no index is found by looking at everything.

mod criteria;
mod endpoints;
mod member_map;
mod removal;
mod segments;
mod store;
mod writer;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::Mutex;
use pinport_model::{
    Application, ApplicationId, ImportJob, JobId, PieceRecord, SegmentId, SegmentVersion, Settings,
    segment::SegmentLayer,
};

use self::member_map::MemberMap;
use crate::{
    Result, StoreError,
    lifecycle::{SegmentState, not_found},
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

    /// Deletes an application and all that is in it.
    fn delete_application(&mut self, id: ApplicationId) -> Result<()> {
        self.settings.remove(&id);
        self.application(id)?;
        let mut jobs = self.jobs.values().filter(|job| job.definition.application == id);
        if let Some(job) = jobs.find(|job| !job.status.is_terminal()) {
            return Err(StoreError::Conflict(format!("job {} of the application has not ended", job.id)));
        }
        let jobs: BTreeSet<_> =
            self.jobs.values().filter(|job| job.definition.application == id).map(|job| job.id).collect();
        let segments: BTreeSet<_> =
            self.segments.keys().filter(|(app, _)| *app == id).map(|(_, segment)| *segment).collect();
        self.applications.remove(&id);
        self.jobs.retain(|job, _| !jobs.contains(job));
        self.pieces.retain(|(job, _), _| !jobs.contains(job));
        self.segments.retain(|(app, _), _| *app != id);
        segments.into_iter().for_each(|segment| self.delete_segment(segment));
        self.endpoints.retain(|(app, _), _| *app != id);
        self.addresses.retain(|(app, ..)| *app != id);
        self.users.retain(|(app, _), _| *app != id);
        Ok(())
    }
}
