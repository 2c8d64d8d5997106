//! CPU time, as Linux counts it.

use std::{fs, iter::Sum};

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
    between(|| nanos("/proc/thread-self/schedstat"), work)
}

/// What `work` costs on all threads, those of the store included, as long as none ends on the way.
pub(crate) fn process<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    let all = || {
        let tasks = fs::read_dir("/proc/self/task").expect("Linux has /proc");
        tasks.flatten().map(|task| nanos(task.path().join("schedstat"))).sum()
    };
    between(all, work)
}

fn between<T>(clock: impl Fn() -> u64, work: impl FnOnce() -> T) -> (T, Cost) {
    let before = clock();
    let answer = work();
    (answer, Cost(clock() - before))
}

fn nanos(path: impl AsRef<std::path::Path>) -> u64 {
    let text = fs::read_to_string(path).expect("the kernel counts CPU time by thread (CONFIG_SCHED_INFO)");
    text.split(' ').next().and_then(|text| text.parse().ok()).expect("the first number is CPU time")
}
