//! Finding the users that a batch of endpoints names, in their order.
//!
//! A scan goes along. In a long read the users of each batch lie all over the application's, and the scan would pass all
//! of them once a batch: so once it has passed many, the first of them are kept, as many as there is room for, and found in
//! memory.

use pinport_model::ApplicationId;

use super::{engine::Scan, keys, seek::seek};
use crate::Result;

/// Users passed by that were not wanted, before some are kept.
const PASSED: usize = if cfg!(test) { 1 << 6 } else { 1 << 17 };

/// The users of an application.
pub(super) struct Users<'a> {
    scan: Scan<'a>,
    application: ApplicationId,
    /// Whether the scan is anywhere yet.
    is_begun: bool,
    /// Bytes that may be kept.
    room: usize,
    passed: usize,
    kept: Option<Kept>,
    /// Where the last one that was kept was found.
    at: usize,
}

impl<'a> Users<'a> {
    /// `scan`: of the application's users. At most `room` bytes of them are kept.
    pub(super) fn new(scan: Scan<'a>, application: ApplicationId, room: usize) -> Self {
        Self { scan, application, is_begun: false, room, passed: 0, kept: None, at: 0 }
    }

    /// Begins with users before those of the last time.
    pub(super) fn begin(&mut self) -> Result<()> {
        (self.is_begun, self.at) = (false, 0);
        if self.kept.is_none() && self.room > 0 && self.passed >= PASSED {
            self.scan.seek_first();
            self.kept = Some(Kept::read(&mut self.scan, self.room)?);
        }
        Ok(())
    }

    /// The record of a user, if there is one. Users that are asked for ascend until it begins anew.
    pub(super) fn find(&mut self, user: &[u8]) -> Result<Option<&[u8]>> {
        if let Some(kept) = &self.kept
            && kept.covers(user)
        {
            return Ok(kept.find(user, &mut self.at));
        }
        let application = self.application;
        let passed = seek(&mut self.scan, user, !self.is_begun, |user| keys::user(application, user))?;
        // One of them was wanted before.
        self.passed += passed.saturating_sub(1);
        self.is_begun = true;
        Ok(self.scan.entry()?.filter(|(found, _)| *found == user).map(|(_, record)| record))
    }
}

/// The first users of an application, in order.
struct Kept {
    /// Ids and records, each after the other.
    bytes: Vec<u8>,
    users: Vec<User>,
    /// The first user that is not kept. None: all are.
    end: Option<Vec<u8>>,
}

/// Where a user lies.
struct User {
    /// The first bytes of its id, which decide nearly every comparison.
    first: u64,
    id: u32,
    record: u32,
}

impl Kept {
    /// Takes what a scan has, up to `room` bytes.
    fn read(scan: &mut Scan<'_>, room: usize) -> Result<Self> {
        let room = room.min(u32::MAX as usize);
        let mut kept = Self { bytes: Vec::new(), users: Vec::new(), end: None };
        while let Some((id, record)) = scan.entry()? {
            let bytes = kept.bytes.len() + id.len() + record.len();
            if bytes + (kept.users.len() + 1) * size_of::<User>() > room {
                kept.end = Some(id.to_vec());
                break;
            }
            // Doubling would take more than there is room for.
            if kept.bytes.capacity() < bytes {
                let more = (bytes / 4).max(1 << 20);
                kept.bytes.reserve_exact(more);
            }
            if kept.users.capacity() == kept.users.len() {
                kept.users.reserve_exact((kept.users.len() / 4).max(1 << 12));
            }
            let start = kept.bytes.len();
            kept.users.push(User {
                first: first_bytes(id),
                id: start as u32,
                record: (start + id.len()) as u32,
            });
            kept.bytes.extend_from_slice(id);
            kept.bytes.extend_from_slice(record);
            scan.forward();
        }
        Ok(kept)
    }

    /// Whether a user would be here if it were anywhere.
    fn covers(&self, user: &[u8]) -> bool {
        self.end.as_deref().is_none_or(|end| user < end)
    }

    fn id(&self, index: usize) -> &[u8] {
        let user = &self.users[index];
        &self.bytes[user.id as usize..user.record as usize]
    }

    fn record(&self, index: usize) -> &[u8] {
        let end = self.users.get(index + 1).map_or(self.bytes.len(), |next| next.id as usize);
        &self.bytes[self.users[index].record as usize..end]
    }

    /// A user's record. It does not lie before `at`, which becomes where it was looked for.
    fn find(&self, user: &[u8], at: &mut usize) -> Option<&[u8]> {
        let first = first_bytes(user);
        let is_before = |index: usize| {
            let other = self.users[index].first;
            other < first || other == first && self.id(index) < user
        };
        // In steps that double, and then between the last two.
        let (mut low, mut step) = (*at, 1);
        while low + step <= self.users.len() && is_before(low + step - 1) {
            low += step;
            step *= 2;
        }
        let mut high = (low + step).min(self.users.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if is_before(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        *at = low;
        (low < self.users.len() && self.id(low) == user).then(|| self.record(low))
    }
}

/// The first bytes as a number, in whose order they are.
pub(super) fn first_bytes(text: &[u8]) -> u64 {
    let mut first = [0; 8];
    let length = text.len().min(first.len());
    first[..length].copy_from_slice(&text[..length]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn kept_users_are_found(users in vec("[a-c]{0,12}", 0..60), wanted in vec("[a-c]{0,12}", 0..60)) {
            let users: BTreeMap<_, _> = users.iter().map(|user| (user.as_bytes(), user.to_uppercase())).collect();
            let mut kept = Kept { bytes: Vec::new(), users: Vec::new(), end: None };
            for (id, record) in &users {
                let start = kept.bytes.len();
                kept.users.push(User { first: first_bytes(id), id: start as u32, record: (start + id.len()) as u32 });
                kept.bytes.extend_from_slice(id);
                kept.bytes.extend_from_slice(record.as_bytes());
            }
            let mut wanted = wanted;
            wanted.extend(users.keys().step_by(3).map(|user| String::from_utf8(user.to_vec()).unwrap()));
            wanted.sort();
            let mut at = 0;
            for user in wanted {
                let found = kept.find(user.as_bytes(), &mut at);
                prop_assert_eq!(found, users.get(user.as_bytes()).map(String::as_bytes), "{}", user);
            }
        }
    }
}
