//! The bounds on a record, with their reasons. All are configurable; docs/limits.md lists them for users.

use serde::{Deserialize, Serialize};

/// What a record may hold. A record over a limit fails with the limit in the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecordLimits {
    /// Bytes of one record before it is parsed. Parsing a JSON line takes 12 to 17 times its size.
    pub max_line: usize,
    /// Nesting of JSON values; Pinpoint's records need 4.
    pub max_depth: usize,
    /// Columns of a CSV header.
    pub max_columns: usize,
    /// Attributes (or metrics, or user attributes) of one record.
    pub max_attributes: usize,
    /// Characters of an attribute's or a metric's name (Pinpoint's limit).
    pub max_name: usize,
    /// Characters of an attribute's value (Pinpoint's limit).
    pub max_value: usize,
    /// Values of one attribute (Pinpoint's limit).
    pub max_values: usize,
    /// Bytes of an id, an address or a user id: they are keys.
    pub max_id: usize,
    /// Bytes of an endpoint as stored (Pinpoint's limit of 15 KiB).
    pub max_endpoint: usize,
}

impl Default for RecordLimits {
    fn default() -> Self {
        Self {
            max_line: 1 << 20,
            max_depth: 32,
            max_columns: 4096,
            max_attributes: 250,
            max_name: 50,
            max_value: 100,
            max_values: 50,
            max_id: 1024,
            max_endpoint: 15 << 10,
        }
    }
}

/// Names, values and rules of a mapping: every record meets all of them.
pub const MAX_MAP_RULES: usize = 1000;

/// Bytes of a mapping's texts. One that is sent with an upload is part of a request's head.
pub const MAX_MAP_BYTES: usize = 16 << 10;

/// Bytes that the joins of a mapping may put together for one record. A short join can name a long column many times.
pub const MAX_JOINED: usize = 1 << 20;
