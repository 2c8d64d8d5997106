//! What an operation answers when it cannot do what was asked. An error has two messages: one for the
//! caller, and one for the log; the second never reaches a client.

use std::{error::Error, fmt, time::Duration};

use http::StatusCode;

use crate::limits::{MAX_MESSAGE, MAX_SHOWN};

/// The errors clients of the service know. There is no way to write a success with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorStatus {
    /// 400: the request is malformed or breaks a rule.
    BadRequest,
    /// 403: no valid signature, or a key that may not do this.
    Forbidden,
    /// 404: no such thing, or one that belongs to another key.
    NotFound,
    /// 405: the path is known with another method, or as an operation that pinport does not have.
    MethodNotAllowed,
    /// 408: the request did not arrive in time.
    RequestTimeout,
    /// 409: the thing is in a state that does not allow this.
    Conflict,
    /// 413: the body is over its limit.
    PayloadTooLarge,
    /// 429: this key is over its rate.
    TooManyRequests,
    /// 500: a fault of the server.
    Internal,
    /// 503: the server is starting or stopping.
    Unavailable,
}

impl ErrorStatus {
    /// The HTTP status.
    pub const fn code(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The name by which SDKs find the exception, sent as `x-amzn-ErrorType`.
    pub const fn type_name(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequestException",
            Self::Forbidden => "ForbiddenException",
            Self::NotFound => "NotFoundException",
            Self::MethodNotAllowed => "MethodNotAllowedException",
            Self::RequestTimeout => "RequestTimeoutException",
            Self::Conflict => "ConflictException",
            Self::PayloadTooLarge => "PayloadTooLargeException",
            Self::TooManyRequests => "TooManyRequestsException",
            Self::Internal => "InternalServerErrorException",
            Self::Unavailable => "ServiceUnavailableException",
        }
    }
}

/// Why a request failed.
#[derive(Debug)]
pub struct ApiError {
    status: ErrorStatus,
    external: String,
    internal: Option<Box<dyn Error + Send + Sync>>,
    allow: Option<String>,
    retry_after: Option<Duration>,
}

impl ApiError {
    /// An error whose message the caller may read: a sentence that says what, where and what to do.
    pub fn new(status: ErrorStatus, external: impl Into<String>) -> Self {
        Self { status, external: cut(external.into()), internal: None, allow: None, retry_after: None }
    }

    /// 400.
    pub fn bad_request(external: impl Into<String>) -> Self {
        Self::new(ErrorStatus::BadRequest, external)
    }

    /// 403.
    pub fn forbidden(external: impl Into<String>) -> Self {
        Self::new(ErrorStatus::Forbidden, external)
    }

    /// 404.
    pub fn not_found(external: impl Into<String>) -> Self {
        Self::new(ErrorStatus::NotFound, external)
    }

    /// 409.
    pub fn conflict(external: impl Into<String>) -> Self {
        Self::new(ErrorStatus::Conflict, external)
    }

    /// 413.
    pub fn too_large(external: impl Into<String>) -> Self {
        Self::new(ErrorStatus::PayloadTooLarge, external)
    }

    /// 405. `allow` lists the methods that the path knows.
    pub fn method_not_allowed(external: impl Into<String>, allow: impl Into<String>) -> Self {
        let mut error = Self::new(ErrorStatus::MethodNotAllowed, external);
        error.allow = Some(allow.into());
        error
    }

    /// 429. The caller may try again after `retry_after`.
    pub fn too_many_requests(external: impl Into<String>, retry_after: Duration) -> Self {
        let mut error = Self::new(ErrorStatus::TooManyRequests, external);
        error.retry_after = Some(retry_after);
        error
    }

    /// 503. The caller may try again after `retry_after`.
    pub fn unavailable(external: impl Into<String>, retry_after: Duration) -> Self {
        let mut error = Self::new(ErrorStatus::Unavailable, external);
        error.retry_after = Some(retry_after);
        error
    }

    /// 500. The cause goes to the log; the caller learns the request id by which to find it.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(
            ErrorStatus::Internal,
            "The server failed to handle this request. Its log has the cause under this RequestID.",
        )
        .because(cause)
    }

    /// Adds what the log should say and the caller should not read.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.internal = Some(cause.into());
        self
    }

    /// The kind of error.
    pub fn status(&self) -> ErrorStatus {
        self.status
    }

    /// The message for the caller.
    pub fn message(&self) -> &str {
        &self.external
    }

    /// The `Allow` header, with 405.
    pub fn allow(&self) -> Option<&str> {
        self.allow.as_deref()
    }

    /// The `Retry-After` header in whole seconds, at least one.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(|wait| (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1))
    }

    /// The chain of causes for the log, if there is one.
    pub fn cause(&self) -> Option<String> {
        let mut text = self.internal.as_ref()?.to_string();
        let mut next = self.internal.as_ref()?.source();
        while let Some(error) = next {
            text.push_str(": ");
            text.push_str(&error.to_string());
            next = error.source();
        }
        Some(cut(text))
    }
}

/// Cuts what a request may have brought: words to [`MAX_SHOWN`] characters, and the whole to [`MAX_MESSAGE`].
fn cut(text: String) -> String {
    if text.len() <= MAX_SHOWN {
        return text;
    }
    let mut short = String::new();
    for (at, word) in text.split(' ').enumerate() {
        if at > 0 {
            short.push(' ');
        }
        match word.char_indices().nth(MAX_SHOWN) {
            Some((end, _)) => short.extend([&word[..end], "…"]),
            None => short.push_str(word),
        }
    }
    if let Some((end, _)) = short.char_indices().nth(MAX_MESSAGE) {
        short.truncate(end);
        short.push('…');
    }
    short
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.external)
    }
}

impl Error for ApiError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.internal.as_deref().map(|error| error as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_rounded_up_to_whole_seconds() {
        let seconds = |wait| ApiError::too_many_requests("slow down", wait).retry_after_seconds().unwrap();
        assert_eq!(seconds(Duration::ZERO), 1);
        assert_eq!(seconds(Duration::from_millis(1001)), 2);
        assert_eq!(seconds(Duration::from_secs(3)), 3);
    }

    #[test]
    fn what_a_request_brings_is_cut() {
        let long = format!("There is no \"{}\" here.", "ü".repeat(MAX_SHOWN * 2));
        let said = ApiError::not_found(long).to_string();
        assert_eq!(said, format!("There is no \"{}… here.", "ü".repeat(MAX_SHOWN - 1)));
        let words = "word ".repeat(MAX_MESSAGE);
        assert_eq!(ApiError::bad_request(&*words).message().chars().count(), MAX_MESSAGE + 1);
        assert_eq!(ApiError::internal(words).cause().unwrap().chars().count(), MAX_MESSAGE + 1);
        let sentence = "a sentence of the server's own ".repeat(20);
        assert_eq!(ApiError::bad_request(&*sentence).message(), sentence);
    }

    #[test]
    fn the_cause_is_not_in_the_message() {
        let error = ApiError::internal("disk full at /secret/path");
        assert!(!error.to_string().contains("secret"));
        assert_eq!(error.cause().as_deref(), Some("disk full at /secret/path"));
    }
}
