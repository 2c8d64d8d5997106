//! Links from users to endpoints in groups: an entry of the store holds the links of some users, instead of one link.
//!
//! A large piece writes the links of all users whose hashes begin alike as one entry, and merging makes one of the entries
//! of all pieces. Of the user a link has the next bits of the hash alone: whoever follows a link reads the endpoint, which
//! may have another user by now and says which. So a link takes half of what it takes as an entry of its own.
//!
//! What is read and merged whole must stay small. So a user of whom a piece brings many links has entries of its own
//! ([`keys::links`](super::keys::links)), as have links that come one by one; and a larger store has more groups: those of
//! before stay, and a user's links are those of all its groups.
//!
//! A value is the links in order of their marks: the mark, big-endian, then a varint and the endpoint's id. The
//! varint is four times the length of what stands for the id; and [`PACKED`], if these are the 16 bytes that the id is the
//! usual text of, as most programs make up ids; and [`REMOVED`], if the link takes one away that older values have.

use super::keys::Key;
use crate::{
    hash::h8,
    record::{
        put_varint,
        read::{Damaged, take_varint},
    },
};

/// Links of a user in a piece up to which they lie in its group.
pub(super) const MOST_OF_USER: usize = 16;

const REMOVED: usize = 1;
const PACKED: usize = 2;

/// The hash that groups and marks are of.
#[inline]
pub(super) fn hash(user: &[u8]) -> u64 {
    h8(0, user).cast_unsigned()
}

/// Over how many groups the links of an application are spread: a power of two, by its exponent. It is stored in keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spread(u8);

/// All spreads, and the bytes that a store has on disk at most where it is used. A store of endpoints with names and addresses
/// then has up to about 3,000 links in a group, or 120 KiB.
const SPREADS: [(Spread, u64); 3] = [(Spread(13), 16 << 30), (Spread(17), 256 << 30), (Spread(21), u64::MAX)];

impl Spread {
    /// All there are, narrow ones first.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        SPREADS.iter().map(|(spread, _)| *spread)
    }

    /// That of what is written to a store that has so many bytes on disk.
    pub(super) fn of_store(bytes: u64) -> Self {
        let fit = SPREADS.iter().find(|(_, most)| bytes <= *most);
        fit.expect("the last one is for any store").0
    }

    /// The group and the mark of a user with this hash.
    #[inline]
    pub(super) fn place(self, hash: u64) -> (u32, u32) {
        let bits = u32::from(self.0);
        ((hash >> (u64::BITS - bits)) as u32, (hash << bits >> u32::BITS) as u32)
    }

    /// What the keys of its groups begin with; `prefix` is that of groups however they are spread.
    pub(super) fn prefix(self, prefix: &[u8]) -> Key {
        [prefix, &[self.0]].concat()
    }

    /// The key of a group.
    pub(super) fn key(self, prefix: &[u8], group: u32) -> Key {
        [prefix, &[self.0], &group_key(group)].concat()
    }
}

/// What the key of a group ends with.
pub(super) fn group_key(group: u32) -> [u8; 4] {
    group.to_be_bytes()
}

/// A link from the users with a mark to an endpoint.
#[derive(Debug, Clone, Copy)]
struct Link<'a> {
    mark: u32,
    /// Whether the id is that of the UUID with these bytes.
    is_packed: bool,
    id: &'a [u8],
    /// Whether older values have it, and it is gone.
    is_removed: bool,
}

impl Link<'_> {
    #[inline]
    fn put(&self, value: &mut Vec<u8>) {
        value.extend_from_slice(&self.mark.to_be_bytes());
        let packed = if self.is_packed { PACKED } else { 0 };
        let removed = if self.is_removed { REMOVED } else { 0 };
        put_varint(value, self.id.len() * 4 + packed + removed);
        value.extend_from_slice(self.id);
    }

    /// What the order of a merged value is by.
    fn place(&self) -> (u32, bool, &[u8]) {
        (self.mark, self.is_packed, self.id)
    }
}

