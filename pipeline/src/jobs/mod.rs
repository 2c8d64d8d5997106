//! The jobs of a server: many at once, in order, across restarts.
//!
//! ```text
//! create.rs   a request -> a durable job, looked at beforehand
//! queue.rs    which jobs wait, run, rest; the one place that moves them
//! room.rs     whether the store and its disk let jobs run
//! export.rs   jobs that write endpoints, from request to end
//! command.rs  the one job of a command, instead of a queue
//! run.rs      one job on its thread: source, engine, and what became of it
//! faults.rs   what an error means: one job's, or all of them
//! settle.rs   lets the store sort itself beside them
//! control.rs  cancel, pause, resume, stop
//! listener.rs  reports that a job ended or stands still
//! ledger.rs   how much of the disk uploads take
//! retention.rs  how long ended jobs and their rejects are kept
//! marks.rs    what was asked of a job, durably, beside the store
//! sources.rs  what may be read, with whose credentials;  grants.rs  what each key may read
//! places.rs   what a key may import, for whoever types a source
//! shared.rs   takes jobs up that several servers share;  others.rs  what the other servers do;  help.rs  works on parts of
//!             what they lead
//! views.rs    jobs as clients see them;  sampler.rs  all of them, four times a second
//! ```
//!
//! Nothing here decides what a record means or how a piece is committed (that is [`crate::engine`]), and
//! nothing speaks HTTP. Every method blocks; none of them holds a lock while it waits for the store.

mod command;
mod control;
mod create;
mod dispatch;
mod export;
mod faults;
mod grants;
mod help;
mod ledger;
mod listener;
mod marks;
mod others;
mod places;
mod queue;
mod retention;
mod room;
mod run;
mod sampler;
mod settle;
mod shared;
mod sources;
#[cfg(test)]
mod tests;
mod verify;
mod views;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, RwLock};
use pinport_model::{
    Application, ApplicationId, ImportJob, JobId, JobStatus, PieceRecord, RecordLimits, Timestamp,
    history::Curve, job::FailureBudget, view::Sample, with_causes,
};
use pinport_store::{Store, StoreError, boundary};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, broadcast},
};
use tokio_util::sync::CancellationToken;

use crate::{
    disk::Disk,
    engine::{Engine, FileError, ids::forget_ids, log_status},
    limits::{ENDED_SHOWN, SAMPLES_KEPT},
    machine::Load,
    throttle::{Throttle, ThrottleRate},
};

use command::Command;
pub use command::{CommandRun, is_same_work};
pub use control::ControlError;
pub use create::{CreateError, Created, NewJob, Upload, sync_upload};
pub use export::{NewExport, folder_name};
pub use grants::{Grant, Grants, NotAllowed, Reach};
use ledger::Ledger;
pub use ledger::TooMuch;
pub use listener::{JobNotice, Listener, Occasion};
pub use queue::Settling;
use queue::{Entry, Place, State};
pub use retention::Retention;
pub use sources::{Hidden, Resolver, RoleConfig, SourcesConfig};
pub use verify::Verifying;
pub use views::{Seen, Totals, ViewError};

/// How jobs are run.
#[derive(Debug, Clone)]
pub struct JobsOptions {
    /// The folder that holds a folder for each job.
    pub folder: PathBuf,
    /// Jobs that run at a time.
    pub max_running: usize,
    /// How long the look at the data may take before a job is created without it.
    pub look: Duration,
    /// How often the listing of a source that cannot be reached is tried again, each time after a longer wait.
    pub list_retries: u32,
    /// The first of those waits.
    pub list_wait: Duration,
    /// Decoded bytes of a piece, for new jobs.
    pub piece_bytes: u64,
    /// The bounds on a record, for new jobs.
    pub limits: RecordLimits,
    /// Failed records before a new job is given up.
    pub max_failures: Option<FailureBudget>,
    /// Bytes of failures and rejects that a new job keeps; by the disk, if nothing is said.
    pub kept_failure_bytes: Option<u64>,
    /// Bytes of the disk below which no job begins and running ones wait; by the disk, if nothing is said.
    pub disk_reserve: Option<u64>,
    /// Bytes of uploads that may lie on the disk in all, and of one key; by the disk, if nothing is said.
    pub uploads: Option<u64>,
    /// See `uploads`.
    pub uploads_of_key: Option<u64>,
    /// How long ended jobs and their rejects are kept.
    pub retention: Retention,
    /// How fast all jobs together may read.
    pub throttle: ThrottleRate,
    /// Gets the jobs that end or stand still.
    pub listener: Option<Listener>,
    /// After which time a job that reads nothing stands still; it is not looked for if absent.
    pub stall: Option<Duration>,
    /// How the webhook URLs may begin that makers of jobs name.
    pub webhooks: Vec<String>,
    /// How the room on the disk is asked for.
    pub disk: fn(&Path) -> std::io::Result<Disk>,
    /// How long the same request finds the job it created.
    pub retry_window: Duration,
}

