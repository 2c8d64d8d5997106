//! An import job: its definition, its status and what it has counted.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    ApplicationId, Channel, ExportDefinition, Failure, FailureClass, JobId, JobKind, LostObject, Notices,
    ReadOptions, RecordLimits, SegmentId, SourceLocation, Timestamp,
};

/// How many members a version of a segment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentMembers {
    /// The version that was counted for. Another one has other layers.
    pub version: u32,
    /// Its members.
    pub count: u64,
}

/// The format of the objects a job reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Format {
    /// RFC 4180 with a header of dotted names.
    #[serde(rename = "CSV")]
    Csv,
    /// One JSON object a line.
    #[serde(rename = "JSON")]
    Json,
}

impl Format {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::Json => "JSON",
        }
    }

    /// The suffix of files in this format.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a job is to do. It does not change while the job lives, and a job that goes on after a crash
/// reads its pieces by the same settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportDefinition {
    /// The application the endpoints belong to.
    pub application: ApplicationId,
    /// Where the objects are.
    pub source: SourceLocation,
    /// The source as the caller wrote it (`S3Url`, echoed verbatim).
    pub source_text: String,
    /// What the objects hold.
    pub format: Format,
    /// Whether endpoints are registered. If not, the segment holds its own copies.
    pub register_endpoints: bool,
    /// The segment to define, if any.
    pub segment: Option<SegmentId>,
    /// `DefineSegment` of the request, verbatim; a request that names a segment defines it all the same.
    #[serde(default)]
    pub asked_to_define: Option<bool>,
    /// The segment's name, if the caller gave one.
    pub segment_name: Option<String>,
    /// `RoleArn` of the request, verbatim.
    pub role_arn: Option<String>,
    /// `ExternalId` of the request, verbatim.
    pub external_id: Option<String>,
    /// Decoded bytes of a piece.
    pub piece_bytes: u64,
    /// The bounds on a record.
    pub limits: RecordLimits,
    /// Failed records before the job is given up.
    #[serde(default)]
    pub max_failures: Option<FailureBudget>,
    /// Bytes of failures and rejects that are written whole. After them a sample is, and the others are counted.
    #[serde(default = "kept_failure_bytes")]
    pub kept_failure_bytes: u64,
    /// What the caller said about how to read.
    #[serde(default)]
    pub read: ReadOptions,
    /// The job whose rejects this one imports, mended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<JobId>,
    /// What is written, if the job is an export: then `source` is where to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<Box<ExportDefinition>>,
}

/// Bytes of failures and rejects that a job keeps at most, if nothing else is said: five million short records.
pub const KEPT_FAILURE_BYTES: u64 = 1 << 30;

fn kept_failure_bytes() -> u64 {
    KEPT_FAILURE_BYTES
}

impl ImportDefinition {
    /// An import of all that `source` has into the registry: no segment, the default limits, no failure budget.
    pub fn new(application: ApplicationId, source: SourceLocation, format: Format, piece_bytes: u64) -> Self {
        Self {
            application,
            source_text: source.to_string(),
            source,
            format,
            register_endpoints: true,
            segment: None,
            asked_to_define: None,
            segment_name: None,
            role_arn: None,
            external_id: None,
            piece_bytes,
            limits: RecordLimits::default(),
            max_failures: None,
            kept_failure_bytes: KEPT_FAILURE_BYTES,
            read: ReadOptions::default(),
            retry_of: None,
            export: None,
        }
    }

    /// What the job does.
    pub fn kind(&self) -> JobKind {
        if self.export.is_some() { JobKind::Export } else { JobKind::Import }
    }
}

/// How many failed records a job may have.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum FailureBudget {
    /// At most this many.
    Count(u64),
    /// At most this share of the records read, in percent, judged from the first 1,000 records on and at the end.
    Percent(f64),
}

impl FailureBudget {
    /// Records read before a share is judged: fewer say nothing about the rest.
    const SHARE_FROM: u64 = 1000;

    /// Whether `tally` is over the budget; `ended` when nothing more will be read.
    pub fn is_exceeded(self, tally: &Tally, ended: bool) -> bool {
        match self {
            Self::Count(most) => tally.failed > most,
            Self::Percent(share) => {
                (ended || tally.read >= Self::SHARE_FROM)
                    && tally.failed as f64 > tally.read as f64 * share / 100.0
            }
        }
    }
}

/// As it is written: `17` or `1%`.
impl fmt::Display for FailureBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(share) => write!(f, "{share}%"),
        }
    }
}

