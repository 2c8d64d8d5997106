//! The bytes a process may have in flight, and the guards that carry them.
//!
//! A guard lives inside the message it pays for, so that dropping the message anywhere gives the bytes back.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tokio_util::sync::CancellationToken;

/// A shared budget of bytes.
#[derive(Debug, Clone)]
pub(super) struct ByteBudget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limit: u64,
    taken: Mutex<Taken>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Taken {
    used: u64,
    /// The part of `used` that pieces hold which are still being read: it cannot become free while
    /// their readers wait.
    open: u64,
}

/// Bytes taken from a [`ByteBudget`] until this is dropped.
#[derive(Debug)]
pub(super) struct ByteGuard {
    budget: ByteBudget,
    bytes: u64,
    open: bool,
}

impl ByteBudget {
    /// A budget of `limit` bytes.
    pub(super) fn new(limit: u64) -> Self {
        Self { shared: Arc::new(Shared { limit, taken: Mutex::default(), freed: Condvar::new() }) }
    }

    /// Bytes taken now.
    pub(super) fn used(&self) -> u64 {
        self.shared.taken.lock().used
    }

    /// Takes `bytes` for a piece that is being read, waiting until they are free; `None` when `cancel`
    /// fires first. When all that is taken belongs to pieces that are still being read, waiting would be
    /// for ever, so the bytes are granted over the limit: by less than one piece a running job.
    pub(super) fn take(&self, bytes: u64, cancel: &CancellationToken) -> Option<ByteGuard> {
        let mut taken = self.shared.taken.lock();
        while taken.used + bytes > self.shared.limit && taken.used > taken.open {
            if cancel.is_cancelled() {
                return None;
            }
            // The time-out only bounds how late a cancellation is noticed.
            self.shared.freed.wait_for(&mut taken, std::time::Duration::from_millis(50));
        }
        taken.used += bytes;
        taken.open += bytes;
        Some(ByteGuard { budget: self.clone(), bytes, open: true })
    }
}

impl ByteGuard {
    /// Notes that the piece these bytes belong to has been read: they become free by themselves now.
    pub(super) fn close(&mut self) {
        if std::mem::take(&mut self.open) {
            self.budget.shared.taken.lock().open -= self.bytes;
            self.budget.shared.freed.notify_all();
        }
    }
}

impl Drop for ByteGuard {
    fn drop(&mut self) {
        self.close();
        self.budget.shared.taken.lock().used -= self.bytes;
        self.budget.shared.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiter_goes_on_when_bytes_are_given_back() {
        let budget = ByteBudget::new(10);
        let never = CancellationToken::new();
        let mut first = budget.take(8, &never).unwrap();
        first.close();
        let waiter = std::thread::spawn({
            let (budget, never) = (budget.clone(), never.clone());
            move || budget.take(8, &never).map(|_| budget.used())
        });
        drop(first);
        assert_eq!(waiter.join().unwrap(), Some(8));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_cancelled_waiter_takes_nothing() {
        let budget = ByteBudget::new(10);
        let cancel = CancellationToken::new();
        let mut all = budget.take(10, &cancel).unwrap();
        all.close();
        cancel.cancel();
        assert!(budget.take(1, &cancel).is_none());
        assert_eq!(budget.used(), 10);
    }

    #[test]
    fn readers_that_would_wait_for_each_other_are_served() {
        let budget = ByteBudget::new(10);
        let never = CancellationToken::new();
        let _one = budget.take(5, &never).unwrap();
        let _other = budget.take(5, &never).unwrap();
        assert!(budget.take(5, &never).is_some());
    }
}
