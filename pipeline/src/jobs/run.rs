//! One job on its thread, and what becomes of it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use pinport_model::{
    ImportJob, JobId, JobStatus, SourceLocation, Timestamp, panic_text, view::JobView, with_causes,
};
use pinport_store::{StopRequest, StoreError};
use tokio_util::sync::CancellationToken;

use super::{
    AWAY, Inner, NotAllowed, Occasion, create, export,
    faults::{halting_reason, is_halting, lacks_descriptors, lacks_room, may_pass},
    marks,
    queue::{Place, State},
};
use crate::{
    engine::{JobError, JobProgress, Run, RunOutcome, log_status, mirror},
    source::{Source, SourceError, SourceOptions},
};

/// Why a job stopped, before it is decided what that means.
enum Stopped {
    /// The engine ended it in the store.
    Ended,
    Error(JobError),
    /// Another server works on it, or has ended it.
    Gone,
    /// Its source is not open to it (any more).
    NotAllowed(NotAllowed),
}

/// Runs a job to its end, or to where it rests.
pub(super) fn run(inner: &Inner, job: ImportJob, cancel: CancellationToken, progress: Arc<JobProgress>) {
    let begun = Instant::now();
    let mut kept = job.clone();
    let outcome = catch_unwind(AssertUnwindSafe(|| attempt(inner, job, cancel, &progress)));
    let (mut job, stopped) = outcome.unwrap_or_else(|panic| {
        // What the store knows of it is newer than what it began with.
        if let Ok(Some(stored)) = inner.store.job(kept.id) {
            kept = stored;
        }
        (kept, Stopped::Error(JobError::Panicked(panic_text(&*panic).into())))
    });
    inner.note_run(job.id, &progress);
    if matches!(stopped, Stopped::Gone | Stopped::Error(JobError::Store(StoreError::Lost(_)))) {
        // Nothing of it is ours to change.
        return inner.gone(&job, ELSEWHERE);
    }
    if let Stopped::Error(JobError::Store(StoreError::Behind(why))) = &stopped {
        return inner.gone(&job, why);
    }
    match conclude(inner, &mut job, stopped, &progress) {
        Ok(()) => {}
        Err(error) if lacks_descriptors(&error) => {
            // What it came to could not be written: it comes to it again.
            (job.status, job.completed) = (JobStatus::PendingJob, None);
            let wait = inner.options().list_wait;
            let text = format!("too many files are open, trying again in {} s", wait.as_secs());
            inner.wait_again(&job, Instant::now() + wait, 0, text);
        }
        Err(JobError::Store(error @ StoreError::Unavailable { .. })) => {
            tracing::warn!(target: "pinport::job", job = %job.id, error = %with_causes(&error), "the database is away");
            (job.status, job.completed) = (JobStatus::PendingJob, None);
            let text = format!("the database does not answer, trying again in {} s", AWAY.as_secs());
            inner.wait_again(&job, Instant::now() + AWAY, 0, text);
        }
        // Another server took it over and may have ended it.
        Err(JobError::Store(StoreError::Lost(_) | StoreError::Conflict(_))) if inner.store.is_shared() => {
            return inner.gone(&job, ELSEWHERE);
        }
        Err(JobError::Store(StoreError::Behind(why))) => return inner.gone(&job, &why),
        Err(error) => inner.halt(&error),
    }
    if !job.status.is_terminal() {
        inner.store.release(job.id);
    }
    inner.left(&job, begun.elapsed());
}

fn attempt(
    inner: &Inner,
    mut job: ImportJob,
    cancel: CancellationToken,
    progress: &Arc<JobProgress>,
) -> (ImportJob, Stopped) {
    if let Err(error) = take(inner, &mut job) {
        let stopped = if is_gone(inner, &error) { Stopped::Gone } else { Stopped::Error(error) };
        return (job, stopped);
    }
    let folder = inner.folder(job.id);
    let options = match inner.source_options(&job) {
        Ok(options) => SourceOptions { cancel: cancel.clone(), ..options },
        Err(error) => return (job, Stopped::NotAllowed(error)),
    };
    if job.definition.export.is_some() {
        let store = &inner.store;
        let running = export::Running {
            store,
            options: &options,
            io: inner.io.clone(),
            folder: &folder,
            progress,
            cancel,
        };
        let stopped = match export::run(&mut job, &running) {
            Ok(()) => Stopped::Ended,
            Err(error) => Stopped::Error(error),
        };
        return (job, stopped);
    }
    let source = match inner.open_source(&job, options) {
        Ok(source) => source,
        Err(error) => return (job, Stopped::Error(error.into())),
    };
    let run = Run { job, source, folder, progress: Arc::clone(progress), cancel };
    let RunOutcome { job, stopped, .. } = inner.engine.run(run, Some(&inner.store));
    (job, stopped.map_or(Stopped::Ended, Stopped::Error))
}

