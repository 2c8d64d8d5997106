//! Finding the users that a batch of endpoints names, in their order.
//!
//! A scan goes along. In a long read the users of each batch lie all over the application's, and the scan would pass all
//! of them once a batch: so once it has passed many, the first of them are kept, as many as there is room for, and found in
//! memory.

use std::{
    mem,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;

use super::{
    kept::{Kept, Source},
    keys,
    scan::Scan,
    seek::{STEPS, seek},
};
use crate::Result;

/// When users are kept, and how many: a few soon, and more if there are more and the read goes on. To keep a user is to read
/// it once, as passing it by is, so a read that ends just then has read few in vain.
const STAGES: [Stage; 2] = match cfg!(test) {
    true => [Stage { passed: 1 << 5, room: 2 << 10 }, Stage { passed: 1 << 6, room: 6 << 10 }],
    false => [Stage { passed: 1 << 14, room: 8 << 20 }, Stage { passed: 1 << 17, room: 96 << 20 }],
};

struct Stage {
    /// Users passed by that were not wanted: as many endpoints that are read pass as many at least.
    passed: usize,
    /// Bytes of users that are kept then.
    room: usize,
}

/// The users that are kept, for all threads that read.
pub(super) struct Shared {
    /// Those of each stage.
    kept: [OnceLock<Kept>; STAGES.len()],
    /// Held by the one that reads them.
    reading: Mutex<()>,
    /// Whether any are kept at all.
    keeps: bool,
    /// Users that were passed by, and at first the endpoints that will be read.
    passed: AtomicUsize,
    threads: usize,
}

impl Shared {
    /// Users are kept, if at all, from the beginning, if so many `endpoints` will be read at least, as far as is known.
    pub(super) fn new(keeps: bool, endpoints: u64, threads: usize) -> Self {
        // Those that are passed by are added to it.
        let most = usize::MAX / 2;
        let passed =
            AtomicUsize::new(usize::try_from(endpoints).map_or(most, |endpoints| endpoints.min(most)));
        Self { kept: Default::default(), reading: Mutex::new(()), keeps, passed, threads }
    }

    /// The users that are kept by now, read if no other thread did.
    fn kept(&self, source: Source<'_>) -> Result<Option<&Kept>> {
        let passed = self.passed.load(Relaxed);
        let Some(stage) = STAGES.iter().rposition(|stage| self.keeps && passed >= stage.passed) else {
            return Ok(None);
        };
        if let Some(all) = self.kept[..stage].iter().filter_map(OnceLock::get).find(|kept| kept.is_all()) {
            return Ok(Some(all));
        }
        let kept = &self.kept[stage];
        if kept.get().is_none() {
            let _reading = self.reading.lock();
            if kept.get().is_none() {
                let read = Kept::read(source, STAGES[stage].room, self.threads)?;
                kept.get_or_init(|| read);
            }
        }
        Ok(kept.get())
    }
}

/// The users of an application.
pub(super) struct Users<'a> {
    source: Source<'a>,
    scan: Scan<'a>,
    /// Whether the scan is anywhere yet.
    is_begun: bool,
    /// Whether users that are wanted lie far from each other, in a read that keeps none. By itself each is found sooner then:
    /// to look for the next one on the way is to look in every file.
    is_far: bool,
    /// The record of the last one that was found by itself.
    found: Option<Vec<u8>>,
    /// Users that were passed by and that no other thread knows of.
    passed: usize,
    kept: Option<&'a Kept>,
    shared: &'a Shared,
}

impl<'a> Users<'a> {
    pub(super) fn new(source: Source<'a>, shared: &'a Shared) -> Self {
        let scan = source.scan();
        Self { source, scan, is_begun: false, is_far: false, found: None, passed: 0, kept: None, shared }
    }

    /// Begins with users before those of the last time.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.is_begun = false;
        self.shared.passed.fetch_add(mem::take(&mut self.passed), Relaxed);
        self.kept = self.shared.kept(self.source)?;
        Ok(())
    }

    /// Users that are found in memory, if any are: the same until it begins anew.
    pub(super) fn kept(&self) -> Option<&'a Kept> {
        self.kept
    }

    /// Whether all users are found in memory.
    pub(super) fn keeps_all(&self) -> bool {
        self.kept.is_some_and(Kept::is_all)
    }

    /// The record of a user that is not kept, if there is one. Users that are asked for ascend until it begins anew.
    pub(super) fn find(&mut self, user: &[u8]) -> Result<Option<&[u8]>> {
        let Source { engine, snapshot, application, .. } = self.source;
        if self.is_far {
            self.found = engine.get_in(snapshot, &keys::user(application, user))?;
            return Ok(self.found.as_deref());
        }
        let passed = seek(&mut self.scan, user, !self.is_begun, |user| keys::user(application, user))?;
        // One of them was wanted before.
        self.passed += passed.saturating_sub(1);
        self.is_begun = true;
        self.is_far = !self.shared.keeps && passed == STEPS;
        Ok(self.scan.entry()?.filter(|(found, _)| *found == user).map(|(_, record)| record))
    }
}
