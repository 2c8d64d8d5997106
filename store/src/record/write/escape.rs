//! Text as JSON writes it, byte for byte as `serde_json` does.

use super::{
    super::{append::append, read::Damaged},
    parts::utf8,
};

/// What stands for a byte: 0 for itself, `u` for `\u00xx`, else the letter after the backslash.
const ESCAPES: [u8; 256] = {
    let mut escapes = [0; 256];
    let mut byte = 0;
    while byte < 0x20 {
        escapes[byte] = b'u';
        byte += 1;
    }
    escapes[0x08] = b'b';
    escapes[0x09] = b't';
    escapes[0x0a] = b'n';
    escapes[0x0c] = b'f';
    escapes[0x0d] = b'r';
    escapes[b'"' as usize] = b'"';
    escapes[b'\\' as usize] = b'\\';
    escapes
};

/// Appends text with quotes around it. It is looked at once: for what is to be escaped and for what is no UTF-8.
#[inline]
pub(super) fn quoted(out: &mut Vec<u8>, text: &[u8]) -> Result<(), Damaged> {
    out.push(b'"');
    unquoted(out, text)?;
    out.push(b'"');
    Ok(())
}

/// The same without quotes.
#[inline]
pub(super) fn unquoted(out: &mut Vec<u8>, text: &[u8]) -> Result<(), Damaged> {
    if is_plain(text) {
        append(out, text);
    } else {
        escaped(out, utf8(text)?.as_bytes());
    }
    Ok(())
}

/// Whether text is ASCII that stands for itself.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        // The last word overlaps the one before.
        let (words, _) = text[8..].as_chunks::<8>();
        return words.iter().fold(odd(word(first)) | odd(word(last)), |all, next| all | odd(word(next))) == 0;
    }
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        let both = u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last));
        return odd(both) == 0;
    }
    text.iter().all(|byte| *byte < 0x80 && ESCAPES[usize::from(*byte)] == 0)
}

/// Not zero, if one of the eight bytes in a word is a control character, a quote, a backslash, or no ASCII. What is
/// borrowed from the byte above changes nothing: then the byte below was odd itself.
#[inline]
fn odd(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    let quotes = word ^ (ONES * u64::from(b'"'));
    let backslashes = word ^ (ONES * u64::from(b'\\'));
    (word | word.wrapping_sub(ONES * 0x20) | quotes.wrapping_sub(ONES) | backslashes.wrapping_sub(ONES))
        & (ONES * 0x80)
}

#[cold]
fn escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut from = 0;
    for (index, byte) in bytes.iter().enumerate() {
        let escape = ESCAPES[usize::from(*byte)];
        if escape == 0 {
            continue;
        }
        out.extend_from_slice(&bytes[from..index]);
        from = index + 1;
        if escape == b'u' {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            let digit = |nibble: u8| DIGITS[usize::from(nibble & 0xf)];
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(*byte)]);
        } else {
            out.extend_from_slice(&[b'\\', escape]);
        }
    }
    out.extend_from_slice(&bytes[from..]);
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn every_byte_is_plain_or_not_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let expected = (0x20..0x80).contains(&byte) && !b"\"\\".contains(&byte);
            for length in 1..=26 {
                for at in 0..length {
                    let mut text = vec![b' '; length];
                    text[at] = byte;
                    assert_eq!(is_plain(&text), expected, "{byte:#x} at {at} of {length}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn text_is_plain_if_all_of_its_bytes_are(text in vec(prop_oneof![8 => 0x1e..0x24_u8, 1 => any::<u8>()], 0..30)) {
            let expected = text.iter().all(|byte| *byte < 0x80 && ESCAPES[usize::from(*byte)] == 0);
            prop_assert_eq!(is_plain(&text), expected);
        }

        #[test]
        fn text_is_that_of_serde(text in "\\PC{0,20}[\\x00-\\x30]{0,9}") {
            let mut out = Vec::new();
            quoted(&mut out, text.as_bytes()).unwrap();
            prop_assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
        }
    }
}
