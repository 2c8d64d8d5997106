//! A record as a map: the layout of the other engine's records, taken apart into what it says and put together again.

use std::collections::BTreeMap;

use pinport_model::limits::RecordLimits;

use crate::{
    Result,
    record::{self, FIRST_NAMED, Tag, bounds::Bounds, read::Members},
};

/// A record as a map from (tag, name) to value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MemberMap(pub(super) BTreeMap<(u8, Vec<u8>), Vec<u8>>);

impl MemberMap {
    pub(super) fn of(record: &[u8]) -> Result<Self> {
        let mut map = Self::default();
        let mut members = Members::new(record);
        while let Some(member) = members.next()? {
            map.0.insert((member.tag, member.name.to_vec()), member.value.to_vec());
        }
        Ok(map)
    }

    /// The first record of an endpoint that lacks Address or ChannelType.
    pub(super) fn incomplete(record: &Self) -> Result<Self> {
        let mut whole = Self::of(record::INCOMPLETE)?;
        whole.apply(record);
        Ok(whole)
    }

    /// Applies what a newer record says.
    pub(super) fn apply(&mut self, newer: &Self) {
        // An update of an endpoint that says nothing of its status makes it active.
        if newer.get(Tag::EffectiveDate).is_some() {
            self.0.remove(&(Tag::Status as u8, Vec::new()));
        }
        for (key, value) in &newer.0 {
            if key.0 == Tag::CreationDate as u8 {
                self.0.entry(key.clone()).or_insert_with(|| value.clone());
            } else {
                self.0.insert(key.clone(), value.clone());
            }
        }
    }

    pub(super) fn get(&self, tag: Tag) -> Option<&Vec<u8>> {
        self.0.get(&(tag as u8, Vec::new()))
    }

    pub(super) fn is_endpoint(&self) -> bool {
        let is_whole = self.get(Tag::Address).is_some() && self.get(Tag::Channel).is_some();
        is_whole || self.get(Tag::Incomplete).is_some()
    }

    pub(super) fn user(&self) -> Option<&Vec<u8>> {
        self.get(Tag::UserId).filter(|user| !user.is_empty())
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for ((tag, name), value) in &self.0 {
            out.push(*tag);
            if *tag >= FIRST_NAMED {
                record::put_bytes(&mut out, name);
            }
            record::put_bytes(&mut out, value);
        }
        out
    }
}

/// What imports may make of an endpoint.
pub(super) fn bounds() -> Bounds {
    Bounds::from(&RecordLimits::default())
}
