//! Who may do what: signatures, keys with their applications, rates, and where the server may listen.
//!
//! Without keys the server is open, which [`check_listen`] allows on loopback only. An open server also
//! refuses browsers ([`Access::admit_browserless`]) but for the pages that the configuration names ([`Cors`]): a page on any site could otherwise make its visitor's
//! browser start imports here.
//!
//! Nothing here reads a socket or a body; the funnel in [`crate::http`] calls it in order.

mod clock;
mod cors;
mod keys;
mod listen;
mod principal;
mod rate;
mod scrape;
pub mod sigv4;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, sync::Arc, time::Instant};

use http::{HeaderValue, header, request::Parts};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

pub use clock::{Clock, FixedClock, SystemClock};
pub use cors::Cors;
pub use keys::{KeyConfig, KeyError, KeyRing, Secret};
pub use listen::{ListenRefused, ScrapeListenRefused, check_listen, check_scrape_listen};
pub use principal::{Applications, Principal, no_such_application};
pub use rate::Rate;
pub use scrape::{BadToken, ScrapeToken};
use sigv4::{AuthError, PayloadHash, Presented};

use self::keys::Key;
use crate::ApiError;

/// The service name in the scope of every signature.
pub const SERVICE: &str = "mobiletargeting";

/// The gate. One is shared by all connections; its keys can be replaced while it is in use.
#[derive(Debug)]
pub struct Access {
    region: String,
    ring: RwLock<Arc<KeyRing>>,
    clock: Arc<dyn Clock>,
    cors: RwLock<Arc<Cors>>,
    /// With which the metrics are read, beside signatures.
    scrape: RwLock<Option<ScrapeToken>>,
    /// Whether nothing but the token lets anybody read them.
    token_only: bool,
    /// Cancelled when the gate no longer stands open.
    anybody: CancellationToken,
}

/// Keys cannot be taken away altogether while the server runs: it would stand open.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the new configuration has no keys; a running server is not opened to everybody, so the old keys stay"
)]
pub struct NoKeys;

/// A caller whose signature holds if the body is what it was signed with.
#[derive(Debug)]
pub(crate) struct Claim {
    presented: Presented,
    key: Arc<Key>,
    /// Whether the key is one of ours. Another one takes the same way, up to the same refusal.
    known: bool,
}

impl Access {
    /// A gate that stands open: for loopback.
    pub fn open() -> Self {
        Self::with_keys(String::new(), KeyRing::default(), Arc::new(SystemClock))
    }

    /// A gate for the listener of probes and metrics: it stands open, but for the token if there is one.
    pub fn for_scrapers(token: Option<ScrapeToken>) -> Self {
        Self { scrape: RwLock::new(token), token_only: true, ..Self::open() }
    }

    /// A gate that asks for signatures in this region by one of these keys. An empty ring stands open.
    pub fn with_keys(region: impl Into<String>, ring: KeyRing, clock: Arc<dyn Clock>) -> Self {
        Self {
            region: region.into(),
            ring: RwLock::new(Arc::new(ring)),
            clock,
            cors: RwLock::default(),
            scrape: RwLock::default(),
            token_only: false,
            anybody: CancellationToken::new(),
        }
    }

    /// The same gate, for pages of these origins too.
    #[must_use]
    pub fn with_cors(self, cors: Cors) -> Self {
        self.set_cors(cors);
        self
    }

    /// Replaces the pages that may call.
    pub fn set_cors(&self, cors: Cors) {
        *self.cors.write() = Arc::new(cors);
    }

    /// Replaces the token for metrics.
    pub fn set_scrape_token(&self, token: Option<ScrapeToken>) {
        *self.scrape.write() = token;
    }

    /// Whether a request has the token for metrics. One without any may have a signature; a wrong one is refused.
    pub(crate) fn admits_scraper(&self, parts: &Parts) -> Result<bool, ApiError> {
        let token = self.scrape.read();
        let Some(token) = &*token else { return Ok(false) };
        let given = parts.headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
        match given.and_then(scrape::bearer) {
            Some(given) if token.is(given) => Ok(true),
            None if !self.token_only => Ok(false),
            _ => Err(ApiError::forbidden(
                "Metrics are read with the header \"Authorization: Bearer\" and the token in [metrics] of the \
                 configuration.",
            )),
        }
    }

