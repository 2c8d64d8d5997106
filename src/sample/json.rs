//! Sample endpoints as JSON, one object a line. Written by hand, because a serializer would be the slowest
//! part of the generator.

use super::person::{Person, Uuid, write_created, write_degrees, write_hundredths, write_number, write_time};

/// Writes a row with every member.
pub(super) fn write(person: &Person, out: &mut Vec<u8>) {
    let identity = &person.identity;
    put(out, b"{\"Id\":\"", &identity.id);
    put(out, b"\",\"ChannelType\":\"", identity.channel.as_str().as_bytes());
    out.extend_from_slice(b"\",\"Address\":\"");
    identity.write_address(out);
    out.extend_from_slice(b"\",\"EffectiveDate\":\"");
    write_time(person.effective, out);
    if let Some(created) = identity.created {
        out.extend_from_slice(b"\",\"CreationDate\":\"");
        write_created(created, out);
    }
    out.push(b'"');
    if person.opted_out {
        out.extend_from_slice(b",\"OptOut\":\"ALL\"");
    }
    if person.inactive {
        out.extend_from_slice(b",\"EndpointStatus\":\"INACTIVE\"");
    }
    write_attributes(person, out);
    put(out, b",\"Demographic\":{\"Make\":\"", person.device.0.as_bytes());
    put(out, b"\",\"Platform\":\"", person.device.1.as_bytes());
    put(out, b"\"},\"Location\":{\"City\":\"", person.city.name.as_bytes());
    put(out, b"\",\"Country\":\"", person.city.country.as_bytes());
    out.extend_from_slice(b"\",\"Latitude\":");
    write_degrees(person.latitude, out);
    out.extend_from_slice(b",\"Longitude\":");
    write_degrees(person.longitude, out);
    out.extend_from_slice(b"},\"Metrics\":{\"visits\":");
    write_number(person.visits, out);
    out.extend_from_slice(b".0,\"basket\":");
    write_hundredths(person.basket, out);
    if let Some(score) = person.score {
        out.extend_from_slice(b",\"score\":");
        write_number(score, out);
    }
    put(out, b"},\"User\":{\"UserId\":\"", &identity.user);
    put(out, b"\",\"UserAttributes\":{\"FirstName\":[\"", identity.first.0.as_bytes());
    put(out, b"\"],\"LastName\":[\"", identity.last.0.as_bytes());
    out.extend_from_slice(b"\"]}}}\n");
}

fn write_attributes(person: &Person, out: &mut Vec<u8>) {
    put(out, b",\"Attributes\":{\"plan\":[\"", person.plan.as_bytes());
    out.extend_from_slice(b"\"],\"interests\":[");
    for (index, interest) in person.interests.iter().flatten().enumerate() {
        put(out, if index == 0 { b"\"" } else { b",\"" }, interest.as_bytes());
        out.push(b'"');
    }
    put(out, b"],\"source\":[\"", person.source.as_bytes());
    out.extend_from_slice(b"\"]");
    if let Some((campaign, year)) = person.campaign {
        // A scalar: exports have lists, what people write by hand often does not.
        put(out, b",\"campaign\":\"", campaign.as_bytes());
        out.push(b'-');
        write_number(year, out);
        out.push(b'"');
    }
    if let Some(note) = person.note {
        out.extend_from_slice(b",\"note\":[\"");
        write_escaped(note, out);
        out.extend_from_slice(b"\"]");
    }
    out.push(b'}');
}

/// Writes a row with some members of an endpoint that is there.
pub(super) fn write_update(person: &Person, number: u64, out: &mut Vec<u8>) {
    put(out, b"{\"Id\":\"", &person.identity.id);
    put(out, b"\",\"Attributes\":{\"plan\":[\"", person.plan.as_bytes());
    out.extend_from_slice(b"\"],\"updated_by\":[\"");
    write_number(number, out);
    out.extend_from_slice(b"\"]},\"Metrics\":{\"visits\":");
    write_number(person.visits, out);
    out.extend_from_slice(b"}}\n");
}

/// Writes a row with nothing but a user.
pub(super) fn write_user(user: &Uuid, out: &mut Vec<u8>) {
    put(out, b"{\"User\":{\"UserId\":\"", user);
    out.extend_from_slice(b"\"}}\n");
}

fn put(out: &mut Vec<u8>, before: &[u8], value: &[u8]) {
    out.extend_from_slice(before);
    out.extend_from_slice(value);
}

fn write_escaped(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => out.push(byte),
        }
    }
}
