//! The order of keys that lie all over a piece, and how to wait less for their bytes.

use std::cmp::Ordering;

use crate::distant::prefetch;

/// Rows whose bytes are fetched together.
pub(crate) const AHEAD: usize = 16;

/// Begins to fetch what is due next. In order of keys it lies all over the piece, so that each text would wait for memory by
/// itself.
pub(crate) fn warm<'a>(texts: impl Iterator<Item = &'a [u8]>) {
    texts.for_each(prefetch);
}

/// The order of keys as (what decides nearly every comparison, index); equal keys stay in order.
pub(crate) fn sort<'a>(count: usize, key: impl Fn(usize) -> &'a [u8]) -> Vec<(u64, u32)> {
    let count = u32::try_from(count).expect("a piece has fewer than 2^32 records");
    let shared = shared_prefix((0..count).map(|index| key(index as usize)));
    // Eight bytes after what all keys share decide nearly every comparison without touching the keys.
    let mut sorted: Vec<_> = (0..count).map(|index| (leading(key(index as usize), shared), index)).collect();
    sorted.sort_unstable_by(|left, right| match left.0.cmp(&right.0) {
        Ordering::Equal => key(left.1 as usize).cmp(key(right.1 as usize)).then(left.1.cmp(&right.1)),
        unequal => unequal,
    });
    sorted
}

/// How many first bytes all keys share.
pub(crate) fn shared_prefix<'a>(mut keys: impl Iterator<Item = &'a [u8]>) -> usize {
    let Some(first) = keys.next() else { return 0 };
    keys.fold(first.len(), |shared, key| {
        if key.starts_with(&first[..shared]) {
            return shared;
        }
        first.iter().zip(key).take_while(|(one, other)| one == other).count()
    })
}

/// Eight bytes of a key from `start` on, as a number that orders as they do.
pub(crate) fn leading(key: &[u8], start: usize) -> u64 {
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
            let sorted = sort(keys.len(), |index| &keys[index]);
            prop_assert_eq!(sorted.into_iter().map(|(_, index)| index).collect::<Vec<_>>(), expected);
        }
    }
}
