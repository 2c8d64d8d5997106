//! The fold: of the operands of an endpoint or a user one is made, in the background. Reads fold too, so this changes
//! nothing that can be seen; it makes reads fast and tables small again.
//!
//! Only operands of jobs below the oldest that has not ended are folded: a later piece of that would sort below them.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use super::{
    connection::Connection,
    copy,
    hash::{PLACES, range_of},
    pool::Pool,
    read::{Folded, Operand, folded, version_at},
    rows::{COPY_OPS, COPY_UOPS},
};
use crate::{Result, record::bounds::Bounds};

/// Endpoints or users whose operands are folded in one transaction.
const AT_ONCE: i64 = 5000;

/// Folds everything, or until `go_on` says no: it hears how long each transaction took. How many members had no room.
pub(super) fn all(pool: &Pool, bounds: Bounds, go_on: &mut dyn FnMut(Duration) -> bool) -> Result<u64> {
    let below = pool.write(below)?;
    let mut left_out = 0;
    'places: for place in 0..PLACES {
        for work in [endpoints, users] {
            loop {
                let begun = Instant::now();
                let done = pool.write(|connection| {
                    // One that another server folds, or somebody deletes from, is left to the next time.
                    let sql = "SELECT 1 FROM folds WHERE place = $1 FOR UPDATE SKIP LOCKED";
                    match connection.query_opt(sql, &[&place])? {
                        Some(_) => work(connection, place, below, bounds).map(Some),
                        None => Ok(None),
                    }
                })?;
                let Some((count, left)) = done else { continue 'places };
                left_out += left;
                if !go_on(begun.elapsed()) {
                    return Ok(left_out);
                }
                if count < AT_ONCE.cast_unsigned() {
                    break;
                }
            }
        }
        pool.write(|connection| {
            let sql = "UPDATE folds SET folded_to = greatest(folded_to, $2), operands = 0 WHERE place = $1";
            connection.execute(sql, &[&place, &below])
        })?;
    }
    pool.read(|connection| connection.batch("ANALYZE ops, uops, members"))?;
    Ok(left_out)
}

/// Operands that wait before a look at everything is worth it: so many, or a share of all.
const DUE: i64 = 1000;

/// Whether enough waits to be folded.
pub(super) fn is_due(connection: &mut Connection) -> Result<bool> {
    let found = connection.query(
        "SELECT (SELECT sum(operands)::int8 FROM folds), \
                (SELECT greatest(reltuples, 0)::int8 FROM pg_class WHERE oid = 'ops'::regclass)",
        &[],
    )?;
    let (waiting, all): (Option<i64>, i64) = (found[0].get(0), found[0].get(1));
    Ok(waiting.unwrap_or(0) > DUE.max(all / 10))
}

/// The number that all finished ones are below. Who draws one shares the row of meta until it is used.
fn below(connection: &mut Connection) -> Result<i32> {
    connection.query("SELECT 1 FROM meta FOR UPDATE", &[])?;
    let sql = "SELECT coalesce((SELECT min(job) FROM jobs WHERE NOT ended), nextval('job_no')::int4)";
    Ok(connection.query(sql, &[])?[0].get(0))
}

/// Folds some endpoints: how many, and what had no room.
fn endpoints(connection: &mut Connection, place: i32, below: i32, bounds: Bounds) -> Result<(u64, u64)> {
    let (first, last) = range_of(place);
    let found = connection.query(
        "DELETE FROM ops o USING (SELECT h8, space, id FROM ops WHERE h8 BETWEEN $1 AND $2 AND job < $3 \
         GROUP BY h8, space, id HAVING count(*) > 1 LIMIT $4) g \
         WHERE o.h8 = g.h8 AND o.space = g.space AND o.id = g.id AND o.job < $3 \
         RETURNING o.h8, o.space, o.id, o.job, o.part, o.piece, o.rec",
        &[&first, &last, &below, &AT_ONCE],
    )?;
    let mut operands: BTreeMap<(i64, i32, Vec<u8>), Vec<Operand>> = BTreeMap::new();
    for row in found {
        let operand = (version_at(&row, 3), row.get(6));
        operands.entry((row.get(0), row.get(1), row.get(2))).or_default().push(operand);
    }
    let (count, mut left_out) = (operands.len() as u64, LeftOut::default());
    let mut rows = copy::Rows::default();
    for ((hash, space, id), operands) in operands {
        let version = operands.iter().map(|(version, _)| *version).max().unwrap_or_default();
        let record = left_out.take(folded(operands, bounds, space < 0)?);
        rows.row(7);
        rows.int8(hash);
        version.iter().for_each(|number| rows.int4(*number));
        rows.int4(space);
        rows.bytes(&id);
        rows.bytes(&record);
    }
    if !rows.is_empty() {
        connection.copy_in(COPY_OPS, &rows)?;
    }
    Ok((count, left_out.note(connection)?))
}

