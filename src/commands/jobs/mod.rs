//! `pinport jobs`: looks at the jobs of a data folder or a server.

mod retry;
mod served;

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, BufWriter, Write as _},
    path::Path,
};

use anyhow::Context as _;
use pinport_model::{Failure, FailureFilter, ImportJob, JobId, Timestamp, escape_controls};
use pinport_pipeline::engine::files;

use super::{asked::Asked, write_line};
use crate::{
    cli::{JobArgs, JobsCommand},
    data::Data,
    exit::{self, Usage},
    report::{self, Place},
};

pub(super) fn run(command: JobsCommand) -> anyhow::Result<u8> {
    match command {
        JobsCommand::Ls { data, remote, limit, json } => match Asked::of(&remote, data.place())? {
            Asked::Server(server) => served::list(&server, limit, json)?,
            Asked::Data(data) => list(&data, limit, json)?,
        },
        JobsCommand::Show { job, json } => match asked(&job)? {
            Asked::Server(server) => served::show(&server, &job.job, json)?,
            Asked::Data(data) => show(&data, &data.job(&job.job)?, json)?,
        },
        JobsCommand::Failures { job, search } => match asked(&job)? {
            Asked::Server(server) => served::failures(&server, &job.job, search)?,
            Asked::Data(data) => {
                let job = data.job(&job.job)?;
                let path = files::failures_path(&data.job_folder(job.id));
                match search {
                    Some(words) => find(&path, &FailureFilter::new(None, None, &words))?,
                    None => copy(&path)?,
                }
            }
        },
        JobsCommand::Rejects { job, part } => match asked(&job)? {
            Asked::Server(server) => served::rejects(&server, &job.job, part)?,
            Asked::Data(data) => rejects(&data, &data.job(&job.job)?, part)?,
        },
        JobsCommand::Wait { job, timeout, quiet } => return served::wait(&job, timeout, quiet),
        JobsCommand::Retry(args) => return retry::run(&args),
        JobsCommand::Verify(args) => return served::verify(&args),
        JobsCommand::Cancel(args) => served::ask(&args, "cancel")?,
        JobsCommand::Pause(args) => served::ask(&args, "pause")?,
        JobsCommand::Resume(args) => served::ask(&args, "resume")?,
        JobsCommand::Throttle(args) => served::throttle(&args)?,
        JobsCommand::Webhook { job, url } => served::webhook(&job, &url)?,
        JobsCommand::Delete { job } => match asked(&job)? {
            Asked::Server(server) => served::delete(&server, &job.job)?,
            Asked::Data(data) => delete(&data, &data.job(&job.job)?)?,
        },
    }
    Ok(exit::COMPLETED)
}

fn asked(args: &JobArgs) -> anyhow::Result<Asked> {
    Asked::of(&args.remote, args.data.place())
}

fn list(data: &Data, limit: usize, json: bool) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    if !json {
        writeln!(out, "{}", head())?;
    }
    for job in data.store.jobs(None, None, limit)? {
        let job = data.job(&job.id.to_string())?;
        if json {
            write_line(
                &mut out,
                &report::response(&job, data.first_failures(job.id, report::MAX_FAILURES)?),
            )?;
        } else {
            let counts = (job.tally.read, job.tally.failed);
            let row = row(job.id, job.created, status(&job), counts, &job.definition.source_text);
            writeln!(out, "{row}")?;
        }
    }
    Ok(out.flush()?)
}

fn delete(data: &Data, job: &ImportJob) -> anyhow::Result<()> {
    if !job.status.is_terminal() {
        let what = "was interrupted: run its import again to its end, or start a server and cancel it there";
        return Err(Usage(format!("job {} {what}", job.id)).into());
    }
    data.store.delete_job(job.id)?;
    let folder = data.job_folder(job.id);
    if folder.is_dir() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("failed to remove {}", folder.display()))?;
    }
    Ok(writeln!(io::stderr(), "job {} is deleted; what it registered stays", job.id)?)
}

fn head() -> String {
    format!("{:<32}  {:<24}  {:<12}  {:>12}  {:>10}  SOURCE", "ID", "CREATED", "STATUS", "READ", "FAILED")
}

fn row(id: JobId, created: Timestamp, status: &str, (read, failed): (u64, u64), source: &str) -> String {
    let source = escape_controls(source);
    format!("{id}  {created}  {status:<12}  {read:>12}  {failed:>10}  {source}")
}

/// The store is ours alone, so a job that has not ended is not running either.
fn status(job: &ImportJob) -> &'static str {
    if job.status.is_terminal() { job.status.as_str() } else { "interrupted" }
}

fn show(data: &Data, job: &ImportJob, json: bool) -> anyhow::Result<()> {
    let failures = data.first_failures(job.id, report::MAX_FAILURES)?;
    let mut out = BufWriter::new(io::stdout().lock());
    if json {
        write_line(&mut out, &report::response(job, failures))?;
    } else {
        writeln!(out, "job       {} of {}", job.id, job.created)?;
        writeln!(out, "status    {}", status(job))?;
        writeln!(out, "source    {}", escape_controls(&job.definition.source_text))?;
        write!(out, "{}", report::body(job, None, Place::Folder(&data.job_folder(job.id))))?;
    }
    Ok(out.flush()?)
}

fn rejects(data: &Data, job: &ImportJob, part: u32) -> anyhow::Result<()> {
    let paths = files::rejects_paths(&data.job_folder(job.id), job.definition.format);
    match (paths.get(part as usize - 1), paths.len()) {
        (Some(path), parts) => {
            tell_parts(part, parts)?;
            copy(path)
        }
        (None, 0) => Ok(()),
        (None, parts) => Err(Usage(format!("the rejects of job {} have {parts} parts", job.id)).into()),
    }
}

/// Says that there is more.
fn tell_parts(part: u32, parts: usize) -> io::Result<()> {
    if parts > 1 {
        writeln!(io::stderr(), "part {part} of {parts}: objects with another header are in the other parts")?;
    }
    Ok(())
}

/// Prints the failures of a file that a filter wants; a file that was never begun is empty.
fn find(path: &Path, filter: &FailureFilter) -> anyhow::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let failed = || format!("failed to read {}", path.display());
    let mut file = BufReader::new(File::open(path).with_context(failed)?);
    let (mut out, mut line) = (BufWriter::new(io::stdout().lock()), Vec::new());
    while file.read_until(b'\n', &mut line).with_context(failed)? > 0 {
        let failure: Failure = serde_json::from_slice(&line).with_context(failed)?;
        if filter.matches(&failure) {
            out.write_all(&line)?;
        }
        line.clear();
    }
    Ok(out.flush()?)
}

/// Copies a file to standard output; a file that was never begun is empty.
fn copy(path: &Path) -> anyhow::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let mut file = File::open(path).with_context(|| format!("failed to read {}", path.display()))?;
    io::copy(&mut file, &mut io::stdout().lock())?;
    Ok(())
}
