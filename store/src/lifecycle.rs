//! The rules that every engine keeps for jobs and the segments they define: which change may follow which.
//! Nothing here reads or writes; engines do, in one transaction around each rule.

use pinport_model::{
    Application, ImportJob, Segment, SegmentId, SegmentVersion, Timestamp,
    failure::{FailureCode, FailureReason, quoted},
    job::JobStatus,
    segment::SegmentLayer,
};

use crate::{Result, StoreError};

pub(crate) fn not_found(what: &'static str, id: impl ToString) -> StoreError {
    StoreError::NotFound { what, id: id.to_string() }
}

/// The conflict of an application whose id, or name where that matters, is another's.
pub(crate) fn application_exists(application: &Application) -> StoreError {
    StoreError::Conflict(format!("there is already an application named \"{}\"", application.name))
}

/// The segment of `job` with a layer for it: the one that is there, or a new one, which has the job's id.
pub(crate) fn open_layer(found: Option<Segment>, id: SegmentId, job: &ImportJob) -> Result<Segment> {
    let definition = &job.definition;
    let mut segment = match found {
        Some(segment) => segment,
        None if id == SegmentId::from(job.id) => Segment {
            id,
            application: definition.application,
            name: definition.segment_name.clone().unwrap_or_else(|| id.to_string()),
            created: job.created,
            modified: job.created,
            tags: Default::default(),
            versions: Vec::new(),
            next_layer: 0,
            open_layers: Vec::new(),
        },
        None => return Err(not_found("segment", id)),
    };
    let layer =
        SegmentLayer { number: segment.next_layer, job: job.id, copies: !definition.register_endpoints };
    segment.next_layer += 1;
    segment.open_layers.push(layer);
    Ok(segment)
}

/// The layer that `job` writes to.
pub(crate) fn layer_of(segment: &Segment, job: &ImportJob) -> Result<SegmentLayer> {
    let layer = segment.open_layers.iter().find(|layer| layer.job == job.id);
    layer.copied().ok_or_else(|| StoreError::Conflict(format!("job {} writes to no segment", job.id)))
}

/// Closes the layer of an ended job and makes the version it leads to, if it leads to one: `has_members` says so
/// unless the job is completed. `count` counts the members of layers: not asked if the job knows how many there are.
pub(crate) fn close_layer(
    segment: &mut Segment,
    job: &ImportJob,
    replace: bool,
    has_members: bool,
    count: impl FnOnce(&[SegmentLayer]) -> Result<u64>,
) -> Result<()> {
    let layer = layer_of(segment, job)?;
    segment.open_layers.retain(|open| open.job != job.id);
    let completed = job.status == JobStatus::Completed;
    if !completed && !has_members {
        return Ok(());
    }
    let now = job.completed.unwrap_or_else(Timestamp::now);
    let base = segment.current().filter(|_| !replace);
    let mut version = SegmentVersion {
        version: segment.current().map_or(1, |current| current.version + 1),
        created: now,
        layers: base.map_or_else(Vec::new, |base| base.layers.clone()),
        job: job.id,
        source: job.definition.source_text.clone(),
        format: job.definition.format,
        size: 0,
        channels: job.tally.channels,
        partial: !completed,
    };
    if let Some(base) = base {
        version.channels.iter_mut().zip(base.channels).for_each(|(sum, count)| *sum += count);
    }
    version.layers.push(layer);
    version.size = match job.segment_members {
        Some(known) if known.version == version.version => known.count,
        // Another job made a version since this one counted, or it could not.
        _ => count(&version.layers)?,
    };
    segment.versions.push(version);
    segment.modified = now;
    Ok(())
}

/// Whether `next` may replace `stored` while the job lives.
pub(crate) fn check_save(stored: Option<&ImportJob>, next: &ImportJob) -> Result<()> {
    check_open(stored, next)?;
    if next.status.is_terminal() {
        return Err(StoreError::Conflict(format!("job {} is saved as ended but was not finished", next.id)));
    }
    Ok(())
}

/// Whether `ended` may end the job.
pub(crate) fn check_finish(stored: Option<&ImportJob>, ended: &ImportJob) -> Result<()> {
    check_open(stored, ended)?;
    if !ended.status.is_terminal() {
        let message = format!("job {} cannot be finished while it is {}", ended.id, ended.status);
        return Err(StoreError::Conflict(message));
    }
    Ok(())
}

/// Whether the job is there and has not ended.
pub(crate) fn check_open(stored: Option<&ImportJob>, job: &ImportJob) -> Result<()> {
    let stored = stored.ok_or_else(|| not_found("job", job.id))?;
    if stored.status.is_terminal() {
        return Err(StoreError::Conflict(format!("job {} has ended: it is {}", stored.id, stored.status)));
    }
    Ok(())
}

/// Whether piece number `piece` may be committed when `last` is the last one.
pub(crate) fn check_piece(last: Option<u64>, piece: u64) -> Result<()> {
    let due = last.map_or(0, |last| last + 1);
    if piece == due {
        return Ok(());
    }
    Err(StoreError::Conflict(format!("piece {piece} cannot be committed: piece {due} is due")))
}

/// What an update says that finds no endpoint.
pub(crate) fn unknown_endpoint(id: &[u8]) -> FailureReason {
    let id = quoted(&String::from_utf8_lossy(id));
    let message = format!("no endpoint {id} to update; a new endpoint needs Address and ChannelType");
    FailureReason::of("Id", FailureCode::UnknownEndpoint, message)
}

/// What a record says that names a user without endpoints.
pub(crate) fn unknown_user(user: &[u8]) -> FailureReason {
    let user = quoted(&String::from_utf8_lossy(user));
    let message =
        format!("no user {user} with an endpoint; import one that has Address and ChannelType first");
    FailureReason::of("User.UserId", FailureCode::UnknownUser, message)
}
