//! The job engine: runs import jobs from plan to end.
//!
//! ```text
//! plan.rs     Source::list            -> plan.ndjson
//! reader.rs   objects -> blocks       -> Task::Parse(ReadBlock)  (one thread a job)
//! cutter.rs   positions -> cuts: where a piece ends
//! workers.rs  lanes of tasks, taken in turn                      (threads of the process, shared by all jobs)
//! stages.rs   parse, then build       -> BuiltPiece              (on those threads)
//! commit.rs   in source order         -> store, failure files    (the thread that runs the job)
//! ```
//!
//! Blocks are parsed in any order and pieces built in any order; they are committed in source order, so that
//! the last record of a key wins and a checkpoint is one position. The engine never decides what a record
//! means (that is `parse`) nor how it is stored (that is `pinport-store`). Start at [`Engine::run`].

mod budget;
mod commit;
mod crew;
mod cutter;
mod division;
mod expected;
pub mod files;
pub(crate) mod ids;
mod keeping;
mod lead;
mod look;
pub mod mirror;
mod piece;
mod pieces;
mod plan;
mod progress;
mod reader;
pub mod search;
mod stages;
mod workers;

use std::{
    cell::RefCell,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
};

use pinport_model::{Border, ImportJob, JobPart, JobStatus, PieceRecord, Position, Timestamp, panic_text};
use pinport_store::{JobWriter, Store, StoreError, boundary};
use tokio_util::sync::CancellationToken;

pub(crate) use self::progress::{Counter, Stage, log_status};
use self::{
    budget::ByteBudget,
    commit::Committer,
    crew::Turn,
    reader::Reader,
    stages::{Stages, Task},
    workers::Workers,
};
pub use self::{
    files::FileError,
    look::{first_data, look},
    progress::{JobProgress, Queues, progress_of},
};
use crate::{
    buffers::Buffers,
    limits::BUILT_PIECES,
    parse::{ParseContext, WrongMapping},
    source::{Source, SourceError},
};

/// The bounds of a process that runs jobs; each is a line of docs/limits.md.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    /// Threads that parse and build.
    pub threads: usize,
    /// Whether the thread that reads a job parses too, while enough blocks wait for the others; it is one of
    /// `threads` then. Best for what is only checked: such a block is still in the cache of the core that read it.
    /// A piece that it builds keeps it from reading.
    pub reader_parses: bool,
    /// Bytes of a block: large enough that hand-over costs nothing, small enough to stay in the cache.
    pub block_bytes: usize,
    /// Bytes in flight in the whole process.
    pub bytes_in_flight: u64,
    /// Whether an import into an existing segment replaces its members, instead of adding to them.
    pub replace_segments: bool,
    /// Bytes of a part of a job, where several servers share the store; jobs are not divided if absent.
    pub part_bytes: Option<u64>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            threads: thread::available_parallelism().map_or(1, usize::from),
            reader_parses: false,
            block_bytes: 512 << 10,
            bytes_in_flight: 256 << 20,
            replace_segments: false,
            part_bytes: None,
        }
    }
}

