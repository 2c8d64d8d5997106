//! Buffers that records lie in, from where their bytes arrive to where they are parsed. They are used again: a new one
//! costs a page fault for every page of it.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;

use crate::limits::{CHUNK_ROOM, KEEP_FACTOR, LEAST_CHUNK, POOLED_BUFFERS};

/// Buffers for blocks of one size that are free. Clones share them.
#[derive(Debug, Clone)]
pub struct Buffers {
    block: usize,
    /// Free bytes before a chunk.
    room: usize,
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Buffers {
    /// Buffers for blocks of so many bytes.
    pub fn new(block_bytes: usize) -> Self {
        let block = block_bytes.max(1);
        Self { block, room: block / CHUNK_ROOM, free: Arc::default() }
    }

    /// Bytes of each.
    pub(crate) fn size(&self) -> usize {
        self.block + self.room
    }

    /// A buffer of at least `least` bytes.
    pub(crate) fn take(&self, least: usize) -> Vec<u8> {
        let size = self.size().max(least);
        match self.free.lock().pop().filter(|free| free.capacity() >= size) {
            Some(mut free) => {
                if free.len() < size {
                    free.resize(size, 0);
                }
                free
            }
            // It comes from the system, full of zeros.
            None => vec![0; size],
        }
    }

    /// Takes a buffer back.
    pub(crate) fn give_back(&self, buffer: Vec<u8>) {
        if (self.size()..=self.size() * KEEP_FACTOR).contains(&buffer.capacity()) {
            let mut free = self.free.lock();
            if free.len() < POOLED_BUFFERS {
                free.push(buffer);
            }
        }
    }

    /// Bytes of memory that so many of an answer take, but for the room before each chunk.
    pub(crate) fn memory(&self, bytes: u64) -> u64 {
        if self.are_few(bytes) { bytes } else { bytes.next_multiple_of(self.block as u64) }
    }

    /// Whether so many bytes would be too few to keep a whole buffer for them.
    fn are_few(&self, bytes: u64) -> bool {
        bytes < (self.block / LEAST_CHUNK) as u64
    }
}

/// Bytes of an object as they arrived, in a buffer of their own.
#[derive(Debug)]
pub struct Chunk {
    pub(crate) buffer: Vec<u8>,
    /// Where they begin; they end where the buffer does.
    pub(crate) start: usize,
}

impl Chunk {
    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Keeps so many bytes at most.
    pub(crate) fn truncate(&mut self, bytes: usize) {
        self.buffer.truncate(self.start.saturating_add(bytes));
    }
}

/// Puts the bytes of an answer together: they arrive in small parts. Before a large chunk there is room for the start of
/// a record that ends in it.
#[derive(Debug)]
pub(crate) struct Chunks {
    buffers: Buffers,
    done: VecDeque<Chunk>,
    /// Bytes of a chunk; all are of about the same size.
    part: u64,
    /// Bytes that are still to come.
    left: u64,
}

impl Chunks {
    /// For so many bytes.
    pub(crate) fn new(buffers: Buffers, bytes: u64) -> Self {
        let count = bytes.div_ceil(buffers.block as u64);
        Self { buffers, done: VecDeque::new(), part: bytes.div_ceil(count.max(1)), left: bytes }
    }

    /// Adds bytes, no more than are to come.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let part = self.part as usize;
            let mut chunk = match self.done.pop_back() {
                Some(chunk) if chunk.bytes().len() < part => chunk,
                full => {
                    self.done.extend(full);
                    self.begin()
                }
            };
            let count = bytes.len().min(part - chunk.bytes().len());
            chunk.buffer.extend_from_slice(&bytes[..count]);
            self.done.push_back(chunk);
            self.left -= count as u64;
            bytes = &bytes[count..];
        }
    }

    fn begin(&self) -> Chunk {
        let bytes = self.part.min(self.left);
        if self.buffers.are_few(bytes) {
            return Chunk { buffer: Vec::with_capacity(bytes as usize), start: 0 };
        }
        let mut buffer = self.buffers.take(0);
        buffer.truncate(self.buffers.room);
        Chunk { start: buffer.len(), buffer }
    }

    /// The chunks.
    pub(crate) fn done(self) -> VecDeque<Chunk> {
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_put_together_however_they_arrive() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        for (block, chunks) in [(1, 1000), (64, 16), (500, 2), (999, 2), (1000, 1), (100_000, 1)] {
            for part in [1, 7, 64, 1000] {
                let buffers = Buffers::new(block);
                let mut got = Chunks::new(buffers.clone(), 1000);
                bytes.chunks(part).for_each(|part| got.push(part));
                let got = got.done();
                assert_eq!(got.len(), chunks, "blocks of {block}");
                assert_eq!(got.iter().flat_map(Chunk::bytes).copied().collect::<Vec<_>>(), bytes);
                // Those that have a buffer have room before them, which alone is not counted, and are of one size.
                let room = if block == 100_000 { 0 } else { buffers.room };
                let memory: usize = got.iter().map(|chunk| chunk.buffer.capacity() - room).sum();
                assert_eq!(memory as u64, buffers.memory(1000), "blocks of {block}");
                assert!(got.iter().all(|chunk| chunk.start == room));
                assert!(got.iter().all(|chunk| chunk.bytes().len() + chunks > 1000 / chunks));
            }
        }
    }

    #[test]
    fn buffers_are_used_again_unless_they_are_few_bytes_or_many() {
        let buffers = Buffers::new(100);
        let used = buffers.take(0);
        let place = used.as_ptr();
        buffers.give_back(vec![0; 99]);
        buffers.give_back(vec![0; buffers.size() * KEEP_FACTOR + 1]);
        let mut short = used;
        short.truncate(10);
        buffers.clone().give_back(short);
        let again = buffers.take(70);
        assert_eq!((again.as_ptr(), again.len()), (place, buffers.size()));
        assert_eq!(buffers.take(200).len(), 200);
        (0..2 * POOLED_BUFFERS).for_each(|_| buffers.give_back(vec![0; 110]));
        assert_eq!(buffers.free.lock().len(), POOLED_BUFFERS);
    }
}