/// What a transaction's folds left out.
#[derive(Default)]
struct LeftOut {
    members: u64,
    /// Records that lost members, by the number of their job.
    records: HashMap<i32, i64>,
}

impl LeftOut {
    /// Counts what a fold left out, and hands on its record.
    fn take(&mut self, folded: Folded) -> Vec<u8> {
        self.members += folded.left_out;
        for job in folded.jobs {
            *self.records.entry(job).or_default() += 1;
        }
        folded.record
    }

    /// Notes the records with their jobs. Returns the members.
    fn note(self, connection: &mut Connection) -> Result<u64> {
        for (job, count) in self.records {
            // The number of a single update is that of no job.
            connection.execute("UPDATE jobs SET left_out = left_out + $2 WHERE job = $1", &[&job, &count])?;
        }
        Ok(self.members)
    }
}

/// The operands of a user.
#[derive(Default)]
struct User {
    ids: BTreeMap<Vec<u8>, [i32; 3]>,
    operands: Vec<Operand>,
}

/// Folds some users: how many, and what had no room.
fn users(connection: &mut Connection, place: i32, below: i32, bounds: Bounds) -> Result<(u64, u64)> {
    let (first, last) = range_of(place);
    let found = connection.query(
        "DELETE FROM uops o USING (SELECT h8, space, usr FROM uops WHERE h8 BETWEEN $1 AND $2 AND job < $3 \
         GROUP BY h8, space, usr HAVING count(rec) > 1 OR count(*) > count(DISTINCT id) LIMIT $4) g \
         WHERE o.h8 = g.h8 AND o.space = g.space AND o.usr = g.usr AND o.job < $3 \
         RETURNING o.h8, o.space, o.usr, o.id, o.job, o.part, o.piece, o.rec",
        &[&first, &last, &below, &AT_ONCE],
    )?;
    let mut users: BTreeMap<(i64, i32, Vec<u8>), User> = BTreeMap::new();
    for row in found {
        let user = users.entry((row.get(0), row.get(1), row.get(2))).or_default();
        let version = version_at(&row, 4);
        let id: Vec<u8> = row.get(3);
        if !id.is_empty() {
            let last = user.ids.entry(id).or_insert(version);
            *last = version.max(*last);
        }
        if let Some(record) = row.get::<_, Option<Vec<u8>>>(7) {
            user.operands.push((version, record));
        }
    }
    let (count, mut left_out) = (users.len() as u64, LeftOut::default());
    let mut rows = copy::Rows::default();
    for ((hash, space, user), found) in users {
        let mut row = |version: [i32; 3], id: &[u8], record: Option<&[u8]>| {
            rows.row(8);
            rows.int8(hash);
            version.iter().for_each(|number| rows.int4(*number));
            rows.int4(space);
            rows.bytes(&user);
            rows.bytes(id);
            match record {
                Some(record) => rows.bytes(record),
                None => rows.null(),
            }
        };
        let mut record = None;
        if let Some(version) = found.operands.iter().map(|(version, _)| *version).max() {
            record = Some((version, left_out.take(folded(found.operands, bounds, true)?)));
        }
        for (id, version) in &found.ids {
            // What is said of the user goes with the first link, in the version it was said.
            match record.take() {
                Some((version, record)) => row(version, id, Some(&record)),
                None => row(*version, id, None),
            }
        }
        if let Some((version, record)) = record {
            row(version, b"", Some(&record));
        }
    }
    if !rows.is_empty() {
        connection.copy_in(COPY_UOPS, &rows)?;
    }
    Ok((count, left_out.note(connection)?))
}
