//! Reading records: their members one by one, and whole endpoints with their defaults.
//!
//! Whatever the bytes are, reading them ends in members or in [`Damaged`], never in a panic.

use std::{cmp::Ordering, collections::BTreeMap};

use pinport_model::{
    ApplicationId, Channel, Endpoint, EndpointStatus, OptOut, Timestamp,
    endpoint::{Demographic, Location, User, cohort},
};

use super::{DATE_MILLIS, DATE_TEXT, FIRST_NAMED, JobMark, Tag};
use crate::StoreError;

/// Bytes that are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damaged(pub(crate) &'static str);

impl Damaged {
    pub(crate) const fn text() -> Self {
        Self("has text that is no UTF-8")
    }

    pub(crate) const fn word() -> Self {
        Self("has an unknown word")
    }

    pub(crate) const fn number() -> Self {
        Self("has a number that is not 8 bytes long")
    }

    pub(crate) const fn date() -> Self {
        Self("has a date of an unknown kind or length")
    }

    pub(crate) const fn unknown_member() -> Self {
        Self("has an unknown member")
    }
}

impl From<Damaged> for StoreError {
    fn from(damaged: Damaged) -> Self {
        Self::Corrupt(format!("a stored endpoint {}", damaged.0))
    }
}

/// One member of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    pub(crate) tag: u8,
    /// Empty below [`FIRST_NAMED`].
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
    /// The member's own bytes, tag and lengths included.
    pub(crate) whole: &'a [u8],
}

impl Member<'_> {
    /// Which of two members comes first in a record.
    #[inline]
    pub(crate) fn order(&self, other: &Member<'_>) -> Ordering {
        match self.tag.cmp(&other.tag) {
            Ordering::Equal if self.tag >= FIRST_NAMED => self.name.cmp(other.name),
            order => order,
        }
    }

    /// Whether the member says that an attribute has no values, or that a metric is gone.
    pub(crate) fn is_removal(&self) -> bool {
        self.value.is_empty() && self.tag >= FIRST_NAMED
    }
}

/// The members of a record, in the order they are stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Members<'a> {
    rest: &'a [u8],
}

impl<'a> Members<'a> {
    pub(crate) fn new(record: &'a [u8]) -> Self {
        Self { rest: record }
    }

    /// What comes after the members that were read.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Passes what was seen to be members.
    #[inline]
    pub(crate) fn pass(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    /// The next member, or `None` after the last.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<Option<Member<'a>>, Damaged> {
        let start = self.rest;
        let Some((&tag, rest)) = start.split_first() else {
            return Ok(None);
        };
        self.rest = rest;
        // An empty name is a place in the record too: some memcmp stumble over the address of `&[]`, at 30 ns each.
        let name = if tag >= FIRST_NAMED { take_bytes(&mut self.rest)? } else { &start[..0] };
        let value = take_bytes(&mut self.rest)?;
        let whole = &start[..start.len() - self.rest.len()];
        Ok(Some(Member { tag, name, value, whole }))
    }
}

/// Takes a length and that many bytes.
#[inline]
pub(crate) fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Damaged> {
    let length = take_varint(rest)?;
    let (bytes, behind) = rest.split_at_checked(length).ok_or(Damaged("ends inside a value"))?;
    *rest = behind;
    Ok(bytes)
}

#[inline]
pub(crate) fn take_varint(rest: &mut &[u8]) -> Result<usize, Damaged> {
    // Nearly all lengths are below 128.
    match rest.split_first() {
        Some((&byte, behind)) if byte < 0x80 => {
            *rest = behind;
            return Ok(usize::from(byte));
        }
        _ => {}
    }
    let mut number = 0_u32;
    for shift in (0..28).step_by(7) {
        let (&byte, behind) = rest.split_first().ok_or(Damaged("ends inside a length"))?;
        *rest = behind;
        number |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number as usize);
        }
    }
    Err(Damaged("has a length over 256 MiB"))
}

/// Takes a member without a name, if one stands in front: its tag and its value.
#[inline(always)]
pub(crate) fn take_unnamed<'a>(rest: &mut &'a [u8]) -> Result<Option<(u8, &'a [u8])>, Damaged> {
    match rest.split_first() {
        Some((&tag, behind)) if tag < FIRST_NAMED => {
            *rest = behind;
            Ok(Some((tag, take_bytes(rest)?)))
        }
        _ => Ok(None),
    }
}

/// The value of one member that has no name, or an empty one.
pub(crate) fn find(record: &[u8], tag: Tag) -> Result<Option<&[u8]>, Damaged> {
    let mut rest = record;
    while let Some((found, value)) = take_unnamed(&mut rest)? {
        if found >= tag as u8 {
            return Ok((found == tag as u8).then_some(value));
        }
    }
    let mut members = Members::new(rest);
    while let Some(member) = members.next()? {
        if member.tag == tag as u8 {
            return Ok(Some(member.value));
        }
        if member.tag > tag as u8 {
            break;
        }
    }
    Ok(None)
}

