//! Where pinport keeps applications, endpoints, segments, jobs and their pieces.
//!
//! The traits here speak of jobs, pieces and endpoints, never of keys, so that an SQL engine can implement
//! them. Three engines do now: [`memory`], the simplest thing that is right and therefore the oracle, [`embedded`],
//! RocksDB with sorted runs, and [`postgres`], a database that many servers share. One conformance suite runs on all.
//!
//! The way of an import: [`Store::create_job`], then [`Store::writer`]; for each piece
//! [`JobWriter::prepare`] (in parallel, in any order, may be thrown away), then, in source order,
//! [`PreparedPiece::resolve`] and [`PreparedPiece::commit`]; at last [`Store::finish_job`].

pub mod batch;
mod boundary;
pub mod compare;
mod copied;
pub mod copying;
mod criteria;
mod distant;
pub mod durable;
pub mod embedded;
mod entry;
pub mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod hash;
mod lifecycle;
pub mod memory;
mod order;
mod parts;
mod piece_rows;
mod pool;
pub mod postgres;
pub mod ranges;
pub mod record;
mod resolve;

use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc, time::Duration};

use pinport_model::{
    Application, ApplicationId, Channel, Criteria, Draft, Endpoint, ImportJob, JobId, Origin, PieceRecord,
    Segment, SegmentId, SegmentVersion, Settings, Timestamp, failure::FailureReason, limits::RecordLimits,
    progress::Progress, segment::MemberCount, view::ServerView,
};

pub use batch::{DraftBatch, DraftKind};
pub use boundary::boundary;
pub use error::{StoreError, lacks_descriptors};
pub use parts::{ClaimedPart, PartState, Parts};
pub use ranges::{Gather, RangeTaker, Room};

/// The result of asking a store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A store. Every method that changes something returns when the change is durable.
///
/// Methods block; callers on an I/O runtime move them to a thread of their own.
pub trait Store: Send + Sync {
    /// Adds an application. Its id must be free ([`StoreError::Conflict`]); others may have its name.
    fn create_application(&self, application: &Application) -> Result<()>;
    /// The same, if its name is free too ([`StoreError::Conflict`]): of two callers that make what they do not find,
    /// one makes it.
    fn create_named_application(&self, application: &Application) -> Result<()>;
    /// The application with this id.
    fn application(&self, id: ApplicationId) -> Result<Option<Application>>;
    /// The applications with this name, in order of id.
    fn applications_by_name(&self, name: &str) -> Result<Vec<Application>>;
    /// Up to `limit` applications in order of id, after `after`.
    fn applications(&self, after: Option<ApplicationId>, limit: usize) -> Result<Vec<Application>>;
    /// Replaces an application's tags ([`StoreError::NotFound`]).
    fn save_application(&self, application: &Application) -> Result<()>;
    /// An application's settings, if there were any.
    fn settings(&self, application: ApplicationId) -> Result<Option<Settings>>;
    /// Replaces an application's settings ([`StoreError::NotFound`] without the application).
    fn save_settings(&self, application: ApplicationId, settings: &Settings) -> Result<()>;
    /// Takes attributes from all endpoints of an application, or from its users: those whose names `is_named` says yes to. Up to
    /// [`NAMES_TOLD`] of the names that were there. What segments hold as copies stays. It takes many writes: after a crash
    /// some may be left.
    fn remove_attributes(
        &self,
        application: ApplicationId,
        kind: AttributeKind,
        is_named: &dyn Fn(&str) -> bool,
    ) -> Result<BTreeSet<String>>;
    /// Deletes an application with its endpoints, users, segments and ended jobs. Refused while one of
    /// its jobs has not ended ([`StoreError::Conflict`]).
    fn delete_application(&self, id: ApplicationId) -> Result<()>;

