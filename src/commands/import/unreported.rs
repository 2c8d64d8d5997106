//! Jobs whose end no one has been told: the process was killed between the last commit and its report. A file in
//! the job's folder stands for that; it lasts as long as the file system remembers it, and nothing but the report
//! depends on it.

use std::{fs, io, path::Path};

use anyhow::Context as _;
use pinport_model::{ImportDefinition, ImportJob, JobStatus, SourceLocation};
use pinport_pipeline::{engine::files, jobs::is_same_work, source::Source};

use super::Wanted;
use crate::data::Data;

const UNTOLD: &str = "untold";

/// From here on the job owes a report.
pub(super) fn begin(folder: &Path) -> anyhow::Result<()> {
    files::create_folder(folder)?;
    fs::write(folder.join(UNTOLD), "").with_context(|| format!("failed to write in {}", folder.display()))
}

/// The report was given.
pub(super) fn end(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_file(folder.join(UNTOLD)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}", folder.join(UNTOLD).display()))
        }
        _ => Ok(()),
    }
}

/// The job of the same import that owes a report, if it is the application's last and its source is still the
/// same: what was imported since, or is there to import, is not to be left out for it.
pub(super) fn find(
    wanted: &Wanted<'_>,
    data: &Data,
    definition: &ImportDefinition,
    source: &Source,
) -> anyhow::Result<Option<ImportJob>> {
    if wanted.args.fresh || wanted.location == SourceLocation::Stdin {
        return Ok(None);
    }
    let last = data.store.jobs(Some(definition.application), None, 1)?.pop();
    let Some(job) = last.filter(|job| job.status == JobStatus::Completed) else { return Ok(None) };
    let folder = data.job_folder(job.id);
    let owed = folder.join(UNTOLD).exists() && is_same_work(&job.definition, definition);
    Ok(if owed && is_same_source(&folder, source, &job)? { Some(job) } else { None })
}

/// Whether the source lists what the job's plan has.
fn is_same_source(folder: &Path, source: &Source, job: &ImportJob) -> anyhow::Result<bool> {
    let mut planned = files::planned_objects(folder)?;
    let mut same = true;
    source.list(job.definition.format, &mut |object| {
        if object.skipped.is_none() {
            same &= matches!(planned.next(), Some(Ok(planned)) if planned == object);
        }
        Ok(())
    })?;
    Ok(same && planned.next().is_none())
}
