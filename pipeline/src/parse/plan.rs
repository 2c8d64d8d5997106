//! The header of a CSV object and the plan made from it once: which cell goes where in a draft.

use pinport_model::{RecordLimits, TextMember};

use super::structure;
use crate::split::RefusedReason;

/// Where a scalar column's cell goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Id,
    Channel,
    OptOut,
    Status,
    Latitude,
    Longitude,
    Text(TextMember),
}

/// The columns of one attribute, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) columns: Vec<u32>,
}

/// The header of a CSV object with the plan of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvHeader {
    raw: Vec<u8>,
    columns: usize,
    pub(super) scalars: Vec<(u32, Target)>,
    pub(super) attributes: Vec<Group>,
    pub(super) user_attributes: Vec<Group>,
    pub(super) metrics: Vec<Group>,
    pub(super) unknown: Vec<String>,
}

impl CsvHeader {
    /// Reads a header from its line. The error has the byte of the line at fault, from 1, if it is one.
    pub fn read(line: &[u8], limits: &RecordLimits) -> Result<Self, (RefusedReason, Option<u64>)> {
        let text = str::from_utf8(line)
            .map_err(|error| (RefusedReason::HeaderNotUtf8, Some(error.valid_up_to() as u64 + 1)))?;
        let names = structure::cells_of(text);
        if names.len() > limits.max_columns {
            let reason = RefusedReason::TooManyColumns { found: names.len(), most: limits.max_columns };
            return Err((reason, None));
        }
        let mut header = Self {
            raw: text.trim_end_matches(['\r', '\n']).into(),
            columns: names.len(),
            scalars: Vec::new(),
            attributes: Vec::new(),
            user_attributes: Vec::new(),
            metrics: Vec::new(),
            unknown: Vec::new(),
        };
        for (column, name) in (0..).zip(&names) {
            header.add(column, name.trim());
        }
        let is_key = |(_, target): &(u32, Target)| {
            matches!(target, Target::Id | Target::Text(TextMember::Address | TextMember::UserId))
        };
        if !header.scalars.iter().any(is_key) {
            let found: Vec<_> =
                names.iter().take(5).map(|name| pinport_model::failure::quoted(name.trim())).collect();
            let more = if names.len() > 5 { ", …" } else { "" };
            return Err((RefusedReason::NoKey { found: format!("{}{more}", found.join(", ")) }, None));
        }
        Ok(header)
    }

    /// The header's bytes as they were read, without the terminator and without a byte order mark.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Cells of every record.
    pub fn columns(&self) -> usize {
        self.columns
    }

    fn add(&mut self, column: u32, name: &str) {
        let target = match name {
            "Id" => Target::Id,
            "ChannelType" => Target::Channel,
            "OptOut" => Target::OptOut,
            "EndpointStatus" => Target::Status,
            "Location.Latitude" => Target::Latitude,
            "Location.Longitude" => Target::Longitude,
            // Members of Pinpoint's own exports that an import has no use for.
            "ApplicationId" | "CohortId" => return,
            _ => match TextMember::ALL.into_iter().find(|member| member.name() == name) {
                Some(member) => Target::Text(member),
                None => return self.add_named(column, name),
            },
        };
        self.scalars.push((column, target));
    }

    fn add_named(&mut self, column: u32, name: &str) {
        let below = |prefix| name.strip_prefix(prefix).filter(|name| !name.is_empty());
        let (groups, name) = if let Some(name) = below("Attributes.") {
            (&mut self.attributes, name)
        } else if let Some(name) = below("User.UserAttributes.") {
            (&mut self.user_attributes, name)
        } else if let Some(name) = below("Metrics.") {
            (&mut self.metrics, name)
        } else {
            self.unknown.push(name.to_owned());
            return;
        };
        match groups.iter_mut().find(|group| group.name == name) {
            Some(group) => group.columns.push(column),
            None => groups.push(Group { name: name.to_owned(), columns: vec![column] }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_kept_without_its_end() {
        let header = CsvHeader::read(b"Id, City \r\n", &RecordLimits::default()).unwrap();
        assert_eq!((header.raw(), header.columns()), (&b"Id, City "[..], 2));
    }

    #[test]
    fn a_header_that_is_no_utf8_says_where() {
        let (reason, byte) = CsvHeader::read(b"Id,\xff\n", &RecordLimits::default()).unwrap_err();
        assert_eq!((reason, byte), (RefusedReason::HeaderNotUtf8, Some(4)));
    }

    #[test]
    fn a_header_without_a_key_shows_its_first_columns() {
        let found = |line: &str| match CsvHeader::read(line.as_bytes(), &RecordLimits::default()) {
            Err((RefusedReason::NoKey { found }, None)) => found,
            other => panic!("{other:?}"),
        };
        assert_eq!(found("a, b\n"), r#""a", "b""#);
        assert_eq!(found("a,b,c,d,e\n"), r#""a", "b", "c", "d", "e""#);
        assert_eq!(found("a,b,c,d,e,f,g\n"), r#""a", "b", "c", "d", "e", …"#);
    }
}
