//! A store like the in-memory one whose writers panic for jobs that read a file named `poison`, which has no room for
//! those that read one named `large` and stops when it is told to, and that tells when it was asked to settle.

use std::{
    collections::BTreeSet,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use pinport_model::{
    Application, ApplicationId, Criteria, Endpoint, ImportJob, JobId, PieceRecord, Segment, SegmentId,
    SegmentVersion, Settings, limits::RecordLimits, segment::MemberCount,
};
use pinport_store::{
    AttributeKind, DraftBatch, EndpointUpdate, JobWriter, PreparedPiece, Result, Scope, Store, StoreError,
    Stored, memory::Memory,
};

#[derive(Default)]
pub(super) struct Poisoned {
    memory: Memory,
    /// How many jobs had not ended whenever it was asked to settle.
    settled: Mutex<Vec<usize>>,
    settles: Condvar,
    /// Whether its disk is full for large jobs.
    pub(super) full: Arc<AtomicBool>,
    pub(super) stopped: AtomicBool,
}

impl Poisoned {
    /// Waits until it was asked to settle; how many jobs had not ended each time.
    pub(super) fn settled(&self, limit: Duration) -> Vec<usize> {
        let mut settled = self.settled.lock();
        self.settles.wait_while_for(&mut settled, |settled| settled.is_empty(), limit);
        settled.clone()
    }
}

struct PoisonedWriter;

impl JobWriter for PoisonedWriter {
    fn prepare(&self, piece: u64, _batches: Vec<DraftBatch>) -> Result<Box<dyn PreparedPiece>> {
        panic!("poison in piece {piece}")
    }
}

/// Fails while the disk is full.
struct LargeWriter(Arc<dyn JobWriter>, Arc<AtomicBool>);

impl JobWriter for LargeWriter {
    fn prepare(&self, piece: u64, batches: Vec<DraftBatch>) -> Result<Box<dyn PreparedPiece>> {
        if self.1.load(Ordering::SeqCst) {
            return Err(StoreError::Full {
                path: "/secret".into(),
                message: "No space left on device".into(),
            });
        }
        self.0.prepare(piece, batches)
    }
}

macro_rules! as_in_memory {
    ($(fn $name:ident($($argument:ident: $kind:ty),*) -> $out:ty;)*) => {
        $(fn $name(&self, $($argument: $kind),*) -> Result<$out> {
            self.memory.$name($($argument),*)
        })*
    };
}

impl Store for Poisoned {
    fn writer(&self, job: &ImportJob) -> Result<Arc<dyn JobWriter>> {
        if job.definition.source_text.contains("poison") {
            return Ok(Arc::new(PoisonedWriter));
        }
        let writer = self.memory.writer(job)?;
        if job.definition.source_text.contains("large") {
            return Ok(Arc::new(LargeWriter(writer, Arc::clone(&self.full))));
        }
        Ok(writer)
    }

    fn check(&self) -> Result<()> {
        match self.stopped.load(Ordering::SeqCst) {
            true => Err(StoreError::Stopped("a write failed".into())),
            false => Ok(()),
        }
    }

    fn settle(&self) -> Result<()> {
        self.settled.lock().push(self.unfinished_jobs()?.len());
        self.settles.notify_all();
        self.memory.settle()
    }

    as_in_memory! {
        fn create_application(application: &Application) -> ();
        fn application(id: ApplicationId) -> Option<Application>;
        fn create_named_application(application: &Application) -> ();
        fn applications_by_name(name: &str) -> Vec<Application>;
        fn applications(after: Option<ApplicationId>, limit: usize) -> Vec<Application>;
        fn save_application(application: &Application) -> ();
        fn settings(application: ApplicationId) -> Option<Settings>;
        fn save_settings(application: ApplicationId, settings: &Settings) -> ();
        fn remove_attributes(application: ApplicationId, kind: AttributeKind, is_named: &dyn Fn(&str) -> bool) -> BTreeSet<String>;
        fn delete_application(id: ApplicationId) -> ();
        fn create_job(job: &ImportJob) -> ();
        fn save_job(job: &ImportJob) -> ();
        fn finish_job(job: &ImportJob, replace: bool) -> ();
        fn job(id: JobId) -> Option<ImportJob>;
        fn jobs(application: Option<ApplicationId>, before: Option<JobId>, limit: usize) -> Vec<ImportJob>;
        fn delete_job(id: JobId) -> bool;
        fn unfinished_jobs() -> Vec<ImportJob>;
        fn last_piece(job: JobId) -> Option<PieceRecord>;
        fn pieces(job: JobId, from: u64, limit: usize) -> Vec<PieceRecord>;
        fn endpoint(application: ApplicationId, id: &str) -> Option<Endpoint>;
        fn put_endpoints(application: ApplicationId, updates: &[EndpointUpdate], limits: &RecordLimits) -> ();
        fn delete_user_endpoints(application: ApplicationId, user: &str) -> u64;
        fn delete_endpoint(application: ApplicationId, id: &str) -> bool;
        fn user_endpoints(application: ApplicationId, user: &str, after: Option<&str>, limit: usize) -> Vec<Endpoint>;
        fn segment(application: ApplicationId, id: SegmentId) -> Option<Segment>;
        fn segments(application: ApplicationId, before: Option<SegmentId>, limit: usize) -> Vec<Segment>;
        fn segment_version(segment: &Segment, version: u32) -> Option<SegmentVersion>;
        fn segment_versions(segment: &Segment, before: Option<u32>, limit: usize) -> Vec<SegmentVersion>;
        fn version_jobs(segment: &Segment, version: &SegmentVersion, limit: usize) -> Option<Vec<JobId>>;
        fn create_segment(segment: &Segment) -> ();
        fn update_segment(application: ApplicationId, id: SegmentId, name: Option<&str>, criteria: Option<&Criteria>) -> Segment;
        fn save_count(segment: &Segment, version: u32, count: &MemberCount) -> ();
        fn save_segment(segment: &Segment) -> ();
        fn delete_segment(application: ApplicationId, id: SegmentId) -> bool;
        fn members(segment: &Segment, version: &SegmentVersion, after: Option<&str>, limit: usize) -> Vec<Endpoint>;
        fn read_out(scope: Scope<'_>, after: Option<&str>, batch: usize, each: &mut dyn FnMut(Stored<'_>) -> Result<ControlFlow<()>>) -> ();
    }
}
