//! Endpoints as lines of JSON or rows of CSV, or as columns, by what is asked for.

use std::ops::ControlFlow;

use pinport_model::{ApplicationId, Compression, Format};
use pinport_store::{
    Scope, Store, StoreError, Stored,
    ranges::in_order,
    record::write::{
        columns::Columns,
        csv::{CsvColumns, CsvError, CsvWriter},
        json::{JsonWriter, Order},
    },
};
use serde::{Serialize, Serializer};

use super::{ExportError, ROOM, batches::Needed};

/// The form of what is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// What an import reads again.
    Text(Format),
    /// Files of columns, as warehouses read them.
    Parquet,
}

impl Form {
    /// What it is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text(format) => format.as_str(),
            Self::Parquet => "PARQUET",
        }
    }

    /// The suffix of files of this form.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Text(format) => format.suffix(),
            Self::Parquet => "parquet",
        }
    }

    /// How files are compressed as a whole, where this compression is asked for: what is in a Parquet file is compressed, and
    /// the file is not.
    pub const fn around(self, compression: Compression) -> Compression {
        match self {
            Self::Text(_) => compression,
            Self::Parquet => Compression::None,
        }
    }

    /// The compression unless one is asked for, of parts.
    pub const fn usual(self) -> Compression {
        match self {
            Self::Text(_) => Compression::Gzip,
            Self::Parquet => Compression::Zstd,
        }
    }
}

impl From<Format> for Form {
    fn from(format: Format) -> Self {
        Self::Text(format)
    }
}

impl Serialize for Form {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What makes of endpoints what is exported.
#[derive(Debug)]
pub enum Content {
    /// Text.
    Text(Rows),
    /// Columns, which are empty yet.
    Columns(Box<Columns>),
}

impl Content {
    /// What writes the endpoints of `scope` in this form. `columns` are of CSV.
    pub fn of(
        store: &dyn Store,
        scope: Scope<'_>,
        form: Form,
        columns: &[String],
    ) -> Result<Self, ExportError> {
        match form {
            Form::Text(format) => Ok(Self::Text(Rows::of(store, scope, format, columns)?)),
            Form::Parquet if !columns.is_empty() => {
                let reason = "columns are for CSV: Parquet has every member, and who reads it takes the columns it needs";
                Err(ExportError::Unfit(reason.into()))
            }
            Form::Parquet => Ok(Self::Columns(Box::new(Columns::new(application(scope))))),
        }
    }

    /// What every file begins with.
    pub(super) fn header(&self) -> Vec<u8> {
        match self {
            Self::Text(rows) => rows.header(),
            Self::Columns(_) => Vec::new(),
        }
    }
}

/// Writes endpoints in one of the formats.
#[derive(Debug, Clone)]
pub enum Rows {
    /// One object a line, in the order of Pinpoint's exports.
    Json(Box<JsonWriter>),
    /// A row each.
    Csv(Box<CsvWriter>),
}

impl Rows {
    /// What writes the endpoints of `scope`. CSV needs its columns beforehand: they are `columns`, or else all that the
    /// endpoints have, which takes a pass over them.
    pub fn of(
        store: &dyn Store,
        scope: Scope<'_>,
        format: Format,
        columns: &[String],
    ) -> Result<Self, ExportError> {
        let application = application(scope);
        match format {
            Format::Json if !columns.is_empty() => {
                Err(ExportError::Unfit("columns are for CSV: JSON has every member".into()))
            }
            Format::Json => Ok(Self::Json(Box::new(JsonWriter::new(application, Order::Export)))),
            Format::Csv if !columns.is_empty() => {
                Ok(Self::Csv(Box::new(CsvWriter::of(application, columns)?)))
            }
            Format::Csv => {
                let mut all = CsvColumns::default();
                let mut gather = || Needed(Ok(CsvColumns::default()));
                in_order(store, (scope, None), ROOM, &mut gather, &mut |needed| {
                    all.merge(needed?)?;
                    Ok::<_, CsvError>(ControlFlow::Continue(()))
                })?;
                Ok(Self::Csv(Box::new(all.writer(application))))
            }
        }
    }

    /// What every file begins with.
    pub fn header(&self) -> Vec<u8> {
        let mut header = Vec::new();
        if let Self::Csv(writer) = self {
            writer.header(&mut header);
        }
        header
    }

    /// Appends an endpoint with its line feed.
    pub fn write(&mut self, stored: &Stored<'_>, out: &mut Vec<u8>) -> Result<(), StoreError> {
        match self {
            Self::Json(writer) => {
                writer.write(stored, out)?;
                out.push(b'\n');
                Ok(())
            }
            Self::Csv(writer) => writer.write(stored, out),
        }
    }
}

fn application(scope: Scope<'_>) -> ApplicationId {
    match scope {
        Scope::Application(application) => application,
        Scope::Version(segment, _) => segment.application,
    }
}
