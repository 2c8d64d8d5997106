//! The fast way through a JSON line: one pass that knows the members and fills the draft as it goes.
//!
//! It takes the plain, usual record and gives up (`None`) at the first thing that is not: a repeated or nested member,
//! an escape in a name that it should know, a number it might round, a wrong type, a limit, anything that is no JSON.
//! It never judges; what it gives up is read by [`super::json`], and what it takes says there exactly the same.

use bumpalo::Bump;
use pinport_model::{
    Attribute, Channel, Draft, EndpointStatus, OptOut, RecordLimits, Scalar, TextMember::UserId,
};

use super::{
    Unknown,
    cursor::{Cursor, Lines, Number},
    dates,
    json_members::{
        DEMOGRAPHIC, LOCATION, Members, Order, Orders, Place, ROOT, Root, START, USER, UserMember,
    },
    names, validate,
};

/// Nesting of the deepest record that is read here, with some to spare.
const DEPTH: usize = 8;

/// Unknown members of one record.
const UNKNOWN: usize = 4;

/// The members of a record that are unknown. They are reported when it is sure that the record is taken.
#[derive(Debug, Default)]
pub(super) struct UnknownMembers<'a> {
    names: [(&'static str, &'a str); UNKNOWN],
    len: usize,
    /// Names that are sure to be nearly none that is known.
    judged: Vec<(&'static str, &'a str)>,
}

/// Names that are kept in mind, for one block.
const JUDGED: usize = 32;

impl<'a> UnknownMembers<'a> {
    pub(super) fn forget(&mut self) {
        self.len = 0;
    }

    #[cold]
    fn add(&mut self, prefix: &'static str, name: &'a str) -> Option<()> {
        if !self.judged.contains(&(prefix, name)) {
            // It may be meant for a known one.
            let dot = if prefix.is_empty() { "" } else { "." };
            if names::known_member(&format!("{prefix}{dot}{name}")).is_some() {
                return None;
            }
            if self.judged.len() < JUDGED {
                self.judged.push((prefix, name));
            }
        }
        *self.names.get_mut(self.len)? = (prefix, name);
        self.len += 1;
        Some(())
    }

    pub(super) fn report(&self, unknown: &mut Unknown) {
        for (prefix, name) in &self.names[..self.len] {
            unknown.add(prefix, name);
        }
    }
}

/// Reads one record. Its methods are inlined, so that the cursor lives in registers.
pub(super) struct Fast<'a, 'p> {
    cursor: Cursor<'a>,
    limits: &'p RecordLimits,
    /// Holds the strings that had escapes.
    scratch: &'a Bump,
    unknown_members: &'p mut UnknownMembers<'a>,
}

/// Where a record ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    /// Without the terminator.
    pub(super) content: usize,
    /// With it.
    pub(super) line: usize,
}

/// Whether records can be read here at all.
pub(super) fn suits(limits: &RecordLimits) -> bool {
    limits.max_depth >= DEPTH
}

impl<'a, 'p> Fast<'a, 'p> {
    /// The record on the line at `at`. `None`: it has no terminator.
    #[inline(always)]
    pub(super) fn new(
        lines: Lines<'a>,
        at: usize,
        limits: &'p RecordLimits,
        scratch: &'a Bump,
        unknown_members: &'p mut UnknownMembers<'a>,
    ) -> Option<Self> {
        unknown_members.forget();
        Some(Self { cursor: Cursor::new(lines, at)?, limits, scratch, unknown_members })
    }

    /// Fills an empty draft; it is worthless if this gives up.
    #[inline(always)]
    pub(super) fn read(mut self, draft: &mut Draft<'a>, orders: &mut Orders) -> Option<End> {
        let start = self.cursor.at();
        self.cursor.skip();
        self.record(draft, orders)?;
        self.cursor.skip();
        let content = self.cursor.at();
        let line = content + self.cursor.terminator()?;
        (content - start <= self.limits.max_line).then_some(End { content, line })
    }

