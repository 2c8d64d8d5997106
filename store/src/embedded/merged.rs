//! The members of several layers as one list in order of id, in bounded memory however many layers there are.
//!
//! One scan serves all layers: each has some of its next members at hand and the scan goes back to it for more. A scan of
//! its own for each layer would open every file of level 0 as many times. Only where the members of many layers that were
//! folded come after its own, deleted and not yet compacted, has a layer a scan that ends with it.

use std::collections::VecDeque;

use pinport_model::SegmentId;
use rocksdb::Snapshot;

use super::{
    engine::Engine,
    keys::{self, Key},
    scan::Scan,
};
use crate::Result;

/// A member: its id, and its own record if it is a copy.
pub(super) type Member = (Vec<u8>, Option<Vec<u8>>);

/// Bytes of members that are at hand, over all layers; each layer has at least one member.
const AT_HAND: usize = 1 << 20;

/// The members of some layers.
pub(super) struct Merged<'a> {
    source: Source<'a>,
    layers: Vec<Layer>,
}

/// Where members are read.
struct Source<'a> {
    engine: &'a Engine,
    snapshot: &'a Snapshot<'a>,
    members: Scan<'a>,
}

struct Layer {
    /// What its keys begin with, from the layer's number on.
    prefix: Key,
    start: Key,
    copies: bool,
    /// Bytes of members that are read at once.
    room: usize,
    at_hand: VecDeque<Member>,
    /// Nothing comes after what is at hand.
    is_read: bool,
}

impl<'a> Merged<'a> {
    /// The members of layers, given by their number and whether they hold copies, that come after `after`.
    pub(super) fn new(
        engine: &'a Engine,
        snapshot: &'a Snapshot<'a>,
        segment: SegmentId,
        layers: impl IntoIterator<Item = (u32, bool)>,
        after: Option<&[u8]>,
    ) -> Result<Self> {
        let mut layers: Vec<_> =
            layers.into_iter().map(|(number, copies)| Layer::new(segment, number, copies)).collect();
        let room = AT_HAND / layers.len().max(1);
        let mut source = Source::new(engine, snapshot, segment);
        for layer in &mut layers {
            layer.room = room;
            layer.read(&mut source, after.unwrap_or_default(), after.is_some())?;
        }
        Ok(Self { source, layers })
    }

    /// Layers without copies that are asked for ids, those first that are named first: they have the most room, for they
    /// are asked for all ids and the others for what is left.
    pub(super) fn to_ask(
        engine: &'a Engine,
        snapshot: &'a Snapshot<'a>,
        segment: SegmentId,
        layers: impl IntoIterator<Item = u32>,
    ) -> Self {
        let mut layers: Vec<_> =
            layers.into_iter().map(|number| Layer::new(segment, number, false)).collect();
        let least = AT_HAND / 2 / layers.len().max(1);
        let mut room = AT_HAND;
        for layer in &mut layers {
            room /= 2;
            layer.room = room.max(least);
        }
        Self { source: Source::new(engine, snapshot, segment), layers }
    }

    /// The member with the least id; the last layer that has it says what it is.
    pub(super) fn next(&mut self) -> Result<Option<Member>> {
        let Some(least) = self.layers.iter().filter_map(Layer::head).min() else { return Ok(None) };
        let least = least.to_vec();
        let mut found = None;
        for layer in &mut self.layers {
            if layer.head().is_some_and(|id| id == least) {
                found = layer.at_hand.pop_front();
                if layer.at_hand.is_empty() && !layer.is_read {
                    layer.read(&mut self.source, &least, true)?;
                }
            }
        }
        Ok(found)
    }

    /// Whether a layer has a member with this id. Ids that are asked for ascend.
    pub(super) fn has(&mut self, id: &[u8]) -> Result<bool> {
        for layer in &mut self.layers {
            while layer.head().is_some_and(|other| other < id) {
                layer.at_hand.pop_front();
            }
            if layer.at_hand.is_empty() && !layer.is_read {
                layer.read(&mut self.source, id, false)?;
            }
            if layer.head() == Some(id) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl<'a> Source<'a> {
    fn new(engine: &'a Engine, snapshot: &'a Snapshot<'a>, segment: SegmentId) -> Self {
        Self { engine, snapshot, members: engine.hop_in(snapshot, &keys::members(segment)) }
    }
}

impl Layer {
    fn new(segment: SegmentId, number: u32, copies: bool) -> Self {
        let (start, prefix) = (keys::layer(segment, number), number.to_be_bytes().to_vec());
        Self { prefix, start, copies, room: AT_HAND, at_hand: VecDeque::new(), is_read: false }
    }

    /// The id of the next member.
    fn head(&self) -> Option<&[u8]> {
        self.at_hand.front().map(|(id, _)| &id[..])
    }

    /// Reads some members from `from` on, or after it.
    fn read(&mut self, source: &mut Source<'_>, from: &[u8], behind: bool) -> Result<()> {
        let before = self.at_hand.len();
        let prefix = self.prefix.clone();
        if self.read_with(&mut source.members, &prefix, from, behind)? {
            return Ok(());
        }
        // Nearly always nothing of it is left, and what follows is deleted.
        let mut own = source.engine.scan_in(source.snapshot, &self.start);
        let last = self.at_hand.back().filter(|_| self.at_hand.len() > before);
        match last.map(|(id, _)| id.clone()) {
            Some(last) => self.read_with(&mut own, &[], &last, true)?,
            None => self.read_with(&mut own, &[], from, behind)?,
        };
        Ok(())
    }

    /// The same with a scan whose keys have `prefix` before the member's id. Whether it was not cut off.
    fn read_with(
        &mut self,
        members: &mut Scan<'_>,
        prefix: &[u8],
        from: &[u8],
        behind: bool,
    ) -> Result<bool> {
        let key = [&self.start[..], from].concat();
        if behind {
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
            bytes += id.len() + copy.as_ref().map_or(0, Vec::len) + size_of::<Member>();
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
