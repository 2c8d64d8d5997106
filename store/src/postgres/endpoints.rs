//! Updates and removals of endpoints that come by themselves, some at a time in one transaction.
//!
//! Unlike an import, these read what they change, one after the other in an application. They too append operands: their
//! number is drawn as a job's is, so of an update and an import that runs, the one that was begun later wins.

use std::collections::{BTreeMap, BTreeSet};

use pinport_model::{ApplicationId, limits::RecordLimits};

use super::{
    applications,
    connection::Connection,
    copy,
    hash::{h8, place_of},
    jobs::draw_number,
    read,
    rows::{COPY_OPS, COPY_UOPS, Place, op, uop},
};
use crate::{
    EndpointUpdate, Result,
    lifecycle::{self, Applied},
    record::{
        self, Tag,
        bounds::{Bounds, fold},
        read::{find, is_endpoint, user_of},
    },
};

/// Endpoints of a user that are removed in one transaction.
const REMOVED_AT_ONCE: usize = 1000;

/// A record as it is by now, and what was added to it.
#[derive(Debug, Default)]
struct Changed {
    stored: Vec<u8>,
    operand: Vec<u8>,
}

impl Changed {
    fn merge(&mut self, update: &[u8], keep_removals: bool) -> Result<()> {
        self.stored = fold([&self.stored[..], update], keep_removals)?;
        self.operand = fold([&self.operand[..], update], true)?;
        Ok(())
    }
}

/// What one transaction changes.
struct Changes<'a> {
    connection: &'a mut Connection,
    space: i32,
    bounds: Bounds,
    endpoints: BTreeMap<Vec<u8>, Changed>,
    users: BTreeMap<Vec<u8>, Changed>,
    links: BTreeSet<(Vec<u8>, Vec<u8>)>,
}

