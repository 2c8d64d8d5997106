//! Turns the rows of a piece into sorted runs: one file a table, keys strictly ascending. Those of a small piece go into
//! one batch instead: thousands of files with a row each would make every read slow.
//!
//! Rows that share a key are merged here, in source order, by the code that merges everywhere else.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rocksdb::{SstFileWriter, WriteBatch};

use super::{
    blocks::{self, Blocks, RUNS_APART},
    engine::Engine,
    groups::{self, MOST_OF_USER, group_key},
    keys::{self, Key, Table},
    links::{Link, Links, Texts, by_length},
    member_runs::Source,
    merged::Members,
    options::Access,
};
use crate::{
    Result, boundary,
    order::{AHEAD, sort, warm},
    piece_rows::{Crowded, Row, Rows, Target},
    record::bounds::Fold,
};

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

/// What was written of a piece. It is no part of the store yet.
#[derive(Default)]
pub(super) struct Written {
    /// The rows, of a small piece.
    batch: Option<WriteBatch>,
    /// The runs, synced.
    files: Vec<StagedFile>,
    /// Rows of endpoints that were merged with an earlier row of the piece.
    pub(super) repeated: u64,
    /// Members of copies that had no room beside earlier rows of the piece.
    pub(super) left_out: u64,
    /// Endpoints and users, not copies, whose rows have more than there is room for.
    pub(super) crowded: Crowded,
    /// What a store keeps that knows the links of users.
    pub(super) links: Vec<Links>,
    /// How often rows were added.
    added: u8,
}

impl Written {
    /// Nothing yet, of a piece that goes into a batch.
    pub(super) fn small() -> Self {
        Self { batch: Some(WriteBatch::default()), ..Self::default() }
    }

    /// Adds rows of a piece; what is added later is newer.
    pub(super) fn add(
        &mut self,
        engine: &Engine,
        target: &Target,
        piece: u64,
        rows: &Rows<'_>,
    ) -> Result<()> {
        self.added += 1;
        let application = target.application.as_bytes();
        let mut links = Links::new(&rows.endpoints);
        if let Some((segment, layer)) = target.copies() {
            let mut run = Run::create(engine, self, Access::ByKey, &keys::layer(segment, layer))?;
            let crowded = run.merge_rows(&rows.endpoints, |row| links.push(&rows.endpoints, row))?;
            run.finish()?;
            self.left_out += crowded.left_out;
            links.sort(&rows.endpoints);
            let prefixes = (keys::copy_links(segment, layer), keys::copy_link_groups(segment, layer));
            return self.write_links(engine, prefixes, &links, &rows.endpoints);
        }
        let mut run = Run::create(engine, self, Access::ByKey, &keys::key(Table::Endpoints, &[application]))?;
        let crowded = run.merge_rows(&rows.endpoints, |row| links.push(&rows.endpoints, row))?;
        run.finish()?;
        self.crowded.ids.extend(crowded.ids);
        if let Some((segment, layer)) = target.layer {
            let mut prefix = keys::layer(segment, layer.number);
            let in_blocks = blocks::has_blocks(layer.number);
            if in_blocks {
                prefix = blocks::run(&prefix, piece, self.added * RUNS_APART);
            }
            let run = Run::create(engine, self, Access::InOrder, &prefix)?;
            write_members(Ids::create(run, in_blocks), &links.ids, &rows.members)?;
        }
        links.sort(&rows.endpoints);
        let prefixes = (keys::links(target.application), keys::link_groups(target.application));
        self.write_links(engine, prefixes, &links, &rows.endpoints)?;
        if engine.known_links.is_enabled() {
            self.links.push(links);
        }
        // A user's record is no endpoint's.
        let repeated = self.repeated;
        let mut run = Run::create(engine, self, Access::ByKey, &keys::key(Table::Users, &[application]))?;
        let crowded = run.merge_rows(&rows.users, |_| {})?;
        run.finish()?;
        self.crowded.users.extend(crowded.ids);
        self.repeated = repeated;
        Ok(())
    }

