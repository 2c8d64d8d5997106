//! The endpoints that are linked to users: in groups, and by entries of their own.

use pinport_model::ApplicationId;
use rocksdb::WriteBatch;

use super::{
    engine::Engine,
    groups::{self, Spread},
    keys,
    scan::Scan,
};
use crate::Result;

/// Finds the endpoints that groups link to users: how the group is spread, the place of the user, and the endpoint's id. Some may be
/// of other users. `prefix`: of the keys of the groups.
pub(super) fn find_grouped(
    engine: &Engine,
    prefix: &[u8],
    users: &[impl AsRef<[u8]>],
    mut found: impl FnMut(Spread, usize, &[u8]),
) -> Result<()> {
    let hashes: Vec<_> = users.iter().map(|user| groups::hash(user.as_ref())).collect();
    for spread in Spread::all() {
        let mut wanted: Vec<_> = (0..).zip(&hashes).map(|(user, hash)| (spread.place(*hash), user)).collect();
        wanted.sort_unstable();
        for of_group in wanted.chunk_by(|((one, _), _), ((other, _), _)| one == other) {
            let ((group, _), _) = of_group[0];
            if let Some(value) = engine.get(&spread.key(prefix, group))? {
                let marks: Vec<_> = of_group.iter().map(|((_, mark), user)| (*mark, *user)).collect();
                groups::find(&value, &marks, |user, id| found(spread, user, id))?;
            }
        }
    }
    Ok(())
}

/// The endpoints that are linked to one user. Some may be of another user by now, or gone.
pub(super) struct UserLinks<'a> {
    /// Links that have entries of their own.
    own: Scan<'a>,
    /// Those in groups, descending.
    grouped: Vec<Vec<u8>>,
    /// The endpoint that came last.
    last: Vec<u8>,
}

impl<'a> UserLinks<'a> {
    /// Those after `after`, if there is one.
    pub(super) fn of(
        engine: &'a Engine,
        application: ApplicationId,
        user: &[u8],
        after: Option<&[u8]>,
    ) -> Result<Self> {
        let mut grouped = Vec::new();
        find_grouped(engine, &keys::link_groups(application), &[user], |_, _, id| {
            if after.is_none_or(|after| id > after) {
                grouped.push(id.to_vec());
            }
        })?;
        grouped.sort_unstable_by(|one, other| other.cmp(one));
        grouped.dedup();
        let prefix = keys::links_of(&keys::links(application), user);
        let mut own = engine.scan(&prefix);
        match after {
            None => own.seek_first(),
            Some(after) => own.seek_after(&[&prefix[..], after].concat()),
        }
        Ok(Self { own, grouped, last: Vec::new() })
    }

    /// The next endpoint. They ascend, and each comes once.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>> {
        let own = self.own.entry()?.map(|(id, _)| id);
        match (own, self.grouped.last()) {
            (None, None) => return Ok(None),
            (Some(own), grouped) if grouped.is_none_or(|grouped| own <= &grouped[..]) => {
                if grouped.is_some_and(|grouped| own == grouped) {
                    self.grouped.pop();
                }
                self.last.clear();
                self.last.extend_from_slice(own);
                self.own.forward();
            }
            _ => self.last = self.grouped.pop().unwrap_or_default(),
        }
        Ok(Some(&self.last))
    }
}

/// Takes links of a user away, wherever they lie. Endpoints ascend.
pub(super) fn unlink(
    engine: &Engine,
    batch: &mut WriteBatch,
    application: ApplicationId,
    user: &[u8],
    endpoints: &[impl AsRef<[u8]> + Ord],
) -> Result<()> {
    let prefix = keys::links_of(&keys::links(application), user);
    endpoints.iter().for_each(|id| batch.delete([&prefix[..], id.as_ref()].concat()));
    // A group that does not have the link stays as it is.
    let (hash, prefix) = (groups::hash(user), keys::link_groups(application));
    let mut removed: Vec<(Spread, Vec<u8>)> = Vec::new();
    find_grouped(engine, &prefix, &[user], |spread, _, id| {
        if endpoints.binary_search_by(|endpoint| endpoint.as_ref().cmp(id)).is_err() {
            return;
        }
        if removed.last().is_none_or(|(last, _)| *last != spread) {
            removed.push((spread, Vec::new()));
        }
        if let Some((_, value)) = removed.last_mut() {
            groups::put(value, spread.place(hash).1, id, true);
        }
    })?;
    for (spread, value) in removed {
        batch.merge(spread.key(&prefix, spread.place(hash).0), value);
    }
    Ok(())
}
