//! Whether the server lives, whether it can work, and what it counts.

use std::time::Duration;

use pinport_pipeline::jobs::Jobs;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};

use super::{Routes, sentence};
use crate::{
    ApiError,
    http::{Response, Route},
    metrics::{CONTENT_TYPE, Metrics},
};

pub(super) fn add(routes: &mut Routes) {
    routes.waiting(Route::new("GET", "/livez", "Live").public(), |_, _| async {
        Ok(Response::bytes("text/plain; charset=utf-8", "ok\n"))
    });
    routes.blocking(Route::new("GET", "/readyz", "Ready").public(), |api, _| match api.jobs.health() {
        Ok(()) => Ok(Response::bytes("text/plain; charset=utf-8", "ok\n")),
        Err(reason) => Err(ApiError::unavailable(sentence(&reason), Duration::from_secs(5))),
    });
    routes.blocking(Route::new("GET", "/metrics", "Metrics"), |api, request| {
        request.principal().check_all("Metrics are")?;
        let ours = api.metrics.encode().map_err(ApiError::internal)?;
        let mut text = ours.strip_suffix("# EOF\n").unwrap_or(&ours).to_owned();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Familiar(api.jobs.clone())));
        prometheus_client::encoding::text::encode(&mut text, &registry).map_err(ApiError::internal)?;
        Ok(Response::bytes(CONTENT_TYPE, text))
    });
}

/// Adds what jobs count to the metrics.
pub(super) fn register(metrics: &Metrics, jobs: &Jobs) {
    metrics.register(|registry| registry.register_collector(Box::new(JobMetrics(jobs.clone()))));
}

/// The metrics by the names that users of the service know from CloudWatch.
#[derive(Debug)]
struct Familiar(Jobs);

impl Collector for Familiar {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let totals = self.0.totals();
        let mut count = |name: &str, help: &str, value: f64| {
            let counter = ConstCounter::new(value);
            let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(metric)
        };
        count(
            "ImportedEndpointFailure",
            "Records that failed in ended import jobs",
            totals.failed_records as f64,
        )?;
        count("ImportJobFailure", "Import jobs that FAILED", totals.failed as f64)?;
        count("ImportJobDuration", "Seconds that ended import jobs ran", totals.ran_ms as f64 / 1000.0)?;
        count(
            "ImportJobWaiting",
            "Seconds that ended import jobs waited for their turns or were paused",
            totals.waited_ms as f64 / 1000.0,
        )
    }
}

#[derive(Debug)]
struct JobMetrics(Jobs);

impl Collector for JobMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let totals = self.0.totals();
        let mut gauge = |name: &str, help: &str, value: i64| {
            let gauge = ConstGauge::new(value);
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)
        };
        gauge("jobs_running", "Jobs that run", totals.running as i64)?;
        gauge("jobs_waiting", "Jobs that wait or are paused", totals.waiting as i64)?;
        let stopped = self.0.store_stopped().is_cancelled();
        gauge(
            "store_stopped",
            "Whether a write failed, so that nothing can be stored until the next start",
            stopped.into(),
        )?;
        if let Some((disk, reserve)) = self.0.disk() {
            gauge("disk_free_bytes", "Bytes that are free on the disk of the data", disk.free as i64)?;
            gauge(
                "disk_reserve_bytes",
                "Bytes below which no job begins and running ones wait",
                reserve as i64,
            )?;
        }
        let sample = self.0.sample();
        gauge("bytes_in_flight", "Bytes of the budget that are taken", sample.bytes_in_flight as i64)?;
        gauge("bytes_in_flight_limit", "The budget", sample.bytes_in_flight_limit as i64)?;
        let mut count = |name: &str, help: &str, unit: Option<&Unit>, value: f64| {
            let counter = ConstCounter::new(value);
            let metric = encoder.encode_descriptor(name, help, unit, counter.metric_type())?;
            counter.encode(metric)
        };
        count("records", "Records parsed", None, totals.records as f64)?;
        let help = "Members of records that were left out because their endpoint or user is full";
        count("store_left_out_members", help, None, self.0.store().left_out() as f64)?;
        count("decoded", "Decoded bytes read", Some(&Unit::Bytes), totals.bytes as f64)?;
        let by = |metric: &mut MetricEncoder<'_>, label: (&str, &str), value: f64| {
            ConstCounter::new(value).encode(metric.encode_family(&[label])?)
        };
        let mut ended = encoder.encode_descriptor(
            "jobs_ended",
            "Jobs that ended, by status",
            None,
            MetricType::Counter,
        )?;
        by(&mut ended, ("status", "COMPLETED"), totals.completed as f64)?;
        by(&mut ended, ("status", "FAILED"), totals.failed as f64)?;
        by(&mut ended, ("status", "CANCELLED"), totals.cancelled as f64)?;
        let help = "Time that the threads of each stage were busy";
        let mut busy =
            encoder.encode_descriptor("stage_busy", help, Some(&Unit::Seconds), MetricType::Counter)?;
        let seconds = |ms: u64| ms as f64 / 1000.0;
        by(&mut busy, ("stage", "fetch"), seconds(totals.busy_ms.fetch))?;
        by(&mut busy, ("stage", "decode"), seconds(totals.busy_ms.decode))?;
        by(&mut busy, ("stage", "parse"), seconds(totals.busy_ms.parse))?;
        by(&mut busy, ("stage", "build"), seconds(totals.busy_ms.build))?;
        by(&mut busy, ("stage", "commit"), seconds(totals.busy_ms.commit))
    }
}
