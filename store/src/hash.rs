//! The hash that rows of endpoints and users, and links of users, are found and spread by. It is stored: whoever computes
//! another one finds nothing, so it never changes under one layout number, and tests hold golden values.

/// Odd constants without a pattern.
const KEYS: [u64; 3] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db, 0x8ebc_6af0_9c88_c6e3];

/// The hash of an id in a space.
#[inline]
pub(crate) fn h8(space: i32, id: &[u8]) -> i64 {
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

/// Another text of 16 bytes with the same hash in space 0.
#[cfg(test)]
pub(crate) fn twin(text: &str) -> String {
    let halves = |text: &[u8]| {
        let half = |at: usize| u64::from_le_bytes(text[at..at + 8].try_into().unwrap());
        (half(0), half(8))
    };
    let begun = mix(KEYS[0], KEYS[1] ^ 16);
    let state = |first: u64| mix(begun ^ first, KEYS[2]);
    let (first, last) = halves(text.as_bytes());
    let others = (0..).map(|number: u64| format!("{number:08}"));
    let twins = others.filter_map(|other| {
        let start: [u8; 8] = other.as_bytes().try_into().ok()?;
        let end = last ^ state(first) ^ state(u64::from_le_bytes(start));
        String::from_utf8([start, end.to_le_bytes()].concat()).ok()
    });
    twins.filter(|twin| twin != text).find(|twin| twin.bytes().all(|byte| byte.is_ascii_graphic())).unwrap()
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
            // What a database checks (`postgres::hash`).
            h8(1, b"pinport: the hash of this id is stored with the layout"),
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
        let mut places = [0_u32; 256];
        hashes.iter().for_each(|hash| places[(hash.cast_unsigned() >> 56) as usize] += 1);
        assert!(places.iter().all(|count| (250..550).contains(count)), "{places:?}");
    }
}
