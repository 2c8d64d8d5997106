//! What can go wrong with a source, so that a command can say it in one sentence with a hint.

use std::path::PathBuf;

use super::content::Foreign;

/// Why a source, or one object of it, could not be listed or read.
///
/// `url` is what the object is called in messages; `byte` is an offset in the object as it lies in the
/// store, `decoded` one after its decompression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The bucket or container does not exist.
    #[error("there is no bucket {bucket}: {reason}")]
    NoSuchBucket {
        /// The bucket as a URL.
        bucket: String,
        /// What the store said.
        reason: String,
    },
    /// The store refuses these credentials.
    #[error("access to {url} is denied: {reason}")]
    AccessDenied {
        /// What was asked for.
        url: String,
        /// What the store said.
        reason: String,
        /// Whether the credentials themselves are refused, so that no other object can be read either.
        credentials: bool,
    },
    /// No credentials were found, or they could not be fetched.
    #[error("there are no credentials for {url}: {reason}")]
    NoCredentials {
        /// The source.
        url: String,
        /// Where was looked, and what came of it.
        reason: String,
    },
    /// Nothing to read matches the source.
    #[error("no object to read matches {url}{}", skipped_text(*skipped, first_skipped.as_deref()))]
    NoMatch {
        /// The source.
        url: String,
        /// Objects that matched but are not to be read.
        skipped: u64,
        /// The first of them and why.
        first_skipped: Option<String>,
    },
    /// An object is not what the job says, or no record of it can be read.
    #[error("{url}: {reason}")]
    Refused {
        /// The object.
        url: String,
        /// Why, with the place.
        reason: String,
    },
    /// An object holds something else than CSV or JSON.
    #[error("{url} is {}, neither CSV nor JSON", what.name())]
    NotData {
        /// The object.
        url: String,
        /// What it is.
        what: Foreign,
    },
    /// An archive that holds no data, or a member that cannot be read.
    #[error("the archive {url} cannot be read at byte {byte}: {reason}")]
    Archive {
        /// The object.
        url: String,
        /// Where reading was.
        byte: u64,
        /// Why, with the member.
        reason: String,
        /// Whether none of its members is data of the job's format.
        none: bool,
    },
    /// An object that was listed is gone.
    #[error("{url} is gone at byte {byte}: {reason}")]
    NotFound {
        /// The object.
        url: String,
        /// Where reading was.
        byte: u64,
        /// What the store said.
        reason: String,
    },
    /// An object is not the one that was listed.
    #[error("{url} changed while it was read, at byte {byte}: {reason}")]
    Changed {
        /// The object.
        url: String,
        /// Where reading was.
        byte: u64,
        /// What gave it away.
        reason: String,
    },
    /// The store does not answer, or breaks off again and again.
    #[error("{url} cannot be reached at byte {byte}: {reason}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Where reading was.
        byte: u64,
        /// The last of the failures.
        reason: String,
        /// Whether it was one object's bytes that were asked for.
        object: bool,
    },
    /// The store asks for patience longer than there is.
    #[error("the store throttles {url} at byte {byte}: {reason}")]
    Throttled {
        /// What was asked for.
        url: String,
        /// Where reading was.
        byte: u64,
        /// What the store said last.
        reason: String,
        /// Whether it was one object's bytes that were asked for.
        object: bool,
    },
    /// The store is full, or its owner's quota is reached.
    #[error("there is no room for {url}: {reason}")]
    NoRoom {
        /// What was to be written.
        url: String,
        /// What the store said.
        reason: String,
    },
    /// An object ends before its end.
    #[error("{url} is cut off at byte {byte} (decoded byte {decoded}): {reason}")]
    Truncated {
        /// The object.
        url: String,
        /// Bytes there were.
        byte: u64,
        /// Decoded bytes that came of them.
        decoded: u64,
        /// What is missing.
        reason: String,
    },
    /// An object does not hold what it says it holds.
    #[error("{url} is damaged at byte {byte} (decoded byte {decoded}): {reason}")]
    Corrupt {
        /// The object.
        url: String,
        /// Where decoding stopped.
        byte: u64,
        /// Decoded bytes before that.
        decoded: u64,
        /// What is wrong.
        reason: String,
    },
    /// An object grows beyond a limit when decompressed, or a listing beyond what can be sorted.
    #[error("{url} is too large at byte {byte} (decoded byte {decoded}): {reason}")]
    TooLarge {
        /// The object or the source.
        url: String,
        /// Bytes that were read.
        byte: u64,
        /// Decoded bytes that came of them.
        decoded: u64,
        /// The limit.
        reason: String,
        /// Whether one object is too large, not the source.
        object: bool,
    },
    /// The store sends us elsewhere. Redirects are never followed: credentials and data would go astray.
    #[error("{url} is redirected to {target}")]
    Redirected {
        /// What was asked for.
        url: String,
        /// Where the store points to: an address or a region.
        target: String,
    },
    /// A file or folder cannot be read.
    #[error("{} cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        reason: String,
        /// Whether it is one file of several.
        object: bool,
    },
    /// The job was cancelled.
    #[error("reading was cancelled")]
    Cancelled,
    /// Anything else.
    #[error("{url} cannot be read: {reason}")]
    Other {
        /// What was asked for.
        url: String,
        /// Why not.
        reason: String,
        /// Whether it is one object of several.
        object: bool,
    },
}

impl SourceError {
    /// The object or place it is about, as in its message.
    pub fn place(&self) -> String {
        match self {
            Self::AccessDenied { url, .. }
            | Self::NoCredentials { url, .. }
            | Self::NoMatch { url, .. }
            | Self::Refused { url, .. }
            | Self::NotData { url, .. }
            | Self::Archive { url, .. }
            | Self::NotFound { url, .. }
            | Self::Changed { url, .. }
            | Self::Unreachable { url, .. }
            | Self::Throttled { url, .. }
            | Self::NoRoom { url, .. }
            | Self::Truncated { url, .. }
            | Self::Corrupt { url, .. }
            | Self::TooLarge { url, .. }
            | Self::Redirected { url, .. }
            | Self::Other { url, .. } => url.clone(),
            Self::Unreadable { path, .. } => path.display().to_string(),
            _ => String::new(),
        }
    }

    /// Whether only one object is lost: the others may still be read.
    pub fn is_object_error(&self) -> bool {
        match self {
            Self::NotFound { .. }
            | Self::Changed { .. }
            | Self::Truncated { .. }
            | Self::Corrupt { .. }
            | Self::NotData { .. }
            | Self::Archive { .. }
            | Self::Refused { .. } => true,
            Self::AccessDenied { credentials, .. } => !credentials,
            Self::Unreachable { object, .. }
            | Self::Throttled { object, .. }
            | Self::TooLarge { object, .. }
            | Self::Unreadable { object, .. }
            | Self::Other { object, .. } => *object,
            Self::NoSuchBucket { .. }
            | Self::NoCredentials { .. }
            | Self::NoMatch { .. }
            | Self::NoRoom { .. }
            | Self::Redirected { .. }
            | Self::Cancelled => false,
        }
    }

    /// What a user can do about it, if there is something.
    pub fn hint(&self) -> Option<&'static str> {
        super::hint::of(self)
    }

    /// The same where something was to be written.
    pub fn hint_of_writing(&self) -> Option<&'static str> {
        super::hint::of_writing(self)
    }
}

fn skipped_text(skipped: u64, first: Option<&str>) -> String {
    match first {
        Some(first) => format!(" ({skipped} skipped; the first: {first})"),
        None => String::new(),
    }
}
