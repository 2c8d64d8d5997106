//! Merging records: what two records say together, in one linear pass over both.
//!
//! Merging is associative, so neighbours may be folded in any grouping; the order of the records counts. Within bounds
//! ([`super::bounds`]) it is not: there the fold begins with the oldest record.

use std::{cmp::Ordering, ops::Range};

use super::{
    Tag,
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
    let (mut old, mut new) = (olds.next()?, news.next()?);
    let mut kept = Span { of: [older, newer], source: OLDER, place: 0..0, removes: false };
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
        let start = end - member.whole.len();
        self.removes |= member.is_removal();
        if self.source == source && self.place.end == start {
            self.place.end = end;
            return;
        }
        self.flush(out);
        (self.source, self.place) = (source, start..end);
    }

    fn flush(&self, out: &mut Vec<u8>) {
        append(out, &self.of[self.source][self.place.clone()]);
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
