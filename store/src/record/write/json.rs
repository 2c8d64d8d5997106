//! An endpoint as a JSON object.

use pinport_model::{ApplicationId, TextMember, endpoint::cohort_of};

use super::{
    Date, List, Parts,
    dates::Dates,
    escape::{quoted, unquoted},
    float::float,
    parts::{Named, number},
};
use crate::{
    Result, Stored,
    record::{Tag, append::append, read::Damaged},
};

/// The order of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// That of the service model's `EndpointResponse`, with every member that the API answers.
    Model,
    /// That of Pinpoint's exports: a cohort only if one is stored.
    Export,
}

/// Writes endpoints of one application as JSON.
#[derive(Debug, Clone)]
pub struct JsonWriter {
    application: String,
    order: Order,
    dates: Dates,
}

/// The members of Demographic, in their order.
pub(super) const DEMOGRAPHIC: [(&str, Tag); 8] = {
    let mut named = [("", Tag::Incomplete); 8];
    let mut index = 0;
    while index < named.len() {
        named[index] = text_member(TextMember::DEMOGRAPHIC[index]);
        index += 1;
    }
    named
};

/// The members of Location, in their order.
pub(super) const LOCATION: [(&str, Tag); 6] = [
    text_member(TextMember::City),
    text_member(TextMember::Country),
    ("Latitude", Tag::Latitude),
    ("Longitude", Tag::Longitude),
    text_member(TextMember::PostalCode),
    text_member(TextMember::Region),
];

const fn text_member(member: TextMember) -> (&'static str, Tag) {
    (member.leaf(), Tag::of(member))
}

impl JsonWriter {
    /// A writer for the endpoints of an application.
    pub fn new(application: ApplicationId, order: Order) -> Self {
        let application = application.to_string();
        Self { application, order, dates: Dates::default() }
    }

    /// Appends an endpoint as one object, without a line feed after it.
    pub fn write(&mut self, stored: &Stored<'_>, out: &mut Vec<u8>) -> Result<()> {
        let parts = Parts::find(stored.id, stored.record, stored.user_record)?;
        match self.order {
            Order::Model => self.model(&parts, out)?,
            Order::Export => self.export(&parts, out)?,
        }
        // Every member has a comma after it; there is always one.
        if let Some(last) = out.last_mut() {
            *last = b'}';
        }
        Ok(())
    }

    fn model(&mut self, parts: &Parts<'_>, out: &mut Vec<u8>) -> Result<(), Damaged> {
        // It takes long, but only in itself: what comes before it is written meanwhile.
        let cohort = cohort_of(parts.id);
        out.push(b'{');
        text(out, b"\"Address\":\"", parts.raw(Tag::Address))?;
        word(out, b"\"ApplicationId\":\"", &self.application);
        attributes(out, b"\"Attributes\":{", parts.attributes())?;
        if let Some(channel) = parts.channel()? {
            word(out, b"\"ChannelType\":\"", channel.as_str());
        }
        match parts.raw(Tag::CohortId) {
            Some(cohort) => text(out, b"\"CohortId\":\"", Some(cohort))?,
            None => word(out, b"\"CohortId\":\"", itoa::Buffer::new().format(cohort)),
        }
        self.date(out, b"\"CreationDate\":\"", parts.date(Tag::CreationDate)?)?;
        demographic(out, parts)?;
        self.date(out, b"\"EffectiveDate\":\"", parts.date(Tag::EffectiveDate)?)?;
        word(out, b"\"EndpointStatus\":\"", parts.status()?.as_str());
        text(out, b"\"Id\":\"", Some(parts.id))?;
        location(out, parts)?;
        metrics(out, parts.metrics())?;
        word(out, b"\"OptOut\":\"", parts.opt_out()?.as_str());
        text(out, b"\"RequestId\":\"", parts.raw(Tag::RequestId))?;
        user(out, parts)
    }

