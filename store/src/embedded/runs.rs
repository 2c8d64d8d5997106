//! Turns the rows of a piece into sorted runs: one file a table, keys strictly ascending.
//!
//! Rows that share a key are merged here, in source order, by the code that merges everywhere else.

use std::{
    cmp::Ordering,
    fs,
    path::{Path, PathBuf},
};

use pinport_model::{ApplicationId, SegmentId, segment::SegmentLayer};
use rocksdb::SstFileWriter;

use super::{
    engine::Engine,
    keys::{self, Key, Table},
};
use crate::{
    DraftBatch, DraftKind, Result,
    batch::{Entry, Span},
    record::merge::merge,
};

/// Where the rows of a job go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) application: ApplicationId,
    pub(super) layer: Option<(SegmentId, SegmentLayer)>,
}

impl Target {
    /// The layer, if it holds copies instead of naming registered endpoints.
    pub(super) fn copies(&self) -> Option<(SegmentId, u32)> {
        self.layer.filter(|(_, layer)| layer.copies).map(|(segment, layer)| (segment, layer.number))
    }
}

/// An endpoint (or a copy) and what a record says of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) id: &'a [u8],
    pub(super) record: &'a [u8],
    /// The user the record names, or nothing.
    pub(super) user: &'a [u8],
}

/// What a piece says, each list in source order.
#[derive(Debug, Default)]
pub(super) struct Rows<'a> {
    pub(super) endpoints: Vec<Row<'a>>,
    /// Users with their attributes (`user` is empty here, `id` is the user's).
    pub(super) users: Vec<Row<'a>>,
    /// Members of the layer beside the endpoints.
    pub(super) members: Vec<&'a [u8]>,
}

/// Whether an entry's rows depend on nothing but the entry.
pub(super) fn is_blind(entry: &Entry, target: &Target) -> bool {
    // User attributes without a user belong to the user that the endpoint has by now.
    let of_unknown_user = entry.user.is_empty() && !entry.user_record.is_empty();
    entry.kind == DraftKind::Blind && (target.copies().is_some() || !of_unknown_user)
}

/// The rows of a piece whose entries are all blind.
pub(super) fn blind_rows<'a>(batches: &'a [DraftBatch], target: &Target) -> Rows<'a> {
    let count = batches.iter().map(DraftBatch::len).sum();
    let mut rows = Rows { endpoints: Vec::with_capacity(count), ..Rows::default() };
    for batch in batches {
        for entry in batch.entries() {
            rows.push(batch, entry, target);
        }
    }
    rows
}

impl<'a> Rows<'a> {
    /// Adds the rows of a blind entry.
    pub(super) fn push(&mut self, batch: &'a DraftBatch, entry: &Entry, target: &Target) {
        let (id, user) = (batch.bytes(entry.id), batch.bytes(entry.user));
        if target.copies().is_some() {
            self.endpoints.push(Row { id, record: whole(batch, entry), user });
            return;
        }
        self.endpoints.push(Row { id, record: batch.bytes(entry.record), user });
        if !entry.user_record.is_empty() {
            self.users.push(Row { id: user, record: batch.bytes(entry.user_record), user: &[] });
        }
    }
}

/// An entry's members and user attributes, which lie behind each other, as one record.
pub(super) fn whole<'a>(batch: &'a DraftBatch, entry: &Entry) -> &'a [u8] {
    batch.bytes(Span { start: entry.record.start, end: entry.user_record.end })
}

/// A file in the staging folder, removed when it is dropped. Ingestion moves it away first.
#[derive(Debug)]
pub(super) struct StagedFile {
    path: PathBuf,
}

impl StagedFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        // It is gone already when it was ingested; what else stays is removed when the store is opened.
        let _ = fs::remove_file(&self.path);
    }
}

