//! What can go wrong in a store, for programs; the binary adds what to do about it.

use std::{io, path::PathBuf};

use pinport_model::failure::FailureReason;

use crate::durable::FileError;

impl From<FileError> for StoreError {
    fn from(FileError { action, path, source }: FileError) -> Self {
        Self::Io { action, path, source }
    }
}

/// An error of a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has the store open.
    #[error("the store {} is in use by {holder}", path.display())]
    InUse {
        /// The store's folder.
        path: PathBuf,
        /// The process, as it described itself.
        holder: String,
    },
    /// The store was written by a newer pinport.
    #[error("the store {} has layout {found}; this pinport knows layouts up to {known}", path.display())]
    NewerLayout {
        /// The store's folder.
        path: PathBuf,
        /// The layout that was found.
        found: u32,
        /// The newest layout that is known here.
        known: u32,
    },
    /// No space is left on the disk.
    #[error("no space left on the disk of {}", path.display())]
    Full {
        /// The store's folder.
        path: PathBuf,
        /// The engine's own words.
        message: String,
    },
    /// A file could not be read or written.
    #[error("failed to {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What was asked for is not there.
    #[error("there is no {what} {id}")]
    NotFound {
        /// The kind of thing.
        what: &'static str,
        /// Its id or name.
        id: String,
    },
    /// The change contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// Criteria of a segment that cannot be kept: what they refer to is not there, or leads back to the segment.
    #[error("{0}")]
    Criteria(String),
    /// An update would make an endpoint or a user larger than it may be.
    #[error("endpoint {id}: {}", reason.message)]
    TooLarge {
        /// The endpoint.
        id: String,
        /// What is too large.
        reason: FailureReason,
    },
    /// What was read is not what was once written.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// The database does not answer, or has no room for another connection. Another try may go well; whether a change that
    /// was asked for was made is not known.
    #[error("{server} is not available: {message}")]
    Unavailable {
        /// The database, without a password.
        server: String,
        /// Why, in its words or the client's.
        message: String,
    },
    /// The job, or a part of it, is another server's by now. Nothing was changed; whoever worked on it stops.
    #[error("{0}")]
    Lost(String),
    /// The database does not have pieces any more that were committed: it is a copy that had not received them. The job goes on
    /// where that ends.
    #[error("{0}")]
    Behind(String),
    /// The store cannot be used as it is, or as it was configured.
    #[error("{0}")]
    Unfit(String),
    /// An earlier write failed; the store does no more until it is opened again.
    #[error("the store stopped after a failed write: {0}")]
    Stopped(String),
    /// Any other error of the engine.
    #[error("the store's engine failed: {0}")]
    Engine(String),
}

/// ENFILE and EMFILE.
const DESCRIPTOR_CODES: [i32; 2] = [23, 24];

/// Whether the process or the machine had no descriptor left.
pub fn lacks_descriptors(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| DESCRIPTOR_CODES.contains(&code))
}

impl StoreError {
    /// Whether the process or the machine had no descriptor left: nothing is wrong with the store, and it may go on when
    /// others have given theirs back.
    pub fn lacks_descriptors(&self) -> bool {
        matches!(self, Self::Io { source, .. } if lacks_descriptors(source))
    }
}
