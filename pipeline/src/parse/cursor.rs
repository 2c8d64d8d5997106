//! A place in whole lines of text, which moves without a look at where the text ends.
//!
//! The text ends with a line feed, and nothing here moves over one: so there is always a byte to look at. The
//! methods see to that by themselves, whatever they are asked for. Those that are not inlined take and return the
//! cursor by value, so that it lives in registers.

#![allow(unsafe_code, reason = "the cursor stays within its text")]

use bumpalo::{Bump, collections::String};

use super::{
    decimal::{self, DIGITS, EXACT, POWERS, TENS},
    json_members::Name,
    scan,
};

/// Text that ends with a line feed, or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines<'a>(&'a str);

impl<'a> Lines<'a> {
    /// The whole lines at the start of `text`.
    pub(super) fn of(text: &'a str) -> Self {
        Self(text.rfind('\n').map_or("", |last| &text[..=last]))
    }
}

pub(super) enum Number {
    Int(i64),
    Float(f64),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    /// Not after the last byte of `text`, which is a line feed, and not within a character.
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The place `at` bytes from the start of the lines, if there is a character.
    #[inline]
    pub(super) fn new(Lines(text): Lines<'a>, at: usize) -> Option<Self> {
        (at < text.len() && text.is_char_boundary(at)).then_some(Self { text, at })
    }

    /// Bytes from the start of the lines.
    #[inline(always)]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The byte here.
    #[inline(always)]
    pub(super) fn byte(&self) -> u8 {
        debug_assert!(self.at < self.text.len());
        // SAFETY: there is one (see the field).
        unsafe { *self.text.as_bytes().get_unchecked(self.at) }
    }

