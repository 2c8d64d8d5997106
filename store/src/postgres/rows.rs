//! The rows of a piece, as COPY takes them: operands of endpoints and of users, and members. Rows of one endpoint or user
//! are merged here, in source order, so a version has one operand of each. They are in the order of their index, because
//! the database then touches each page of it once.

use std::ptr;

use super::{copy, hash::h8};
use crate::{
    Result,
    order::{AHEAD, sort, warm},
    piece_rows::{Crowded, Row},
    record::bounds::{Bounds, Fold},
};

/// Where the rows of a piece go, and their version.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The application's space: what hashes are made with.
    pub(super) space: i32,
    /// The layer of the job's segment.
    pub(super) layer: Option<i32>,
    /// Whether that holds copies, and nothing is registered.
    pub(super) copies: bool,
    /// The job's number, its part, and the piece.
    pub(super) version: [i32; 3],
}

impl Place {
    /// Of operands in a space: an application's, or the negated number of a layer of copies.
    pub(super) fn of(space: i32, version: [i32; 3]) -> Self {
        Self { space, layer: None, copies: false, version }
    }

    /// The space of the operands.
    pub(super) fn own_space(&self) -> i32 {
        match self.layer {
            Some(layer) if self.copies => -layer,
            _ => self.space,
        }
    }

    /// The columns of an operand between its hash and its key.
    fn numbers(&self) -> [i32; 4] {
        let [job, part, piece] = self.version;
        [job, part, piece, self.own_space()]
    }
}

/// Rows that are ready.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) ops: copy::Rows,
    pub(super) uops: copy::Rows,
    pub(super) members: copy::Rows,
    /// Rows of endpoints that were merged with an earlier row of the piece.
    pub(super) repeated: u64,
    /// Members of copies that had no room beside earlier rows of the piece.
    pub(super) left_out: u64,
    /// Endpoints and users, not copies, whose rows have more than there is room for.
    pub(super) crowded: Crowded,
}

