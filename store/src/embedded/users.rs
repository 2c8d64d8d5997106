//! Finding the users that a batch of endpoints names, in their order.
//!
//! A scan goes along. In a long read the users of each batch lie all over the application's, and the scan would pass all
//! of them once a batch: so once it has passed many, the first of them are kept, as many as there is room for, and found in
//! memory.

use std::{hash::BuildHasher, ops::Range};

use pinport_model::ApplicationId;

use super::{keys, scan::Scan, seek::seek};
use crate::{
    Result,
    distant::{in_large_pages, prefetch, prefetch_one},
};

/// Users passed by that were not wanted, before some are kept: as many endpoints that are read pass as many at least.
const PASSED: usize = if cfg!(test) { 1 << 6 } else { 1 << 17 };

/// The users of an application.
pub(super) struct Users<'a> {
    scan: Scan<'a>,
    application: ApplicationId,
    /// Whether the scan is anywhere yet.
    is_begun: bool,
    /// Bytes that may be kept.
    room: usize,
    /// Users that were passed by, and at first the endpoints that will be read.
    passed: usize,
    kept: Option<Kept>,
}

impl<'a> Users<'a> {
    /// `scan`: of the application's users. At most `room` bytes of them are kept: from the beginning, if so many
    /// `endpoints` will be read.
    pub(super) fn new(scan: Scan<'a>, application: ApplicationId, room: usize, endpoints: u64) -> Self {
        let passed = usize::try_from(endpoints).unwrap_or(usize::MAX);
        Self { scan, application, is_begun: false, room, passed, kept: None }
    }

    /// Begins with users before those of the last time.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.is_begun = false;
        if self.kept.is_none() && self.room > 0 && self.passed >= PASSED {
            self.scan.seek_first();
            self.kept = Some(Kept::read(&mut self.scan, self.room)?);
        }
        Ok(())
    }

    /// Users that are found in memory, if any are.
    pub(super) fn kept(&self) -> Option<&Kept> {
        self.kept.as_ref()
    }

    /// Whether all users are found in memory.
    pub(super) fn keeps_all(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.end.is_none())
    }

    /// The record of a user that is not kept, if there is one. Users that are asked for ascend until it begins anew.
    pub(super) fn find(&mut self, user: &[u8]) -> Result<Option<&[u8]>> {
        let application = self.application;
        let passed = seek(&mut self.scan, user, !self.is_begun, |user| keys::user(application, user))?;
        // One of them was wanted before.
        self.passed = self.passed.saturating_add(passed.saturating_sub(1));
        self.is_begun = true;
        Ok(self.scan.entry()?.filter(|(found, _)| *found == user).map(|(_, record)| record))
    }
}

/// The first users of an application, found by their ids.
///
/// A hash leads to one place of a table and from there to the user: two waits for memory, and those of neighbouring rows
/// go side by side. To sort the rows by their users instead, so that they are met in order, costs more.
pub(super) struct Kept {
    /// Ids and records, each after the other, and before each two lengths.
    bytes: Vec<u8>,
    /// Where a user lies, or none: at the first free place from that of its hash on.
    table: Vec<Slot>,
    hashing: foldhash::fast::RandomState,
    /// The first user that is not kept. None: all are.
    end: Option<Vec<u8>>,
}

/// Where a user lies, with a part of its hash: it tells nearly all others apart without a look at them.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    mark: u32,
    /// One more than the place, so that 0 is free.
    at: u32,
}

/// Bytes of the two lengths before a user.
const LENGTHS: usize = 8;

/// Users whose places are asked for together.
const AT_ONCE: usize = 16;

/// Bytes that most users take.
const WARM: usize = 128;

/// Users for which the table has so many places: the more of them are free, the sooner one is found.
const USERS: usize = 4;
const PLACES: usize = 5;

impl Kept {
    /// Takes what a scan has, up to `room` bytes.
    fn read(scan: &mut Scan<'_>, room: usize) -> Result<Self> {
        let room = room.min(u32::MAX as usize);
        let (mut kept, mut count) = (Self::none(), 0);
        // Of this only what is written takes memory.
        kept.bytes.reserve_exact(room);
        in_large_pages(&kept.bytes);
        while let Some((id, record)) = scan.entry()? {
            let bytes = kept.bytes.len() + LENGTHS + id.len() + record.len();
            if bytes + places(count + 1) * size_of::<Slot>() > room {
                kept.end = Some(id.to_vec());
                break;
            }
            kept.push(id, record);
            count += 1;
            scan.forward();
        }
        kept.index(count);
        Ok(kept)
    }

    fn none() -> Self {
        let hashing = foldhash::fast::RandomState::default();
        Self { bytes: Vec::new(), table: Vec::new(), hashing, end: None }
    }

