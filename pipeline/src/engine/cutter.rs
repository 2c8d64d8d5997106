//! Decides where pieces are cut: positions and lines in, cuts out. It reads nothing and knows no bytes.
//!
//! A piece ends at the first record border after a multiple of the piece's size in the stream of all objects, so that
//! the same source is cut at the same places, wherever a run begins. Lines and objects cut earlier.

use pinport_model::{Origin, Position};

use crate::{
    limits::{PIECE_LINES, PIECE_OBJECTS},
    split::Cut,
};

/// The cuts of one job, for the piece that is being read.
#[derive(Debug)]
pub(super) struct PieceCutter {
    piece_bytes: u64,
    /// The stream offset at which the piece is cut.
    cut_stream: u64,
    /// Lines it may still take.
    lines_left: u64,
    /// Objects that ended in it.
    objects: usize,
    /// It has its share. It ends where the next record begins, and so still takes the end of an object.
    full: bool,
}

impl PieceCutter {
    /// Begins at the offset `stream` of the stream of all objects.
    pub(super) fn new(piece_bytes: u64, stream: u64) -> Self {
        let mut cutter = Self { piece_bytes, cut_stream: 0, lines_left: 0, objects: 0, full: false };
        cutter.begin(stream);
        cutter
    }

    /// Begins the next piece at an offset of the stream.
    pub(super) fn begin(&mut self, stream: u64) {
        (self.cut_stream, self.lines_left) = (self.next_cut(stream), PIECE_LINES);
        (self.objects, self.full) = (0, false);
    }

    /// Whether the next block belongs to the next piece.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Where the block that begins at `position` is cut at the latest.
    pub(super) fn cut(&self, position: &Position) -> Cut {
        // A full piece ends before the block, which then begins a piece of its own.
        let (stream, lines) = match self.full {
            true => (self.next_cut(position.stream), PIECE_LINES),
            false => (self.cut_stream, self.lines_left),
        };
        // The splitter begins an object at line 1.
        Cut {
            byte: position.byte + (stream - position.stream),
            line: position.line.max(1) + lines,
            records: lines,
        }
    }

    /// Takes a block of so many lines into the piece, and moves `position` to its end.
    pub(super) fn take(&mut self, position: &mut Position, end: Origin, lines: u64) {
        position.stream += end.byte - position.byte;
        (position.byte, position.line) = (end.byte, end.line);
        self.lines_left = self.lines_left.saturating_sub(lines);
        self.full = position.stream >= self.cut_stream || self.lines_left == 0;
    }

    /// Notes that an object ended, or was lost, and moves `position` to the next one.
    pub(super) fn end_object(&mut self, position: &mut Position) {
        self.objects += 1;
        self.full |= self.objects >= PIECE_OBJECTS;
        *position = Position { object: position.object + 1, byte: 0, line: 0, ..*position };
    }

    /// The first multiple of the size of a piece after `stream`.
    fn next_cut(&self, stream: u64) -> u64 {
        (stream / self.piece_bytes + 1) * self.piece_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a block that ends this many bytes and lines further.
    fn take(cutter: &mut PieceCutter, position: &mut Position, bytes: u64, lines: u64) {
        let line = position.line.max(1) + lines;
        let end = Origin { object: position.object, byte: position.byte + bytes, line };
        cutter.take(position, end, lines);
    }

    #[test]
    fn cuts_lie_at_multiples_of_the_stream() {
        let mut position = Position { stream: 250, byte: 50, line: 7, ..Position::default() };
        let mut cutter = PieceCutter::new(100, position.stream);
        let cut = cutter.cut(&position);
        assert_eq!((cut.byte, cut.line, cut.records), (100, 7 + PIECE_LINES, PIECE_LINES));
        take(&mut cutter, &mut position, 49, 2);
        assert!(!cutter.is_full());
        // The record that crosses the border still belongs to the piece.
        take(&mut cutter, &mut position, 30, 1);
        assert!(cutter.is_full());
        assert_eq!((position.stream, position.byte, position.line), (329, 129, 10));
        // The block after it is cut as the first one of the next piece.
        let ahead = cutter.cut(&position);
        cutter.begin(position.stream);
        assert_eq!(cutter.cut(&position).byte, ahead.byte);
        assert_eq!(ahead.byte, 129 + 71);
    }

    #[test]
    fn lines_and_objects_cut_too() {
        let mut position = Position::default();
        let mut cutter = PieceCutter::new(1 << 40, 0);
        take(&mut cutter, &mut position, 10, PIECE_LINES - 1);
        assert_eq!((cutter.is_full(), cutter.cut(&position).records), (false, 1));
        take(&mut cutter, &mut position, 10, 1);
        assert!(cutter.is_full());
        cutter.begin(position.stream);
        for _ in 1..PIECE_OBJECTS {
            cutter.end_object(&mut position);
        }
        assert!(!cutter.is_full());
        cutter.end_object(&mut position);
        assert!(cutter.is_full());
        assert_eq!((position.object, position.byte, position.stream), (PIECE_OBJECTS as u64, 0, 20));
    }
}
