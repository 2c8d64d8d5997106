//! Makes the plan of a job: which objects, in which order, of which size.

use std::path::Path;

use pinport_model::{PlannedObject, SourceLocation, job::PlanSummary};

use super::{
    JobError, Life,
    division::{self, Borders},
    files::{self, PlanWriter},
    mirror::Mirror,
};
use crate::{
    limits::{MOST_PARTS, NAMED_SKIPS},
    source::{Source, SourceError, is_compressed_name},
};

/// Lists the objects unless an earlier run of the job did, and divides a large job into parts of `part_bytes` each, if several
/// servers can work on it.
pub(super) fn make_plan(
    life: &mut Life<'_>,
    source: &Source,
    folder: &Path,
    part_bytes: Option<u64>,
) -> Result<(), JobError> {
    let summary = match &life.job.plan {
        Some(summary) if files::has_plan(folder) => summary.clone(),
        _ => {
            let mut summary = list(life, source, folder)?;
            if let Some(part_bytes) = part_bytes {
                summary.parts = divide(life, source, folder, (part_bytes, summary.bytes))?;
            }
            summary
        }
    };
    life.progress.set_plan(&summary);
    life.job.plan = Some(summary);
    life.save()
}

/// Divides a job; into how many parts, or 0.
fn divide(
    life: &Life<'_>,
    source: &Source,
    folder: &Path,
    (part_bytes, bytes): (u64, u64),
) -> Result<u32, JobError> {
    let definition = &life.job.definition;
    let is_local = matches!(definition.source, SourceLocation::Path(_) | SourceLocation::Stdin);
    let Some(store) = life.store.filter(|_| !is_local && bytes > part_bytes) else { return Ok(0) };
    let Some(shared) = store.parts() else { return Ok(0) };
    let mut borders = Borders::new(source, definition);
    let part_bytes = part_bytes.max(bytes / MOST_PARTS);
    let line_after = |object: &PlannedObject, byte| Ok(borders.line_after(object, byte)?);
    let parts = division::divide::<JobError>(files::planned_objects(folder)?, part_bytes, line_after)?;
    if parts.len() < 2 {
        return Ok(0);
    }
    // Whoever works on a part reads it.
    Mirror::of_part(store, folder, (life.job.id, 0, definition.format), None).keep_plan()?;
    shared.divide(life.job.id, &parts)?;
    Ok(u32::try_from(parts.len()).unwrap_or(u32::MAX))
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