/// Makes a job this process's to run, with the files that another process has of it.
pub(super) fn take(inner: &Inner, job: &mut ImportJob) -> Result<(), JobError> {
    if let Some(stored) = inner.store.claim(job.id)? {
        // Another process may have worked on it meanwhile.
        *job = stored;
        mirror::bring(&*inner.store, job.id, job.definition.format, &inner.folder(job.id))?;
    }
    if job.plan.is_some() {
        job.resumed += 1;
    }
    Ok(inner.store.save_job(job)?)
}

/// Whether an error of [`take`] says that the job is another server's, or has ended.
fn is_gone(inner: &Inner, error: &JobError) -> bool {
    use StoreError::{Conflict, Lost, NotFound};
    inner.store.is_shared() && matches!(error, JobError::Store(Lost(_) | Conflict(_) | NotFound { .. }))
}

/// Decides what a stop means, and makes it durable.
fn conclude(
    inner: &Inner,
    job: &mut ImportJob,
    stopped: Stopped,
    progress: &JobProgress,
) -> Result<(), JobError> {
    let error = match stopped {
        Stopped::Ended | Stopped::Gone => return Ok(()),
        Stopped::NotAllowed(error) => return Ok(fail(inner, job, progress, error.to_string())?),
        Stopped::Error(error) => error,
    };
    // From here on no one can ask for a cancellation that would not be seen.
    let (stop_request, tries) = {
        let state = inner.state.lock();
        let entry = state.jobs.get(&job.id);
        let tries = entry.map_or(0, |entry| match entry.place {
            Place::Running { tries, .. } => tries,
            _ => 0,
        });
        (entry.and_then(|entry| entry.stop_request), tries)
    };
    let may_wait = tries < inner.options().list_retries;
    let wait = inner.options().list_wait * 2_u32.pow(tries.min(6));
    if lacks_room(&error) && stop_request != Some(StopRequest::Cancel) && inner.store.check().is_ok() {
        tracing::warn!(target: "pinport::job", job = %job.id, error = %with_causes(&error), "the disk is full");
        let is_of_database = inner.store.is_shared() && matches!(error, JobError::Store(_));
        let whose = if is_of_database { "database" } else { "server" };
        let text = format!("the {whose}'s disk is full, trying again in {} s", wait.as_secs());
        inner.wait_again(job, Instant::now() + wait, tries + 1, text);
        // It rests where its last committed piece ended. That is not saved: the store is not to be tried now.
        job.status = JobStatus::PendingJob;
        return Ok(());
    }
    if let JobError::Store(StoreError::Unavailable { .. }) = &error {
        tracing::warn!(target: "pinport::job", job = %job.id, error = %with_causes(&error), "the database is away");
        let text = format!("the database does not answer, trying again in {} s", AWAY.as_secs());
        inner.wait_again(job, Instant::now() + AWAY, tries, text);
        // It rests where its last committed piece ended. That is not saved: the store is not to be tried now.
        job.status = JobStatus::PendingJob;
        return Ok(());
    }
    if matches!(error, JobError::Store(StoreError::Engine(_))) && inner.store.is_shared() {
        // A database may say many things that are over soon; what it says of one job is not the others' concern.
        tracing::error!(target: "pinport::job", job = %job.id, error = %with_causes(&error), "the database refuses");
        let text = format!("the database refused a change, trying again in {} s", wait.as_secs());
        inner.wait_again(job, Instant::now() + wait, tries + 1, text);
        job.status = JobStatus::PendingJob;
        return Ok(());
    }
    if is_halting(&error) {
        job.status = JobStatus::PendingJob;
        return Err(error);
    }
    match (&error, stop_request) {
        (_, Some(StopRequest::Cancel)) => return Ok(inner.end_cancelled(job)?),
        (JobError::Cancelled | JobError::Source(SourceError::Cancelled), _) => {}
        (JobError::Source(source), _) if may_wait && may_pass(source) => {
            let what = if job.definition.export.is_some() { "written" } else { "read" };
            let text = format!("it cannot be {what} yet, trying again in {} s: {source}", wait.as_secs());
            inner.wait_again(job, Instant::now() + wait, tries + 1, text);
        }
        (error, _) if may_wait && lacks_descriptors(error) => {
            let text = format!("too many files are open, trying again in {} s", wait.as_secs());
            inner.wait_again(job, Instant::now() + wait, tries + 1, text);
        }
        (error, _) => {
            return Ok(fail(inner, job, progress, with_causes(error))?);
        }
    }
    // It rests where its last committed piece ended.
    job.status = JobStatus::PendingJob;
    if inner.state.lock().short.is_some() {
        // Not saved, for the store is not to be tried on a disk without room. A restart begins as PENDING_JOB too.
        return Ok(());
    }
    Ok(inner.store.save_job(job)?)
}

