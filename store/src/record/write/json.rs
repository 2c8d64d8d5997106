//! An endpoint as a JSON object.

use pinport_model::{ApplicationId, TextMember, endpoint::cohort_of};

use super::{
    List, Parts,
    dates::Dates,
    escape::quoted,
    parts::{Named, number},
};
use crate::{
    Result, Stored,
    record::{Tag, read::Damaged},
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
#[derive(Debug)]
pub struct JsonWriter {
    application: String,
    order: Order,
    dates: Dates,
}

const DEMOGRAPHIC: [(&str, Tag); 8] = {
    let mut named = [("", Tag::Incomplete); 8];
    let mut index = 0;
    while index < named.len() {
        named[index] = text_member(TextMember::DEMOGRAPHIC[index]);
        index += 1;
    }
    named
};

const LOCATION: [(&str, Tag); 6] = [
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
        out.push(b'{');
        text(out, b"\"Address\":", parts.text(Tag::Address)?);
        text(out, b"\"ApplicationId\":", Some(&self.application));
        attributes(out, b"\"Attributes\":{", parts.attributes())?;
        text(out, b"\"ChannelType\":", parts.channel()?.map(|channel| channel.as_str()));
        match parts.text(Tag::CohortId)? {
            Some(cohort) => text(out, b"\"CohortId\":", Some(cohort)),
            None => {
                out.extend_from_slice(b"\"CohortId\":\"");
                out.extend_from_slice(itoa::Buffer::new().format(cohort_of(parts.id.as_bytes())).as_bytes());
                out.extend_from_slice(b"\",");
            }
        }
        text(out, b"\"CreationDate\":", Some(self.dates.text(parts.date(Tag::CreationDate)?)));
        object(out, b"\"Demographic\":{", parts, &DEMOGRAPHIC)?;
        text(out, b"\"EffectiveDate\":", Some(self.dates.text(parts.date(Tag::EffectiveDate)?)));
        text(out, b"\"EndpointStatus\":", Some(parts.status()?.as_str()));
        text(out, b"\"Id\":", Some(parts.id));
        object(out, b"\"Location\":{", parts, &LOCATION)?;
        metrics(out, parts.metrics())?;
        text(out, b"\"OptOut\":", Some(parts.opt_out()?.as_str()));
        text(out, b"\"RequestId\":", parts.text(Tag::RequestId)?);
        user(out, parts)
    }

    fn export(&mut self, parts: &Parts<'_>, out: &mut Vec<u8>) -> Result<(), Damaged> {
        out.push(b'{');
        text(out, b"\"ChannelType\":", parts.channel()?.map(|channel| channel.as_str()));
        text(out, b"\"Address\":", parts.text(Tag::Address)?);
        text(out, b"\"EndpointStatus\":", Some(parts.status()?.as_str()));
        text(out, b"\"OptOut\":", Some(parts.opt_out()?.as_str()));
        object(out, b"\"Location\":{", parts, &LOCATION)?;
        object(out, b"\"Demographic\":{", parts, &DEMOGRAPHIC)?;
        text(out, b"\"EffectiveDate\":", Some(self.dates.text(parts.date(Tag::EffectiveDate)?)));
        attributes(out, b"\"Attributes\":{", parts.attributes())?;
        if parts.metrics().next()?.is_some() {
            metrics(out, parts.metrics())?;
        }
        user(out, parts)?;
        text(out, b"\"CohortId\":", parts.text(Tag::CohortId)?);
        text(out, b"\"RequestId\":", parts.text(Tag::RequestId)?);
        text(out, b"\"ApplicationId\":", Some(&self.application));
        text(out, b"\"Id\":", Some(parts.id));
        text(out, b"\"CreationDate\":", Some(self.dates.text(parts.date(Tag::CreationDate)?)));
        Ok(())
    }
}

/// An object of members without names of their own; nothing if none has a value.
fn object(
    out: &mut Vec<u8>,
    begin: &[u8],
    parts: &Parts<'_>,
    members: &[(&str, Tag)],
) -> Result<(), Damaged> {
    let start = out.len();
    out.extend_from_slice(begin);
    let empty = out.len();
    for (name, tag) in members {
        if parts.raw(*tag).is_none() {
            continue;
        }
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        if matches!(tag, Tag::Latitude | Tag::Longitude) {
            float(out, parts.number(*tag)?.unwrap_or_default());
        } else {
            quoted(out, parts.text(*tag)?.unwrap_or_default());
        }
        out.push(b',');
    }
    if out.len() == empty {
        out.truncate(start);
    } else {
        close(out);
    }
    Ok(())
}

fn metrics(out: &mut Vec<u8>, mut metrics: Named<'_>) -> Result<(), Damaged> {
    out.extend_from_slice(b"\"Metrics\":{");
    while let Some((name, value)) = metrics.next()? {
        quoted(out, name);
        out.push(b':');
        float(out, number(value)?);
        out.push(b',');
    }
    close(out);
    Ok(())
}

/// A number as `serde_json` writes it.
fn float(out: &mut Vec<u8>, number: f64) {
    match number.is_finite() {
        true => out.extend_from_slice(zmij::Buffer::new().format_finite(number).as_bytes()),
        false => out.extend_from_slice(b"null"),
    }
}

/// A member with its name and colon, if it has a value.
#[inline]
fn text(out: &mut Vec<u8>, name: &[u8], value: Option<&str>) {
    if let Some(value) = value {
        out.extend_from_slice(name);
        quoted(out, value);
        out.push(b',');
    }
}

/// Ends an object whose members have a comma after each.
fn close(out: &mut Vec<u8>) {
    if out.last() == Some(&b',') {
        out.pop();
    }
    out.extend_from_slice(b"},");
}

fn attributes(out: &mut Vec<u8>, begin: &[u8], mut attributes: Named<'_>) -> Result<(), Damaged> {
    out.extend_from_slice(begin);
    while let Some((name, values)) = attributes.next()? {
        quoted(out, name);
        out.extend_from_slice(b":[");
        let mut values = List(values);
        while let Some(value) = values.next()? {
            quoted(out, value);
            out.push(b',');
        }
        out.pop();
        out.extend_from_slice(b"],");
    }
    close(out);
    Ok(())
}

fn user(out: &mut Vec<u8>, parts: &Parts<'_>) -> Result<(), Damaged> {
    let id = parts.user_id()?;
    if id.is_none() && parts.user_attributes().next()?.is_none() {
        return Ok(());
    }
    out.extend_from_slice(b"\"User\":{");
    attributes(out, b"\"UserAttributes\":{", parts.user_attributes())?;
    text(out, b"\"UserId\":", id);
    close(out);
    Ok(())
}
