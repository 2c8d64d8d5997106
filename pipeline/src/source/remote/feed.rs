//! Objects of a bucket as one flow of bytes: ranges are asked for ahead, across objects, and handed out in order.
//!
//! The reader thread plans the ranges, so nothing but the requests themselves runs on the runtime. What is
//! in flight or waiting is bounded in bytes.

use std::{collections::VecDeque, sync::Arc};

use pinport_model::PlannedObject;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use super::{Bucket, Fetched};
use crate::{
    buffers::{Buffers, Chunk},
    limits::{HEAD_BYTES, SMALL_RANGES},
    source::{
        SourceError,
        decode::{Fault, Input},
        feed::{Feed, Objects},
    },
};

type Task = AbortOnDropHandle<Result<Fetched, SourceError>>;

/// Reads objects one after the other.
pub(in crate::source) struct RemoteFeed {
    bucket: Arc<Bucket>,
    io: Handle,
    buffers: Buffers,
    objects: Objects,
    /// Objects that were begun to be asked for; the first is the current one once `open`.
    planned: VecDeque<Planned>,
    open: bool,
    /// Whether the first object's bytes after its first few wait for a `seek`.
    held: bool,
    /// No more objects come, or an error came that the object in turn reports.
    exhausted: bool,
    failed: Option<SourceError>,
    /// Bytes of the budget in use.
    used: u64,
    /// Chunks of the current range, and its cost.
    chunks: VecDeque<Chunk>,
    cost: u64,
    broken: Option<SourceError>,
}

struct Planned {
    object: Arc<PlannedObject>,
    ranges: VecDeque<Range>,
    /// Where the next range to ask for begins.
    next: u64,
}

impl Planned {
    /// The end of the ranges is the end of the object only if all of it was asked for.
    fn asked_for_all(&self, bucket: &Bucket) -> Result<(), SourceError> {
        if self.next == self.object.size {
            return Ok(());
        }
        let reason = format!("only {} of its {} bytes were asked for", self.next, self.object.size);
        Err(SourceError::Other { url: bucket.url(&self.object.key), reason, object: true })
    }
}

struct Range {
    task: Task,
    cost: u64,
}

impl RemoteFeed {
    /// `seeks`: the first object begins in the middle, so only its first bytes are asked for until `seek`.
    pub(in crate::source) fn new(
        bucket: Arc<Bucket>,
        io: Handle,
        buffers: Buffers,
        objects: Objects,
        seeks: bool,
    ) -> Self {
        Self {
            bucket,
            io,
            buffers,
            objects,
            planned: VecDeque::new(),
            open: false,
            held: seeks,
            exhausted: false,
            failed: None,
            used: 0,
            chunks: VecDeque::new(),
            cost: 0,
            broken: None,
        }
    }

    /// Asks for as many ranges as the budget allows, in order.
    fn top_up(&mut self) {
        let step = self.bucket.options.request_bytes.max(1);
        let budget = step.saturating_mul(u64::from(self.bucket.options.requests_in_flight.max(1)));
        loop {
            let held = self.held && self.planned.len() <= 1;
            let open =
                self.planned.back().filter(|last| last.next < last.object.size && !(held && last.next > 0));
            if open.is_none() {
                // Objects of a held first one are not planned beyond; empty ones cost nothing, so there is a bound.
                if (held && !self.planned.is_empty())
                    || self.exhausted
                    || self.planned.len() as u64 > 2 * SMALL_RANGES
                {
                    return;
                }
                if !self.planned.is_empty() && self.used >= budget {
                    return;
                }
                match self.objects.next() {
                    Some(Ok(object)) => {
                        let object = Arc::new(object);
                        self.planned.push_back(Planned { object, ranges: VecDeque::new(), next: 0 });
                    }
                    Some(Err(error)) => {
                        self.failed = Some(error);
                        self.exhausted = true;
                    }
                    None => self.exhausted = true,
                }
                continue;
            }
            let Some(last) = self.planned.back_mut() else { return };
            let start = last.next;
            let is_small = start == 0 && last.object.size <= self.bucket.options.whole_bytes;
            let limit = match held {
                true => HEAD_BYTES as u64,
                false if is_small => last.object.size,
                false => step,
            };
            let end = last.object.size.min(start.saturating_add(limit));
            let cost = self.buffers.memory(end - start).min(step).max(budget / SMALL_RANGES);
            // One range is always allowed, however small the budget.
            if self.used > 0 && self.used + cost > budget {
                return;
            }
            let (bucket, object) = (self.bucket.clone(), last.object.clone());
            let buffers = self.buffers.clone();
            let task = self.io.spawn(async move { bucket.range(&object, (start, end), buffers).await });
            last.ranges.push_back(Range { task: AbortOnDropHandle::new(task), cost });
            last.next = end;
            self.used += cost;
        }
    }