/// Ends a job as FAILED, unless it is being cancelled.
fn fail(inner: &Inner, job: &mut ImportJob, progress: &JobProgress, error: String) -> Result<(), StoreError> {
    if !progress.begin_end() {
        return inner.end_cancelled(job);
    }
    if let Some(last) = inner.close(job.id)? {
        last.count_into(job);
    }
    if job.definition.export.is_some() {
        // The part that could not be written.
        job.failed_pieces = 1;
    }
    // Those who see the job need not learn where the server keeps its files.
    let folder = format!("{}/", inner.options().folder.display());
    job.error = Some(error.replace(&folder, ""));
    job.status = JobStatus::Failed;
    log_status(job.id, job.status);
    job.completed = Some(Timestamp::now());
    inner.store.finish_job(job, inner.engine.replaces_segments())?;
    Ok(())
}

/// What is said of a job that was taken over.
const ELSEWHERE: &str = "another server works on it";

impl Inner {
    /// Keeps what a run counted, once it is over.
    pub(super) fn note_run(&self, job: JobId, progress: &JobProgress) {
        progress.stop();
        let (snapshot, now) = (progress.snapshot(), Timestamp::now());
        marks::save_progress(&self.folder(job), &snapshot);
        let (before, history) = {
            let mut state = self.state.lock();
            let kept = state.jobs.get_mut(&job).map(|entry| {
                let grown = entry.record(&snapshot, progress.by_others(), now);
                entry.rested = Some(snapshot.clone());
                (grown, entry.last.clone(), entry.history.points())
            });
            let (grown, before, history) = kept.unwrap_or_default();
            state.add(grown, now);
            (before, history)
        };
        marks::save_history(&self.folder(job), &history);
        self.totals.lock().add(&snapshot, before.as_ref(), progress.by_others());
    }

    /// How the source of a job is read.
    pub(super) fn source_options(&self, job: &ImportJob) -> Result<SourceOptions, NotAllowed> {
        match self.upload_of(job) {
            Some(_) => {
                let upload = self.folder(job.id).join(create::UPLOAD);
                Ok(self.resolver().own_folder(&upload, &job.definition.source_text))
            }
            None => self.resolver().resolve_job(job),
        }
    }

    /// The same for who has no other word for it than that the source denies access.
    pub(super) fn allowed_options(&self, job: &ImportJob) -> Result<SourceOptions, SourceError> {
        self.source_options(job).map_err(|error| {
            let (url, reason) = (job.definition.source_text.clone(), error.to_string());
            SourceError::AccessDenied { url, reason, credentials: false }
        })
    }

