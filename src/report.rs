//! The report of a job: for people as text, for programs as JSON.

use std::{fmt::Write as _, path::Path};

use pinport_model::{FailureClass, Format, ImportJob, JobStatus, LostObject, Notices, escape_controls};
use pinport_pipeline::engine::files;
use pinport_server::wire::{ImportJobResponse, import_job_response};
use serde::Serialize;

pub(crate) use pinport_server::wire::MAX_FAILURES;

/// Stands in for `ExternalId`, which is always present on the wire.
const ACCOUNT: &str = "000000000000";

/// Lost objects that the report names.
const SHOWN_LOST: usize = 10;

/// What one run of a job took.
pub(crate) struct RunFigures {
    pub(crate) seconds: f64,
    /// Records that were read in this run.
    pub(crate) records: u64,
}

/// `ImportJobResponse`'s members and, after them, ours.
#[derive(Debug, Serialize)]
pub(crate) struct JobOutcome<R> {
    #[serde(flatten)]
    response: R,
    #[serde(rename = "Registered")]
    registered: u64,
    #[serde(rename = "Failed")]
    failed: u64,
    #[serde(rename = "Objects")]
    objects: u64,
    #[serde(rename = "SkippedObjects")]
    skipped: u64,
    #[serde(rename = "Bytes")]
    bytes: u64,
    #[serde(rename = "SourceBytes")]
    source_bytes: u64,
    #[serde(rename = "FailureClasses")]
    classes: Vec<FailureClass>,
    #[serde(rename = "UnkeptFailures")]
    unkept: u64,
    #[serde(rename = "Warnings")]
    warnings: Vec<String>,
    #[serde(rename = "Notices")]
    notices: Notices,
    #[serde(rename = "LostObjects")]
    lost: Vec<LostObject>,
    #[serde(rename = "Error", skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(rename = "Resumed")]
    resumed: u32,
    #[serde(rename = "Run", skip_serializing_if = "Option::is_none")]
    run: Option<RunOutcome>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RunOutcome {
    seconds: f64,
    records: u64,
    records_per_second: f64,
    checked_only: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failures_file: Option<String>,
    reject_files: Vec<String>,
}

/// Where a job's files are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// In this folder.
    Folder(&'a Path),
    /// At this server, which hands them out.
    Server(&'a str),
}

/// The JSON form of a job.
pub(crate) fn response(job: &ImportJob, failures: Vec<String>) -> JobOutcome<ImportJobResponse> {
    outcome(job, import_job_response(job, failures, ACCOUNT))
}

/// The JSON form of a job whose `ImportJobResponse` is this.
pub(crate) fn outcome<R: Serialize>(job: &ImportJob, response: R) -> JobOutcome<R> {
    let plan = job.plan.clone().unwrap_or_default();
    JobOutcome {
        response,
        registered: job.tally.registered,
        failed: job.tally.failed,
        objects: plan.objects,
        skipped: plan.skipped,
        bytes: job.tally.bytes,
        source_bytes: plan.bytes,
        classes: job.tally.classes.clone(),
        warnings: job.all_warnings(),
        unkept: job.unkept_failures,
        notices: job.notices.clone(),
        lost: job.lost.clone(),
        error: job.error.clone(),
        resumed: job.resumed,
        run: None,
    }
}

impl<R> JobOutcome<R> {
    /// Adds what this run took and where its files are, if they are here.
    pub(crate) fn add_run(&mut self, run: &RunFigures, files: Option<(&Path, Format)>, checked_only: bool) {
        let rejects = files.map(|(folder, format)| files::rejects_paths(folder, format)).unwrap_or_default();
        self.run = Some(RunOutcome {
            seconds: run.seconds,
            records: run.records,
            records_per_second: run.rate(),
            checked_only,
            stopped: None,
            failures_file: files.map(|(folder, _)| files::failures_path(folder).display().to_string()),
            reject_files: rejects.iter().map(|path| path.display().to_string()).collect(),
        });
    }

    /// Adds what stopped the run, if something did.
    pub(crate) fn stop(&mut self, by: Option<String>) {
        if let Some(run) = &mut self.run {
            run.stopped = by;
        }
    }
}

impl RunFigures {
    fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.records as f64 / self.seconds } else { 0.0 }
    }
}