/// Why a job stopped before its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The source as a whole cannot be read.
    #[error(transparent)]
    Source(SourceError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the job could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The system gave no thread, or the plan could not be read.
    #[error("failed to run the job")]
    Threads(#[source] io::Error),
    /// The export cannot be written as it is asked for.
    #[error("{0}")]
    Export(String),
    /// The job's mapping is none: another version of pinport took it.
    #[error("the job's mapping cannot be used")]
    Mapping(#[source] WrongMapping),
    /// The job was stopped.
    #[error("the job was stopped")]
    Cancelled,
    /// What a part of the job says depends on parts before it that are not done.
    #[error("the part waits for those before it")]
    Early,
    /// A defect in pinport; other jobs go on.
    #[error("a defect in pinport stopped the job: {0}")]
    Panicked(String),
}

/// A reader that was stopped is a job that was stopped.
impl From<SourceError> for JobError {
    fn from(error: SourceError) -> Self {
        if error == SourceError::Cancelled { Self::Cancelled } else { Self::Source(error) }
    }
}

/// How a run of a job ended.
#[derive(Debug)]
pub struct RunOutcome {
    /// The job. COMPLETED or FAILED, or still unfinished when `stopped` is set.
    pub job: ImportJob,
    /// The last committed piece.
    pub last: Option<PieceRecord>,
    /// What stopped the job before its end; it can go on after `last`.
    pub stopped: Option<JobError>,
    /// What can be done about the object for which the job ended FAILED, if this run found it.
    pub hint: Option<String>,
}

/// What a run needs beside the job.
pub struct Run {
    /// The job; what is not yet in the store is taken from here.
    pub job: ImportJob,
    /// Where its objects are.
    pub source: Arc<Source>,
    /// The job's own folder.
    pub folder: PathBuf,
    /// Its live counters.
    pub progress: Arc<JobProgress>,
    /// Stops the run; the job stays as its last committed piece left it.
    pub cancel: CancellationToken,
}

/// Runs jobs, any number at once, on one set of threads and one budget of bytes.
#[derive(Debug)]
pub struct Engine {
    options: EngineOptions,
    workers: Workers<Task>,
    budget: ByteBudget,
}

impl Engine {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the system gives no more threads.
    pub fn start(options: EngineOptions) -> io::Result<Self> {
        let workers = Workers::start(options.threads.max(1) - usize::from(options.reader_parses))?;
        Ok(Self { options, workers, budget: ByteBudget::new(options.bytes_in_flight) })
    }

    /// Whether an import into an existing segment replaces its members.
    pub fn replaces_segments(&self) -> bool {
        self.options.replace_segments
    }

    /// The threads that parse and build, and how many blocks of a job may wait for them.
    pub fn threads(&self) -> (usize, usize) {
        (self.options.threads, self.workers.depth())
    }

    /// Bytes in flight now, and their limit.
    pub fn bytes_in_flight(&self) -> (u64, u64) {
        (self.budget.used(), self.options.bytes_in_flight)
    }

    /// Runs a job to its end on this thread (and others): begins it or goes on after its last committed
    /// piece. Without a store the records are only checked.
    pub fn run(&self, run: Run, store: Option<&Arc<dyn Store>>) -> RunOutcome {
        let Run { mut job, source, folder, progress, cancel } = run;
        let (mut last, mut hint) = (None, None);
        // What was mended belongs beside what was right at once.
        let replace = self.options.replace_segments && job.definition.retry_of.is_none();
        let result = guarded(|| {
            let mut life = Life { job: &mut job, store, progress: &progress, replace, hint: None };
            let driven = self.drive(&mut life, &mut last, &source, folder, &progress, &cancel);
            hint = life.hint;
            driven
        });
        if let Some(record) = &last {
            record.count_into(&mut job);
        }
        progress.finish(&job);
        RunOutcome { job, last, stopped: result.and_then(|result| result).err(), hint }
    }

    fn drive(
        &self,
        life: &mut Life<'_>,
        last: &mut Option<PieceRecord>,
        source: &Arc<Source>,
        folder: PathBuf,
        progress: &Arc<JobProgress>,
        cancel: &CancellationToken,
    ) -> Result<(), JobError> {
        let store = life.store;
        *last = match store {
            Some(store) => store.last_piece(life.job.id)?,
            None => None,
        };
        life.advance(JobStatus::Initializing)?;
        plan::make_plan(life, source, &folder, self.options.part_bytes)?;
        life.advance(JobStatus::Processing)?;
        if let Some(store) = store
            && life.job.plan.as_ref().is_some_and(|plan| plan.parts > 0)
        {
            let site = Site { store, source, folder: &folder, progress };
            lead::drive(self, &site, life, last, cancel)?;
            return commit::finish(life, last.as_ref(), &folder);
        }
        // The run has a token of its own: it also ends the reader when the committer has had enough.
        let stop = cancel.child_token();
        let flow = Flow {
            job: &life.job.clone(),
            source,
            folder: &folder,
            progress,
            writer: store.map(|store| store.writer(life.job)).transpose()?,
            marks: store.is_some_and(|store| store.marks_jobs()),
            part: WHOLE,
            last: last.as_ref().map(|last| (last.end, last.piece + 1)),
            stop: &stop,
            turn: None,
        };
        let committer = Committer::open(life, &folder, last, &stop)?;
        self.flow(flow, committer)?;
        commit::finish(life, last.as_ref(), &folder)
    }

    /// Reads a job or a part of one, and has its pieces parsed, built and committed. Returns when all of it is committed.
    fn flow(&self, flow: Flow<'_>, committer: Committer<'_, '_>) -> Result<(), JobError> {
        let Flow { job, source, folder, progress, writer, marks, part, last, stop, turn } = flow;
        let definition = Arc::new(job.definition.clone());
        let (built, pieces) = mpsc::sync_channel(BUILT_PIECES);
        let mut context =
            ParseContext::new(&definition.read, definition.limits, job.created).map_err(JobError::Mapping)?;
        context.mark = (definition.register_endpoints && marks).then_some(job.id);
        let stages = Arc::new(Stages {
            context,
            writer,
            progress: Arc::clone(progress),
            built,
            buffers: Buffers::new(self.options.block_bytes),
        });
        // It outlives the reader: the last tasks wait in it when everything is read.
        let lane = Arc::new(self.workers.lane());
        let reader = Reader {
            source: Arc::clone(source),
            folder: folder.to_owned(),
            definition,
            block_bytes: self.options.block_bytes,
            lane: Arc::clone(&lane),
            parser: self.options.reader_parses.then(RefCell::default),
            budget: self.budget.clone(),
            progress: Arc::clone(progress),
            cancel: stop.clone(),
            stages,
            part,
            _turn: turn,
        };
        let (start, number) = last.unwrap_or((part.position(), 0));
        thread::scope(|scope| {
            let thread = thread::Builder::new().name("reader".into());
            let reader = thread.spawn_scoped(scope, move || {
                let stages = Arc::clone(&reader.stages);
                let ended = guarded(|| reader.run(start, number)).and_then(|ended| ended);
                if let Err(error) = ended {
                    stages.deliver(Err(error));
                }
            })?;
            // Whatever happens here, the reader must learn that nothing is committed any more.
            let committed = guarded(|| committer.run(pieces, number)).and_then(|committed| committed);
            stop.cancel();
            drop(reader.join());
            committed
        })
    }

    /// Works on parts of a job that another server has planned and will end, as long as there are some that no one works on
    /// and `go_on` says so.
    ///
    /// # Errors
    /// What kept this server from a part. Nothing of the job is changed by it; the part is given back.
    pub fn help(
        &self,
        run: Run,
        store: &Arc<dyn Store>,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), JobError> {
        let Run { job, source, folder, progress, cancel } = run;
        let site = Site { store, source: &source, folder: &folder, progress: &progress };
        crew::help(self, &site, job, &cancel, go_on)
    }
}

/// All of a job.
const WHOLE: JobPart = JobPart {
    number: 0,
    start: Border { object: 0, byte: 0 },
    end: Border { object: u64::MAX, byte: 0 },
    bytes: 0,
    packed: 0,
};

/// Where a job is worked on.
#[derive(Clone, Copy)]
struct Site<'a> {
    store: &'a Arc<dyn Store>,
    source: &'a Arc<Source>,
    folder: &'a Path,
    progress: &'a Arc<JobProgress>,
}

/// What flows through the stages: a job, or a part of one.
struct Flow<'a> {
    job: &'a ImportJob,
    source: &'a Arc<Source>,
    /// Where the plan is.
    folder: &'a Path,
    progress: &'a Arc<JobProgress>,
    writer: Option<Arc<dyn JobWriter>>,
    /// Whether records are to say which job they came with.
    marks: bool,
    part: JobPart,
    /// Where its last committed piece ended, and the number of the next.
    last: Option<(Position, u64)>,
    stop: &'a CancellationToken,
    turn: Option<Turn>,
}

