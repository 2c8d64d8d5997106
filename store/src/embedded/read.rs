//! Reading endpoints, users and members.

use pinport_model::{ApplicationId, Endpoint, Segment, SegmentVersion};

use super::{
    engine::Engine,
    keys::{self, Key},
    layers,
    merged::Merged,
    scan::Scan,
    user_links::UserLinks,
};
use crate::{
    Result,
    record::{
        merge::overlaid,
        read::{decode, is_endpoint, user_of},
    },
};

/// A member: its id, and its own record if it is a copy.
type Member = (Vec<u8>, Option<Vec<u8>>);

/// Endpoints read at once: their users are looked up in order, so that each block of users is read once for many.
const READ_AT_ONCE: usize = 16_384;

/// Members up to which their endpoints are looked up one by one. To begin a scan opens every run in level 0.
const FEW: usize = 64;

/// Endpoints that a scan goes over before it seeks the next one that is wanted.
const STEPS: usize = 8;

pub(super) fn endpoint(engine: &Engine, application: ApplicationId, id: &[u8]) -> Result<Option<Endpoint>> {
    let Some(record) = engine.get(&keys::endpoint(application, id))? else { return Ok(None) };
    let user_record = match user_of(&record)? {
        Some(user) if !user.is_empty() => engine.get(&keys::user(application, user))?,
        _ => None,
    };
    Ok(decode(application, id, &record, user_record.as_deref().unwrap_or_default())?)
}

/// The endpoints of a user in order of id.
pub(super) fn user_endpoints(
    engine: &Engine,
    application: ApplicationId,
    user: &[u8],
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<Endpoint>> {
    let mut links = UserLinks::of(engine, application, user, after)?;
    let mut found = Vec::new();
    while found.len() < limit {
        let mut batch: Vec<Member> = Vec::new();
        while batch.len() < READ_AT_ONCE.min(limit)
            && let Some(id) = links.next()?
        {
            batch.push((id.to_vec(), None));
        }
        if batch.is_empty() {
            break;
        }
        let endpoints = resolve(engine, application, &batch, None)?;
        let own = |endpoint: &Endpoint| endpoint.user.user_id.as_deref().map(str::as_bytes) == Some(user);
        found.extend(endpoints.into_iter().filter(own).take(limit - found.len()));
    }
    Ok(found)
}

/// Whether a user has an endpoint beside `except`.
pub(super) fn has_other_endpoint(
    engine: &Engine,
    application: ApplicationId,
    user: &[u8],
    except: &[u8],
) -> Result<bool> {
    let mut links = UserLinks::of(engine, application, user, None)?;
    while let Some(id) = links.next()? {
        if id != except
            && let Some(record) = engine.get(&keys::endpoint(application, id))?
            && is_endpoint(&record)?
            && user_of(&record)? == Some(user)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Members of a version in order of id, after `after`.
pub(super) fn members(
    engine: &Engine,
    segment: &Segment,
    version: &SegmentVersion,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<Endpoint>> {
    // Another thread may fold the layers meanwhile.
    let snapshot = engine.db.snapshot();
    let layers = layers::to_open(&layers::of_version(engine, &snapshot, segment, version)?);
    let mut members = Merged::new(engine, &snapshot, segment.id, &layers, (after, false))?;
    let mut endpoints = (limit > FEW).then(|| engine.scan(&keys::endpoint(segment.application, b"")));
    let mut found = Vec::new();
    while found.len() < limit {
        let wanted = READ_AT_ONCE.min(limit - found.len());
        let mut batch = Vec::new();
        while batch.len() < wanted
            && let Some((id, copy)) = members.next()?
        {
            batch.push((id.to_vec(), copy.map(<[u8]>::to_vec)));
        }
        if batch.is_empty() {
            break;
        }
        found.extend(resolve(engine, segment.application, &batch, endpoints.as_mut())?);
    }
    Ok(found)
}

/// The records of ids that ascend, found by going over all the endpoints between them.
fn scanned(
    endpoints: &mut Scan<'_>,
    application: ApplicationId,
    ids: &[&[u8]],
) -> Result<Vec<Option<Vec<u8>>>> {
    if let Some(first) = ids.first() {
        endpoints.seek(&keys::endpoint(application, first));
    }
    let mut records = Vec::with_capacity(ids.len());
    for id in ids {
        let mut steps = 0;
        while let Some((found, _)) = endpoints.entry()?
            && found < *id
        {
            if steps < STEPS {
                endpoints.forward();
            } else {
                endpoints.seek(&keys::endpoint(application, id));
            }
            steps += 1;
        }
        let entry = endpoints.entry()?;
        records.push(entry.filter(|(found, _)| found == id).map(|(_, record)| record.to_vec()));
    }
    Ok(records)
}

/// The endpoints that members (in order of id) stand for; those that are gone are left out. `endpoints`: a scan of
/// the application's, if there are many members.
fn resolve(
    engine: &Engine,
    application: ApplicationId,
    members: &[Member],
    endpoints: Option<&mut Scan<'_>>,
) -> Result<Vec<Endpoint>> {
    let needs_registered = |copy: &Option<Vec<u8>>| -> Result<bool> {
        copy.as_ref().map_or(Ok(true), |copy| Ok(!is_endpoint(copy)?))
    };
    let mut asked: Vec<&[u8]> = Vec::new();
    for (id, copy) in members {
        if needs_registered(copy)? {
            asked.push(id);
        }
    }
    let registered = match endpoints {
        Some(endpoints) => scanned(endpoints, application, &asked)?,
        None => {
            let keys: Vec<_> = asked.iter().map(|id| keys::endpoint(application, id)).collect();
            let records = engine.get_sorted(&keys)?;
            records.into_iter().map(|record| record.map(|record| record.to_vec())).collect()
        }
    };
    // The users in order, each once, and which of them belongs to which record.
    let mut named: Vec<(&[u8], usize)> = Vec::new();
    for (index, record) in registered.iter().enumerate() {
        if let Some(record) = record
            && let Some(user) = user_of(record)?.filter(|user| !user.is_empty())
        {
            named.push((user, index));
        }
    }
    named.sort_unstable();
    let mut users: Vec<Key> = Vec::new();
    let mut user_places = vec![None; registered.len()];
    for same in named.chunk_by(|one, other| one.0 == other.0) {
        same.iter().for_each(|(_, index)| user_places[*index] = Some(users.len()));
        users.push(keys::user(application, same[0].0));
    }
    let user_records = engine.get_sorted(&users)?;

    let mut registered = registered.iter().zip(user_places);
    let mut endpoints = Vec::with_capacity(members.len());
    for (id, copy) in members {
        if !needs_registered(copy)? {
            let copy = copy.as_deref().unwrap_or_default();
            endpoints.extend(decode(application, id, copy, &[])?);
            continue;
        }
        let Some((Some(record), user)) = registered.next() else { continue };
        if !is_endpoint(record)? {
            continue;
        }
        let user_record = user.and_then(|user| user_records[user].as_deref()).unwrap_or_default();
        match copy {
            None => endpoints.extend(decode(application, id, record, user_record)?),
            Some(copy) => {
                let (mut whole, mut all) = (Vec::new(), Vec::new());
                overlaid(record, user_record, copy, &mut whole, &mut all)?;
                endpoints.extend(decode(application, id, &all, &[])?);
            }
        }
    }
    Ok(endpoints)
}