impl Changes<'_> {
    /// Reads what updates will be merged into.
    fn expect(&mut self, updates: &[EndpointUpdate]) -> Result<()> {
        let ids: BTreeSet<_> = updates.iter().map(|update| update.id.as_bytes()).collect();
        let mut found = read::endpoints(self.connection, self.space, ids.iter().copied(), self.bounds)?;
        for id in ids {
            let stored = found.remove(id).unwrap_or_default();
            self.endpoints.insert(id.to_vec(), Changed { stored, operand: Vec::new() });
        }
        let mut users = BTreeSet::new();
        for update in updates {
            users.extend(read::named_user(&update.record)?);
        }
        for endpoint in self.endpoints.values() {
            users.extend(read::named_user(&endpoint.stored)?);
        }
        let mut found = read::users(self.connection, self.space, users.iter().copied(), self.bounds)?;
        for user in users {
            let stored = found.remove(user).unwrap_or_default();
            self.users.insert(user.to_vec(), Changed { stored, operand: Vec::new() });
        }
        Ok(())
    }

    fn endpoint(&mut self, id: &[u8]) -> Result<&mut Changed> {
        if !self.endpoints.contains_key(id) {
            let mut found = read::endpoints(self.connection, self.space, [id], self.bounds)?;
            let stored = found.remove(id).unwrap_or_default();
            self.endpoints.insert(id.to_vec(), Changed { stored, operand: Vec::new() });
        }
        Ok(self.endpoints.entry(id.to_vec()).or_default())
    }

    fn put(&mut self, update: &EndpointUpdate, limits: &RecordLimits) -> Result<()> {
        let id = update.id.as_bytes();
        let stored = self.endpoint(id)?.stored.clone();
        let Applied { record, named, user } = Applied::of(update, &stored)?;
        self.note_address(id, &stored, &record)?;
        if let Some(user) = named {
            self.links.insert((user, id.to_vec()));
        }
        if let Some(user) = user.filter(|_| !update.user_record.is_empty()) {
            let changed = self.users.entry(user).or_default();
            let before = changed.stored.clone();
            changed.merge(&update.user_record, true)?;
            lifecycle::check_size(update, &before, &changed.stored, limits)?;
        }
        let changed = self.endpoint(id)?;
        changed.merge(&record, false)?;
        lifecycle::check_size(update, &stored, &changed.stored, limits)
    }

    /// What an update that comes by itself does to others with its address: they become inactive. Imports neither ask for
    /// addresses nor note them.
    fn note_address(&mut self, id: &[u8], stored: &[u8], record: &[u8]) -> Result<()> {
        let given = find(record, Tag::Address)?;
        let Some(address) = given.or(find(stored, Tag::Address)?) else { return Ok(()) };
        let hash = h8(self.space, address);
        let noted = self.connection.query(
            "SELECT id FROM addresses WHERE h8 = $1 AND space = $2 AND address = $3",
            &[&hash, &self.space, &address],
        )?;
        let noted: BTreeSet<Vec<u8>> = noted.iter().map(|row| row.get(0)).collect();
        if given.is_some() && noted.iter().any(|other| other != id) {
            self.connection.execute(
                "DELETE FROM addresses WHERE h8 = $1 AND space = $2 AND address = $3 AND id <> $4",
                &[&hash, &self.space, &address, &id],
            )?;
            for other in noted.iter().filter(|other| *other != id) {
                // It may have another address by now.
                let found = self.endpoint(other)?;
                if find(&found.stored, Tag::Address)? == given {
                    found.merge(record::INACTIVE, false)?;
                }
            }
        }
        if !noted.contains(id) {
            self.connection.execute(
                "INSERT INTO addresses (h8, space, address, id) VALUES ($1, $2, $3, $4)",
                &[&hash, &self.space, &address, &id],
            )?;
        }
        Ok(())
    }

    fn write(self) -> Result<()> {
        let version = [draw_number(self.connection)?, 0, 0];
        let place = Place::of(self.space, version);
        let mut ops = copy::Rows::default();
        for (id, changed) in self.endpoints.iter().filter(|(_, changed)| !changed.operand.is_empty()) {
            op(&mut ops, h8(self.space, id), &place, id, &changed.operand);
        }
        let mut uops = copy::Rows::default();
        for (user, changed) in self.users.iter().filter(|(_, changed)| !changed.operand.is_empty()) {
            uop(&mut uops, h8(self.space, user), &place, user, b"", Some(&changed.operand));
        }
        for (user, id) in &self.links {
            uop(&mut uops, h8(self.space, user), &place, user, id, None);
        }
        append(self.connection, &ops, &uops)
    }
}

fn append(connection: &mut Connection, ops: &copy::Rows, uops: &copy::Rows) -> Result<()> {
    connection.copy_in(COPY_OPS, ops)?;
    connection.copy_in(COPY_UOPS, uops)
}

/// Appends operands of endpoints, or of users, under a number of their own.
pub(super) fn append_updates(
    connection: &mut Connection,
    space: i32,
    updates: &[(Vec<u8>, Vec<u8>)],
    are_users: bool,
) -> Result<()> {
    let place = Place::of(space, [draw_number(connection)?, 0, 0]);
    let (mut ops, mut uops) = (copy::Rows::default(), copy::Rows::default());
    for (key, update) in updates {
        match are_users {
            true => uop(&mut uops, h8(space, key), &place, key, b"", Some(update)),
            false => op(&mut ops, h8(space, key), &place, key, update),
        }
    }
    append(connection, &ops, &uops)
}

/// Merges updates into endpoints, all of them or none.
pub(super) fn put(
    connection: &mut Connection,
    application: ApplicationId,
    updates: &[EndpointUpdate],
    limits: &RecordLimits,
    bounds: Bounds,
) -> Result<()> {
    let space = applications::locked(connection, application)?;
    let (endpoints, users, links) = Default::default();
    let mut changes = Changes { connection, space, bounds, endpoints, users, links };
    changes.expect(updates)?;
    for update in updates {
        changes.put(update, limits)?;
    }
    changes.write()
}

