//! Updates and removals of endpoints that come by themselves, some at a time in one write.
//!
//! Unlike an import, these read what they change. What an update of the same write said before is seen by the next one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pinport_model::{ApplicationId, limits::RecordLimits};
use rocksdb::WriteBatch;

use super::{
    engine::Engine,
    groups,
    keys::{self, Key},
    read,
    user_links::{UserLinks, unlink},
};
use crate::{
    AttributeKind, EndpointUpdate, Result,
    lifecycle::{self, Applied},
    record::{
        self, Tag,
        bounds::fold,
        read::{find, is_endpoint, user_of},
    },
};

/// Endpoints of a user that are removed in one write.
const REMOVED_AT_ONCE: usize = 1000;

/// What one write will change, over what is stored.
struct Changes<'a> {
    engine: &'a Engine,
    application: ApplicationId,
    batch: WriteBatch,
    /// Endpoints and users as they will be, by their keys.
    records: HashMap<Key, Vec<u8>>,
    /// Addresses of endpoints that are noted, or no more.
    addresses: BTreeMap<Key, bool>,
    /// Links that are added, by user and endpoint, if the engine keeps some in memory.
    linked: Vec<(Vec<u8>, Vec<u8>)>,
}

impl<'a> Changes<'a> {
    fn new(engine: &'a Engine, application: ApplicationId) -> Self {
        let (batch, records, addresses, linked) = Default::default();
        Self { engine, application, batch, records, addresses, linked }
    }

    fn record(&self, key: &[u8]) -> Result<Vec<u8>> {
        if let Some(record) = self.records.get(key) {
            return Ok(record.clone());
        }
        Ok(self.engine.get(key)?.map_or_else(Vec::new, |record| record.to_vec()))
    }

    /// Merges an update into a record, which is `stored` by now.
    fn merge(&mut self, key: Key, stored: &[u8], update: &[u8], keep_removals: bool) -> Result<()> {
        self.batch.merge(&key, update);
        self.records.insert(key, fold([stored, update], keep_removals)?);
        Ok(())
    }

    fn put(&mut self, update: &EndpointUpdate, limits: &RecordLimits) -> Result<()> {
        let id = update.id.as_bytes();
        let key = keys::endpoint(self.application, id);
        let stored = self.record(&key)?;
        let Applied { record, named, user } = Applied::of(update, &stored)?;
        self.note_address(id, &stored, &record)?;
        if let Some(user) = named {
            self.batch.put(keys::link(&keys::links(self.application), &user, id), []);
            if self.engine.known_links.is_enabled() {
                self.linked.push((user, id.to_vec()));
            }
        }
        if let Some(user) = user.filter(|_| !update.user_record.is_empty()) {
            let key = keys::user(self.application, &user);
            let before = self.record(&key)?;
            self.merge(key.clone(), &before, &update.user_record, true)?;
            lifecycle::check_size(update, &before, &self.records[&key], limits)?;
        }
        self.merge(key.clone(), &stored, &record, false)?;
        lifecycle::check_size(update, &stored, &self.records[&key], limits)
    }

    /// What an update that comes by itself does to others with its address, as the service does: they become inactive.
    /// Imports neither ask for addresses nor note them: that would be a read, and one more row, for each record.
    fn note_address(&mut self, id: &[u8], stored: &[u8], record: &[u8]) -> Result<()> {
        let given = find(record, Tag::Address)?;
        let Some(address) = given.or(find(stored, Tag::Address)?) else { return Ok(()) };
        let prefix = keys::links_of(&keys::addresses(self.application), address);
        if given.is_some() {
            for other in self.others_with(&prefix, id)? {
                // Inactive ones need not be found again; another may have its address by now.
                let link = [&prefix[..], &other].concat();
                self.batch.delete(&link);
                self.addresses.insert(link, false);
                let key = keys::endpoint(self.application, &other);
                let found = self.record(&key)?;
                if find(&found, Tag::Address)? == given {
                    self.merge(key, &found, record::INACTIVE, false)?;
                }
            }
        }
        let link = [&prefix[..], id].concat();
        self.batch.put(&link, []);
        self.addresses.insert(link, true);
        Ok(())
    }

    /// The endpoints that are noted under an address, but for one.
    fn others_with(&self, prefix: &[u8], except: &[u8]) -> Result<Vec<Vec<u8>>> {
        let mut found = Vec::new();
        let mut noted = self.engine.scan(prefix);
        noted.seek_first();
        while let Some((id, _)) = noted.entry()? {
            let is_known = self.addresses.contains_key(&[prefix, id].concat());
            if id != except && !is_known {
                found.push(id.to_vec());
            }
            noted.forward();
        }
        let changed = self.addresses.range(prefix.to_vec()..keys::end_of(prefix));
        let changed = changed.filter(|(_, is_noted)| **is_noted).map(|(link, _)| &link[prefix.len()..]);
        found.extend(changed.filter(|id| *id != except).map(<[u8]>::to_vec));
        Ok(found)
    }

