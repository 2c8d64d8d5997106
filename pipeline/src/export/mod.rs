//! The way out: endpoints of an application or a segment, written as files into a folder or a bucket.
//!
//! ```text
//! store.read_ranges -> rows as text                  threads that read, each a range of ids (rows.rs, batches.rs)
//!                   -> cut into parts, or columns    the thread that runs the export
//!                   -> compressed                    threads that make gzip (packing.rs; columnar.rs makes Parquet of columns)
//!                   -> hashed, written               a thread of its own (parts.rs)
//!                   -> a folder or a bucket          target.rs; files past the page cache (direct.rs)
//! ```
//!
//! A part is there whole or not at all, and counts when its record is durable: an export that is interrupted goes on
//! after its last such part, under the same names, so that no endpoint is written twice and none is missing. The manifest,
//! `_SUCCESS`, comes last. Nothing here decides what an endpoint looks like (that is `pinport_store::record::write`) or who
//! may write where (that is `jobs::Resolver`). Start at [`Export::run`].

mod batches;
mod columnar;
mod direct;
mod packing;
mod parts;
mod rows;
mod target;
#[cfg(test)]
mod tests;

use std::{
    ops::ControlFlow,
    path::PathBuf,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

use pinport_model::{Compression, WrittenPart};
use pinport_store::{
    Room, Scope, Store, StoreError, id_of,
    ranges::{AsStored, Spare, in_order},
    record::write::{columns::Columns, csv::CsvError},
};
use tokio_util::sync::CancellationToken;

use crate::{
    engine::FileError,
    limits::{EXPORT_BUFFERS, EXPORT_LOADS, PARQUET_GROUP, PARQUET_GROUP_ROWS},
    source::SourceError,
};

pub use batches::{Lines, Text};
pub use columnar::ParquetFile;
pub use parts::{Manifest, PartWriter, part_name};
pub use rows::{Content, Form, Rows};
pub use target::Target;

use parts::Parts;

/// What is held at a time of what is read out: bytes of endpoints, and loads that are made of them.
pub const ROOM: Room = Room { batch: 48 << 20, loads: EXPORT_LOADS };

/// Why an export stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The bucket cannot be written to.
    #[error(transparent)]
    Target(#[from] SourceError),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The endpoints do not fit the format.
    #[error("{0}")]
    Unfit(String),
    /// A thread could not be started, or the compressor failed.
    #[error("failed to write a part")]
    Io(#[from] std::io::Error),
    /// It was stopped.
    #[error("the export was stopped")]
    Cancelled,
}

impl From<CsvError> for ExportError {
    fn from(error: CsvError) -> Self {
        match error {
            CsvError::Unfit(reason) => Self::Unfit(reason),
            CsvError::Store(error) => Self::Store(error),
        }
    }
}

/// What is written how.
#[derive(Debug)]
pub struct Export<'a> {
    /// Whose endpoints.
    pub scope: Scope<'a>,
    /// Their form.
    pub form: Form,
    /// How parts are compressed, or what is in them.
    pub compression: Compression,
    /// Bytes of rows after which a part ends; none: everything is one part.
    pub part_bytes: Option<u64>,
    /// The name of the one part; by number if absent.
    pub name: Option<String>,
    /// The parts that an earlier run wrote.
    pub before: Before,
    /// Where the id of a multipart upload is noted, so that a later process can give it up.
    pub note: Option<PathBuf>,
    /// Ends it soon; parts that are whole stay.
    pub cancel: CancellationToken,
}

/// What an earlier run wrote.
#[derive(Debug, Clone, Default)]
pub struct Before {
    /// Its parts.
    pub parts: u64,
    /// The id of the last endpoint in them.
    pub last: Option<String>,
}

/// Rows on their way to the thread that writes them.
enum Handed {
    Rows(Text),
    Columns(Box<Columns>),
    /// The part ends after this endpoint.
    End {
        last: String,
    },
}

impl Export<'_> {
    /// Writes all parts. `written` is called for each when it is there, in order.
    pub fn run(
        &self,
        store: &dyn Store,
        content: Content,
        target: &Target,
        written: &mut (dyn FnMut(WrittenPart) -> Result<(), ExportError> + Send),
    ) -> Result<(), ExportError> {
        // Columns are large: one batch of them is filled while the one before is written.
        let buffers = if matches!(content, Content::Text(_)) { EXPORT_BUFFERS } else { 0 };
        let (send, receive) = sync_channel(buffers);
        let spare = Spare::default();
        thread::scope(|scope| {
            let parts = Parts::new(self, target, content.header());
            let thread = thread::Builder::new().name("export".into());
            let writing = thread.spawn_scoped(scope, || parts.run(receive, &spare, written))?;
            let mut handing = Handing { export: self, send, of_part: 0, last: String::new() };
            let read = match content {
                Content::Text(rows) => handing.text(store, &rows, &spare),
                Content::Columns(columns) => handing.columns(store, columns),
            };
            drop(handing);
            // The writer's error is why the reader stopped, if it did.
            let wrote = writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            wrote.and(read)
        })
    }
}

