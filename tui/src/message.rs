//! The dashboard's boundary: what it is told and what it asks for. Nothing else goes in or out.

use std::{path::PathBuf, time::Duration};

use pinport_model::{
    Failure, FailureCode, Format, JobId, SourceLocation, Timestamp,
    job::FailureBudget,
    view::{JobDetail, Sample},
};
use ratatui::crossterm::event::KeyEvent;

/// Something the dashboard is told. The clock is a message too, so tests decide what time it is.
#[derive(Debug, Clone)]
pub enum Message {
    /// The server's jobs at one moment.
    Sample(Box<Sample>),
    /// One job, whole: the answer to [`Effect::RequestDetail`].
    Detail(Box<JobDetail>),
    /// Failed records: the answer to [`Effect::RequestFailures`].
    Failures(FailuresPage),
    /// How the connection to the server stands.
    Connection(Connection),
    /// A key.
    Key(KeyEvent),
    /// Text that was pasted.
    Paste(String),
    /// The terminal has this size now.
    Resize {
        /// Columns.
        width: u16,
        /// Rows.
        height: u16,
    },
    /// It is this late.
    Tick(Timestamp),
    /// An effect was carried out, or was not.
    EffectDone {
        /// What to tell the operator, as one sentence.
        text: String,
        /// Whether it worked.
        worked: bool,
    },
    /// The import that [`Effect::CreateImport`] wanted has been made, besides its [`Message::EffectDone`]: it
    /// becomes the selected one.
    Created(JobId),
    /// Leave, as SIGTERM asks.
    Quit,
}

/// How the connection to the server stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Connection {
    /// The first attempt is under way.
    #[default]
    Connecting,
    /// Samples arrive.
    Connected,
    /// The job runs in this process: there is no connection that could be lost.
    InProcess,
    /// It is lost.
    Disconnected {
        /// Why.
        reason: String,
        /// When it is tried again.
        retry_in: Duration,
    },
}

/// Which failed records of a job are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailuresQuery {
    /// The job.
    pub job: JobId,
    /// Of this kind only: the code and the member as [`Failure::class_member`] names it.
    pub class: Option<(FailureCode, Option<String>)>,
    /// Only those whose line of text has this in it, upper and lower case being the same.
    pub search: String,
}

impl FailuresQuery {
    /// At most this many records are answered.
    pub const LIMIT: usize = 1000;

    /// Whether `failure` is wanted: the one rule for whoever answers and for what is at hand already.
    pub fn matches(&self, failure: &Failure) -> bool {
        if let Some((code, member)) = &self.class
            && (failure.code != *code || failure.class_member() != member.as_deref())
        {
            return false;
        }
        self.search.is_empty() || failure.to_string().to_lowercase().contains(&self.search.to_lowercase())
    }
}

/// Failed records in source order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailuresPage {
    /// What was asked.
    pub query: FailuresQuery,
    /// The first of them, at most [`FailuresQuery::LIMIT`].
    pub entries: Vec<Failure>,
    /// Whether there are more.
    pub more: bool,
}

/// An import that the form describes; every member has been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportRequest {
    /// Where the objects are.
    pub source: SourceLocation,
    /// The source as it was typed.
    pub source_text: String,
    /// What they hold.
    pub format: Format,
    /// Name of the application.
    pub application: String,
    /// Name of the segment to define, if any.
    pub segment_name: Option<String>,
    /// Whether endpoints are registered.
    pub register_endpoints: bool,
    /// Failed records before the job is given up.
    pub max_failures: Option<FailureBudget>,
}

/// Something the dashboard wants done. Each but `Copy`, `Quit` and the requests is answered by
/// [`Message::EffectDone`].
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send [`Message::Detail`] of this job; asked about once a second while the job is open.
    RequestDetail(JobId),
    /// Send [`Message::Failures`].
    RequestFailures(FailuresQuery),
    /// Cancel the job.
    Cancel(JobId),
    /// Pause the job.
    Pause(JobId),
    /// Let a paused job go on.
    Resume(JobId),
    /// Write every failed record of the job to a new file, as NDJSON.
    SaveFailures {
        /// The job.
        job: JobId,
        /// The file.
        path: PathBuf,
    },
    /// Write the original bytes of the failed records to a new file.
    SaveRejects {
        /// The job.
        job: JobId,
        /// The file.
        path: PathBuf,
    },
    /// Create an import job.
    CreateImport(ImportRequest),
    /// Put this into the terminal's clipboard; [`crate::run()`] does it.
    Copy(String),
    /// Leave; [`crate::run()`] does it.
    Quit,
}
