//! Compressing the text of parts: gzip on all processors, since it takes longer than all that comes before it.
//!
//! The text of a part is divided into blocks of one size. Each is compressed by itself, with the end of the one before as its
//! dictionary, and all but the last end at a whole byte (zlib's `Z_SYNC_FLUSH`): one after the other they are one stream of
//! deflate, and the part is one member of gzip (RFC 1952), as `pigz` makes it. Neither threads nor the way in which the text
//! arrives change what comes out: the same endpoints give the same file.

use std::{
    io::{self, Write as _},
    mem,
    sync::mpsc::{Receiver, RecvError, SendError, SyncSender, sync_channel},
    thread,
};

use flate2::{Compress, Crc, FlushCompress};
use pinport_model::Compression;
use pinport_store::ranges::threads;

use super::ExportError;
use crate::limits::{EXPORT_HANDED, GZIP_AHEAD};

/// One below zlib's own default, which makes 1% less of endpoints for a fifth more time.
pub(super) const GZIP_LEVEL: u32 = 5;

/// What a file of gzip begins with: deflate, no time, no name, of no particular system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Bytes back to which deflate refers.
const WINDOW: usize = 32 << 10;

/// Takes what can be written.
type Out<'a> = dyn FnMut(&[u8]) -> Result<(), ExportError> + 'a;

/// Compresses a part, and hands on what can be written by now.
pub(super) struct Packer {
    kind: Kind,
    /// Bytes of a block.
    block: usize,
    /// The text of the block that is filled.
    text: Vec<u8>,
}

enum Kind {
    AsItIs,
    Gzip(Box<Gzip>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
}

impl Packer {
    pub(super) fn new(compression: Compression) -> io::Result<Self> {
        Self::with(compression, threads(), EXPORT_HANDED)
    }

    fn with(compression: Compression, threads: usize, block: usize) -> io::Result<Self> {
        let kind = match compression {
            Compression::None => Kind::AsItIs,
            Compression::Gzip => Kind::Gzip(Box::new(Gzip::new(threads))),
            Compression::Zstd => Kind::Zstd(Box::new(zstd::stream::write::Encoder::new(Vec::new(), 0)?)),
        };
        Ok(Self { kind, block, text: Vec::new() })
    }

    /// Adds text.
    pub(super) fn pack(&mut self, mut text: &[u8], out: &mut Out<'_>) -> Result<(), ExportError> {
        if matches!(self.kind, Kind::AsItIs) {
            return out(text);
        }
        loop {
            let (now, later) = text.split_at(text.len().min(self.block - self.text.len()));
            self.text.extend_from_slice(now);
            if self.text.len() < self.block {
                return Ok(());
            }
            self.end_block(false, out)?;
            text = later;
        }
    }

    /// Hands on the rest.
    pub(super) fn end(mut self, out: &mut Out<'_>) -> Result<(), ExportError> {
        self.end_block(true, out)?;
        match self.kind {
            Kind::AsItIs => Ok(()),
            Kind::Gzip(gzip) => gzip.end(out),
            Kind::Zstd(encoder) => out(&encoder.finish()?),
        }
    }

    fn end_block(&mut self, is_last: bool, out: &mut Out<'_>) -> Result<(), ExportError> {
        match &mut self.kind {
            Kind::AsItIs => Ok(()),
            Kind::Gzip(gzip) => gzip.add(&mut self.text, is_last, out),
            Kind::Zstd(encoder) => {
                encoder.write_all(&self.text)?;
                self.text.clear();
                out(encoder.get_ref())?;
                encoder.get_mut().clear();
                Ok(())
            }
        }
    }
}

/// Makes a member of gzip.
struct Gzip {
    threads: usize,
    /// Those that compress, each in its turn. A part of one block needs none, and on one thread there are none.
    workers: Vec<Worker>,
    /// Blocks that workers were given, and those that they gave back.
    given: usize,
    taken: usize,
    /// The end of the last block.
    window: Vec<u8>,
    /// Of all blocks that were handed on.
    crc: Crc,
    is_begun: bool,
    spare: Vec<Block>,
}

struct Worker {
    give: SyncSender<Block>,
    take: Receiver<io::Result<Block>>,
}

#[derive(Default)]
struct Block {
    /// What comes before the text.
    window: Vec<u8>,
    text: Vec<u8>,
    is_last: bool,
    packed: Vec<u8>,
    crc: Crc,
}

impl Gzip {
    fn new(threads: usize) -> Self {
        Self {
            threads,
            workers: Vec::new(),
            given: 0,
            taken: 0,
            window: Vec::new(),
            crc: Crc::new(),
            is_begun: false,
            spare: Vec::new(),
        }
    }

    /// Takes the text of a block, and leaves none.
    fn add(&mut self, text: &mut Vec<u8>, is_last: bool, out: &mut Out<'_>) -> Result<(), ExportError> {
        let mut block = self.spare.pop().unwrap_or_default();
        mem::swap(&mut block.window, &mut self.window);
        self.window.clear();
        self.window.extend_from_slice(&text[text.len().saturating_sub(WINDOW)..]);
        block.text.clear();
        mem::swap(&mut block.text, text);
        block.is_last = is_last;
        if !is_last && self.threads > 1 && self.workers.is_empty() {
            // Where the system gives no more threads, those that are there compress everything.
            self.workers = (0..self.threads).map_while(|_| Worker::start().ok()).collect();
        }
        if self.workers.is_empty() {
            block.pack()?;
            return self.hand_on(block, out);
        }
        if self.given - self.taken == GZIP_AHEAD * self.workers.len() {
            self.take(out)?;
        }
        let worker = &self.workers[self.given % self.workers.len()];
        worker.give.send(block).map_err(|SendError(_)| gone())?;
        self.given += 1;
        Ok(())
    }

