//! The fold: of the operands of an endpoint or a user one is made, in the background. Reads fold too, so this changes
//! nothing that can be seen; it makes reads fast and tables small again.
//!
//! Only operands of jobs below the oldest that has not ended are folded: a later piece of that would sort below them.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use postgres::Row;

use super::{
    connection::Connection,
    copy,
    hash::{PLACES, range_of},
    pool::Pool,
    read::{Folded, folded, version_at},
    rows::{COPY_OPS, COPY_UOPS, Place, op, uop},
};
use crate::{Result, record::bounds::Bounds};

/// Endpoints or users whose operands are folded in one transaction, about.
const AT_ONCE: u64 = 5000;

/// How much of a range of hashes is folded in one transaction: hashes are spread evenly, so what was found in one stretch
/// tells how long the next one may be. It begins with a part that is small in any store.
struct Stretch(i64);

impl Stretch {
    const WHOLE: i64 = 1 << 56;

    fn new() -> Self {
        Self(Self::WHOLE >> 12)
    }

    fn end(&self, from: i64, last: i64) -> i64 {
        from.saturating_add(self.0 - 1).min(last)
    }

    fn found(&mut self, count: u64) {
        if count < AT_ONCE / 2 {
            self.0 = (self.0 * 2).min(Self::WHOLE);
        } else if count >= AT_ONCE {
            self.0 = (self.0 / 2).max(1);
        }
    }
}

/// Folds what has a hash in a range: how many, and what had no room.
type Work = fn(&mut Connection, range: (i64, i64), below: i32, bounds: Bounds) -> Result<(u64, u64)>;

/// Folds everything, or until `go_on` says no: it hears how long each transaction took. How many members had no room.
pub(super) fn all(pool: &Pool, bounds: Bounds, go_on: &mut dyn FnMut(Duration) -> bool) -> Result<u64> {
    let below = pool.write(below)?;
    let mut left_out = 0;
    let mut works: [(Work, Stretch); 2] = [(endpoints, Stretch::new()), (users, Stretch::new())];
    'places: for place in 0..PLACES {
        let (first, last) = range_of(place);
        for (work, stretch) in &mut works {
            let mut from = first;
            loop {
                let end = stretch.end(from, last);
                let begun = Instant::now();
                let done = pool.write(|connection| {
                    // One that another server folds, or somebody deletes from, is left to the next time.
                    let sql = "SELECT 1 FROM folds WHERE place = $1 FOR UPDATE SKIP LOCKED";
                    if connection.query_opt(sql, &[&place])?.is_none() {
                        return Ok(None);
                    }
                    // Nearly all rows of a stretch are looked at, so to look each up again costs more than to join.
                    connection.batch("SET LOCAL enable_nestloop = off")?;
                    work(connection, (from, end), below, bounds).map(Some)
                })?;
                let Some((count, left)) = done else { continue 'places };
                left_out += left;
                if !go_on(begun.elapsed()) {
                    return Ok(left_out);
                }
                stretch.found(count);
                if end == last {
                    break;
                }
                from = end + 1;
            }
        }
        pool.write(|connection| {
            let sql = "UPDATE folds SET folded_to = greatest(folded_to, $2), operands = 0 WHERE place = $1";
            connection.execute(sql, &[&place, &below])
        })?;
    }
    // One that the database vacuums just now is left to it: to wait takes a second each, and vacuum is called off.
    pool.read(|connection| connection.batch("ANALYZE (SKIP_LOCKED) ops, uops, members"))?;
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

/// Folds endpoints.
fn endpoints(
    connection: &mut Connection,
    (first, last): (i64, i64),
    below: i32,
    bounds: Bounds,
) -> Result<(u64, u64)> {
    let found = connection.query(
        "DELETE FROM ops o USING (SELECT h8, space, id FROM ops WHERE h8 BETWEEN $1 AND $2 AND job < $3 \
         GROUP BY h8, space, id HAVING count(*) > 1) g \
         WHERE o.h8 BETWEEN $1 AND $2 AND o.h8 = g.h8 AND o.space = g.space AND o.id = g.id AND o.job < $3 \
         RETURNING o.h8, o.space, o.id, o.job, o.part, o.piece, o.rec",
        &[&first, &last, &below],
    )?;
    let found = by_key(&found);
    let (mut count, mut left_out) = (0, LeftOut::default());
    let mut rows = copy::Rows::default();
    let mut operands: Vec<([i32; 3], &[u8])> = Vec::new();
    for same in found.chunk_by(|one, other| one.0 == other.0) {
        let (hash, space, id) = same[0].0;
        operands.clear();
        operands.extend(same.iter().map(|(_, row)| (version_at(row, 3), row.get::<_, &[u8]>(6))));
        let record = left_out.take(folded(&mut operands, bounds, space < 0)?);
        let version = operands.last().map(|(version, _)| *version).unwrap_or_default();
        op(&mut rows, hash, &Place::of(space, version), id, &record);
        count += 1;
    }
    connection.copy_in(COPY_OPS, &rows)?;
    Ok((count, left_out.note(connection)?))
}

/// What a row is of: the hash, the space, and the id or the user.
type Key<'a> = (i64, i32, &'a [u8]);

