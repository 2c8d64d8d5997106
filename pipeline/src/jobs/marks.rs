//! What was asked of a job, as empty files in its folder: durable before the answer, and independent of the
//! engine, which owns the job's record in the store while it runs.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use pinport_model::{history::HistoryPoint, progress::Progress};
use pinport_store::boundary;

use crate::{
    engine::files::{FileError, create_folder, on, sync_folder, write_file},
    throttle::ThrottleRate,
};

const CANCEL: &str = "cancel";
const PAUSED: &str = "paused";
const PROGRESS: &str = "progress.json";
const THROTTLE: &str = "throttle.json";
const WEBHOOK: &str = "webhook";
const HISTORY: &str = "history.json";

/// What was asked of a job that has not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) cancel: bool,
    pub(super) paused: bool,
}

pub(super) fn read(folder: &Path) -> Result<Marks, FileError> {
    let has = |name: &str| {
        let path = folder.join(name);
        path.try_exists().map_err(on("look for", &path))
    };
    Ok(Marks { cancel: has(CANCEL)?, paused: has(PAUSED)? })
}

pub(super) fn set_cancel(folder: &Path) -> Result<(), FileError> {
    set(folder, CANCEL)
}

pub(super) fn set_paused(folder: &Path, paused: bool) -> Result<(), FileError> {
    if paused {
        return set(folder, PAUSED);
    }
    let path = folder.join(PAUSED);
    match fs::remove_file(&path) {
        Ok(()) => {
            boundary("mark.removed");
            sync_folder(folder)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(on("remove", &path)(error)),
    }
}

/// Keeps how fast a job may read.
pub(super) fn set_throttle(folder: &Path, rate: ThrottleRate) -> Result<(), FileError> {
    write_file(folder, THROTTLE, &serde_json::to_vec(&rate).unwrap_or_default())
}

/// How fast a job may read; as fast as it can, if nothing is kept.
pub(super) fn throttle(folder: &Path) -> ThrottleRate {
    let read = fs::read(folder.join(THROTTLE)).ok();
    read.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}

/// Keeps the webhook that the maker of a job named.
pub(super) fn set_webhook(folder: &Path, url: &str) -> Result<(), FileError> {
    write_file(folder, WEBHOOK, url.as_bytes())
}

/// The webhook that the maker of a job named.
pub(super) fn webhook(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join(WEBHOOK)).ok()
}

/// Removes the marks of a job that has ended; if that fails they mean nothing any more.
pub(super) fn clear(folder: &Path) {
    for name in [CANCEL, PAUSED, THROTTLE] {
        let _ = fs::remove_file(folder.join(name));
    }
}

fn set(folder: &Path, name: &str) -> Result<(), FileError> {
    create_folder(folder)?;
    let path = folder.join(name);
    File::create(&path).and_then(|file| file.sync_all()).map_err(on("create", &path))?;
    boundary("mark.made");
    sync_folder(folder)?;
    boundary("mark.durable");
    Ok(())
}

/// Keeps the counters of a run that has ended, for its stage times; nothing depends on them.
pub(super) fn save_progress(folder: &Path, progress: &Progress) {
    if let Ok(json) = serde_json::to_vec(progress) {
        let _ = fs::write(folder.join(PROGRESS), json);
    }
}

pub(super) fn saved_progress(folder: &Path) -> Option<Progress> {
    serde_json::from_slice(&fs::read(folder.join(PROGRESS)).ok()?).ok()
}

/// Keeps the counters of a job over its life, when it ends or rests; nothing depends on them.
pub(super) fn save_history(folder: &Path, points: &[HistoryPoint]) {
    if let Ok(json) = serde_json::to_vec(points) {
        let _ = fs::write(folder.join(HISTORY), json);
    }
}

pub(super) fn saved_history(folder: &Path) -> Vec<HistoryPoint> {
    let read = fs::read(folder.join(HISTORY)).ok();
    read.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("jobs/x");
        assert_eq!(read(&folder).unwrap(), Marks::default());
        set_paused(&folder, true).unwrap();
        assert_eq!(read(&folder).unwrap(), Marks { cancel: false, paused: true });
        set_paused(&folder, false).unwrap();
        set_paused(&folder, false).unwrap();
        set_cancel(&folder).unwrap();
        assert_eq!(read(&folder).unwrap(), Marks { cancel: true, paused: false });
        clear(&folder);
        assert_eq!(read(&folder).unwrap(), Marks::default());
    }
}
