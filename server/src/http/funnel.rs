//! The one way every request takes, and the one place that writes answers: id, route, access, body, call,
//! form, log line, metrics.
//!
//! A request is handled in a task of its own: if its client goes away, the operation still ends as it would have,
//! and is logged. Nothing else in the server may decide what an error looks like.

use std::{
    any::Any,
    future::Future,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pinport_model::panic_text;
use tokio_util::sync::CancellationToken;

use super::{
    BodyMode, BoxError, Gate, Holder, Memory, Request, RequestId, Response, Server,
    body::{BodyStream, read_whole},
    guard::{Exchange, HeadNote},
    query::Query,
    request::RequestBody,
    response::{Payload, render},
    router::{Call, Matched},
};
use crate::{
    ApiError, ErrorStatus,
    access::{
        Principal,
        sigv4::{AuthError, PayloadHash},
    },
    limits::FREE_BYTES,
    log::RequestLine,
};

/// What is known of a connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) server: Arc<Server>,
    pub(super) exchange: Arc<Exchange>,
    pub(super) address: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) tls: bool,
    /// Whether probes alone are answered on it.
    pub(super) spare: bool,
    pub(super) memory: Memory,
    pub(super) shutdown: CancellationToken,
}

/// Handles one request to its answer. Never fails: whatever happens is an answer.
pub(super) async fn handle(
    peer: Arc<Peer>,
    note: Option<HeadNote>,
    request: http::Request<Incoming>,
) -> http::Response<Answer> {
    let id = RequestId::generate();
    let started = note.as_ref().map_or_else(Instant::now, |note| note.at);
    let refused = match &note {
        Some(HeadNote { refused, .. }) => *refused,
        // hyper and the guard disagree about where a request begins.
        None => Some((ErrorStatus::BadRequest, "The request is ambiguous.")),
    };
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut line = RequestLine::new(id, peer.address);
    let mut unread = false;
    let outcome = match refused {
        Some((status, reason)) => {
            unread = true;
            Err(ApiError::new(status, reason))
        }
        None => {
            line.method = request.method().clone();
            let work = process(&peer, id, started, request, &mut line, &mut unread);
            caught(work).await.unwrap_or_else(|panic| {
                Err(ApiError::internal(format!("the operation panicked: {}", panic_text(&*panic))))
            })
        }
    };
    line.error = outcome.as_ref().err().map(|error| (error.status().type_name(), error.to_string()));
    line.cause = outcome.as_ref().err().and_then(ApiError::cause);
    let mut response = render(outcome, id);
    if unread || peer.spare {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    peer.server.access.cors().mark(origin.as_ref(), response.headers_mut());
    line.status = response.status();
    peer.server.metrics.request(line.route, line.status, started.elapsed());
    response.map(|payload| Answer { payload, ending: Ending { peer, line, started, bytes: 0, whole: false } })
}

async fn process(
    peer: &Peer,
    id: RequestId,
    started: Instant,
    request: http::Request<Incoming>,
    line: &mut RequestLine,
    unread: &mut bool,
) -> Result<Response, ApiError> {
    let server = &peer.server;
    let (parts, body) = request.into_parts();
    // Until the body is read or handed over.
    *unread = !body.is_end_stream();
    if let Some(headers) = server.access.cors().preflight(&parts) {
        let answer = Response::empty(StatusCode::OK);
        return Ok(headers.into_iter().fold(answer, |answer, (name, value)| answer.with_header(name, value)));
    }
    let call = match server.router.find(&parts.method, parts.uri.path())? {
        Matched::Operation(call) => call,
        Matched::Options(allow) => return options(&allow),
    };
    line.route = call.route.name;
    line.pattern = call.route.pattern;
    if peer.spare && call.route.gate != Gate::Public {
        return Err(ApiError::unavailable(
            "This client, or all together, have as many connections as they may ([http] connections, \
             connections_per_peer). Close some, or try again.",
            Duration::from_secs(1),
        ));
    }
    let (principal, body) = admit(peer, &call, &parts, body).await?;
    *unread = false;
    line.key_id = principal.key_id().map(str::to_owned);
    let purse = peer.memory.purse(holder(&principal, peer.address));
    let request = Request {
        id,
        route: call.route,
        params: call.params,
        query: Query::parse(parts.uri.query().unwrap_or(""))?,
        method: parts.method,
        headers: parts.headers,
        body,
        purse: purse.clone(),
        principal,
        peer: peer.address,
        received: started,
        shutdown: peer.shutdown.clone(),
    };
    let revoked = request.principal.revoked().clone();
    let share = match call.route.memory {
        0 => None,
        bytes => Some(purse.take(bytes).await?),
    };
    let response = (call.operation)(request).await?.until(&revoked);
    match share {
        Some(share) => Ok(response.charged(share)),
        None if response.held() > FREE_BYTES => {
            let share = purse.take(response.held()).await?;
            Ok(response.charged(share))
        }
        None => Ok(response),
    }
}

/// Finds out who asks, and reads the body as the route wants it. What can be refused without the body is.
async fn admit(
    peer: &Peer,
    call: &Call,
    parts: &Parts,
    incoming: Incoming,
) -> Result<(Principal, RequestBody), ApiError> {
    let server = &peer.server;
    let streams = call.route.body == BodyMode::Stream;
    let claim = match call.route.gate {
        Gate::Public => None,
        Gate::Scraped
            if server.access.admits_scraper(parts).map_err(|error| not_scraped(server, error))? =>
        {
            None
        }
        Gate::Signed | Gate::Scraped => {
            server.access.admit_browserless(parts, peer.local.ip())?;
            let private = peer.tls || peer.address.ip().to_canonical().is_loopback();
            let claim = server.access.claim(parts, streams && private);
            claim.map_err(|error| refused(server, error))?
        }
    };
    let limits = &server.limits;
    let limit = match call.route.body {
        BodyMode::Whole => limits.body_bytes,
        BodyMode::WholeUpTo(limit) => limit.max(limits.body_bytes),
        BodyMode::Stream => {
            let said = claim.as_ref().map(|claim| claim.payload());
            let principal = match &claim {
                None => server.access.anybody(),
                Some(claim) => {
                    claim.verify(parts, claim.payload()).map_err(|error| refused(server, error))?
                }
            };
            take(server, claim.as_ref())?;
            let hash = match said {
                Some(PayloadHash::Sha256(hash)) => Some(hash),
                _ => None,
            };
            return Ok((principal, RequestBody::Stream(BodyStream::new(incoming, hash, limits))));
        }
    };
    // Whose body it is shows when it is whole.
    let purse = peer.memory.purse(Holder::at(peer.address.ip()));
    let (body, share) = read_whole(incoming, limit, limits.body, &purse).await?;
    let principal = match &claim {
        None => server.access.anybody(),
        Some(claim) => claim.verify(parts, PayloadHash::of(&body)).map_err(|error| refused(server, error))?,
    };
    take(server, claim.as_ref())?;
    Ok((principal, RequestBody::Whole(body, share)))
}

/// Who holds what an answer takes.
fn holder(principal: &Principal, address: SocketAddr) -> Holder {
    match principal.key_id() {
        Some(key) => Holder::Key(key.into()),
        None => Holder::at(address.ip()),
    }
}

fn take(server: &Server, claim: Option<&crate::access::Claim>) -> Result<(), ApiError> {
    claim.map_or(Ok(()), |claim| claim.take()).inspect_err(|_| server.metrics.rate_limited())
}

fn refused(server: &Server, error: AuthError) -> ApiError {
    server.metrics.auth_failure(error.reason());
    ApiError::forbidden(error.to_string()).because(error.reason())
}

fn not_scraped(server: &Server, error: ApiError) -> ApiError {
    server.metrics.auth_failure("token");
    error
}

fn options(allow: &str) -> Result<Response, ApiError> {
    let allow = HeaderValue::try_from(allow).map_err(ApiError::internal)?;
    Ok(Response::empty(StatusCode::OK).with_header(header::ALLOW, allow))
}

/// Awaits a future and turns its panic into a value: it fails one request and nothing else.
async fn caught<F: Future>(future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// The body that hyper sends. Its end, or its being dropped, is the end of the request.
pub(super) struct Answer {
    payload: Payload,
    ending: Ending,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let next = ready!(this.payload.poll_next(cx));
        match &next {
            Some(Ok(bytes)) => {
                this.ending.bytes += bytes.len() as u64;
                this.ending.whole = this.payload.is_over();
            }
            Some(Err(error)) => this.ending.line.cause = Some(format!("the answer broke off: {error}")),
            None => this.ending.whole = true,
        }
        Poll::Ready(next.map(|next| next.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.payload.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.payload {
            Payload::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Payload::Stream(_) => SizeHint::default(),
        }
    }
}

/// Writes the log line when the answer has ended one way or the other.
struct Ending {
    peer: Arc<Peer>,
    line: RequestLine,
    started: Instant,
    bytes: u64,
    whole: bool,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let no_body = self.line.method == Method::HEAD || self.line.status == StatusCode::NO_CONTENT;
        self.peer.exchange.answered();
        self.line.write(self.bytes, self.started.elapsed(), self.whole || no_body);
    }
}