impl std::str::FromStr for FailureBudget {
    /// A sentence for the person who wrote it.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_suffix('%') {
            Some(share) => match share.parse::<f64>() {
                Ok(share) if (0.0..=100.0).contains(&share) => Ok(Self::Percent(share)),
                _ => Err("a share lies between 0% and 100%".into()),
            },
            None => {
                text.parse().map(Self::Count).map_err(|_| "a number or a share such as 1% is expected".into())
            }
        }
    }
}

/// The status of a job, by the names of the service model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the words are the service model's; contract.md section 3 tells their order")]
pub enum JobStatus {
    Created,
    PreparingForInitialization,
    Initializing,
    Processing,
    PendingJob,
    Completing,
    Completed,
    Failing,
    Failed,
    Cancelling,
    Cancelled,
}

impl JobStatus {
    /// Every status.
    pub const ALL: [Self; 11] = [
        Self::Created,
        Self::PreparingForInitialization,
        Self::Initializing,
        Self::Processing,
        Self::PendingJob,
        Self::Completing,
        Self::Completed,
        Self::Failing,
        Self::Failed,
        Self::Cancelling,
        Self::Cancelled,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::PreparingForInitialization => "PREPARING_FOR_INITIALIZATION",
            Self::Initializing => "INITIALIZING",
            Self::Processing => "PROCESSING",
            Self::PendingJob => "PENDING_JOB",
            Self::Completing => "COMPLETING",
            Self::Completed => "COMPLETED",
            Self::Failing => "FAILING",
            Self::Failed => "FAILED",
            Self::Cancelling => "CANCELLING",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Whether the job has ended; no status follows.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Whether `next` may follow. A job that goes on after a restart begins again at `Initializing`.
    pub fn may_become(self, next: Self) -> bool {
        use JobStatus::*;
        match (self, next) {
            (Completed | Failed | Cancelled, _) => false,
            (Failing, next) => next == Failed,
            (Cancelling, next) => matches!(next, Cancelled | Failing),
            (_, Failing | Cancelling) => true,
            (Created, PreparingForInitialization | PendingJob) => true,
            (PendingJob, PreparingForInitialization) => true,
            (PreparingForInitialization, Initializing | PendingJob) => true,
            (Initializing, Processing | PendingJob) => true,
            (Processing, Completing | Initializing | PendingJob) => true,
            (Completing, Completed | Initializing | PendingJob) => true,
            _ => false,
        }
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What was counted over some records: of an object, a piece or a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Records read: `registered + failed`, always.
    pub read: u64,
    /// Records that became part of the outcome.
    pub registered: u64,
    /// Records that failed.
    pub failed: u64,
    /// Decoded bytes read.
    pub bytes: u64,
    /// Records registered by channel, by the order of [`Channel::ALL`].
    #[serde(default)]
    pub channels: [u64; Channel::ALL.len()],
    /// Failures by kind, in order of first appearance.
    #[serde(default)]
    pub classes: Vec<FailureClass>,
}

impl Tally {
    /// Whether every record read is accounted for.
    pub fn balances(&self) -> bool {
        self.read == self.registered + self.failed
            && self.failed == self.classes.iter().map(|class| class.count).sum::<u64>()
    }

    /// Counts a record that became part of the outcome.
    pub fn count_registered(&mut self, channel: Option<Channel>) {
        self.read += 1;
        self.registered += 1;
        if let Some(channel) = channel {
            self.channels[channel as usize] += 1;
        }
    }

    /// Counts a record that failed.
    pub fn count_failed(&mut self, failure: &Failure) {
        self.read += 1;
        self.failed += 1;
        let member = failure.class_member();
        let same =
            |class: &&mut FailureClass| class.code == failure.code && class.member.as_deref() == member;
        match self.classes.iter_mut().find(same) {
            Some(class) => class.count += 1,
            None => self.classes.push(FailureClass {
                code: failure.code,
                member: member.map(str::to_owned),
                count: 1,
                example: failure.to_string(),
            }),
        }
    }

    /// Adds what was counted after this.
    pub fn add(&mut self, later: &Self) {
        self.read += later.read;
        self.registered += later.registered;
        self.failed += later.failed;
        self.bytes += later.bytes;
        for (sum, count) in self.channels.iter_mut().zip(later.channels) {
            *sum += count;
        }
        for class in &later.classes {
            let same = |known: &&mut FailureClass| known.code == class.code && known.member == class.member;
            match self.classes.iter_mut().find(same) {
                Some(known) => known.count += class.count,
                None => self.classes.push(class.clone()),
            }
        }
    }
}

/// What the plan found, before any record was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanSummary {
    /// Objects that are read.
    pub objects: u64,
    /// Their bytes in the store (compressed, if they are).
    pub bytes: u64,
    /// Objects that were skipped.
    pub skipped: u64,
    /// Pieces; exact when no object is compressed, else an estimate.
    pub pieces: u64,
    /// Whether `pieces` is exact.
    pub pieces_exact: bool,
    /// Bytes of those objects that are compressed by their names.
    #[serde(default)]
    pub packed: u64,
    /// Parts that several servers may work on; 0 if the job is not divided.
    #[serde(default, skip_serializing_if = "is_none_of_them")]
    pub parts: u32,
}

/// An import job as the store keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportJob {
    /// The job's id.
    pub id: JobId,
    /// What it is to do.
    pub definition: ImportDefinition,
    /// Where it stands.
    pub status: JobStatus,
    /// When it was created. Records without their own dates get this one, so that a job gives the same
    /// endpoints whether or not it was interrupted.
    pub created: Timestamp,
    /// When it ended.
    #[serde(default)]
    pub completed: Option<Timestamp>,
    /// What the plan found, once it is made.
    #[serde(default)]
    pub plan: Option<PlanSummary>,
    /// The counts at the end; while the job runs they are in its last piece.
    #[serde(default)]
    pub tally: Tally,
    /// Pieces committed without an error.
    #[serde(default)]
    pub completed_pieces: u64,
    /// Pieces that could not be read.
    #[serde(default)]
    pub failed_pieces: u64,
    /// Why the job failed, if it did.
    #[serde(default)]
    pub error: Option<String>,
    /// Registered records whose id an earlier record of the job had; known when it has ended.
    #[serde(default)]
    pub repeated_ids: u64,
    /// Members that its segment has with it; known when it has ended, if the ids of all of them are.
    #[serde(default)]
    pub segment_members: Option<SegmentMembers>,
    /// Objects that could not be read whole; bounded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<LostObject>,
    /// What an operator should know: skipped objects, ignored members; bounded.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What was merged, guessed, taken or skipped; while the job runs it is in its last piece.
    #[serde(default)]
    pub notices: Notices,
    /// Failures that were counted and not written, because those before them had filled what the job may keep.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unkept_failures: u64,
    /// Records that were registered and then had no room when the store merged them: their endpoint or user was filled by
    /// other pieces, and members of them were left out. They count as failures. The store knows the number, which may
    /// grow after the job has ended.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
    /// Times the job was taken up again after an interruption.
    #[serde(default)]
    pub resumed: u32,
    /// The fingerprint of the request that created it: a retry of that request finds the job by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The id of the key that made it: its source is read as far as this key may. None if no key was needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
}