    /// Writes links, sorted: those of a large piece in groups, those of a small one, and of a user who has many, by entries of
    /// their own. `prefixes`: of the keys of these, and of those of groups.
    fn write_links(
        &mut self,
        engine: &Engine,
        prefixes: (Key, Key),
        links: &Links,
        rows: &[Row<'_>],
    ) -> Result<()> {
        let mut own: Vec<_> = match self.batch {
            Some(_) => links.by_user().flatten().collect(),
            None => self.write_groups(engine, &prefixes.1, links)?,
        };
        let key = |link: &&Link| (by_length(link.user(rows)), links.id(link));
        own.sort_unstable_by_key(key);
        own.dedup_by_key(|link| key(link));
        let mut run = Run::create(engine, self, Access::InOrder, &prefixes.0)?;
        for link in own {
            run.set_user_key(link.user(rows), links.id(link));
            run.put(&[])?;
        }
        run.finish()
    }

    /// Writes groups of links. Those that are not to be in one are returned.
    fn write_groups<'l>(
        &mut self,
        engine: &Engine,
        prefix: &[u8],
        links: &'l Links,
    ) -> Result<Vec<&'l Link>> {
        let spread = engine.spread()?;
        let mut run = Run::create(engine, self, Access::InOrder, &spread.prefix(prefix))?;
        let (mut own, mut value, mut group) = (Vec::new(), Vec::new(), 0);
        let (mut at, mut warmed) = (0, 0);
        links.warm(0..AHEAD);
        for of_user in links.by_user() {
            if at >= warmed {
                warmed += AHEAD;
                links.warm(warmed..warmed + AHEAD);
            }
            at += of_user.len();
            if of_user.len() > MOST_OF_USER {
                own.extend(of_user);
                continue;
            }
            let (of, mark) = spread.place(of_user[0].hash);
            if of != group {
                run.merge_group(group, &mut value)?;
                group = of;
            }
            of_user.iter().for_each(|link| groups::put(&mut value, mark, links.id(link), false));
        }
        run.merge_group(group, &mut value)?;
        run.finish()?;
        Ok(own)
    }

    /// Adds one entry.
    pub(super) fn add_one(&mut self, engine: &Engine, key: &[u8], value: &[u8]) -> Result<()> {
        let mut run = Run::create(engine, self, Access::InOrder, key)?;
        run.put(value)?;
        run.finish()
    }

    /// Makes all of it part of the store, or nothing; durable when this returns.
    pub(super) fn commit(self, engine: &Engine) -> Result<()> {
        match self.batch {
            Some(batch) => engine.write(batch),
            None if self.files.is_empty() => Ok(()),
            None => engine.ingest(self.files.iter().map(StagedFile::path).collect()),
        }
    }
}

/// Members in a run of a folded layer.
const MEMBERS_OF_RUN: u64 = 1 << 20;

/// Writes the members of a layer that others were folded to, in blocks or each with its key, but for those that `before` has; and
/// how many they are.
pub(super) fn write_layer(
    engine: &Engine,
    (prefix, in_blocks): (&[u8], bool),
    source: &mut Source<'_>,
    mut members: Members,
    mut before: Members,
) -> Result<(Written, u64)> {
    let (mut written, mut count) = (Written::default(), 0);
    let mut ids = Ids::create(Run::create(engine, &mut written, Access::InOrder, prefix)?, in_blocks);
    while let Some((id, copy)) = members.next(source)? {
        if before.has(source, id)? {
            continue;
        }
        ids.put(id, copy.unwrap_or_default())?;
        count += 1;
        if count % MEMBERS_OF_RUN == 0 {
            ids.finish()?;
            ids = Ids::create(Run::create(engine, &mut written, Access::InOrder, prefix)?, in_blocks);
        }
    }
    ids.finish()?;
    Ok((written, count))
}

/// The members of a layer that are being written.
struct Ids<'a> {
    run: Run<'a>,
    /// None in a layer that has a key for each.
    blocks: Option<Blocks>,
}

impl<'a> Ids<'a> {
    fn create(run: Run<'a>, in_blocks: bool) -> Self {
        Self { run, blocks: in_blocks.then(Blocks::new) }
    }

    /// Puts one more, with its copy if the layer has them; ids ascend.
    fn put(&mut self, id: &[u8], copy: &[u8]) -> Result<()> {
        let Self { run, blocks } = self;
        let mut put = |id: &[u8], value: &[u8]| {
            run.set_key(id);
            run.put(value)
        };
        match blocks {
            Some(blocks) => blocks.push(id, put),
            None => put(id, copy),
        }
    }

    fn finish(self) -> Result<()> {
        let Self { mut run, blocks } = self;
        if let Some(mut blocks) = blocks {
            blocks.finish(|id, others| {
                run.set_key(id);
                run.put(others)
            })?;
        }
        run.finish()
    }
}

/// Writes the members of a layer that names registered endpoints: ids that ascend, and others.
fn write_members(mut members: Ids<'_>, ids: &Texts, others: &[&[u8]]) -> Result<()> {
    let mut others = others.to_vec();
    others.sort_unstable();
    others.dedup();
    let mut others = others.into_iter().peekable();
    for id in ids.iter() {
        while let Some(other) = others.next_if(|other| *other < id) {
            members.put(other, &[])?;
        }
        others.next_if(|other| *other == id);
        members.put(id, &[])?;
    }
    for other in others {
        members.put(other, &[])?;
    }
    members.finish()
}

/// Rows of one id that had no room beside each other.
#[derive(Debug, Default)]
struct Crowd {
    ids: Vec<Vec<u8>>,
    /// Members that were left out.
    left_out: u64,
}

