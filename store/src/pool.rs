//! Memory that is used again: that of dropped batches, and of rows for a database. A fresh allocation of this size costs a
//! page fault for every 4 KiB written to it, which is a tenth of an import's time. Each pool is bounded.

use parking_lot::Mutex;

use crate::entry::Entry;

/// Bytes of batches that wait at most: about what those of two pieces take.
const MOST_BYTES: usize = 64 << 20;

/// Smaller ones are not worth keeping, larger ones are those of unusual blocks.
const WORTHWHILE: std::ops::RangeInclusive<usize> = 64 << 10..=4 << 20;

/// What a batch allocates.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) arena: Vec<u8>,
    pub(crate) entries: Vec<Entry>,
}

impl Reused for Memory {
    fn bytes(&self) -> usize {
        self.arena.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
    }
}

static POOL: Pool<Memory> = Pool::new(MOST_BYTES);

/// Memory for a batch that will need room; empty, and perhaps without any.
pub(crate) fn take() -> Memory {
    POOL.take()
}

/// Gives the memory of a batch back.
pub(crate) fn give(memory: Memory) {
    if WORTHWHILE.contains(&memory.bytes()) {
        POOL.give(memory);
    }
}

/// What a pool keeps.
pub(crate) trait Reused: Default {
    /// Bytes that it takes.
    fn bytes(&self) -> usize;
    /// Empties it, and keeps its bytes.
    fn clear(&mut self);
}

impl Reused for Vec<u8> {
    fn bytes(&self) -> usize {
        self.capacity()
    }

    fn clear(&mut self) {
        self.clear();
    }
}

/// What waits to be used again.
pub(crate) struct Pool<T>(Mutex<Waiting<T>>);

impl<T: Reused> Pool<T> {
    /// Keeps so many bytes at most.
    pub(crate) const fn new(most_bytes: usize) -> Self {
        Self(Mutex::new(Waiting::new(most_bytes)))
    }

    /// One that is empty; without any room, if none waits.
    pub(crate) fn take(&self) -> T {
        self.0.lock().take()
    }

    /// Keeps one, if there is room for it.
    pub(crate) fn give(&self, reused: T) {
        let refused = self.0.lock().give(reused);
        // Freed when the lock is open again.
        drop(refused);
    }
}

struct Waiting<T> {
    most_bytes: usize,
    waiting: Vec<T>,
    bytes: usize,
}

impl<T: Reused> Waiting<T> {
    const fn new(most_bytes: usize) -> Self {
        Self { most_bytes, waiting: Vec::new(), bytes: 0 }
    }

    fn take(&mut self) -> T {
        // The last one is most likely still in a cache.
        let reused = self.waiting.pop().unwrap_or_default();
        self.bytes -= reused.bytes();
        reused
    }

    fn give(&mut self, mut reused: T) -> Option<T> {
        let bytes = reused.bytes();
        if self.bytes + bytes > self.most_bytes {
            return Some(reused);
        }
        reused.clear();
        self.bytes += bytes;
        self.waiting.push(reused);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(bytes: usize) -> Memory {
        Memory { arena: vec![1; bytes], entries: Vec::new() }
    }

    #[test]
    fn memory_comes_back_empty_and_is_bounded() {
        let mut pool = Waiting::<Memory>::new(MOST_BYTES);
        assert_eq!(pool.take().bytes(), 0);
        assert!(pool.give(memory(MOST_BYTES / 2)).is_none());
        assert!(pool.give(memory(MOST_BYTES / 2)).is_none());
        assert!(pool.give(memory(1)).is_some());
        let again = pool.take();
        assert_eq!((again.arena.len(), again.bytes()), (0, MOST_BYTES / 2));
        assert!(pool.give(memory(1)).is_none());
        assert_eq!(pool.bytes, MOST_BYTES / 2 + 1);
    }
}
