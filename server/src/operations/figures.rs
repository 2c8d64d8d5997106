//! What jobs and the store count, as metrics. They are read when a scraper asks; nothing is kept here.

use pinport_pipeline::jobs::Jobs;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> std::fmt::Result {
    let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
    let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
    gauge.encode(metric)
}

fn count(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: f64,
) -> std::fmt::Result {
    let counter = ConstCounter::new(value);
    let metric = encoder.encode_descriptor(name, help, unit, counter.metric_type())?;
    counter.encode(metric)
}

/// The metrics by the names that users of the service know from CloudWatch.
#[derive(Debug)]
pub(super) struct Familiar(pub(super) Jobs);

impl Collector for Familiar {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let totals = self.0.totals();
        let mut count = |name: &str, help: &str, value: f64| count(&mut encoder, name, help, None, value);
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

/// What jobs did and do.
#[derive(Debug)]
pub(super) struct JobMetrics(pub(super) Jobs);

impl Collector for JobMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let totals = self.0.totals();
        let mut gauge = |name: &str, help: &str, value: u64| gauge(&mut encoder, name, help, value);
        gauge("jobs_running", "Jobs that run", totals.running)?;
        let help =
            "Jobs that wait or are paused, of a store that several servers share those that any may take";
        gauge("jobs_waiting", help, totals.waiting)?;
        let sample = self.0.sample();
        if self.0.store().is_shared() {
            gauge(
                "servers",
                "Servers that share the store, this one among them",
                sample.servers.len() as u64,
            )?;
        }
        gauge("bytes_in_flight", "Bytes of the budget that are taken", sample.bytes_in_flight)?;
        gauge("bytes_in_flight_limit", "The budget", sample.bytes_in_flight_limit)?;
        let mut count = |name: &str, help: &str, unit: Option<&Unit>, value: f64| {
            count(&mut encoder, name, help, unit, value)
        };
        count("records", "Records parsed", None, totals.records as f64)?;
        count("failed_records", "Records that failed in ended jobs", None, totals.failed_records as f64)?;
        let seconds = |ms: u64| ms as f64 / 1000.0;
        let unit = Some(&Unit::Seconds);
        count("jobs_run", "Time that ended jobs ran", unit, seconds(totals.ran_ms))?;
        let help = "Time that ended jobs waited for their turns or were paused";
        count("jobs_waited", help, unit, seconds(totals.waited_ms))?;
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
        by(&mut busy, ("stage", "fetch"), seconds(totals.busy_ms.fetch))?;
        by(&mut busy, ("stage", "decode"), seconds(totals.busy_ms.decode))?;
        by(&mut busy, ("stage", "parse"), seconds(totals.busy_ms.parse))?;
        by(&mut busy, ("stage", "build"), seconds(totals.busy_ms.build))?;
        by(&mut busy, ("stage", "commit"), seconds(totals.busy_ms.commit))
    }
}

/// How the store and its disk are.
#[derive(Debug)]
pub(super) struct StoreMetrics(pub(super) Jobs);

impl Collector for StoreMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let mut gauge = |name: &str, help: &str, value: u64| gauge(&mut encoder, name, help, value);
        let help = "Whether a write failed, so that nothing can be stored until the next start";
        gauge("store_stopped", help, self.0.store_stopped().is_cancelled().into())?;
        if let Some((disk, reserve)) = self.0.disk() {
            gauge("disk_size_bytes", "Bytes of the disk of the data", disk.total)?;
            gauge("disk_free_bytes", "Bytes that are free on the disk of the data", disk.free)?;
            let help = "Bytes below which no job begins and running ones wait";
            gauge("disk_reserve_bytes", help, reserve)?;
        }
        gauge("uploads_bytes", "Bytes of uploads whose jobs have not ended", self.0.uploaded())?;
        // A store that is being opened again says nothing for a moment.
        if let Some(store) = self.0.store().figures() {
            gauge("store_bytes", "Bytes of the store's files", store.bytes)?;
            gauge("store_files", "Files of the store", store.files)?;
            let help = "Files that imports left and nothing has compacted: many make reads slow";
            gauge("store_unsettled_files", help, store.unsettled_files)?;
            let help = "Bytes that compaction has yet to write";
            gauge("store_compaction_pending_bytes", help, store.pending_bytes)?;
            gauge("store_compactions", "Compactions that run", store.compactions)?;
            gauge("store_memory_bytes", "Memory of the store's tables and cache", store.memory_bytes)?;
        }
        let settling = self.0.settling();
        gauge("store_settling", "Whether the store is being settled", settling.now.into())?;
        let mut count = |name: &str, help: &str, unit: Option<&Unit>, value: f64| {
            count(&mut encoder, name, help, unit, value)
        };
        count("store_settled", "Times that the store was settled", None, settling.times as f64)?;
        let help = "Time that it took to settle the store";
        count("store_settle", help, Some(&Unit::Seconds), settling.took.as_secs_f64())?;
        let help = "Members of records that were left out because their endpoint or user is full";
        count("store_left_out_members", help, None, self.0.store().left_out() as f64)
    }
}
