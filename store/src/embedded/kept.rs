//! The users that a long read keeps: the first of an application, found by their ids in memory.
//!
//! Several threads read them, and then put them into a table. A hash leads to one place of the table and from there to the user:
//! two waits for memory, and those of neighbouring rows go side by side. To sort the rows by their users instead, so that they
//! are met in order, costs more.

use std::{
    hash::BuildHasher,
    iter::Enumerate,
    ops::Range,
    slice::ChunksExactMut,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    thread,
};

use parking_lot::Mutex;
use pinport_model::ApplicationId;
use rocksdb::Snapshot;

use super::{
    borders::{Borders, Seen, go_to},
    engine::Engine,
    keys,
    scan::Scan,
};
use crate::{
    Result,
    distant::{in_large_pages, prefetch, prefetch_one},
};

/// Where users are read.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) engine: &'a Engine,
    pub(super) snapshot: &'a Snapshot<'a>,
    pub(super) application: ApplicationId,
    /// What a long read passes is not kept in the cache.
    pub(super) is_long: bool,
}

impl<'a> Source<'a> {
    pub(super) fn scan(self) -> Scan<'a> {
        let prefix = keys::user(self.application, b"");
        match self.is_long {
            true => self.engine.stream_in(self.snapshot, &prefix),
            false => self.engine.scan_in(self.snapshot, &prefix),
        }
    }
}

/// Users that are kept.
pub(super) struct Kept {
    /// Ids and records, each after the other, and before each two lengths.
    bytes: Vec<u8>,
    /// Where a user lies ([`Slot`]), or 0: at the first free place from that of its hash on.
    table: Vec<u64>,
    hashing: foldhash::fast::RandomState,
    /// The first user that is not kept. None: all are.
    end: Option<Vec<u8>>,
}

/// Where a user lies, with a part of its hash: it tells nearly all others apart without a look at them.
#[derive(Debug, Clone, Copy)]
struct Slot {
    mark: u32,
    /// One more than the place, so that 0 is free.
    at: u32,
}

impl Slot {
    fn of(slot: u64) -> Self {
        Self { mark: (slot >> 32) as u32, at: slot as u32 }
    }

    fn number(self) -> u64 {
        u64::from(self.mark) << 32 | u64::from(self.at)
    }
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

/// Bytes of the table for each user.
const OF_TABLE: usize = size_of::<u64>() * PLACES / USERS;

/// Slices of the room, each of which is filled by one thread. A user is not larger than a slice.
const SLICES: usize = 64;

/// Users of a range that a thread reads.
const RANGE: usize = 1 << 13;

impl Kept {
    /// Takes the first users of an application, up to `room` bytes.
    pub(super) fn read(source: Source<'_>, room: usize, threads: usize) -> Result<Self> {
        let room = room.min(u32::MAX as usize);
        // Of this only what is written takes memory.
        let mut bytes = vec![0; room];
        in_large_pages(&bytes);
        let filling = Filling {
            slices: Mutex::new(bytes.chunks_exact_mut((room / SLICES).max(1)).enumerate()),
            borders: Mutex::new(Borders::new((source.scan(), keys::user), source.application, None)),
            filled: Mutex::default(),
            end: Mutex::new(None),
        };
        on_threads(threads, || filling.fill(source))?;
        let Filling { filled, end, .. } = filling;
        let (filled, end) = (filled.into_inner(), end.into_inner());
        let mut kept = Self { bytes, end, ..Self::none() };
        kept.index(&filled, threads)?;
        Ok(kept)
    }

    fn none() -> Self {
        let hashing = foldhash::fast::RandomState::default();
        Self { bytes: Vec::new(), table: Vec::new(), hashing, end: None }
    }

    /// Whether all users are here.
    pub(super) fn is_all(&self) -> bool {
        self.end.is_none()
    }

    /// Makes the table of the users in some slices.
    fn index(&mut self, filled: &[Filled], threads: usize) -> Result<()> {
        let places = filled.iter().map(|slice| slice.users).sum::<usize>() / USERS * PLACES + PLACES;
        let mut table = Vec::with_capacity(places);
        in_large_pages(&table);
        table.resize_with(places, AtomicU64::default);
        let next = AtomicUsize::new(0);
        on_threads(threads, || {
            while let Some(slice) = filled.get(next.fetch_add(1, Relaxed)) {
                self.index_slice(slice.bytes.clone(), &table);
            }
            Ok(())
        })?;
        self.table = table.into_iter().map(AtomicU64::into_inner).collect();
        Ok(())
    }

