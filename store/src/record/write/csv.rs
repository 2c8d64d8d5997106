//! An endpoint as a CSV row, by the rules that the importer reads: dotted names, a column repeated for each value of an
//! attribute, an empty cell for no value.
//!
//! The columns are collected by a pass over the endpoints before the first row ([`CsvColumns::collect`]), or named by the
//! user. What a CSV file cannot hold is found in that pass, so that nothing is lost silently.

use std::collections::BTreeMap;

use pinport_model::{ApplicationId, TextMember};

use super::{
    List, Parts,
    dates::Dates,
    parts::{Named, number},
};
use crate::{
    Result, StoreError, Stored,
    record::{Tag, read::Damaged},
};

/// Columns of a file; the importer takes as many by default.
pub const MAX_COLUMNS: usize = 4096;

/// The columns of every file, in the order of an export.
pub(crate) const FIXED: [(&str, Tag); 25] = [
    ("ChannelType", Tag::Channel),
    text_member(TextMember::Address),
    ("EndpointStatus", Tag::Status),
    ("OptOut", Tag::OptOut),
    text_member(TextMember::City),
    text_member(TextMember::Country),
    ("Location.Latitude", Tag::Latitude),
    ("Location.Longitude", Tag::Longitude),
    text_member(TextMember::PostalCode),
    text_member(TextMember::Region),
    text_member(TextMember::AppVersion),
    text_member(TextMember::Locale),
    text_member(TextMember::Make),
    text_member(TextMember::Model),
    text_member(TextMember::ModelVersion),
    text_member(TextMember::Platform),
    text_member(TextMember::PlatformVersion),
    text_member(TextMember::Timezone),
    text_member(TextMember::EffectiveDate),
    text_member(TextMember::UserId),
    text_member(TextMember::CohortId),
    text_member(TextMember::RequestId),
    text_member(TextMember::CreationDate),
    // These two have no tag of their own in a record.
    (APPLICATION, Tag::Incomplete),
    (ID, Tag::Incomplete),
];

const fn text_member(member: TextMember) -> (&'static str, Tag) {
    (member.name(), Tag::of(member))
}

const APPLICATION: &str = "ApplicationId";
const ID: &str = "Id";

/// Why endpoints are not written as CSV.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// A file cannot hold this, or the columns are none: a sentence without its full stop.
    #[error("{0}")]
    Unfit(String),
    /// What is stored cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The columns that some endpoints need.
#[derive(Debug, Default)]
pub struct CsvColumns {
    fixed: u64,
    /// By prefix and name: the most values an endpoint has.
    named: BTreeMap<(Prefix, String), usize>,
    count: usize,
}

/// What the name of a column begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Prefix {
    Attributes,
    UserAttributes,
    Metrics,
}

impl Prefix {
    const ALL: [Self; 3] = [Self::Attributes, Self::UserAttributes, Self::Metrics];

    const fn text(self) -> &'static str {
        match self {
            Self::Attributes => "Attributes.",
            Self::UserAttributes => "User.UserAttributes.",
            Self::Metrics => "Metrics.",
        }
    }

    fn of<'a>(self, parts: &Parts<'a>) -> Named<'a> {
        match self {
            Self::Attributes => parts.attributes(),
            Self::UserAttributes => parts.user_attributes(),
            Self::Metrics => parts.metrics(),
        }
    }
}

impl CsvColumns {
    /// Adds the columns that an endpoint needs.
    ///
    /// # Errors
    /// If it has something that no CSV file can hold, or if the columns become too many.
    pub fn collect(&mut self, stored: &Stored<'_>) -> Result<(), CsvError> {
        let parts = Parts::find(stored.id, stored.record, stored.user_record).map_err(StoreError::from)?;
        let id = parts.id().map_err(StoreError::from)?;
        if !is_kept(id) {
            return Err(unfit(id, ID, "has something around it that an import takes away"));
        }
        for (place, (name, tag)) in FIXED.iter().enumerate() {
            if parts.raw(*tag).is_none_or(<[u8]>::is_empty) {
                continue;
            }
            self.fixed |= 1 << place;
            if is_text(*tag) && !is_kept(parts.text(*tag).map_err(StoreError::from)?.unwrap_or_default()) {
                return Err(unfit(id, name, "has something around it that an import takes away"));
            }
        }
        for prefix in Prefix::ALL {
            self.collect_named(&parts, prefix)?;
        }
        Ok(())
    }

    fn collect_named(&mut self, parts: &Parts<'_>, prefix: Prefix) -> Result<(), CsvError> {
        let id = parts.id().map_err(StoreError::from)?;
        let mut members = prefix.of(parts);
        while let Some((name, value)) = members.next().map_err(StoreError::from)? {
            let mut count = 1;
            if prefix != Prefix::Metrics {
                let mut values = List(value);
                count = 0;
                while let Some(value) = values.next().map_err(StoreError::from)? {
                    if value.is_empty() {
                        let why = "has an empty value";
                        return Err(unfit(id, &format!("{}{name}", prefix.text()), why));
                    }
                    count += 1;
                }
            }
            // To look it up by the borrowed name would need a key of another shape.
            let key = (prefix, name.to_owned());
            if !self.named.contains_key(&key) && !is_plain(name) {
                let why = "has a name that a header does not keep as it is";
                return Err(unfit(id, &format!("{}{name}", prefix.text()), why));
            }
            self.need(key, count)?;
        }
        Ok(())
    }