    /// Fills an empty draft from the object at hand, whatever comes after it, and returns where it ends.
    #[inline(always)]
    pub(super) fn read_object(mut self, draft: &mut Draft<'a>, orders: &mut Orders) -> Option<usize> {
        self.record(draft, orders)?;
        Some(self.cursor.at())
    }

    #[inline(always)]
    fn record(&mut self, draft: &mut Draft<'a>, orders: &mut Orders) -> Option<()> {
        let mut members = Members::new(ROOT, &mut orders.root);
        let mut more = self.open()?;
        while more {
            match self.key("", &mut members)? {
                Some(Root::Id) => draft.id = self.string_or_null()?,
                Some(Root::Text(member)) => draft.set_text(member, self.string_or_null()?),
                Some(Root::Date(member)) => {
                    let date = self.string_or_null()?;
                    if !date.is_none_or(dates::is_usual) {
                        return None;
                    }
                    draft.set_text(member, date);
                }
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

    #[inline(always)]
    fn location(&mut self, draft: &mut Draft<'a>, order: &mut Order) -> Option<()> {
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

    #[inline(always)]
    fn demographic(&mut self, draft: &mut Draft<'a>, order: &mut Order) -> Option<()> {
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

    #[inline(always)]
    fn user(&mut self, draft: &mut Draft<'a>, order: &mut Order) -> Option<()> {
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

    #[inline(always)]
    fn metrics(&mut self, draft: &mut Draft<'a>) -> Option<()> {
        let mut more = self.open_or_null()?;
        while more {
            let name = self.name("Metrics")?;
            // A null may unset an earlier one of the name.
            draft.metrics.push((name, self.float_or_null()??));
            more = self.more()?;
        }
        (draft.metrics.len() <= self.limits.max_attributes).then_some(())
    }

    #[inline(always)]
    fn attributes(
        &mut self,
        prefix: &'static str,
        attributes: &mut Vec<Attribute<'a>>,
        values: &mut Vec<Scalar<'a>>,
    ) -> Option<()> {
        let mut more = self.open_or_null()?;
        while more {
            let name = self.name(prefix)?;
            let start = values.len() as u32;
            if self.cursor.eat::<b'['>() {
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
    #[inline(always)]
    fn list(&mut self, prefix: &'static str, name: &str, values: &mut Vec<Scalar<'a>>) -> Option<()> {
        self.cursor.skip();
        if self.cursor.eat::<b']'>() {
            return Some(());
        }
        for _ in 0..self.limits.max_values {
            if let Some(value) = self.scalar(prefix, name)? {
                values.push(value);
            }
            if self.cursor.eat::<b']'>() {
                return Some(());
            }
            self.cursor.skip();
            if self.cursor.eat::<b']'>() {
                return Some(());
            }
            if !self.cursor.eat::<b','>() {
                return None;
            }
            self.cursor.skip();
        }
        None
    }

    /// One value of an attribute; `Some(None)` is null.
    #[inline(always)]
    fn scalar(&mut self, prefix: &'static str, name: &str) -> Option<Option<Scalar<'a>>> {
        if self.cursor.eat::<b'"'>() {
            let text = self.string()?;
            validate::value(self.limits, prefix, name, text).ok()?;
            return Some(Some(Scalar::Text(text)));
        }
        Some(Some(match self.cursor.byte() {
            b't' | b'f' => Scalar::Bool(self.cursor.truth()?),
            b'n' => return self.cursor.eat_null().then_some(None),
            _ => {
                let (digits, behind) = self.cursor.after_digits()?;
                self.cursor = behind;
                validate::value(self.limits, prefix, name, digits).ok()?;
                Scalar::Text(digits)
            }
        }))
    }

    /// Goes over a value that is not wanted.
    #[inline(never)]
    fn ignored(mut cursor: Cursor<'a>) -> Option<Cursor<'a>> {
        match cursor.byte() {
            b'"' => {
                cursor.eat::<b'"'>();
                cursor.string().map(drop)
            }
            b't' | b'f' => cursor.truth().map(drop),
            b'n' => cursor.eat_null().then_some(()),
            _ => cursor.number().map(drop),
        }?;
        Some(cursor)
    }

    #[inline(always)]
    fn ignore(&mut self) -> Option<()> {
        self.cursor = Self::ignored(self.cursor)?;
        Some(())
    }

    #[inline(always)]
    fn word<T>(&mut self, from_name: fn(&str) -> Option<T>) -> Option<Option<T>> {
        match self.string_or_null()? {
            Some(word) => from_name(word).map(Some),
            None => Some(None),
        }
    }

    #[inline(always)]
    fn string_or_null(&mut self) -> Option<Option<&'a str>> {
        if self.cursor.eat::<b'"'>() {
            return self.string().map(Some);
        }
        self.cursor.eat_null().then_some(None)
    }

    /// The rest of a string.
    #[inline(always)]
    fn string(&mut self) -> Option<&'a str> {
        if let Some(plain) = self.cursor.string() {
            return Some(plain);
        }
        let (string, behind) = self.cursor.after_escapes(self.scratch)?;
        self.cursor = behind;
        Some(string)
    }

    #[inline(always)]
    fn float_or_null(&mut self) -> Option<Option<f64>> {
        if self.cursor.byte() == b'n' {
            return self.cursor.eat_null().then_some(None);
        }
        Some(Some(match self.cursor.number()? {
            Number::Int(number) => number as f64,
            Number::Float(number) => number,
        }))
    }

    /// The opened name of a member that may have any, and on to its value.
    #[inline(always)]
    fn name(&mut self, prefix: &'static str) -> Option<&'a str> {
        let name = self.string()?;
        self.colon()?;
        validate::name(self.limits, prefix, name).ok()?;
        Some(name)
    }

    /// Whose name is opened, and on to its value. `Some(None)`: it is unknown.
    #[inline(always)]
    fn key<T: Copy>(&mut self, prefix: &'static str, members: &mut Members<'_, T>) -> Option<Option<T>> {
        let word = self.cursor.word();
        let likely = usize::from(members.order[members.last & START]);
        let (index, member) = match members.table.get(likely) {
            Some((name, member)) if self.cursor.eat_name(word, name) => {
                if !name.has_colon() {
                    self.colon()?;
                }
                self.cursor.skip();
                (likely, *member)
            }
            _ => {
                let found = members.table.iter().position(|(name, _)| name.quoted().begins(word));
                let Some(found) = found else {
                    // With an escape it may be one that is known.
                    let name = self.cursor.string()?;
                    self.colon()?;
                    self.unknown_members.add(prefix, name)?;
                    return Some(None);
                };
                let (name, member) = members.table[found];
                self.cursor.eat_name(word, &name.quoted());
                self.colon()?;
                members.order[members.last & START] = found as u8;
                (found, member)
            }
        };
        let bit = 1 << index;
        if members.seen & bit != 0 {
            return None;
        }
        members.seen |= bit;
        members.last = index;
        Some(Some(member))
    }

    /// Opens an object and, if it has a member, the member's name.
    #[inline(always)]
    fn open(&mut self) -> Option<bool> {
        if !self.cursor.eat::<b'{'>() {
            return None;
        }
        self.cursor.skip();
        if self.cursor.eat::<b'"'>() {
            return Some(true);
        }
        self.cursor.eat::<b'}'>().then_some(false)
    }

    #[inline(always)]
    fn open_or_null(&mut self) -> Option<bool> {
        if self.cursor.byte() == b'n' {
            return self.cursor.eat_null().then_some(false);
        }
        self.open()
    }

    /// Goes on after a member's value and, if there is another member, opens its name.
    #[inline(always)]
    fn more(&mut self) -> Option<bool> {
        if self.cursor.eat_both::<b',', b'"'>() {
            return Some(true);
        }
        self.cursor.skip();
        if self.cursor.eat::<b'}'>() {
            return Some(false);
        }
        if !self.cursor.eat::<b','>() {
            return None;
        }
        self.cursor.skip();
        self.cursor.eat::<b'"'>().then_some(true)
    }

    #[inline(always)]
    fn colon(&mut self) -> Option<()> {
        self.cursor.skip();
        if !self.cursor.eat::<b':'>() {
            return None;
        }
        self.cursor.skip();
        Some(())
    }
}
