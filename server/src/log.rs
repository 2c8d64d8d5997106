//! How the server logs: one line per request, and events, as text or as JSON. What is logged of a request is
//! listed in [`RequestLine`]: no header, no query, no body, so no secret can be among it. All text that came
//! from outside is escaped.

use std::{net::SocketAddr, time::Duration};

use http::{Method, StatusCode};
use pinport_model::escape_controls;
use serde::Deserialize;
use tracing::{Subscriber, error, info};
use tracing_subscriber::{
    Layer as _, Registry, filter::Targets, fmt::MakeWriter, layer::SubscriberExt as _, reload,
};

use crate::request_id::RequestId;

/// The form of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For reading.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// What of a log in use can be changed.
#[derive(Debug, Clone)]
pub struct LogHandle(reload::Handle<Targets, Registry>);

impl LogHandle {
    /// Lets another filter decide from now on.
    pub fn set_filter(&self, filter: &str) -> Result<(), BadFilter> {
        let filter = targets(filter)?;
        // It fails when nothing logs any more.
        let _ = self.0.reload(filter);
        Ok(())
    }
}

fn targets(filter: &str) -> Result<Targets, BadFilter> {
    filter.parse().map_err(|_| BadFilter(filter.to_owned()))
}

/// A subscriber in this format, and the means to change its filter, which is a level, or targets with levels: `info`,
/// `info,hyper=debug`.
pub fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    writer: W,
) -> Result<(Box<dyn Subscriber + Send + Sync>, LogHandle), BadFilter>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(targets(filter)?);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let subscriber: Box<dyn Subscriber + Send + Sync> = match format {
        LogFormat::Text => Box::new(Registry::default().with(layer.with_ansi(false).with_filter(filter))),
        LogFormat::Json => {
            let layer = layer.json().flatten_event(true).with_current_span(false).with_span_list(false);
            Box::new(Registry::default().with(layer.with_filter(filter)))
        }
    };
    Ok((subscriber, LogHandle(handle)))
}

/// A filter that does not parse.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a log filter: a level (error, warn, info, debug, trace) or target=level, separated by commas, is expected"
)]
pub struct BadFilter(pub String);

/// Everything that the log says of a request.
#[derive(Debug)]
pub(crate) struct RequestLine {
    id: RequestId,
    peer: SocketAddr,
    pub(crate) method: Method,
    pub(crate) route: &'static str,
    pub(crate) pattern: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) key_id: Option<String>,
    /// The type and the message that the client got.
    pub(crate) error: Option<(&'static str, String)>,
    pub(crate) cause: Option<String>,
}

impl RequestLine {
    pub(crate) fn new(id: RequestId, peer: SocketAddr) -> Self {
        Self {
            id,
            peer,
            method: Method::GET,
            route: "-",
            pattern: "-",
            status: StatusCode::INTERNAL_SERVER_ERROR,
            key_id: None,
            error: None,
            cause: None,
        }
    }

    /// Writes it. `whole`: the answer was taken to its end.
    pub(crate) fn write(&self, bytes: u64, took: Duration, whole: bool) {
        let ms = took.as_micros() as f64 / 1000.0;
        let (kind, message) = match &self.error {
            Some((kind, message)) => (Some(*kind), Some(escape_controls(message))),
            None => (None, None),
        };
        let cause = self.cause.as_deref().map(escape_controls);
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    target: "pinport::request",
                    method = self.method.as_str(),
                    operation = self.route,
                    path = self.pattern,
                    status = self.status.as_u16(),
                    bytes,
                    ms,
                    request_id = %self.id,
                    key_id = self.key_id.as_deref(),
                    peer = %self.peer,
                    error = kind,
                    reason = message.as_deref(),
                    cause = cause.as_deref(),
                    cut_off = (!whole).then_some(true),
                    "request"
                )
            };
        }
        if self.status.is_server_error() { line!(error) } else { line!(info) }
    }
}