impl JobsOptions {
    /// The defaults, with the folder of the jobs.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            max_running: 2,
            look: Duration::from_secs(3),
            list_retries: 6,
            list_wait: Duration::from_secs(5),
            piece_bytes: 32 << 20,
            limits: RecordLimits::default(),
            max_failures: None,
            kept_failure_bytes: None,
            disk_reserve: None,
            uploads: None,
            uploads_of_key: None,
            retention: Retention::default(),
            throttle: ThrottleRate::default(),
            listener: None,
            stall: None,
            webhooks: Vec::new(),
            disk: Disk::of,
            retry_window: Duration::from_secs(15 * 60),
        }
    }
}

/// Why jobs could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file beside it cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The system gave no thread.
    #[error("failed to start a thread")]
    Thread(#[source] std::io::Error),
}

/// The jobs of a process. Clones share them.
#[derive(Clone)]
pub struct Jobs {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").finish_non_exhaustive()
    }
}

/// How long a job waits for a database that does not answer.
const AWAY: Duration = Duration::from_secs(2);

struct Inner {
    /// For the threads of jobs, which must not keep it alive for each other.
    this: Weak<Inner>,
    store: Arc<dyn Store>,
    engine: Arc<Engine>,
    /// Both may be replaced while jobs run.
    resolver: RwLock<Arc<Resolver>>,
    options: RwLock<Arc<JobsOptions>>,
    io: Handle,
    state: Mutex<State>,
    /// Cancelled when the store stops.
    stopped: CancellationToken,
    /// Rung when a job begins, ends or is asked for.
    changed: Condvar,
    samples: broadcast::Sender<Arc<Sample>>,
    /// The last sample that was asked for, when, and how much had changed.
    latest: Mutex<Option<(Instant, u64, Arc<Sample>)>>,
    /// The last one that a new listener got.
    first: Mutex<Option<(Instant, u64, Arc<Sample>)>>,
    /// How busy the process is, since it was first asked.
    load: Mutex<Option<Load>>,
    /// Shared by the threads that look at the data of new jobs.
    looking: Arc<()>,
    names: Mutex<HashMap<ApplicationId, String>>,
    requests: Mutex<create::Requests>,
    tallies: Mutex<views::ObjectTallies>,
    totals: Mutex<Totals>,
    ledger: Arc<Ledger>,
    /// How fast all jobs together may read.
    throttle: Arc<Throttle>,
    /// The time that the last export was given.
    last_export: Mutex<i64>,
    /// The right to verify a job.
    verifies: Arc<Semaphore>,
    /// If they are those of a command: it runs the job that it is given, and nothing begins by itself.
    command: Option<Command>,
}

