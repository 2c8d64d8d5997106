//! Where ranges of an application's endpoints or users end, so that each has about as many as is wanted.
//!
//! The store does not know how many entries lie between two keys. But ids that are near each other are mostly alike: so far as
//! the ids of the last range reached, by their bytes as a number, the next range reaches too, for as many of them. The border is
//! the first id that is there from that place on. Where ids change their form, some ranges are too large or too small, and
//! nothing else is wrong with them.

use pinport_model::ApplicationId;

use super::{keys::Key, scan::Scan};
use crate::{Result, order::shared_prefix};

/// Ids of the first range, which is counted by a look at them.
const FIRST: usize = if cfg!(test) { 1 << 6 } else { 1 << 10 };

/// Ids of a part of it, and the number of its last.
const PART: usize = FIRST / 4;
const LAST: usize = PART - 1;

/// How much further than the last range reached the next may at most.
const STRIDE: u128 = 16;

/// Ids from the first on, or all from the beginning, to the second, which is none of them, or to the end.
pub(super) type Border = Option<Vec<u8>>;

/// Of so many ids that are read one is noted.
const NOTED_EVERY: usize = 16;

/// The ids of a range that were read so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    ids: usize,
    /// One of the last of them, and how many came before it.
    last: Vec<u8>,
    before: usize,
}

impl Seen {
    pub(super) fn ids(&self) -> usize {
        self.ids
    }

    pub(super) fn clear(&mut self) {
        (self.ids, self.before) = (0, 0);
        self.last.clear();
    }

    pub(super) fn add(&mut self, id: &[u8]) {
        if self.ids.is_multiple_of(NOTED_EVERY) {
            self.note(id);
        }
        self.ids += 1;
    }

    /// Adds so many ids.
    pub(super) fn add_up_to(&mut self, last: &[u8], ids: usize) {
        self.ids += ids - 1;
        self.note(last);
        self.ids += 1;
    }

    fn note(&mut self, id: &[u8]) {
        self.before = self.ids;
        id.clone_into(&mut self.last);
    }
}

/// Brings a scan to where a range begins: at an id, or else after one, or else at the first.
pub(super) fn go_to(
    scan: &mut Scan<'_>,
    key: impl Fn(&[u8]) -> Key,
    (start, after): (Option<&[u8]>, Option<&[u8]>),
) {
    match (start, after) {
        (Some(start), _) => scan.seek(&key(start)),
        (None, Some(after)) => scan.seek_after(&key(after)),
        (None, None) => scan.seek_first(),
    }
}

/// The key of an application's endpoint or user.
pub(super) type KeyOf = fn(ApplicationId, &[u8]) -> Key;

/// Ranges that follow one another.
pub(super) struct Borders<'a> {
    /// Of what is divided.
    scan: Scan<'a>,
    key: KeyOf,
    application: ApplicationId,
    /// Where the first range begins.
    after: Option<&'a [u8]>,
    next: Next,
    guess: Guess,
}

enum Next {
    First,
    At(Vec<u8>),
    None,
}

/// What is known of how far a range reaches.
#[derive(Debug, Default)]
struct Guess {
    density: Option<Density>,
    /// How many ids were wanted the last time, and whether there were much less.
    wanted: usize,
    was_small: bool,
}

/// How near ids are to each other.
#[derive(Debug, Clone, Copy)]
struct Density {
    /// The bytes of ids from here on are a number.
    place: usize,
    /// How far so many ids reach.
    reach: u128,
    ids: u128,
}

