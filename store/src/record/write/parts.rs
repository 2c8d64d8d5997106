//! Where the members of a record lie: slices by tag, and the runs of its attributes and metrics.

use pinport_model::{Channel, EndpointStatus, OptOut};

use super::super::{
    DATE_MILLIS, DATE_TEXT, Tag,
    read::{Damaged, Member, Members, take_bytes, take_unnamed},
};

/// A date as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Date<'a> {
    /// As the record gave it.
    Text(&'a str),
    /// Milliseconds since 1970.
    Millis(i64),
}

/// One more than the last tag without a name.
const UNNAMED: usize = Tag::UserId as usize + 1;

/// Where a value lies in its record: a quarter of what a slice takes, and there are many for each endpoint.
type Place = (u32, u32);

/// The members of an endpoint, found in its record and its user's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    /// The endpoint's id, as it is stored.
    pub(crate) id: &'a [u8],
    record: &'a [u8],
    /// A bit for each tag without a name that is there.
    set: u64,
    places: [Place; UNNAMED],
    attributes: &'a [u8],
    metrics: &'a [u8],
    /// What the endpoint itself knows of its user, and what the user's own record says: the newer.
    user_attributes: [&'a [u8]; 2],
}

impl<'a> Parts<'a> {
    #[inline]
    pub(crate) fn find(id: &'a [u8], record: &'a [u8], user_record: &'a [u8]) -> Result<Self, Damaged> {
        let mut parts = Self {
            id,
            record,
            set: 0,
            places: [(0, 0); UNNAMED],
            attributes: &[],
            metrics: &[],
            user_attributes: [&[]; 2],
        };
        let mut rest = record;
        // Members ascend by tag: those without a name come first.
        while let Some((tag, value)) = take_unnamed(&mut rest)? {
            if let Some(place) = parts.places.get_mut(usize::from(tag)) {
                let end = record.len() - rest.len();
                // No record has 4 GiB: the engines take none.
                *place = ((end - value.len()) as u32, end as u32);
                parts.set |= 1 << tag;
            }
        }
        // Then the three kinds of named ones, each a run of its own.
        parts.attributes = run(&mut rest, Tag::Attribute)?;
        parts.metrics = run(&mut rest, Tag::Metric)?;
        parts.user_attributes[0] = user_run(&mut rest)?;
        let mut of_user = user_record;
        parts.user_attributes[1] = user_run(&mut of_user)?;
        if !rest.is_empty() || !of_user.is_empty() {
            return Err(Damaged::unknown_member());
        }
        Ok(parts)
    }

    #[inline]
    pub(crate) fn raw(&self, tag: Tag) -> Option<&'a [u8]> {
        if self.set & 1 << tag as u64 == 0 {
            return None;
        }
        let (start, end) = self.places[tag as usize];
        Some(&self.record[start as usize..end as usize])
    }

    /// Whether one of the tags from `first` to `last` is there.
    pub(crate) fn has_any(&self, first: Tag, last: Tag) -> bool {
        let below = |tag: u8| (1_u64 << tag) - 1;
        self.set & (below(last as u8 + 1) ^ below(first as u8)) != 0
    }

    /// The endpoint's id.
    pub(crate) fn id(&self) -> Result<&'a str, Damaged> {
        utf8(self.id)
    }

    pub(crate) fn text(&self, tag: Tag) -> Result<Option<&'a str>, Damaged> {
        self.raw(tag).map(utf8).transpose()
    }

    pub(crate) fn channel(&self) -> Result<Option<Channel>, Damaged> {
        self.raw(Tag::Channel).map(|value| word(value, Channel::ALL)).transpose()
    }

    pub(crate) fn opt_out(&self) -> Result<OptOut, Damaged> {
        self.raw(Tag::OptOut).map_or(Ok(OptOut::None), |value| word(value, OptOut::ALL))
    }

    pub(crate) fn status(&self) -> Result<EndpointStatus, Damaged> {
        self.raw(Tag::Status).map_or(Ok(EndpointStatus::Active), |value| word(value, EndpointStatus::ALL))
    }

    /// A date; an empty text if there is none.
    pub(crate) fn date(&self, tag: Tag) -> Result<Date<'a>, Damaged> {
        self.raw(tag).map_or(Ok(Date::Text("")), date_of)
    }

    pub(crate) fn number(&self, tag: Tag) -> Result<Option<f64>, Damaged> {
        self.raw(tag).map(number).transpose()
    }

    /// The user's id, if the endpoint has a user.
    pub(crate) fn user_id(&self) -> Option<&'a [u8]> {
        self.raw(Tag::UserId).filter(|id| !id.is_empty())
    }

    pub(crate) fn attributes(&self) -> Named<'a> {
        Named { runs: [self.attributes, &[]] }
    }

    pub(crate) fn metrics(&self) -> Named<'a> {
        Named { runs: [self.metrics, &[]] }
    }

    pub(crate) fn user_attributes(&self) -> Named<'a> {
        Named { runs: self.user_attributes }
    }
}

