//! The rules that every engine keeps for jobs and the segments they define: which change may follow which.
//! Nothing here reads or writes; engines do, in one transaction around each rule.

use std::collections::{BTreeSet, HashMap};

use pinport_model::{
    Application, Criteria, ImportJob, Segment, SegmentId, SegmentVersion, Timestamp,
    criteria::{MAX_CRITERIA_DEPTH, MAX_CRITERIA_SEGMENTS, SegmentReference},
    failure::{FailureCode, FailureReason, quoted},
    job::JobStatus,
    limits::RecordLimits,
    segment::{SegmentLayer, VERSIONS_KEPT},
};
use serde::{Deserialize, Serialize};

use crate::{
    EndpointUpdate, NAMES_TOLD, Result, StoreError,
    record::{
        self, Tag,
        bounds::{Bounds, Size, fold},
        read::{Members, is_endpoint, user_of},
    },
};

pub(crate) fn not_found(what: &'static str, id: impl ToString) -> StoreError {
    StoreError::NotFound { what, id: id.to_string() }
}

/// The conflict of an application whose id, or name where that matters, is another's.
pub(crate) fn application_exists(application: &Application) -> StoreError {
    StoreError::Conflict(format!("there is already an application named \"{}\"", application.name))
}

/// A segment with what its engine keeps for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SegmentState {
    #[serde(flatten)]
    pub(crate) segment: Segment,
    /// The number the next layer gets.
    pub(crate) next_layer: u32,
    /// How many layers were closed: the place of the next one.
    pub(crate) closed: u32,
}

/// The segment of `job` and a layer for the job: the segment that is there, or a new one, which has the job's id.
pub(crate) fn open_layer(
    found: Option<SegmentState>,
    id: SegmentId,
    job: &ImportJob,
) -> Result<(SegmentState, SegmentLayer)> {
    let definition = &job.definition;
    let mut state = match found {
        Some(state) if state.segment.criteria().is_some() => return Err(made_of_criteria(id)),
        Some(state) => state,
        None if id == SegmentId::from(job.id) => SegmentState {
            segment: Segment {
                id,
                application: definition.application,
                name: definition.segment_name.clone().unwrap_or_else(|| id.to_string()),
                created: job.created,
                modified: job.created,
                tags: Default::default(),
                current: None,
            },
            next_layer: 0,
            closed: 0,
        },
        None => return Err(not_found("segment", id)),
    };
    let layer =
        SegmentLayer { number: state.next_layer, job: job.id, copies: !definition.register_endpoints };
    state.next_layer += 1;
    Ok((state, layer))
}

/// What an import says into a segment that holds no members.
fn made_of_criteria(id: SegmentId) -> StoreError {
    StoreError::Conflict(format!(
        "segment {id} is made of criteria: imports can add to segments that imports made, and to no others"
    ))
}

/// A new segment that is made of criteria, as it is kept.
pub(crate) fn new_segment(segment: &Segment) -> Result<SegmentState> {
    match &segment.current {
        Some(version) if version.criteria.is_some() => {
            Ok(SegmentState { segment: segment.clone(), next_layer: 0, closed: 0 })
        }
        _ => Err(StoreError::Criteria("a new segment without an import needs criteria".into())),
    }
}

/// Gives a segment that is made of criteria its next version: with these, or with those that it has.
pub(crate) fn next_version(
    state: &mut SegmentState,
    criteria: Option<&Criteria>,
    now: Timestamp,
) -> Result<SegmentVersion> {
    let segment = &mut state.segment;
    let current = segment.current.as_ref().and_then(|version| Some((version, version.criteria.as_deref()?)));
    let Some((current, before)) = current else {
        let id = segment.id;
        return Err(StoreError::Criteria(format!(
            "segment {id} was imported: it has the members that imports brought, and no Dimensions or SegmentGroups"
        )));
    };
    let mut next = SegmentVersion::of_criteria(current.version + 1, now, criteria.unwrap_or(before).clone());
    if criteria.is_none_or(|criteria| criteria == before) {
        (next.size, next.channels, next.counted) = (current.size, current.channels, current.counted);
    }
    segment.modified = now;
    segment.current = Some(next.clone());
    Ok(next)
}

/// Finds the version that a reference means; none if its segment or version is not there.
pub(crate) type FindVersion<'a> = dyn Fn(&SegmentReference) -> Result<Option<SegmentVersion>> + 'a;

