//! The embedded engine: RocksDB, with the pieces of an import ingested as sorted runs.
//!
//! One column family holds all tables, told apart by the first byte of the key ([`keys`]). A piece's runs
//! ([`runs`]) and its record become part of the store in one ingestion, so a piece is there whole or not at
//! all. Endpoints are merge operands: an import never reads what it updates. [`engine`] keeps the promise
//! that what is acknowledged is durable, [`options`] holds the settings with their reasons. [`store`] takes each call to the
//! file that answers it. This one opens the store, and opens it again.
//!
//! A store is a folder: `db` (RocksDB's), `staging` (runs that are no part of it yet), `layout` (a number), `bounds`
//! (of endpoints, if they are not the usual ones) and `pinport.lock`.

mod applications;
mod blocks;
mod borders;
mod closing;
mod compaction;
mod copying;
mod criteria;
mod endpoints;
mod engine;
mod error;
mod facts;
mod folding;
mod folds;
mod groups;
mod jobs;
mod joining;
mod kept;
mod keys;
mod known_links;
mod layers;
mod layout;
mod left_out;
mod links;
mod lock;
mod member_runs;
mod merged;
mod options;
mod read;
mod read_out;
mod rows;
mod runs;
mod scan;
mod seek;
mod segments;
mod store;
#[cfg(test)]
mod tests;
mod upgrade;
mod user_links;
mod users;
mod writer;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::RwLock;
use rocksdb::WriteBatch;

pub use self::options::EmbeddedOptions;
use self::{engine::Engine, keys::end_of};
use crate::Result;

/// A durable store in a folder.
///
/// When the engine stops because it could not open a file in the background, it is opened again as soon as no one uses it:
/// nothing is wrong with what it wrote. Until then it answers reads.
pub struct Embedded {
    path: PathBuf,
    options: EmbeddedOptions,
    /// None while it could not be opened again.
    engine: RwLock<Option<Arc<Engine>>>,
    /// What the engines before this one left out.
    left_out: AtomicU64,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").finish_non_exhaustive()
    }
}

impl Embedded {
    /// Opens the store in the folder `path`, which is created if it is not there.
    pub fn open(path: impl AsRef<Path>, options: EmbeddedOptions) -> Result<Self> {
        let store = Self::open_to_copy(path, options)?;
        copying::check_whole(&*store.engine()?)?;
        Ok(store)
    }

    /// The same for a copy, which may have been interrupted.
    pub fn open_to_copy(path: impl AsRef<Path>, options: EmbeddedOptions) -> Result<Self> {
        let engine = Engine::open(path.as_ref(), &options)?;
        if engine.is_older {
            upgrade::upgrade(&engine)?;
            engine.note_upgrade()?;
        }
        Ok(Self {
            path: path.as_ref().into(),
            options,
            engine: RwLock::new(Some(Arc::new(engine))),
            left_out: AtomicU64::new(0),
        })
    }

    /// The engine. While a caller holds it, it is not opened again.
    fn engine(&self) -> Result<Arc<Engine>> {
        match &*self.engine.read() {
            Some(engine) if !engine.lacked_descriptors() => return Ok(Arc::clone(engine)),
            _ => {}
        }
        let mut place = self.engine.write();
        if let Some(engine) = &*place {
            if !engine.lacked_descriptors() || Arc::strong_count(engine) > 1 || !engine.is_to_be_opened() {
                return Ok(Arc::clone(engine));
            }
            // Counts that cannot be kept are lost, which is no reason not to open it.
            let _ = engine.keep_left_out();
            self.left_out.fetch_add(engine.folding.left_out.members(), Ordering::Relaxed);
            // Closed, and its lock released, before another is opened.
            *place = None;
        }
        let engine = Arc::new(Engine::open(&self.path, &self.options)?);
        *place = Some(Arc::clone(&engine));
        Ok(engine)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.get_mut() {
            // It may have stopped. What was counted is then lost, as it would be by a crash.
            let _ = engine.rest();
        }
    }
}

/// Keys that are deleted one by one rather than as a range: until the engine compacts, each read sorts the ranges that lie
/// in its write buffer.
const FEW: usize = 256;

/// Deletes all keys that begin with `prefix`. Nothing may add one before the batch is written.
fn delete_prefix(engine: &Engine, batch: &mut WriteBatch, prefix: &[u8]) -> Result<()> {
    let mut entries = engine.scan(prefix);
    entries.seek_first();
    let mut found = Vec::new();
    while let Some((rest, _)) = entries.entry()?
        && found.len() <= FEW
    {
        found.push([prefix, rest].concat());
        entries.forward();
    }
    if found.len() > FEW {
        batch.delete_range(prefix, &end_of(prefix));
    } else {
        found.into_iter().for_each(|key| batch.delete(key));
    }
    Ok(())
}
