//! Broken rows: one fault each, each a way in which real files go wrong. A fault never reaches into the next
//! row (an unterminated quote does, so it is not among them), and none is longer than 32 KiB.

use pinport_model::Format;

use super::{
    csv::{self, Column, HEADER},
    json,
    person::Person,
};

/// What is wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The line ends in the middle.
    Truncated,
    /// Something follows the object.
    Garbage,
    /// A string has half of a surrogate pair.
    LoneSurrogate,
    /// The line is a list.
    NotAnObject,
    /// Address is a list.
    AddressList,
    /// Demographic is a list.
    DemographicList,
    /// A member that are unknown is nested 40 deep.
    TooDeep,
    /// An attribute's name has 51 characters.
    LongName,
    /// An attribute has 51 values.
    ManyValues,
    /// The row has 300 attributes.
    ManyAttributes,
    /// The row has fewer cells than the header.
    FewCells,
    /// The row has more cells than the header.
    MoreCells,
    /// The channel is none.
    UnknownChannel,
    /// OptOut is neither ALL nor NONE.
    UnknownOptOut,
    /// Address is missing, and there is no endpoint with that id to update.
    UnknownEndpoint,
    /// Both id and address are missing.
    NoIdNoAddress,
    /// The row names nothing but a user that does not exist.
    UnknownUser,
    /// An attribute's value has 101 characters.
    LongValue,
    /// The id has 1025 bytes.
    LongId,
    /// A city in Latin-1.
    InvalidUtf8,
    /// A member of 16 KiB.
    LargeEndpoint,
    /// Latitude is text.
    TextForNumber,
}

const JSON: &[Fault] = &[
    Fault::Truncated,
    Fault::Garbage,
    Fault::LoneSurrogate,
    Fault::NotAnObject,
    Fault::AddressList,
    Fault::DemographicList,
    Fault::TooDeep,
    Fault::LongName,
    Fault::ManyValues,
    Fault::ManyAttributes,
    Fault::UnknownChannel,
    Fault::UnknownOptOut,
    Fault::UnknownEndpoint,
    Fault::NoIdNoAddress,
    Fault::UnknownUser,
    Fault::LongValue,
    Fault::LongId,
    Fault::InvalidUtf8,
    Fault::LargeEndpoint,
    Fault::TextForNumber,
];

const CSV: &[Fault] = &[
    Fault::FewCells,
    Fault::MoreCells,
    Fault::UnknownChannel,
    Fault::UnknownOptOut,
    Fault::UnknownEndpoint,
    Fault::NoIdNoAddress,
    Fault::UnknownUser,
    Fault::LongValue,
    Fault::LongId,
    Fault::InvalidUtf8,
    Fault::LargeEndpoint,
    Fault::TextForNumber,
];

impl Fault {
    /// The faults that rows of a format can have.
    pub(super) fn of_format(format: Format) -> &'static [Self] {
        match format {
            Format::Json => JSON,
            Format::Csv => CSV,
        }
    }
}

/// Writes the row of `person` with a fault of its format.
pub(super) fn write(fault: Fault, format: Format, person: &Person, out: &mut Vec<u8>) {
    match format {
        Format::Json => write_json(fault, person, out),
        Format::Csv => write_csv(fault, person, out),
    }
}

