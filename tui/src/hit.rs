//! What the mouse finds on the screen.

use crate::layout::{Column, Pane};

/// What lies at a cell of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit(pub(crate) Zone);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// A row of the list.
    Row(usize),
    /// The title of a column.
    Title(Column),
    /// A pane of a job.
    Pane(Pane),
}
