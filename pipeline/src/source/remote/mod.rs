//! Object stores over HTTP: S3 and whatever speaks its protocol, GCS by the same protocol, and Azure.
//!
//! object_store finds credentials and signs; asking and checking the answers is done here, because keys
//! must arrive verbatim (object_store's paths drop empty segments), redirects must not be followed, and every
//! answer is held against the listing: range, length, entity tag. Only network I/O runs on the runtime.

mod address;
mod auth;
mod checksum;
mod feed;
mod keys;
mod profile;
mod retry;
mod sts;
mod xml;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use address::Address;
use auth::Auth;
use bytes::Bytes;
use checksum::Checksum;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use object_store::client::{HttpRequest, HttpRequestBody};
use pinport_model::{PlannedObject, location::Service};

pub(super) use feed::{RemoteFeed, wait};
pub use keys::AwsKeys;
use retry::{Asked, Backoff, Failure};
pub(super) use xml::{Page, page as read_page};

use super::{SourceError, SourceOptions};

/// Bytes of a listing's page or an error document. A page of 1,000 keys of 1 KiB takes about 1.5 MiB.
const MAX_DOCUMENT: usize = 16 << 20;

/// Where an object of an S3 bucket is asked for: for fuzz targets.
pub(super) fn object_url(bucket: &str, key: &str, settings: &super::Settings) -> Result<String, String> {
    Address::new(Service::S3, bucket, None, settings, &profile::Profile::default())?.url(Some(key), &[])
}

/// A bucket.
pub(super) struct Bucket {
    service: Service,
    name: String,
    address: Address,
    auth: Auth,
    client: reqwest::Client,
    options: SourceOptions,
}

impl Bucket {
    pub(super) fn open(
        service: Service,
        name: &str,
        options: &SourceOptions,
    ) -> Result<Arc<Self>, SourceError> {
        let url = format!("{}://{name}", service.scheme());
        let other = |reason: String| SourceError::Other { url: url.clone(), reason, object: false };
        let missing = |reason: String| SourceError::NoCredentials { url: url.clone(), reason };
        let settings = &options.settings;
        let profile = match service {
            Service::S3 => profile::Profile::load(settings).map_err(missing)?,
            _ => profile::Profile::default(),
        };
        let account = if service == Service::Azure { auth::azure_account(settings) } else { None };
        let address = Address::new(service, name, account.as_deref(), settings, &profile).map_err(other)?;
        let timeout = options.connect_timeout;
        let client = auth::client(timeout, address.tls, !address.loopback).map_err(other)?;
        // Credentials may come from elsewhere, and by TLS.
        let auth_client = if address.tls {
            client.clone()
        } else {
            auth::client(timeout, true, true).unwrap_or_else(|_| client.clone())
        };
        let auth =
            Auth::new(service, name, &address.region, settings, &profile, &auth_client).map_err(missing)?;
        Ok(Arc::new(Self { service, name: name.into(), address, auth, client, options: options.clone() }))
    }

    /// What an object (or, with an empty key, the bucket) is called in messages.
    pub(super) fn url(&self, key: &str) -> String {
        format!("{}://{}/{key}", self.service.scheme(), self.name)
    }

    fn asked(&self, key: &str, object: bool) -> Asked {
        Asked {
            url: self.url(key),
            bucket: format!("{}://{}", self.service.scheme(), self.name),
            object,
            byte: 0,
        }
    }

    /// A page of the objects whose keys begin with `prefix`.
    pub(super) async fn page(&self, prefix: &str, token: Option<&str>) -> Result<Page, SourceError> {
        let asked = self.asked(prefix, false);
        let query: Vec<(&str, &str)> = match self.service {
            Service::S3 | Service::Gcs => {
                [("list-type", "2")].into_iter().chain(token.map(|token| ("continuation-token", token)))
            }
            Service::Azure => [("comp", "list")].into_iter().chain(token.map(|token| ("marker", token))),
        }
        .chain((self.service == Service::Azure).then_some(("restype", "container")))
        .chain((!prefix.is_empty()).then_some(("prefix", prefix)))
        .collect();
        let mut backoff = Backoff::new(&self.options);
        loop {
            match self.try_page(&asked, prefix, &query).await {
                Ok(page) => return Ok(page),
                Err(failure) => self.wait(backoff.next(failure)?).await,
            }
        }
    }

