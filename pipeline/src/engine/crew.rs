//! The threads of a server that work on parts of a job: each claims one, runs it as a job is run, and claims the next.
//!
//! They change nothing but their parts. Who plans and ends the job, and takes its parts together, is [`super::lead`].

use std::{
    collections::BTreeMap,
    fs,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use pinport_model::{ImportJob, PieceRecord};
use pinport_store::{ClaimedPart, PartState, Parts, StoreError};
use tokio_util::sync::CancellationToken;

use super::{
    Engine, Flow, JobError, JobProgress, Life, Site,
    commit::Committer,
    files, guarded, mirror,
    progress::{Counter, PartsSum},
};
use crate::limits::{PARTS_AT_ONCE, PARTS_LOOK};

/// How long a thread that finds no part waits until it looks again.
const NONE_OPEN: Duration = Duration::from_millis(250);
/// How often others are told how far the parts have come.
const REPORT: Duration = Duration::from_secs(1);

/// What the threads share.
pub(super) struct Crew<'a> {
    engine: &'a Engine,
    parts: &'a dyn Parts,
    site: Site<'a>,
    pub(super) job: ImportJob,
    stop: CancellationToken,
    /// Asked before each part.
    go_on: &'a (dyn Fn() -> bool + Sync),
    /// Whether they wait for parts that others may give back.
    stays: bool,
    desk: Arc<Desk>,
    reported: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The parts that are worked on here.
    running: BTreeMap<u32, Arc<JobProgress>>,
    /// Records and decoded bytes of those that were.
    done: [u64; 2],
    is_reading: bool,
    at_work: usize,
    /// A part has ended since somebody waited for that.
    has_news: bool,
    failed: Option<JobError>,
}

impl State {
    /// Records and decoded bytes that this server came to.
    fn own(&self) -> [u64; 2] {
        self.running.values().fold(self.done, |sum, progress| add(sum, own(progress)))
    }
}

fn add(one: [u64; 2], other: [u64; 2]) -> [u64; 2] {
    [one[0] + other[0], one[1] + other[1]]
}

/// The right to read a part: one is read at a time, while the last pieces of another may still be committed.
pub(super) struct Turn(Arc<Desk>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.state.lock().is_reading = false;
        self.0.changed.notify_all();
    }
}

