//! How RocksDB is set up, and what each setting was measured to bring.

use pinport_model::limits::RecordLimits;
use rocksdb::{
    BlockBasedOptions, Cache, ChecksumType, CompactionPri, DBCompressionType, DataBlockIndexType, Env,
    LogLevel, LruCacheOptions, Options,
};

use super::folding::Folding;

/// What an operator may choose.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Bytes of the block cache. Index and filter blocks lie in it too, so it bounds what reading takes.
    pub block_cache: usize,
    /// Files that are open at once.
    pub max_open_files: i32,
    /// Files in level 0 that start a compaction.
    ///
    /// A piece leaves three or four there, one a table, and a compaction rewrites all that it overlaps. With 64, importing
    /// 10 M rows spent more CPU time on compaction than on anything else.
    pub level0_trigger: u32,
    /// Files in level 0 that start a compaction beside the jobs that run, once a job has ended and level 0 holds several times
    /// what lies below it; `None`: none do.
    ///
    /// So the compaction rewrites little of what lies there. Jobs that bring the same endpoints again and again, and never
    /// let the store rest, else leave more than a thousand files, and every read of theirs visits all of them.
    pub crowded: Option<u32>,
    /// Files in level 0 at which commits wait for compaction to catch up (more than the trigger, whatever is said here).
    pub max_level0_files: u32,
    /// Bytes of a piece, as its records are stored, up to which it is written through the log. A larger one becomes runs:
    /// four or five files, which cost a large piece less, and of which thousands make every read slow.
    pub small_piece: usize,
    /// Bytes of the links of users that were asked for, which are kept in memory; 0: none are.
    pub known_links: usize,
    /// What an endpoint and a user may have in all: `max_attributes` and `max_endpoint`, if they are more than the defaults
    /// and than those that the store was opened with before. Imports do not read what they update; what has no room
    /// is left out when records are merged.
    pub limits: RecordLimits,
}

impl Default for EmbeddedOptions {
    /// For an import: it hardly reads, and leaves compaction to [`Store::settle`](crate::Store::settle), up to 50 M
    /// rows. Settling takes 2.3 to 5.5 CPU µs a row, more than importing does.
    ///
    /// Ingestion reads both ends of each run through the cache: one of 8 MiB filled slowly, between what else is
    /// small, so that 10 M rows took 12% more memory than 1 M. With 2 MiB it is 5%. Partial updates of a store whose
    /// filters had room (up to a million endpoints) take 8% more CPU time; those of a larger one had none before.
    fn default() -> Self {
        Self {
            block_cache: 2 << 20,
            max_open_files: 64,
            level0_trigger: 3600,
            crowded: None,
            max_level0_files: 4800,
            small_piece: 16 << 10,
            known_links: 0,
            limits: RecordLimits::default(),
        }
    }
}

impl EmbeddedOptions {
    /// For a command that reads: what an import left in level 0 lies in hundreds of files.
    pub fn reading() -> Self {
        Self { block_cache: 64 << 20, max_open_files: 1024, ..Self::default() }
    }

    /// For a process that reads while it imports: the filters of the files before a compaction and the index blocks
    /// of some million endpoints have room in the cache.
    pub fn serving() -> Self {
        Self {
            block_cache: 32 << 20,
            // As many as may lie in level 0: to open one that was closed takes longer than what is read of it.
            max_open_files: 4096,
            level0_trigger: 1200,
            crowded: Some(128),
            max_level0_files: 4000,
            known_links: 4 << 20,
            ..Self::default()
        }
    }

    /// The same for a process that may have so many files open: a scan opens all of level 0 at once.
    pub fn within(self, descriptors: u64) -> Self {
        let max_level0_files =
            self.max_level0_files.min(u32::try_from(descriptors / 4 * 3).unwrap_or(u32::MAX));
        Self {
            // Never negative: that is the engine's word for all files.
            max_open_files: self.max_open_files.min(i32::try_from(descriptors / 2).unwrap_or(i32::MAX)),
            level0_trigger: self.level0_trigger.min(max_level0_files / 4 * 3),
            max_level0_files,
            ..self
        }
    }

    /// Files in level 0 at which commits wait: with fewer than start a compaction they would wait for ever.
    pub(super) fn hold(&self) -> u64 {
        u64::from(self.max_level0_files.max(self.level0_trigger + 1))
    }
}

/// Level 0 is crowded if it holds so many times what lies below it: of what was imported a quarter is written twice.
pub(super) const CROWDED: usize = 4;

/// Level-0 files that start a compaction while the store settles.
pub(super) const TRIGGER_SETTLING: u32 = 2;

const MIB: usize = 1 << 20;