    /// Adds the columns that other endpoints need.
    ///
    /// # Errors
    /// If the columns become too many.
    pub fn merge(&mut self, others: Self) -> Result<(), CsvError> {
        self.fixed |= others.fixed;
        others.named.into_iter().try_for_each(|(key, count)| self.need(key, count))
    }

    /// Adds columns of a name until there are so many.
    fn need(&mut self, key: (Prefix, String), count: usize) -> Result<(), CsvError> {
        let most = self.named.entry(key).or_default();
        self.count += count.saturating_sub(*most);
        *most = count.max(*most);
        if self.count + FIXED.len() > MAX_COLUMNS {
            let text = format!(
                "the endpoints have more than {MAX_COLUMNS} columns: write JSON, or name the columns"
            );
            return Err(CsvError::Unfit(text));
        }
        Ok(())
    }

    /// The writer of a file with these columns.
    pub fn writer(self, application: ApplicationId) -> CsvWriter {
        // Every row has these.
        const ALWAYS: [&str; 4] = ["EndpointStatus", "OptOut", APPLICATION, ID];
        let mut columns = Vec::new();
        for (place, (name, _)) in FIXED.iter().enumerate() {
            if ALWAYS.contains(name) || self.fixed & (1 << place) != 0 {
                columns.push(Column::Fixed(place));
            }
        }
        for ((prefix, name), count) in self.named {
            columns.extend((0..count).map(|nth| Column::Named { prefix, name: name.clone(), nth }));
        }
        CsvWriter::new(application, columns)
    }
}

fn unfit(id: &str, member: &str, why: &str) -> CsvError {
    let (member, id) = (pinport_model::failure::quoted(member), pinport_model::failure::quoted(id));
    CsvError::Unfit(format!("{member} of endpoint {id} {why}, which CSV cannot hold: write JSON"))
}

/// Whether a member is text.
fn is_text(tag: Tag) -> bool {
    use Tag::{Channel, CreationDate, EffectiveDate, Incomplete, Latitude, Longitude, OptOut, Status};
    !matches!(
        tag,
        Channel | CreationDate | EffectiveDate | Incomplete | Latitude | Longitude | OptOut | Status
    )
}

/// Whether a header keeps a name as it is.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.trim_matches(is_invisible) == name
}

/// Whether the importer takes a cell as it is: it takes away what cannot be seen around a value, and what spreadsheets
/// put there to say that it is text.
fn is_kept(value: &str) -> bool {
    let bytes = value.as_bytes();
    let of_number = |byte: &u8| byte.is_ascii_digit() || b"+-=@".contains(byte);
    let is_wrapped = value.len() > 2 && value.starts_with("=\"") && value.ends_with('"');
    let has_apostrophe = bytes.first() == Some(&b'\'') && bytes.get(1).is_some_and(of_number);
    !value.is_empty() && value.trim_matches(is_invisible) == value && !is_wrapped && !has_apostrophe
}