    /// Adds a job and, when it defines a segment, opens a layer in that segment: an existing one
    /// ([`StoreError::NotFound`]), or a new one when the segment's id equals the job's.
    fn create_job(&self, job: &ImportJob) -> Result<()>;
    /// The same for a job that a request asks for, where several processes share a store: if the same request made one
    /// through any of them within `window`, nothing is added, and that job's id is returned.
    fn create_requested_job(&self, job: &ImportJob, _window: Duration) -> Result<Option<JobId>> {
        self.create_job(job).map(|()| None)
    }
    /// The job that a request made within `window` through any of the processes that share a store.
    fn requested_job(&self, _request: &str, _window: Duration) -> Result<Option<JobId>> {
        Ok(None)
    }
    /// Replaces a job that has not ended; its status and plan go forward this way.
    fn save_job(&self, job: &ImportJob) -> Result<()>;
    /// Replaces a job by its ended form and, in the same moment, closes its layer: the segment gets a new
    /// version that has the layers of the current one and this (or this alone, with `replace`); `partial`
    /// unless the job is COMPLETED. A layer without members of a job that is not COMPLETED makes no version.
    /// Of the versions the newest [`VERSIONS_KEPT`](pinport_model::segment::VERSIONS_KEPT) are kept.
    fn finish_job(&self, job: &ImportJob, replace: bool) -> Result<()>;
    /// The job with this id.
    fn job(&self, id: JobId) -> Result<Option<ImportJob>>;
    /// Up to `limit` jobs, newest first, older than `before`: of one application or of all.
    fn jobs(
        &self,
        application: Option<ApplicationId>,
        before: Option<JobId>,
        limit: usize,
    ) -> Result<Vec<ImportJob>>;
    /// Deletes an ended job and the records of its pieces, not what it stored; whether there was one. Refused while it has
    /// not ended ([`StoreError::Conflict`]). Versions of segments go on naming it.
    fn delete_job(&self, id: JobId) -> Result<bool>;
    /// Jobs that have not ended, oldest first.
    fn unfinished_jobs(&self) -> Result<Vec<ImportJob>>;
    /// The last committed piece of a job: where it goes on.
    fn last_piece(&self, job: JobId) -> Result<Option<PieceRecord>>;
    /// Up to `limit` committed pieces of a job in order, from number `from`.
    fn pieces(&self, job: JobId, from: u64, limit: usize) -> Result<Vec<PieceRecord>>;
    /// The means to commit pieces of a job that has not ended.
    fn writer(&self, job: &ImportJob) -> Result<Arc<dyn JobWriter>>;

