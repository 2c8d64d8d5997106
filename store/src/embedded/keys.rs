//! The keys of the embedded engine: a table's byte, then the parts, so that each table is one range of keys.
//!
//! | table | key | value |
//! |---|---|---|
//! | endpoints | application, endpoint id | record (merged) |
//! | users | application, user id | record of user attributes (merged) |
//! | links | application, user id with its length, endpoint id | none; stale when the endpoint has changed its user |
//! | groups of links | application, spread, group | links of some users (merged, [`super::groups`]) |
//! | members | segment, layer, piece, run, first id | the other ids of a block ([`super::blocks`]) |
//! | members of copies | segment, layer, endpoint id | record (merged); none in layers that are older than blocks |
//! | copy links | segment, layer, user id with its length, endpoint id | none; as links, for the copies of a layer |
//! | groups of copy links | segment, layer, spread, group | as groups of links, for the copies of a layer |
//! | pieces | job, number | JSON |
//! | applications, jobs, segments | their ids | JSON |
//! | open layers | segment, job | JSON; layers of jobs that have not ended |
//! | layers | segment, place | JSON; closed layers by the order in which they were closed, or several in one |
//! | versions | segment, version | JSON; the newest ones |
//! | addresses | application, address with its length, endpoint id | none; of endpoints that came one by one |
//! | settings | application | JSON |
//! | names | an application's name | the ids of those that have it |
//! | copying | | JSON; there while a copy into the store is not whole |
//! | job index, open jobs | application, job; job | none |
//! | left out | application, a job's mark | how many of its records had no room, big-endian |
//!
//! Numbers are big-endian, so that the order of keys is the order of numbers. The keys belong to
//! [`crate::record::LAYOUT`].

use pinport_model::{ApplicationId, JobId, SegmentId};

use crate::record::JobMark;

/// The first byte of every key. The bytes are stored; never change one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Table {
    Applications = b'a',
    CopyLinks = b'c',
    Addresses = b'd',
    Endpoints = b'e',
    LeftOut = b'f',
    LinkGroups = b'g',
    CopyLinkGroups = b'h',
    JobIndex = b'i',
    Jobs = b'j',
    OpenLayers = b'l',
    Members = b'm',
    Names = b'n',
    OpenJobs = b'o',
    Pieces = b'p',
    Segments = b's',
    Settings = b't',
    Users = b'u',
    Versions = b'v',
    Links = b'x',
    Layers = b'y',
    Copying = b'z',
}

pub(super) type Key = Vec<u8>;

