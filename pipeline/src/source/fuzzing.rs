//! The part of [`crate::fuzzing`] that only this module can see.

use super::decode::{Caps, Compression, whole};

pub use super::remote::fuzzing::{object_url, read_listing};

/// What came out of a decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// What was detected by content.
    pub compression: Compression,
    /// All that was handed out.
    pub bytes: Vec<u8>,
    /// How it ended: what went wrong, in words.
    pub end: Result<(), String>,
    /// Bytes of the input that were used.
    pub used: u64,
}

/// Decodes `input` that arrives in chunks of `chunk` bytes, into buffers of `room` bytes, up to `most` bytes.
pub fn decode(input: &[u8], chunk: usize, room: usize, most: u64) -> Decoded {
    let caps = Caps { decoded: most, ..Caps::NONE };
    let (bytes, end, used) = whole::decode(input, chunk, room, caps);
    let end = end.map_err(|fault| format!("{fault:?}"));
    Decoded { compression: Compression::of(input), bytes, end, used }
}
