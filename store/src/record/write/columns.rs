//! Endpoints as columns: of each member the values of all rows, one after the other, with the levels that say which row and
//! which list a value is of. These are the levels of Dremel's, as Parquet files have them.
//!
//! A *definition level* says how far down its path a value is there: as many optional and repeated names of the path as are
//! not empty. A *repetition level* says which repeated name of the path it goes on with: 0 is the next row. Nothing here knows
//! how a file is encoded, and no endpoint is built on the way. What a column holds is what JSON says, member by member.

use pinport_model::{ApplicationId, TextMember};

use super::{
    List, Parts,
    dates::Dates,
    json::{DEMOGRAPHIC, LOCATION},
    parts::{Named, number},
};
use crate::{
    Result, Stored,
    record::{Tag, read::Damaged},
};

/// What a value takes beside its own bytes: its end or its number, and its levels.
const AROUND: usize = 8;

/// How a column is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Its name below those that it is in, with dots between, as a Parquet file names it.
    pub path: &'static str,
    /// Whether it has numbers; texts otherwise.
    pub is_number: bool,
    /// The definition level of a value that is there.
    pub definition: i16,
    /// The highest repetition level.
    pub repetition: i16,
}

const fn text(path: &'static str, definition: i16, repetition: i16) -> Shape {
    Shape { path, is_number: false, definition, repetition }
}

const fn numbers(path: &'static str, definition: i16, repetition: i16) -> Shape {
    Shape { path, is_number: true, definition, repetition }
}

/// The columns, in the order of an export.
pub const SHAPES: [Shape; 31] = [
    text("ChannelType", 1, 0),
    text("Address", 1, 0),
    text("EndpointStatus", 0, 0),
    text("OptOut", 0, 0),
    text(TextMember::City.name(), 2, 0),
    text(TextMember::Country.name(), 2, 0),
    numbers("Location.Latitude", 2, 0),
    numbers("Location.Longitude", 2, 0),
    text(TextMember::PostalCode.name(), 2, 0),
    text(TextMember::Region.name(), 2, 0),
    text(TextMember::AppVersion.name(), 2, 0),
    text(TextMember::Locale.name(), 2, 0),
    text(TextMember::Make.name(), 2, 0),
    text(TextMember::Model.name(), 2, 0),
    text(TextMember::ModelVersion.name(), 2, 0),
    text(TextMember::Platform.name(), 2, 0),
    text(TextMember::PlatformVersion.name(), 2, 0),
    text(TextMember::Timezone.name(), 2, 0),
    text("EffectiveDate", 0, 0),
    text("Attributes.key_value.key", 1, 1),
    text("Attributes.key_value.value.list.element", 2, 2),
    text("Metrics.key_value.key", 2, 1),
    numbers("Metrics.key_value.value", 2, 1),
    text("User.UserAttributes.key_value.key", 2, 1),
    text("User.UserAttributes.key_value.value.list.element", 3, 2),
    text("User.UserId", 2, 0),
    text("CohortId", 1, 0),
    text("RequestId", 1, 0),
    text("ApplicationId", 0, 0),
    text("Id", 0, 0),
    text("CreationDate", 0, 0),
];

/// The values of a column, and their levels.
#[derive(Debug, Default)]
pub struct Column {
    /// Its texts, one behind the other.
    pub texts: Vec<u8>,
    /// Where each of them ends.
    pub ends: Vec<u32>,
    /// Its numbers.
    pub numbers: Vec<f64>,
    /// A level for each value, and for each place where one is missing; none, if none can be missing.
    pub definition: Vec<i16>,
    /// The same; none, if nothing is repeated.
    pub repetition: Vec<i16>,
}

impl Column {
    fn text(&mut self, text: &str) -> usize {
        self.texts.extend_from_slice(text.as_bytes());
        // Whoever fills columns ends long before 4 GiB.
        self.ends.push(self.texts.len() as u32);
        text.len() + AROUND
    }

    /// The levels of a value, or of a place without one, in a column that repeats.
    fn levels(&mut self, definition: i16, repetition: i16) {
        self.definition.push(definition);
        self.repetition.push(repetition);
    }
}

/// Endpoints of one application, as columns.
#[derive(Debug)]
pub struct Columns {
    application: String,
    dates: Dates,
    columns: [Column; SHAPES.len()],
    rows: usize,
    bytes: usize,
}

impl Columns {
    /// No endpoints yet.
    pub fn new(application: ApplicationId) -> Self {
        Self::of(application.to_string())
    }

    fn of(application: String) -> Self {
        let columns = std::array::from_fn(|_| Column::default());
        Self { application, dates: Dates::default(), columns, rows: 0, bytes: 0 }
    }

    /// Takes what was added, and is empty again.
    pub fn take(&mut self) -> Self {
        let empty = Self::of(self.application.clone());
        std::mem::replace(self, empty)
    }

