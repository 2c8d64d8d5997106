//! From the bytes of an object to its decoded bytes: the compression is recognised by content, never by name.
//!
//! Sans-I/O but for [`Input`], which hands out the next bytes. A clean end is only reported after the last
//! member was checked to its end; anything else is a [`Fault`].

mod codec;
#[cfg(test)]
pub(super) mod tests;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod whole;

use codec::Codec;

use super::{SourceError, content::Foreign};
use crate::buffers::Chunk;

/// How an object is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, one or more members.
    Gzip,
    /// zstd, one or more frames.
    Zstd,
    /// bzip2, one or more streams.
    Bzip2,
    /// xz, one or more streams.
    Xz,
}

impl Compression {
    /// What an object whose first bytes these are is compressed with.
    pub fn of(lead: &[u8]) -> Self {
        let bzip2 = |lead: &[u8]| {
            lead.starts_with(b"BZh")
                && matches!(lead.get(3), Some(b'1'..=b'9'))
                && matches!(lead.get(4..10), Some(b"\x31\x41\x59\x26\x53\x59" | b"\x17\x72\x45\x38\x50\x90"))
        };
        if lead.starts_with(b"\x1f\x8b") {
            Self::Gzip
        } else if lead.starts_with(b"\x28\xb5\x2f\xfd") || matches!(lead, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
        {
            Self::Zstd
        } else if bzip2(lead) {
            Self::Bzip2
        } else if lead.starts_with(b"\xfd7zXZ\0") {
            Self::Xz
        } else {
            Self::None
        }
    }

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
        }
    }
}

/// The bytes of an object, of one in it or of one layer of it: where a decoder gets its bytes from.
pub(super) trait Input {
    /// The next bytes; none at the end, which is verified.
    fn fill(&mut self) -> Result<&[u8], Fault>;

    /// Moves on.
    fn consume(&mut self, bytes: usize);

    /// The next bytes into `buf`, without a copy between where that is possible; 0 at the end.
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Fault> {
        let bytes = self.fill()?;
        let count = bytes.len().min(buf.len());
        buf[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Ok(count)
    }

    /// The next bytes in a buffer of their own, if they lie in one that has so many bytes of room before them. Nothing
    /// does not mean the end.
    fn take_chunk(&mut self, _room: usize) -> Result<Option<Chunk>, Fault> {
        Ok(None)
    }
}

/// What is in memory.
impl Input for &[u8] {
    fn fill(&mut self) -> Result<&[u8], Fault> {
        Ok(self)
    }

    fn consume(&mut self, bytes: usize) {
        *self = &self[bytes..];
    }
}

/// How far an object may grow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caps {
    pub(super) decoded: u64,
    pub(super) ratio: u64,
    pub(super) grace: u64,
}

impl Caps {
    /// No caps: somebody else checks them.
    pub(super) const NONE: Self = Self { decoded: u64::MAX, ratio: u64::MAX, grace: u64::MAX };

    /// Refuses more decoded bytes than may come of so many that were read.
    pub(super) fn check(&self, decoded: u64, read: u64) -> Result<(), Fault> {
        if decoded > self.decoded {
            return Err(Fault::TooLarge(format!("the limit is {} decoded bytes an object", self.decoded)));
        }
        if decoded > self.grace && decoded / self.ratio.max(1) > read {
            return Err(Fault::TooLarge(format!("it grows more than {}-fold when decompressed", self.ratio)));
        }
        Ok(())
    }
}

/// Why decoding ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The source failed.
    Source(SourceError),
    /// The input ended too early.
    Truncated(String),
    /// The input is no such compressed data.
    Corrupt(String),
    /// The output grew beyond a cap.
    TooLarge(String),
    /// The output is no data.
    Foreign(Foreign),
    /// A member of an archive cannot be read.
    Member(String),
    /// No member of an archive is of the format.
    NoMember(String),
}

impl From<SourceError> for Fault {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

/// Decodes one object.
pub(super) struct Decoder {
    compression: Compression,
    codec: Option<Codec>,
    caps: Caps,
    /// Whether the next byte begins a member (or the padding after the last).
    between: bool,
    /// Bytes of padding since the last member.
    padding: usize,
    ended: bool,
    /// What is wrong after the bytes that were handed out last.
    wrong: Option<String>,
    read: u64,
    decoded: u64,
}

impl Decoder {
    pub(super) fn new(compression: Compression, caps: Caps) -> Self {
        Self {
            compression,
            codec: None,
            caps,
            between: true,
            padding: 0,
            ended: false,
            wrong: None,
            read: 0,
            decoded: 0,
        }
    }

