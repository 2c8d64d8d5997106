//! Jobs in parts: several processes that share a store work on one job, each on another part of it.
//!
//! A part is claimed, and its pieces are committed like those of a job that one process has; pieces of different parts in
//! any order, because the version of what they store is (job, part, piece). The process that has claimed the job itself
//! takes parts that are done together, in source order: then they are pieces of the job ([`Store::last_piece`]).

use std::sync::Arc;

use pinport_model::{ImportJob, JobId, JobPart, PieceRecord, progress::Progress};

use crate::{JobWriter, Result, Store, Worker};

/// A part that this process works on from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedPart {
    /// The part.
    pub part: JobPart,
    /// Its last committed piece: where it goes on. Counts and lines are of this part alone.
    pub last: Option<PieceRecord>,
}

/// How far a part has come.
#[derive(Debug, Clone, PartialEq)]
pub struct PartState {
    /// The part.
    pub part: JobPart,
    /// Whether all of it is committed.
    pub is_done: bool,
    /// Its last committed piece.
    pub last: Option<PieceRecord>,
    /// Who works on it: this process too.
    pub worker: Option<Worker>,
}

/// A store whose jobs can be divided. Methods that say that they are of the one who has claimed the job refuse others
/// ([`StoreError::Lost`](crate::StoreError::Lost)); so do those that are of the one who has claimed a part.
pub trait Parts: Store {
    /// Divides a job that was claimed, instead of what it was divided into before.
    fn divide(&self, job: JobId, parts: &[JobPart]) -> Result<()>;
    /// Claims the first part that is not done and that no process works on. One that was given back to wait is passed
    /// over until all parts before it are done.
    fn claim_part(&self, job: JobId) -> Result<Option<ClaimedPart>>;
    /// The means to commit pieces of a part that was claimed.
    fn part_writer(&self, job: &ImportJob, part: u32) -> Result<Arc<dyn JobWriter>>;
    /// Whether all parts before this one are done, so that what the store holds is what its records depend on.
    fn is_first(&self, job: JobId, part: u32) -> Result<bool>;
    /// Gives a part back; `waits`: until all parts before it are done.
    fn release_part(&self, job: JobId, part: u32, waits: bool);
    /// Takes note that all of a part that was claimed is committed.
    fn end_part(&self, job: JobId, part: u32) -> Result<()>;
    /// The parts of a job after one, in order.
    fn part_states(&self, job: JobId, after: u32) -> Result<Vec<PartState>>;
    /// All committed pieces of a part.
    fn part_pieces(&self, job: JobId, part: u32) -> Result<Vec<PieceRecord>>;
    /// Lets the others know how far a part that was claimed has come.
    fn report_part(&self, job: JobId, part: u32, progress: &Progress);
    /// Lets go of the files and the records of the pieces of a part that is a piece of its job by now.
    fn forget_part(&self, job: JobId, part: u32) -> Result<()>;
    /// Lets no process commit to a part any more. Of the one who has claimed the job.
    fn close_parts(&self, job: JobId) -> Result<()>;
}
