//! `pinport jobs`: looks at the jobs of a data folder.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::Path,
};

use anyhow::Context as _;
use pinport_model::{ImportJob, escape_controls};
use pinport_pipeline::engine::files;

use super::write_line;
use crate::{
    cli::{JobArgs, JobsCommand},
    data::Data,
    explain::Usage,
    report,
};

pub(super) fn run(command: JobsCommand) -> anyhow::Result<()> {
    match command {
        JobsCommand::Ls { data, limit, json } => list(&Data::open_existing(&data.data)?, limit, json),
        JobsCommand::Show { job, json } => show(&job, json),
        JobsCommand::Failures { job } => {
            let (data, job) = open(&job)?;
            copy(&files::failures_path(&data.job_folder(job.id)))
        }
        JobsCommand::Rejects { job, part } => rejects(&job, part),
    }
}

fn open(args: &JobArgs) -> anyhow::Result<(Data, ImportJob)> {
    let data = Data::open_existing(&args.data.data)?;
    let job = data.job(&args.job)?;
    Ok((data, job))
}

fn list(data: &Data, limit: usize, json: bool) -> anyhow::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    if !json {
        writeln!(
            out,
            "{:<32}  {:<24}  {:<12}  {:>12}  {:>10}  SOURCE",
            "ID", "CREATED", "STATUS", "READ", "FAILED"
        )?;
    }
    for job in data.store.jobs(None, None, limit)? {
        let job = data.job(&job.id.to_string())?;
        if json {
            write_line(
                &mut out,
                &report::response(&job, data.first_failures(job.id, report::MAX_FAILURES)?),
            )?;
        } else {
            let (id, created, status) = (job.id, job.created, status(&job));
            let (read, failed) = (job.tally.read, job.tally.failed);
            let source = escape_controls(&job.definition.source_text);
            writeln!(out, "{id}  {created}  {status:<12}  {read:>12}  {failed:>10}  {source}")?;
        }
    }
    Ok(out.flush()?)
}

/// The store is ours alone, so a job that has not ended is not running either.
fn status(job: &ImportJob) -> &'static str {
    if job.status.is_terminal() { job.status.as_str() } else { "interrupted" }
}

fn show(args: &JobArgs, json: bool) -> anyhow::Result<()> {
    let (data, job) = open(args)?;
    let failures = data.first_failures(job.id, report::MAX_FAILURES)?;
    let mut out = BufWriter::new(io::stdout().lock());
    if json {
        write_line(&mut out, &report::response(&job, failures))?;
    } else {
        writeln!(out, "job       {} of {}", job.id, job.created)?;
        writeln!(out, "status    {}", status(&job))?;
        writeln!(out, "source    {}", escape_controls(&job.definition.source_text))?;
        write!(out, "{}", report::body(&job, None, &data.job_folder(job.id)))?;
    }
    Ok(out.flush()?)
}

fn rejects(args: &JobArgs, part: u32) -> anyhow::Result<()> {
    let (data, job) = open(args)?;
    let paths = files::rejects_paths(&data.job_folder(job.id), job.definition.format);
    match (paths.get(part as usize - 1), paths.len()) {
        (Some(path), parts) => {
            if parts > 1 {
                writeln!(
                    io::stderr(),
                    "part {part} of {parts}: objects with another header are in the other parts"
                )?;
            }
            copy(path)
        }
        (None, 0) => Ok(()),
        (None, parts) => Err(Usage(format!("the rejects of job {} have {parts} parts", job.id)).into()),
    }
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
