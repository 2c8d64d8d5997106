//! Works on parts of jobs that other servers lead, while this server has room and no job of its own to begin.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use pinport_model::{ImportJob, panic_text, with_causes};
use pinport_store::{OpenJob, StoreError};
use tokio_util::sync::CancellationToken;

use super::{AWAY, Inner};
use crate::{
    engine::{JobError, JobProgress, Run, mirror},
    source::SourceOptions,
};

/// How long a job is left alone that this server could not help with.
const APART: Duration = Duration::from_secs(60);

/// A job that this server helps with.
pub(super) struct Helping {
    pub(super) cancel: CancellationToken,
    pub(super) progress: Arc<JobProgress>,
    /// Its counters when they were sampled last: records and bytes.
    pub(super) sampled: [u64; 2],
}

impl Inner {
    /// Begins to help where parts are open, and stops where the job rests or ends.
    pub(super) fn help(&self, open: &[OpenJob]) {
        let Some(this) = self.this.upgrade() else { return };
        let may_help = |found: &&OpenJob| {
            found.open_parts > 0 && found.asked.is_none() && found.worker.is_some() && !found.is_elsewhere
        };
        let mut state = self.state.lock();
        for (id, helping) in &state.helping {
            let goes_on = |found: &OpenJob| {
                found.job.id == *id && found.asked.is_none() && !found.job.status.is_terminal()
            };
            if !open.iter().any(goes_on) {
                helping.cancel.cancel();
            }
        }
        let now = Instant::now();
        state.no_help_before.retain(|_, then| *then > now);
        for found in open.iter().filter(may_help) {
            let id = found.job.id;
            let has_room = state.running() + state.helping.len() < self.options().max_running;
            let is_known = state.helping.contains_key(&id) || state.jobs.contains_key(&id);
            let is_left_alone = state.no_help_before.contains_key(&id);
            if state.stopping || state.trouble().is_some() || !has_room || is_known || is_left_alone {
                continue;
            }
            let cancel = CancellationToken::new();
            let progress = Arc::new(JobProgress::new(id).throttled(vec![Arc::clone(&self.throttle)]));
            let helping =
                Helping { cancel: cancel.clone(), progress: Arc::clone(&progress), sampled: [0; 2] };
            state.helping.insert(id, helping);
            let (inner, job) = (Arc::clone(&this), found.job.clone());
            let thread = std::thread::Builder::new().name(format!("help-{:.8}", id.to_string()));
            if let Err(error) = thread.spawn(move || help(&inner, job, cancel, &progress)) {
                tracing::error!(target: "pinport::job", job = %id, %error, "no thread to help with the job");
                state.helping.remove(&id);
            }
        }
    }

    /// Whether a job waits here that could be begun if nobody helped others.
    fn has_own_work(&self) -> bool {
        let state = self.state.lock();
        state.stopping || state.trouble().is_some() || state.next(Instant::now(), |_| None).is_some()
    }
}

fn help(inner: &Inner, job: ImportJob, cancel: CancellationToken, progress: &Arc<JobProgress>) {
    let id = job.id;
    let helped = catch_unwind(AssertUnwindSafe(|| attempt(inner, job, cancel, progress)));
    let helped = helped.unwrap_or_else(|panic| Err(JobError::Panicked(panic_text(&*panic).into())));
    inner.totals.lock().add(&progress.snapshot(), None, [0; 2]);
    let mut state = inner.state.lock();
    state.helping.remove(&id);
    match helped {
        Ok(()) | Err(JobError::Cancelled | JobError::Store(StoreError::Lost(_))) => {}
        // Another server has the job and says what becomes of it; this one leaves it alone for some time.
        Err(error) => {
            let wait = match error {
                JobError::Store(StoreError::Unavailable { .. }) => AWAY,
                _ => APART,
            };
            state.no_help_before.insert(id, Instant::now() + wait);
            tracing::warn!(target: "pinport::job", job = %id, error = %with_causes(&error), "this server cannot help with the job");
        }
    }
    drop(state);
    inner.changed.notify_all();
    inner.dispatch();
}

fn attempt(
    inner: &Inner,
    job: ImportJob,
    cancel: CancellationToken,
    progress: &Arc<JobProgress>,
) -> Result<(), JobError> {
    let folder = inner.folder(job.id);
    mirror::bring(&*inner.store, job.id, job.definition.format, &folder)?;
    let options = inner.allowed_options(&job)?;
    let source = inner.open_source(&job, SourceOptions { cancel: cancel.clone(), ..options })?;
    tracing::info!(target: "pinport::job", job = %job.id, "helps with the job");
    let run = Run { job, source, folder, progress: Arc::clone(progress), cancel };
    inner.engine.help(run, &inner.store, &|| !inner.has_own_work())
}
