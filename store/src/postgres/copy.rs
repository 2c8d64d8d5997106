//! Rows in the binary form of COPY, written straight into a buffer. The client crate's own writer takes rows as lists of
//! values behind pointers, which costs more than all else that a row costs here.

/// Before the first row: a signature, no flags, no extension.
const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// After the last row.
const END: [u8; 2] = (-1_i16).to_be_bytes();

/// Rows of one table.
#[derive(Debug, Default)]
pub(super) struct Rows {
    bytes: Vec<u8>,
    count: u64,
}

impl Rows {
    /// With room for about so many bytes.
    pub(super) fn with_room(bytes: usize) -> Self {
        let mut room = Vec::with_capacity(HEAD.len() + bytes + END.len());
        room.extend_from_slice(HEAD);
        Self { bytes: room, count: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Begins a row of so many columns.
    #[inline]
    pub(super) fn row(&mut self, columns: i16) {
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(HEAD);
        }
        self.count += 1;
        self.bytes.extend_from_slice(&columns.to_be_bytes());
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

    /// All of it, as COPY takes it.
    pub(super) fn end(mut self) -> Vec<u8> {
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(HEAD);
        }
        self.bytes.extend_from_slice(&END);
        self.bytes
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
        assert!(!rows.is_empty());
        let mut expected = b"PGCOPY\n\xff\r\n\0".to_vec();
        expected.extend([0; 8]);
        expected.extend([0, 4]);
        expected.extend([0, 0, 0, 8, 255, 255, 255, 255, 255, 255, 255, 254]);
        expected.extend([0, 0, 0, 4, 0, 0, 0, 3]);
        expected.extend([0, 0, 0, 2, b'a', b'b']);
        expected.extend([255, 255, 255, 255]);
        expected.extend([255, 255]);
        assert_eq!(rows.end(), expected);
    }
}
