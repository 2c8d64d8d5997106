//! Objects that are written: whole by one request, or in parts by object_store's multipart uploads, which are there when
//! they are completed and not before.
//!
//! Requests take the same way as those that read: the bucket's address and the credentials of the [`Connector`]. What a
//! refused request means is decided by [`Failure`], as it is for reading, and whether it is tried again; object_store does so.

use std::{collections::VecDeque, future::poll_fn, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body::Body as _;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt as _, PutPayload, RetryConfig,
    aws::AmazonS3Builder,
    azure::MicrosoftAzureBuilder,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
        HttpResponseBody, HttpService,
    },
    multipart::{MultipartStore, PartId},
};
use pinport_model::location::Service;
use pinport_model::with_causes;
use reqwest::Url;
use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    Bucket,
    connector::{Connector, broken, failure_in, stalled},
    feed::wait,
    key,
    retry::{Asked, Failure},
};
use crate::{
    limits::{ABORT_TIMEOUT, PART_BYTES, PARTS_IN_FLIGHT, SLOWEST_UPLOAD},
    source::SourceError,
};

/// A bucket that is written to.
pub(crate) struct Writing {
    bucket: Arc<Bucket>,
    io: Handle,
    cancel: CancellationToken,
    store: Arc<dyn ObjectStore>,
    parts: Arc<dyn MultipartStore>,
}

impl Writing {
    pub(crate) fn open(bucket: Arc<Bucket>, io: Handle) -> Result<Self, SourceError> {
        let options = &bucket.options;
        let retry = RetryConfig {
            backoff: BackoffConfig { init_backoff: options.retry_base, ..BackoffConfig::default() },
            max_retries: options.retries as usize,
            retry_timeout: options.retry_budget,
        };
        let sending = Sending(Arc::clone(&bucket));
        let (store, parts) = stores(bucket.service, sending, retry).map_err(|error| {
            let (url, reason) = (bucket.url(""), with_causes(&error));
            SourceError::Other { url, reason, object: false }
        })?;
        let cancel = options.cancel.clone();
        Ok(Self { bucket, io, cancel, store, parts })
    }

    /// What an object is called in messages.
    pub(crate) fn url(&self, key: &str) -> String {
        self.bucket.url(key)
    }

    /// Waits for a request.
    fn ask<T: Send + 'static>(
        &self,
        object: &str,
        request: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<T, SourceError> {
        let task = AbortOnDropHandle::new(self.io.spawn(request));
        wait(&self.io, &self.cancel, task)?.map_err(|error| self.meaning(object, &error))
    }

    fn meaning(&self, object: &str, error: &object_store::Error) -> SourceError {
        match failure_in(error) {
            Some(failure) => failure.error.clone(),
            None => SourceError::Other { url: self.url(object), reason: with_causes(error), object: true },
        }
    }

    /// Writes a small object by one request.
    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), SourceError> {
        let (store, path) = (Arc::clone(&self.store), key::to_path(name));
        self.ask(name, async move { store.put(&path, PutPayload::from(bytes)).await.map(drop) })
    }

    /// Deletes an object, if it is there.
    pub(crate) fn delete(&self, name: &str) -> Result<(), SourceError> {
        // The library would ask by a request for many keys, which few stores but S3 know.
        let (bucket, name) = (Arc::clone(&self.bucket), name.to_owned());
        let task = AbortOnDropHandle::new(self.io.spawn(async move { bucket.remove(&name).await }));
        wait(&self.io, &self.cancel, task)?
    }

    /// Why bytes of an object could not be sent. Some stores refuse a request before they have read it and close, and the
    /// answer is lost; a request without bytes is answered. Azure knows none that would change nothing, but drops a block that
    /// is in no list.
    fn refusal(&self, name: &str, error: SourceError) -> SourceError {
        if !matches!(error, SourceError::Unreachable { .. }) {
            return error;
        }
        let (parts, path) = (Arc::clone(&self.parts), key::to_path(name));
        let asked = if self.bucket.service == Service::Azure {
            let block = PutPayload::from_static(b"?");
            self.ask(name, async move { parts.put_part(&path, &String::new(), 0, block).await.map(drop) })
        } else {
            let begun = self.ask(name, async move { parts.create_multipart(&path).await });
            begun.map(|id| self.abort(name, &id))
        };
        let is_refusal = |error: &SourceError| {
            matches!(error, SourceError::AccessDenied { .. } | SourceError::NoRoom { .. })
        };
        asked.err().filter(is_refusal).unwrap_or(error)
    }

    /// Whether an object of this size is there. Who may write it need not be let know.
    fn has(&self, name: &str, bytes: u64) -> bool {
        let (bucket, name) = (Arc::clone(&self.bucket), name.to_owned());
        let task = AbortOnDropHandle::new(self.io.spawn(async move { bucket.stat(&name).await }));
        matches!(wait(&self.io, &self.cancel, task), Ok(Ok(object)) if object.size == bytes)
    }

    /// Gives an upload up that an earlier process left behind. It may be gone.
    pub(crate) fn abort(&self, name: &str, id: &str) {
        let (parts, path, id) = (Arc::clone(&self.parts), key::to_path(name), id.to_owned());
        let aborted = self.io.block_on(async move {
            tokio::time::timeout(ABORT_TIMEOUT, async move { parts.abort_multipart(&path, &id).await }).await
        });
        let is_away = match &aborted {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                failure_in(error).is_some_and(|failure| matches!(failure.error, SourceError::NotFound { .. }))
            }
            Err(_) => false,
        };
        if !is_away {
            tracing::warn!(url = self.url(name), "an unfinished upload may have stayed behind");
        }
    }
}

