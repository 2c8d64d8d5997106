//! What is kept of jobs that have ended, and for how long: their rejects and failures, which hold the bytes of refused
//! records, and the jobs themselves. Deleting one by hand is here too. Endpoints and segments stay whatever goes.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use pinport_model::{ImportJob, JobId, Timestamp};
use pinport_store::StoreError;

use super::{ControlError, Inner, Jobs};
use crate::{engine::files, limits::RETENTION_PAGE};

/// How long ended jobs and what they refused are kept; for ever if absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// The files of failures and rejects, from a job's end on.
    pub rejects: Option<Duration>,
    /// The job with all its files.
    pub jobs: Option<Duration>,
}

/// The longest time between two looks at what is over its time, and the shortest.
const LOOK: Duration = Duration::from_secs(600);
const LOOK_LEAST: Duration = Duration::from_secs(1);
impl Retention {
    /// The shorter of the two times.
    fn least(&self) -> Option<Duration> {
        self.rejects.into_iter().chain(self.jobs).min()
    }
}

/// Looks for what is over its time, now and then until the jobs are gone.
pub(super) fn start(inner: &Arc<Inner>) -> io::Result<()> {
    let this = Arc::downgrade(inner);
    thread::Builder::new().name("retention".into()).spawn(move || keep_sweeping(&this))?;
    Ok(())
}

fn keep_sweeping(this: &Weak<Inner>) {
    // Jobs up to this one have nothing left that goes before they do.
    let mut done = None;
    while let Some(inner) = this.upgrade() {
        let retention = inner.options().retention;
        if let Err(error) = inner.sweep(retention, &mut done) {
            tracing::warn!(target: "pinport::job", %error, "what is over its time stays for now");
        }
        drop(inner);
        let wait = retention.least().map_or(LOOK, |least| (least / 2).clamp(LOOK_LEAST, LOOK));
        thread::park_timeout(wait);
    }
}

impl Jobs {
    /// Deletes an ended job with its files. What it registered stays, and so do the segments that it made.
    pub fn delete(&self, id: JobId) -> Result<(), ControlError> {
        if self.inner.state.lock().jobs.contains_key(&id) {
            return Err(ControlError::Conflict("has not ended: cancel it first".into()));
        }
        match self.inner.store.job(id)? {
            Some(job) => Ok(self.inner.delete(&job)?),
            None => Err(ControlError::NotFound(id)),
        }
    }
}

impl Inner {
    fn delete(&self, job: &ImportJob) -> Result<(), StoreError> {
        if self.store.delete_job(job.id)? {
            self.state.lock().forget_job(job.id, job.definition.application);
            self.ledger.release(job.id);
            remove_folder(&self.folder(job.id), job.id);
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Removes what is over its time. `done` is the newest job of which nothing is left to remove before it goes itself.
    fn sweep(&self, retention: Retention, done: &mut Option<JobId>) -> Result<(), StoreError> {
        let Some(least) = retention.least() else { return Ok(()) };
        let now = Timestamp::now().as_millis();
        let since = |time: Option<Duration>| time.map(|time| now.saturating_sub(time.as_millis() as i64));
        let (rejects, jobs) = (since(retention.rejects), since(retention.jobs));
        // A job that was made later cannot have ended before.
        let newest = JobId::first_at(now.saturating_sub(least.as_millis() as i64));
        let mut before = Some(newest);
        let mut all_done = true;
        let mut visited: Option<JobId> = None;
        let (mut removed, mut cleared) = (0_u64, 0_u64);
        loop {
            let page = self.store.jobs(None, before, RETENTION_PAGE)?;
            for job in &page {
                if retention.jobs.is_none() && done.is_some_and(|done| job.id <= done) {
                    break;
                }
                visited.get_or_insert(job.id);
                let ended = job.completed.filter(|_| job.status.is_terminal()).map(|time| time.as_millis());
                let is_over =
                    |limit: Option<i64>| ended.zip(limit).is_some_and(|(ended, limit)| ended <= limit);
                all_done &= retention.rejects.is_none() || is_over(rejects);
                // Its thread may not have left it yet.
                if ended.is_none() || self.state.lock().jobs.contains_key(&job.id) {
                    continue;
                }
                if is_over(jobs) {
                    self.delete(job)?;
                    removed += 1;
                } else if is_over(rejects) && forget_rejects(&self.folder(job.id), job) {
                    cleared += 1;
                }
            }
            before = page.last().map(|job| job.id);
            let reached = retention.jobs.is_none() && done.is_some() && before <= *done;
            if page.len() < RETENTION_PAGE || reached {
                break;
            }
        }
        if all_done && visited.is_some() && retention.rejects.is_some() {
            *done = visited;
        }
        if removed + cleared > 0 {
            tracing::info!(target: "pinport::job", jobs = removed, rejects = cleared, "removed what was over its time");
        }
        Ok(())
    }
}

/// Removes the files of a job's failures and rejects; whether there were any.
fn forget_rejects(folder: &Path, job: &ImportJob) -> bool {
    let paths = files::rejects_paths(folder, job.definition.format);
    let mut any = false;
    // From the last one on: those that are left are found by their numbers.
    for path in paths.iter().rev().chain([&files::failures_path(folder)]) {
        match fs::remove_file(path) {
            Ok(()) => any = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(target: "pinport::job", job = %job.id, %error, "rejects that are over their time stay");
            }
        }
    }
    any
}

/// Removes a job's folder.
pub(super) fn remove_folder(folder: &Path, job: JobId) {
    if folder.is_dir()
        && let Err(error) = fs::remove_dir_all(folder)
    {
        tracing::warn!(target: "pinport::job", %job, %error, "the files of a deleted job stay");
    }
}
