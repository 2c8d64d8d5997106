//! What the server counts, for Prometheus. Labels come from small fixed sets: operations, statuses, reasons;
//! never from a request. Other parts of the program add theirs with [`Metrics::register`].

mod form;
mod process;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64},
    },
    time::Duration,
};

use http::StatusCode;
use parking_lot::Mutex;
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

pub use self::form::Form;
use self::process::Process;

/// Up to 10 s: GetEndpoint answers in microseconds, a create that looks at the data takes up to 3 s.
const LATENCY_SECONDS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 3.0, 10.0];

/// The mark at the end of OpenMetrics.
const END: &str = "# EOF\n";

type Label = [(&'static str, &'static str); 1];
type Latency = Family<Label, Histogram, fn() -> Histogram>;

/// The registry, and the HTTP front's own metrics.
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Those by the names that every program has them under.
    usual: Mutex<Registry>,
    /// Those by the names that users of the service know. They have capitals, which Prometheus' linter refuses, so its
    /// text does not have them.
    familiar: Mutex<Registry>,
    requests: Family<Vec<(&'static str, String)>, Counter>,
    latency: Latency,
    connections: Gauge<i64, AtomicI64>,
    rate_limited: Counter<u64, AtomicU64>,
    auth_failures: Family<Label, Counter>,
    accept_errors: Counter<u64, AtomicU64>,
    events: Counter<u64, AtomicU64>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// A registry with the front's metrics; all names begin with `pinport_`.
    pub fn new(version: &'static str) -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("pinport")),
            usual: Mutex::default(),
            familiar: Mutex::default(),
            requests: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCY_SECONDS)),
            connections: Gauge::default(),
            rate_limited: Counter::default(),
            auth_failures: Family::default(),
            accept_errors: Counter::default(),
            events: Counter::default(),
        };
        metrics.register(|registry| {
            registry.register("build", "The running build", Info::new(vec![("version", version)]));
            registry.register(
                "http_requests",
                "Requests answered, by operation and status",
                metrics.requests.clone(),
            );
            registry.register(
                "http_request_seconds",
                "Time from a whole head to the answer's head, by operation",
                metrics.latency.clone(),
            );
            registry.register("http_connections", "Connections open", metrics.connections.clone());
            registry.register(
                "http_rate_limited",
                "Requests refused because a key was over its rate",
                metrics.rate_limited.clone(),
            );
            registry.register(
                "http_auth_failures",
                "Requests whose authorisation was refused, by reason",
                metrics.auth_failures.clone(),
            );
            registry.register(
                "http_accept_errors",
                "Failed attempts to accept a connection",
                metrics.accept_errors.clone(),
            );
            registry.register(
                "events",
                "Events that PutEvents brought; they are dropped",
                metrics.events.clone(),
            );
        });
        metrics.usual.lock().register_collector(Box::new(Process::new()));
        metrics
    }

    /// Adds metrics.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.lock());
    }

    /// Adds metrics that are called as the service calls them.
    pub(crate) fn register_familiar(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.familiar.lock());
    }

    /// All metrics as OpenMetrics.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        self.encode_as(Form::OpenMetrics)
    }

    /// All metrics in one of the forms.
    pub fn encode_as(&self, form: Form) -> Result<String, fmt::Error> {
        let mut text = String::new();
        let mut add = |registry: &Mutex<Registry>| {
            encode(&mut text, &registry.lock())?;
            // Each registry marks its end; there is one.
            let len = text.strip_suffix(END).map_or(text.len(), str::len);
            text.truncate(len);
            Ok(())
        };
        add(&self.registry)?;
        add(&self.usual)?;
        match form {
            Form::Text => Ok(form::to_text(&text)),
            Form::OpenMetrics => {
                add(&self.familiar)?;
                text.push_str(END);
                Ok(text)
            }
        }
    }

    pub(crate) fn request(&self, operation: &'static str, status: StatusCode, took: Duration) {
        let labels = vec![("operation", operation.to_owned()), ("status", status.as_str().to_owned())];
        self.requests.get_or_create(&labels).inc();
        self.latency.get_or_create(&[("operation", operation)]).observe(took.as_secs_f64());
    }

    pub(crate) fn auth_failure(&self, reason: &'static str) {
        self.auth_failures.get_or_create(&[("reason", reason)]).inc();
    }

    pub(crate) fn rate_limited(&self) {
        self.rate_limited.inc();
    }

    pub(crate) fn accept_error(&self) {
        self.accept_errors.inc();
    }

    /// Counts events of applications, which are dropped.
    pub(crate) fn count_events(&self, events: u64) {
        self.events.inc_by(events);
    }

    /// Counts a connection for as long as the value lives.
    pub(crate) fn connection(self: &Arc<Self>) -> impl Drop + Send + use<> {
        self.connections.inc();
        Open(Arc::clone(self))
    }
}

struct Open(Arc<Metrics>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_what_was_counted() {
        let metrics = Arc::new(Metrics::new("1.2.3"));
        metrics.request("GetApp", StatusCode::OK, Duration::from_millis(2));
        metrics.request("GetApp", StatusCode::OK, Duration::from_millis(2));
        metrics.auth_failure("stale");
        let open = metrics.connection();
        let text = metrics.encode().unwrap();
        for line in [
            "pinport_build_info{version=\"1.2.3\"} 1",
            "pinport_http_requests_total{operation=\"GetApp\",status=\"200\"} 2",
            "pinport_http_request_seconds_bucket{le=\"0.0025\",operation=\"GetApp\"} 2",
            "pinport_http_auth_failures_total{reason=\"stale\"} 1",
            "pinport_http_connections 1",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
            assert!(metrics.encode_as(Form::Text).unwrap().contains(line), "{line}");
        }
        assert!(text.ends_with(END) && text.matches(END).count() == 1, "{text}");
        drop(open);
        assert!(metrics.encode().unwrap().contains("pinport_http_connections 0"));
    }
}
