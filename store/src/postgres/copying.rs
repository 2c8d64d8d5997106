//! A database as a side of a copy.
//!
//! What is copied in is one operand each, older than all that comes later: its job has the number 0. It is read out by pages of
//! hashes, as the indexes have it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pinport_model::{ApplicationId, JobId, SegmentId};
use uuid::Uuid;

use super::{
    Postgres,
    connection::Connection,
    copy,
    documents::{int4, key, read, text},
    hash::h8,
    jobs,
    leases::WHOLE,
    read::{Operand, endpoints_in, folded, version_at},
    rows::{COPY_MEMBERS, COPY_OPS, COPY_UOPS, Place, op, uop},
    segments, servers,
};
use crate::{
    Result, Store as _, StoreError,
    copied::{AT_ONCE, Batch, Copying, Entry, Layer, Reader, Writer, not_empty, unfinished},
    record::bounds::Bounds,
};

const COPY_ADDRESSES: &str = "COPY addresses (h8, space, address, id) FROM STDIN BINARY";

/// Rows of a page.
#[expect(clippy::cast_possible_wrap, reason = "it is small")]
const ROWS: i64 = AT_ONCE as i64;

/// An error if a copy into the database is not whole.
pub(super) fn check_whole(connection: &mut Connection) -> Result<()> {
    match connection.query_opt("SELECT source FROM copying", &[])? {
        None => Ok(()),
        Some(row) => Err(unfinished(connection.server(), row.get(0))),
    }
}

impl Copying for Postgres {
    fn check_idle(&self) -> Result<()> {
        let here = self.pool().write(|connection| servers::here(connection, self.pool().options.lease))?;
        if !here.is_empty() {
            return Err(StoreError::Conflict(format!(
                "the store is in use by {}: stop it first",
                here.join(", ")
            )));
        }
        match self.unfinished_jobs()?.len() {
            0 => Ok(()),
            open => Err(StoreError::Conflict(format!(
                "{open} jobs have not ended: let them end, or cancel them, before the store is copied"
            ))),
        }
    }

    fn bounds(&self) -> Bounds {
        self.engine.bounds
    }

    fn reader(&self, after: &[u8]) -> Result<Box<dyn Reader + '_>> {
        let names = self.pool().read(Names::load)?;
        let (phase, after) = match after {
            [] => (0, Vec::new()),
            [phase, after @ ..] => (usize::from(*phase), after.to_vec()),
        };
        Ok(Box::new(Pages { store: self, names, phase, after }))
    }

    fn begin(&self, source: &str) -> Result<Vec<u8>> {
        self.pool().write(|connection| {
            if let Some(found) = connection.query_opt("SELECT source, cursor FROM copying", &[])? {
                return match found.get::<_, &str>(0) == source {
                    true => Ok(found.get(1)),
                    false => Err(unfinished(connection.server(), found.get(0))),
                };
            }
            let any = "SELECT 1 FROM applications UNION ALL SELECT 1 FROM jobs LIMIT 1";
            if connection.query_opt(any, &[])?.is_some() {
                return Err(not_empty(connection.server()));
            }
            connection.execute("INSERT INTO copying (source, cursor) VALUES ($1, '')", &[&source])?;
            Ok(Vec::new())
        })
    }

    fn writer(&self) -> Result<Box<dyn Writer + '_>> {
        Ok(Box::new(Target { store: self, names: self.pool().read(Names::load)? }))
    }

    fn finish(&self) -> Result<()> {
        self.pool().write(|connection| connection.execute("DELETE FROM copying", &[]))?;
        // Plans depend on it, and what was copied is all there is.
        self.pool().read(|connection| connection.batch("ANALYZE"))
    }
}

impl Postgres {
    /// Keeps a piece of a file of a job that has ended.
    pub(crate) fn keep_copied_file(&self, job: JobId, name: &str, at: u64, bytes: &[u8]) -> Result<()> {
        self.pool().write(|connection| jobs::keep_file(connection, (job, WHOLE), name, at, bytes))
    }
}

