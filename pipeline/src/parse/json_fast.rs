//! The fast way through a JSON line: one pass that knows the members and fills the draft as it goes.
//!
//! It takes the plain, usual record and gives up (`None`) at the first thing that is not: an escape, a
//! repeated or nested member, a number it might round, a wrong type, a limit, anything that is no JSON.
//! It never judges; what it gives up is read by [`super::json`], and what it takes says there exactly the same.

use pinport_model::{
    Attribute, Channel, Draft, EndpointStatus, OptOut, RecordLimits, Scalar, TextMember::UserId,
};

use super::{
    Unknown,
    decimal::{self, DIGITS, EXACT, POWERS},
    json_members::{DEMOGRAPHIC, LOCATION, Members, Name, Orders, Place, ROOT, Root, USER, UserMember},
    scan, validate,
};

/// Nesting of the deepest record that is read here, with some to spare.
const DEPTH: usize = 8;

/// Unknown members of one record.
const UNKNOWN: usize = 4;

enum Number {
    Int(i64),
    Float(f64),
}

/// Reads one record.
pub(super) struct Fast<'a, 'p> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    limits: &'p RecordLimits,
    unknown: [(&'static str, &'a str); UNKNOWN],
    unknown_len: usize,
}

/// Where a record ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    /// Without the terminator.
    pub(super) content: usize,
    /// With it.
    pub(super) line: usize,
}

impl<'a, 'p> Fast<'a, 'p> {
    /// Whether records can be read here at all.
    pub(super) fn suits(limits: &RecordLimits) -> bool {
        limits.max_depth >= DEPTH
    }

    /// The record on the line at `at`.
    pub(super) fn new(text: &'a str, at: usize, limits: &'p RecordLimits) -> Self {
        let bytes = text.as_bytes();
        Self { text, bytes, at, limits, unknown: [("", ""); UNKNOWN], unknown_len: 0 }
    }

    /// Fills an empty draft; it is worthless if this gives up.
    pub(super) fn read(&mut self, draft: &mut Draft<'a>, orders: &mut Orders) -> Option<End> {
        let start = self.at;
        self.skip();
        self.record(draft, orders)?;
        self.skip();
        let content = self.at;
        let line = match self.bytes.get(content..)? {
            [b'\n', ..] | [b'\r'] => content + 1,
            [b'\r', b'\n', ..] => content + 2,
            [] => content,
            _ => return None,
        };
        (content - start <= self.limits.max_line).then_some(End { content, line })
    }

    /// Reports the members of the record that nobody knows.
    pub(super) fn report(&self, unknown: &mut Unknown) {
        for (prefix, name) in &self.unknown[..self.unknown_len] {
            unknown.add(prefix, name);
        }
    }

    fn record(&mut self, draft: &mut Draft<'a>, orders: &mut Orders) -> Option<()> {
        let mut members = Members::new(ROOT, &mut orders.root);
        let mut more = self.open()?;
        while more {
            match self.key("", &mut members)? {
                Some(Root::Id) => draft.id = self.string_or_null()?,
                Some(Root::Text(member)) => draft.set_text(member, self.string_or_null()?),
                Some(Root::Channel) => draft.channel = self.word(Channel::from_name)?,
                Some(Root::OptOut) => draft.opt_out = self.word(OptOut::from_name)?,
                Some(Root::Status) => draft.status = self.word(EndpointStatus::from_name)?,
                Some(Root::Attributes) => {
                    self.attributes("Attributes", &mut draft.attributes, &mut draft.values)?
                }
                Some(Root::Metrics) => self.metrics(draft)?,
                Some(Root::Location) => self.location(draft, &mut orders.location)?,
                Some(Root::Demographic) => self.demographic(draft, &mut orders.demographic)?,
                Some(Root::User) => self.user(draft, &mut orders.user)?,
                Some(Root::Ignored) | None => self.ignore()?,
            }
            more = self.more()?;
        }
        Some(())
    }

    fn location(&mut self, draft: &mut Draft<'a>, order: &mut [u8; 16]) -> Option<()> {
        let mut members = Members::new(LOCATION, order);
        let mut more = self.open_or_null()?;
        while more {
            match self.key("Location", &mut members)? {
                Some(Place::Text(member)) => draft.set_text(member, self.string_or_null()?),
                Some(Place::Latitude) => draft.latitude = self.float_or_null()?,
                Some(Place::Longitude) => draft.longitude = self.float_or_null()?,
                None => self.ignore()?,
            }
            more = self.more()?;
        }
        Some(())
    }

    fn demographic(&mut self, draft: &mut Draft<'a>, order: &mut [u8; 16]) -> Option<()> {
        let mut members = Members::new(DEMOGRAPHIC, order);
        let mut more = self.open_or_null()?;
        while more {
            match self.key("Demographic", &mut members)? {
                Some(member) => draft.set_text(member, self.string_or_null()?),
                None => self.ignore()?,
            }
            more = self.more()?;
        }
        Some(())
    }