impl Jobs {
    /// Takes up every job that has not ended and begins to run jobs.
    pub fn start(
        store: Arc<dyn Store>,
        engine: Arc<Engine>,
        resolver: Resolver,
        options: JobsOptions,
        io: Handle,
    ) -> Result<Self, StartError> {
        let inner = Inner::new(store, engine, resolver, options, io, None);
        crate::verify::sweep(&inner.data_folder());
        inner.take_up()?;
        inner.remember_requests()?;
        inner.watch();
        sampler::start(&inner).map_err(StartError::Thread)?;
        retention::start(&inner).map_err(StartError::Thread)?;
        listener::start(&inner).map_err(StartError::Thread)?;
        shared::start(&inner).map_err(StartError::Thread)?;
        inner.dispatch();
        Ok(Self { inner })
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// The data folder, in which the folder of the jobs is.
    pub fn data_folder(&self) -> PathBuf {
        self.inner.data_folder()
    }

    /// The folder of a job's files.
    pub fn folder(&self, job: JobId) -> PathBuf {
        self.inner.folder(job)
    }

    /// Why no job can run any more, if none can: the store failed, or the process is stopping.
    pub fn health(&self) -> Result<(), String> {
        let state = self.inner.state.lock();
        match (&state.halted, state.stopping) {
            (Some(reason), _) => Err(reason.clone()),
            (None, true) => Err("the server is stopping".into()),
            (None, false) => Ok(()),
        }
    }

    /// The same, and whether the database of the store answers, if it is in one. The words are for everybody.
    pub fn ready(&self) -> Result<(), String> {
        self.health()?;
        if self.inner.store.is_shared()
            && let Err(error) = self.inner.store.check()
        {
            tracing::warn!(target: "pinport", error = %with_causes(&error), "the store cannot be used");
            return Err("the store's database cannot be used; the server's log says why".into());
        }
        Ok(())
    }

    /// Replaces what may be read and by whom, for every source that is opened from now on, and those of the options that
    /// new jobs and the queue go by. What `options` says of folders is not heard, nor its bounds on records.
    pub fn reload(&self, resolver: Resolver, options: JobsOptions) {
        *self.inner.resolver.write() = Arc::new(resolver);
        let mut current = self.inner.options.write();
        let (folder, limits, listener) = (current.folder.clone(), current.limits, current.listener.clone());
        // What was asked by a request stays, unless the configuration says something else than before.
        if current.throttle != options.throttle {
            self.inner.throttle.set(options.throttle);
        }
        *current = Arc::new(JobsOptions { folder, limits, listener, ..options });
        drop(current);
        // More may run now.
        self.inner.dispatch();
    }

    /// Receives a sample about four times a second while something happens. A slow receiver loses
    /// samples; nothing waits for it.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Sample>> {
        self.inner.samples.subscribe()
    }
}