/// Hands rows to the thread that writes, and says where parts end.
struct Handing<'a> {
    export: &'a Export<'a>,
    send: SyncSender<Handed>,
    /// Bytes of the part so far.
    of_part: u64,
    /// The id of the last endpoint in it.
    last: String,
}

impl Handing<'_> {
    fn text(&mut self, store: &dyn Store, rows: &Rows, spare: &Spare<Text>) -> Result<(), ExportError> {
        let Export { scope, before, part_bytes, .. } = self.export;
        let mut gather = || Lines::new(rows.clone(), spare);
        in_order(store, (*scope, before.last.as_deref()), ROOM, &mut gather, &mut |mut text| {
            while let Some(most) = part_bytes
                && let Some(rest) = text.split_off(most.saturating_sub(self.of_part))
            {
                self.last = text.last_id()?.to_owned();
                self.hand_over(Handed::Rows(text))?;
                self.end_part()?;
                text = rest;
            }
            if text.rows() > 0 {
                self.of_part += text.as_bytes().len() as u64;
                self.last.clear();
                self.last.push_str(text.last_id()?);
                self.hand_over(Handed::Rows(text))?;
            }
            Ok::<_, ExportError>(ControlFlow::Continue(()))
        })?;
        match self.of_part > 0 {
            true => self.end_part(),
            false => self.go_on(),
        }
    }

    fn columns(&mut self, store: &dyn Store, mut columns: Box<Columns>) -> Result<(), ExportError> {
        let Export { scope, before, part_bytes, .. } = self.export;
        let from = (*scope, before.last.as_deref());
        let (mut last, spare) = (Vec::new(), Spare::default());
        in_order(store, from, ROOM, &mut || AsStored::new(&spare), &mut |rows| {
            for stored in rows.iter() {
                self.of_part += columns.add(&stored)? as u64;
                // Its text is asked for where it is needed.
                last.clear();
                last.extend_from_slice(stored.id_bytes());
                let is_end = part_bytes.is_some_and(|most| self.of_part >= most);
                if is_end || columns.bytes() >= PARQUET_GROUP || columns.rows() >= PARQUET_GROUP_ROWS {
                    self.hand_over(Handed::Columns(Box::new(columns.take())))?;
                }
                if is_end {
                    id_of(&last)?.clone_into(&mut self.last);
                    self.end_part()?;
                }
            }
            spare.give(rows);
            self.go_on()?;
            Ok::<_, ExportError>(ControlFlow::Continue(()))
        })?;
        // A file has a schema also without rows.
        if self.of_part > 0 || part_bytes.is_none() {
            self.hand_over(Handed::Columns(columns))?;
            id_of(&last)?.clone_into(&mut self.last);
            self.end_part()?;
        }
        self.go_on()
    }

    fn end_part(&mut self) -> Result<(), ExportError> {
        self.of_part = 0;
        self.hand_over(Handed::End { last: self.last.clone() })
    }

    /// An error also if the writer has gone: its own says why.
    fn hand_over(&self, handed: Handed) -> Result<(), ExportError> {
        self.send.send(handed).map_err(|_| ExportError::Cancelled)?;
        self.go_on()
    }

    fn go_on(&self) -> Result<(), ExportError> {
        if self.export.cancel.is_cancelled() { Err(ExportError::Cancelled) } else { Ok(()) }
    }
}
