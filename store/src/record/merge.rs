//! Merging records: what two records say together, in one linear pass over both.
//!
//! Merging is associative, so neighbours may be folded in any grouping; the order of the records counts. Within bounds
//! ([`super::bounds`]) it is not: there the fold begins with the oldest record.

use std::{cmp::Ordering, ops::Range};

use super::{
    FIRST_NAMED, Tag,
    append::append,
    read::{Damaged, Member, Members, find},
};

/// What a registered endpoint is for a segment whose copy of it says some of its members: its record, its user's attributes,
/// and over both the copy. `spare` and `out` are used again.
pub(crate) fn overlaid(
    record: &[u8],
    user_record: &[u8],
    copy: &[u8],
    spare: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Damaged> {
    spare.clear();
    out.clear();
    merge(record, user_record, spare)?;
    merge(spare, copy, out)?;
    Ok(())
}

/// Appends to `out` what `older` and `newer` say together: the members of both; of a member in both the
/// newer one, but for CreationDate, which stays what it was. An update of an endpoint (it has an EffectiveDate) that
/// says nothing of EndpointStatus makes it ACTIVE, which is what no status means. Removals are kept, because there may be a still
/// older record that they apply to. Returns whether there are any.
pub(crate) fn merge(older: &[u8], newer: &[u8], out: &mut Vec<u8>) -> Result<bool, Damaged> {
    out.reserve(older.len() + newer.len());
    let (mut olds, mut news) = (Members::new(older), Members::new(newer));
    let mut kept = Span { of: [older, newer], source: OLDER, place: 0..0, removes: false };
    kept.replace(&mut olds, &mut news, out);
    let (mut old, mut new) = (olds.next()?, news.next()?);
    loop {
        match (old, new) {
            (Some(o), Some(n)) => match o.order(&n) {
                Ordering::Less => {
                    // RequestId may stand between the two.
                    let goes = o.tag == Tag::Status as u8
                        && n.tag <= Tag::EffectiveDate as u8
                        && find(newer, Tag::EffectiveDate)?.is_some();
                    if !goes {
                        kept.keep(OLDER, &o, &olds, out);
                    }
                    old = olds.next()?;
                }
                Ordering::Greater => {
                    kept.keep(NEWER, &n, &news, out);
                    new = news.next()?;
                }
                Ordering::Equal => {
                    match o.tag == Tag::CreationDate as u8 {
                        true => kept.keep(OLDER, &o, &olds, out),
                        false => kept.keep(NEWER, &n, &news, out),
                    }
                    kept.replace(&mut olds, &mut news, out);
                    old = olds.next()?;
                    new = news.next()?;
                }
            },
            (Some(o), None) => {
                kept.keep(OLDER, &o, &olds, out);
                old = olds.next()?;
            }
            (None, Some(n)) => {
                kept.keep(NEWER, &n, &news, out);
                new = news.next()?;
            }
            (None, None) => {
                kept.flush(out);
                return Ok(kept.removes);
            }
        }
    }
}

const OLDER: usize = 0;
const NEWER: usize = 1;

/// Members that are kept and lie one after the other in a record: they are copied together. Nearly all of an update that says
/// what the one before said is one span.
struct Span<'a> {
    /// The two records.
    of: [&'a [u8]; 2],
    /// Which of them it is in.
    source: usize,
    place: Range<usize>,
    /// Whether a removal was kept.
    removes: bool,
}

impl Span<'_> {
    /// Keeps the member of a record that was read last.
    #[inline]
    fn keep(&mut self, source: usize, member: &Member<'_>, members: &Members<'_>, out: &mut Vec<u8>) {
        let end = self.of[source].len() - members.rest().len();
        self.removes |= member.is_removal();
        self.add(source, end - member.whole.len()..end, out);
    }

    /// Keeps the newer ones of members that stand in front of both records, as far as [`same_in_front`] sees any: most updates
    /// say the same members as what was there before.
    #[inline]
    fn replace(&mut self, olds: &mut Members<'_>, news: &mut Members<'_>, out: &mut Vec<u8>) {
        let start = self.of[NEWER].len() - news.rest().len();
        while let Some(same) = same_in_front(olds.rest(), news.rest()) {
            self.removes |= same.removes;
            olds.pass(same.older);
            news.pass(same.newer);
        }
        let end = self.of[NEWER].len() - news.rest().len();
        if start < end {
            self.add(NEWER, start..end, out);
        }
    }

    #[inline]
    fn add(&mut self, source: usize, place: Range<usize>, out: &mut Vec<u8>) {
        if self.source == source && self.place.end == place.start {
            self.place.end = place.end;
            return;
        }
        self.flush(out);
        (self.source, self.place) = (source, place);
    }

    fn flush(&self, out: &mut Vec<u8>) {
        append(out, &self.of[self.source][self.place.clone()]);
    }
}

