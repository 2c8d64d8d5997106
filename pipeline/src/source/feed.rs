//! The raw bytes of objects, one object after the other, whatever they come from.

use std::time::{Duration, Instant};

use pinport_model::PlannedObject;

use super::{
    SourceError,
    decode::{Fault, Input},
};
use crate::{buffers::Chunk, limits::HEAD_BYTES};

/// The objects to read, in order. Pulled by the reader thread, a little ahead of the bytes.
pub(super) type Objects = Box<dyn Iterator<Item = Result<PlannedObject, SourceError>> + Send>;

/// An input that goes from object to object, and fails only as its source does.
pub(super) trait Feed: Input + Send {
    /// Drops what is left of the object and goes to the next.
    fn next_object(&mut self) -> Option<Result<PlannedObject, SourceError>>;

    /// Moves to a byte of the first object that is not before its first bytes. Only once, right after they
    /// were looked at, and only for a feed that begins in mid-object.
    fn seek(&mut self, position: u64) -> Result<(), SourceError>;
}

/// A feed with the first bytes of its object put back. It measures how long the feed is waited for.
pub(super) struct Replay {
    feed: Box<dyn Feed>,
    waited: Duration,
    lead: [u8; HEAD_BYTES],
    from: usize,
    to: usize,
}

impl Replay {
    pub(super) fn new(feed: Box<dyn Feed>) -> Self {
        Self { feed, waited: Duration::ZERO, lead: [0; HEAD_BYTES], from: 0, to: 0 }
    }

    /// Goes to the next object.
    pub(super) fn next_object(&mut self) -> Option<Result<PlannedObject, SourceError>> {
        timed(&mut self.waited, || self.feed.next_object())
    }

    /// How long the feed was waited for since this was asked last.
    pub(super) fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }

    /// Reads the first bytes of an object and puts them back.
    pub(super) fn look(&mut self) -> Result<&[u8], Fault> {
        (self.from, self.to) = (0, 0);
        while self.to < HEAD_BYTES {
            let bytes = timed(&mut self.waited, || self.feed.fill())?;
            let count = bytes.len().min(HEAD_BYTES - self.to);
            if count == 0 {
                break;
            }
            self.lead[self.to..self.to + count].copy_from_slice(&bytes[..count]);
            self.feed.consume(count);
            self.to += count;
        }
        Ok(&self.lead[..self.to])
    }

    /// Moves to a byte of the object.
    pub(super) fn seek(&mut self, position: u64) -> Result<(), SourceError> {
        self.from = self.to.min(usize::try_from(position).unwrap_or(usize::MAX));
        self.feed.seek(position.max(self.to as u64))
    }

    /// Moves to the front of the object.
    pub(super) fn rewind(&mut self) -> Result<(), SourceError> {
        self.seek(0)
    }
}

impl Input for Replay {
    fn fill(&mut self) -> Result<&[u8], Fault> {
        if self.from < self.to {
            return Ok(&self.lead[self.from..self.to]);
        }
        timed(&mut self.waited, || self.feed.fill())
    }

    fn consume(&mut self, bytes: usize) {
        if self.from < self.to {
            self.from += bytes;
        } else {
            self.feed.consume(bytes);
        }
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Fault> {
        let bytes = (self.to - self.from).min(buf.len());
        if bytes == 0 {
            return timed(&mut self.waited, || self.feed.read(buf));
        }
        buf[..bytes].copy_from_slice(&self.lead[self.from..self.from + bytes]);
        self.from += bytes;
        Ok(bytes)
    }

    fn take_chunk(&mut self, room: usize) -> Result<Option<Chunk>, Fault> {
        if self.from < self.to {
            return Ok(None);
        }
        timed(&mut self.waited, || self.feed.take_chunk(room))
    }
}

/// Adds the time that `work` takes. Two looks at the clock for some ten thousand bytes or more: they cost nothing.
fn timed<T>(total: &mut Duration, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = work();
    *total += begun.elapsed();
    result
}
