//! Lets the store sort itself beside the jobs that run.

use std::time::{Duration, Instant};

use super::Inner;

/// Beside running jobs the store is settled for one part of this many and one.
const SETTLING_RESTS: u32 = 4;
/// But it rests no longer than this at a time.
const MOST_REST: Duration = Duration::from_secs(5);

impl Inner {
    /// Waits, after a part of the work took so long, until the next may begin beside the jobs that run; whether there is a next.
    pub(super) fn may_settle_on(&self, took: Duration) -> bool {
        let until = Instant::now() + (took * SETTLING_RESTS).min(MOST_REST);
        let mut state = self.state.lock();
        while !state.stopping && state.running() > 0 {
            if self.changed.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        !state.stopping
    }

    /// Lets the store sort itself when no job runs. In a database that is work beside that of jobs: it has a share of the time.
    pub(super) fn settle_when_idle(&self) {
        let Some(this) = self.this.upgrade().filter(|_| self.command.is_none()) else { return };
        let idle = {
            let mut state = self.state.lock();
            let may = state.running() == 0 || self.store.is_shared();
            let idle = may && !state.stopping && state.halted.is_none() && !state.settling;
            state.settling |= idle;
            idle
        };
        if !idle {
            return;
        }
        let settle = move || {
            let begun = Instant::now();
            let settled = match this.store.wants_settling() {
                true => this.store.settle_while(&mut |took| this.may_settle_on(took)),
                false => Ok(()),
            };
            let mut state = this.state.lock();
            state.settling = false;
            match settled {
                Ok(()) => {
                    state.settled.times += 1;
                    state.settled.took += begun.elapsed();
                }
                Err(error) => {
                    tracing::warn!(target: "pinport::job", %error, "the store could not be settled");
                }
            }
        };
        if std::thread::Builder::new().name("settle".into()).spawn(settle).is_err() {
            self.state.lock().settling = false;
        }
    }
}
