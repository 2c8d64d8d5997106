//! The links of users that were asked for before.
//!
//! To find the endpoints of a user visits every file of level 0, and the same feed asks for the same users again and again.
//! So a store that serves keeps what it found, and adds what is linked from then on.

use std::collections::{BTreeSet, HashMap};

use parking_lot::Mutex;
use pinport_model::ApplicationId;

use super::links::Links;
use crate::resolve::Linked;

/// Endpoints of a user that are kept at most: one that has more is seldom asked for.
const MOST_KEPT: usize = 256;
/// What a text takes beside its bytes.
const TEXT: usize = 64;

/// The links of users that were asked for. Each user has at least the endpoints that the store links to it; some may be of
/// another user by now.
#[derive(Debug)]
pub(super) struct KnownLinks {
    most_bytes: usize,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// How often links were added: what was read from the store meanwhile may lack them.
    changes: u64,
    users: HashMap<ApplicationId, Linked>,
    bytes: usize,
}

impl KnownLinks {
    /// Keeps at most so many bytes of them; none if that is 0.
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { most_bytes, known: Mutex::default() }
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.most_bytes > 0
    }

    /// Adds what is known to the users that are asked for; those that are not known, and a number for
    /// [`remember`](Self::remember).
    pub(super) fn find(&self, application: ApplicationId, users: &mut Linked) -> (Vec<Vec<u8>>, u64) {
        let known = self.known.lock();
        let own = known.users.get(&application);
        let unknown =
            users.iter_mut().filter_map(|(user, endpoints)| match own.and_then(|own| own.get(user)) {
                Some(found) => {
                    endpoints.extend(found.iter().cloned());
                    None
                }
                None => Some(user.clone()),
            });
        (unknown.collect(), known.changes)
    }

    /// Keeps what the store links to users, unless links were added since [`find`](Self::find) gave the number.
    pub(super) fn remember<'a>(
        &self,
        application: ApplicationId,
        since: u64,
        found: impl IntoIterator<Item = (&'a Vec<u8>, &'a BTreeSet<Vec<u8>>)>,
    ) {
        let mut known = self.known.lock();
        if !self.is_enabled() || known.changes != since {
            return;
        }
        for (user, endpoints) in found.into_iter().filter(|(_, endpoints)| endpoints.len() <= MOST_KEPT) {
            known.bytes += TEXT + user.len() + endpoints.iter().map(|id| TEXT + id.len()).sum::<usize>();
            known.users.entry(application).or_default().insert(user.clone(), endpoints.clone());
        }
        known.bound(self.most_bytes);
    }

    /// Adds the links of a piece that has been committed.
    pub(super) fn add(&self, application: ApplicationId, pieces: &[Links]) {
        self.change(application, |users, bytes| {
            for (user, endpoints) in users {
                for id in pieces.iter().flat_map(|links| links.of(user)) {
                    add(endpoints, id, bytes);
                }
            }
        });
    }

    /// Adds one link that has been written.
    pub(super) fn add_one(&self, application: ApplicationId, user: &[u8], id: &[u8]) {
        self.change(application, |users, bytes| {
            if let Some(endpoints) = users.get_mut(user) {
                add(endpoints, id, bytes);
            }
        });
    }

    fn change(&self, application: ApplicationId, change: impl FnOnce(&mut Linked, &mut usize)) {
        if !self.is_enabled() {
            return;
        }
        let mut known = self.known.lock();
        known.changes += 1;
        let Known { users, bytes, .. } = &mut *known;
        if let Some(users) = users.get_mut(&application) {
            change(users, bytes);
        }
        known.bound(self.most_bytes);
    }
}

impl Known {
    /// Forgets all of them when they take too much: those that are asked for come again.
    fn bound(&mut self, most_bytes: usize) {
        if self.bytes > most_bytes {
            self.users.clear();
            self.bytes = 0;
        }
    }
}

fn add(endpoints: &mut BTreeSet<Vec<u8>>, id: &[u8], bytes: &mut usize) {
    if !endpoints.contains(id) {
        endpoints.insert(id.to_vec());
        *bytes += TEXT + id.len();
    }
}

#[cfg(test)]
mod tests {
    use super::{super::links::piece, *};

    const SHOP: ApplicationId = ApplicationId::from_bytes([1; 16]);

    fn ask(known: &KnownLinks, user: &str) -> (Vec<String>, bool, u64) {
        let mut users = Linked::from([(user.as_bytes().to_vec(), BTreeSet::new())]);
        let (unknown, since) = known.find(SHOP, &mut users);
        let ids = users[user.as_bytes()].iter().map(|id| String::from_utf8(id.clone()).unwrap());
        (ids.collect(), unknown.is_empty(), since)
    }

    fn remember(known: &KnownLinks, since: u64, user: &str, ids: &[&str]) {
        let ids = ids.iter().map(|id| id.as_bytes().to_vec()).collect();
        known.remember(SHOP, since, [(&user.as_bytes().to_vec(), &ids)]);
    }

    #[test]
    fn what_is_linked_later_is_known_too() {
        let known = KnownLinks::new(1 << 20);
        let (ids, is_known, since) = ask(&known, "a");
        assert_eq!((ids.len(), is_known), (0, false));
        remember(&known, since, "a", &["1"]);
        known.add(SHOP, &[piece(&[("a", "2"), ("b", "3")]), piece(&[("a", "4")])]);
        known.add_one(SHOP, b"a", b"5");
        known.add_one(ApplicationId::from_bytes([2; 16]), b"a", b"6");
        assert_eq!(ask(&known, "a").0, ["1", "2", "4", "5"]);
        assert!(!ask(&known, "b").1, "no one asked for it");
    }

    #[test]
    fn what_was_read_while_links_were_added_is_not_kept() {
        let known = KnownLinks::new(1 << 20);
        let since = ask(&known, "a").2;
        known.add(SHOP, &[piece(&[("a", "2")])]);
        remember(&known, since, "a", &["1"]);
        assert!(!ask(&known, "a").1, "2 may be missing in it");
    }

    #[test]
    fn it_is_bounded_and_may_be_off() {
        let known = KnownLinks::new(1000);
        for user in 0..100 {
            remember(&known, ask(&known, "x").2, &format!("user{user}"), &["1"]);
            assert!(known.known.lock().bytes <= 1000);
        }
        assert!(ask(&known, "user99").1);
        let many: Vec<_> = (0..=MOST_KEPT).map(|id| id.to_string()).collect();
        let known = KnownLinks::new(1 << 20);
        remember(&known, 0, "a", &many.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(!ask(&known, "a").1);
        let off = KnownLinks::new(0);
        remember(&off, ask(&off, "a").2, "a", &["1"]);
        assert!(!ask(&off, "a").1);
    }
}
