//! The bytes of uploads that lie on the disk, by the key that sent them: each key has a bound, and all together. Nothing
//! here writes; writers ask before.

use std::collections::HashMap;

use parking_lot::Mutex;
use pinport_model::JobId;

/// The part of a disk that uploads may take, if nothing else is said: a quarter.
const SHARE: u64 = 4;

/// Bytes of uploads that may lie on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UploadLimits {
    /// Of one key.
    pub(super) of_key: u64,
    /// Of all keys.
    pub(super) in_all: u64,
}

impl UploadLimits {
    /// What is said, else a quarter of the disk, and half of that for each key.
    pub(super) fn new(in_all: Option<u64>, of_key: Option<u64>, disk: Option<u64>) -> Self {
        let in_all = in_all.or(disk.map(|total| total / SHARE)).unwrap_or(u64::MAX);
        Self { of_key: of_key.unwrap_or(in_all / 2).min(in_all), in_all }
    }
}

/// Why an upload may not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    /// It is larger than what a key may hold: it can never be taken.
    #[error("the upload is larger than the {} MiB that uploads of a key may take", .0 >> 20)]
    Ever(u64),
    /// Others of the same key have to be imported first.
    #[error("the uploads of this key that wait to be imported take all of its {} MiB", .0 >> 20)]
    OfKey(u64),
    /// Others of all keys have to be imported first.
    #[error("the uploads that wait to be imported take all the room that the server has for them")]
    InAll,
}

/// What is held.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    in_all: u64,
    by_key: HashMap<String, u64>,
    uploads: HashMap<JobId, (String, u64)>,
}

impl Ledger {
    /// Takes bytes for an upload, if they are within the limits.
    pub(super) fn take(
        &self,
        job: JobId,
        key: &str,
        bytes: u64,
        limits: UploadLimits,
    ) -> Result<(), TooMuch> {
        let mut held = self.0.lock();
        let own = held.uploads.get(&job).map_or(0, |(_, bytes)| *bytes).saturating_add(bytes);
        let of_key = held.by_key.get(key).copied().unwrap_or(0).saturating_add(bytes);
        let in_all = held.in_all.saturating_add(bytes);
        if own > limits.of_key {
            return Err(TooMuch::Ever(limits.of_key));
        }
        if of_key > limits.of_key {
            return Err(TooMuch::OfKey(limits.of_key));
        }
        if in_all > limits.in_all {
            return Err(TooMuch::InAll);
        }
        held.add(job, key, bytes);
        Ok(())
    }

    /// Notes what lies there already.
    pub(super) fn found(&self, job: JobId, key: &str, bytes: u64) {
        self.0.lock().add(job, key, bytes);
    }

    /// Bytes of all uploads.
    pub(super) fn in_all(&self) -> u64 {
        self.0.lock().in_all
    }

    /// Gives back what an upload took.
    pub(super) fn release(&self, job: JobId) {
        let mut held = self.0.lock();
        let Some((key, bytes)) = held.uploads.remove(&job) else { return };
        held.in_all -= bytes;
        if let Some(of_key) = held.by_key.get_mut(&key) {
            *of_key -= bytes;
            if *of_key == 0 {
                held.by_key.remove(&key);
            }
        }
    }
}

impl Held {
    fn add(&mut self, job: JobId, key: &str, bytes: u64) {
        self.in_all += bytes;
        *self.by_key.entry(key.to_owned()).or_default() += bytes;
        self.uploads.entry(job).or_insert_with(|| (key.to_owned(), 0)).1 += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_and_all_together_have_a_bound() {
        let limits = UploadLimits { of_key: 10, in_all: 15 };
        let ledger = Ledger::default();
        let job = |number| JobId::from_bytes([number; 16]);
        assert_eq!(ledger.take(job(1), "a", 8, limits), Ok(()));
        assert_eq!(ledger.take(job(1), "a", 3, limits), Err(TooMuch::Ever(10)));
        assert_eq!(ledger.take(job(2), "a", 3, limits), Err(TooMuch::OfKey(10)));
        assert_eq!(ledger.take(job(3), "b", 8, limits), Err(TooMuch::InAll));
        assert_eq!(ledger.take(job(3), "b", 7, limits), Ok(()));
        ledger.release(job(1));
        ledger.release(job(1));
        assert_eq!(ledger.take(job(2), "a", 8, limits), Ok(()));
    }

    #[test]
    fn a_quarter_of_the_disk_is_the_bound_if_nothing_is_said() {
        assert_eq!(UploadLimits::new(None, None, Some(80)), UploadLimits { in_all: 20, of_key: 10 });
        assert_eq!(UploadLimits::new(Some(6), Some(9), Some(80)), UploadLimits { in_all: 6, of_key: 6 });
        assert_eq!(UploadLimits::new(None, Some(9), None).of_key, 9);
    }
}
