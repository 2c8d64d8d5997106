//! What the cases are written with: stores to run on, jobs, and records in few words.

use std::{
    fmt,
    ops::ControlFlow,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use pinport_model::{
    Application, ApplicationId, Attribute, Channel, Draft, Endpoint, EndpointStatus, Format,
    ImportDefinition, ImportJob, JobId, JobStatus, Origin, PieceRecord, Scalar, Segment, SegmentId,
    SourceLocation, TextMember, Timestamp, limits::RecordLimits,
};
use pinport_store::{
    DraftBatch, DraftKind, Room, Scope, Store, StoreError, Unresolved,
    embedded::{Embedded, EmbeddedOptions},
    memory::Memory,
    postgres::{self, Postgres, PostgresOptions},
    ranges::{AsStored, in_order},
    record::write::json::{JsonWriter, Order},
};

use crate::cluster::Cluster;

/// One server for all cases; each has a schema of its own.
static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::start);
static SCHEMAS: AtomicU32 = AtomicU32::new(0);

/// An engine under test, with the folder or the schema it lives in.
pub(crate) struct Bench {
    store: Option<Arc<dyn Store>>,
    folder: Option<tempfile::TempDir>,
    options: EmbeddedOptions,
    url: Option<String>,
}

impl Bench {
    pub(crate) fn memory() -> Self {
        let options = EmbeddedOptions::default();
        Self { store: Some(Arc::new(Memory::default())), folder: None, options, url: None }
    }

    /// Its pieces are small, and go through the log.
    pub(crate) fn embedded() -> Self {
        Self::embedded_with(EmbeddedOptions::default())
    }

    /// All pieces become runs, and the links of users that were asked for are kept.
    pub(crate) fn embedded_runs() -> Self {
        let options = EmbeddedOptions { small_piece: 0, known_links: 1 << 20, ..EmbeddedOptions::default() };
        Self::embedded_with(options)
    }

    fn embedded_with(options: EmbeddedOptions) -> Self {
        // Durability has its own tests; here a disk in memory saves minutes of waiting for syncs.
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.unwrap();
        let mut bench = Self { store: None, folder: Some(folder), options, url: None };
        bench.reopen();
        bench
    }

    /// A store that was opened elsewhere.
    pub(crate) fn of(store: impl Store + 'static) -> Self {
        let options = EmbeddedOptions::default();
        Self { store: Some(Arc::new(store)), folder: None, options, url: None }
    }

    /// A schema in a database.
    pub(crate) fn postgres() -> Self {
        let number = SCHEMAS.fetch_add(1, Ordering::Relaxed);
        let url = format!("{}?schema=case_{number}", CLUSTER.url());
        assert!(postgres::init(&PostgresOptions::new(&url, |_| None).unwrap()).unwrap());
        let mut bench =
            Self { store: None, folder: None, options: EmbeddedOptions::default(), url: Some(url) };
        bench.reopen();
        bench
    }

    /// Closes the store and opens it again, if it is one that lasts.
    pub(crate) fn reopen(&mut self) {
        if let Some(url) = &self.url {
            self.store = None;
            let options = PostgresOptions::new(url, |_| None).unwrap();
            let limits = RecordLimits::default();
            self.store = Some(Arc::new(Postgres::open(options, "a test", &limits).unwrap()));
        }
        if let Some(folder) = &self.folder {
            self.store = None;
            self.store = Some(Arc::new(Embedded::open(folder.path(), self.options.clone()).unwrap()));
        }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.store.as_deref().unwrap()
    }

    pub(crate) fn application(&self, name: &str) -> ApplicationId {
        let application = new_application(name);
        self.store().create_application(&application).unwrap();
        application.id
    }

    /// Holds what is read out, in batches of any size and from any place on, against the endpoints.
    pub(crate) fn check_read_out(
        &self,
        scope: Scope<'_>,
        application: ApplicationId,
        endpoints: &[Endpoint],
    ) {
        let expected: Vec<_> =
            endpoints.iter().map(|endpoint| serde_json::to_string(endpoint).unwrap()).collect();
        for (batch, from) in [(1, 0), (100, 0), (64 << 20, 0), (1, 1), (64 << 20, endpoints.len() / 2)] {
            let after = from.checked_sub(1).and_then(|last| endpoints.get(last)).map(|last| &*last.id);
            let from = if after.is_some() { from } else { 0 };
            let mut writer = JsonWriter::new(application, Order::Model);
            let mut found = Vec::new();
            self.store()
                .read_out(scope, after, batch, &mut |stored| {
                    let mut line = Vec::new();
                    writer.write(&stored, &mut line)?;
                    found.push(String::from_utf8(line).unwrap());
                    Ok(ControlFlow::Continue(()))
                })
                .unwrap();
            assert_eq!(found, expected[from..], "batches of {batch} bytes, behind {after:?}");
            if from == 0 && batch > 1 {
                continue;
            }
            found.clear();
            let room = Room { batch, loads: 3 };
            in_order(self.store(), (scope, after), room, &mut AsStored::default, &mut |rows| {
                for stored in rows.iter() {
                    let mut line = Vec::new();
                    writer.write(&stored, &mut line)?;
                    found.push(String::from_utf8(line).unwrap());
                }
                Ok::<_, StoreError>(ControlFlow::Continue(()))
            })
            .unwrap();
            assert_eq!(found, expected[from..], "ranges with {batch} bytes, behind {after:?}");
        }
    }