    /// The chunks, if they add up to what the store says. A byte that was turned on the way is asked for once more.
    fn verified(&self, fetched: Fetched) -> Result<VecDeque<Chunk>, SourceError> {
        let Some(checksum) = &fetched.checksum else { return Ok(fetched.chunks) };
        let Err(reason) = checksum.check(&fetched.chunks) else { return Ok(fetched.chunks) };
        let Some(current) = self.planned.front() else { return Ok(fetched.chunks) };
        tracing::debug!(key = current.object.key, reason, "asking again");
        let (bucket, object, buffers) = (self.bucket.clone(), current.object.clone(), self.buffers.clone());
        drop(fetched);
        let again = self.io.spawn(async move { bucket.range(&object, (0, object.size), buffers).await });
        let again = wait(&self.io, &self.bucket.options.cancel, AbortOnDropHandle::new(again))
            .and_then(|result| result)?;
        match again.checksum.as_ref().map_or(Ok(()), |checksum| checksum.check(&again.chunks)) {
            Ok(()) => Ok(again.chunks),
            Err(reason) => {
                let url = self.bucket.url(&current.object.key);
                Err(SourceError::Corrupt { url, byte: 0, decoded: 0, reason })
            }
        }
    }

    fn drop_current(&mut self) {
        if std::mem::take(&mut self.open)
            && let Some(planned) = self.planned.pop_front()
        {
            self.used -= planned.ranges.iter().map(|range| range.cost).sum::<u64>();
        }
        self.drop_chunks();
        self.broken = None;
    }

    fn drop_chunks(&mut self) {
        self.chunks.drain(..).for_each(|chunk| self.buffers.give_back(chunk.buffer));
        self.used -= std::mem::take(&mut self.cost);
    }

    fn next_range(&mut self) -> Result<(), SourceError> {
        self.drop_chunks();
        self.top_up();
        let range = if self.open {
            self.planned.front_mut().and_then(|current| current.ranges.pop_front())
        } else {
            None
        };
        let Some(Range { task, cost }) = range else {
            return self
                .planned
                .front()
                .filter(|_| self.open)
                .map_or(Ok(()), |current| current.asked_for_all(&self.bucket));
        };
        self.cost = cost;
        let fetched = wait(&self.io, &self.bucket.options.cancel, task).and_then(|result| result);
        match fetched.and_then(|fetched| self.verified(fetched)) {
            Ok(chunks) => self.chunks = chunks,
            Err(error) => {
                self.broken = Some(error.clone());
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Waits for a task, or for the job to be cancelled.
pub(in crate::source) fn wait<T>(
    io: &Handle,
    cancel: &tokio_util::sync::CancellationToken,
    task: AbortOnDropHandle<T>,
) -> Result<T, SourceError> {
    let joined = io.block_on(async {
        tokio::select! {
            biased;
            () = cancel.cancelled() => None,
            joined = task => Some(joined),
        }
    });
    match joined {
        Some(Ok(value)) => Ok(value),
        // The runtime is going down, or a request panicked: nothing more can be read.
        Some(Err(error)) if error.is_panic() => {
            Err(SourceError::Other { url: "the source".into(), reason: error.to_string(), object: false })
        }
        Some(Err(_)) | None => Err(SourceError::Cancelled),
    }
}

impl Input for RemoteFeed {
    fn fill(&mut self) -> Result<&[u8], Fault> {
        if let Some(error) = &self.broken {
            return Err(error.clone().into());
        }
        if self.bucket.options.cancel.is_cancelled() {
            return Err(SourceError::Cancelled.into());
        }
        if self.chunks.is_empty() {
            self.next_range()?;
        }
        Ok(self.chunks.front().map_or(&[], Chunk::bytes))
    }

    fn consume(&mut self, bytes: usize) {
        if let Some(chunk) = self.chunks.front_mut() {
            chunk.start += bytes;
            if chunk.bytes().is_empty()
                && let Some(chunk) = self.chunks.pop_front()
            {
                self.buffers.give_back(chunk.buffer);
            }
        }
    }

    fn take_chunk(&mut self, room: usize) -> Result<Option<Chunk>, Fault> {
        self.fill()?;
        match self.chunks.front() {
            Some(chunk) if chunk.start >= room => Ok(self.chunks.pop_front()),
            _ => Ok(None),
        }
    }
}

impl Feed for RemoteFeed {
    fn next_object(&mut self) -> Option<Result<PlannedObject, SourceError>> {
        // An object that was lost before it could be sought in must not hold back the ones after it.
        self.held &= !self.open;
        self.drop_current();
        self.top_up();
        match self.planned.front() {
            Some(planned) => {
                self.open = true;
                Some(Ok(PlannedObject::clone(&planned.object)))
            }
            None => self.failed.take().map(Err),
        }
    }

    fn seek(&mut self, position: u64) -> Result<(), SourceError> {
        self.held = false;
        if let Some(current) = self.planned.front_mut() {
            current.next = position.min(current.object.size);
        }
        Ok(())
    }
}