impl<'a> Crew<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        (parts, site): (&'a dyn Parts, Site<'a>),
        job: ImportJob,
        stop: CancellationToken,
        (go_on, stays): (&'a (dyn Fn() -> bool + Sync), bool),
    ) -> Self {
        let (desk, reported) = Default::default();
        Self { engine, parts, site, job, stop, go_on, stays, desk, reported }
    }

    /// Starts the threads, runs `beside`, and stops them.
    pub(super) fn run(&self, beside: impl FnOnce() -> Result<(), JobError>) -> Result<(), JobError> {
        self.desk.state.lock().at_work = PARTS_AT_ONCE;
        thread::scope(|scope| {
            for _ in 0..PARTS_AT_ONCE {
                let thread = thread::Builder::new().name("part".into());
                if let Err(error) = thread.spawn_scoped(scope, || self.work()) {
                    self.left(Err(error.into()));
                }
            }
            let done = guarded(beside).and_then(|done| done);
            self.stop.cancel();
            self.desk.changed.notify_all();
            done
        })
    }

    fn work(&self) {
        self.left(guarded(|| self.keep_working()).and_then(|worked| worked));
    }

    fn left(&self, worked: Result<(), JobError>) {
        let mut state = self.desk.state.lock();
        state.at_work -= 1;
        if let Err(error) = worked {
            state.failed.get_or_insert(error);
        }
        self.desk.changed.notify_all();
    }

    fn keep_working(&self) -> Result<(), JobError> {
        loop {
            let Some(turn) = self.turn() else { return Ok(()) };
            if !(self.go_on)() {
                return Ok(());
            }
            match self.parts.claim_part(self.job.id)? {
                Some(claimed) => self.work_on(claimed, turn)?,
                None if self.stays => self.rest(NONE_OPEN),
                None => return Ok(()),
            }
        }
    }

    /// Waits until no other part is read here; nothing when the crew stops.
    fn turn(&self) -> Option<Turn> {
        let mut state = self.desk.state.lock();
        loop {
            if self.stop.is_cancelled() || state.failed.is_some() {
                return None;
            }
            if !state.is_reading {
                state.is_reading = true;
                return Some(Turn(Arc::clone(&self.desk)));
            }
            self.desk.changed.wait_for(&mut state, NONE_OPEN);
        }
    }

    fn rest(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut state = self.desk.state.lock();
        while !self.stop.is_cancelled() && !self.desk.changed.wait_until(&mut state, until).timed_out() {}
    }

    /// Works on a part, and decides what it means if that does not go to the end.
    fn work_on(&self, claimed: ClaimedPart, turn: Turn) -> Result<(), JobError> {
        let (job, part) = (self.job.id, claimed.part.number);
        let ran = guarded(|| self.run_part(claimed, turn)).and_then(|ran| ran);
        {
            let mut state = self.desk.state.lock();
            state.has_news = true;
            if let Some(progress) = state.running.remove(&part) {
                state.done = add(state.done, own(&progress));
            }
        }
        self.desk.changed.notify_all();
        let _ = fs::remove_dir_all(files::folder_of_part(self.site.folder, part));
        match ran {
            Ok(()) => Ok(()),
            Err(JobError::Early) => {
                tracing::debug!(target: "pinport::job", %job, part, "waits for the parts before it");
                self.parts.release_part(job, part, true);
                Ok(())
            }
            // Another server has it, or the job has ended, or the database has another state of it.
            Err(JobError::Store(
                error @ (StoreError::Lost(_)
                | StoreError::Behind(_)
                | StoreError::Conflict(_)
                | StoreError::NotFound { .. }),
            )) => {
                tracing::info!(target: "pinport::job", %job, part, %error, "the part is given up");
                self.parts.release_part(job, part, false);
                Ok(())
            }
            Err(error) => {
                self.parts.release_part(job, part, false);
                if self.stop.is_cancelled() { Ok(()) } else { Err(error) }
            }
        }
    }

    fn run_part(&self, claimed: ClaimedPart, turn: Turn) -> Result<(), JobError> {
        let ClaimedPart { part, mut last } = claimed;
        let Site { store, source, folder, progress } = self.site;
        let files = files::folder_of_part(folder, part.number);
        if last.is_some() {
            let (key, format) = ((self.job.id, part.number), self.job.definition.format);
            mirror::bring_part(&**store, key, format, &files)?;
        }
        let progress = Arc::new(JobProgress::of_part(progress));
        progress.set_part(&part);
        self.desk.state.lock().running.insert(part.number, Arc::clone(&progress));
        let begun = last.as_ref().map_or(0, |last| last.end.object - part.start.object);
        // What is said of the whole job is the lead's to say.
        let mut job = self.job.clone();
        job.definition.max_failures = None;
        let stop = self.stop.child_token();
        let flow = Flow {
            job: &self.job,
            source,
            folder,
            progress: &progress,
            writer: Some(self.parts.part_writer(&self.job, part.number)?),
            marks: store.marks_jobs(),
            part,
            last: last.as_ref().map(|last| (last.end, last.piece + 1)),
            stop: &stop,
            turn: Some(turn),
        };
        let mut life = Life { job: &mut job, store: None, progress: &progress, replace: false, hint: None };
        let of = (store, part.number);
        let committer = Committer::open_part(&mut life, &files, &mut last, &stop, of)?;
        progress.set(Counter::ObjectsDone, begun);
        self.engine.flow(flow, committer)?;
        Ok(self.parts.end_part(self.job.id, part.number)?)
    }

    /// Waits for something to do beside the threads: a part has ended, or some time has passed. Whether the threads still work.
    pub(super) fn wait(&self) -> Result<bool, JobError> {
        let until = Instant::now() + PARTS_LOOK;
        let mut state = self.desk.state.lock();
        loop {
            if let Some(error) = state.failed.take() {
                return Err(error);
            }
            if self.stop.is_cancelled() {
                return Err(JobError::Cancelled);
            }
            if std::mem::take(&mut state.has_news) || state.at_work == 0 {
                return Ok(state.at_work > 0);
            }
            if self.desk.changed.wait_until(&mut state, until).timed_out() {
                return Ok(true);
            }
        }
    }

    /// Tells the others how far the parts have come, now and then.
    pub(super) fn report(&self) {
        {
            let mut reported = self.reported.lock();
            if reported.is_some_and(|then| then.elapsed() < REPORT) {
                return;
            }
            *reported = Some(Instant::now());
        }
        let running = self.desk.state.lock().running.clone();
        for (part, progress) in running {
            self.parts.report_part(self.job.id, part, &progress.snapshot());
        }
    }

    /// What some parts have come to, those that are worked on here as they are now; beside `taken`.
    pub(super) fn sum(&self, taken: PartsSum, states: &[PartState]) -> PartsSum {
        let (running, [own_records, own_bytes]) = {
            let state = self.desk.state.lock();
            (state.running.clone(), state.own())
        };
        let mut sum = taken;
        let mut unknown = [0, 0];
        for PartState { part, is_done, last, worker } in states {
            let here = running.get(&part.number).map(|progress| progress.snapshot());
            let reported = worker.as_ref().and_then(|worker| worker.progress.clone());
            match (here.or(reported).filter(|_| !is_done), last) {
                (Some(now), _) => {
                    sum.source_bytes += now.source_bytes;
                    sum.bytes += now.bytes;
                    sum.bytes_total += now.bytes_total;
                    sum.parsed += now.parsed;
                    sum.registered += now.registered;
                    sum.failed += now.failed;
                    sum.pieces_done += now.pieces_done;
                    sum.pieces_failed += now.pieces_failed;
                    sum.objects_done += now.objects_done;
                }
                (None, Some(last)) => {
                    sum.add_record(last);
                    sum.objects_done += last.end.object - part.start.object;
                    let plain = if part.packed == 0 { last.total.bytes.min(part.bytes) } else { 0 };
                    sum.source_bytes += if *is_done { part.bytes } else { plain };
                    sum.bytes_total +=
                        if *is_done { last.total.bytes } else { part.bytes.max(last.total.bytes) };
                }
                (None, None) if *is_done => sum.source_bytes += part.bytes,
                (None, None) => unknown = [unknown[0] + part.bytes - part.packed, unknown[1] + part.packed],
            }
        }
        sum.bytes_total += JobProgress::expected_of(unknown, (sum.source_bytes, sum.bytes));
        sum.by_others = [sum.parsed.saturating_sub(own_records), sum.bytes.saturating_sub(own_bytes)];
        sum
    }

    /// What this server has come to.
    fn own_sum(&self) -> PartsSum {
        let [parsed, bytes] = self.desk.state.lock().own();
        PartsSum { parsed, bytes, ..PartsSum::default() }
    }
}

