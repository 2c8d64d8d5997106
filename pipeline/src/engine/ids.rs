//! How many different ids a job's records have: the others met an endpoint that an earlier record of the job had made.
//!
//! Each id is a number of 64 bits, from a hash. Two ids of a billion are taken for the same with a chance of one in forty.
//! The numbers lie in files of the job's folder, by some of their bits, so that the count at the end takes little memory and
//! a job that goes on after a crash still knows them. Those of a job that made a segment stay: another job may add to it.
//! A piece that is read twice adds its numbers twice, which changes nothing.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::files::{FileError, on};
use crate::limits::IDS_IN_ONE_FILE;

/// Parts by some bits of a number.
const PARTS: usize = 64;

/// The ids of a job.
#[derive(Debug)]
pub(super) struct Ids {
    folder: PathBuf,
    files: Vec<Option<File>>,
    /// Bytes of the first ids, once they are known.
    few: Option<u64>,
}

impl Ids {
    /// Goes on with the ids of the job with this folder, or begins.
    pub(super) fn open(job: &Path) -> Self {
        Self { folder: job.join("ids"), files: (0..=PARTS).map(|_| None).collect(), few: None }
    }

    /// Adds the ids of a piece, which come in several lists. Returns how many they are.
    pub(super) fn add(&mut self, lists: &[Vec<u64>]) -> Result<u64, FileError> {
        let ids = lists.iter().flatten().copied();
        let count: usize = lists.iter().map(Vec::len).sum();
        if count == 0 {
            return Ok(0);
        }
        let few = match self.few {
            Some(few) => few,
            None => self.file_len(PARTS)?,
        };
        let with_these = few + 8 * count as u64;
        if with_these <= IDS_IN_ONE_FILE {
            self.append(PARTS, ids.map(u64::to_le_bytes).collect::<Vec<_>>().as_flattened())?;
            self.few = Some(with_these);
        } else {
            self.few = Some(few);
            let parts = Parted::new(ids);
            for part in 0..PARTS {
                self.append(part, parts.part(part))?;
            }
        }
        Ok(count as u64)
    }

    fn append(&mut self, part: usize, ids: &[u8]) -> Result<(), FileError> {
        let path = self.path(part);
        let file = match &mut self.files[part] {
            Some(file) => file,
            place => {
                fs::create_dir_all(&self.folder).map_err(on("make", &self.folder))?;
                let file = OpenOptions::new().create(true).append(true).open(&path);
                place.insert(file.map_err(on("open", &path))?)
            }
        };
        file.write_all(ids).map_err(on("write", &path))
    }

    fn path(&self, part: usize) -> PathBuf {
        self.folder.join(part.to_string())
    }

    /// The numbers of a part, as its file has them.
    fn read(&self, part: usize) -> Result<Vec<u8>, FileError> {
        let path = self.path(part);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read.map_err(on("read", &path)),
        }
    }

    /// How many ids are here: at least as many as the job has, if it was here all along.
    pub(super) fn len(&self) -> Result<u64, FileError> {
        let mut bytes = 0;
        for part in 0..=PARTS {
            bytes += self.file_len(part)?;
        }
        Ok(bytes / 8)
    }

    fn file_len(&self, part: usize) -> Result<u64, FileError> {
        let path = self.path(part);
        match fs::metadata(&path) {
            Ok(found) => Ok(found.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(on("read", &path)(error)),
        }
    }

    /// Whether ids of the job are here.
    pub(super) fn exist(&self) -> bool {
        self.folder.exists()
    }

    /// Counts the different ids of this job, and those of it and the others together.
    pub(super) fn count(&self, others: &[Self]) -> Result<(u64, u64), FileError> {
        let few = self.read(PARTS)?;
        let others_few = read_all(others, PARTS)?;
        let mut jobs = others.iter().chain([self]);
        if jobs.all(|ids| (0..PARTS).all(|part| !ids.path(part).exists())) {
            return Ok(distinct([&few, &[]], [&others_few, &[]]));
        }
        let (few, others_few) = (Parted::new(numbers(&few)), Parted::new(numbers(&others_few)));
        let (mut own, mut all) = (0, 0);
        for part in 0..PARTS {
            let (ids, others_ids) = (self.read(part)?, read_all(others, part)?);
            let counts = distinct([few.part(part), &ids], [others_few.part(part), &others_ids]);
            own += counts.0;
            all += counts.1;
        }
        Ok((own, all))
    }
}

/// The numbers of a part of several jobs.
fn read_all(jobs: &[Ids], part: usize) -> Result<Vec<u8>, FileError> {
    let mut all = Vec::new();
    for ids in jobs {
        let mut read = ids.read(part)?;
        read.truncate(read.len() / 8 * 8);
        all.append(&mut read);
    }
    Ok(all)
}

/// What a file says. What a crash cut off in the middle of a number is no number.
fn numbers(bytes: &[u8]) -> impl Iterator<Item = u64> + Clone {
    bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes))
}

/// Removes the ids of a job. If they stay, no one reads them.
pub(crate) fn forget_ids(job: &Path) {
    let _ = fs::remove_dir_all(Ids::open(job).folder);
}

