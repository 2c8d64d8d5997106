//! OTLP in its JSON form, version 1: traces of jobs, and metrics. Ids are hexadecimal, 64-bit numbers are strings.

use pinport_model::{JobId, JobKind, JobStatus, Timestamp, hex, view::JobView};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::openmetrics::{MetricFamily, Sample};

/// The numbers of OTLP's enumerations.
const INTERNAL: u8 = 1;
const OK: u8 = 1;
const ERROR: u8 = 2;
const CUMULATIVE: u8 = 2;

/// Who sends.
pub(super) struct Resource {
    attributes: Value,
    began: Timestamp,
}

impl Resource {
    pub(super) fn new(service: Option<&str>) -> Self {
        let attributes = json!([
            text("service.name", service.unwrap_or("pinport")),
            text("service.version", env!("CARGO_PKG_VERSION")),
            // Another for each start: counters begin anew with it.
            text("service.instance.id", &JobId::generate().to_string()),
            number("process.pid", std::process::id().into()),
        ]);
        Self { attributes, began: Timestamp::now() }
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn number(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

fn nanoseconds(milliseconds: i64) -> String {
    (i128::from(milliseconds) * 1_000_000).to_string()
}

fn scope() -> Value {
    json!({ "name": "pinport", "version": env!("CARGO_PKG_VERSION") })
}

/// The traces of ended jobs.
pub(super) fn traces(resource: &Resource, jobs: &[JobView]) -> Value {
    let spans: Vec<Value> = jobs.iter().flat_map(spans).collect();
    json!({ "resourceSpans": [{
        "resource": { "attributes": resource.attributes },
        "scopeSpans": [{ "scope": scope(), "spans": spans }],
    }] })
}

/// A part of a job's trace. The id of the trace is that of the job, so that both are found by either.
struct Span<'a> {
    job: JobId,
    name: &'a str,
    parent: Option<&'a str>,
    /// Milliseconds.
    from: i64,
    to: i64,
}

impl Span<'_> {
    fn encode(&self, attributes: &[Value], status: Value) -> Value {
        // The same each time it is sent.
        let id = |name: &str| hex(&Sha256::digest(format!("{}/{name}", self.job))[..8]);
        json!({
            "traceId": hex(self.job.as_bytes()),
            "spanId": id(self.name),
            "parentSpanId": self.parent.map(id).unwrap_or_default(),
            "name": self.name,
            "kind": INTERNAL,
            "startTimeUnixNano": nanoseconds(self.from),
            "endTimeUnixNano": nanoseconds(self.to.max(self.from)),
            "attributes": attributes,
            "status": status,
        })
    }
}

/// The job, below it how long it waited and ran, and below that the stages, which work at the same time: how long each
/// was busy is an attribute, added up over its threads.
fn spans(view: &JobView) -> Vec<Value> {
    let progress = &view.progress;
    let job = view.id;
    let name = match view.kind {
        JobKind::Import => "import",
        JobKind::Export => "export",
    };
    let from = view.created.as_millis();
    let to = view.completed.unwrap_or_else(Timestamp::now).as_millis();
    let ran = i64::try_from(progress.ran_ms()).unwrap_or(i64::MAX).min((to - from).max(0));
    let began = to - ran;
    let status = match (progress.status, &view.error) {
        (JobStatus::Completed, _) => json!({ "code": OK }),
        (JobStatus::Failed, error) => {
            json!({ "code": ERROR, "message": error.as_deref().unwrap_or("it failed") })
        }
        _ => json!({}),
    };
    let mut attributes = vec![
        text("pinport.job.id", &job.to_string()),
        text("pinport.job.status", progress.status.as_str()),
        text("pinport.application", &view.application_name),
        text("pinport.source", &view.source),
        text("pinport.format", view.format.as_str()),
        number("pinport.records.read", progress.parsed),
        number("pinport.records.registered", progress.registered),
        number("pinport.records.failed", progress.failed),
        number("pinport.bytes", progress.bytes),
        number("pinport.pieces", progress.pieces_done),
        number("pinport.objects", progress.objects_done),
    ];
    attributes.extend(view.segment_name.as_deref().map(|segment| text("pinport.segment", segment)));
    let root = Span { job, name, parent: None, from, to };
    let mut spans = vec![root.encode(&attributes, status)];
    if began > from {
        let wait = Span { job, name: "wait", parent: Some(name), from, to: began };
        spans.push(wait.encode(&[], json!({})));
    }
    let run = Span { job, name: "run", parent: Some(name), from: began, to };
    spans.push(run.encode(&[], json!({})));
    let busy = progress.busy_ms;
    let stages = [
        ("fetch", busy.fetch),
        ("decode", busy.decode),
        ("parse", busy.parse),
        ("build", busy.build),
        ("commit", busy.commit),
    ];
    for (stage, busy) in stages {
        let span = Span { job, name: stage, parent: Some("run"), from: began, to };
        spans.push(span.encode(&[number("pinport.stage.busy_ms", busy)], json!({})));
    }
    spans
}

/// The metrics, as they stand at `now`.
pub(super) fn metrics(resource: &Resource, families: &[MetricFamily<'_>], now: Timestamp) -> Value {
    let times = (nanoseconds(resource.began.as_millis()), nanoseconds(now.as_millis()));
    let metrics: Vec<Value> = families.iter().filter_map(|family| metric(family, &times)).collect();
    json!({ "resourceMetrics": [{
        "resource": { "attributes": resource.attributes },
        "scopeMetrics": [{ "scope": scope(), "metrics": metrics }],
    }] })
}

fn metric(family: &MetricFamily<'_>, times: &(String, String)) -> Option<Value> {
    let points: Vec<Value> = match family.kind {
        "histogram" => histograms(family, times),
        "counter" => points(family, "_total", times),
        "gauge" => points(family, "", times),
        "info" => points(family, "_info", times),
        _ => Vec::new(),
    };
    if points.is_empty() {
        return None;
    }
    let unit = match family.unit {
        "seconds" => "s",
        "bytes" => "By",
        other => other,
    };
    let mut metric = json!({ "name": family.name, "description": family.help, "unit": unit });
    let (kind, data) = match family.kind {
        "histogram" => ("histogram", json!({ "aggregationTemporality": CUMULATIVE, "dataPoints": points })),
        "counter" => (
            "sum",
            json!({ "aggregationTemporality": CUMULATIVE, "isMonotonic": true, "dataPoints": points }),
        ),
        _ => ("gauge", json!({ "dataPoints": points })),
    };
    metric[kind] = data;
    Some(metric)
}

fn attributes(sample: &Sample<'_>) -> Vec<Value> {
    let labels = sample.labels.iter().filter(|(name, _)| *name != "le");
    labels.map(|(name, value)| text(name, value)).collect()
}

fn points(family: &MetricFamily<'_>, suffix: &str, (from, to): &(String, String)) -> Vec<Value> {
    let samples = family.samples.iter().filter(|sample| sample.suffix == suffix);
    samples
        .map(|sample| {
            json!({
                "attributes": attributes(sample),
                "startTimeUnixNano": from,
                "timeUnixNano": to,
                "asDouble": sample.value,
            })
        })
        .collect()
}

/// One point for each set of labels: its buckets count on there, and one by one here.
fn histograms(family: &MetricFamily<'_>, (from, to): &(String, String)) -> Vec<Value> {
    let mut found: Vec<(Vec<Value>, Histogram)> = Vec::new();
    for sample in &family.samples {
        let labels = attributes(sample);
        let at = found.iter().position(|(known, _)| *known == labels).unwrap_or_else(|| {
            found.push((labels, Histogram::default()));
            found.len() - 1
        });
        let histogram = &mut found[at].1;
        match sample.suffix {
            "_sum" => histogram.sum = sample.value,
            "_count" => histogram.count = sample.value as u64,
            "_bucket" => {
                let bound = sample.labels.iter().find(|(name, _)| *name == "le").map(|(_, le)| le.as_str());
                histogram.up_to.push((
                    bound.and_then(|le| le.parse().ok()).unwrap_or(f64::INFINITY),
                    sample.value as u64,
                ));
            }
            _ => {}
        }
    }
    found
        .into_iter()
        .map(|(labels, histogram)| {
            let mut before = 0;
            let counts: Vec<String> = histogram
                .up_to
                .iter()
                .map(|(_, up_to)| (up_to - std::mem::replace(&mut before, *up_to).min(*up_to)).to_string())
                .collect();
            let bounds = histogram.up_to.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite());
            json!({
                "attributes": labels,
                "startTimeUnixNano": from,
                "timeUnixNano": to,
                "count": histogram.count.to_string(),
                "sum": histogram.sum,
                "bucketCounts": counts,
                "explicitBounds": bounds.collect::<Vec<_>>(),
            })
        })
        .collect()
}

#[derive(Default)]
struct Histogram {
    sum: f64,
    count: u64,
    /// Bounds, and how many are up to each.
    up_to: Vec<(f64, u64)>,
}

#[cfg(test)]
mod tests {
    use super::{super::openmetrics::families, *};

