//! RocksDB with our rules around it: what is acknowledged is durable, and nothing goes on after a failed write.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use parking_lot::{Mutex, MutexGuard};
use pinport_model::{ApplicationId, JobId};
use rocksdb::{
    ColumnFamilyDescriptor, DB, DBPinnableSlice, IngestExternalFileOptions, Options, Snapshot, WriteBatch,
    WriteOptions, checkpoint::Checkpoint,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    error::{engine_error, no_descriptor},
    folding::{self, Folding},
    groups::Spread,
    keys::end_of,
    known_links::KnownLinks,
    layout,
    lock::Lock,
    options::{Access, EmbeddedOptions, run_options, store_options},
};
use crate::{DraftBatch, Figures, Result, StoreError, boundary, durable::create_folder, record::LAYOUT};

const COLUMN_FAMILY: &str = "default";

/// Levels of files that the engine has.
const LEVELS: u32 = 7;

/// More descriptors than it takes to open a store.
const DESCRIPTORS_TO_OPEN: usize = 64;

pub(super) struct Engine {
    pub(super) db: DB,
    pub(super) path: PathBuf,
    staging: PathBuf,
    next_file: AtomicU64,
    pub(super) level0_trigger: u32,
    pub(super) crowded: Option<u32>,
    /// Whether the trigger is that of a crowded level 0.
    pub(super) keeps_up: AtomicBool,
    pub(super) max_level0_files: u64,
    small_piece: usize,
    runs: RunOptions,
    pub(super) folding: Folding,
    pub(super) known_links: KnownLinks,
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
    pub(super) settling: Mutex<()>,
    /// Whether no more compactions are to begin.
    pub(super) rests: AtomicBool,
    /// Last, so that it is released when the database is closed.
    _lock: Lock,
}

/// What is known without asking the database.
#[derive(Debug, Default)]
pub(super) struct Control {
    /// The last piece of jobs that committed one and have not ended.
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
        let is_older = layout::check(path)?;
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
            known_links: KnownLinks::new(options.known_links),
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
        layout::write(&self.path, &LAYOUT.to_string())
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

    pub(super) fn stop_for(&self, error: &StoreError) {
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

    pub(super) fn read_error(&self, error: rocksdb::Error) -> StoreError {
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

    /// How links are spread that are written now.
    pub(super) fn spread(&self) -> Result<Spread> {
        Ok(Spread::of_store(self.property("rocksdb.live-sst-files-size")?))
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

    /// Removes files of which all keys begin with a prefix that is deleted and that no one will ever write or read.
    pub(super) fn drop_files(&self, prefix: &[u8]) -> Result<()> {
        let dropped = self.db.delete_file_in_range(prefix, &end_of(prefix));
        dropped.map_err(|error| self.stop(error))
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

pub(super) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| StoreError::Corrupt(format!("a stored record: {error}")))
}

pub(super) fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| StoreError::Engine(format!("cannot write JSON: {error}")))
}
