//! Jobs in a store that several servers share. Each server has in its table what it works on, and what nobody works on: it
//! takes that up when it has room. What others work on it reads from the store.
//!
//! A server that is gone lets its leases end, and its jobs are then nobody's.

use std::{
    collections::HashSet,
    io,
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use pinport_model::{ImportJob, JobId, JobStatus, PieceRecord};
use pinport_store::{OpenJob, StopRequest};

use super::{
    ControlError, Inner, Jobs, marks,
    queue::{Entry, Place},
};
use crate::engine::mirror;

/// How often the store is asked for jobs.
const LOOK: Duration = Duration::from_secs(1);

/// Looks for jobs until the process ends, if others may have made some.
pub(super) fn start(inner: &Arc<Inner>) -> io::Result<()> {
    if !inner.store.is_shared() {
        return Ok(());
    }
    let this = Arc::downgrade(inner);
    thread::Builder::new().name("shared".into()).spawn(move || keep_looking(&this))?;
    Ok(())
}

fn keep_looking(this: &Weak<Inner>) {
    while let Some(inner) = this.upgrade() {
        if inner.state.lock().stopping {
            return;
        }
        // Before the store is asked: what comes into the table meanwhile, the answer cannot know.
        let resting: Vec<JobId> = {
            let state = inner.state.lock();
            state.jobs.iter().filter(|(_, entry)| entry.rests()).map(|(id, _)| *id).collect()
        };
        inner.meet();
        match inner.store.open_jobs().and_then(|open| inner.know(&open).map(|()| open)) {
            Ok(open) => {
                inner.help(&open);
                inner.compare(&resting, open);
            }
            // Whoever asks this server for anything learns it too.
            Err(error) => {
                tracing::debug!(target: "pinport::job", %error, "the store does not say which jobs there are")
            }
        }
        drop(inner);
        thread::park_timeout(LOOK);
    }
}

impl Inner {
    /// Brings the table to what the store says.
    fn compare(&self, resting: &[JobId], open: Vec<OpenJob>) {
        let mut requests = Vec::new();
        let mut free: Vec<(ImportJob, Option<StopRequest>)> = Vec::new();
        for OpenJob { job, is_free, asked, .. } in open {
            requests.extend(asked.map(|asked| (job.id, asked)));
            if is_free {
                free.push((job, asked));
            }
        }
        {
            let mut state = self.state.lock();
            if state.halted.is_some() {
                return;
            }
            // Others work on them by now, or have ended them.
            let kept: HashSet<JobId> = free.iter().map(|(job, _)| job.id).collect();
            for id in resting.iter().filter(|id| !kept.contains(id)) {
                if state.jobs.get(id).is_some_and(Entry::rests) {
                    state.jobs.remove(id);
                    state.happened(*id, "another server took it or ended it");
                    state.changes += 1;
                }
            }
        }
        for (job, asked) in free {
            if asked.is_none() && resting.contains(&job.id) {
                self.go_on(job.id);
            }
            if self.state.lock().jobs.contains_key(&job.id) {
                continue;
            }
            // What is not in the table may have ended since the store was asked, and then it says so.
            let Ok(Some(mut job)) = self.store.job(job.id) else { continue };
            if job.status.is_terminal() {
                continue;
            }
            let Ok(name) = self.application_name(job.definition.application) else { continue };
            let Ok(last) = self.store.totals(job.id) else { continue };
            let place = match asked {
                Some(StopRequest::Pause) => Place::Paused,
                _ => Place::Waiting { not_before: None, tries: 0 },
            };
            job.status = JobStatus::PendingJob;
            let mut state = self.state.lock();
            let id = job.id;
            let entry = Entry { last, ..Entry::new(job, name, place) };
            state.jobs.entry(id).or_insert(entry);
            state.changes += 1;
        }
        for (id, asked) in requests {
            self.carry_out(id, asked);
        }
        self.dispatch();
    }

    /// Lets a job go on that rested here and was resumed through another server.
    fn go_on(&self, id: JobId) {
        let mut state = self.state.lock();
        if let Some(entry) = state.jobs.get_mut(&id).filter(|entry| matches!(entry.place, Place::Paused)) {
            entry.place = Place::Waiting { not_before: None, tries: 0 };
            state.happened(id, "resumed");
            drop(state);
            // The store says whether it rests; the mark is of this machine alone.
            let _ = marks::set_paused(&self.folder(id), false);
        }
    }

    /// Does what was asked of a job through another server, if it is in this table.
    fn carry_out(&self, id: JobId, asked: StopRequest) {
        let Some(this) = self.this.upgrade() else { return };
        let jobs = Jobs { inner: this };
        let is_here = self.state.lock().jobs.get(&id).is_some_and(|entry| match asked {
            StopRequest::Cancel => true,
            StopRequest::Pause => !matches!(entry.place, Place::Paused),
        });
        if !is_here {
            return;
        }
        let done = match asked {
            StopRequest::Cancel => jobs.cancel(id),
            StopRequest::Pause => jobs.pause(id),
        };
        if let Err(error) = done {
            tracing::debug!(target: "pinport::job", job = %id, %error, "what was asked of the job was not done");
        }
    }

    /// Takes a job off its thread that is another server's by now, or was ended by one, or that the database has another state
    /// of. What is still held of it is given back.
    pub(super) fn gone(&self, job: &ImportJob, why: &str) {
        self.store.release(job.id);
        let ended = match self.store.job(job.id) {
            Ok(Some(stored)) if stored.status.is_terminal() => self.ended_view(&stored).ok(),
            _ => None,
        };
        let mut state = self.state.lock();
        state.jobs.remove(&job.id);
        if let Some(view) = ended {
            state.push_ended(view);
        }
        state.happened(job.id, why);
        drop(state);
        self.dispatch();
    }

    /// Brings the files of a job here that is not in this server's table.
    pub(super) fn bring(&self, job: &ImportJob, last: Option<&PieceRecord>) {
        if !self.store.is_shared() || self.state.lock().jobs.contains_key(&job.id) {
            return;
        }
        let folder = self.folder(job.id);
        if mirror::has_all(&folder, job.definition.format, last) {
            return;
        }
        if let Err(error) = mirror::bring(&*self.store, job.id, job.definition.format, &folder) {
            tracing::warn!(target: "pinport::job", job = %job.id, %error, "the job's files could not be brought here");
        }
    }

    /// Asks whoever has a job, if that is another server; whether it is.
    pub(super) fn ask_others(&self, id: JobId, asked: Option<StopRequest>) -> Result<bool, ControlError> {
        Ok(self.store.is_shared() && self.store.ask(id, asked)?)
    }
}
