//! Whether an endpoint, as it is stored, belongs to a segment that is made of criteria.
//!
//! What the criteria need of a record are *slots*; one pass over the record's members fills them with slices, and the tests
//! look at those. Nothing is decoded that no test needs, and a row costs no allocation. A test of a user's attribute has no
//! answer until the user's record is at hand: [`Verdict::Open`]. Criteria become a [`Matcher`] in [`compile`].

mod compile;

use pinport_model::{
    Timestamp,
    criteria::{AttributeType, Combine, Comparison, Coordinates, day_of, time_of},
};

use super::{
    FIRST_NAMED, Tag,
    read::{Damaged, Member, Members},
    write::{Date, List, date_of, number},
};

pub(crate) use compile::Compiler;

/// What is known of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It does not belong.
    No,
    /// It belongs.
    Yes,
    /// Its user's record decides.
    Open,
}

impl From<bool> for Verdict {
    fn from(is: bool) -> Self {
        if is { Self::Yes } else { Self::No }
    }
}

impl Verdict {
    fn negated(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Yes => Self::No,
            Self::Open => Self::Open,
        }
    }
}

/// A member that tests look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    tag: u8,
    name: Box<[u8]>,
}

/// What a value is compared with.
#[derive(Debug)]
enum Is {
    /// One of these texts, in order.
    OneOf(Vec<Box<[u8]>>),
    /// None of them.
    NoneOf(Vec<Box<[u8]>>),
    /// A list with one of these texts, in order.
    HasOneOf(Vec<Box<[u8]>>),
    /// A list with none of them.
    HasNoneOf(Vec<Box<[u8]>>),
    /// A list with a text that has one of these in it.
    Contains(Vec<Box<str>>),
    /// A list with a time that compares so with one of these.
    Time(AttributeType, Vec<Timestamp>),
    /// A number.
    Number(Comparison, f64),
    /// A latitude; the longitude has a slot of its own.
    Near { longitude: usize, point: Coordinates, kilometers: f64 },
    /// A date of this time or later.
    Since(Timestamp),
    /// Anything but such a date.
    NotSince(Timestamp),
}

#[derive(Debug)]
struct Test {
    slot: usize,
    is: Is,
}

/// Endpoints of some segments for which some dimensions hold.
#[derive(Debug)]
struct GroupRule {
    /// Rules of its source segments.
    sources: Vec<usize>,
    source_type: Combine,
    /// Each holds when all its tests do.
    dimensions: Vec<Vec<Test>>,
    combine: Combine,
}

/// What a segment is made of.
#[derive(Debug)]
enum Rule {
    /// The members of an import segment, by its number.
    Import(u32),
    Made {
        include: Combine,
        groups: Vec<GroupRule>,
    },
}

/// Criteria, ready to look at endpoints.
#[derive(Debug)]
pub(crate) struct Matcher {
    /// In the order in which records have their members.
    slots: Vec<Slot>,
    rules: Vec<Rule>,
    /// Whether an endpoint that is in no import segment cannot belong.
    pub(crate) needs_import: bool,
    has_user_tests: bool,
}

/// The values of the slots, for one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Values {
    /// Where each value lies in the bytes that were looked at: the record's, then the user's.
    at: Vec<Option<(Source, u32, u32)>>,
    /// What each rule came to.
    rules: Vec<Option<Verdict>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Record,
    User,
}

/// An endpoint that is looked at.
struct Looked<'a> {
    record: &'a [u8],
    user: &'a [u8],
    /// The user's record is not at hand.
    is_open: bool,
    /// The import segments that it is a member of, by number.
    imports: u128,
    values: &'a mut Values,
}

