//! Reads a database out page by page.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pinport_model::{ApplicationId, JobId, SegmentId};

use super::{
    super::{
        Postgres,
        connection::Connection,
        documents::read,
        jobs,
        read::{Operand, endpoints_in, folded, version_at},
    },
    names::{Names, id},
};
use crate::{
    Result,
    copied::{AT_ONCE, Batch, Entry, Layer, Reader},
    record::bounds::Bounds,
};

/// Rows of a page.
#[expect(clippy::cast_possible_wrap, reason = "it is small")]
const ROWS: i64 = AT_ONCE as i64;

/// Reads page by page. The place in a phase is a key, or a hash from which on is read.
pub(super) struct Pages<'a> {
    pub(super) store: &'a Postgres,
    pub(super) names: Names,
    pub(super) phase: usize,
    pub(super) after: Vec<u8>,
}

/// Entries, and from where on the next ones are; nothing after the last.
type Page = (Vec<Entry>, Option<Vec<u8>>);

/// How a phase is read from a place on.
type Phase = fn(&mut Connection, &Names, Bounds, &[u8]) -> Result<Page>;

const PHASES: [Phase; 8] = [documents, layers, ended_jobs, pieces, endpoints, users, addresses, members];

impl Reader for Pages<'_> {
    fn next(&mut self) -> Result<Option<Batch>> {
        while let Some(phase) = PHASES.get(self.phase) {
            let bounds = self.store.engine.bounds;
            let pool = self.store.pool();
            let (entries, next) =
                pool.read(|connection| phase(connection, &self.names, bounds, &self.after))?;
            match next {
                Some(next) => self.after = next,
                None => (self.phase, self.after) = (self.phase + 1, Vec::new()),
            }
            if !entries.is_empty() {
                let cursor = [&[self.phase as u8][..], &self.after].concat();
                return Ok(Some(Batch { entries, cursor }));
            }
        }
        Ok(None)
    }
}

/// Applications, settings, segments and versions: few, all at once.
fn documents(connection: &mut Connection, _: &Names, _: Bounds, _: &[u8]) -> Result<Page> {
    let mut entries = Vec::new();
    for row in connection.query("SELECT doc::text FROM applications", &[])? {
        entries.push(Entry::Application(read(&row, 0)?));
    }
    let sql = "SELECT id, settings::text FROM applications WHERE settings IS NOT NULL";
    for row in connection.query(sql, &[])? {
        entries.push(Entry::Settings(ApplicationId::from_bytes(id(&row, 0)), read(&row, 1)?));
    }
    for row in connection.query("SELECT doc::text FROM segments", &[])? {
        entries.push(Entry::Segment(read(&row, 0)?));
    }
    for row in connection.query("SELECT segment, doc::text FROM versions", &[])? {
        entries.push(Entry::Version(SegmentId::from_bytes(id(&row, 0)), read(&row, 1)?));
    }
    Ok((entries, None))
}

fn layers(connection: &mut Connection, names: &Names, _: Bounds, _: &[u8]) -> Result<Page> {
    let mut entries = Vec::new();
    for (number, layer) in &names.layers {
        let counted = connection.query("SELECT count(*) FROM members WHERE layer = $1", &[number])?;
        let records = counted[0].get::<_, i64>(0).cast_unsigned();
        entries.push(Entry::Layer(Layer { records, ..layer.clone() }));
    }
    Ok((entries, None))
}

fn number(after: &[u8]) -> i64 {
    after.try_into().map_or(i64::MIN, i64::from_be_bytes)
}

/// Whether a query found as many rows as it asked for: there may be more.
fn is_full(found: &[postgres::Row], most: i64) -> bool {
    i64::try_from(found.len()).is_ok_and(|count| count >= most)
}

fn place(number: i64) -> Option<Vec<u8>> {
    Some(number.to_be_bytes().to_vec())
}

fn ended_jobs(connection: &mut Connection, _: &Names, _: Bounds, after: &[u8]) -> Result<Page> {
    let sql = "SELECT doc::text, left_out, job::int8 FROM jobs WHERE job::int8 >= $1 AND ended ORDER BY job LIMIT $2";
    let found = connection.query(sql, &[&number(after), &(ROWS / 10)])?;
    let next = found.last().filter(|_| is_full(&found, ROWS / 10));
    let next = next.and_then(|row| place(row.get::<_, i64>(2) + 1));
    let entries =
        found.iter().map(|row| Ok(Entry::Job(Box::new(jobs::read_job(row)?)))).collect::<Result<_>>()?;
    Ok((entries, next))
}

/// The pieces of some jobs: of as many as come to a page, or of one.
fn pieces(connection: &mut Connection, _: &Names, _: Bounds, after: &[u8]) -> Result<Page> {
    let most = ROWS / 10;
    let (job, piece) = after.split_at_checked(8).unwrap_or_default();
    let found = connection.query(
        "SELECT j.id, p.record::text, p.job::int8, p.piece::int8 FROM pieces p JOIN jobs j ON j.job = p.job \
         WHERE (p.job::int8, p.piece::int8) > ($1, $2) AND j.ended AND p.part = 0 ORDER BY p.job, p.piece LIMIT $3",
        &[&number(job), &number(piece), &most],
    )?;
    let next = found.last().filter(|_| is_full(&found, most)).map(|row| {
        let numbers: [i64; 2] = [row.get(2), row.get(3)];
        numbers.map(i64::to_be_bytes).concat()
    });
    let piece =
        |row| -> Result<Entry> { Ok(Entry::Piece(JobId::from_bytes(id(row, 0)), Box::new(read(row, 1)?))) };
    Ok((found.iter().map(piece).collect::<Result<_>>()?, next))
}