/// Whether criteria can be read: what they refer to is there, is not `own` (the segment that they are for), and is no
/// more than a read can take.
pub(crate) fn check_references(
    own: Option<SegmentId>,
    criteria: &Criteria,
    find: &FindVersion<'_>,
) -> Result<()> {
    let mut met = HashMap::new();
    for (index, group) in criteria.groups().iter().enumerate() {
        for (place, reference) in group.source_segments.iter().enumerate() {
            let at = format!("SegmentGroups.Groups[{index}].SourceSegments[{place}]");
            check_reference(own, reference, find, &mut met, 1).map_err(|error| match error {
                StoreError::Criteria(reason) => StoreError::Criteria(format!("{at}: {reason}")),
                error => error,
            })?;
        }
    }
    Ok(())
}

fn check_reference(
    own: Option<SegmentId>,
    reference: &SegmentReference,
    find: &FindVersion<'_>,
    met: &mut HashMap<(SegmentId, Option<u32>), usize>,
    depth: usize,
) -> Result<()> {
    let SegmentReference { id, version } = *reference;
    if own == Some(id) {
        let reason = format!("segment {id} would be made of itself");
        return Err(StoreError::Criteria(reason));
    }
    if depth > MAX_CRITERIA_DEPTH {
        return Err(StoreError::Criteria(too_deep()));
    }
    // One that was met as deep as this is not looked at again.
    if met.get(&(id, version)).is_some_and(|met| *met >= depth) {
        return Ok(());
    }
    met.insert((id, version), depth);
    if met.len() > MAX_CRITERIA_SEGMENTS {
        return Err(StoreError::Criteria(too_many_segments()));
    }
    let Some(found) = find(reference)? else { return Err(StoreError::Criteria(no_source(reference))) };
    let criteria = found.criteria.as_deref();
    criteria
        .iter()
        .flat_map(|criteria| criteria.references())
        .try_for_each(|next| check_reference(own, next, find, met, depth + 1))
}

pub(crate) fn too_deep() -> String {
    format!("more than {MAX_CRITERIA_DEPTH} segments lie one within the other")
}

pub(crate) fn too_many_segments() -> String {
    format!("more than {MAX_CRITERIA_SEGMENTS} segments are needed, those of its source segments included")
}

/// What is said of a source segment that is not there.
pub(crate) fn no_source(reference: &SegmentReference) -> String {
    let SegmentReference { id, version } = reference;
    match version {
        Some(version) => format!("there is no version {version} of segment {id}"),
        None => format!("there is no segment {id} with members: an import into it has to end first"),
    }
}

/// What is said when a segment that is made of others cannot be read.
pub(crate) fn unreadable(segment: SegmentId, reason: &str) -> StoreError {
    StoreError::Conflict(format!("segment {segment} cannot be read: {reason}"))
}

/// That a job has ended, so that it may be deleted.
pub(crate) fn check_deletable(job: &ImportJob) -> Result<()> {
    if job.status.is_terminal() {
        return Ok(());
    }
    Err(StoreError::Conflict(format!("job {} has not ended", job.id)))
}

/// What a job says that has no open layer.
pub(crate) fn no_layer(job: &ImportJob) -> StoreError {
    StoreError::Conflict(format!("job {} writes to no segment", job.id))
}

/// What is said of a version that is not kept.
pub(crate) fn no_version(segment: &Segment, version: u32) -> StoreError {
    not_found("version", format!("{version} of segment {}", segment.id))
}

/// Closes the layer of an ended job and makes the version it leads to, if it leads to one: `has_members` says so
/// unless the job is completed. `count_new` counts the members of the layer that are not members of the version it adds to,
/// if it adds to one: not asked if the job knows how many members there are in all.
pub(crate) fn close_layer(
    state: &mut SegmentState,
    job: &ImportJob,
    replace: bool,
    has_members: bool,
    count_new: impl FnOnce(Option<&SegmentVersion>) -> Result<u64>,
) -> Result<Option<SegmentVersion>> {
    let completed = job.status == JobStatus::Completed;
    if !completed && !has_members {
        return Ok(None);
    }
    let current = state.segment.current();
    let base = current.filter(|_| !replace);
    let place = state.closed;
    let mut version = SegmentVersion {
        version: current.map_or(1, |current| current.version + 1),
        created: job.completed.unwrap_or_else(Timestamp::now),
        first_layer: base.map_or(place, |base| base.first_layer),
        last_layer: place,
        job: job.id,
        source: job.definition.source_text.clone(),
        format: job.definition.format,
        size: base.map_or(0, |base| base.size),
        channels: job.tally.channels,
        partial: !completed,
        criteria: None,
        counted: None,
    };
    if let Some(base) = base {
        version.channels.iter_mut().zip(base.channels).for_each(|(sum, count)| *sum += count);
    }
    version.size = match job.segment_members {
        Some(known) if known.version == version.version => known.count,
        // Another job made a version since this one counted, or it could not.
        _ => version.size + count_new(base)?,
    };
    state.closed += 1;
    state.segment.modified = version.created;
    state.segment.current = Some(version.clone());
    Ok(Some(version))
}

