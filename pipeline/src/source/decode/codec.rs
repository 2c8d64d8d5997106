//! One step of each decompression: bytes in, bytes out, no I/O. Members, padding and limits are the driver's.
//!
//! The codecs are async-compression's, without its readers: those take padding for an error, and what they hand out
//! before an error depends on their buffers. zstd is driven directly, because its frames are fed part by part.

use std::io;

use async_compression::{
    codecs::{BzDecoder, DecodeV2, GzipDecoder, Xz2Decoder, lzma::params::LzmaDecoderParams},
    core::util::{PartialBuffer, WriteBuffer},
};
use liblzma::stream::Error as XzError;
use zstd::{
    stream::raw::{Decoder as Zstd, InBuffer, Operation, OutBuffer},
    zstd_safe::get_frame_content_size,
};

use super::Compression;
use crate::limits::{DECODE_WINDOW, XZ_MEMORY};

/// Bytes of a zstd frame that it is given first. zstd forgets what a step made if the step ends in an error, so a
/// step gets one part of a frame at a time: what comes out before an error is then the same for all chunks.
const ZSTD_BEGIN: usize = 5;

/// Bytes of the header of a zstd block.
const ZSTD_HEADER: usize = 3;

/// The decompressor of one member.
pub(super) enum Codec {
    Windowed(Windowed),
    Zstd(Zstd<'static>, ZstdFrame),
}

/// Where a zstd decompressor is in its frame.
pub(super) struct ZstdFrame {
    /// The bytes it is given next, at most.
    next: usize,
    /// The frame's first bytes, which may say how much it holds.
    head: Vec<u8>,
    made: u64,
    /// Whether the last step filled its room: more of the same part may wait.
    full: bool,
}

impl ZstdFrame {
    /// As many bytes as the longest header has.
    const HEAD: usize = 18;

    fn begin() -> Self {
        Self { next: ZSTD_BEGIN, head: Vec::with_capacity(Self::HEAD), made: 0, full: false }
    }