impl Matcher {
    /// Whether an endpoint belongs, by its record and the import segments it is in. `user`: its user's record, if that is at
    /// hand, or empty if it has no user.
    pub(crate) fn look(
        &self,
        record: &[u8],
        user: Option<&[u8]>,
        imports: u128,
        values: &mut Values,
    ) -> Result<Verdict, Damaged> {
        values.at.clear();
        values.at.resize(self.slots.len(), None);
        values.rules.clear();
        values.rules.resize(self.rules.len(), None);
        self.fill(record, Source::Record, &mut values.at)?;
        if let Some(user) = user.filter(|user| !user.is_empty())
            && self.has_user_tests
        {
            self.fill(user, Source::User, &mut values.at)?;
        }
        let (user, is_open) = (user.unwrap_or_default(), user.is_none());
        let mut looked = Looked { record, user, is_open, imports, values };
        self.rule(self.rules.len() - 1, &mut looked)
    }

    /// Whether a test looks at a user's attributes.
    pub(crate) fn has_user_tests(&self) -> bool {
        self.has_user_tests
    }

    /// Notes where the values of the slots lie. Slots and members ascend in the same order.
    #[inline]
    fn fill(
        &self,
        record: &[u8],
        source: Source,
        at: &mut [Option<(Source, u32, u32)>],
    ) -> Result<(), Damaged> {
        let Some(last) = self.slots.last() else { return Ok(()) };
        let mut members = Members::new(record);
        let mut slot = 0;
        while let Some(member) = members.next()? {
            while self.slots[slot].is_before(&member) {
                slot += 1;
                if slot == self.slots.len() {
                    return Ok(());
                }
            }
            if self.slots[slot].is(&member) {
                // A user's record says what a removed attribute was removed from.
                let start = member.value.as_ptr().addr() - record.as_ptr().addr();
                at[slot] = Some((source, start as u32, (start + member.value.len()) as u32));
                slot += 1;
                if slot == self.slots.len() {
                    return Ok(());
                }
            }
            if member.tag > last.tag {
                return Ok(());
            }
        }
        Ok(())
    }

    fn rule(&self, index: usize, looked: &mut Looked<'_>) -> Result<Verdict, Damaged> {
        if let Some(known) = looked.values.rules[index] {
            return Ok(known);
        }
        let found = match &self.rules[index] {
            Rule::Import(number) => Verdict::from(looked.imports >> number & 1 == 1),
            Rule::Made { include, groups } => combine(*include, groups, |group| self.group(group, looked))?,
        };
        looked.values.rules[index] = Some(found);
        Ok(found)
    }

    fn group(&self, group: &GroupRule, looked: &mut Looked<'_>) -> Result<Verdict, Damaged> {
        let sources = combine(group.source_type, &group.sources, |rule| self.rule(*rule, looked))?;
        if sources == Verdict::No {
            return Ok(sources);
        }
        let dimensions = combine(group.combine, &group.dimensions, |tests| {
            combine(Combine::All, tests, |test| self.test(test, looked))
        })?;
        Ok(match (sources, dimensions) {
            (_, Verdict::No) => Verdict::No,
            (Verdict::Yes, Verdict::Yes) => Verdict::Yes,
            _ => Verdict::Open,
        })
    }

    fn test(&self, test: &Test, looked: &Looked<'_>) -> Result<Verdict, Damaged> {
        if looked.is_open && self.slots[test.slot].tag == Tag::UserAttribute as u8 {
            return Ok(Verdict::Open);
        }
        test.is.holds(looked.value(test.slot), looked).map(Verdict::from)
    }
}

impl Slot {
    #[inline]
    fn is_before(&self, member: &Member<'_>) -> bool {
        self.tag < member.tag || self.tag == member.tag && *self.name < *member.name
    }

    #[inline]
    fn is(&self, member: &Member<'_>) -> bool {
        self.tag == member.tag && (member.tag < FIRST_NAMED || *self.name == *member.name)
    }
}

impl Looked<'_> {
    #[inline]
    fn value(&self, slot: usize) -> Option<&[u8]> {
        let (source, start, end) = self.values.at[slot]?;
        let bytes = if source == Source::User { self.user } else { self.record };
        Some(&bytes[start as usize..end as usize])
    }
}