    fn index_slice(&self, slice: Range<usize>, table: &[AtomicU64]) {
        let mut start = slice.start;
        let mut some = Vec::with_capacity(AT_ONCE);
        while start < slice.end {
            // Their places lie all over the table: they are asked for together.
            some.clear();
            while some.len() < AT_ONCE && start < slice.end {
                let (id, record) = self.user(start as u32);
                let hash = self.hash(&self.bytes[id]);
                prefetch_one(&table[hash.place(table.len())]);
                some.push((hash, start as u32));
                start = record.end;
            }
            for (hash, start) in &some {
                let slot = Slot { mark: hash.mark(), at: start + 1 }.number();
                let mut place = hash.place(table.len());
                while table[place].compare_exchange(0, slot, Relaxed, Relaxed).is_err() {
                    place = after(place, table.len());
                }
            }
        }
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
        let mut place = hash.place(self.table.len());
        loop {
            let slot = Slot::of(self.table[place]);
            if slot.at == 0 {
                return 0..0;
            }
            if slot.mark == hash.mark() {
                let (id, record) = self.user(slot.at - 1);
                if self.bytes[id] == *user {
                    return record;
                }
            }
            place = after(place, self.table.len());
        }
    }

    /// Begins to fetch the place of the table where a user with this hash is looked for first.
    #[inline]
    pub(super) fn warm_place(&self, hash: Hash) {
        prefetch_one(&self.table[hash.place(self.table.len())]);
    }

    /// Begins to fetch the user that is there: nearly always the one.
    #[inline]
    pub(super) fn warm_user(&self, hash: Hash) {
        let slot = Slot::of(self.table[hash.place(self.table.len())]);
        let start = slot.at.saturating_sub(1) as usize;
        let end = self.bytes.len().min(start + WARM);
        prefetch(&self.bytes[start.min(end)..end]);
    }

