//! What the database holds by now, for those who judge a piece.

use std::{cell::RefCell, collections::HashMap};

use super::{
    pool::Pool,
    read::{self, View},
    rows::Place,
};
use crate::{
    Result,
    piece_rows::Target,
    record::bounds::Bounds,
    resolve::{Facts, Found, Linked, Owner},
};

/// Reads for one piece.
pub(super) struct PieceFacts<'a> {
    pool: &'a Pool,
    place: Place,
    view: View,
    /// Records of endpoints and of users that were read before they were asked for.
    expected: RefCell<[HashMap<Vec<u8>, Vec<u8>>; 2]>,
}

impl<'a> PieceFacts<'a> {
    pub(super) fn new(pool: &'a Pool, place: Place, bounds: Bounds) -> Self {
        let [job, part, _] = place.version;
        let view = View { bounds, part: Some((job, part)) };
        Self { pool, place, view, expected: RefCell::default() }
    }
}

impl Facts for PieceFacts<'_> {
    fn endpoints(&self, _: &Target, ids: &[Vec<u8>], found: &mut Found<'_>) -> Result<()> {
        let ids_of = || ids.iter().map(Vec::as_slice);
        let records = self
            .pool
            .read(|connection| read::endpoints(connection, self.place.space, ids_of(), self.view))?;
        let mut all = ids.iter().enumerate();
        all.try_for_each(|(place, id)| found(place, records.get(id).map(Vec::as_slice)))
    }

    fn copies(&self, _: &Target, ids: &[Vec<u8>], found: &mut Found<'_>) -> Result<()> {
        let own = self.place.own_space();
        let mut records = self.pool.read(|connection| {
            let ids = ids.iter().map(Vec::as_slice);
            read::endpoints_in(connection, self.place.space, &[own], ids, self.view)
        })?;
        for (place, id) in ids.iter().enumerate() {
            found(place, records.remove(&(own, id.clone())).as_deref())?;
        }
        Ok(())
    }

    fn linked(&self, _: &Target, users: &mut Linked) -> Result<()> {
        let spaces = [self.place.space, self.place.own_space()];
        let hashes: Vec<_> = users.keys().map(|user| super::hash::h8(self.place.space, user)).collect();
        let rows = self.pool.read(|connection| {
            let sql = "SELECT DISTINCT usr, id FROM uops WHERE h8 = ANY($1) AND space = ANY($2) AND id <> '' \
                       AND NOT (job = $3 AND part > $4)";
            let [job, part, _] = self.place.version;
            connection.query(sql, &[&hashes, &&spaces[..], &job, &part])
        })?;
        for row in rows {
            if let Some(ids) = users.get_mut(row.get::<_, &[u8]>(0)) {
                ids.insert(row.get(1));
            }
        }
        Ok(())
    }

    fn record(&self, _: &Target, owner: Owner<'_>) -> Result<Vec<u8>> {
        let space = self.place.space;
        let (kind, key) = match owner {
            Owner::Endpoint(id) => (0, id),
            Owner::User(user) => (1, user),
        };
        if let Some(record) = self.expected.borrow()[kind].get(key) {
            return Ok(record.clone());
        }
        let mut found = self.pool.read(|connection| match owner {
            Owner::Endpoint(id) => read::endpoints(connection, space, [id], self.view),
            Owner::User(user) => read::users(connection, space, [user], self.view),
        })?;
        Ok(found.remove(key).unwrap_or_default())
    }

    fn expect(&self, _: &Target, owners: &mut dyn Iterator<Item = Owner<'_>>) -> Result<()> {
        let (mut ids, mut users) = (Vec::new(), Vec::new());
        for owner in owners {
            match owner {
                Owner::Endpoint(id) => ids.push(id),
                Owner::User(user) if !user.is_empty() => users.push(user),
                Owner::User(_) => {}
            }
        }
        let space = self.place.space;
        let mut found = self.pool.read(|connection| {
            let endpoints = read::endpoints(connection, space, ids.iter().copied(), self.view)?;
            Ok([endpoints, read::users(connection, space, users.iter().copied(), self.view)?])
        })?;
        // What is not there need not be asked for again.
        for (kind, keys) in [ids, users].iter().enumerate() {
            for key in keys {
                found[kind].entry(key.to_vec()).or_default();
            }
        }
        *self.expected.borrow_mut() = found;
        Ok(())
    }

    fn bounds(&self) -> &Bounds {
        &self.view.bounds
    }
}
