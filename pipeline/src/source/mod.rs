//! From a [`SourceLocation`] to decoded bytes: objects are listed in key order, fetched ahead, and decompressed.
//!
//! One blocking reader thread of a job pulls it all; the runtime it is given does network I/O and nothing else.
//! Bytes are never guessed at: what is read is what was listed, whole, or a [`SourceError`] that names object and
//! byte. Start at [`Source`]; `feed.rs` is where buckets, files and pipes meet.

mod archive;
mod browse;
pub(crate) mod content;
mod decode;
mod decoded;
mod error;
mod feed;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod glob;
mod hint;
mod layers;
mod listing;
mod local;
mod matching;
mod options;
mod pipe;
mod raw;
pub(crate) mod remote;
mod stream;
#[cfg(test)]
mod tests;
mod text;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use pinport_model::{Format, PlannedObject, ReadOptions, SourceLocation};
use tokio::runtime::Handle;

pub(crate) use browse::{Look, places};
pub use content::Foreign;
pub use decode::Compression;
pub use error::SourceError;
pub use matching::format_of_name;
pub(crate) use matching::is_compressed_name;
pub use options::{Settings, SourceOptions};
pub use raw::{Raw, RawError};
pub use remote::AwsKeys;
pub use stream::{ObjectReader, ObjectStream};

use decode::{Caps, Fault};
use decoded::{Decoded, Reading};
use feed::{Feed, Objects};
use glob::Glob;
use listing::{Lister, Looks};
use local::Found;
use matching::{Verdict, Way, judge, judge_content};
use pipe::Pipe;
use remote::{Bucket, RemoteFeed};
use stream::error_of;

use crate::{
    buffers::Buffers,
    limits::{CONTENT_BYTES, RAW_BYTES, READ_BUFFER},
};

/// A place that objects are read from.
///
/// Its methods block and must not be called on the runtime's own threads.
pub struct Source {
    location: SourceLocation,
    options: SourceOptions,
    io: Handle,
    kind: Kind,
    reading: Reading,
}

enum Kind {
    Bucket {
        bucket: Arc<Bucket>,
        key: String,
    },
    /// A folder; with `only`, one file of it.
    Folder {
        root: PathBuf,
        only: Option<String>,
    },
    Pipe(Pipe),
}

impl Source {
    /// Opens a source. Settings are checked; nothing is asked of a store yet.
    pub fn open(location: &SourceLocation, options: SourceOptions, io: Handle) -> Result<Self, SourceError> {
        let kind = match location {
            SourceLocation::Bucket { service, bucket, key } => {
                Kind::Bucket { bucket: Bucket::open(*service, bucket, &options)?, key: key.clone() }
            }
            SourceLocation::Stdin => Kind::Pipe(Pipe::new(None)),
            SourceLocation::Path(path) => open_path(path)?,
        };
        Ok(Self { location: location.clone(), options, io, kind, reading: Reading::default() })
    }

    /// Reads archives too, their members of this format, and text as the user said.
    #[must_use]
    pub fn reading(mut self, format: Format, read: &ReadOptions) -> Self {
        self.reading = Reading { format: Some(format), encoding: read.encoding };
        self
    }

    /// Every matching object in key order; the skipped ones too, with the reason. An error of `each` ends it.
    pub fn list(
        &self,
        format: Format,
        each: &mut dyn FnMut(PlannedObject) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let (mut read, mut skipped, mut first_skipped) = (0_u64, 0_u64, None);
        let mut each = |object: PlannedObject| {
            match &object.skipped {
                None => read += 1,
                Some(reason) => {
                    skipped += 1;
                    first_skipped.get_or_insert_with(|| format!("{}: {reason}", self.url(&object.key)));
                }
            }
            each(object)
        };
        match &self.kind {
            Kind::Bucket { bucket, key } => {
                let content = |object: &PlannedObject, raw| self.content(object, format, raw);
                let lister = || Lister { bucket, io: &self.io, options: &self.options };
                let mut found = false;
                let mut looks = Looks::new(lister(), format, &content, &mut each);
                lister().keys(key, &mut |object, named| {
                    found = true;
                    looks.push(object, if named { Way::Named } else { Way::Below(key.len()) })
                })?;
                // Keys may hold such characters; only if none does, they are wildcards.
                if !found && let Some((prefix, glob)) = Glob::of(key) {
                    lister().keys(prefix, &mut |object, _| match glob.matches(&object.key) {
                        true => looks.push(object, Way::Below(prefix.len())),
                        false => Ok(()),
                    })?;
                }
                looks.hand_on(0)?;
            }
            Kind::Folder { root, only: Some(name) } => {
                each(self.judged(stat(root, name)?, format, Way::Named)?)?
            }
            Kind::Folder { root, only: None } => {
                local::walk(root, self.options.within.as_deref(), &self.options.cancel, &mut |found| {
                    match found {
                        Found::File(object) => each(self.judged(object, format, Way::Below(0))?),
                        Found::Other(key, reason) => {
                            each(PlannedObject { key, size: 0, etag: None, skipped: Some(reason.into()) })
                        }
                    }
                })?;
            }
            Kind::Pipe(_) => {
                each(PlannedObject { key: self.location.to_string(), size: 0, etag: None, skipped: None })?;
            }
        }
        if read > 0 {
            Ok(())
        } else {
            Err(SourceError::NoMatch { url: self.location.to_string(), skipped, first_skipped })
        }
    }

