//! What an endpoint or a user may have in all, however many records it is merged from.
//!
//! A large import does not read what it updates, so no one can refuse its records when an endpoint is full. [`Fold`]
//! therefore leaves out what has no room while it merges: *what is there stays*, and of a newer record the members that
//! neither fit nor replace something as large are left out, one by one, and counted. A record that was accepted
//! ([`crate::lifecycle::too_large`]) loses nothing here: both ask the same question.
//!
//! Records are folded oldest first. What is left out depends on what came before, so a fold must begin with
//! the oldest record there is; records without those before them are only folded where that is said.

use std::cell::Cell;

use pinport_model::{Draft, limits::RecordLimits};

use super::{
    Tag,
    merge::{merge, without_removals},
    read::{Damaged, Member, Members, find},
};

/// The kinds of members that have names, each with a limit of its own.
const NAMED: [Tag; 3] = [Tag::Attribute, Tag::Metric, Tag::UserAttribute];

/// Members that are taken however full the endpoint is: who it is, whether it may be written to, and when. They are short.
const ALWAYS: [Tag; 11] = [
    Tag::Address,
    Tag::Channel,
    Tag::OptOut,
    Tag::Status,
    Tag::EffectiveDate,
    Tag::CreationDate,
    Tag::Incomplete,
    Tag::Latitude,
    Tag::Longitude,
    Tag::UserId,
    Tag::Job,
];

/// What a merged record may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Names of attributes, as many of metrics, as many of user attributes.
    pub(crate) names: usize,
    /// Bytes as stored.
    pub(crate) bytes: usize,
}

impl Bounds {
    /// No bounds: what is merged was judged, or will be.
    pub(crate) const NONE: Self = Self { names: usize::MAX, bytes: usize::MAX };

    /// Bytes up to which no record can be over either bound: a name takes four of them with what is around it.
    fn free(&self) -> usize {
        self.bytes.min(self.names.saturating_mul(4))
    }
}

impl From<&RecordLimits> for Bounds {
    fn from(limits: &RecordLimits) -> Self {
        Self { names: limits.max_attributes, bytes: limits.max_endpoint }
    }
}

/// A quarter of the default bounds: what a wide record takes at least.
const WIDE_NAMES: usize = 250 / 4;
const WIDE_BYTES: usize = (15 << 10) / 4;

/// Whether a draft that takes so many bytes as stored has a quarter or more of the room that an endpoint, or a user, has by
/// default. Few are; to look at what their endpoints have costs little, and those that have no room fail like those of a
/// small piece.
pub(crate) fn is_wide(draft: &Draft<'_>, bytes: usize) -> bool {
    let names = draft.attributes.len().max(draft.metrics.len()).max(draft.user_attributes.len());
    names >= WIDE_NAMES || bytes >= WIDE_BYTES
}

/// What a record takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Names of attributes, metrics and user attributes. A removed one counts for nothing.
    pub(crate) names: [usize; 3],
    pub(crate) bytes: usize,
}

impl Size {
    /// The size of a record. `removals` says whether those of attributes are kept and so take bytes; a user's always are.
    pub(crate) fn of(record: &[u8], removals: bool) -> Result<Self, Damaged> {
        let mut size = Self { names: [0; 3], bytes: 0 };
        let mut members = Members::new(record);
        while let Some(member) = members.next()? {
            size.bytes += bytes_of(&member, removals);
            if let Some(kind) = kind_of(&member) {
                size.names[kind] += 1;
            }
        }
        Ok(size)
    }

    /// Whether all of it is within another size.
    fn is_within(&self, most: &Self) -> bool {
        let names = self.names.iter().zip(&most.names).all(|(have, most)| have <= most);
        names && self.bytes <= most.bytes
    }
}

/// The kind of name that a member adds.
fn kind_of(member: &Member<'_>) -> Option<usize> {
    let kind = NAMED.iter().position(|tag| *tag as u8 == member.tag);
    kind.filter(|_| !member.is_removal())
}

/// What a member takes. The mark of a job is ours.
fn bytes_of(member: &Member<'_>, removals: bool) -> usize {
    if member.tag == Tag::Job as u8 {
        return 0;
    }
    let counts = removals || !member.is_removal() || member.tag == Tag::UserAttribute as u8;
    if counts { member.whole.len() } else { 0 }
}

/// What had no room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// Members.
    pub(crate) members: u64,
    /// The records that had them, by their place among those that were folded last.
    pub(crate) records: Vec<usize>,
}

