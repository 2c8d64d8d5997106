//! What 64 bytes of JSON are, a bit for each, by a table or by vector instructions.

#![allow(unsafe_code, reason = "vector instructions")]

/// What 64 bytes are. A bit stands for a byte, the lowest one for the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Masks {
    pub(super) quotes: u64,
    pub(super) backslashes: u64,
    pub(super) newlines: u64,
    pub(super) colons: u64,
    /// Braces and brackets.
    pub(super) brackets: u64,
    /// Those that open.
    pub(super) opens: u64,
    /// What stands nowhere in JSON but in strings.
    pub(super) strangers: u64,
}

/// Bits of [`CLASSES`].
const QUOTE: u8 = 1;
const BACKSLASH: u8 = 2;
const NEWLINE: u8 = 4;
const BRACKET: u8 = 8;
const OPEN: u8 = 16;
const COLON: u8 = 32;
const STRANGER: u8 = 64;

/// What each byte is.
static CLASSES: [u8; 256] = {
    let known = b" \t\r\n,:\"{}[]0123456789+-.Etrueflasn";
    let mut classes = [STRANGER; 256];
    let mut at = 0;
    while at < known.len() {
        classes[known[at] as usize] = match known[at] {
            b'"' => QUOTE,
            b'\n' => NEWLINE,
            b':' => COLON,
            b'{' | b'[' => BRACKET | OPEN,
            b'}' | b']' => BRACKET,
            _ => 0,
        };
        at += 1;
    }
    classes[b'\\' as usize] |= BACKSLASH;
    classes
};

pub(super) fn masks(chunk: &[u8; 64]) -> Masks {
    let mut masks = Masks::default();
    for (place, byte) in chunk.iter().enumerate() {
        let class = CLASSES[*byte as usize];
        let bit = |which: u8| u64::from(class & which != 0) << place;
        masks.quotes |= bit(QUOTE);
        masks.backslashes |= bit(BACKSLASH);
        masks.newlines |= bit(NEWLINE);
        masks.colons |= bit(COLON);
        masks.brackets |= bit(BRACKET);
        masks.opens |= bit(OPEN);
        masks.strangers |= bit(STRANGER);
    }
    masks
}

/// Each bit with all below it, by exclusive or.
pub(super) fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
#[inline]
#[target_feature(enable = "pclmulqdq")]
pub(super) fn prefix_xor_clmul(bits: u64) -> u64 {
    use std::arch::x86_64::{_mm_clmulepi64_si128, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_set1_epi8};
    let product = _mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, bits.cast_signed()), _mm_set1_epi8(-1));
    _mm_cvtsi128_si64(product).cast_unsigned()
}

/// The bit of [`KNOWN`] that braces and brackets alone have.
#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
const BRACKETS: u8 = 0x80;

/// The bits of the others, by the upper half of a byte.
#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
const ROWS: [u8; 8] = [1, 0, 2, 4, 8, 0, 16, 32];

/// Two tables by the halves of a byte: it is known if the entries share a bit.
#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
static KNOWN: [[u8; 16]; 2] = {
    let mut tables = [[0; 16]; 2];
    let mut byte = 0;
    while byte < 128 {
        if CLASSES[byte] & STRANGER == 0 {
            let bit = if CLASSES[byte] & BRACKET == 0 { ROWS[byte >> 4] } else { BRACKETS };
            tables[0][byte & 15] |= bit;
            tables[1][byte >> 4] |= bit;
        }
        byte += 1;
    }
    tables
};

/// Keeps the compiler from taking masks apart and making vectors of their bits again.
#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
#[inline(always)]
fn kept(bits: u64) -> u64 {
    let mut kept = bits;
    // SAFETY: it does nothing.
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) kept, options(pure, nomem, nostack, preserves_flags));
    }
    kept
}

#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn masks_avx2(chunk: &[u8; 64]) -> Masks {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_loadu_si128, _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8,
        _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8, _mm256_setzero_si256,
        _mm256_shuffle_epi8, _mm256_slli_epi16, _mm256_srli_epi16, _mm256_testz_si256,
    };
    // SAFETY: the loads read the 16 bytes of each table, unaligned.
    let [low, high] = KNOWN.each_ref().map(|table| unsafe {
        _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast::<__m128i>()))
    });
    let [(front, _), (_, back)] = [chunk.split_at(32); 2];
    // SAFETY: the loads read 32 bytes each, unaligned.
    let halves = [front, back].map(|half| unsafe { _mm256_loadu_si256(half.as_ptr().cast::<__m256i>()) });
    let bits = |found: [__m256i; 2]| {
        let [low, high] = found.map(|found| u64::from(_mm256_movemask_epi8(found).cast_unsigned()));
        kept(low | high << 32)
    };
    let are = |byte: u8| halves.map(|half| _mm256_cmpeq_epi8(half, _mm256_set1_epi8(byte.cast_signed())));
    // A byte above 0x7f has no low half for the shuffle, and the tables know none with such a high one.
    let classes = halves.map(|half| {
        let upper = _mm256_and_si256(_mm256_srli_epi16::<4>(half), _mm256_set1_epi8(15));
        _mm256_and_si256(_mm256_shuffle_epi8(low, half), _mm256_shuffle_epi8(high, upper))
    });
    let (backslashes, newlines) = (are(b'\\'), are(b'\n'));
    // The highest bit of their class is theirs alone.
    let brackets = bits(classes);
    let mut masks = Masks {
        quotes: bits(are(b'"')),
        colons: bits(are(b':')),
        brackets,
        // Their bit becomes the highest one.
        opens: bits(halves.map(|half| _mm256_slli_epi16::<6>(half))) & brackets,
        strangers: bits(classes.map(|class| _mm256_cmpeq_epi8(class, _mm256_setzero_si256()))),
        ..Masks::default()
    };
    let rare = [backslashes[0], backslashes[1], newlines[0], newlines[1]];
    let rare = rare.into_iter().fold(_mm256_setzero_si256(), |all, one| _mm256_or_si256(all, one));
    if _mm256_testz_si256(rare, rare) == 0 {
        masks.backslashes = bits(backslashes);
        masks.newlines = bits(newlines);
    }
    masks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_known_to_every_processor() {
        for byte in 0..=u8::MAX {
            for place in [0, 15, 31, 32, 63] {
                let mut chunk = [b'a'; 64];
                chunk[place] = byte;
                #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("pclmulqdq") {
                    // SAFETY: the processor has what the functions need.
                    let (found, prefix) =
                        unsafe { (masks_avx2(&chunk), prefix_xor_clmul(1 << place | u64::from(byte))) };
                    assert_eq!(found, masks(&chunk), "{byte} at {place}");
                    assert_eq!(prefix, prefix_xor(1 << place | u64::from(byte)), "{byte} at {place}");
                }
                assert_eq!(masks(&chunk).strangers != 0, CLASSES[byte as usize] & STRANGER != 0);
            }
        }
    }
}
