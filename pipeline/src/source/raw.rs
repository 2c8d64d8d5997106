//! Objects of a bucket as they are: nothing is decoded or judged. For backups, which are read as they were written.

use std::{collections::VecDeque, io::Write, sync::Arc};

use pinport_model::{PlannedObject, location::Service};
use tokio::runtime::Handle;

use super::{
    SourceError, SourceOptions,
    decode::Input as _,
    feed::Feed as _,
    listing::Lister,
    remote::{Bucket, RemoteFeed},
    stream::error_of,
};
use crate::{buffers::Buffers, limits::READ_BUFFER};

/// A bucket, or what is below a prefix of it.
pub struct Raw {
    bucket: Arc<Bucket>,
    prefix: String,
    options: SourceOptions,
    io: Handle,
}

/// Why an object was not copied.
#[derive(Debug, thiserror::Error)]
pub enum RawError {
    /// It could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// What was read could not be written.
    #[error(transparent)]
    Write(#[from] std::io::Error),
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Raw").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Raw {
    /// What begins with `prefix` in a bucket. Nothing is asked yet.
    pub fn open(
        service: Service,
        bucket: &str,
        prefix: String,
        options: SourceOptions,
        io: Handle,
    ) -> Result<Self, SourceError> {
        Ok(Self { bucket: Bucket::open(service, bucket, &options)?, prefix, options, io })
    }

    /// The objects below a name of the prefix, by the rest of their keys after the prefix.
    pub fn list(&self, below: &str) -> Result<Vec<PlannedObject>, SourceError> {
        let mut found = Vec::new();
        let lister = Lister { bucket: &self.bucket, io: &self.io, options: &self.options };
        lister.keys(&format!("{}{below}", self.prefix), &mut |mut object, _| {
            object.key = object.key.split_off(self.prefix.len().min(object.key.len()));
            found.push(object);
            Ok(())
        })?;
        Ok(found)
    }

    /// Copies an object; how many bytes it had.
    pub fn copy(&self, object: &PlannedObject, out: &mut dyn Write) -> Result<u64, RawError> {
        let whole = PlannedObject { key: format!("{}{}", self.prefix, object.key), ..object.clone() };
        let url = self.bucket.url(&whole.key);
        let objects = Box::new(VecDeque::from([Ok(whole)]).into_iter());
        let mut feed = RemoteFeed::new(
            Arc::clone(&self.bucket),
            self.io.clone(),
            Buffers::new(READ_BUFFER),
            objects,
            false,
        );
        feed.next_object().transpose()?;
        let mut copied = 0;
        loop {
            let bytes = feed.fill().map_err(|fault| error_of(fault, (copied, copied), url.clone()))?;
            if bytes.is_empty() {
                return Ok(copied);
            }
            out.write_all(bytes)?;
            let count = bytes.len();
            copied += count as u64;
            feed.consume(count);
        }
    }
}