/// A job, and everything that follows its changes.
pub(crate) struct Life<'a> {
    pub(crate) job: &'a mut ImportJob,
    pub(crate) store: Option<&'a Arc<dyn Store>>,
    pub(crate) progress: &'a JobProgress,
    pub(crate) replace: bool,
    pub(crate) hint: Option<String>,
}

impl Life<'_> {
    /// Moves the job on, durably.
    pub(crate) fn advance(&mut self, status: JobStatus) -> Result<(), JobError> {
        debug_assert!(
            self.job.status == status || self.job.status.may_become(status) || self.store.is_none()
        );
        if !self.progress.set_status(status) {
            return Err(JobError::Cancelled);
        }
        self.job.status = status;
        self.save()
    }

    fn save(&self) -> Result<(), JobError> {
        self.store.map_or(Ok(()), |store| store.save_job(self.job))?;
        boundary("job.saved");
        Ok(())
    }

    /// Ends the job, durably, together with its segment's new version.
    pub(crate) fn end(&mut self, status: JobStatus) -> Result<(), JobError> {
        self.job.status = status;
        self.job.completed = Some(Timestamp::now());
        boundary("job.ending");
        self.store.map_or(Ok(()), |store| store.finish_job(self.job, self.replace))?;
        boundary("job.ended");
        // Only what is durable is shown as ended.
        self.progress.set_status(status);
        Ok(())
    }
}

/// Runs `work`; a panic becomes an error of the job, so that other jobs go on.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, JobError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| JobError::Panicked(panic_text(&*panic).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_tells_what_it_runs_on() {
        let engine =
            Engine::start(EngineOptions { threads: 3, bytes_in_flight: 10, ..EngineOptions::default() });
        let engine = engine.unwrap();
        assert_eq!(engine.threads(), (3, 3 * crate::limits::WAITING_PER_THREAD));
        assert_eq!(engine.bytes_in_flight(), (0, 10));
    }

    #[test]
    fn a_panic_becomes_an_error_of_the_job() {
        let number = 17;
        let message = |error| match error {
            JobError::Panicked(message) => message,
            other => panic!("{other}"),
        };
        assert_eq!(message(guarded(|| panic!("at {number}")).unwrap_err()), "at 17");
        assert_eq!(message(guarded(|| panic!("plainly")).unwrap_err()), "plainly");
        assert!(guarded(|| 1).is_ok());
    }
}
