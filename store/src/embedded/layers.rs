//! The rows of the layers that versions of segments consist of.
//!
//! A version names a range of layers by their *places*, the order in which they were closed. Each closed layer is a row,
//! so what an import writes does not grow with the imports before it. A row may stand for several layers that lie next
//! to each other: when no kept version ends between them, small ones are folded into one ([`super::closing`]). A segment that
//! many small imports add to therefore is read from few rows.

use pinport_model::{JobId, Segment, SegmentId, SegmentVersion};
use rocksdb::{Snapshot, WriteBatch};
use serde::{Deserialize, Serialize};

use super::{
    delete_prefix,
    engine::{Engine, to_json},
    keys,
    segments::state,
};
use crate::{Result, lifecycle::no_version};

/// A closed layer, or several in one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layer {
    /// What its members' keys have.
    pub(super) number: u32,
    pub(super) copies: bool,
    /// The job that made it, if it was one.
    pub(super) job: Option<JobId>,
    /// The places of the layers it stands for, from the first to the last.
    pub(super) first: u32,
    pub(super) last: u32,
    /// About how many members it has.
    pub(super) records: u64,
    /// Whether all that its import put into it were members before, and so none is in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_empty: bool,
}

/// The rows of the layers of a version that have members, oldest first. Nothing, if the segment is gone.
pub(super) fn of_version(
    engine: &Engine,
    snapshot: &Snapshot<'_>,
    segment: &Segment,
    version: &SegmentVersion,
) -> Result<Vec<Layer>> {
    let mut found = all_layers(engine, snapshot, segment, version)?;
    found.retain(|layer| !layer.is_empty);
    Ok(found)
}

/// What is opened to read some layers: the number of each and whether it has copies. Layers without members are not.
pub(super) fn to_open(layers: &[Layer]) -> Vec<(u32, bool)> {
    layers.iter().filter(|layer| !layer.is_empty).map(|layer| (layer.number, layer.copies)).collect()
}

/// The rows of all layers of a version, oldest first.
fn all_layers(
    engine: &Engine,
    snapshot: &Snapshot<'_>,
    segment: &Segment,
    version: &SegmentVersion,
) -> Result<Vec<Layer>> {
    let found = rows(engine, snapshot, segment.id, version.first_layer, version.last_layer)?;
    if found.last().is_some_and(|last| last.last == version.last_layer) {
        return Ok(found);
    }
    match state(engine, segment.application, segment.id)? {
        Some(_) => Err(no_version(segment, version.version)),
        None => Ok(Vec::new()),
    }
}

/// The rows from one place to another, oldest first, as far as they are there. Each is looked up where the one before ends: between
/// them lie as many deleted ones as were folded, and a scan would pass them all.
pub(super) fn rows(
    engine: &Engine,
    snapshot: &Snapshot<'_>,
    segment: SegmentId,
    first: u32,
    last: u32,
) -> Result<Vec<Layer>> {
    let mut found: Vec<Layer> = Vec::new();
    let mut place = first;
    while place <= last
        && let Some(layer) = engine.get_json_in::<Layer>(snapshot, &keys::closed_layer(segment, place))?
    {
        place = layer.last.saturating_add(1);
        found.push(layer);
    }
    Ok(found)
}

/// The jobs that made the layers of a version.
pub(super) fn jobs(
    engine: &Engine,
    segment: &Segment,
    version: &SegmentVersion,
    limit: usize,
) -> Result<Option<Vec<JobId>>> {
    if version.criteria.is_some() {
        return Ok(Some(Vec::new()));
    }
    if version.last_layer - version.first_layer >= u32::try_from(limit).unwrap_or(u32::MAX) {
        return Ok(None);
    }
    let found = all_layers(engine, &engine.db.snapshot(), segment, version)?;
    Ok(found.into_iter().map(|layer| layer.job).collect())
}

pub(super) fn put_layer(batch: &mut WriteBatch, segment: SegmentId, layer: &Layer) -> Result<()> {
    batch.put(keys::closed_layer(segment, layer.first), to_json(layer)?);
    Ok(())
}

/// Deletes a layer with its row.
pub(super) fn delete_row(
    engine: &Engine,
    batch: &mut WriteBatch,
    segment: SegmentId,
    layer: &Layer,
) -> Result<()> {
    if layer.copies || !layer.is_empty {
        delete_layer(engine, batch, segment, (layer.number, layer.copies))?;
    }
    batch.delete(keys::closed_layer(segment, layer.first));
    Ok(())
}

/// Deletes the members of a layer, which is of copies or not. To look for each prefix opens every file of level 0.
pub(super) fn delete_layer(
    engine: &Engine,
    batch: &mut WriteBatch,
    segment: SegmentId,
    (number, copies): (u32, bool),
) -> Result<()> {
    delete_prefix(engine, batch, &keys::layer(segment, number))?;
    if copies {
        delete_prefix(engine, batch, &keys::copy_links(segment, number))?;
        delete_prefix(engine, batch, &keys::copy_link_groups(segment, number))?;
    }
    Ok(())
}