pub(super) fn key(table: Table, parts: &[&[u8]]) -> Key {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(table as u8);
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

pub(super) fn application(id: ApplicationId) -> Key {
    key(Table::Applications, &[id.as_bytes()])
}

pub(super) fn settings(id: ApplicationId) -> Key {
    key(Table::Settings, &[id.as_bytes()])
}

pub(super) fn name(name: &str) -> Key {
    key(Table::Names, &[name.as_bytes()])
}

pub(super) fn job(id: JobId) -> Key {
    key(Table::Jobs, &[id.as_bytes()])
}

pub(super) fn open_job(id: JobId) -> Key {
    key(Table::OpenJobs, &[id.as_bytes()])
}

pub(super) fn indexed_job(application: ApplicationId, id: JobId) -> Key {
    key(Table::JobIndex, &[application.as_bytes(), id.as_bytes()])
}

pub(super) fn left_out(application: ApplicationId, job: JobMark) -> Key {
    key(Table::LeftOut, &[application.as_bytes(), &job])
}

/// The application whose endpoint or user a key is of.
pub(super) fn application_of(key: &[u8]) -> Option<ApplicationId> {
    let (table, rest) = key.split_first()?;
    let is_of_application = [Table::Endpoints, Table::Users].iter().any(|known| *known as u8 == *table);
    rest.first_chunk().filter(|_| is_of_application).map(|id| ApplicationId::from_bytes(*id))
}

pub(super) fn piece(job: JobId, piece: u64) -> Key {
    key(Table::Pieces, &[job.as_bytes(), &piece.to_be_bytes()])
}

pub(super) fn segment(application: ApplicationId, id: SegmentId) -> Key {
    key(Table::Segments, &[application.as_bytes(), id.as_bytes()])
}

pub(super) fn endpoint(application: ApplicationId, id: &[u8]) -> Key {
    key(Table::Endpoints, &[application.as_bytes(), id])
}

pub(super) fn user(application: ApplicationId, user: &[u8]) -> Key {
    key(Table::Users, &[application.as_bytes(), user])
}

/// What the keys of a layer's members begin with.
pub(super) fn layer(segment: SegmentId, layer: u32) -> Key {
    key(Table::Members, &[segment.as_bytes(), &layer.to_be_bytes()])
}

/// What the keys of a segment's members begin with.
pub(super) fn members(segment: SegmentId) -> Key {
    key(Table::Members, &[segment.as_bytes()])
}

pub(super) fn open_layer(segment: SegmentId, job: JobId) -> Key {
    key(Table::OpenLayers, &[segment.as_bytes(), job.as_bytes()])
}

pub(super) fn closed_layer(segment: SegmentId, place: u32) -> Key {
    key(Table::Layers, &[segment.as_bytes(), &place.to_be_bytes()])
}

pub(super) fn version(segment: SegmentId, version: u32) -> Key {
    key(Table::Versions, &[segment.as_bytes(), &version.to_be_bytes()])
}

/// What the keys of an application's addresses begin with; [`links_of`] adds the address.
pub(super) fn addresses(application: ApplicationId) -> Key {
    key(Table::Addresses, &[application.as_bytes()])
}

/// What the keys of an application's links begin with.
pub(super) fn links(application: ApplicationId) -> Key {
    key(Table::Links, &[application.as_bytes()])
}

/// What the keys of an application's groups of links begin with.
pub(super) fn link_groups(application: ApplicationId) -> Key {
    key(Table::LinkGroups, &[application.as_bytes()])
}

/// What the keys of the groups of a layer's copy links begin with.
pub(super) fn copy_link_groups(segment: SegmentId, layer: u32) -> Key {
    key(Table::CopyLinkGroups, &[segment.as_bytes(), &layer.to_be_bytes()])
}

/// What the keys of a layer's copy links begin with.
pub(super) fn copy_links(segment: SegmentId, layer: u32) -> Key {
    key(Table::CopyLinks, &[segment.as_bytes(), &layer.to_be_bytes()])
}

/// `prefix` with a user after it: what the keys of that user's links begin with.
pub(super) fn links_of(prefix: &[u8], user: &[u8]) -> Key {
    let mut key = prefix.to_vec();
    push_user(&mut key, user);
    key
}

/// The key of the link from a user, or an address, to an endpoint.
pub(super) fn link(prefix: &[u8], user: &[u8], id: &[u8]) -> Key {
    let mut key = links_of(prefix, user);
    key.extend_from_slice(id);
    key
}

/// Appends a user's id so that no other user's id begins with what was appended.
pub(super) fn push_user(key: &mut Key, user: &[u8]) {
    let length = u32::try_from(user.len()).expect("a user's id is shorter than 4 GiB, as its batch is");
    key.extend_from_slice(&length.to_be_bytes());
    key.extend_from_slice(user);
}

/// The first key after all that begin with `prefix`.
pub(super) fn end_of(prefix: &[u8]) -> Key {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    unreachable!("prefixes begin with a table's byte, and none is 0xff")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_after_all_its_keys() {
        assert_eq!(end_of(b"e\x01\xff\xff"), b"e\x02");
        assert_eq!(end_of(b"e\xff"), b"f");
        assert!(end_of(b"e\x01") > b"e\x01\xff\xff\xff".to_vec());
    }

    #[test]
    fn users_do_not_share_their_links() {
        let one = links_of(b"x", b"u");
        let other = links_of(b"x", b"u1");
        assert!(!other.starts_with(&one) && !one.starts_with(&other));
    }
}
