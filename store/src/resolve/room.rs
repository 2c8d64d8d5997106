//! Whether endpoints and users have room for what a record says of them.

use std::collections::HashMap;

use pinport_model::failure::FailureReason;

use super::{Facts, Owner};
use crate::{Result, lifecycle, piece_rows::Target, record::bounds::fold};

/// Bytes of merged records that are kept while a piece is judged. Of endpoints beyond, each record is judged by what is
/// stored, without the earlier ones of its piece.
const KEPT: usize = 64 << 20;

/// What the endpoints and users of judged records have by now, each read when it is first asked for.
pub(super) struct Room<'a, F> {
    pub(super) facts: &'a F,
    pub(super) target: &'a Target,
    /// Of endpoints, and of users, by id.
    pub(super) records: HashMap<(bool, Vec<u8>), Vec<u8>>,
    /// What these take.
    pub(super) bytes: usize,
}

impl<F: Facts> Room<'_, F> {
    /// Merges what a record says of an endpoint and of a user (of no one, if it has no id), or says why they have no room
    /// for it.
    pub(super) fn take(
        &mut self,
        endpoint: Option<(&[u8], &[u8])>,
        (user, user_record): (&[u8], &[u8]),
    ) -> Result<Option<FailureReason>> {
        let endpoint = endpoint.map(|(id, record)| (Owner::Endpoint(id), record));
        let is_named = !user.is_empty() && !user_record.is_empty();
        let user = is_named.then_some((Owner::User(user), user_record));
        let mut changed = Vec::new();
        for (owner, record) in [user, endpoint].into_iter().flatten() {
            let (key, keep_removals) = match owner {
                Owner::Endpoint(id) => ((false, id.to_vec()), false),
                Owner::User(user) => ((true, user.to_vec()), true),
            };
            let stored;
            let before = match self.records.get(&key) {
                Some(record) => record,
                None => {
                    stored = self.facts.record(self.target, owner)?;
                    &stored
                }
            };
            let after = fold([&before[..], record], keep_removals)?;
            if let Some(reason) = lifecycle::too_large(before, &after, self.facts.bounds())? {
                return Ok(Some(reason));
            }
            changed.push((key, after));
        }
        for (key, record) in changed {
            match self.records.get_mut(&key) {
                Some(kept) => {
                    self.bytes = self.bytes + record.len() - kept.len();
                    *kept = record;
                }
                None if self.bytes < KEPT => {
                    self.bytes += key.1.len() + record.len();
                    self.records.insert(key, record);
                }
                None => {}
            }
        }
        Ok(None)
    }
}