/// Entries of one table that are being written: to a file, which appears with its first entry, or to the batch of a
/// small piece.
struct Run<'a> {
    engine: &'a Engine,
    written: &'a mut Written,
    access: Access,
    writer: Option<(SstFileWriter<'a>, StagedFile)>,
    /// The prefix, and after it the rest of the entry's key.
    key: Key,
    prefix: usize,
}

impl<'a> Run<'a> {
    fn create(engine: &'a Engine, written: &'a mut Written, access: Access, prefix: &[u8]) -> Result<Self> {
        engine.check()?;
        Ok(Self { engine, written, access, writer: None, key: prefix.to_vec(), prefix: prefix.len() })
    }

    fn set_key(&mut self, id: &[u8]) {
        self.key.truncate(self.prefix);
        self.key.extend_from_slice(id);
    }

    fn set_user_key(&mut self, user: &[u8], id: &[u8]) {
        self.key.truncate(self.prefix);
        keys::push_user(&mut self.key, user);
        self.key.extend_from_slice(id);
    }

    fn open(&mut self) -> Result<()> {
        if self.writer.is_none() {
            let (options, path) = self.engine.stage(self.access);
            let writer = SstFileWriter::create(options);
            let file = StagedFile { path };
            writer.open(file.path()).map_err(|error| self.engine.unstaged(error))?;
            boundary("run.begun");
            self.writer = Some((writer, file));
        }
        Ok(())
    }

    fn put(&mut self, value: &[u8]) -> Result<()> {
        if let Some(batch) = &mut self.written.batch {
            batch.put(&self.key, value);
            return Ok(());
        }
        self.open()?;
        let (writer, _) = self.writer.as_mut().expect("opened above");
        writer.put(&self.key, value).map_err(|error| self.engine.unstaged(error))
    }

    fn merge(&mut self, record: &[u8]) -> Result<()> {
        if let Some(batch) = &mut self.written.batch {
            batch.merge(&self.key, record);
            return Ok(());
        }
        self.open()?;
        let (writer, _) = self.writer.as_mut().expect("opened above");
        writer.merge(&self.key, record).map_err(|error| self.engine.unstaged(error))
    }

    /// Writes a group of links, if there are some, and makes it one without.
    fn merge_group(&mut self, group: u32, value: &mut Vec<u8>) -> Result<()> {
        if !value.is_empty() {
            self.set_key(&group_key(group));
            self.merge(value)?;
            value.clear();
        }
        Ok(())
    }

    /// Writes what the rows say in order of their ids, rows of one id merged in source order. `visit` gets the place of every
    /// row in that order, while its bytes are at hand.
    fn merge_rows(&mut self, rows: &[Row<'_>], mut visit: impl FnMut(u32)) -> Result<Crowd> {
        let order = sort(rows.len(), |index| rows[index].id);
        // However many rows there are of one id: what is merged is read whole.
        let mut fold = Fold::new(self.engine.folding.bounds, true);
        let mut crowd = Crowd::default();
        let (mut at, mut repeated) = (0, 0);
        let warm_from = |start: usize| {
            let next = order.iter().skip(start).take(AHEAD).map(|(_, index)| &rows[*index as usize]);
            warm(next.flat_map(|row| [row.id, row.record]));
        };
        warm_from(0);
        let mut warmed = 0;
        while at < order.len() {
            if at >= warmed {
                warmed += AHEAD;
                warm_from(warmed);
            }
            let row = &rows[order[at].1 as usize];
            visit(order[at].1);
            self.set_key(row.id);
            at += 1;
            // The leading bytes tell nearly all neighbours apart without touching their ids.
            let same = |next: &(u64, u32)| next.0 == order[at - 1].0 && rows[next.1 as usize].id == row.id;
            if !order.get(at).is_some_and(same) {
                self.merge(row.record)?;
                continue;
            }
            fold.begin(row.record);
            while let Some((_, index)) = order.get(at).filter(|next| rows[next.1 as usize].id == row.id) {
                let duplicate = &rows[*index as usize];
                visit(*index);
                fold.add(duplicate.record)?;
                at += 1;
                repeated += 1;
            }
            self.merge(fold.so_far())?;
            if fold.left_out() > crowd.left_out {
                crowd.left_out = fold.left_out();
                crowd.ids.push(row.id.to_vec());
            }
        }
        self.written.repeated += repeated;
        Ok(crowd)
    }

    /// Ends and syncs the file. A run without entries leaves no file.
    fn finish(self) -> Result<()> {
        if let Some((mut writer, file)) = self.writer {
            writer.finish().map_err(|error| self.engine.unstaged(error))?;
            boundary("run.synced");
            self.written.files.push(file);
        }
        Ok(())
    }
}