    /// Commits records as piece number `piece`; the records that failed.
    pub(crate) fn commit(&self, job: &ImportJob, piece: u64, records: &[Record]) -> Vec<Unresolved> {
        let writer = self.store().writer(job).unwrap();
        let is_marked = self.store().marks_jobs() && job.definition.register_endpoints;
        let batches = batches_of(is_marked.then_some(job.id), records);
        let mut prepared = writer.prepare(piece, batches).unwrap();
        let unresolved = prepared.resolve().unwrap();
        prepared.commit(&piece_record(piece)).unwrap();
        unresolved
    }

    pub(crate) fn finish(&self, job: &ImportJob, status: JobStatus, registered: u64, replace: bool) {
        let mut ended = job.clone();
        ended.status = status;
        ended.completed = Some(Timestamp::from_millis(5000));
        ended.tally.read = registered;
        ended.tally.registered = registered;
        ended.tally.channels[Channel::Email as usize] = registered;
        self.store().finish_job(&ended, replace).unwrap();
    }

    /// A job that ran to its end with one piece.
    pub(crate) fn import(&self, job: &ImportJob, records: &[Record]) -> Vec<Unresolved> {
        self.store().create_job(job).unwrap();
        let unresolved = self.commit(job, 0, records);
        self.finish(job, JobStatus::Completed, (records.len() - unresolved.len()) as u64, false);
        unresolved
    }

    pub(crate) fn endpoint(&self, application: ApplicationId, id: &str) -> Option<Endpoint> {
        self.store().endpoint(application, id).unwrap()
    }

    pub(crate) fn segment(&self, job: &ImportJob) -> Segment {
        let id = job.definition.segment.unwrap();
        self.store().segment(job.definition.application, id).unwrap().unwrap()
    }

    /// The numbers of the versions that a job's segment has, in the order of their list.
    pub(crate) fn versions(&self, job: &ImportJob) -> Vec<u32> {
        let found = self.store().segment_versions(&self.segment(job), None, usize::MAX).unwrap();
        found.into_iter().map(|version| version.version).collect()
    }

    /// All members of the current version, read in pages of 2 and at once: one looks each endpoint up, the other goes
    /// over all of them.
    pub(crate) fn members(&self, segment: &Segment) -> Vec<Endpoint> {
        let Some(version) = segment.current() else { return Vec::new() };
        let mut members: Vec<Endpoint> = Vec::new();
        loop {
            let after = members.last().map(|member| member.id.clone());
            let page = self.store().members(segment, version, after.as_deref(), 2).unwrap();
            if page.is_empty() {
                assert_eq!(self.store().members(segment, version, None, usize::MAX).unwrap(), members);
                return members;
            }
            members.extend(page);
        }
    }

    pub(crate) fn member_ids(&self, segment: &Segment) -> Vec<String> {
        self.members(segment).into_iter().map(|member| member.id).collect()
    }
}

pub(crate) fn new_application(name: &str) -> Application {
    let (id, created) = (ApplicationId::generate(), Timestamp::from_millis(1));
    Application { id, name: name.into(), created, tags: Default::default() }
}

pub(crate) fn piece_record(piece: u64) -> PieceRecord {
    PieceRecord { piece, failures_len: piece * 10, ..PieceRecord::default() }
}

pub(crate) fn job(application: ApplicationId) -> ImportJob {
    let definition = ImportDefinition::new(application, SourceLocation::Stdin, Format::Json, 1 << 20);
    ImportJob::new(JobId::generate(), definition, Timestamp::from_millis(2000))
}

/// A job that defines a new segment.
pub(crate) fn segment_job(application: ApplicationId) -> ImportJob {
    let mut job = job(application);
    job.definition.segment = Some(SegmentId::from(job.id));
    job
}

/// A job whose new segment holds copies.
pub(crate) fn copies_job(application: ApplicationId) -> ImportJob {
    let mut job = segment_job(application);
    job.definition.register_endpoints = false;
    job
}

