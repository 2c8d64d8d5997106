//! How much room a disk has, and what a job may take of it. Nothing here writes.

use std::{io, path::Path};

use pinport_model::job::KEPT_FAILURE_BYTES;

/// A disk at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Its bytes in all.
    pub total: u64,
    /// Those that we may still write.
    pub free: u64,
}

impl Disk {
    /// The disk that a folder lies on, or the nearest one above it that is there.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let there = folder.ancestors().find(|folder| folder.exists());
        let found =
            rustix::fs::statvfs(there.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
        Ok(Self {
            total: found.f_blocks.saturating_mul(found.f_frsize),
            free: found.f_bavail.saturating_mul(found.f_frsize),
        })
    }
}

/// The part of a disk that the failures and rejects of one job may take, if nothing else is said: a fiftieth.
const KEPT_SHARE: u64 = 50;

/// Bytes of failures and rejects that a job keeps in this folder, if nothing else is said.
pub fn kept_failure_bytes(folder: &Path) -> u64 {
    // A disk that says nothing of itself, or has no size, is taken for a large one.
    match Disk::of(folder) {
        Ok(disk) if disk.total > 0 => KEPT_FAILURE_BYTES.min(disk.total / KEPT_SHARE),
        _ => KEPT_FAILURE_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_is_on_the_disk_of_the_one_above() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::of(folder.path()).unwrap();
        assert!(disk.total > 0 && disk.free <= disk.total);
        assert_eq!(Disk::of(&folder.path().join("a/b")).unwrap().total, disk.total);
        assert!(Disk::of(Path::new("not-there")).unwrap().total > 0);
        assert!(kept_failure_bytes(folder.path()) <= disk.total / 50);
    }
}
