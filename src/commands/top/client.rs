//! A client of the server's API: plain HTTP, no keys. Errors are sentences for an operator.

use std::{fmt, time::Duration};

use anyhow::Context as _;
use pinport_model::view::Sample;
use reqwest::{Method, Response, Url};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::events::Events;
use crate::explain::Usage;

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a connection may be silent; the event stream says something every 10 seconds.
const SILENCE: Duration = Duration::from_secs(30);
/// An answer that is read whole may have this size.
const MAX_ANSWER: usize = 64 << 20;

/// Why the server did not do what it was asked.
#[derive(Debug, Clone)]
pub(crate) enum ClientError {
    /// It was not reached, or the connection broke.
    Unreachable { server: String, reason: String },
    /// It answered with an error.
    Refused { status: u16, message: String },
    /// Its answer was not understood.
    Strange { what: String },
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { server, reason } => {
                write!(f, "the server at {server} cannot be reached: {reason}")
            }
            Self::Refused { status, message } => write!(f, "the server refused ({status}): {message}"),
            Self::Strange { what } => {
                write!(f, "the answer is not one of a pinport server of this version: {what}")
            }
        }
    }
}

impl std::error::Error for ClientError {}

impl ClientError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } => {
                Some("start it with `pinport serve`, or name another one with --server URL")
            }
            Self::Refused { status: 403, .. } => {
                Some("pinport top signs no requests: it watches servers that have no keys")
            }
            Self::Refused { .. } => None,
            Self::Strange { .. } => Some("name a pinport server with --server URL"),
        }
    }
}

/// A server.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    server: String,
}

impl Client {
    /// Connects to nothing yet.
    pub(super) fn new(server: &str) -> anyhow::Result<Self> {
        let wrong = |why: &str| Usage(format!("--server {server}: {why}, as in http://127.0.0.1:7465"));
        let url: Url = server.parse().map_err(|error| wrong(&format!("it is no URL ({error})")))?;
        if url.scheme() != "http" {
            return Err(wrong("only http:// is spoken").into());
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(wrong("it must be an address only").into());
        }
        // reqwest wants a TLS configuration even where none is used; root certificates would be read in vain.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let roots = rustls::RootCertStore::empty();
        let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .user_agent(concat!("pinport/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .build()
            .context("failed to make an HTTP client")?;
        Ok(Self { http, server: server.trim_end_matches('/').to_owned() })
    }

    /// The server as it was named.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    pub(super) fn broken(&self, error: &reqwest::Error) -> ClientError {
        let error = error as &dyn std::error::Error;
        let causes = std::iter::successors(Some(error), |error| error.source());
        // The last cause says what happened; the others repeat the URL.
        let reason = causes.last().map_or_else(String::new, ToString::to_string);
        ClientError::Unreachable { server: self.server.clone(), reason }
    }

    /// Sends a request; the answer is a success whose body has not been read.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Response, ClientError> {
        let mut request = self.http.request(method, format!("{}{path}", self.server));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.map_err(|error| self.broken(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        #[derive(Deserialize)]
        struct Refusal {
            #[serde(rename = "Message")]
            message: String,
        }
        let body = self.whole(response).await?;
        let message = match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) => refusal.message,
            Err(_) => status.canonical_reason().unwrap_or("no reason is given").to_owned(),
        };
        Err(ClientError::Refused { status: status.as_u16(), message })
    }

    async fn whole(&self, mut response: Response) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(ClientError::Strange { what: "it is too long".into() });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Sends a request and reads the answer.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<T, ClientError> {
        let response = self.send(method, path, body).await?;
        let body = self.whole(response).await?;
        serde_json::from_slice(&body).map_err(|error| ClientError::Strange { what: error.to_string() })
    }

    /// The stream of samples; the first comes at once.
    pub(super) async fn samples(&self) -> Result<Samples, ClientError> {
        let response = self.send(Method::GET, "/pinport/v1/events", None).await?;
        Ok(Samples { client: self.clone(), response, events: Events::default() })
    }
}

/// Samples as they arrive.
pub(super) struct Samples {
    client: Client,
    response: Response,
    events: Events,
}

impl Samples {
    /// The next sample; the end of the stream is an error, for a server ends it only when it stops.
    pub(super) async fn next(&mut self) -> Result<Box<Sample>, ClientError> {
        loop {
            if let Some(data) = self.events.next() {
                let sample = serde_json::from_str(&data);
                return sample.map_err(|error| ClientError::Strange { what: error.to_string() });
            }
            match self.response.chunk().await.map_err(|error| self.client.broken(&error))? {
                Some(chunk) => self.events.push(&chunk)?,
                None => {
                    return Err(ClientError::Unreachable {
                        server: self.client.server.clone(),
                        reason: "the server closed the connection".into(),
                    });
                }
            }
        }
    }
}
