//! How a bucket is asked over HTTP: its address, the signature, the time-outs, and what an answer means.
//!
//! object_store reads objects through this as its [`HttpService`]; listings and HEAD requests call [`Connector::ask`].
//! Redirects are not followed, a whole transfer has no time limit, and every answer that is not what was asked for
//! becomes a [`Failure`]: the source of the `HttpError`, where [`failure_in`] finds it again.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use object_store::{
    ClientOptions, ObjectStore, RetryConfig,
    aws::AmazonS3Builder,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
        HttpResponseBody, HttpService,
    },
};
use pinport_model::location::Service;
use pinport_model::with_causes;
use tokio::time::{Instant, Sleep};

use super::{
    address::Address,
    auth::Auth,
    key,
    retry::{Asked, Failure},
    xml,
};
use crate::{limits::DOCUMENT_BYTES, source::SourceError};

/// Asks an S3 store for the checksum that an object was uploaded with.
const CHECKSUM_MODE: HeaderName = HeaderName::from_static("x-amz-checksum-mode");

/// The way to one bucket.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) service: Service,
    pub(super) address: Address,
    pub(super) auth: Auth,
    pub(super) client: reqwest::Client,
    pub(super) read_timeout: Duration,
}

/// What a GET through object_store is for. It travels in the request's extensions.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) asked: Asked,
    /// The size of the object as it was listed.
    pub(super) size: u64,
    /// The bytes that are wanted.
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Wanted {
    pub(super) fn is_whole(&self) -> bool {
        self.start == 0 && self.end == self.size
    }
}

impl Connector {
    /// An object store that reads through this. It neither signs nor tries again: that is done here and in
    /// [`retry`](super::retry), for every service alike, and so the URL it makes only carries the key.
    pub(super) fn store(self: &Arc<Self>) -> object_store::Result<Arc<dyn ObjectStore>> {
        let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        let store = AmazonS3Builder::new()
            .with_bucket_name("bucket")
            .with_region("none")
            .with_endpoint("http://connector.invalid")
            .with_allow_http(true)
            .with_skip_signature(true)
            .with_retry(retry)
            .with_http_connector(Shared(Arc::clone(self)))
            .build()?;
        Ok(Arc::new(store))
    }

    /// Sends a request. Any answer is a success here.
    pub(super) async fn ask(
        &self,
        asked: &Asked,
        method: Method,
        key: Option<&str>,
        query: &[(&str, &str)],
        headers: HeaderMap,
    ) -> Result<reqwest::Response, Failure> {
        let other = |reason: String| {
            Failure::lasting(SourceError::Other { url: asked.url.clone(), reason, object: asked.object })
        };
        let url = self.address.url(key, query).map_err(other)?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = method;
        *request.uri_mut() = url.parse().map_err(|_| other("its key makes no valid URL".into()))?;
        *request.headers_mut() = headers;
        self.auth.sign(&mut request).await.map_err(|reason| {
            Failure::lasting(SourceError::NoCredentials { url: asked.url.clone(), reason })
        })?;
        let (parts, _) = request.into_parts();
        // Proxies may change this header, so it is not signed. GCS decompresses objects unless gzip is welcome.
        let encoding = if self.service == Service::Gcs { "gzip" } else { "identity" };
        let request = self
            .client
            .request(parts.method, parts.uri.to_string())
            .headers(parts.headers)
            .header(header::ACCEPT_ENCODING, encoding);
        let sent = tokio::time::timeout(self.read_timeout, request.send()).await;
        sent.map_err(|_| stalled(asked, self.read_timeout))?.map_err(|error| broken(asked, error))
    }

    /// The body of an answer that is a document.
    pub(super) async fn document(
        &self,
        asked: &Asked,
        response: &mut reqwest::Response,
    ) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        loop {
            let chunk = tokio::time::timeout(self.read_timeout, response.chunk()).await;
            let chunk = chunk.map_err(|_| stalled(asked, self.read_timeout))?;
            let Some(chunk) = chunk.map_err(|error| broken(asked, error))? else { return Ok(body) };
            body.extend_from_slice(&chunk);
            if body.len() > DOCUMENT_BYTES {
                return Err(changed(asked, "the store's answer is too long"));
            }
        }
    }

    /// Asks for bytes of an object. What comes back is exactly those bytes, as far as headers can say so.
    async fn get(&self, key: &str, mut headers: HeaderMap, wanted: &Wanted) -> Result<HttpResponse, Failure> {
        let Wanted { asked, size, start, end } = wanted;
        let ranged = headers.contains_key(header::RANGE);
        // Only a request for the whole of an object is answered with its checksum.
        if !ranged && self.service == Service::S3 {
            headers.insert(CHECKSUM_MODE, HeaderValue::from_static("ENABLED"));
        }
        let mut response = self.ask(asked, Method::GET, Some(key), &[], headers).await?;
        let length = response.content_length();
        match response.status() {
            StatusCode::PARTIAL_CONTENT => check_range(wanted, response.headers())?,
            // A store may ignore the range when it is all of an object.
            StatusCode::OK if wanted.is_whole() && length == Some(*size) => {}
            StatusCode::OK if wanted.is_whole() && !ranged && length.is_none() => {
                return Err(Failure::passing(asked, "the store does not say how many bytes it sends"));
            }
            status => {
                let body = self.document(asked, &mut response).await?;
                return Err(match (status, xml::error(&body)) {
                    (StatusCode::OK, None) => {
                        changed(asked, "the store sent something else than the bytes asked for")
                    }
                    _ => Failure::of_answer(asked, status, response.headers(), &body),
                });
            }
        }
        if let Some(length) = length.filter(|length| *length != end - start) {
            return Err(cut_off(asked, format!("the store sends {length} bytes of {}", end - start)));
        }
        if response.headers().contains_key(header::CONTENT_ENCODING) && response.status() == StatusCode::OK {
            tracing::debug!(url = asked.url, "the object has a content encoding");
        }
        Ok(self.answer(wanted, ranged, response))
    }

    /// The answer as object_store wants it: a missing length or a date it cannot read must not make it an error.
    fn answer(&self, wanted: &Wanted, ranged: bool, response: reqwest::Response) -> HttpResponse {
        let (parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        let sleep = Box::pin(tokio::time::sleep(self.read_timeout));
        let body = TimedBody { body, sleep, timeout: self.read_timeout, asked: wanted.asked.clone() };
        let mut answer = HttpResponse::new(HttpResponseBody::new(body));
        let headers = answer.headers_mut();
        let Wanted { size, start, end, .. } = wanted;
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(end - start));
        if let Some(tag) = parts.headers.get(header::ETAG).filter(|tag| tag.to_str().is_ok()) {
            headers.insert(header::ETAG, tag.clone());
        }
        if ranged {
            let range = format!("bytes {start}-{}/{size}", end - 1);
            let range = HeaderValue::try_from(range).expect("digits make a header value");
            headers.insert(header::CONTENT_RANGE, range);
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        answer.extensions_mut().insert(parts.headers);
        answer
    }
}

