//! Finds where plain JSON strings end, 16 bytes at a time.

#![allow(unsafe_code, reason = "vector instructions")]

/// Where the first quote, backslash or control character is.
#[inline(always)]
pub(super) fn stop(bytes: &[u8]) -> Option<usize> {
    // Most strings are shorter than this.
    if let Some(chunk) = bytes.first_chunk() {
        let found = stops(chunk);
        if found != 0 {
            return Some(found.trailing_zeros() as usize);
        }
    }
    let mut rest = bytes.get(16..).unwrap_or(bytes);
    while let Some((chunk, behind)) = rest.split_first_chunk() {
        let found = stops(chunk);
        if found != 0 {
            return Some(bytes.len() - rest.len() + found.trailing_zeros() as usize);
        }
        rest = behind;
    }
    let found = rest.iter().position(|byte| is_stop(*byte))?;
    Some(bytes.len() - rest.len() + found)
}

fn is_stop(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f)
}

/// With this bit flipped the control characters still are the lowest 32, and the quote comes next: one comparison finds them.
const FLIP: u8 = 2;
const FLIPPED_QUOTE: u8 = b'"' ^ FLIP;

/// A bit for each byte that is a stop.
#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
#[inline]
fn stops(chunk: &[u8; 16]) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
        _mm_xor_si128,
    };
    // SAFETY: the load reads the 16 bytes of `chunk` and needs no alignment; SSE2 is a part of x86-64.
    unsafe {
        let bytes = _mm_loadu_si128(chunk.as_ptr().cast());
        let escapes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\'.cast_signed()));
        let flipped = _mm_xor_si128(bytes, _mm_set1_epi8(FLIP.cast_signed()));
        let low = _mm_cmpeq_epi8(_mm_min_epu8(flipped, _mm_set1_epi8(FLIPPED_QUOTE.cast_signed())), flipped);
        _mm_movemask_epi8(_mm_or_si128(escapes, low)) as u32
    }
}

/// A bit for each byte that is a stop.
#[cfg(not(all(target_arch = "x86_64", not(feature = "portable"))))]
#[inline]
fn stops(chunk: &[u8; 16]) -> u32 {
    use super::swar::{below, equal};

    let (halves, _) = chunk.as_chunks::<8>();
    let stops = |half: &[u8; 8]| {
        let low = below(&half.map(|byte| byte ^ FLIP), FLIPPED_QUOTE + 1);
        u32::from(equal(half, b'\\') | low)
    };
    stops(&halves[0]) | stops(&halves[1]) << 8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slow_stops(chunk: &[u8; 16]) -> u32 {
        chunk.iter().rev().fold(0, |bits, byte| bits << 1 | u32::from(is_stop(*byte)))
    }

    #[test]
    fn every_byte_at_every_place_is_seen() {
        for byte in 0..=u8::MAX {
            for place in 0..16 {
                let mut chunk = [b'a'; 16];
                chunk[place] = byte;
                assert_eq!(stops(&chunk), slow_stops(&chunk), "{byte} at {place}");
            }
            for len in 0..40 {
                for place in 0..len {
                    let mut bytes = vec![0x80; len];
                    bytes[place] = byte;
                    for from in 0..=len {
                        let expected = bytes[from..].iter().position(|byte| is_stop(*byte));
                        assert_eq!(stop(&bytes[from..]), expected, "{byte} at {place} of {len} from {from}");
                    }
                }
            }
        }
    }
}
