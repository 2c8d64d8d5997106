//! What an operation is given.

use std::{net::SocketAddr, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::{BodyStream, Purse, Query, Route, Share};
use crate::{ApiError, access::Principal, request_id::RequestId};

/// The body, as the route asked for it.
#[derive(Debug)]
pub(super) enum RequestBody {
    /// With what it holds of the budget.
    Whole(Bytes, #[expect(dead_code, reason = "held as long as the bytes")] Option<Share>),
    Stream(BodyStream),
    Taken,
}

/// A request that was routed, checked and, unless the route streams, read whole.
#[derive(Debug)]
pub struct Request {
    pub(super) id: RequestId,
    pub(super) method: Method,
    pub(super) route: Route,
    pub(super) params: Vec<(String, String)>,
    pub(super) query: Query,
    pub(super) headers: HeaderMap,
    pub(super) body: RequestBody,
    pub(super) purse: Purse,
    pub(super) principal: Principal,
    pub(super) peer: SocketAddr,
    pub(super) received: Instant,
    pub(super) shutdown: CancellationToken,
}

impl Request {
    /// Its id.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// Its method; HEAD may come to a route for GET.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The route it came by.
    pub fn route(&self) -> Route {
        self.route
    }

    /// A parameter of the route's pattern, decoded; `{application-id}` is named `application-id`. Empty for a name
    /// that the pattern does not have. Never empty for one that it has.
    pub fn param(&self, name: &str) -> &str {
        let found = self.params.iter().find(|(given, _)| given == name);
        debug_assert!(found.is_some(), "the route has no parameter {name}");
        found.map_or("", |(_, value)| value)
    }

    /// The decoded query.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// The headers as they came.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// A header's text, if it is there once and is visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        if values.next().is_some() { None } else { value.to_str().ok() }
    }

    /// Who asks, and what they may do. Operations ask it before they look anything up.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Where what the answer holds is taken from.
    pub fn purse(&self) -> &Purse {
        &self.purse
    }

    /// Where the connection came from.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// When its head was complete.
    pub fn received(&self) -> Instant {
        self.received
    }

    /// Cancelled when the server begins to stop: streams without an end (events) end then.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    /// The whole body; empty on a route that streams it.
    pub fn bytes(&self) -> &Bytes {
        static EMPTY: Bytes = Bytes::new();
        match &self.body {
            RequestBody::Whole(bytes, _) => bytes,
            _ => &EMPTY,
        }
    }

    /// The body of a route that streams it; once.
    pub fn take_stream(&mut self) -> Option<BodyStream> {
        match std::mem::replace(&mut self.body, RequestBody::Taken) {
            RequestBody::Stream(stream) => Some(stream),
            other => {
                self.body = other;
                None
            }
        }
    }

    /// The body as JSON. The service's clients send the members bare, never wrapped.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        if self.bytes().is_empty() {
            return Err(ApiError::bad_request("The request has no body; a JSON object is expected."));
        }
        serde_json::from_slice(self.bytes()).map_err(|error| {
            // The parser's text quotes what it read.
            let text: String = error.to_string().chars().take(256).collect();
            // Read again to learn which member it is about: what is right needs no path.
            let again = &mut serde_json::Deserializer::from_slice(self.bytes());
            let at = match serde_path_to_error::deserialize::<_, T>(again) {
                Err(error) if error.path().iter().len() > 0 => {
                    let path: String = error.path().to_string().chars().take(256).collect();
                    format!("{path}: ")
                }
                _ => String::new(),
            };
            let text = format!("{at}{text}");
            let text = pinport_model::escape_controls(&text);
            ApiError::bad_request(format!("The body is not the JSON this operation reads: {text}."))
        })
    }
}
