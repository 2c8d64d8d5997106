//! CPU time, as Linux counts it.

#![allow(unsafe_code, reason = "calls libc")]

use std::iter::Sum;

/// Nanoseconds of CPU time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cost(u64);

impl Cost {
    pub(crate) fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        Self(costs.map(|cost| cost.0).sum())
    }
}

/// What `work` costs on this thread.
pub(crate) fn thread<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    between(libc::CLOCK_THREAD_CPUTIME_ID, work)
}

/// What `work` costs on all threads, those of the store included.
pub(crate) fn process<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    between(libc::CLOCK_PROCESS_CPUTIME_ID, work)
}

fn between<T>(clock: libc::clockid_t, work: impl FnOnce() -> T) -> (T, Cost) {
    let before = nanos(clock);
    let answer = work();
    (answer, Cost(nanos(clock) - before))
}

fn nanos(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec that lives here.
    let answer = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(answer, 0, "Linux has these clocks");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
