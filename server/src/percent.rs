//! Percent-encoding, strictly: what does not decode to UTF-8 is refused, never guessed at. A plus sign is a plus sign
//! (the service's clients write spaces as `%20`), in queries as in the check of signatures, so both see one meaning.

/// The decoded text of one path segment or query part; nothing if an escape is malformed or the text is
/// not UTF-8.
pub(crate) fn decode_segment(raw: &str) -> Option<String> {
    if !raw.contains('%') {
        return Some(raw.to_owned());
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' { hex(bytes.next()?)? << 4 | hex(bytes.next()?)? } else { byte });
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_decode_strictly() {
        assert_eq!(decode_segment("user%40example.com%2F%2b1").as_deref(), Some("user@example.com/+1"));
        assert_eq!(decode_segment("a+b").as_deref(), Some("a+b"));
        for bad in ["%", "%4", "%zz", "%+1", "%ff", "a%C3"] {
            assert_eq!(decode_segment(bad), None, "{bad}");
        }
    }
}
