//! Members as they lie in the store: in *runs*, each in order of id. A layer has a run for each piece, or one if it was folded
//! or holds copies.
//!
//! Each run has its next members at hand, and one scan goes back for more of whichever needs them. A scan of its own for each
//! run would open every file of level 0 as many times. Only where the members of many layers that were folded come after those
//! of a layer without blocks, deleted and not yet compacted, has that a scan that ends with it.

use std::collections::VecDeque;

use pinport_model::SegmentId;
use rocksdb::Snapshot;

use super::{
    blocks::{self, RUN},
    engine::Engine,
    keys::{self, Key, end_of},
    scan::Scan,
};
use crate::Result;

/// Where members are read.
pub(super) struct Source<'a> {
    engine: &'a Engine,
    snapshot: &'a Snapshot<'a>,
    pub(super) segment: SegmentId,
    is_long: bool,
    /// What all keys begin with.
    prefix: Key,
    /// Bytes of members that runs take as they are opened, the first ones; to come back for them is a seek in all files of level 0
    /// for each run. The others take a block.
    pub(super) at_once: usize,
    blocks: Option<Scan<'a>>,
    /// Of layers without blocks.
    keys: Option<Scan<'a>>,
}

impl<'a> Source<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        snapshot: &'a Snapshot<'_>,
        segment: SegmentId,
        is_long: bool,
    ) -> Self {
        let prefix = keys::members(segment);
        Self { engine, snapshot, segment, is_long, prefix, at_once: 0, blocks: None, keys: None }
    }

    fn blocks(&mut self) -> &mut Scan<'a> {
        let Self { engine, snapshot, prefix, is_long, blocks, .. } = self;
        blocks.get_or_insert_with(|| match is_long {
            false => engine.scan_in(snapshot, prefix),
            true => engine.skim_in(snapshot, prefix),
        })
    }

    fn keys(&mut self) -> &mut Scan<'a> {
        let Self { engine, snapshot, prefix, keys, .. } = self;
        keys.get_or_insert_with(|| engine.hop_in(snapshot, prefix))
    }
}

/// Members that lie one after the other.
pub(super) struct Run {
    /// Which of the layers it is of.
    pub(super) layer: u32,
    pub(super) ids: Ids,
}

pub(super) enum Ids {
    Blocks(Blocks),
    Keys(Keys),
}

impl Run {
    /// The id of the next member. A run that was not asked for one yet has none.
    pub(super) fn id(&self) -> Option<&[u8]> {
        match &self.ids {
            Ids::Blocks(blocks) => (!blocks.is_at_end).then_some(&blocks.id[..]),
            Ids::Keys(keys) => keys.at_hand.front().map(|(id, _)| &id[..]),
        }
    }

    pub(super) fn copy(&self) -> Option<&[u8]> {
        match &self.ids {
            Ids::Blocks(_) => None,
            Ids::Keys(keys) => keys.at_hand.front().and_then(|(_, copy)| copy.as_deref()),
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        match &self.ids {
            Ids::Blocks(blocks) => blocks.is_at_end,
            Ids::Keys(keys) => keys.is_read && keys.at_hand.is_empty(),
        }
    }

    /// Whether it may have more members than lie at hand.
    pub(super) fn has_more(&self) -> bool {
        match &self.ids {
            Ids::Blocks(blocks) => blocks.has_more,
            Ids::Keys(_) => true,
        }
    }

    pub(super) fn forward(&mut self, source: &mut Source<'_>) -> Result<()> {
        match &mut self.ids {
            Ids::Blocks(blocks) => blocks.forward(source),
            Ids::Keys(keys) => keys.forward(source),
        }
    }

    /// Goes on to the first id that is not before `id`.
    pub(super) fn seek(&mut self, source: &mut Source<'_>, id: &[u8]) -> Result<()> {
        match &mut self.ids {
            Ids::Blocks(blocks) => blocks.seek(source, id),
            Ids::Keys(keys) => keys.seek(source, id),
        }
    }
}

/// A run that is stored in blocks.
pub(super) struct Blocks {
    /// The key of the last block that is at hand, after what the keys of all members begin with.
    key: Key,
    /// The ids that come after the first one, as in a block.
    others: Vec<u8>,
    /// How many bytes of these were read.
    read: usize,
    id: Vec<u8>,
    /// Bytes from which on no further block is taken.
    pub(super) room: usize,
    /// The same where ids are asked for: none but those near each other need what follows them.
    ahead: usize,
    /// How often the run was sought in since blocks were taken.
    sought: usize,
    /// Whether it may have blocks after those that are at hand.
    has_more: bool,
    is_at_end: bool,
}

/// How often a run is sought in, for each time that blocks are taken, where ids are near each other.
const NEAR: usize = 8;

/// Bytes of blocks that are taken then; four times as many each time.
const FIRST_AHEAD: usize = 32 << 10;

/// How many first bytes of a block's key say which run it is of: the layer's number, and what [`blocks::run`] adds.
const OF_RUN: usize = size_of::<u32>() + RUN;

impl Blocks {
    /// The first run of a layer.
    pub(super) fn first_of_layer(source: &mut Source<'_>, layer: u32) -> Result<Option<Self>> {
        let key = keys::layer(source.segment, layer);
        source.blocks().seek(&key);
        Self::at_hand(source, layer)
    }

