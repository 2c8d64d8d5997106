//! The live counters of one run of a job. Stages add to them; every view reads the same snapshot.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use pinport_model::{
    ImportJob, JobId, JobPart, JobStatus, PieceRecord,
    job::PlanSummary,
    progress::{Baseline, Progress, StageTimes},
    view::{PieceRun, PieceState},
};

use tokio_util::sync::CancellationToken;

use super::{expected::Expected, pieces::Pieces};
use crate::throttle::Throttle;

/// A CPU or waiting stage whose busy time is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Getting the bytes of objects, and waiting for them.
    Fetch,
    /// Decode and split.
    Decode,
    /// Parse.
    Parse,
    /// Build.
    Build,
    /// Commit.
    Commit,
}

/// Live counters of a job.
#[derive(Debug)]
pub struct JobProgress {
    job: JobId,
    begun: Instant,
    /// How long the run took, once it is over.
    took: OnceLock<Duration>,
    /// Milliseconds that earlier runs took.
    ran_before: u64,
    status: Mutex<JobStatus>,
    counters: [AtomicU64; Counter::LEN],
    busy: [AtomicU64; 5],
    pieces: Mutex<Pieces>,
    /// What the source is thought to hold.
    expected: Mutex<Expected>,
    /// Blocks that wait for a thread that parses them.
    waiting: AtomicU64,
    /// How fast it may read: each of them has to let a block through.
    throttles: Vec<Arc<Throttle>>,
    /// The last committed piece: what lists and answers count.
    last: Mutex<Option<PieceRecord>>,
    /// The counters of the job, if these are of a part of it.
    whole: Option<Arc<JobProgress>>,
    /// Of its counters those that other servers came to: records and decoded bytes.
    by_others: [AtomicU64; 2],
}

/// What a job in parts has come to, of all servers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct PartsSum {
    pub(super) source_bytes: u64,
    pub(super) bytes: u64,
    pub(super) bytes_total: u64,
    pub(super) parsed: u64,
    pub(super) registered: u64,
    pub(super) failed: u64,
    pub(super) pieces_done: u64,
    pub(super) pieces_failed: u64,
    pub(super) objects_done: u64,
    /// Of `parsed` and `bytes` what this server did not come to.
    pub(super) by_others: [u64; 2],
}

/// Logs that a job is shown with this status from now on.
pub(crate) fn log_status(job: JobId, status: JobStatus) {
    tracing::debug!(target: "pinport::job", %job, %status, "status");
}

/// What waits in front of each stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queues {
    /// Blocks that have been read.
    pub parse: u64,
    /// Pieces that have been read.
    pub build: u64,
    /// Pieces that are built.
    pub commit: u64,
}

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counter {
    SourceBytes,
    SourceTotal,
    Bytes,
    Parsed,
    Registered,
    Failed,
    PiecesDone,
    PiecesFailed,
    PiecesTotal,
    ObjectsDone,
    ObjectsTotal,
    SourceBytesBefore,
    BytesBefore,
    ParsedBefore,
}

impl Counter {
    const LEN: usize = Self::ParsedBefore as usize + 1;
}

impl JobProgress {
    /// The counters of a job that begins or goes on now.
    pub fn new(job: JobId) -> Self {
        Self {
            job,
            begun: Instant::now(),
            took: OnceLock::new(),
            ran_before: 0,
            status: Mutex::new(JobStatus::Created),
            counters: Default::default(),
            busy: Default::default(),
            pieces: Mutex::default(),
            expected: Mutex::default(),
            waiting: AtomicU64::new(0),
            throttles: Vec::new(),
            last: Mutex::default(),
            whole: None,
            by_others: Default::default(),
        }
    }

    /// The counters of a part of a job: it reads no faster than the job may, and its stages' time and queues are the job's.
    pub(super) fn of_part(whole: &Arc<Self>) -> Self {
        let throttles = whole.throttles.clone();
        Self { throttles, whole: Some(Arc::clone(whole)), ..Self::new(whole.job) }
    }