/// The options of the store itself.
pub(super) fn store_options(choice: &EmbeddedOptions, folding: &Folding) -> Result<Options, rocksdb::Error> {
    let mut options = Options::default();
    options.create_if_missing(true);
    folding.install(&mut options);
    // Updates of one endpoint that come by themselves: more of them in the write buffer are folded as they are written.
    // What they fold with was read just before.
    options.set_max_successive_merges(32);

    // Sorted runs are ingested and wait in level 0; few, large compactions then cost the least.
    options.set_level_zero_file_num_compaction_trigger(choice.level0_trigger.max(1).cast_signed());
    // Imports hold by themselves (`max_level0_files`); single writes need not suffer for them.
    options.set_level_zero_slowdown_writes_trigger(10_000);
    options.set_level_zero_stop_writes_trigger(15_000);
    options.set_soft_pending_compaction_bytes_limit(256 << 30);
    options.set_hard_pending_compaction_bytes_limit(1024 << 30);
    options.set_target_file_size_base(64 << 20);
    // Level 0 is also judged by its size against this: more than the files of any trigger take.
    options.set_max_bytes_for_level_base(64 << 30);
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_max_compaction_bytes(1600 << 20);
    // A compaction of level 0 takes the files of one table, and the table whose file waits longest has its turn. By default it is
    // the one whose files are the largest for what lies below: endpoints again and again, a few files each time, while the
    // links of users lay in level 0 for 120 jobs.
    options.set_compaction_pri(CompactionPri::OldestSmallestSeqFirst);
    // For each input file, and a compaction of level 0 has hundreds.
    options.set_compaction_readahead_size(128 << 10);
    options.set_max_background_jobs(2);
    // A store settles on several threads. What they need is a block of each file, and a buffer for the one they write.
    options.set_max_subcompactions(threads());
    options.set_bytes_per_sync(1 << 20);
    // Not the lowest CPU priority: commits wait for compaction when it is far behind, and on a machine that
    // others keep busy a 10 M row import then stood still for minutes.
    let mut env = Env::new()?;
    env.lower_thread_pool_io_priority();
    options.set_env(&env);

    // Only control-plane writes and single endpoints go through the write buffer.
    options.set_write_buffer_size(8 * MIB);
    options.set_max_write_buffer_number(2);
    options.set_max_total_wal_size(16 << 20);
    options.set_track_and_verify_wals_in_manifest(true);

    // Memory is bounded by the cache; files by their number; the engine's own log by both.
    let mut lru = LruCacheOptions::default();
    lru.set_capacity(choice.block_cache);
    lru.set_num_shard_bits(4);
    let cache = Cache::new_lru_cache_opts(&lru);
    let mut blocks = block_options(true);
    blocks.set_block_cache(&cache);
    options.set_block_based_table_factory(&blocks);
    options.set_max_open_files(choice.max_open_files);
    options.set_max_log_file_size(MIB);
    options.set_keep_log_file_num(4);
    options.set_max_manifest_file_size(64 * MIB);
    options.set_log_level(LogLevel::Warn);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_compression_type(DBCompressionType::Lz4);
    Ok(options)
}

/// Threads of a compaction of level 0.
fn threads() -> u32 {
    const MOST: usize = 4;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    threads.min(MOST) as u32
}

/// How a sorted run will be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Key by key.
    ByKey,
    /// From a first key on.
    InOrder,
}

/// The options of a sorted run that waits to be ingested.
///
/// A filter (10 bits a key) takes 0.1 CPU µs a row, so only a run that is read key by key has one.
///
/// Nothing is compressed before it settles: LZ4 made of endpoints 70% of their bytes, all that an import writes 78%, for
/// a fifth of its CPU time (paired, 1 M rows of 572 bytes: 3.30 against 2.73 CPU µs a row); accelerated 8 times
/// it made 85% for a tenth. Settling compresses what it rewrites anyway.
pub(super) fn run_options(access: Access, folding: &Folding) -> Options {
    let mut options = Options::default();
    folding.install(&mut options);
    options.set_block_based_table_factory(&block_options(access == Access::ByKey));
    options.set_bytes_per_sync(1 << 20);
    options.set_compression_type(DBCompressionType::None);
    options
}

fn block_options(filter: bool) -> BlockBasedOptions {
    let mut blocks = BlockBasedOptions::default();
    // Against 4 KiB: settling takes 2.9 instead of 3.4 CPU µs a row, the disk 6% less, point gets the same.
    blocks.set_block_size(8 << 10);
    blocks.set_format_version(6);
    if filter {
        blocks.set_bloom_filter(10.0, false);
    }
    // As fast as CRC-32C where that is an instruction, faster where it is not.
    blocks.set_checksum_type(ChecksumType::XXH3);
    blocks.set_data_block_index_type(DataBlockIndexType::BinarySearch);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_cache_index_and_filter_blocks_with_high_priority(true);
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_few_descriptors_opens_fewer_files() {
        let few = EmbeddedOptions::reading().within(1000);
        assert_eq!((few.max_open_files, few.max_level0_files, few.level0_trigger), (500, 750, 561));
        assert_eq!(few.block_cache, 64 << 20, "that is another matter");
        let most = EmbeddedOptions::reading().within(u64::MAX);
        assert_eq!((most.max_open_files, most.max_level0_files, most.level0_trigger), (1024, 4800, 3600));
    }

    #[test]
    fn commits_wait_at_more_files_than_start_a_compaction() {
        let options = |level0_trigger, max_level0_files| {
            let chosen = EmbeddedOptions { level0_trigger, max_level0_files, ..Default::default() };
            chosen.hold()
        };
        assert_eq!([options(10, 20), options(10, 11), options(10, 10), options(10, 0)], [20, 11, 11, 11]);
    }
}