    #[inline(always)]
    fn rest(&self) -> &'a [u8] {
        debug_assert!(self.at < self.text.len());
        // SAFETY: it begins before the end (see the field).
        unsafe { self.text.as_bytes().get_unchecked(self.at..) }
    }

    /// The next 16 bytes; zeros after the end.
    #[inline(always)]
    pub(super) fn word(&self) -> u128 {
        match self.rest().first_chunk() {
            Some(chunk) => u128::from_le_bytes(*chunk),
            None => last_word(self.rest()),
        }
    }

    /// Moves over `BYTE`, if it is here.
    #[inline(always)]
    pub(super) fn eat<const BYTE: u8>(&mut self) -> bool {
        const { assert!(BYTE.is_ascii() && BYTE != b'\n', "see the field") }
        let is = self.byte() == BYTE;
        // Not `+= usize::from(is)`: where `is` is also branched on, rustc 1.95 leaves that out
        // (rust-lang/rust#158206).
        if is {
            self.at += 1;
        }
        is
    }

    /// Moves over `ONE` and `OTHER`, if both are here.
    #[inline(always)]
    pub(super) fn eat_both<const ONE: u8, const OTHER: u8>(&mut self) -> bool {
        const { assert!(ONE.is_ascii() && ONE != b'\n' && OTHER.is_ascii() && OTHER != b'\n', "see the field") }
        // SAFETY: what is here is no line feed, so it is not the last byte.
        let is = self.byte() == ONE && unsafe { *self.text.as_bytes().get_unchecked(self.at + 1) } == OTHER;
        if is {
            self.at += 2;
        }
        is
    }

    /// Moves over `null`, if it is here.
    #[inline(always)]
    pub(super) fn eat_null(&mut self) -> bool {
        self.eat_literal(b"null")
    }

    /// The truth value here.
    #[inline(always)]
    pub(super) fn truth(&mut self) -> Option<bool> {
        if self.eat_literal(b"true") { Some(true) } else { self.eat_literal(b"false").then_some(false) }
    }

    /// `literal` is one of those above: ASCII without a line feed.
    #[inline(always)]
    fn eat_literal(&mut self, literal: &[u8]) -> bool {
        let is = self.rest().starts_with(literal);
        if is {
            self.at += literal.len();
        }
        is
    }

    /// Moves over a name and what belongs to it, if it is here. `word` is the next 16 bytes.
    #[inline(always)]
    pub(super) fn eat_name(&mut self, word: u128, name: &Name) -> bool {
        debug_assert_eq!(word, self.word());
        // A name is ASCII without a line feed.
        let is = name.begins(word);
        if is {
            self.at += name.len();
        }
        is
    }

    /// Moves over spaces and tabs.
    #[inline(always)]
    pub(super) fn skip(&mut self) {
        if self.byte() <= b' ' {
            *self = self.after_blanks();
        }
    }

    #[cold]
    fn after_blanks(mut self) -> Self {
        while self.eat::<b' '>() || self.eat::<b'\t'>() {}
        self
    }

    /// Moves over the rest of a string, closing quote included, and returns it. `None`: it has an escape or a control
    /// character; the cursor is where it was.
    #[inline(always)]
    pub(super) fn string(&mut self) -> Option<&'a str> {
        let mut behind = *self;
        let string = behind.unescaped()?;
        if !behind.eat::<b'"'>() {
            return None;
        }
        *self = behind;
        Some(string)
    }

    /// What the rest of a string with escapes says, kept in `scratch`, and the place after its closing quote. `None`: it
    /// is no JSON, or half a surrogate pair.
    #[cold]
    pub(super) fn after_escapes(mut self, scratch: &'a Bump) -> Option<(&'a str, Self)> {
        let mut said = String::new_in(scratch);
        loop {
            said.push_str(self.unescaped()?);
            if self.eat::<b'"'>() {
                return Some((said.into_bump_str(), self));
            }
            if !self.eat::<b'\\'>() {
                return None;
            }
            said.push(self.escaped()?);
        }
    }

    /// Moves up to the next quote, backslash or control character, and returns what lies before it.
    #[inline(always)]
    fn unescaped(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        let len = scan::stop(rest)?;
        debug_assert!(len < rest.len());
        self.at += len;
        // SAFETY: what `stop` finds is one of these bytes. `text` is UTF-8, of which neither the place where the cursor was
        // nor a stop lies within a character.
        Some(unsafe { str::from_utf8_unchecked(rest.get_unchecked(..len)) })
    }

    /// Moves over what follows a backslash.
    fn escaped(&mut self) -> Option<char> {
        let named = match self.byte() {
            b'u' => {
                let first = self.unit()?;
                let is_half = (0xd800..0xdc00).contains(&first);
                let second = if is_half { self.eat::<b'\\'>().then(|| self.unit())?? } else { 0 };
                return char::decode_utf16([first, second]).next()?.ok();
            }
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            byte @ (b'"' | b'\\' | b'/') => byte.into(),
            _ => return None,
        };
        self.at += 1;
        Some(named)
    }

    /// Moves over a UTF-16 unit: `u` and four digits.
    fn unit(&mut self) -> Option<u16> {
        let (b'u', digits) = self.rest().first_chunk::<5>()?.split_first()? else { return None };
        let mut unit = 0;
        for digit in digits {
            unit = unit << 4 | char::from(*digit).to_digit(16)? as u16;
        }
        self.at += 5;
        Some(unit)
    }

    /// Moves over a number up to its exponent, if it has one. `None`: it has more digits than fit 64 bits, or is none.
    #[inline(always)]
    pub(super) fn number(&mut self) -> Option<Number> {
        let negative = self.eat::<b'-'>();
        let (whole, places) = decimal::first_digits(self.word() as u64);
        if !SHORT.contains(&places) || places > 1 && self.byte() == b'0' {
            return self.long_number(negative);
        }
        let mut end = Self { at: self.at + places, ..*self };
        let number = if end.eat::<b'.'>() {
            let (fraction, places) = decimal::first_digits(end.word() as u64);
            if !SHORT.contains(&places) {
                return self.long_number(negative);
            }
            end.at += places;
            // Both are exact, so the quotient is rounded once.
            let number = (whole * TENS[places] + fraction) as f64 / POWERS[places];
            Number::Float(if negative { -number } else { number })
        } else {
            let number = whole.cast_signed();
            Number::Int(if negative { -number } else { number })
        };
        self.at = end.at;
        Some(number)
    }

    /// The number here as it is written, and the place after it.
    #[inline(never)]
    pub(super) fn after_digits(self) -> Option<(&'a str, Self)> {
        let (start, mut end) = (self.at, self);
        end.eat::<b'-'>();
        let (_, places) = decimal::first_digits(end.word() as u64);
        if !SHORT.contains(&places) || places > 1 && end.byte() == b'0' {
            end = long_digits(self)?;
        } else {
            end.at += places;
            if matches!(end.byte(), b'.' | b'e' | b'E') {
                end = long_digits(self)?;
            }
        }
        // SAFETY: a number is ASCII, and the cursor moved over it within its text.
        Some((unsafe { self.text.get_unchecked(start..end.at) }, end))
    }

    /// Moves over digits, of which there must be one.
    fn some_digits(&mut self) -> Option<()> {
        let (_, end) = decimal::digits(self.text.as_bytes(), self.at, 0);
        let is_some = end > self.at;
        self.at = end;
        is_some.then_some(())
    }

    /// Moves over a number whose sign is passed.
    #[inline(always)]
    fn long_number(&mut self, negative: bool) -> Option<Number> {
        let (number, end) = after_long_number(*self, negative)?;
        *self = end;
        Some(number)
    }

    /// Bytes of the record's terminator, if it is here.
    #[inline(always)]
    pub(super) fn terminator(&self) -> Option<usize> {
        match self.rest() {
            [b'\n', ..] => Some(1),
            [b'\r', b'\n', ..] => Some(2),
            _ => None,
        }
    }
}

