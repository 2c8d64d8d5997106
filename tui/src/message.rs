//! The dashboard's interface: messages go in, effects come out. There is no other way in or out.

use std::{path::PathBuf, time::Duration};

use pinport_model::{
    Failure, FailureCode, Format, JobId, SourceLocation, Timestamp,
    job::FailureBudget,
    view::{JobDetail, Sample},
};
use ratatui::crossterm::event::{KeyEvent, MouseEvent};

/// Input of the dashboard. The clock is a message too, so that tests control the time.
#[derive(Debug, Clone)]
pub enum Message {
    /// The server's jobs at one moment.
    Sample(Box<Sample>),
    /// All details of one job: the answer to [`Effect::RequestDetail`].
    Detail(Box<JobDetail>),
    /// Failed records: the answer to [`Effect::RequestFailures`].
    Failures(FailuresPage),
    /// The state of the connection to the server.
    Connection(Connection),
    /// A key.
    Key(KeyEvent),
    /// A click or a turn of the wheel.
    Mouse(MouseEvent),
    /// Pasted text.
    Paste(String),
    /// The terminal has a new size.
    Resize {
        /// Columns.
        width: u16,
        /// Rows.
        height: u16,
    },
    /// The current time.
    Tick(Timestamp),
    /// An effect was carried out, or it failed.
    EffectDone {
        /// One sentence for the operator.
        text: String,
        /// Whether it worked.
        worked: bool,
    },
    /// The import of [`Effect::CreateImport`] was created; it becomes the selected job. Comes in addition to
    /// [`Message::EffectDone`].
    Created(JobId),
    /// Quit, because of SIGTERM.
    Quit,
}

/// The state of the connection to the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Connection {
    /// The first attempt is running.
    #[default]
    Connecting,
    /// Samples arrive.
    Connected,
    /// The job runs in this process, without a connection.
    InProcess,
    /// The connection is lost.
    Disconnected {
        /// Why.
        reason: String,
        /// When the next attempt is.
        retry_in: Duration,
    },
}

/// A request for failed records of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailuresQuery {
    /// The job.
    pub job: JobId,
    /// Only this kind: the code and the member as [`Failure::class_member`] names it.
    pub class: Option<(FailureCode, Option<String>)>,
    /// Only records whose line of text contains this, ignoring case.
    pub search: String,
}

impl FailuresQuery {
    /// The most records in an answer.
    pub const LIMIT: usize = 1000;

    /// Whether `failure` matches. Both the answer and the records that are already here use this rule.
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
    /// The request.
    pub query: FailuresQuery,
    /// The first records, at most [`FailuresQuery::LIMIT`].
    pub entries: Vec<Failure>,
    /// Whether there are more.
    pub more: bool,
}

/// An import that the form describes; every member has been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportRequest {
    /// The location of the objects.
    pub source: SourceLocation,
    /// The source as it was typed.
    pub source_text: String,
    /// Their format.
    pub format: Format,
    /// Name of the application.
    pub application: String,
    /// Name of the segment to define, if any.
    pub segment_name: Option<String>,
    /// Whether endpoints are registered.
    pub register_endpoints: bool,
    /// How many records may fail before the job fails.
    pub max_failures: Option<FailureBudget>,
}

/// Work that the dashboard requests. [`Message::EffectDone`] answers each but `Copy`, `Suspend`, `Quit` and the
/// requests for data.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send [`Message::Detail`] of this job. Requested about once a second while the job is open.
    RequestDetail(JobId),
    /// Send [`Message::Failures`].
    RequestFailures(FailuresQuery),
    /// Cancel the job.
    Cancel(JobId),
    /// Pause the job.
    Pause(JobId),
    /// Resume a paused job.
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
    /// Copy this to the terminal's clipboard; [`crate::run()`] does it.
    Copy(String),
    /// Give the terminal back and stop, as Ctrl-Z does elsewhere; [`crate::run()`] does it.
    Suspend,
    /// Quit; [`crate::run()`] does it.
    Quit,
}
