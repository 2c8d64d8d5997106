//! Where parts are written: a folder, where each gets its name when it is whole and durable, or a bucket, where each is an
//! upload that is completed at its end; or a pipe, which takes what comes.

use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use pinport_model::SourceLocation;
use pinport_store::boundary;
use tokio::runtime::Handle;

use super::{ExportError, direct::Direct};
use crate::{
    engine::files::{create_folder, on, sync_folder},
    source::{
        SourceOptions,
        remote::{
            Bucket,
            write::{Upload, Writing},
        },
    },
};

/// What the name of a file begins with until it is whole.
const UNFINISHED: &str = ".pinport-unfinished-";

/// A place for the files of one export.
pub struct Target {
    kind: Kind,
}

enum Kind {
    Folder(PathBuf),
    Bucket { writing: Box<Writing>, prefix: String },
    Pipe(Mutex<Box<dyn io::Write + Send>>),
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url(""))
    }
}

impl Target {
    /// The folder `folder` below a location. A folder of the machine is made; of a bucket nothing is asked yet.
    pub fn open(
        location: &SourceLocation,
        folder: &str,
        options: &SourceOptions,
        io: Handle,
    ) -> Result<Self, ExportError> {
        let kind = match location {
            SourceLocation::Stdin => Kind::Pipe(Mutex::new(Box::new(io::stdout()))),
            SourceLocation::Path(path) => {
                let folder = path.join(folder);
                create_folder(&folder)?;
                // A link that was put in the way meanwhile leads nowhere else.
                if let Some(within) = &options.within
                    && !folder.canonicalize().map_err(on("open", &folder))?.starts_with(within)
                {
                    let left =
                        io::Error::new(io::ErrorKind::PermissionDenied, "it is a link out of the folder");
                    return Err(on("open", &folder)(left).into());
                }
                Kind::Folder(folder)
            }
            SourceLocation::Bucket { service, bucket, key } => {
                let slash = if key.is_empty() || key.ends_with('/') { "" } else { "/" };
                let below = if folder.is_empty() { String::new() } else { format!("{folder}/") };
                let prefix = format!("{key}{slash}{below}");
                let bucket = Bucket::open(*service, bucket, options)?;
                Kind::Bucket { writing: Box::new(Writing::open(bucket, io)?), prefix }
            }
        };
        Ok(Self { kind })
    }

    /// A folder that is there.
    pub(crate) fn of_folder(folder: PathBuf) -> Self {
        Self { kind: Kind::Folder(folder) }
    }

    /// A pipe: parts follow each other.
    pub fn pipe(out: Box<dyn io::Write + Send>) -> Self {
        Self { kind: Kind::Pipe(Mutex::new(out)) }
    }

    /// Whether it is a pipe.
    pub(super) fn is_pipe(&self) -> bool {
        matches!(self.kind, Kind::Pipe(_))
    }

    /// What a file is called in messages.
    pub fn url(&self, name: &str) -> String {
        match &self.kind {
            Kind::Folder(folder) => folder.join(name).display().to_string(),
            Kind::Bucket { writing, prefix } => writing.url(&format!("{prefix}{name}")),
            Kind::Pipe(_) => "standard output".into(),
        }
    }

    /// Begins a file. `note`: where the id of its upload is noted while it is one.
    pub(crate) fn begin(&self, name: &str, note: Option<&Path>) -> Result<Part<'_>, ExportError> {
        Ok(match &self.kind {
            Kind::Folder(folder) => {
                let unfinished = folder.join(format!("{UNFINISHED}{name}"));
                // What a process left that was ended is written over.
                let mut options = OpenOptions::new();
                options.write(true).create(true).truncate(true);
                let file = options.open(&unfinished).map_err(on("write", &unfinished))?;
                let file = Direct::new(file);
                Part::File(FilePart { file, unfinished, path: folder.join(name), finished: false })
            }
            Kind::Bucket { writing, prefix } => {
                let key = format!("{prefix}{name}");
                let note = note.map(Path::to_owned);
                Part::Upload { upload: Upload::new(writing, key.clone()), key, note }
            }
            Kind::Pipe(out) => Part::Pipe(out),
        })
    }

    /// Writes a small file at once.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        match &self.kind {
            Kind::Pipe(_) => Ok(()),
            Kind::Bucket { writing, prefix } => Ok(writing.put(&format!("{prefix}{name}"), bytes.to_vec())?),
            Kind::Folder(_) => {
                let mut part = self.begin(name, None)?;
                part.write(bytes)?;
                part.finish()
            }
        }
    }

    /// Removes a file that an earlier run may have left.
    pub fn remove(&self, name: &str) -> Result<(), ExportError> {
        match &self.kind {
            Kind::Pipe(_) => Ok(()),
            Kind::Bucket { writing, prefix } => Ok(writing.delete(&format!("{prefix}{name}"))?),
            Kind::Folder(folder) => {
                for path in [folder.join(format!("{UNFINISHED}{name}")), folder.join(name)] {
                    match fs::remove_file(&path) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => {
                            return Err(on("remove", &path)(error).into());
                        }
                        _ => {}
                    }
                }
                Ok(())
            }
        }
    }

    /// Gives the upload up that an earlier process noted, if it did.
    pub fn clear(&self, note: &Path) -> Result<(), ExportError> {
        let text = match fs::read_to_string(note) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(on("read", note)(error).into()),
        };
        if let (Kind::Bucket { writing, .. }, Some((id, key))) = (&self.kind, text.split_once('\n')) {
            writing.abort(key, id);
        }
        fs::remove_file(note).map_err(on("remove", note))?;
        Ok(())
    }
}

/// A file while it is written. Dropped before it is finished, nothing of it stays.
pub(crate) enum Part<'a> {
    File(FilePart),
    Upload { upload: Upload<'a>, key: String, note: Option<PathBuf> },
    Pipe(&'a Mutex<Box<dyn io::Write + Send>>),
}

/// A file of a folder.
pub(crate) struct FilePart {
    file: Direct,
    unfinished: PathBuf,
    path: PathBuf,
    finished: bool,
}

impl Part<'_> {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        match self {
            Self::File(FilePart { file, unfinished, .. }) => {
                Ok(file.write(bytes).map_err(on("write", unfinished))?)
            }
            Self::Upload { upload, key, note } => upload.write(bytes, |id| match note {
                None => Ok(()),
                Some(note) => Ok(fs::write(&*note, format!("{id}\n{key}")).map_err(on("write", note))?),
            }),
            Self::Pipe(out) => Ok(out.lock().write_all(bytes)?),
        }
    }

    /// Makes it whole and durable, under its name.
    pub(crate) fn finish(self) -> Result<(), ExportError> {
        match self {
            Self::File(mut part) => {
                let FilePart { file, unfinished, path, .. } = &mut part;
                file.end().map_err(on("write", unfinished))?;
                boundary("export.part-written");
                fs::rename(&*unfinished, &*path).map_err(on("write", path))?;
                if let Some(folder) = path.parent() {
                    sync_folder(folder)?;
                }
                part.finished = true;
                Ok(())
            }
            Self::Upload { upload, note, .. } => {
                upload.finish()?;
                if let Some(note) = note {
                    let _ = fs::remove_file(note);
                }
                Ok(())
            }
            Self::Pipe(out) => Ok(out.lock().flush()?),
        }
    }
}

impl Drop for FilePart {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}
