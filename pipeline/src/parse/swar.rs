//! Compares eight bytes at a time in an ordinary register, for processors whose vector instructions the
//! parsers do not use.

const LOW: u64 = u64::MAX / 0xff;
const HIGH: u64 = LOW << 7;

/// A bit for each byte that equals `byte`; bit 0 is the first byte.
#[inline]
pub(super) fn equal(chunk: &[u8; 8], byte: u8) -> u8 {
    let word = u64::from_le_bytes(*chunk) ^ (LOW * u64::from(byte));
    // The sum has the high bit of every byte whose low seven bits are not 0, and never carries.
    gather(!(((word & !HIGH) + !HIGH) | word) & HIGH)
}

/// A bit for each byte below `limit`, which is at most 0x80; bit 0 is the first byte.
#[inline]
pub(super) fn below(chunk: &[u8; 8], limit: u8) -> u8 {
    let word = u64::from_le_bytes(*chunk);
    gather(!(((word & !HIGH) + LOW * u64::from(0x80 - limit)) | word) & HIGH)
}

/// Moves the high bits of the eight bytes into one.
#[inline]
fn gather(high_bits: u64) -> u8 {
    ((high_bits >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_compares_with_every_other_at_every_place() {
        for byte in 0..=u8::MAX {
            for other in 0..=u8::MAX {
                for place in 0..8 {
                    let mut chunk = [other; 8];
                    chunk[place] = byte;
                    let bits = |holds: &dyn Fn(u8) -> bool| {
                        chunk.iter().rev().fold(0, |bits, byte| bits << 1 | u8::from(holds(*byte)))
                    };
                    assert_eq!(equal(&chunk, byte), bits(&|found| found == byte), "{byte} in {chunk:?}");
                    for limit in [0x20, 0x21, 0x80] {
                        assert_eq!(below(&chunk, limit), bits(&|found| found < limit), "{limit}, {chunk:?}");
                    }
                }
            }
        }
    }
}
