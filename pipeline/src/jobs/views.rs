//! Jobs as clients see them: one set of numbers for the API, the events and the dashboard.

use std::{
    collections::{HashMap, VecDeque},
    path::Path,
    sync::Arc,
    time::Instant,
};

use parking_lot::Mutex;
use pinport_model::{
    Failure, ImportJob, JobId, JobKind, JobStatus, ObjectTally, PieceRecord,
    history::HistoryPoint,
    progress::{Progress, StageTimes},
    view::{JobDetail, JobView, ObjectView, PieceRun, PieceState, Sample, StageName, StageView},
};
use pinport_store::{Store, StoreError};

use super::{
    Inner, Jobs, marks,
    queue::{Entry, Place, State},
};
use crate::{
    engine::{Engine, FileError, Queues, files, progress_of},
    limits::BUILT_PIECES,
    limits::{SAMPLE_EVERY, VIEW_FAILURES, VIEW_OBJECTS, VIEW_PIECES, VIEW_TALLIED},
};

/// How the source of an uploaded file begins.
const UPLOADED: &str = "upload:";

/// Why a view could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the job could not be read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A job as it stands at this moment.
#[derive(Debug, Clone)]
pub struct Seen {
    /// With the live status and the counts of its committed pieces.
    pub job: ImportJob,
    /// Its last committed piece.
    pub last: Option<PieceRecord>,
    /// Its short form.
    pub view: JobView,
}

/// What all jobs of the process did since it began.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// Records parsed.
    pub records: u64,
    /// Decoded bytes read.
    pub bytes: u64,
    /// Milliseconds that each stage's threads were busy.
    pub busy_ms: StageTimes,
    /// Records that failed in ended jobs.
    pub failed_records: u64,
    /// Jobs that ended, by status.
    pub completed: u64,
    /// See `completed`.
    pub failed: u64,
    /// See `completed`.
    pub cancelled: u64,
    /// Milliseconds that ended jobs ran.
    pub ran_ms: u64,
    /// Milliseconds that they waited or were paused.
    pub waited_ms: u64,
    /// Jobs that run now.
    pub running: u64,
    /// Jobs that wait now.
    pub waiting: u64,
}

impl Totals {
    /// Adds a run, less what earlier runs of the job had read.
    /// Nor what other servers read of it, which comes to so many records and bytes, those of earlier runs among them.
    pub(super) fn add(&mut self, run: &Progress, before: Option<&PieceRecord>, by_others: [u64; 2]) {
        let (read, bytes) = before.map_or((0, 0), |last| (last.total.read, last.total.bytes));
        self.records += run.parsed.saturating_sub(read.max(by_others[0]));
        self.bytes += run.bytes.saturating_sub(bytes.max(by_others[1]));
        self.busy_ms.fetch += run.busy_ms.fetch;
        self.busy_ms.decode += run.busy_ms.decode;
        self.busy_ms.parse += run.busy_ms.parse;
        self.busy_ms.build += run.busy_ms.build;
        self.busy_ms.commit += run.busy_ms.commit;
    }

    pub(super) fn ended(&mut self, job: &ImportJob, ran_ms: u64) {
        self.failed_records += job.tally.failed;
        self.ran_ms += ran_ms;
        self.waited_ms += job.age_ms().saturating_sub(ran_ms);
        match job.status {
            JobStatus::Completed => self.completed += 1,
            JobStatus::Failed => self.failed += 1,
            _ => self.cancelled += 1,
        }
    }
}

/// Tallies by object of the jobs that were looked at last, so that a look again reads only new pieces.
#[derive(Default)]
pub(super) struct ObjectTallies {
    jobs: HashMap<JobId, ObjectCounts>,
    order: VecDeque<JobId>,
}

impl Jobs {
    /// A job as it stands; nothing if there is none.
    pub fn seen(&self, id: JobId) -> Result<Option<Seen>, ViewError> {
        if let Some(seen) = self.inner.command.as_ref().and_then(|command| command.left(id)) {
            return Ok(Some(seen));
        }
        match self.inner.store.job(id)? {
            Some(job) => Ok(Some(self.see(job)?)),
            None => Ok(None),
        }
    }

