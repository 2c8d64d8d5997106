//! What threads that read make of endpoints: lines of text, in buffers that come back, and the columns that a CSV file needs.

use pinport_store::{
    Gather, StoreError, Stored, id_of,
    ranges::{Buffer, Spare},
    record::write::csv::{CsvColumns, CsvError},
};

use super::Rows;
use crate::limits::EXPORT_HANDED;

/// Rows in one buffer, with what it takes to end a part behind any of them.
#[derive(Debug)]
pub struct Text {
    text: Vec<u8>,
    ids: Vec<u8>,
    /// Where the text and the id of each row end.
    ends: Vec<(usize, usize)>,
}

impl Default for Text {
    fn default() -> Self {
        let text = Vec::with_capacity(EXPORT_HANDED + EXPORT_HANDED / 8);
        Self { text, ids: Vec::new(), ends: Vec::new() }
    }
}

impl Text {
    /// The text of all rows.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.ends.len()
    }

    /// The id of the last row.
    pub(super) fn last_id(&self) -> Result<&str, StoreError> {
        let start = self.ends.iter().rev().nth(1).map_or(0, |(_, id)| *id);
        id_of(&self.ids[start..])
    }

    /// Takes away the rows behind the first one with whose end there are `bytes`. None, if there are less.
    pub(super) fn split_off(&mut self, bytes: u64) -> Option<Self> {
        let row = self.ends.partition_point(|(text, _)| (*text as u64) < bytes);
        let (of_text, of_ids) = *self.ends.get(row)?;
        let ends = self.ends.split_off(row + 1);
        let ends = ends.into_iter().map(|(text, id)| (text - of_text, id - of_ids)).collect();
        Some(Self { text: self.text.split_off(of_text), ids: self.ids.split_off(of_ids), ends })
    }
}

impl Buffer for Text {
    fn clear(&mut self) {
        self.text.clear();
        self.ids.clear();
        self.ends.clear();
    }
}

/// Makes text of endpoints.
#[derive(Debug)]
pub struct Lines {
    rows: Rows,
    text: Text,
    spare: Spare<Text>,
}

impl Lines {
    /// `spare`: where buffers come from.
    pub fn new(rows: Rows, spare: &Spare<Text>) -> Self {
        Self { rows, text: spare.take(), spare: spare.clone() }
    }
}

impl Gather for Lines {
    type Load = Text;

    #[inline]
    fn add(&mut self, stored: &Stored<'_>) -> Result<(), StoreError> {
        let Text { text, ids, ends } = &mut self.text;
        self.rows.write(stored, text)?;
        ids.extend_from_slice(stored.id_bytes());
        ends.push((text.len(), ids.len()));
        Ok(())
    }

    #[inline]
    fn is_full(&self) -> bool {
        self.text.text.len() >= EXPORT_HANDED
    }

    fn take(&mut self) -> Option<Text> {
        (self.text.rows() > 0).then(|| std::mem::replace(&mut self.text, self.spare.take()))
    }
}

/// Finds the columns that endpoints need; or why CSV cannot hold them.
pub(super) struct Needed(pub(super) Result<CsvColumns, CsvError>);

impl Gather for Needed {
    type Load = Result<CsvColumns, CsvError>;

    fn add(&mut self, stored: &Stored<'_>) -> Result<(), StoreError> {
        if let Ok(columns) = &mut self.0
            && let Err(error) = columns.collect(stored)
        {
            self.0 = Err(error);
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.0.is_err()
    }

    fn take(&mut self) -> Option<Self::Load> {
        Some(std::mem::replace(&mut self.0, Ok(CsvColumns::default())))
    }
}
