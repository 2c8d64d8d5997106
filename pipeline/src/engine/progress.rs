//! The live counters of one run of a job. Stages add to them; every view reads the same snapshot.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use pinport_model::{
    ImportJob, JobId, JobStatus,
    job::PlanSummary,
    progress::{Baseline, Progress, StageTimes},
};

/// A CPU or waiting stage whose busy time is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Fetch, decode and split.
    Read,
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
    status: Mutex<JobStatus>,
    counters: [AtomicU64; Counter::LEN],
    busy: [AtomicU64; 4],
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
            status: Mutex::new(JobStatus::Created),
            counters: Default::default(),
            busy: Default::default(),
        }
    }

    pub(crate) fn set_status(&self, status: JobStatus) {
        *self.status.lock() = status;
    }

    pub(crate) fn set_plan(&self, plan: &PlanSummary) {
        self.set(Counter::SourceTotal, plan.bytes);
        self.set(Counter::PiecesTotal, plan.pieces);
        self.set(Counter::ObjectsTotal, plan.objects);
    }

    /// What an ended job says, whatever was counted on the way.
    pub(crate) fn finish(&self, job: &ImportJob) {
        self.set_status(job.status);
        self.set(Counter::Registered, job.tally.registered);
        self.set(Counter::Failed, job.tally.failed);
        self.set(Counter::PiecesTotal, job.completed_pieces + job.failed_pieces);
    }

    pub(crate) fn add(&self, counter: Counter, count: u64) {
        self.counters[counter as usize].fetch_add(count, Relaxed);
    }

    pub(crate) fn set(&self, counter: Counter, count: u64) {
        self.counters[counter as usize].store(count, Relaxed);
    }

    pub(crate) fn busy(&self, stage: Stage, time: Duration) {
        self.busy[stage as usize].fetch_add(time.as_micros() as u64, Relaxed);
    }

    /// The counters now.
    pub fn snapshot(&self) -> Progress {
        let count = |counter: Counter| self.counters[counter as usize].load(Relaxed);
        let busy = |stage: Stage| self.busy[stage as usize].load(Relaxed) / 1000;
        Progress {
            job: self.job,
            status: *self.status.lock(),
            source_bytes: count(Counter::SourceBytes),
            source_total: count(Counter::SourceTotal),
            bytes: count(Counter::Bytes),
            parsed: count(Counter::Parsed),
            registered: count(Counter::Registered),
            failed: count(Counter::Failed),
            pieces_done: count(Counter::PiecesDone),
            pieces_failed: count(Counter::PiecesFailed),
            pieces_total: count(Counter::PiecesTotal),
            objects_done: count(Counter::ObjectsDone),
            objects_total: count(Counter::ObjectsTotal),
            before: Baseline {
                source_bytes: count(Counter::SourceBytesBefore),
                bytes: count(Counter::BytesBefore),
                parsed: count(Counter::ParsedBefore),
            },
            elapsed_ms: self.begun.elapsed().as_millis() as u64,
            busy_ms: StageTimes {
                read: busy(Stage::Read),
                parse: busy(Stage::Parse),
                build: busy(Stage::Build),
                commit: busy(Stage::Commit),
            },
        }
    }
}
