//! Numbers of bytes as people write them.

/// A number such as `1000`, or of bytes as `500k`, `20m` or `1g`, and whether it has a unit. `None`: it is none, or too
/// large.
pub fn with_unit(text: &str) -> Option<(u64, bool)> {
    let (digits, unit) = match text.as_bytes().last().map(u8::to_ascii_lowercase) {
        Some(b'k') => (&text[..text.len() - 1], Some(1 << 10)),
        Some(b'm') => (&text[..text.len() - 1], Some(1 << 20)),
        Some(b'g') => (&text[..text.len() - 1], Some(1 << 30)),
        _ => (text, None),
    };
    let number = digits.parse::<u64>().ok()?.checked_mul(unit.unwrap_or(1))?;
    Some((number, unit.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_multiplies() {
        assert_eq!(with_unit("1000"), Some((1000, false)));
        assert_eq!((with_unit("500k"), with_unit("2G")), (Some((500 << 10, true)), Some((2 << 30, true))));
        for bad in ["", "k", "1x", "-1", "99999999999999g", "é"] {
            assert_eq!(with_unit(bad), None, "{bad}");
        }
    }
}