    /// A job that was read from the store, as it stands.
    pub fn see(&self, mut job: ImportJob) -> Result<Seen, ViewError> {
        let inner = &self.inner;
        if !job.status.is_terminal() {
            if let Some(seen) = inner.see_open(&job) {
                return Ok(seen);
            }
            // It has ended since it was read.
            job = inner.store.job(job.id)?.unwrap_or(job);
        }
        let last = inner.store.totals(job.id)?;
        if let Some(last) = last.as_ref().filter(|_| !job.status.is_terminal()) {
            // Another server works on it.
            last.count_into(&mut job);
        }
        inner.bring(&job, last.as_ref());
        let view = match inner.other_view(&job).filter(|_| !job.status.is_terminal()) {
            Some(view) => view,
            None => inner.ended_view(&job)?,
        };
        Ok(Seen { job, last, view })
    }

    /// The first failures of a job in source order, of its committed pieces.
    pub fn failures(&self, seen: &Seen) -> Result<Vec<Failure>, ViewError> {
        Ok(failures_of(&self.folder(seen.job.id), seen.last.as_ref())?)
    }

    /// A job, whole.
    pub fn detail(&self, seen: Seen) -> Result<JobDetail, ViewError> {
        let failures = self.failures(&seen)?;
        let pieces = self.inner.pieces(&seen);
        let objects = self.inner.objects(&seen)?;
        let (stages, history) = self.inner.life(&seen);
        let of_job = detail_of(seen.job, seen.view);
        Ok(JobDetail { pieces, failures, objects, stages, history, ..of_job })
    }

    /// All jobs at this moment, as the first sample of a listener that has subscribed. Listeners that come at the same
    /// time share it.
    pub fn sample(&self) -> Arc<Sample> {
        self.recent(&self.inner.latest, || self.inner.sample(false))
    }

    /// The same for a new listener: with what it missed.
    pub fn first_sample(&self) -> Arc<Sample> {
        self.recent(&self.inner.first, || {
            let mut sample = self.inner.sample(false);
            let past = self.inner.state.lock().past();
            sample.past = Some(Box::new(past));
            sample
        })
    }

    /// What was made last, if it is new enough.
    fn recent(
        &self,
        kept: &Mutex<Option<(Instant, u64, Arc<Sample>)>>,
        make: impl FnOnce() -> Sample,
    ) -> Arc<Sample> {
        let mut kept = kept.lock();
        let (changes, sequence) = {
            let state = self.inner.state.lock();
            (state.changes, state.sequence)
        };
        match &*kept {
            Some((made, then, sample))
                if made.elapsed() < SAMPLE_EVERY && (*then, sample.sequence) == (changes, sequence) =>
            {
                Arc::clone(sample)
            }
            _ => {
                let sample = Arc::new(make());
                *kept = Some((Instant::now(), changes, Arc::clone(&sample)));
                sample
            }
        }
    }

    /// What all jobs did since the process began, the running ones included.
    pub fn totals(&self) -> Totals {
        let state = self.inner.state.lock();
        let mut totals = self.inner.totals.lock().clone();
        for entry in state.jobs.values() {
            match &entry.place {
                Place::Running { progress, .. } => {
                    totals.add(&progress.snapshot(), entry.last.as_ref(), progress.by_others());
                    totals.running += 1;
                }
                _ => totals.waiting += 1,
            }
        }
        for helping in state.helping.values() {
            totals.add(&helping.progress.snapshot(), None, [0; 2]);
        }
        totals
    }
}

impl Inner {
    fn see_open(&self, stored: &ImportJob) -> Option<Seen> {
        let state = self.state.lock();
        let entry = state.jobs.get(&stored.id)?;
        let mut job = stored.clone();
        job.status = entry.status();
        if job.status.is_terminal() {
            // Its thread has ended it and is about to say so: the store knows more.
            return None;
        }
        let last = match &entry.place {
            Place::Running { progress, .. } => progress.last_piece().or_else(|| entry.last.clone()),
            _ => entry.last.clone(),
        };
        if let Some(last) = &last {
            last.count_into(&mut job);
        }
        let mut view = self.open_view(&state, entry);
        view.progress.status = job.status;
        Some(Seen { job, last, view })
    }

    /// A job that has not ended.
    pub(super) fn open_view(&self, state: &State, entry: &Entry) -> JobView {
        let progress = match &entry.place {
            Place::Running { progress, .. } => Progress { status: entry.status(), ..progress.snapshot() },
            _ => entry.at_rest(),
        };
        let (paused, waits_for) = (entry.is_paused(), state.waits_for(entry));
        let server = entry.running().and_then(|_| self.store.name()).map(str::to_owned);
        let parts = state.parts_of(entry.job.id);
        JobView { paused, waits_for, server, parts, ..view_of(&entry.job, &entry.application_name, progress) }
    }

