//! Drafts on their way to the store: encoded once, in one arena a batch, no allocation a record.

use pinport_model::{ApplicationId, Draft, Endpoint, JobId, Origin, TextMember, Timestamp};

pub use crate::entry::DraftKind;
pub(crate) use crate::entry::{Entry, Span};
use crate::{
    pool::{self, Memory, Reused as _},
    record::{self, bounds::is_wide, mark_member, mark_of},
};

/// The drafts of one block of records of one object, in source order.
#[derive(Debug)]
pub struct DraftBatch {
    origin: Origin,
    /// Dates of records that bring none.
    now: Timestamp,
    /// Whether the bytes of all records are kept.
    keeps_raw: bool,
    /// The mark of the job, as a member.
    mark: Option<[u8; 7]>,
    memory: Memory,
}

impl Drop for DraftBatch {
    fn drop(&mut self) {
        pool::give(std::mem::take(&mut self.memory));
    }
}

impl DraftBatch {
    /// An empty batch of records that lie at or after `origin`. `now` dates new endpoints.
    pub fn new(origin: Origin, now: Timestamp) -> Self {
        Self { origin, now, keeps_raw: false, mark: None, memory: Memory::default() }
    }

    /// Keeps the original bytes of all records, so that any of them may fail at its piece's turn: a store judges the
    /// records of a small piece by what their endpoints have already.
    pub fn keep_raw(&mut self) {
        self.keeps_raw = true;
    }

    /// Whether it does.
    pub fn keeps_raw(&self) -> bool {
        self.keeps_raw
    }

    /// Notes in each record which job it came with, for stores that ask for it ([`crate::Store::marks_jobs`]).
    pub fn mark(&mut self, job: JobId) {
        self.mark = Some(mark_member(mark_of(job)));
    }

    /// A bound on what [`DraftBatch::push`] would return for a draft that was read from `raw` bytes, with names of at most
    /// `name` characters.
    pub fn stored_at_most(draft: &Draft<'_>, raw: usize, name: usize) -> usize {
        record::stored_at_most(draft, raw, name)
    }

    /// Makes room for about this many records of this many bytes in all.
    pub fn reserve(&mut self, records: usize, bytes: usize) {
        if self.memory.bytes() == 0 {
            self.memory = pool::take();
        }
        // To the byte: blocks are about equally large, and memory that comes from the pool would else grow to twice that.
        self.memory.entries.reserve_exact(records);
        self.memory.arena.reserve_exact(bytes);
    }

    /// Adds a draft and returns the bytes its endpoint takes as stored. `id` is the draft's own id or a
    /// derived one (ignored for [`DraftKind::UserOnly`]); `raw` the record's original bytes, of which a copy
    /// is kept if the record may fail at its piece's turn: it is not [`DraftKind::Blind`], or wide, or [`DraftBatch::keep_raw`]
    /// says so; `origin` where the record begins.
    ///
    /// # Panics
    /// If the batch grows over 4 GiB or `origin` lies before the batch's: blocks are far smaller.
    ///
    /// The draft's attributes and metrics are sorted on the way.
    pub fn push(
        &mut self,
        draft: &mut Draft<'_>,
        kind: DraftKind,
        id: &str,
        raw: &[u8],
        origin: Origin,
    ) -> usize {
        let id = if kind == DraftKind::UserOnly { Span::default() } else { self.append(id.as_bytes()) };
        let start = self.memory.arena.len();
        let creation = matches!(kind, DraftKind::Blind | DraftKind::Upsert).then_some(self.now);
        let user = record::encode_endpoint(draft, creation, self.now, &mut self.memory.arena);
        let middle = self.memory.arena.len();
        if let Some(mark) = &self.mark {
            self.memory.arena.extend_from_slice(mark);
        }
        // The mark ends the endpoint's members and begins the user's.
        let marked = self.memory.arena.len();
        record::encode_user(draft, &mut self.memory.arena);
        let end = self.memory.arena.len();
        let size = end - start - (marked - middle);
        let user_record = if end > marked { span(middle, end) } else { Span::default() };
        let user = user.map_or(Span::default(), |range| span(range.start, range.end));
        debug_assert_eq!(user.is_empty(), draft.text(TextMember::UserId).is_none_or(str::is_empty));
        let is_wide = is_wide(draft, size);
        let is_kept = kind != DraftKind::Blind || is_wide || self.keeps_raw;
        let raw = if is_kept { self.append(raw) } else { Span::default() };
        self.memory.entries.push(Entry {
            id,
            record: span(start, marked),
            user_record,
            user,
            raw,
            kind,
            is_wide,
            channel: draft.channel,
            byte: relative(origin.byte, self.origin.byte),
            line: relative(origin.line, self.origin.line),
        });
        size
    }