    async fn try_page(&self, asked: &Asked, prefix: &str, query: &[(&str, &str)]) -> Result<Page, Failure> {
        let mut response = self.send(asked, Method::GET, None, query, &[]).await?;
        let body = self.document(asked, &mut response).await?;
        if response.status() != StatusCode::OK {
            return Err(Failure::of_answer(asked, response.status(), response.headers(), &body));
        }
        let page = xml::page(&body).map_err(|reason| match xml::error(&body) {
            Some(_) => Failure::of_answer(asked, response.status(), response.headers(), &body),
            None => Failure::passing(asked, reason),
        })?;
        match page.objects.iter().find(|object| !object.key.starts_with(prefix)) {
            Some(object) => Err(Failure::lasting(SourceError::Other {
                url: asked.url.clone(),
                reason: format!("the listing has a key that was not asked for: {}", object.key),
                object: false,
            })),
            None => Ok(page),
        }
    }

    /// The object with exactly this key: for credentials that may read objects but not list them.
    pub(super) async fn stat(&self, key: &str) -> Result<PlannedObject, SourceError> {
        let asked = self.asked(key, true);
        let mut backoff = Backoff::new(&self.options);
        loop {
            let response = match self.send(&asked, Method::HEAD, Some(key), &[], &[]).await {
                Ok(response) if response.status() == StatusCode::OK => response,
                Ok(response) => {
                    let failure = Failure::of_answer(&asked, response.status(), response.headers(), b"");
                    self.wait(backoff.next(failure)?).await;
                    continue;
                }
                Err(failure) => {
                    self.wait(backoff.next(failure)?).await;
                    continue;
                }
            };
            let text =
                |name: header::HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
            let size = text(header::CONTENT_LENGTH).and_then(|size| size.parse().ok());
            let Some(size) = size else {
                let reason = "the store does not say how long it is".into();
                return Err(SourceError::Other { url: asked.url, reason, object: true });
            };
            let etag = text(header::ETAG).map(str::to_owned);
            return Ok(PlannedObject { key: key.into(), size, etag, skipped: None });
        }
    }

    /// The bytes from `start` to `end` of an object, in the chunks they came in.
    pub(super) async fn range(
        &self,
        object: &PlannedObject,
        start: u64,
        end: u64,
    ) -> Result<Fetched, SourceError> {
        let mut asked = self.asked(&object.key, true);
        let mut got = Fetched { chunks: VecDeque::new(), byte: start, checksum: None, tries: 0 };
        let mut backoff = Backoff::new(&self.options);
        while got.byte < end {
            asked.byte = got.byte;
            if let Err(failure) = self.try_range(&asked, object, end, &mut got).await {
                // So little progress is none: a store that sends a byte a try would keep us for ever.
                if got.byte - asked.byte >= MIN_PROGRESS {
                    backoff.progress();
                }
                let wait = backoff.next(failure)?;
                tracing::debug!(url = asked.url, byte = got.byte, ?wait, "trying again");
                self.wait(wait).await;
            }
        }
        Ok(got)
    }

    async fn try_range(
        &self,
        asked: &Asked,
        object: &PlannedObject,
        end: u64,
        got: &mut Fetched,
    ) -> Result<(), Failure> {
        let start = got.byte;
        let range = format!("bytes={start}-{}", end - 1);
        let whole = start == 0 && end == object.size;
        // Only who asks for all of an object is told its checksum; some stores answer that without a length.
        let mut headers = if whole && got.tries == 0 && self.service == Service::S3 {
            vec![(CHECKSUM_MODE, "ENABLED")]
        } else {
            vec![(header::RANGE, range.as_str())]
        };
        got.tries += 1;
        if let Some(etag) = &object.etag {
            headers.push((header::IF_MATCH, etag));
        }
        let mut response = self.send(asked, Method::GET, Some(&object.key), &[], &headers).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT => check_range(asked, &response, start, end, object.size)?,
            // A store may leave ranges aside when all of an object is asked for.
            StatusCode::OK if whole && response.content_length() == Some(object.size) => {}
            StatusCode::OK if whole && got.tries == 1 && response.content_length().is_none() => {
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
        let found = response.headers().get(header::ETAG).and_then(|value| value.to_str().ok());
        if let (Some(found), Some(listed)) = (found, &object.etag)
            && bare(found) != bare(listed)
        {
            return Err(changed(asked, format!("its entity tag was {listed} and is {found}")));
        }
        if response.content_length().is_some_and(|length| length != end - start) {
            let length = response.content_length().unwrap_or_default();
            return Err(cut_off(asked, format!("the store sends {length} bytes of {}", end - start)));
        }
        if response.headers().contains_key(header::CONTENT_ENCODING) && response.status() == StatusCode::OK {
            tracing::debug!(url = asked.url, "the object has a content encoding");
        }
        if whole {
            got.checksum = Checksum::told(response.headers(), self.options.verify_all);
        }
        while let Some(chunk) = self.chunk(asked, &mut response).await? {
            if chunk.len() as u64 > end - got.byte {
                return Err(changed(asked, "the store sent more bytes than were asked for"));
            }
            got.byte += chunk.len() as u64;
            got.chunks.push_back(chunk);
        }
        if got.byte < end {
            return Err(cut_off(asked, format!("the answer ended {} bytes too early", end - got.byte)));
        }
        Ok(())
    }

    async fn send(
        &self,
        asked: &Asked,
        method: Method,
        key: Option<&str>,
        query: &[(&str, &str)],
        headers: &[(header::HeaderName, &str)],
    ) -> Result<reqwest::Response, Failure> {
        let other = |reason: String| {
            Failure::lasting(SourceError::Other { url: asked.url.clone(), reason, object: asked.object })
        };
        let url = self.address.url(key, query).map_err(other)?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = method;
        *request.uri_mut() = url.parse().map_err(|_| other("its key makes no valid URL".into()))?;
        for (name, value) in headers {
            let value =
                HeaderValue::from_str(value).map_err(|_| other(format!("{name}: {value} cannot be sent")))?;
            request.headers_mut().insert(name, value);
        }
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
        let sent = tokio::time::timeout(self.options.read_timeout, request.send()).await;
        sent.map_err(|_| self.stalled(asked))?
            .map_err(|error| Failure::passing(asked, auth::chain(&error.without_url())))
    }

    async fn chunk(&self, asked: &Asked, response: &mut reqwest::Response) -> Result<Option<Bytes>, Failure> {
        let chunk = tokio::time::timeout(self.options.read_timeout, response.chunk()).await;
        chunk
            .map_err(|_| self.stalled(asked))?
            .map_err(|error| Failure::passing(asked, auth::chain(&error.without_url())))
    }

    async fn document(&self, asked: &Asked, response: &mut reqwest::Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk(asked, response).await? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_DOCUMENT {
                return Err(changed(asked, "the store's answer is too long"));
            }
        }
        Ok(body)
    }

