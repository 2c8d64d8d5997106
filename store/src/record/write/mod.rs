//! From stored bytes straight to text: an endpoint as JSON or as a CSV row, without an `Endpoint` in between.
//!
//! [`parts`] finds where the members of a record lie. [`json`] writes them as lines of JSON, in the order of the service
//! model or in that of an export; [`csv`] writes rows under a header that was collected before; [`columns`] takes rows apart for
//! files that keep columns. None of them allocates per row, and none reads the store.

pub mod columns;
pub mod csv;
mod dates;
mod escape;
mod float;
pub mod json;
mod parts;
#[cfg(test)]
mod tests;

pub(crate) use parts::{Date, List, Parts, date_of, number};
