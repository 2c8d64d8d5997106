//! RocksDB with our rules around it: what is acknowledged is durable, and nothing goes on after a failed write.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use pinport_model::{ApplicationId, JobId};
use rocksdb::{
    BottommostLevelCompaction, ColumnFamilyDescriptor, CompactOptions, DB, DBPinnableSlice, DBRawIterator,
    IngestExternalFileOptions, Options, ReadOptions, Snapshot, WaitForCompactOptions, WriteBatch,
    WriteOptions, checkpoint::Checkpoint,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    folding::{self, Folding},
    keys::{Key, end_of},
    lock::Lock,
    options::{Access, CROWDED, EmbeddedOptions, TRIGGER_SETTLING, run_options, store_options},
};
use crate::{
    DraftBatch, Figures, Result, StoreError, boundary,
    durable::{create_folder, write_file},
    record::LAYOUT,
};

const COLUMN_FAMILY: &str = "default";

/// Levels of files that the engine has.
const LEVELS: u32 = 7;

/// Bytes that are read ahead of a long scan, of each file it is in.
const READ_AHEAD: usize = 1 << 20;

/// Deleted or older entries that a scan passes before it is cut off, if it may be.
const PASSED: u64 = 64;

/// The layout of a store that is being brought to the newest one.
const UPGRADING: &str = "upgrading to 3";

pub(super) struct Engine {
    pub(super) db: DB,
    pub(super) path: PathBuf,
    staging: PathBuf,
    next_file: AtomicU64,
    level0_trigger: u32,
    crowded: Option<u32>,
    /// Whether the trigger is that of a crowded level 0.
    keeps_up: AtomicBool,
    max_level0_files: u64,
    small_piece: usize,
    runs: RunOptions,
    pub(super) folding: Folding,
    /// Whether what it holds has an older layout.
    pub(super) is_older: bool,
    /// Why the store stopped, if it did.
    pub(super) stopped: Mutex<Option<String>>,
    /// Whether it stopped because it could not open a file: it is to be opened again.
    lacked_descriptors: AtomicBool,
    #[cfg(test)]
    has_failed: AtomicBool,
    /// Held around whatever reads before it writes, but for endpoints.
    control: Mutex<Control>,
    /// Held around whatever changes the endpoints of an application, after `control` where both are: an application's
    /// place is found by its id, so few others share it.
    endpoints: [Mutex<()>; 64],
    settling: Mutex<()>,
    /// Whether no more compactions are to begin.
    pub(super) rests: AtomicBool,
    /// Last, so that it is released when the database is closed.
    _lock: Lock,
}

/// What is known without asking the database.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// The last piece of jobs that committed one and have not ended. A scan for it would open every run in level 0.
    pub(super) last_pieces: HashMap<JobId, u64>,
}

/// The options of sorted runs, made once: runs borrow them.
struct RunOptions {
    by_key: Options,
    in_order: Options,
}