/// One record of a source.
#[derive(Clone, Default)]
pub(crate) struct Record {
    pub(crate) id: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) channel: Option<Channel>,
    pub(crate) user: Option<String>,
    pub(crate) created: Option<String>,
    pub(crate) cohort: Option<String>,
    pub(crate) status: Option<EndpointStatus>,
    pub(crate) city: Option<String>,
    /// No value: the attribute is removed.
    pub(crate) attributes: Vec<(String, Option<String>)>,
    pub(crate) user_attributes: Vec<(String, Option<String>)>,
}

/// A record with all that a new endpoint needs.
pub(crate) fn new(id: &str, address: &str) -> Record {
    Record { address: Some(address.into()), channel: Some(Channel::Email), ..update(id) }
}

pub(crate) fn update(id: &str) -> Record {
    Record { id: Some(id.into()), ..Record::default() }
}

pub(crate) fn user_only(user: &str) -> Record {
    Record::default().user(user)
}

impl Record {
    pub(crate) fn user(mut self, user: &str) -> Self {
        self.user = Some(user.into());
        self
    }

    pub(crate) fn city(mut self, city: &str) -> Self {
        self.city = Some(city.into());
        self
    }

    pub(crate) fn created(mut self, date: &str) -> Self {
        self.created = Some(date.into());
        self
    }

    pub(crate) fn cohort(mut self, cohort: &str) -> Self {
        self.cohort = Some(cohort.into());
        self
    }

    pub(crate) fn status(mut self, status: EndpointStatus) -> Self {
        self.status = Some(status);
        self
    }

    pub(crate) fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.push((name.into(), Some(value.into())));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.attributes.push((name.into(), None));
        self
    }

    pub(crate) fn user_attribute(mut self, name: &str, value: &str) -> Self {
        self.user_attributes.push((name.into(), Some(value.into())));
        self
    }

    pub(crate) fn draft(&self) -> Draft<'_> {
        let mut draft = Draft::default();
        draft.id = self.id.as_deref();
        draft.channel = self.channel;
        draft.set_text(TextMember::Address, self.address.as_deref());
        draft.set_text(TextMember::UserId, self.user.as_deref());
        draft.set_text(TextMember::CreationDate, self.created.as_deref());
        draft.set_text(TextMember::CohortId, self.cohort.as_deref());
        draft.status = self.status;
        draft.set_text(TextMember::City, self.city.as_deref());
        for (from, user) in [(&self.attributes, false), (&self.user_attributes, true)] {
            for (name, value) in from {
                let start = draft.values.len() as u32;
                draft.values.extend(value.as_deref().map(Scalar::Text));
                let end = draft.values.len() as u32;
                let to = if user { &mut draft.user_attributes } else { &mut draft.attributes };
                to.push(Attribute { name, start, end });
            }
        }
        draft
    }

    pub(crate) fn kind(&self) -> DraftKind {
        if self.id.is_none() {
            DraftKind::UserOnly
        } else if self.address.is_some() && self.channel.is_some() {
            DraftKind::Blind
        } else if self.draft().is_exported() {
            DraftKind::Upsert
        } else {
            DraftKind::Update
        }
    }

    /// The bytes the record was read from, as far as the store is concerned.
    pub(crate) fn raw(&self) -> String {
        format!("{self:?}")
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({:?}", self.kind(), self.id)?;
        if let Some(address) = &self.address {
            write!(f, " {address}")?;
        }
        write!(f, " {:?} user {:?}", self.channel, self.user)?;
        write!(f, " {:?} {:?} {:?}", self.attributes, self.user_attributes, self.city)?;
        write!(f, " {:?} {:?} {:?})", self.created, self.cohort, self.status)
    }
}

/// Where record number `index` begins.
pub(crate) fn origin(index: usize) -> Origin {
    Origin { object: 3, byte: 1000 + 100 * index as u64, line: 10 + index as u64 }
}

/// The records as batches of three.
pub(crate) fn batches(records: &[Record]) -> Vec<DraftBatch> {
    batches_of(None, records)
}

/// The same of a job.
fn batches_of(job: Option<JobId>, records: &[Record]) -> Vec<DraftBatch> {
    let mut batches = Vec::new();
    for (number, chunk) in records.chunks(3).enumerate() {
        let mut batch = DraftBatch::new(origin(number * 3), Timestamp::from_millis(2000));
        batch.keep_raw();
        if let Some(job) = job {
            batch.mark(job);
        }
        for (index, record) in chunk.iter().enumerate() {
            let mut draft = record.draft();
            let id = record.id.as_deref().unwrap_or_default();
            batch.push(&mut draft, record.kind(), id, record.raw().as_bytes(), origin(number * 3 + index));
        }
        batches.push(batch);
    }
    batches
}
