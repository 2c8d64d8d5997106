//! Files and folders that are still there after a crash.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::boundary;

/// A file operation that failed, with the file.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} {}", path.display())]
pub struct FileError {
    pub(crate) action: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

/// Adds the file and what was tried to an I/O error.
pub fn on<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FileError + 'a {
    move |source| FileError { action, path: path.to_owned(), source }
}

/// Makes a folder and those above it durable.
///
/// # Errors
/// If one of them cannot be made or synced.
pub fn create_folder(folder: &Path) -> Result<(), FileError> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if folder.is_dir() {
        // Its maker may have been killed before it was durable. In a folder that we may not read, somebody else made it.
        return if File::open(parent).is_ok() { sync_folder(parent) } else { Ok(()) };
    }
    create_folder(parent)?;
    match fs::create_dir(folder) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => Err(on("create", folder)(source)),
        _ => {
            boundary("folder.made");
            sync_folder(parent)
        }
    }
}

/// Makes durable which files a folder has.
///
/// # Errors
/// If it cannot be opened or synced.
pub fn sync_folder(folder: &Path) -> Result<(), FileError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(on("sync", folder))
}

/// Writes a small file of a folder that is there. The file has its name when it is whole and durable.
///
/// # Errors
/// If it cannot be written, renamed or synced.
pub fn write_file(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), FileError> {
    let new = folder.join(format!("{name}.new"));
    fs::write(&new, bytes).and_then(|()| File::open(&new)?.sync_all()).map_err(on("write", &new))?;
    boundary("file.written");
    fs::rename(&new, folder.join(name)).map_err(on("rename", &new))?;
    boundary("file.renamed");
    sync_folder(folder)
}
