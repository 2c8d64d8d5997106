//! Sends what the server counts, and a trace of each ended job, to a collector of OpenTelemetry: OTLP over HTTP, in JSON.
//!
//! Off unless an endpoint is named. Nothing waits for the collector: what it does not take is kept up to a bound, then
//! dropped and counted. `encode` knows the form, `openmetrics` reads the metrics that are there.

mod encode;
mod openmetrics;

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use parking_lot::Mutex;
use pinport_model::{Timestamp, view::JobView};
use pinport_server::{access::Secret, metrics::Metrics};
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use serde_json::Value;
use tokio::{sync::Notify, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use self::encode::Resource;

/// Jobs whose traces wait for the collector: beyond them the oldest is dropped.
const MOST: usize = 1024;
/// Traces in one request.
const AT_ONCE: usize = 64;
/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the end of the server waits for what is left to be sent.
const FAREWELL: Duration = Duration::from_secs(3);
/// How often metrics are sent, and what was not taken is tried again.
const INTERVAL: Duration = Duration::from_secs(60);

/// Where to, and how often.
#[derive(Debug, Clone, Default)]
pub(crate) struct OtlpConfig {
    /// The collector's address, without `/v1/traces`; off without one.
    pub(crate) endpoint: Option<String>,
    /// Sent with each request.
    pub(crate) headers: BTreeMap<String, Secret>,
    /// How often metrics are sent.
    pub(crate) interval: Option<Duration>,
    /// What the server is called.
    pub(crate) service: Option<String>,
    /// The certificates to trust, in PEM; the system's if absent.
    pub(crate) ca: Option<PathBuf>,
}

impl OtlpConfig {
    /// Takes from OpenTelemetry's own variables what is not said otherwise.
    pub(crate) fn or_environment(mut self, get: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| get(name).filter(|text| !text.trim().is_empty());
        if get("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            return Self::default();
        }
        self.endpoint = self.endpoint.or_else(|| get("OTEL_EXPORTER_OTLP_ENDPOINT"));
        self.service = self.service.or_else(|| get("OTEL_SERVICE_NAME"));
        let milliseconds = || get("OTEL_METRIC_EXPORT_INTERVAL")?.trim().parse().ok();
        self.interval = self.interval.or_else(|| milliseconds().map(Duration::from_millis));
        if let Some(headers) = get("OTEL_EXPORTER_OTLP_HEADERS").filter(|_| self.headers.is_empty()) {
            let decoded = |text: &str| {
                percent_encoding::percent_decode_str(text.trim()).decode_utf8_lossy().into_owned()
            };
            let pairs = headers.split(',').filter_map(|pair| pair.split_once('='));
            self.headers = pairs.map(|(name, value)| (decoded(name), Secret::new(decoded(value)))).collect();
        }
        self
    }

    /// Why this cannot be used, if so.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        let Some(endpoint) = &self.endpoint else { return Ok(()) };
        let shown = pinport_model::escape_controls(endpoint);
        let url: reqwest::Url =
            endpoint.parse().map_err(|error| ("endpoint", format!("\"{shown}\" is no URL ({error})")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(("endpoint", format!("\"{shown}\" must begin with http:// or https://")));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(("endpoint", "a URL with a password would be in logs: use headers".into()));
        }
        if self.interval.is_some_and(|interval| interval < Duration::from_millis(100)) {
            return Err(("interval", "it is too short: at least 100 ms are expected".into()));
        }
        for (name, value) in &self.headers {
            let valid = reqwest::header::HeaderName::try_from(name).is_ok()
                && reqwest::header::HeaderValue::try_from(value.expose()).is_ok();
            if !valid {
                let name = pinport_model::escape_controls(name);
                return Err(("headers", format!("\"{name}\" or its value is no header")));
            }
        }
        Ok(())
    }
}

/// What happened to what was to be sent.
#[derive(Debug, Default)]
struct Counts {
    sent: Counter<u64, AtomicU64>,
    failed: Counter<u64, AtomicU64>,
    dropped: Counter<u64, AtomicU64>,
}

impl Counts {
    fn register(&self, registry: &mut Registry) {
        registry.register("otlp_requests", "Requests that the collector took", self.sent.clone());
        registry.register("otlp_failures", "Requests that the collector did not take", self.failed.clone());
        let help = "Traces of jobs that were dropped because the collector took none";
        registry.register("otlp_dropped_traces", help, self.dropped.clone());
    }
}

/// What ended jobs leave to be sent. Clones share it; without an endpoint it keeps nothing.
#[derive(Clone)]
pub(crate) struct Traces(Option<Arc<Queue>>);

struct Queue {
    jobs: Mutex<VecDeque<JobView>>,
    more: Notify,
    counts: Counts,
}

impl Traces {
    /// A queue, if there is a collector.
    pub(crate) fn new(config: &OtlpConfig) -> Self {
        let queue =
            || Arc::new(Queue { jobs: Mutex::default(), more: Notify::new(), counts: Counts::default() });
        Self(config.endpoint.is_some().then(queue))
    }

    /// Notes a job that has ended. It does not wait.
    pub(crate) fn ended(&self, job: &JobView) {
        let Some(queue) = &self.0 else { return };
        let mut jobs = queue.jobs.lock();
        jobs.push_back(job.clone());
        queue.bound(&mut jobs);
        queue.more.notify_one();
    }
}

impl Queue {
    fn bound(&self, jobs: &mut VecDeque<JobView>) {
        let over = jobs.len().saturating_sub(MOST);
        jobs.drain(..over);
        self.counts.dropped.inc_by(over as u64);
    }
}

/// The task that sends.
pub(crate) struct Otlp {
    task: JoinHandle<()>,
    end: CancellationToken,
}

impl Otlp {
    /// Begins to send, if there is a collector.
    pub(crate) fn start(
        config: &OtlpConfig,
        traces: &Traces,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Option<Self>> {
        let (Some(endpoint), Some(queue)) = (&config.endpoint, &traces.0) else { return Ok(None) };
        metrics.register(|registry| queue.counts.register(registry));
        let base = endpoint.trim_end_matches('/');
        if base.ends_with(":4317") {
            tracing::warn!(target: "pinport::otlp", endpoint = base, "4317 is where collectors speak gRPC; this is OTLP over HTTP, which is usually at 4318");
        }
        let sender = Sender {
            traces: format!("{base}/v1/traces"),
            metrics: format!("{base}/v1/metrics"),
            client: client(config)?,
            headers: config.headers.clone(),
            resource: Resource::new(config.service.as_deref()),
            registry: metrics,
            queue: Arc::clone(queue),
            is_down: false,
        };
        let end = CancellationToken::new();
        let interval = config.interval.unwrap_or(INTERVAL);
        let task = tokio::spawn(sender.run(interval, end.clone()));
        Ok(Some(Self { task, end }))
    }

    /// Sends what is left, and waits for that a little.
    pub(crate) async fn stop(self) {
        self.end.cancel();
        let abort = self.task.abort_handle();
        if timeout(FAREWELL, self.task).await.is_err() {
            abort.abort();
        }
    }
}

struct Sender {
    traces: String,
    metrics: String,
    client: reqwest::Client,
    headers: BTreeMap<String, Secret>,
    resource: Resource,
    registry: Arc<Metrics>,
    queue: Arc<Queue>,
    /// Whether the last request failed: that is said once.
    is_down: bool,
}

impl Sender {
    async fn run(mut self, interval: Duration, end: CancellationToken) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first tick is at once, when nothing was counted yet.
        ticks.tick().await;
        loop {
            let is_end = tokio::select! {
                // While the collector is down, the next tick tries again, not the next job.
                () = self.queue.more.notified(), if !self.is_down => {
                    self.send_traces().await;
                    continue;
                }
                _ = ticks.tick() => false,
                () = end.cancelled() => true,
            };
            self.send_traces().await;
            self.send_metrics().await;
            if is_end {
                return;
            }
        }
    }

    /// Sends the traces that wait, until one request fails.
    async fn send_traces(&mut self) {
        loop {
            let jobs: Vec<_> = {
                let mut waiting = self.queue.jobs.lock();
                let count = waiting.len().min(AT_ONCE);
                waiting.drain(..count).collect()
            };
            if jobs.is_empty() {
                return;
            }
            let body = encode::traces(&self.resource, &jobs);
            if !self.post(&self.traces.clone(), &body).await {
                let mut waiting = self.queue.jobs.lock();
                for job in jobs.into_iter().rev() {
                    waiting.push_front(job);
                }
                self.queue.bound(&mut waiting);
                return;
            }
        }
    }

    async fn send_metrics(&mut self) {
        let Ok(text) = self.registry.encode() else { return };
        let body = encode::metrics(&self.resource, &openmetrics::families(&text), Timestamp::now());
        self.post(&self.metrics.clone(), &body).await;
    }

    /// Whether the collector took it.
    async fn post(&mut self, url: &str, body: &Value) -> bool {
        let mut request = self.client.post(url).header("content-type", "application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value.expose());
        }
        let error = match request.body(body.to_string()).send().await {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the collector answered {}", answer.status().as_u16())),
            Err(error) => Some(pinport_model::with_causes(&error)),
        };
        let counts = &self.queue.counts;
        match error {
            None => {
                counts.sent.inc();
                if std::mem::take(&mut self.is_down) {
                    tracing::info!(target: "pinport::otlp", url, "the collector takes traces and metrics again");
                }
                true
            }
            Some(error) => {
                counts.failed.inc();
                if !std::mem::replace(&mut self.is_down, true) {
                    tracing::warn!(target: "pinport::otlp", url, error, "the collector does not take traces and metrics; this is tried again, and said once");
                }
                false
            }
        }
    }
}

fn client(config: &OtlpConfig) -> anyhow::Result<reqwest::Client> {
    let is_plain = config.endpoint.as_ref().is_none_or(|url| url.starts_with("http://"));
    let failed =
        "failed to make a client for [otlp] (has the machine root certificates? [otlp] ca names others)";
    crate::client::tls::to_others(config.ca.as_deref(), is_plain, PATIENCE, failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> OtlpConfig {
        OtlpConfig::default().or_environment(|name| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn variables_of_opentelemetry_stand_behind_the_file() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20key, x=1");
        let found = environment(&[
            endpoint,
            headers,
            ("OTEL_SERVICE_NAME", "imports"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "5000"),
        ]);
        assert_eq!(found.endpoint.as_deref(), Some("http://collector:4318"));
        assert_eq!(
            (found.service.as_deref(), found.interval),
            (Some("imports"), Some(Duration::from_secs(5)))
        );
        assert_eq!((found.headers["api-key"].expose(), found.headers["x"].expose()), ("a key", "1"));
        assert!(!format!("{found:?}").contains("a key"));
        assert!(environment(&[endpoint, ("OTEL_SDK_DISABLED", "TRUE")]).endpoint.is_none());
        assert!(environment(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).endpoint.is_none());
        let own = OtlpConfig { endpoint: Some("http://own".into()), ..OtlpConfig::default() };
        assert_eq!(
            own.or_environment(|_| Some("http://other".into())).endpoint.as_deref(),
            Some("http://own")
        );
    }

    #[test]
    fn endpoints_and_headers_are_judged() {
        let of = |endpoint: &str| OtlpConfig { endpoint: Some(endpoint.into()), ..OtlpConfig::default() };
        for good in ["http://127.0.0.1:4318", "https://collector.example/otlp/"] {
            assert_eq!(of(good).check(), Ok(()), "{good}");
        }
        for bad in ["collector:4318", "grpc://a", "http://u:p@a/", "http://"] {
            assert_eq!(of(bad).check().unwrap_err().0, "endpoint", "{bad}");
        }
        let headers = [("a".to_owned(), Secret::new("b\nc"))].into();
        let config = OtlpConfig { headers, ..of("http://a") };
        let (member, reason) = config.check().unwrap_err();
        assert!(member == "headers" && !reason.contains('c'), "{reason}");
    }
}
