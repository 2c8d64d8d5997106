//! What a data folder holds at one moment, made in a moment: the store's files and those of the jobs under second names.
//! Nothing is copied, and no one waits. A snapshot costs no room until what it names is compacted or deleted.

use std::{
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

use pinport_store::{Store, StoreError};

use crate::engine::files::{FileError, create_folder, on};

/// The folder of snapshots in a data folder.
pub const SNAPSHOTS: &str = "snapshots";
/// An older snapshot was left behind by its maker.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 3600);
/// Files up to this size are copied: jobs rewrite some of them. Larger ones only grow.
const SMALL: u64 = 1 << 20;
/// The parts of a data folder beside the store that are kept.
const JOBS: &str = "jobs";

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The store makes none.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file could not be named.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Makes a snapshot of a data folder in `into`, which must not be there. What is in `store` of it is one moment; the files
/// of jobs may be some ahead of it, as after a crash, which is what they are read as.
pub fn snapshot(store: &dyn Store, data: &Path, into: &Path) -> Result<(), SnapshotError> {
    create_folder(into)?;
    let (jobs, named) = (data.join(JOBS), into.join(JOBS));
    // Twice: uploads that a job ends with are gone after it, and files may come before it.
    name_again(&jobs, &named)?;
    create_folder(&into.join("store"))?;
    store.checkpoint(&into.join("store"))?;
    name_again(&jobs, &named)?;
    Ok(())
}

/// Removes snapshots that were left behind.
pub fn sweep(data: &Path, all: bool) {
    let Ok(entries) = fs::read_dir(data.join(SNAPSHOTS)) else { return };
    for entry in entries.flatten() {
        let made =
            entry.metadata().and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        let is_old = made.elapsed().is_ok_and(|age| age > LEFT_BEHIND);
        if (all || is_old)
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!(%error, "a snapshot that was left behind stays");
        }
    }
}

/// Gives every file below `from` a second name below `to`, in the place of an older file of that name.
fn name_again(from: &Path, to: &Path) -> Result<(), FileError> {
    create_folder(to)?;
    let entries = match fs::read_dir(from) {
        Ok(entries) => entries,
        // A job may be deleted meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(on("read", from)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(on("read", from))?;
        let (path, named) = (entry.path(), to.join(entry.file_name()));
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            name_again(&path, &named)?;
        } else if kind.is_file() && !is_same(&path, &named) {
            // It takes the place of the older one when it is whole: the file may be gone by now.
            let mut unfinished = named.clone();
            unfinished.as_mut_os_string().push(".unfinished");
            let _ = fs::remove_file(&unfinished);
            let is_small = entry.metadata().is_ok_and(|metadata| metadata.len() <= SMALL);
            // Also on a file system without second names.
            if is_small || fs::hard_link(&path, &unfinished).is_err() {
                match fs::copy(&path, &unfinished) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    copied => _ = copied.map_err(on("copy", &path))?,
                }
            }
            fs::rename(&unfinished, &named).map_err(on("rename", &unfinished))?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_same(_: &Path, _: &Path) -> bool {
    false
}
