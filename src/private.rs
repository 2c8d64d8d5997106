//! What pinport keeps is for its user alone: endpoints are personal data, and configurations hold secrets.

#![allow(unsafe_code, reason = "calls libc")]

use std::{fs, io, path::Path};

/// What others may do with files and folders that this process makes from now on: nothing, whatever the umask was.
#[cfg(unix)]
pub(crate) fn keep_files() {
    // SAFETY: it changes a number of the process and reads no memory.
    unsafe { libc::umask(0o077) };
}

/// Lets others read the files that this process makes from now on.
#[cfg(unix)]
pub(crate) fn share_files() {
    // SAFETY: as above.
    unsafe { libc::umask(0o022) };
}

/// Takes from others what they may do in a folder that an older version made.
#[cfg(unix)]
pub(crate) fn keep_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut permissions = match fs::metadata(folder) {
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => metadata.permissions(),
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    permissions.set_mode(permissions.mode() & 0o7700);
    fs::set_permissions(folder, permissions)
}

/// That other users cannot read or change a file that holds secrets; the error is a sentence. What is no plain file, such
/// as a pipe of a shell, is its maker's business.
#[cfg(unix)]
pub(crate) fn check_secrets(file: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    // Its reader says why it cannot be read.
    let Ok(metadata) = fs::metadata(file) else { return Ok(()) };
    let mode = metadata.permissions().mode();
    if !metadata.is_file() || mode & 0o006 == 0 {
        return Ok(());
    }
    let (what, file) = (if mode & 0o004 != 0 { "read" } else { "changed" }, file.display());
    Err(format!(
        "{file} holds secrets and can be {what} by every user of this machine (mode {:03o}): chmod 600 {file}, or 640 with a \
         group of pinport's own",
        mode & 0o777
    ))
}

#[cfg(not(unix))]
pub(crate) fn keep_files() {}

#[cfg(not(unix))]
pub(crate) fn share_files() {}

#[cfg(not(unix))]
pub(crate) fn keep_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn check_secrets(_: &Path) -> Result<(), String> {
    Ok(())
}
