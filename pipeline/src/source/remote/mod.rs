//! Object stores over HTTP: S3 and whatever speaks its protocol, GCS by the same protocol, and Azure.
//!
//! ```text
//! fetch.rs      bytes of an object, by object_store's ranged GETs, held against the listing
//! connector.rs  the HTTP below object_store: address, signature, time-outs, what an answer means
//! key.rs        keys as object_store's paths
//! account.rs    the buckets of an account
//! write.rs      objects that are written: multipart uploads, through the same connector
//! ```
//!
//! Listings and HEAD requests are made here over the same connector: object_store takes a listing that is cut off for
//! a complete one. Only network I/O runs on the runtime.

mod account;
mod address;
mod auth;
mod checksum;
mod connector;
mod feed;
mod fetch;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzzing;
mod key;
mod keys;
mod process;
mod profile;
mod retry;
mod sts;
pub(crate) mod write;
mod xml;

use std::sync::Arc;

pub(in crate::source) use account::buckets;
use address::Address;
use auth::Auth;
use connector::Connector;
pub(super) use fetch::Fetched;
use http::{HeaderMap, Method, StatusCode, header};
use object_store::ObjectStore;
use pinport_model::{PlannedObject, location::Service, view::SourcePlace, with_causes};

pub(super) use feed::{RemoteFeed, wait};
pub use keys::AwsKeys;
use retry::{Asked, Backoff, Failure};
pub(super) use xml::{Next, Page};

use super::{SourceError, SourceOptions};
use crate::buffers::Buffers;

/// A bucket.
pub(crate) struct Bucket {
    service: Service,
    name: String,
    connector: Arc<Connector>,
    /// Reads objects through the connector.
    store: Arc<dyn ObjectStore>,
    options: SourceOptions,
}