    /// The file that was uploaded for a job, if one was.
    pub(super) fn upload_of<'a>(&self, job: &'a ImportJob) -> Option<&'a Path> {
        let SourceLocation::Path(file) = &job.definition.source else { return None };
        file.starts_with(self.folder(job.id).join(create::UPLOAD)).then_some(file)
    }

    /// Opens the source of a job to read what it imports.
    pub(super) fn open_source(
        &self,
        job: &ImportJob,
        options: SourceOptions,
    ) -> Result<Arc<Source>, SourceError> {
        let source = Source::open(&job.definition.source, options, self.io.clone())?;
        Ok(Arc::new(source.reading(job.definition.format, &job.definition.read)))
    }

    fn wait_again(&self, job: &ImportJob, then: Instant, tries: u32, text: String) {
        let mut state = self.state.lock();
        state.happened(job.id, text.clone());
        if let Some(entry) = state.jobs.get_mut(&job.id) {
            entry.why = Some(text);
            // The thread still holds the job until it says that it left.
            if let Place::Running { tries: found, .. } = &mut entry.place {
                *found = tries;
            }
            entry.not_before = Some(then);
        }
    }

    /// Takes a job off its thread.
    fn left(&self, job: &ImportJob, took: Duration) {
        let ended = job.status.is_terminal();
        if ended {
            self.after_end(job);
        }
        let last = if ended { None } else { self.store.totals(job.id).ok().flatten() };
        let view = ended.then(|| self.ended_view(job));
        let told = view.as_ref().and_then(|view| view.as_ref().ok()).cloned();
        let mut state = self.state.lock();
        let halted = state.halted.is_some();
        if ended {
            self.show_ended(&mut state, job, view.and_then(Result::ok), took);
        } else if let Some(entry) = state.jobs.get_mut(&job.id) {
            entry.job = job.clone();
            // No one sees a job go back from CANCELLING.
            let cancelling = entry.stop_request == Some(StopRequest::Cancel);
            entry.set_status(if cancelling { JobStatus::Cancelling } else { job.status });
            entry.last = last.or(entry.last.take());
            let tries = match entry.place {
                Place::Running { tries, .. } => tries,
                _ => 0,
            };
            let paused = entry.stop_request == Some(StopRequest::Pause);
            let cancelled = entry.stop_request == Some(StopRequest::Cancel) && !halted;
            entry.place = match paused {
                true => Place::Paused,
                false => Place::Waiting { not_before: entry.not_before.take(), tries },
            };
            entry.stop_request = None;
            state.changes += 1;
            if cancelled {
                drop(state);
                // It was asked for while the job was on its way to rest.
                self.cancel_resting(job.id);
                return self.dispatch();
            }
            if paused {
                state.happened(job.id, "paused");
            }
        }
        drop(state);
        if let Some(view) = told {
            self.tell(Occasion::Ended, view, false);
        }
        self.dispatch();
        self.settle_when_idle();
    }

    /// Shows a job as ended from now on.
    pub(super) fn show_ended(
        &self,
        state: &mut State,
        job: &ImportJob,
        view: Option<JobView>,
        took: Duration,
    ) {
        state.jobs.remove(&job.id);
        let mut ran_ms = took.as_millis() as u64;
        if let Some(view) = view {
            ran_ms = view.progress.ran_ms();
            state.push_ended(view);
        }
        let tally = &job.tally;
        let mut text = format!("{}: {} read, {} failed", job.status, tally.read, tally.failed);
        text.push_str(&format!(", {:.1} s", took.as_secs_f64()));
        if let Some(error) = &job.error {
            text.push_str(": ");
            text.push_str(&pinport_model::escape_controls(error));
        }
        state.happened(job.id, text);
        self.totals.lock().ended(job, ran_ms);
    }

    /// Stops all jobs of the process, none of which has failed.
    pub(super) fn halt(&self, error: &JobError) {
        let mut state = self.state.lock();
        if state.halted.is_some() {
            return;
        }
        let text = with_causes(error);
        tracing::error!(target: "pinport::job", error = %text, "all jobs are stopped: nothing can be stored");
        // Every listener gets this one, so it names no path.
        let reason = format!(
            "nothing can be stored any more ({}; the server's log says where); mend that and start the server again: every \
             job goes on by itself",
            halting_reason(error)
        );
        state.note(None, reason.clone());
        state.halted = Some(reason);
        self.stopped.cancel();
        state.let_running_rest();
        state.changes += 1;
        drop(state);
        self.changed.notify_all();
    }
}
