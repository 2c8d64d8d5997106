//! What this server knows of the others that share its store: which there are, which jobs they work on and how far these have
//! come. All of it comes from the store once a second; nothing here changes a job.

use std::collections::{BTreeMap, HashMap, HashSet};

use pinport_model::{
    ImportJob, JobId,
    progress::Progress,
    view::{JobView, PartView, ServerView},
};
use pinport_store::{OpenJob, StopRequest, StoreError};

use super::{
    Inner,
    queue::{Other, State},
    views::view_of,
};
use crate::engine::progress_of;

/// What is said of a job whose files only one server can read, while that one does not work on it.
const ELSEWHERE: &str = "it waits for the server whose files it reads or writes";

impl Other {
    /// Short, with what was heard of it last. The status is the store's, which knows it first.
    pub(super) fn view(&self) -> JobView {
        let progress = match self.worker.as_ref().and_then(|worker| worker.progress.clone()) {
            Some(progress) => Progress { status: self.job.status, ..progress },
            None => progress_of(&self.job, None),
        };
        JobView {
            paused: self.paused,
            waits_for: self.worker.is_none().then(|| ELSEWHERE.to_owned()),
            server: self.worker.as_ref().map(|worker| worker.name.clone()),
            ..view_of(&self.job, &self.application_name, progress)
        }
    }
}

impl Inner {
    /// Tells the others of the jobs that run here, and looks who is here.
    pub(super) fn meet(&self) {
        let running: Vec<_> = {
            let state = self.state.lock();
            if state.stopping {
                return;
            }
            let progress =
                state.jobs.iter().filter_map(|(id, entry)| Some((*id, entry.running()?.snapshot())));
            progress.collect()
        };
        for (id, progress) in &running {
            self.store.report(*id, progress);
        }
        let servers = match self.store.meet(env!("CARGO_PKG_VERSION"), running.len() as u64) {
            Ok(servers) => servers,
            Err(error) => {
                return tracing::debug!(target: "pinport::job", %error, "the store does not say which servers there are");
            }
        };
        let mut state = self.state.lock();
        if state.servers != servers {
            let before = std::mem::replace(&mut state.servers, servers);
            state.note_servers(&before);
            state.changes += 1;
        }
    }

    /// Takes over what others work on, and counts what they made.
    pub(super) fn know(&self, open: &[OpenJob]) -> Result<(), StoreError> {
        let mut others = BTreeMap::new();
        for found in open.iter().filter(|found| found.worker.is_some() || found.is_elsewhere) {
            let other = Other {
                application_name: self.application_name(found.job.definition.application)?,
                worker: found.worker.clone(),
                paused: found.asked == Some(StopRequest::Pause),
                job: found.job.clone(),
            };
            others.insert(found.job.id, other);
        }
        let worked = open.iter().filter(|found| !found.parts.is_empty()).map(|found| {
            let view = |(part, server): &(u32, String)| PartView { part: *part, server: server.clone() };
            (found.job.id, found.parts.iter().map(view).collect())
        });
        let worked: HashMap<JobId, Vec<PartView>> = worked.collect();
        let (gone, before, shown) = {
            let state = self.state.lock();
            let gone = state.others.keys().filter(|id| !others.contains_key(id)).copied();
            let shown: Vec<_> = state.ended.iter().map(|view| view.id).collect();
            (gone.collect::<HashSet<_>>(), state.known.clone(), shown)
        };
        let deleted = self.store.deleted_jobs(&shown)?;
        let has_ended = |found: &&OpenJob| found.job.status.is_terminal();
        let mut views = Vec::new();
        let mut known: HashSet<JobId> = open.iter().map(|found| found.job.id).collect();
        for found in open.iter().filter(has_ended) {
            let is_new = before.as_ref().is_some_and(|before| !before.contains(&found.job.id));
            if gone.contains(&found.job.id) || is_new {
                views.push(self.ended_view(&found.job)?);
            }
        }
        // What ended long after it was made is not among the newest.
        for id in gone.iter().filter(|id| !known.contains(id)) {
            if let Some(job) = self.store.job(*id)?.filter(|job| job.status.is_terminal()) {
                views.push(self.ended_view(&job)?);
            }
        }
        let mut state = self.state.lock();
        if state.parts != worked {
            state.parts = worked;
            state.changes += 1;
        }
        for id in deleted {
            if let Some(application) = state.application_of(id) {
                state.forget_job(id, application);
            }
        }
        if let Some(before) = state.known.take() {
            // What was made here was counted then, and is in the list since.
            for found in open.iter().filter(|found| !before.contains(&found.job.id)) {
                state.count(found.job.definition.application, 1);
                state.changes += 1;
            }
            known.extend(before.iter().filter(|id| state.jobs.contains_key(id)));
        }
        known.extend(state.jobs.keys());
        state.known = Some(known);
        for view in views {
            let is_shown = state.ended.iter().any(|ended| ended.id == view.id);
            if !is_shown && !state.jobs.contains_key(&view.id) {
                let text = format!("{} on another server", view.progress.status);
                let id = view.id;
                state.push_ended(view);
                state.note(Some(id), text);
            }
        }
        if state.others != others {
            state.note_workers(&others);
            state.others = others;
            state.changes += 1;
        }
        Ok(())
    }

    /// The other server that works on a job, if one does.
    pub(super) fn worker(&self, id: JobId) -> Option<String> {
        Some(self.state.lock().others.get(&id)?.worker.as_ref()?.name.clone())
    }

    /// A job that is not this server's to run, as it was heard of last.
    pub(super) fn other_view(&self, job: &ImportJob) -> Option<JobView> {
        let state = self.state.lock();
        let other = state.others.get(&job.id)?;
        let view = Other { job: job.clone(), ..other.clone() }.view();
        Some(JobView { parts: state.parts_of(job.id), ..view })
    }
}

impl State {
    /// Notes which servers have come and gone.
    fn note_servers(&mut self, before: &[ServerView]) {
        let names = |servers: &[ServerView]| {
            let mut counts = BTreeMap::new();
            for server in servers.iter().filter(|server| !server.here) {
                *counts.entry(server.name.clone()).or_insert(0_i64) += 1;
            }
            counts
        };
        let (mut change, was) = (names(&self.servers), names(before));
        for (name, count) in was {
            *change.entry(name).or_default() -= count;
        }
        for (name, count) in change {
            match count {
                1.. => self.note(None, format!("server {name} is here")),
                ..0 => self.note(None, format!("server {name} is gone")),
                0 => {}
            }
        }
    }

    /// Notes which jobs other servers have taken.
    fn note_workers(&mut self, others: &BTreeMap<JobId, Other>) {
        let name = |other: Option<&Other>| Some(other?.worker.as_ref()?.name.clone());
        let taken: Vec<_> = others
            .iter()
            .filter_map(|(id, other)| {
                let now = name(Some(other))?;
                (name(self.others.get(id)).as_ref() != Some(&now)).then_some((*id, now))
            })
            .collect();
        for (id, name) in taken {
            self.note(Some(id), format!("server {name} works on it"));
        }
    }
}
