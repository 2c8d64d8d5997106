//! Batches of endpoints as they are read out: their ids and records, and then the users that they name: in memory, or each
//! once and in order, by a second scan. A batch lies in three buffers that are used again, so a row costs no allocation. Nothing is
//! decoded here.

use std::ops::{ControlFlow, Range};

use pinport_model::ApplicationId;

use super::{
    kept::{Hash, Kept},
    keys,
    merged::{Member, Merged, Place},
    scan::Scan,
    seek::seek,
    users::Users,
};
use crate::{
    RangeTaker, Result, Stored,
    distant::in_large_pages,
    order::leading,
    record::{
        merge::overlaid,
        read::{is_endpoint, user_of},
    },
};

/// Whether an endpoint belongs, by its record, its user's, and the import segments it is in.
pub(super) type Belongs<'a> = dyn FnMut(&[u8], &[u8], u128) -> Result<bool> + 'a;

/// Members that are read next.
#[derive(Debug, Default)]
pub(super) struct Ids {
    bytes: Vec<u8>,
    places: Vec<Place>,
    /// How many were read.
    read: usize,
}

impl Ids {
    /// Takes the next members, or none if there are no more.
    pub(super) fn fill(&mut self, members: &mut Merged<'_>, most: usize, bytes: usize) -> Result<()> {
        self.bytes.clear();
        self.places.clear();
        self.read = 0;
        while self.places.len() < most
            && self.bytes.len() < bytes
            && let Some(place) = members.append_next(&mut self.bytes)?
        {
            self.places.push(place);
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn next(&mut self) -> Option<Member<'_>> {
        let (id, copy) = self.places.get(self.read)?;
        self.read += 1;
        Some((&self.bytes[id.clone()], copy.as_ref().map(|copy| &self.bytes[copy.clone()])))
    }
}

/// A row of a batch: where its parts lie.
#[derive(Debug, Clone)]
struct Row {
    id: Range<usize>,
    record: Range<usize>,
    /// What the segment holds of it, if the record alone is not what it says.
    copy: Option<Range<usize>>,
    /// Where the user's id lies; empty if there is none.
    user: Range<usize>,
    user_record: Range<usize>,
    /// Whether the user's record is one of those that are kept.
    is_kept: bool,
}

/// Rows whose users are looked for together.
const AT_ONCE: usize = 16;

/// A batch.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Ids and records.
    bytes: Vec<u8>,
    rows: Vec<Row>,
    /// Of rows whose users decide whether they belong: the import segments they are in, as their reader numbers them.
    /// Empty unless there are such rows.
    open: Vec<Option<u128>>,
    /// Users are read only where they decide: a count needs no more.
    without_users: bool,
    /// The records of users.
    user_records: Vec<u8>,
    /// Rows in the order of their users, with the first bytes of those.
    by_user: Vec<(u64, u32)>,
    /// How many rows the batches after this one have at most.
    pub(super) most: usize,
}

impl Rows {
    /// Batches whose rows have their users, or only where these decide whether they belong.
    pub(super) fn new(with_users: bool) -> Self {
        Self { without_users: !with_users, most: usize::MAX, ..Self::default() }
    }

