//! Follows a server's job to its end, and reports it as an import of one's own is reported.

use std::{
    io::{self, Write as _},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use parking_lot::Mutex;
use pinport_model::{
    ImportJob, JobId, JobStatus, Tally, escape_controls, job::PlanSummary, progress::Progress,
    view::JobDetail,
};
use reqwest::Method;
use serde_json::Value;

use crate::{
    client::{Client, ClientError, not_there},
    exit,
    output::write_line,
    progress::{Display, Moment},
    report::{self, Place, RunFigures},
};

/// How long a lost server is waited for, and between two tries.
const PATIENCE: Duration = Duration::from_secs(120);
const RETRY: Duration = Duration::from_secs(1);

/// Shows the job's progress until it has ended; a server that restarts meanwhile is waited for.
pub(crate) async fn follow(client: &Client, job: JobId, quiet: bool) -> anyhow::Result<JobDetail> {
    let mut detail = client.detail(job).await.map_err(not_there)?;
    if detail.job.progress.status.is_terminal() {
        return Ok(detail);
    }
    let shown = Arc::new(Mutex::new(Moment::from(&detail.job)));
    let display = match quiet {
        true => None,
        false => Some({
            let shown = Arc::clone(&shown);
            Display::start(move || shown.lock().clone())?
        }),
    };
    while !detail.job.progress.status.is_terminal() {
        watch(client, job, &shown).await?;
        detail = patiently(async || client.detail(job).await).await.map_err(not_there)?;
        *shown.lock() = Moment::from(&detail.job);
    }
    if let Some(display) = display {
        display.finish();
    }
    Ok(detail)
}

/// Follows what the server sends about the job, until the job or the stream ends.
async fn watch(client: &Client, job: JobId, shown: &Mutex<Moment>) -> Result<(), ClientError> {
    let mut samples = patiently(async || client.samples().await).await?;
    loop {
        let sample = match samples.next().await {
            Ok(sample) => sample,
            Err(ClientError::Unreachable { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        // Waiting jobs may be too many to be sent; ended ones are only sent for a while.
        let Some(view) = sample.jobs.into_iter().find(|view| view.id == job) else {
            tokio::time::sleep(RETRY).await;
            return Ok(());
        };
        let ended = view.progress.status.is_terminal();
        *shown.lock() = Moment::from(&view);
        if ended {
            return Ok(());
        }
    }
}

/// Asks again while the server cannot be reached, for a while.
async fn patiently<T>(ask: impl AsyncFn() -> Result<T, ClientError>) -> Result<T, ClientError> {
    let begun = tokio::time::Instant::now();
    loop {
        match ask().await {
            Err(ClientError::Unreachable { .. } | ClientError::Refused { status: 429 | 500.., .. })
                if begun.elapsed() < PATIENCE =>
            {
                tokio::time::sleep(RETRY).await;
            }
            answer => return answer,
        }
    }
}

/// Prints the report of an ended job and gives its exit code. With `quiet` there is no report of a job without failures.
pub(crate) async fn conclude(
    client: &Client,
    detail: &JobDetail,
    json: bool,
    quiet: bool,
) -> anyhow::Result<u8> {
    let job = job_of(detail);
    let run = figures(&detail.job.progress);
    if json {
        write_line(&mut io::stdout().lock(), &outcome(client, detail, Some(&run)).await?)?;
    } else if !quiet || exit::of(&job) != exit::COMPLETED {
        let stopped = job.status == JobStatus::Cancelled;
        let head = report::head(&job, "imported", stopped, Some(&detail.job.application_name));
        let body = report::body(&job, Some(&run), Place::Server(client.server()));
        write!(io::stderr(), "{head}{body}")?;
    }
    Ok(exit::of(&job))
}

/// The JSON of a job: the service's members as the server answers them, and ours.
pub(crate) async fn outcome(
    client: &Client,
    detail: &JobDetail,
    run: Option<&RunFigures>,
) -> anyhow::Result<report::JobOutcome<Value>> {
    let job = job_of(detail);
    let path = format!("/v1/apps/{}/jobs/import/{}", job.definition.application, job.id);
    let response: Value = client.call(Method::GET, &path, None).await.map_err(not_there)?;
    let mut outcome = report::outcome(&job, response);
    if let Some(run) = run {
        outcome.add_run(run, None, false);
    }
    Ok(outcome)
}

/// The text of a job.
pub(crate) fn text(client: &Client, detail: &JobDetail) -> String {
    let job = job_of(detail);
    let source = escape_controls(&job.definition.source_text);
    let paused = if detail.job.paused { ", paused" } else { "" };
    let mut text = format!("job       {} of {}\n", job.id, job.created);
    let why = detail.job.waits_for.as_deref().map(|why| format!(": {}", escape_controls(why)));
    let why = why.unwrap_or_default();
    text.push_str(&format!("status    {}{paused}{why}\nsource    {source}\n", job.status));
    text.push_str(&report::body(&job, None, Place::Server(client.server())));
    text
}

fn figures(progress: &Progress) -> RunFigures {
    RunFigures {
        seconds: progress.elapsed_ms as f64 / 1000.0,
        records: progress.parsed.saturating_sub(progress.before.parsed),
    }
}

/// The job as a report wants it, with the counts of what is committed.
fn job_of(detail: &JobDetail) -> ImportJob {
    let view = &detail.job;
    let progress = &view.progress;
    let failed = detail.classes.iter().map(|class| class.count).sum();
    let plan = PlanSummary {
        parts: 0,
        objects: progress.objects_total,
        bytes: progress.source_total,
        skipped: detail.skipped,
        pieces: progress.pieces_total,
        pieces_exact: true,
        packed: 0,
    };
    ImportJob {
        status: progress.status,
        completed: view.completed,
        plan: Some(plan),
        tally: Tally {
            read: progress.registered + failed,
            registered: progress.registered,
            failed,
            bytes: progress.bytes,
            classes: detail.classes.clone(),
            ..Tally::default()
        },
        completed_pieces: progress.pieces_done,
        failed_pieces: progress.pieces_failed,
        error: view.error.clone(),
        warnings: detail.warnings.clone(),
        lost: detail.lost.clone(),
        notices: detail.notices.clone(),
        resumed: detail.resumed,
        unkept_failures: detail.unkept_failures,
        ..ImportJob::new(view.id, detail.definition.clone(), view.created)
    }
}

/// Runs what waits for a server.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("failed to start the network")?;
    let done = runtime.block_on(work);
    // A read of standard input that no one waits for any more must not hold the command.
    runtime.shutdown_background();
    done
}
