//! The members of several layers as one list in order of id, in bounded memory however many layers there are.

use std::{cmp::Ordering, ops::Range};

use pinport_model::SegmentId;
use rocksdb::Snapshot;

use super::{
    blocks::{RUN, has_blocks},
    engine::Engine,
    member_runs::{Blocks, Ids, Keys, Run, Source},
};
use crate::{Result, order::leading};

/// Bytes of members that are at hand, over all runs; each has at least one member, and a run of blocks a block. To go back for
/// more of them is a seek in all files of level 0.
pub(super) const AT_HAND: usize = 4 << 20;

/// Layers are given by their number and whether they hold copies.
pub(super) type Layers<'a> = &'a [(u32, bool)];

/// A member: its id, and its own record if it is a copy.
pub(super) type Member<'a> = (&'a [u8], Option<&'a [u8]>);

/// Where an id lies in a buffer, and its copy.
pub(super) type Place = (Range<usize>, Option<Range<usize>>);

/// The members of some layers.
pub(super) struct Merged<'a> {
    source: Source<'a>,
    members: Members,
}

impl<'a> Merged<'a> {
    /// The members of some layers that come after `after`. What a long read passes is not kept in the cache.
    pub(super) fn new(
        engine: &'a Engine,
        snapshot: &'a Snapshot<'_>,
        segment: SegmentId,
        layers: Layers<'_>,
        from: (Option<&[u8]>, bool),
    ) -> Result<Self> {
        Self::with_room(engine, snapshot, (segment, layers), from, AT_HAND)
    }

    /// The same with `room` for bytes of members that are at hand.
    pub(super) fn with_room(
        engine: &'a Engine,
        snapshot: &'a Snapshot<'_>,
        (segment, layers): (SegmentId, Layers<'_>),
        (after, is_long): (Option<&[u8]>, bool),
        room: usize,
    ) -> Result<Self> {
        let mut source = Source::new(engine, snapshot, segment, is_long);
        let members = Members::open(&mut source, layers, after, room)?;
        Ok(Self { source, members })
    }

    /// Goes on to the first member that is not before `id`.
    pub(super) fn seek(&mut self, id: &[u8]) -> Result<()> {
        self.members.seek(&mut self.source, id)
    }

    /// The next member: its id, and its own record if it is a copy. Of those with the same id the last layer's.
    pub(super) fn next(&mut self) -> Result<Option<Member<'_>>> {
        self.members.next(&mut self.source)
    }

    /// Appends the next member; where it lies.
    pub(super) fn append_next(&mut self, bytes: &mut Vec<u8>) -> Result<Option<Place>> {
        let mut put = |part: &[u8]| {
            let start = bytes.len();
            bytes.extend_from_slice(part);
            start..bytes.len()
        };
        Ok(self.next()?.map(|(id, copy)| (put(id), copy.map(put))))
    }
}

/// The members of some layers, without what they are read from.
pub(super) struct Members {
    runs: Vec<Run>,
    /// The runs that have members left: the one with the least id is the first, and of those with the same id that of
    /// the last layer. A heap.
    heap: Vec<Head>,
    /// The member that was handed out.
    last: Vec<u8>,
    is_begun: bool,
}

/// A run, and the first bytes of the id of its next member: nearly all are told apart by them.
#[derive(Debug, Clone, Copy)]
struct Head {
    first: u64,
    run: u32,
}

impl Members {
    /// The members of some layers that come after `after`.
    pub(super) fn open(
        source: &mut Source<'_>,
        layers: Layers<'_>,
        after: Option<&[u8]>,
        room: usize,
    ) -> Result<Self> {
        let mut all = Self::of(source, layers, room)?;
        for run in &mut all.runs {
            if let Ids::Keys(keys) = &mut run.ids {
                keys.read(source, after.unwrap_or_default(), after.is_some())?;
            } else if let Some(after) = after {
                run.seek(source, after)?;
                if run.id() == Some(after) {
                    run.forward(source)?;
                }
            }
        }
        all.order();
        Ok(all)
    }

    /// The members of the first runs of a layer that is stored in blocks, and what the keys of the last of them begin with after
    /// the layer's number; `None` if it has no more than `most`.
    pub(super) fn of_first_runs(
        source: &mut Source<'_>,
        layer: u32,
        most: usize,
    ) -> Result<Option<(Self, [u8; RUN])>> {
        let (mut runs, mut last) = (Vec::new(), [0; RUN]);
        let mut found = Blocks::first_of_layer(source, layer)?;
        while let Some(mut run) = found {
            if runs.len() == most {
                let mut all = Self { runs, heap: Vec::new(), last: Vec::new(), is_begun: false };
                all.order();
                return Ok(Some((all, last)));
            }
            last = run.of_run();
            found = run.next_run(source)?;
            runs.push(Run { layer: 0, ids: Ids::Blocks(run) });
        }
        Ok(None)
    }