    /// The endpoint with this id.
    fn endpoint(&self, application: ApplicationId, id: &str) -> Result<Option<Endpoint>>;
    /// Merges what `draft` says into the endpoint, which is created if there is none. `now` dates it.
    fn put_endpoint(
        &self,
        application: ApplicationId,
        id: &str,
        draft: &mut Draft<'_>,
        now: Timestamp,
    ) -> Result<()> {
        self.put_endpoints(application, &[EndpointUpdate::new(id, draft, now)], &RecordLimits::default())
    }
    /// Merges updates into endpoints, one after the other; those that are not there are created. All in one write: a
    /// crash leaves all of them or none. An update that makes its endpoint or user larger than `limits` allow refuses
    /// all ([`StoreError::TooLarge`]).
    fn put_endpoints(
        &self,
        application: ApplicationId,
        updates: &[EndpointUpdate],
        limits: &RecordLimits,
    ) -> Result<()>;
    /// Removes an endpoint; whether there was one.
    fn delete_endpoint(&self, application: ApplicationId, id: &str) -> Result<bool>;
    /// Removes all endpoints of a user and the user's attributes; how many endpoints there were. Many take some writes: a
    /// crash may leave some of them.
    fn delete_user_endpoints(&self, application: ApplicationId, user: &str) -> Result<u64>;
    /// Up to `limit` endpoints of a user in order of id, after `after`.
    fn user_endpoints(
        &self,
        application: ApplicationId,
        user: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Endpoint>>;

    /// The segment with this id.
    fn segment(&self, application: ApplicationId, id: SegmentId) -> Result<Option<Segment>>;
    /// Up to `limit` segments of an application, newest first, made before `before`.
    fn segments(
        &self,
        application: ApplicationId,
        before: Option<SegmentId>,
        limit: usize,
    ) -> Result<Vec<Segment>>;
    /// A version of a segment, if it is kept.
    fn segment_version(&self, segment: &Segment, version: u32) -> Result<Option<SegmentVersion>>;
    /// Up to `limit` versions of a segment, newest first, older than `before`.
    fn segment_versions(
        &self,
        segment: &Segment,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<SegmentVersion>>;
    /// The jobs that a version has its members from, oldest first: `None` if there are more than `limit`, or if
    /// not all of them are known any more.
    fn version_jobs(
        &self,
        segment: &Segment,
        version: &SegmentVersion,
        limit: usize,
    ) -> Result<Option<Vec<JobId>>>;
    /// Adds a segment that is made of criteria, as [`Segment::of_criteria`] makes it. Its application must be there
    /// ([`StoreError::NotFound`]), and what it refers to ([`StoreError::Criteria`]).
    fn create_segment(&self, segment: &Segment) -> Result<()>;
    /// Gives a segment a name, and a new version if it is made of criteria: with these, or with those it has. A segment
    /// that was imported takes no criteria, and none may lead back to their own segment ([`StoreError::Criteria`]).
    fn update_segment(
        &self,
        application: ApplicationId,
        id: SegmentId,
        name: Option<&str>,
        criteria: Option<&Criteria>,
    ) -> Result<Segment>;
    /// Notes how many members a version by criteria has. One that is not kept any more is left alone.
    fn save_count(&self, segment: &Segment, version: u32, count: &MemberCount) -> Result<()>;
    /// Replaces a segment's name and tags ([`StoreError::NotFound`]).
    fn save_segment(&self, segment: &Segment) -> Result<()>;
    /// Deletes a segment and its members, not the endpoints; whether there was one. Refused while a job
    /// writes to it ([`StoreError::Conflict`]).
    fn delete_segment(&self, application: ApplicationId, id: SegmentId) -> Result<bool>;
    /// Up to `limit` members of a version in order of id, after `after`. Members whose endpoint was
    /// deleted since are left out; a short page therefore does not mean the end, an empty one does. A version that is
    /// not kept any more is not found ([`StoreError::NotFound`]).
    fn members(
        &self,
        segment: &Segment,
        version: &SegmentVersion,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Endpoint>>;

    /// Hands every endpoint that `scope` has to `each`, in order of id, after `after`, as it lies in the store. All are of
    /// one moment. `batch` bounds the bytes of the endpoints that are held at a time. Members whose endpoint was deleted
    /// since are left out. A version that is not kept any more is not found ([`StoreError::NotFound`]).
    fn read_out(
        &self,
        scope: Scope<'_>,
        after: Option<&str>,
        batch: usize,
        each: &mut dyn FnMut(Stored<'_>) -> Result<ControlFlow<()>>,
    ) -> Result<()>;

    /// The same for each of `takers` on a thread of its own: they take ranges of ids that follow one another. `batch` is for
    /// all of them. What cannot be read is told to the taker of that range; an error here comes before all ranges.
    ///
    /// An engine that reads in one thread has one range, for the first taker.
    fn read_ranges(
        &self,
        scope: Scope<'_>,
        after: Option<&str>,
        batch: usize,
        takers: &mut [&mut (dyn RangeTaker + Send)],
    ) -> Result<()> {
        if let Some(taker) = takers.first_mut()
            && taker.begin().is_continue()
        {
            let outcome = self.read_out(scope, after, batch, &mut |stored| taker.add(&stored));
            taker.end(outcome);
        }
        Ok(())
    }

    /// Counts the members of a version. None, if `go_on` says no before the end: it is asked now and then.
    fn count_members(
        &self,
        segment: &Segment,
        version: &SegmentVersion,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<MemberCount>> {
        let mut count = MemberCount { size: 0, channels: Default::default(), at: Timestamp::now() };
        self.read_out(Scope::Version(segment, version), None, COUNTED_AT_ONCE, &mut |stored| {
            stored.count_into(&mut count)?;
            Ok(if go_on() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(go_on().then_some(count))
    }

    /// An error if the store stopped: an earlier write failed, and it does no more until it is opened again.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Whether the records of jobs that register endpoints are to say which job they came with ([`DraftBatch::mark`]): an
    /// engine that does not know it otherwise counts by it what has no room ([`ImportJob::left_out`]).
    fn marks_jobs(&self) -> bool {
        false
    }

    /// Members of records that were left out of what is stored since the store was opened: their endpoint or user was
    /// full. Those of imports may be found, and counted, long after their job has ended ([`ImportJob::left_out`]).
    fn left_out(&self) -> u64 {
        0
    }

    /// Makes what the store holds at this moment a store of its own in a folder that is there and empty, without copying
    /// what never changes. An engine without files refuses ([`StoreError::Conflict`]).
    fn checkpoint(&self, folder: &std::path::Path) -> Result<()> {
        Err(StoreError::Conflict(format!("this store has no files to put into {}", folder.display())))
    }

    /// What its files and its work come to; nothing if it has none, or cannot say now.
    fn figures(&self) -> Option<Figures> {
        None
    }

    /// Takes a job that has not ended for this process, where several may share a store; what is stored of it by now. Nothing
    /// where a store has one process. An error if another process has it ([`StoreError::Lost`]).
    fn claim(&self, _job: JobId) -> Result<Option<ImportJob>> {
        Ok(None)
    }

    /// Gives a job back that was claimed and has not ended.
    fn release(&self, _job: JobId) {}

    /// Jobs that have not ended, where several processes share a store: whether this one may take each, what was asked of it,
    /// and who works on it; and the newest ones that have.
    fn open_jobs(&self) -> Result<Vec<OpenJob>> {
        Ok(Vec::new())
    }

    /// Which of these jobs are not stored any more, where several processes share a store: another one may have deleted them.
    fn deleted_jobs(&self, _jobs: &[JobId]) -> Result<Vec<JobId>> {
        Ok(Vec::new())
    }

    /// Asks something of a job that another process may work on, or takes that back; whether the job is there and has not
    /// ended.
    fn ask(&self, _job: JobId, _asked: Option<StopRequest>) -> Result<bool> {
        Ok(false)
    }

    /// Keeps a piece of a file of a job, or of a part of it that was claimed (0: the job itself), for other processes: the bytes
    /// from `at` on, and nothing after them.
    fn keep_file(&self, _job: JobId, _part: u32, _name: &str, _at: u64, _bytes: &[u8]) -> Result<()> {
        Ok(())
    }

    /// Hands on what is kept of the files of a job, or of a part of it (0: the job itself), by name and in order.
    fn kept_files(&self, _job: JobId, _part: u32, _each: &mut EachKept<'_>) -> Result<()> {
        Ok(())
    }

    /// Takes note of how far a job that was claimed has come, for the other processes.
    fn report(&self, _job: JobId, _progress: &Progress) {}

    /// Says to the other servers that share the store that this one is here, and how many jobs it runs. Those that are here, this
    /// one among them.
    fn meet(&self, _version: &str, _running: u64) -> Result<Vec<ServerView>> {
        Ok(Vec::new())
    }

    /// Says that this process goes: to the other servers that share the store, and to the store itself, which sorts no more.
    fn leave(&self) {}

    /// What this process is called among those that share the store.
    fn name(&self) -> Option<&str> {
        None
    }

    /// The same store, if it can divide jobs among processes.
    fn parts(&self) -> Option<&dyn Parts> {
        None
    }

    /// What all committed pieces of a job came to, also those of parts that are not pieces of the job yet: the counts of its
    /// last piece and theirs.
    fn totals(&self, job: JobId) -> Result<Option<PieceRecord>> {
        self.last_piece(job)
    }

    /// Whether other processes may change it.
    fn is_shared(&self) -> bool {
        false
    }

    /// Whether so much waits to be sorted that it is worth a look at everything.
    fn wants_settling(&self) -> bool {
        true
    }

    /// Lets the store sort what imports left behind, so that reads are fast again. Blocks until done.
    fn settle(&self) -> Result<()>;

    /// The same beside other work: after each part of it `go_on` hears how long that took, may wait, and says whether to go
    /// on. An engine that cannot stop in the middle does not ask.
    fn settle_while(&self, _go_on: &mut dyn FnMut(Duration) -> bool) -> Result<()> {
        self.settle()
    }
}

/// Takes a piece of a file that is kept: the file's name, where in it the piece begins, its bytes.
pub type EachKept<'a> = dyn FnMut(&str, u64, &[u8]) -> Result<()> + 'a;

/// A job in a store that several processes share, while it has not ended and for some time after.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenJob {
    /// The job.
    pub job: ImportJob,
    /// Whether this process has it, or no one.
    pub is_free: bool,
    /// Whether it waits for the one process whose files it reads or writes, which is another one.
    pub is_elsewhere: bool,
    /// What was asked of it.
    pub asked: Option<StopRequest>,
    /// Who works on it, if that is another process.
    pub worker: Option<Worker>,
    /// Parts of it that no one works on.
    pub open_parts: u64,
    /// The parts that are worked on, and who does.
    pub parts: Vec<(u32, String)>,
}

/// A process that works on a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Worker {
    /// What it is called.
    pub name: String,
    /// How far the job had come when it was heard of last, if it was.
    pub progress: Option<Progress>,
}

/// What is asked of a job that runs, perhaps in another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopRequest {
    /// That it ends.
    Cancel,
    /// That it rests.
    Pause,
}

/// What a store is made of, for those who watch it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Bytes of its files of data.
    pub bytes: u64,
    /// These files.
    pub files: u64,
    /// Those of them that imports left and nothing has compacted.
    pub unsettled_files: u64,
    /// Bytes that compaction has yet to write, by its own estimate.
    pub pending_bytes: u64,
    /// Compactions that run.
    pub compactions: u64,
    /// Bytes of memory that its tables and its cache have.
    pub memory_bytes: u64,
}

/// Bytes of endpoints that are held at a time while members are counted: as few as to read a page takes.
const COUNTED_AT_ONCE: usize = 4 << 20;

/// Names of removed attributes that are returned; any number may be removed.
pub const NAMES_TOLD: usize = 1000;

/// Which attributes are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeKind {
    /// Those of endpoints.
    Endpoint,
    /// The metrics of endpoints.
    Metric,
    /// Those of users.
    User,
}

impl AttributeKind {
    /// What such an attribute is in a stored record.
    pub(crate) fn tag(self) -> record::Tag {
        match self {
            Self::Endpoint => record::Tag::Attribute,
            Self::Metric => record::Tag::Metric,
            Self::User => record::Tag::UserAttribute,
        }
    }
}

/// Whose endpoints are read out.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// All endpoints of an application.
    Application(ApplicationId),
    /// The members of a version of a segment.
    Version(&'a Segment, &'a SegmentVersion),
}

impl<'a> Scope<'a> {
    /// The members of a version of a segment, or without one all endpoints of the application.
    pub fn of(application: ApplicationId, version: Option<&'a (Segment, SegmentVersion)>) -> Self {
        match version {
            None => Self::Application(application),
            Some((segment, version)) => Self::Version(segment, version),
        }
    }
}

/// An endpoint as it lies in the store: what [`record::write`] makes JSON and CSV of.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    pub(crate) id: &'a [u8],
    pub(crate) record: &'a [u8],
    /// What the user's own record says, if it has one.
    pub(crate) user_record: &'a [u8],
}

impl Stored<'_> {
    /// Counts it.
    fn count_into(&self, count: &mut MemberCount) -> Result<()> {
        count.size += 1;
        let channel = record::read::find(self.record, record::Tag::Channel)?;
        if let Some(channel) = channel.and_then(|value| count.channels.get_mut(usize::from(*value.first()?)))
        {
            *channel += 1;
        }
        Ok(())
    }

