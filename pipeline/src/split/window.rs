//! The bytes a splitter holds: read into place by the caller, handed out as blocks without a copy but for
//! the record that straddles the end. Positions are offsets in the object, so nothing shifts.

use std::ops::Range;

use memchr::{memchr, memrchr};

use crate::limits::{KEEP_FACTOR, POOLED_BUFFERS};

#[derive(Debug)]
pub(super) struct Window {
    /// The whole of it is initialised; bytes from `filled` on are stale.
    buffer: Vec<u8>,
    filled: usize,
    /// First byte that was not handed out or dropped.
    start: usize,
    /// Offset in the object of `buffer[0]`.
    base: u64,
    finished: bool,
    /// Whether carriage returns end lines: those without a line feed become one.
    carriage: bool,
    block_bytes: usize,
    pool: Vec<Vec<u8>>,
}

impl Window {
    pub(super) fn new(block_bytes: usize, at: u64) -> Self {
        let block_bytes = block_bytes.max(1);
        Self {
            buffer: vec![0; block_bytes],
            filled: 0,
            start: 0,
            base: at,
            finished: false,
            carriage: false,
            block_bytes,
            pool: Vec::new(),
        }
    }

    /// Where the next bytes go; never empty.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.filled == self.buffer.len() {
            if self.start > 0 {
                self.buffer.copy_within(self.start.., 0);
                self.filled -= self.start;
                self.base += self.start as u64;
                self.start = 0;
            } else {
                let grown = (self.buffer.len() * 2).max(64);
                self.buffer.resize(grown, 0);
            }
        }
        &mut self.buffer[self.filled..]
    }

    pub(super) fn advance(&mut self, bytes: usize) {
        assert!(bytes <= self.buffer.len() - self.filled, "more bytes than there was space for");
        let from = self.filled;
        self.filled += bytes;
        if self.carriage {
            self.end_lines(from.saturating_sub(1).max(self.start));
        }
    }

    pub(super) fn finish(&mut self) {
        self.finished = true;
        if self.carriage {
            self.end_lines(self.filled.saturating_sub(1).max(self.start));
        }
    }

    /// From here on carriage returns end lines.
    pub(super) fn end_lines_by_carriage_returns(&mut self) {
        self.carriage = true;
        self.end_lines(self.start);
    }

    /// Makes line feeds of the carriage returns from index `from` on that have none.
    fn end_lines(&mut self, from: usize) {
        let mut at = from;
        while let Some(found) = memchr(b'\r', &self.buffer[at..self.filled]) {
            at += found + 1;
            // Of the last byte it is not known yet what follows.
            let lone = if at < self.filled { self.buffer[at] != b'\n' } else { self.finished };
            if lone {
                self.buffer[at - 1] = b'\n';
            }
        }
    }

    /// Whether the object ends at [`Window::end`].
    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether a block should go out now: so little space is left that reads would be small.
    pub(super) fn is_full(&self) -> bool {
        self.buffer.len() - self.filled <= self.block_bytes / 16
    }

    /// Offset of the first byte that was not handed out or dropped.
    pub(super) fn start(&self) -> u64 {
        self.base + self.start as u64
    }

    /// Offset after the last byte.
    pub(super) fn end(&self) -> u64 {
        self.base + self.filled as u64
    }

    fn index(&self, at: u64) -> usize {
        (at - self.base) as usize
    }

    pub(super) fn bytes(&self, range: Range<u64>) -> &[u8] {
        &self.buffer[self.index(range.start)..self.index(range.end)]
    }

    /// The first `byte` in `range`.
    pub(super) fn find(&self, byte: u8, range: Range<u64>) -> Option<u64> {
        let from = range.start;
        memchr(byte, self.bytes(range)).map(|index| from + index as u64)
    }

    /// The `nth` (from 1) `byte` in `range`.
    pub(super) fn find_nth(&self, byte: u8, nth: u64, range: Range<u64>) -> Option<u64> {
        let from = range.start;
        let index = memchr::memchr_iter(byte, self.bytes(range)).nth(nth as usize - 1);
        index.map(|index| from + index as u64)
    }

    /// The last `byte` in `range`.
    pub(super) fn rfind(&self, byte: u8, range: Range<u64>) -> Option<u64> {
        let from = range.start;
        memrchr(byte, self.bytes(range)).map(|index| from + index as u64)
    }

    pub(super) fn newlines(&self, range: Range<u64>) -> u64 {
        let bytes = self.bytes(range);
        match bytes.len() {
            // To begin a count with vectors takes longer than this.
            ..8 => bytes.iter().filter(|byte| **byte == b'\n').count() as u64,
            _ => bytecount::count(bytes, b'\n') as u64,
        }
    }

    /// Forgets the bytes before `at`.
    pub(super) fn discard(&mut self, at: u64) {
        self.start = self.index(at);
        if self.start == self.filled {
            self.base += self.start as u64;
            self.start = 0;
            self.filled = 0;
        }
    }

    /// Hands out the bytes before `at`; the rest moves to another buffer.
    pub(super) fn take(&mut self, at: u64) -> (Vec<u8>, Range<usize>) {
        let stop = self.index(at);
        let rest = self.filled - stop;
        let mut next = self.pool.pop().unwrap_or_default();
        // Recycled buffers keep their length. A new one comes from the system, full of zeros.
        if next.len() < rest || next.len() < self.block_bytes {
            next = vec![0; self.block_bytes.max(rest)];
        }
        next[..rest].copy_from_slice(&self.buffer[stop..self.filled]);
        let range = self.start..stop;
        self.base = at;
        self.start = 0;
        self.filled = rest;
        (std::mem::replace(&mut self.buffer, next), range)
    }

    pub(super) fn give_back(&mut self, buffer: Vec<u8>) {
        if self.pool.len() < POOLED_BUFFERS && buffer.len() <= self.block_bytes * KEEP_FACTOR {
            self.pool.push(buffer);
        }
    }
}