fn is_invisible(character: char) -> bool {
    character.is_whitespace()
        || character.is_control()
        || matches!(character, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[derive(Debug, Clone)]
enum Column {
    /// The place in [`FIXED`].
    Fixed(usize),
    Named {
        prefix: Prefix,
        name: String,
        nth: usize,
    },
}

/// Writes endpoints of one application as rows.
#[derive(Debug, Clone)]
pub struct CsvWriter {
    application: String,
    columns: Vec<Column>,
    dates: Dates,
}

impl CsvWriter {
    fn new(application: ApplicationId, columns: Vec<Column>) -> Self {
        let application = application.to_string();
        Self { application, columns, dates: Dates::default() }
    }

    /// A writer with the columns of these names; of an attribute that is named again, the next value.
    ///
    /// # Errors
    /// If a name is none that the importer knows.
    pub fn of(application: ApplicationId, names: &[String]) -> Result<Self, CsvError> {
        let mut columns: Vec<Column> = Vec::new();
        if names.is_empty() || names.len() > MAX_COLUMNS {
            return Err(CsvError::Unfit(format!("1 to {MAX_COLUMNS} columns are expected")));
        }
        for name in names {
            if let Some(place) = FIXED.iter().position(|(known, _)| known == name) {
                columns.push(Column::Fixed(place));
                continue;
            }
            let named = Prefix::ALL
                .into_iter()
                .find_map(|prefix| name.strip_prefix(prefix.text()).map(|rest| (prefix, rest)));
            let Some((prefix, rest)) = named.filter(|(_, rest)| is_plain(rest)) else {
                let name = pinport_model::failure::quoted(name).to_string();
                return Err(CsvError::Unfit(format!(
                    "{name} is no column: Id, Address, Location.City, Attributes.NAME, Metrics.NAME, User.UserId, \
                     User.UserAttributes.NAME and the like are"
                )));
            };
            let nth = columns.iter().filter(|column| column.is(prefix, rest)).count();
            columns.push(Column::Named { prefix, name: rest.to_owned(), nth });
        }
        Ok(Self::new(application, columns))
    }

    /// Appends the header.
    pub fn header(&self, out: &mut Vec<u8>) {
        for column in &self.columns {
            match column {
                Column::Fixed(place) => cell(out, FIXED[*place].0),
                Column::Named { prefix, name, .. } => cell(out, &format!("{}{name}", prefix.text())),
            }
            out.push(b',');
        }
        end_row(out);
    }

    /// Appends an endpoint as one row.
    pub fn write(&mut self, stored: &Stored<'_>, out: &mut Vec<u8>) -> Result<()> {
        let parts = Parts::find(stored.id, stored.record, stored.user_record)?;
        let mut cursor = Cursor::new(&parts);
        for column in &self.columns {
            match column {
                Column::Fixed(place) => {
                    let (name, tag) = FIXED[*place];
                    match (name, tag) {
                        (APPLICATION, _) => cell(out, &self.application),
                        (ID, _) => cell(out, parts.id()?),
                        (_, Tag::Channel) => {
                            cell(out, parts.channel()?.map_or("", |channel| channel.as_str()));
                        }
                        (_, Tag::Status) => cell(out, parts.status()?.as_str()),
                        (_, Tag::OptOut) => cell(out, parts.opt_out()?.as_str()),
                        (_, Tag::EffectiveDate | Tag::CreationDate) => {
                            cell(out, self.dates.text(parts.date(tag)?));
                        }
                        (_, Tag::Latitude | Tag::Longitude) => {
                            if let Some(number) = parts.number(tag)? {
                                out.extend_from_slice(zmij::Buffer::new().format(number).as_bytes());
                            }
                        }
                        _ => cell(out, parts.text(tag)?.unwrap_or_default()),
                    }
                }
                Column::Named { prefix, name, nth } => {
                    if let Some(value) = cursor.find(*prefix, name)? {
                        if *prefix == Prefix::Metrics {
                            out.extend_from_slice(zmij::Buffer::new().format(number(value)?).as_bytes());
                        } else {
                            let mut values = List(value);
                            let mut found = values.next()?;
                            for _ in 0..*nth {
                                found = values.next()?;
                            }
                            cell(out, found.unwrap_or_default());
                        }
                    }
                }
            }
            out.push(b',');
        }
        end_row(out);
        Ok(())
    }
}

impl Column {
    fn is(&self, of: Prefix, called: &str) -> bool {
        matches!(self, Self::Named { prefix, name, .. } if *prefix == of && name == called)
    }
}

/// The comma after the last cell is the end of the row.
fn end_row(out: &mut [u8]) {
    if let Some(last) = out.last_mut() {
        *last = b'\n';
    }
}

/// Goes through the named members of an endpoint as columns ask for them: in one pass while the names ascend.
struct Cursor<'a> {
    parts: &'a Parts<'a>,
    prefix: Prefix,
    members: Named<'a>,
    at: Option<(&'a str, &'a [u8])>,
    begun: bool,
}

impl<'a> Cursor<'a> {
    fn new(parts: &'a Parts<'a>) -> Self {
        let members = parts.attributes();
        Self { parts, prefix: Prefix::Attributes, members, at: None, begun: false }
    }

    fn find(&mut self, prefix: Prefix, name: &str) -> Result<Option<&'a [u8]>, Damaged> {
        if !self.begun || self.prefix != prefix || self.at.is_some_and(|(at, _)| at > name) {
            (self.prefix, self.begun) = (prefix, true);
            self.members = prefix.of(self.parts);
            self.at = self.members.next()?;
        }
        while self.at.is_some_and(|(at, _)| at < name) {
            self.at = self.members.next()?;
        }
        match self.at {
            Some((at, value)) => Ok((at == name).then_some(value)),
            None => {
                // A name before it may be asked for next.
                self.begun = false;
                Ok(None)
            }
        }
    }
}

/// Appends a cell, in quotes where it needs them.
fn cell(out: &mut Vec<u8>, text: &str) {
    let needs = |byte: &u8| matches!(byte, b'"' | b',' | b'\n' | b'\r' | b'\t' | b';' | b'|' | b'\\');
    let outer = |byte: Option<&u8>| byte.is_some_and(|byte| *byte <= b' ' || *byte >= 0x80);
    let bytes = text.as_bytes();
    if !bytes.iter().any(needs) && !outer(bytes.first()) && !outer(bytes.last()) {
        out.extend_from_slice(bytes);
        return;
    }
    out.push(b'"');
    for byte in bytes {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}