/// Records and decoded bytes of a part that this server came to.
fn own(progress: &JobProgress) -> [u64; 2] {
    let now = progress.snapshot();
    [now.parsed.saturating_sub(now.before.parsed), now.bytes.saturating_sub(now.before.bytes)]
}

impl PartsSum {
    /// Adds what a piece's record says was counted up to it.
    pub(super) fn add_record(&mut self, last: &PieceRecord) {
        self.bytes += last.total.bytes;
        self.parsed += last.total.read;
        self.registered += last.total.registered;
        self.failed += last.total.failed;
        self.pieces_done += last.completed_pieces();
        self.pieces_failed += last.failed_pieces;
    }
}

/// Works on parts of a job that another server leads: see [`Engine::help`].
pub(super) fn help(
    engine: &Engine,
    site: &Site<'_>,
    job: ImportJob,
    cancel: &CancellationToken,
    go_on: &(dyn Fn() -> bool + Sync),
) -> Result<(), JobError> {
    let Some(parts) = site.store.parts() else { return Ok(()) };
    let crew = Crew::new(engine, (parts, *site), job, cancel.child_token(), (go_on, false));
    crew.run(|| {
        loop {
            let goes_on = crew.wait()?;
            crew.report();
            site.progress.show_parts(&crew.own_sum(), false);
            if !goes_on {
                return Ok(());
            }
        }
    })
}
