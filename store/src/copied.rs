//! What a store holds, as all engines can say it: what a copy of a whole store is made of. No engine's keys and numbers are part
//! of it.

use std::hash::{DefaultHasher, Hasher as _};

use pinport_model::{
    Application, ApplicationId, ImportJob, JobId, PieceRecord, SegmentId, SegmentVersion, Settings,
};
use serde::Serialize;

use crate::{
    Result, StoreError,
    lifecycle::SegmentState,
    record::bounds::{Bounds, fold_within},
};

/// Entries of a write, about, and bytes.
pub(crate) const AT_ONCE: usize = 10_000;
pub(crate) const BYTES_AT_ONCE: usize = 8 << 20;

/// A thing that a store holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Entry {
    Application(Application),
    Settings(ApplicationId, Settings),
    Segment(SegmentState),
    Version(SegmentId, SegmentVersion),
    Layer(Layer),
    Job(Box<ImportJob>),
    Piece(JobId, Box<PieceRecord>),
    /// An endpoint's id and record.
    Endpoint(ApplicationId, Vec<u8>, Vec<u8>),
    /// A user, and what is said of it.
    User(ApplicationId, Vec<u8>, Vec<u8>),
    /// A user and the id of an endpoint that has it, or had.
    Link(ApplicationId, Vec<u8>, Vec<u8>),
    /// An address and the id of an endpoint that came with it by itself.
    Address(ApplicationId, Vec<u8>, Vec<u8>),
    /// A member of a layer of a segment, with its copy if the layer has them.
    Member(SegmentId, u32, Vec<u8>, Option<Vec<u8>>),
}

/// What jobs put into a segment: of one job, or of several that were made one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) application: ApplicationId,
    pub(crate) segment: SegmentId,
    pub(crate) copies: bool,
    pub(crate) job: Option<JobId>,
    /// The places that it stands for.
    pub(crate) first: u32,
    pub(crate) last: u32,
    /// About how many members it has.
    pub(crate) records: u64,
}

/// Numbers of layers that were made of several begin here; those of jobs stay below.
pub(crate) const FIRST_FOLDED: u32 = 1 << 31;

impl Layer {
    /// Its number within its segment, whatever its store calls it.
    pub(crate) fn number(&self) -> u32 {
        match self.job {
            Some(_) => self.first,
            None => FIRST_FOLDED | self.last,
        }
    }
}

/// The kinds of entries, in the order in which they are copied: what others refer to comes first.
pub const KINDS: [&str; 12] = [
    "applications",
    "settings",
    "segments",
    "versions",
    "layers",
    "jobs",
    "pieces",
    "endpoints",
    "users",
    "links of users",
    "addresses",
    "members",
];

impl Entry {
    pub(crate) fn kind(&self) -> usize {
        match self {
            Self::Application(_) => 0,
            Self::Settings(..) => 1,
            Self::Segment(_) => 2,
            Self::Version(..) => 3,
            Self::Layer(_) => 4,
            Self::Job(_) => 5,
            Self::Piece(..) => 6,
            Self::Endpoint(..) => 7,
            Self::User(..) => 8,
            Self::Link(..) => 9,
            Self::Address(..) => 10,
            Self::Member(..) => 11,
        }
    }

    /// An endpoint as it is when it is read.
    pub(crate) fn endpoint(application: ApplicationId, id: &[u8], record: &[u8]) -> Result<Self> {
        Ok(Self::Endpoint(application, id.to_vec(), alone(record, false)?))
    }

    /// What is said of a user.
    pub(crate) fn user(application: ApplicationId, user: &[u8], record: &[u8]) -> Result<Self> {
        Ok(Self::User(application, user.to_vec(), alone(record, true)?))
    }

    /// A member of a layer.
    pub(crate) fn member(layer: &Layer, id: &[u8], copy: Option<&[u8]>) -> Result<Self> {
        let copy = copy.filter(|_| layer.copies).map(|copy| alone(copy, true)).transpose()?;
        Ok(Self::Member(layer.segment, layer.number(), id.to_vec(), copy))
    }

