//! Goes over the entries of one prefix, as they are or as a snapshot has them.

use rocksdb::{DBRawIterator, ReadOptions, Snapshot};
use serde::de::DeserializeOwned;

use super::{
    engine::{Engine, from_json},
    folding,
    keys::{Key, end_of},
};
use crate::Result;

/// Bytes that are read ahead of a long scan, of each file it is in.
///
/// With 1 MiB, to read what two imports left took no less time and a third more memory.
const READ_AHEAD: usize = 96 << 10;

/// The same for jumps, after which a few blocks are read.
const SKIM_AHEAD: usize = 32 << 10;

/// Deleted or older entries that a scan passes before it is cut off, if it may be.
const PASSED: u64 = 64;

impl Engine {
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

    /// The same for a long way in jumps.
    pub(super) fn skim_in<'a>(&'a self, snapshot: &'a Snapshot<'_>, prefix: &[u8]) -> Scan<'a> {
        let mut options = within(prefix);
        options.fill_cache(false);
        options.set_readahead_size(SKIM_AHEAD);
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
}

/// The options of a scan that stays within a prefix.
fn within(prefix: &[u8]) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(prefix);
    options.set_iterate_upper_bound(end_of(prefix));
    // A scan that is the last to need the files before a compaction does not wait until they are deleted.
    options.set_background_purge_on_iterator_cleanup(true);
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

    /// To the last key at or before `key`.
    pub(super) fn seek_until(&mut self, key: &[u8]) {
        folding::reads(true);
        self.entries.seek_for_prev(key);
    }

    /// To the last key before `key`.
    pub(super) fn seek_before(&mut self, key: &[u8]) {
        self.seek_until(key);
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
