//! Merging records: what two records say together, in one linear pass over both.
//!
//! Merging is associative, so neighbours may be folded in any grouping; the order of the records counts. Within bounds
//! ([`super::bounds`]) it is not: there the fold begins with the oldest record.

use std::cmp::Ordering;

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
    merge(spare, copy, out)
}

/// Appends to `out` what `older` and `newer` say together: the members of both; of a member in both the
/// newer one, but for CreationDate, which stays what it was. An update of an endpoint (it has an EffectiveDate) that
/// says nothing of EndpointStatus makes it ACTIVE, which is what no status means. Removals are kept, because there may be a still
/// older record that they apply to.
pub(crate) fn merge(older: &[u8], newer: &[u8], out: &mut Vec<u8>) -> Result<(), Damaged> {
    out.reserve(older.len() + newer.len());
    let (mut olds, mut news) = (Members::new(older), Members::new(newer));
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
                        append(out, o.whole);
                    }
                    old = olds.next()?;
                }
                Ordering::Greater => {
                    append(out, n.whole);
                    new = news.next()?;
                }
                Ordering::Equal => {
                    let kept = if o.tag == Tag::CreationDate as u8 { o } else { n };
                    append(out, kept.whole);
                    old = olds.next()?;
                    new = news.next()?;
                }
            },
            (Some(member), None) => return copy_rest(member, olds, out),
            (None, Some(member)) => return copy_rest(member, news, out),
            (None, None) => return Ok(()),
        }
    }
}

/// Appends `member` and all after it, which are read once more so that damage shows here, not later.
fn copy_rest<'a>(member: Member<'a>, mut rest: Members<'a>, out: &mut Vec<u8>) -> Result<(), Damaged> {
    let behind = rest.rest();
    while rest.next()?.is_some() {}
    append(out, member.whole);
    out.extend_from_slice(behind);
    Ok(())
}

/// The same record without removals, which have nothing left to remove.
pub(super) fn without_removals(record: Vec<u8>) -> Result<Vec<u8>, Damaged> {
    let mut members = Members::new(&record);
    let mut found = false;
    while let Some(member) = members.next()? {
        found |= member.is_removal();
    }
    if !found {
        return Ok(record);
    }
    let mut kept = Vec::with_capacity(record.len());
    let mut members = Members::new(&record);
    while let Some(member) = members.next()? {
        if !member.is_removal() {
            kept.extend_from_slice(member.whole);
        }
    }
    Ok(kept)
}