    /// Removes an endpoint, but not its user and the user's link to it.
    fn remove(&mut self, id: &[u8], record: &[u8]) -> Result<()> {
        self.batch.delete(keys::endpoint(self.application, id));
        if let Some(address) = find(record, Tag::Address)? {
            self.batch.delete(keys::link(&keys::addresses(self.application), address, id));
        }
        Ok(())
    }
}

/// Merges updates into endpoints in one write.
pub(super) fn put(
    engine: &Engine,
    application: ApplicationId,
    updates: &[EndpointUpdate],
    limits: &RecordLimits,
) -> Result<()> {
    let mut changes = Changes::new(engine, application);
    for update in updates {
        changes.put(update, limits)?;
    }
    engine.write(changes.batch)?;
    changes.linked.iter().for_each(|(user, id)| engine.known_links.add_one(application, user, id));
    Ok(())
}

/// Removes an endpoint; whether there was one.
pub(super) fn delete(engine: &Engine, application: ApplicationId, id: &[u8]) -> Result<bool> {
    let Some(record) = engine.get(&keys::endpoint(application, id))? else { return Ok(false) };
    let mut changes = Changes::new(engine, application);
    changes.remove(id, &record)?;
    if let Some(user) = user_of(&record)?.filter(|user| !user.is_empty()) {
        unlink(engine, &mut changes.batch, application, user, &[id])?;
        // A user without endpoints is no user any more.
        if !read::has_other_endpoint(engine, application, user, id)? {
            changes.batch.delete(keys::user(application, user));
        }
    }
    engine.write(changes.batch)?;
    Ok(is_endpoint(&record)?)
}

/// Removes some endpoints of a user in one write, and the user with the last: how many, and whether they were the last.
pub(super) fn delete_some_of_user(
    engine: &Engine,
    application: ApplicationId,
    user: &[u8],
) -> Result<(u64, bool)> {
    let (mut ids, mut records) = (Vec::new(), Vec::new());
    let mut links = UserLinks::of(engine, application, user, None)?;
    while ids.len() < REMOVED_AT_ONCE
        && let Some(id) = links.next()?
    {
        let record = engine.get(&keys::endpoint(application, id))?.map(|record| record.to_vec());
        let other = record.as_deref().map(user_of).transpose()?.flatten().filter(|other| *other != user);
        // The link may be that of the other user.
        if other.is_none_or(|other| groups::hash(other) != groups::hash(user)) {
            ids.push(id.to_vec());
            records.push(record);
        }
    }
    let is_last = links.next()?.is_none();
    let mut changes = Changes::new(engine, application);
    // Also the links of endpoints that have changed their user since.
    unlink(engine, &mut changes.batch, application, user, &ids)?;
    let mut removed = 0;
    for (id, record) in ids.iter().zip(records) {
        if let Some(record) = record
            && user_of(&record)? == Some(user)
        {
            changes.remove(id, &record)?;
            removed += u64::from(is_endpoint(&record)?);
        }
    }
    if is_last {
        changes.batch.delete(keys::user(application, user));
    }
    engine.write(changes.batch)?;
    Ok((removed, is_last))
}

/// Rows that are looked at for attributes before others have their turn.
const LOOKED_AT_ONCE: usize = 50_000;

/// Takes attributes from all endpoints or users of an application; the names that were there. Each is removed by an
/// update, so what an import brings meanwhile is neither lost nor kept from it.
pub(super) fn remove_attributes(
    engine: &Engine,
    application: ApplicationId,
    kind: AttributeKind,
    is_named: &dyn Fn(&str) -> bool,
) -> Result<BTreeSet<String>> {
    let mut removed = BTreeSet::new();
    let endpoints = keys::endpoint(application, b"");
    let prefixes = match kind {
        AttributeKind::Endpoint | AttributeKind::Metric => vec![endpoints],
        // An endpoint keeps those that came before it had a user.
        AttributeKind::User => vec![keys::user(application, b""), endpoints],
    };
    for prefix in prefixes {
        let mut after: Option<Key> = None;
        loop {
            let _endpoints = engine.endpoints_of(application);
            after = remove_some(engine, &prefix, kind.tag(), is_named, after, &mut removed)?;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(removed)
}

/// Removes the attributes of some rows in one write; the last of these, unless there are no more.
fn remove_some(
    engine: &Engine,
    prefix: &[u8],
    tag: Tag,
    is_named: &dyn Fn(&str) -> bool,
    after: Option<Key>,
    removed: &mut BTreeSet<String>,
) -> Result<Option<Key>> {
    let mut rows = engine.scan(prefix);
    match &after {
        None => rows.seek_first(),
        Some(after) => rows.seek_after(after),
    }
    let mut batch = WriteBatch::default();
    let (mut looked, mut last) = (0, None);
    while batch.len() < REMOVED_AT_ONCE
        && looked < LOOKED_AT_ONCE
        && let Some((id, record)) = rows.entry()?
    {
        looked += 1;
        let update = lifecycle::removal(record, tag, is_named, removed)?;
        let key = [prefix, id].concat();
        if !update.is_empty() {
            batch.merge(&key, update);
        }
        last = Some(key);
        rows.forward();
    }
    let is_last = rows.entry()?.is_none();
    if !batch.is_empty() {
        engine.write(batch)?;
    }
    Ok(last.filter(|_| !is_last))
}