/// The place after the number here. `None`: it has an exponent, or so many digits that it may be too large for JSON.
#[inline(never)]
fn long_digits(mut cursor: Cursor<'_>) -> Option<Cursor<'_>> {
    let start = cursor.at;
    cursor.eat::<b'-'>();
    if !cursor.eat::<b'0'>() {
        cursor.some_digits()?;
    }
    if cursor.eat::<b'.'>() {
        cursor.some_digits()?;
    }
    (!matches!(cursor.byte(), b'e' | b'E') && cursor.at - start < 300).then_some(cursor)
}

/// Digits that are read at once, with another byte after them.
const SHORT: std::ops::Range<usize> = 1..8;

#[cold]
fn last_word(rest: &[u8]) -> u128 {
    let mut chunk = [0; 16];
    chunk[..rest.len()].copy_from_slice(rest);
    u128::from_le_bytes(chunk)
}

/// The number here, whose sign is passed, and the place after it.
#[inline(never)]
fn after_long_number(mut cursor: Cursor<'_>, negative: bool) -> Option<(Number, Cursor<'_>)> {
    let (bytes, start) = (cursor.text.as_bytes(), cursor.at);
    let (mut digits, end) = decimal::digits(bytes, start, 0);
    cursor.at = end;
    let whole = end - start;
    if whole == 0 || whole > 1 && bytes[start] == b'0' {
        return None;
    }
    let mut fraction = 0;
    if cursor.eat::<b'.'>() {
        let from = cursor.at;
        (digits, cursor.at) = decimal::digits(bytes, from, digits);
        fraction = cursor.at - from;
        if fraction == 0 {
            return None;
        }
    }
    if whole + fraction > DIGITS {
        return None;
    }
    let number = match fraction {
        0 if negative => Number::Int(-digits.cast_signed()),
        0 => Number::Int(digits.cast_signed()),
        _ => {
            let number = match digits <= EXACT {
                true => digits as f64 / POWERS[fraction],
                false => cursor.text[start..cursor.at].parse().ok()?,
            };
            Number::Float(if negative { -number } else { number })
        }
    };
    Some((number, cursor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_a_line_feed_and_cursors_stand_at_characters() {
        for (text, whole) in [("", ""), ("a", ""), ("a\nb", "a\n"), ("a\n\n", "a\n\n"), ("\n", "\n")] {
            assert_eq!(Lines::of(text).0, whole);
        }
        let lines = Lines::of("é\n");
        let stands = |at| Cursor::new(lines, at).is_some();
        assert_eq!([0, 1, 2, 3].map(stands), [true, false, true, false]);
        assert!(Cursor::new(Lines::of("a"), 0).is_none());
    }

    #[test]
    fn nothing_moves_over_the_last_line_feed() {
        for text in [
            "\n",
            " \n",
            "\t\t\n",
            "ab\n",
            "12\n",
            "-1.5\n",
            "1234567890\n",
            "1.\n",
            "null\n",
            "fals\n",
            "\"\n",
            "\\\n",
            "\\n\n",
            "\\u12\n",
            "\\u0041\n",
            "\\ud83d\\\n",
            "\\ud83d\\ude00\n",
            "\\n\"\n",
        ] {
            let scratch = Bump::new();
            let mut cursor = Cursor::new(Lines::of(text), 0).unwrap();
            let names = [Name::new("a"), Name::new("ab")];
            // The longest way that there is.
            for _ in 0..text.len() + 2 {
                cursor.skip();
                cursor.eat_null();
                let _ = (cursor.truth(), cursor.number(), cursor.string());
                if let Some((_, behind)) = cursor.after_digits() {
                    cursor = behind;
                }
                if let Some((_, behind)) = cursor.after_escapes(&scratch) {
                    cursor = behind;
                }
                let _ = names.iter().any(|name| cursor.eat_name(cursor.word(), name));
                let _ = cursor.eat_both::<b'a', b'b'>() || cursor.eat_both::<b' ', b'\t'>();
                let _ = cursor.eat::<b'"'>()
                    || cursor.eat::<b'a'>()
                    || cursor.eat::<b'b'>()
                    || cursor.eat::<b'.'>();
                assert!(cursor.at() < text.len(), "{text:?}");
            }
        }
    }
}