    /// Which pages in a browser may call.
    pub(crate) fn cors(&self) -> Arc<Cors> {
        Arc::clone(&self.cors.read())
    }

    /// Whether everybody may do everything.
    pub fn is_open(&self) -> bool {
        self.ring.read().is_empty()
    }

    /// Replaces the keys for every request that comes after. Rates start again. Streams of keys that are gone, or may do
    /// less than before, end; and so do those of everybody when the first keys come.
    pub fn reload(&self, mut ring: KeyRing) -> Result<(), NoKeys> {
        let mut current = self.ring.write();
        if ring.is_empty() && !current.is_empty() {
            return Err(NoKeys);
        }
        let ended = ring.succeed(&current);
        let opened = current.is_empty() && !ring.is_empty();
        *current = Arc::new(ring);
        drop(current);
        for revoked in ended {
            revoked.cancel();
        }
        if opened {
            self.anybody.cancel();
        }
        Ok(())
    }

    /// Refuses browsers while the gate stands open: by an `Origin` that is not configured, and by names that are not the loopback's
    /// (a public name that resolves to 127.0.0.1) if the connection came in there.
    pub(crate) fn admit_browserless(&self, parts: &Parts, local: IpAddr) -> Result<(), ApiError> {
        if !self.is_open() {
            return Ok(());
        }
        if parts.headers.get(header::ORIGIN).is_some_and(|origin| !self.cors().admits(origin)) {
            return Err(ApiError::forbidden(
                "This server has no keys configured and answers to pages in a browser only from the origins in \
                 [http] cors_origins.",
            ));
        }
        // Without the header (HTTP/1.0) it is no browser.
        let is_strange = |host: &HeaderValue| !host.to_str().is_ok_and(is_local_name);
        if local.is_loopback() && parts.headers.get(header::HOST).is_some_and(is_strange) {
            return Err(ApiError::forbidden(
                "This server has no keys configured and answers to localhost or an IP address only. Use one of them in \
                 the endpoint URL, or configure keys.",
            ));
        }
        Ok(())
    }

    /// Checks all that can be checked before the body is read. `Ok(None)`: the gate stands open.
    /// `unhashed_allowed`: the route streams its body, and no one can change it on its way (TLS or loopback).
    pub(crate) fn claim(&self, parts: &Parts, unhashed_allowed: bool) -> Result<Option<Claim>, AuthError> {
        let ring = Arc::clone(&self.ring.read());
        if ring.is_empty() {
            return Ok(None);
        }
        let presented = Presented::read(parts)?;
        presented.check(&self.region, SERVICE, self.clock.unix_seconds())?;
        if presented.payload() == PayloadHash::Unsigned && !unhashed_allowed {
            return Err(AuthError::UnsignedPayload);
        }
        let (key, known) = ring.find(presented.key_id());
        Ok(Some(Claim { presented, key, known }))
    }

    /// Who calls when the gate stands open.
    pub(crate) fn anybody(&self) -> Principal {
        Principal::anybody().until(self.anybody.clone())
    }
}

impl Claim {
    /// The hash that the body was said to have, if it was said.
    pub(crate) fn payload(&self) -> PayloadHash {
        self.presented.payload()
    }

    /// Checks the signature over the head and the given hash of the body.
    pub(crate) fn verify(&self, parts: &Parts, body: PayloadHash) -> Result<Principal, AuthError> {
        let judged = self.presented.verify(parts, self.key.secret(), body);
        match judged {
            Ok(()) if self.known => Ok(self.key.principal()),
            Ok(()) | Err(AuthError::Mismatch { .. }) => Err(AuthError::Mismatch { known_key: self.known }),
            Err(error) => Err(error),
        }
    }

    /// Takes one request from the key's rate.
    pub(crate) fn take(&self) -> Result<(), ApiError> {
        self.key.take(Instant::now()).map_err(|wait| {
            ApiError::too_many_requests("This key has used up its rate. Send the request again later.", wait)
        })
    }
}

/// `localhost` or an address, with or without a port.
fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let lower = name.trim_end_matches('.').to_ascii_lowercase();
    lower == "localhost" || lower.ends_with(".localhost") || name.parse::<IpAddr>().is_ok()
}