    /// Shows what all parts of the job have come to. `begins`: this is where this run found them.
    pub(super) fn show_parts(&self, sum: &PartsSum, begins: bool) {
        let counters = [
            (Counter::SourceBytes, sum.source_bytes),
            (Counter::Bytes, sum.bytes),
            (Counter::Parsed, sum.parsed),
            (Counter::Registered, sum.registered),
            (Counter::Failed, sum.failed),
            (Counter::PiecesDone, sum.pieces_done),
            (Counter::PiecesFailed, sum.pieces_failed),
            (Counter::ObjectsDone, sum.objects_done),
        ];
        counters.into_iter().for_each(|(counter, count)| self.set(counter, count));
        if begins {
            self.set(Counter::SourceBytesBefore, sum.source_bytes);
            self.set(Counter::BytesBefore, sum.bytes);
            self.set(Counter::ParsedBefore, sum.parsed);
        }
        for (counter, count) in self.by_others.iter().zip(sum.by_others) {
            counter.store(count, Relaxed);
        }
        *self.pieces.lock() = Pieces::after(sum.pieces_done, sum.pieces_failed);
        *self.expected.lock() = Expected::of_total(sum.bytes_total);
    }

    /// Of its records and decoded bytes those that other servers came to in this run, or before it.
    pub(crate) fn by_others(&self) -> [u64; 2] {
        [0, 1].map(|which| self.by_others[which].load(Relaxed))
    }

    /// The same, reading no faster than all of these let it.
    #[must_use]
    pub fn throttled(self, throttles: Vec<Arc<Throttle>>) -> Self {
        Self { throttles, ..self }
    }

    /// Waits until a block may be read; whether that was not cancelled.
    pub(crate) fn may_read(&self, rows: u64, bytes: u64, cancel: &CancellationToken) -> bool {
        self.throttles.iter().all(|throttle| throttle.take(rows, bytes, cancel))
    }

    /// The counters of a job that goes on now and stood like this: until the engine has found its place again, it is
    /// shown as it rested.
    pub fn going_on(rested: &Progress) -> Self {
        let mut progress = Self { ran_before: rested.ran_ms(), ..Self::new(rested.job) };
        for (counter, count) in [
            (Counter::SourceBytes, rested.source_bytes),
            (Counter::SourceTotal, rested.source_total),
            (Counter::SourceBytesBefore, rested.source_bytes),
            (Counter::Bytes, rested.bytes),
            (Counter::BytesBefore, rested.bytes),
            (Counter::Parsed, rested.parsed),
            (Counter::ParsedBefore, rested.parsed),
            (Counter::Registered, rested.registered),
            (Counter::Failed, rested.failed),
            (Counter::PiecesDone, rested.pieces_done),
            (Counter::PiecesFailed, rested.pieces_failed),
            (Counter::PiecesTotal, rested.pieces_total),
            (Counter::ObjectsDone, rested.objects_done),
            (Counter::ObjectsTotal, rested.objects_total),
        ] {
            progress.set(counter, count);
        }
        *progress.expected.get_mut() = Expected::of_total(rested.bytes_total);
        progress
    }

    /// Stops the clock: nothing more is done.
    pub(crate) fn stop(&self) {
        let _ = self.took.set(self.begun.elapsed());
    }

    /// Moves the shown status on; whether the job may take that step. A job that is being cancelled takes
    /// no other, so that no one sees CANCELLING followed by COMPLETED.
    pub(crate) fn set_status(&self, status: JobStatus) -> bool {
        let mut current = self.status.lock();
        let may = *current != JobStatus::Cancelling || status.is_terminal() || status == JobStatus::Failing;
        if may {
            *current = status;
            log_status(self.job, status);
        }
        if may && status.is_terminal() {
            self.stop();
        }
        may
    }

    /// Shows the job as CANCELLING, unless it is about to end by itself; whether it is shown so now.
    pub fn begin_cancel(&self) -> bool {
        let mut current = self.status.lock();
        let ending = matches!(*current, JobStatus::Completing | JobStatus::Failing);
        if ending || current.is_terminal() {
            return false;
        }
        *current = JobStatus::Cancelling;
        log_status(self.job, *current);
        true
    }

    /// Shows the job as FAILING, unless it is being cancelled; whether it is shown so now.
    pub(crate) fn begin_end(&self) -> bool {
        let mut current = self.status.lock();
        if *current == JobStatus::Cancelling {
            return false;
        }
        *current = JobStatus::Failing;
        log_status(self.job, *current);
        true
    }

    /// Where a piece stands now.
    pub(crate) fn set_piece(&self, number: u64, state: PieceState) {
        self.pieces.lock().set(number, state);
    }

