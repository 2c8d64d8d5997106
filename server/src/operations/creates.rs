//! Whose turn it is to make a job. A look at its data may take seconds, so the requests that make jobs are a few at a
//! time, fewer of one key, and wait without a thread. Those of one key that wait have a bound: more are asked to come again.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::{
    ApiError,
    http::{Budget, Holder, Permits},
    limits::{CREATE_RETRY, CREATE_WAIT, CREATES, CREATES_OF_KEY, CREATES_WAITING},
};

/// The requests that make jobs.
pub(super) struct Creates {
    turns: Budget,
    waiting: Mutex<HashMap<Holder, usize>>,
}

impl Default for Creates {
    fn default() -> Self {
        Self { turns: Budget::new(CREATES, CREATES_OF_KEY), waiting: Mutex::default() }
    }
}

impl Creates {
    /// Waits for a turn, which lasts until what is returned is dropped.
    pub(super) async fn turn(&self, holder: &Holder) -> Result<Permits, ApiError> {
        if let Some(turn) = self.turns.try_take(holder, 1) {
            return Ok(turn);
        }
        let _waiting = self.wait(holder)?;
        self.turns.take(holder, 1, CREATE_WAIT).await.ok_or_else(|| {
            let seconds = CREATE_WAIT.as_secs();
            ApiError::unavailable(
                format!("Other requests of this key that make jobs have taken {seconds} s. Try again."),
                CREATE_RETRY,
            )
        })
    }

    fn wait(&self, holder: &Holder) -> Result<Waiting<'_>, ApiError> {
        let mut waiting = self.waiting.lock();
        let count = waiting.entry(holder.clone()).or_default();
        if *count >= CREATES_WAITING {
            return Err(ApiError::too_many_requests(
                format!("{CREATES_WAITING} requests of this key that make jobs wait already. Try again."),
                CREATE_RETRY,
            ));
        }
        *count += 1;
        Ok(Waiting { creates: self, holder: holder.clone() })
    }
}

/// A request that waits.
struct Waiting<'a> {
    creates: &'a Creates,
    holder: Holder,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.creates.waiting.lock();
        if let Some(count) = waiting.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;
    use crate::ErrorStatus;

    #[tokio::test]
    async fn the_creates_of_one_key_leave_turns_to_others() {
        let creates = Creates::default();
        let (own, other) = (Holder::Key("a".into()), Holder::Key("b".into()));
        let mut turns = Vec::new();
        for _ in 0..CREATES_OF_KEY {
            turns.push(creates.turn(&own).await.unwrap());
        }
        let mut context = Context::from_waker(Waker::noop());
        let mut waiting: Vec<_> = (0..CREATES_WAITING).map(|_| Box::pin(creates.turn(&own))).collect();
        for turn in &mut waiting {
            assert!(turn.as_mut().poll(&mut context).is_pending());
        }
        let Poll::Ready(Err(refused)) = pin!(creates.turn(&own)).poll(&mut context) else {
            panic!("one more does not wait");
        };
        assert_eq!(
            (refused.status(), refused.retry_after_seconds()),
            (ErrorStatus::TooManyRequests, Some(1))
        );
        drop(creates.turn(&other).await.unwrap());
        drop(turns.pop());
        drop(waiting.swap_remove(0).await.unwrap());
        drop(waiting);
        assert!(creates.waiting.lock().is_empty());
    }
}
