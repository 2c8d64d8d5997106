//! How many different ids a job's records have: the others met an endpoint that an earlier record of the job had made.
//!
//! Each id is a number of 64 bits, from a hash. Two ids of a billion are taken for the same with a chance of one in forty.
//! The numbers lie in files of the job's folder, by some of their bits, so that the count at the end takes little memory and
//! a job that goes on after a crash still knows them. Those of a job that made a segment stay: another job may add to it.
//! A piece that is read twice adds its numbers twice, which changes nothing.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    hash::{BuildHasherDefault, Hasher},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::files::{FileError, on};

/// Parts by some bits of a number.
const PARTS: usize = 64;

/// A piece with fewer ids puts all of them into one file: a small job has few files.
const FEW: usize = 16 << 10;

/// The ids of a job.
#[derive(Debug)]
pub(super) struct Ids {
    folder: PathBuf,
    files: Vec<Option<File>>,
}

impl Ids {
    /// Goes on with the ids of the job with this folder, or begins.
    pub(super) fn open(job: &Path) -> Self {
        Self { folder: job.join("ids"), files: (0..=PARTS).map(|_| None).collect() }
    }

    /// Adds the ids of a piece.
    pub(super) fn add(&mut self, ids: &[u64]) -> Result<(), FileError> {
        if ids.is_empty() {
            return Ok(());
        }
        if ids.len() < FEW {
            return self.append(PARTS, ids);
        }
        for (part, ids) in by_part(ids).iter().enumerate() {
            self.append(part, ids)?;
        }
        Ok(())
    }

    fn append(&mut self, part: usize, ids: &[u64]) -> Result<(), FileError> {
        let path = self.path(part);
        let mut bytes = Vec::with_capacity(ids.len() * 8);
        ids.iter().for_each(|id| bytes.extend_from_slice(&id.to_le_bytes()));
        let file = match &mut self.files[part] {
            Some(file) => file,
            place => {
                fs::create_dir_all(&self.folder).map_err(on("make", &self.folder))?;
                let file = OpenOptions::new().create(true).append(true).open(&path);
                place.insert(file.map_err(on("open", &path))?)
            }
        };
        file.write_all(&bytes).map_err(on("write", &path))
    }

    fn path(&self, part: usize) -> PathBuf {
        self.folder.join(part.to_string())
    }

    fn read(&self, part: usize) -> Result<Vec<u64>, FileError> {
        let path = self.path(part);
        match fs::read(&path) {
            // What a crash cut off in the middle of a number is no number.
            Ok(bytes) => {
                Ok(bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
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
        let mut others_few = Vec::new();
        for other in others {
            others_few.extend(other.read(PARTS)?);
        }
        let jobs = || others.iter().chain([self]);
        if jobs().all(|ids| (0..PARTS).all(|part| !ids.path(part).exists())) {
            return Ok(distinct(few, others_few));
        }
        let (few, others_few) = (by_part(&few), by_part(&others_few));
        let (mut own, mut all) = (0, 0);
        for (part, (mut ids, mut others_ids)) in few.into_iter().zip(others_few).enumerate() {
            ids.extend(self.read(part)?);
            for other in others {
                others_ids.extend(other.read(part)?);
            }
            let counts = distinct(ids, others_ids);
            own += counts.0;
            all += counts.1;
        }
        Ok((own, all))
    }
}

/// Removes the ids of a job. If they stay, nobody reads them.
pub(crate) fn forget_ids(job: &Path) {
    let _ = fs::remove_dir_all(Ids::open(job).folder);
}

fn by_part(ids: &[u64]) -> Vec<Vec<u64>> {
    let mut parts = vec![Vec::new(); PARTS];
    ids.iter().for_each(|id| parts[part(*id)].push(*id));
    parts
}

/// The bits that a hash table does not look at first.
fn part(id: u64) -> usize {
    (id >> 32) as usize % PARTS
}

/// How many different numbers there are in the first list, and in both.
fn distinct(ids: Vec<u64>, others: Vec<u64>) -> (u64, u64) {
    let mut seen = HashSet::with_capacity_and_hasher(ids.len() + others.len(), AsIs::default());
    seen.extend(ids);
    let own = seen.len() as u64;
    seen.extend(others);
    (own, seen.len() as u64)
}

/// A number from a hash is its own hash.
#[derive(Debug, Default, Clone, Copy)]
struct IsHash(u64);

type AsIs = BuildHasherDefault<IsHash>;

impl Hasher for IsHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only numbers of 64 bits are hashed");
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_counted_once_however_they_come() {
        let folder = tempfile::tempdir().unwrap();
        let spread = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let many: Vec<_> = (0..FEW as u64 * 2).map(spread).collect();
        let mut ids = Ids::open(folder.path());
        assert_eq!((ids.count(&[]).unwrap(), ids.exist()), ((0, 0), false));
        ids.add(&many).unwrap();
        ids.add(&many[..100]).unwrap();
        ids.add(&[spread(1 << 40), spread(1 << 40), spread(7)]).unwrap();
        drop(ids);
        let mut ids = Ids::open(folder.path());
        ids.add(&many).unwrap();
        ids.add(&[]).unwrap();
        let own = many.len() as u64 + 1;
        assert_eq!(ids.count(&[]).unwrap(), (own, own));
        let other = tempfile::tempdir().unwrap();
        Ids::open(other.path()).add(&[spread(3), spread(1 << 41)]).unwrap();
        let others = [Ids::open(other.path())];
        assert_eq!(ids.count(&others).unwrap(), (own, own + 1));
        assert_eq!(others[0].count(&[Ids::open(folder.path())]).unwrap(), (2, own + 1));
        forget_ids(folder.path());
        assert!(!ids.exist());
        forget_ids(folder.path());
    }
}
