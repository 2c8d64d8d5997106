//! A client of a server's API, for every command that has `--server`: over HTTP or TLS, signed when the server
//! asks for it. Errors are sentences for an operator.

mod calls;
mod error;
mod events;
mod sign;
pub(crate) mod tls;
mod upload;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use pinport_model::view::Sample;
use reqwest::{Method, RequestBuilder, Response, Url, header::CONTENT_TYPE};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

pub(crate) use self::{
    calls::{FailureSearch, encoded, not_there},
    error::ClientError,
    sign::Payload,
    upload::Sent,
};
use self::{events::Events, sign::Signer};
use crate::{cli::ServerArgs, exit::Usage};

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a connection may be silent; the event stream says something every 10 seconds.
const SILENCE: Duration = Duration::from_secs(30);
/// An answer that is read whole may have this size.
const MAX_ANSWER: usize = 64 << 20;
/// How an answer of a pinport server is known when it refuses.
const ERROR_TYPE: &str = "x-amzn-errortype";

/// A server.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    server: String,
    signer: Arc<Signer>,
    args: ServerArgs,
}

impl Client {
    /// Connects to nothing yet.
    pub(crate) fn new(args: &ServerArgs) -> anyhow::Result<Self> {
        Self::with_silence(args, Some(SILENCE))
    }

    /// The same client for a request whose answer may take as long as its body.
    fn patient(&self) -> anyhow::Result<Self> {
        let patient = Self::with_silence(&self.args, None)?;
        Ok(Self { signer: Arc::clone(&self.signer), ..patient })
    }

    fn with_silence(args: &ServerArgs, silence: Option<Duration>) -> anyhow::Result<Self> {
        let server = &args.server;
        let wrong = |why: &str| Usage(format!("--server {server}: {why}, as in http://127.0.0.1:7465"));
        let url: Url = server.parse().map_err(|error| wrong(&format!("it is no URL ({error})")))?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(wrong("only http:// and https:// are spoken").into());
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err(wrong("it must be an address only").into());
        }
        // Fails when somebody installed one before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .user_agent(concat!("pinport/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .no_proxy();
        if let Some(silence) = silence {
            builder = builder.read_timeout(silence);
        }
        match &args.ca {
            Some(file) => builder = builder.tls_backend_preconfigured(tls::only(file)?),
            None if url.scheme() == "http" => builder = builder.tls_backend_preconfigured(tls::none()),
            None => {}
        }
        let http = builder.build().context(
            "failed to make an HTTPS client (has the machine root certificates? Install ca-certificates, or name \
             the ones to trust with --ca FILE)",
        )?;
        let server = server.trim_end_matches('/').to_owned();
        Ok(Self { http, server, signer: Arc::default(), args: args.clone() })
    }

    /// Whether the server asked for signatures.
    fn signs(&self) -> bool {
        self.signer.is_on()
    }

    /// The server as it was named.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// What a broken connection is to an operator.
    pub(crate) fn broken(&self, error: &reqwest::Error) -> ClientError {
        let server = self.server.clone();
        let error = error as &dyn std::error::Error;
        let mut reason = String::new();
        for cause in std::iter::successors(Some(error), |error| error.source()) {
            // The last cause says what happened; the others repeat the URL.
            reason = cause.to_string();
            if let Some(error) = tls_error(cause) {
                return ClientError::Untrusted { server, reason: error.to_string() };
            }
        }
        ClientError::Unreachable { server, reason }
    }

    /// Sends a request; the answer is a success whose body has not been read.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Response, ClientError> {
        let body = body.map(|body| body.to_string());
        loop {
            let signed = self.signer.is_on();
            let content_type = body.is_some().then_some("application/json");
            let payload = Payload::Bytes(body.as_deref().unwrap_or("").as_bytes());
            let mut request = self.request(method.clone(), path, content_type, payload)?;
            if let Some(body) = &body {
                request = request.body(body.clone());
            }
            let response = request.send().await.map_err(|error| self.broken(&error))?;
            match self.judge(response).await {
                Err(ClientError::Refused { status: 401 | 403, .. }) if !signed => {
                    self.signer.turn_on().map_err(|reason| {
                        let server = self.server.clone();
                        ClientError::NoKeys { server, reason }
                    })?;
                }
                judged => return judged,
            }
        }
    }

    /// A request, signed if the server asked for that.
    fn request(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&'static str>,
        payload: Payload<'_>,
    ) -> Result<RequestBuilder, ClientError> {
        let url = format!("{}{path}", self.server);
        let mut request = self.http.request(method.clone(), &url);
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        if self.signer.is_on() {
            let headers = self.signer.sign(method.as_str(), &url, content_type, payload);
            let headers =
                headers.map_err(|reason| ClientError::NoKeys { server: self.server.clone(), reason })?;
            request = request.headers(headers.into_iter().collect());
        }
        Ok(request)
    }

    /// A success, or why it is none.
    async fn judge(&self, response: Response) -> Result<Response, ClientError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        #[derive(Deserialize)]
        struct Refusal {
            #[serde(rename = "Message")]
            message: String,
        }
        let ours = response.headers().contains_key(ERROR_TYPE);
        let body = self.answer(response).await?;
        match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) if ours => {
                Err(ClientError::Refused { status: status.as_u16(), message: refusal.message })
            }
            _ => Err(ClientError::Strange { what: format!("{status}, without a reason in its form") }),
        }
    }

    /// A body of at most `most` bytes; nothing if it is longer.
    pub(crate) async fn whole(
        &self,
        mut response: Response,
        most: usize,
    ) -> Result<Option<Vec<u8>>, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error))? {
            if body.len() + chunk.len() > most {
                return Ok(None);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Some(body))
    }

    /// The body of an answer.
    async fn answer(&self, response: Response) -> Result<Vec<u8>, ClientError> {
        let body = self.whole(response, MAX_ANSWER).await?;
        body.ok_or_else(|| ClientError::Strange { what: "it is too long".into() })
    }

    /// Sends a request and reads the answer.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<T, ClientError> {
        let response = self.send(method, path, body).await?;
        self.read(response).await
    }

    /// Reads an answer whole.
    pub(crate) async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T, ClientError> {
        let body = self.answer(response).await?;
        serde_json::from_slice(&body).map_err(|error| ClientError::Strange { what: error.to_string() })
    }

    /// The stream of samples; the first comes at once.
    pub(crate) async fn samples(&self) -> Result<Samples, ClientError> {
        let response = self.send(Method::GET, "/pinport/v1/events", None).await?;
        Ok(Samples { client: self.clone(), response, events: Events::default() })
    }
}

/// Samples as they arrive.
pub(crate) struct Samples {
    client: Client,
    response: Response,
    events: Events,
}

impl Samples {
    /// The next sample; the end of the stream is an error, for a server ends it only when it stops.
    pub(crate) async fn next(&mut self) -> Result<Box<Sample>, ClientError> {
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

/// The cause of TLS in an error, which may be wrapped in errors of input and output, whose sources leave it out.
fn tls_error<'a>(cause: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(error) = cause.downcast_ref() {
        return Some(error);
    }
    tls_error(cause.downcast_ref::<std::io::Error>()?.get_ref()?)
}