impl ImportJob {
    /// Milliseconds from its creation to its end; none while it has not ended.
    pub fn age_ms(&self) -> u64 {
        let end = self.completed.unwrap_or(self.created);
        u64::try_from(end.as_millis() - self.created.as_millis()).unwrap_or(0)
    }

    /// Records that failed, when they were read or later ([`ImportJob::left_out`]).
    pub fn failed(&self) -> u64 {
        self.tally.failed + self.left_out
    }

    /// Says that records had no room, if some had none.
    pub fn left_out_note(&self) -> Option<String> {
        (self.left_out > 0).then(|| {
            format!(
                "of the registered records, {} had no room in their endpoint or user when they were merged with what \
                 other pieces had brought: members of them were left out, and they count as failures",
                self.left_out
            )
        })
    }

    /// What an operator should know, that not all failures were written included.
    pub fn all_warnings(&self) -> Vec<String> {
        let unkept = (self.unkept_failures > 0).then(|| {
            let mib = self.definition.kept_failure_bytes as f64 / f64::from(1 << 20);
            format!(
                "{} failed records were counted but not kept: the job keeps {mib:.0} MiB of failures and rejects, \
                 the first ones and a sample of the rest",
                self.unkept_failures
            )
        });
        // A job that was read from a server's view has them already.
        let notes = unkept.into_iter().chain(self.left_out_note());
        let notes = notes.filter(|note| !self.warnings.contains(note));
        self.warnings.iter().cloned().chain(notes).collect()
    }

