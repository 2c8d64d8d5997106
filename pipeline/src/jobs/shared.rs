//! Jobs in a store that several servers share. Each server has in its table what it works on, and what nobody works on: it
//! takes that up when it has room. What others work on it reads from the store.
//!
//! A server that is gone lets its leases end, and its jobs are then nobody's.

use std::{
    io,
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use pinport_model::{ImportJob, JobId, JobStatus, PieceRecord};
use pinport_store::{OpenJob, Wish};

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
            let rests = |entry: &Entry| matches!(entry.place, Place::Waiting { .. } | Place::Paused);
            state.jobs.iter().filter(|(_, entry)| rests(entry)).map(|(id, _)| *id).collect()
        };
        match inner.store.open_jobs() {
            Ok(open) => inner.compare(&resting, open),
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
        let mut asked = Vec::new();
        let mut free: Vec<(ImportJob, Option<Wish>)> = Vec::new();
        let mut kept = Vec::new();
        for OpenJob { job, is_free, wish } in open {
            if let Some(wish) = wish {
                asked.push((job.id, wish));
            }
            if is_free {
                kept.push(job.id);
                free.push((job, wish));
            }
        }
        {
            let mut state = self.state.lock();
            if state.halted.is_some() {
                return;
            }
            // Others work on them by now, or have ended them.
            let rests = |entry: &Entry| matches!(entry.place, Place::Waiting { .. } | Place::Paused);
            let gone: Vec<JobId> = resting.iter().filter(|id| !kept.contains(id)).copied().collect();
            let gone: Vec<JobId> =
                gone.into_iter().filter(|id| state.jobs.get(id).is_some_and(rests)).collect();
            for id in gone {
                state.jobs.remove(&id);
                state.changes += 1;
            }
        }
        for (job, wish) in free {
            if wish.is_none() && resting.contains(&job.id) {
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
            let Ok(last) = self.store.last_piece(job.id) else { continue };
            let place = match wish {
                Some(Wish::Pause) => Place::Paused,
                _ => Place::Waiting { not_before: None, tries: 0 },
            };
            job.status = JobStatus::PendingJob;
            let mut state = self.state.lock();
            let id = job.id;
            let entry = Entry { last, ..Entry::new(job, name, place) };
            state.jobs.entry(id).or_insert(entry);
            state.changes += 1;
        }
        for (id, wish) in asked {
            self.grant(id, wish);
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
    fn grant(&self, id: JobId, wish: Wish) {
        let Some(this) = self.this.upgrade() else { return };
        let jobs = Jobs { inner: this };
        let is_here = self.state.lock().jobs.get(&id).is_some_and(|entry| match wish {
            Wish::Cancel => true,
            Wish::Pause => !matches!(entry.place, Place::Paused),
        });
        if !is_here {
            return;
        }
        let done = match wish {
            Wish::Cancel => jobs.cancel(id),
            Wish::Pause => jobs.pause(id),
        };
        if let Err(error) = done {
            tracing::debug!(target: "pinport::job", job = %id, %error, "what was asked of the job was not done");
        }
    }

    /// Takes a job off its thread that is another server's by now, or was ended by one.
    pub(super) fn gone(&self, job: &ImportJob) {
        let ended = match self.store.job(job.id) {
            Ok(Some(stored)) if stored.status.is_terminal() => self.ended_view(&stored).ok(),
            _ => None,
        };
        let mut state = self.state.lock();
        state.jobs.remove(&job.id);
        if let Some(view) = ended {
            state.push_ended(view);
        }
        state.happened(job.id, "another server works on it");
        drop(state);
        tracing::info!(target: "pinport::job", job = %job.id, "another server works on it");
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
    pub(super) fn ask_others(&self, id: JobId, wish: Option<Wish>) -> Result<bool, ControlError> {
        Ok(self.store.is_shared() && self.store.ask(id, wish)?)
    }
}