/// What ids are called in the database.
#[derive(Default)]
struct Names {
    spaces: HashMap<ApplicationId, i32>,
    applications: HashMap<i32, ApplicationId>,
    /// Layers by their number here, and their numbers by what they are called in a copy.
    layers: BTreeMap<i32, Layer>,
    numbers: HashMap<(SegmentId, u32), i32>,
    jobs: HashMap<JobId, i32>,
}

fn id(row: &postgres::Row, column: usize) -> [u8; 16] {
    *row.get::<_, Uuid>(column).as_bytes()
}

impl Names {
    fn load(connection: &mut Connection) -> Result<Self> {
        let mut names = Self::default();
        for row in connection.query("SELECT id, space FROM applications", &[])? {
            names.add_application(ApplicationId::from_bytes(id(&row, 0)), row.get(1));
        }
        let found = connection.query(
            "SELECT l.layer, l.segment, s.application, l.copies, l.job, l.place, l.last FROM layers l \
             JOIN segments s ON s.id = l.segment WHERE l.place IS NOT NULL",
            &[],
        )?;
        for row in found {
            let layer = Layer {
                application: ApplicationId::from_bytes(id(&row, 2)),
                segment: SegmentId::from_bytes(id(&row, 1)),
                copies: row.get(3),
                job: row.get::<_, Option<Uuid>>(4).map(|job| JobId::from_bytes(job.into_bytes())),
                first: row.get::<_, i32>(5).cast_unsigned(),
                last: row.get::<_, i32>(6).cast_unsigned(),
                records: 0,
            };
            names.add_layer(row.get(0), layer);
        }
        for row in connection.query("SELECT id, job FROM jobs", &[])? {
            names.jobs.insert(JobId::from_bytes(id(&row, 0)), row.get(1));
        }
        Ok(names)
    }

    fn add_application(&mut self, id: ApplicationId, space: i32) {
        self.spaces.insert(id, space);
        self.applications.insert(space, id);
    }

    fn add_layer(&mut self, number: i32, layer: Layer) {
        self.numbers.insert((layer.segment, layer.number()), number);
        self.layers.insert(number, layer);
    }

    fn space(&self, id: ApplicationId) -> Result<i32> {
        let space = self.spaces.get(&id).copied();
        space.ok_or_else(|| StoreError::Corrupt(format!("there is no application {id}")))
    }
}

/// Reads page by page. The place in a phase is a key, or a hash from which on is read.
struct Pages<'a> {
    store: &'a Postgres,
    names: Names,
    phase: usize,
    after: Vec<u8>,
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

struct Target<'a> {
    store: &'a Postgres,
    names: Names,
}

/// Rows of a batch, by table.
#[derive(Default)]
struct Tables {
    ops: copy::Rows,
    uops: copy::Rows,
    members: copy::Rows,
    addresses: copy::Rows,
}

impl Writer for Target<'_> {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        let names = &mut self.names;
        self.store.pool().write(|connection| {
            let mut tables = Tables::default();
            for entry in &batch.entries {
                put(connection, names, &mut tables, entry)?;
            }
            for (text, rows) in [
                (COPY_OPS, tables.ops),
                (COPY_UOPS, tables.uops),
                (COPY_MEMBERS, tables.members),
                (COPY_ADDRESSES, tables.addresses),
            ] {
                connection.copy_in(text, &rows)?;
            }
            connection.execute("UPDATE copying SET cursor = $1", &[&batch.cursor])?;
            Ok(())
        })
    }
}

/// The next number of a sequence.
fn drawn(connection: &mut Connection, sequence: &str) -> Result<i32> {
    let found = connection.query(&format!("SELECT nextval('{sequence}')::int4"), &[])?;
    Ok(found[0].get(0))
}