    /// A new job that has done nothing.
    pub fn new(id: JobId, definition: ImportDefinition, created: Timestamp) -> Self {
        Self {
            id,
            definition,
            status: JobStatus::Created,
            created,
            completed: None,
            plan: None,
            tally: Tally::default(),
            completed_pieces: 0,
            failed_pieces: 0,
            lost: Vec::new(),
            repeated_ids: 0,
            segment_members: None,
            error: None,
            warnings: Vec::new(),
            notices: Notices::new(),
            unkept_failures: 0,
            left_out: 0,
            resumed: 0,
            request: None,
            principal: None,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_none_of_them(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
pub(crate) fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{FailureCode, FailureReason, Origin};

    #[test]
    fn a_share_of_failures_is_of_the_records_read() {
        let tally = |failed| Tally { read: 2000, failed, ..Tally::default() };
        assert!(!FailureBudget::Percent(1.0).is_exceeded(&tally(20), false));
        assert!(FailureBudget::Percent(1.0).is_exceeded(&tally(21), false));
    }

    #[test]
    fn a_job_that_waited_is_prepared() {
        assert!(JobStatus::PendingJob.may_become(JobStatus::PreparingForInitialization));
        assert!(!JobStatus::PendingJob.may_become(JobStatus::Completed));
    }

    #[test]
    fn formats_have_their_suffixes() {
        assert_eq!([Format::Csv, Format::Json].map(Format::suffix), ["csv", "json"]);
    }

    #[test]
    fn nothing_follows_an_ended_job() {
        for status in JobStatus::ALL {
            for next in JobStatus::ALL {
                assert!(!(status.is_terminal() && status.may_become(next)), "{status} -> {next}");
            }
        }
    }

    #[test]
    fn every_status_leads_to_an_end() {
        for start in JobStatus::ALL {
            let mut reached = vec![start];
            let mut index = 0;
            while index < reached.len() {
                let status = reached[index];
                let next = JobStatus::ALL.into_iter().filter(|next| status.may_become(*next));
                let new: Vec<_> = next.filter(|next| !reached.contains(next)).collect();
                reached.extend(new);
                index += 1;
            }
            assert!(reached.iter().any(|status| status.is_terminal()), "{start}");
        }
    }

    #[test]
    fn the_words_are_those_of_the_service_model() {
        for status in JobStatus::ALL {
            assert_eq!(serde_word(status), status.as_str());
            assert_eq!(status.to_string(), status.as_str());
        }
        fn serde_word(status: JobStatus) -> String {
            use serde::de::value::{Error, StrDeserializer};
            let word = status.as_str();
            let read =
                JobStatus::deserialize(serde::de::IntoDeserializer::<Error>::into_deserializer(word)
                    as StrDeserializer<'_, Error>);
            assert_eq!(read, Ok(status));
            word.to_owned()
        }
    }

    #[test]
    fn tallies_balance_when_added() {
        let origin = Origin { object: 0, byte: 0, line: 1 };
        let failure = FailureReason::of("Attributes.a", FailureCode::ValueTooLong, "x").locate("o", origin);
        let mut first = Tally::default();
        first.count_registered(Some(Channel::Email));
        first.count_failed(&failure);
        let mut second = first.clone();
        second.count_failed(&failure);
        first.add(&second);
        assert!(first.balances());
        assert_eq!((first.read, first.registered, first.failed), (5, 2, 3));
        assert_eq!(first.classes.len(), 1);
        assert_eq!(first.channels[Channel::Email as usize], 2);
    }

    #[test]
    fn a_tally_balances_by_its_counts_and_by_its_classes() {
        assert!(!Tally { read: 2, registered: 1, ..Tally::default() }.balances());
        assert!(!Tally { read: 1, failed: 1, ..Tally::default() }.balances(), "failed by no rule");
    }

    #[test]
    fn a_class_is_of_one_rule_and_one_member() {
        let of = [
            ("Address", FailureCode::ValueTooLong),
            ("Address", FailureCode::UnknownValue),
            ("RequestId", FailureCode::ValueTooLong),
        ];
        let origin = Origin { object: 0, byte: 0, line: 1 };
        let (mut counted, mut added) = (Tally::default(), Tally::default());
        for (member, code) in of {
            let failure = FailureReason::of(member, code, "x").locate("o", origin);
            counted.count_failed(&failure);
            let mut later = Tally { bytes: 3, ..Tally::default() };
            later.count_failed(&failure);
            added.add(&later);
        }
        assert_eq!(added.bytes, 9);
        assert_eq!(added.classes, counted.classes);
        assert_eq!(counted.classes.len(), of.len());
    }

    #[test]
    fn budgets_are_read_as_they_are_written() {
        for text in ["0", "17", "1%", "0.5%", "100%"] {
            assert_eq!(text.parse::<FailureBudget>().unwrap().to_string(), text);
        }
        for text in ["", "-1", "101%", "%", "NaN%", "one"] {
            assert!(text.parse::<FailureBudget>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_is_not_judged_too_early() {
        let budget = FailureBudget::Percent(10.0);
        let tally = Tally { read: 5, failed: 5, ..Tally::default() };
        assert!(!budget.is_exceeded(&tally, false));
        assert!(budget.is_exceeded(&tally, true));
    }
}
