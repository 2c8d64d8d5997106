//! The dashboard's interface: messages go in, effects come out. There is no other way in or out.

use std::{path::PathBuf, time::Duration};

use pinport_model::{
    Failure, FailureCode, FailureFilter, Format, JobId, ReadOptions, RejectPlace, SourceLocation, Timestamp,
    job::FailureBudget,
    size::with_unit,
    view::{JobDetail, Sample, SourcePlaces},
};
use ratatui::crossterm::event::{KeyEvent, MouseEvent};

use crate::hit::Hit;

/// Input of the dashboard. The clock is a message too, so that tests control the time.
#[derive(Debug, Clone)]
pub enum Message {
    /// The server's jobs at one moment.
    Sample(Box<Sample>),
    /// All details of one job: the answer to [`Effect::RequestDetail`].
    Detail(Box<JobDetail>),
    /// Failed records: the answer to [`Effect::RequestFailures`].
    Failures(FailuresPage),
    /// The bytes of a failed record: the answer to [`Effect::RequestRecord`].
    Record(Box<RecordBytes>),
    /// Places that a source may name: the answer to [`Effect::RequestSources`].
    Sources {
        /// The request.
        prefix: String,
        /// The places, or why they are not known.
        found: Result<SourcePlaces, String>,
    },
    /// Rejects of this job are in a file: the answer to [`Effect::FetchRejects`].
    Rejects(JobId),
    /// The state of the connection to the server.
    Connection(Connection),
    /// A key.
    Key(KeyEvent),
    /// A click or a turn of the wheel.
    Mouse {
        /// What the terminal says.
        event: MouseEvent,
        /// What lies there, as [`crate::Dashboard::hit`] says.
        hit: Option<Hit>,
    },
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
    /// The import of [`Effect::CreateImport`] or [`Effect::Edit`] was created; it becomes the selected job. Comes in addition to
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
    /// Only records whose line of text has all words of this, ignoring case.
    pub search: String,
}

impl FailuresQuery {
    /// The most records in an answer.
    pub const LIMIT: usize = 1000;

    /// Whether every failed record of the job matches.
    pub fn is_all(&self) -> bool {
        self.class.is_none() && self.search.trim().is_empty()
    }

    /// Whether `failure` matches. Both the answer and the records that are already here use this rule.
    pub fn matches(&self, failure: &Failure) -> bool {
        self.matcher()(failure)
    }

    /// The same for many failures: the words of the search are taken apart once.
    pub fn matcher(&self) -> impl Fn(&Failure) -> bool {
        let words = FailureFilter::new(None, None, &self.search);
        move |failure| {
            let is_of_class = self.class.as_ref().is_none_or(|(code, member)| {
                failure.code == *code && failure.class_member() == member.as_deref()
            });
            is_of_class && words.matches(failure)
        }
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

impl FailuresPage {
    /// A page without records.
    pub fn new(query: FailuresQuery) -> Self {
        Self { query, entries: Vec::new(), more: false }
    }

    /// Adds the next record that the query wants. Whether another one is of use: not after the one that shows that there
    /// are more.
    pub fn push(&mut self, failure: Failure) -> bool {
        self.more = self.entries.len() == FailuresQuery::LIMIT;
        if !self.more {
            self.entries.push(failure);
        }
        !self.more
    }
}

/// A request for the original bytes of a failed record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordQuery {
    /// The job.
    pub job: JobId,
    /// The format of its records.
    pub format: Format,
    /// How it reads them.
    pub read: ReadOptions,
    /// Where the record is among the rejects.
    pub place: RejectPlace,
    /// Its failure.
    pub failure: Failure,
}

impl RecordQuery {
    /// The most bytes of a record in an answer.
    pub const LIMIT: u64 = 1 << 20;
    /// The most bytes of a CSV header that are read for an answer.
    pub const HEADER_LIMIT: u64 = 64 << 10;

    /// The bytes of the rejects file, from its start, that hold the CSV header of the record, if any do.
    pub fn header_bytes(&self) -> u64 {
        match self.format {
            Format::Csv => self.place.byte.min(Self::HEADER_LIMIT),
            Format::Json => 0,
        }
    }
}

/// The original bytes of a failed record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordBytes {
    /// The request.
    pub query: RecordQuery,
    /// The first bytes of the record, at most [`RecordQuery::LIMIT`], or why they are not there.
    pub bytes: Result<Vec<u8>, String>,
    /// The byte of them that the fault is at, if it is known.
    pub fault: Option<usize>,
}

/// A request for the original bytes of several failed records, to mend them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectsQuery {
    /// Which failures they belong to.
    pub failures: FailuresQuery,
    /// Only the records at these places, if some are marked.
    pub places: Option<Vec<RejectPlace>>,
    /// Only those in this part. Objects with another CSV header have their rejects in another one.
    pub part: u32,
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

/// How fast a job may read; what is absent has no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rate {
    /// Records a second.
    pub rows: Option<u64>,
    /// Decoded bytes a second.
    pub bytes: Option<u64>,
}

impl std::str::FromStr for Rate {
    /// A sentence for the person who typed it.
    type Err = String;

    /// Reads `20000` (rows), `50m` (bytes), both with a space between, or `off`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().eq_ignore_ascii_case("off") {
            return Ok(Self::default());
        }
        let mut rate = Self::default();
        for word in text.split_whitespace() {
            let (number, is_bytes) = with_unit(word).unwrap_or_default();
            let place = if is_bytes { &mut rate.bytes } else { &mut rate.rows };
            match number {
                1.. if place.is_none() => *place = Some(number),
                _ => {
                    return Err(format!(
                        "\"{word}\" is no rate: type 20000 for rows a second, 50m for bytes, or off"
                    ));
                }
            }
        }
        match rate == Self::default() {
            true => Err("no rate was typed".into()),
            false => Ok(rate),
        }
    }
}

/// Work that the dashboard requests. [`Message::EffectDone`] answers each but `Copy`, `Suspend`, `Quit` and the
/// requests for data.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send [`Message::Detail`] of this job. Requested about once a second while the job is open.
    RequestDetail(JobId),
    /// Send [`Message::Failures`].
    RequestFailures(FailuresQuery),
    /// Send [`Message::Record`].
    RequestRecord(RecordQuery),
    /// Send [`Message::Sources`] of those whose URLs begin with this.
    RequestSources(String),
    /// Cancel the job.
    Cancel(JobId),
    /// Pause the job.
    Pause(JobId),
    /// Resume a paused job.
    Resume(JobId),
    /// Bound how fast the job reads.
    Throttle(JobId, Rate),
    /// Connect to the server again now, without waiting for the next attempt. Nothing answers it but
    /// [`Message::Connection`].
    Reconnect,
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
    /// Write the original bytes of failed records to a file, to mend them, and send [`Message::Rejects`].
    FetchRejects(RejectsQuery),
    /// Open the file of [`Message::Rejects`] in an editor, and import what was mended. [`crate::run()`] gives the
    /// terminal back before it hands this out, and takes it again afterwards.
    Edit(JobId),
    /// Create an import job.
    CreateImport(ImportRequest),
    /// Copy this to the terminal's clipboard; [`crate::run()`] does it.
    Copy(String),
    /// Give the terminal back and stop, as Ctrl-Z does elsewhere; [`crate::run()`] does it.
    Suspend,
    /// Quit; [`crate::run()`] does it.
    Quit,
}
