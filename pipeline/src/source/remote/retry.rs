//! What a failed request means, and whether and when it is tried again.

use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode, header};

use super::xml::{self, ErrorBody};
use crate::source::{SourceError, SourceOptions};

/// What was asked for.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The object, or the source.
    pub(super) url: String,
    /// The bucket.
    pub(super) bucket: String,
    /// Whether it is an object, not a listing.
    pub(super) object: bool,
    /// Where reading is.
    pub(super) byte: u64,
}

/// A request that failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub(super) struct Failure {
    pub(super) error: SourceError,
    /// Whether trying again can help, and what the store says of when.
    pub(super) retry: Option<Option<Duration>>,
}

impl Failure {
    /// It stays so.
    pub(super) fn lasting(error: SourceError) -> Self {
        Self { error, retry: None }
    }

    /// It may pass.
    pub(super) fn passing(asked: &Asked, reason: impl Into<String>) -> Self {
        let Asked { url, byte, object, .. } = asked.clone();
        Self {
            error: SourceError::Unreachable { url, byte, reason: reason.into(), object },
            retry: Some(None),
        }
    }

    /// Whether the store does not know the operation or a parameter of it.
    pub(super) fn is_unknown(&self) -> bool {
        const CODES: [&str; 3] = ["answered 501", "answered 405", "NotImplemented"];
        matches!(&self.error, SourceError::Other { reason, .. }
            if CODES.iter().any(|code| reason.contains(code)) || reason.contains("list-type"))
    }

    /// What an answer other than success means.
    pub(super) fn of_answer(asked: &Asked, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let found = xml::error(body).unwrap_or_default();
        let named = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let code = if found.code.is_empty() { named("x-ms-error-code").unwrap_or("") } else { &found.code };
        let reason = sentence(status, code, &found);
        let Asked { url, bucket, object, byte } = asked.clone();
        let region = || named("x-amz-bucket-region").or(found.region.as_deref());
        if status.is_redirection() || (code == "AuthorizationHeaderMalformed" && region().is_some()) {
            let target = match (region(), named("location")) {
                (Some(region), _) => format!("the region {region}: set AWS_REGION={region}"),
                (None, Some(location)) => location.into(),
                (None, None) => reason,
            };
            return Self::lasting(SourceError::Redirected { url, target });
        }
        const CREDENTIALS: [&str; 9] = [
            "ExpiredToken",
            "TokenRefreshRequired",
            "InvalidToken",
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "RequestTimeTooSkewed",
            "AuthenticationFailed",
            "InvalidSecurity",
            "AccountProblem",
        ];
        /// Beside 507, which servers before a disk answer.
        const NO_ROOM: [&str; 3] = ["InsufficientStorage", "InsufficientQuota", "QuotaExceeded"];
        let retry_after = || retry_after(headers);
        if CREDENTIALS.contains(&code) {
            return Self::lasting(SourceError::AccessDenied { url, reason, credentials: true });
        }
        match (status.as_u16(), code) {
            (_, "SlowDown" | "ServerBusy" | "Throttling" | "ThrottlingException" | "TooManyRequests")
            | (429 | 503, _) => Self {
                error: SourceError::Throttled { url, byte, reason, object },
                retry: Some(retry_after()),
            },
            (_, "InternalError" | "RequestTimeout" | "OperationAborted" | "OperationTimedOut")
            | (408 | 500 | 502 | 504, _) => Self {
                error: SourceError::Unreachable { url, byte, reason, object },
                retry: Some(retry_after()),
            },
            // Trying again does not empty it.
            (507, _) => Self::lasting(SourceError::NoRoom { url, reason }),
            (_, code) if NO_ROOM.contains(&code) => Self::lasting(SourceError::NoRoom { url, reason }),
            // It is archived for every caller.
            (_, "InvalidObjectState" | "BlobArchived") => {
                Self::lasting(SourceError::Other { url, reason, object: true })
            }
            (401, _) => Self::lasting(SourceError::AccessDenied { url, reason, credentials: true }),
            (403, _) => Self::lasting(SourceError::AccessDenied { url, reason, credentials: !object }),
            (_, "NoSuchBucket" | "ContainerNotFound" | "InvalidBucketName") => {
                Self::lasting(SourceError::NoSuchBucket { bucket, reason })
            }
            (404, _) if !object => Self::lasting(SourceError::NoSuchBucket { bucket, reason }),
            // Blocks that Azure took are gone, as an upload of the others' is.
            (404 | 410, _) | (_, "InvalidBlockList") => {
                Self::lasting(SourceError::NotFound { url, byte, reason })
            }
            (412 | 416, _) => Self::lasting(SourceError::Changed { url, byte, reason }),
            _ => Self::lasting(SourceError::Other { url, reason, object }),
        }
    }
}

/// One line of what the store said, without its control characters.
fn sentence(status: StatusCode, code: &str, found: &ErrorBody) -> String {
    let mut text = format!("the store answered {}", status.as_u16());
    for (before, part) in [(" ", code), (": ", &found.message)] {
        if !part.is_empty() {
            text.push_str(before);
            text.extend(part.chars().take(256).map(|char| if char.is_control() { ' ' } else { char }));
        }
    }
    text
}

/// Seconds, or a date: that is held against the answer's own, so that clocks need not agree.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text =
        |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok()).map(str::trim);
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let asked = text(header::RETRY_AFTER)?;
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = text(header::DATE).and_then(date).unwrap_or_else(SystemTime::now);
    // A moment that has passed asks for no wait.
    Some(date(asked)?.duration_since(now).unwrap_or_default())
}

/// Counts the tries of one range or page.
#[derive(Debug)]
pub(super) struct Backoff {
    base: Duration,
    retries: u32,
    tries: u32,
    left: Duration,
}

impl Backoff {
    pub(super) fn new(options: &SourceOptions) -> Self {
        Self { base: options.retry_base, retries: options.retries, tries: 0, left: options.retry_budget }
    }

    /// A try brought something: the next failure is a first one again.
    pub(super) fn progress(&mut self) {
        self.tries = 0;
    }

    /// How long to wait before the next try, or the error if there is none.
    pub(super) fn next(&mut self, failure: Failure) -> Result<Duration, SourceError> {
        let Failure { error, retry } = failure;
        let Some(asked) = retry else { return Err(error) };
        if self.tries >= self.retries {
            return Err(error);
        }
        let full = self.base.saturating_mul(1 << self.tries.min(16));
        self.tries += 1;
        // Between half and all of it, so that many readers do not come back at once.
        let jitter = f64::from(RandomState::new().hash_one(self.tries) as u32) / f64::from(u32::MAX);
        let wait = full.mul_f64(0.5 + jitter / 2.0).max(asked.unwrap_or_default());
        self.left = self.left.checked_sub(wait).ok_or(error)?;
        Ok(wait)
    }
}
