//! What people and spreadsheets put around the values of CSV cells, and values that a spreadsheet or a database has spoilt.

use pinport_model::NoticeKind;
use pinport_model::Notices;

use super::names;

/// What was skipped or mended, counted while a block is read.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Rows without a value.
    pub(super) blank_rows: u64,
    /// Headers of joined files.
    pub(super) headers: u64,
    /// Byte order marks of joined files.
    pub(super) marks: u64,
    /// Rows with separators beyond the columns.
    pub(super) trailing: u64,
    /// Values after Excel's apostrophe.
    pub(super) apostrophes: u64,
    /// Values in Excel's `="…"`.
    pub(super) formulas: u64,
}

impl Done {
    /// Adds what was counted to the notices of a block.
    pub(super) fn tell(&self, notices: &mut Notices) {
        for (kind, subject, count) in [
            (NoticeKind::BlankRowsSkipped, "", self.blank_rows),
            (NoticeKind::HeaderRepeated, "", self.headers),
            (NoticeKind::BomSkipped, "", self.marks),
            (NoticeKind::TrailingSeparator, "", self.trailing),
            (NoticeKind::CellUnwrapped, "apostrophes", self.apostrophes),
            (NoticeKind::CellUnwrapped, "=\"…\"", self.formulas),
        ] {
            notices.add(kind, subject, count);
        }
    }
}

/// Bytes that may begin (1) or end (2) something around a value.
const AROUND: [u8; 256] = {
    let mut around = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        if byte <= b' ' as usize || byte >= 0x7f {
            around[byte] = 3;
        }
        byte += 1;
    }
    around[b'\'' as usize] = 1;
    around[b'=' as usize] = 1;
    around
};

/// Whether a cell may have something around its value. Nearly none has, by its first and last bytes.
#[inline(always)]
pub(super) fn is_suspect(cell: &str) -> bool {
    let [first, .., last] = cell.as_bytes() else {
        return cell.bytes().any(|byte| AROUND[byte as usize] != 0);
    };
    (AROUND[*first as usize] | AROUND[*last as usize]) != 0 && is_odd(cell.as_bytes())
}

/// A closer look at text that begins or ends in another script: what cannot be seen has few first bytes.
#[inline(never)]
fn is_odd(cell: &[u8]) -> bool {
    let unseen = |character: &[u8]| {
        let second = character.get(1).copied().unwrap_or_default();
        match character[0] {
            ..0x80 | 0xc2 => true,
            0xe1 => matches!(second, 0x9a | 0xa0),
            0xe2 => matches!(second, 0x80 | 0x81),
            0xe3 => second == 0x80,
            0xef => second == 0xbb,
            _ => false,
        }
    };
    let begins = AROUND[cell[0] as usize] & 1 != 0 && unseen(cell);
    let start = cell.iter().rposition(|byte| byte & 0xc0 != 0x80).unwrap_or_default();
    begins || AROUND[cell[cell.len() - 1] as usize] & 2 != 0 && unseen(&cell[start..])
}

/// The value of a cell without the white space around it, if it is a number. Nearly none has any.
#[inline(always)]
pub(super) fn bare(cell: &str) -> &str {
    match cell.as_bytes() {
        [b'!'..=b'~', .., b'!'..=b'~'] | [b'!'..=b'~'] => cell,
        _ => trimmed(cell),
    }
}

#[cold]
fn trimmed(cell: &str) -> &str {
    cell.trim()
}

/// The value of a cell without what is around it.
#[cold]
pub(super) fn cleaned<'a>(cell: &'a str, done: &mut Done) -> &'a str {
    let text = names::trimmed(cell);
    if let Some(inner) = text.strip_prefix("=\"").and_then(|text| text.strip_suffix('"')) {
        done.formulas += 1;
        return names::trimmed(inner);
    }
    // An apostrophe before a number or a formula is Excel's way to say that it is text.
    if let Some(inner) = text.strip_prefix('\'')
        && inner.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '=' | '@'))
    {
        done.apostrophes += 1;
        return cleaned(inner, done);
    }
    text
}

/// The same, where nothing is counted.
pub(super) fn value(cell: &str) -> &str {
    if is_suspect(cell) { cleaned(cell, &mut Done::default()) } else { cell }
}

/// Bytes of the longest value that [`spoilt`] finds anything in.
const SPOILT: usize = 24;

/// First bytes of keys that may be spoilt: of a number (1), or of what stands for no value (2).
const SPOILT_BY: [u8; 256] = {
    let mut by = [0; 256];
    let (numbers, others) = (b"0123456789+-.", b"#\\Nnu(<");
    let mut at = 0;
    while at < numbers.len() {
        by[numbers[at] as usize] = 1;
        at += 1;
    }
    at = 0;
    while at < others.len() {
        by[others[at] as usize] = 2;
        at += 1;
    }
    by
};

