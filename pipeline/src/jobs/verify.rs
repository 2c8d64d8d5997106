//! Verifies a job: reads its source again and compares what it says with what is stored.

use std::{
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use pinport_model::{
    Application, ImportJob, JobId, Segment, SegmentVersion, SourceLocation, progress::Progress,
};
use pinport_store::{Scope, StoreError, compare::Side};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{ControlError, Inner, Jobs, queue::SHORT};
use crate::{
    engine::{JobError, JobProgress},
    limits::VERIFY_PIECE,
    source::SourceOptions,
    verify::{Report, Verification, comparable},
};

/// A verification that goes on, on a thread of its own, until it ends or this is dropped.
pub struct Verifying {
    inner: Arc<Inner>,
    progress: Arc<JobProgress>,
    ended: Receiver<Result<Report, JobError>>,
    _cancel: DropGuard,
}

impl Jobs {
    /// Begins to verify an import that has ended. A server does one at a time.
    ///
    /// # Errors
    /// If there is no such job or application, or the job's source or segment is not there any more, or another
    /// verification goes on, or the disk has no room.
    pub fn verify(&self, id: JobId) -> Result<Verifying, ControlError> {
        let inner = &self.inner;
        let conflict = |why: &str| ControlError::Conflict(why.into());
        let job = inner.store.job(id)?.ok_or(ControlError::NotFound(id))?;
        if job.definition.export.is_some() {
            return Err(conflict("is an export: only imports can be verified"));
        }
        if !job.status.is_terminal() {
            return Err(conflict("has not ended yet"));
        }
        if job.definition.source == SourceLocation::Stdin || inner.upload_of(&job).is_some() {
            return Err(conflict(
                "imported what was sent to it, and that is not kept: it cannot be read again",
            ));
        }
        let application = inner.store.application(job.definition.application)?;
        let application = application.ok_or_else(|| conflict("belongs to an application that is deleted"))?;
        let version = match job.definition.segment {
            None => None,
            Some(segment) => {
                let segment = inner.store.segment(application.id, segment)?;
                let found =
                    segment.and_then(|segment| segment.current().cloned().map(|version| (segment, version)));
                Some(found.ok_or_else(|| conflict("has no segment that could be read"))?)
            }
        };
        self.room().map_err(|why| ControlError::Conflict(format!("cannot be verified now: {why}")))?;
        let turn = Arc::clone(&inner.verifies).try_acquire_owned();
        let turn =
            turn.map_err(|_| conflict("has to wait: the server verifies another one, and one at a time"))?;

        let progress = JobProgress::new(JobId::generate()).throttled(vec![Arc::clone(&inner.throttle)]);
        let (progress, cancel) = (Arc::new(progress), CancellationToken::new());
        let (send, ended) = mpsc::sync_channel(1);
        let work =
            Work { inner: Arc::clone(inner), job, application, version, progress: Arc::clone(&progress) };
        let stop = cancel.clone();
        let thread = thread::Builder::new().name("verify".into());
        let started = thread.spawn(move || {
            let _turn = turn;
            // Whoever asked may be gone.
            let _ = send.send(work.run(&stop));
        });
        started.map_err(|_| conflict("cannot be verified now: the system gives no thread"))?;
        Ok(Verifying { inner: Arc::clone(inner), progress, ended, _cancel: cancel.drop_guard() })
    }
}

impl Verifying {
    /// What it came to; nothing if it goes on after this time. It is not asked again after its end.
    ///
    /// # Errors
    /// If it failed.
    pub fn wait(&self, time: Duration) -> Option<Result<Report, JobError>> {
        match self.ended.recv_timeout(time) {
            Ok(result) => Some(result),
            Err(RecvTimeoutError::Timeout) => self.must_stop().map(Err),
            Err(RecvTimeoutError::Disconnected) => {
                Some(Err(JobError::Panicked("the verification ended early".into())))
            }
        }
    }

    /// Why it may not go on. It takes room as an import does.
    fn must_stop(&self) -> Option<JobError> {
        let state = self.inner.state.lock();
        if state.stopping {
            return Some(JobError::Cancelled);
        }
        state.short.as_ref()?;
        let path = self.inner.data_folder();
        Some(JobError::Store(StoreError::Full { path, message: SHORT.into() }))
    }

    /// How far it has read.
    pub fn progress(&self) -> Progress {
        self.progress.snapshot()
    }
}

struct Work {
    inner: Arc<Inner>,
    job: ImportJob,
    application: Application,
    version: Option<(Segment, SegmentVersion)>,
    progress: Arc<JobProgress>,
}

impl Work {
    fn run(self, cancel: &CancellationToken) -> Result<Report, JobError> {
        let Self { inner, mut job, application, version, progress } = self;
        let options = inner.allowed_options(&job)?;
        job.definition = comparable(job.definition);
        job.definition.piece_bytes = job.definition.piece_bytes.max(VERIFY_PIECE);
        let source = inner.open_source(&job, SourceOptions { cancel: cancel.clone(), ..options })?;
        let data = inner.data_folder();
        let verification = Verification {
            application: &application,
            definition: job.definition,
            source,
            stored: Side { store: &*inner.store, scope: Scope::of(application.id, version.as_ref()) },
            beside: &data,
            progress,
        };
        verification.run(&inner.engine, cancel)
    }
}
