//! Fills drafts from JSON lines. Plain records are read in one pass ([`super::json_fast`]). The others are
//! judged here, and only here can a line fail: simd-json writes its tape into buffers that are kept, and a walk
//! over the tape takes what it knows. Of a repeated member the last counts, but a wrong type fails wherever it is.

use std::{fmt, mem, ops::Range};

use bumpalo::Bump;
use pinport_model::{Draft, FailureCode, NoticeKind, Origin, failure::FailureReason};
use simd_json::{Buffers, Tape};

use super::block::{Block, Fault};
use super::{
    Judged, Sink, Unknown,
    cursor::Lines,
    json_fast::{self, Fast, UnknownMembers},
    json_fault,
    json_members::Orders,
    json_walk::{File, Walk},
    mapped::{Mapped, Room},
};
use crate::text::{content_len, is_blank, objects_of};

/// Lines longer than this leave big buffers behind, which are not kept.
const KEEP: usize = 64 << 10;

/// Reads JSON lines into drafts.
#[derive(Default)]
pub(super) struct JsonReader {
    /// A copy of the line, which simd-json may change, and its padding.
    line: Vec<u8>,
    kept: Option<(Buffers, Tape<'static>, usize)>,
    draft: Draft<'static>,
    orders: Orders,
    /// What strings with escapes say, of one block at most.
    scratch: Bump,
    /// Where records are mapped.
    room: Room,
    pub(super) backoff: Backoff,
}

/// Whether the fast way is worth a try: less and less often while records are of another kind.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    misses: u32,
    pauses: u32,
}

impl Backoff {
    /// No try in the first four billion lines.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) const NONE: Self = Self { misses: 6, pauses: u32::MAX };

    fn tries(&mut self) -> bool {
        let now = self.pauses == 0;
        self.pauses = self.pauses.saturating_sub(1);
        now
    }

    fn hit(&mut self) {
        self.misses = 0;
    }

    fn miss(&mut self) {
        // One alone costs nothing more; in a row they double, up to 63 lines between two tries.
        self.pauses = (1 << self.misses) - 1;
        self.misses = (self.misses + 1).min(6);
    }
}

impl fmt::Debug for JsonReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonReader").finish_non_exhaustive()
    }
}

