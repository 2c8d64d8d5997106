//! Formats numbers, durations and untrusted text.
//!
//! Every string from data passes [`clip`] or [`clip_left`] before it is drawn. They escape control characters
//! and cut by display width, and read no more of the text than fits.

use std::fmt::Write as _;

use pinport_model::escape_controls;
use unicode_width::UnicodeWidthChar;

use crate::look::Symbols;

/// The most combining marks shown on one character; more would overdraw other lines.
const MAX_MARKS: usize = 2;

/// `text` escaped and cut to `width` cells, with a mark where it was cut.
pub(crate) fn clip(text: &str, width: usize, symbols: Symbols) -> String {
    // A cell holds at most one character with its marks, so the rest need not be read.
    let most = width.saturating_mul(MAX_MARKS + 1).saturating_add(1);
    let prefix = text.char_indices().nth(most).map_or(text, |(end, _)| &text[..end]);
    let text = harmless(prefix, symbols);
    let mut cut = String::with_capacity(text.len().min(width * 4));
    let mut used = 0;
    let mut room = 0;
    let mut marks = 0;
    for character in text.chars() {
        let cells = character.width().unwrap_or(0);
        marks = if cells == 0 { marks + 1 } else { 0 };
        if marks > MAX_MARKS {
            continue;
        }
        if used + cells > width {
            cut.truncate(room);
            if width > 0 {
                cut.push(symbols.ellipsis());
            }
            return cut;
        }
        used += cells;
        cut.push(character);
        if used < width {
            room = cut.len();
        }
    }
    cut
}

/// `text` escaped and cut to its last `width` cells: names of objects in one folder differ at the end.
pub(crate) fn clip_left(text: &str, width: usize, symbols: Symbols) -> String {
    let most = width.saturating_mul(MAX_MARKS + 1).saturating_add(1);
    let start = text.char_indices().rev().nth(most).map_or(0, |(start, _)| start);
    let text = harmless(&text[start..], symbols);
    let total: usize = text.chars().map(|character| character.width().unwrap_or(0)).sum();
    if total <= width && start == 0 {
        return clip(&text, width, symbols);
    }
    let mut left = total;
    let keep = width.saturating_sub(1);
    let from = text.char_indices().find(|(_, character)| {
        let fits = left <= keep;
        left -= character.width().unwrap_or(0);
        fits
    });
    if width == 0 {
        return String::new();
    }
    let tail = from.map_or("", |(index, _)| &text[index..]);
    format!("{}{}", symbols.ellipsis(), clip(tail, keep, symbols))
}

/// `text` without characters that could move, hide or reorder other text.
pub(crate) fn harmless(text: &str, symbols: Symbols) -> String {
    let escaped = escape_controls(text);
    let shown = |character: char| match character {
        character if !symbols.has(character) => Some('?'),
        character if is_selector(character) => None,
        character => Some(character),
    };
    escaped.chars().filter_map(shown).collect()
}

/// Variation selectors, which `escape_controls` keeps: terminals disagree about their width.
fn is_selector(character: char) -> bool {
    matches!(character, '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}')
}

/// Cells that `text` takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(|character| character.width().unwrap_or(0)).sum()
}

/// A number with thousands separators.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number in at most five cells: `9,999`, `12.3k`, `123k`, `1.2M`.
pub(crate) fn short(number: u64) -> String {
    if number < 10_000 {
        return count(number);
    }
    scaled(number as f64, 1000.0, &["", "k", "M", "G", "T", "P", "E"])
}

fn scaled(number: f64, step: f64, units: &[&str]) -> String {
    let mut value = number.max(0.0);
    let mut unit = 0;
    // 999.95 would round to four digits.
    while value >= step - step / 20_000.0 && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 99.95);
    format!("{value:.digits$}{}", units[unit])
}

/// Bytes: `1.5 GiB`.
pub(crate) fn bytes(number: u64) -> String {
    scaled(number as f64, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"])
}

/// Megabytes a second, without the unit, which columns and axes name.
pub(crate) fn megabytes(rate: f64) -> String {
    let megabytes = rate.max(0.0) / 1e6;
    if megabytes >= 99.95 { count(megabytes.round() as u64) } else { format!("{megabytes:.1}") }
}

/// A duration in at most six cells: `0s`, `59s`, `3m04s`, `2h05m`, `3d04h`, `400d`.
pub(crate) fn span(millis: i64) -> String {
    let seconds = millis.max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        86_400..8_640_000 => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A share in percent; `100%` only if it is all.
pub(crate) fn percent(share: f64) -> String {
    let percent = if share.is_nan() { 0.0 } else { (share * 100.0).clamp(0.0, 100.0) };
    format!("{}%", if percent < 100.0 { percent.floor() } else { percent })
}

/// A small share in percent.
pub(crate) fn small_percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent > 0.0 && percent < 0.01 => "under 0.01%".into(),
        percent if percent < 1.0 => format!("{percent:.2}%"),
        percent => format!("{percent:.1}%"),
    }
}

/// The end of a name without the suffix of its format: `part-0001` of `x/part-0001.json.gz`.
pub(crate) fn stem(name: &str) -> &str {
    const ENDINGS: [&str; 8] = [".gz", ".zst", ".bz2", ".xz", ".json", ".jsonl", ".ndjson", ".csv"];
    let mut stem = name;
    while let Some(shorter) = ENDINGS.iter().find_map(|ending| stem.strip_suffix(ending)) {
        stem = shorter;
    }
    if stem.is_empty() || stem.ends_with('/') { name } else { stem }
}

