//! Verifies a job: reads its source again and compares what it says with what is stored.

use std::{
    sync::{
        Arc,
        atomic::Ordering,
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

use super::{ControlError, Inner, Jobs, create, queue::SHORT};
use crate::{
    engine::{JobError, JobProgress},
    limits::VERIFY_PIECE,
    source::{SourceError, SourceOptions},
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
        let is_gone = match &job.definition.source {
            SourceLocation::Stdin => true,
            SourceLocation::Path(path) => path.starts_with(inner.folder(id).join(create::UPLOAD)),
            _ => false,
        };
        if is_gone {
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
        let turn = Turn::take(inner)
            .ok_or_else(|| conflict("has to wait: the server verifies another one, and one at a time"))?;

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

/// The right to verify, until it is dropped.
struct Turn(Arc<Inner>);

impl Turn {
    fn take(inner: &Arc<Inner>) -> Option<Self> {
        let was_taken = inner.verifies.swap(true, Ordering::AcqRel);
        (!was_taken).then(|| Self(Arc::clone(inner)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.verifies.store(false, Ordering::Release);
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
        let options = inner.source_options(&job).map_err(|error| SourceError::AccessDenied {
            url: job.definition.source_text.clone(),
            reason: error.to_string(),
            credentials: false,
        })?;
        job.definition = comparable(job.definition);
        job.definition.piece_bytes = job.definition.piece_bytes.max(VERIFY_PIECE);
        let source = inner.open_source(&job, SourceOptions { cancel: cancel.clone(), ..options })?;
        let scope = match &version {
            None => Scope::Application(application.id),
            Some((segment, version)) => Scope::Version(segment, version),
        };
        let data = inner.data_folder();
        let verification = Verification {
            application: &application,
            definition: job.definition,
            source,
            stored: Side { store: &*inner.store, scope },
            beside: &data,
            progress,
        };
        verification.run(&inner.engine, cancel)
    }
}
