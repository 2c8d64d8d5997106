//! Cancel, pause, resume, stop. What is asked is durable before it is answered.

use std::time::{Duration, Instant};

use pinport_model::{ApplicationId, ImportJob, JobId, JobStatus};
use pinport_store::{StopRequest, StoreError};

use super::{Jobs, Occasion, marks, queue::Place, retention::remove_folder};
use crate::{engine::FileError, limits::PAUSE_WAIT, throttle::ThrottleRate};

/// Why something asked of a job was not done.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no such job.
    #[error("there is no job {0}")]
    NotFound(JobId),
    /// The job is in a state that does not allow it.
    #[error("the job {0}")]
    Conflict(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file beside it failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Jobs {
    /// Cancels a job. One that runs is CANCELLING until its thread has stopped, soon after; what its pieces
    /// committed stays.
    pub fn cancel(&self, id: JobId) -> Result<(), ControlError> {
        self.check_open(id)?;
        if self.inner.ask_others(id, Some(StopRequest::Cancel))? && !self.is_here(id) {
            return Ok(());
        }
        marks::set_cancel(&self.folder(id))?;
        let mut state = self.inner.state.lock();
        let Some(entry) = state.jobs.get_mut(&id) else {
            drop(state);
            return Err(self.ended(id)?);
        };
        match &entry.place {
            Place::Running { cancel, progress, .. } => {
                if entry.stop_request == Some(StopRequest::Cancel) {
                    return Ok(());
                }
                if !progress.begin_cancel() {
                    let status = progress.snapshot().status;
                    return Err(ControlError::Conflict(format!("is {status}: it ends by itself")));
                }
                entry.stop_request = Some(StopRequest::Cancel);
                cancel.cancel();
                state.happened(id, "cancelling");
                drop(state);
                self.inner.changed.notify_all();
                Ok(())
            }
            Place::Ending => Ok(()),
            Place::Waiting { .. } | Place::Paused => {
                drop(state);
                self.inner.cancel_resting(id);
                self.inner.dispatch();
                Ok(())
            }
        }
    }

    /// Makes a job rest as PENDING_JOB after its last committed piece, until it is resumed.
    pub fn pause(&self, id: JobId) -> Result<(), ControlError> {
        self.check_open(id)?;
        if self.inner.ask_others(id, Some(StopRequest::Pause))? && !self.is_here(id) {
            return Ok(());
        }
        marks::set_paused(&self.folder(id), true)?;
        let mut state = self.inner.state.lock();
        let Some(entry) = state.jobs.get_mut(&id) else {
            drop(state);
            return Err(self.ended(id)?);
        };
        match &entry.place {
            Place::Paused => return Ok(()),
            Place::Waiting { .. } => {
                entry.place = Place::Paused;
                entry.set_status(JobStatus::PendingJob);
                state.happened(id, "paused");
            }
            Place::Running { cancel, .. } if entry.stop_request != Some(StopRequest::Cancel) => {
                entry.stop_request = Some(StopRequest::Pause);
                cancel.cancel();
            }
            Place::Running { .. } | Place::Ending => {
                return Err(ControlError::Conflict("is being cancelled".into()));
            }
        }
        drop(state);
        self.inner.dispatch();
        self.await_rest(id)
    }

    /// Lets a paused job go on when its turn comes.
    pub fn resume(&self, id: JobId) -> Result<(), ControlError> {
        self.check_open(id)?;
        if self.inner.ask_others(id, None)? && !self.is_here(id) {
            return Ok(());
        }
        if self
            .inner
            .state
            .lock()
            .jobs
            .get(&id)
            .is_some_and(|entry| entry.stop_request == Some(StopRequest::Pause))
        {
            self.await_rest(id)?;
        }
        let is_paused = |place: &Place| matches!(place, Place::Paused);
        if !self.inner.state.lock().jobs.get(&id).is_some_and(|entry| is_paused(&entry.place)) {
            return Err(ControlError::Conflict("is not paused".into()));
        }
        marks::set_paused(&self.folder(id), false)?;
        let mut state = self.inner.state.lock();
        if let Some(entry) = state.jobs.get_mut(&id).filter(|entry| is_paused(&entry.place)) {
            entry.place = Place::Waiting { not_before: None, tries: 0 };
            state.happened(id, "resumed");
        }
        drop(state);
        self.inner.dispatch();
        Ok(())
    }

    /// Whether a job is in this process's table.
    fn is_here(&self, id: JobId) -> bool {
        self.inner.state.lock().jobs.contains_key(&id)
    }

    /// How fast a job that has not ended may read.
    pub fn throttle_of(&self, id: JobId) -> Result<ThrottleRate, ControlError> {
        self.check_open(id)?;
        let rate = self.inner.state.lock().jobs.get(&id).map(|entry| entry.throttle.rate());
        Ok(rate.unwrap_or_default())
    }

    /// Changes how fast a job may read, from its next block on and across restarts.
    pub fn throttle(&self, id: JobId, rate: ThrottleRate) -> Result<(), ControlError> {
        self.check_open(id)?;
        let is_export = |job: &ImportJob| job.definition.export.is_some();
        if self.inner.store.job(id)?.as_ref().is_some_and(is_export) {
            return Err(ControlError::Conflict("is an export: only imports have a rate".into()));
        }
        if let Some(server) = self.inner.worker(id) {
            return Err(ControlError::Conflict(format!(
                "is worked on by the server {server}: set its rate there"
            )));
        }
        marks::set_throttle(&self.folder(id), rate)?;
        let mut state = self.inner.state.lock();
        let Some(entry) = state.jobs.get(&id) else {
            drop(state);
            return Err(self.ended(id)?);
        };
        entry.throttle.set(rate);
        state.happened(id, if rate.is_none() { "reads as fast as it can" } else { "reads at a rate" });
        Ok(())
    }

    /// How fast all jobs together may read.
    pub fn throttle_of_all(&self) -> ThrottleRate {
        self.inner.throttle.rate()
    }

    /// Changes how fast all jobs together may read, until the process ends or its configuration says something new.
    pub fn throttle_all(&self, rate: ThrottleRate) {
        self.inner.throttle.set(rate);
        tracing::info!(target: "pinport::job", ?rate, "the rate of all jobs is another");
    }

    /// Begins no more jobs and lets the running ones rest after their last committed pieces; how many still
    /// run when the time is over.
    pub fn stop(&self, limit: Duration) -> usize {
        let until = Instant::now() + limit;
        let mut state = self.inner.state.lock();
        state.stopping = true;
        state.changes += 1;
        state.let_running_rest();
        while state.running() + state.helping.len() > 0 {
            if self.inner.changed.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        let left = state.running() + state.helping.len();
        drop(state);
        self.inner.changed.notify_all();
        self.inner.store.leave();
        left
    }

    /// Waits until a job has left its thread; for tests and for callers that want the end.
    pub fn wait(&self, id: JobId, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let mut state = self.inner.state.lock();
        while state.jobs.get(&id).is_some_and(|entry| !matches!(entry.place, Place::Paused)) {
            if self.inner.changed.wait_until(&mut state, until).timed_out() {
                return false;
            }
        }
        true
    }

    /// Forgets a deleted application: its ended jobs leave the views, their files the disk. `jobs` are the ids
    /// of the jobs that it had.
    pub fn forget_application(&self, application: ApplicationId, jobs: &[JobId]) {
        self.inner.names.lock().remove(&application);
        let mut state = self.inner.state.lock();
        state.forget(application, jobs.len() as u64);
        drop(state);
        for job in jobs {
            remove_folder(&self.folder(*job), *job);
        }
    }

    fn check_open(&self, id: JobId) -> Result<(), ControlError> {
        // The store knows first that a job has ended: its entry is here until its thread says so. Another server may have it.
        let is_open = self.inner.store.job(id)?.is_some_and(|job| !job.status.is_terminal());
        match is_open && (self.inner.store.is_shared() || self.is_here(id)) {
            true => Ok(()),
            false => Err(self.ended(id)?),
        }
    }

    fn ended(&self, id: JobId) -> Result<ControlError, ControlError> {
        Ok(match self.inner.store.job(id)? {
            Some(job) => ControlError::Conflict(format!("has ended: it is {}", job.status)),
            None => ControlError::NotFound(id),
        })
    }

    fn await_rest(&self, id: JobId) -> Result<(), ControlError> {
        let until = Instant::now() + PAUSE_WAIT;
        let mut state = self.inner.state.lock();
        loop {
            match state.jobs.get(&id).map(|entry| &entry.place) {
                Some(Place::Paused) => return Ok(()),
                None => {
                    drop(state);
                    return Err(self.ended(id)?);
                }
                Some(_) => {}
            }
            if self.inner.changed.wait_until(&mut state, until).timed_out() {
                return Err(ControlError::Conflict("is still on its way to rest; it will".into()));
            }
        }
    }
}

impl super::Inner {
    /// Ends a job that is not on a thread.
    pub(super) fn cancel_resting(&self, id: JobId) {
        let mut state = self.state.lock();
        let Some(entry) = state.jobs.get_mut(&id) else { return };
        if !matches!(entry.place, Place::Waiting { .. } | Place::Paused) {
            return;
        }
        entry.place = Place::Ending;
        entry.set_status(JobStatus::Cancelling);
        let mut job = entry.job.clone();
        drop(state);
        if let Err(error) = self.end_cancelled(&mut job) {
            // It stays CANCELLING, and its mark ends it when the server starts again.
            return self.halt(&error.into());
        }
        let view = self.ended_view(&job);
        let ran_ms = view.as_ref().map_or(0, |view| view.progress.ran_ms());
        if let Ok(view) = &view {
            self.tell(Occasion::Ended, view.clone(), false);
        }
        let mut state = self.state.lock();
        state.jobs.remove(&id);
        if let Ok(view) = view {
            state.push_ended(view);
        }
        state.happened(id, JobStatus::Cancelled.as_str());
        self.totals.lock().ended(&job, ran_ms);
        drop(state);
        self.changed.notify_all();
    }
}
