//! What had no room in its endpoint or user when records were merged: counted while the engine compacts, kept by job.
//!
//! Compaction runs in the engine's own threads, which must not write. So the counts are in memory until
//! [`Engine::keep_left_out`], which is called when the store settles, when a job ends, and when the store is closed. What was
//! counted since is lost by a crash.

use pinport_model::ImportJob;
use rocksdb::WriteBatch;

use super::{engine::Engine, keys};
use crate::{Result, StoreError, record::mark_of};

impl Engine {
    /// Writes what was counted.
    pub(super) fn keep_left_out(&self) -> Result<()> {
        let mut records = self.folding.left_out.records.lock();
        if records.is_empty() {
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