    /// The first decoded bytes of an object, at most `max`. Of a pipe they stay to be read.
    pub fn head(&self, object: &PlannedObject, max: usize) -> Result<Vec<u8>, SourceError> {
        Ok(self.start_of(object, max)?.0)
    }

    /// How many bytes of an object make so many decoded ones, by its first `max` decoded bytes.
    pub(crate) fn ratio(&self, object: &PlannedObject, max: usize) -> Result<(u64, u64), SourceError> {
        let (head, read) = self.start_of(object, max)?;
        Ok((read, head.len() as u64))
    }

    /// The first `max` decoded bytes of an object, and how many of its own these are.
    fn start_of(&self, object: &PlannedObject, max: usize) -> Result<(Vec<u8>, u64), SourceError> {
        let objects: Objects = Box::new(std::iter::once(Ok(object.clone())));
        let mut stream = self.stream(self.feed(objects, Buffers::new(READ_BUFFER), false, true), 0);
        let mut head = Vec::new();
        let mut reader = match stream.next_object() {
            Some(reader) => reader?,
            None => return Ok((head, 0)),
        };
        let mut part = vec![0; max.min(64 << 10)];
        while head.len() < max {
            let wanted = part.len().min(max - head.len());
            match reader.read(&mut part[..wanted])? {
                0 => break,
                bytes => head.extend_from_slice(&part[..bytes]),
            }
        }
        Ok((head, reader.source_bytes()))
    }

    /// Reads these objects one after the other, the first from decoded byte `start` on. The iterator is pulled
    /// by the reader, a little ahead.
    pub fn read(
        &self,
        objects: impl Iterator<Item = Result<PlannedObject, SourceError>> + Send + 'static,
        start: u64,
    ) -> ObjectStream {
        self.read_into(Buffers::new(READ_BUFFER), objects, start)
    }

    /// The same with bytes of a bucket in these buffers, where chunks can be taken from.
    pub(crate) fn read_into(
        &self,
        buffers: Buffers,
        objects: impl Iterator<Item = Result<PlannedObject, SourceError>> + Send + 'static,
        start: u64,
    ) -> ObjectStream {
        self.stream(self.feed(Box::new(objects), buffers, start > 0, false), start)
    }

    /// What an object is called in messages: `s3://bucket/key` or the path.
    pub fn url(&self, key: &str) -> String {
        self.namer()(key)
    }

    fn feed(&self, objects: Objects, buffers: Buffers, seeks: bool, look: bool) -> Box<dyn Feed> {
        let cancel = self.options.cancel.clone();
        match &self.kind {
            Kind::Bucket { bucket, .. } => {
                Box::new(RemoteFeed::new(bucket.clone(), self.io.clone(), buffers, objects, seeks))
            }
            Kind::Folder { root, .. } => {
                Box::new(local::LocalFeed::new(root.clone(), self.options.within.clone(), objects, cancel))
            }
            Kind::Pipe(pipe) => Box::new(pipe.feed(objects, cancel, look)),
        }
    }

    fn stream(&self, feed: Box<dyn Feed>, start: u64) -> ObjectStream {
        ObjectStream::new(feed, self.caps(), self.reading, start, self.namer())
    }

    fn namer(&self) -> Box<dyn Fn(&str) -> String + Send> {
        match (&self.kind, &self.options.shown_as) {
            (Kind::Folder { only: Some(_), .. }, Some(name)) => {
                let name = name.clone();
                Box::new(move |_| name.clone())
            }
            (kind, _) => namer(kind),
        }
    }

    fn caps(&self) -> Caps {
        let SourceOptions { max_decoded_bytes: decoded, max_ratio: ratio, ratio_grace: grace, .. } =
            self.options;
        Caps { decoded, ratio, grace }
    }

    fn judged(
        &self,
        mut object: PlannedObject,
        format: Format,
        way: Way,
    ) -> Result<PlannedObject, SourceError> {
        object.skipped = match judge(&object.key, object.size, format, way) {
            Verdict::Read => None,
            Verdict::Skip(reason) => Some(reason),
            Verdict::Look => self.content(&object, format, None)?,
        };
        Ok(object)
    }