/// Appends a link to the value of a group; marks ascend. `is_removed`: whether it takes one away that older values have.
#[inline]
pub(super) fn put(value: &mut Vec<u8>, mark: u32, id: &[u8], is_removed: bool) {
    match pack(id) {
        Some(id) => Link { mark, is_packed: true, id: &id, is_removed }.put(value),
        None => Link { mark, is_packed: false, id, is_removed }.put(value),
    }
}

/// The bytes that an id is the text of, if it is that of a UUID as it is usually written.
#[inline]
fn pack(id: &[u8]) -> Option<uuid::Bytes> {
    let text: &[u8; uuid::fmt::Hyphenated::LENGTH] = id.try_into().ok()?;
    let bytes = *uuid::Uuid::try_parse_ascii(text).ok()?.as_bytes();
    (unpack(bytes) == *text).then_some(bytes)
}

fn unpack(bytes: uuid::Bytes) -> [u8; uuid::fmt::Hyphenated::LENGTH] {
    let mut text = [0; _];
    uuid::Uuid::from_bytes(bytes).hyphenated().encode_lower(&mut text);
    text
}

/// Takes the next link of a value.
#[inline]
fn next<'a>(value: &mut &'a [u8]) -> Result<Option<Link<'a>>, Damaged> {
    if value.is_empty() {
        return Ok(None);
    }
    let early = Damaged("a link ends too early");
    let (mark, rest) = value.split_first_chunk().ok_or(early)?;
    *value = rest;
    let head = take_varint(value)?;
    let id = value.split_off(..head / 4).ok_or(early)?;
    let (mark, is_packed) = (u32::from_be_bytes(*mark), head & PACKED != 0);
    if is_packed && id.len() != size_of::<uuid::Bytes>() {
        return Err(Damaged("a link has no whole UUID"));
    }
    Ok(Some(Link { mark, is_packed, id, is_removed: head & REMOVED != 0 }))
}

/// What some values of a group say together, oldest first. `keep_removals`: unless there is nothing older.
pub(super) fn fold<'a>(
    values: impl Iterator<Item = &'a [u8]>,
    keep_removals: bool,
) -> Result<Vec<u8>, Damaged> {
    let (mut links, mut bytes) = (Vec::new(), 0);
    for mut value in values {
        bytes += value.len();
        while let Some(link) = next(&mut value)? {
            links.push(link);
        }
    }
    // Values are in order by themselves, which this sort makes use of. The same links stay in order.
    links.sort_by(|one, other| one.place().cmp(&other.place()));
    let mut whole = Vec::with_capacity(bytes);
    for same in links.chunk_by(|one, other| one.place() == other.place()) {
        // The newest.
        if let Some(link) = same.last().filter(|link| keep_removals || !link.is_removed) {
            link.put(&mut whole);
        }
    }
    Ok(whole)
}

