//! What had no room in its endpoint or user when records were merged: counted while the engine compacts, kept by job.
//!
//! Compaction runs in the engine's own threads, which must not write. So the counts are in memory until
//! [`Engine::keep_left_out`], which is called when the store settles, when a job ends, and when the store is closed. What was
//! counted since is lost by a crash. A compaction that is cut off begins again, and counts again: while one runs, nothing is
//! kept.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use pinport_model::ImportJob;
use rocksdb::WriteBatch;

use super::{engine::Engine, keys};
use crate::{Result, StoreError, record::mark_of};

/// How long a store that is closed waits for compactions.
const LAST_COMPACTION: Duration = Duration::from_secs(2);

impl Engine {
    /// Writes what was counted, unless something is being merged.
    pub(super) fn keep_left_out(&self) -> Result<()> {
        // Until it is released nothing more is counted.
        let mut records = self.folding.left_out.records.lock();
        if records.is_empty() || self.is_merging()? {
            return Ok(());
        }
        let mut batch = WriteBatch::default();
        for ((application, mark), count) in &*records {
            let key = keys::left_out(*application, *mark);
            batch.put(&key, (self.kept(&key)? + count).to_be_bytes());
        }
        self.write(batch)?;
        records.clear();
        Ok(())
    }

    /// Begins no more compactions, and waits a little for those that run, so that what they count is kept.
    #[expect(clippy::disallowed_methods, reason = "the engine tells nobody when a compaction ends")]
    pub(super) fn rest(&self) -> Result<()> {
        self.rests.store(true, Ordering::Relaxed);
        if self.is_merging()? {
            let never = i32::MAX.to_string();
            // That may fail where the store has stopped, and then nothing is compacted either.
            let _ = self.db.set_options(&[("level0_file_num_compaction_trigger", &never)]);
            let until = Instant::now() + LAST_COMPACTION;
            while self.is_merging()? && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        self.keep_left_out()
    }

    fn is_merging(&self) -> Result<bool> {
        let running = self.property("rocksdb.num-running-compactions")?;
        Ok(running + self.property("rocksdb.num-running-flushes")? > 0)
    }

    /// Counts into a job what its records lost.
    pub(super) fn count_left_out(&self, job: &mut ImportJob) -> Result<()> {
        let of = (job.definition.application, mark_of(job.id));
        // Held while the other part is read: what is counted is in one of the two.
        let records = self.folding.left_out.records.lock();
        let kept = self.kept(&keys::left_out(of.0, of.1))?;
        job.left_out = kept + records.get(&of).copied().unwrap_or(0);
        Ok(())
    }

    fn kept(&self, key: &[u8]) -> Result<u64> {
        let Some(count) = self.get(key)? else { return Ok(0) };
        let bytes = count.as_ref().try_into();
        let bytes = bytes.map_err(|_| StoreError::Corrupt("a count is not 8 bytes long".into()))?;
        Ok(u64::from_be_bytes(bytes))
    }
}
