//! Walks a piece in source order and judges its records.

use std::collections::{HashMap, HashSet};

use pinport_model::failure::FailureReason;

use super::{
    Facts,
    deferred::{Deferred, When},
    lookup::Lookup,
    room::Room,
    walk::Walk,
};
use crate::{
    DraftBatch, DraftKind, Result, Unresolved,
    batch::Entry,
    lifecycle,
    piece_rows::{Row, Rows, Target, whole},
    record::INCOMPLETE,
};

/// Walks a piece in source order: the rows its deferred entries come to, and the records that failed.
///
/// A user's attributes may come from deferred entries and from others. The deferred ones are written after the
/// others, so from the first of them on they bring along what the others say of the user later.
pub(crate) fn judge<'a>(
    facts: &impl Facts,
    lookup: &'a Lookup,
    target: &Target,
    batches: &'a [DraftBatch],
    deferred: &Deferred,
) -> Result<(Rows<'a>, Vec<Unresolved>)> {
    let copies = target.copies().is_some();
    let mut walk = Walk { lookup, copies, seen: HashMap::new(), named: HashMap::new() };
    let mut room = Room { facts, target, records: HashMap::new(), bytes: 0 };
    deferred.expect(facts, target, batches)?;
    let mut rows = Rows::default();
    let mut unresolved = Vec::new();
    let (mut deferred_users, mut noted) = (HashSet::new(), 0);
    let mut place = 0;
    for batch in batches {
        for entry in batch.entries() {
            let when = deferred.when(place);
            place += 1;
            if when == When::Before {
                let (id, user) = (batch.bytes(entry.id), batch.bytes(entry.user));
                let user_record = batch.bytes(entry.user_record);
                // Who has which endpoint is all that others may ask about.
                if !lookup.users.is_empty() && walk.may_be_asked(id, user) {
                    walk.note(batch, entry)?;
                }
                deferred_users.extend(rows.users[noted..].iter().map(|row| row.id));
                if !user_record.is_empty() && deferred_users.contains(user) {
                    rows.users.push(Row { id: user, record: user_record, user: &[] });
                }
                noted = rows.users.len();
                continue;
            }
            let room = (when == When::IfThereIsRoom).then_some(&mut room);
            let failed = match entry.kind {
                DraftKind::UserOnly => judge_user(&mut walk, room, &mut rows, batch, entry)?,
                _ => judge_endpoint(&mut walk, room, &mut rows, batch, entry, target)?,
            };
            if let Some(reason) = failed {
                unresolved.push(Unresolved {
                    origin: batch.origin_of(entry),
                    reason,
                    channel: entry.channel,
                    raw: batch.raw_of(entry),
                });
            }
        }
    }
    Ok((rows, unresolved))
}

/// Judges a record that names a user alone; with `room` only if its endpoints have some. Gives why it failed.
fn judge_user<'a>(
    walk: &mut Walk<'a>,
    room: Option<&mut Room<'_, impl Facts>>,
    rows: &mut Rows<'a>,
    batch: &'a DraftBatch,
    entry: &Entry,
) -> Result<Option<FailureReason>> {
    let (user, record) = (batch.bytes(entry.user), batch.bytes(entry.user_record));
    let ids = walk.endpoints_of(user);
    if ids.is_empty() {
        return Ok(Some(lifecycle::unknown_user(user)));
    }
    if let Some(room) = room
        && let Some(reason) = room.take(None, (user, record))?
    {
        return Ok(Some(reason));
    }
    if walk.copies {
        rows.endpoints.extend(ids.into_iter().map(|id| Row { id, record, user: &[] }));
    } else {
        rows.members.extend(ids);
        if !record.is_empty() {
            rows.users.push(Row { id: user, record, user: &[] });
        }
    }
    Ok(None)
}

/// Judges a record of an endpoint; with `room` only if it has some. Gives why it failed.
fn judge_endpoint<'a>(
    walk: &mut Walk<'a>,
    room: Option<&mut Room<'_, impl Facts>>,
    rows: &mut Rows<'a>,
    batch: &'a DraftBatch,
    entry: &Entry,
    target: &Target,
) -> Result<Option<FailureReason>> {
    let (id, user) = (batch.bytes(entry.id), batch.bytes(entry.user));
    let user_record = batch.bytes(entry.user_record);
    if entry.kind == DraftKind::Update && !walk.exists(id) {
        return Ok(Some(lifecycle::unknown_endpoint(id)));
    }
    if let Some(room) = room {
        let owner = if user.is_empty() && !user_record.is_empty() { walk.user(id) } else { user };
        let record = match owner {
            [] => whole(batch, entry),
            _ => batch.bytes(entry.record),
        };
        if let Some(reason) = room.take(Some((id, record)), (owner, user_record))? {
            return Ok(Some(reason));
        }
    }
    if entry.kind == DraftKind::Upsert && !walk.exists(id) {
        rows.endpoints.push(Row { id, record: INCOMPLETE, user: &[] });
        walk.seen.entry(id).or_default().incomplete = true;
    }
    if walk.may_be_asked(id, user) {
        walk.note(batch, entry)?;
    }
    if walk.copies || user_record.is_empty() || !user.is_empty() {
        rows.push(batch, entry, target);
        return Ok(None);
    }
    // User attributes of a record that names no user: they are the endpoint's user's, and while it has none the
    // endpoint keeps them.
    let owner = walk.user(id);
    if owner.is_empty() {
        rows.endpoints.push(Row { id, record: whole(batch, entry), user });
    } else {
        rows.endpoints.push(Row { id, record: batch.bytes(entry.record), user });
        rows.users.push(Row { id: owner, record: user_record, user: &[] });
    }
    Ok(None)
}
