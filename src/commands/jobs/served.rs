//! `pinport jobs … --server`: the same questions, asked of a server, and what can be asked of its jobs.

use std::{
    io::{self, BufWriter, IsTerminal as _, Write as _},
    time::Duration,
};

use pinport_model::{
    JobId,
    view::{JobDetail, JobView},
};
use pinport_pipeline::throttle::ThrottleRate;
use reqwest::Method;

use super::{super::verify, head, row, tell_parts, write_line};
use crate::{
    cli::{ServedJobArgs, ServerArgs, ThrottleArgs},
    client::{Client, FailureSearch, not_there},
    exit,
    follow::{block_on, conclude, follow, outcome, text},
};

pub(super) fn list(server: &ServerArgs, limit: usize, json: bool) -> anyhow::Result<()> {
    let client = Client::new(server)?;
    let jobs = block_on(async { Ok(client.jobs(limit).await?) })?;
    let mut out = BufWriter::new(io::stdout().lock());
    if !json {
        writeln!(out, "{}", head())?;
    }
    for job in jobs {
        if json {
            write_line(&mut out, &job)?;
        } else {
            let progress = &job.progress;
            let status = if job.paused { "paused" } else { progress.status.as_str() };
            let counts = (progress.parsed, progress.failed);
            writeln!(out, "{}", row(job.id, job.created, status, counts, &job.source))?;
        }
    }
    Ok(out.flush()?)
}

pub(super) fn show(server: &ServerArgs, job: &str, json: bool) -> anyhow::Result<()> {
    let client = Client::new(server)?;
    block_on(async {
        let id = client.job(job).await?;
        let detail = client.detail(id).await.map_err(not_there)?;
        let mut out = io::stdout().lock();
        if json {
            write_line(&mut out, &outcome(&client, &detail, None).await?)
        } else {
            Ok(write!(out, "{}", text(&client, &detail))?)
        }
    })
}

pub(super) fn failures(server: &ServerArgs, job: &str, search: Option<String>) -> anyhow::Result<()> {
    let client = Client::new(server)?;
    block_on(async {
        let id = client.job(job).await?;
        let Some(words) = search else {
            return client.print(&format!("/pinport/v1/jobs/{id}/failures")).await;
        };
        let search = FailureSearch { words, ..FailureSearch::default() };
        let mut token = None;
        loop {
            let (lines, next) = client.failures(id, &search, token.as_deref()).await.map_err(not_there)?;
            io::stdout().lock().write_all(&lines)?;
            if next.is_none() {
                return Ok(io::stdout().lock().flush()?);
            }
            token = next;
        }
    })
}

pub(super) fn rejects(server: &ServerArgs, job: &str, part: u32) -> anyhow::Result<()> {
    let client = Client::new(server)?;
    block_on(async {
        let id = client.job(job).await?;
        let path = format!("/pinport/v1/jobs/{id}/rejects?part={part}");
        let response = client.send(Method::GET, &path, None).await.map_err(not_there)?;
        let parts = response.headers().get("x-pinport-parts").and_then(|parts| parts.to_str().ok());
        tell_parts(part, parts.and_then(|parts| parts.parse().ok()).unwrap_or(0))?;
        client.copy(response, &mut io::stdout().lock()).await
    })
}

/// Follows the job to its end, or until the time is over.
pub(super) fn wait(args: &ServedJobArgs, timeout: Option<Duration>, quiet: bool) -> anyhow::Result<u8> {
    let client = Client::new(&args.server)?;
    let code = block_on(async {
        let id = client.job(&args.job).await?;
        let followed = follow(&client, id, quiet);
        let detail = match timeout {
            None => followed.await?,
            Some(timeout) => match tokio::time::timeout(timeout, followed).await {
                Ok(detail) => detail?,
                Err(_) => {
                    let (waited, how) = (timeout.as_secs(), how_it_stands(&client, id).await);
                    writeln!(io::stderr(), "job {id} has not ended after {waited} s; {how}")?;
                    return Ok(exit::WAITED);
                }
            },
        };
        conclude(&client, &detail, args.json, quiet).await
    })?;
    Ok(code)
}

