//! The errors of RocksDB in our words.

use std::{io, path::Path};

use crate::StoreError;

/// The code of "Too many open files", which the engine gives in words only.
const EMFILE: i32 = 24;

/// The error of a process that has no descriptor left.
pub(super) fn no_descriptor(path: &Path) -> StoreError {
    let source = io::Error::from_raw_os_error(EMFILE);
    StoreError::Io { action: "open a file of", path: path.into(), source }
}

/// The error of the engine in our words.
pub(super) fn engine_error(path: &Path, error: rocksdb::Error) -> StoreError {
    let kind = error.kind();
    let message = error.into_string();
    if message.contains("No space left") {
        return StoreError::Full { path: path.into(), message };
    }
    if message.contains("Too many open files") {
        return no_descriptor(path);
    }
    match kind {
        rocksdb::ErrorKind::Corruption => StoreError::Corrupt(message),
        _ => StoreError::Engine(message),
    }
}
