//! Files and folders: listed folder by folder in key order, read straight into the caller's buffer.
//!
//! A file is checked before and after it is read: size, modification time and inode stand for an entity tag.

use std::{
    fs::{File, Metadata},
    io::Read,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use pinport_model::PlannedObject;
use tokio_util::sync::CancellationToken;

use super::{
    SourceError,
    decode::{Fault, Input},
    feed::{Feed, Objects},
};
use crate::limits::FILE_BUFFER;

/// What stands for the entity tag of a file.
pub(super) fn etag(metadata: &Metadata) -> String {
    let nanos = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    format!("{:x}-{nanos:x}-{:x}", metadata.len(), metadata.ino())
}

/// An entry found, before the rules of skipping are applied.
pub(super) enum Found {
    /// A file.
    File(PlannedObject),
    /// Something else, with the reason why it is not read.
    Other(String, &'static str),
}

/// Walks a folder in byte order of the keys (relative paths with `/`). Memory is bounded by the entries of
/// the folders on the way to the current one.
pub(super) fn walk(
    root: &Path,
    within: Option<&Path>,
    cancel: &CancellationToken,
    each: &mut dyn FnMut(Found) -> Result<(), SourceError>,
) -> Result<(), SourceError> {
    let mut stack = vec![entries(root, "")?.into_iter()];
    while let Some(folder) = stack.last_mut() {
        if cancel.is_cancelled() {
            return Err(SourceError::Cancelled);
        }
        let Some(entry) = folder.next() else {
            stack.pop();
            continue;
        };
        if entry.folder {
            stack.push(entries(&root.join(&entry.key), &entry.key)?.into_iter());
            continue;
        }
        // Follows symbolic links to files; links to folders are not followed, so there are no cycles.
        each(match std::fs::metadata(root.join(&entry.key)) {
            _ if !entry.utf8 => Found::Other(entry.key, "its name is not UTF-8"),
            _ if entry.link && !is_within(&root.join(&entry.key), within) => {
                Found::Other(entry.key, "it is a link out of the folder that is open to imports")
            }
            Err(_) if entry.link => Found::Other(entry.key, "it is a link to nowhere"),
            Err(error) => return Err(unreadable(&root.join(&entry.key), &error, true)),
            Ok(metadata) if metadata.is_file() => Found::File(PlannedObject {
                size: metadata.len(),
                etag: Some(etag(&metadata)),
                key: entry.key,
                skipped: None,
            }),
            Ok(metadata) if metadata.is_dir() => Found::Other(entry.key, "it is a link to a folder"),
            Ok(_) => Found::Other(entry.key, "it is no regular file"),
        })?;
    }
    Ok(())
}

struct Entry {
    /// Relative to the root; folders end with `/`, so that they sort where their files' keys do.
    key: String,
    folder: bool,
    link: bool,
    utf8: bool,
}

fn entries(folder: &Path, prefix: &str) -> Result<Vec<Entry>, SourceError> {
    let failed = |error: std::io::Error| unreadable(folder, &error, false);
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let name = entry.file_name();
        let utf8 = name.to_str().is_some();
        let slash = if kind.is_dir() { "/" } else { "" };
        let key = format!("{prefix}{}{slash}", name.to_string_lossy());
        entries.push(Entry { key, folder: kind.is_dir() && utf8, link: kind.is_symlink(), utf8 });
    }
    entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Ok(entries)
}

/// Whether a path, its links followed, lies in the folder; any path does when there is none.
pub(super) fn is_within(path: &Path, within: Option<&Path>) -> bool {
    within.is_none_or(|root| path.canonicalize().is_ok_and(|path| path.starts_with(root)))
}

/// The error for what the system refuses.
pub(super) fn unreadable(path: &Path, error: &std::io::Error, object: bool) -> SourceError {
    SourceError::Unreadable { path: path.into(), reason: error.to_string(), object }
}

/// Reads files one after the other.
pub(super) struct LocalFeed {
    root: PathBuf,
    within: Option<PathBuf>,
    objects: Objects,
    cancel: CancellationToken,
    current: Option<Current>,
    buffer: Vec<u8>,
    filled: std::ops::Range<usize>,
}

struct Current {
    path: PathBuf,
    file: File,
    size: u64,
    etag: Option<String>,
    position: u64,
    ended: bool,
}

impl LocalFeed {
    pub(super) fn new(
        root: PathBuf,
        within: Option<PathBuf>,
        objects: Objects,
        cancel: CancellationToken,
    ) -> Self {
        Self { root, within, objects, cancel, current: None, buffer: Vec::new(), filled: 0..0 }
    }
}

impl Current {
    fn open(path: PathBuf, within: Option<&Path>, object: &PlannedObject) -> Result<Self, SourceError> {
        let file = File::open(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                SourceError::NotFound { url: path.display().to_string(), byte: 0, reason: error.to_string() }
            }
            _ => unreadable(&path, &error, true),
        })?;
        if within.is_some() {
            // The file that was opened must be one of the folder, even if a link was put in its way just now.
            let here = path.canonicalize().and_then(|path| Ok((std::fs::metadata(&path)?, path)));
            let opened = file.metadata().map_err(|error| unreadable(&path, &error, true))?;
            let inside = here.is_ok_and(|(metadata, here)| {
                within.is_none_or(|root| here.starts_with(root))
                    && (metadata.dev(), metadata.ino()) == (opened.dev(), opened.ino())
            });
            if !inside {
                let reason = "it lies outside of the folder that is open to imports".into();
                return Err(SourceError::Unreadable { path, reason, object: true });
            }
        }
        let current =
            Self { path, file, size: object.size, etag: object.etag.clone(), position: 0, ended: false };
        current.check()?;
        Ok(current)
    }

    /// That the file is the one that was listed.
    fn check(&self) -> Result<(), SourceError> {
        let metadata = self.file.metadata().map_err(|error| unreadable(&self.path, &error, true))?;
        let reason = if metadata.len() != self.size {
            format!("it had {} bytes when it was listed and has {} now", self.size, metadata.len())
        } else if self.etag.as_ref().is_some_and(|listed| *listed != etag(&metadata)) {
            "it was written to after it was listed".into()
        } else {
            return Ok(());
        };
        Err(SourceError::Changed { url: self.path.display().to_string(), byte: self.position, reason })
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<usize, SourceError> {
        let left = usize::try_from(self.size - self.position).unwrap_or(usize::MAX);
        let wanted = left.min(buf.len());
        let bytes = loop {
            match self.file.read_at(&mut buf[..wanted], self.position) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(&self.path, &error, true)),
                Ok(bytes) => break bytes,
            }
        };
        self.position += bytes as u64;
        if bytes == 0 && !self.ended {
            self.check()?;
            if self.position < self.size {
                return Err(SourceError::Truncated {
                    url: self.path.display().to_string(),
                    byte: self.position,
                    decoded: self.position,
                    reason: format!("the file has {} bytes", self.size),
                });
            }
            self.ended = true;
        }
        Ok(bytes)
    }
}