impl<'a> Borders<'a> {
    pub(super) fn new(
        (scan, key): (Scan<'a>, KeyOf),
        application: ApplicationId,
        after: Option<&'a [u8]>,
    ) -> Self {
        Self { scan, key, application, after, next: Next::First, guess: Guess::default() }
    }

    /// The next range, of about so many ids.
    pub(super) fn next(&mut self, wanted: usize) -> Result<Option<(Border, Border)>> {
        let start = match std::mem::replace(&mut self.next, Next::None) {
            Next::First => None,
            Next::At(start) => Some(start),
            Next::None => return Ok(None),
        };
        match start.as_deref().and_then(|start| self.guess.ahead(start, wanted)) {
            Some(ahead) => self.scan.seek(&(self.key)(self.application, &ahead)),
            None => self.look(start.as_deref())?,
        }
        let end = self.scan.entry()?.map(|(id, _)| id.to_vec());
        if let Some(end) = &end {
            self.next = Next::At(end.clone());
        }
        Ok(Some((start, end)))
    }

    /// Goes over the ids of a range, to see how near they are to each other.
    fn look(&mut self, start: Option<&[u8]>) -> Result<()> {
        let key = |id: &[u8]| (self.key)(self.application, id);
        go_to(&mut self.scan, key, (start, self.after));
        let mut first = Vec::new();
        for number in 0..FIRST {
            let Some((id, _)) = self.scan.entry()? else { return Ok(()) };
            match number % PART {
                0 => id.clone_into(&mut first),
                LAST => self.guess.begin(&first, id),
                _ => {}
            }
            self.scan.forward();
        }
        Ok(())
    }

    /// There are no more ranges.
    pub(super) fn stop(&mut self) {
        self.next = Next::None;
    }

    /// Takes note of a range that was read: where it began, what was in it, and where the next range begins.
    pub(super) fn learn(&mut self, start: &[u8], seen: &Seen, end: &[u8]) {
        self.guess.learn(start, (&seen.last, seen.before), end);
    }
}

impl Guess {
    /// From the first id and the last of a part of the first range. Of all parts that counts whose ids are the nearest: in a
    /// range that is too small nothing is lost.
    fn begin(&mut self, first: &[u8], last: &[u8]) {
        let found = Density::of(first, last, LAST);
        let is_nearer = |other: Density| found.is_some_and(|found| found.is_nearer(other));
        if self.density.is_none_or(is_nearer) {
            self.density = found;
        }
    }

    fn ahead(&mut self, start: &[u8], wanted: usize) -> Option<Vec<u8>> {
        self.wanted = wanted;
        self.density?.ahead(start, wanted)
    }

    /// `last`: one of its last ids, and how many come before that.
    fn learn(&mut self, start: &[u8], (last, ids): (&[u8], usize), end: &[u8]) {
        let is_small = ids < self.wanted / 2;
        let was_small = std::mem::replace(&mut self.was_small, is_small);
        // What lies between two ranges is mostly a gap, and no measure of how near ids are to each other. One range that ends
        // early is cut off by it; if all are, the gaps are what ids are made of.
        let reached = match (is_small, was_small) {
            (false, _) => last,
            (true, true) => end,
            (true, false) => return,
        };
        self.density = Density::of(start, reached, ids).or(self.density);
    }
}

impl Density {
    fn of(start: &[u8], end: &[u8], ids: usize) -> Option<Self> {
        let place = shared_prefix([start, end].into_iter());
        let reach = number(end, place).checked_sub(number(start, place)).filter(|reach| *reach > 0)?;
        Some(Self { place, reach, ids: ids.max(1) as u128 })
    }

    fn is_nearer(self, other: Self) -> bool {
        self.place > other.place
            || self.place == other.place && self.reach / self.ids < other.reach / other.ids
    }

