//! Reports that a job ended or stands still, once each time. What is done about it is the listener's; nothing here
//! speaks to anybody.

use std::{
    collections::HashMap,
    fmt, io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use pinport_model::{JobId, view::JobView};

use super::{ControlError, Inner, Jobs, marks, queue::Place};
use crate::limits::STALL_LOOK;

/// What happened to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// It ended.
    Ended,
    /// It reads nothing, for as long as [`super::JobsOptions::stall`] says.
    Stalled,
}

impl Occasion {
    /// Its name, as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "job.ended",
            Self::Stalled => "job.stalled",
        }
    }
}

/// What a listener is told.
#[derive(Debug, Clone)]
pub struct JobNotice {
    /// What happened.
    pub occasion: Occasion,
    /// The job as it stands.
    pub job: JobView,
    /// The webhook that its maker named, beside those that get all jobs.
    pub webhook: Option<String>,
    /// Whether only that webhook gets it.
    pub alone: bool,
}

/// Hears of jobs, on their threads: it must not wait for anybody.
#[derive(Clone)]
pub struct Listener(Arc<dyn Fn(JobNotice) + Send + Sync>);

impl Listener {
    /// Calls this.
    pub fn new(notify: impl Fn(JobNotice) + Send + Sync + 'static) -> Self {
        Self(Arc::new(notify))
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

/// How far jobs had read when they were looked at last, and since when.
#[derive(Debug, Default)]
pub(super) struct Stalls(HashMap<JobId, (u64, Instant, bool)>);

impl Stalls {
    /// The jobs that have read nothing for so long, each once until it reads again. `now` has those that should read.
    fn over(&mut self, now: &[(JobId, u64)], stall: Duration) -> Vec<JobId> {
        self.0.retain(|known, _| now.iter().any(|(job, _)| job == known));
        let mut over = Vec::new();
        for (job, read) in now {
            let (before, since, is_reported) = self.0.entry(*job).or_insert((*read, Instant::now(), false));
            if before != read {
                (*before, *since, *is_reported) = (*read, Instant::now(), false);
            } else if !*is_reported && since.elapsed() >= stall {
                *is_reported = true;
                over.push(*job);
            }
        }
        over
    }
}

/// Looks for jobs that stand still, until the jobs are gone.
pub(super) fn start(inner: &Arc<Inner>) -> io::Result<()> {
    let this = Arc::downgrade(inner);
    thread::Builder::new().name("stalls".into()).spawn(move || {
        let mut stalls = Stalls::default();
        while let Some(inner) = this.upgrade() {
            inner.look_for_stalls(&mut stalls);
            drop(inner);
            thread::park_timeout(STALL_LOOK);
        }
    })?;
    Ok(())
}

impl Jobs {
    /// Notes the webhook that the maker of a job named. If the job has ended, it is called now.
    ///
    /// # Errors
    /// [`ControlError::Conflict`] for a URL that the configuration does not allow.
    pub fn set_webhook(&self, id: JobId, url: &str) -> Result<(), ControlError> {
        let options = self.inner.options();
        if !options.webhooks.iter().any(|allowed| url.starts_with(allowed.as_str())) {
            return Err(ControlError::Conflict(
                "cannot be told of there: [webhooks] allow of the configuration has no beginning of this URL"
                    .into(),
            ));
        }
        let Some(job) = self.inner.store.job(id)? else { return Err(ControlError::NotFound(id)) };
        marks::set_webhook(&self.folder(id), url)?;
        // It may have ended before that was noted.
        let job = self.inner.store.job(id)?.unwrap_or(job);
        if job.status.is_terminal() && !self.inner.state.lock().jobs.contains_key(&id) {
            let view = self.inner.ended_view(&job)?;
            self.inner.tell(Occasion::Ended, view, true);
        }
        Ok(())
    }
}

impl Inner {
    /// Notifies the listener, if there is one.
    pub(super) fn tell(&self, occasion: Occasion, job: JobView, alone: bool) {
        if let Some(Listener(notify)) = &self.options().listener {
            let webhook = marks::webhook(&self.folder(job.id));
            notify(JobNotice { occasion, job, webhook, alone });
        }
    }

    /// Reports jobs that stand still.
    fn look_for_stalls(&self, stalls: &mut Stalls) {
        let options = self.options();
        let (Some(stall), Some(_)) = (options.stall, &options.listener) else { return };
        let views = {
            let state = self.state.lock();
            let stopped = state.trouble().is_some();
            // A job that only waits for its turn or was paused does as it should.
            let should_read = state.jobs.values().filter(|entry| match &entry.place {
                Place::Running { .. } => true,
                Place::Waiting { not_before, .. } => stopped || not_before.is_some(),
                Place::Paused | Place::Ending => false,
            });
            let now: Vec<_> = should_read
                .map(|entry| {
                    let progress = match &entry.place {
                        Place::Running { progress, .. } => progress.snapshot(),
                        _ => entry.at_rest(),
                    };
                    (entry.job.id, progress.bytes + progress.source_bytes + progress.pieces_done)
                })
                .collect();
            let over = stalls.over(&now, stall);
            over.iter()
                .filter_map(|job| Some(self.open_view(&state, state.jobs.get(job)?)))
                .collect::<Vec<_>>()
        };
        for view in views {
            tracing::warn!(target: "pinport::job", job = %view.id, "it has read nothing for {} s", stall.as_secs());
            self.tell(Occasion::Stalled, view, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_stands_still_is_reported_once_until_it_reads_again() {
        let job = JobId::from_bytes([1; 16]);
        let mut stalls = Stalls::default();
        assert_eq!(stalls.over(&[(job, 5)], Duration::MAX), []);
        assert_eq!(stalls.over(&[(job, 5)], Duration::ZERO), [job]);
        assert_eq!(stalls.over(&[(job, 5)], Duration::ZERO), []);
        assert_eq!(stalls.over(&[(job, 6)], Duration::ZERO), []);
        assert_eq!(stalls.over(&[(job, 6)], Duration::ZERO), [job]);
        // One that is gone is forgotten.
        assert_eq!(stalls.over(&[], Duration::ZERO), []);
        assert!(stalls.0.is_empty());
    }
}
