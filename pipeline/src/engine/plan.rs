//! Makes the plan of a job: which objects, in which order, of which size.

use std::path::Path;

use pinport_model::job::PlanSummary;

use super::{JobError, Life, files, files::PlanWriter};
use crate::{
    limits::NAMED_SKIPS,
    source::{Source, SourceError, is_compressed_name},
};

/// Lists the objects unless an earlier run of the job did.
pub(super) fn make_plan(life: &mut Life<'_>, source: &Source, folder: &Path) -> Result<(), JobError> {
    let summary = match &life.job.plan {
        Some(summary) if files::has_plan(folder) => summary.clone(),
        _ => list(life, source, folder)?,
    };
    life.progress.set_plan(&summary);
    life.job.plan = Some(summary);
    life.save()
}

fn list(life: &mut Life<'_>, source: &Source, folder: &Path) -> Result<PlanSummary, JobError> {
    let mut plan = PlanWriter::create(folder)?;
    let mut summary = PlanSummary { pieces_exact: true, ..PlanSummary::default() };
    let mut failed = None;
    let listed = source.list(life.job.definition.format, &mut |object| {
        match &object.skipped {
            Some(reason) => {
                summary.skipped += 1;
                if life.job.warnings.len() < NAMED_SKIPS {
                    let name = source.url(&object.key);
                    life.job.warnings.push(format!("skipped {name}: {reason}"));
                }
            }
            None => {
                summary.objects += 1;
                summary.bytes += object.size;
                // Only estimates rest on names; reading goes by content.
                if is_compressed_name(&object.key) {
                    summary.pieces_exact = false;
                    summary.packed += object.size;
                }
            }
        }
        // The plan file's error is kept apart: the listing only needs to know that it should stop.
        plan.push(object).map_err(|error| {
            failed = Some(error);
            SourceError::Cancelled
        })
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    listed?;
    if summary.skipped as usize > NAMED_SKIPS {
        life.job.warnings.push(format!("skipped {} objects in all; plan.ndjson names them", summary.skipped));
    }
    summary.pieces = summary.bytes.div_ceil(life.job.definition.piece_bytes);
    plan.finish(&summary)?;
    Ok(summary)
}