    /// Endpoints in it.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// About the bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The columns, in the order of [`SHAPES`].
    pub fn into_columns(self) -> [Column; SHAPES.len()] {
        self.columns
    }

    /// Adds an endpoint; how many bytes it took.
    ///
    /// # Errors
    /// It cannot be read. What was added is of no use then.
    pub fn add(&mut self, stored: &Stored<'_>) -> Result<usize> {
        let parts = Parts::find(stored.id, stored.record, stored.user_record)?;
        let Self { application, dates, columns, .. } = self;
        let mut row = Row { columns: columns.iter_mut(), bytes: 0 };
        row.optional(parts.channel()?.map(|channel| channel.as_str()), 0);
        row.optional(parts.text(Tag::Address)?, 0);
        row.required(parts.status()?.as_str());
        row.required(parts.opt_out()?.as_str());
        row.object(&parts, &LOCATION, parts.has_any(Tag::City, Tag::Longitude))?;
        row.object(&parts, &DEMOGRAPHIC, parts.has_any(Tag::AppVersion, Tag::Timezone))?;
        row.required(dates.text(parts.date(Tag::EffectiveDate)?));
        row.attributes(parts.attributes(), 0)?;
        row.metrics(parts.metrics())?;
        let user_id = parts.user_id().map(super::parts::utf8).transpose()?;
        if user_id.is_some() || parts.user_attributes().next_valued()?.is_some() {
            row.attributes(parts.user_attributes(), 1)?;
            row.optional(user_id, 1);
        } else {
            row.attributes(Named::default(), 0)?;
            row.optional(None, 0);
        }
        row.optional(parts.text(Tag::CohortId)?, 0);
        row.optional(parts.text(Tag::RequestId)?, 0);
        row.required(application);
        row.required(parts.id()?);
        row.required(dates.text(parts.date(Tag::CreationDate)?));
        let bytes = row.bytes;
        self.rows += 1;
        self.bytes += bytes;
        Ok(bytes)
    }
}

/// The columns from left to right, while a row is added.
struct Row<'a> {
    columns: std::slice::IterMut<'a, Column>,
    bytes: usize,
}

impl<'a> Row<'a> {
    fn next(&mut self) -> &'a mut Column {
        self.columns.next().expect("a row has the columns of SHAPES")
    }

    fn required(&mut self, text: &str) {
        self.bytes += self.next().text(text);
    }

    /// A member, in something that has this definition level when the member is missing.
    fn optional(&mut self, text: Option<&str>, outer: i16) {
        let column = self.next();
        column.definition.push(outer + i16::from(text.is_some()));
        self.bytes += text.map_or(AROUND, |text| column.text(text));
    }

    /// An object of members without names of their own.
    fn object(&mut self, parts: &Parts<'_>, members: &[(&str, Tag)], is_there: bool) -> Result<(), Damaged> {
        let outer = i16::from(is_there);
        for (_, tag) in members {
            if !matches!(tag, Tag::Latitude | Tag::Longitude) {
                self.optional(parts.text(*tag)?, outer);
                continue;
            }
            let (column, number) = (self.next(), parts.number(*tag)?);
            column.definition.push(outer + i16::from(number.is_some()));
            column.numbers.extend(number);
            self.bytes += AROUND;
        }
        Ok(())
    }

    /// Lists by name, in a map that has this definition level when it is empty. No list is: a name without values is a
    /// removal, which is not handed on.
    fn attributes(&mut self, mut attributes: Named<'_>, outer: i16) -> Result<(), Damaged> {
        let (names, values) = (self.next(), self.next());
        let mut again = 0;
        while let Some((name, list)) = attributes.next()? {
            names.levels(outer + 1, again);
            self.bytes += names.text(name);
            let (mut list, mut repetition) = (List(list), again);
            while let Some(value) = list.next()? {
                values.levels(outer + 2, repetition);
                self.bytes += values.text(value);
                repetition = 2;
            }
            again = 1;
        }
        if again == 0 {
            names.levels(outer, 0);
            values.levels(outer, 0);
            self.bytes += 2 * AROUND;
        }
        Ok(())
    }

    /// Numbers by name: without any the map is missing, as it is in JSON.
    fn metrics(&mut self, mut metrics: Named<'_>) -> Result<(), Damaged> {
        let (names, values) = (self.next(), self.next());
        let mut again = 0;
        while let Some((name, value)) = metrics.next()? {
            names.levels(2, again);
            self.bytes += names.text(name) + AROUND;
            values.levels(2, again);
            values.numbers.push(number(value)?);
            again = 1;
        }
        if again == 0 {
            names.levels(0, 0);
            values.levels(0, 0);
            self.bytes += 2 * AROUND;
        }
        Ok(())
    }
}