/// Whether a key is empty or may be spoilt. Nearly all are neither, by their lengths and first bytes.
#[inline(always)]
pub(super) fn is_odd_key(key: &str) -> bool {
    if key.len() > SPOILT {
        return false;
    }
    match key.as_bytes() {
        [first, ..] => match SPOILT_BY[*first as usize] {
            0 => false,
            1 => may_have_exponent(key),
            _ => true,
        },
        [] => true,
    }
}

/// Whether there may be an `e` among the last eight bytes: all of them are looked at together.
#[inline(always)]
fn may_have_exponent(key: &str) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    key.as_bytes().last_chunk::<8>().is_none_or(|end| {
        let zeros = (u64::from_le_bytes(*end) | (0x20 * ONES)) ^ (u64::from(b'e') * ONES);
        zeros.wrapping_sub(ONES) & !zeros & (0x80 * ONES) != 0
    })
}

/// Why a value cannot be a key, if it was spoilt on its way.
pub(super) fn spoilt(value: &str, numbers: bool) -> Option<&'static str> {
    if value.len() > SPOILT {
        return None;
    }
    match value.bytes().next().map_or(0, |first| SPOILT_BY[first as usize]) {
        1 if numbers && has_exponent(value) => is_scientific(value).then_some(
            "is a number that a spreadsheet has rounded; format the column as text in the spreadsheet and export it again",
        ),
        2 => is_placeholder(value).then_some(
            "stands for a missing value or an error of a spreadsheet or a database; leave the cell empty or correct it",
        ),
        _ => None,
    }
}

/// Whether a number may have an exponent: it has three digits at most.
fn has_exponent(value: &str) -> bool {
    let bytes = value.as_bytes();
    bytes[bytes.len().saturating_sub(5)..].iter().any(|byte| byte | 0x20 == b'e')
}

#[cold]
fn is_scientific(value: &str) -> bool {
    let Some((mantissa, exponent)) = value.split_once(['e', 'E']) else { return false };
    let mantissa = mantissa.trim_start_matches(['+', '-']);
    let signed = exponent.starts_with(['+', '-']);
    let exponent = exponent.trim_start_matches(['+', '-']);
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = is_digits(mantissa);
    let broken = mantissa.split_once(['.', ',']).is_some_and(|(one, two)| is_digits(one) && is_digits(two));
    // `12e5` may be an id of hex digits.
    is_digits(exponent) && (broken || whole && signed)
}

#[cold]
fn is_placeholder(value: &str) -> bool {
    const ERRORS: [&str; 13] = [
        "#N/A",
        "#REF!",
        "#NAME?",
        "#VALUE!",
        "#DIV/0!",
        "#NULL!",
        "#NUM!",
        "#SPILL!",
        "#CALC!",
        "#FIELD!",
        "#BLOCKED!",
        "#ERROR!",
        "#GETTING_DATA",
    ];
    const NOTHING: [&str; 10] =
        ["\\N", "NULL", "null", "(null)", "<null>", "NaN", "nan", "undefined", "N/A", "None"];
    NOTHING.contains(&value)
        || value == "Null"
        || value == "<NA>"
        || value == "(NULL)"
        || ERRORS.iter().any(|error| error.eq_ignore_ascii_case(value))
        || value.len() > 2 && value.bytes().all(|byte| byte == b'#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_around_a_value_is_taken_off() {
        for (cell, value) in [
            (" a ", "a"),
            ("a\u{a0}", "a"),
            ("\u{feff}k1", "k1"),
            ("'+447700900123", "+447700900123"),
            ("'07700", "07700"),
            ("=\"+44\"", "+44"),
            ("'=\"+44\"", "+44"),
            ("'Neill", "'Neill"),
            ("\u{2003}é", "é"),
            ("\u{a0}", ""),
        ] {
            assert!(is_suspect(cell), "{cell}");
            assert_eq!(cleaned(cell, &mut Done::default()), value, "{cell}");
        }
        for cell in ["a b", "", "é", "京都", "Zoë", "naïf😀"] {
            assert!(!is_suspect(cell), "{cell}");
        }
    }

    #[test]
    fn spoilt_keys_are_known() {
        for value in
            ["4.47701E+11", "4,47701E+11", "1E+11", "-1.5e12", "#N/A", "#ref!", "NULL", "\\N", "####", "nan"]
        {
            assert!(spoilt(value, true).is_some() && is_odd_key(value), "{value}");
        }
        for value in [
            "12e5",
            "7e10",
            "c1",
            "Nan",
            "Nadia",
            "#1",
            "+447700900123",
            "1.5",
            "e5",
            "5e",
            "",
            "user-1",
            "NULLS",
        ] {
            assert!(spoilt(value, true).is_none(), "{value}");
        }
        assert!(spoilt("4.47701E+11", false).is_none());
    }
}