/// A member that stands in front of two records.
struct Same {
    /// Its bytes in each.
    older: usize,
    newer: usize,
    /// Whether the newer one is a removal.
    removes: bool,
}

/// The member in front of both records, if it is the same of both, the newer one counts, and its lengths take a byte each: a
/// few comparisons, where reading it twice takes several times as long. Whatever it does not see is read one by one.
#[inline(always)]
fn same_in_front(older: &[u8], newer: &[u8]) -> Option<Same> {
    let tag = *older.first()?;
    if *newer.first()? != tag || tag == Tag::CreationDate as u8 {
        return None;
    }
    let is_named = tag >= FIRST_NAMED;
    let mut head = 1;
    if is_named {
        let length = usize::from(*older.get(1)?);
        head = 2 + length;
        if length >= 0x80 || !is_equal(older.get(1..head)?, newer.get(1..head)?) {
            return None;
        }
    }
    let end_of = |record: &[u8]| {
        let length = usize::from(*record.get(head)?);
        let end = head + 1 + length;
        (length < 0x80 && end <= record.len()).then_some(end)
    };
    let (older, newer) = (end_of(older)?, end_of(newer)?);
    Some(Same { older, newer, removes: is_named && newer == head + 1 })
}

/// Whether two texts of one length are equal; most are as short as the names of attributes.
#[inline(always)]
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    match one.len() {
        4..=8 => {
            one.first_chunk::<4>() == other.first_chunk::<4>()
                && one.last_chunk::<4>() == other.last_chunk::<4>()
        }
        9..=16 => {
            one.first_chunk::<8>() == other.first_chunk::<8>()
                && one.last_chunk::<8>() == other.last_chunk::<8>()
        }
        _ => one == other,
    }
}

/// A record without removals, where these have nothing left to remove.
pub(super) fn without_removals(record: &[u8]) -> Result<Vec<u8>, Damaged> {
    let mut kept = Vec::with_capacity(record.len());
    let mut members = Members::new(record);
    let mut start = 0;
    while let Some(member) = members.next()? {
        if member.is_removal() {
            let end = record.len() - members.rest().len();
            kept.extend_from_slice(&record[start..end - member.whole.len()]);
            start = end;
        }
    }
    kept.extend_from_slice(&record[start..]);
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_equal_if_all_of_their_bytes_are() {
        for length in 0..40 {
            let name: Vec<u8> = (0..length).collect();
            assert!(is_equal(&name, &name.clone()), "{length} bytes");
            for place in 0..name.len() {
                let mut other = name.clone();
                other[place] ^= 1;
                assert!(!is_equal(&name, &other), "{length} bytes, another at {place}");
            }
        }
    }

    #[test]
    fn only_the_same_member_in_front_of_both_is_passed() {
        let attribute = |name: &str, value: &[u8]| {
            let mut member = vec![Tag::Attribute as u8, name.len() as u8];
            member.extend_from_slice(name.as_bytes());
            member.push(value.len() as u8);
            member.extend_from_slice(value);
            member
        };
        let same = |older: &[u8], newer: &[u8]| {
            same_in_front(older, newer).map(|same| (same.older, same.newer, same.removes))
        };
        let old = attribute("plan", b"\x04gold");
        assert_eq!(same(&old, &attribute("plan", b"\x03red")), Some((12, 11, false)));
        assert_eq!(same(&old, &attribute("plan", b"")), Some((12, 7, true)));
        assert_eq!(same(&old, &attribute("plum", b"\x03red")), None);
        assert_eq!(same(&old, &attribute("pla", b"\x03red")), None);
        assert_eq!(same(&old, b""), None);
        let status = [Tag::Status as u8, 1, 0];
        assert_eq!(same(&status, &status), Some((3, 3, false)));
        // The older one counts.
        let created = [Tag::CreationDate as u8, 1, 0];
        assert_eq!(same(&created, &created), None);
        // Longer lengths, and what is cut off, are read one by one.
        assert_eq!(same(&status, &[&[Tag::Status as u8, 0x80, 1][..], &[0; 128]].concat()), None);
        for cut in 0..old.len() {
            assert_eq!(same(&old, &old[..cut]), None, "{cut} bytes");
            assert_eq!(same(&old[..cut], &old), None, "{cut} bytes");
        }
    }
}