    pub(super) fn compression(&self) -> Compression {
        self.compression
    }

    /// Bytes of the input that were used.
    pub(super) fn source_bytes(&self) -> u64 {
        self.read
    }

    /// Bytes that came of them.
    pub(super) fn decoded_bytes(&self) -> u64 {
        self.decoded
    }

    /// Counts from `start` instead of 0: the input was moved there.
    pub(super) fn start_at(&mut self, start: u64) {
        self.read = start;
        self.decoded = start;
    }

    /// Decodes into `buf`. 0 only at the verified end, or if `buf` is empty.
    pub(super) fn read(&mut self, input: &mut dyn Input, buf: &mut [u8]) -> Result<usize, Fault> {
        if buf.is_empty() || self.ended {
            return Ok(0);
        }
        let bytes = match self.compression {
            Compression::None => {
                let bytes = input.read(buf)?;
                self.read += bytes as u64;
                bytes
            }
            _ => self.decode(input, buf)?,
        };
        self.decoded += bytes as u64;
        self.ended = bytes == 0;
        self.caps.check(self.decoded, self.read)?;
        Ok(bytes)
    }

    /// As [`Input::take_chunk`], of what is not compressed.
    pub(super) fn take_chunk(&mut self, input: &mut dyn Input, room: usize) -> Result<Option<Chunk>, Fault> {
        let chunk = input.take_chunk(room)?;
        let bytes = chunk.as_ref().map_or(0, |chunk| chunk.bytes().len() as u64);
        self.read += bytes;
        self.decoded += bytes;
        self.caps.check(self.decoded, self.read)?;
        Ok(chunk)
    }

    fn decode(&mut self, input: &mut dyn Input, buf: &mut [u8]) -> Result<usize, Fault> {
        if let Some(wrong) = self.wrong.take() {
            return Err(Fault::Corrupt(wrong));
        }
        loop {
            let bytes = input.fill()?;
            if self.between {
                let Some(skipped) = self.begin_member(bytes)? else { return Ok(0) };
                if skipped > 0 {
                    input.consume(skipped);
                    self.read += skipped as u64;
                    continue;
                }
            }
            let codec = self.codec.as_mut().ok_or_else(|| Fault::Corrupt("no member has begun".into()))?;
            let step = codec.step(bytes, buf);
            let exhausted = bytes.is_empty();
            let stuck = step.read == 0 && step.written == 0 && !step.ended && step.error.is_none();
            input.consume(step.read);
            self.read += step.read as u64;
            self.between = step.ended;
            match step.error {
                // What was made before is good, and wherever the chunks of the input end it is handed out.
                Some(error) if step.written > 0 => self.wrong = Some(error),
                Some(error) => return Err(Fault::Corrupt(error)),
                None if stuck && exhausted => {
                    let reason = format!("the {} data ends too early", self.compression.as_str());
                    return Err(Fault::Truncated(reason));
                }
                None if stuck => {
                    let reason = format!("the {} decoder makes no progress", self.compression.as_str());
                    return Err(Fault::Corrupt(reason));
                }
                None => {}
            }
            if step.written > 0 {
                return Ok(step.written);
            }
        }
    }

    /// Begins the member at `bytes`: how many bytes of padding to skip before, or `None` at the end.
    fn begin_member(&mut self, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        let corrupt = |what: &str| Fault::Corrupt(format!("{what} the {} data", self.compression.as_str()));
        let first = bytes.first();
        let may_be_padded = matches!(self.compression, Compression::Gzip | Compression::Xz);
        if first == Some(&0) && may_be_padded && self.codec.is_some() {
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            self.padding += zeros;
            return Ok(Some(zeros));
        }
        // The padding of .xz files is whole words.
        if self.compression == Compression::Xz && !self.padding.is_multiple_of(4) {
            return Err(corrupt("padding of odd length follows"));
        }
        let Some(&first) = first else { return Ok(None) };
        let expected = match self.compression {
            Compression::Gzip => first == 0x1f,
            Compression::Bzip2 => first == b'B',
            Compression::Xz => first == 0xfd,
            Compression::Zstd => first == 0x28 || (0x50..=0x5f).contains(&first),
            Compression::None => true,
        };
        if !expected {
            return Err(corrupt("garbage follows"));
        }
        // A zstd decoder is ready for the next frame by itself.
        if self.compression != Compression::Zstd || self.codec.is_none() {
            self.codec = Codec::new(self.compression).map_err(Fault::Corrupt)?;
        }
        (self.between, self.padding) = (false, 0);
        Ok(Some(0))
    }
}