/// The rows of a page of hashes, all rows of each of them, and the first hash after them. `sql` takes the first hash and how many
/// rows at most.
fn page(
    connection: &mut Connection,
    sql: &str,
    after: &[u8],
) -> Result<(Vec<postgres::Row>, Option<Vec<u8>>)> {
    let first = number(after);
    let mut most = ROWS;
    loop {
        let mut found = connection.query(sql, &[&first, &most])?;
        if !is_full(&found, most) {
            return Ok((found, None));
        }
        // The last one may have more.
        let last: i64 = found.last().map_or(first, |row| row.get(0));
        found.retain(|row| row.get::<_, i64>(0) != last);
        if !found.is_empty() {
            return Ok((found, place(last)));
        }
        most *= 2;
    }
}

fn endpoints(connection: &mut Connection, names: &Names, bounds: Bounds, after: &[u8]) -> Result<Page> {
    let sql = "SELECT h8, space, id, job, part, piece, rec FROM ops WHERE h8 >= $1 ORDER BY h8 LIMIT $2";
    let (found, next) = page(connection, sql, after)?;
    let mut operands: BTreeMap<(i32, Vec<u8>), Vec<Operand>> = BTreeMap::new();
    // Copies go with the members of their layer.
    for row in found.iter().filter(|row| row.get::<_, i32>(1) > 0) {
        operands.entry((row.get(1), row.get(2))).or_default().push((version_at(row, 3), row.get(6)));
    }
    let mut entries = Vec::with_capacity(operands.len());
    for ((space, id), mut operands) in operands {
        if let Some(application) = names.applications.get(&space) {
            entries.push(Entry::endpoint(*application, &id, &folded(&mut operands, bounds, false)?.record)?);
        }
    }
    Ok((entries, next))
}

/// The endpoints of a user, and the operands of what is said of it.
type User = (BTreeSet<Vec<u8>>, Vec<Operand>);

fn users(connection: &mut Connection, names: &Names, bounds: Bounds, after: &[u8]) -> Result<Page> {
    let sql =
        "SELECT h8, space, usr, id, job, part, piece, rec FROM uops WHERE h8 >= $1 ORDER BY h8 LIMIT $2";
    let (found, next) = page(connection, sql, after)?;
    let mut users: BTreeMap<(i32, Vec<u8>), User> = BTreeMap::new();
    for row in found.iter().filter(|row| row.get::<_, i32>(1) > 0) {
        let (links, operands) = users.entry((row.get(1), row.get(2))).or_default();
        let id: Vec<u8> = row.get(3);
        if !id.is_empty() {
            links.insert(id);
        }
        if let Some(record) = row.get::<_, Option<Vec<u8>>>(7) {
            operands.push((version_at(row, 4), record));
        }
    }
    let mut entries = Vec::new();
    for ((space, user), (links, mut operands)) in users {
        let Some(application) = names.applications.get(&space).copied() else { continue };
        if !operands.is_empty() {
            entries.push(Entry::user(application, &user, &folded(&mut operands, bounds, true)?.record)?);
        }
        entries.extend(links.into_iter().map(|id| Entry::Link(application, user.clone(), id)));
    }
    Ok((entries, next))
}

fn addresses(connection: &mut Connection, names: &Names, _: Bounds, after: &[u8]) -> Result<Page> {
    let sql = "SELECT h8, space, address, id FROM addresses WHERE h8 >= $1 ORDER BY h8 LIMIT $2";
    let (found, next) = page(connection, sql, after)?;
    let mut noted: BTreeSet<(i32, Vec<u8>, Vec<u8>)> = BTreeSet::new();
    noted.extend(found.iter().map(|row| (row.get(1), row.get(2), row.get(3))));
    let entry = |(space, address, id)| Some(Entry::Address(*names.applications.get(&space)?, address, id));
    Ok((noted.into_iter().filter_map(entry).collect(), next))
}

fn members(connection: &mut Connection, names: &Names, bounds: Bounds, after: &[u8]) -> Result<Page> {
    // The place: a layer, and the id after which is read.
    let (number, id) = match after.split_first_chunk() {
        Some((number, id)) => (i32::from_be_bytes(*number), id.to_vec()),
        None => (i32::MIN, Vec::new()),
    };
    let Some((number_of, layer)) = names.layers.range(number..).next() else { return Ok((Vec::new(), None)) };
    let id = if *number_of == number { id } else { Vec::new() };
    let found = connection.query(
        "SELECT DISTINCT id FROM (SELECT id FROM members WHERE layer = $1 AND id > $2 ORDER BY id LIMIT $3) page ORDER BY id",
        &[number_of, &id, &ROWS],
    )?;
    let ids: Vec<Vec<u8>> = found.iter().map(|row| row.get(0)).collect();
    let next = match ids.last() {
        Some(last) => [&number_of.to_be_bytes()[..], last].concat(),
        None => (number_of + 1).to_be_bytes().to_vec(),
    };
    let mut copies = HashMap::new();
    if layer.copies {
        let space = names.space(layer.application)?;
        let wanted = ids.iter().map(Vec::as_slice);
        copies = endpoints_in(connection, space, &[-number_of], wanted, bounds)?;
    }
    let mut entries = Vec::with_capacity(ids.len());
    for id in &ids {
        let copy = copies.get(&(-number_of, id.clone())).map(Vec::as_slice);
        entries.push(Entry::member(layer, id, copy)?);
    }
    Ok((entries, Some(next)))
}
