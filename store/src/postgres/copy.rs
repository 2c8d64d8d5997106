//! Rows in the binary form of COPY, written straight into a buffer. The client crate's own writer takes rows as lists of
//! values behind pointers, which costs more than all else that a row costs here.

use std::mem;

use crate::pool::Pool;

/// Before the first row: a signature, no flags, no extension.
pub(super) const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// After the last row.
pub(super) const END: [u8; 2] = (-1_i16).to_be_bytes();

/// Bytes of a buffer. Rows are put into buffers that were used before: a new one costs a page fault each 4 KiB, which is as
/// much as to fill it.
const BUFFER: usize = 256 << 10;
/// Bytes that a buffer keeps free for the end of its last row.
const MARGIN: usize = 16 << 10;
/// Buffers that wait to be used again: more than half of what the rows of a piece take.
const SPARE: usize = 128;

static SPARES: Pool<Vec<u8>> = Pool::new(SPARE * BUFFER);

/// Rows of one table.
#[derive(Debug, Default)]
pub(super) struct Rows {
    full: Vec<Vec<u8>>,
    bytes: Vec<u8>,
}

impl Rows {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Finds room for the next row.
    #[inline]
    fn begin(&mut self) {
        if self.bytes.len() + MARGIN > self.bytes.capacity() {
            self.next_buffer();
        }
    }

    #[cold]
    fn next_buffer(&mut self) {
        if self.bytes.is_empty() {
            // Most tables of small pieces and single updates need no more.
            self.bytes = Vec::with_capacity(2 * MARGIN);
            self.bytes.extend_from_slice(HEAD);
            return;
        }
        let mut next = SPARES.take();
        next.reserve(BUFFER);
        self.full.push(mem::replace(&mut self.bytes, next));
    }

    /// Begins a row of so many columns.
    #[inline]
    pub(super) fn row(&mut self, columns: i16) {
        self.begin();
        self.bytes.extend_from_slice(&columns.to_be_bytes());
    }

    /// Begins a row of so many columns with a hash and four numbers, all at once: there are two of them to a record.
    #[inline]
    pub(super) fn head(&mut self, columns: i16, hash: i64, numbers: [i32; 4]) {
        self.begin();
        let mut head = [0; 2 + 12 + 4 * 8];
        head[..2].copy_from_slice(&columns.to_be_bytes());
        head[2..6].copy_from_slice(&8_i32.to_be_bytes());
        head[6..14].copy_from_slice(&hash.to_be_bytes());
        for (place, number) in head[14..].as_chunks_mut::<8>().0.iter_mut().zip(numbers) {
            place[..4].copy_from_slice(&4_i32.to_be_bytes());
            place[4..].copy_from_slice(&number.to_be_bytes());
        }
        self.bytes.extend_from_slice(&head);
    }

    #[inline]
    pub(super) fn int8(&mut self, value: i64) {
        self.bytes.extend_from_slice(&8_i32.to_be_bytes());
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    #[inline]
    pub(super) fn int4(&mut self, value: i32) {
        self.bytes.extend_from_slice(&4_i32.to_be_bytes());
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    #[inline]
    pub(super) fn bytes(&mut self, value: &[u8]) {
        let length = i32::try_from(value.len()).expect("a batch of drafts has less than 2 GiB");
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(value);
    }

    #[inline]
    pub(super) fn null(&mut self) {
        self.bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    }

    /// All of it, as COPY takes it, buffer by buffer. Nothing if there is no row.
    pub(super) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let end = if self.is_empty() { &[][..] } else { &END };
        let full = self.full.iter().chain([&self.bytes]).map(Vec::as_slice);
        full.chain([end]).filter(|part| !part.is_empty())
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        let bytes = mem::take(&mut self.bytes);
        let used = mem::take(&mut self.full).into_iter().chain([bytes]);
        used.filter(|buffer| buffer.capacity() >= BUFFER).for_each(|buffer| SPARES.give(buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_form_of_copy() {
        let mut rows = Rows::default();
        assert!(rows.is_empty());
        rows.row(4);
        rows.int8(-2);
        rows.int4(3);
        rows.bytes(b"ab");
        rows.null();
        rows.head(6, -3, [1, 2, 3, 4]);
        rows.bytes(b"");
        assert!(!rows.is_empty());
        let mut expected = b"PGCOPY\n\xff\r\n\0".to_vec();
        expected.extend([0; 8]);
        expected.extend([0, 4]);
        expected.extend([0, 0, 0, 8, 255, 255, 255, 255, 255, 255, 255, 254]);
        expected.extend([0, 0, 0, 4, 0, 0, 0, 3]);
        expected.extend([0, 0, 0, 2, b'a', b'b']);
        expected.extend([255, 255, 255, 255]);
        expected.extend([0, 6, 0, 0, 0, 8, 255, 255, 255, 255, 255, 255, 255, 253]);
        for number in 1..=4 {
            expected.extend([0, 0, 0, 4, 0, 0, 0, number]);
        }
        expected.extend([0, 0, 0, 0]);
        expected.extend([255, 255]);
        assert_eq!(rows.parts().collect::<Vec<_>>().concat(), expected);
    }

    #[test]
    fn rows_that_take_many_buffers_are_the_same_as_in_one() {
        assert_eq!(Rows::default().parts().count(), 0);
        // Twice: the second time buffers are used again.
        for _ in 0..2 {
            let mut rows = Rows::default();
            let mut expected = HEAD.to_vec();
            for row in 0..3000_u32 {
                let text = vec![row as u8; (row % 700) as usize * 30];
                rows.row(1);
                rows.bytes(&text);
                expected.extend([0, 1]);
                expected.extend((text.len() as u32).to_be_bytes());
                expected.extend(text);
            }
            expected.extend([255, 255]);
            let parts: Vec<_> = rows.parts().collect();
            assert!(parts.len() > 9 && parts.iter().all(|part| part.len() < 2 * BUFFER), "{}", parts.len());
            assert!(parts.concat() == expected);
        }
    }
}