    /// Takes the last draft back.
    pub fn pop(&mut self) {
        if let Some(entry) = self.memory.entries.pop() {
            let first = if entry.kind == DraftKind::UserOnly { entry.record } else { entry.id };
            self.memory.arena.truncate(first.start as usize);
        }
    }

    /// Number of drafts.
    pub fn len(&self) -> usize {
        self.memory.entries.len()
    }

    /// Whether there is no draft.
    pub fn is_empty(&self) -> bool {
        self.memory.entries.is_empty()
    }

    /// What a draft says, as an endpoint of its own: with its user's attributes, and without what is stored already.
    ///
    /// # Errors
    /// When the draft is damaged, which would be a defect.
    pub fn endpoint(&self, index: usize) -> crate::Result<Option<Endpoint>> {
        let Some(entry) = self.entries().get(index) else { return Ok(None) };
        let application = ApplicationId::from_bytes([0; 16]);
        let [id, record, user] = [entry.id, entry.record, entry.user_record].map(|span| self.bytes(span));
        Ok(Some(record::read::endpoint(application, id, record, user)?))
    }

    /// The id of a draft's endpoint; empty for [`DraftKind::UserOnly`].
    pub fn id(&self, index: usize) -> Option<&str> {
        str::from_utf8(self.bytes(self.entries().get(index)?.id)).ok()
    }

    /// Where a draft's record begins.
    pub fn origin(&self, index: usize) -> Option<Origin> {
        self.entries().get(index).map(|entry| self.origin_of(entry))
    }

    /// Bytes of memory the batch holds.
    pub fn memory(&self) -> usize {
        self.memory.bytes()
    }

    /// The bytes that each draft takes as stored, with its ids.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = usize> {
        self.entries().iter().map(|entry| {
            let spans = [entry.id, entry.record, entry.user_record, entry.user];
            spans.iter().map(|span| (span.end - span.start) as usize).sum()
        })
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.memory.entries
    }

    /// The original bytes of an entry, if they are kept.
    pub(crate) fn raw_of(&self, entry: &Entry) -> Option<Vec<u8>> {
        (!entry.raw.is_empty()).then(|| self.bytes(entry.raw).to_vec())
    }

    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        &self.memory.arena[span.start as usize..span.end as usize]
    }

    pub(crate) fn origin_of(&self, entry: &Entry) -> Origin {
        Origin {
            object: self.origin.object,
            byte: self.origin.byte + u64::from(entry.byte),
            line: self.origin.line + u64::from(entry.line),
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Span {
        let start = self.memory.arena.len();
        self.memory.arena.extend_from_slice(bytes);
        span(start, self.memory.arena.len())
    }
}

fn span(start: usize, end: usize) -> Span {
    let fit = |offset: usize| u32::try_from(offset).expect("a batch holds less than 4 GiB");
    Span { start: fit(start), end: fit(end) }
}

fn relative(position: u64, origin: u64) -> u32 {
    let distance = position.checked_sub(origin).expect("records lie behind their batch's origin");
    u32::try_from(distance).expect("a batch spans less than 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts_stay_when_more_room_is_made() {
        let origin = Origin { object: 0, byte: 0, line: 1 };
        let mut batch = DraftBatch::new(origin, Timestamp::from_millis(0));
        batch.push(&mut Draft::default(), DraftKind::Update, "a", b"{}", origin);
        batch.reserve(100, 100_000);
        assert_eq!((batch.len(), batch.bytes(batch.entries()[0].id)), (1, &b"a"[..]));
        assert!(batch.memory() > 100_000, "{}", batch.memory());
    }

    #[test]
    fn a_draft_takes_the_same_wherever_it_is() {
        let origin = Origin { object: 0, byte: 0, line: 1 };
        let mut batch = DraftBatch::new(origin, Timestamp::from_millis(0));
        let mut push = || batch.push(&mut Draft::default(), DraftKind::Update, "a", b"{}", origin);
        assert_eq!(push(), push());
    }
}