    #[test]
    fn metrics_keep_their_kinds_labels_and_units() {
        let text = "# HELP c_seconds Time.\n# TYPE c_seconds counter\n# UNIT c_seconds seconds\nc_seconds_total{s=\"x\"} 2.5\n\
                    # HELP g G.\n# TYPE g gauge\ng 3\n# HELP i I.\n# TYPE i info\ni_info{version=\"1\"} 1\n\
                    # HELP h H.\n# TYPE h histogram\nh_sum{o=\"a\"} 4.5\nh_count{o=\"a\"} 3\n\
                    h_bucket{le=\"1.0\",o=\"a\"} 1\nh_bucket{le=\"2.0\",o=\"a\"} 1\nh_bucket{le=\"+Inf\",o=\"a\"} 3\n# EOF\n";
        let resource = Resource::new(Some("imports"));
        let sent = metrics(&resource, &families(text), Timestamp::from_millis(1500));
        let sent = &sent["resourceMetrics"][0];
        assert_eq!(sent["resource"]["attributes"][0], super::text("service.name", "imports"));
        let metrics = sent["scopeMetrics"][0]["metrics"].as_array().unwrap();
        let names: Vec<_> = metrics.iter().map(|metric| metric["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["c_seconds", "g", "i", "h"]);
        assert_eq!((&metrics[0]["unit"], &metrics[0]["sum"]["isMonotonic"]), (&json!("s"), &json!(true)));
        let point = &metrics[0]["sum"]["dataPoints"][0];
        assert_eq!((&point["asDouble"], &point["timeUnixNano"]), (&json!(2.5), &json!("1500000000")));
        assert_eq!(point["attributes"], json!([super::text("s", "x")]));
        assert_eq!(metrics[1]["gauge"]["dataPoints"][0]["asDouble"], 3.0);
        assert_eq!(metrics[2]["gauge"]["dataPoints"][0]["attributes"], json!([super::text("version", "1")]));
        let point = &metrics[3]["histogram"]["dataPoints"][0];
        assert_eq!((&point["count"], &point["sum"]), (&json!("3"), &json!(4.5)));
        assert_eq!(point["bucketCounts"], json!(["1", "0", "2"]));
        assert_eq!(point["explicitBounds"], json!([1.0, 2.0]));
        assert_eq!(point["attributes"], json!([super::text("o", "a")]));
    }
}