    fn stalled(&self, asked: &Asked) -> Failure {
        Failure::passing(asked, format!("the store sent nothing for {:?}", self.options.read_timeout))
    }

    async fn wait(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }
}

/// Bytes that a try has to bring to count as progress.
const MIN_PROGRESS: u64 = 16 << 10;

/// Asks an S3 store to tell the checksum that an object was uploaded with.
const CHECKSUM_MODE: HeaderName = HeaderName::from_static("x-amz-checksum-mode");

/// Bytes of an object.
pub(super) struct Fetched {
    pub(super) chunks: VecDeque<Bytes>,
    /// Where they end.
    byte: u64,
    /// What they must add up to. Whoever takes them adds up: that is no work for the runtime.
    checksum: Option<Checksum>,
    tries: u32,
}

fn check_range(
    asked: &Asked,
    response: &reqwest::Response,
    start: u64,
    end: u64,
    size: u64,
) -> Result<(), Failure> {
    let found = response
        .headers()
        .get(header::CONTENT_RANGE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("nothing");
    let parsed = found.strip_prefix("bytes ").and_then(|range| {
        let (range, total) = range.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, total))
    });
    match parsed {
        // Not every store heeds If-Match.
        Some((.., total)) if total.parse::<u64>().is_ok_and(|total| total != size) => {
            Err(changed(asked, format!("it had {size} bytes when it was listed and has {total} now")))
        }
        Some((first, last, _)) if first == start && last == end - 1 => Ok(()),
        _ => Err(Failure::lasting(SourceError::Corrupt {
            url: asked.url.clone(),
            byte: asked.byte,
            decoded: asked.byte,
            reason: format!("the store was asked for bytes {start}-{} and sends {found}", end - 1),
        })),
    }
}

fn changed(asked: &Asked, reason: impl Into<String>) -> Failure {
    Failure::lasting(SourceError::Changed { url: asked.url.clone(), byte: asked.byte, reason: reason.into() })
}

/// May pass; if it does not, the object is cut off.
fn cut_off(asked: &Asked, reason: String) -> Failure {
    let error =
        SourceError::Truncated { url: asked.url.clone(), byte: asked.byte, decoded: asked.byte, reason };
    Failure { error, retry: Some(None) }
}

/// An entity tag without quotes or weakness, which stores add and drop.
fn bare(etag: &str) -> &str {
    // Without a quote behind it, it is a part of the tag: GCS lists bare tags in base64.
    let strong = etag.strip_prefix("W/").filter(|rest| rest.starts_with('"'));
    strong.unwrap_or(etag).trim_matches('"')
}

#[cfg(test)]
mod tests {
    #[test]
    fn tags_are_compared_without_quotes_and_weakness() {
        for (etag, bare) in
            [("\"a\"", "a"), ("W/\"a\"", "a"), ("a", "a"), ("W/a+b=", "W/a+b="), ("\"W/a\"", "W/a")]
        {
            assert_eq!(super::bare(etag), bare);
        }
    }
}