/// `text` broken into lines of at most `width` cells, at spaces where there are any.
pub(crate) fn wrap(text: &str, width: usize, most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        let cells = self::width(word.trim_end());
        if used > 0 && used + cells > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        for character in word.chars() {
            let cells = character.width().unwrap_or(0);
            if used + cells > width {
                if character == ' ' {
                    continue;
                }
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(character);
            used += cells;
        }
        if lines.len() >= most {
            break;
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines.truncate(most);
    lines
}

/// Base64 of `text`, as OSC 52 wants it.
pub(crate) fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::with_capacity(text.len().div_ceil(3) * 4);
    for group in text.as_bytes().chunks(3) {
        let value =
            group.iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let bits = (value >> (18 - 6 * digit)) & 63;
            encoded.push(if digit <= group.len() { DIGITS[bits as usize] as char } else { '=' });
        }
    }
    encoded
}

/// Appends formatted text; writing to a string cannot fail.
macro_rules! append {
    ($text:expr, $($arguments:tt)*) => {{
        use std::fmt::Write as _;
        let _ = write!($text, $($arguments)*);
    }};
}
pub(crate) use append;

/// A clock time as events show it: hours, minutes and seconds of UTC.
pub(crate) fn clock(time: pinport_model::Timestamp) -> String {
    let seconds = time.as_millis().div_euclid(1000).rem_euclid(86_400);
    let mut text = String::with_capacity(8);
    let _ = write!(text, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UNICODE: Symbols = Symbols::Unicode;

    #[test]
    fn text_is_cut_by_cells() {
        let cases = [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("abcd", 1, "…"),
            ("abcd", 0, ""),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("a\x1b[2Jb", 20, "a\\u{1b}[2Jb"),
            ("a\x1b[2Jb", 4, "a\\u…"),
            ("a\u{61c}\u{ad}b", 20, "a\\u{61c}\\u{ad}b"),
            ("❤\u{fe0f}b", 20, "❤b"),
        ];
        for (text, width, cut) in cases {
            assert_eq!(clip(text, width, UNICODE), cut, "{text:?} {width}");
        }
        assert_eq!(clip("naïve path", 6, Symbols::Ascii), "na?ve~");
    }

    #[test]
    fn the_end_of_a_name_stays() {
        assert_eq!(clip_left("s3://bucket/part-0001.json", 10, UNICODE), "…0001.json");
        assert_eq!(clip_left("short", 10, UNICODE), "short");
        assert_eq!(clip_left("日本語", 4, UNICODE), "…語");
        assert_eq!(clip_left("x", 0, UNICODE), "");
    }

    #[test]
    fn marks_do_not_pile_up() {
        let zalgo = format!("e{}x", "\u{301}".repeat(500));
        assert!(clip(&zalgo, 5, UNICODE).chars().count() <= 4);
    }

    #[test]
    fn numbers_in_few_cells() {
        let cases = [(0, "0"), (9_999, "9,999"), (10_000, "10.0k"), (12_345, "12.3k"), (99_949, "99.9k")];
        for (number, text) in
            cases.into_iter().chain([(99_950, "100k"), (999_499, "999k"), (1_000_000, "1.0M")])
        {
            assert_eq!(short(number), text, "{number}");
        }
        assert_eq!(short(u64::MAX), "18.4E");
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
        assert_eq!(count(1_234_567), "1,234,567");
    }

    #[test]
    fn spans_in_six_cells() {
        let cases =
            [(-5, "0s"), (59_999, "59s"), (60_000, "1m00s"), (3_600_000, "1h00m"), (86_400_000, "1d00h")];
        for (millis, text) in cases {
            assert_eq!(span(millis), text);
        }
        assert!(span(i64::MAX / 2).ends_with('d'));
    }

    #[test]
    fn a_share_is_never_rounded_up_to_all() {
        assert_eq!(percent(0.9999), "99%");
        assert_eq!(percent(1.0), "100%");
        assert_eq!(percent(f64::NAN), "0%");
    }

    #[test]
    fn names_lose_what_they_share() {
        assert_eq!(stem("s3://b/part-0001.json.gz"), "s3://b/part-0001");
        assert_eq!(stem("s3://b/.csv"), "s3://b/.csv");
        assert_eq!(stem("folder"), "folder");
        assert_eq!(small_percent(0.0), "0.00%");
        assert_eq!(small_percent(0.00001), "under 0.01%");
        assert_eq!(small_percent(0.005), "0.50%");
        assert_eq!(small_percent(0.123), "12.3%");
        assert_eq!(megabytes(25.6e9), "25,600");
    }

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(wrap("one two three", 8, 9), ["one two ", "three"]);
        assert_eq!(wrap("abcdefgh", 3, 9), ["abc", "def", "gh"]);
        assert_eq!(wrap("a b c d", 2, 2).len(), 2);
    }

    #[test]
    fn base64_as_others_write_it() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (text, encoded) in cases {
            assert_eq!(base64(text), encoded);
        }
    }

    proptest! {
        #[test]
        fn nothing_hostile_and_nothing_too_wide(text: String, limit in 0_usize..40) {
            for symbols in [UNICODE, Symbols::Ascii] {
                for cut in [clip(&text, limit, symbols), clip_left(&text, limit, symbols)] {
                    prop_assert!(width(&cut) <= limit);
                    prop_assert_eq!(harmless(&cut, symbols), cut.clone());
                    prop_assert!(symbols == UNICODE || cut.is_ascii());
                }
            }
        }
    }
}
