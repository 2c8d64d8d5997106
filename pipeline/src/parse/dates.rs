//! Dates as files have them, brought into the one form that Pinpoint writes: `2026-02-13T10:00:00.000Z`.

use bumpalo::Bump;
use jiff::{civil, tz::TimeZone};
use pinport_model::{FailureCode, NoticeKind, Notices, TextMember, Timestamp, failure::quoted};

use super::{Judged, validate};

/// The first and last day numbers of a spreadsheet that are taken for dates: 1954 to 2119.
const DAYS: std::ops::Range<f64> = 20_000.0..80_000.0;

/// The day number of 1970-01-01.
const EPOCH: f64 = 25_569.0;

/// Sixteen bytes of the usual form. They are looked at together: the compiler makes vectors of them.
#[derive(Clone, Copy)]
struct Form {
    /// The byte, or `0` where digits are.
    bytes: [u8; 16],
    /// How much more a byte may be.
    more: [u8; 16],
}

impl Form {
    /// The form with the highest digit of each place.
    const fn new(highest: &[u8; 16]) -> Self {
        let (mut bytes, mut more, mut at) = (*highest, [0; 16], 0);
        while at < 16 {
            if highest[at].is_ascii_digit() {
                bytes[at] = b'0';
                more[at] = highest[at] - b'0';
            }
            at += 1;
        }
        Self { bytes, more }
    }

    #[inline(always)]
    fn fits(&self, text: &[u8; 16]) -> bool {
        let mut others = 0;
        for ((byte, form), more) in text.iter().zip(&self.bytes).zip(&self.more) {
            others |= u8::from(byte ^ form > *more);
        }
        others == 0
    }
}

/// The first and the last bytes of a date with milliseconds, and of one without.
static MILLIS: [Form; 2] = [Form::new(b"9999-19-39T29:59"), Form::new(b"39T29:59:59.999Z")];
static SECONDS: [Form; 2] = [Form::new(b"9999-19-39T29:59"), Form::new(b"-19-39T29:59:59Z")];

/// Whether a date has the form already. What is rare, such as leap days, is left to a closer look.
#[inline]
pub(super) fn is_usual(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (Some(start), Some(end)) = (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) else {
        return false;
    };
    let forms = match bytes.len() {
        24 => &MILLIS,
        20 => &SECONDS,
        _ => return false,
    };
    // What the compiler knows of a form it would test byte by byte.
    let forms = std::hint::black_box(forms);
    if !(forms[0].fits(start) && forms[1].fits(end)) {
        return false;
    }
    let two = |at: usize| u16::from_be_bytes([start[at], start[at + 1]]);
    let (month, day, hour) = (two(5), two(8), two(11));
    matches!(month, JANUARY..=DECEMBER)
        && matches!(day, FIRST..=LAST)
        && hour <= u16::from_be_bytes(*b"23")
        && (day <= u16::from_be_bytes(*b"28") || has_day(month, day))
}

const JANUARY: u16 = u16::from_be_bytes(*b"01");
const DECEMBER: u16 = u16::from_be_bytes(*b"12");
const FIRST: u16 = u16::from_be_bytes(*b"01");
const LAST: u16 = u16::from_be_bytes(*b"31");

/// Whether the month has the 29th, 30th or 31st in every year.
#[inline(never)]
fn has_day(month: u16, day: u16) -> bool {
    match &month.to_be_bytes() {
        b"02" => false,
        b"04" | b"06" | b"09" | b"11" => day < LAST,
        _ => true,
    }
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
