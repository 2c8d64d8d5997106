//! The ranges of hashes that rows are spread over and folded by, and what tells that a build computes the same hashes.

pub(super) use crate::hash::h8;

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
    use super::*;

    #[test]
    fn places_are_ranges() {
        for hash in [i64::MIN, -1, 0, 1, i64::MAX] {
            let (first, last) = range_of(place_of(hash));
            assert!((first..=last).contains(&hash), "{hash}");
        }
        assert_eq!((place_of(i64::MIN), place_of(i64::MAX)), (0, PLACES - 1));
    }
}
