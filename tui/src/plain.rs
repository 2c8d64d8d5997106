//! The same data without a terminal: snapshots for `--once`, progress lines, and the summary at the end. One
//! line for each thing, escaped, never coloured, never cut.

use std::collections::HashSet;

use pinport_model::{
    JobId, escape_controls,
    view::{JobDetail, JobView, Sample},
};

use crate::{
    look::Symbols,
    state::{Dashboard, detail::Detail, meter::Meters},
    text::{append, bytes, count, megabytes, percent, span},
    words::{self, plural},
};

/// Jobs that the summary names.
const MAX_SUMMARY: usize = 10;

fn clean(text: &str) -> String {
    escape_controls(text).into_owned()
}

/// A job as one line: `running 45%, 1.0 MiB of 2.0 MiB, 10,000 read, …`. `rate` is records and bytes a second;
/// without it, the average of the run is given.
fn sentence(job: &JobView, rate: Option<(f64, f64)>, left_ms: Option<i64>) -> String {
    let progress = &job.progress;
    let mut text = words::status(job, Symbols::Ascii).word.to_owned();
    if let Some(share) = words::share(progress) {
        append!(text, " {}", percent(share));
    }
    append!(text, ", {}, {}", words::source_bytes(progress), words::records(progress));
    append!(text, ", pieces {}", words::pieces(progress));
    let (records, bytes) = rate.unwrap_or_else(|| words::average(progress));
    append!(text, ", {} rows/s, {} MB/s", count(records as u64), megabytes(bytes));
    if let Some(left) = left_ms.filter(|_| !progress.status.is_terminal()) {
        append!(text, ", {} left", span(left));
    }
    if let Some(why) = &job.waits_for {
        append!(text, ", {}", clean(why));
    }
    if let Some(workers) = words::workers(job) {
        append!(text, ", {}", clean(&workers));
    }
    if let Some(error) = &job.error {
        append!(text, ", error: {}", clean(error));
    }
    text
}

/// A job's progress as one line for logs, with the average rates of this run.
pub fn progress_line(job: &JobView) -> String {
    format!("{}: {}", words::short_id(job.id), sentence(job, None, None))
}

/// Progress lines over time, with rates of the last seconds: what is shown when there is no terminal.
#[derive(Debug, Default)]
pub struct ProgressLines {
    meters: Meters,
    ended: HashSet<JobId>,
    begun: bool,
}

impl ProgressLines {
    /// Takes a sample in without a line, so that rates are fresh when a line is due.
    pub fn record(&mut self, sample: &Sample) {
        self.meters.record(sample);
    }

    /// A line for each job that runs or waits, and one for each that has ended since the call before. At first one
    /// line says so if there are none.
    pub fn lines(&mut self, sample: &Sample) -> Vec<String> {
        let mut lines = Vec::new();
        for job in &sample.jobs {
            let ended = job.progress.status.is_terminal();
            // Jobs that had ended before the first sample get no line.
            if ended && (!self.ended.insert(job.id) || !self.begun) {
                continue;
            }
            let meter = self.meters.of(job.id).filter(|_| !ended);
            let rate = meter.and_then(|meter| Some((meter.records()?, meter.bytes()?)));
            let left = meter.and_then(|meter| meter.left_ms(job));
            let source = clean(&job.source);
            lines.push(format!("{} {source}: {}", words::short_id(job.id), sentence(job, rate, left)));
        }
        if !self.begun && lines.is_empty() {
            lines.push(format!("no job runs or waits; {} in all", plural(sample.jobs_total, "job")));
        }
        self.begun = true;
        lines
    }
}

