//! A piece as it has been walked so far: what there is of an endpoint and of a user by now.

use std::collections::{BTreeSet, HashMap};

use super::lookup::{LayerCopy, Lookup};
use crate::{
    DraftBatch, Result,
    batch::Entry,
    record::{
        Tag,
        read::{find, user_of},
    },
};

/// What earlier records of the piece have of an endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen<'a> {
    pub(super) address: bool,
    pub(super) channel: bool,
    pub(super) incomplete: bool,
    pub(super) user: Option<&'a [u8]>,
}

/// The piece as it has been walked so far, over what the store holds.
pub(super) struct Walk<'a> {
    pub(super) lookup: &'a Lookup,
    pub(super) copies: bool,
    pub(super) seen: HashMap<&'a [u8], Seen<'a>>,
    /// Endpoints that a record of the piece gave to a user; some may have left again.
    pub(super) named: HashMap<&'a [u8], BTreeSet<&'a [u8]>>,
}

impl<'a> Walk<'a> {
    /// Whether the endpoint is whole within the layer (or, for a registering job, the piece).
    pub(super) fn is_whole(&self, id: &[u8]) -> bool {
        let seen = self.seen.get(id).copied().unwrap_or_default();
        let copy = self.lookup.view(id).map(|view| &view.copy);
        let has = |said: bool, of: fn(&LayerCopy) -> bool| said || copy.is_some_and(of);
        has(seen.incomplete, |copy| copy.incomplete)
            || has(seen.address, |copy| copy.address) && has(seen.channel, |copy| copy.channel)
    }

    pub(super) fn exists(&self, id: &[u8]) -> bool {
        self.is_whole(id) || self.lookup.view(id).is_some_and(|view| view.registered)
    }

    /// The user the endpoint belongs to by now; empty if to none.
    pub(super) fn user(&self, id: &[u8]) -> &'a [u8] {
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
    pub(super) fn may_be_asked(&self, id: &[u8], user: &[u8]) -> bool {
        let Lookup { endpoints, users } = self.lookup;
        endpoints.contains_key(id)
            || !users.is_empty() && (users.contains_key(user) || self.seen.contains_key(id))
    }

    /// Notes what a record says.
    pub(super) fn note(&mut self, batch: &'a DraftBatch, entry: &Entry) -> Result<()> {
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
    pub(super) fn endpoints_of(&self, user: &[u8]) -> BTreeSet<&'a [u8]> {
        let stored = self.lookup.users.get(user).into_iter().flatten().map(Vec::as_slice);
        let named = self.named.get(user).into_iter().flatten().copied();
        stored.chain(named).filter(|id| self.exists(id) && self.user(id) == user).collect()
    }
}
