//! From text in another encoding to UTF-8, as the bytes come.
//!
//! UTF-16 is detected from its mark, or from the zeros between the letters of a header. Other encodings cannot be detected
//! from its bytes, so the user says it. Bytes that mean nothing in the encoding become one that is no UTF-8: the record
//! that holds them fails, and no other.

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

use super::decode::{Fault, Input};
use crate::limits::TEXT_BUFFER;

/// A buffer with less space than this is filled from one of our own: the longest character must fit.
const LEAST: usize = 16;

/// Stands for bytes that mean nothing.
const NOTHING: u8 = 0xff;

/// Decodes text.
pub(super) struct Text {
    decoder: Decoder,
    bytes: Vec<u8>,
    from: usize,
    to: usize,
    ended: bool,
    /// Decoded bytes that a short buffer had no space for.
    left: Vec<u8>,
}

impl Text {
    /// For text that begins with `head`, if it is to be decoded. `said`: what the user said.
    pub(super) fn of(head: &[u8], said: Option<&'static Encoding>) -> Option<Self> {
        let decoder = match said {
            Some(encoding) if encoding == UTF_8 => return None,
            // A mark is more certain than what was said of all objects together.
            Some(encoding) => encoding.new_decoder(),
            None => utf_16(head)?.new_decoder_with_bom_removal(),
        };
        Some(Self { decoder, bytes: Vec::new(), from: 0, to: 0, ended: false, left: Vec::new() })
    }

    /// The encoding's name.
    pub(super) fn name(&self) -> &'static str {
        self.decoder.encoding().name()
    }

    /// Decodes into `buf`. 0 only at the end, or if `buf` is empty.
    pub(super) fn read(&mut self, input: &mut dyn Input, buf: &mut [u8]) -> Result<usize, Fault> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.left.is_empty() && buf.len() < LEAST {
            let mut own = [0; LEAST];
            let len = self.decode(input, &mut own)?;
            self.left.extend_from_slice(&own[..len]);
        }
        if !self.left.is_empty() {
            let len = buf.len().min(self.left.len());
            buf[..len].copy_from_slice(&self.left[..len]);
            self.left.drain(..len);
            return Ok(len);
        }
        self.decode(input, buf)
    }

    fn decode(&mut self, input: &mut dyn Input, buf: &mut [u8]) -> Result<usize, Fault> {
        let mut written = 0;
        while written == 0 && !(self.ended && self.from == self.to) {
            if self.from == self.to {
                self.bytes.resize(TEXT_BUFFER, 0);
                (self.from, self.to) = (0, input.read(&mut self.bytes)?);
                self.ended = self.to == 0;
            }
            // The last byte is for one that means nothing.
            let space = buf.len() - 1;
            let (result, read, made) = self.decoder.decode_to_utf8_without_replacement(
                &self.bytes[self.from..self.to],
                &mut buf[..space],
                self.ended,
            );
            self.from += read;
            written = made;
            if let DecoderResult::Malformed(..) = result {
                buf[written] = NOTHING;
                written += 1;
            } else if self.ended && result == DecoderResult::InputEmpty {
                break;
            }
        }
        Ok(written)
    }
}

/// The kind of UTF-16 that text begins with, if it is that.
fn utf_16(head: &[u8]) -> Option<&'static Encoding> {
    match head {
        // UTF-32 begins like UTF-16, with a character 0 after the mark.
        [0xff, 0xfe, 0, 0, ..] => return None,
        [0xff, 0xfe, ..] => return Some(UTF_16LE),
        [0xfe, 0xff, ..] => return Some(UTF_16BE),
        _ => {}
    }
    // A header is mostly letters of ASCII: every other byte is zero.
    let pairs = head.as_chunks::<2>().0;
    let zeros = |at: usize| pairs.iter().filter(|pair| pair[at] == 0 && pair[1 - at] != 0).count();
    let most = |zeros: usize| pairs.len() >= 4 && zeros * 10 >= pairs.len() * 7;
    if most(zeros(1)) {
        Some(UTF_16LE)
    } else if most(zeros(0)) {
        Some(UTF_16BE)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::decode::whole::Chunks;
    use super::*;

    fn decoded(bytes: &[u8], said: Option<&'static Encoding>, chunk: usize, space: usize) -> Option<Vec<u8>> {
        let mut text = Text::of(bytes, said)?;
        let (mut input, mut all, mut buf) = (Chunks { bytes, size: chunk }, Vec::new(), vec![0; space]);
        loop {
            match text.read(&mut input, &mut buf).unwrap() {
                0 => return Some(all),
                len => all.extend_from_slice(&buf[..len]),
            }
        }
    }

    fn utf_16le(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn text_is_decoded_however_it_comes() {
        let text = "Id,Address\r\nc1,zoë@example.com\r\nc2,京都😀\r\n";
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let marked = [&b"\xff\xfe"[..], &utf_16le(text)].concat();
        for bytes in [utf_16le(text), big.clone(), marked, [&b"\xfe\xff"[..], &big].concat()] {
            for chunk in [1, 2, 3, 7, 1000] {
                for space in [1, 2, 3, 5, 16, 17, 1000] {
                    let found = decoded(&bytes, None, chunk, space).unwrap();
                    assert_eq!(str::from_utf8(&found), Ok(text), "{chunk}, {space}");
                }
            }
        }
        let latin = encoding_rs::WINDOWS_1252;
        assert_eq!(decoded(b"Z\xfcrich \x80", Some(latin), 3, 2).unwrap(), "Zürich €".as_bytes());
        assert_eq!(decoded(b"\xef\xbb\xbfZ\xc3\xbc", Some(latin), 3, 2).unwrap(), "Zü".as_bytes());
    }

    #[test]
    fn utf_8_is_left_alone() {
        for text in ["", "Id,Address\n", "{\"Id\":\"a\"}", "\u{feff}Id\n", "a", "ab", "京都,東京\n"] {
            assert!(Text::of(text.as_bytes(), None).is_none(), "{text}");
            assert!(Text::of(text.as_bytes(), Some(UTF_8)).is_none());
        }
        assert!(Text::of(b"\xff\xfe\0\0I\0\0\0", None).is_none());
    }

    #[test]
    fn what_means_nothing_costs_its_own_record() {
        let mut bytes = utf_16le("Id\na\n");
        bytes.extend_from_slice(&0xd800_u16.to_le_bytes());
        bytes.extend_from_slice(&utf_16le("x\nb\n"));
        for chunk in 1..6 {
            assert_eq!(decoded(&bytes, Some(UTF_16LE), chunk, 100).unwrap(), b"Id\na\n\xffx\nb\n");
        }
        assert_eq!(decoded(&bytes[..9], Some(UTF_16LE), 9, 100).unwrap(), b"Id\na\xff");
    }
}