impl Input for LocalFeed {
    fn fill(&mut self) -> Result<&[u8], Fault> {
        if self.filled.is_empty() {
            let mut buffer = std::mem::take(&mut self.buffer);
            if buffer.len() != FILE_BUFFER {
                // It comes from the system, full of zeros.
                buffer = vec![0; FILE_BUFFER];
            }
            let result = self.read(&mut buffer);
            self.buffer = buffer;
            self.filled = 0..result?;
        }
        Ok(&self.buffer[self.filled.clone()])
    }

    fn consume(&mut self, bytes: usize) {
        self.filled.start += bytes;
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Fault> {
        if self.cancel.is_cancelled() {
            return Err(SourceError::Cancelled.into());
        }
        if !self.filled.is_empty() {
            let bytes = buf.len().min(self.filled.len());
            buf[..bytes].copy_from_slice(&self.buffer[self.filled.start..self.filled.start + bytes]);
            self.filled.start += bytes;
            return Ok(bytes);
        }
        Ok(self.current.as_mut().map_or(Ok(0), |current| current.read(buf))?)
    }
}

impl Feed for LocalFeed {
    fn next_object(&mut self) -> Option<Result<PlannedObject, SourceError>> {
        self.current = None;
        self.filled = 0..0;
        let object = match self.objects.next()? {
            Ok(object) => object,
            Err(error) => return Some(Err(error)),
        };
        Some(Current::open(self.root.join(&object.key), self.within.as_deref(), &object).map(|current| {
            self.current = Some(current);
            object
        }))
    }

    fn seek(&mut self, position: u64) -> Result<(), SourceError> {
        self.filled = 0..0;
        if let Some(current) = &mut self.current {
            current.position = position.min(current.size);
        }
        Ok(())
    }
}

/// Opens what is read once and from the front only: a pipe or a device.
pub(super) fn open_pipe(path: Option<&Path>) -> Result<Box<dyn Read + Send>, SourceError> {
    match path {
        None => Ok(Box::new(std::io::stdin())),
        Some(path) => match File::open(path) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => Err(unreadable(path, &error, false)),
        },
    }
}