    /// Some layers that are asked for ids ([`has`](Self::has)). `room`: bytes of members that are at hand; what is asked for a
    /// few ids needs none.
    pub(super) fn to_ask(
        source: &mut Source<'_>,
        layers: impl Iterator<Item = u32>,
        room: usize,
    ) -> Result<Self> {
        let layers: Vec<_> = layers.map(|number| (number, false)).collect();
        let mut all = Self::of(source, &layers, room)?;
        all.order();
        Ok(all)
    }

    fn of(source: &mut Source<'_>, layers: Layers<'_>, room: usize) -> Result<Self> {
        let mut runs = Vec::new();
        for (layer, &(number, copies)) in (0..).zip(layers) {
            if !has_blocks(number) {
                let keys = Keys::new(source.segment, number, copies);
                runs.push(Run { layer, ids: Ids::Keys(keys) });
                continue;
            }
            let mut found = Blocks::first_of_layer(source, number)?;
            while let Some(mut run) = found {
                found = run.next_run(source)?;
                runs.push(Run { layer, ids: Ids::Blocks(run) });
            }
        }
        // Most runs of small layers have all their members at hand as it is.
        let room = room / runs.iter().filter(|run| run.has_more()).count().max(1);
        for run in &mut runs {
            match &mut run.ids {
                Ids::Blocks(blocks) => blocks.room = room,
                Ids::Keys(keys) => keys.room = room,
            }
        }
        Ok(Self { runs, heap: Vec::new(), last: Vec::new(), is_begun: false })
    }

    /// The next member; of those with the same id the last layer's.
    pub(super) fn next(&mut self, source: &mut Source<'_>) -> Result<Option<Member<'_>>> {
        if self.is_begun {
            while let Some(run) = self.first()
                && run.id() == Some(&self.last)
            {
                self.change_first(source, Run::forward)?;
            }
        }
        self.is_begun = true;
        let Some(first) = self.heap.first() else { return Ok(None) };
        let run = &self.runs[first.run as usize];
        let Some(id) = run.id() else { return Ok(None) };
        self.last.clear();
        self.last.extend_from_slice(id);
        Ok(Some((&self.last, run.copy())))
    }

    /// Goes on to the first member that is not before `id`.
    fn seek(&mut self, source: &mut Source<'_>, id: &[u8]) -> Result<()> {
        while self.first().and_then(Run::id).is_some_and(|first| first < id) {
            self.change_first(source, |run, source| run.seek(source, id))?;
        }
        self.is_begun = false;
        Ok(())
    }

    /// Whether a layer has a member with this id. Ids that are asked for ascend.
    pub(super) fn has(&mut self, source: &mut Source<'_>, id: &[u8]) -> Result<bool> {
        while let Some(run) = self.first() {
            match run.id().map_or(Ordering::Less, |other| other.cmp(id)) {
                Ordering::Less => self.change_first(source, |run, source| run.seek(source, id))?,
                Ordering::Equal => return Ok(true),
                Ordering::Greater => return Ok(false),
            }
        }
        Ok(false)
    }

    fn first(&self) -> Option<&Run> {
        self.heap.first().map(|first| &self.runs[first.run as usize])
    }

    /// Changes the first run and puts it where it belongs.
    fn change_first(
        &mut self,
        source: &mut Source<'_>,
        change: impl FnOnce(&mut Run, &mut Source<'_>) -> Result<()>,
    ) -> Result<()> {
        let Some(first) = self.heap.first_mut() else { return Ok(()) };
        let run = &mut self.runs[first.run as usize];
        change(run, source)?;
        first.first = first_of(run);
        if run.is_at_end() {
            self.heap.swap_remove(0);
        }
        self.sink(0);
        Ok(())
    }

    /// Makes a heap of the runs that have members.
    fn order(&mut self) {
        let runs = (0..).zip(&self.runs).filter(|(_, run)| !run.is_at_end());
        self.heap = runs.map(|(index, run)| Head { first: first_of(run), run: index }).collect();
        for place in (0..self.heap.len() / 2).rev() {
            self.sink(place);
        }
    }

    /// Puts a run below all that come before it.
    fn sink(&mut self, mut place: usize) {
        let in_full = |one: Head, other: Head| {
            let (one, other) = (&self.runs[one.run as usize], &self.runs[other.run as usize]);
            one.id().cmp(&other.id()).then(other.layer.cmp(&one.layer)).is_lt()
        };
        let comes_first = |one: Head, other: Head| match one.first.cmp(&other.first) {
            Ordering::Equal => in_full(one, other),
            order => order.is_lt(),
        };
        let Some(&run) = self.heap.get(place) else { return };
        loop {
            let mut child = 2 * place + 1;
            let Some(&left) = self.heap.get(child) else { break };
            let mut least = left;
            if let Some(&right) = self.heap.get(child + 1)
                && comes_first(right, left)
            {
                (child, least) = (child + 1, right);
            }
            if !comes_first(least, run) {
                break;
            }
            self.heap[place] = least;
            place = child;
        }
        self.heap[place] = run;
    }
}

fn first_of(run: &Run) -> u64 {
    run.id().map_or(0, |id| leading(id, 0))
}
