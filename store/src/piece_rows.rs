//! The rows that the drafts of a piece come to: endpoints, users and members, in source order.

use std::collections::HashSet;

use pinport_model::{ApplicationId, SegmentId, segment::SegmentLayer};

use crate::{
    DraftBatch, DraftKind,
    entry::{Entry, Span},
};

/// Where the rows of a job go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) application: ApplicationId,
    pub(crate) layer: Option<(SegmentId, SegmentLayer)>,
}

impl Target {
    /// The layer, if it holds copies instead of naming registered endpoints.
    pub(crate) fn copies(&self) -> Option<(SegmentId, u32)> {
        self.layer.filter(|(_, layer)| layer.copies).map(|(segment, layer)| (segment, layer.number))
    }
}

/// An endpoint (or a copy) and what a record says of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) id: &'a [u8],
    pub(crate) record: &'a [u8],
    /// The user the record names, or nothing.
    pub(crate) user: &'a [u8],
}

/// What a piece says, each list in source order.
#[derive(Debug, Default)]
pub(crate) struct Rows<'a> {
    pub(crate) endpoints: Vec<Row<'a>>,
    /// Users with their attributes (`user` is empty here, `id` is the user's).
    pub(crate) users: Vec<Row<'a>>,
    /// Members of the layer beside the endpoints.
    pub(crate) members: Vec<&'a [u8]>,
}

/// Endpoints and users of which the records of a piece, merged, are larger than they may be.
#[derive(Debug, Default)]
pub(crate) struct Crowded {
    pub(crate) ids: HashSet<Vec<u8>>,
    pub(crate) users: HashSet<Vec<u8>>,
}

impl Crowded {
    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.users.is_empty()
    }
}

/// Whether an entry's rows depend on nothing but the entry.
pub(crate) fn is_blind(entry: &Entry, target: &Target) -> bool {
    // User attributes without a user belong to the user that the endpoint has by now.
    let of_unknown_user = entry.user.is_empty() && !entry.user_record.is_empty();
    entry.kind == DraftKind::Blind && (target.copies().is_some() || !of_unknown_user)
}

impl<'a> Rows<'a> {
    /// Adds the rows of a blind entry.
    pub(crate) fn push(&mut self, batch: &'a DraftBatch, entry: &Entry, target: &Target) {
        let (id, user) = (batch.bytes(entry.id), batch.bytes(entry.user));
        if target.copies().is_some() {
            self.endpoints.push(Row { id, record: whole(batch, entry), user });
            return;
        }
        self.endpoints.push(Row { id, record: batch.bytes(entry.record), user });
        if !entry.user_record.is_empty() {
            self.users.push(Row { id: user, record: batch.bytes(entry.user_record), user: &[] });
        }
    }
}

/// An entry's members and user attributes, which lie after each other, as one record.
pub(crate) fn whole<'a>(batch: &'a DraftBatch, entry: &Entry) -> &'a [u8] {
    let end = entry.record.end.max(entry.user_record.end);
    batch.bytes(Span { start: entry.record.start, end })
}
