//! Rows that the database sends by COPY, in its binary form. They cost less than those of a cursor on both sides, and come
//! without being asked for.

use std::io::{self, BufRead};

use super::{
    copy::{END, HEAD},
    error,
};
use crate::Result;

/// The columns of a row, each null or bytes.
pub(super) type Columns<'a, const N: usize> = [Option<&'a [u8]>; N];

/// Rows on their way, with `N` columns each.
pub(super) struct Received<'a, R, const N: usize> {
    messages: R,
    server: &'a str,
    /// Bytes of the message at hand, which was handed on.
    used: usize,
    is_begun: bool,
    is_done: bool,
}

impl<'a, R: BufRead, const N: usize> Received<'a, R, N> {
    /// Reads the messages of a COPY. The protocol puts a row into one message, and the reader hands on one at a time.
    pub(super) fn new(messages: R, server: &'a str) -> Self {
        Self { messages, server, used: 0, is_begun: false, is_done: false }
    }

    /// The next row, if there is one.
    pub(super) fn next(&mut self) -> Result<Option<Columns<'_, N>>> {
        if self.is_done {
            return Ok(None);
        }
        let taken = take(&mut self.messages, &mut self.used, &mut self.is_begun);
        if !matches!(taken, Ok(Some(_))) {
            self.is_done = true;
        }
        taken.map_err(|error| match error.downcast::<postgres::Error>() {
            Ok(error) => error::of(self.server, &error),
            Err(error) => error::failed("read rows", self.server, &error),
        })
    }

    /// Receives the rest, for nobody.
    pub(super) fn drain(&mut self) {
        while let Ok(Some(_)) = self.next() {}
    }

    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }
}

fn take<'a, const N: usize>(
    messages: &'a mut impl BufRead,
    used: &mut usize,
    is_begun: &mut bool,
) -> io::Result<Option<Columns<'a, N>>> {
    messages.consume(std::mem::take(used));
    if !*is_begun {
        if !messages.fill_buf()?.starts_with(HEAD) {
            return Err(unreadable());
        }
        messages.consume(HEAD.len());
        *is_begun = true;
    }
    if messages.fill_buf()?.starts_with(&END) {
        messages.consume(END.len());
        // The end of the command follows, and with it what went wrong at the last moment.
        return if messages.fill_buf()?.is_empty() { Ok(None) } else { Err(unreadable()) };
    }
    let mut bytes = messages.fill_buf()?;
    *used = bytes.len();
    let count = bytes.split_off(..2).ok_or_else(unreadable)?;
    if usize::from(u16::from_be_bytes([count[0], count[1]])) != N {
        return Err(unreadable());
    }
    let mut columns = [None; N];
    for column in &mut columns {
        let (length, rest) = bytes.split_first_chunk().ok_or_else(unreadable)?;
        bytes = rest;
        if let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) {
            *column = Some(bytes.split_off(..length).ok_or_else(unreadable)?);
        }
    }
    Ok(Some(columns))
}

fn unreadable() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the database sent a row that is not in COPY's binary form")
}

/// A column of four bytes; 0 if it is null.
pub(super) fn int4(column: Option<&[u8]>) -> i32 {
    column.and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, io::Read};

    use super::*;

    /// Messages as the client crate hands them on.
    struct Messages(VecDeque<Vec<u8>>);

    impl Read for Messages {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            unreachable!("rows are read from the messages themselves")
        }
    }

    impl BufRead for Messages {
        fn fill_buf(&mut self) -> io::Result<&[u8]> {
            while self.0.front().is_some_and(Vec::is_empty) {
                self.0.pop_front();
            }
            Ok(self.0.front().map_or(&[], Vec::as_slice))
        }

        fn consume(&mut self, count: usize) {
            if count > 0 {
                self.0[0].drain(..count);
            }
        }
    }

    const ONE: &[u8] = b"\0\x02\0\0\0\x04\0\0\x01\x02\0\0\0\x02ab";
    const TWO: &[u8] = b"\0\x02\xff\xff\xff\xff\0\0\0\0";

    type Found = Vec<(i32, Option<Vec<u8>>)>;

    fn read(messages: &[&[u8]]) -> std::result::Result<Found, String> {
        let messages = Messages(messages.iter().map(|message| message.to_vec()).collect());
        let mut rows = Received::<_, 2>::new(messages, "db.example");
        let mut found = Found::new();
        while let Some([number, bytes]) = rows.next().map_err(|error| error.to_string())? {
            found.push((int4(number), bytes.map(<[u8]>::to_vec)));
        }
        assert!(rows.is_done());
        Ok(found)
    }

    #[test]
    fn rows_come_with_the_head_or_after_it() {
        let rows = vec![(0x102, Some(b"ab".to_vec())), (0, Some(Vec::new()))];
        assert_eq!(read(&[&[HEAD, ONE].concat(), TWO, &END]).as_ref(), Ok(&rows));
        assert_eq!(read(&[HEAD, ONE, TWO, &END]).as_ref(), Ok(&rows));
        assert_eq!(read(&[&[HEAD, &END].concat()]), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_row_is_an_error() {
        let cut = &ONE[..ONE.len() - 1];
        let three = [b"\0\x03".as_slice(), &ONE[2..]].concat();
        for messages in [
            &[ONE][..],
            &[&HEAD[1..], ONE, &END],
            &[HEAD, cut, &END],
            &[HEAD, &three, &END],
            &[HEAD, ONE, &END, TWO],
            // The connection ended in the middle.
            &[HEAD, ONE],
            &[],
        ] {
            let error = read(messages).unwrap_err();
            assert!(error.contains("db.example") && error.contains("COPY"), "{error}");
        }
    }
}
