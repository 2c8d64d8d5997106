//! From a request to a durable job: resolved, looked at, and found again when the request is sent again.

use std::{
    collections::{HashMap, VecDeque},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use pinport_model::{
    ApplicationId, Format, ImportDefinition, ImportJob, JobId, JobStatus, ReadOptions, SegmentId,
    SourceLocation, Timestamp, job::FailureBudget,
};
use pinport_store::{StoreError, boundary};
use tokio_util::sync::CancellationToken;

use super::{
    Inner, Jobs,
    ledger::{Ledger, TooMuch, UploadLimits},
    queue::{Entry, Place},
};
use crate::{
    disk,
    engine::{
        FileError,
        files::{create_folder, sync_folder},
        look,
    },
    limits::{LOOKS_AT_ONCE, REQUESTS_KEPT},
    source::{Source, SourceError, SourceOptions},
};

/// The folder within a job's that holds an uploaded file until the job has ended.
pub(super) const UPLOAD: &str = "upload";

/// What a caller wants.
#[derive(Debug)]
pub struct NewJob {
    /// The application.
    pub application: ApplicationId,
    /// `S3Url`, verbatim.
    pub source_text: String,
    /// What the objects hold.
    pub format: Format,
    /// Whether endpoints are registered.
    pub register_endpoints: bool,
    /// Whether a segment is made or added to.
    pub define_segment: bool,
    /// `DefineSegment` as the caller gave it, to be echoed.
    pub asked_to_define: Option<bool>,
    /// The segment to add to.
    pub segment: Option<SegmentId>,
    /// The name of a new segment.
    pub segment_name: Option<String>,
    /// `RoleArn`, verbatim.
    pub role_arn: Option<String>,
    /// `ExternalId`, verbatim.
    pub external_id: Option<String>,
    /// The fingerprint of the request: another one with the same finds this job.
    pub request: Option<String>,
    /// The file that was uploaded for it, if one was.
    pub upload: Option<Upload>,
    /// Failed records before it is given up, instead of what the configuration says.
    pub max_failures: Option<FailureBudget>,
    /// What the caller said about how to read.
    pub read: ReadOptions,
    /// The job whose rejects it imports, mended.
    pub retry_of: Option<JobId>,
    /// The id of the key that asks for it; none while the server has no keys.
    pub principal: Option<String>,
}

/// A job that a request led to.
#[derive(Debug, Clone)]
pub struct Created {
    /// The job.
    pub job: ImportJob,
    /// Whether this request created it; else an earlier try of the same request did.
    pub new: bool,
}

/// Why a job was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The request cannot work: a sentence for the caller.
    #[error("{0}")]
    Refused(String),
    /// The segment to add to is not there.
    #[error("there is no segment {0}")]
    NoSegment(SegmentId),
    /// The version to export is not there, or not any more.
    #[error("segment {0} has no version {1}")]
    NoVersion(SegmentId, u32),
    /// No job can run: the store failed, or the process is stopping.
    #[error("{0}")]
    Unavailable(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A place for a file that is being uploaded. Dropped before a job is made of it, it is removed.
#[derive(Debug)]
pub struct Upload {
    id: JobId,
    folder: PathBuf,
    file: PathBuf,
    kept: bool,
    /// The key that sends it; empty if none is needed.
    key: String,
    limits: UploadLimits,
    ledger: Arc<Ledger>,
}

impl Upload {
    /// Where the bytes go. The writer syncs the file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Takes room for so many more bytes, before they are written.
    ///
    /// # Errors
    /// If its key, or all keys together, hold too many.
    pub fn take(&self, bytes: u64) -> Result<(), TooMuch> {
        self.ledger.take(self.id, &self.key, bytes, self.limits)
    }

    /// The job that it will be.
    pub fn job(&self) -> JobId {
        self.id
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_dir_all(&self.folder);
            self.ledger.release(self.id);
        }
    }
}

/// Requests and the jobs they created, for a while.
#[derive(Default)]
pub(super) struct Requests {
    jobs: HashMap<String, Arc<Mutex<Option<JobId>>>>,
    order: VecDeque<(Instant, String)>,
}

impl Requests {
    /// The place of a request. The holder of its lock is creating the job.
    fn place(&mut self, request: &str, now: Instant, window: Duration) -> Arc<Mutex<Option<JobId>>> {
        while self.order.front().is_some_and(|(then, _)| now.saturating_duration_since(*then) > window) {
            self.forget_oldest();
        }
        if let Some(place) = self.jobs.get(request) {
            return Arc::clone(place);
        }
        if self.order.len() >= REQUESTS_KEPT {
            self.forget_oldest();
        }
        let place = Arc::default();
        self.jobs.insert(request.to_owned(), Arc::clone(&place));
        self.order.push_back((now, request.to_owned()));
        place
    }

    fn forget_oldest(&mut self) {
        if let Some((_, oldest)) = self.order.pop_front() {
            self.jobs.remove(&oldest);
        }
    }
}

impl Jobs {
    /// Makes a place for an uploaded file, and the id of its job.
    pub fn begin_upload(&self, format: Format, key: Option<&str>) -> Result<Upload, FileError> {
        let id = JobId::generate();
        let folder = self.folder(id);
        let upload = folder.join(UPLOAD);
        create_folder(&upload)?;
        boundary("upload.begun");
        let file = upload.join(format!("body.{}", format.suffix()));
        let limits = self.inner.upload_limits(key);
        let (key, ledger) = (key.unwrap_or_default().to_owned(), Arc::clone(&self.inner.ledger));
        Ok(Upload { id, folder, file, kept: false, key, limits, ledger })
    }

    /// Creates a job. When this returns, the job is durable and will run; if the request is one that created
    /// a job before, it returns that job.
    pub fn create(&self, new: NewJob) -> Result<Created, CreateError> {
        let request = new.request.clone();
        self.create_once(request, || self.inner.create(new))
    }

    /// Finds the job that an earlier try of a request made, or makes it.
    pub(super) fn create_once(
        &self,
        request: Option<String>,
        create: impl FnOnce() -> Result<Created, CreateError>,
    ) -> Result<Created, CreateError> {
        self.health().map_err(CreateError::Unavailable)?;
        self.room().map_err(CreateError::Unavailable)?;
        let Some(request) = request else { return create() };
        let window = self.inner.options().retry_window;
        let place = self.inner.requests.lock().place(&request, Instant::now(), window);
        let mut made = place.lock();
        let store = &self.inner.store;
        if made.is_none() {
            // The first try may have reached another server.
            *made = store.requested_job(&request, window)?;
        }
        if let Some(job) = made.and_then(|id| store.job(id).transpose()) {
            return Ok(Created { job: job?, new: false });
        }
        let created = create()?;
        *made = Some(created.job.id);
        Ok(created)
    }
}

impl Inner {
    /// Finds the requests of the jobs that were made not long ago: a client may send one again across a restart.
    pub(super) fn remember_requests(&self) -> Result<(), StoreError> {
        const PAGE: usize = 500;
        let since = Timestamp::now().as_millis() - self.options().retry_window.as_millis() as i64;
        let now = Instant::now();
        let mut requests = self.requests.lock();
        let mut before = None;
        while requests.order.len() < REQUESTS_KEPT {
            let jobs = self.store.jobs(None, before, PAGE)?;
            for job in jobs.iter().filter(|job| job.created.as_millis() >= since) {
                if let Some(request) = &job.request {
                    *requests.place(request, now, self.options().retry_window).lock() = Some(job.id);
                }
            }
            match jobs.last() {
                Some(last) if jobs.len() == PAGE && last.created.as_millis() >= since => {
                    before = Some(last.id)
                }
                _ => break,
            }
        }
        Ok(())
    }

    fn create(&self, mut new: NewJob) -> Result<Created, CreateError> {
        if !new.register_endpoints && !new.define_segment {
            return Err(CreateError::Refused(
                "RegisterEndpoints and DefineSegment are both false: the import would have no outcome".into(),
            ));
        }
        let mut upload = new.upload.take();
        let (id, source) = match &upload {
            Some(upload) => (upload.id, SourceLocation::Path(upload.file.clone())),
            None => {
                let location = self.resolver().location(&new.source_text);
                (JobId::generate(), location.map_err(|error| CreateError::Refused(error.0))?)
            }
        };
        if let Some(id) = new.segment {
            let segment = self.store.segment(new.application, id)?.ok_or(CreateError::NoSegment(id))?;
            if segment.criteria().is_some() {
                return Err(CreateError::Refused(format!(
                    "segment {id} is made of dimensions: an import adds to segments that imports made"
                )));
            }
        }
        let segment = new.define_segment.then(|| new.segment.unwrap_or(id.into()));
        let definition = ImportDefinition {
            application: new.application,
            source,
            source_text: new.source_text,
            format: new.format,
            register_endpoints: new.register_endpoints,
            segment,
            asked_to_define: new.asked_to_define,
            segment_name: new.segment_name,
            role_arn: new.role_arn,
            external_id: new.external_id,
            piece_bytes: self.options().piece_bytes,
            limits: self.options().limits,
            max_failures: new.max_failures.or(self.options().max_failures),
            kept_failure_bytes: self
                .options()
                .kept_failure_bytes
                .unwrap_or_else(|| disk::kept_failure_bytes(&self.options().folder)),
            read: new.read,
            retry_of: new.retry_of,
            export: None,
        };
        let mut job = ImportJob::new(id, definition, Timestamp::now());
        job.request = new.request;
        job.principal = new.principal;
        self.look(&job)?;
        // The id may be older than the look: the order of jobs is that of their creation.
        if upload.is_none() {
            let id = JobId::generate();
            if job.definition.segment == Some(job.id.into()) {
                job.definition.segment = Some(id.into());
            }
            job.id = id;
            job.created = Timestamp::now();
        }
        let made = self.add(&job).map_err(|error| match error {
            StoreError::NotFound { what: "segment", .. } if new.segment.is_some() => {
                new.segment.map_or(CreateError::Store(error), CreateError::NoSegment)
            }
            error => error.into(),
        })?;
        if let Some(job) = made {
            return Ok(Created { job, new: false });
        }
        boundary("job.created");
        if let Some(upload) = &mut upload {
            upload.kept = true;
        }
        self.enqueue(&job)?;
        Ok(Created { job, new: true })
    }

    /// Makes a job durable, unless its request made one through another server at the same time: then that one.
    pub(super) fn add(&self, job: &ImportJob) -> Result<Option<ImportJob>, StoreError> {
        match self.store.create_requested_job(job, self.options().retry_window)? {
            None => Ok(None),
            Some(made) => match self.store.job(made)? {
                Some(job) => Ok(Some(job)),
                None => Err(StoreError::NotFound { what: "job", id: made.to_string() }),
            },
        }
    }

    /// Queues a job that has just become durable.
    pub(super) fn enqueue(&self, job: &ImportJob) -> Result<(), CreateError> {
        debug_assert_eq!(job.status, JobStatus::Created);
        let name = self.application_name(job.definition.application)?;
        let mut state = self.state.lock();
        // Where several servers share the store, a look at it may have been faster.
        if state.known.as_mut().is_none_or(|known| known.insert(job.id)) {
            state.count(job.definition.application, 1);
        }
        let place = Place::Waiting { not_before: None, tries: 0 };
        state.jobs.insert(job.id, Entry::new(job.clone(), name, place));
        let source = pinport_model::escape_controls(&job.definition.source_text);
        let what = if job.definition.export.is_some() { "export to " } else { "" };
        let text = format!("created: {what}{source}, {}", job.definition.format);
        state.happened(job.id, text);
        drop(state);
        self.dispatch();
        Ok(())
    }

    /// Looks at the data, for a while. A mistake of the caller's is an error; a source that does not answer
    /// is none: the job will try again.
    fn look(&self, job: &ImportJob) -> Result<(), CreateError> {
        let options = self.source_options(job).map_err(|error| CreateError::Refused(error.0))?;
        let cancel = CancellationToken::new();
        let options = SourceOptions { cancel: cancel.clone(), ..options };
        let (location, io) = (job.definition.source.clone(), self.io.clone());
        let (format, limits) = (job.definition.format, job.definition.limits);
        let read = job.definition.read.clone();
        let (answer, answered) = mpsc::sync_channel(1);
        // Some may still hang in a source that was given up.
        let thread = Arc::clone(&self.looking);
        if Arc::strong_count(&thread) > LOOKS_AT_ONCE {
            return Ok(());
        }
        let looking = std::thread::Builder::new().name("look".into()).spawn(move || {
            let looked = Source::open(&location, options, io)
                .map(|source| source.reading(format, &read))
                .and_then(|source| look(&source, format, limits, &read));
            // No one waits any more when it took too long.
            let _ = answer.send(looked);
            drop(thread);
        });
        if looking.is_err() {
            return Ok(());
        }
        let looked = answered.recv_timeout(self.options().look);
        cancel.cancel();
        match looked {
            Ok(Ok(_)) | Err(_) => Ok(()),
            Ok(Err(
                SourceError::Unreachable { .. } | SourceError::Throttled { .. } | SourceError::Cancelled,
            )) => Ok(()),
            Ok(Err(error)) => Err(CreateError::Refused(sentence(&error.to_string()))),
        }
    }
}

/// A fragment as a sentence of its own.
fn sentence(fragment: &str) -> String {
    pinport_model::escape_controls(fragment).into_owned()
}

/// Makes what was uploaded durable, its folder included.
pub fn sync_upload(upload: &Upload) -> Result<(), FileError> {
    boundary("upload.received");
    sync_folder(&upload.folder.join(UPLOAD))?;
    boundary("upload.durable");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_found_for_a_while_and_until_others_need_its_room() {
        let (begun, window) = (Instant::now(), Duration::from_secs(10));
        let mut requests = Requests::default();
        let mut place = |request: &str, seconds| {
            let place = requests.place(request, begun + Duration::from_secs(seconds), window);
            assert_eq!(requests.jobs.len(), requests.order.len());
            place
        };
        let first = place("first", 0);
        assert!(Arc::ptr_eq(&first, &place("first", 10)));
        let first = place("first", 11);
        let others: Vec<_> = (1..REQUESTS_KEPT).map(|number| place(&number.to_string(), 12)).collect();
        assert!(Arc::ptr_eq(&first, &place("first", 12)), "there is room for all of them");
        place("another", 12);
        assert!(!Arc::ptr_eq(&first, &place("first", 12)), "it was the oldest");
        assert!(Arc::ptr_eq(&others[1], &place("2", 12)), "and one more had to go for it");
        assert_eq!(requests.order.len(), REQUESTS_KEPT);
    }
}
