//! What a server shows of its jobs: the same values feed the event stream, `/pinport/v1/`, the dashboard,
//! `--once` and `--json`, so that no two views can disagree.

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    ApplicationId, Failure, FailureClass, Format, ImportDefinition, JobId, JobKind, LostObject, Notices,
    ObjectTally, Timestamp, history::HistoryPoint, progress::Progress,
};

/// One job, short: a row of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobView {
    /// The job.
    pub id: JobId,
    /// What it does.
    #[serde(default, skip_serializing_if = "JobKind::is_import")]
    pub kind: JobKind,
    /// Its application.
    pub application: ApplicationId,
    /// That application's name.
    pub application_name: String,
    /// The source as the caller wrote it.
    pub source: String,
    /// Its format.
    pub format: Format,
    /// The name of the segment it defines, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment_name: Option<String>,
    /// When it was created.
    pub created: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<Timestamp>,
    /// Whether it was paused: it waits as PENDING_JOB until it is resumed.
    pub paused: bool,
    /// Why it waits, if it waits for more than its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// The server that works on it, where several share a store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The parts of it that are worked on, if it is divided among servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartView>,
    /// Counters and status.
    pub progress: Progress,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A part of a job that a server works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartView {
    /// From 1, in source order.
    pub part: u32,
    /// Who works on it.
    pub server: String,
}

/// Where a piece stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PieceState {
    /// Nothing of it has been read.
    Waiting,
    /// It is being read.
    Reading,
    /// It has been read; its records are being parsed or its run built.
    Parsing,
    /// It waits for its turn to be committed, or is being committed.
    Committing,
    /// It is committed.
    Done,
    /// A part of it could not be read.
    Failed,
}

/// Pieces in the same state that follow each other: 10,000 pieces of a job are a handful of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PieceRun {
    /// The state of all of them.
    pub state: PieceState,
    /// How many.
    pub count: u64,
}

/// An object of a job and how far it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectView {
    /// URL or path.
    pub name: String,
    /// Bytes in the store.
    pub size: u64,
    /// Why it was skipped, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// What was counted in it by committed pieces.
    pub tally: ObjectTally,
}

/// A stage of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the stages of the pipeline, in order")]
pub enum StageName {
    Fetch,
    /// With split: from the bytes of an object to whole records.
    Decode,
    Parse,
    Build,
    Commit,
}

impl StageName {
    /// The stage's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Decode => "decode",
            Self::Parse => "parse",
            Self::Build => "build",
            Self::Commit => "commit",
        }
    }
}

/// How busy a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageView {
    /// Which.
    pub stage: StageName,
    /// Milliseconds its threads were busy since this run of the job began, added up.
    pub busy_ms: u64,
    /// Its threads; 0 if it shares another stage's.
    pub threads: u32,
    /// What waits in front of it, in messages.
    pub queued: u64,
    /// How much may wait there; 0 if it has no queue of its own.
    pub queue_limit: u64,
}

/// One job, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobDetail {
    /// The short form.
    pub job: JobView,
    /// What it is to do.
    pub definition: ImportDefinition,
    /// The id of the key that made it, for that key and for keys that see every application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Its pieces from the first to the last, as far as known.
    pub pieces: Vec<PieceRun>,
    /// Failures by kind.
    pub classes: Vec<FailureClass>,
    /// The first failed records in source order, at most 100.
    pub failures: Vec<Failure>,
    /// The first objects of the plan, at most 1,000; `objects_total` of the progress says how many there are.
    pub objects: Vec<ObjectView>,
    /// Objects of the source that were skipped.
    #[serde(default)]
    pub skipped: u64,
    /// Failures that were counted and not written, because those before them had filled what the job may keep.
    #[serde(default, skip_serializing_if = "crate::job::is_zero")]
    pub unkept_failures: u64,
    /// Times the job was taken up again after an interruption.
    #[serde(default)]
    pub resumed: u32,
    /// What an operator should know.
    pub warnings: Vec<String>,
    /// Objects that could not be read whole, at most 100.
    #[serde(default)]
    pub lost: Vec<LostObject>,
    /// What was merged, guessed, taken, skipped or normalised while reading, at most about 100.
    #[serde(default)]
    pub notices: Notices,
    /// Its stages in order; empty when they are not measured (`busy_ms` of the progress is shown instead).
    #[serde(default)]
    pub stages: Vec<StageView>,
    /// Its counters over its life, so that who connects late sees all of it; empty if the server keeps none.
    #[serde(default)]
    pub history: Vec<HistoryPoint>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// To which job, if to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// The job's application: not sent to listeners, it decides which of them get it.
    #[serde(skip)]
    pub application: Option<ApplicationId>,
    /// What, as one line.
    pub text: String,
}

/// A server's jobs at one moment: one message of the event stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Numbers samples from 1; a gap shows how many were lost on the way.
    pub sequence: u64,
    /// When it was taken.
    pub time: Timestamp,
    /// Running and waiting jobs, and the newest ended ones, newest first.
    pub jobs: Vec<JobView>,
    /// How many jobs the server knows in all.
    pub jobs_total: u64,
    /// How many of them each application has: not sent to listeners, who get the sum of those they may see.
    #[serde(skip)]
    pub jobs_of: Arc<HashMap<ApplicationId, u64>>,
    /// Bytes of the budget that are taken.
    pub bytes_in_flight: u64,
    /// The budget.
    pub bytes_in_flight_limit: u64,
    /// Why no job runs or begins: the store stopped, or its disk has too little room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What happened since the sample before.
    #[serde(default)]
    pub events: Vec<Event>,
    /// What a new listener missed: only in its first sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub past: Option<Box<Past>>,
    /// How the server's machine is: only for listeners that see all applications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    /// The servers that share the store, this one among them; empty if it is no store that several may share. Only for
    /// listeners that see all applications.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerView>,
}

/// A server of those that share a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerView {
    /// Its name: machine and port.
    pub name: String,
    /// Its version of pinport.
    pub version: String,
    /// Jobs that run on it.
    pub running: u64,
    /// Whether it is the server that says this.
    pub here: bool,
}

/// What happened on a server before a listener came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// The newest events, oldest first.
    pub events: Vec<Event>,
    /// Counters of all jobs together since the server began; empty for listeners that see some applications alone.
    #[serde(default)]
    pub server: Vec<HistoryPoint>,
    /// The histories of running jobs.
    #[serde(default)]
    pub jobs: Vec<JobHistory>,
}

/// The counters of a job over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobHistory {
    /// The job.
    pub job: JobId,
    /// Its application: not sent to listeners, it decides which of them get it.
    #[serde(skip)]
    pub application: Option<ApplicationId>,
    /// From its begin to now.
    pub points: Vec<HistoryPoint>,
}

/// A place that an import may read: a file or an object, or, if its URL ends with `/`, what lies below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePlace {
    /// Its URL.
    pub url: String,
    /// Bytes of a file or an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// The places whose URLs begin with a text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePlaces {
    /// In order of their URLs.
    pub places: Vec<SourcePlace>,
    /// Whether there are more.
    pub more: bool,
}

/// What a server has of its machine. What the system does not tell is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Bytes that are free on the disk of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_free: Option<u64>,
    /// Bytes below which no job begins and running ones wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_reserve: Option<u64>,
    /// How many CPUs the process kept busy since the measurement before.
    pub cpu: f64,
    /// How many it may use.
    pub cpus: u32,
    /// Bytes of memory that the process has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Whether the store is being settled.
    pub settling: bool,
}