    /// What [`blocks::run`] adds to the layer in its keys.
    pub(super) fn of_run(&self) -> [u8; RUN] {
        let run = self.key[..OF_RUN].last_chunk();
        *run.expect("its key begins with the layer's number and the run")
    }

    /// The run after this one in its layer. This one was just opened.
    pub(super) fn next_run(&mut self, source: &mut Source<'_>) -> Result<Option<Self>> {
        let layer =
            u32::from_be_bytes(*self.key.first_chunk().expect("its key begins with the layer's number"));
        if self.has_more {
            // Most runs of small layers have one block.
            let blocks = source.blocks();
            blocks.forward();
            self.has_more = blocks.entry()?.is_some_and(|(key, _)| key.starts_with(&self.key[..OF_RUN]));
        }
        if self.has_more {
            let end = [&source.prefix[..], &end_of(&self.key[..OF_RUN])].concat();
            source.blocks().seek(&end);
        }
        Self::at_hand(source, layer)
    }

    /// What the scan is at, if it is a block of the layer.
    fn at_hand(source: &mut Source<'_>, layer: u32) -> Result<Option<Self>> {
        let Some((key, _)) = source.blocks().entry()? else { return Ok(None) };
        if key.len() < OF_RUN || !key.starts_with(&layer.to_be_bytes()) {
            return Ok(None);
        }
        let key = key[..OF_RUN].to_vec();
        let mut run = Self {
            key,
            others: Vec::new(),
            read: 0,
            id: Vec::new(),
            room: 0,
            ahead: 0,
            sought: 0,
            has_more: false,
            is_at_end: false,
        };
        run.take(source, source.at_once)?;
        source.at_once = source.at_once.saturating_sub(run.others.len());
        Ok(Some(run))
    }

    /// Takes the block that the scan is at, and those after it up to so many bytes; or none is left in the run.
    fn take(&mut self, source: &mut Source<'_>, bytes: usize) -> Result<()> {
        let blocks = source.blocks();
        (self.is_at_end, self.has_more, self.read) = (true, false, 0);
        self.others.clear();
        while let Some((key, others)) = blocks.entry()?
            && key.starts_with(&self.key[..OF_RUN])
        {
            let first = &key[OF_RUN..];
            if self.is_at_end {
                self.is_at_end = false;
                self.id.clear();
                self.id.extend_from_slice(first);
            } else {
                blocks::put_id(&mut self.others, 0, first);
            }
            self.others.extend_from_slice(others);
            self.key.truncate(OF_RUN);
            self.key.extend_from_slice(first);
            if self.others.len() >= bytes {
                self.has_more = true;
                break;
            }
            blocks.forward();
        }
        Ok(())
    }

    fn forward(&mut self, source: &mut Source<'_>) -> Result<()> {
        let mut others = &self.others[self.read..];
        if others.is_empty() {
            return self.take_next(source, self.room);
        }
        blocks::next(&mut self.id, &mut others)?;
        self.read = self.others.len() - others.len();
        Ok(())
    }

    /// Takes the blocks after those that are at hand, up to so many bytes.
    fn take_next(&mut self, source: &mut Source<'_>, bytes: usize) -> Result<()> {
        if !self.has_more {
            self.is_at_end = true;
            return Ok(());
        }
        // The scan is still there, if it took no other run meanwhile.
        if source.blocks().entry()?.is_none_or(|(key, _)| key != self.key) {
            let key = [&source.prefix[..], &self.key].concat();
            source.blocks().seek(&key);
        }
        source.blocks().forward();
        self.take(source, bytes)
    }

