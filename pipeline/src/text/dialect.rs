//! How the cells and lines of a CSV object are written.

/// How the cells and lines of an object are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// The byte between cells.
    pub(crate) delimiter: u8,
    /// Whether a backslash escapes quotes in quoted cells.
    pub(crate) backslash: bool,
    /// Whether a carriage return by itself ends a line.
    pub(crate) carriage: bool,
    /// How many separators the first record has at its end that belong to no column.
    pub(crate) trailing: usize,
}

impl Dialect {
    /// Whether a carriage return by itself ends a line.
    pub fn carriage(self) -> bool {
        self.carriage
    }
}

impl Default for Dialect {
    fn default() -> Self {
        Self { delimiter: b',', backslash: false, carriage: false, trailing: 0 }
    }
}
