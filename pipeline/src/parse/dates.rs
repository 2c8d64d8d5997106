//! Dates as files have them, brought into the one form that Pinpoint writes: `2026-02-13T10:00:00.000Z`.

use bumpalo::Bump;
use jiff::{civil, tz::TimeZone};
use pinport_model::{FailureCode, NoticeKind, Notices, TextMember, Timestamp, failure::quoted};

use super::{Judged, validate};

/// The first and last day numbers of a spreadsheet that are taken for dates: 1954 to 2119.
const DAYS: std::ops::Range<f64> = 20_000.0..80_000.0;

/// The day number of 1970-01-01.
const EPOCH: f64 = 25_569.0;

/// Eight bytes of the usual form, `0` for any digit, as masks.
#[derive(Clone, Copy)]
struct Shape {
    mask: u64,
    expected: u64,
    /// A one in the byte of every digit.
    digits: u64,
}

impl Shape {
    const fn new(form: &[u8; 8]) -> Self {
        let (mut mask, mut expected, mut digits, mut at) = (0, 0, 0, 0);
        while at < 8 {
            let is_digit = form[at] == b'0';
            mask |= (if is_digit { 0xf0 } else { 0xff }) << (8 * at);
            expected |= (if is_digit { 0x30 } else { form[at] as u64 }) << (8 * at);
            digits |= (is_digit as u64) << (8 * at);
            at += 1;
        }
        Self { mask, expected, digits }
    }

    #[inline(always)]
    const fn fits(self, word: u64) -> bool {
        word & self.mask == self.expected
            && ((word & (self.digits * 0x0f)) + self.digits * 0x06) & (self.digits * 0x10) == 0
    }
}

const DAY: Shape = Shape::new(b"0000-00-");
const TIME: Shape = Shape::new(b"00T00:00");
const MILLIS: Shape = Shape::new(b":00.000Z");
/// What is left of a date without milliseconds, behind four bytes that were looked at before.
const SECONDS: Shape = Shape::new(b"0:00:00Z");

/// The days of the months, as bits. Leap days are left to a closer look.
const DAYS_OF: [u32; 13] = {
    let mut days = [0; 13];
    let mut month = 1;
    while month <= 12 {
        let last = match month {
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        days[month] = (u32::MAX >> (31 - last)) & !1;
        month += 1;
    }
    days
};

/// Whether a date has the form already. What is rare, such as leap days, is left to a closer look.
#[inline]
pub(super) fn is_usual(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(start), Some(end)) = (bytes.first_chunk::<16>(), bytes.last_chunk::<8>()) else { return false };
    let start = u128::from_le_bytes(*start);
    let (day, time, end) = (start as u64, (start >> 64) as u64, u64::from_le_bytes(*end));
    // The tens of the seconds are the second or the sixth of the last eight bytes.
    let (ends, tens) = match bytes.len() {
        24 => (MILLIS.fits(end), end >> 8),
        20 => (SECONDS.fits(end), end >> 40),
        _ => return false,
    };
    if !(ends && DAY.fits(day) && TIME.fits(time)) {
        return false;
    }
    let two = |word: u64, at: u32| (word >> (8 * at) & 0x0f) * 10 + (word >> (8 * at + 8) & 0x0f);
    let days = DAYS_OF.get(two(day, 5) as usize).copied().unwrap_or_default();
    u64::from(days) >> two(time, 0).min(63) & 1 == 1
        && two(time, 3) < 24
        && time >> 48 & 0x0f < 6
        && tens & 0x0f < 6
}

/// The date in the usual form.
///
/// # Errors
/// It has none of the forms that are known.
pub(super) fn normalised<'a>(
    member: TextMember,
    text: &'a str,
    scratch: &'a Bump,
    notices: &mut Notices,
) -> Judged<&'a str> {
    if text.is_empty() || is_usual(text) {
        return Ok(text);
    }
    // A leap day in the usual form stays as it is, too.
    let is_formed = matches!(text.len(), 20 | 24) && text.ends_with('Z') && text.as_bytes()[10] == b'T';
    if is_formed && text.parse::<Timestamp>().is_ok() {
        return Ok(text);
    }
    let Some((time, form)) = read(text) else {
        let message = format!(
            "{} is no date that is known; write it as 2026-02-13T10:00:00.000Z, 2026-02-13, or in seconds or \
             milliseconds since 1970",
            quoted(text)
        );
        return validate::failed(member.name(), FailureCode::InvalidDate, message);
    };
    notices.add(NoticeKind::DateNormalised, form, 1);
    Ok(scratch.alloc_str(&time.to_string()))
}