impl JsonReader {
    /// Reads every line of `bytes`, which begin at `first`.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        first: Origin,
        sink: &mut Sink<'_>,
        slot: &mut Draft<'static>,
        unknown: &mut Unknown,
    ) {
        let mut scratch = mem::take(&mut self.scratch);
        let mut plain = self.draft.lend();
        // Unless all is UTF-8, each line is looked at alone.
        let whole = simdutf8::basic::from_utf8(bytes).ok().map(Lines::of);
        let suits = json_fast::suits(&sink.context.limits) && sink.context.map.is_none();
        let mut unknown_members = UnknownMembers::default();
        let mut origin = first;
        let mut rest = bytes;
        while !rest.is_empty() {
            if suits && self.backoff.tries() {
                let begin = bytes.len() - rest.len();
                match self.read_plain(
                    whole,
                    begin,
                    rest,
                    sink,
                    &mut plain,
                    &scratch,
                    &mut unknown_members,
                    origin,
                ) {
                    Some(len) => {
                        self.backoff.hit();
                        unknown_members.report(unknown);
                        origin.byte += len as u64;
                        origin.line += 1;
                        rest = &rest[len..];
                        continue;
                    }
                    None => self.backoff.miss(),
                }
            }
            let end = line_len(rest);
            let (line, next) = rest.split_at(end);
            let content = &line[..content_len(line)];
            if content.len() > sink.context.limits.max_line {
                sink.fail_too_long(origin);
            } else if !is_blank(content)
                && let Err(reason) = self.read_one(content, sink, slot, unknown, &scratch, origin)
                && !(is_no_object(&reason)
                    && self.read_several(content, sink, slot, unknown, &scratch, origin))
            {
                sink.fail(*reason, content, origin);
            }
            origin.byte += end as u64;
            origin.line += 1;
            rest = next;
        }
        self.draft.take_back(plain);
        scratch.reset();
        self.scratch = scratch;
    }

    /// Reads the records of a block that are not lines.
    pub(super) fn read_objects(
        &mut self,
        block: &Block,
        records: &[Range<usize>],
        sink: &mut Sink<'_>,
        slot: &mut Draft<'static>,
        unknown: &mut Unknown,
    ) {
        let mut scratch = mem::take(&mut self.scratch);
        let mut plain = self.draft.lend();
        let bytes = block.bytes_and_line_feed();
        let whole = simdutf8::basic::from_utf8(bytes).ok().map(Lines::of);
        let whole = whole.filter(|_| json_fast::suits(&sink.context.limits) && sink.context.map.is_none());
        let mut unknown_members = UnknownMembers::default();
        let (mut origin, mut at) = (block.first, 0);
        let mut faults = block.faults.iter().peekable();
        let is_one_line = block.end.line == block.first.line;
        let mut move_to = |to: usize| {
            if !is_one_line {
                origin.line += bytecount::count(&bytes[at..to], b'\n') as u64;
            }
            origin.byte += (to - at) as u64;
            at = to;
            origin
        };
        for record in records {
            while let Some(fault) = faults.next_if(|fault| fault.range.start < record.start) {
                fail_fault(sink, bytes, fault, move_to(fault.range.start));
            }
            let origin = move_to(record.start);
            if let Some(lines) = whole
                && self.backoff.tries()
            {
                match self.read_plain_object(
                    lines,
                    record,
                    bytes,
                    sink,
                    &mut plain,
                    &scratch,
                    &mut unknown_members,
                    origin,
                ) {
                    Some(()) => {
                        self.backoff.hit();
                        unknown_members.report(unknown);
                        continue;
                    }
                    None => self.backoff.miss(),
                }
            }
            let content = &bytes[record.clone()];
            if let Err(reason) = self.read_one(content, sink, slot, unknown, &scratch, origin) {
                sink.fail(*reason, content, origin);
            }
        }
        for fault in faults {
            fail_fault(sink, bytes, fault, move_to(fault.range.start));
        }
        self.draft.take_back(plain);
        scratch.reset();
        self.scratch = scratch;
    }

    /// Reads the record at `record` in one pass. `None`: it is still to be judged.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "they are the loop's state")]
    fn read_plain_object<'a>(
        &mut self,
        lines: Lines<'a>,
        record: &Range<usize>,
        bytes: &'a [u8],
        sink: &mut Sink<'_>,
        draft: &mut Draft<'a>,
        scratch: &'a Bump,
        unknown_members: &mut UnknownMembers<'a>,
        origin: Origin,
    ) -> Option<()> {
        draft.clear();
        let fast = Fast::new(lines, record.start, &sink.context.limits, scratch, unknown_members)?;
        if fast.read_object(draft, &mut self.orders)? != record.end {
            return None;
        }
        sink.add(draft, &bytes[record.clone()], origin).ok()
    }

    /// Reads the objects on a line that is no object, such as several or one with a comma after it. False: it is to
    /// fail as it is.
    #[cold]
    fn read_several(
        &mut self,
        content: &[u8],
        sink: &mut Sink<'_>,
        slot: &mut Draft<'static>,
        unknown: &mut Unknown,
        scratch: &Bump,
        origin: Origin,
    ) -> bool {
        let Some(objects) = objects_of(content) else { return false };
        if objects.first().is_some_and(|object| object.len() == content.len()) {
            return false;
        }
        sink.notices.add(NoticeKind::JsonForm, "", 1);
        for object in objects {
            let origin = Origin { byte: origin.byte + object.start as u64, ..origin };
            let content = &content[object];
            if let Err(reason) = self.read_one(content, sink, slot, unknown, scratch, origin) {
                sink.fail(*reason, content, origin);
            }
        }
        true
    }

    /// Reads the line at the start of `rest` in one pass and returns its length. `None`: it is still to be judged.
    // A call with so many arguments takes a line 3% more instructions.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "they are the loop's state")]
    fn read_plain<'a>(
        &mut self,
        whole: Option<Lines<'a>>,
        begin: usize,
        rest: &'a [u8],
        sink: &mut Sink<'_>,
        draft: &mut Draft<'a>,
        scratch: &'a Bump,
        unknown_members: &mut UnknownMembers<'a>,
        origin: Origin,
    ) -> Option<usize> {
        let (lines, begin) = match whole {
            Some(lines) => (lines, begin),
            None => (Lines::of(simdutf8::basic::from_utf8(&rest[..line_len(rest)]).ok()?), 0),
        };
        draft.clear();
        let fast = Fast::new(lines, begin, &sink.context.limits, scratch, unknown_members)?;
        let end = fast.read(draft, &mut self.orders)?;
        sink.add(draft, &rest[..end.content - begin], origin).ok()?;
        #[cfg(test)]
        super::tests::seen::note_plain();
        Some(end.line - begin)
    }

    fn read_one(
        &mut self,
        content: &[u8],
        sink: &mut Sink<'_>,
        slot: &mut Draft<'static>,
        unknown: &mut Unknown,
        scratch: &Bump,
        origin: Origin,
    ) -> Judged {
        let Some(map) = &sink.context.map else {
            return self.judge(content, content, sink, slot, unknown, scratch, origin);
        };
        let strict = sink.context.rules.strict_names;
        match self.room.map(map, strict, content, &mut sink.notices)? {
            Mapped::Unread => self.judge(content, content, sink, slot, unknown, scratch, origin),
            Mapped::Dropped => Ok(()),
            Mapped::Written => {
                let text = mem::take(&mut self.room.text);
                sink.more = text.len().saturating_sub(content.len());
                let judged = self.judge(&text, content, sink, slot, unknown, scratch, origin);
                sink.more = 0;
                self.room.text = text;
                judged
            }
        }
    }

    /// Judges the record that `content` says; `raw`: as it is in the file.
    #[expect(clippy::too_many_arguments, reason = "they are the loop's state")]
    fn judge(
        &mut self,
        content: &[u8],
        raw: &[u8],
        sink: &mut Sink<'_>,
        slot: &mut Draft<'static>,
        unknown: &mut Unknown,
        scratch: &Bump,
        origin: Origin,
    ) -> Judged {
        let limits = sink.context.limits;
        let needed = content.len() + simd_json::INPUT_PADDING;
        if self.line.len() < needed {
            self.line.resize(needed.max(4096), 0);
        }
        self.line[..content.len()].copy_from_slice(content);
        let (mut buffers, tape, depth) = match self.kept.take() {
            Some(kept) if kept.2 == limits.max_depth => kept,
            _ => (Buffers::with_max_depth(4096, limits.max_depth), Tape(Vec::new()), limits.max_depth),
        };
        let mut tape = tape.reset();
        let mut draft = slot.lend();
        let read = simd_json::fill_tape_padded(&mut self.line, content.len(), &mut buffers, &mut tape);
        let judged = match read {
            Ok(()) => {
                let file = File {
                    rules: &sink.context.rules,
                    line: content,
                    scratch,
                    notices: &mut sink.notices,
                    near: Vec::new(),
                    numbers: None,
                };
                Walk { nodes: &tape.0, limits: &limits, unknown, file: Some(file) }
                    .record(&mut draft)
                    .and_then(|()| sink.add(&mut draft, raw, origin))
            }
            Err(_) => Err(Box::new(json_fault::explain(content, limits.max_depth))),
        };
        slot.take_back(draft);
        let tape = tape.reset();
        if content.len() <= KEEP {
            self.kept = Some((buffers, tape, depth));
        } else {
            self.line = Vec::new();
        }
        judged
    }
}

/// Whether a line failed because it is not one JSON object.
fn is_no_object(reason: &FailureReason) -> bool {
    matches!(reason.code, FailureCode::InvalidJson | FailureCode::NotAnObject)
}

/// Reports a record that the splitter gave up, without what stands between it and the next.
#[cold]
fn fail_fault(sink: &mut Sink<'_>, bytes: &[u8], fault: &Fault, origin: Origin) {
    let raw = bytes[fault.range.clone()].trim_ascii_end();
    sink.fail(fault.reason.clone(), raw.strip_suffix(b",").unwrap_or(raw), origin);
}

/// Length of the first line, terminator included.
fn line_len(bytes: &[u8]) -> usize {
    memchr::memchr(b'\n', bytes).map_or(bytes.len(), |newline| newline + 1)
}
