//! The one job of a command: it runs on the caller's thread as a server's jobs run on theirs, and is seen in the same way.
//! All other jobs of the store stay as they are. Nothing is tried again: what stops the job is the command's to report, and
//! the job rests after its last committed piece, for the same command to go on with.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use pinport_model::{ImportDefinition, ImportJob, JobId, JobStatus, Timestamp, panic_text, with_causes};
use pinport_store::{Store, StoreError, memory::Memory};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{Inner, Jobs, JobsOptions, Resolver, Seen, queue::Place, run::take};
use crate::{
    engine::{Engine, JobError, JobProgress, Run, RunOutcome},
    source::Source,
};

/// What is special about the jobs of a command.
pub(super) struct Command {
    /// Whether records are only judged, and none is stored.
    checks: bool,
    /// How its job was left. Of one that was only checked no store knows, and of one that was stopped it knows that it waits.
    left: Mutex<Option<Seen>>,
}

impl Command {
    /// A job as it was left, if it was.
    pub(super) fn left(&self, id: JobId) -> Option<Seen> {
        self.left.lock().clone().filter(|seen| seen.job.id == id)
    }
}

/// Whether two definitions describe the same work. Bounds that were changed since do not make it another: the job goes on
/// with its own.
pub fn is_same_work(one: &ImportDefinition, other: &ImportDefinition) -> bool {
    let work = |definition: &ImportDefinition| {
        let ImportDefinition { application, source, format, register_endpoints, segment_name, read, .. } =
            definition.clone();
        (application, source.to_string(), format, register_endpoints, segment_name, read)
    };
    one.kind() == other.kind() && work(one) == work(other)
}

/// A job that a command is about to run.
pub struct CommandRun {
    jobs: Jobs,
    job: ImportJob,
    source: Arc<Source>,
    cancel: CancellationToken,
    progress: Arc<JobProgress>,
    read_before: u64,
}

impl Jobs {
    /// The jobs of a command. Without a store the records of its job are only judged, and the job is kept in memory.
    pub fn of_command(
        store: Option<Arc<dyn Store>>,
        engine: Arc<Engine>,
        options: JobsOptions,
        io: Handle,
    ) -> Self {
        let command = Command { checks: store.is_none(), left: Mutex::default() };
        let store = store.unwrap_or_else(|| Arc::new(Memory::default()));
        Self { inner: Inner::new(store, engine, Resolver::closed(), options, io, Some(command)) }
    }

    /// The jobs that do the same work as a definition and have not ended, oldest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn unfinished(&self, definition: &ImportDefinition) -> Result<Vec<ImportJob>, StoreError> {
        let jobs = self.inner.store.unfinished_jobs()?;
        Ok(jobs.into_iter().filter(|job| is_same_work(&job.definition, definition)).collect())
    }

    /// Ends a job that no one runs as CANCELLED, with a reason. What its pieces committed stays.
    ///
    /// # Errors
    /// If the store fails.
    pub fn give_up(&self, mut job: ImportJob, reason: String) -> Result<(), StoreError> {
        job.error = Some(reason);
        self.inner.end_cancelled(&mut job)
    }

    /// Makes a job durable, for [`Jobs::begin`].
    ///
    /// # Errors
    /// If the store fails.
    pub fn make(&self, id: JobId, definition: ImportDefinition) -> Result<ImportJob, StoreError> {
        let job = ImportJob::new(id, definition, Timestamp::now());
        self.inner.store.create_job(&job)?;
        Ok(job)
    }

    /// Prepares a job that is new or rests to run from its source. From now on it is seen as running.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn begin(
        &self,
        job: ImportJob,
        source: Arc<Source>,
        cancel: CancellationToken,
    ) -> Result<CommandRun, StoreError> {
        let inner = &self.inner;
        let mut entry = inner.at_rest(job.clone(), Place::Waiting { not_before: None, tries: 0 })?;
        let read_before = entry.last.as_ref().map_or(0, |last| last.total.read);
        let progress = Arc::new(JobProgress::going_on(&entry.at_rest()));
        entry.place = Place::Running { cancel: cancel.clone(), progress: Arc::clone(&progress), tries: 0 };
        entry.set_status(JobStatus::PreparingForInitialization);
        let mut state = inner.state.lock();
        state.count(job.definition.application, 1);
        state.jobs.insert(job.id, entry);
        Ok(CommandRun { jobs: self.clone(), job, source, cancel, progress, read_before })
    }
}