    fn user(&mut self, draft: &mut Draft<'a>, order: &mut [u8; 16]) -> Option<()> {
        let mut members = Members::new(USER, order);
        let mut more = self.open_or_null()?;
        while more {
            match self.key("User", &mut members)? {
                Some(UserMember::Id) => draft.set_text(UserId, self.string_or_null()?),
                Some(UserMember::Attributes) => {
                    let Draft { user_attributes, values, .. } = draft;
                    self.attributes("User.UserAttributes", user_attributes, values)?;
                }
                None => self.ignore()?,
            }
            more = self.more()?;
        }
        Some(())
    }

    fn metrics(&mut self, draft: &mut Draft<'a>) -> Option<()> {
        let mut more = self.open_or_null()?;
        while more {
            let name = self.name()?;
            validate::name(self.limits, "Metrics", name).ok()?;
            // A null may unset an earlier one of the name.
            draft.metrics.push((name, self.float_or_null()??));
            more = self.more()?;
        }
        (draft.metrics.len() <= self.limits.max_attributes).then_some(())
    }

    fn attributes(
        &mut self,
        prefix: &'static str,
        attributes: &mut Vec<Attribute<'a>>,
        values: &mut Vec<Scalar<'a>>,
    ) -> Option<()> {
        let mut more = self.open_or_null()?;
        while more {
            let name = self.name()?;
            validate::name(self.limits, prefix, name).ok()?;
            let start = values.len() as u32;
            if self.byte()? == b'[' {
                self.at += 1;
                self.list(prefix, name, values)?;
            } else {
                // A null may unset an earlier one of the name.
                let value = self.scalar(prefix, name)??;
                values.push(value);
            }
            attributes.push(Attribute { name, start, end: values.len() as u32 });
            more = self.more()?;
        }
        (attributes.len() <= self.limits.max_attributes).then_some(())
    }

    /// Reads the rest of a list.
    fn list(&mut self, prefix: &'static str, name: &str, values: &mut Vec<Scalar<'a>>) -> Option<()> {
        self.skip();
        if self.byte()? == b']' {
            self.at += 1;
            return Some(());
        }
        for _ in 0..self.limits.max_values {
            if let Some(value) = self.scalar(prefix, name)? {
                values.push(value);
            }
            self.skip();
            let byte = self.byte()?;
            self.at += 1;
            match byte {
                b',' => self.skip(),
                b']' => return Some(()),
                _ => return None,
            }
        }
        None
    }

    /// One value of an attribute; `Some(None)` is null.
    #[inline(always)]
    fn scalar(&mut self, prefix: &'static str, name: &str) -> Option<Option<Scalar<'a>>> {
        Some(Some(match self.byte()? {
            b'"' => {
                self.at += 1;
                let text = self.string()?;
                validate::value(self.limits, prefix, name, text).ok()?;
                Scalar::Text(text)
            }
            b't' => {
                self.literal(b"true")?;
                Scalar::Bool(true)
            }
            b'f' => {
                self.literal(b"false")?;
                Scalar::Bool(false)
            }
            b'n' => {
                self.literal(b"null")?;
                return Some(None);
            }
            _ => match self.number()? {
                Number::Int(number) => Scalar::Int(number),
                Number::Float(number) => Scalar::Float(number),
            },
        }))
    }

    /// Goes over a value that is not wanted.
    fn ignore(&mut self) -> Option<()> {
        match self.byte()? {
            b'"' => {
                self.at += 1;
                self.string().map(drop)
            }
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.number().map(drop),
        }
    }

    fn word<T>(&mut self, from_name: fn(&str) -> Option<T>) -> Option<Option<T>> {
        match self.string_or_null()? {
            Some(word) => from_name(word).map(Some),
            None => Some(None),
        }
    }

    #[inline(always)]
    fn string_or_null(&mut self) -> Option<Option<&'a str>> {
        if self.byte()? == b'"' {
            self.at += 1;
            return self.string().map(Some);
        }
        self.literal(b"null")?;
        Some(None)
    }

    #[inline]
    fn float_or_null(&mut self) -> Option<Option<f64>> {
        if self.byte()? == b'n' {
            self.literal(b"null")?;
            return Some(None);
        }
        Some(Some(match self.number()? {
            Number::Int(number) => number as f64,
            Number::Float(number) => number,
        }))
    }