/// Takes parts together; without parts everything holds.
#[inline]
fn combine<T>(
    how: Combine,
    parts: &[T],
    mut look: impl FnMut(&T) -> Result<Verdict, Damaged>,
) -> Result<Verdict, Damaged> {
    let (decides, otherwise) = match how {
        Combine::All => (Verdict::No, Verdict::Yes),
        Combine::Any | Combine::None if parts.is_empty() => return Ok(Verdict::Yes),
        Combine::Any | Combine::None => (Verdict::Yes, Verdict::No),
    };
    let mut all = otherwise;
    for part in parts {
        let found = look(part)?;
        if found == decides {
            all = decides;
            break;
        }
        if found == Verdict::Open {
            all = Verdict::Open;
        }
    }
    Ok(if how == Combine::None { all.negated() } else { all })
}

impl Is {
    #[inline]
    fn holds(&self, value: Option<&[u8]>, looked: &Looked<'_>) -> Result<bool, Damaged> {
        let has = |texts: &[Box<[u8]>], value: &[u8]| -> Result<bool, Damaged> {
            let mut list = List(value);
            while let Some(text) = list.next_bytes()? {
                if is_among(texts, text) {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let Some(value) = value else {
            return Ok(matches!(self, Self::NoneOf(_) | Self::HasNoneOf(_) | Self::NotSince(_)));
        };
        match self {
            Self::OneOf(texts) => Ok(is_among(texts, value)),
            Self::NoneOf(texts) => Ok(!is_among(texts, value)),
            Self::HasOneOf(texts) => has(texts, value),
            Self::HasNoneOf(texts) => has(texts, value).map(|has| !has),
            Self::Contains(parts) => any_text(value, |text| parts.iter().any(|part| text.contains(&**part))),
            Self::Time(kind, times) => {
                any_text(value, |text| time_of(text).is_some_and(|time| compares(*kind, time, times)))
            }
            // Of a metric that was removed there is no number.
            Self::Number(..) if value.is_empty() => Ok(false),
            Self::Number(comparison, with) => Ok(comparison.holds(number(value)?, *with)),
            Self::Near { longitude, point, kilometers } => {
                let Some(longitude) = looked.value(*longitude) else { return Ok(false) };
                let found = Coordinates { latitude: number(value)?, longitude: number(longitude)? };
                Ok(point.kilometers_to(found) <= *kilometers)
            }
            Self::Since(time) => is_since(value, *time),
            Self::NotSince(time) => is_since(value, *time).map(|is| !is),
        }
    }
}

fn is_among(texts: &[Box<[u8]>], text: &[u8]) -> bool {
    match texts {
        [one] => **one == *text,
        many => many.binary_search_by(|one| (**one).cmp(text)).is_ok(),
    }
}

fn any_text(value: &[u8], mut is: impl FnMut(&str) -> bool) -> Result<bool, Damaged> {
    let mut list = List(value);
    while let Some(text) = list.next()? {
        if is(text) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn compares(kind: AttributeType, time: Timestamp, with: &[Timestamp]) -> bool {
    match kind {
        AttributeType::Before => with.iter().any(|with| time < *with),
        AttributeType::After => with.iter().any(|with| time > *with),
        AttributeType::On => with.iter().any(|with| day_of(time) == day_of(*with)),
        AttributeType::Between => matches!(with, [from, to] if *from <= time && time <= *to),
        AttributeType::Inclusive | AttributeType::Exclusive | AttributeType::Contains => false,
    }
}

fn is_since(value: &[u8], since: Timestamp) -> Result<bool, Damaged> {
    Ok(match date_of(value)? {
        Date::Millis(millis) => millis >= since.as_millis(),
        Date::Text(text) => time_of(text).is_some_and(|time| time >= since),
    })
}
