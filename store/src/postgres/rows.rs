//! The rows of a piece, as COPY takes them: operands of endpoints and of users, and members. Rows of one endpoint or user
//! are merged here, in source order, so a version has one operand of each. They are in the order of their index, because
//! the database then touches each page of it once.

use std::collections::BTreeSet;

use super::{copy, hash::h8};
use crate::{
    Result,
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
        groups(
            &keys,
            |index| endpoints[index].id,
            |hash, same| {
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
            },
        )?;
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
        // Links first, then what is said of users.
        let links: Vec<_> = endpoints.iter().filter(|row| !row.user.is_empty()).collect();
        let user =
            |index: usize| links.get(index).map_or_else(|| users[index - links.len()].id, |row| row.user);
        let keys = sorted((0..links.len() + users.len()).map(|index| h8(place.space, user(index))));
        let mut uops = copy::Rows::default();
        let (mut left_out, crowded) = (fold.left_out(), &mut self.crowded);
        let mut ids: BTreeSet<&[u8]> = BTreeSet::new();
        groups(&keys, user, |hash, same| {
            ids.clear();
            let (mut record, mut count): (&[u8], _) = (&[], 0);
            for (_, index) in same {
                let index = *index as usize;
                if let Some(link) = links.get(index) {
                    ids.insert(link.id);
                    continue;
                }
                let next = users[index - links.len()].record;
                match count {
                    0 => record = next,
                    1 => {
                        fold.begin(record);
                        fold.add(next)?;
                    }
                    _ => fold.add(next)?,
                }
                count += 1;
            }
            let user = user(same[0].1 as usize);
            if count > 1 {
                if fold.left_out() > left_out {
                    left_out = fold.left_out();
                    crowded.users.insert(user.to_vec());
                }
                record = fold.so_far();
            }
            let mut record = (count > 0).then_some(record);
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
        // Most comparisons need no look at the ids, which lie all over the piece.
        let mut order: Vec<_> = ids.iter().map(|(id, _)| prefix(id)).zip(0_u32..).collect();
        let id_of = |index: u32| ids[index as usize].0;
        order.sort_unstable_by(|one, other| {
            one.0.cmp(&other.0).then_with(|| id_of(one.1).cmp(id_of(other.1)))
        });
        order.dedup_by(|one, other| one.0 == other.0 && id_of(one.1) == id_of(other.1));
        let mut members = copy::Rows::default();
        for (_, index) in order {
            let (id, hash) = ids[index as usize];
            members.row(3);
            members.int8(hash);
            members.int4(layer);
            members.bytes(id);
        }
        self.members = members;
    }
}

/// The first bytes of an id: a number that is less where they are, and equal where an id may still be less.
fn prefix(id: &[u8]) -> u128 {
    let mut first = [0; 16];
    let length = id.len().min(first.len());
    first[..length].copy_from_slice(&id[..length]);
    u128::from_be_bytes(first)
}

/// Hashes with their places, in order.
fn sorted(hashes: impl Iterator<Item = i64>) -> Vec<(i64, u32)> {
    let mut keys: Vec<_> = hashes.zip(0_u32..).collect();
    keys.sort_unstable();
    keys
}

/// Hands on what has the same key, in source order. Different keys may have one hash.
fn groups<'a>(
    keys: &[(i64, u32)],
    key: impl Fn(usize) -> &'a [u8],
    mut each: impl FnMut(i64, &[(i64, u32)]) -> Result<()>,
) -> Result<()> {
    for same in keys.chunk_by(|one, other| one.0 == other.0) {
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