/// Merges records, oldest first, and leaves out what has no room.
#[derive(Debug)]
pub(crate) struct Fold {
    bounds: Bounds,
    keep_removals: bool,
    whole: Vec<u8>,
    spare: Vec<u8>,
    /// Whether there may be removals in it.
    removes: bool,
    /// Records after the first.
    added: usize,
    left_out: LeftOut,
}

impl Fold {
    /// `keep_removals` unless the first record is the very first there is; then removals have nothing left to remove
    /// and go.
    pub(crate) fn new(bounds: Bounds, keep_removals: bool) -> Self {
        Self::with(bounds, keep_removals, Default::default())
    }

    /// The same with buffers to use.
    fn with(bounds: Bounds, keep_removals: bool, [whole, spare]: [Vec<u8>; 2]) -> Self {
        let left_out = LeftOut::default();
        Self { bounds, keep_removals, whole, spare, removes: false, added: 0, left_out }
    }

    /// Forgets what was merged and begins with the oldest record, which is taken as it is.
    pub(crate) fn begin(&mut self, record: &[u8]) {
        self.whole.clear();
        self.whole.extend_from_slice(record);
        self.removes = true;
        self.added = 0;
        self.left_out.records.clear();
    }

    /// The same with the two oldest records, which most that are read or compacted are: small ones need no copy of the
    /// first.
    fn begin_with_two(&mut self, first: &[u8], second: &[u8]) -> Result<(), Damaged> {
        if first.len() + second.len() > self.bounds.free() {
            self.begin(first);
            return self.add(second);
        }
        self.begin(&[]);
        self.added = 1;
        self.removes = merge(first, second, &mut self.whole)?;
        Ok(())
    }

    /// Merges the next record.
    pub(crate) fn add(&mut self, record: &[u8]) -> Result<(), Damaged> {
        self.added += 1;
        self.spare.clear();
        self.removes = merge(&self.whole, record, &mut self.spare)?;
        if self.spare.len() > self.bounds.free() {
            self.hold(record)?;
        }
        std::mem::swap(&mut self.whole, &mut self.spare);
        Ok(())
    }

    /// What was merged so far.
    pub(crate) fn so_far(&self) -> &[u8] {
        &self.whole
    }

    /// Members that were left out, since this was made.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out.members
    }

    /// What the records say together.
    fn end(&self) -> Result<Vec<u8>, Damaged> {
        match self.removes && !self.keep_removals {
            true => without_removals(&self.whole),
            false => Ok(self.whole.clone()),
        }
    }

    /// Merges `record` again, without what has no room, if it is too much.
    #[cold]
    fn hold(&mut self, record: &[u8]) -> Result<(), Damaged> {
        let old = Size::of(&self.whole, self.keep_removals)?;
        // What is larger already may change, but not grow.
        let most = Size {
            names: old.names.map(|names| names.max(self.bounds.names)),
            bytes: old.bytes.max(self.bounds.bytes),
        };
        if !Size::of(&self.spare, self.keep_removals)?.is_within(&most) {
            let fitting = self.fitting(record, old, &most)?;
            self.spare.clear();
            self.removes = merge(&self.whole, &fitting, &mut self.spare)?;
        }
        if !self.keep_removals && self.spare.len() > self.bounds.bytes {
            // Many of them would pile up until the end.
            self.spare = without_removals(&self.spare)?;
            self.removes = false;
        }
        Ok(())
    }

    /// The members of `record` that have room: first what is always taken and what makes the whole no larger, then the
    /// others in their order.
    fn fitting(&mut self, record: &[u8], old: Size, most: &Size) -> Result<Vec<u8>, Damaged> {
        let mut olds = Members::new(&self.whole);
        let mut older = olds.next()?;
        let mut news = Members::new(record);
        let mut steps = Vec::new();
        while let Some(newer) = news.next()? {
            while let Some(member) = older
                && member.order(&newer).is_lt()
            {
                older = olds.next()?;
            }
            let replaced = older.filter(|old| old.order(&newer).is_eq());
            steps.push(Step { newer, replaced, is_taken: false });
        }
        let mut size = old;
        // It makes the endpoint active, which no status says.
        if find(record, Tag::EffectiveDate)?.is_some()
            && find(record, Tag::Status)?.is_none()
            && let Some(status) = find(&self.whole, Tag::Status)?
        {
            size.bytes -= status.len() + 2;
        }
        for is_first in [true, false] {
            for step in steps.iter_mut().filter(|step| !step.is_taken) {
                let with = step.applied(size, self.keep_removals);
                let is_free = step.is_always() || with.is_within(&size);
                if is_free || !is_first && with.is_within(most) {
                    size = with;
                    step.is_taken = true;
                }
            }
        }
        let before = self.left_out.members;
        let mut fitting = Vec::with_capacity(record.len());
        for step in steps {
            if step.is_taken {
                fitting.extend_from_slice(step.newer.whole);
            } else {
                self.left_out.members += 1;
            }
        }
        if self.left_out.members > before {
            self.left_out.records.push(self.added);
        }
        Ok(fitting)
    }
}

