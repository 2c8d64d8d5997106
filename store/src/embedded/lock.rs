//! One process has a store open at a time; a second one learns which process that is.

use std::{
    fs::{File, TryLockError},
    io::{self, Read, Seek, Write},
    path::Path,
};

use pinport_model::Timestamp;

use crate::{Result, StoreError};

/// Holds the store's folder until it is dropped (or its process ends, however it ends).
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    pub(super) fn take(folder: &Path) -> Result<Self> {
        let path = folder.join("pinport.lock");
        let error = |action| {
            let path = path.clone();
            move |source| StoreError::Io { action, path, source }
        };
        let mut options = File::options();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(error("open the lock file"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse { path: folder.into(), holder: holder(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(error("lock")(source)),
        }
        introduce(&mut file).map_err(error("write the lock file"))?;
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone does not let go while a child that is just being started has the file open too.
        let _ = self.file.unlock();
    }
}

fn introduce(file: &mut File) -> io::Result<()> {
    let command = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let command = command.collect::<Vec<_>>().join(" ");
    file.set_len(0)?;
    write!(file, "process {} ({}) since {}", std::process::id(), command, Timestamp::now())
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(4096).read_to_string(&mut text));
    match read {
        Ok(_) if !text.is_empty() => pinport_model::escape_controls(&text).into_owned(),
        _ => "another process".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_learns_which_one_is_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path()).unwrap();
        let Err(StoreError::InUse { holder, .. }) = Lock::take(folder.path()) else {
            panic!("it was taken twice");
        };
        assert!(holder.starts_with(&format!("process {} (", std::process::id())), "{holder}");
        drop(first);
        Lock::take(folder.path()).unwrap();
    }
}
