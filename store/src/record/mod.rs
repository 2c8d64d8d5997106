//! The layout of a stored endpoint, owned by this module alone: written here, read in [`read`], merged in
//! [`merge`].
//!
//! A record is a list of members, strictly ascending by (tag, name):
//!
//! ```text
//! member = tag:u8 [name_len:varint name:bytes]  value_len:varint value:bytes     (named from tag 0x40 on)
//! ```
//!
//! The same layout serves a whole endpoint, an update that has some members, a user's attributes and a
//! segment's copy. Merging two records is one linear pass over both. The values:
//!
//! | tags | value |
//! |---|---|
//! | text members | UTF-8 |
//! | dates | `0` + UTF-8 as the record gave it, or `1` + milliseconds since 1970 (i64, big-endian) |
//! | channel, opt-out, status | the value's place in the service model's list, one byte |
//! | latitude, longitude, metrics | f64, big-endian bits |
//! | incomplete | none: it marks an endpoint without Address or ChannelType |
//! | attributes | each value as `len:varint bytes`; none: the attribute is removed |
//! | a metric without a value | it is removed |
//! | job | the last four bytes of the import job's id |
//!
//! [`LAYOUT`] is stored with the data; a test holds golden bytes. A change of layout needs a new number and
//! code that reads the old one.

mod append;
pub(crate) mod bounds;
pub(crate) mod matcher;
pub(crate) mod merge;
pub(crate) mod read;
#[cfg(test)]
mod tests;
pub mod write;

use std::ops::Range;

use append::append;
use pinport_model::{Attribute, Draft, EndpointStatus, JobId, OptOut, Scalar, TextMember, Timestamp};

/// The version of everything the store writes: this layout and the embedded engine's keys. Layout 1 had no cohorts, no
/// endpoints without Address or ChannelType, no two applications of one name and no table of addresses; a store that has
/// it is one of layout 2 too. Layouts 1 and 2 kept all versions of a segment in one row; opening a store changes
/// these rows. Layout 3 had no segments of criteria, no settings of applications and no removals of metrics; a store that has it is
/// one of layout 4 too. Layout 4 had no marks of jobs, layout 5 a key for each member of a segment, which no layer has any more
/// that is begun or folded from then on, and layout 6 no groups of links; a store that has any of these is one of layout 7 too.
pub const LAYOUT: u32 = 7;

/// What a member is. The numbers are stored; never change one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Tag {
    Address = 0x01,
    Channel = 0x02,
    OptOut = 0x03,
    Status = 0x04,
    RequestId = 0x05,
    EffectiveDate = 0x06,
    CreationDate = 0x07,
    CohortId = 0x08,
    /// It is an endpoint also without Address and ChannelType. The value is empty.
    Incomplete = 0x09,
    AppVersion = 0x10,
    Locale = 0x11,
    Make = 0x12,
    Model = 0x13,
    ModelVersion = 0x14,
    Platform = 0x15,
    PlatformVersion = 0x16,
    Timezone = 0x17,
    City = 0x20,
    Country = 0x21,
    PostalCode = 0x22,
    Region = 0x23,
    Latitude = 0x24,
    Longitude = 0x25,
    UserId = 0x30,
    Attribute = 0x40,
    Metric = 0x41,
    /// The import job that said the rest, under an empty name: it stands between what is the endpoint's and what is its
    /// user's, because it is written once and belongs to both.
    Job = 0x4f,
    UserAttribute = 0x50,
}

impl Tag {
    const ALL: [Self; 28] = [
        Self::Address,
        Self::Channel,
        Self::OptOut,
        Self::Status,
        Self::RequestId,
        Self::EffectiveDate,
        Self::CreationDate,
        Self::CohortId,
        Self::Incomplete,
        Self::AppVersion,
        Self::Locale,
        Self::Make,
        Self::Model,
        Self::ModelVersion,
        Self::Platform,
        Self::PlatformVersion,
        Self::Timezone,
        Self::City,
        Self::Country,
        Self::PostalCode,
        Self::Region,
        Self::Latitude,
        Self::Longitude,
        Self::UserId,
        Self::Attribute,
        Self::Metric,
        Self::Job,
        Self::UserAttribute,
    ];