impl Tables {
    /// The rows that a piece comes to: each list is in source order.
    pub(super) fn of(
        place: &Place,
        bounds: Bounds,
        endpoints: &[Row<'_>],
        users: &[Row<'_>],
        members: &[&[u8]],
    ) -> Result<Self> {
        let mut tables = Self::default();
        let mut fold = Fold::new(bounds, true);
        let mut left_out = 0;
        let keys = sorted(endpoints.iter().map(|row| h8(place.space, row.id)));
        let mut ops = copy::Rows::default();
        let mut ids =
            Vec::with_capacity(if place.layer.is_some() { endpoints.len() + members.len() } else { 0 });
        let texts = |index: usize| [endpoints[index].id, endpoints[index].record];
        groups(&keys, texts, |hash, same| {
            let (first, others) = (&endpoints[same[0].1 as usize], &same[1..]);
            let record = match others {
                [] => first.record,
                _ => {
                    fold.begin(first.record);
                    for (_, index) in others {
                        fold.add(endpoints[*index as usize].record)?;
                    }
                    tables.repeated += others.len() as u64;
                    if fold.left_out() > left_out {
                        left_out = fold.left_out();
                        tables.crowded.ids.insert(first.id.to_vec());
                    }
                    fold.so_far()
                }
            };
            if place.layer.is_some() {
                ids.push((first.id, hash));
            }
            op(&mut ops, hash, place, first.id, record);
            Ok(())
        })?;
        tables.ops = ops;
        tables.add_users(place, &mut fold, endpoints, users)?;
        if place.copies {
            tables.left_out = fold.left_out();
            tables.crowded = Crowded::default();
        }
        if let Some(layer) = place.layer {
            ids.extend(members.iter().map(|id| (*id, h8(place.space, id))));
            tables.add_members(layer, &ids);
        }
        Ok(tables)
    }

    fn add_users(
        &mut self,
        place: &Place,
        fold: &mut Fold,
        endpoints: &[Row<'_>],
        users: &[Row<'_>],
    ) -> Result<()> {
        let links = links(endpoints, users);
        let keys = sorted(links.iter().map(|link| h8(place.space, link.user)));
        let mut uops = copy::Rows::default();
        let (mut left_out, crowded) = (fold.left_out(), &mut self.crowded);
        let mut ids: Vec<&[u8]> = Vec::new();
        let mut said: Vec<u32> = Vec::new();
        let texts = |index: usize| [links[index].user, links[index].id];
        groups(&keys, texts, |hash, same| {
            ids.clear();
            said.clear();
            for (_, index) in same {
                let link = &links[*index as usize];
                ids.extend((!link.id.is_empty()).then_some(link.id));
                said.extend(link.said);
            }
            ids.sort_unstable();
            ids.dedup();
            said.sort_unstable();
            let user = links[same[0].1 as usize].user;
            let mut record = said.first().map(|first| users[*first as usize].record);
            if let [first, others @ ..] = &said[..]
                && !others.is_empty()
            {
                fold.begin(users[*first as usize].record);
                for index in others {
                    fold.add(users[*index as usize].record)?;
                }
                if fold.left_out() > left_out {
                    left_out = fold.left_out();
                    crowded.users.insert(user.to_vec());
                }
                record = Some(fold.so_far());
            }
            if ids.is_empty() {
                uop(&mut uops, hash, place, user, b"", record);
            }
            for id in &ids {
                uop(&mut uops, hash, place, user, id, record.take());
            }
            Ok(())
        })?;
        self.uops = uops;
        Ok(())
    }

    /// Adds members with their hashes, in the order of their ids.
    fn add_members(&mut self, layer: i32, ids: &[(&[u8], i64)]) {
        let mut order = sort(ids.len(), |index| ids[index].0);
        let id_of = |index: u32| ids[index as usize].0;
        order.dedup_by(|one, other| one.0 == other.0 && id_of(one.1) == id_of(other.1));
        let mut members = copy::Rows::default();
        for some in order.chunks(AHEAD) {
            warm(some.iter().map(|(_, index)| id_of(*index)));
            for (_, index) in some {
                let (id, hash) = ids[*index as usize];
                members.row(3);
                members.int8(hash);
                members.int4(layer);
                members.bytes(id);
            }
        }
        self.members = members;
    }
}

/// Hashes with their places, in order.
fn sorted(hashes: impl Iterator<Item = i64>) -> Vec<(i64, u32)> {
    let mut keys: Vec<_> = hashes.zip(0_u32..).collect();
    keys.sort_unstable();
    keys
}

/// That an endpoint has a user, or else that something is said of one.
struct Link<'a> {
    user: &'a [u8],
    /// Empty if it is of no endpoint.
    id: &'a [u8],
    /// Which row of users says it.
    said: Option<u32>,
}

/// What a piece says of users. Most records name a user and say something of it: these have one link, not two.
fn links<'a>(endpoints: &[Row<'a>], users: &[Row<'a>]) -> Vec<Link<'a>> {
    let mut links = Vec::with_capacity(endpoints.len());
    let mut said = users.iter().zip(0_u32..).peekable();
    for row in endpoints.iter().filter(|row| !row.user.is_empty()) {
        // It is the same name of the same record, if it lies in the same place.
        let own = said.next_if(|(said, _)| ptr::eq(said.id, row.user)).map(|(_, index)| index);
        links.push(Link { user: row.user, id: row.id, said: own });
    }
    links.extend(said.map(|(row, index)| Link { user: row.id, id: &[], said: Some(index) }));
    links
}

/// Hands on what has the same key, in source order. Different keys may have one hash. `texts` gives the key and what else
/// is needed at its turn.
fn groups<'a>(
    keys: &[(i64, u32)],
    texts: impl Fn(usize) -> [&'a [u8]; 2],
    mut each: impl FnMut(i64, &[(i64, u32)]) -> Result<()>,
) -> Result<()> {
    let key = |index: usize| texts(index)[0];
    let mut ahead = keys.chunks(AHEAD);
    let (mut next, mut done) = (0, 0);
    for same in keys.chunk_by(|one, other| one.0 == other.0) {
        while done >= next
            && let Some(some) = ahead.next()
        {
            warm(some.iter().flat_map(|(_, index)| texts(*index as usize)));
            next += some.len();
        }
        done += same.len();
        let (first, others) = (same[0].1 as usize, &same[1..]);
        if others.iter().all(|(_, index)| key(*index as usize) == key(first)) {
            each(same[0].0, same)?;
            continue;
        }
        let mut apart = same.to_vec();
        apart.sort_by_key(|(_, index)| (key(*index as usize), *index));
        for same in apart.chunk_by(|one, other| key(one.1 as usize) == key(other.1 as usize)) {
            each(same[0].0, same)?;
        }
    }
    Ok(())
}

/// Appends an operand of an endpoint.
pub(super) fn op(rows: &mut copy::Rows, hash: i64, place: &Place, id: &[u8], record: &[u8]) {
    rows.head(7, hash, place.numbers());
    rows.bytes(id);
    rows.bytes(record);
}

/// Appends an operand of a user.
pub(super) fn uop(
    rows: &mut copy::Rows,
    hash: i64,
    place: &Place,
    user: &[u8],
    id: &[u8],
    record: Option<&[u8]>,
) {
    rows.head(8, hash, place.numbers());
    rows.bytes(user);
    rows.bytes(id);
    match record {
        Some(record) => rows.bytes(record),
        None => rows.null(),
    }
}

/// How COPY is asked for each table.
pub(super) const COPY_OPS: &str = "COPY ops (h8, job, part, piece, space, id, rec) FROM STDIN BINARY";
pub(super) const COPY_UOPS: &str = "COPY uops (h8, job, part, piece, space, usr, id, rec) FROM STDIN BINARY";
pub(super) const COPY_MEMBERS: &str = "COPY members (h8, layer, id) FROM STDIN BINARY";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_names_its_user_and_speaks_of_it_has_one_link() {
        let names = b"annannbob";
        let row = |id: &'static [u8], user: &'static [u8]| Row { id, record: b"", user };
        let said = |user: &'static [u8]| Row { id: user, record: b"", user: b"" };
        let endpoints =
            [row(b"1", &names[..3]), row(b"2", b""), row(b"3", &names[3..6]), row(b"4", &names[6..])];
        // The third says nothing of its user, and a user is spoken of by no endpoint.
        let users = [said(&names[..3]), said(&names[6..]), said(b"ann")];
        let links = links(&endpoints, &users);
        let found: Vec<_> = links.iter().map(|link| (link.user, link.id, link.said)).collect();
        let expected: [(&[u8], &[u8], _); 4] =
            [(b"ann", b"1", Some(0)), (b"ann", b"3", None), (b"bob", b"4", Some(1)), (b"ann", b"", Some(2))];
        assert_eq!(found, expected);
    }

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        let texts: [&[u8]; 40] = std::array::from_fn(|index| [&b"a"[..], b"b", b"c"][index % 3]);
        let keys: Vec<_> = (0..40).map(|index| (i64::from(index / 20), index)).collect();
        let mut found: Vec<(i64, u32)> = Vec::new();
        groups(
            &keys,
            |index| [texts[index], b""],
            |hash, same| {
                assert!(same.iter().all(|(of, index)| (*of, texts[*index as usize]) == (hash, texts[same[0].1 as usize])));
                assert!(same.is_sorted());
                found.extend_from_slice(same);
                Ok(())
            },
        )
        .unwrap();
        found.sort_unstable();
        assert_eq!(found, keys);
    }
}
