//! Endpoints as lines of JSON or rows of CSV.

use std::ops::ControlFlow;

use pinport_model::{ApplicationId, Format};
use pinport_store::{
    Scope, Store, StoreError, Stored,
    record::write::{
        csv::{CsvColumns, CsvWriter},
        json::{JsonWriter, Order},
    },
};

use super::{BATCH, ExportError};

/// Writes endpoints in one of the formats.
#[derive(Debug)]
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
                let (mut all, mut unfit) = (CsvColumns::default(), None);
                store.read_out(scope, None, BATCH, &mut |stored| match all.collect(&stored) {
                    Ok(()) => Ok(ControlFlow::Continue(())),
                    Err(error) => {
                        unfit = Some(error);
                        Ok(ControlFlow::Break(()))
                    }
                })?;
                match unfit {
                    Some(error) => Err(error.into()),
                    None => Ok(Self::Csv(Box::new(all.writer(application)))),
                }
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
