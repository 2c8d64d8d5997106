//! The way out: endpoints of an application or a segment, written as files into a folder or a bucket.
//!
//! ```text
//! store.read_out -> rows as text, or as columns      the thread that runs the export (rows.rs, batches.rs)
//!                -> parts: compressed, hashed        a thread of its own (parts.rs; columnar.rs makes Parquet of columns)
//!                -> a folder or a bucket             target.rs
//! ```
//!
//! A part is there whole or not at all, and counts when its record is durable: an export that is interrupted goes on
//! after its last such part, under the same names, so that no endpoint is written twice and none is missing. The manifest,
//! `_SUCCESS`, comes last. Nothing here decides what an endpoint looks like (that is `pinport_store::record::write`) or who
//! may write where (that is `jobs::Resolver`). Start at [`Export::run`].

mod batches;
mod columnar;
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
    Scope, Store, StoreError, Stored, id_of,
    record::write::{columns::Columns, csv::CsvError},
};
use tokio_util::sync::CancellationToken;

use crate::{engine::FileError, limits::EXPORT_BUFFERS, source::SourceError};

pub use columnar::ParquetFile;
pub use parts::{Manifest, PartWriter, part_name};
pub use rows::{Content, Form, Rows};
pub use target::Target;

use batches::{Batch, Groups, Lines};
use parts::Parts;

/// Bytes of endpoints that are held at a time while they are read out.
pub const BATCH: usize = 48 << 20;

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
    Rows {
        text: Vec<u8>,
        rows: u64,
    },
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
        let buffers = if content.is_text() { EXPORT_BUFFERS } else { 0 };
        let (send, receive) = sync_channel(buffers);
        let (give_back, spare) = sync_channel(EXPORT_BUFFERS + 1);
        thread::scope(|scope| {
            let parts = Parts::new(self, target, content.header());
            let thread = thread::Builder::new().name("export".into());
            let writing = thread.spawn_scoped(scope, move || parts.run(receive, &give_back, written))?;
            let read = match content {
                Content::Text(rows) => self.read(store, Lines::new(rows, spare), &send),
                Content::Columns(columns) => self.read(store, Groups(columns), &send),
            };
            drop(send);
            // The writer's error is why the reader stopped, if it did.
            let wrote = writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            wrote.and(read)
        })
    }

    fn read(
        &self,
        store: &dyn Store,
        mut batch: impl Batch,
        send: &SyncSender<Handed>,
    ) -> Result<(), ExportError> {
        // Its text is asked for where it is needed: a row must cost nothing here.
        let mut last = Vec::new();
        let mut of_part = 0_u64;
        let mut stopped = false;
        let mut each = |stored: Stored<'_>| {
            of_part += batch.add(&stored)? as u64;
            let is_end = self.part_bytes.is_some_and(|most| of_part >= most);
            if batch.is_full() || is_end {
                let mut sent = send.send(batch.take()).is_ok();
                if is_end {
                    of_part = 0;
                    sent &= send.send(Handed::End { last: stored.id()?.to_owned() }).is_ok();
                }
                // Asked once a batch.
                if !sent || self.cancel.is_cancelled() {
                    stopped = true;
                    return Ok(ControlFlow::Break(()));
                }
            }
            if !is_end {
                last.clear();
                last.extend_from_slice(stored.id_bytes());
            }
            Ok(ControlFlow::Continue(()))
        };
        store.read_out(self.scope, self.before.last.as_deref(), BATCH, &mut each)?;
        if stopped || self.cancel.is_cancelled() {
            return Err(ExportError::Cancelled);
        }
        // A Parquet file has a schema also without rows.
        if of_part > 0 || self.part_bytes.is_none() && self.form == Form::Parquet {
            let last = id_of(&last)?.to_owned();
            let sent = send.send(batch.take()).is_ok() && send.send(Handed::End { last }).is_ok();
            if !sent {
                return Err(ExportError::Cancelled);
            }
        }
        Ok(())
    }
}