    /// The endpoint's id.
    pub fn id(&self) -> Result<&str> {
        id_of(self.id)
    }

    /// The bytes of the endpoint's id, for [`id_of`].
    #[inline]
    pub fn id_bytes(&self) -> &[u8] {
        self.id
    }
}

/// An endpoint's id that was stored as these bytes.
pub fn id_of(bytes: &[u8]) -> Result<&str> {
    str::from_utf8(bytes).map_err(|_| StoreError::Corrupt("an endpoint's id is no UTF-8".into()))
}

/// An update of an endpoint, as it is merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointUpdate {
    pub(crate) id: String,
    pub(crate) record: Vec<u8>,
    pub(crate) user_record: Vec<u8>,
}

impl EndpointUpdate {
    /// What `draft` says of the endpoint with this id. `now` dates it. The draft's attributes and metrics are sorted on the
    /// way.
    pub fn new(id: &str, draft: &mut Draft<'_>, now: Timestamp) -> Self {
        let (mut record, mut user_record) = (Vec::new(), Vec::new());
        record::encode_endpoint(draft, Some(now), now, &mut record);
        record::encode_user(draft, &mut user_record);
        Self { id: id.to_owned(), record, user_record }
    }

    /// The endpoint that is updated.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Commits the pieces of one job. Shared by the threads that build pieces.
pub trait JobWriter: Send + Sync {
    /// Turns the drafts of a piece, batches in source order, into what can be committed. Nothing is
    /// visible yet, and a prepared piece that is dropped leaves nothing behind.
    fn prepare(&self, piece: u64, batches: Vec<DraftBatch>) -> Result<Box<dyn PreparedPiece>>;
}

/// A piece that is ready to be committed at its turn.
pub trait PreparedPiece: Send {
    /// Judges the records whose outcome depends on what is in the store (see [`DraftKind`]). Call it once, at the
    /// piece's turn, when all earlier pieces are committed. Returns the records that failed, in source
    /// order; they are then no part of the piece.
    fn resolve(&mut self) -> Result<Vec<Unresolved>>;
    /// Records of the piece whose endpoint an earlier record of the piece names. A store that does not know says 0.
    fn repeated(&self) -> u64 {
        0
    }
    /// Members of the piece's records that were left out of a segment's copies, because its records of one endpoint have
    /// more than one may have.
    fn left_out(&self) -> u64 {
        0
    }
    /// Whether the outcome of some of its records depends on what is in the store, so that it must be resolved at its turn.
    fn asks_the_store(&self) -> bool {
        true
    }
    /// Makes the piece and its record durable in one step.
    fn commit(self: Box<Self>, record: &PieceRecord) -> Result<()>;
}

/// A record that failed because of what is not in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// Where the record begins.
    pub origin: Origin,
    /// Why it failed.
    pub reason: FailureReason,
    /// The channel it was counted under.
    pub channel: Option<Channel>,
    /// The record's original bytes, if its batch kept them.
    pub raw: Option<Vec<u8>>,
}