    fn export(&mut self, parts: &Parts<'_>, out: &mut Vec<u8>) -> Result<(), Damaged> {
        out.push(b'{');
        if let Some(channel) = parts.channel()? {
            word(out, b"\"ChannelType\":\"", channel.as_str());
        }
        text(out, b"\"Address\":\"", parts.raw(Tag::Address))?;
        word(out, b"\"EndpointStatus\":\"", parts.status()?.as_str());
        word(out, b"\"OptOut\":\"", parts.opt_out()?.as_str());
        location(out, parts)?;
        demographic(out, parts)?;
        self.date(out, b"\"EffectiveDate\":\"", parts.date(Tag::EffectiveDate)?)?;
        attributes(out, b"\"Attributes\":{", parts.attributes())?;
        if parts.metrics().next_valued()?.is_some() {
            metrics(out, parts.metrics())?;
        }
        user(out, parts)?;
        text(out, b"\"CohortId\":\"", parts.raw(Tag::CohortId))?;
        text(out, b"\"RequestId\":\"", parts.raw(Tag::RequestId))?;
        word(out, b"\"ApplicationId\":\"", &self.application);
        text(out, b"\"Id\":\"", Some(parts.id))?;
        self.date(out, b"\"CreationDate\":\"", parts.date(Tag::CreationDate)?)
    }

    fn date(&mut self, out: &mut Vec<u8>, name: &[u8], date: Date<'_>) -> Result<(), Damaged> {
        text(out, name, Some(self.dates.text(date).as_bytes()))
    }
}

fn demographic(out: &mut Vec<u8>, parts: &Parts<'_>) -> Result<(), Damaged> {
    if !parts.has_any(Tag::AppVersion, Tag::Timezone) {
        return Ok(());
    }
    object(out, b"\"Demographic\":{", parts, &DEMOGRAPHIC)
}

fn location(out: &mut Vec<u8>, parts: &Parts<'_>) -> Result<(), Damaged> {
    if !parts.has_any(Tag::City, Tag::Longitude) {
        return Ok(());
    }
    object(out, b"\"Location\":{", parts, &LOCATION)
}

/// An object of members without names of their own, of which one at least has a value.
fn object(
    out: &mut Vec<u8>,
    begin: &[u8],
    parts: &Parts<'_>,
    members: &[(&str, Tag)],
) -> Result<(), Damaged> {
    append(out, begin);
    for (name, tag) in members {
        let Some(value) = parts.raw(*tag) else { continue };
        out.push(b'"');
        append(out, name.as_bytes());
        out.extend_from_slice(b"\":");
        if matches!(tag, Tag::Latitude | Tag::Longitude) {
            float(out, number(value)?);
        } else {
            quoted(out, value)?;
        }
        out.push(b',');
    }
    close(out);
    Ok(())
}

fn metrics(out: &mut Vec<u8>, mut metrics: Named<'_>) -> Result<(), Damaged> {
    out.extend_from_slice(b"\"Metrics\":{");
    while let Some(metric) = metrics.next_valued()? {
        quoted(out, metric.name)?;
        out.push(b':');
        float(out, number(metric.value)?);
        out.push(b',');
    }
    close(out);
    Ok(())
}

/// A member with its name, colon and quote, if it has a value.
#[inline]
fn text(out: &mut Vec<u8>, name: &[u8], value: Option<&[u8]>) -> Result<(), Damaged> {
    if let Some(value) = value {
        append(out, name);
        unquoted(out, value)?;
        out.extend_from_slice(b"\",");
    }
    Ok(())
}

/// The same for a value of ours: nothing in it is to be escaped.
#[inline]
fn word(out: &mut Vec<u8>, name: &[u8], value: &str) {
    append(out, name);
    append(out, value.as_bytes());
    out.extend_from_slice(b"\",");
}

/// Ends an object whose members have a comma after each.
fn close(out: &mut Vec<u8>) {
    if out.last() == Some(&b',') {
        out.pop();
    }
    out.extend_from_slice(b"},");
}

fn attributes(out: &mut Vec<u8>, begin: &[u8], mut attributes: Named<'_>) -> Result<(), Damaged> {
    append(out, begin);
    while let Some(attribute) = attributes.next_valued()? {
        quoted(out, attribute.name)?;
        out.extend_from_slice(b":[");
        let mut values = List(attribute.value);
        while let Some(value) = values.next_bytes()? {
            quoted(out, value)?;
            out.push(b',');
        }
        out.pop();
        out.extend_from_slice(b"],");
    }
    close(out);
    Ok(())
}

fn user(out: &mut Vec<u8>, parts: &Parts<'_>) -> Result<(), Damaged> {
    let id = parts.user_id();
    if id.is_none() && parts.user_attributes().next_valued()?.is_none() {
        return Ok(());
    }
    out.extend_from_slice(b"\"User\":{");
    attributes(out, b"\"UserAttributes\":{", parts.user_attributes())?;
    text(out, b"\"UserId\":\"", id)?;
    close(out);
    Ok(())
}
