//! Reading endpoints and users: the operands of some keys at once, folded.

use std::collections::{BTreeSet, HashMap};

use pinport_model::{ApplicationId, Endpoint};
use postgres::Row;

use super::{connection::Connection, hash::h8};
use crate::{
    Result,
    record::{
        bounds::{Bounds, fold_within},
        read::{decode, user_of},
    },
};

/// Keys that are looked up at once.
const AT_ONCE: usize = 2000;

/// Folded records, by what they are of.
pub(super) type Records<K> = HashMap<K, Vec<u8>>;

/// An operand: its version, and what it says.
pub(super) type Operand = ([i32; 3], Vec<u8>);

/// What a reader goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    /// What endpoints may have.
    pub(super) bounds: Bounds,
    /// A job and one of its parts: to a record of that part those of later parts are not there, though another server may
    /// have stored them already.
    pub(super) part: Option<(i32, i32)>,
}

impl From<Bounds> for View {
    fn from(bounds: Bounds) -> Self {
        Self { bounds, part: None }
    }
}

impl View {
    fn has(&self, version: [i32; 3]) -> bool {
        self.part.is_none_or(|(job, part)| version[0] != job || version[1] <= part)
    }
}

/// What some operands say together.
pub(super) struct Folded {
    pub(super) record: Vec<u8>,
    /// Members that had no room.
    pub(super) left_out: u64,
    /// The number of the job of each operand that lost some.
    pub(super) jobs: Vec<i32>,
}

/// Folds operands, in order of their versions, which they are in then.
pub(super) fn folded<R: AsRef<[u8]>>(
    operands: &mut [([i32; 3], R)],
    bounds: Bounds,
    keep_removals: bool,
) -> Result<Folded> {
    operands.sort_unstable_by_key(|(version, _)| *version);
    let records = operands.iter().map(|(_, record)| record.as_ref());
    let (record, left_out) = fold_within(bounds, records, keep_removals)?;
    let jobs = left_out.records.into_iter().filter_map(|place| Some(operands.get(place)?.0[0])).collect();
    Ok(Folded { record, left_out: left_out.members, jobs })
}

/// The version that stands in some columns.
pub(super) fn version_at(row: &Row, column: usize) -> [i32; 3] {
    [row.get(column), row.get(column + 1), row.get(column + 2)]
}

/// The records of endpoints in some spaces of one application, by space and id. Copies keep removals: these apply to the
/// registered endpoint.
pub(super) fn endpoints_in<'a>(
    connection: &mut Connection,
    space: i32,
    spaces: &[i32],
    ids: impl IntoIterator<Item = &'a [u8]>,
    view: impl Into<View>,
) -> Result<Records<(i32, Vec<u8>)>> {
    let view = view.into();
    let mut operands: HashMap<(i32, Vec<u8>), Vec<Operand>> = HashMap::new();
    for hashes in hashes(space, ids).chunks(AT_ONCE) {
        let found = connection.query(
            "SELECT space, id, job, part, piece, rec FROM ops WHERE h8 = ANY($1) AND space = ANY($2)",
            &[&hashes, &spaces],
        )?;
        for row in found {
            let version = version_at(&row, 2);
            if view.has(version) {
                operands.entry((row.get(0), row.get(1))).or_default().push((version, row.get(5)));
            }
        }
    }
    let folded = operands.into_iter().map(|((space, id), mut operands)| {
        let record = folded(&mut operands, view.bounds, space < 0)?.record;
        Ok(((space, id), record))
    });
    folded.collect()
}

/// The records of registered endpoints, by id.
pub(super) fn endpoints<'a>(
    connection: &mut Connection,
    space: i32,
    ids: impl IntoIterator<Item = &'a [u8]>,
    view: impl Into<View>,
) -> Result<Records<Vec<u8>>> {
    let found = endpoints_in(connection, space, &[space], ids, view)?;
    Ok(found.into_iter().map(|((_, id), record)| (id, record)).collect())
}

