//! Tables of the store that the newest backup has already. A table never changes once it is written, so one that is the
//! same file still has the same content, and is not read again.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Serialize};

use super::{BackedUp, BackupError, Vault, find};

/// What tells a file from all others without reading it, with its path and size. A file that was restored or copied has
/// another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Its number in the file system, which a snapshot keeps.
    pub inode: u64,
    /// When it was written, in nanoseconds since 1970.
    pub modified: i64,
}

impl Stamp {
    /// That of a table of the store; none of files that may change.
    pub(super) fn of(whole: &Path, path: &str) -> Option<Self> {
        let is_table = path.starts_with("store/") && path.ends_with(".sst");
        if is_table { Self::of_file(&fs::metadata(whole).ok()?) } else { None }
    }

    #[cfg(unix)]
    fn of_file(metadata: &fs::Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let seconds = metadata.mtime().checked_mul(1_000_000_000)?;
        Some(Self { inode: metadata.ino(), modified: seconds.checked_add(metadata.mtime_nsec())? })
    }

    #[cfg(not(unix))]
    fn of_file(_: &fs::Metadata) -> Option<Self> {
        None
    }
}

/// The tables of the newest backup, by their paths.
#[derive(Default)]
pub(super) struct Known(BTreeMap<String, BackedUp>);

impl Known {
    /// Those of a place. A list that cannot be understood says nothing: then everything is read.
    pub(super) fn in_vault(vault: &Vault) -> Result<Self, BackupError> {
        match find(vault, None) {
            Ok(backup) => {
                let tables = backup.files.into_iter().filter(|file| file.stamp.is_some());
                Ok(Self(tables.map(|file| (file.path.clone(), file)).collect()))
            }
            Err(BackupError::None(_) | BackupError::Damaged(_) | BackupError::Newer(_)) => {
                Ok(Self::default())
            }
            Err(error) => Err(error),
        }
    }

    /// The file as it was backed up, if it is that one.
    pub(super) fn get(&self, path: &str, size: u64, stamp: Option<Stamp>) -> Option<BackedUp> {
        let file = self.0.get(path)?;
        (stamp.is_some() && file.stamp == stamp && file.size == size).then(|| file.clone())
    }
}
