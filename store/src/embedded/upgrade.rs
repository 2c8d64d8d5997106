//! Brings a store of an older layout to the newest one.

use pinport_model::{ImportJob, JobId, Segment, SegmentVersion, segment::SegmentLayer};
use rocksdb::WriteBatch;
use serde::Deserialize;

use super::{
    closing::FOLD_MEMBERS,
    engine::{Engine, from_json, to_json},
    keys::{self, Table, key},
    layers::{Layer, delete_layer, put_layer},
    segments::put_state,
};
use crate::{
    Result,
    lifecycle::{self, SegmentState},
};

/// Brings the segments of a store of an older layout to this one: there a segment was one row with all its versions, each
/// with a list of its layers. The members stay as they are.
pub(super) fn upgrade(engine: &Engine) -> Result<()> {
    let mut rows = engine.scan(&key(Table::Segments, &[]));
    rows.seek_first();
    while let Some((_, json)) = rows.entry()? {
        let row: serde_json::Value = from_json(json)?;
        // One that has none was brought here before a crash.
        if row.get("versions").is_some() {
            let mut batch = WriteBatch::default();
            from_layout_2(engine, &mut batch, from_json(json)?)?;
            engine.write(batch)?;
        }
        rows.forward();
    }
    Ok(())
}

/// A segment as layouts 1 and 2 had it.
#[derive(Deserialize)]
struct OldSegment {
    #[serde(flatten)]
    segment: Segment,
    versions: Vec<OldVersion>,
    #[serde(default)]
    next_layer: u32,
    #[serde(default)]
    open_layers: Vec<SegmentLayer>,
}

#[derive(Deserialize)]
struct OldVersion {
    version: u32,
    created: pinport_model::Timestamp,
    layers: Vec<SegmentLayer>,
    job: JobId,
    source: String,
    format: pinport_model::Format,
    size: u64,
    channels: [u64; pinport_model::Channel::ALL.len()],
    partial: bool,
}

fn from_layout_2(engine: &Engine, batch: &mut WriteBatch, old: OldSegment) -> Result<()> {
    let OldSegment { mut segment, versions, next_layer, open_layers } = old;
    let id = segment.id;
    let closed = u32::try_from(versions.len()).unwrap_or(u32::MAX);
    // Each version had the layers of the one before and one of its own, or that alone: so its layers are neighbours.
    let mut first_kept = 0;
    let forgotten = versions.last().and_then(|version| lifecycle::forgotten(version.version));
    let oldest_kept = forgotten.map_or(0, |forgotten| forgotten + 1);
    for (place, version) in (0..).zip(&versions) {
        let first_layer = (place + 1_u32).saturating_sub(version.layers.len() as u32);
        let made = SegmentVersion {
            version: version.version,
            created: version.created,
            first_layer,
            last_layer: place,
            job: version.job,
            source: version.source.clone(),
            format: version.format,
            size: version.size,
            channels: version.channels,
            partial: version.partial,
            criteria: None,
            counted: None,
        };
        if version.version <= oldest_kept {
            first_kept = first_layer;
        }
        if version.version >= oldest_kept {
            batch.put(keys::version(id, made.version), to_json(&made)?);
        }
        segment.current = Some(made);
    }
    for (place, version) in (0..).zip(&versions) {
        let Some(layer) = version.layers.last() else { continue };
        if place < first_kept {
            delete_layer(engine, batch, id, (layer.number, layer.copies))?;
            continue;
        }
        let job: Option<ImportJob> = engine.get_json(&keys::job(layer.job))?;
        let records = job.map_or(FOLD_MEMBERS, |job| job.tally.registered);
        let SegmentLayer { number, job, copies } = *layer;
        let row =
            Layer { number, copies, job: Some(job), first: place, last: place, records, is_empty: false };
        put_layer(batch, id, &row)?;
    }
    for layer in &open_layers {
        batch.put(keys::open_layer(id, layer.job), to_json(layer)?);
    }
    put_state(batch, &SegmentState { segment, next_layer, closed })
}
