//! Judges the records of a piece whose outcome depends on what is there: in the store, as committed so far,
//! or in earlier records of the same piece.
//!
//! Most records of such a piece depend on nothing, and are written before its turn; the others are [`Deferred`]. At its
//! turn everything it may ask about is read in sorted batches ([`Lookup`]); then the records are walked in source
//! order ([`judge`]) without touching the store again. The rows of deferred records become runs of their own, which are
//! newer than the first ones.

use std::collections::{BTreeSet, HashMap, HashSet};

use pinport_model::{ApplicationId, failure::FailureReason};

use super::{
    engine::Engine,
    keys::{self, Key},
    piece_rows::{Crowded, Row, Rows, Target, is_blind, whole},
};
use crate::{
    DraftBatch, DraftKind, Result, Unresolved,
    batch::Entry,
    lifecycle,
    record::{
        INCOMPLETE, Tag,
        bounds::fold,
        read::{find, is_endpoint, user_of},
    },
};

/// Records of a piece up to which all of them are judged by what their endpoints and users have: a record that has no
/// room fails. In larger pieces that would be a read for each record; there wide records are judged, and those that the
/// piece itself has too many of. Of the others the members that have no room are left out when they are folded
/// ([`crate::record::bounds`]).
const SMALL_PIECE: usize = 256;

/// Whether all records of a piece are judged by what is there. A copy only has what its job says.
fn is_judged(batches: &[DraftBatch], target: &Target) -> bool {
    let count = batches.iter().map(DraftBatch::len).sum::<usize>();
    count <= SMALL_PIECE && batches.iter().all(DraftBatch::keeps_raw) && target.copies().is_none()
}

/// Keys read at once: bounds what a piece of many updates holds in memory.
const READ_AT_ONCE: usize = 1024;

/// Bytes of merged records that are kept while a piece is judged. Of endpoints beyond, each record is judged by what is
/// stored, without the earlier ones of its piece.
const KEPT: usize = 64 << 20;

/// When the rows of an entry are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// Before the turn of the piece: they depend on nothing.
    Before,
    /// At its turn.
    AtTurn,
    /// At its turn, if its endpoint and its user have room for it.
    IfThereIsRoom,
}

/// Which entries of a piece are written at its turn, by their place in it. Empty: none.
#[derive(Debug)]
pub(super) struct Deferred {
    places: Vec<When>,
}

impl Deferred {
    /// An entry is deferred if it is not blind, or wide, or speaks of an endpoint of which such an entry speaks: the rows of
    /// one endpoint stay together, because of its dates the first counts, of the rest the last. What speaks of
    /// a `crowded` endpoint or user is deferred too.
    pub(super) fn find(batches: &[DraftBatch], target: &Target, crowded: &Crowded) -> Self {
        let entries =
            || batches.iter().flat_map(|batch| batch.entries().iter().map(move |entry| (batch, entry)));
        if is_judged(batches, target) {
            return Self { places: entries().map(|_| When::IfThereIsRoom).collect() };
        }
        // Which copies a user without an endpoint adds to is only known at the turn.
        let copies = target.copies().is_some();
        let mut waiting = HashSet::new();
        let mut judged: HashSet<&[u8]> = crowded.ids.iter().map(Vec::as_slice).collect();
        let mut users: HashSet<&[u8]> = crowded.users.iter().map(Vec::as_slice).collect();
        let (mut any, mut any_user) = (!crowded.is_empty(), false);
        for (batch, entry) in entries() {
            let is_wide = entry.is_wide && !copies;
            if is_blind(entry, target) && !is_wide {
                continue;
            }
            any = true;
            if is_wide && !entry.user_record.is_empty() {
                // Whose it is, if it does not say so, is only known at the turn.
                any_user |= entry.user.is_empty();
                users.insert(batch.bytes(entry.user));
            }
            if entry.kind != DraftKind::UserOnly {
                let ids = if is_wide { &mut judged } else { &mut waiting };
                ids.insert(batch.bytes(entry.id));
            }
        }
        if !any {
            return Self { places: Vec::new() };
        }
        let is_of = |users: &HashSet<&[u8]>, batch: &DraftBatch, entry: &Entry| {
            !users.is_empty()
                && !entry.user_record.is_empty()
                && (any_user || users.contains(batch.bytes(entry.user)))
        };
        if !users.is_empty() {
            let of_users = entries().filter(|(batch, entry)| is_of(&users, batch, entry));
            judged.extend(
                of_users
                    .filter(|(_, entry)| entry.kind != DraftKind::UserOnly)
                    .map(|(batch, entry)| batch.bytes(entry.id)),
            );
        }
        let when = |batch: &DraftBatch, entry: &Entry| {
            let id = batch.bytes(entry.id);
            if entry.is_wide && !copies
                || !judged.is_empty() && judged.contains(id)
                || is_of(&users, batch, entry)
            {
                When::IfThereIsRoom
            } else if copies || !is_blind(entry, target) || !waiting.is_empty() && waiting.contains(id) {
                When::AtTurn
            } else {
                When::Before
            }
        };
        Self { places: entries().map(|(batch, entry)| when(batch, entry)).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The rows of the entries that need not wait for the turn of their piece.
    pub(super) fn rows_of_others<'a>(&self, batches: &'a [DraftBatch], target: &Target) -> Rows<'a> {
        let count = batches.iter().map(DraftBatch::len).sum();
        let mut rows = Rows { endpoints: Vec::with_capacity(count), ..Rows::default() };
        let entries =
            batches.iter().flat_map(|batch| batch.entries().iter().map(move |entry| (batch, entry)));
        for (place, (batch, entry)) in entries.enumerate() {
            if self.when(place) == When::Before {
                rows.push(batch, entry, target);
            }
        }
        rows
    }

