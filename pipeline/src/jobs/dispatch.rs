//! Begins the jobs whose turn it is.

use std::{sync::Arc, time::Instant};

use pinport_model::JobStatus;
use tokio_util::sync::CancellationToken;

use super::{Inner, queue::Place, run};
use crate::engine::JobProgress;

impl Inner {
    /// Begins jobs while there is room for them.
    pub(super) fn dispatch(&self) {
        let Some(this) = self.this.upgrade().filter(|_| self.command.is_none()) else { return };
        let mut state = self.state.lock();
        while !state.stopping && state.trouble().is_none() && state.running() < self.options().max_running {
            let most = |key: &str| self.resolver().most_running(key);
            let Some(id) = state.next(Instant::now(), most) else { break };
            let Some(entry) = state.jobs.get_mut(&id) else { break };
            let Place::Waiting { tries, .. } = entry.place else { break };
            let cancel = CancellationToken::new();
            let throttles = vec![Arc::clone(&entry.throttle), Arc::clone(&self.throttle)];
            let progress = Arc::new(JobProgress::going_on(&entry.at_rest()).throttled(throttles));
            entry.place = Place::Running { cancel: cancel.clone(), progress: Arc::clone(&progress), tries };
            entry.why = None;
            entry.set_status(JobStatus::PreparingForInitialization);
            let job = entry.job.clone();
            state.begun += 1;
            let turn = state.begun;
            state.turns.insert(job.definition.application, turn);
            let inner = Arc::clone(&this);
            let thread = std::thread::Builder::new().name(format!("job-{:.8}", id.to_string()));
            let began = thread.spawn(move || run::run(&inner, job, cancel, progress));
            if let Err(error) = began {
                tracing::error!(target: "pinport::job", job = %id, %error, "no thread for the job; it waits");
                if let Some(entry) = state.jobs.get_mut(&id) {
                    entry.set_status(JobStatus::PendingJob);
                    let not_before = Some(Instant::now() + self.options().list_wait);
                    entry.place = Place::Waiting { not_before, tries };
                }
                break;
            }
            state.changes += 1;
        }
        // Jobs that cannot begin show that they wait.
        if state.running() >= self.options().max_running || state.trouble().is_some() {
            for entry in state.jobs.values_mut() {
                if matches!(entry.place, Place::Waiting { .. }) && entry.job.status == JobStatus::Created {
                    entry.set_status(JobStatus::PendingJob);
                }
            }
        }
        drop(state);
        self.changed.notify_all();
    }
}