    /// Shows what an earlier run committed.
    pub(crate) fn show_before(&self, record: &PieceRecord) {
        self.set(Counter::Bytes, record.total.bytes);
        self.set(Counter::BytesBefore, record.total.bytes);
        self.set(Counter::Parsed, record.total.read);
        self.set(Counter::ParsedBefore, record.total.read);
        self.set(Counter::Registered, record.total.registered);
        self.set(Counter::Failed, record.total.failed);
        self.set(Counter::PiecesDone, record.completed_pieces());
        self.set(Counter::PiecesFailed, record.failed_pieces);
        self.set(Counter::ObjectsDone, record.end.object);
        self.go_on_after(record);
    }

    /// Takes over what an earlier run committed.
    pub(crate) fn go_on_after(&self, last: &PieceRecord) {
        *self.pieces.lock() = Pieces::after(last.completed_pieces(), last.failed_pieces);
        *self.last.lock() = Some(last.clone());
    }

    /// Notes a committed piece.
    pub(crate) fn set_last(&self, record: &PieceRecord) {
        let state = if record.error.is_some() { PieceState::Failed } else { PieceState::Done };
        self.set_piece(record.piece, state);
        *self.last.lock() = Some(record.clone());
    }

    /// Shows a job in parts with what all of them have committed.
    pub(super) fn set_totals(&self, record: &PieceRecord) {
        *self.last.lock() = Some(record.clone());
    }

    /// The last committed piece, as far as this run knows.
    pub fn last_piece(&self) -> Option<PieceRecord> {
        self.last.lock().clone()
    }

    /// The job's pieces from the first to the last, as far as known.
    pub fn pieces(&self) -> Vec<PieceRun> {
        self.pieces.lock().runs(self.counters[Counter::PiecesTotal as usize].load(Relaxed))
    }

    /// A block is handed to the threads that parse.
    pub(crate) fn block_waits(&self) {
        self.waiting.fetch_add(1, Relaxed);
        if let Some(whole) = &self.whole {
            whole.block_waits();
        }
    }

    /// A thread has taken it.
    pub(crate) fn block_begins(&self) {
        self.waiting.fetch_sub(1, Relaxed);
        if let Some(whole) = &self.whole {
            whole.block_begins();
        }
    }

    /// What waits now: blocks to be parsed, pieces to be whole and built, pieces to be committed.
    pub fn queues(&self) -> Queues {
        let runs = self.pieces();
        let count = |state: PieceState| -> u64 {
            runs.iter().filter(|run| run.state == state).map(|run| run.count).sum()
        };
        Queues {
            parse: self.waiting.load(Relaxed),
            build: count(PieceState::Parsing),
            commit: count(PieceState::Committing),
        }
    }

    pub(crate) fn set_plan(&self, plan: &PlanSummary) {
        self.set(Counter::SourceTotal, plan.bytes);
        self.set(Counter::PiecesTotal, plan.pieces);
        self.set(Counter::ObjectsTotal, plan.objects);
        *self.expected.lock() = Expected::of_plan(plan.bytes, plan.packed);
    }

    /// What a part of the job is thought to hold.
    pub(super) fn set_part(&self, part: &JobPart) {
        self.set(Counter::SourceTotal, part.bytes);
        *self.expected.lock() = Expected::of_plan(part.bytes, part.packed);
    }

    /// What parts will give of which nothing was read: plain bytes and compressed ones, when so many bytes became so many.
    pub(super) fn expected_of([plain, packed]: [u64; 2], (read, made): (u64, u64)) -> u64 {
        let mut expected = Expected::of_plan(plain + packed, packed);
        expected.look(read, made);
        expected.bytes()
    }

