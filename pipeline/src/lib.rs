//! From objects to committed pieces.
//!
//! ```text
//! source  location -> planned objects -> decoded bytes
//! buffers what the bytes lie in, from source to parse
//! text    line ends, quotes, where objects end: what split and parse both know
//! split   bytes -> blocks of whole records
//! parse   block -> drafts and failures
//! engine  cuts pieces, runs the stages on their threads, commits in source order
//! export  endpoints of the store -> parts in a folder or a bucket
//! verify  where the records are that differ from what is stored
//! disk    how much room there is
//! jobs    many jobs: queue, restart, cancel, pause, views
//! ```
//!
//! `text`, `split` and `parse` do no I/O: they are pushed bytes and return values, so every test can feed them
//! one byte at a time. Only `source` knows object stores and files, only `engine` knows threads and the store.

pub mod backup;
pub mod buffers;
pub mod disk;
pub mod engine;
pub mod export;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod jobs;
mod limits;
pub mod machine;
pub mod mapping;
pub mod parse;
pub mod phone;
pub mod place;
pub mod source;
pub mod split;
pub mod text;
pub mod throttle;
pub mod verify;