/// Numbers in the order of their parts, in the form that files have.
struct Parted {
    bytes: Vec<[u8; 8]>,
    /// Where each part ends.
    ends: [usize; PARTS],
}

impl Parted {
    fn new(ids: impl Iterator<Item = u64> + Clone) -> Self {
        let mut ends = [0; PARTS];
        ids.clone().for_each(|id| ends[part(id)] += 1);
        let mut sum = 0;
        for end in &mut ends {
            sum += std::mem::replace(end, sum);
        }
        // Each end begins as the start of its part and moves on with every number.
        let mut bytes = vec![[0; 8]; sum];
        for id in ids {
            let end = &mut ends[part(id)];
            bytes[*end] = id.to_le_bytes();
            *end += 1;
        }
        Self { bytes, ends }
    }

    fn part(&self, part: usize) -> &[u8] {
        let start = part.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.bytes[start..self.ends[part]].as_flattened()
    }
}

/// Bits that say little about where a number lies in [`Seen`].
fn part(id: u64) -> usize {
    id as usize % PARTS
}

/// How many different numbers there are in the first lists, and in both.
fn distinct(ids: [&[u8]; 2], others: [&[u8]; 2]) -> (u64, u64) {
    let len = ids.iter().chain(&others).map(|list| list.len() / 8).sum();
    let mut seen = Seen::with_room(len);
    ids.into_iter().flat_map(numbers).for_each(|id| seen.add(id));
    let own = seen.count;
    others.into_iter().flat_map(numbers).for_each(|id| seen.add(id));
    (own, seen.count)
}

/// A set of numbers that come from a hash. It is less than half full, so that nearly every number is at its place.
struct Seen {
    /// The numbers; zero is none.
    slots: Vec<u64>,
    has_zero: bool,
    count: u64,
}

impl Seen {
    fn with_room(numbers: usize) -> Self {
        Self { slots: vec![0; 2 * numbers + 1], has_zero: false, count: 0 }
    }

    #[inline(always)]
    fn add(&mut self, id: u64) {
        if id == 0 {
            self.count += u64::from(!self.has_zero);
            self.has_zero = true;
            return;
        }
        // The high bits say where: a number's place is its share of all slots.
        let mut at = ((u128::from(id) * self.slots.len() as u128) >> 64) as usize;
        loop {
            let slot = &mut self.slots[at];
            if *slot == id {
                return;
            }
            if *slot == 0 {
                *slot = id;
                self.count += 1;
                return;
            }
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_counted_once_however_they_come() {
        let folder = tempfile::tempdir().unwrap();
        let spread = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let many: Vec<_> = (0..IDS_IN_ONE_FILE / 4).map(spread).collect();
        let mut ids = Ids::open(folder.path());
        assert_eq!((ids.count(&[]).unwrap(), ids.exist()), ((0, 0), false));
        let files = || fs::read_dir(folder.path().join("ids")).unwrap().count();
        // The first ones lie in one file, also after a crash, and no more of them than are read at once.
        for _ in 0..2 {
            ids = Ids::open(folder.path());
            ids.add(&[many[..IDS_IN_ONE_FILE as usize / 24].to_vec()]).unwrap();
        }
        assert_eq!(files(), 1);
        assert!(fs::metadata(ids.path(PARTS)).unwrap().len() <= IDS_IN_ONE_FILE);
        assert_eq!(ids.add(&[many[..10].to_vec(), many[10..].to_vec()]).unwrap(), many.len() as u64);
        ids.add(&[many[..100].to_vec()]).unwrap();
        assert_eq!(ids.add(&[vec![spread(1 << 40), spread(1 << 40)], vec![spread(7)]]).unwrap(), 3);
        assert_eq!(files(), PARTS + 1);
        drop(ids);
        let mut ids = Ids::open(folder.path());
        ids.add(std::slice::from_ref(&many)).unwrap();
        assert_eq!(ids.add(&[Vec::new()]).unwrap(), 0);
        let own = many.len() as u64 + 1;
        assert_eq!(ids.count(&[]).unwrap(), (own, own));
        let other = tempfile::tempdir().unwrap();
        Ids::open(other.path()).add(&[vec![spread(3), spread(1 << 41)]]).unwrap();
        let others = [Ids::open(other.path())];
        assert_eq!(ids.count(&others).unwrap(), (own, own + 1));
        assert_eq!(others[0].count(&[Ids::open(folder.path())]).unwrap(), (2, own + 1));
        forget_ids(folder.path());
        assert!(!ids.exist());
        forget_ids(folder.path());
    }

    #[test]
    fn numbers_are_counted_once_wherever_they_lie() {
        let bytes = |ids: &[u64]| ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<_>>();
        let own = bytes(&[0, u64::MAX, 1, 0, u64::MAX - 1, 1, u64::MAX]);
        let others = bytes(&[0, 2, u64::MAX, u64::MAX - 2, 1 << 63]);
        assert_eq!(distinct([&own, &[]], [&[], &others]), (4, 7));
        assert_eq!(distinct([&own[..4], &own[8..]], [&[], &[]]), (4, 4));
        assert_eq!(distinct([&[], &[]], [&[], &[]]), (0, 0));
    }
}
