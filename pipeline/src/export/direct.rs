//! Writing files of any size from a buffer of our own, past the page cache of the system where that can be.
//!
//! Nobody reads a part as soon as it is written, so its copy in the page cache is of no use: it takes time, and pushes out the
//! store that is read. Linux calls it `O_DIRECT`; memory, places and sizes must then be multiples of a block of the disk. What a
//! file system does not take so is written as usual, and so is the end of a file.

use std::{fs::File, io, io::Write as _, ops::Range};

use crate::limits::EXPORT_WRITTEN;

/// No disk has larger blocks.
const ALIGNED: usize = 4096;

/// A file that is written from its beginning.
pub(super) struct Direct {
    file: File,
    memory: Vec<u8>,
    /// Where the buffer begins in it: at an address that `ALIGNED` divides.
    start: usize,
    filled: usize,
    past_cache: PastCache,
}

/// Whether what is written passes the page cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PastCache {
    Untried,
    Yes,
    No,
}

impl Direct {
    pub(super) fn new(file: File) -> Self {
        let memory = vec![0; EXPORT_WRITTEN + ALIGNED];
        let start = memory.as_ptr().align_offset(ALIGNED).min(ALIGNED);
        Self { file, memory, start, filled: 0, past_cache: PastCache::Untried }
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(EXPORT_WRITTEN - self.filled));
            let at = self.start + self.filled;
            self.memory[at..at + now.len()].copy_from_slice(now);
            self.filled += now.len();
            bytes = later;
            if self.filled == EXPORT_WRITTEN {
                if self.past_cache == PastCache::Untried {
                    self.past_cache = pass_cache(&self.file);
                }
                self.put(0..EXPORT_WRITTEN)?;
                self.filled = 0;
            }
        }
        Ok(())
    }

    /// Writes the rest, and makes all of it durable.
    pub(super) fn end(&mut self) -> io::Result<()> {
        let mut last = 0;
        if self.past_cache == PastCache::Yes {
            last = self.filled / ALIGNED * ALIGNED;
            self.put(0..last)?;
            self.use_cache()?;
        }
        self.put(last..self.filled)?;
        self.file.sync_all()
    }

    fn put(&mut self, place: Range<usize>) -> io::Result<()> {
        let (mut at, end) = (self.start + place.start, self.start + place.end);
        while at < end {
            match self.file.write(&self.memory[at..end]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => at += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It wants other places or sizes; after a disk that is nearly full took a part, so does any.
                Err(error)
                    if error.kind() == io::ErrorKind::InvalidInput && self.past_cache == PastCache::Yes =>
                {
                    self.use_cache()?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn use_cache(&mut self) -> io::Result<()> {
        self.past_cache = PastCache::No;
        set_direct(&self.file, false)
    }
}

fn pass_cache(file: &File) -> PastCache {
    match set_direct(file, true) {
        Ok(()) => PastCache::Yes,
        Err(_) => PastCache::No,
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_direct(file: &File, on: bool) -> io::Result<()> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, on);
    Ok(fcntl_setfl(file, flags)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_direct(_: &File, _: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text that is not the same again after any block.
    fn text(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at % 251) as u8).collect()
    }

    #[test]
    fn files_of_all_sizes_are_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let text = text(2 * EXPORT_WRITTEN + 2 * ALIGNED);
        for near in [0, ALIGNED, EXPORT_WRITTEN, EXPORT_WRITTEN + ALIGNED, 2 * EXPORT_WRITTEN] {
            for bytes in near.saturating_sub(1)..=near + 1 {
                let path = folder.path().join(bytes.to_string());
                let mut file = Direct::new(File::create(&path).unwrap());
                for part in text[..bytes].chunks(100_003) {
                    file.write(part).unwrap();
                }
                file.end().unwrap();
                assert!(std::fs::read(&path).unwrap() == text[..bytes], "{bytes} bytes");
            }
        }
    }

    #[test]
    fn what_cannot_pass_the_cache_is_written_as_usual() {
        let folder = tempfile::tempdir().unwrap();
        let text = text(3 * EXPORT_WRITTEN + 5);
        let path = folder.path().join("file");
        let mut file = Direct::new(File::create(&path).unwrap());
        // Most disks do not write from here.
        file.start = (file.start + 1) % ALIGNED;
        file.write(&text).unwrap();
        // Some file systems take it nevertheless.
        assert_ne!(file.past_cache, PastCache::Untried);
        file.end().unwrap();
        assert!(std::fs::read(&path).unwrap() == text);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_says_so() {
        let mut full = Direct::new(File::options().write(true).open("/dev/full").unwrap());
        let error = full.write(&text(EXPORT_WRITTEN)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