impl Bucket {
    /// Nothing is asked yet. Without a name it is the service itself.
    pub(crate) fn open(
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
        let bundle = settings.get("AWS_CA_BUNDLE").or_else(|| profile.get("ca_bundle"));
        let trusted = bundle.map(auth::authorities).transpose().map_err(other)?;
        let trusted = trusted.as_deref();
        let client = auth::client(timeout, address.tls, !address.loopback, trusted).map_err(other)?;
        // Credentials may come from elsewhere, and by TLS.
        let auth_client = if address.tls {
            client.clone()
        } else {
            auth::client(timeout, true, true, trusted).unwrap_or_else(|_| client.clone())
        };
        let auth =
            Auth::new(service, name, &address.region, settings, &profile, &auth_client).map_err(missing)?;
        let connector =
            Arc::new(Connector { service, address, auth, client, read_timeout: options.read_timeout });
        let store = connector.store().map_err(|error| other(with_causes(&error)))?;
        Ok(Arc::new(Self { service, name: name.into(), connector, store, options: options.clone() }))
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

    /// A page of the objects whose keys begin with `prefix`; `next`: the one after it.
    pub(super) async fn page(&self, prefix: &str, next: Option<&Next>) -> Result<Page, SourceError> {
        let asked = self.asked(prefix, false);
        // Whether it is asked by the first version of S3's protocol.
        let mut old = false;
        let mut backoff = Backoff::new(&self.options);
        loop {
            let query: Vec<(&str, &str)> = match (self.service, next) {
                // The first version of listings goes on after a key.
                (Service::S3 | Service::Gcs, Some(Next::Key(key))) => vec![("marker", key)],
                (Service::S3 | Service::Gcs, None) if old => vec![],
                (Service::S3 | Service::Gcs, None) => vec![("list-type", "2")],
                (Service::S3 | Service::Gcs, Some(Next::Token(token))) => {
                    vec![("list-type", "2"), ("continuation-token", token)]
                }
                (Service::Azure, Some(Next::Token(marker) | Next::Key(marker))) => {
                    vec![("comp", "list"), ("marker", marker), ("restype", "container")]
                }
                (Service::Azure, None) => vec![("comp", "list"), ("restype", "container")],
            };
            let query: Vec<_> =
                query.into_iter().chain((!prefix.is_empty()).then_some(("prefix", prefix))).collect();
            match self.try_page(&asked, prefix, &query).await {
                Ok(page) => {
                    // A store that takes no notice of the marker would keep us for ever.
                    if let (Some(Next::Key(key)), Some(object)) = (next, page.objects.first())
                        && object.key <= *key
                    {
                        let reason = format!("the store's listing does not go on behind {key}");
                        return Err(SourceError::Other { url: asked.url, reason, object: false });
                    }
                    return Ok(page);
                }
                Err(failure)
                    if next.is_none() && !old && self.service == Service::S3 && failure.is_unknown() =>
                {
                    tracing::debug!(url = asked.url, "listing by the first version of the protocol");
                    old = true;
                }
                Err(failure) => tokio::time::sleep(backoff.next(failure)?).await,
            }
        }
    }

    async fn try_page(&self, asked: &Asked, prefix: &str, query: &[(&str, &str)]) -> Result<Page, Failure> {
        let mut response = self.connector.ask(asked, Method::GET, None, query, HeaderMap::new()).await?;
        let body = self.connector.document(asked, &mut response).await?;
        if response.status() != StatusCode::OK {
            return Err(Failure::of_answer(asked, response.status(), response.headers(), &body));
        }
        let page = xml::page(&body).map_err(|reason| match xml::error(&body) {
            Some(_) => Failure::of_answer(asked, response.status(), response.headers(), &body),
            None => Failure::passing(asked, reason),
        })?;
        let mut keys = page.objects.iter().map(|object| &object.key).chain(&page.folders);
        match keys.find(|key| !key.starts_with(prefix)) {
            Some(key) => Err(Failure::lasting(SourceError::Other {
                url: asked.url.clone(),
                reason: format!("the listing has a key that was not asked for: {key}"),
                object: false,
            })),
            None => Ok(page),
        }
    }

    /// What lies directly below a prefix, as far as a page of the listing goes; and whether there is more.
    pub(in crate::source) async fn below(
        &self,
        prefix: &str,
    ) -> Result<(Vec<SourcePlace>, bool), SourceError> {
        let asked = self.asked(prefix, false);
        let mut query = match self.service {
            Service::Azure => vec![("comp", "list"), ("maxresults", "200"), ("restype", "container")],
            Service::S3 | Service::Gcs => vec![("list-type", "2"), ("max-keys", "200")],
        };
        query.push(("delimiter", "/"));
        query.extend((!prefix.is_empty()).then_some(("prefix", prefix)));
        let mut backoff = Backoff::new(&self.options);
        let page = loop {
            match self.try_page(&asked, prefix, &query).await {
                Ok(page) => break page,
                Err(failure) => tokio::time::sleep(backoff.next(failure)?).await,
            }
        };
        // Keys like folders are only there to show them.
        let objects = page.objects.into_iter().filter(|object| !object.key.ends_with('/'));
        let objects =
            objects.map(|object| SourcePlace { url: self.url(&object.key), size: Some(object.size) });
        let folders = page.folders.iter().map(|folder| SourcePlace { url: self.url(folder), size: None });
        Ok((objects.chain(folders).collect(), page.next.is_some()))
    }

    /// The object with exactly this key: for credentials that may read objects but not list them.
    pub(super) async fn stat(&self, key: &str) -> Result<PlannedObject, SourceError> {
        let asked = self.asked(key, true);
        let mut backoff = Backoff::new(&self.options);
        loop {
            let response =
                match self.connector.ask(&asked, Method::HEAD, Some(key), &[], HeaderMap::new()).await {
                    Ok(response) if response.status() == StatusCode::OK => response,
                    Ok(response) => {
                        let failure = Failure::of_answer(&asked, response.status(), response.headers(), b"");
                        tokio::time::sleep(backoff.next(failure)?).await;
                        continue;
                    }
                    Err(failure) => {
                        tokio::time::sleep(backoff.next(failure)?).await;
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

    /// Deletes an object, if it is there.
    async fn remove(&self, key: &str) -> Result<(), SourceError> {
        let asked = self.asked(key, true);
        let mut backoff = Backoff::new(&self.options);
        loop {
            let answer = self.connector.ask(&asked, Method::DELETE, Some(key), &[], HeaderMap::new()).await;
            let failure = match answer {
                Ok(response)
                    if response.status().is_success() || response.status() == StatusCode::NOT_FOUND =>
                {
                    return Ok(());
                }
                Ok(response) => Failure::of_answer(&asked, response.status(), response.headers(), b""),
                Err(failure) => failure,
            };
            tokio::time::sleep(backoff.next(failure)?).await;
        }
    }

    /// The bytes from `start` to `end` of an object.
    pub(super) async fn range(
        &self,
        object: &PlannedObject,
        (start, end): (u64, u64),
        buffers: Buffers,
    ) -> Result<Fetched, SourceError> {
        let asked = self.asked(&object.key, true);
        let untagged;
        let object = match self.options.settings.get("PINPORT_TRUST_LISTING") {
            // Some stores list other tags than they send: then only the size shows whether it is the same object.
            Some("size") => {
                untagged = PlannedObject { etag: None, ..object.clone() };
                &untagged
            }
            _ => object,
        };
        let from = fetch::Store { store: &*self.store, sums_whole: self.service == Service::S3 };
        fetch::range(from, &self.options, asked, object, (start, end), buffers).await
    }
}
