//! One step of each decompression: bytes in, bytes out, no I/O. Members, padding and limits are the driver's.

use bzip2::Decompress as Bzip2;
use flate2::{Decompress as Gzip, FlushDecompress, Status as GzipStatus};
use liblzma::stream::{Action, CONCATENATED, Status as XzStatus, Stream as Xz};
use zstd::stream::raw::{Decoder as Zstd, InBuffer, Operation, OutBuffer};

use super::Compression;

/// Memory that a .xz file may ask for: `xz -9` needs 65 MiB. (zstd's own limit is a window of 128 MiB.)
const XZ_MEMORY: u64 = 192 << 20;

/// The decompressor of one member (of the whole object, for xz).
pub(super) enum Codec {
    Gzip(Gzip),
    Zstd(Zstd<'static>),
    Bzip2(Bzip2),
    Xz(Xz),
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Input bytes used.
    pub(super) read: usize,
    /// Output bytes made.
    pub(super) written: usize,
    /// Whether the member ends here.
    pub(super) ended: bool,
}

impl Codec {
    /// The decompressor for a member that begins; `None` if the data is not compressed.
    pub(super) fn new(compression: Compression) -> Result<Option<Self>, String> {
        Ok(Some(match compression {
            Compression::None => return Ok(None),
            Compression::Gzip => Self::Gzip(Gzip::new_gzip(15)),
            Compression::Zstd => Self::Zstd(Zstd::new().map_err(|error| error.to_string())?),
            Compression::Bzip2 => Self::Bzip2(Bzip2::new(false)),
            Compression::Xz => {
                Self::Xz(Xz::new_stream_decoder(XZ_MEMORY, CONCATENATED).map_err(|error| error.to_string())?)
            }
        }))
    }

    /// One step. Empty input means that there is no more.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, String> {
        match self {
            Self::Gzip(gzip) => {
                let before = (gzip.total_in(), gzip.total_out());
                let status =
                    gzip.decompress(input, output, FlushDecompress::None).map_err(|error| error.to_string())?;
                Ok(step(before, (gzip.total_in(), gzip.total_out()), status == GzipStatus::StreamEnd))
            }
            Self::Bzip2(bzip2) => {
                let before = (bzip2.total_in(), bzip2.total_out());
                let status = bzip2.decompress(input, output).map_err(|error| error.to_string())?;
                let ended = status == bzip2::Status::StreamEnd;
                Ok(step(before, (bzip2.total_in(), bzip2.total_out()), ended))
            }
            Self::Zstd(zstd) => {
                let mut input = InBuffer::around(input);
                let mut output = OutBuffer::around(output);
                let hint = zstd.run(&mut input, &mut output).map_err(|error| error.to_string())?;
                Ok(Step { read: input.pos(), written: output.pos(), ended: hint == 0 })
            }
            Self::Xz(xz) => {
                let before = (xz.total_in(), xz.total_out());
                let action = if input.is_empty() { Action::Finish } else { Action::Run };
                let status = match xz.process(input, output, action) {
                    Ok(status) => status,
                    Err(liblzma::stream::Error::MemLimit) => {
                        return Err(format!("it needs more than {} MiB of memory", XZ_MEMORY >> 20));
                    }
                    Err(error) => return Err(error.to_string()),
                };
                Ok(step(before, (xz.total_in(), xz.total_out()), status == XzStatus::StreamEnd))
            }
        }
    }
}

fn step(before: (u64, u64), after: (u64, u64), ended: bool) -> Step {
    Step { read: (after.0 - before.0) as usize, written: (after.1 - before.1) as usize, ended }
}
