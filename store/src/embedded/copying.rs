//! The embedded engine as a side of a copy.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use pinport_model::{ApplicationId, ImportJob, JobId, SegmentId};
use rocksdb::WriteBatch;
use serde::{Deserialize, Serialize};

use super::{
    Embedded,
    applications::{self, concatenated},
    engine::{Engine, from_json, to_json},
    keys::{self, Table, key},
    layers,
    merged::Merged,
    segments,
};
use crate::{
    Result, Store as _, StoreError,
    copied::{AT_ONCE, BYTES_AT_ONCE, Batch, Copying, Entry, Layer, Reader, Writer, not_empty, unfinished},
    lifecycle::SegmentState,
    record::{bounds::Bounds, mark_of, read::user_of},
};

/// The tables in the order of [`crate::copied::KINDS`]; links lie in two. All others follow from these.
const TABLES: [Table; 13] = [
    Table::Applications,
    Table::Settings,
    Table::Segments,
    Table::Versions,
    Table::Layers,
    Table::Jobs,
    Table::Pieces,
    Table::Endpoints,
    Table::Users,
    Table::Links,
    Table::LinkGroups,
    Table::Addresses,
    Table::Members,
];

/// What is kept while a copy into the store is not whole.
#[derive(Serialize, Deserialize)]
struct Unfinished {
    source: String,
    cursor: Vec<u8>,
}

fn state(engine: &Engine) -> Result<Option<Unfinished>> {
    engine.get_json(&key(Table::Copying, &[]))
}

/// An error if a copy into the store is not whole.
pub(super) fn check_whole(engine: &Engine) -> Result<()> {
    match state(engine)? {
        None => Ok(()),
        Some(state) => Err(unfinished(&engine.path.display().to_string(), &state.source)),
    }
}

impl Copying for Embedded {
    fn check_idle(&self) -> Result<()> {
        match self.unfinished_jobs()?.len() {
            0 => Ok(()),
            open => Err(StoreError::Conflict(format!(
                "{open} jobs have not ended: let them end, or cancel them, before the store is copied"
            ))),
        }
    }

    fn bounds(&self) -> Bounds {
        self.engine().map_or(Bounds::NONE, |engine| engine.folding.bounds)
    }

    fn reader(&self, after: &[u8]) -> Result<Box<dyn Reader + '_>> {
        let engine = self.engine()?;
        let layers = layers(&engine)?;
        let (table, after) = match after {
            [] => (0, Vec::new()),
            [table, after @ ..] => (usize::from(*table), after.to_vec()),
        };
        Ok(Box::new(Entries { engine, layers, table, after }))
    }

    fn begin(&self, source: &str) -> Result<Vec<u8>> {
        let engine = self.engine()?;
        match state(&engine)? {
            Some(state) if state.source == source => return Ok(state.cursor),
            Some(state) => return Err(unfinished(&engine.path.display().to_string(), &state.source)),
            None => {}
        }
        if !self.applications(None, 1)?.is_empty() || !self.jobs(None, None, 1)?.is_empty() {
            return Err(not_empty(&engine.path.display().to_string()));
        }
        let mut batch = WriteBatch::default();
        put_state(&mut batch, source, &[])?;
        engine.write(batch)?;
        Ok(Vec::new())
    }

    fn writer(&self) -> Result<Box<dyn Writer + '_>> {
        let engine = self.engine()?;
        let source = state(&engine)?.map(|state| state.source).unwrap_or_default();
        Ok(Box::new(Rows { store: self, engine, source }))
    }

    fn finish(&self) -> Result<()> {
        let engine = self.engine()?;
        let mut batch = WriteBatch::default();
        batch.delete(key(Table::Copying, &[]));
        engine.write(batch)
    }
}

fn put_state(batch: &mut WriteBatch, source: &str, cursor: &[u8]) -> Result<()> {
    let state = Unfinished { source: source.to_owned(), cursor: cursor.to_vec() };
    batch.put(key(Table::Copying, &[]), to_json(&state)?);
    Ok(())
}

/// The closed layers of all segments, by their numbers.
fn layers(engine: &Engine) -> Result<BTreeMap<(SegmentId, u32), Layer>> {
    let mut applications = HashMap::new();
    let mut entries = engine.scan(&key(Table::Segments, &[]));
    entries.seek_first();
    while let Some((_, json)) = entries.entry()? {
        let segment = from_json::<SegmentState>(json)?.segment;
        applications.insert(segment.id, segment.application);
        entries.forward();
    }
    let mut layers = BTreeMap::new();
    let mut entries = engine.scan(&key(Table::Layers, &[]));
    entries.seek_first();
    while let Some((rest, json)) = entries.entry()? {
        let segment = SegmentId::from_bytes(id(rest)?.0);
        let row = from_json::<layers::Layer>(json)?;
        if let Some(application) = applications.get(&segment) {
            layers.insert((segment, row.number), layer(*application, segment, &row));
        }
        entries.forward();
    }
    Ok(layers)
}

