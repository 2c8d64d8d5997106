//! Judges the records of a piece whose outcome depends on what is there: in the store, as committed so far,
//! or in earlier records of the same piece.
//!
//! Most records of such a piece depend on nothing, and are written before its turn; the others are [`Deferred`]. At its
//! turn everything it may ask about is read in sorted batches ([`Lookup`]); then the records are walked in source
//! order ([`judge`]) without touching the store again. The rows of deferred records become runs of their own, which are
//! newer than the first ones.
//!
//! What an engine holds is asked through [`Facts`].

use std::collections::{BTreeSet, HashMap, HashSet};

use pinport_model::failure::FailureReason;

use crate::{
    DraftBatch, DraftKind, Result, Unresolved,
    batch::Entry,
    lifecycle,
    piece_rows::{Crowded, Row, Rows, Target, is_blind, whole},
    record::{
        INCOMPLETE, Tag,
        bounds::{Bounds, fold},
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

/// Takes what was found for each of some ids, in their order: the id's place among them, and its record.
pub(crate) type Found<'a> = dyn FnMut(usize, Option<&[u8]>) -> Result<()> + 'a;
/// Endpoints that users may have, in order, by user.
pub(crate) type Linked = HashMap<Vec<u8>, BTreeSet<Vec<u8>>>;

/// What an engine holds by now, for those who judge a piece.
pub(crate) trait Facts {
    /// The folded records of registered endpoints. The ids ascend.
    fn endpoints(&self, target: &Target, ids: &[Vec<u8>], found: &mut Found<'_>) -> Result<()>;
    /// The folded copies in the target's layer. The ids ascend.
    fn copies(&self, target: &Target, ids: &[Vec<u8>], found: &mut Found<'_>) -> Result<()>;
    /// Adds the endpoints that each of the users has, or had, registered or as a copy in the target's layer.
    fn linked(&self, target: &Target, users: &mut Linked) -> Result<()>;
    /// The folded record of one registered endpoint, or of one user.
    fn record(&self, target: &Target, owner: Owner<'_>) -> Result<Vec<u8>>;
    /// Says which records will be asked for one by one, so that they can be read at once.
    fn expect(&self, _target: &Target, _owners: &mut dyn Iterator<Item = Owner<'_>>) -> Result<()> {
        Ok(())
    }
    /// What endpoints and users may have.
    fn bounds(&self) -> &Bounds;
}

/// Whose record is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Owner<'a> {
    Endpoint(&'a [u8]),
    User(&'a [u8]),
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
pub(crate) struct Deferred {
    places: Vec<When>,
}

impl Deferred {
    /// An entry is deferred if it is not blind, or wide, or speaks of an endpoint of which such an entry speaks: the rows of
    /// one endpoint stay together, because of its dates the first counts, of the rest the last. What speaks of
    /// a `crowded` endpoint or user is deferred too.
    pub(crate) fn find(batches: &[DraftBatch], target: &Target, crowded: &Crowded) -> Self {
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
        let is_of_judged_user = |batch: &DraftBatch, entry: &Entry| {
            !entry.user_record.is_empty() && (any_user || users.contains(batch.bytes(entry.user)))
        };
        if !users.is_empty() {
            // Of an endpoint all entries are judged, or none.
            let of_users = entries().filter(|(batch, entry)| is_of_judged_user(batch, entry));
            let with_endpoint = of_users.filter(|(_, entry)| entry.kind != DraftKind::UserOnly);
            judged.extend(with_endpoint.map(|(batch, entry)| batch.bytes(entry.id)));
        }
        let when = |batch: &DraftBatch, entry: &Entry| {
            let id = batch.bytes(entry.id);
            if entry.is_wide && !copies || judged.contains(id) || is_of_judged_user(batch, entry) {
                When::IfThereIsRoom
            } else if copies || !is_blind(entry, target) || waiting.contains(id) {
                When::AtTurn
            } else {
                When::Before
            }
        };
        Self { places: entries().map(|(batch, entry)| when(batch, entry)).collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The rows of the entries that need not wait for the turn of their piece.
    pub(crate) fn rows_of_others<'a>(&self, batches: &'a [DraftBatch], target: &Target) -> Rows<'a> {
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

    /// Says which records will be asked for one by one.
    fn expect(&self, facts: &impl Facts, target: &Target, batches: &[DraftBatch]) -> Result<()> {
        let entries =
            || batches.iter().flat_map(|batch| batch.entries().iter().map(move |entry| (batch, entry)));
        let judged = || {
            entries()
                .enumerate()
                .filter(|(place, _)| self.when(*place) == When::IfThereIsRoom)
                .map(|(_, it)| it)
        };
        if judged().next().is_none() {
            return Ok(());
        }
        let ids = judged().map(|(batch, entry)| Owner::Endpoint(batch.bytes(entry.id)));
        let users = judged().map(|(batch, entry)| Owner::User(batch.bytes(entry.user)));
        facts.expect(target, &mut ids.chain(users))
    }

    /// When the entry at this place is written.
    fn when(&self, place: usize) -> When {
        self.places.get(place).copied().unwrap_or(When::Before)
    }
}

/// What the store holds of the endpoints and users that a piece asks about.
#[derive(Default)]
pub(crate) struct Lookup {
    endpoints: HashMap<Vec<u8>, View>,
    /// Endpoints that a user may have, in order.
    users: Linked,
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
    pub(crate) fn make(facts: &impl Facts, target: &Target, batches: &[DraftBatch]) -> Result<Self> {
        let (mut ids, mut linked) = (BTreeSet::new(), Linked::new());
        for batch in batches {
            for entry in batch.entries() {
                match entry.kind {
                    DraftKind::UserOnly => {
                        linked.entry(batch.bytes(entry.user).to_vec()).or_default();
                    }
                    _ if !is_blind(entry, target) => {
                        ids.insert(batch.bytes(entry.id).to_vec());
                    }
                    _ => {}
                }
            }
        }
        if !linked.is_empty() {
            facts.linked(target, &mut linked)?;
        }
        let mut lookup = Self::default();
        ids.extend(linked.values().flatten().cloned());
        lookup.users = linked;
        let ids: Vec<_> = ids.into_iter().collect();
        for ids in ids.chunks(READ_AT_ONCE) {
            lookup.read(facts, target, ids)?;
        }
        Ok(lookup)
    }

    fn read(&mut self, facts: &impl Facts, target: &Target, ids: &[Vec<u8>]) -> Result<()> {
        let mut views: Vec<View> = ids.iter().map(|_| View::default()).collect();
        facts.endpoints(target, ids, &mut |place, record| {
            if let Some(record) = record
                && is_endpoint(record)?
            {
                views[place].registered = true;
                views[place].registered_user = user_of(record)?.map(<[u8]>::to_vec);
            }
            Ok(())
        })?;
        if target.copies().is_some() {
            facts.copies(target, ids, &mut |place, copy| {
                if let Some(copy) = copy {
                    views[place].copy = LayerCopy {
                        address: find(copy, Tag::Address)?.is_some(),
                        channel: find(copy, Tag::Channel)?.is_some(),
                        incomplete: find(copy, Tag::Incomplete)?.is_some(),
                        user: user_of(copy)?.map(<[u8]>::to_vec),
                    };
                }
                Ok(())
            })?;
        }
        self.endpoints.extend(ids.iter().cloned().zip(views));
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

/// What the endpoints and users of judged records have by now, each read when it is first asked for.
struct Room<'a, F> {
    facts: &'a F,
    target: &'a Target,
    /// Of endpoints, and of users, by id.
    records: HashMap<(bool, Vec<u8>), Vec<u8>>,
    /// What these take.
    bytes: usize,
}

impl<F: Facts> Room<'_, F> {
    /// Merges what a record says of an endpoint and of a user (of no one, if it has no id), or says why they have no room
    /// for it.
    fn take(
        &mut self,
        endpoint: Option<(&[u8], &[u8])>,
        (user, user_record): (&[u8], &[u8]),
    ) -> Result<Option<FailureReason>> {
        let endpoint = endpoint.map(|(id, record)| (Owner::Endpoint(id), record));
        let is_named = !user.is_empty() && !user_record.is_empty();
        let user = is_named.then_some((Owner::User(user), user_record));
        let mut changed = Vec::new();
        for (owner, record) in [user, endpoint].into_iter().flatten() {
            let (key, keep_removals) = match owner {
                Owner::Endpoint(id) => ((false, id.to_vec()), false),
                Owner::User(user) => ((true, user.to_vec()), true),
            };
            let stored;
            let before = match self.records.get(&key) {
                Some(record) => record,
                None => {
                    stored = self.facts.record(self.target, owner)?;
                    &stored
                }
            };
            let after = fold([&before[..], record], keep_removals)?;
            if let Some(reason) = lifecycle::too_large(before, &after, self.facts.bounds())? {
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
                    self.bytes += key.1.len() + record.len();
                    self.records.insert(key, record);
                }
                None => {}
            }
        }
        Ok(None)
    }
}
