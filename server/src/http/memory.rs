//! The memory that the bodies of requests and the answers may take, in bytes, from one budget.
//!
//! Bytes hold a [`Share`] of the budget as long as they live. A share is fixed to the bytes of an answer and goes with
//! them, when they are in the kernel's buffer. One holder (a key, or an address without one) may have a part of the
//! budget, so that its readers that do not read take nothing from the others. Waiting is in order.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::places::client;
use crate::{
    ApiError,
    limits::{FREE_BYTES, HOLDER_PART},
};

/// Bytes of one permit.
const UNIT: usize = 1 << 10;
/// Holders that are remembered before those that hold nothing are forgotten.
const REMEMBERED: usize = 1024;

/// Who holds a part of a budget.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Holder {
    /// Callers with this key.
    Key(Arc<str>),
    /// Callers of this client, of whom no more is known (see [`Holder::at`]).
    Client(IpAddr),
    /// The server itself, for what many share.
    Server,
}

impl Holder {
    /// The callers of one address: with IPv6 a client has a network of 64 bits, as for connections.
    pub fn at(address: IpAddr) -> Self {
        Self::Client(client(address))
    }
}

/// Permits of which one holder may have a part only. Both waits are in order.
#[derive(Debug)]
pub struct Budget {
    all: Arc<Semaphore>,
    of_holder: usize,
    holders: Mutex<HashMap<Holder, Weak<Semaphore>>>,
}

/// Permits of one holder; they go back when it is dropped.
#[derive(Debug)]
pub struct Permits {
    all: OwnedSemaphorePermit,
    own: OwnedSemaphorePermit,
}

impl Budget {
    /// So many permits, and so many for one holder at most.
    pub fn new(all: usize, of_holder: usize) -> Self {
        let all = all.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(all)),
            of_holder: of_holder.clamp(1, all),
            holders: Mutex::default(),
        }
    }

    fn own(&self, holder: &Holder) -> Arc<Semaphore> {
        let mut holders = self.holders.lock();
        if let Some(own) = holders.get(holder).and_then(Weak::upgrade) {
            return own;
        }
        if holders.len() >= REMEMBERED {
            holders.retain(|_, own| own.strong_count() > 0);
        }
        let own = Arc::new(Semaphore::new(self.of_holder));
        holders.insert(holder.clone(), Arc::downgrade(&own));
        own
    }

    fn count(&self, permits: usize) -> u32 {
        u32::try_from(permits.clamp(1, self.of_holder)).unwrap_or(u32::MAX)
    }

    /// Waits for permits, at most as many as one holder may have; nothing when the time is over.
    pub async fn take(&self, holder: &Holder, permits: usize, wait: Duration) -> Option<Permits> {
        let (own, count) = (self.own(holder), self.count(permits));
        let taken = async {
            let own = own.acquire_many_owned(count).await.ok()?;
            let all = Arc::clone(&self.all).acquire_many_owned(count).await.ok()?;
            Some(Permits { all, own })
        };
        timeout(wait, taken).await.ok().flatten()
    }

    /// The same without waiting.
    pub fn try_take(&self, holder: &Holder, permits: usize) -> Option<Permits> {
        let (own, count) = (self.own(holder), self.count(permits));
        let own = own.try_acquire_many_owned(count).ok()?;
        let all = Arc::clone(&self.all).try_acquire_many_owned(count).ok()?;
        Some(Permits { all, own })
    }

    /// Permits that no one has.
    pub fn left(&self) -> usize {
        self.all.available_permits()
    }
}

impl Permits {
    /// Gives back all but so many.
    fn keep(&mut self, permits: usize) {
        let excess = self.all.num_permits().saturating_sub(permits);
        drop(self.all.split(excess));
        drop(self.own.split(excess));
    }
}

/// The budget of a server. Clones share it.
#[derive(Clone)]
pub struct Memory {
    budget: Arc<Budget>,
    wait: Duration,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("left", &self.left()).finish()
    }
}

impl Memory {
    /// A budget of so many bytes, for which a request waits so long.
    pub fn new(bytes: usize, wait: Duration) -> Self {
        let units = (bytes / UNIT).max(1);
        Self { budget: Arc::new(Budget::new(units, units / HOLDER_PART)), wait }
    }

    /// Bytes that no one holds.
    pub fn left(&self) -> usize {
        self.budget.left() * UNIT
    }

