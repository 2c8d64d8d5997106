//! How fast jobs may read: so many records or bytes a second, changed while they run. A job that is over its rate waits
//! where it reads, before its next block takes any memory. Without a rate nothing is measured.

use std::{
    num::NonZeroU64,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

/// How often a waiting reader checks whether it is cancelled.
const LOOK: Duration = Duration::from_millis(50);

/// A rate; what is absent has no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ThrottleRate {
    /// Records a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_per_second: Option<NonZeroU64>,
    /// Decoded bytes a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<NonZeroU64>,
}

impl ThrottleRate {
    /// Whether nothing is bounded.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Lets readers take turns at a rate. Blocks are let through whole: the next one waits until the one before is paid.
#[derive(Debug, Default)]
pub struct Throttle {
    on: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    rate: ThrottleRate,
    /// When what was let through is paid.
    free: Option<Instant>,
}

impl Throttle {
    /// One with a rate.
    pub fn new(rate: ThrottleRate) -> Self {
        let throttle = Self::default();
        throttle.set(rate);
        throttle
    }

    /// Changes the rate, for those who wait too.
    pub fn set(&self, rate: ThrottleRate) {
        let mut state = self.state.lock();
        if state.rate != rate {
            *state = State { rate, free: None };
            self.on.store(!rate.is_none(), Ordering::Release);
            drop(state);
            self.changed.notify_all();
        }
    }

    /// The rate.
    pub fn rate(&self) -> ThrottleRate {
        self.state.lock().rate
    }

    /// Waits until so much may be read; whether it was not cancelled.
    pub(crate) fn take(&self, rows: u64, bytes: u64, cancel: &CancellationToken) -> bool {
        if !self.on.load(Ordering::Acquire) {
            return true;
        }
        let mut state = self.state.lock();
        loop {
            if cancel.is_cancelled() {
                return false;
            }
            let now = Instant::now();
            match state.free.filter(|free| *free > now) {
                Some(free) => {
                    self.changed.wait_until(&mut state, free.min(now + LOOK));
                }
                None => {
                    state.free = Some(now + state.rate.cost(rows, bytes));
                    return true;
                }
            }
        }
    }
}

impl ThrottleRate {
    /// How long so much takes.
    fn cost(&self, rows: u64, bytes: u64) -> Duration {
        let cost = |count: u64, rate: Option<NonZeroU64>| {
            let nanos = rate.map_or(0, |rate| u128::from(count) * 1_000_000_000 / u128::from(rate.get()));
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        };
        // A rate of one a second and a block of many: no job waits for years.
        const LONGEST: Duration = Duration::from_secs(24 * 3600);
        cost(rows, self.rows_per_second).max(cost(bytes, self.bytes_per_second)).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(rows: u64, bytes: u64) -> ThrottleRate {
        ThrottleRate { rows_per_second: NonZeroU64::new(rows), bytes_per_second: NonZeroU64::new(bytes) }
    }

    #[test]
    fn what_is_dearer_decides() {
        assert_eq!(rate(10, 0).cost(5, 1 << 40), Duration::from_millis(500));
        assert_eq!(rate(10, 1000).cost(5, 2000), Duration::from_secs(2));
        assert_eq!(rate(0, 0).cost(u64::MAX, u64::MAX), Duration::ZERO);
        assert_eq!(rate(1, 0).cost(u64::MAX, 0), Duration::from_secs(24 * 3600));
    }

    #[test]
    fn a_block_waits_until_the_one_before_is_paid() {
        let throttle = Throttle::new(rate(1000, 0));
        let cancel = CancellationToken::new();
        let begun = Instant::now();
        for _ in 0..4 {
            assert!(throttle.take(20, 0, &cancel));
        }
        // The fourth is let through when three are paid.
        assert!(begun.elapsed() >= Duration::from_millis(60), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_waiting_reader_notices_a_new_rate_and_the_end() {
        let throttle = Throttle::new(rate(1, 0));
        let cancel = CancellationToken::new();
        assert!(throttle.take(3600, 0, &cancel));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| throttle.take(1, 0, &cancel));
            throttle.set(ThrottleRate::default());
            assert!(waiting.join().unwrap());
        });
        throttle.set(rate(1, 0));
        assert!(throttle.take(3600, 0, &cancel));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| throttle.take(1, 0, &cancel));
            cancel.cancel();
            assert!(!waiting.join().unwrap());
        });
    }
}
