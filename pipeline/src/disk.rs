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
    /// If the system does not say.
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
/// What it may take of the smallest disk: a share of that would keep too few to see what is wrong.
const KEPT_LEAST: u64 = 16 << 20;

/// Bytes of failures and rejects that a job keeps in this folder, if nothing else is said.
pub fn kept_failure_bytes(folder: &Path) -> u64 {
    // A disk that says nothing of itself, or has no size, is taken for a large one.
    match Disk::of(folder) {
        Ok(disk) if disk.total > 0 => (disk.total / KEPT_SHARE).clamp(KEPT_LEAST, KEPT_FAILURE_BYTES),
        _ => KEPT_FAILURE_BYTES,
    }
}

/// The part of a disk that is kept free, if nothing else is said: a twentieth, and no more than a GiB.
const RESERVE_SHARE: u64 = 20;
const RESERVE_BYTES: u64 = 1 << 30;

/// Bytes of a disk of this size below which no job begins, if nothing else is said.
pub fn reserve(total: u64) -> u64 {
    RESERVE_BYTES.min(total / RESERVE_SHARE)
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
        assert!((16 << 20..=1 << 30).contains(&kept_failure_bytes(folder.path())));
    }
}