    /// The tag of a text member.
    pub(crate) const fn of(member: TextMember) -> Self {
        match member {
            TextMember::Address => Self::Address,
            TextMember::RequestId => Self::RequestId,
            TextMember::EffectiveDate => Self::EffectiveDate,
            TextMember::CreationDate => Self::CreationDate,
            TextMember::CohortId => Self::CohortId,
            TextMember::AppVersion => Self::AppVersion,
            TextMember::Locale => Self::Locale,
            TextMember::Make => Self::Make,
            TextMember::Model => Self::Model,
            TextMember::ModelVersion => Self::ModelVersion,
            TextMember::Platform => Self::Platform,
            TextMember::PlatformVersion => Self::PlatformVersion,
            TextMember::Timezone => Self::Timezone,
            TextMember::City => Self::City,
            TextMember::Country => Self::Country,
            TextMember::PostalCode => Self::PostalCode,
            TextMember::Region => Self::Region,
            TextMember::UserId => Self::UserId,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|tag| *tag as u8 == byte)
    }
}

/// Tags from here on are followed by a name.
pub(crate) const FIRST_NAMED: u8 = 0x40;

pub(crate) const DATE_TEXT: u8 = 0;
const DATE_MILLIS: u8 = 1;

/// Appends the members of `draft` but for its user attributes. `creation` is the creation date of a draft
/// that brings none (nothing is written if it is `None` too), `now` likewise the effective date. Returns where in `out` the
/// user's id is, if there is one.
pub(crate) fn encode_endpoint(
    draft: &mut Draft<'_>,
    creation: Option<Timestamp>,
    now: Timestamp,
    out: &mut Vec<u8>,
) -> Option<Range<usize>> {
    let text = |out: &mut Vec<u8>, member| {
        if let Some(value) = draft.text(member) {
            put(out, Tag::of(member), value.as_bytes());
        }
    };
    text(out, TextMember::Address);
    if let Some(channel) = draft.channel {
        put(out, Tag::Channel, &[channel as u8]);
    }
    if let Some(opt_out) = draft.opt_out {
        put(out, Tag::OptOut, &[opt_out as u8]);
    }
    if let Some(status) = draft.status {
        put(out, Tag::Status, &[status as u8]);
    }
    text(out, TextMember::RequestId);
    put_date(out, Tag::EffectiveDate, draft.text(TextMember::EffectiveDate), Some(now));
    put_date(out, Tag::CreationDate, draft.text(TextMember::CreationDate), creation);
    text(out, TextMember::CohortId);
    TextMember::DEMOGRAPHIC.into_iter().for_each(|member| text(out, member));
    TextMember::LOCATION.into_iter().for_each(|member| text(out, member));
    if let Some(latitude) = draft.latitude {
        put(out, Tag::Latitude, &latitude.to_bits().to_be_bytes());
    }
    if let Some(longitude) = draft.longitude {
        put(out, Tag::Longitude, &longitude.to_bits().to_be_bytes());
    }
    text(out, TextMember::UserId);
    let user = draft.text(TextMember::UserId).map(|id| out.len() - id.len()..out.len());

    draft.attributes.sort_by_key(|attribute| attribute.name);
    put_attributes(out, Tag::Attribute, &draft.attributes, &draft.values);
    draft.metrics.sort_by_key(|(name, _)| *name);
    for (index, (name, value)) in draft.metrics.iter().enumerate() {
        let repeated = draft.metrics.get(index + 1).is_some_and(|(next, _)| next == name);
        if !repeated {
            put_name(out, Tag::Metric, name);
            put_varint(out, 8);
            out.extend_from_slice(&value.to_bits().to_be_bytes());
        }
    }
    user
}

/// What comes before the first record of an endpoint that lacks Address or ChannelType: there is no consent to anything
/// until somebody says so.
pub(crate) const INCOMPLETE: &[u8] = &[Tag::OptOut as u8, 1, OptOut::All as u8, Tag::Incomplete as u8, 0];

/// What stands for a job in a record.
pub(crate) type JobMark = [u8; 4];

/// The mark of a job: the end of its id, which is random.
pub(crate) fn mark_of(job: JobId) -> JobMark {
    *job.as_bytes().last_chunk().expect("an id has 16 bytes")
}

