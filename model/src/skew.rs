//! How wrong the clock of this process is: only in builds for tests, which set it.

use std::sync::atomic::{AtomicI64, Ordering};

static SKEW_MS: AtomicI64 = AtomicI64::new(0);

/// From here on the clock is wrong by so many milliseconds.
pub fn set(ms: i64) {
    SKEW_MS.store(ms, Ordering::Relaxed);
}

pub(crate) fn ms() -> i64 {
    SKEW_MS.load(Ordering::Relaxed)
}