/// An object while it is written. Dropped before it is finished, nothing of it stays.
pub(crate) struct Upload<'a> {
    to: &'a Writing,
    name: String,
    /// The id of the multipart upload, once there is one.
    id: Option<String>,
    buffer: Vec<u8>,
    /// Bytes that were written.
    bytes: u64,
    next: usize,
    sent: VecDeque<AbortOnDropHandle<object_store::Result<PartId>>>,
    done: Vec<PartId>,
    finished: bool,
}

impl<'a> Upload<'a> {
    pub(crate) fn new(to: &'a Writing, name: String) -> Self {
        let (id, buffer, sent, done) = (None, Vec::new(), VecDeque::new(), Vec::new());
        Self { to, name, id, buffer, bytes: 0, next: 0, sent, done, finished: false }
    }

    /// Adds bytes. `began` is called with the id of the multipart upload before anything is sent to it.
    pub(crate) fn write<E: From<SourceError>>(
        &mut self,
        bytes: &[u8],
        began: impl FnOnce(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        self.buffer.extend_from_slice(bytes);
        self.bytes += bytes.len() as u64;
        if self.buffer.len() < PART_BYTES {
            return Ok(());
        }
        if self.id.is_none() {
            let (parts, path) = (Arc::clone(&self.to.parts), key::to_path(&self.name));
            let id = self.to.ask(&self.name, async move { parts.create_multipart(&path).await })?;
            self.id = Some(id.clone());
            began(&id)?;
        }
        self.send()?;
        Ok(())
    }

    /// Sends what is in the buffer as the next part.
    fn send(&mut self) -> Result<(), SourceError> {
        let Some(id) = self.id.clone() else { return Ok(()) };
        while self.sent.len() >= PARTS_IN_FLIGHT {
            self.receive()?;
        }
        let payload = PutPayload::from(std::mem::replace(&mut self.buffer, Vec::with_capacity(PART_BYTES)));
        let (parts, path, number) = (Arc::clone(&self.to.parts), key::to_path(&self.name), self.next);
        self.next += 1;
        let sent = self.to.io.spawn(async move { parts.put_part(&path, &id, number, payload).await });
        self.sent.push_back(AbortOnDropHandle::new(sent));
        Ok(())
    }

    /// Waits for the oldest part that is on its way.
    fn receive(&mut self) -> Result<(), SourceError> {
        if let Some(sent) = self.sent.pop_front() {
            let part = wait(&self.to.io, &self.to.cancel, sent)?;
            self.done.push(part.map_err(|error| match self.to.meaning(&self.name, &error) {
                // The others were let begin the upload.
                error if self.to.bucket.service == Service::Azure => self.to.refusal(&self.name, error),
                error => error,
            })?);
        }
        Ok(())
    }

    /// Makes it whole: it is there when this returns.
    pub(crate) fn finish(mut self) -> Result<(), SourceError> {
        let Some(id) = self.id.clone() else {
            let put = self.to.put(&self.name, std::mem::take(&mut self.buffer));
            put.map_err(|error| self.to.refusal(&self.name, error))?;
            self.finished = true;
            return Ok(());
        };
        if !self.buffer.is_empty() {
            self.send()?;
        }
        while !self.sent.is_empty() {
            self.receive()?;
        }
        let done = std::mem::take(&mut self.done);
        let (parts, path) = (Arc::clone(&self.to.parts), key::to_path(&self.name));
        let completed = self
            .to
            .ask(&self.name, async move { parts.complete_multipart(&path, &id, done).await.map(drop) });
        completed.or_else(|error| match error {
            // The answer to a request before was lost.
            SourceError::NotFound { .. } if self.to.has(&self.name, self.bytes) => Ok(()),
            // Or it may have been: to write it again is safe.
            SourceError::NotFound { url, byte, reason } => {
                Err(SourceError::Unreachable { url, byte, reason, object: true })
            }
            error => Err(error),
        })?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id.take().filter(|_| !self.finished) {
            self.sent.clear();
            self.to.abort(&self.name, &id);
        }
    }
}

type Stores = (Arc<dyn ObjectStore>, Arc<dyn MultipartStore>);

/// Stores that write through `sending`. They do not sign, and of the URLs they make only the key and the query count.
fn stores(service: Service, sending: Sending, retry: RetryConfig) -> object_store::Result<Stores> {
    const ENDPOINT: &str = "http://connector.invalid";
    match service {
        Service::Azure => {
            let store = MicrosoftAzureBuilder::new()
                .with_account("account")
                .with_container_name("container")
                .with_endpoint(ENDPOINT.into())
                .with_allow_http(true)
                .with_skip_signature(true)
                .with_retry(retry)
                .with_http_connector(sending)
                .build()?;
            Ok(both(store))
        }
        // GCS speaks this protocol too.
        Service::S3 | Service::Gcs => {
            let store = AmazonS3Builder::new()
                .with_bucket_name("bucket")
                .with_region("none")
                .with_endpoint(ENDPOINT)
                .with_allow_http(true)
                .with_skip_signature(true)
                .with_retry(retry)
                .with_http_connector(sending)
                .build()?;
            Ok(both(store))
        }
    }
}

/// One store, for its two sides.
fn both(store: impl ObjectStore + MultipartStore) -> Stores {
    let store = Arc::new(store);
    (Arc::<_>::clone(&store) as Arc<dyn ObjectStore>, store)
}

/// What sends the requests of a store that writes.
#[derive(Clone)]
struct Sending(Arc<Bucket>);

impl std::fmt::Debug for Sending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sending")
    }
}