    /// The first bytes of an object as it lies in a folder.
    fn raw_head(&self, object: &PlannedObject) -> Result<Vec<u8>, SourceError> {
        let objects = Box::new(std::iter::once(Ok(object.clone())));
        let mut feed = self.feed(objects, Buffers::new(READ_BUFFER), false, true);
        feed.next_object().transpose()?;
        let bytes = feed.fill().map_err(|fault| error_of(fault, (0, 0), self.url(&object.key)))?;
        Ok(bytes[..bytes.len().min(RAW_BYTES)].to_vec())
    }

    /// Why an object's content is not read, if it is not. `raw`: the first bytes of it, if they are there.
    fn content(
        &self,
        object: &PlannedObject,
        format: Format,
        raw: Option<Vec<u8>>,
    ) -> Result<Option<String>, SourceError> {
        let enough = |head: &Vec<u8>| {
            head.len() >= CONTENT_BYTES || head.iter().any(|byte| !byte.is_ascii_whitespace())
        };
        let raw = match raw {
            Some(raw) => raw,
            None => match self.raw_head(object) {
                Ok(raw) => raw,
                Err(error) if error.is_object_error() => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        match first_decoded(&raw, self.caps(), self.reading) {
            First::NoData(reason) => return Ok(Some(reason)),
            First::Archive => return Ok(None),
            First::Bytes(head) if enough(&head) => return Ok(judge_content(&head, format)),
            First::Bytes(_) => {}
        }
        match self.head(object, CONTENT_BYTES) {
            Ok(head) => Ok(judge_content(&head, format)),
            Err(SourceError::NotData { what, .. }) => Ok(Some(format!("it is {}", what.name()))),
            // Reading it will say the same where it belongs.
            Err(error) if error.is_object_error() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What an object's first bytes say of it.
enum First {
    /// So it begins when it is decoded, as far as these bytes go.
    Bytes(Vec<u8>),
    /// It is an archive, which perhaps holds data.
    Archive,
    /// It holds no data, for this reason.
    NoData(String),
}

/// Decodes an object's first bytes as far as they go.
fn first_decoded(raw: &[u8], caps: Caps, reading: Reading) -> First {
    let mut head = vec![0; CONTENT_BYTES];
    let mut length = 0;
    let mut input = raw;
    let mut decoded = match Decoded::begin(raw, &mut input, caps, reading) {
        Ok(decoded) => decoded,
        Err(Fault::Foreign(kind)) => return First::NoData(format!("it is {}", kind.name())),
        Err(_) => return First::Bytes(Vec::new()),
    };
    if decoded.is_archive() {
        return match decoded.read(&mut input, &mut head) {
            Err(Fault::NoMember(reason)) => First::NoData(format!("it is an archive, and {reason}")),
            _ => First::Archive,
        };
    }
    while let Ok(bytes @ 1..) = decoded.read(&mut input, &mut head[length..]) {
        length += bytes;
    }
    head.truncate(length);
    First::Bytes(head)
}

fn namer(kind: &Kind) -> Box<dyn Fn(&str) -> String + Send> {
    match kind {
        Kind::Bucket { bucket, .. } => {
            let bucket = bucket.clone();
            Box::new(move |key| bucket.url(key))
        }
        Kind::Folder { root, .. } => {
            let root = root.clone();
            Box::new(move |key| root.join(key).display().to_string())
        }
        Kind::Pipe(_) => Box::new(str::to_owned),
    }
}

fn open_path(path: &Path) -> Result<Kind, SourceError> {
    let metadata = std::fs::metadata(path).map_err(|error| local::unreadable(path, &error, false))?;
    if metadata.is_dir() {
        return Ok(Kind::Folder { root: path.into(), only: None });
    }
    if !metadata.is_file() {
        return Ok(Kind::Pipe(Pipe::new(Some(path.into()))));
    }
    match (path.parent(), path.file_name().map(|name| name.to_str())) {
        (Some(root), Some(Some(name))) => Ok(Kind::Folder { root: root.into(), only: Some(name.into()) }),
        _ => Err(SourceError::Unreadable {
            path: path.into(),
            reason: "its name is not UTF-8".into(),
            object: false,
        }),
    }
}

fn stat(root: &Path, name: &str) -> Result<PlannedObject, SourceError> {
    let path = root.join(name);
    let metadata = std::fs::metadata(&path).map_err(|error| local::unreadable(&path, &error, false))?;
    Ok(PlannedObject {
        key: name.into(),
        size: metadata.len(),
        etag: Some(local::etag(&metadata)),
        skipped: None,
    })
}