    /// Hands on the next block that a worker was given.
    fn take(&mut self, out: &mut Out<'_>) -> Result<(), ExportError> {
        let worker = &self.workers[self.taken % self.workers.len()];
        let block = worker.take.recv().map_err(|RecvError| gone())??;
        self.taken += 1;
        self.hand_on(block, out)
    }

    fn hand_on(&mut self, block: Block, out: &mut Out<'_>) -> Result<(), ExportError> {
        if !mem::replace(&mut self.is_begun, true) {
            out(&GZIP_HEADER)?;
        }
        self.crc.combine(&block.crc);
        out(&block.packed)?;
        self.spare.push(block);
        Ok(())
    }

    fn end(mut self, out: &mut Out<'_>) -> Result<(), ExportError> {
        while self.taken < self.given {
            self.take(out)?;
        }
        out(&self.crc.sum().to_le_bytes())?;
        out(&self.crc.amount().to_le_bytes())
    }
}

fn gone() -> io::Error {
    io::Error::other("a thread that compresses has ended")
}

impl Worker {
    /// Starts a thread that compresses until no one gives it blocks.
    fn start() -> io::Result<Self> {
        let (give, given) = sync_channel::<Block>(GZIP_AHEAD);
        let (done, take) = sync_channel(GZIP_AHEAD);
        thread::Builder::new().name("gzip".to_owned()).spawn(move || {
            for mut block in given {
                let packed = block.pack().map(|()| block);
                if done.send(packed).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { give, take })
    }
}

impl Block {
    fn pack(&mut self) -> io::Result<()> {
        let Self { window, text, is_last, packed, crc } = self;
        crc.reset();
        crc.update(text);
        // With a dictionary, what one that was used before makes depends on what it was used for.
        let mut deflate = Compress::new(flate2::Compression::new(GZIP_LEVEL), false);
        if !window.is_empty() {
            deflate.set_dictionary(window)?;
        }
        packed.clear();
        // Text that cannot be compressed becomes longer, by less than this. If there were no room, to go on would flush twice.
        packed.reserve(text.len() + text.len() / 8 + 256);
        let flush = if *is_last { FlushCompress::Finish } else { FlushCompress::Sync };
        deflate.compress_vec(text, packed, flush)?;
        match deflate.total_in() == text.len() as u64 && packed.len() < packed.capacity() {
            true => Ok(()),
            false => Err(io::Error::other("deflate needs more room than it says")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// What is made of a text that arrives in pieces of these sizes, over and over.
    fn packed(
        compression: Compression,
        text: &[u8],
        sizes: &[usize],
        threads: usize,
        block: usize,
    ) -> Vec<u8> {
        let mut packer = Packer::with(compression, threads, block).unwrap();
        let mut all = Vec::new();
        let mut out = |bytes: &[u8]| {
            all.extend_from_slice(bytes);
            Ok(())
        };
        let (mut rest, mut sizes) = (text, sizes.iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            packer.pack(now, &mut out).unwrap();
            rest = later;
        }
        packer.end(&mut out).unwrap();
        all
    }

    /// What one member of gzip has, with nothing behind it.
    #[expect(clippy::disallowed_types, reason = "a part is one member: some readers take no more")]
    fn unpacked(mut packed: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        flate2::bufread::GzDecoder::new(&mut packed).read_to_end(&mut text).unwrap();
        assert!(packed.is_empty());
        text
    }

    /// Bytes without any order.
    fn noise(bytes: usize) -> Vec<u8> {
        let step = |last: &u64| Some(last.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        std::iter::successors(Some(7), step).map(|state| (state >> 56) as u8).take(bytes).collect()
    }

    proptest! {
        #[test]
        fn a_part_is_one_member_of_gzip_whoever_compresses_it(
            text in vec("[a-d]{0,40}", 0..200),
            sizes in vec(1_usize..300, 1..5),
            block in 1_usize..600,
        ) {
            let text = text.concat().into_bytes();
            let alone = packed(Compression::Gzip, &text, &[usize::MAX], 1, block);
            prop_assert_eq!(unpacked(&alone), &text[..]);
            for threads in [2, 3] {
                prop_assert!(packed(Compression::Gzip, &text, &sizes, threads, block) == alone);
            }
            let zstd = packed(Compression::Zstd, &text, &[usize::MAX], 1, block);
            prop_assert_eq!(zstd::decode_all(&zstd[..]).unwrap(), &text[..]);
            prop_assert!(packed(Compression::Zstd, &text, &sizes, 1, block) == zstd);
            prop_assert_eq!(packed(Compression::None, &text, &sizes, 3, block), text);
        }
    }

    #[test]
    fn blocks_of_any_text_have_room() {
        let noise = noise(3 * EXPORT_HANDED + 1);
        let packed = packed(Compression::Gzip, &noise, &[1 << 16], 2, EXPORT_HANDED);
        assert!(packed.len() > noise.len());
        assert!(unpacked(&packed) == noise);
    }

    #[test]
    fn blocks_know_what_came_before() {
        // It repeats what is nearer than a window, and longer than it is far.
        let text = noise(24 << 10).repeat(10);
        let whole = packed(Compression::Gzip, &text, &[usize::MAX], 1, usize::MAX).len();
        let divided = packed(Compression::Gzip, &text, &[usize::MAX], 2, 32 << 10).len();
        assert!(divided < whole + whole / 10, "{divided} instead of {whole}");
    }
}