    /// A job that has ended (or that is unknown by now).
    pub(super) fn ended_view(&self, job: &ImportJob) -> Result<JobView, StoreError> {
        let saved = marks::saved_progress(&self.folder(job.id));
        let name = self.application_name(job.definition.application)?;
        Ok(view_of(job, &name, progress_of(job, saved)))
    }

    fn pieces(&self, seen: &Seen) -> Vec<PieceRun> {
        let state = self.state.lock();
        if let Some(Entry { place: Place::Running { progress, .. }, .. }) = state.jobs.get(&seen.job.id) {
            return progress.pieces();
        }
        drop(state);
        let job = &seen.job;
        let ended = job.completed_pieces + job.failed_pieces;
        let planned = job.plan.as_ref().map_or(0, |plan| plan.pieces);
        let waiting = if job.status == JobStatus::Completed { 0 } else { planned.saturating_sub(ended) };
        let runs = [
            (PieceState::Done, job.completed_pieces),
            (PieceState::Failed, job.failed_pieces),
            (PieceState::Waiting, waiting),
        ];
        let runs = runs.into_iter().filter(|(_, count)| *count > 0);
        runs.map(|(state, count)| PieceRun { state, count }).collect()
    }

    /// How busy the stages of a job are and what waits in front of them, and its counters over its life.
    fn life(&self, seen: &Seen) -> (Vec<StageView>, Vec<HistoryPoint>) {
        let state = self.state.lock();
        let entry = state.jobs.get(&seen.job.id);
        let queues = entry.and_then(|entry| match &entry.place {
            Place::Running { progress, .. } => Some(progress.queues()),
            _ => None,
        });
        let history = entry.map(|entry| entry.history.points());
        if state.others.contains_key(&seen.job.id) {
            // Its stages are another server's.
            return (Vec::new(), Vec::new());
        }
        drop(state);
        let history = history.unwrap_or_else(|| marks::saved_history(&self.folder(seen.job.id)));
        let stages = stage_views(&self.engine, seen.view.progress.busy_ms, queues.unwrap_or_default());
        (stages, history)
    }

    /// The first objects of a job with what was counted in them.
    fn objects(&self, seen: &Seen) -> Result<Vec<ObjectView>, ViewError> {
        let job = &seen.job;
        let folder = self.folder(job.id);
        let mut counts = self.tallies.lock().jobs.get(&job.id).cloned().unwrap_or_default();
        counts.follow(&*self.store, job.id)?;
        let objects = object_views(job, &folder, counts.tallies())?;
        let mut kept = self.tallies.lock();
        if kept.jobs.insert(job.id, counts).is_none() {
            kept.order.push_back(job.id);
            if kept.order.len() > VIEW_TALLIED
                && let Some(oldest) = kept.order.pop_front()
            {
                kept.jobs.remove(&oldest);
            }
        }
        Ok(objects)
    }
}

/// What a job's committed pieces counted in its objects: a look again reads only new pieces.
#[derive(Debug, Clone, Default)]
struct ObjectCounts {
    next: u64,
    tallies: Vec<ObjectTally>,
}

impl ObjectCounts {
    /// Reads the pieces that were committed since.
    fn follow(&mut self, store: &dyn Store, job: JobId) -> Result<(), StoreError> {
        // Pieces after the last object that is shown say nothing about the ones shown.
        while self.tallies.last().is_none_or(|tally| tally.object < VIEW_OBJECTS as u64) {
            let pieces = store.pieces(job, self.next, VIEW_PIECES)?;
            for piece in &pieces {
                ObjectTally::add_all(&mut self.tallies, &piece.objects);
                self.next = piece.piece + 1;
            }
            if pieces.len() < VIEW_PIECES {
                break;
            }
        }
        Ok(())
    }

    /// The counts, in order of the objects that are read.
    fn tallies(&self) -> &[ObjectTally] {
        &self.tallies
    }
}

/// The first objects of the plan in a job's folder, with what was counted in them; none before there is a plan.
fn object_views(
    job: &ImportJob,
    folder: &Path,
    tallies: &[ObjectTally],
) -> Result<Vec<ObjectView>, FileError> {
    if !files::has_plan(folder) {
        return Ok(Vec::new());
    }
    let mut number = 0;
    let object = |object: pinport_model::PlannedObject| {
        let mut tally = ObjectTally { object: number, ..ObjectTally::default() };
        if object.skipped.is_none() {
            let found = tallies.binary_search_by_key(&number, |tally| tally.object);
            tally = found.map_or(tally, |index| tallies[index]);
            number += 1;
        }
        ObjectView { name: name_of(job, &object.key), size: object.size, skipped: object.skipped, tally }
    };
    Ok(files::listed_objects(folder, VIEW_OBJECTS)?.into_iter().map(object).collect())
}