/// A member of a newer record, and the one it replaces.
struct Step<'a> {
    newer: Member<'a>,
    replaced: Option<Member<'a>>,
    is_taken: bool,
}

impl Step<'_> {
    fn is_always(&self) -> bool {
        ALWAYS.iter().any(|tag| *tag as u8 == self.newer.tag)
    }

    /// What a record of this size becomes.
    fn applied(&self, mut size: Size, removals: bool) -> Size {
        if let Some(replaced) = &self.replaced {
            if replaced.tag == Tag::CreationDate as u8 {
                return size;
            }
            size.bytes -= bytes_of(replaced, removals);
            if let Some(kind) = kind_of(replaced) {
                size.names[kind] -= 1;
            }
        }
        size.bytes += bytes_of(&self.newer, removals);
        if let Some(kind) = kind_of(&self.newer) {
            size.names[kind] += 1;
        }
        size
    }
}

/// What some records, oldest first, say together. `keep_removals` unless the first is the very first there
/// is; then removals have nothing left to remove and go.
pub(crate) fn fold<'a>(
    records: impl IntoIterator<Item = &'a [u8]>,
    keep_removals: bool,
) -> Result<Vec<u8>, Damaged> {
    Ok(fold_within(Bounds::NONE, records, keep_removals)?.0)
}

/// The same within bounds, and what was left out.
pub(crate) fn fold_within<'a>(
    bounds: Bounds,
    records: impl IntoIterator<Item = &'a [u8]>,
    keep_removals: bool,
) -> Result<(Vec<u8>, LeftOut), Damaged> {
    let mut records = records.into_iter();
    let (first, second) = match (records.next(), records.next()) {
        (Some(first), Some(second)) => (first, second),
        (Some(only), None) if !keep_removals => return Ok((without_removals(only)?, LeftOut::default())),
        (only, _) => return Ok((only.unwrap_or_default().to_vec(), LeftOut::default())),
    };
    let mut fold = Fold::with(bounds, keep_removals, BUFFERS.take());
    fold.begin_with_two(first, second)?;
    for record in records {
        fold.add(record)?;
    }
    let folded = fold.end()?;
    let Fold { whole, spare, left_out, .. } = fold;
    if whole.capacity() + spare.capacity() <= KEPT {
        BUFFERS.set([whole, spare]);
    }
    Ok((folded, left_out))
}

thread_local! {
    /// What folding writes to: the engine asks for millions of folds, and what it is given is to have no room to spare.
    static BUFFERS: Cell<[Vec<u8>; 2]> = Cell::default();
}