    /// What the source is thought to hold.
    pub(crate) fn expected(&self) -> MutexGuard<'_, Expected> {
        self.expected.lock()
    }

    /// What an ended job says, whatever was counted on the way.
    pub(crate) fn finish(&self, job: &ImportJob) {
        self.set_status(job.status);
        self.set(Counter::Registered, job.tally.registered);
        self.set(Counter::Failed, job.tally.failed);
        if job.status == JobStatus::Completed {
            self.set(Counter::PiecesTotal, job.completed_pieces + job.failed_pieces);
        }
    }

    pub(crate) fn add(&self, counter: Counter, count: u64) {
        self.counters[counter as usize].fetch_add(count, Relaxed);
    }

    pub(crate) fn set(&self, counter: Counter, count: u64) {
        self.counters[counter as usize].store(count, Relaxed);
    }

    pub(crate) fn busy(&self, stage: Stage, time: Duration) {
        self.busy[stage as usize].fetch_add(time.as_micros() as u64, Relaxed);
        if let Some(whole) = &self.whole {
            whole.busy(stage, time);
        }
    }

    /// The counters now.
    pub fn snapshot(&self) -> Progress {
        let count = |counter: Counter| self.counters[counter as usize].load(Relaxed);
        let busy = |stage: Stage| self.busy[stage as usize].load(Relaxed) / 1000;
        let elapsed = self.took.get().copied().unwrap_or_else(|| self.begun.elapsed());
        let ended = count(Counter::PiecesDone) + count(Counter::PiecesFailed);
        Progress {
            job: self.job,
            status: *self.status.lock(),
            source_bytes: count(Counter::SourceBytes),
            source_total: count(Counter::SourceTotal),
            bytes: count(Counter::Bytes),
            bytes_total: self.expected.lock().bytes(),
            parsed: count(Counter::Parsed),
            registered: count(Counter::Registered),
            failed: count(Counter::Failed),
            pieces_done: count(Counter::PiecesDone),
            pieces_failed: count(Counter::PiecesFailed),
            // By the sizes of compressed objects it is only a guess.
            pieces_total: count(Counter::PiecesTotal).max(ended),
            objects_done: count(Counter::ObjectsDone),
            objects_total: count(Counter::ObjectsTotal),
            before: Baseline {
                source_bytes: count(Counter::SourceBytesBefore),
                bytes: count(Counter::BytesBefore),
                parsed: count(Counter::ParsedBefore),
                elapsed_ms: self.ran_before,
            },
            elapsed_ms: elapsed.as_millis() as u64,
            busy_ms: StageTimes {
                fetch: busy(Stage::Fetch),
                decode: busy(Stage::Decode),
                parse: busy(Stage::Parse),
                build: busy(Stage::Build),
                commit: busy(Stage::Commit),
            },
        }
    }
}