    fn push(&mut self, id: &[u8], record: &[u8]) {
        self.bytes.extend_from_slice(&(id.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(&(record.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(id);
        self.bytes.extend_from_slice(record);
    }

    /// Makes the table of the users, so many.
    fn index(&mut self, count: usize) {
        self.table = Vec::with_capacity(places(count));
        in_large_pages(&self.table);
        self.table.resize(places(count), Slot::default());
        let mut start = 0;
        let mut some = Vec::with_capacity(AT_ONCE);
        while start < self.bytes.len() {
            // Their places lie all over the table: they are asked for together.
            some.clear();
            while some.len() < AT_ONCE && start < self.bytes.len() {
                let (id, record) = self.user(start as u32);
                let hash = self.hash(&self.bytes[id]);
                self.warm_place(hash);
                some.push((hash, start as u32));
                start = record.end;
            }
            for (hash, start) in &some {
                let mut place = hash.place(&self.table);
                while self.table[place].at > 0 {
                    place = self.after(place);
                }
                self.table[place] = Slot { mark: hash.mark(), at: start + 1 };
            }
        }
    }

    /// The place of the table after another.
    fn after(&self, place: usize) -> usize {
        if place + 1 < self.table.len() { place + 1 } else { 0 }
    }

    /// Where the id and the record lie of the user at a place.
    #[inline]
    fn user(&self, start: u32) -> (Range<usize>, Range<usize>) {
        let lengths = &self.bytes[start as usize..];
        let length = |at: usize| {
            let four = lengths.get(at..).and_then(<[u8]>::first_chunk);
            u32::from_le_bytes(*four.expect("two lengths stand before each user")) as usize
        };
        let id = start as usize + LENGTHS;
        let record = id + length(0);
        (id..record, record..record + length(4))
    }

    /// Whether a user would be here if it were anywhere.
    #[inline]
    pub(super) fn covers(&self, user: &[u8]) -> bool {
        self.end.as_deref().is_none_or(|end| user < end)
    }

    #[inline]
    pub(super) fn hash(&self, user: &[u8]) -> Hash {
        Hash(self.hashing.hash_one(user))
    }

    /// Where the record lies of a user with this hash; empty if there is none.
    #[inline]
    pub(super) fn find(&self, user: &[u8], hash: Hash) -> Range<usize> {
        let mut place = hash.place(&self.table);
        loop {
            let slot = self.table[place];
            if slot.at == 0 {
                return 0..0;
            }
            if slot.mark == hash.mark() {
                let (id, record) = self.user(slot.at - 1);
                if self.bytes[id] == *user {
                    return record;
                }
            }
            place = self.after(place);
        }
    }

    /// Begins to fetch the place of the table where a user with this hash is looked for first.
    #[inline]
    pub(super) fn warm_place(&self, hash: Hash) {
        prefetch_one(&self.table[hash.place(&self.table)]);
    }

    /// Begins to fetch the user that is there: nearly always the one.
    #[inline]
    pub(super) fn warm_user(&self, hash: Hash) {
        let start = self.table[hash.place(&self.table)].at.saturating_sub(1) as usize;
        let end = self.bytes.len().min(start + WARM);
        prefetch(&self.bytes[start.min(end)..end]);
    }

    /// What lies at a place that was found.
    #[inline]
    pub(super) fn record(&self, place: Range<usize>) -> &[u8] {
        &self.bytes[place]
    }
}

/// Places of a table of so many users; one at least is free.
fn places(users: usize) -> usize {
    users / USERS * PLACES + PLACES
}

/// The hash of a user's id.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hash(u64);

impl Hash {
    fn mark(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Where it belongs in a table.
    fn place(self, table: &[Slot]) -> usize {
        ((u64::from(self.0 as u32) * table.len() as u64) >> 32) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn kept_users_are_found(users in vec("[a-c]{0,12}", 0..60), wanted in vec("[a-c]{0,12}", 0..60)) {
            let users: BTreeMap<_, _> = users.iter().map(|user| (user.as_bytes(), user.to_uppercase())).collect();
            let mut kept = Kept::none();
            users.iter().for_each(|(id, record)| kept.push(id, record.as_bytes()));
            kept.index(users.len());
            let mut wanted = wanted;
            wanted.extend(users.keys().step_by(3).map(|user| String::from_utf8(user.to_vec()).unwrap()));
            for user in wanted {
                let found = kept.record(kept.find(user.as_bytes(), kept.hash(user.as_bytes())));
                let expected = users.get(user.as_bytes()).map(String::as_bytes).unwrap_or_default();
                prop_assert_eq!(found, expected, "{}", user);
            }
        }
    }

    #[test]
    fn users_whose_hashes_begin_alike_are_told_apart() {
        let mut kept = Kept::none();
        let ids: Vec<_> = (0..5000).map(|number: u32| number.to_string()).collect();
        ids.iter().for_each(|id| kept.push(id.as_bytes(), id.as_bytes()));
        kept.index(ids.len());
        let longest = kept.table.split(|slot| slot.at == 0).map(<[Slot]>::len).max();
        assert!(longest > Some(1), "some stand beside their place");
        for id in ids {
            let found = kept.find(id.as_bytes(), kept.hash(id.as_bytes()));
            assert_eq!(kept.record(found), id.as_bytes());
        }
    }
}