/// The connector as object_store holds it.
#[derive(Debug, Clone)]
struct Shared(Arc<Connector>);

impl HttpConnector for Shared {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait::async_trait]
impl HttpService for Shared {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, _) = request.into_parts();
        let key = key::from_url_path(parts.uri.path());
        let wanted = parts.extensions.get::<Wanted>();
        let (Some(key), Some(wanted)) = (key, wanted) else {
            let error = std::io::Error::other("a request that pinport did not make");
            return Err(HttpError::new(HttpErrorKind::Unknown, error));
        };
        self.0
            .get(&key, parts.headers, wanted)
            .await
            .map_err(|failure| HttpError::new(HttpErrorKind::Unknown, failure))
    }
}

/// The failure that this module put into an error of object_store.
pub(super) fn failure_in(error: &object_store::Error) -> Option<&Failure> {
    let error: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
}

/// A body that fails when nothing arrives for a while.
struct TimedBody {
    body: reqwest::Body,
    sleep: Pin<Box<Sleep>>,
    timeout: Duration,
    asked: Asked,
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = self.get_mut();
        let failed = |failure| Some(Err(HttpError::new(HttpErrorKind::Unknown, failure)));
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(frame) => {
                this.sleep.as_mut().reset(Instant::now() + this.timeout);
                Poll::Ready(match frame {
                    Some(Err(error)) => failed(broken(&this.asked, error)),
                    Some(Ok(frame)) => Some(Ok(frame)),
                    None => None,
                })
            }
            Poll::Pending => {
                this.sleep.as_mut().poll(context).map(|()| failed(stalled(&this.asked, this.timeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn check_range(wanted: &Wanted, headers: &HeaderMap) -> Result<(), Failure> {
    let Wanted { asked, size, start, end } = wanted;
    let found = headers.get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or("nothing");
    let parsed = found.strip_prefix("bytes ").and_then(|range| {
        let (range, total) = range.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, total))
    });
    match parsed {
        // Not every store heeds If-Match.
        Some((.., total)) if total.parse::<u64>().is_ok_and(|total| total != *size) => {
            Err(changed(asked, format!("it had {size} bytes when it was listed and has {total} now")))
        }
        Some((first, last, _)) if first == *start && last == end - 1 => Ok(()),
        _ => Err(Failure::lasting(SourceError::Corrupt {
            url: asked.url.clone(),
            byte: asked.byte,
            decoded: asked.byte,
            reason: format!("the store was asked for bytes {start}-{} and sends {found}", end - 1),
        })),
    }
}

pub(super) fn broken(asked: &Asked, error: reqwest::Error) -> Failure {
    let reason = with_causes(&error.without_url());
    // A certificate that is not trusted now will not be in a minute.
    let lasting = reason.contains("invalid peer certificate");
    let failure = Failure::passing(asked, reason);
    if lasting { Failure::lasting(failure.error) } else { failure }
}

pub(super) fn stalled(asked: &Asked, timeout: Duration) -> Failure {
    Failure::passing(asked, format!("the store sent nothing for {timeout:?}"))
}

/// The object is not the one that was listed.
pub(super) fn changed(asked: &Asked, reason: impl Into<String>) -> Failure {
    Failure::lasting(SourceError::Changed { url: asked.url.clone(), byte: asked.byte, reason: reason.into() })
}

/// Trying again may help; if it does not, the object is cut off.
pub(super) fn cut_off(asked: &Asked, reason: String) -> Failure {
    let error =
        SourceError::Truncated { url: asked.url.clone(), byte: asked.byte, decoded: asked.byte, reason };
    Failure { error, retry: Some(None) }
}