/// Whether a folded record is an endpoint: it has Address and ChannelType, or was made without them.
pub(crate) fn is_endpoint(record: &[u8]) -> Result<bool, Damaged> {
    let mut members = Members::new(record);
    let mut has = [false; 2];
    while let Some(member) = members.next()? {
        match member.tag {
            tag if tag == Tag::Address as u8 => has[0] = true,
            tag if tag == Tag::Channel as u8 => has[1] = true,
            tag if tag == Tag::Incomplete as u8 => return Ok(true),
            tag if tag > Tag::Incomplete as u8 => break,
            _ => {}
        }
        if has == [true; 2] {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The user a record names; `Some(b"")` if it says that there is none.
pub(crate) fn user_of(record: &[u8]) -> Result<Option<&[u8]>, Damaged> {
    find(record, Tag::UserId)
}

/// The mark of the job that a record came with, if it came with an import.
pub(crate) fn job_of(record: &[u8]) -> Result<Option<JobMark>, Damaged> {
    Ok(find(record, Tag::Job)?.and_then(|mark| mark.try_into().ok()))
}

/// The endpoint that a folded record stands for, if it stands for one, with the attributes of its user.
pub(crate) fn decode(
    application: ApplicationId,
    id: &[u8],
    record: &[u8],
    user_record: &[u8],
) -> Result<Option<Endpoint>, Damaged> {
    if is_endpoint(record)? { endpoint(application, id, record, user_record).map(Some) } else { Ok(None) }
}

/// What a record says of an endpoint, whether or not it stands for one.
pub(crate) fn endpoint(
    application: ApplicationId,
    id: &[u8],
    record: &[u8],
    user_record: &[u8],
) -> Result<Endpoint, Damaged> {
    let id = text(id)?;
    let mut endpoint = Endpoint {
        address: None,
        application_id: application.to_string(),
        attributes: BTreeMap::new(),
        channel_type: None,
        cohort_id: cohort(&id),
        creation_date: String::new(),
        demographic: Demographic::default(),
        effective_date: String::new(),
        endpoint_status: EndpointStatus::Active,
        id,
        location: Location::default(),
        metrics: BTreeMap::new(),
        opt_out: OptOut::None,
        request_id: None,
        user: User::default(),
    };
    // The user's own table is read last: what it says of an attribute is newer than what an endpoint kept
    // from the time when it had no user.
    for bytes in [record, user_record] {
        let mut members = Members::new(bytes);
        while let Some(member) = members.next()? {
            apply(&mut endpoint, member)?;
        }
    }
    Ok(endpoint)
}

fn apply(endpoint: &mut Endpoint, member: Member<'_>) -> Result<(), Damaged> {
    let Member { tag, name, value, .. } = member;
    let tag = Tag::from_byte(tag).ok_or(Damaged::unknown_member())?;
    let demographic = &mut endpoint.demographic;
    let location = &mut endpoint.location;
    match tag {
        Tag::Address => endpoint.address = Some(text(value)?),
        Tag::Channel => endpoint.channel_type = Some(word(value, Channel::ALL)?),
        Tag::OptOut => endpoint.opt_out = word(value, OptOut::ALL)?,
        Tag::Status => endpoint.endpoint_status = word(value, EndpointStatus::ALL)?,
        Tag::RequestId => endpoint.request_id = Some(text(value)?),
        Tag::EffectiveDate => endpoint.effective_date = date(value)?,
        Tag::CreationDate => endpoint.creation_date = date(value)?,
        Tag::CohortId => endpoint.cohort_id = text(value)?,
        Tag::Incomplete | Tag::Job => {}
        Tag::AppVersion => demographic.app_version = Some(text(value)?),
        Tag::Locale => demographic.locale = Some(text(value)?),
        Tag::Make => demographic.make = Some(text(value)?),
        Tag::Model => demographic.model = Some(text(value)?),
        Tag::ModelVersion => demographic.model_version = Some(text(value)?),
        Tag::Platform => demographic.platform = Some(text(value)?),
        Tag::PlatformVersion => demographic.platform_version = Some(text(value)?),
        Tag::Timezone => demographic.timezone = Some(text(value)?),
        Tag::City => location.city = Some(text(value)?),
        Tag::Country => location.country = Some(text(value)?),
        Tag::PostalCode => location.postal_code = Some(text(value)?),
        Tag::Region => location.region = Some(text(value)?),
        Tag::Latitude => location.latitude = Some(number(value)?),
        Tag::Longitude => location.longitude = Some(number(value)?),
        Tag::UserId => endpoint.user.user_id = Some(text(value)?).filter(|id| !id.is_empty()),
        Tag::Attribute => set_attribute(&mut endpoint.attributes, name, value)?,
        Tag::Metric if value.is_empty() => {
            endpoint.metrics.remove(&text(name)?);
        }
        Tag::Metric => {
            endpoint.metrics.insert(text(name)?, number(value)?);
        }
        Tag::UserAttribute => set_attribute(&mut endpoint.user.user_attributes, name, value)?,
    }
    Ok(())
}

fn set_attribute(
    attributes: &mut BTreeMap<String, Vec<String>>,
    name: &[u8],
    mut value: &[u8],
) -> Result<(), Damaged> {
    let mut values = Vec::new();
    while !value.is_empty() {
        values.push(text(take_bytes(&mut value)?)?);
    }
    let name = text(name)?;
    if values.is_empty() {
        attributes.remove(&name);
    } else {
        attributes.insert(name, values);
    }
    Ok(())
}

fn text(value: &[u8]) -> Result<String, Damaged> {
    match str::from_utf8(value) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(Damaged::text()),
    }
}

fn word<T: Copy>(value: &[u8], words: &[T]) -> Result<T, Damaged> {
    match value {
        [index] => words.get(usize::from(*index)).copied().ok_or(Damaged::word()),
        _ => Err(Damaged::word()),
    }
}

fn number(value: &[u8]) -> Result<f64, Damaged> {
    let bytes = value.try_into().map_err(|_| Damaged::number())?;
    Ok(f64::from_bits(u64::from_be_bytes(bytes)))
}

fn date(value: &[u8]) -> Result<String, Damaged> {
    match value.split_first() {
        Some((&DATE_TEXT, rest)) => text(rest),
        Some((&DATE_MILLIS, rest)) => {
            let bytes = rest.try_into().map_err(|_| Damaged::date())?;
            Ok(Timestamp::from_millis(i64::from_be_bytes(bytes)).to_string())
        }
        _ => Err(Damaged::date()),
    }
}
