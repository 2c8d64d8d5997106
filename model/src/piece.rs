//! A piece: records of consecutive source bytes, the unit of durable progress.

use serde::{Deserialize, Serialize};

use crate::{ImportJob, NoticeKind, Notices, Tally, WrittenPart};

/// An object of a job's plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedObject {
    /// Key in the bucket, or path.
    pub key: String,
    /// Bytes in the store (compressed, if it is).
    pub size: u64,
    /// The entity tag it had when it was listed; reading any other version fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Why the object is not read, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

/// A place between two records of a job's source: everything before it is accounted for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Index of the object among those that are read (skipped ones are not counted).
    pub object: u64,
    /// Offset in the decoded object.
    pub byte: u64,
    /// Line of the record that begins there, from 1 (0: nothing of the object has been read).
    pub line: u64,
    /// Offset in the whole of the job's decoded bytes, objects end to end.
    pub stream: u64,
}

/// A border between two parts of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Border {
    /// Index of the object among those that are read.
    pub object: u64,
    /// Offset in that object.
    pub byte: u64,
}

/// A part of a job: consecutive objects, or a range of the lines of a large one. Servers that share a store take a part at a
/// time, each another one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPart {
    /// From 1, in source order.
    pub number: u32,
    /// Where it begins: at a record.
    pub start: Border,
    /// Where the next one begins.
    pub end: Border,
    /// Bytes of the source that it has, as they lie in the store.
    pub bytes: u64,
    /// Those of objects that are compressed by their names.
    #[serde(default)]
    pub packed: u64,
}

impl JobPart {
    /// Where its first piece begins. How many lines of its object come before is only known when the parts before it are
    /// done, so lines are counted from its start.
    pub fn position(&self) -> Position {
        let Border { object, byte } = self.start;
        Position { object, byte, line: u64::from(byte > 0), stream: 0 }
    }
}

/// What was counted in one object by one piece.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectTally {
    /// Index of the object among those that are read.
    pub object: u64,
    /// Records read.
    pub read: u64,
    /// Records that failed.
    pub failed: u64,
    /// Decoded bytes read.
    pub bytes: u64,
    /// Whether the object was read to its end.
    pub complete: bool,
}

impl ObjectTally {
    /// Adds what was counted in the same object after this.
    pub fn add(&mut self, later: &Self) {
        self.read += later.read;
        self.failed += later.failed;
        self.bytes += later.bytes;
        self.complete |= later.complete;
    }

    /// Adds tallies by object to those before them; both are in order of the objects.
    pub fn add_all(sum: &mut Vec<Self>, later: &[Self]) {
        for object in later {
            match sum.last_mut() {
                Some(tally) if tally.object == object.object => tally.add(object),
                _ => sum.push(*object),
            }
        }
    }
}

/// Lost objects that are named in a job; all of them are in its failures.
pub const MAX_LOST: usize = 100;

/// An object, or the rest of one, that could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostObject {
    /// Its name, as in messages.
    pub object: String,
    /// The line from which on nothing of it was read, from 1.
    pub line: u64,
    /// The decoded byte from which on nothing of it was read.
    pub byte: u64,
    /// Why: a sentence that names the object.
    pub reason: String,
    /// What can be done about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl std::fmt::Display for LostObject {
    /// Why, and what to do about it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.hint {
            Some(hint) => write!(f, "{}; {hint}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

/// The record of a committed piece: it becomes durable together with the piece's data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PieceRecord {
    /// The piece's number, from 0.
    pub piece: u64,
    /// Where the next piece begins.
    pub end: Position,
    /// Counts of this piece.
    pub tally: Tally,
    /// Counts of the job up to and with this piece.
    pub total: Tally,
    /// Counts by object, in order.
    pub objects: Vec<ObjectTally>,
    /// Bytes of the job's `failures.ndjson` up to and with this piece.
    pub failures_len: u64,
    /// The rejects file that was open at the end of this piece, from 1; 0 before the first.
    pub rejects_file: u32,
    /// Bytes of that file up to and with this piece.
    pub rejects_len: u64,
    /// Bytes of all failures and rejects files up to and with this piece.
    #[serde(default)]
    pub kept_bytes: u64,
    /// Failures up to and with this piece.
    #[serde(default)]
    pub failures: u64,
    /// Those of them that were counted and not written.
    #[serde(default, skip_serializing_if = "crate::job::is_zero")]
    pub unkept_failures: u64,
    /// Pieces up to and with this one that brought something. Records of old stores have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_pieces: Option<u64>,
    /// Objects up to and with this piece that could not be read whole: each is counted as a piece that failed.
    #[serde(default)]
    pub failed_pieces: u64,
    /// The first [`MAX_LOST`] of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<LostObject>,
    /// Records up to and with this piece that name an endpoint by its id or address.
    #[serde(default)]
    pub with_id: u64,
    /// Records up to and with this piece that met an id again within their piece. At its end a job knows all of them.
    #[serde(default, skip_serializing_if = "crate::job::is_zero")]
    pub repeated_ids: u64,
    /// Why this piece could not be read whole, if it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What was merged, guessed, taken or skipped, in the job up to and with this piece.
    #[serde(default, skip_serializing_if = "Notices::is_empty")]
    pub total_notices: Notices,
    /// The part that was written, if the job is an export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Box<WrittenPart>>,
}

