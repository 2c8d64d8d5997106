//! Sample endpoints as CSV: the same members as the JSON rows.

use super::person::{Person, Uuid, write_created, write_degrees, write_hundredths, write_number, write_time};

macro_rules! columns {
    ($($name:ident = $header:literal),+ $(,)?) => {
        /// The columns, in order.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Column { $($name),+ }

        /// Their names in the header; a repeated name makes an attribute of several values.
        pub(super) const HEADER: &[&str] = &[$($header),+];
    };
}

columns! {
    Id = "Id",
    ChannelType = "ChannelType",
    Address = "Address",
    EffectiveDate = "EffectiveDate",
    CreationDate = "CreationDate",
    OptOut = "OptOut",
    EndpointStatus = "EndpointStatus",
    Plan = "Attributes.plan",
    Interests1 = "Attributes.interests",
    Interests2 = "Attributes.interests",
    Interests3 = "Attributes.interests",
    Source = "Attributes.source",
    Campaign = "Attributes.campaign",
    Note = "Attributes.note",
    UpdatedBy = "Attributes.updated_by",
    Make = "Demographic.Make",
    Platform = "Demographic.Platform",
    City = "Location.City",
    Country = "Location.Country",
    Latitude = "Location.Latitude",
    Longitude = "Location.Longitude",
    Visits = "Metrics.visits",
    Basket = "Metrics.basket",
    Score = "Metrics.score",
    UserId = "User.UserId",
    FirstName = "User.UserAttributes.FirstName",
    LastName = "User.UserAttributes.LastName",
}

/// Writes the header.
pub(super) fn write_header(out: &mut Vec<u8>) {
    out.extend_from_slice(HEADER.join(",").as_bytes());
    out.push(b'\n');
}

/// Writes a row with every member and returns where in `out` the end of each cell is.
pub(super) fn write(person: &Person, out: &mut Vec<u8>) -> [usize; HEADER.len()] {
    let identity = &person.identity;
    let mut row = Row { out, ends: [0; HEADER.len()], next: 0 };
    row.cell(Column::Id, |out| out.extend_from_slice(&identity.id));
    row.text(Column::ChannelType, identity.channel.as_str());
    row.cell(Column::Address, |out| identity.write_address(out));
    row.cell(Column::EffectiveDate, |out| write_time(person.effective, out));
    if let Some(created) = identity.created {
        row.cell(Column::CreationDate, |out| write_created(created, out));
    }
    if person.opted_out {
        row.text(Column::OptOut, "ALL");
    }
    if person.inactive {
        row.text(Column::EndpointStatus, "INACTIVE");
    }
    row.text(Column::Plan, person.plan);
    let interests = [Column::Interests1, Column::Interests2, Column::Interests3];
    for (column, interest) in interests.into_iter().zip(person.interests.iter().flatten()) {
        row.text(column, interest);
    }
    row.text(Column::Source, person.source);
    if let Some((campaign, year)) = person.campaign {
        row.cell(Column::Campaign, |out| {
            out.extend_from_slice(campaign.as_bytes());
            out.push(b'-');
            write_number(year, out);
        });
    }
    if let Some(note) = person.note {
        row.cell(Column::Note, |out| write_quoted(note, out));
    }
    row.text(Column::Make, person.device.0);
    row.text(Column::Platform, person.device.1);
    row.text(Column::City, person.city.name);
    row.text(Column::Country, person.city.country);
    row.cell(Column::Latitude, |out| write_degrees(person.latitude, out));
    row.cell(Column::Longitude, |out| write_degrees(person.longitude, out));
    row.cell(Column::Visits, |out| write_number(person.visits, out));
    row.cell(Column::Basket, |out| write_hundredths(person.basket, out));
    if let Some(score) = person.score {
        row.cell(Column::Score, |out| write_number(score, out));
    }
    row.cell(Column::UserId, |out| out.extend_from_slice(&identity.user));
    row.text(Column::FirstName, identity.first.0);
    row.text(Column::LastName, identity.last.0);
    row.end()
}

/// Writes a row with some members of an endpoint that is there.
pub(super) fn write_update(person: &Person, number: u64, out: &mut Vec<u8>) {
    let mut row = Row { out, ends: [0; HEADER.len()], next: 0 };
    row.cell(Column::Id, |out| out.extend_from_slice(&person.identity.id));
    row.text(Column::Plan, person.plan);
    row.cell(Column::UpdatedBy, |out| write_number(number, out));
    row.cell(Column::Visits, |out| write_number(person.visits, out));
    row.end();
}

/// Writes a row with nothing but a user.
pub(super) fn write_user(user: &Uuid, out: &mut Vec<u8>) {
    let mut row = Row { out, ends: [0; HEADER.len()], next: 0 };
    row.cell(Column::UserId, |out| out.extend_from_slice(user));
    row.end();
}

/// A row under way; cells are given in the order of the columns and those left out are empty.
struct Row<'a> {
    out: &'a mut Vec<u8>,
    ends: [usize; HEADER.len()],
    next: usize,
}

impl Row<'_> {
    fn cell(&mut self, column: Column, write: impl FnOnce(&mut Vec<u8>)) {
        self.skip_to(column as usize);
        write(self.out);
        self.close();
    }

    fn text(&mut self, column: Column, text: &str) {
        self.cell(column, |out| out.extend_from_slice(text.as_bytes()));
    }

    fn skip_to(&mut self, column: usize) {
        while self.next < column {
            self.close();
        }
    }

    fn close(&mut self) {
        self.ends[self.next] = self.out.len();
        self.next += 1;
        self.out.push(if self.next == HEADER.len() { b'\n' } else { b',' });
    }

    fn end(mut self) -> [usize; HEADER.len()] {
        self.skip_to(HEADER.len());
        self.ends
    }
}

fn write_quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(byte);
        }
        out.push(byte);
    }
    out.push(b'"');
}