impl CommandRun {
    /// The live counters of the job.
    pub fn progress(&self) -> &Arc<JobProgress> {
        &self.progress
    }

    /// Records that earlier runs had read when their last pieces were committed.
    pub fn read_before(&self) -> u64 {
        self.read_before
    }

    /// Runs the job to its end on this thread, or to where it rests; samples are taken meanwhile.
    pub fn run(self) -> RunOutcome {
        let Self { jobs, job, source, cancel, progress, .. } = self;
        let (inner, over) = (&*jobs.inner, CancellationToken::new());
        thread::scope(|scope| {
            // A run that panics ends the samples too.
            let _guard = over.clone().drop_guard();
            let sampler = thread::Builder::new().name("sampler".into());
            let sampling = sampler.spawn_scoped(scope, || inner.sample_until(&over));
            if let Err(error) = sampling {
                tracing::warn!(%error, "no thread for samples of the job");
            }
            inner.run_given(job, source, cancel, &progress)
        })
    }
}

impl Inner {
    fn run_given(
        &self,
        mut job: ImportJob,
        source: Arc<Source>,
        cancel: CancellationToken,
        progress: &Arc<JobProgress>,
    ) -> RunOutcome {
        let begun = Instant::now();
        let taken = catch_unwind(AssertUnwindSafe(|| take(self, &mut job)));
        let taken = taken.unwrap_or_else(|panic| Err(JobError::Panicked(panic_text(&*panic).into())));
        let outcome = match taken {
            Ok(()) => {
                let (folder, progress) = (self.folder(job.id), Arc::clone(progress));
                let checks = self.command.as_ref().is_some_and(|command| command.checks);
                self.engine
                    .run(Run { job, source, folder, progress, cancel }, (!checks).then_some(&self.store))
            }
            Err(error) => RunOutcome { job, last: None, stopped: Some(error), hint: None },
        };
        self.note_run(outcome.job.id, progress);
        self.leave(&outcome, begun.elapsed());
        outcome
    }

    /// Takes the job off the thread: it has ended, or rests.
    fn leave(&self, outcome: &RunOutcome, took: Duration) {
        let RunOutcome { job, last, stopped, .. } = outcome;
        let mut shown = job.clone();
        if let Some(error) = stopped {
            let cancelled = matches!(error, JobError::Cancelled);
            if cancelled {
                // No one is to take it for one that runs. What else stopped it may be the store.
                shown.status = JobStatus::PendingJob;
                if let Err(error) = self.store.save_job(&shown) {
                    tracing::debug!(target: "pinport::job", job = %job.id, %error, "it is not noted as waiting");
                }
            }
            self.store.release(job.id);
            // The command is done with it.
            shown.status = if cancelled { JobStatus::Cancelled } else { JobStatus::Failed };
            shown.error = (!cancelled).then(|| with_causes(error));
            shown.completed.get_or_insert_with(Timestamp::now);
        }
        if stopped.is_none() {
            self.after_end(job);
        }
        let view = self.ended_view(&shown).ok();
        if let (Some(command), Some(view)) = (&self.command, &view) {
            let (job, last, view) = (shown.clone(), last.clone(), view.clone());
            *command.left.lock() = Some(Seen { job, last, view });
        }
        self.show_ended(&mut self.state.lock(), &shown, view, took);
        self.changed.notify_all();
    }
}
