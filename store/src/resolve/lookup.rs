//! What the store holds of all that the records of a piece ask about, read at once.

use std::collections::{BTreeSet, HashMap};

use super::{Facts, Linked};
use crate::{
    DraftBatch, DraftKind, Result,
    piece_rows::{Target, is_blind},
    record::{
        Tag,
        read::{find, is_endpoint, user_of},
    },
};

/// Keys read at once: bounds what a piece of many updates holds in memory.
const READ_AT_ONCE: usize = 1024;

/// What the store holds of the endpoints and users that a piece asks about.
#[derive(Default)]
pub(crate) struct Lookup {
    pub(super) endpoints: HashMap<Vec<u8>, View>,
    /// Endpoints that a user may have, in order.
    pub(super) users: Linked,
}

/// What is known of one endpoint.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) registered: bool,
    pub(super) registered_user: Option<Vec<u8>>,
    pub(super) copy: LayerCopy,
}

/// What the copy of an endpoint in a layer says of what matters here.
#[derive(Debug, Default)]
pub(super) struct LayerCopy {
    pub(super) address: bool,
    pub(super) channel: bool,
    pub(super) incomplete: bool,
    pub(super) user: Option<Vec<u8>>,
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

    pub(super) fn view(&self, id: &[u8]) -> Option<&View> {
        self.endpoints.get(id)
    }
}