impl Inner {
    fn new(
        store: Arc<dyn Store>,
        engine: Arc<Engine>,
        resolver: Resolver,
        options: JobsOptions,
        io: Handle,
        command: Option<Command>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            store,
            engine,
            throttle: Arc::new(Throttle::new(options.throttle)),
            resolver: RwLock::new(Arc::new(resolver)),
            options: RwLock::new(Arc::new(options)),
            io,
            state: Mutex::default(),
            stopped: CancellationToken::new(),
            changed: Condvar::new(),
            samples: broadcast::channel(SAMPLES_KEPT).0,
            latest: Mutex::default(),
            first: Mutex::default(),
            load: Mutex::default(),
            looking: Arc::default(),
            names: Mutex::default(),
            requests: Mutex::default(),
            tallies: Mutex::default(),
            totals: Mutex::default(),
            ledger: Arc::default(),
            last_export: Mutex::default(),
            verifies: Arc::new(Semaphore::new(1)),
            command,
        })
    }

    fn data_folder(&self) -> PathBuf {
        let options = self.options();
        options.folder.parent().unwrap_or(&options.folder).to_owned()
    }

    fn options(&self) -> Arc<JobsOptions> {
        Arc::clone(&self.options.read())
    }

    fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.resolver.read())
    }

    fn folder(&self, job: JobId) -> PathBuf {
        self.options().folder.join(job.to_string())
    }

    /// Reads what earlier processes left.
    fn take_up(&self) -> Result<(), StartError> {
        let mut state = State::default();
        // Of a store that others share, [`shared`] takes up what nobody works on.
        let unfinished = if self.store.is_shared() { Vec::new() } else { self.store.unfinished_jobs()? };
        for mut job in unfinished {
            let marks = marks::read(&self.folder(job.id))?;
            if marks.cancel {
                self.end_cancelled(&mut job)?;
                self.tell(Occasion::Ended, self.ended_view(&job)?, false);
                continue;
            }
            let place =
                if marks.paused { Place::Paused } else { Place::Waiting { not_before: None, tries: 0 } };
            if !marks.paused {
                tracing::info!(target: "pinport::job", job = %job.id, status = %job.status, "taken up again");
            }
            self.find_upload(&job);
            job.status = JobStatus::PendingJob;
            log_status(job.id, job.status);
            let entry = self.at_rest(job, place)?;
            state.jobs.insert(entry.job.id, entry);
        }
        let newest = self.store.jobs(None, None, ENDED_SHOWN + state.jobs.len())?;
        for job in newest.iter().filter(|job| job.status.is_terminal()).take(ENDED_SHOWN) {
            state.ended.push_front(self.ended_view(job)?);
        }
        state.remember_ends();
        self.sweep_uploads(&state);
        *self.state.lock() = state;
        Ok(())
    }

    /// A job that no one runs, with what its earlier runs left.
    fn at_rest(&self, job: ImportJob, place: Place) -> Result<Entry, StoreError> {
        let name = self.application_name(job.definition.application)?;
        let folder = self.folder(job.id);
        let last = self.store.totals(job.id)?;
        let rested = marks::saved_progress(&folder);
        let history = Curve::from_points(&marks::saved_history(&folder));
        let throttle = Arc::new(Throttle::new(marks::throttle(&folder)));
        Ok(Entry { last, rested, history, throttle, ..Entry::new(job, name, place) })
    }

    /// Notes what the uploaded file of a job takes, if it has one.
    fn find_upload(&self, job: &ImportJob) {
        if let Some(file) = self.upload_of(job)
            && let Ok(found) = file.metadata()
        {
            self.ledger.found(job.id, job.principal.as_deref().unwrap_or_default(), found.len());
        }
    }

    /// Removes the folders of uploads that were never whole, of which no job was made, and the files of jobs that had
    /// ended when the process did.
    fn sweep_uploads(&self, state: &State) {
        let Ok(folders) = std::fs::read_dir(&self.options().folder) else { return };
        for folder in folders.flatten() {
            let id = folder.file_name().to_str().and_then(|name| name.parse::<JobId>().ok());
            let Some(id) = id.filter(|id| !state.jobs.contains_key(id)) else { continue };
            let upload = folder.path().join(create::UPLOAD);
            if !upload.is_dir() {
                continue;
            }
            match self.store.job(id) {
                Ok(None) => {
                    tracing::info!(target: "pinport::job", job = %id, "an unfinished upload is removed");
                    let _ = std::fs::remove_dir_all(folder.path());
                }
                Ok(Some(job)) if job.status.is_terminal() => self.after_end(&job),
                _ => {}
            }
        }
    }

    fn application_name(&self, id: ApplicationId) -> Result<String, StoreError> {
        if let Some(name) = self.names.lock().get(&id) {
            return Ok(name.clone());
        }
        let application: Option<Application> = self.store.application(id)?;
        let name = application.map_or_else(|| id.to_string(), |application| application.name);
        self.names.lock().insert(id, name.clone());
        Ok(name)
    }

    /// Lets no server commit to a job any more that ends before its time; what was committed to it.
    fn close(&self, job: JobId) -> Result<Option<PieceRecord>, StoreError> {
        if let Some(parts) = self.store.parts() {
            parts.close_parts(job)?;
        }
        self.store.totals(job)
    }

    /// Ends a job that no one runs as CANCELLED, with what its pieces committed.
    fn end_cancelled(&self, job: &mut ImportJob) -> Result<(), StoreError> {
        if let Some(last) = self.close(job.id)? {
            last.count_into(job);
        }
        job.status = JobStatus::Cancelled;
        log_status(job.id, job.status);
        job.completed = Some(Timestamp::now());
        boundary("cancel.begun");
        self.store.finish_job(job, self.engine.replaces_segments())?;
        boundary("cancel.durable");
        self.after_end(job);
        tracing::info!(target: "pinport::job", job = %job.id, read = job.tally.read, "cancelled");
        Ok(())
    }

    /// What is no longer needed of a job that has ended.
    fn after_end(&self, job: &ImportJob) {
        let folder = self.folder(job.id);
        marks::clear(&folder);
        if job.segment_members.is_none() {
            forget_ids(&folder);
        }
        boundary("marks.cleared");
        let upload = folder.join(create::UPLOAD);
        if upload.is_dir()
            && let Err(error) = std::fs::remove_dir_all(&upload)
        {
            tracing::warn!(target: "pinport::job", job = %job.id, %error, "the uploaded file stays");
            return;
        }
        self.ledger.release(job.id);
    }
}
