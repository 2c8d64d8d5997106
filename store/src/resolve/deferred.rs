//! Which records of a piece wait for its turn.

use std::collections::HashSet;

use super::{Facts, Owner};
use crate::{
    DraftBatch, DraftKind, Result,
    batch::Entry,
    piece_rows::{Crowded, Rows, Target, is_blind},
};

/// Records of a piece up to which all of them are judged by what their endpoints and users have: a record that has no
/// room fails. In larger pieces that would be a read for each record; there wide records are judged, and those that the
/// piece itself has too many of. Of the others the members that have no room are left out when they are folded
/// ([`crate::record::bounds`]).
const SMALL_PIECE: usize = 256;

/// Ids of a piece. Each of its records is looked for.
type Ids<'a> = HashSet<&'a [u8], foldhash::fast::RandomState>;

/// Whether all records of a piece are judged by what is there. A copy only has what its job says.
fn is_judged(batches: &[DraftBatch], target: &Target) -> bool {
    let count = batches.iter().map(DraftBatch::len).sum::<usize>();
    count <= SMALL_PIECE && batches.iter().all(DraftBatch::keeps_raw) && target.copies().is_none()
}

/// When the rows of an entry are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
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
        let mut waiting = Ids::default();
        let mut judged: Ids<'_> = crowded.ids.iter().map(Vec::as_slice).collect();
        let mut users: Ids<'_> = crowded.users.iter().map(Vec::as_slice).collect();
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
    pub(super) fn expect(&self, facts: &impl Facts, target: &Target, batches: &[DraftBatch]) -> Result<()> {
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
    pub(super) fn when(&self, place: usize) -> When {
        self.places.get(place).copied().unwrap_or(When::Before)
    }
}
