//! The ids of members in blocks: an entry of the store holds some hundred ids, ascending, instead of one.
//!
//! Of a layer that names registered endpoints each piece writes a run of blocks: the ids of all its rows. An entry's key ends
//! with the block's first id; its value has the others, each as `shared:varint length:varint bytes`: how many bytes it has of
//! the id before it, and the rest. A layer is read by merging its runs ([`super::merged`]).

use super::keys::Key;
use crate::record::{
    put_bytes, put_varint,
    read::{Damaged, take_bytes, take_varint},
};

/// The numbers of layers that are stored in blocks have this. Layers with copies are not, and those that jobs wrote or
/// began before there were blocks.
const IN_BLOCKS: u32 = 1 << 28;

/// Whether the members of the layer with this number lie in blocks.
pub(super) fn has_blocks(layer: u32) -> bool {
    layer & IN_BLOCKS != 0
}

/// The number of a new layer: its members lie in blocks unless it holds copies.
pub(super) fn numbered(layer: u32, copies: bool) -> u32 {
    if copies { layer } else { layer | IN_BLOCKS }
}

/// Bytes of a block from which on it takes no more ids: as many as a block of the engine has. One block of each run that is
/// read lies in memory.
const FULL: usize = 8 << 10;

/// What comes after the layer in the keys of a run: the piece, and which of the piece's runs it is.
pub(super) const RUN: usize = 9;

/// The numbers of a piece's runs are so far from each other: what the first of them is joined to lies between them.
pub(super) const RUNS_APART: u8 = 64;

/// What the keys of a run begin with.
pub(super) fn run(layer: &[u8], piece: u64, number: u8) -> Key {
    [layer, &piece.to_be_bytes(), &[number]].concat()
}

/// Puts ids that ascend into blocks.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    first: Vec<u8>,
    last: Vec<u8>,
    others: Vec<u8>,
    is_empty: bool,
}

impl Blocks {
    pub(super) fn new() -> Self {
        Self { is_empty: true, ..Self::default() }
    }

    /// Adds an id. `put` gets a block that is full: its first id, and its value.
    pub(super) fn push<E>(
        &mut self,
        id: &[u8],
        put: impl FnOnce(&[u8], &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.others.len() >= FULL {
            self.finish(put)?;
        }
        if self.is_empty {
            self.is_empty = false;
            self.first.extend_from_slice(id);
            self.last.extend_from_slice(id);
            return Ok(());
        }
        let shared = self.last.iter().zip(id).take_while(|(one, other)| one == other).count();
        let rest = &id[shared..];
        put_id(&mut self.others, shared, rest);
        self.last.truncate(shared);
        self.last.extend_from_slice(rest);
        Ok(())
    }

    /// Ends the last block.
    pub(super) fn finish<E>(&mut self, put: impl FnOnce(&[u8], &[u8]) -> Result<(), E>) -> Result<(), E> {
        if !self.is_empty {
            put(&self.first, &self.others)?;
        }
        self.first.clear();
        self.last.clear();
        self.others.clear();
        self.is_empty = true;
        Ok(())
    }
}

/// Adds an id that has so many bytes of the one before it.
pub(super) fn put_id(others: &mut Vec<u8>, shared: usize, rest: &[u8]) {
    put_varint(others, shared);
    put_bytes(others, rest);
}

/// Turns an id into the next one of its block; `others`: the value from there on.
pub(super) fn next(id: &mut Vec<u8>, others: &mut &[u8]) -> Result<(), Damaged> {
    let shared = take_varint(others)?;
    let rest = take_bytes(others)?;
    if shared > id.len() {
        return Err(Damaged("shares more than there is"));
    }
    id.truncate(shared);
    id.extend_from_slice(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn coded<T: AsRef<[u8]>>(ids: &[T]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let (mut blocks, mut found) = (Blocks::new(), Vec::new());
        let mut put = |first: &[u8], others: &[u8]| {
            found.push((first.to_vec(), others.to_vec()));
            Ok::<_, Infallible>(())
        };
        for id in ids {
            let Ok(()) = blocks.push(id.as_ref(), &mut put);
        }
        let Ok(()) = blocks.finish(&mut put);
        found
    }

    fn ids(blocks: &[(Vec<u8>, Vec<u8>)]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        for (first, others) in blocks {
            let (mut id, mut others) = (first.clone(), &others[..]);
            found.push(id.clone());
            while !others.is_empty() {
                next(&mut id, &mut others).unwrap();
                found.push(id.clone());
            }
        }
        found
    }

    proptest! {
        #[test]
        fn blocks_hold_what_was_put_into_them(
            wanted in proptest::collection::btree_set(proptest::collection::vec(0..4_u8, 0..300), 0..200)
        ) {
            let wanted: Vec<_> = wanted.into_iter().collect();
            let blocks = coded(&wanted);
            prop_assert_eq!(ids(&blocks), wanted);
            for (_, others) in &blocks {
                prop_assert!(others.len() < FULL + 310);
            }
        }
    }

    #[test]
    fn many_ids_take_few_blocks() {
        let wanted: Vec<_> = (0..10_000).map(|id| format!("endpoint-{id:08}")).collect();
        let blocks = coded(&wanted);
        assert!(blocks.len() < 10_000 / 2000, "{} blocks", blocks.len());
        assert_eq!(ids(&blocks).len(), 10_000);
    }

    #[test]
    fn damaged_blocks_are_errors() {
        for others in [&[4, 1, b'a'][..], &[0], &[0, 2, b'a'], &[0xff; 12]] {
            let mut rest = others;
            assert!(next(&mut b"abc".to_vec(), &mut rest).is_err(), "{others:?}");
        }
    }
}
