//! Where backups lie: a folder, or a prefix of a bucket. Files have names with `/` between, and are there whole or not at
//! all.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use pinport_model::SourceLocation;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::PART;
use crate::{
    engine::files::{FileError, create_folder, on},
    export::{ExportError, Target},
    source::{Raw, RawError, SourceError, SourceOptions},
};

/// A place of backups.
#[derive(Debug)]
pub struct Vault {
    target: Target,
    kind: Kind,
    cancel: CancellationToken,
}

#[derive(Debug)]
enum Kind {
    Folder(PathBuf),
    Bucket(Box<Raw>),
}

/// Why a place cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] ExportError),
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] SourceError),
    /// A file of it, or what it is copied from or to.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is nothing of this name.
    #[error("{0} is not there")]
    Gone(String),
    /// It is neither a folder nor a bucket.
    #[error("{0} is no place for backups: a folder or s3://bucket/prefix/ is expected")]
    NoPlace(String),
}

impl VaultError {
    /// Whether what was asked for is not there.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Gone(_))
    }
}

impl Vault {
    /// The place that a location names. A folder is made if it is not there.
    pub fn open(location: &SourceLocation, options: &SourceOptions, io: &Handle) -> Result<Self, VaultError> {
        let target = Target::open(location, "", options, io.clone())?;
        let kind = match location {
            SourceLocation::Path(path) => Kind::Folder(path.clone()),
            SourceLocation::Bucket { service, bucket, key } => {
                let slash = if key.is_empty() || key.ends_with('/') { "" } else { "/" };
                let prefix = format!("{key}{slash}");
                Kind::Bucket(Box::new(Raw::open(*service, bucket, prefix, options.clone(), io.clone())?))
            }
            SourceLocation::Stdin => return Err(VaultError::NoPlace(location.to_string())),
        };
        Ok(Self { target, kind, cancel: options.cancel.clone() })
    }

    /// A folder.
    #[cfg(test)]
    pub(super) fn of_folder(folder: &Path) -> Result<Self, VaultError> {
        let io = tokio::runtime::Runtime::new().map_err(on("start", folder))?;
        Self::open(&SourceLocation::Path(folder.into()), &SourceOptions::default(), io.handle())
    }

    /// What a file is called in messages.
    pub fn url(&self, name: &str) -> String {
        self.target.url(name)
    }

    /// The files below `below`, which ends with `/`, with their sizes, in order.
    pub(super) fn names(&self, below: &str) -> Result<BTreeMap<String, u64>, VaultError> {
        match &self.kind {
            Kind::Bucket(raw) => {
                Ok(raw.list(below)?.into_iter().map(|object| (object.key, object.size)).collect())
            }
            Kind::Folder(folder) => {
                let folder = folder.join(below);
                let entries = match fs::read_dir(&folder) {
                    Ok(entries) => entries,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
                    Err(error) => return Err(on("read", &folder)(error).into()),
                };
                let mut found = BTreeMap::new();
                for entry in entries {
                    let entry = entry.map_err(on("read", &folder))?;
                    let name = entry.file_name().to_string_lossy().into_owned();
                    let size = entry.metadata().map_err(on("read", &folder))?.len();
                    // What was not finished is no file of ours.
                    if !name.starts_with('.') {
                        found.insert(format!("{below}{name}"), size);
                    }
                }
                Ok(found)
            }
        }
    }

    /// Writes a file; it has its name when it is whole.
    pub(super) fn put(&self, name: &str, from: &mut dyn Read) -> Result<(), VaultError> {
        let reading = |error: io::Error| VaultError::File(on("read", Path::new(name))(error));
        if let (Kind::Folder(folder), Some((below, rest))) = (&self.kind, name.rsplit_once('/')) {
            let folder = folder.join(below);
            create_folder(&folder)?;
            let target = Target::of_folder(folder);
            return self.copy_in(&target, rest, from, reading);
        }
        self.copy_in(&self.target, name, from, reading)
    }

    /// Reads a file.
    pub(super) fn get(&self, name: &str, out: &mut dyn Write) -> Result<(), VaultError> {
        let writing = |error: io::Error| VaultError::File(on("write", Path::new(name))(error));
        match &self.kind {
            Kind::Folder(folder) => {
                let path = folder.join(name);
                let mut file = File::open(&path).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => VaultError::Gone(path.display().to_string()),
                    _ => on("open", &path)(error).into(),
                })?;
                let mut part = vec![0; PART];
                loop {
                    let read = file.read(&mut part).map_err(on("read", &path))?;
                    if read == 0 {
                        return Ok(());
                    }
                    self.check()?;
                    out.write_all(&part[..read]).map_err(writing)?;
                }
            }
            Kind::Bucket(raw) => {
                let found = match raw.list(name) {
                    Err(SourceError::NotFound { .. }) => Vec::new(),
                    found => found?,
                };
                let object = found.iter().find(|object| object.key == name);
                let object = object.ok_or_else(|| VaultError::Gone(self.url(name)))?;
                match raw.copy(object, out) {
                    Ok(_) => Ok(()),
                    Err(RawError::Source(error)) => Err(error.into()),
                    Err(RawError::Write(error)) => Err(writing(error)),
                }
            }
        }
    }

    /// An error if the user has asked for the end.
    fn check(&self) -> Result<(), VaultError> {
        if self.cancel.is_cancelled() { Err(SourceError::Cancelled.into()) } else { Ok(()) }
    }

    fn copy_in(
        &self,
        target: &Target,
        name: &str,
        from: &mut dyn Read,
        reading: impl Fn(io::Error) -> VaultError,
    ) -> Result<(), VaultError> {
        let mut to = target.begin(name, None)?;
        let mut part = vec![0; PART];
        loop {
            self.check()?;
            let read = from.read(&mut part).map_err(&reading)?;
            if read == 0 {
                to.finish()?;
                return Ok(());
            }
            to.write(&part[..read])?;
        }
    }

    /// Removes a file.
    pub(super) fn remove(&self, name: &str) -> Result<(), VaultError> {
        match &self.kind {
            Kind::Bucket(_) => Ok(self.target.remove(name)?),
            Kind::Folder(folder) => {
                let path = folder.join(name);
                Ok(fs::remove_file(&path).map_err(on("remove", &path))?)
            }
        }
    }
}