/// The newest version that is forgotten when `version` is made.
pub(crate) fn forgotten(version: u32) -> Option<u32> {
    version.checked_sub(VERSIONS_KEPT).filter(|version| *version > 0)
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

/// Why a record may not make `before` into `after`, if it may not. What is over a limit already may change but not grow.
pub(crate) fn too_large(before: &[u8], after: &[u8], bounds: &Bounds) -> Result<Option<FailureReason>> {
    let (old, new) = (Size::of(before, false)?, Size::of(after, false)?);
    let kinds = ["Attributes", "Metrics", "User.UserAttributes"];
    for ((member, old), new) in kinds.into_iter().zip(old.names).zip(new.names) {
        let most = bounds.names;
        if new > most && new > old {
            let message = format!("has {new} names with those it had, the limit is {most}");
            return Ok(Some(FailureReason::of(member, FailureCode::TooManyAttributes, message)));
        }
    }
    let most = bounds.bytes;
    if new.bytes > most && new.bytes > old.bytes {
        let message = format!("takes {} bytes with what it had, the limit is {most}", new.bytes);
        return Ok(Some(FailureReason::of("", FailureCode::EndpointTooLarge, message)));
    }
    Ok(None)
}

/// What an update comes to for an endpoint.
pub(crate) struct Applied {
    /// What is merged into the endpoint: with the user's attributes, while it has no user.
    pub(crate) record: Vec<u8>,
    /// The user that the update gives the endpoint to.
    pub(crate) named: Option<Vec<u8>>,
    /// The user that the endpoint has then. Attributes of a user are merged into this one's.
    pub(crate) user: Option<Vec<u8>>,
}

impl Applied {
    /// Of an update to an endpoint that has `stored` by now.
    pub(crate) fn of(update: &EndpointUpdate, stored: &[u8]) -> Result<Self> {
        let mut record = update.record.clone();
        if !is_endpoint(&record)? && !is_endpoint(stored)? {
            record = fold([record::INCOMPLETE, &record], true)?;
        }
        let given = user_of(&record)?;
        let owned = |user: Option<&[u8]>| user.filter(|user| !user.is_empty()).map(<[u8]>::to_vec);
        let (named, user) = (owned(given), owned(given.or(user_of(stored)?)));
        if user.is_none() {
            record.extend_from_slice(&update.user_record);
        }
        Ok(Self { record, named, user })
    }
}

/// The update that takes the named attributes from a record; empty, if it has none of them. Adds up to [`NAMES_TOLD`] of
/// the names to `removed`.
pub(crate) fn removal(
    record: &[u8],
    tag: Tag,
    is_named: &dyn Fn(&str) -> bool,
    removed: &mut BTreeSet<String>,
) -> Result<Vec<u8>> {
    let mut update = Vec::new();
    let mut members = Members::new(record);
    while let Some(member) = members.next()? {
        if member.tag == tag as u8
            && !member.is_removal()
            && let Ok(name) = str::from_utf8(member.name)
            && is_named(name)
        {
            record::put_removal(&mut update, tag, name);
            if removed.len() < NAMES_TOLD {
                removed.insert(name.to_owned());
            }
        }
    }
    Ok(update)
}

/// An error if an update may not make `before` into `after`.
pub(crate) fn check_size(
    update: &EndpointUpdate,
    before: &[u8],
    after: &[u8],
    limits: &RecordLimits,
) -> Result<()> {
    match too_large(before, after, &Bounds::from(limits))? {
        None => Ok(()),
        Some(reason) => Err(StoreError::TooLarge { id: update.id.clone(), reason }),
    }
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
