//! What the fuzz targets and the benchmarks of stages see of the inside of this crate: the encoded form of drafts,
//! and merging. For `fuzz/` and `benches/` alone; nothing else may call it.

use pinport_model::{ApplicationId, Origin};

use crate::{
    DraftBatch, DraftKind,
    batch::Span,
    record::{
        merge,
        read::{self, Members},
    },
};

/// One draft of a batch, in its encoded form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// What it needs.
    pub kind: DraftKind,
    /// The endpoint's id; empty if it names a user alone.
    pub id: Vec<u8>,
    /// The endpoint's members.
    pub record: Vec<u8>,
    /// Its user's attributes.
    pub user_record: Vec<u8>,
    /// Its user's id.
    pub user: Vec<u8>,
    /// The original bytes, if they are kept.
    pub raw: Vec<u8>,
    /// Where it begins.
    pub origin: Origin,
}

/// The drafts of a batch.
pub fn encoded(batch: &DraftBatch) -> Vec<Encoded> {
    let bytes = |span: Span| batch.bytes(span).to_vec();
    let encoded = |entry: &crate::batch::Entry| Encoded {
        kind: entry.kind,
        id: bytes(entry.id),
        record: bytes(entry.record),
        user_record: bytes(entry.user_record),
        user: bytes(entry.user),
        raw: bytes(entry.raw),
        origin: batch.origin_of(entry),
    };
    batch.entries().iter().map(encoded).collect()
}

/// A member of a record: tag, name, value.
pub type Member = (u8, Vec<u8>, Vec<u8>);

/// The members of a record, or nothing if it is damaged.
pub fn members(record: &[u8]) -> Option<Vec<Member>> {
    let mut members = Members::new(record);
    let mut found = Vec::new();
    while let Some(member) = members.next().ok()? {
        found.push((member.tag, member.name.to_vec(), member.value.to_vec()));
    }
    Some(found)
}

/// What two records say together, or nothing if one is damaged.
pub fn merge(older: &[u8], newer: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    merge::merge(older, newer, &mut out).ok().map(|_| out)
}

/// What some records say together, or nothing if one is damaged.
pub fn fold(records: &[&[u8]], keep_removals: bool) -> Option<Vec<u8>> {
    crate::record::bounds::fold(records.iter().copied(), keep_removals).ok()
}

/// Reads a record in every way there is; whether it could be shown as an endpoint.
pub fn read(record: &[u8], user_record: &[u8]) -> bool {
    let _ = (read::is_endpoint(record), read::user_of(record));
    let _ = read::decode(ApplicationId::from_bytes([7; 16]), record, record, user_record);
    read::decode(ApplicationId::from_bytes([7; 16]), b"id", record, user_record)
        .is_ok_and(|found| found.is_some())
}