    /// Bytes, about.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Endpoint(_, one, other)
            | Self::User(_, one, other)
            | Self::Link(_, one, other)
            | Self::Address(_, one, other) => one.len() + other.len(),
            Self::Member(_, _, id, copy) => id.len() + copy.as_ref().map_or(0, Vec::len),
            _ => 1 << 10,
        }
    }

    /// A hash of all that both sides of a copy have in common.
    pub(crate) fn hash(&self) -> Result<u64> {
        let mut hash = DefaultHasher::new();
        let mut add = |part: &[u8]| {
            hash.write_usize(part.len());
            hash.write(part);
        };
        match self {
            Self::Application(application) => add(&json(application)?),
            Self::Settings(application, settings) => {
                add(application.as_bytes());
                add(&json(settings)?);
            }
            // What numbers its layers have is its store's own.
            Self::Segment(state) => {
                add(&json(&state.segment)?);
                add(&state.closed.to_be_bytes());
            }
            Self::Version(segment, version) => {
                add(segment.as_bytes());
                add(&json(version)?);
            }
            Self::Layer(layer) => {
                add(layer.application.as_bytes());
                add(layer.segment.as_bytes());
                add(&[layer.copies.into()]);
                add(layer.job.as_ref().map_or(&[][..], |job| job.as_bytes()));
                add(&layer.first.to_be_bytes());
                add(&layer.last.to_be_bytes());
            }
            Self::Job(job) => add(&json(job)?),
            Self::Piece(job, piece) => {
                add(job.as_bytes());
                add(&json(piece)?);
            }
            Self::Endpoint(application, one, other)
            | Self::User(application, one, other)
            | Self::Link(application, one, other)
            | Self::Address(application, one, other) => {
                add(application.as_bytes());
                add(one);
                add(other);
            }
            Self::Member(segment, layer, id, copy) => {
                add(segment.as_bytes());
                add(&layer.to_be_bytes());
                add(id);
                add(copy.as_deref().unwrap_or_default());
            }
        }
        Ok(hash.finish())
    }
}

/// A record without what goes when it is the only one.
fn alone(record: &[u8], keep_removals: bool) -> Result<Vec<u8>> {
    Ok(fold_within(Bounds::NONE, [record], keep_removals)?.0)
}

fn json<T: Serialize>(document: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(document).map_err(|error| StoreError::Engine(format!("cannot write JSON: {error}")))
}

/// Entries, and where the source goes on after them.
pub(crate) struct Batch {
    pub(crate) entries: Vec<Entry>,
    pub(crate) cursor: Vec<u8>,
}

/// Reads a store from some place on. Nothing at the end.
pub(crate) trait Reader {
    fn next(&mut self) -> Result<Option<Batch>>;
}

/// Writes entries, and where their source goes on.
pub(crate) trait Writer {
    fn write(&mut self, batch: &Batch) -> Result<()>;
}

/// An engine that can be copied from and to.
pub(crate) trait Copying {
    /// An error while something else uses the store.
    fn check_idle(&self) -> Result<()>;
    fn bounds(&self) -> Bounds;
    fn reader(&self, after: &[u8]) -> Result<Box<dyn Reader + '_>>;
    /// Where a copy of `source` that was begun goes on; an empty store begins one, any other is refused.
    fn begin(&self, source: &str) -> Result<Vec<u8>>;
    fn writer(&self) -> Result<Box<dyn Writer + '_>>;
    /// Notes that the copy is whole: the store can be opened from now on.
    fn finish(&self) -> Result<()>;
}

/// Why a store that holds something is no target.
pub(crate) fn not_empty(what: &str) -> StoreError {
    StoreError::Conflict(format!("{what} is not empty: a store is copied into an empty one"))
}

/// Why a store whose copy is not whole is not opened.
pub(crate) fn unfinished(what: &str, source: &str) -> StoreError {
    StoreError::Unfit(format!(
        "a copy of {source} into {what} has not ended: run the same `pinport store copy` again, or begin anew with an empty store"
    ))
}