    /// When the entry at this place is written.
    fn when(&self, place: usize) -> When {
        self.places.get(place).copied().unwrap_or(When::Before)
    }
}

/// What the store holds of the endpoints and users that a piece asks about.
#[derive(Default)]
pub(super) struct Lookup {
    endpoints: HashMap<Vec<u8>, View>,
    /// Endpoints that a user may have, in order.
    users: HashMap<Vec<u8>, BTreeSet<Vec<u8>>>,
}

/// What is known of one endpoint.
#[derive(Debug, Default)]
struct View {
    registered: bool,
    registered_user: Option<Vec<u8>>,
    copy: LayerCopy,
}

/// What the copy of an endpoint in a layer says of what matters here.
#[derive(Debug, Default)]
struct LayerCopy {
    address: bool,
    channel: bool,
    incomplete: bool,
    user: Option<Vec<u8>>,
}

impl Lookup {
    pub(super) fn make(engine: &Engine, target: &Target, batches: &[DraftBatch]) -> Result<Self> {
        let (mut ids, mut users) = (BTreeSet::new(), BTreeSet::new());
        for batch in batches {
            for entry in batch.entries() {
                match entry.kind {
                    DraftKind::UserOnly => {
                        users.insert(batch.bytes(entry.user));
                    }
                    _ if !is_blind(entry, target) => {
                        ids.insert(batch.bytes(entry.id).to_vec());
                    }
                    _ => {}
                }
            }
        }
        let mut lookup = Self::default();
        let copy_links = target.copies().map(|(segment, layer)| keys::copy_links(segment, layer));
        let mut linked: HashMap<Vec<u8>, BTreeSet<Vec<u8>>> =
            users.into_iter().map(|user: &[u8]| (user.to_vec(), BTreeSet::new())).collect();
        for prefix in [Some(keys::links(target.application)), copy_links].into_iter().flatten() {
            if linked.is_empty() {
                break;
            }
            // One scan for all users: making one visits every file of level 0.
            let mut links = engine.scan(&prefix);
            for (user, endpoints) in &mut linked {
                let key = keys::links_of(&prefix, user);
                links.seek(&key);
                while let Some((link, _)) = links.entry()?
                    && let Some(id) = link.strip_prefix(&key[prefix.len()..])
                {
                    endpoints.insert(id.to_vec());
                    links.forward();
                }
            }
        }
        ids.extend(linked.values().flatten().cloned());
        lookup.users = linked;
        let ids: Vec<_> = ids.into_iter().collect();
        for ids in ids.chunks(READ_AT_ONCE) {
            lookup.read(engine, target, ids)?;
        }
        Ok(lookup)
    }

    fn read(&mut self, engine: &Engine, target: &Target, ids: &[Vec<u8>]) -> Result<()> {
        let registered: Vec<_> = ids.iter().map(|id| keys::endpoint(target.application, id)).collect();
        let registered = engine.get_sorted(&registered)?;
        let copies = match target.copies() {
            None => Vec::new(),
            Some((segment, layer)) => {
                let prefix = keys::layer(segment, layer);
                let copies: Vec<_> = ids.iter().map(|id| [&prefix[..], id].concat()).collect();
                engine.get_sorted(&copies)?
            }
        };
        let mut copies = copies.into_iter();
        for (id, record) in ids.iter().zip(registered) {
            let mut view = View::default();
            if let Some(record) = record
                && is_endpoint(&record)?
            {
                view.registered = true;
                view.registered_user = user_of(&record)?.map(<[u8]>::to_vec);
            }
            if let Some(copy) = copies.next().flatten() {
                view.copy = LayerCopy {
                    address: find(&copy, Tag::Address)?.is_some(),
                    channel: find(&copy, Tag::Channel)?.is_some(),
                    incomplete: find(&copy, Tag::Incomplete)?.is_some(),
                    user: user_of(&copy)?.map(<[u8]>::to_vec),
                };
            }
            self.endpoints.insert(id.clone(), view);
        }
        Ok(())
    }