/// What an object is called, by its job's source.
fn name_of(job: &ImportJob, key: &str) -> String {
    use pinport_model::SourceLocation::{Bucket, Path, Stdin};
    // No URL begins so: it is a file that was uploaded.
    if job.definition.source_text.starts_with(UPLOADED) {
        return job.definition.source_text.clone();
    }
    match &job.definition.source {
        Bucket { service, bucket, .. } => format!("{}://{bucket}/{key}", service.scheme()),
        Path(path) if path.ends_with(key) => path.display().to_string(),
        Path(path) => path.join(key).display().to_string(),
        Stdin => key.to_owned(),
    }
}

/// A job as lists show it.
pub(super) fn view_of(job: &ImportJob, application_name: &str, progress: Progress) -> JobView {
    let definition = &job.definition;
    JobView {
        id: job.id,
        kind: definition.kind(),
        application: definition.application,
        application_name: application_name.to_owned(),
        source: match definition.kind() {
            JobKind::Import => definition.source_text.clone(),
            JobKind::Export => format!("to {}", definition.source_text),
        },
        format: definition.format,
        segment_name: definition.segment_name.clone(),
        created: job.created,
        completed: job.completed,
        paused: false,
        waits_for: None,
        server: None,
        parts: Vec::new(),
        progress,
        error: job.error.clone(),
    }
}

/// What a job says of itself in its detail; the rest is what is kept beside it.
fn detail_of(mut job: ImportJob, view: JobView) -> JobDetail {
    let warnings = job.all_warnings();
    if job.definition.source_text.starts_with(UPLOADED) {
        // The file lies in a folder of the server's own, which no one else need know.
        job.definition.source =
            pinport_model::SourceLocation::Path(job.definition.source_text.clone().into());
    }
    JobDetail {
        job: view,
        definition: job.definition,
        principal: job.principal,
        pieces: Vec::new(),
        classes: job.tally.classes,
        failures: Vec::new(),
        objects: Vec::new(),
        skipped: job.plan.map_or(0, |plan| plan.skipped),
        resumed: job.resumed,
        warnings,
        unkept_failures: job.unkept_failures,
        lost: job.lost,
        notices: job.notices,
        stages: Vec::new(),
        history: Vec::new(),
    }
}

/// The first failures in a job's folder, in source order, up to its last committed piece.
fn failures_of(folder: &Path, last: Option<&PieceRecord>) -> Result<Vec<Failure>, FileError> {
    match last {
        Some(last) if last.failures_len > 0 => {
            files::first_failures(folder, last.failures_len, VIEW_FAILURES)
        }
        _ => Ok(Vec::new()),
    }
}

/// How busy the stages of a job are and what waits in front of them.
fn stage_views(engine: &Engine, busy: StageTimes, queues: Queues) -> Vec<StageView> {
    let (threads, waiting) = engine.threads();
    let stage = |stage, busy_ms, threads: usize, queued, limit: usize| StageView {
        stage,
        busy_ms,
        threads: threads as u32,
        queued,
        queue_limit: limit as u64,
    };
    vec![
        stage(StageName::Fetch, busy.fetch, 1, 0, 0),
        // On the same thread.
        stage(StageName::Decode, busy.decode, 0, 0, 0),
        stage(StageName::Parse, busy.parse, threads, queues.parse, waiting),
        // On the same threads, before more is parsed.
        stage(StageName::Build, busy.build, 0, queues.build, 0),
        stage(StageName::Commit, busy.commit, 1, queues.commit, BUILT_PIECES),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::JobProgress;

    #[test]
    fn totals_are_of_what_this_process_did() {
        let run = Progress {
            parsed: 10,
            bytes: 100,
            busy_ms: StageTimes { fetch: 1, decode: 2, parse: 3, build: 4, commit: 5 },
            ..JobProgress::new(JobId::from_bytes([0; 16])).snapshot()
        };
        let mut before = PieceRecord::default();
        (before.total.read, before.total.bytes) = (4, 40);
        let mut totals = Totals::default();
        totals.add(&run, None, [0; 2]);
        totals.add(&run, Some(&before), [0; 2]);
        assert_eq!((totals.records, totals.bytes), (16, 160));
        assert_eq!(totals.busy_ms, StageTimes { fetch: 2, decode: 4, parse: 6, build: 8, commit: 10 });
    }
}
