//! What an operation answers, and the one form of every error.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use tokio_stream::Stream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{RequestId, Share};
use crate::ApiError;

/// Any error, as streams of answers end with it.
pub type BoxError = Box<dyn Error + Send + Sync>;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The bytes of an answer.
pub(super) enum Payload {
    Full(Bytes),
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>),
}

impl Payload {
    /// Whether nothing more is known to come.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Full(bytes) if bytes.is_empty())
    }

    /// The next bytes.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        match self {
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Self::Stream(stream) => stream.as_mut().poll_next(cx),
        }
    }
}

/// A stream that breaks off when the caller may have it no longer.
struct Until {
    stream: Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>,
    revoked: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Stream for Until {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        match this.revoked.as_mut().poll(cx) {
            Poll::Ready(()) => {
                Poll::Ready(Some(Err("the key was removed, or may do less than before".into())))
            }
            Poll::Pending => this.stream.as_mut().poll_next(cx),
        }
    }
}

/// A success. Errors are [`ApiError`]s.
pub struct Response {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) payload: Payload,
}

impl Response {
    fn new(status: StatusCode, content_type: Option<HeaderValue>, payload: Payload) -> Self {
        debug_assert!(status.is_success(), "an answer that is not an error is a success");
        let mut headers = HeaderMap::new();
        if let Some(content_type) = content_type {
            headers.insert(header::CONTENT_TYPE, content_type);
        }
        Self { status, headers, payload }
    }

    /// 200 with a bare payload.
    pub fn ok(body: &impl Serialize) -> Result<Self, ApiError> {
        Self::json(StatusCode::OK, body)
    }

    /// A bare payload with a 2xx status.
    pub fn json(status: StatusCode, body: &impl Serialize) -> Result<Self, ApiError> {
        let bytes = serde_json::to_vec(body).map_err(ApiError::internal)?;
        Ok(Self::new(status, Some(JSON), Payload::Full(bytes.into())))
    }

    /// A 2xx status alone.
    pub fn empty(status: StatusCode) -> Self {
        Self::new(status, None, Payload::Full(Bytes::new()))
    }

    /// A 2xx status with JSON that is written already.
    pub fn written(status: StatusCode, json: Vec<u8>) -> Self {
        Self::new(status, Some(JSON), Payload::Full(json.into()))
    }

    /// 200 with bytes of the given type.
    pub fn bytes(content_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        Self::new(StatusCode::OK, Some(HeaderValue::from_static(content_type)), Payload::Full(bytes.into()))
    }

    /// 200 with bytes as they come. An error ends the connection in the middle of the body, so that no one takes the
    /// part for the whole. A client that has gone is noticed by a failed write only: a stream that may be silent for
    /// long sends something every 15 s or so.
    pub fn stream(
        content_type: &'static str,
        stream: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static,
    ) -> Self {
        Self::new(
            StatusCode::OK,
            Some(HeaderValue::from_static(content_type)),
            Payload::Stream(Box::pin(stream)),
        )
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The same, broken off when this is cancelled, if it is a stream.
    pub(super) fn until(mut self, revoked: &CancellationToken) -> Self {
        if let Payload::Stream(stream) = self.payload {
            let revoked = Box::pin(revoked.clone().cancelled_owned());
            self.payload = Payload::Stream(Box::pin(Until { stream, revoked }));
        }
        self
    }

    /// Bytes that are held in memory.
    pub(super) fn held(&self) -> usize {
        match &self.payload {
            Payload::Full(bytes) => bytes.len(),
            Payload::Stream(_) => 0,
        }
    }

    /// Fixes a share of the budget to bytes that are held in memory.
    pub(super) fn charged(mut self, share: Share) -> Self {
        if let Payload::Full(bytes) = &mut self.payload {
            *bytes = share.fix(std::mem::take(bytes));
        }
        self
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

/// The members in the order in which the service sends them.
#[derive(Serialize)]
struct ErrorBody<'a> {
    #[serde(rename = "RequestID")]
    request_id: &'a str,
    #[serde(rename = "Message")]
    message: &'a str,
}

/// Puts an outcome into the form that goes out, with its request id.
pub(super) fn render(outcome: Result<Response, ApiError>, id: RequestId) -> http::Response<Payload> {
    let id = id.to_string();
    let response = outcome.unwrap_or_else(|error| render_error(&error, &id));
    let mut rendered = http::Response::new(response.payload);
    *rendered.status_mut() = response.status;
    *rendered.headers_mut() = response.headers;
    if let Ok(id) = HeaderValue::try_from(id) {
        rendered.headers_mut().insert(REQUEST_ID, id);
    }
    rendered
}

fn render_error(error: &ApiError, id: &str) -> Response {
    let body = ErrorBody { request_id: id, message: error.message() };
    // Two strings always serialise.
    let bytes = serde_json::to_vec(&body).unwrap_or_default();
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(ERROR_TYPE, HeaderValue::from_static(error.status().type_name()));
    if let Some(allow) = error.allow().and_then(|allow| HeaderValue::try_from(allow).ok()) {
        headers.insert(header::ALLOW, allow);
    }
    if let Some(seconds) = error.retry_after_seconds() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    Response { status: error.status().code(), headers, payload: Payload::Full(bytes.into()) }
}
