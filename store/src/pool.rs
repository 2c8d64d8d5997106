//! The memory of dropped batches, kept for the next ones: a fresh allocation of this size costs a page fault
//! for every 4 KiB written to it, which is a tenth of an import's time. It keeps at most [`MOST_BYTES`].

use parking_lot::Mutex;

use crate::entry::Entry;

/// Bytes that wait in the pool at most: about what the batches of two pieces take.
const MOST_BYTES: usize = 64 << 20;

/// Smaller ones are not worth keeping, larger ones are those of unusual blocks.
const WORTHWHILE: std::ops::RangeInclusive<usize> = 64 << 10..=4 << 20;

/// What a batch allocates.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) arena: Vec<u8>,
    pub(crate) entries: Vec<Entry>,
}

impl Memory {
    pub(crate) fn bytes(&self) -> usize {
        self.arena.capacity() + self.entries.capacity() * size_of::<Entry>()
    }
}

static POOL: Mutex<Pool> = Mutex::new(Pool::new());

/// Memory for a batch that will need room; empty, and perhaps without any.
pub(crate) fn take() -> Memory {
    POOL.lock().take()
}

/// Gives the memory of a batch back.
pub(crate) fn give(memory: Memory) {
    if WORTHWHILE.contains(&memory.bytes()) {
        let refused = POOL.lock().give(memory);
        // Freed when the lock is open again.
        drop(refused);
    }
}

struct Pool {
    waiting: Vec<Memory>,
    bytes: usize,
}

impl Pool {
    const fn new() -> Self {
        Self { waiting: Vec::new(), bytes: 0 }
    }

    fn take(&mut self) -> Memory {
        // The last one is most likely still in a cache.
        let memory = self.waiting.pop().unwrap_or_default();
        self.bytes -= memory.bytes();
        memory
    }

    fn give(&mut self, mut memory: Memory) -> Option<Memory> {
        let bytes = memory.bytes();
        if self.bytes + bytes > MOST_BYTES {
            return Some(memory);
        }
        memory.arena.clear();
        memory.entries.clear();
        self.bytes += bytes;
        self.waiting.push(memory);
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
        let mut pool = Pool::new();
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