/// What is said of users themselves, by user.
pub(super) fn users<'a>(
    connection: &mut Connection,
    space: i32,
    users: impl IntoIterator<Item = &'a [u8]>,
    view: impl Into<View>,
) -> Result<Records<Vec<u8>>> {
    let view = view.into();
    let mut operands: HashMap<Vec<u8>, Vec<Operand>> = HashMap::new();
    for hashes in hashes(space, users).chunks(AT_ONCE) {
        let found = connection.query(
            "SELECT usr, job, part, piece, rec FROM uops WHERE h8 = ANY($1) AND space = $2 AND rec IS NOT NULL",
            &[&hashes, &space],
        )?;
        for row in found {
            let version = version_at(&row, 1);
            if view.has(version) {
                operands.entry(row.get(0)).or_default().push((version, row.get(4)));
            }
        }
    }
    let folded = operands
        .into_iter()
        .map(|(user, mut operands)| Ok((user, folded(&mut operands, view.bounds, true)?.record)));
    folded.collect()
}

/// The hashes of keys, each once.
fn hashes<'a>(space: i32, keys: impl IntoIterator<Item = &'a [u8]>) -> Vec<i64> {
    let mut hashes: Vec<_> = keys.into_iter().map(|key| h8(space, key)).collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// The user that a record names, if it names one.
pub(super) fn named_user(record: &[u8]) -> Result<Option<&[u8]>> {
    Ok(user_of(record)?.filter(|user| !user.is_empty()))
}

/// The records of the users that some records name.
pub(super) fn users_of<'a>(
    connection: &mut Connection,
    space: i32,
    records: impl IntoIterator<Item = &'a [u8]>,
    bounds: Bounds,
) -> Result<Records<Vec<u8>>> {
    let mut named = BTreeSet::new();
    for record in records {
        named.extend(named_user(record)?);
    }
    if named.is_empty() {
        return Ok(Records::new());
    }
    users(connection, space, named, bounds)
}

/// Some endpoints, in the order of their ids; those that are not there are left out.
pub(super) fn decoded(
    connection: &mut Connection,
    application: ApplicationId,
    space: i32,
    ids: &[Vec<u8>],
    bounds: Bounds,
) -> Result<Vec<Endpoint>> {
    let records = endpoints(connection, space, ids.iter().map(Vec::as_slice), bounds)?;
    let users = users_of(connection, space, records.values().map(Vec::as_slice), bounds)?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let Some(record) = records.get(id) else { continue };
        let user = named_user(record)?.and_then(|user| users.get(user));
        found.extend(decode(application, id, record, user.map_or(&[], Vec::as_slice))?);
    }
    Ok(found)
}

/// The ids that a user is linked to, after one, in order: some of them may belong to others by now, or be gone.
pub(super) fn links(
    connection: &mut Connection,
    space: i32,
    user: &[u8],
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<Vec<u8>>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = connection.query(
        "SELECT DISTINCT id FROM uops WHERE h8 = $1 AND space = $2 AND usr = $3 AND id > $4 ORDER BY id LIMIT $5",
        &[&h8(space, user), &space, &user, &after.unwrap_or_default(), &limit],
    )?;
    Ok(found.iter().map(|row| row.get(0)).collect())
}

/// Endpoints of a user in order of id, after one.
pub(super) fn user_endpoints(
    connection: &mut Connection,
    application: ApplicationId,
    space: i32,
    (user, after): (&[u8], Option<&[u8]>),
    limit: usize,
    bounds: Bounds,
) -> Result<Vec<Endpoint>> {
    let mut found = Vec::new();
    let mut after = after.map(<[u8]>::to_vec);
    while found.len() < limit {
        let wanted = AT_ONCE.min(limit);
        let ids = links(connection, space, user, after.as_deref(), wanted)?;
        let endpoints = decoded(connection, application, space, &ids, bounds)?;
        let own = |endpoint: &Endpoint| endpoint.user.user_id.as_deref().map(str::as_bytes) == Some(user);
        found.extend(endpoints.into_iter().filter(own).take(limit - found.len()));
        if ids.len() < wanted {
            break;
        }
        after = ids.into_iter().next_back();
    }
    Ok(found)
}
