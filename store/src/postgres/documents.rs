//! Documents as they are kept: JSON, read and written as text.

use postgres::Row;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{Result, StoreError};

/// What a column of JSON, read as text, holds.
pub(super) fn read<T: DeserializeOwned>(row: &Row, column: usize) -> Result<T> {
    let text: &str = row.get(column);
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(format!("a stored document: {error}")))
}

/// The text of a document.
pub(super) fn text<T: Serialize>(document: &T) -> Result<String> {
    serde_json::to_string(document)
        .map_err(|error| StoreError::Engine(format!("cannot write a document: {error}")))
}

/// An id as a column has it.
pub(super) fn key(id: &[u8; 16]) -> Uuid {
    Uuid::from_bytes(*id)
}

/// A limit as SQL takes it.
pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A number as a column has it.
pub(super) fn int4(what: &str, number: u64) -> Result<i32> {
    i32::try_from(number)
        .map_err(|_| StoreError::Conflict(format!("{what} {number} is more than a store can count")))
}