/// Finds the links of marks in the value of a group: with each endpoint's id what its mark came with. Marks ascend.
pub(super) fn find<T: Copy>(
    mut value: &[u8],
    mut marks: &[(u32, T)],
    mut found: impl FnMut(T, &[u8]),
) -> Result<(), Damaged> {
    while let Some(link) = next(&mut value)? {
        while let Some((_, others)) = marks.split_first().filter(|(first, _)| first.0 < link.mark) {
            marks = others;
        }
        let Some((first, _)) = marks.first() else { break };
        if link.is_removed || *first > link.mark {
            continue;
        }
        let unpacked;
        let id = match link.id.try_into() {
            Ok(bytes) if link.is_packed => {
                unpacked = unpack(bytes);
                &unpacked[..]
            }
            _ => link.id,
        };
        let own = marks.iter().take_while(|(mark, _)| *mark == link.mark);
        own.for_each(|(_, with)| found(*with, id));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Whether links are gone, by mark and endpoint.
    type Said = BTreeMap<(u32, Vec<u8>), bool>;

    fn value(links: &Said) -> Vec<u8> {
        let mut value = Vec::new();
        links.iter().for_each(|((mark, id), is_removed)| put(&mut value, *mark, id, *is_removed));
        value
    }

    fn links(mut value: &[u8]) -> Said {
        let mut found = Said::new();
        while let Some(link) = next(&mut value).unwrap() {
            let id = match link.is_packed {
                true => unpack(link.id.try_into().unwrap()).to_vec(),
                false => link.id.to_vec(),
            };
            assert_eq!(found.insert((link.mark, id), link.is_removed), None, "twice");
        }
        found
    }

    fn some_links() -> impl Strategy<Value = Said> {
        let text = vec(0_u8..3, 0..9);
        let bytes = (0_u8..3).prop_map(|byte| vec![byte; 16]);
        let uuid = (0_u8..3).prop_map(|byte| unpack([byte << 4 | 0xa; 16]).to_vec());
        let upper = (0_u8..3).prop_map(|byte| unpack([byte << 4 | 0xa; 16]).to_ascii_uppercase());
        let id = prop_oneof![text, bytes, uuid, upper];
        proptest::collection::btree_map((0_u32..9, id), any::<bool>(), 0..30)
    }

    proptest! {
        #[test]
        fn values_say_together_what_the_newest_says(said in vec(some_links(), 0..5)) {
            let values: Vec<_> = said.iter().map(value).collect();
            prop_assert_eq!(&values.iter().map(|value| links(value)).collect::<Vec<_>>(), &said);
            let mut expected: Said = said.into_iter().flatten().collect();
            let slices = || values.iter().map(Vec::as_slice);
            prop_assert_eq!(&links(&fold(slices(), true).unwrap()), &expected);
            // However they are merged on the way.
            let (older, newer) = values.split_at(values.len() / 2);
            let partly = [older, newer].map(|part| fold(part.iter().map(Vec::as_slice), true).unwrap());
            let whole = fold(partly.iter().map(Vec::as_slice), false).unwrap();
            expected.retain(|_, is_removed| !*is_removed);
            prop_assert_eq!(&links(&whole), &expected);
            prop_assert_eq!(fold(slices(), false).unwrap(), whole);
        }
    }

    proptest! {
        #[test]
        fn damaged_values_never_panic(values in vec(vec(prop_oneof![0_u8..80, any::<u8>()], 0..40), 1..3)) {
            let _ = fold(values.iter().map(Vec::as_slice), false);
        }
    }

    #[test]
    fn damaged_values_are_errors() {
        for value in [
            &[0, 0, 0, 1, 4 * 2 + 2, b'i', b'd'][..],
            &[0, 0, 0, 1, 12, b'i', b'd'],
            &[0, 0, 1],
            &[0, 0, 0, 1],
            &[0xff; 16],
        ] {
            assert!(fold([value].into_iter(), false).is_err(), "{value:?}");
        }
    }

    /// Stored data depends on these: a change needs a new layout number.
    #[test]
    fn places_and_values_never_change() {
        let places = Spread::all().map(|spread| (spread.0, spread.place(hash(b"user-1"))));
        let golden = [(13, (6649, 2494283153)), (17, (106393, 1253824787)), (21, (1702292, 2881327413))];
        assert_eq!(places.collect::<Vec<_>>(), golden);
        let uuid = "61626364-6566-6768-696a-6b6c6d6e6f70";
        let said =
            [((1, "id-1"), false), ((1, "id-2"), true), ((2, uuid), false), ((0xffff_ffff, ""), false)];
        let said = said.map(|((mark, id), is_removed)| ((mark, id.into()), is_removed));
        let golden = r"\x00\x00\x00\x01\x10id-1\x00\x00\x00\x01\x11id-2\x00\x00\x00\x02Babcdefghijklmnop\xff\xff\xff\xff\x00";
        assert_eq!(value(&said.into()).escape_ascii().to_string(), golden);
    }

    #[test]
    fn a_larger_store_has_more_groups() {
        let spreads = [0, 16 << 30, (16 << 30) + 1, u64::MAX].map(|bytes| Spread::of_store(bytes).0);
        assert_eq!(spreads, [13, 13, 17, 21]);
        assert!(Spread::all().is_sorted());
    }
}