/// Compares what the job's source says with what is stored.
pub(super) fn verify(args: &ServedJobArgs) -> anyhow::Result<u8> {
    let client = Client::new(&args.server)?;
    let shows = io::stderr().is_terminal();
    let report = block_on(async {
        let id = client.job(&args.job).await?;
        let seen = |records: u64| match shows {
            true => write!(io::stderr(), "\r\x1b[K{records} records are read again"),
            false => Ok(()),
        };
        let report = client.verified(id, seen).await;
        if shows {
            write!(io::stderr(), "\r\x1b[K")?;
        }
        report
    })?;
    verify::finish(&report, args.json)
}

/// What becomes of a job that has not ended.
async fn how_it_stands(client: &Client, id: JobId) -> String {
    let detail: Result<JobDetail, _> =
        client.call(Method::GET, &format!("/pinport/v1/jobs/{id}"), None).await;
    match detail.map(|detail| detail.job) {
        Ok(job) if job.paused => "it is paused".into(),
        Ok(JobView { waits_for: Some(why), .. }) => {
            format!("it waits: {}", pinport_model::escape_controls(&why))
        }
        _ => "it goes on".into(),
    }
}

/// Asks something of the job and prints how it stands then.
pub(super) fn ask(args: &ServedJobArgs, what: &str) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    let view = block_on(async {
        let id = client.job(&args.job).await?;
        post(&client, id, what).await
    })?;
    if args.json {
        return write_line(&mut io::stdout().lock(), &view);
    }
    let status = if view.paused { "paused" } else { view.progress.status.as_str() };
    Ok(writeln!(io::stderr(), "job {} is {status}", view.id)?)
}

/// Deletes an ended job.
pub(super) fn delete(server: &ServerArgs, job: &str) -> anyhow::Result<()> {
    let client = Client::new(server)?;
    let id = block_on(async {
        let id = client.job(job).await?;
        client.send(Method::DELETE, &format!("/pinport/v1/jobs/{id}"), None).await.map_err(not_there)?;
        Ok(id)
    })?;
    Ok(writeln!(io::stderr(), "job {id} is deleted; what it registered stays")?)
}

/// Adds a webhook to a job.
pub(super) fn webhook(args: &ServedJobArgs, url: &str) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    let id = block_on(async {
        let id = client.job(&args.job).await?;
        let path = format!("/pinport/v1/jobs/{id}/webhook");
        client.send(Method::PUT, &path, Some(serde_json::json!({ "url": url }))).await.map_err(not_there)?;
        Ok(id)
    })?;
    Ok(writeln!(io::stderr(), "job {id}: the URL is told when it ends or stands still")?)
}

/// Shows or changes how fast a job, or all of them, may read.
pub(super) fn throttle(args: &ThrottleArgs) -> anyhow::Result<()> {
    let client = Client::new(&args.server)?;
    let rate = ThrottleRate { rows_per_second: args.rows, bytes_per_second: args.bytes };
    let asks = args.off || !rate.is_none();
    let (whose, rate) = block_on(async {
        let (whose, path) = match args.job.as_str() {
            "all" => ("all jobs together".to_owned(), "/pinport/v1/throttle".to_owned()),
            job => {
                let id = client.job(job).await?;
                (format!("job {id}"), format!("/pinport/v1/jobs/{id}/throttle"))
            }
        };
        let (method, body) = match asks {
            true => (Method::PUT, Some(serde_json::to_value(rate)?)),
            false => (Method::GET, None),
        };
        let rate: ThrottleRate = client.call(method, &path, body).await.map_err(not_there)?;
        Ok((whose, rate))
    })?;
    let bounds = [(rate.rows_per_second, "records"), (rate.bytes_per_second, "bytes")];
    let bounds = bounds.iter().filter_map(|(bound, what)| Some(format!("{} {what} a second", (*bound)?)));
    let bounds: Vec<_> = bounds.collect();
    let told = if bounds.is_empty() {
        "without a bound".to_owned()
    } else {
        format!("at most {}", bounds.join(" and "))
    };
    Ok(writeln!(io::stdout(), "{whose}: {told}")?)
}

/// Cancels, pauses or resumes a job.
async fn post(client: &Client, job: JobId, what: &str) -> anyhow::Result<JobView> {
    let path = format!("/pinport/v1/jobs/{job}/{what}");
    client.call(Method::POST, &path, None).await.map_err(not_there)
}
