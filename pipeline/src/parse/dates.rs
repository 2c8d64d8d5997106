//! Dates as files have them, brought into the one form that Pinpoint writes: `2026-02-13T10:00:00.000Z`.

use bumpalo::Bump;
use jiff::{civil, tz::TimeZone};
use pinport_model::{FailureCode, NoticeKind, Notices, TextMember, Timestamp, failure::quoted};

use super::{Judged, validate};

/// The first and last day numbers of a spreadsheet that are taken for dates: 1954 to 2119.
const DAYS: std::ops::Range<f64> = 20_000.0..80_000.0;

/// The day number of 1970-01-01.
const EPOCH: f64 = 25_569.0;

/// Whether a date has the form already. Leap seconds and such are left to a closer look.
#[inline(always)]
pub(super) fn is_usual(text: &str) -> bool {
    is_formed(text) && is_real(text.as_bytes())
}

/// Whether there is such a day and such a time.
fn is_real(bytes: &[u8]) -> bool {
    let two = |at: usize| u32::from(bytes[at] - b'0') * 10 + u32::from(bytes[at + 1] - b'0');
    let year = two(0) * 100 + two(2);
    let days = match two(5) {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&two(8)) && two(11) < 24 && two(14) < 60 && two(17) < 60
}

#[inline(always)]
fn is_formed(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |from: usize, to: usize| bytes[from..to].iter().all(u8::is_ascii_digit);
    matches!(bytes.len(), 20 | 24)
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && bytes[10] == b'T'
        && bytes[13] == b':'
        && bytes[16] == b':'
        && bytes[bytes.len() - 1] == b'Z'
        && digits(0, 4)
        && digits(5, 7)
        && digits(8, 10)
        && digits(11, 13)
        && digits(14, 16)
        && digits(17, 19)
        && (bytes.len() == 20 || bytes[19] == b'.' && digits(20, 23))
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
            for month in 0..14 {
                for day in 0..33 {
                    let text = format!("{year}-{month:02}-{day:02}T23:59:59.999Z");
                    assert_eq!(is_usual(&text), text.parse::<Timestamp>().is_ok(), "{text}");
                }
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