/// Writes the runs of a piece. They are synced, but no part of the store yet.
pub(super) fn write(engine: &Engine, target: &Target, rows: &Rows<'_>) -> Result<Vec<StagedFile>> {
    let application = target.application.as_bytes();
    let order = sort(rows.endpoints.len(), |index| rows.endpoints[index].id);
    let mut files = Vec::new();
    let mut scratch = Scratch::default();
    let links;
    if let Some((segment, layer)) = target.copies() {
        let run = Run::create(engine, Table::Members, &keys::layer(segment, layer))?;
        files.extend(write_merged(run, &rows.endpoints, &order, &mut scratch)?);
        links = Run::create(engine, Table::CopyLinks, &keys::copy_links(segment, layer))?;
    } else {
        let run = Run::create(engine, Table::Endpoints, &keys::key(Table::Endpoints, &[application]))?;
        files.extend(write_merged(run, &rows.endpoints, &order, &mut scratch)?);
        if let Some((segment, layer)) = target.layer {
            let run = Run::create(engine, Table::Members, &keys::layer(segment, layer.number))?;
            files.extend(write_members(run, rows, &order)?);
        }
        let run = Run::create(engine, Table::Users, &keys::key(Table::Users, &[application]))?;
        let order = sort(rows.users.len(), |index| rows.users[index].id);
        files.extend(write_merged(run, &rows.users, &order, &mut scratch)?);
        links = Run::create(engine, Table::Links, &keys::links(target.application))?;
    }
    files.extend(write_links(links, &rows.endpoints, &order)?);
    Ok(files)
}

/// Writes a run with one entry.
pub(super) fn write_one(engine: &Engine, table: Table, key: &[u8], value: &[u8]) -> Result<StagedFile> {
    let mut run = Run::create(engine, table, key)?;
    run.put(value)?;
    Ok(run.finish()?.expect("the run has an entry"))
}

/// Buffers for folding rows that share a key.
#[derive(Default)]
struct Scratch {
    whole: Vec<u8>,
    spare: Vec<u8>,
}

/// Writes what the rows say, rows of one id merged.
fn write_merged(
    mut run: Run<'_>,
    rows: &[Row<'_>],
    order: &[u32],
    scratch: &mut Scratch,
) -> Result<Option<StagedFile>> {
    let mut rest = order;
    while let Some((&first, behind)) = rest.split_first() {
        let row = &rows[first as usize];
        let same = behind.iter().take_while(|next| rows[**next as usize].id == row.id).count();
        let (duplicates, behind) = behind.split_at(same);
        rest = behind;
        run.set_key(&[row.id]);
        if duplicates.is_empty() {
            run.merge(row.record)?;
            continue;
        }
        let Scratch { whole, spare } = &mut *scratch;
        whole.clear();
        whole.extend_from_slice(row.record);
        for duplicate in duplicates {
            spare.clear();
            merge(whole, rows[*duplicate as usize].record, spare)?;
            std::mem::swap(whole, spare);
        }
        run.merge(whole)?;
    }
    run.finish()
}

/// Writes the members of a layer that names registered endpoints.
fn write_members(mut run: Run<'_>, rows: &Rows<'_>, order: &[u32]) -> Result<Option<StagedFile>> {
    let mut others = rows.members.clone();
    others.sort_unstable();
    let mut others = others.into_iter().peekable();
    let mut last: Option<&[u8]> = None;
    for id in order.iter().map(|index| rows.endpoints[*index as usize].id) {
        while let Some(other) = others.next_if(|other| *other < id) {
            run.member(other, &mut last)?;
        }
        run.member(id, &mut last)?;
    }
    for other in others {
        run.member(other, &mut last)?;
    }
    run.finish()
}

/// Writes the links from users to endpoints. `order` sorts the rows by endpoint.
fn write_links(mut run: Run<'_>, rows: &[Row<'_>], order: &[u32]) -> Result<Option<StagedFile>> {
    let linked: Vec<_> =
        order.iter().map(|index| &rows[*index as usize]).filter(|row| !row.user.is_empty()).collect();
    let shared = shared_prefix(linked.iter().map(|row| row.user));
    // Keys order users by length first. Six bytes behind what all users share decide nearly every
    // comparison; rows of one user stay in order of endpoint, as they come.
    let mut sorted: Vec<_> = (0_u32..)
        .zip(&linked)
        .map(|(rank, row)| {
            let length = u16::try_from(row.user.len()).unwrap_or(u16::MAX);
            (u64::from(length) << 48 | leading(row.user, shared) >> 16, rank)
        })
        .collect();
    sorted.sort_unstable_by(|left, right| {
        left.0.cmp(&right.0).then_with(|| {
            let (one, other) = (linked[left.1 as usize].user, linked[right.1 as usize].user);
            one.len().cmp(&other.len()).then_with(|| one.cmp(other)).then(left.1.cmp(&right.1))
        })
    });
    let mut last: Option<&Row<'_>> = None;
    for row in sorted.into_iter().map(|(_, rank)| linked[rank as usize]) {
        if last.is_some_and(|last| last.id == row.id && last.user == row.user) {
            continue;
        }
        last = Some(row);
        run.set_user_key(row.user, row.id);
        run.put(&[])?;
    }
    run.finish()
}