    fn view(&self, id: &[u8]) -> Option<&View> {
        self.endpoints.get(id)
    }
}

/// What earlier records of the piece have of an endpoint.
#[derive(Debug, Clone, Copy, Default)]
struct Seen<'a> {
    address: bool,
    channel: bool,
    incomplete: bool,
    user: Option<&'a [u8]>,
}

/// The piece as it has been walked so far, over what the store holds.
struct Walk<'a> {
    lookup: &'a Lookup,
    copies: bool,
    seen: HashMap<&'a [u8], Seen<'a>>,
    /// Endpoints that a record of the piece gave to a user; some may have left again.
    named: HashMap<&'a [u8], BTreeSet<&'a [u8]>>,
}

impl<'a> Walk<'a> {
    /// Whether the endpoint is whole within the layer (or, for a registering job, the piece).
    fn is_whole(&self, id: &[u8]) -> bool {
        let seen = self.seen.get(id).copied().unwrap_or_default();
        let copy = self.lookup.view(id).map(|view| &view.copy);
        let has = |said: bool, of: fn(&LayerCopy) -> bool| said || copy.is_some_and(of);
        has(seen.incomplete, |copy| copy.incomplete)
            || has(seen.address, |copy| copy.address) && has(seen.channel, |copy| copy.channel)
    }

    fn exists(&self, id: &[u8]) -> bool {
        self.is_whole(id) || self.lookup.view(id).is_some_and(|view| view.registered)
    }

    /// The user the endpoint belongs to by now; empty if to none.
    fn user(&self, id: &[u8]) -> &'a [u8] {
        if let Some(user) = self.seen.get(id).and_then(|seen| seen.user) {
            return user;
        }
        let Some(view) = self.lookup.view(id) else { return &[] };
        let user = match &view.copy.user {
            Some(user) => Some(user),
            // A copy that is whole takes nothing from the registered endpoint.
            None if self.copies && self.is_whole(id) => None,
            None => view.registered_user.as_ref(),
        };
        user.map_or(&[], Vec::as_slice)
    }

    /// Whether a later record of the piece may ask about the endpoint. Most rows of most pieces are not asked
    /// about, and noting them all costs as much as writing them.
    fn may_be_asked(&self, id: &[u8], user: &[u8]) -> bool {
        let Lookup { endpoints, users } = self.lookup;
        endpoints.contains_key(id)
            || !users.is_empty() && (users.contains_key(user) || self.seen.contains_key(id))
    }

    /// Notes what a record says.
    fn note(&mut self, batch: &'a DraftBatch, entry: &Entry) -> Result<()> {
        let (id, record) = (batch.bytes(entry.id), batch.bytes(entry.record));
        let seen = self.seen.entry(id).or_default();
        seen.address |= find(record, Tag::Address)?.is_some();
        seen.channel |= find(record, Tag::Channel)?.is_some();
        if let Some(user) = user_of(record)? {
            seen.user = Some(user);
            self.named.entry(user).or_default().insert(id);
        }
        Ok(())
    }

    /// The endpoints of a user by now, in order.
    fn endpoints_of(&self, user: &[u8]) -> BTreeSet<&'a [u8]> {
        let stored = self.lookup.users.get(user).into_iter().flatten().map(Vec::as_slice);
        let named = self.named.get(user).into_iter().flatten().copied();
        stored.chain(named).filter(|id| self.exists(id) && self.user(id) == user).collect()
    }
}

