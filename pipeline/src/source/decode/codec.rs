//! One step of each decompression: bytes in, bytes out, no I/O. Members, padding and limits are the driver's.

use bzip2::Decompress as Bzip2;
use flate2::{Decompress as Gzip, FlushDecompress, Status as GzipStatus};
use liblzma::stream::{Action, CONCATENATED, Status as XzStatus, Stream as Xz};
use zstd::stream::raw::{Decoder as Zstd, InBuffer, Operation, OutBuffer};

use super::Compression;

/// Memory that a .xz file may ask for: `xz -9` needs 65 MiB. (zstd's own limit is a window of 128 MiB.)
const XZ_MEMORY: u64 = 192 << 20;

/// Bytes of a zstd frame that it is given first. zstd forgets what a step made if the step ends in an error, so a
/// step gets one part of a frame at a time: what comes out before an error is then the same for all chunks.
const ZSTD_BEGIN: usize = 5;

/// Bytes of the header of a zstd block.
const ZSTD_HEADER: usize = 3;

/// The decompressor of one member (of the whole object, for xz).
pub(super) enum Codec {
    Gzip(Gzip),
    /// With the bytes it is given next, at most.
    Zstd(Zstd<'static>, usize),
    Bzip2(Bzip2),
    Xz(Xz),
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
            Compression::Zstd => Self::Zstd(Zstd::new().map_err(|error| error.to_string())?, ZSTD_BEGIN),
            Compression::Bzip2 => Self::Bzip2(Bzip2::new(false)),
            Compression::Xz => {
                Self::Xz(Xz::new_stream_decoder(XZ_MEMORY, CONCATENATED).map_err(|error| error.to_string())?)
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
            Self::Bzip2(bzip2) => {
                let before = (bzip2.total_in(), bzip2.total_out());
                let result = bzip2.decompress(input, output);
                let result = result
                    .map(|status| status == bzip2::Status::StreamEnd)
                    .map_err(|error| error.to_string());
                step(before, (bzip2.total_in(), bzip2.total_out()), result)
            }
            Self::Zstd(zstd, next) => {
                let mut input = InBuffer::around(&input[..input.len().min(*next)]);
                let mut output = OutBuffer::around(output);
                let result = zstd.run(&mut input, &mut output);
                *next = match result {
                    Ok(0) => ZSTD_BEGIN,
                    // The rest of a block, and the header of the next.
                    Ok(hint) if hint > ZSTD_HEADER => hint - ZSTD_HEADER,
                    Ok(hint) => hint,
                    Err(_) => *next,
                };
                let result = result.map(|hint| hint == 0).map_err(|error| error.to_string());
                step((0, 0), (input.pos() as u64, output.pos() as u64), result)
            }
            Self::Xz(xz) => {
                let before = (xz.total_in(), xz.total_out());
                let action = if input.is_empty() { Action::Finish } else { Action::Run };
                let result = match xz.process(input, output, action) {
                    Ok(status) => Ok(status == XzStatus::StreamEnd),
                    Err(liblzma::stream::Error::MemLimit) => {
                        Err(format!("it needs more than {} MiB of memory", XZ_MEMORY >> 20))
                    }
                    Err(error) => Err(error.to_string()),
                };
                step(before, (xz.total_in(), xz.total_out()), result)
            }
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