/// Bytes of these buffers that a thread keeps.
const KEPT: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::record::{put, put_bytes, put_name};

    const BOUNDS: Bounds = Bounds { names: 4, bytes: 90 };

    /// A record with an address, an attribute of each name with its length as value (0: it is removed), and metrics.
    fn record(address: usize, attributes: &[(String, usize)], metrics: &[String]) -> Vec<u8> {
        let mut out = Vec::new();
        if address > 0 {
            put(&mut out, Tag::Address, &vec![b'a'; address]);
            put(&mut out, Tag::EffectiveDate, b"\0now");
        } else {
            put(&mut out, Tag::Status, &[1]);
        }
        let mut seen = BTreeSet::new();
        let mut attributes = attributes.to_vec();
        attributes.sort();
        for (name, length) in attributes.iter().filter(|(name, _)| seen.insert(name.clone())) {
            put_name(&mut out, Tag::Attribute, name);
            let mut value = Vec::new();
            if *length > 0 {
                put_bytes(&mut value, &vec![b'v'; *length]);
            }
            put_bytes(&mut out, &value);
        }
        for name in metrics.iter().collect::<BTreeSet<_>>() {
            put_name(&mut out, Tag::Metric, name);
            put_bytes(&mut out, &[0; 8]);
        }
        out
    }

    fn records() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let attributes = vec(("[a-h]", 0_usize..25), 0..7);
        let parts = (0_usize..9, attributes, vec("[a-f]", 0..3));
        vec(parts.prop_map(|(address, attributes, metrics)| record(address, &attributes, &metrics)), 1..7)
    }

    fn names(record: &[u8]) -> BTreeSet<(u8, Vec<u8>)> {
        let mut members = Members::new(record);
        let mut names = BTreeSet::new();
        while let Some(member) = members.next().unwrap() {
            if !member.is_removal() {
                names.insert((member.tag, member.name.to_vec()));
            }
        }
        names
    }

    proptest! {
        #[test]
        fn the_oldest_stay_within_the_bounds(records in records(), keep in any::<bool>()) {
            let slices: Vec<_> = records.iter().map(Vec::as_slice).collect();
            let (whole, left_out) = fold_within(BOUNDS, slices.iter().copied(), keep).unwrap();
            let size = Size::of(&whole, keep).unwrap();
            let first = Size::of(slices[0], keep).unwrap();
            prop_assert!(size.names.iter().zip(first.names).all(|(have, first)| *have <= first.max(BOUNDS.names)));
            // What is always taken may come on top.
            prop_assert!(size.bytes <= first.bytes.max(BOUNDS.bytes) + 24, "{} bytes", size.bytes);

            // What was folded before stays, whatever comes, but for what is removed.
            let (last, before) = slices.split_last().unwrap();
            let (before, _) = fold_within(BOUNDS, before.iter().copied(), keep).unwrap();
            let removed: BTreeSet<_> = {
                let mut members = Members::new(last);
                let mut found = BTreeSet::new();
                while let Some(member) = members.next().unwrap() {
                    if member.is_removal() || member.tag == Tag::EffectiveDate as u8 {
                        found.insert((member.tag, member.name.to_vec()));
                        found.insert((Tag::Status as u8, Vec::new()));
                    }
                }
                found
            };
            let lost: Vec<_> = names(&before).difference(&names(&whole)).cloned().collect();
            prop_assert!(lost.iter().all(|name| removed.contains(name)), "{lost:?}");

            // Nothing is left out of what has room.
            let free = fold(slices.iter().copied(), keep).unwrap();
            if left_out.members == 0 {
                prop_assert_eq!(&free, &whole);
            }
            prop_assert_eq!(left_out.members == 0, left_out.records.is_empty());
            prop_assert!(left_out.records.iter().all(|place| (1..records.len()).contains(place)));

            // Whenever the oldest were folded and stored, the result is the same.
            for cut in 1..slices.len() {
                let (stored, _) = fold_within(BOUNDS, slices[..cut].iter().copied(), keep).unwrap();
                let rest = [stored.as_slice()].into_iter().chain(slices[cut..].iter().copied());
                prop_assert_eq!(&fold_within(BOUNDS, rest, keep).unwrap().0, &whole, "cut at {}", cut);
            }
        }
    }

    #[test]
    fn a_wide_record_has_a_quarter_of_the_default_bounds() {
        let RecordLimits { max_attributes, max_endpoint, .. } = RecordLimits::default();
        assert_eq!((WIDE_NAMES, WIDE_BYTES), (max_attributes / 4, max_endpoint / 4));
    }

    #[test]
    fn what_is_larger_already_may_change_but_not_grow() {
        let name = |index: usize| format!("n{index}");
        let old = record(3, &(0..9).map(|index| (name(index), 9)).collect::<Vec<_>>(), &[]);
        let fold = |newer: &[u8]| {
            let (whole, left_out) = fold_within(BOUNDS, [&old[..], newer], false).unwrap();
            (Size::of(&whole, false).unwrap().names[0], whole.len() <= old.len(), left_out.members)
        };
        assert_eq!(fold(&record(3, &[(name(0), 9)], &[])), (9, true, 0));
        assert_eq!(fold(&record(3, &[(name(0), 10), (name(9), 1)], &[])), (9, true, 2));
        assert_eq!(fold(&record(3, &[(name(0), 0), (name(9), 1)], &[])), (9, true, 0));
        assert_eq!(fold(&record(3, &[(name(0), 0)], &[])), (8, true, 0));
    }
}