    /// The part of one holder.
    pub fn purse(&self, holder: Holder) -> Purse {
        Purse { memory: self.clone(), holder }
    }
}

/// What one holder takes from the budget.
#[derive(Debug, Clone)]
pub struct Purse {
    memory: Memory,
    holder: Holder,
}

impl Purse {
    /// Whose it is.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Waits for so many bytes, or as many as the holder may have. When the time is over it is a 503.
    pub async fn take(&self, bytes: usize) -> Result<Share, ApiError> {
        self.take_within(bytes, self.memory.wait).await
    }

    /// The same with another time.
    pub async fn take_within(&self, bytes: usize, wait: Duration) -> Result<Share, ApiError> {
        let taken = self.memory.budget.take(&self.holder, bytes.div_ceil(UNIT), wait).await;
        taken.map(Share).ok_or_else(|| {
            ApiError::unavailable(
                "Other requests hold the memory that this one needs ([http] memory). Read their answers, or try again.",
                Duration::from_secs(1),
            )
        })
    }

    /// The same without waiting, for what the server shares between callers.
    pub fn try_take_shared(&self, bytes: usize) -> Option<Share> {
        self.memory.budget.try_take(&Holder::Server, bytes.div_ceil(UNIT)).map(Share)
    }
}

/// Bytes of the budget; they go back when it is dropped.
#[derive(Debug)]
pub struct Share(Permits);

impl Share {
    /// Gives back all but so many bytes.
    pub fn keep(&mut self, bytes: usize) {
        self.0.keep(bytes.div_ceil(UNIT));
    }

    /// The bytes of an answer, with what they take from the budget. It goes back when the last of them was written or
    /// thrown away.
    pub fn fix(mut self, bytes: Bytes) -> Bytes {
        if bytes.len() <= FREE_BYTES {
            return bytes;
        }
        self.keep(bytes.len());
        Bytes::from_owner(Charged { bytes, _share: self })
    }
}

struct Charged {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Holder {
        Holder::Key(name.into())
    }

    #[tokio::test]
    async fn the_addresses_of_one_network_are_one_holder() {
        let memory = Memory::new(64 << 10, Duration::ZERO);
        let at = |text: &str| memory.purse(Holder::at(text.parse().unwrap()));
        let first = at("2001:db8::1").take(1 << 20).await.unwrap();
        assert!(at("2001:db8::2").take(1).await.is_err(), "another address of the same client");
        assert!(at("2001:db8:0:1::1").take(1).await.is_ok(), "another client");
        assert_eq!(Holder::at("::ffff:127.0.0.1".parse().unwrap()), Holder::at("127.0.0.1".parse().unwrap()));
        drop(first);
    }

    #[tokio::test]
    async fn one_holder_leaves_the_rest_to_the_others() {
        let memory = Memory::new(64 << 10, Duration::from_millis(20));
        let (own, other) = (memory.purse(key("a")), memory.purse(key("b")));
        // More than it may have is all that it may have.
        let first = own.take(1 << 20).await.unwrap();
        assert_eq!(memory.left(), 48 << 10);
        let error = own.take(1).await.unwrap_err();
        assert_eq!(error.status(), crate::ErrorStatus::Unavailable);
        assert!(error.message().contains("[http] memory"), "{error}");
        let mut second = other.take(16 << 10).await.unwrap();
        second.keep(1);
        assert_eq!(memory.left(), 47 << 10);
        drop((first, second));
        assert_eq!(memory.left(), 64 << 10);
        own.take(1).await.unwrap();
    }

    #[tokio::test]
    async fn the_bytes_of_an_answer_hold_their_share_until_they_are_gone() {
        let memory = Memory::new(1 << 20, Duration::ZERO);
        let purse = memory.purse(key("a"));
        let bytes = vec![7; 100 << 10];
        let fixed = purse.take(200 << 10).await.unwrap().fix(bytes.into());
        assert_eq!(memory.left(), (1 << 20) - (100 << 10));
        let part = fixed.slice(1..2);
        drop(fixed);
        assert_eq!(memory.left(), (1 << 20) - (100 << 10));
        drop(part);
        assert_eq!(memory.left(), 1 << 20);
        let few = purse.take(200 << 10).await.unwrap().fix(Bytes::from_static(b"few"));
        assert_eq!((memory.left(), &few[..]), (1 << 20, &b"few"[..]));
    }
}