    /// Reads a number without an exponent whose digits fit 64 bits.
    #[inline(always)]
    fn number(&mut self) -> Option<Number> {
        let start = self.at;
        let negative = self.byte()? == b'-';
        self.at += usize::from(negative);
        let whole = self.at;
        let mut digits = self.digits(0);
        let whole_len = self.at - whole;
        if whole_len == 0 || whole_len > 1 && self.bytes[whole] == b'0' {
            return None;
        }
        let mut fraction = 0;
        if self.byte() == Some(b'.') {
            self.at += 1;
            let from = self.at;
            digits = self.digits(digits);
            fraction = self.at - from;
            if fraction == 0 {
                return None;
            }
        }
        if whole_len + fraction > DIGITS || matches!(self.byte(), Some(b'e' | b'E')) {
            return None;
        }
        if fraction == 0 {
            let number = digits as i64;
            return Some(Number::Int(if negative { -number } else { number }));
        }
        if digits <= EXACT {
            // Both are exact, so the quotient is rounded once.
            let number = digits as f64 / POWERS[fraction];
            return Some(Number::Float(if negative { -number } else { number }));
        }
        self.text.get(start..self.at)?.parse().ok().map(Number::Float)
    }

    /// Goes over digits; what they say may have wrapped.
    #[inline]
    fn digits(&mut self, number: u64) -> u64 {
        let (number, end) = decimal::digits(self.bytes, self.at, number);
        self.at = end;
        number
    }

    #[inline]
    fn literal(&mut self, word: &[u8]) -> Option<()> {
        self.bytes.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    /// The string whose opening quote has been read.
    #[inline(always)]
    fn string(&mut self) -> Option<&'a str> {
        let start = self.at;
        debug_assert_eq!(self.bytes[start - 1], b'"');
        let end = scan::stop(self.bytes, start)?;
        self.at = end + 1;
        let string = self.bytes.get(start..end)?;
        if self.bytes[end] != b'"' {
            return None;
        }
        // SAFETY: `bytes` is all of `text`, so it is UTF-8, and it is cut between two quotes: these are ASCII,
        // so they stand between characters.
        Some(unsafe { str::from_utf8_unchecked(string) })
    }

    /// The name of a member, and on to its value.
    #[inline(always)]
    fn name(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let name = self.string()?;
        self.colon()?;
        Some(name)
    }

    /// Which member comes, and on to its value. `Some(None)`: nobody knows it.
    #[inline]
    fn key<T: Copy>(&mut self, prefix: &'static str, members: &mut Members<'_, T>) -> Option<Option<T>> {
        self.expect(b'"')?;
        let word = self.word_at();
        let is = |name: &Name| word & name.mask == name.bytes;
        let place = members.nth & 15;
        members.nth += 1;
        let mut index = usize::from(members.order[place]);
        if !members.table.get(index).is_some_and(|(name, _)| is(name)) {
            let Some(found) = members.table.iter().position(|(name, _)| is(name)) else {
                let name = self.string()?;
                *self.unknown.get_mut(self.unknown_len)? = (prefix, name);
                self.unknown_len += 1;
                self.colon()?;
                return Some(None);
            };
            index = found;
            members.order[place] = index as u8;
        }
        let (name, member) = members.table[index];
        let bit = 1 << index;
        if members.seen & bit != 0 {
            return None;
        }
        members.seen |= bit;
        self.at += name.len;
        self.colon()?;
        Some(Some(member))
    }

    /// The next 16 bytes; zeros behind the end.
    #[inline]
    fn word_at(&self) -> u128 {
        let rest = &self.bytes[self.at..];
        if let Some(chunk) = rest.first_chunk() {
            return u128::from_le_bytes(*chunk);
        }
        let mut chunk = [0; 16];
        chunk[..rest.len()].copy_from_slice(rest);
        u128::from_le_bytes(chunk)
    }

    /// Opens an object; whether it has a member.
    #[inline]
    fn open(&mut self) -> Option<bool> {
        self.expect(b'{')?;
        self.skip();
        let empty = self.byte()? == b'}';
        self.at += usize::from(empty);
        Some(!empty)
    }

    #[inline]
    fn open_or_null(&mut self) -> Option<bool> {
        if self.byte()? == b'n' {
            self.literal(b"null")?;
            return Some(false);
        }
        self.open()
    }

    /// Goes on behind a member's value; whether there is another member.
    #[inline]
    fn more(&mut self) -> Option<bool> {
        self.skip();
        let byte = self.byte()?;
        self.at += 1;
        match byte {
            b',' => {
                self.skip();
                Some(true)
            }
            b'}' => Some(false),
            _ => None,
        }
    }

    #[inline]
    fn colon(&mut self) -> Option<()> {
        self.skip();
        self.expect(b':')?;
        self.skip();
        Some(())
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.byte()? == byte).then(|| self.at += 1)
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn skip(&mut self) {
        while let Some(b' ' | b'\t') = self.byte() {
            self.at += 1;
        }
    }
}