    /// Where an id would be that comes so many after this one. None, if no id is as large.
    fn ahead(self, id: &[u8], ids: usize) -> Option<Vec<u8>> {
        let Self { place, reach, ids: of } = self;
        let wanted = ids as u128;
        // Of two large numbers first divide, then multiply: a few ids more or less do not matter.
        let stride = if reach > u128::from(u64::MAX) {
            (reach / of).saturating_mul(wanted)
        } else {
            reach * wanted / of
        };
        let stride = stride.clamp(1, reach.saturating_mul(STRIDE));
        let mut ahead = id[..id.len().min(place)].to_vec();
        ahead.resize(place, 0);
        let (sum, is_over) = number(id, place).overflowing_add(stride);
        if is_over {
            // One more in what stands before.
            let raised = ahead.iter().rposition(|byte| *byte < u8::MAX)?;
            ahead.truncate(raised + 1);
            ahead[raised] += 1;
            ahead.resize(place, 0);
        }
        ahead.extend_from_slice(&sum.to_be_bytes());
        Some(ahead)
    }
}

/// Sixteen bytes of an id from a place on, as a number that orders as they do.
fn number(id: &[u8], place: usize) -> u128 {
    let mut bytes = [0; size_of::<u128>()];
    for (byte, of_id) in bytes.iter_mut().zip(id.iter().skip(place)) {
        *byte = *of_id;
    }
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn what_is_ahead_comes_later(
            ids in vec(vec(prop_oneof![Just(0_u8), Just(255), any::<u8>()], 0..40), 3),
            count in 0..100_000_usize,
            wanted in 1..100_000_usize,
        ) {
            let mut ids = ids;
            ids[..2].sort();
            if let Some(density) = Density::of(&ids[0], &ids[1], count)
                && let Some(ahead) = density.ahead(&ids[2], wanted)
            {
                prop_assert!(ahead > ids[2], "{:?} {:?}", density, ahead);
            }
        }
    }

    /// How large the ranges are that are made of some ids, if each is counted when so many others were begun meanwhile.
    fn ranges(ids: &[Vec<u8>], wanted: usize, others: usize) -> Vec<usize> {
        let (mut start, mut found) = (FIRST, vec![FIRST]);
        let (mut guess, mut open) = (Guess::default(), VecDeque::new());
        ids[..FIRST].chunks(PART).for_each(|part| guess.begin(&part[0], &part[LAST]));
        while start < ids.len() {
            let ahead = guess.ahead(&ids[start], wanted);
            let end = match ahead {
                Some(ahead) => ids.partition_point(|id| *id < ahead),
                None => ids.len().min(start + FIRST),
            };
            found.push(end - start);
            open.push_back(start..end);
            if open.len() > others
                && let Some(read) = open.pop_front()
                && let Some(next) = ids.get(read.end)
            {
                guess.learn(&ids[read.start], (&ids[read.end - 1], read.len() - 1), next);
            }
            start = end;
        }
        found
    }

    /// Ids as people make them: ranges have the size that is wanted, more or less.
    #[test]
    fn ranges_are_of_the_size_that_is_wanted() {
        const IDS: usize = 200_000;
        let hash = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number << 7;
        let letters =
            |hash: u64| (0..8).map(|at| char::from(b'a' + (hash >> (8 * at)) as u8 % 26)).collect::<String>();
        let channel = |number: u64| ["android", "email", "ios", "sms"][(number % 4) as usize];
        let shapes: [&dyn Fn(u64) -> String; 7] = [
            &|number| format!("endpoint-{number:012}"),
            &|number| number.to_string(),
            &|number| format!("user-{}", number * 37),
            &|number| format!("{:016x}-{number:08x}", hash(number)),
            &|number| format!("{}-{:07}", channel(number), number / 4),
            &|number| format!("{}@example.com", letters(hash(number))),
            &|number| format!("{:03}/{:02}/{number:06}", number % 700, number % 50),
        ];
        for shape in shapes {
            let mut ids: Vec<_> = (0..IDS as u64).map(|number| shape(number).into_bytes()).collect();
            ids.sort();
            for others in [0, 1, 3] {
                let found = ranges(&ids, 4096, others);
                let example = ids[IDS / 2].escape_ascii();
                assert_eq!(found.iter().sum::<usize>(), IDS);
                let good = found.iter().filter(|count| **count <= 4 * 4096).sum::<usize>();
                assert!(good > IDS * 3 / 4, "{example}: {good} with {others}: {found:?}");
                assert!(found.len() < 3 * IDS / 4096, "{example}: {} with {others}: {found:?}", found.len());
            }
        }
    }
}
