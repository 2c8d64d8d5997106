//! Copies a whole store into another one, whatever engines they have: the way from a data folder into a database, and back.
//!
//! Entries ([`crate::copied`]) are written some at a time, and with each write where the source goes on, so a copy that was
//! interrupted goes on there. Until it is verified and finished the target refuses to be opened. Whoever calls sees to it that
//! nothing else uses either store.

use std::ops::ControlFlow;

use pinport_model::{JobId, RecordLimits};

pub use crate::copied::KINDS;
use crate::{
    Result, Store, StoreError,
    copied::{Copying, Entry},
    embedded::Embedded,
    postgres::Postgres,
    record::bounds::Bounds,
};

fn stopped() -> StoreError {
    StoreError::Conflict("the copy was stopped: run it again, and it goes on".into())
}

/// A store that is copied, or copied to: nothing else has it open.
#[derive(Debug)]
pub enum Side {
    /// In a folder.
    Embedded(Embedded),
    /// In a database.
    Postgres(Postgres),
}

/// How many things of each kind there are, and the sums of their hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contents([(u64, u64); KINDS.len()]);

impl Contents {
    /// How many there are of each of [`KINDS`].
    pub fn counts(&self) -> [u64; KINDS.len()] {
        self.0.map(|(count, _)| count)
    }

    fn add(&mut self, entry: &Entry) -> Result<()> {
        let (count, sum) = &mut self.0[entry.kind()];
        *count += 1;
        *sum = sum.wrapping_add(entry.hash()?);
        Ok(())
    }

    /// The first kind of which the others are others.
    fn difference(&self, other: &Self) -> Option<String> {
        let all = KINDS.iter().zip(self.0.iter().zip(&other.0));
        let (kind, (own, other)) = all.into_iter().find(|(_, (own, other))| own != other)?;
        Some(match own.0 == other.0 {
            true => format!("its {kind} are others"),
            false => format!("it has {} {kind}, and the source {}", other.0, own.0),
        })
    }
}

/// What a copy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many entries were written by this run.
    Copied(u64),
    /// So many entries of both sides were read again.
    Verified(u64),
}

impl Side {
    fn copying(&self) -> &dyn Copying {
        match self {
            Self::Embedded(store) => store,
            Self::Postgres(store) => store,
        }
    }

    /// As a store.
    pub fn store(&self) -> &dyn Store {
        match self {
            Self::Embedded(store) => store,
            Self::Postgres(store) => store,
        }
    }

    /// Copies all of this store into `to`, which is empty or has a part of it. `name` tells this store from others. Gives what
    /// there is, which `to` has by count and hash; it is not to be opened by others before [`Side::finish`].
    pub fn copy(
        &self,
        name: &str,
        to: &Self,
        each: &mut dyn FnMut(Step) -> ControlFlow<()>,
    ) -> Result<Contents> {
        let (from, to) = (self.copying(), to.copying());
        from.check_idle()?;
        // What has no room is counted with its job while records are merged, and the copy's are merged.
        self.store().settle()?;
        let mut reader = from.reader(&to.begin(name)?)?;
        let mut writer = to.writer()?;
        let mut copied = 0;
        while let Some(batch) = reader.next()? {
            writer.write(&batch)?;
            copied += batch.entries.len() as u64;
            if each(Step::Copied(copied)).is_break() {
                return Err(stopped());
            }
        }
        drop((reader, writer));
        let mut verified = 0;
        let mut contents = |side: &dyn Copying| -> Result<Contents> {
            let mut contents = Contents::default();
            let mut reader = side.reader(&[])?;
            while let Some(batch) = reader.next()? {
                batch.entries.iter().try_for_each(|entry| contents.add(entry))?;
                verified += batch.entries.len() as u64;
                if each(Step::Verified(verified)).is_break() {
                    return Err(stopped());
                }
            }
            Ok(contents)
        };
        let (own, copy) = (contents(from)?, contents(to)?);
        match own.difference(&copy) {
            None => Ok(own),
            Some(why) => Err(StoreError::Conflict(format!(
                "the copy is not what the source is: {why}. If the source was used meanwhile, begin again with an empty target"
            ))),
        }
    }

    /// What endpoints of this store may have: as much as those of a copy must be able to.
    pub fn limits(&self) -> RecordLimits {
        let Bounds { names, bytes } = self.copying().bounds();
        RecordLimits { max_attributes: names, max_endpoint: bytes, ..RecordLimits::default() }
    }

    /// Keeps a piece of a file of a job that was copied, where the store has the files of its jobs.
    pub fn keep_file(&self, job: JobId, name: &str, at: u64, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Postgres(store) => store.keep_copied_file(job, name, at, bytes),
        }
    }

    /// Notes that a copy into this store is whole.
    pub fn finish(&self) -> Result<()> {
        self.copying().finish()
    }
}
