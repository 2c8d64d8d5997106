//! Finding the users that a batch of endpoints names, in their order.
//!
//! A scan goes along. In a long read the users of each batch lie all over the application's, and the scan would pass all
//! of them once a batch: so once it has passed many, the first of them are kept, as many as there is room for, and found in
//! memory.

use std::sync::OnceLock;

use parking_lot::Mutex;

use super::{
    kept::{Kept, Source},
    keys,
    scan::Scan,
    seek::{STEPS, seek},
};
use crate::Result;

/// Users passed by that were not wanted, before some are kept: as many endpoints that are read pass as many at least.
const PASSED: usize = if cfg!(test) { 1 << 6 } else { 1 << 17 };

/// The users that are kept, for all threads that read.
pub(super) struct Shared {
    kept: OnceLock<Kept>,
    /// Held by the one that reads them.
    reading: Mutex<()>,
    /// Bytes that may be kept.
    room: usize,
    /// How many endpoints will be read at least, as far as is known.
    endpoints: usize,
    threads: usize,
}

impl Shared {
    /// At most `room` bytes of users are kept: from the beginning, if so many `endpoints` will be read.
    pub(super) fn new(room: usize, endpoints: u64, threads: usize) -> Self {
        let endpoints = usize::try_from(endpoints).unwrap_or(usize::MAX);
        Self { kept: OnceLock::new(), reading: Mutex::new(()), room, endpoints, threads }
    }

    /// Users that are found in memory, if any are.
    fn kept(&self) -> Option<&Kept> {
        self.kept.get()
    }

    /// Reads those that are kept, unless another thread did.
    fn keep(&self, users: &Users<'_>) -> Result<()> {
        let _reading = self.reading.lock();
        if self.kept().is_none() {
            let kept = Kept::read(users.source, self.room, self.threads)?;
            self.kept.get_or_init(|| kept);
        }
        Ok(())
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
    /// Users that were passed by, and at first the endpoints that will be read.
    passed: usize,
    shared: &'a Shared,
}

impl<'a> Users<'a> {
    pub(super) fn new(source: Source<'a>, shared: &'a Shared) -> Self {
        let (scan, passed) = (source.scan(), shared.endpoints);
        Self { source, scan, is_begun: false, is_far: false, found: None, passed, shared }
    }

    /// Begins with users before those of the last time.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.is_begun = false;
        if self.shared.kept().is_none() && self.shared.room > 0 && self.passed >= PASSED {
            self.shared.keep(self)?;
        }
        Ok(())
    }

    /// Users that are found in memory, if any are.
    pub(super) fn kept(&self) -> Option<&Kept> {
        self.shared.kept()
    }

    /// Whether all users are found in memory.
    pub(super) fn keeps_all(&self) -> bool {
        self.kept().is_some_and(|kept| kept.is_all())
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
        self.passed = self.passed.saturating_add(passed.saturating_sub(1));
        self.is_begun = true;
        self.is_far = self.shared.room == 0 && passed == STEPS;
        Ok(self.scan.entry()?.filter(|(found, _)| *found == user).map(|(_, record)| record))
    }
}