fn layer(application: ApplicationId, segment: SegmentId, row: &layers::Layer) -> Layer {
    Layer {
        application,
        segment,
        copies: row.copies,
        job: row.job,
        first: row.first,
        last: row.last,
        records: row.records,
    }
}

fn damaged() -> StoreError {
    StoreError::Corrupt("a key is too short".into())
}

/// The id that a key begins with, and what comes after it.
fn id(key: &[u8]) -> Result<([u8; 16], &[u8])> {
    let (id, rest) = key.split_first_chunk().ok_or_else(damaged)?;
    Ok((*id, rest))
}

/// The application that a key begins with, and what comes after it.
fn application(key: &[u8]) -> Result<(ApplicationId, &[u8])> {
    id(key).map(|(id, rest)| (ApplicationId::from_bytes(id), rest))
}

/// The text with its length that a key begins with, and what comes after it.
fn text(key: &[u8]) -> Result<(&[u8], &[u8])> {
    let (length, rest) = key.split_first_chunk().ok_or_else(damaged)?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(damaged)
}

struct Entries {
    engine: std::sync::Arc<Engine>,
    layers: BTreeMap<(SegmentId, u32), Layer>,
    table: usize,
    after: Vec<u8>,
}

impl Reader for Entries {
    fn next(&mut self) -> Result<Option<Batch>> {
        while let Some(table) = TABLES.get(self.table) {
            let (entries, is_end) = match table {
                Table::Members => self.members()?,
                _ => self.entries(*table)?,
            };
            if is_end {
                (self.table, self.after) = (self.table + 1, Vec::new());
            }
            if !entries.is_empty() {
                // There are thirteen tables.
                let cursor = [&[self.table as u8][..], &self.after].concat();
                return Ok(Some(Batch { entries, cursor }));
            }
        }
        Ok(None)
    }
}

impl Entries {
    /// The next entries of a table; whether they are the last.
    fn entries(&mut self, table: Table) -> Result<(Vec<Entry>, bool)> {
        let engine = std::sync::Arc::clone(&self.engine);
        // What links in groups are follows from endpoints: each names its user.
        let rows = if table == Table::LinkGroups { Table::Endpoints } else { table };
        let prefix = key(rows, &[]);
        let snapshot = engine.db.snapshot();
        let mut scan = engine.stream_in(&snapshot, &prefix);
        match &self.after[..] {
            [] => scan.seek_first(),
            after => scan.seek_after(&[&prefix[..], after].concat()),
        }
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while entries.len() < AT_ONCE
            && bytes < BYTES_AT_ONCE
            && let Some((key, value)) = scan.entry()?
        {
            self.after = key.to_vec();
            if let Some(entry) = self.entry(table, key, value)? {
                bytes += entry.bytes();
                entries.push(entry);
            }
            scan.forward();
        }
        Ok((entries, scan.entry()?.is_none()))
    }

    /// The next members; whether they are the last. Each layer is read merged: several of its runs may have the same member.
    fn members(&mut self) -> Result<(Vec<Entry>, bool)> {
        let mut from = match &self.after[..] {
            [] => Bound::Unbounded,
            after => {
                let (segment, rest) = id(after)?;
                let (number, _) = rest.split_first_chunk().ok_or_else(damaged)?;
                Bound::Included((SegmentId::from_bytes(segment), u32::from_be_bytes(*number)))
            }
        };
        let snapshot = self.engine.db.snapshot();
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while let Some((&(segment, number), layer)) = self.layers.range((from, Bound::Unbounded)).next() {
            let start = [&segment.as_bytes()[..], &number.to_be_bytes()].concat();
            let after = self.after.strip_prefix(&start[..]).map(<[u8]>::to_vec);
            let layers = [(number, layer.copies)];
            let mut members =
                Merged::new(&self.engine, &snapshot, segment, &layers, (after.as_deref(), true))?;
            while let Some((id, copy)) = members.next()? {
                let entry = Entry::member(layer, id, copy)?;
                bytes += entry.bytes();
                entries.push(entry);
                if entries.len() == AT_ONCE || bytes >= BYTES_AT_ONCE {
                    self.after = [&start[..], id].concat();
                    return Ok((entries, false));
                }
            }
            from = Bound::Excluded((segment, number));
        }
        Ok((entries, true))
    }

