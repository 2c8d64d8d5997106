//! Tests of pinport from outside, one binary. Each module says what it is about; put a test where its subject is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod commands;
mod disk;
mod errors;
mod exits;
mod first;
mod hostile;
mod house;
mod kill;
mod memory;
mod order;
mod rejects;
mod resume;
mod s3;
mod support;
mod top;