impl Engine {
    pub(super) fn open(path: &Path, options: &EmbeddedOptions) -> Result<Self> {
        create_folder(path)?;
        let lock = Lock::take(path)?;
        boundary("store.locked");
        let is_older = check_layout(path)?;
        let staging = path.join("staging");
        // What lies there was never acknowledged.
        match fs::remove_dir_all(&staging) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::Io { action: "empty", path: staging, source });
            }
            _ => create_folder(&staging)?,
        }
        boundary("store.swept");
        let folder = path.join("db");
        create_folder(&folder)?;
        let failed = |error| engine_error(path, error);
        let folding = Folding::of(path, &options.limits)?;
        let store = store_options(options, &folding).map_err(failed)?;
        // `open_cf` would ignore the options.
        let family = ColumnFamilyDescriptor::new(COLUMN_FAMILY, store.clone());
        let db = DB::open_cf_descriptors(&store, &folder, [family]).map_err(failed)?;
        boundary("store.opened");
        Ok(Self {
            db,
            path: path.into(),
            staging,
            next_file: AtomicU64::new(0),
            level0_trigger: options.level0_trigger.max(1),
            crowded: options.crowded,
            keeps_up: AtomicBool::new(false),
            max_level0_files: options.hold(),
            small_piece: options.small_piece,
            runs: RunOptions {
                by_key: run_options(Access::ByKey, &folding),
                in_order: run_options(Access::InOrder, &folding),
            },
            folding,
            is_older,
            stopped: Mutex::new(None),
            lacked_descriptors: AtomicBool::new(false),
            #[cfg(test)]
            has_failed: AtomicBool::new(false),
            control: Mutex::default(),
            endpoints: std::array::from_fn(|_| Mutex::default()),
            settling: Mutex::new(()),
            rests: AtomicBool::new(false),
            _lock: lock,
        })
    }

    /// Notes that all there is has the newest layout by now.
    pub(super) fn note_upgrade(&self) -> Result<()> {
        write_layout(&self.path, &LAYOUT.to_string())
    }

    /// Keeps others from changing what the caller reads before it writes.
    pub(super) fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock()
    }

    /// Keeps others from changing the endpoints of an application. Take `control` first where both are needed.
    pub(super) fn endpoints_of(&self, application: ApplicationId) -> MutexGuard<'_, ()> {
        let mixed =
            application.as_bytes().iter().fold(0_usize, |mixed, byte| mixed * 31 + usize::from(*byte));
        self.endpoints[mixed % self.endpoints.len()].lock()
    }

    /// Whether it stopped because the process had no descriptor left.
    pub(super) fn lacked_descriptors(&self) -> bool {
        self.lacked_descriptors.load(Ordering::Relaxed)
    }

    /// As if the engine could not have opened a file in the background.
    #[cfg(test)]
    pub(super) fn fail_for_descriptors(&self) {
        self.lacked_descriptors.store(true, Ordering::Relaxed);
        self.has_failed.store(true, Ordering::Relaxed);
    }

    /// An error if an earlier write failed.
    pub(super) fn check(&self) -> Result<()> {
        if self.lacked_descriptors() {
            return Err(no_descriptor(&self.path));
        }
        match &*self.stopped.lock() {
            None => Ok(()),
            Some(why) => Err(StoreError::Stopped(why.clone())),
        }
    }

    /// Stops the store: after a failed write no one knows what is on the disk, and a second fsync may
    /// succeed without having written what the first could not.
    pub(super) fn stop(&self, error: rocksdb::Error) -> StoreError {
        let error = engine_error(&self.path, error);
        self.stop_for(&error);
        error
    }

    fn stop_for(&self, error: &StoreError) {
        // A file that could not be opened was not written to. If the engine itself does not go on, it is opened again.
        if error.lacks_descriptors() {
            self.lacked_descriptors.fetch_or(!self.goes_on(), Ordering::Relaxed);
            return;
        }
        self.stopped.lock().get_or_insert_with(|| match error {
            StoreError::Full { message, .. } => message.clone(),
            other => other.to_string(),
        });
    }

    /// Whether the engine still writes: one that met an error in the background repeats it at every write. This one changes
    /// nothing.
    fn goes_on(&self) -> bool {
        #[cfg(test)]
        if self.has_failed.load(Ordering::Relaxed) {
            return false;
        }
        self.db.delete([]).is_ok()
    }

    /// Whether an engine that lacked descriptors goes on by itself now, or is to be opened again, for which there must be
    /// some.
    pub(super) fn is_to_be_opened(&self) -> bool {
        if self.goes_on() {
            self.lacked_descriptors.store(false, Ordering::Relaxed);
            return false;
        }
        let some: Result<Vec<_>, _> = (0..DESCRIPTORS_TO_OPEN).map(|_| File::open(&self.path)).collect();
        some.is_ok()
    }

    /// The error of a run that could not be written. It is no part of the store yet and is thrown away: a full disk
    /// costs its piece alone, while the store itself can write.
    pub(super) fn unstaged(&self, error: rocksdb::Error) -> StoreError {
        let error = engine_error(&self.path, error);
        if !matches!(error, StoreError::Full { .. }) {
            self.stop_for(&error);
        }
        error
    }

    fn read_error(&self, error: rocksdb::Error) -> StoreError {
        engine_error(&self.path, error)
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>> {
        folding::reads(true);
        self.db.get_pinned(key).map_err(|error| self.read_error(error))
    }

    /// The same as it was when the snapshot was made.
    pub(super) fn get_in(&self, snapshot: &Snapshot<'_>, key: &[u8]) -> Result<Option<Vec<u8>>> {
        folding::reads(true);
        snapshot.get(key).map_err(|error| self.read_error(error))
    }

    pub(super) fn get_json<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>> {
        self.get(key)?.map(|bytes| from_json(&bytes)).transpose()
    }

    /// The same, as it was when the snapshot was made.
    pub(super) fn get_json_in<T: DeserializeOwned>(
        &self,
        snapshot: &Snapshot<'_>,
        key: &[u8],
    ) -> Result<Option<T>> {
        self.get_in(snapshot, key)?.map(|bytes| from_json(&bytes)).transpose()
    }

    /// The values of keys that ascend.
    pub(super) fn get_sorted(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<DBPinnableSlice<'_>>>> {
        debug_assert!(keys.is_sorted());
        let family = self.db.cf_handle(COLUMN_FAMILY).expect("the store was opened with it");
        folding::reads(true);
        let values = self.db.batched_multi_get_cf(family, keys, true);
        values.into_iter().map(|value| value.map_err(|error| self.read_error(error))).collect()
    }

    /// The entries whose keys begin with `prefix`.
    pub(super) fn scan(&self, prefix: &[u8]) -> Scan<'_> {
        Scan { engine: self, entries: self.db.raw_iterator_opt(within(prefix)), prefix: prefix.len() }
    }

    /// The same, as they were when the snapshot was made.
    pub(super) fn scan_in<'a>(&'a self, snapshot: &'a Snapshot<'_>, prefix: &[u8]) -> Scan<'a> {
        Scan { engine: self, entries: snapshot.raw_iterator_opt(within(prefix)), prefix: prefix.len() }
    }

    /// The same, but cut off where it would pass many deleted entries ([`Scan::is_cut_off`]).
    pub(super) fn hop_in<'a>(&'a self, snapshot: &'a Snapshot<'_>, prefix: &[u8]) -> Scan<'a> {
        let mut options = within(prefix);
        options.set_max_skippable_internal_keys(PASSED);
        Scan { engine: self, entries: snapshot.raw_iterator_opt(options), prefix: prefix.len() }
    }

    /// The same for a long way: what is read is not kept in the cache, where it would drive out what others need.
    pub(super) fn stream_in<'a>(&'a self, snapshot: &'a Snapshot<'_>, prefix: &[u8]) -> Scan<'a> {
        let mut options = within(prefix);
        options.fill_cache(false);
        options.set_readahead_size(READ_AHEAD);
        Scan { engine: self, entries: snapshot.raw_iterator_opt(options), prefix: prefix.len() }
    }

    /// The rows below `prefix`, from the last key on, or from the last before `before`.
    pub(super) fn newest<T: DeserializeOwned>(
        &self,
        prefix: &[u8],
        before: Option<Key>,
        limit: usize,
    ) -> Result<Vec<T>> {
        let mut entries = self.scan(prefix);
        match before {
            None => entries.seek_last(),
            Some(before) => entries.seek_before(&before),
        }
        let mut found = Vec::new();
        while found.len() < limit
            && let Some((_, json)) = entries.entry()?
        {
            found.push(from_json(json)?);
            entries.back();
        }
        Ok(found)
    }

    /// Writes a batch through the log, durable when this returns.
    pub(super) fn write(&self, batch: WriteBatch) -> Result<()> {
        self.check()?;
        let mut options = WriteOptions::default();
        options.set_sync(true);
        boundary("write.begun");
        folding::reads(false);
        self.db.write_opt(batch, &options).map_err(|error| self.stop(error))?;
        boundary("write.durable");
        Ok(())
    }

    /// Whether a piece goes through the log rather than into runs.
    pub(super) fn is_small(&self, batches: &[DraftBatch]) -> bool {
        batches.iter().flat_map(DraftBatch::sizes).try_fold(self.small_piece, usize::checked_sub).is_some()
    }

    /// The options of a sorted run and a path for it that no one else has.
    pub(super) fn stage(&self, access: Access) -> (&Options, PathBuf) {
        let options = match access {
            Access::ByKey => &self.runs.by_key,
            Access::InOrder => &self.runs.in_order,
        };
        let number = self.next_file.fetch_add(1, Ordering::Relaxed);
        (options, self.staging.join(format!("{number}.sst")))
    }

    /// Makes sorted runs part of the store, all of them or none, durable when this returns.
    pub(super) fn ingest(&self, runs: Vec<&Path>) -> Result<()> {
        self.check()?;
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        boundary("ingest.begun");
        self.db.ingest_external_file_opts(&options, runs).map_err(|error| self.stop(error))?;
        boundary("ingest.durable");
        Ok(())
    }

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

    /// Removes files of which all keys begin with a prefix that is deleted and that no one will ever write or read.
    pub(super) fn drop_files(&self, prefix: &[u8]) -> Result<()> {
        let dropped = self.db.delete_file_in_range(prefix, &end_of(prefix));
        dropped.map_err(|error| self.stop(error))
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

    /// Makes what is stored at this moment a store of its own in a folder that is there and empty.
    pub(super) fn checkpoint(&self, folder: &Path) -> Result<()> {
        self.check()?;
        // The files that never change get second names; the log, which holds what is newest, is copied.
        let made =
            Checkpoint::new(&self.db).and_then(|checkpoint| checkpoint.create_checkpoint(folder.join("db")));
        made.map_err(|error| self.read_error(error))?;
        // Beside the database, as in a store. A store without bounds of its own has the usual ones.
        for name in ["layout", "bounds"] {
            let (from, to) = (self.path.join(name), folder.join(name));
            match fs::copy(&from, &to) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(StoreError::Io { action: "copy", path: from, source }),
            }
        }
        Ok(())
    }

    /// What its files and its work come to.
    pub(super) fn figures(&self) -> Result<Figures> {
        let mut files = 0;
        for level in 0..LEVELS {
            files += self.property(&format!("rocksdb.num-files-at-level{level}"))?;
        }
        Ok(Figures {
            bytes: self.property("rocksdb.total-sst-files-size")?,
            files,
            unsettled_files: self.property("rocksdb.num-files-at-level0")?,
            pending_bytes: self.property("rocksdb.estimate-pending-compaction-bytes")?,
            compactions: self.property("rocksdb.num-running-compactions")?,
            memory_bytes: self.property("rocksdb.cur-size-all-mem-tables")?
                + self.property("rocksdb.block-cache-usage")?
                + self.property("rocksdb.estimate-table-readers-mem")?,
        })
    }

    pub(super) fn property(&self, name: &str) -> Result<u64> {
        let value = self.db.property_int_value(name).map_err(|error| self.read_error(error))?;
        value.ok_or_else(|| StoreError::Engine(format!("there is no property {name}")))
    }
}