#[expect(clippy::too_many_lines, reason = "an arm for each kind of entry")]
fn put(connection: &mut Connection, names: &mut Names, tables: &mut Tables, entry: &Entry) -> Result<()> {
    let at = |space, layer| Place { space, layer, copies: false, version: [0, 0, 0] };
    match entry {
        Entry::Application(application) => {
            let space = drawn(connection, "space_no")?;
            connection.execute(
                "INSERT INTO applications (id, space, name, doc) VALUES ($1, $2, $3, $4::text::json)",
                &[&key(application.id.as_bytes()), &space, &application.name.as_bytes(), &text(application)?],
            )?;
            names.add_application(application.id, space);
        }
        Entry::Settings(application, settings) => {
            let sql = "UPDATE applications SET settings = $2::text::json WHERE id = $1";
            connection.execute(sql, &[&key(application.as_bytes()), &text(settings)?])?;
        }
        Entry::Segment(state) => segments::put_state(connection, state)?,
        Entry::Version(segment, version) => segments::put_version(connection, *segment, version)?,
        Entry::Layer(layer) => {
            let number = drawn(connection, "space_no")?;
            let job = layer.job.map(|job| key(job.as_bytes()));
            connection.execute(
                "INSERT INTO layers (layer, segment, job, copies, place, last) VALUES ($1, $2, $3, $4, $5, $6)",
                &[
                    &number,
                    &key(layer.segment.as_bytes()),
                    &job,
                    &layer.copies,
                    &layer.first.cast_signed(),
                    &layer.last.cast_signed(),
                ],
            )?;
            names.add_layer(number, layer.clone());
        }
        Entry::Job(job) => {
            let number = drawn(connection, "job_no")?;
            connection.execute(
                "INSERT INTO jobs (job, id, application, ended, left_out, doc) VALUES ($1, $2, $3, true, $4, $5::text::json)",
                &[
                    &number,
                    &key(job.id.as_bytes()),
                    &key(job.definition.application.as_bytes()),
                    &i64::try_from(job.left_out).unwrap_or(i64::MAX),
                    &text(job)?,
                ],
            )?;
            connection.execute("INSERT INTO parts (job, part, state) VALUES ($1, 0, 'done')", &[&number])?;
            names.jobs.insert(job.id, number);
        }
        Entry::Piece(job, piece) => {
            // Of a job that was deleted meanwhile nothing is left.
            let Some(number) = names.jobs.get(job) else { return Ok(()) };
            connection.execute(
                "INSERT INTO pieces (job, part, piece, token, record) VALUES ($1, 0, $2, 0, $3::text::json)",
                &[number, &int4("piece", piece.piece)?, &text(piece)?],
            )?;
        }
        Entry::Endpoint(application, id, record) => {
            let space = names.space(*application)?;
            op(&mut tables.ops, h8(space, id), &at(space, None), id, record);
        }
        Entry::User(application, user, record) => {
            let space = names.space(*application)?;
            uop(&mut tables.uops, h8(space, user), &at(space, None), user, b"", Some(record));
        }
        Entry::Link(application, user, id) => {
            let space = names.space(*application)?;
            uop(&mut tables.uops, h8(space, user), &at(space, None), user, id, None);
        }
        Entry::Address(application, address, id) => {
            let space = names.space(*application)?;
            tables.addresses.row(4);
            tables.addresses.int8(h8(space, address));
            tables.addresses.int4(space);
            tables.addresses.bytes(address);
            tables.addresses.bytes(id);
        }
        Entry::Member(segment, layer, id, copy) => {
            let number = names.numbers.get(&(*segment, *layer)).copied();
            let number = number
                .ok_or_else(|| StoreError::Corrupt(format!("segment {segment} has no layer {layer}")))?;
            let space = names.space(names.layers[&number].application)?;
            tables.members.row(3);
            tables.members.int8(h8(space, id));
            tables.members.int4(number);
            tables.members.bytes(id);
            if let Some(copy) = copy {
                let place = Place { copies: true, ..at(space, Some(number)) };
                op(&mut tables.ops, h8(space, id), &place, id, copy);
            }
        }
    }
    Ok(())
}
