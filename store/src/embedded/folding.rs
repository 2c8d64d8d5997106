//! The merge operator: how RocksDB folds the records of a key, or the links of a group, and the count of what had no room.
//!
//! All records of a key are folded at once, oldest first, so what is left out does not depend on when the engine
//! compacts. Records without those before them stay as they are, unless there are very many: what has no room among them
//! is only known with the older ones.

use std::{
    cell::Cell,
    collections::HashMap,
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use pinport_model::{ApplicationId, limits::RecordLimits};
use rocksdb::{MergeOperands, Options};

use super::{
    groups,
    keys::{Table, application_of},
};
use crate::{
    Result, StoreError,
    durable::write_file,
    record::{
        JobMark,
        bounds::{Bounds, LeftOut, fold_within},
        read::job_of,
    },
};

/// Stored with the data; never change it.
const NAME: &str = "pinport.record.1";

/// Records without those before them that are folded: fewer are read at once without harm.
const MANY: usize = 1000;

/// The file of a store's folder that has its bounds.
const FILE: &str = "bounds";

thread_local! {
    /// Whether this thread only reads what it folds. What it leaves out will be left out, and counted, when it is stored.
    static READS: Cell<bool> = const { Cell::new(false) };
}

/// Notes what this thread folds as only read, or as stored. The engine's own threads store.
pub(super) fn reads(only: bool) {
    READS.set(only);
}

/// The application and the mark of a job.
type Of = (ApplicationId, JobMark);

/// What had no room. Which jobs it is of is kept by [`super::left_out`].
#[derive(Debug, Clone, Default)]
pub(super) struct LeftOutCounts {
    members: Arc<AtomicU64>,
    /// Records that lost members.
    pub(super) records: Arc<Mutex<HashMap<Of, u64>>>,
}

impl LeftOutCounts {
    pub(super) fn add_members(&self, count: u64) {
        self.members.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn add_record(&self, of: Of) {
        *self.records.lock().entry(of).or_default() += 1;
    }

    /// Members, since the store was opened.
    pub(super) fn members(&self) -> u64 {
        self.members.load(Ordering::Relaxed)
    }
}

/// Folds within the bounds of a store.
#[derive(Debug, Clone)]
pub(super) struct Folding {
    pub(super) bounds: Bounds,
    pub(super) left_out: LeftOutCounts,
}

impl Folding {
    /// With the bounds of the store in `folder`, which become at least these.
    pub(super) fn of(folder: &Path, limits: &RecordLimits) -> Result<Self> {
        let (asked, default) = (Bounds::from(limits), Bounds::from(&RecordLimits::default()));
        let stored = read(folder)?;
        let known = stored.unwrap_or(default);
        let most = |of: fn(&Bounds) -> usize| of(&asked).max(of(&default)).max(of(&known));
        let bounds = Bounds { names: most(|bounds| bounds.names), bytes: most(|bounds| bounds.bytes) };
        if bounds != known {
            write(folder, bounds)?;
        }
        Ok(Self { bounds, left_out: LeftOutCounts::default() })
    }

    pub(super) fn install(&self, options: &mut Options) {
        let (full, partial) = (self.clone(), self.clone());
        options.set_merge_operator(
            NAME,
            move |key: &[u8], base: Option<&[u8]>, records: &MergeOperands| {
                if is_group(key) {
                    return groups::fold(base.into_iter().chain(records), false).ok();
                }
                // Copies in a segment's layer and users keep their removals: they apply to the registered endpoint, and to
                // what an endpoint kept from before it had a user, when these are read.
                let keep_removals = is_of(key, Table::Members) || is_of(key, Table::Users);
                full.fold(key, base, records, keep_removals)
            },
            move |key: &[u8], _: Option<&[u8]>, records: &MergeOperands| {
                if is_group(key) {
                    return groups::fold(records.into_iter(), true).ok();
                }
                if records.len() < MANY { None } else { partial.fold(key, None, records, true) }
            },
        );
    }

    /// `None`, if a record is damaged: the engine then reports corruption.
    fn fold(
        &self,
        key: &[u8],
        base: Option<&[u8]>,
        records: &MergeOperands,
        keep_removals: bool,
    ) -> Option<Vec<u8>> {
        let all = || base.into_iter().chain(records);
        let (whole, left_out) = fold_within(self.bounds, all(), keep_removals).ok()?;
        if left_out.members > 0 && !READS.get() {
            self.count(key, &left_out, all());
        }
        Some(whole)
    }

    /// Counts what was left out of what is stored under a key.
    #[cold]
    fn count<'a>(&self, key: &[u8], left_out: &LeftOut, records: impl Iterator<Item = &'a [u8]>) {
        self.left_out.add_members(left_out.members);
        let Some(application) = application_of(key) else { return };
        for (place, record) in records.enumerate() {
            if left_out.records.contains(&place)
                && let Ok(Some(job)) = job_of(record)
            {
                self.left_out.add_record((application, job));
            }
        }
    }
}

/// Whether a key is of a group of links.
fn is_group(key: &[u8]) -> bool {
    is_of(key, Table::LinkGroups) || is_of(key, Table::CopyLinkGroups)
}

fn is_of(key: &[u8], table: Table) -> bool {
    key.first() == Some(&(table as u8))
}

/// The bounds of a store that was opened with others than the defaults.
fn read(folder: &Path) -> Result<Option<Bounds>> {
    let path = folder.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreError::Io { action: "read", path, source }),
    };
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(names)), Some(Ok(bytes)), None) => Ok(Some(Bounds { names, bytes })),
        _ => Err(StoreError::Corrupt(format!("{} does not hold two numbers", path.display()))),
    }
}

/// Notes the bounds, durably.
fn write(folder: &Path, bounds: Bounds) -> Result<()> {
    Ok(write_file(folder, FILE, format!("{} {}\n", bounds.names, bounds.bytes).as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_of_a_store_only_grow() {
        let folder = tempfile::tempdir().unwrap();
        let bounds = |names, bytes| {
            let limits =
                RecordLimits { max_attributes: names, max_endpoint: bytes, ..RecordLimits::default() };
            let bounds = Folding::of(folder.path(), &limits).unwrap().bounds;
            (bounds.names, bounds.bytes)
        };
        assert_eq!(bounds(1, 2), (250, 15 << 10));
        assert!(!folder.path().join(FILE).exists(), "the defaults need no file");
        assert_eq!(bounds(300, 2), (300, 15 << 10));
        assert_eq!(bounds(1, 20_000), (300, 20_000));
        assert_eq!(bounds(250, 15 << 10), (300, 20_000));
        fs::write(folder.path().join(FILE), "many").unwrap();
        assert!(matches!(Folding::of(folder.path(), &RecordLimits::default()), Err(StoreError::Corrupt(_))));
    }
}