    /// An error if the frame held something else than its header says. Decoding block by block, zstd itself does
    /// not look if the last block is empty.
    fn check(&self) -> Result<(), String> {
        match get_frame_content_size(&self.head) {
            Ok(Some(said)) if said != self.made => {
                Err(format!("the zstd frame is of {said} bytes and holds {}", self.made))
            }
            Ok(_) => Ok(()),
            Err(_) => Err("the zstd frame's header cannot be read".into()),
        }
    }
}

/// A decompressor whose output is handed out in whole windows. A step that ends in an error does not say how much it
/// made before; so a window that was not full is dropped, and what comes out before an error is the same for all chunks of
/// the input and all sizes of the output.
pub(super) struct Windowed {
    codec: Inner,
    window: Box<[u8; DECODE_WINDOW]>,
    filled: usize,
    taken: usize,
    /// Whether the window is handed out: it is full, or the member ended, or there is no more input.
    ready: bool,
    /// Whether the member ends after the window.
    ended: bool,
}

enum Inner {
    Gzip(GzipDecoder),
    Bzip2(BzDecoder),
    Xz(Xz2Decoder),
}

impl Inner {
    /// Decodes as much as fits: the bytes used and made, and whether the member ends. Empty input means that there is no
    /// more: what waits inside comes out. That the end is missing is said once nothing comes out any more.
    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<(usize, usize, bool)> {
        let mut given = PartialBuffer::new(input);
        let mut output = WriteBuffer::new_initialized(output);
        let result = match self {
            Self::Gzip(gzip) if input.is_empty() => gzip.flush(&mut output).map(|_| false),
            Self::Gzip(gzip) => gzip.decode(&mut given, &mut output),
            Self::Bzip2(bzip2) => bzip2.decode(&mut given, &mut output),
            Self::Xz(xz) if input.is_empty() => xz.finish(&mut output),
            Self::Xz(xz) => xz.decode(&mut given, &mut output),
        };
        let ended = match result {
            // So liblzma says that it cannot go on without more input.
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => false,
            result => result?,
        };
        Ok((given.written_len(), output.written_len(), ended))
    }
}

impl Windowed {
    fn new(codec: Inner) -> Self {
        Self { codec, window: Box::new([0; DECODE_WINDOW]), filled: 0, taken: 0, ready: false, ended: false }
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        let mut read = 0;
        if !self.ready {
            // A full window needs no copy if it fits the output.
            let direct = self.filled == 0 && output.len() >= DECODE_WINDOW;
            let room = if direct { &mut output[..DECODE_WINDOW] } else { &mut self.window[self.filled..] };
            let (used, made, ended) = match self.codec.decode(input, room) {
                Ok(done) => done,
                Err(error) => return Step::failed(reason(&error)),
            };
            read = used;
            self.ended = ended;
            if direct && made == DECODE_WINDOW {
                return Step { read, written: DECODE_WINDOW, ended, error: None };
            }
            if direct {
                self.window[..made].copy_from_slice(&output[..made]);
            }
            self.filled += made;
            self.ready = self.filled == DECODE_WINDOW || ended || input.is_empty() && made == 0;
        }
        let mut written = 0;
        if self.ready {
            written = output.len().min(self.filled - self.taken);
            output[..written].copy_from_slice(&self.window[self.taken..self.taken + written]);
            self.taken += written;
        }
        let all = self.ready && self.taken == self.filled;
        if all {
            (self.filled, self.taken, self.ready) = (0, 0, false);
        }
        Step { read, written, ended: all && self.ended, error: None }
    }
}

/// What a codec's error says.
fn reason(error: &io::Error) -> String {
    match error.get_ref().and_then(|source| source.downcast_ref()) {
        Some(XzError::MemLimit) => format!("it needs more than {} MiB of memory", XZ_MEMORY >> 20),
        _ => error.to_string(),
    }
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// Input bytes used.
    pub(super) read: usize,
    /// Output bytes made.
    pub(super) written: usize,
    /// Whether the member ends here.
    pub(super) ended: bool,
    /// What is wrong with the data after the bytes that were made.
    pub(super) error: Option<String>,
}

impl Step {
    /// Nothing was made, because the data is damaged.
    fn failed(reason: String) -> Self {
        Self { read: 0, written: 0, ended: false, error: Some(reason) }
    }
}

impl Codec {
    /// The decompressor for a member that begins; `None` if the data is not compressed.
    pub(super) fn new(compression: Compression) -> Result<Option<Self>, String> {
        Ok(Some(match compression {
            Compression::None => return Ok(None),
            Compression::Gzip => Self::Windowed(Windowed::new(Inner::Gzip(GzipDecoder::new()))),
            Compression::Bzip2 => Self::Windowed(Windowed::new(Inner::Bzip2(BzDecoder::new()))),
            Compression::Zstd => {
                Self::Zstd(Zstd::new().map_err(|error| error.to_string())?, ZstdFrame::begin())
            }
            Compression::Xz => {
                let params = LzmaDecoderParams::Stream { mem_limit: XZ_MEMORY, flags: 0 };
                let xz = Xz2Decoder::try_from(params).map_err(|error| error.to_string())?;
                Self::Windowed(Windowed::new(Inner::Xz(xz)))
            }
        }))
    }

    /// One step. Empty input means that there is no more.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        match self {
            Self::Windowed(windowed) => windowed.step(input, output),
            Self::Zstd(zstd, frame) => {
                let mut output = OutBuffer::around(output);
                let mut given = &input[..0];
                let mut result = Ok(0);
                if frame.full {
                    // What is left of the last part, in a step of its own.
                    result = zstd.run(&mut InBuffer::around(given), &mut output);
                }
                let mut used = 0;
                if output.pos() == 0 && result.is_ok() {
                    given = &input[..input.len().min(frame.next)];
                    let mut input = InBuffer::around(given);
                    result = zstd.run(&mut input, &mut output);
                    used = input.pos();
                }
                frame.full = output.pos() == output.capacity();
                frame.made += output.pos() as u64;
                frame.head.extend(given[..used].iter().take(ZstdFrame::HEAD - frame.head.len()));
                let (ended, error) = match result {
                    Ok(0) => {
                        let wrong = frame.check().err();
                        *frame = ZstdFrame::begin();
                        (wrong.is_none(), wrong)
                    }
                    Ok(hint) => {
                        // The rest of a block, and the header of the next.
                        frame.next = if hint > ZSTD_HEADER { hint - ZSTD_HEADER } else { hint };
                        (false, None)
                    }
                    Err(error) => (false, Some(error.to_string())),
                };
                Step { read: used, written: output.pos(), ended, error }
            }
        }
    }
}