/// The order of keys, as indices; equal keys stay in order.
fn sort<'a>(count: usize, key: impl Fn(usize) -> &'a [u8]) -> Vec<u32> {
    let count = u32::try_from(count).expect("a piece has fewer than 2^32 records");
    let shared = shared_prefix((0..count).map(|index| key(index as usize)));
    // Eight bytes behind what all keys share decide nearly every comparison without touching the keys.
    let mut sorted: Vec<_> = (0..count).map(|index| (leading(key(index as usize), shared), index)).collect();
    sorted.sort_unstable_by(|left, right| match left.0.cmp(&right.0) {
        Ordering::Equal => key(left.1 as usize).cmp(key(right.1 as usize)).then(left.1.cmp(&right.1)),
        unequal => unequal,
    });
    sorted.into_iter().map(|(_, index)| index).collect()
}

/// How many first bytes all keys share.
fn shared_prefix<'a>(mut keys: impl Iterator<Item = &'a [u8]>) -> usize {
    let Some(first) = keys.next() else { return 0 };
    keys.fold(first.len(), |shared, key| {
        if key.starts_with(&first[..shared]) {
            return shared;
        }
        first.iter().zip(key).take_while(|(one, other)| one == other).count()
    })
}

/// Eight bytes of a key from `start` on, as a number that orders as they do.
fn leading(key: &[u8], start: usize) -> u64 {
    let rest = key.get(start..).unwrap_or_default();
    match rest.first_chunk() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => {
            let mut bytes = [0; 8];
            bytes[..rest.len()].copy_from_slice(rest);
            u64::from_be_bytes(bytes)
        }
    }
}

/// A file of one table that is being written. It appears with its first entry.
struct Run<'a> {
    engine: &'a Engine,
    table: Table,
    writer: Option<(SstFileWriter<'a>, StagedFile)>,
    /// The prefix, and behind it the rest of the entry's key.
    key: Key,
    prefix: usize,
}

impl<'a> Run<'a> {
    fn create(engine: &'a Engine, table: Table, prefix: &[u8]) -> Result<Self> {
        engine.check()?;
        Ok(Self { engine, table, writer: None, key: prefix.to_vec(), prefix: prefix.len() })
    }

    fn set_key(&mut self, parts: &[&[u8]]) {
        self.key.truncate(self.prefix);
        parts.iter().for_each(|part| self.key.extend_from_slice(part));
    }

    fn set_user_key(&mut self, user: &[u8], id: &[u8]) {
        self.key.truncate(self.prefix);
        keys::push_user(&mut self.key, user);
        self.key.extend_from_slice(id);
    }

    /// Adds a member, unless it is the one that was added last.
    fn member<'b>(&mut self, id: &'b [u8], last: &mut Option<&'b [u8]>) -> Result<()> {
        if *last == Some(id) {
            return Ok(());
        }
        *last = Some(id);
        self.set_key(&[id]);
        self.put(&[])
    }

    fn open(&mut self) -> Result<()> {
        if self.writer.is_none() {
            let (options, path) = self.engine.stage(self.table);
            let writer = SstFileWriter::create(options);
            let file = StagedFile { path };
            writer.open(file.path()).map_err(|error| self.engine.stop(error))?;
            self.writer = Some((writer, file));
        }
        Ok(())
    }

    fn put(&mut self, value: &[u8]) -> Result<()> {
        self.open()?;
        let (writer, _) = self.writer.as_mut().expect("opened above");
        writer.put(&self.key, value).map_err(|error| self.engine.stop(error))
    }

    fn merge(&mut self, record: &[u8]) -> Result<()> {
        self.open()?;
        let (writer, _) = self.writer.as_mut().expect("opened above");
        writer.merge(&self.key, record).map_err(|error| self.engine.stop(error))
    }

    /// Ends and syncs the file. A run without entries leaves no file.
    fn finish(self) -> Result<Option<StagedFile>> {
        let Some((mut writer, file)) = self.writer else { return Ok(None) };
        writer.finish().map_err(|error| self.engine.stop(error))?;
        Ok(Some(file))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn sorting_is_stable_and_by_bytes(shared in "[a-z]{0,9}", tails in vec(vec(0_u8..3, 0..12), 0..50)) {
            let keys: Vec<_> = tails.iter().map(|tail| [shared.as_bytes(), tail].concat()).collect();
            let mut expected: Vec<u32> = (0..keys.len() as u32).collect();
            expected.sort_by_key(|index| &keys[*index as usize]);
            prop_assert_eq!(sort(keys.len(), |index| &keys[index]), expected);
        }
    }
}
