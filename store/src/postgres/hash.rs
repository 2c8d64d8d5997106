//! The hash that rows of endpoints and users are found and spread by. It is stored: whoever computes another one finds
//! nothing, so it never changes under one layout number, and tests hold golden values.

/// Odd constants without a pattern.
const KEYS: [u64; 3] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db, 0x8ebc_6af0_9c88_c6e3];

/// The hash of an id in a space.
#[inline]
pub(super) fn h8(space: i32, id: &[u8]) -> i64 {
    let mut state = mix(u64::from(space.cast_unsigned()) ^ KEYS[0], KEYS[1] ^ id.len() as u64);
    let mut rest = id;
    while let Some((bytes, behind)) = rest.split_first_chunk::<8>() {
        state = mix(state ^ u64::from_le_bytes(*bytes), KEYS[2]);
        rest = behind;
    }
    if !rest.is_empty() {
        let mut bytes = [0; 8];
        bytes[..rest.len()].copy_from_slice(rest);
        state = mix(state ^ u64::from_le_bytes(bytes), KEYS[2]);
    }
    mix(state, KEYS[1]).cast_signed()
}

/// Both halves of the product, folded.
#[inline]
fn mix(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    (product as u64) ^ (product >> 64) as u64
}

/// The hash that is stored with the layout: a build whose hash differs is refused.
pub(super) fn check() -> i64 {
    h8(1, b"pinport: the hash of this id is stored with the layout")
}

/// Ranges of hashes that are folded one at a time.
pub(super) const PLACES: i32 = 256;

/// The range that a hash lies in.
pub(super) fn place_of(h8: i64) -> i32 {
    ((h8 >> 56) + 128) as i32
}

/// The first and the last hash of a range.
pub(super) fn range_of(place: i32) -> (i64, i64) {
    let first = (i64::from(place) - 128) << 56;
    (first, first + ((1 << 56) - 1))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Stored data depends on these: a change needs a new layout number.
    #[test]
    fn the_hash_never_changes() {
        let found = [
            h8(1, b""),
            h8(1, b"a"),
            h8(2, b"a"),
            h8(-1, b"a"),
            h8(1, b"12345678"),
            h8(1, b"123456789"),
            h8(i32::MAX, "idrexqqtn8sbwfex0ouscod0yto \u{1f600}".as_bytes()),
            check(),
        ];
        assert_eq!(found, GOLDEN);
    }

    const GOLDEN: [i64; 8] = [
        -468714909159206614,
        239490996483468813,
        6705123952066842204,
        -8654967116749834322,
        -4436298275968039566,
        1131096493359792842,
        -7638905847443573436,
        -8038202041500463525,
    ];

    #[test]
    fn ids_are_spread_evenly() {
        let hashes: Vec<_> = (0..100_000).map(|number| h8(1, format!("user-{number}").as_bytes())).collect();
        assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), hashes.len());
        let mut places = [0_u32; PLACES as usize];
        hashes.iter().for_each(|hash| places[place_of(*hash) as usize] += 1);
        assert!(places.iter().all(|count| (250..550).contains(count)), "{places:?}");
    }

    #[test]
    fn places_are_ranges() {
        for hash in [i64::MIN, -1, 0, 1, i64::MAX] {
            let (first, last) = range_of(place_of(hash));
            assert!((first..=last).contains(&hash), "{hash}");
        }
        assert_eq!((place_of(i64::MIN), place_of(i64::MAX)), (0, PLACES - 1));
    }
}