    fn entry(&self, table: Table, key: &[u8], value: &[u8]) -> Result<Option<Entry>> {
        Ok(Some(match table {
            Table::Applications => Entry::Application(from_json(value)?),
            Table::Settings => Entry::Settings(application(key)?.0, from_json(value)?),
            Table::Segments => Entry::Segment(from_json(value)?),
            Table::Versions => Entry::Version(SegmentId::from_bytes(id(key)?.0), from_json(value)?),
            Table::Layers => {
                let number = from_json::<layers::Layer>(value)?.number;
                let segment = SegmentId::from_bytes(id(key)?.0);
                match self.layers.get(&(segment, number)) {
                    Some(layer) => Entry::Layer(layer.clone()),
                    None => return Ok(None),
                }
            }
            Table::Jobs => {
                let mut job: ImportJob = from_json(value)?;
                self.engine.count_left_out(&mut job)?;
                Entry::Job(Box::new(job))
            }
            Table::Pieces => Entry::Piece(JobId::from_bytes(id(key)?.0), from_json(value)?),
            Table::Endpoints => {
                let (application, id) = application(key)?;
                Entry::endpoint(application, id, value)?
            }
            Table::Users => {
                let (application, user) = application(key)?;
                Entry::user(application, user, value)?
            }
            Table::LinkGroups => {
                let (application, id) = application(key)?;
                let Some(user) = user_of(value)?.filter(|user| !user.is_empty()) else { return Ok(None) };
                match self.engine.get(&keys::link(&keys::links(application), user, id))? {
                    None => Entry::Link(application, user.to_vec(), id.to_vec()),
                    Some(_) => return Ok(None),
                }
            }
            Table::Links | Table::Addresses => {
                let (application, rest) = application(key)?;
                let (text, id) = text(rest)?;
                let make = if table as u8 == Table::Links as u8 { Entry::Link } else { Entry::Address };
                make(application, text.to_vec(), id.to_vec())
            }
            _ => return Ok(None),
        }))
    }
}

struct Rows<'a> {
    store: &'a Embedded,
    engine: std::sync::Arc<Engine>,
    source: String,
}

impl Writer for Rows<'_> {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        let mut rows = WriteBatch::default();
        let mut names: HashMap<&str, Vec<ApplicationId>> = HashMap::new();
        for entry in &batch.entries {
            if let Entry::Application(application) = entry {
                let ids = match names.remove(&*application.name) {
                    Some(ids) => ids,
                    None => applications::ids_of_name(&*self.store.engine()?, &application.name)?,
                };
                let ids = [&ids[..], &[application.id]].concat();
                rows.put(keys::name(&application.name), concatenated(&ids));
                names.insert(&application.name, ids);
            }
            put(&mut rows, entry)?;
        }
        put_state(&mut rows, &self.source, &batch.cursor)?;
        self.engine.write(rows)
    }
}

fn put(rows: &mut WriteBatch, entry: &Entry) -> Result<()> {
    match entry {
        Entry::Application(application) => {
            rows.put(keys::application(application.id), to_json(application)?);
        }
        Entry::Settings(application, settings) => {
            rows.put(keys::settings(*application), to_json(settings)?);
        }
        // Numbers of new layers begin after those of the closed ones.
        Entry::Segment(state) => {
            segments::put_state(rows, &SegmentState { next_layer: state.closed, ..state.clone() })?;
        }
        Entry::Version(segment, version) => {
            rows.put(keys::version(*segment, version.version), to_json(version)?);
        }
        Entry::Layer(layer) => {
            let row = layers::Layer {
                number: layer.number(),
                copies: layer.copies,
                job: layer.job,
                first: layer.first,
                last: layer.last,
                records: layer.records,
                is_empty: false,
            };
            layers::put_layer(rows, layer.segment, &row)?;
        }
        Entry::Job(job) => {
            rows.put(keys::job(job.id), to_json(job)?);
            rows.put(keys::indexed_job(job.definition.application, job.id), []);
            if job.left_out > 0 {
                let key = keys::left_out(job.definition.application, mark_of(job.id));
                rows.put(key, job.left_out.to_be_bytes());
            }
        }
        Entry::Piece(job, piece) => rows.put(keys::piece(*job, piece.piece), to_json(piece)?),
        Entry::Endpoint(application, id, record) => rows.put(keys::endpoint(*application, id), record),
        Entry::User(application, user, record) => rows.put(keys::user(*application, user), record),
        Entry::Link(application, user, id) => {
            rows.put(keys::link(&keys::links(*application), user, id), []);
        }
        Entry::Address(application, address, id) => {
            rows.put(keys::link(&keys::addresses(*application), address, id), []);
        }
        Entry::Member(segment, layer, id, copy) => {
            let key = [&keys::layer(*segment, *layer)[..], id].concat();
            rows.put(key, copy.as_deref().unwrap_or_default());
        }
    }
    Ok(())
}