fn write_json(fault: Fault, person: &Person, out: &mut Vec<u8>) {
    let mut row = Vec::with_capacity(1024);
    json::write(person, &mut row);
    row.pop();
    let row = &mut row;
    match fault {
        Fault::Truncated => {
            let mut end = row.len() * 3 / 5;
            // Not within a character: that would be another fault.
            while row[end] & 0xc0 == 0x80 {
                end -= 1;
            }
            row.truncate(end);
        }
        Fault::Garbage => row.extend_from_slice(b"}"),
        Fault::LoneSurrogate => replace(row, "City", br#""\ud800""#),
        Fault::NotAnObject => {
            *row = [b"[\"", &person.stranger[..], b"\"]"].concat();
        }
        Fault::AddressList => replace(row, "Address", br#"["15550100"]"#),
        Fault::DemographicList => replace(row, "Demographic", b"[]"),
        Fault::TooDeep => {
            let deep = [b"\"Extra\":".as_slice(), &[b'['; 40], &[b']'; 40], b","].concat();
            row.splice(1..1, deep);
        }
        Fault::LongName => {
            replace(row, "Attributes", format!("{{\"{}\":[\"1\"]}}", "n".repeat(51)).as_bytes())
        }
        Fault::ManyValues => {
            let values: Vec<String> = (0..51).map(|value| format!("\"{value}\"")).collect();
            replace(row, "interests", format!("[{}]", values.join(",")).as_bytes());
        }
        Fault::ManyAttributes => {
            let attributes: Vec<String> = (0..300).map(|number| format!("\"a{number}\":[\"1\"]")).collect();
            replace(row, "Attributes", format!("{{{}}}", attributes.join(",")).as_bytes());
        }
        Fault::UnknownChannel => replace(row, "ChannelType", b"\"PIGEON\""),
        Fault::UnknownOptOut => {
            // The last of duplicate members counts: this one must be the only one.
            if person.opted_out {
                remove(row, "OptOut");
            }
            row.splice(1..1, *b"\"OptOut\":\"MAYBE\",");
        }
        Fault::UnknownEndpoint => {
            replace(row, "Id", &quoted(&person.stranger));
            remove(row, "Address");
            // With the marks of an export it would be an endpoint.
            if person.identity.created.is_some() {
                remove(row, "CreationDate");
            }
            if person.inactive {
                remove(row, "EndpointStatus");
            }
        }
        Fault::NoIdNoAddress => {
            remove(row, "Id");
            remove(row, "Address");
        }
        Fault::UnknownUser => {
            row.clear();
            json::write_user(&person.stranger, row);
            row.pop();
        }
        Fault::LongValue => replace(row, "plan", &quoted(&[b'v'; 101])),
        Fault::LongId => replace(row, "Id", &quoted(&[b'i'; 1025])),
        Fault::InvalidUtf8 => replace(row, "City", b"\"Z\xfcrich\""),
        Fault::LargeEndpoint => replace(row, "Make", &quoted(&[b'm'; 16 << 10])),
        Fault::TextForNumber => replace(row, "Latitude", b"\"north\""),
        Fault::FewCells | Fault::MoreCells => unreachable!("a fault of CSV rows"),
    }
    out.extend_from_slice(row);
    out.push(b'\n');
}

fn write_csv(fault: Fault, person: &Person, out: &mut Vec<u8>) {
    let mut row = Vec::with_capacity(1024);
    let ends = csv::write(person, &mut row);
    let mut set = |column: Column, value: &[u8]| {
        let start = if column as usize == 0 { 0 } else { ends[column as usize - 1] + 1 };
        row.splice(start..ends[column as usize], value.iter().copied());
    };
    match fault {
        Fault::FewCells => row.truncate(ends[HEADER.len() - 3]),
        Fault::MoreCells => {
            row.pop();
            row.extend_from_slice(b",,extra");
        }
        Fault::UnknownChannel => set(Column::ChannelType, b"PIGEON"),
        Fault::UnknownOptOut => set(Column::OptOut, b"MAYBE"),
        // The later cell first: `ends` are those of the whole row.
        Fault::UnknownEndpoint => {
            // With the marks of an export it would be an endpoint.
            set(Column::EndpointStatus, b"");
            set(Column::CreationDate, b"");
            set(Column::Address, b"");
            set(Column::Id, &person.stranger);
        }
        Fault::NoIdNoAddress => {
            set(Column::Address, b"");
            set(Column::Id, b"");
        }
        Fault::UnknownUser => {
            row.clear();
            csv::write_user(&person.stranger, &mut row);
        }
        Fault::LongValue => set(Column::Plan, &[b'v'; 101]),
        Fault::LongId => set(Column::Id, &[b'i'; 1025]),
        Fault::InvalidUtf8 => set(Column::City, b"Z\xfcrich"),
        Fault::LargeEndpoint => set(Column::Make, &[b'm'; 16 << 10]),
        Fault::TextForNumber => set(Column::Latitude, b"north"),
        _ => unreachable!("a fault of JSON rows"),
    }
    if row.last() == Some(&b'\n') {
        row.pop();
    }
    out.extend_from_slice(&row);
    out.push(b'\n');
}

fn quoted(text: &[u8]) -> Vec<u8> {
    [b"\"", text, b"\""].concat()
}

/// Replaces the value of a member, wherever in the row it is.
fn replace(row: &mut Vec<u8>, member: &str, value: &[u8]) {
    let (_, start, end) = find(row, member);
    row.splice(start..end, value.iter().copied());
}

/// Removes a member that is not the last of its object.
fn remove(row: &mut Vec<u8>, member: &str) {
    let (name, _, end) = find(row, member);
    row.drain(name..=end);
}

/// Where a member's name begins, and where its value begins and ends.
fn find(row: &[u8], member: &str) -> (usize, usize, usize) {
    let name = format!("\"{member}\":");
    let at = row
        .windows(name.len())
        .position(|window| window == name.as_bytes())
        .expect("every whole row has the members that faults change");
    let start = at + name.len();
    (at, start, start + value_len(&row[start..]))
}

/// Length of the JSON value that `text` begins with.
fn value_len(text: &[u8]) -> usize {
    let mut depth = 0_u32;
    let mut in_string = false;
    let mut escaped = false;
    for (index, byte) in text.iter().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => depth += 1,
            b',' | b']' | b'}' if depth == 0 => return index,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}
