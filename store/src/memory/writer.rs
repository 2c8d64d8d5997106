//! Pieces in memory: records are applied one after the other, as the rules say them.

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::Mutex;
use pinport_model::{ApplicationId, ImportJob, JobId, PieceRecord, SegmentId, segment::SegmentLayer};

use super::{MemberMap, State};
use crate::{DraftBatch, DraftKind, JobWriter, PreparedPiece, Result, Unresolved, batch::Entry, lifecycle};

#[derive(Debug, Clone)]
struct Writer {
    state: Arc<Mutex<State>>,
    application: ApplicationId,
    job: JobId,
    layer: Option<(SegmentId, SegmentLayer)>,
}

pub(super) fn writer(
    state: Arc<Mutex<State>>,
    job: &ImportJob,
    layer: Option<(SegmentId, SegmentLayer)>,
) -> Arc<dyn JobWriter> {
    Arc::new(Writer { state, application: job.definition.application, job: job.id, layer })
}

impl JobWriter for Writer {
    fn prepare(&self, piece: u64, batches: Vec<DraftBatch>) -> Result<Box<dyn PreparedPiece>> {
        Ok(Box::new(Prepared { writer: self.clone(), piece, batches, failed: BTreeSet::new() }))
    }
}

struct Prepared {
    writer: Writer,
    piece: u64,
    batches: Vec<DraftBatch>,
    /// Places, over all batches, of the records that failed.
    failed: BTreeSet<usize>,
}

impl PreparedPiece for Prepared {
    fn resolve(&mut self) -> Result<Vec<Unresolved>> {
        // Play the piece on a copy, and note what fails: of everything, unless it only speaks of what it names.
        let is_blind =
            self.batches.iter().flat_map(|batch| batch.entries()).all(|entry| entry.kind == DraftKind::Blind);
        let mut trial = {
            let state = self.writer.state.lock();
            if is_blind { self.named(&state) } else { state.clone_data() }
        };
        let mut unresolved = Vec::new();
        let mut place = 0;
        for batch in &self.batches {
            for entry in batch.entries() {
                if let Some(reason) = self.writer.apply(&mut trial, batch, entry)? {
                    self.failed.insert(place);
                    unresolved.push(Unresolved {
                        origin: batch.origin_of(entry),
                        reason,
                        channel: entry.channel,
                        raw: batch.raw_of(entry),
                    });
                }
                place += 1;
            }
        }
        Ok(unresolved)
    }

    fn commit(self: Box<Self>, record: &PieceRecord) -> Result<()> {
        let mut state = self.writer.state.lock();
        let job = state.jobs.get(&self.writer.job).cloned();
        let job = job.ok_or_else(|| lifecycle::not_found("job", self.writer.job))?;
        lifecycle::check_open(Some(&job), &job)?;
        let pieces = state.pieces.range((job.id, 0)..=(job.id, u64::MAX));
        lifecycle::check_piece(pieces.last().map(|((_, piece), _)| *piece), self.piece)?;
        let entries = self.batches.iter().flat_map(|batch| batch.entries().iter().map(move |e| (batch, e)));
        for (place, (batch, entry)) in entries.enumerate() {
            if !self.failed.contains(&place) {
                self.writer.apply(&mut state, batch, entry)?;
            }
        }
        state.pieces.insert((job.id, self.piece), PieceRecord { piece: self.piece, ..record.clone() });
        Ok(())
    }
}

impl Prepared {
    /// The endpoints that the piece names, and their users.
    fn named(&self, state: &State) -> State {
        let application = self.writer.application;
        let mut named = State::default();
        for batch in &self.batches {
            for entry in batch.entries() {
                let key = (application, batch.bytes(entry.id).to_vec());
                let mut users = vec![batch.bytes(entry.user).to_vec()];
                if let Some(endpoint) = state.endpoints.get(&key) {
                    users.extend(endpoint.user().cloned());
                    named.endpoints.insert(key, endpoint.clone());
                }
                for user in users {
                    if let Some(record) = state.users.get(&(application, user.clone())) {
                        named.users.insert((application, user), record.clone());
                    }
                }
            }
        }
        named
    }
}