/// Takes the members of one tag from the front of a record.
fn run<'a>(rest: &mut &'a [u8], tag: Tag) -> Result<&'a [u8], Damaged> {
    let begin = *rest;
    while rest.first() == Some(&(tag as u8)) {
        let mut members = Members::new(rest);
        members.next()?;
        *rest = members.rest();
    }
    Ok(&begin[..begin.len() - rest.len()])
}

/// Takes user attributes from the front, and the mark of a job before them.
fn user_run<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Damaged> {
    run(rest, Tag::Job)?;
    run(rest, Tag::UserAttribute)
}

/// Named members in order of their names; of a name that both runs have, the second run's.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Named<'a> {
    runs: [&'a [u8]; 2],
}

impl<'a> Named<'a> {
    /// The next member that has a value: its name and the value.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(&'a str, &'a [u8])>, Damaged> {
        match self.next_valued()? {
            Some(member) => Ok(Some((utf8(member.name)?, member.value))),
            None => Ok(None),
        }
    }

    /// The same, whatever the bytes of the name are.
    #[inline]
    pub(crate) fn next_valued(&mut self) -> Result<Option<Member<'a>>, Damaged> {
        loop {
            match self.next_member()? {
                Some(member) if member.is_removal() => {}
                found => return Ok(found),
            }
        }
    }

    #[inline]
    fn next_member(&mut self) -> Result<Option<Member<'a>>, Damaged> {
        let run = match &mut self.runs {
            [run, []] | [[], run] => run,
            _ => return self.next_of_two(),
        };
        let mut members = Members::new(run);
        let taken = members.next()?;
        *run = members.rest();
        Ok(taken)
    }

    fn next_of_two(&mut self) -> Result<Option<Member<'a>>, Damaged> {
        let mut runs = self.runs.map(Members::new);
        let (Some(older), Some(newer)) = (runs[0].next()?, runs[1].next()?) else { return Ok(None) };
        if older.name <= newer.name {
            self.runs[0] = runs[0].rest();
        }
        if newer.name <= older.name {
            self.runs[1] = runs[1].rest();
            return Ok(Some(newer));
        }
        Ok(Some(older))
    }
}

/// The date that a value says.
#[inline]
pub(crate) fn date_of(value: &[u8]) -> Result<Date<'_>, Damaged> {
    match value.split_first() {
        Some((&DATE_TEXT, rest)) => Ok(Date::Text(utf8(rest)?)),
        Some((&DATE_MILLIS, rest)) => {
            let bytes = rest.try_into().map_err(|_| Damaged::date())?;
            Ok(Date::Millis(i64::from_be_bytes(bytes)))
        }
        _ => Err(Damaged::date()),
    }
}

/// The values of an attribute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct List<'a>(pub(crate) &'a [u8]);

impl<'a> List<'a> {
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<&'a str>, Damaged> {
        self.next_bytes()?.map(utf8).transpose()
    }

    /// The next value, whatever its bytes are.
    #[inline]
    pub(crate) fn next_bytes(&mut self) -> Result<Option<&'a [u8]>, Damaged> {
        if self.0.is_empty() {
            return Ok(None);
        }
        take_bytes(&mut self.0).map(Some)
    }
}

#[inline]
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, Damaged> {
    str::from_utf8(bytes).map_err(|_| Damaged::text())
}

#[inline]
pub(crate) fn number(value: &[u8]) -> Result<f64, Damaged> {
    let bytes = value.try_into().map_err(|_| Damaged::number())?;
    Ok(f64::from_bits(u64::from_be_bytes(bytes)))
}

fn word<T: Copy>(value: &[u8], words: &[T]) -> Result<T, Damaged> {
    match value {
        [index] => words.get(usize::from(*index)).copied().ok_or(Damaged::word()),
        _ => Err(Damaged::word()),
    }
}