    /// What lies at a place that was found.
    #[inline]
    pub(super) fn record(&self, place: Range<usize>) -> &[u8] {
        &self.bytes[place]
    }
}

/// The place of a table after another.
fn after(place: usize, places: usize) -> usize {
    if place + 1 < places { place + 1 } else { 0 }
}

/// The hash of a user's id.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hash(u64);

impl Hash {
    fn mark(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Where it belongs in a table of so many places.
    fn place(self, places: usize) -> usize {
        ((u64::from(self.0 as u32) * places as u64) >> 32) as usize
    }
}

/// Does the same on several threads; on fewer, where the system gives no more.
fn on_threads(threads: usize, work: impl Fn() -> Result<()> + Sync) -> Result<()> {
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .filter_map(|_| {
                thread::Builder::new().name("read-out".to_owned()).spawn_scoped(scope, &work).ok()
            })
            .collect();
        let own = work();
        others.into_iter().fold(own, |all, other| {
            all.and(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    })
}

/// What users are read into, by all threads.
struct Filling<'a, 'b> {
    slices: Mutex<Enumerate<ChunksExactMut<'b, u8>>>,
    borders: Mutex<Borders<'a>>,
    filled: Mutex<Vec<Filled>>,
    /// The first user for which there was no room.
    end: Mutex<Option<Vec<u8>>>,
}

/// The part of a slice that has users.
#[derive(Debug, PartialEq, Eq)]
struct Filled {
    bytes: Range<usize>,
    users: usize,
}

impl Filling<'_, '_> {
    /// Takes one range after the other, until there are no more users or no more room.
    fn fill(&self, source: Source<'_>) -> Result<()> {
        let mut scan = source.scan();
        let mut slice = self.next_slice();
        loop {
            let Some((start, end)) = self.borders.lock().next(RANGE)? else { break };
            go_to(&mut scan, |id| keys::user(source.application, id), (start.as_deref(), None));
            let mut seen = Seen::default();
            while let Some((id, record)) = scan.entry()?
                && end.as_deref().is_none_or(|end| id < end)
            {
                while !slice.as_mut().is_some_and(|slice| slice.push(id, record)) {
                    // Of a slice that is not filled yet more is no use.
                    let is_over = slice.as_ref().is_none_or(|slice| slice.users == 0);
                    self.finish(slice.take());
                    if is_over {
                        self.end_at(id);
                        return Ok(());
                    }
                    slice = self.next_slice();
                }
                seen.add(id);
                scan.forward();
            }
            if let (Some(start), Some(end)) = (start, end) {
                self.borders.lock().learn(&start, &seen, &end);
            }
        }
        self.finish(slice);
        Ok(())
    }

    fn next_slice(&self) -> Option<Slice<'_>> {
        let (number, bytes) = self.slices.lock().next()?;
        Some(Slice { start: number * bytes.len(), bytes, filled: 0, users: 0 })
    }

    fn finish(&self, slice: Option<Slice<'_>>) {
        if let Some(Slice { start, filled, users, .. }) = slice {
            self.filled.lock().push(Filled { bytes: start..start + filled, users });
        }
    }

    /// Keeps no more users from this one on.
    fn end_at(&self, user: &[u8]) {
        self.borders.lock().stop();
        let mut end = self.end.lock();
        if end.as_deref().is_none_or(|end| user < end) {
            *end = Some(user.to_vec());
        }
    }
}

/// A slice that a thread fills.
struct Slice<'a> {
    start: usize,
    bytes: &'a mut [u8],
    filled: usize,
    users: usize,
}

impl Slice<'_> {
    /// Adds a user; false if there is no room for it. What it takes of the table counts.
    fn push(&mut self, id: &[u8], record: &[u8]) -> bool {
        let lengths = [id.len() as u32, record.len() as u32].map(u32::to_le_bytes);
        let parts = [&lengths[0], &lengths[1], id, record];
        let bytes = parts.iter().map(|part| part.len()).sum::<usize>();
        if self.filled + bytes + (self.users + 1) * OF_TABLE > self.bytes.len() {
            return false;
        }
        for part in parts {
            self.bytes[self.filled..self.filled + part.len()].copy_from_slice(part);
            self.filled += part.len();
        }
        self.users += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Some users in two slices.
    fn kept<'a>(users: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Kept {
        let mut kept = Kept { bytes: vec![0; 2 << 20], ..Kept::none() };
        let mut slices = kept.bytes.chunks_exact_mut(1 << 20).enumerate().map(|(number, bytes)| Slice {
            start: number * bytes.len(),
            bytes,
            filled: 0,
            users: 0,
        });
        let mut slices = [slices.next().unwrap(), slices.next().unwrap()];
        for (number, (id, record)) in users.enumerate() {
            assert!(slices[number % 2].push(id, record));
        }
        let filled =
            slices.map(|slice| Filled { bytes: slice.start..slice.start + slice.filled, users: slice.users });
        kept.index(&filled, 3).unwrap();
        kept
    }

    proptest! {
        #[test]
        fn kept_users_are_found(users in vec("[a-c]{0,12}", 0..60), wanted in vec("[a-c]{0,12}", 0..60)) {
            let users: BTreeMap<_, _> = users.iter().map(|user| (user.as_bytes(), user.to_uppercase())).collect();
            let kept = kept(users.iter().map(|(id, record)| (*id, record.as_bytes())));
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
        let ids: Vec<_> = (0..5000).map(|number: u32| number.to_string()).collect();
        let kept = kept(ids.iter().map(|id| (id.as_bytes(), id.as_bytes())));
        let longest = kept.table.split(|slot| *slot == 0).map(<[u64]>::len).max();
        assert!(longest > Some(1), "some stand beside their place");
        for id in ids {
            let found = kept.find(id.as_bytes(), kept.hash(id.as_bytes()));
            assert_eq!(kept.record(found), id.as_bytes());
        }
    }

    #[test]
    fn a_slice_takes_what_there_is_room_for() {
        let mut bytes = vec![0; 100];
        let mut slice = Slice { start: 0, bytes: &mut bytes, filled: 0, users: 0 };
        let mut some = 0;
        while slice.push(b"user", b"record") {
            some += 1;
        }
        assert_eq!(some, 100 / (LENGTHS + 10 + OF_TABLE));
        assert_eq!((slice.users, slice.filled), (some, some * (LENGTHS + 10)));
    }
}