/// The mark of a job as a member.
pub(crate) fn mark_member([a, b, c, d]: JobMark) -> [u8; 7] {
    [Tag::Job as u8, 0, 4, a, b, c, d]
}

/// The record that says an endpoint is inactive and nothing else.
pub(crate) const INACTIVE: &[u8] = &[Tag::Status as u8, 1, EndpointStatus::Inactive as u8];

/// A bound on the bytes that a draft takes as stored, which was read from `raw` bytes and whose names have at most `name`
/// characters: every text of it is a part of these bytes, but for the names of attributes and metrics.
pub(crate) fn stored_at_most(draft: &Draft<'_>, raw: usize, name: usize) -> usize {
    // A tag and two lengths; a value that is no text, with its length.
    const AROUND: usize = 11;
    const NUMBER: usize = 32;
    const UNNAMED: usize = Tag::ALL.len() * (AROUND + 9);
    let named = draft.attributes.len() + draft.user_attributes.len() + draft.metrics.len();
    UNNAMED + raw + named * (4 * name + AROUND + 8) + draft.values.len() * NUMBER
}

/// Appends the user attributes of `draft`.
pub(crate) fn encode_user(draft: &mut Draft<'_>, out: &mut Vec<u8>) {
    draft.user_attributes.sort_by_key(|attribute| attribute.name);
    put_attributes(out, Tag::UserAttribute, &draft.user_attributes, &draft.values);
}

/// Writes attributes that are sorted by name; of a repeated name, the last.
fn put_attributes(out: &mut Vec<u8>, tag: Tag, attributes: &[Attribute<'_>], values: &[Scalar<'_>]) {
    for (index, attribute) in attributes.iter().enumerate() {
        let repeated = attributes.get(index + 1).is_some_and(|next| next.name == attribute.name);
        if repeated {
            continue;
        }
        put_name(out, tag, attribute.name);
        // Most values are short: leave one byte for the length and move the values when it needs more.
        let length_at = out.len();
        out.push(0);
        for value in &values[attribute.start as usize..attribute.end as usize] {
            put_scalar(out, value);
        }
        let length = out.len() - length_at - 1;
        if length < 0x80 {
            out[length_at] = length as u8;
        } else {
            let mut prefix = Vec::with_capacity(5);
            put_varint(&mut prefix, length);
            out.splice(length_at..=length_at, prefix);
        }
    }
}

fn put_scalar(out: &mut Vec<u8>, value: &Scalar<'_>) {
    let mut integer = itoa::Buffer::new();
    match value {
        Scalar::Text(text) => put_bytes(out, text.as_bytes()),
        Scalar::Int(number) => put_bytes(out, integer.format(*number).as_bytes()),
        Scalar::Uint(number) => put_bytes(out, integer.format(*number).as_bytes()),
        Scalar::Float(number) => put_bytes(out, zmij::Buffer::new().format(*number).as_bytes()),
        Scalar::Bool(true) => put_bytes(out, b"true"),
        Scalar::Bool(false) => put_bytes(out, b"false"),
    }
}

fn put_date(out: &mut Vec<u8>, tag: Tag, text: Option<&str>, default: Option<Timestamp>) {
    match (text, default) {
        (Some(text), _) => {
            out.push(tag as u8);
            put_varint(out, text.len() + 1);
            out.push(DATE_TEXT);
            append(out, text.as_bytes());
        }
        (None, Some(time)) => {
            out.extend_from_slice(&[tag as u8, 9, DATE_MILLIS]);
            out.extend_from_slice(&time.as_millis().to_be_bytes());
        }
        (None, None) => {}
    }
}

#[inline]
fn put(out: &mut Vec<u8>, tag: Tag, value: &[u8]) {
    if value.len() < 0x80 {
        append(out, &[tag as u8, value.len() as u8]);
        append(out, value);
    } else {
        out.push(tag as u8);
        put_bytes(out, value);
    }
}

/// Appends that an attribute or metric is removed.
pub(crate) fn put_removal(out: &mut Vec<u8>, tag: Tag, name: &str) {
    put_name(out, tag, name);
    out.push(0);
}

fn put_name(out: &mut Vec<u8>, tag: Tag, name: &str) {
    put(out, tag, name.as_bytes());
}

#[inline]
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len());
    append(out, bytes);
}

#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