/// The time that a text says, and what its form is called.
fn read(text: &str) -> Option<(Timestamp, &'static str)> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_number && !text.is_empty() {
        return read_number(text);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some((time, "ISO 8601 with a time zone"));
    }
    // A time without a zone is taken for UTC.
    let time = match text.parse::<civil::DateTime>() {
        Ok(time) => (time, "ISO 8601 without a time zone, as UTC"),
        Err(_) => (text.parse::<civil::Date>().ok()?.at(0, 0, 0, 0), "days, as their beginning in UTC"),
    };
    let at = time.0.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond();
    Some((Timestamp::from_millis(at), time.1))
}

fn read_number(text: &str) -> Option<(Timestamp, &'static str)> {
    let whole = text.split_once('.').map_or(text.len(), |(whole, _)| whole.len());
    let number: f64 = text.parse().ok()?;
    let millis = |millis: f64| Timestamp::from_millis(millis.round() as i64);
    match whole {
        5 if DAYS.contains(&number) => {
            Some((millis((number - EPOCH) * 86_400_000.0), "day numbers of a spreadsheet"))
        }
        8 if whole == text.len() => {
            let day: civil::Date = text.parse().ok()?;
            let at = day.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond();
            Some((Timestamp::from_millis(at), "days, as their beginning in UTC"))
        }
        9 | 10 => Some((millis(number * 1000.0), "seconds since 1970")),
        12 | 13 => Some((millis(number), "milliseconds since 1970")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_form_is_known_as_jiff_knows_it() {
        for year in ["1900", "2000", "2023", "2024"] {
            for month in 0..20 {
                for day in 0..99 {
                    for end in ["59.999Z", "00Z"] {
                        let text = format!("{year}-{month:02}-{day:02}T23:59:{end}");
                        let is_leap_day = month == 2 && day == 29;
                        assert_eq!(
                            is_usual(&text),
                            !is_leap_day && text.parse::<Timestamp>().is_ok(),
                            "{text}"
                        );
                    }
                }
            }
        }
        for at in 0..24 {
            for byte in 0..=u8::MAX {
                let mut bytes = *b"2026-02-13T10:00:00.000Z";
                bytes[at] = byte;
                let Ok(text) = str::from_utf8(&bytes) else { continue };
                // Other forms that mean the same are brought into this one.
                if matches!(byte, b' ' | b't' | b'z' | b',') || at == 17 && byte == b'6' {
                    continue;
                }
                let is_formed = byte.is_ascii_digit() == b"2026-02-13T10:00:00.000Z"[at].is_ascii_digit();
                assert_eq!(is_usual(text), is_formed && text.parse::<Timestamp>().is_ok(), "{text}");
            }
        }
        for text in [
            "2026-02-13T24:00:00Z",
            "2026-02-13T10:60:00Z",
            "2026-02-13T10:00:60Z",
            "2026-02-13 10:00:00Z",
            "2026-02-13T10:00:00.00Z",
            "2026-02-1éT10:00:0Z",
        ] {
            assert!(!is_usual(text), "{text}");
        }
    }

    #[test]
    fn dates_are_brought_into_one_form() {
        let scratch = Bump::new();
        for (text, date) in [
            ("2026-02-13T10:00:00.000Z", Some("2026-02-13T10:00:00.000Z")),
            ("2026-02-13T10:00:00Z", Some("2026-02-13T10:00:00Z")),
            ("", Some("")),
            ("2026-02-13T10:00:00+02:00", Some("2026-02-13T08:00:00.000Z")),
            ("2026-02-13t10:00:00.123456z", Some("2026-02-13T10:00:00.123Z")),
            ("2026-02-13 10:00:00", Some("2026-02-13T10:00:00.000Z")),
            ("2026-02-13T10:00", Some("2026-02-13T10:00:00.000Z")),
            ("2026-02-13", Some("2026-02-13T00:00:00.000Z")),
            ("20260213", Some("2026-02-13T00:00:00.000Z")),
            ("1770976800", Some("2026-02-13T10:00:00.000Z")),
            ("1770976800.5", Some("2026-02-13T10:00:00.500Z")),
            ("1770976800123", Some("2026-02-13T10:00:00.123Z")),
            ("46066", Some("2026-02-13T00:00:00.000Z")),
            ("46066.5", Some("2026-02-13T12:00:00.000Z")),
            ("2026-02-30T10:00:00Z", None),
            ("13/02/2026 10:00", None),
            ("yesterday", None),
            ("2026", None),
            ("..", None),
        ] {
            let found = normalised(TextMember::EffectiveDate, text, &scratch, &mut Notices::new());
            assert_eq!(found.ok(), date, "{text}");
        }
    }
}