/// A sample as text.
pub fn snapshot(sample: &Sample) -> String {
    let mut text = String::new();
    append!(text, "{} at {}", plural(sample.jobs_total, "job"), sample.time);
    if sample.bytes_in_flight_limit > 0 {
        let (now, most) = (bytes(sample.bytes_in_flight), bytes(sample.bytes_in_flight_limit));
        append!(text, ", {now} of {most} in flight");
    }
    text.push('\n');
    for server in &sample.servers {
        let here = if server.here { ", the one that was asked" } else { "" };
        let (name, version, running) = (clean(&server.name), clean(&server.version), count(server.running));
        append!(text, "server {name}: pinport {version}, {running} running{here}\n");
    }
    if let Some(trouble) = &sample.trouble {
        append!(text, "no job runs: {}\n", clean(trouble));
    }
    for job in &sample.jobs {
        append!(text, "{} {} {}\n", job.id, clean(&job.application_name), clean(&job.source));
        append!(text, "  {}\n", sentence(job, None, None));
    }
    text
}

/// One job, whole, as text.
pub fn snapshot_of_job(view: &JobDetail) -> String {
    let job = &view.job;
    let mut detail = Detail::new(job.id);
    detail.take(Box::new(view.clone()));
    let mut text = String::new();
    append!(text, "{} {} {}\n", job.id, clean(&job.application_name), clean(&job.source));
    append!(text, "  {}\n", sentence(job, None, None));
    if let Some(bottleneck) = detail.bottleneck() {
        append!(text, "  {bottleneck}\n");
    }
    for share in &detail.shares {
        append!(text, "  {:<7} {:>4} busy", share.stage.as_str(), percent(share.busy));
        if share.queue_limit > 0 {
            append!(text, ", queue {}/{}", share.queued, share.queue_limit);
        }
        text.push('\n');
    }
    for class in detail.classes() {
        let example = clean(&class.example);
        append!(text, "  {:>9} {}\n            {example}\n", count(class.count), clean(&words::class(class)));
    }
    for object in &view.objects {
        let name = clean(&object.name);
        match &object.skipped {
            Some(reason) => append!(text, "  object {name}: skipped: {}\n", clean(reason)),
            None => {
                let (read, failed) = (count(object.tally.read), count(object.tally.failed));
                let end = if object.tally.complete { ", to its end" } else { "" };
                append!(text, "  object {name}: {}, {read} read, {failed} failed{end}\n", bytes(object.size));
            }
        }
    }
    for lost in &view.lost {
        append!(text, "  lost: {}\n", clean(&lost.to_string()));
    }
    for notice in &view.notices {
        append!(text, "  note: {} ({})\n", clean(&notice.to_string()), count(notice.count));
    }
    for warning in &view.warnings {
        append!(text, "  warning: {}\n", clean(warning));
    }
    text
}

impl Dashboard {
    /// What stays on the terminal when the dashboard has left: the jobs as they stood.
    pub fn summary(&self) -> String {
        let jobs = self.jobs.all();
        let Some(server) = self.server else { return "no sample came from the server\n".into() };
        let mut text = String::new();
        let active = jobs.iter().filter(|job| !job.progress.status.is_terminal()).count() as u64;
        let total = plural(server.jobs_total.max(jobs.len() as u64), "job");
        append!(text, "{total}, {active} active, at {}\n", server.time);
        // Those that are active first, then the newest.
        let order = [false, true]
            .into_iter()
            .flat_map(|ended| jobs.iter().filter(move |job| job.progress.status.is_terminal() == ended));
        for job in order.take(MAX_SUMMARY) {
            let meter = self.meters.of(job.id).filter(|_| !job.progress.status.is_terminal());
            let rate = meter.and_then(|meter| Some((meter.records()?, meter.bytes()?)));
            let left = meter.and_then(|meter| meter.left_ms(job));
            append!(
                text,
                "{} {}: {}\n",
                words::short_id(job.id),
                clean(&job.source),
                sentence(job, rate, left)
            );
        }
        if jobs.len() > MAX_SUMMARY {
            append!(text, "and {} more\n", count((jobs.len() - MAX_SUMMARY) as u64));
        }
        text
    }
}