/// Deletes the operands of endpoints. The fold must not write meanwhile what it read before.
fn delete_operands(connection: &mut Connection, space: i32, ids: &[&[u8]]) -> Result<()> {
    let hashes: Vec<_> = ids.iter().map(|id| h8(space, id)).collect();
    let places: Vec<_> = hashes.iter().map(|hash| place_of(*hash)).collect();
    connection.query("SELECT 1 FROM folds WHERE place = ANY($1) ORDER BY place FOR SHARE", &[&places])?;
    connection.execute(
        "DELETE FROM ops WHERE h8 = ANY($1) AND space = $2 AND id = ANY($3)",
        &[&hashes, &space, &ids],
    )?;
    Ok(())
}

fn forget_address(connection: &mut Connection, space: i32, id: &[u8], record: &[u8]) -> Result<()> {
    if let Some(address) = find(record, Tag::Address)? {
        connection.execute(
            "DELETE FROM addresses WHERE h8 = $1 AND space = $2 AND address = $3 AND id = $4",
            &[&h8(space, address), &space, &address, &id],
        )?;
    }
    Ok(())
}

/// Deletes what is said of a user.
fn delete_user(connection: &mut Connection, space: i32, user: &[u8]) -> Result<()> {
    let hash = h8(space, user);
    connection.query("SELECT 1 FROM folds WHERE place = $1 FOR SHARE", &[&place_of(hash)])?;
    connection
        .execute("DELETE FROM uops WHERE h8 = $1 AND space = $2 AND usr = $3", &[&hash, &space, &user])?;
    Ok(())
}

/// Removes an endpoint; whether there was one.
pub(super) fn delete(
    connection: &mut Connection,
    application: ApplicationId,
    space: i32,
    id: &[u8],
    bounds: Bounds,
) -> Result<bool> {
    let mut found = read::endpoints(connection, space, [id], bounds)?;
    let Some(record) = found.remove(id) else { return Ok(false) };
    delete_operands(connection, space, &[id])?;
    forget_address(connection, space, id, &record)?;
    if let Some(user) = read::named_user(&record)? {
        // A user without endpoints is no user any more.
        let others = read::user_endpoints(connection, application, space, (user, None), 1, bounds)?;
        if others.is_empty() {
            delete_user(connection, space, user)?;
        }
    }
    Ok(is_endpoint(&record)?)
}

/// Removes some endpoints of a user, and the user with the last: how many, and whether they were the last.
pub(super) fn delete_some_of_user(
    connection: &mut Connection,
    space: i32,
    user: &[u8],
    bounds: Bounds,
) -> Result<(u64, bool)> {
    let ids = read::links(connection, space, user, None, REMOVED_AT_ONCE)?;
    let found = read::endpoints(connection, space, ids.iter().map(Vec::as_slice), bounds)?;
    let (mut removed, mut own) = (0, Vec::new());
    for (id, record) in &found {
        if user_of(record)? == Some(user) {
            own.push(&id[..]);
            forget_address(connection, space, id, record)?;
            removed += u64::from(is_endpoint(record)?);
        }
    }
    delete_operands(connection, space, &own)?;
    let is_last = ids.len() < REMOVED_AT_ONCE;
    if is_last {
        delete_user(connection, space, user)?;
    } else {
        connection.execute(
            "DELETE FROM uops WHERE h8 = $1 AND space = $2 AND usr = $3 AND id = ANY($4) AND rec IS NULL",
            &[&h8(space, user), &space, &user, &ids],
        )?;
        connection.execute(
            "UPDATE uops SET id = '' WHERE h8 = $1 AND space = $2 AND usr = $3 AND id = ANY($4)",
            &[&h8(space, user), &space, &user, &ids],
        )?;
    }
    Ok((removed, is_last))
}