/// Rows in the order of what they are of, which their first columns say.
fn by_key(rows: &[Row]) -> Vec<(Key<'_>, &Row)> {
    let mut sorted: Vec<_> = rows.iter().map(|row| ((row.get(0), row.get(1), row.get(2)), row)).collect();
    sorted.sort_unstable_by_key(|(key, _)| *key);
    sorted
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

/// Folds users.
fn users(
    connection: &mut Connection,
    (first, last): (i64, i64),
    below: i32,
    bounds: Bounds,
) -> Result<(u64, u64)> {
    let found = connection.query(
        "DELETE FROM uops o USING (SELECT h8, space, usr FROM uops WHERE h8 BETWEEN $1 AND $2 AND job < $3 \
         GROUP BY h8, space, usr HAVING count(rec) > 1 OR count(*) > count(DISTINCT id)) g \
         WHERE o.h8 BETWEEN $1 AND $2 AND o.h8 = g.h8 AND o.space = g.space AND o.usr = g.usr AND o.job < $3 \
         RETURNING o.h8, o.space, o.usr, o.id, o.job, o.part, o.piece, o.rec",
        &[&first, &last, &below],
    )?;
    let found = by_key(&found);
    let (mut count, mut left_out) = (0, LeftOut::default());
    let mut rows = copy::Rows::default();
    let mut ids: BTreeMap<&[u8], [i32; 3]> = BTreeMap::new();
    let mut operands: Vec<([i32; 3], &[u8])> = Vec::new();
    for same in found.chunk_by(|one, other| one.0 == other.0) {
        let (hash, space, user) = same[0].0;
        ids.clear();
        operands.clear();
        for (_, row) in same {
            let (id, version): (&[u8], _) = (row.get(3), version_at(row, 4));
            if !id.is_empty() {
                let last = ids.entry(id).or_insert(version);
                *last = version.max(*last);
            }
            operands.extend(row.get::<_, Option<&[u8]>>(7).map(|record| (version, record)));
        }
        let mut row = |version: [i32; 3], id: &[u8], record: Option<&[u8]>| {
            uop(&mut rows, hash, &Place::of(space, version), user, id, record);
        };
        let mut record = None;
        if !operands.is_empty() {
            let folded = left_out.take(folded(&mut operands, bounds, true)?);
            record = operands.last().map(|(version, _)| (*version, folded));
        }
        for (id, version) in &ids {
            // What is said of the user goes with the first link, in the version it was said.
            match record.take() {
                Some((version, record)) => row(version, id, Some(&record)),
                None => row(*version, id, None),
            }
        }
        if let Some((version, record)) = record {
            row(version, b"", Some(&record));
        }
        count += 1;
    }
    connection.copy_in(COPY_UOPS, &rows)?;
    Ok((count, left_out.note(connection)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Folds a place that has so many endpoints to fold in all: how many transactions, and the most in one of them.
    fn places(endpoints: u64) -> Vec<(usize, u64)> {
        let mut stretch = Stretch::new();
        let places = (0..PLACES).map(|place| {
            let (first, last) = range_of(place);
            let (mut from, mut count, mut most) = (first, 0, 0);
            loop {
                let end = stretch.end(from, last);
                let share = i128::from(end) - i128::from(from) + 1;
                let found = (share * i128::from(endpoints) / i128::from(Stretch::WHOLE)) as u64;
                stretch.found(found);
                (count, most) = (count + 1, found.max(most));
                if end == last {
                    return (count, most);
                }
                from = end + 1;
            }
        });
        places.collect()
    }

    #[test]
    fn stretches_become_as_long_as_they_may_be() {
        for endpoints in [0, 100, AT_ONCE / 2 - 1] {
            let places = places(endpoints);
            assert!(places[0].0 < 20 && places[1..].iter().all(|(count, _)| *count == 1), "{places:?}");
        }
        for endpoints in [AT_ONCE, 20 * AT_ONCE, 500 * AT_ONCE] {
            let places = places(endpoints);
            assert!(places.iter().all(|(_, most)| *most < 2 * AT_ONCE), "{places:?}");
            let needed = endpoints.div_ceil(AT_ONCE) as usize;
            assert!(places[1..].iter().all(|(count, _)| (needed..=4 * needed).contains(count)), "{places:?}");
        }
    }
}
