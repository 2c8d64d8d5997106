//! Decodes an object that is in memory, however it arrives: for tests and fuzz targets.

use super::{Caps, Compression, Decoder, Fault, Input};

/// Hands out its bytes in chunks of one size.
pub(in crate::source) struct Chunks<'a> {
    pub(in crate::source) bytes: &'a [u8],
    pub(in crate::source) size: usize,
}

impl Input for Chunks<'_> {
    fn fill(&mut self) -> Result<&[u8], Fault> {
        Ok(&self.bytes[..self.size.min(self.bytes.len())])
    }

    fn consume(&mut self, bytes: usize) {
        self.bytes = &self.bytes[bytes..];
    }
}

/// Everything that `input` decodes to in chunks of `chunk` bytes and buffers of `room`, how it ends, and the
/// bytes that were used.
pub(in crate::source) fn decode(
    input: &[u8],
    chunk: usize,
    room: usize,
    caps: Caps,
) -> (Vec<u8>, Result<(), Fault>, u64) {
    let mut decoder = Decoder::new(Compression::of(input), caps);
    let mut input = Chunks { bytes: input, size: chunk };
    let (mut all, mut buf) = (Vec::new(), vec![0; room]);
    loop {
        match decoder.read(&mut input, &mut buf) {
            Ok(0) => {
                assert_eq!(decoder.read(&mut input, &mut buf), Ok(0), "the end is the end");
                assert_eq!(decoder.decoded_bytes(), all.len() as u64, "what was handed out is counted");
                return (all, Ok(()), decoder.source_bytes());
            }
            Ok(bytes) => all.extend_from_slice(&buf[..bytes]),
            Err(fault) => return (all, Err(fault), decoder.source_bytes()),
        }
    }
}
