//! One step of each decompression: bytes in, bytes out, no I/O. Members, padding and limits are the driver's.

use bzip2::Decompress as Bzip2;
use flate2::{Decompress as Gzip, FlushDecompress, Status as GzipStatus};
use liblzma::stream::{Action, CONCATENATED, Status as XzStatus, Stream as Xz};
use zstd::{
    stream::raw::{Decoder as Zstd, InBuffer, Operation, OutBuffer},
    zstd_safe::get_frame_content_size,
};

use super::Compression;

/// Memory that a .xz file may ask for: `xz -9` needs 65 MiB. (zstd's own limit is a window of 128 MiB.)
const XZ_MEMORY: u64 = 192 << 20;

/// Bytes of a zstd frame that it is given first. zstd forgets what a step made if the step ends in an error, so a
/// step gets one part of a frame at a time: what comes out before an error is then the same for all chunks.
const ZSTD_BEGIN: usize = 5;

/// Bytes of the header of a zstd block.
const ZSTD_HEADER: usize = 3;

/// Bytes that bzip2 and xz decode at a time.
const WINDOW: usize = 4096;

/// The decompressor of one member (of the whole object, for xz).
pub(super) enum Codec {
    Gzip(Gzip),
    Zstd(Zstd<'static>, ZstdFrame),
    Bzip2(Bzip2, Window),
    Xz(Xz, Window),
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

/// What was made and nobody took yet. Inside a damaged block bzip2 forgets what it made in the same step, and xz
/// makes more or less of it by the room it has; so their steps end at the same bytes whatever room the taker has, and
/// what comes out before an error is always the same.
pub(super) struct Window {
    bytes: Box<[u8; WINDOW]>,
    filled: usize,
    taken: usize,
    /// What is true behind the bytes: whether the member ended, or what is wrong.
    then: Result<bool, String>,
}

impl Window {
    fn new() -> Self {
        Self { bytes: Box::new([0; WINDOW]), filled: 0, taken: 0, then: Ok(false) }
    }

    /// One step into `output`. `make` decodes into the room it is given, if nothing waits to be taken: how many bytes
    /// it used and made, and what is true behind them.
    fn step(
        &mut self,
        output: &mut [u8],
        make: impl FnOnce(&mut [u8]) -> (u64, u64, Result<bool, String>),
    ) -> Step {
        let mut read = 0;
        if self.taken == self.filled {
            if self.filled == WINDOW {
                (self.filled, self.taken) = (0, 0);
            }
            let (used, made, then) = make(&mut self.bytes[self.filled..]);
            read = used;
            self.filled += made as usize;
            self.then = then;
        }
        let written = output.len().min(self.filled - self.taken);
        output[..written].copy_from_slice(&self.bytes[self.taken..self.taken + written]);
        self.taken += written;
        let all = self.taken == self.filled;
        let then = if all { std::mem::replace(&mut self.then, Ok(false)) } else { Ok(false) };
        step((0, 0), (read, written as u64), then)
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
    /// What is wrong with the data behind the bytes that were made.
    pub(super) error: Option<String>,
}

impl Codec {
    /// The decompressor for a member that begins; `None` if the data is not compressed.
    pub(super) fn new(compression: Compression) -> Result<Option<Self>, String> {
        Ok(Some(match compression {
            Compression::None => return Ok(None),
            Compression::Gzip => Self::Gzip(Gzip::new_gzip(15)),
            Compression::Zstd => {
                Self::Zstd(Zstd::new().map_err(|error| error.to_string())?, ZstdFrame::begin())
            }
            Compression::Bzip2 => Self::Bzip2(Bzip2::new(false), Window::new()),
            Compression::Xz => {
                let xz = Xz::new_stream_decoder(XZ_MEMORY, CONCATENATED);
                Self::Xz(xz.map_err(|error| error.to_string())?, Window::new())
            }
        }))
    }

    /// One step. Empty input means that there is no more.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        match self {
            Self::Gzip(gzip) => {
                let before = (gzip.total_in(), gzip.total_out());
                let result = gzip.decompress(input, output, FlushDecompress::None);
                let result =
                    result.map(|status| status == GzipStatus::StreamEnd).map_err(|error| error.to_string());
                step(before, (gzip.total_in(), gzip.total_out()), result)
            }
            Self::Bzip2(bzip2, window) => window.step(output, |room| {
                let before = (bzip2.total_in(), bzip2.total_out());
                let result = bzip2.decompress(input, room);
                let result = result
                    .map(|status| status == bzip2::Status::StreamEnd)
                    .map_err(|error| error.to_string());
                (bzip2.total_in() - before.0, bzip2.total_out() - before.1, result)
            }),
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
                let result = match result {
                    Ok(0) => {
                        let ended = frame.check();
                        *frame = ZstdFrame::begin();
                        ended.map(|()| true)
                    }
                    Ok(hint) => {
                        // The rest of a block, and the header of the next.
                        frame.next = if hint > ZSTD_HEADER { hint - ZSTD_HEADER } else { hint };
                        Ok(false)
                    }
                    Err(error) => Err(error.to_string()),
                };
                step((0, 0), (used as u64, output.pos() as u64), result)
            }
            Self::Xz(xz, window) => window.step(output, |room| {
                let before = (xz.total_in(), xz.total_out());
                let action = if input.is_empty() { Action::Finish } else { Action::Run };
                let result = match xz.process(input, room, action) {
                    Ok(status) => Ok(status == XzStatus::StreamEnd),
                    Err(liblzma::stream::Error::MemLimit) => {
                        Err(format!("it needs more than {} MiB of memory", XZ_MEMORY >> 20))
                    }
                    Err(error) => Err(error.to_string()),
                };
                (xz.total_in() - before.0, xz.total_out() - before.1, result)
            }),
        }
    }
}

fn step(before: (u64, u64), after: (u64, u64), ended: Result<bool, String>) -> Step {
    let (ended, error) = match ended {
        Ok(ended) => (ended, None),
        Err(error) => (false, Some(error)),
    };
    Step { read: (after.0 - before.0) as usize, written: (after.1 - before.1) as usize, ended, error }
}
