//! The bytes a splitter holds: read into place by the caller, handed out as blocks without a copy but for
//! the record that straddles the end. Positions are offsets in the object, so nothing shifts.

use std::ops::Range;

use memchr::{memchr, memrchr};

use crate::buffers::{Buffers, Chunk};

#[derive(Debug)]
pub(super) struct Window {
    /// The whole of it is initialised; bytes from `filled` on are stale.
    buffer: Vec<u8>,
    filled: usize,
    /// First byte that was not handed out or dropped, and its offset in the object.
    start: usize,
    at: u64,
    finished: bool,
    /// Whether carriage returns end lines: those without a line feed become one.
    carriage: bool,
    /// No more bytes are put behind these, because the next may come in a buffer of their own.
    sealed: bool,
    buffers: Buffers,
}

impl Window {
    pub(super) fn new(buffers: Buffers, at: u64) -> Self {
        Self {
            buffer: Vec::new(),
            filled: 0,
            start: 0,
            at,
            finished: false,
            carriage: false,
            sealed: false,
            buffers,
        }
    }

    /// Uses these buffers from here on.
    pub(super) fn share(&mut self, buffers: Buffers) {
        self.buffers = buffers;
    }

    /// Where the next bytes go; never empty.
    pub(super) fn space(&mut self) -> &mut [u8] {
        self.sealed = false;
        if self.filled == self.buffer.len() {
            if self.filled == 0 {
                self.buffer = self.buffers.take(0);
            } else if self.start > 0 {
                self.buffer.copy_within(self.start.., 0);
                self.filled -= self.start;
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
        self.filled += bytes;
        self.arrived(bytes);
    }

    fn arrived(&mut self, bytes: usize) {
        if self.carriage {
            self.end_lines((self.filled - bytes).saturating_sub(1).max(self.start));
        }
    }

    /// Bytes it holds.
    pub(super) fn held(&self) -> usize {
        self.filled - self.start
    }

    /// Goes on in the buffer of a chunk, with what it holds before the chunk's bytes.
    pub(super) fn go_on_in(&mut self, chunk: Chunk) {
        let Chunk { mut buffer, start } = chunk;
        let rest = &self.buffer[self.start..self.filled];
        self.start = start - rest.len();
        buffer[self.start..start].copy_from_slice(rest);
        self.filled = buffer.len();
        self.sealed = true;
        self.buffers.give_back(std::mem::replace(&mut self.buffer, buffer));
        self.arrived(self.filled - start);
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
        let space = self.buffer.len() - self.filled;
        self.filled > self.start && (self.sealed || space <= self.buffers.size() / 16)
    }

    /// Offset of the first byte that was not handed out or dropped.
    pub(super) fn start(&self) -> u64 {
        self.at
    }

    /// Offset after the last byte.
    pub(super) fn end(&self) -> u64 {
        self.at + (self.filled - self.start) as u64
    }

    fn index(&self, at: u64) -> usize {
        self.start + (at - self.at) as usize
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
        self.at = at;
        if self.start == self.filled {
            self.start = 0;
            self.filled = 0;
        }
    }

    /// Hands out the bytes before `at`; the rest moves to another buffer.
    pub(super) fn take(&mut self, at: u64) -> (Vec<u8>, Range<usize>) {
        let stop = self.index(at);
        let rest = self.filled - stop;
        let mut next = if rest == 0 { Vec::new() } else { self.buffers.take(rest) };
        next[..rest].copy_from_slice(&self.buffer[stop..self.filled]);
        let range = self.start..stop;
        self.at = at;
        self.start = 0;
        self.filled = rest;
        (std::mem::replace(&mut self.buffer, next), range)
    }

    pub(super) fn give_back(&self, buffer: Vec<u8>) {
        self.buffers.give_back(buffer);
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.buffers.give_back(std::mem::take(&mut self.buffer));
    }
}