impl HttpConnector for Sending {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait::async_trait]
impl HttpService for Sending {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let unknown = || {
            let error = std::io::Error::other("a request that pinport did not make");
            HttpError::new(HttpErrorKind::Unknown, error)
        };
        let url = Url::parse(&parts.uri.to_string()).map_err(|_| unknown())?;
        let key = key::from_url_path(url.path()).ok_or_else(unknown)?;
        let query: Vec<_> = url.query_pairs().collect();
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (&**name, &**value)).collect();
        let Bucket { connector, options, .. } = &*self.0;
        let asked = self.0.asked(&key, true);
        let body = whole(body).await.map_err(|_| unknown())?;
        match connector.send(&asked, parts.method, &key, &query, parts.headers, body).await {
            Ok(answer) => Ok(answer),
            Err(failure) => Err(handed_on(failure, options.retry_budget).await),
        }
    }
}

/// A failure as object_store takes it, which tries again what may pass (no object is written twice by it), but knows nothing
/// of how long the store asks to be left alone.
async fn handed_on(failure: Failure, budget: Duration) -> HttpError {
    let kind = match failure.retry.map(Option::unwrap_or_default) {
        Some(asked) if asked <= budget => {
            tokio::time::sleep(asked).await;
            HttpErrorKind::Request
        }
        _ => HttpErrorKind::Unknown,
    };
    HttpError::new(kind, failure)
}

/// All bytes of a request.
async fn whole(mut body: HttpRequestBody) -> Result<Bytes, HttpError> {
    let mut bytes = Vec::new();
    let mut only: Option<Bytes> = None;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame?.into_data() else { continue };
        if let Some(first) = only.take() {
            bytes.extend_from_slice(&first);
        } else if bytes.is_empty() {
            only = Some(data);
            continue;
        }
        bytes.extend_from_slice(&data);
    }
    Ok(only.unwrap_or_else(|| bytes.into()))
}

impl Connector {
    /// Sends a request that writes.
    async fn send(
        &self,
        asked: &Asked,
        method: Method,
        key: &str,
        query: &[(&str, &str)],
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<HttpResponse, Failure> {
        let other = |reason: String| {
            Failure::lasting(SourceError::Other { url: asked.url.clone(), reason, object: true })
        };
        let url = self.address.url(Some(key), query).map_err(other)?;
        let patience = self.read_timeout + Duration::from_secs((body.len() / SLOWEST_UPLOAD) as u64);
        let request = Request::builder().method(method).uri(&*url).body(HttpRequestBody::from(body.clone()));
        let mut request: HttpRequest = request.map_err(|_| other("its key makes no valid URL".into()))?;
        *request.headers_mut() = headers;
        self.auth.sign(&mut request).await.map_err(|reason| {
            Failure::lasting(SourceError::NoCredentials { url: asked.url.clone(), reason })
        })?;
        let (parts, _) = request.into_parts();
        let request =
            self.client.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body);
        let sent = tokio::time::timeout(patience, request.send()).await;
        let mut response =
            sent.map_err(|_| stalled(asked, patience))?.map_err(|error| broken(asked, error))?;
        let document = self.document(asked, &mut response).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        if !status.is_success() {
            return Err(Failure::of_answer(asked, status, &headers, &document));
        }
        let mut answer = HttpResponse::new(HttpResponseBody::from(document));
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        Ok(answer)
    }
}