impl Writer {
    /// Applies one record, or says why it cannot be.
    fn apply(
        &self,
        state: &mut State,
        batch: &DraftBatch,
        entry: &Entry,
    ) -> Result<Option<pinport_model::failure::FailureReason>> {
        let application = self.application;
        let id = batch.bytes(entry.id);
        let mut record = MemberMap::of(batch.bytes(entry.record))?;
        let user_record = MemberMap::of(batch.bytes(entry.user_record))?;
        let copies = self.layer.filter(|(_, layer)| layer.copies);
        match entry.kind {
            DraftKind::UserOnly => {
                let user = batch.bytes(entry.user);
                let ids = self.endpoints_of(state, user);
                if ids.is_empty() {
                    return Ok(Some(lifecycle::unknown_user(user)));
                }
                if copies.is_none()
                    && let Some(reason) = state.user_too_large(application, user, &user_record)?
                {
                    return Ok(Some(reason));
                }
                for id in &ids {
                    self.add_member(state, id, &user_record, &MemberMap::default());
                }
                if copies.is_none() && !user_record.0.is_empty() {
                    state.users.entry((application, user.to_vec())).or_default().apply(&user_record);
                }
            }
            DraftKind::Update if !self.exists(state, id) => {
                return Ok(Some(lifecycle::unknown_endpoint(id)));
            }
            DraftKind::Blind | DraftKind::Update | DraftKind::Upsert => {
                if entry.kind == DraftKind::Upsert && !self.exists(state, id) {
                    record = MemberMap::incomplete(&record)?;
                }
                if copies.is_none()
                    && let Some(reason) = state.too_large(application, id, &record, &user_record)?
                {
                    return Ok(Some(reason));
                }
                self.add_member(state, id, &record, &user_record);
                if copies.is_none() {
                    state.put(application, id, &record, &user_record);
                }
            }
        }
        Ok(None)
    }

    fn add_member(&self, state: &mut State, id: &[u8], record: &MemberMap, user_record: &MemberMap) {
        let Some((segment, layer)) = self.layer else { return };
        let copy = state.layers.entry((segment, layer.number)).or_default().entry(id.to_vec()).or_default();
        if layer.copies {
            copy.apply(record);
            copy.apply(user_record);
        }
    }

    fn copy(&self, state: &State, id: &[u8]) -> Option<MemberMap> {
        let (segment, layer) = self.layer.filter(|(_, layer)| layer.copies)?;
        let copy = state.layers.get(&(segment, layer.number))?.get(id)?;
        Some(state.whole_copy(self.application, id, copy))
    }

    fn exists(&self, state: &State, id: &[u8]) -> bool {
        state.registered(self.application, id).is_some()
            || self.copy(state, id).is_some_and(|copy| copy.is_endpoint())
    }

    /// The ids of the endpoints that belong to `user` as this job sees them, in order.
    fn endpoints_of(&self, state: &State, user: &[u8]) -> Vec<Vec<u8>> {
        let registered = state.endpoints.keys().filter(|(app, _)| *app == self.application);
        let mut ids: BTreeSet<_> = registered.map(|(_, id)| id).collect();
        if let Some((segment, layer)) = self.layer {
            ids.extend(
                state.layers.get(&(segment, layer.number)).into_iter().flat_map(|copies| copies.keys()),
            );
        }
        let own = ids.into_iter().filter(|id| {
            let seen = self.copy(state, id);
            let seen = seen.as_ref().or_else(|| state.registered(self.application, id));
            seen.is_some_and(|seen| seen.is_endpoint() && seen.user().is_some_and(|own| own == user))
        });
        own.cloned().collect()
    }
}

impl State {
    pub(super) fn clone_data(&self) -> Self {
        Self {
            endpoints: self.endpoints.clone(),
            users: self.users.clone(),
            layers: self.layers.clone(),
            ..Self::default()
        }
    }
}
