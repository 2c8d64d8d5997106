//! When the engine compacts: beside jobs while level 0 is crowded, and all that is left when a store settles.

use std::{sync::atomic::Ordering, time::Duration};

use rocksdb::{BottommostLevelCompaction, CompactOptions, WaitForCompactOptions};

use super::{
    engine::Engine,
    error::engine_error,
    options::{CROWDED, TRIGGER_SETTLING},
};
use crate::{Result, StoreError, boundary};

impl Engine {
    /// Waits while too many runs wait for compaction: ingestion itself never holds.
    #[expect(clippy::disallowed_methods, reason = "the engine tells nobody when a compaction ends")]
    pub(super) fn wait_for_room(&self) -> Result<()> {
        loop {
            self.check()?;
            if self.property("rocksdb.num-files-at-level0")? < self.max_level0_files {
                return Ok(());
            }
            self.check_background()?;
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets the engine compact beside the jobs that run while level 0 is crowded. A job has ended.
    pub(super) fn keep_up(&self) -> Result<()> {
        let Some(crowded) = self.crowded.filter(|crowded| *crowded < self.level0_trigger) else {
            return Ok(());
        };
        // A store that settles has a trigger of its own.
        let Some(_settling) = self.settling.try_lock() else { return Ok(()) };
        let is_crowded = self.property("rocksdb.num-files-at-level0")? >= u64::from(crowded) && {
            let files = self.db.live_files().map_err(|error| self.read_error(error))?;
            let [mut above, mut below] = [0_usize; 2];
            for file in &files {
                *(if file.level == 0 { &mut above } else { &mut below }) += file.size;
            }
            above / CROWDED >= below
        };
        if self.keeps_up.swap(is_crowded, Ordering::Relaxed) != is_crowded {
            self.set_trigger(if is_crowded { crowded } else { self.level0_trigger })?;
        }
        Ok(())
    }

    fn set_trigger(&self, files: u32) -> Result<()> {
        if self.rests.load(Ordering::Relaxed) {
            return Ok(());
        }
        let changed = self.db.set_options(&[("level0_file_num_compaction_trigger", &files.to_string())]);
        changed.map_err(|error| self.stop(error))
    }

    /// An error if compaction failed: the engine writes no more then.
    fn check_background(&self) -> Result<()> {
        if self.property("rocksdb.background-errors")? == 0 {
            return Ok(());
        }
        // Only a write returns what failed. This one would change nothing.
        if let Err(error) = self.db.delete([]) {
            let error = engine_error(&self.path, error);
            if error.lacks_descriptors() {
                self.stop_for(&error);
                return Err(error);
            }
        }
        let why = "compaction failed; the engine's LOG file says why".to_owned();
        self.stopped.lock().get_or_insert_with(|| why.clone());
        Err(StoreError::Stopped(why))
    }
}

/// Compacts what imports left in level 0, and joins small files.
pub(super) fn settle(engine: &Engine) -> Result<()> {
    engine.check()?;
    let _settling = engine.settling.lock();
    // What says that layers were folded goes down with them.
    engine.db.flush().map_err(|error| engine.stop(error))?;
    engine.set_trigger(TRIGGER_SETTLING)?;
    boundary("settle.begun");
    let waited = engine.db.wait_for_compact(&WaitForCompactOptions::default());
    engine.keeps_up.store(false, Ordering::Relaxed);
    engine.set_trigger(engine.level0_trigger)?;
    waited.map_err(|error| engine.stop(error))?;
    boundary("settle.compacted");
    if engine.rests.load(Ordering::Relaxed) {
        return Ok(());
    }
    join_small_files(engine)?;
    boundary("settle.joined");
    engine.check_background()
}

/// Joins small files that lie next to each other in the last level. Runs that overlap nothing (the records
/// of pieces; everything, when ids ascend) sink there as they are, and nothing would ever join them.
fn join_small_files(engine: &Engine) -> Result<()> {
    // Less than what a compaction makes, more than the runs of a piece.
    const SMALL: usize = 48 << 20;
    const MANY: usize = 16;
    let mut files = engine.db.live_files().map_err(|error| engine.read_error(error))?;
    let last = files.iter().map(|file| file.level).max().unwrap_or_default();
    files.retain(|file| file.level == last);
    files.sort_unstable_by(|one, other| one.start_key.cmp(&other.start_key));
    let table = |file: &rocksdb::LiveFile| file.start_key.as_ref().and_then(|key| key.first().copied());
    let neighbours =
        files.chunk_by(|one, other| table(one) == table(other) && one.size < SMALL && other.size < SMALL);
    let mut options = CompactOptions::default();
    options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
    for files in neighbours.filter(|files| files.len() >= MANY) {
        let start = files.first().and_then(|file| file.start_key.as_deref());
        let end = files.last().and_then(|file| file.end_key.as_deref());
        engine.db.compact_range_opt(start, end, &options);
        engine.check_background()?;
    }
    Ok(())
}