/// The counters of a job that does not run: its own counts, and what a run left behind for the rest.
pub fn progress_of(job: &ImportJob, saved: Option<Progress>) -> Progress {
    let plan = job.plan.clone().unwrap_or_default();
    let tally = &job.tally;
    let done = job.completed_pieces + job.failed_pieces;
    let completed = job.status == JobStatus::Completed;
    let (mut source_bytes, mut objects_done) =
        saved.as_ref().map_or((0, 0), |saved| (saved.source_bytes, saved.objects_done));
    if completed {
        (source_bytes, objects_done) = (plan.bytes, plan.objects);
    }
    Progress {
        job: job.id,
        status: job.status,
        source_bytes,
        source_total: plan.bytes,
        bytes: tally.bytes,
        bytes_total: match &saved {
            _ if completed => tally.bytes,
            Some(saved) => saved.bytes_total,
            None => 0,
        },
        parsed: tally.read,
        registered: tally.registered,
        failed: job.failed(),
        pieces_done: job.completed_pieces,
        pieces_failed: job.failed_pieces,
        pieces_total: if completed { done } else { plan.pieces.max(done) },
        objects_done,
        objects_total: plan.objects,
        before: saved.as_ref().map(|saved| saved.before).unwrap_or_default(),
        elapsed_ms: match &saved {
            Some(saved) => saved.elapsed_ms,
            // Of an import without a server.
            None if job.plan.is_some() => job.age_ms(),
            None => 0,
        },
        busy_ms: saved.map(|saved| saved.busy_ms).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> JobProgress {
        JobProgress::new(JobId::from_bytes([0; 16]))
    }

    #[test]
    fn a_job_that_is_being_cancelled_may_still_fail_and_ends() {
        let cancelling = progress();
        assert!(cancelling.begin_cancel());
        assert!(cancelling.set_status(JobStatus::Failing));
        assert!(!cancelling.begin_cancel(), "it ends by itself");
        let cancelling = progress();
        assert!(cancelling.begin_cancel());
        assert!(cancelling.set_status(JobStatus::Cancelled));
        assert!(!cancelling.begin_cancel(), "it has ended");
        let running = progress();
        assert!(running.begin_end());
        assert_eq!(running.snapshot().status, JobStatus::Failing);
    }

    #[test]
    fn the_clock_of_an_ended_job_stands_still() {
        let ended = progress();
        assert!(ended.set_status(JobStatus::Completed));
        let now = ended.snapshot();
        // Longer than the clock's last digit.
        while ended.begun.elapsed() < Duration::from_millis(u64::from(now.elapsed_ms as u32) + 3) {
            std::hint::spin_loop();
        }
        assert_eq!(ended.snapshot(), now);
        let running = progress();
        while running.snapshot().elapsed_ms < 3 {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn a_job_that_goes_on_is_shown_as_it_rested() {
        let rested = Progress {
            source_bytes: 50,
            source_total: 100,
            bytes: 500,
            bytes_total: 1000,
            parsed: 5,
            registered: 4,
            failed: 1,
            pieces_done: 1,
            pieces_total: 3,
            before: Baseline { elapsed_ms: 40, ..Baseline::default() },
            elapsed_ms: 60,
            ..progress().snapshot()
        };
        let now = JobProgress::going_on(&rested).snapshot();
        let before = Baseline { source_bytes: 50, bytes: 500, parsed: 5, elapsed_ms: 100 };
        assert_eq!(now, Progress { before, elapsed_ms: now.elapsed_ms, ..rested });
        assert_eq!((now.records_per_second(), now.bytes_left()), (0.0, Some(500)));
    }

    #[test]
    fn what_waits_is_counted_by_stage() {
        let progress = progress();
        progress.block_waits();
        progress.block_waits();
        progress.block_waits();
        progress.block_begins();
        for (piece, state) in
            [PieceState::Parsing, PieceState::Committing, PieceState::Parsing, PieceState::Reading]
                .into_iter()
                .enumerate()
        {
            progress.set_piece(piece as u64, state);
        }
        assert_eq!(progress.queues(), Queues { parse: 2, build: 2, commit: 1 });
    }

    #[test]
    fn a_job_that_goes_on_begins_where_it_stood() {
        let progress = progress();
        let error = Some("it is damaged".to_owned());
        let last = PieceRecord { piece: 6, failed_pieces: 2, ..PieceRecord::default() };
        progress.go_on_after(&last);
        assert_eq!(progress.last_piece(), Some(last));
        progress.set(Counter::PiecesTotal, 10);
        progress.set_last(&PieceRecord { piece: 7, failed_pieces: 3, error, ..PieceRecord::default() });
        let runs: Vec<_> = progress.pieces().into_iter().map(|run| (run.state, run.count)).collect();
        assert_eq!(runs, [(PieceState::Done, 5), (PieceState::Failed, 3), (PieceState::Waiting, 2)]);
        assert_eq!(progress.last_piece().map(|last| last.piece), Some(7));
    }

    #[test]
    fn a_snapshot_has_every_counter_in_its_place() {
        let progress = progress();
        let counters = [
            Counter::SourceBytes,
            Counter::SourceTotal,
            Counter::Bytes,
            Counter::Parsed,
            Counter::Registered,
            Counter::Failed,
            Counter::PiecesDone,
            Counter::PiecesFailed,
            Counter::PiecesTotal,
            Counter::ObjectsDone,
            Counter::ObjectsTotal,
            Counter::SourceBytesBefore,
            Counter::BytesBefore,
            Counter::ParsedBefore,
        ];
        for (value, counter) in (1..).zip(counters) {
            progress.set(counter, value);
            progress.add(counter, 100);
        }
        for (milliseconds, stage) in
            (1..).zip([Stage::Fetch, Stage::Decode, Stage::Parse, Stage::Build, Stage::Commit])
        {
            progress.busy(stage, Duration::from_micros(milliseconds * 1000 + 999));
        }
        let expected = Progress {
            job: JobId::from_bytes([0; 16]),
            status: JobStatus::Created,
            source_bytes: 101,
            source_total: 102,
            bytes: 103,
            bytes_total: 0,
            parsed: 104,
            registered: 105,
            failed: 106,
            pieces_done: 107,
            pieces_failed: 108,
            pieces_total: 215,
            objects_done: 110,
            objects_total: 111,
            before: Baseline { source_bytes: 112, bytes: 113, parsed: 114, elapsed_ms: 0 },
            elapsed_ms: 0,
            busy_ms: StageTimes { fetch: 1, decode: 2, parse: 3, build: 4, commit: 5 },
        };
        assert_eq!(Progress { elapsed_ms: 0, ..progress.snapshot() }, expected);
    }
}