/// The options of a scan that stays within a prefix.
fn within(prefix: &[u8]) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(prefix);
    options.set_iterate_upper_bound(end_of(prefix));
    options
}

/// Entries of one prefix, in order of their keys.
pub(super) struct Scan<'a> {
    engine: &'a Engine,
    entries: DBRawIterator<'a>,
    prefix: usize,
}

impl Scan<'_> {
    pub(super) fn seek_first(&mut self) {
        folding::reads(true);
        self.entries.seek_to_first();
    }

    pub(super) fn seek_last(&mut self) {
        folding::reads(true);
        self.entries.seek_to_last();
    }

    /// To the first key at or after `key`.
    pub(super) fn seek(&mut self, key: &[u8]) {
        folding::reads(true);
        self.entries.seek(key);
    }

    /// To the first key after `key`.
    pub(super) fn seek_after(&mut self, key: &[u8]) {
        self.seek(key);
        if self.entries.key() == Some(key) {
            self.entries.next();
        }
    }

    /// To the last key before `key`.
    pub(super) fn seek_before(&mut self, key: &[u8]) {
        folding::reads(true);
        self.entries.seek_for_prev(key);
        if self.entries.key() == Some(key) {
            self.entries.prev();
        }
    }

    pub(super) fn forward(&mut self) {
        folding::reads(true);
        self.entries.next();
    }

    pub(super) fn back(&mut self) {
        folding::reads(true);
        self.entries.prev();
    }

    /// Whether it stopped because it would have had to pass many entries that are deleted.
    pub(super) fn is_cut_off(&self) -> bool {
        let status = self.entries.status();
        status.is_err_and(|error| error.kind() == rocksdb::ErrorKind::Incomplete)
    }

    /// The key after the prefix and the value, or `None` at the end.
    pub(super) fn entry(&self) -> Result<Option<(&[u8], &[u8])>> {
        match self.entries.item() {
            Some((key, value)) => Ok(Some((&key[self.prefix..], value))),
            None => match self.entries.status() {
                Ok(()) => Ok(None),
                Err(error) => Err(self.engine.read_error(error)),
            },
        }
    }
}

