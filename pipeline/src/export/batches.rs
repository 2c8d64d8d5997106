//! Batches of endpoints on their way to the thread that writes parts: lines of text, or groups of columns. A batch is bounded
//! in bytes, so that what is on its way is.

use std::sync::mpsc::Receiver;

use pinport_store::{StoreError, Stored, record::write::columns::Columns};

use super::{Handed, Rows};
use crate::limits::{EXPORT_HANDED, PARQUET_GROUP, PARQUET_GROUP_ROWS};

/// What is filled and handed over.
pub(super) trait Batch {
    /// Adds an endpoint; how many bytes it took.
    fn add(&mut self, stored: &Stored<'_>) -> Result<usize, StoreError>;
    /// Whether it is to be handed over.
    fn is_full(&self) -> bool;
    /// What was added; it is empty again.
    fn take(&mut self) -> Handed;
}

/// Text, in buffers that come back.
pub(super) struct Lines {
    rows: Rows,
    text: Vec<u8>,
    count: u64,
    spare: Receiver<Vec<u8>>,
}

impl Lines {
    pub(super) fn new(rows: Rows, spare: Receiver<Vec<u8>>) -> Self {
        Self { rows, text: buffer(), count: 0, spare }
    }
}

fn buffer() -> Vec<u8> {
    Vec::with_capacity(EXPORT_HANDED + EXPORT_HANDED / 8)
}

impl Batch for Lines {
    #[inline]
    fn add(&mut self, stored: &Stored<'_>) -> Result<usize, StoreError> {
        let before = self.text.len();
        self.rows.write(stored, &mut self.text)?;
        self.count += 1;
        Ok(self.text.len() - before)
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.text.len() >= EXPORT_HANDED
    }

    fn take(&mut self) -> Handed {
        let next = self.spare.try_recv().unwrap_or_else(|_| buffer());
        let text = std::mem::replace(&mut self.text, next);
        Handed::Rows { text, rows: std::mem::take(&mut self.count) }
    }
}

/// Groups of rows, as columns.
pub(super) struct Groups(pub(super) Box<Columns>);

impl Batch for Groups {
    fn add(&mut self, stored: &Stored<'_>) -> Result<usize, StoreError> {
        self.0.add(stored)
    }

    fn is_full(&self) -> bool {
        self.0.bytes() >= PARQUET_GROUP || self.0.rows() >= PARQUET_GROUP_ROWS
    }

    fn take(&mut self) -> Handed {
        Handed::Columns(Box::new(self.0.take()))
    }
}