    /// Makes room for so many bytes of rows. Of it only what is written takes memory.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve_exact(bytes);
        in_large_pages(&self.bytes);
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
        self.open.clear();
    }

    /// How many rows it has.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The id of the last row.
    pub(super) fn last_id(&self) -> Option<&[u8]> {
        self.rows.last().map(|row| &self.bytes[row.id.clone()])
    }

    /// Whether a batch takes another row.
    pub(super) fn has_room(&self, most: usize, batch: usize) -> bool {
        self.rows.len() < most && self.bytes.len() < batch
    }

    /// Adds an endpoint that was looked at. A copy is whole by itself. `open`: in which import segments it is, if its user
    /// decides whether it belongs.
    pub(super) fn push_found(
        &mut self,
        id: &[u8],
        record: &[u8],
        is_copy: bool,
        open: Option<u128>,
    ) -> Result<()> {
        let (id, record) = (self.put(id), self.put(record));
        if open.is_some() {
            self.open.resize(self.rows.len(), None);
            self.open.push(open);
        }
        match is_copy {
            true => {
                self.push_copy(id, record);
                Ok(())
            }
            false => self.push(id, record, None),
        }
    }

    /// Adds a copy: it is whole by itself, its user's attributes included.
    fn push_copy(&mut self, id: Range<usize>, record: Range<usize>) {
        self.rows.push(Row { id, record, copy: None, user: 0..0, user_record: 0..0, is_kept: false });
    }

    fn put(&mut self, part: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(part);
        start..self.bytes.len()
    }

    /// Adds a row with what its endpoint's record says.
    fn push(&mut self, id: Range<usize>, record: Range<usize>, copy: Option<Range<usize>>) -> Result<()> {
        let user = match user_of(&self.bytes[record.clone()])? {
            Some(user) if !user.is_empty() => {
                let start = user.as_ptr().addr() - self.bytes.as_ptr().addr();
                start..start + user.len()
            }
            _ => 0..0,
        };
        self.rows.push(Row { id, record, copy, user, user_record: 0..0, is_kept: false });
        Ok(())
    }

    /// Takes the next endpoints before `end`; whether they are the last.
    pub(super) fn fill_with_all(
        &mut self,
        endpoints: &mut Scan<'_>,
        end: Option<&[u8]>,
        most: usize,
        batch: usize,
    ) -> Result<bool> {
        while self.has_room(most, batch) {
            let Some((id, record)) = endpoints.entry()? else { return Ok(true) };
            if end.is_some_and(|end| id >= end) {
                return Ok(true);
            }
            if is_endpoint(record)? {
                let (id, record) = (self.put(id), self.put(record));
                self.push(id, record, None)?;
            }
            endpoints.forward();
        }
        Ok(false)
    }

    /// Takes the endpoints of the next members; whether they are the last. `is_begun`: whether the scan is anywhere yet.
    pub(super) fn fill_with_members(
        &mut self,
        ids: &mut Ids,
        (endpoints, is_begun): (&mut Scan<'_>, &mut bool),
        application: ApplicationId,
        most: usize,
        batch: usize,
    ) -> Result<bool> {
        while self.has_room(most, batch) {
            let Some((id, copy)) = ids.next() else { return Ok(true) };
            let (id, copy) = (self.put(id), copy.map(|copy| self.put(copy)));
            if let Some(copy) = &copy
                && is_endpoint(&self.bytes[copy.clone()])?
            {
                self.push_copy(id, copy.clone());
                continue;
            }
            seek(endpoints, &self.bytes[id.clone()], !*is_begun, |id| keys::endpoint(application, id))?;
            *is_begun = true;
            if let Some((found, record)) = endpoints.entry()?
                && found == &self.bytes[id.clone()]
                && is_endpoint(record)?
            {
                let record = self.put(record);
                self.push(id, record, copy)?;
                // The next member is nearly always the next endpoint.
                endpoints.forward();
            }
        }
        Ok(false)
    }

    /// Hands the rows of a range on, with their users. A range whose users are too large is handed on in halves.
    pub(super) fn hand_on(
        &mut self,
        users: &mut Users<'_>,
        range: Range<usize>,
        batch: usize,
        belongs: &mut Belongs<'_>,
        taker: &mut dyn RangeTaker,
    ) -> Result<ControlFlow<()>> {
        if !self.find_users(users, range.clone(), batch)? {
            let middle = range.start + range.len() / 2;
            let first = range.start..middle;
            if self.hand_on(users, first, batch, belongs, taker)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            return self.hand_on(users, middle..range.end, batch, belongs, taker);
        }
        let (mut merged, mut spare) = (Vec::new(), Vec::new());
        for start in range.clone().step_by(AT_ONCE) {
            let rows = start..range.end.min(start + AT_ONCE);
            if let Some(kept) = users.kept() {
                find_kept(kept, &self.bytes, &mut self.rows[rows.clone()]);
            }
            for (index, row) in rows.clone().zip(&self.rows[rows]) {
                let id = &self.bytes[row.id.clone()];
                let record = &self.bytes[row.record.clone()];
                let user_record = match users.kept() {
                    Some(kept) if row.is_kept => kept.record(row.user_record.clone()),
                    _ => &self.user_records[row.user_record.clone()],
                };
                if let Some(Some(imports)) = self.open.get(index)
                    && !belongs(record, user_record, *imports)?
                {
                    continue;
                }
                let stored = match &row.copy {
                    None => Stored { id, record, user_record },
                    Some(copy) => {
                        let copy = &self.bytes[copy.clone()];
                        overlaid(record, user_record, copy, &mut spare, &mut merged)?;
                        Stored { id, record: &merged, user_record: &[] }
                    }
                };
                if taker.add(&stored)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Reads the users that the rows of a range name, but for those that are kept; false if they take too much room for more
    /// than one row.
    fn find_users(&mut self, users: &mut Users<'_>, range: Range<usize>, batch: usize) -> Result<bool> {
        self.user_records.clear();
        self.by_user.clear();
        let (bytes, rows) = (&self.bytes, &mut self.rows);
        let user = |row: usize, rows: &[Row]| &bytes[rows[row].user.clone()];
        let (open, is_all) = (&self.open, !self.without_users);
        let named = range.clone().filter(|row| {
            !rows[*row].user.is_empty() && (is_all || open.get(*row).is_some_and(Option::is_some))
        });
        if named.clone().next().is_none() {
            return Ok(true);
        }
        users.begin()?;
        let kept = users.kept();
        let read = named.filter(|row| kept.is_none_or(|kept| !kept.covers(user(*row, rows))));
        // By their first bytes: the users themselves lie all over the batch.
        self.by_user.extend(read.map(|row| (leading(user(row, rows), 0), row as u32)));
        self.by_user.sort_unstable_by(|one, other| {
            let by_all = || user(one.1 as usize, rows).cmp(user(other.1 as usize, rows));
            one.0.cmp(&other.0).then_with(by_all)
        });
        let mut last: Option<(&[u8], Range<usize>)> = None;
        for (_, row) in &self.by_user {
            let row = &mut rows[*row as usize];
            let user = &bytes[row.user.clone()];
            if let Some((same, found)) = &last
                && *same == user
            {
                row.user_record = found.clone();
                continue;
            }
            let start = self.user_records.len();
            if let Some(record) = users.find(user)? {
                self.user_records.extend_from_slice(record);
            }
            row.user_record = start..self.user_records.len();
            last = Some((user, row.user_record.clone()));
            if self.user_records.len() > batch && range.len() > 1 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Finds those users of some rows that are kept: first all their places of the table are asked for, then the users, so that
/// one wait for memory is that of all. What is found is used at once, while it is at hand.
fn find_kept(kept: &Kept, bytes: &[u8], rows: &mut [Row]) {
    let mut hashes = [Hash::default(); AT_ONCE];
    for (row, hash) in rows.iter_mut().zip(&mut hashes) {
        let user = &bytes[row.user.clone()];
        row.is_kept = !user.is_empty() && kept.covers(user);
        *hash = kept.hash(user);
        kept.warm_place(*hash);
    }
    for (_, hash) in rows.iter().zip(hashes).filter(|(row, _)| row.is_kept) {
        kept.warm_user(hash);
    }
    for (row, hash) in rows.iter_mut().zip(hashes).filter(|(row, _)| row.is_kept) {
        row.user_record = kept.find(&bytes[row.user.clone()], hash);
    }
}