/// The first line: what was done with what.
pub(crate) fn head(job: &ImportJob, done: &str, stopped: bool, application: Option<&str>) -> String {
    let source = escape_controls(&job.definition.source_text);
    let place = application.map(|name| format!(" into application \"{}\"", escape_controls(name)));
    let segment = job.definition.segment_name.as_deref().filter(|_| application.is_some());
    let segment = segment.map(|name| format!(", segment \"{}\"", escape_controls(name)));
    let (place, segment) = (place.unwrap_or_default(), segment.unwrap_or_default());
    match (stopped, job.status) {
        (false, JobStatus::Completed) => format!("{done} {source}{place}{segment}\n"),
        (false, _) => format!("FAILED: {source}{place}{segment} was not {done} whole\n"),
        (true, _) => format!("{source}{place}{segment}: not all of it was {done}\n"),
    }
}

/// The counts, failures and warnings of a job.
pub(crate) fn body(job: &ImportJob, run: Option<&RunFigures>, place: Place<'_>) -> String {
    let mut text = String::new();
    let plan = job.plan.clone().unwrap_or_default();
    let tally = &job.tally;
    let skipped = if plan.skipped > 0 { format!(", {} skipped", plan.skipped) } else { String::new() };
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<9} {value}");
    };
    if let Some(before) = job.definition.retry_of {
        line("retry of", format!("job {before}"));
    }
    let sizes = format!("{} read, {} in the source", bytes(tally.bytes), bytes(plan.bytes));
    line("objects", format!("{}{skipped}; {sizes}", count(plan.objects)));
    let (read, registered, failed) = (count(tally.read), count(tally.registered), count(tally.failed));
    line("records", format!("{read} read = {registered} registered + {failed} failed"));
    let mut pieces =
        format!("{} committed, {} failed", count(job.completed_pieces), count(job.failed_pieces));
    if let Some(run) = run {
        let rate = count(run.rate() as u64);
        pieces.push_str(&format!("; {:.2} s, {rate} rows/s", run.seconds));
    }
    line("pieces", pieces);
    if job.lost.len() < 2
        && let Some(error) = &job.error
    {
        line("error", escape_controls(error).into_owned());
    }
    if job.lost.len() > 1 {
        line("error", format!("{} objects could not be read whole:", count(job.failed_pieces)));
        for lost in job.lost.iter().take(SHOWN_LOST) {
            line("", escape_controls(&lost.to_string()).into_owned());
        }
        if job.failed_pieces > SHOWN_LOST as u64 {
            let more = count(job.failed_pieces - SHOWN_LOST as u64);
            line("", format!("and {more} more, which are among the failed records"));
        }
    }
    if tally.failed > 0 {
        line("failures", "by reason, with the first of each:".into());
    }
    for class in &tally.classes {
        let member = class.member.as_deref().map(|member| format!(" {member}")).unwrap_or_default();
        let _ = writeln!(
            text,
            "  {:>9} {}{member}\n            {}",
            count(class.count),
            class.code,
            class.example
        );
    }
    if tally.failed > 0 || !job.lost.is_empty() {
        say_where(&mut text, job, place);
    }
    for notice in &job.notices {
        let _ = writeln!(text, "  note: {notice} ({})", count(notice.count));
    }
    for warning in job.all_warnings() {
        let _ = writeln!(text, "  warning: {}", escape_controls(&warning));
    }
    text
}

/// Says where the failed records are.
fn say_where(text: &mut String, job: &ImportJob, place: Place<'_>) {
    let every = if job.unkept_failures > 0 {
        "failed records, the first and a sample"
    } else {
        "every failed record"
    };
    match place {
        Place::Folder(folder) => {
            let _ = writeln!(text, "  {every}: {}", files::failures_path(folder).display());
            for path in files::rejects_paths(folder, job.definition.format) {
                let _ = writeln!(text, "  their original bytes, to mend and import: {}", path.display());
            }
        }
        Place::Server(server) => {
            let id = job.id;
            let _ = writeln!(text, "  {every}: pinport jobs failures {id} --server {server}");
            let _ = writeln!(
                text,
                "  their original bytes, to mend and import: pinport jobs rejects {id} --server {server}"
            );
        }
    }
}

/// A number with thousands apart.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn bytes(number: u64) -> String {
    indicatif::HumanBytes(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
    }
}