impl PieceRecord {
    /// Copies the counts of the job up to and with this piece into the job.
    pub fn count_into(&self, job: &mut ImportJob) {
        job.tally = self.total.clone();
        job.notices = self.total_notices.clone();
        job.notices.add(NoticeKind::IdSeenAlready, "", job.repeated_ids.max(self.repeated_ids));
        job.failed_pieces = self.failed_pieces;
        job.completed_pieces = self.completed_pieces();
        job.lost = self.lost.clone();
        job.unkept_failures = self.unkept_failures;
    }

    /// Adds the counts of a part whose last piece is `last`. Its failures are not among the job's yet, so they count as not
    /// kept; files and places stay those of this piece.
    pub fn count_part(&mut self, last: &Self) {
        let done = self.completed_pieces() + last.completed_pieces();
        self.total.add(&last.total);
        self.done_pieces = Some(done);
        self.failed_pieces += last.failed_pieces;
        let room = MAX_LOST.saturating_sub(self.lost.len());
        self.lost.extend(last.lost.iter().take(room).cloned());
        self.failures += last.failures;
        self.unkept_failures += last.failures;
        self.with_id += last.with_id;
        self.repeated_ids += last.repeated_ids;
        self.total_notices.merge(&last.total_notices);
    }

    /// Before a job has pieces: nothing was counted.
    pub fn nothing() -> Self {
        Self { done_pieces: Some(0), ..Self::default() }
    }

    /// Pieces of the job up to and with this one that brought something.
    pub fn completed_pieces(&self) -> u64 {
        self.done_pieces.unwrap_or((self.piece + 1).saturating_sub(self.failed_pieces))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ApplicationId, Format, ImportDefinition, JobId, SourceLocation, Timestamp};

    #[test]
    fn a_piece_that_failed_is_not_counted_as_completed() {
        let definition =
            ImportDefinition::new(ApplicationId::from_bytes([1; 16]), SourceLocation::Stdin, Format::Json, 1);
        let mut job = ImportJob::new(JobId::from_bytes([2; 16]), definition, Timestamp::from_millis(0));
        let total = Tally { read: 3, registered: 3, ..Tally::default() };
        let done_pieces = Some(6);
        let record = PieceRecord { piece: 6, done_pieces, failed_pieces: 2, total, ..PieceRecord::default() };
        record.count_into(&mut job);
        assert_eq!((job.completed_pieces, job.failed_pieces), (6, 2), "the seventh piece");
        PieceRecord { repeated_ids: 5, ..record.clone() }.count_into(&mut job);
        assert_eq!(job.notices.count(NoticeKind::IdSeenAlready), 5, "while it runs, as far as is known");
        job.repeated_ids = 7;
        PieceRecord { repeated_ids: 5, ..record.clone() }.count_into(&mut job);
        assert_eq!(job.notices.count(NoticeKind::IdSeenAlready), 7, "all, once they are counted");
        PieceRecord { done_pieces: None, ..record.clone() }.count_into(&mut job);
        assert_eq!((job.completed_pieces, job.failed_pieces), (5, 2), "of an old store");
        assert_eq!(job.tally, record.total);
    }
}