/// Walks a piece in source order: the rows its deferred entries come to, and the records that failed.
///
/// A user's attributes may come from deferred entries and from others. The deferred ones are written after the
/// others, so from the first of them on they bring along what the others say of the user later.
pub(super) fn judge<'a>(
    engine: &Engine,
    lookup: &'a Lookup,
    target: &Target,
    batches: &'a [DraftBatch],
    deferred: &Deferred,
) -> Result<(Rows<'a>, Vec<Unresolved>)> {
    let copies = target.copies().is_some();
    let mut walk = Walk { lookup, copies, seen: HashMap::new(), named: HashMap::new() };
    let mut room = Room { engine, application: target.application, records: HashMap::new(), bytes: 0 };
    let mut rows = Rows::default();
    let mut unresolved = Vec::new();
    let (mut deferred_users, mut noted) = (HashSet::new(), 0);
    let mut place = 0;
    for batch in batches {
        for entry in batch.entries() {
            let (id, user) = (batch.bytes(entry.id), batch.bytes(entry.user));
            let user_record = batch.bytes(entry.user_record);
            place += 1;
            let when = deferred.when(place - 1);
            let is_judged = when == When::IfThereIsRoom;
            if when == When::Before {
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
            let mut fail = |reason| {
                unresolved.push(Unresolved {
                    origin: batch.origin_of(entry),
                    reason,
                    channel: entry.channel,
                    raw: batch.raw_of(entry),
                });
            };
            match entry.kind {
                DraftKind::UserOnly => {
                    let ids = walk.endpoints_of(user);
                    if ids.is_empty() {
                        fail(lifecycle::unknown_user(user));
                    } else if is_judged && let Some(reason) = room.take(None, (user, user_record))? {
                        fail(reason);
                    } else if copies {
                        rows.endpoints.extend(ids.into_iter().map(|id| Row {
                            id,
                            record: user_record,
                            user: &[],
                        }));
                    } else {
                        rows.members.extend(ids);
                        if !user_record.is_empty() {
                            rows.users.push(Row { id: user, record: user_record, user: &[] });
                        }
                    }
                }
                DraftKind::Update if !walk.exists(id) => fail(lifecycle::unknown_endpoint(id)),
                DraftKind::Blind | DraftKind::Update | DraftKind::Upsert => {
                    if is_judged {
                        let owner =
                            if user.is_empty() && !user_record.is_empty() { walk.user(id) } else { user };
                        let record = match owner {
                            [] => whole(batch, entry),
                            _ => batch.bytes(entry.record),
                        };
                        if let Some(reason) = room.take(Some((id, record)), (owner, user_record))? {
                            fail(reason);
                            continue;
                        }
                    }
                    if entry.kind == DraftKind::Upsert && !walk.exists(id) {
                        rows.endpoints.push(Row { id, record: INCOMPLETE, user: &[] });
                        walk.seen.entry(id).or_default().incomplete = true;
                    }
                    if walk.may_be_asked(id, user) {
                        walk.note(batch, entry)?;
                    }
                    if copies || user_record.is_empty() || !user.is_empty() {
                        rows.push(batch, entry, target);
                        continue;
                    }
                    // User attributes of a record that names no user: they are the endpoint's user's, and
                    // while it has none the endpoint keeps them.
                    let owner = walk.user(id);
                    if owner.is_empty() {
                        rows.endpoints.push(Row { id, record: whole(batch, entry), user });
                    } else {
                        rows.endpoints.push(Row { id, record: batch.bytes(entry.record), user });
                        rows.users.push(Row { id: owner, record: user_record, user: &[] });
                    }
                }
            }
        }
    }
    Ok((rows, unresolved))
}

/// What the endpoints and users of judged records have by now, each read when it is first asked for.
struct Room<'a> {
    engine: &'a Engine,
    application: ApplicationId,
    records: HashMap<Key, Vec<u8>>,
    /// What these take.
    bytes: usize,
}

impl Room<'_> {
    /// Merges what a record says of an endpoint and of a user (of no one, if it has no id), or says why they have no room
    /// for it.
    fn take(
        &mut self,
        endpoint: Option<(&[u8], &[u8])>,
        (user, user_record): (&[u8], &[u8]),
    ) -> Result<Option<FailureReason>> {
        let endpoint = endpoint.map(|(id, record)| (keys::endpoint(self.application, id), record, false));
        let is_named = !user.is_empty() && !user_record.is_empty();
        let user = is_named.then(|| (keys::user(self.application, user), user_record, true));
        let mut changed = Vec::new();
        for (key, record, keep_removals) in [user, endpoint].into_iter().flatten() {
            let stored;
            let before = match self.records.get(&key) {
                Some(record) => record,
                None => {
                    stored = self.engine.get(&key)?.map_or_else(Vec::new, |record| record.to_vec());
                    &stored
                }
            };
            let after = fold([before, record], keep_removals)?;
            if let Some(reason) = lifecycle::too_large(before, &after, &self.engine.folding.bounds)? {
                return Ok(Some(reason));
            }
            changed.push((key, after));
        }
        for (key, record) in changed {
            match self.records.get_mut(&key) {
                Some(kept) => {
                    self.bytes = self.bytes + record.len() - kept.len();
                    *kept = record;
                }
                None if self.bytes < KEPT => {
                    self.bytes += key.len() + record.len();
                    self.records.insert(key, record);
                }
                None => {}
            }
        }
        Ok(None)
    }
}