pub(super) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| StoreError::Corrupt(format!("a stored record: {error}")))
}

pub(super) fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| StoreError::Engine(format!("cannot write JSON: {error}")))
}

/// More descriptors than it takes to open a store.
const DESCRIPTORS_TO_OPEN: usize = 64;

/// The code of "Too many open files", which the engine gives in words only.
const EMFILE: i32 = 24;

/// The error of a process that has no descriptor left.
fn no_descriptor(path: &Path) -> StoreError {
    let source = io::Error::from_raw_os_error(EMFILE);
    StoreError::Io { action: "open a file of", path: path.into(), source }
}

/// The error of the engine in our words.
fn engine_error(path: &Path, error: rocksdb::Error) -> StoreError {
    let kind = error.kind();
    let message = error.into_string();
    if message.contains("No space left") {
        return StoreError::Full { path: path.into(), message };
    }
    if message.contains("Too many open files") {
        return no_descriptor(path);
    }
    match kind {
        rocksdb::ErrorKind::Corruption => StoreError::Corrupt(message),
        _ => StoreError::Engine(message),
    }
}

/// Refuses a newer layout, before the engine sees (and perhaps compacts) anything of it. Whether it is an older one.
fn check_layout(folder: &Path) -> Result<bool> {
    let path = folder.join("layout");
    let error = |action| {
        let path = path.clone();
        move |source| StoreError::Io { action, path, source }
    };
    match fs::read_to_string(&path) {
        // An earlier opening was ended before it had brought everything to this layout.
        Ok(text) if text.trim() == UPGRADING => Ok(true),
        Ok(text) => {
            let found: u32 = text.trim().parse().map_err(|_| {
                StoreError::Corrupt(format!("{} does not hold the number of a layout", path.display()))
            })?;
            if found > LAYOUT {
                return Err(StoreError::NewerLayout { path: folder.into(), found, known: LAYOUT });
            }
            if found < LAYOUT {
                // Older programs refuse this text: they must not open what is half of one layout and half of another.
                write_layout(folder, UPGRADING)?;
            }
            Ok(found < LAYOUT)
        }
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            write_layout(folder, &LAYOUT.to_string()).map(|()| false)
        }
        Err(source) => Err(error("read")(source)),
    }
}

/// Notes the layout, durably.
fn write_layout(folder: &Path, layout: &str) -> Result<()> {
    Ok(write_file(folder, "layout", format!("{layout}\n").as_bytes())?)
}

/// Compacts what imports left in level 0, and joins small files.
pub(super) fn settle(engine: &Engine) -> Result<()> {
    engine.check()?;
    let _settling = engine.settling.lock();
    engine.set_trigger(TRIGGER_SETTLING)?;
    boundary("settle.begun");
    let mut wait = WaitForCompactOptions::default();
    wait.set_flush(true);
    let waited = engine.db.wait_for_compact(&wait);
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