    fn seek(&mut self, source: &mut Source<'_>, id: &[u8]) -> Result<()> {
        self.sought += 1;
        let mut is_in_block = false;
        while !self.is_at_end && &self.id[..] < id {
            if self.read < self.others.len() || is_in_block || !self.has_more {
                self.forward(source)?;
                continue;
            }
            if std::mem::take(&mut self.sought) >= NEAR {
                // It is in the blocks that follow. The scan has not to turn for these, which would be one more seek.
                self.ahead = (self.ahead * 4).max(FIRST_AHEAD).min(self.room);
                self.take_next(source, self.ahead)?;
                continue;
            }
            self.ahead = 0;
            // The last block that begins at the id or before it.
            let key = [&source.prefix[..], &self.key[..OF_RUN], id].concat();
            source.blocks().seek_until(&key);
            match source.blocks().entry()?.is_some_and(|(key, _)| key > &self.key[..]) {
                true => self.take(source, 0)?,
                false => self.forward(source)?,
            }
            is_in_block = true;
        }
        Ok(())
    }
}

/// A layer that has a key for each member.
pub(super) struct Keys {
    /// What its keys begin with, from the layer's number on.
    prefix: Key,
    start: Key,
    copies: bool,
    /// Bytes of members that are read at once.
    pub(super) room: usize,
    at_hand: VecDeque<(Vec<u8>, Option<Vec<u8>>)>,
    /// Nothing comes after what is at hand.
    is_read: bool,
}

impl Keys {
    pub(super) fn new(segment: SegmentId, number: u32, copies: bool) -> Self {
        let (start, prefix) = (keys::layer(segment, number), number.to_be_bytes().to_vec());
        Self { prefix, start, copies, room: 0, at_hand: VecDeque::new(), is_read: false }
    }

    fn forward(&mut self, source: &mut Source<'_>) -> Result<()> {
        let Some((last, _)) = self.at_hand.pop_front() else { return Ok(()) };
        if self.at_hand.is_empty() && !self.is_read {
            self.read(source, &last, true)?;
        }
        Ok(())
    }

    fn seek(&mut self, source: &mut Source<'_>, id: &[u8]) -> Result<()> {
        while self.at_hand.front().is_some_and(|(other, _)| &other[..] < id) {
            self.at_hand.pop_front();
        }
        if self.at_hand.is_empty() && !self.is_read {
            self.read(source, id, false)?;
        }
        Ok(())
    }

    /// Reads some members from `from` on, or after it.
    pub(super) fn read(&mut self, source: &mut Source<'_>, from: &[u8], is_after: bool) -> Result<()> {
        let before = self.at_hand.len();
        let prefix = self.prefix.clone();
        if self.read_with(source.keys(), &prefix, from, is_after)? {
            return Ok(());
        }
        // Nearly always nothing of it is left, and what follows is deleted.
        let mut own = source.engine.scan_in(source.snapshot, &self.start);
        let last = self.at_hand.back().filter(|_| self.at_hand.len() > before);
        match last.map(|(id, _)| id.clone()) {
            Some(last) => self.read_with(&mut own, &[], &last, true)?,
            None => self.read_with(&mut own, &[], from, is_after)?,
        };
        Ok(())
    }

    /// The same with a scan whose keys have `prefix` before the member's id. Whether it was not cut off.
    fn read_with(
        &mut self,
        members: &mut Scan<'_>,
        prefix: &[u8],
        from: &[u8],
        is_after: bool,
    ) -> Result<bool> {
        let key = [&self.start[..], from].concat();
        if is_after {
            members.seek_after(&key);
        } else {
            members.seek(&key);
        }
        let mut bytes = 0;
        loop {
            let (key, record) = match members.entry() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(_) if members.is_cut_off() => return Ok(false),
                Err(error) => return Err(error),
            };
            let Some(id) = key.strip_prefix(prefix) else { break };
            let copy = self.copies.then(|| record.to_vec());
            bytes += id.len() + copy.as_ref().map_or(0, Vec::len) + size_of::<(Vec<u8>, Option<Vec<u8>>)>();
            self.at_hand.push_back((id.to_vec(), copy));
            if bytes >= self.room {
                return Ok(true);
            }
            members.forward();
        }
        self.is_read = true;
        Ok(true)
    }
}
