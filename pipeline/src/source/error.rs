//! What can go wrong with a source, told so that a command can say it in one sentence with a hint.

use std::path::PathBuf;

use super::content::Foreign;

/// Why a source, or one object of it, could not be listed or read.
///
/// `url` is what the object is called in messages; `byte` is an offset in the object as it lies in the
/// store, `decoded` one behind its decompression.
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
            | Self::Redirected { .. }
            | Self::Cancelled => false,
        }
    }

    /// What a user can do about it, if there is something.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoSuchBucket { .. } => {
                "check the bucket's name, the region (AWS_REGION) and the endpoint (AWS_ENDPOINT_URL_S3)"
            }
            Self::AccessDenied { .. } => {
                "check the credentials and whether they may list the bucket and read its objects"
            }
            Self::NoCredentials { .. } => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or AWS_SKIP_SIGNATURE=true for public buckets"
            }
            Self::NoMatch { skipped: 0, url, .. } if url.contains("://") => {
                "check the prefix: keys are compared letter by letter"
            }
            Self::NoMatch { skipped: 0, .. } => "the folder holds no files; check the path",
            Self::NoMatch { .. } => {
                "check --format: objects of the other format are skipped; one that is named exactly is read whatever its name"
            }
            Self::Changed { .. } => "import it anew when nobody writes to it any more",
            Self::Unreachable { .. } => "check the endpoint (AWS_ENDPOINT_URL_S3) and the network",
            Self::Throttled { .. } => "try again later",
            Self::Truncated { .. } | Self::Corrupt { .. } => {
                "upload the object again, or restore it from its origin"
            }
            Self::Redirected { .. } => "set AWS_REGION or AWS_ENDPOINT_URL_S3 to where the store points",
            Self::Archive { none: true, .. } => "check --format; other files are to be extracted first",
            Self::Archive { .. } => "extract it, and import the files in it",
            Self::NotData { what, .. } => what.advice(),
            Self::Refused { .. } => "check --format and the first lines of the object",
            Self::Unreadable { reason, .. } if reason.contains("Too many open files") => {
                "raise the limit of open files (ulimit -n 8192)"
            }
            Self::Unreadable { .. } => "check the path, and who may read it",
            // What S3 answers a HEAD request, without a body that would say why.
            Self::Other { reason, .. } if reason == "the store answered 400" => {
                "S3 answers so when temporary credentials have expired (AWS_SESSION_TOKEN) or AWS_REGION is another"
            }
            _ => return None,
        })
    }
}

fn skipped_text(skipped: u64, first: Option<&str>) -> String {
    match first {
        Some(first) => format!(" ({skipped} skipped; the first: {first})"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_of_what_was_found() {
        let no_match = |url: &str, skipped| {
            SourceError::NoMatch { url: url.into(), skipped, first_skipped: None }.hint().unwrap()
        };
        assert!(no_match("s3://bucket/prefix", 0).starts_with("check the prefix"));
        assert!(no_match("data", 0).starts_with("the folder holds no files"));
        assert!(no_match("s3://bucket/prefix", 1).starts_with("check --format"));
        let unreadable = |reason: &str| {
            SourceError::Unreadable { path: "data".into(), reason: reason.into(), object: false }
                .hint()
                .unwrap()
        };
        assert!(unreadable("Too many open files (os error 24)").starts_with("raise the limit"));
        assert!(unreadable("Permission denied (os error 13)").starts_with("check the path"));
        let other = |reason: &str| {
            SourceError::Other { url: "s3://bucket".into(), reason: reason.into(), object: false }.hint()
        };
        assert!(other("the store answered 400").is_some_and(|hint| hint.contains("AWS_SESSION_TOKEN")));
        assert_eq!(other("the store answered 400 Malformed"), None);
    }
}
