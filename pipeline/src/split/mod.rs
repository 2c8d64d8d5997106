//! Turns the bytes of one object, as they arrive, into [`Block`]s of whole records.
//!
//! Sans-I/O: the caller asks for [`Splitter::space`], reads into it, says how much ([`Splitter::advance`],
//! [`Splitter::finish`]) and takes blocks ([`Splitter::next`]). What comes out does not depend on how the
//! bytes came in: records, failures, positions and cuts are the same for every chunk and block size. Memory
//! is bounded by a block and `max_line`, however long a line is. Nothing is parsed here: JSON lines end at
//! newlines ([`lines`]), CSV records where their quotes allow it ([`records`]).

mod header;
mod lines;
#[cfg(test)]
pub(crate) mod naive;
mod objects;
mod records;
mod sniff;
#[cfg(test)]
mod tests;
mod window;

use std::sync::Arc;

use pinport_model::{Format, NoticeKind, Notices, Origin, ReadRules, RecordLimits, failure::FailureReason};

use crate::{
    buffers::{Buffers, Chunk},
    limits::{BLOCK_LINES, SNIFF_BYTES},
    parse::{
        CsvHeader, Map, ParseContext,
        block::{Block, FailedRecord, Fault},
    },
    text::{Dialect, JsonForm, ObjectRefused, RefusedReason, form_of},
};
use window::Window;

pub(crate) use sniff::SEPARATORS;

/// How to split.
#[derive(Debug, Clone)]
pub struct SplitOptions {
    /// Bytes of a block; 256 to 512 KiB is best for the caches.
    pub block_bytes: usize,
    /// Of these, `max_line` and `max_columns` count.
    pub limits: RecordLimits,
    /// What the caller said about how to read.
    pub rules: ReadRules,
    /// What the columns of a header become.
    pub map: Option<Arc<Map>>,
}

impl SplitOptions {
    /// How to split what is parsed in this context.
    pub(crate) fn of(context: &ParseContext, block_bytes: usize) -> Self {
        Self { block_bytes, limits: context.limits, rules: context.rules, map: context.map.clone() }
    }
}

impl Default for SplitOptions {
    fn default() -> Self {
        Self {
            block_bytes: 256 << 10,
            limits: RecordLimits::default(),
            rules: ReadRules::default(),
            map: None,
        }
    }
}

/// Where a block should end at the latest: at the first record border at or after one of the two. Both lie
/// after the place where the block begins; others are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Offset in the object.
    pub byte: u64,
    /// Line of the record after the border.
    pub line: u64,
    /// Records of the block, where they are not lines; from 1.
    pub records: u64,
}

/// What [`Splitter::next`] has.
#[derive(Debug)]
#[must_use]
#[expect(
    clippy::large_enum_variant,
    reason = "it is matched at once; a box would cost each block an allocation"
)]
pub enum Split {
    /// Nothing before more bytes arrive, or [`Splitter::finish`].
    NeedInput,
    /// Some records.
    Block(Block),
    /// Nothing any more.
    End,
}

/// What the start of an object says about the rest, for going on in its middle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// The header of a CSV object.
    Csv(Arc<CsvHeader>),
    /// How the records of a JSON object lie.
    Json(JsonForm),
}

/// What comes next in the object.
#[derive(Debug)]
enum Stage {
    /// Perhaps a byte order mark.
    Mark,
    /// How a CSV object is written must be detected.
    Sniff,
    /// The header of a CSV object.
    Header(Dialect),
    /// JSON, of which it is not known yet how its records lie.
    Form,
    /// JSON records that are lines.
    Lines(lines::Lines),
    /// JSON records that end where their braces do.
    Objects(objects::Objects),
    /// CSV records.
    Records(records::Records),
}

/// Splits one object.
#[derive(Debug)]
pub struct Splitter {
    format: Format,
    options: SplitOptions,
    out: Outlet,
    stage: Stage,
}

impl Splitter {
    /// Begins an object.
    pub fn new(format: Format, options: SplitOptions, object: u64) -> Self {
        let at = Origin { object, byte: 0, line: 1 };
        let out = Outlet::new(&options, at, None);
        Self { format, options, out, stage: Stage::Mark }
    }

    /// Goes on in the middle of an object, at the end of a block, with what [`Splitter::head`] says of its start.
    ///
    /// A position at the very beginning is the same as [`Splitter::new`].
    pub fn resume(format: Format, options: SplitOptions, at: Origin, head: Option<Head>) -> Self {
        let stage = match (format, &head) {
            _ if at.byte == 0 => return Self::new(format, options, at.object),
            (Format::Json, Some(Head::Json(JsonForm::Objects { enclosed }))) => {
                Stage::Objects(objects::Objects::new(*enclosed, at))
            }
            (Format::Json, _) => Stage::Lines(lines::Lines::default()),
            (Format::Csv, Some(Head::Csv(header))) => Stage::Records(records::Records::new(header, at)),
            (Format::Csv, _) => Stage::Header(Dialect::default()),
        };
        let (header, form) = match head {
            Some(Head::Csv(header)) => (Some(header), None),
            Some(Head::Json(form)) => (None, Some(form)),
            None => (None, None),
        };
        let carriage = header.as_ref().is_some_and(|header| header.dialect().carriage);
        let mut out = Outlet::new(&options, at, header);
        if carriage {
            out.window.end_lines_by_carriage_returns();
        }
        out.form = form;
        Self { format, options, out, stage }
    }

    /// Uses buffers that others fill and give back too.
    #[must_use]
    pub fn sharing(mut self, buffers: Buffers) -> Self {
        self.out.window.share(buffers);
        self
    }

    /// Bytes it holds: so much room there must be before a chunk that is pushed.
    pub fn held(&self) -> usize {
        self.out.window.held()
    }

    /// Takes a chunk as the next bytes, without a copy of them. Only what is held is copied.
    ///
    /// # Panics
    /// If there is no room before the chunk for what is held.
    pub fn push_chunk(&mut self, chunk: Chunk) {
        self.out.window.go_on_in(chunk);
    }

    /// Where the next bytes of the object go; never empty.
    pub fn space(&mut self) -> &mut [u8] {
        self.out.window.space()
    }

    /// The first `bytes` of [`Splitter::space`] were filled.
    ///
    /// # Panics
    /// If that is more than there was space for.
    pub fn advance(&mut self, bytes: usize) {
        self.out.window.advance(bytes);
    }

    /// Copies as much of `bytes` as there is space for and returns how much that was.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let space = self.space();
        let fits = bytes.len().min(space.len());
        space[..fits].copy_from_slice(&bytes[..fits]);
        self.advance(fits);
        fits
    }

    /// The object has no more bytes.
    pub fn finish(&mut self) {
        self.out.window.finish();
    }

    /// Takes a buffer back that came out as a block.
    pub fn give_back(&mut self, buffer: Vec<u8>) {
        self.out.window.give_back(buffer);
    }

    /// Where the next block begins.
    pub fn position(&self) -> Origin {
        self.out.origin
    }

    /// What the start of the object says, once it has been read.
    pub fn head(&self) -> Option<Head> {
        let form = self.out.form.map(Head::Json);
        self.out.header.clone().map(Head::Csv).or(form)
    }

    /// The object's header, once it has been read.
    pub fn header(&self) -> Option<&Arc<CsvHeader>> {
        self.out.header.as_ref()
    }

    /// The next block of an object in memory, of which `rest` was not pushed yet; nothing at its end.
    ///
    /// # Errors
    /// As [`Splitter::next`].
    pub fn next_of(&mut self, rest: &mut &[u8], cut: Option<Cut>) -> Result<Option<Block>, ObjectRefused> {
        loop {
            match self.next(cut)? {
                Split::NeedInput if rest.is_empty() => self.finish(),
                Split::NeedInput => *rest = &rest[self.push(rest)..],
                Split::Block(block) => return Ok(Some(block)),
                Split::End => return Ok(None),
            }
        }
    }

    /// The next block, if there is one. No border at or after `cut` lies within a block.
    pub fn next(&mut self, cut: Option<Cut>) -> Result<Split, ObjectRefused> {
        let cut = self.out.stop(cut);
        loop {
            match &mut self.stage {
                Stage::Mark => {
                    if !self.out.skip_mark()? {
                        return Ok(Split::NeedInput);
                    }
                    self.stage = match self.format {
                        Format::Json => Stage::Form,
                        Format::Csv => Stage::Sniff,
                    };
                }
                Stage::Form => match self.out.form() {
                    None => return Ok(Split::NeedInput),
                    Some(JsonForm::Lines) => self.stage = Stage::Lines(lines::Lines::default()),
                    Some(JsonForm::Objects { enclosed }) => {
                        self.stage = Stage::Objects(objects::Objects::new(enclosed, self.out.at));
                    }
                },
                Stage::Sniff => match self.out.sniff(&self.options) {
                    None => return Ok(Split::NeedInput),
                    Some(dialect) => self.stage = Stage::Header(dialect),
                },
                Stage::Header(dialect) => {
                    match header::read_header(&mut self.out, &self.options, *dialect)? {
                        header::HeaderStep::NeedInput => return Ok(Split::NeedInput),
                        header::HeaderStep::Nothing => return Ok(self.out.rest()),
                        header::HeaderStep::Read(header) => {
                            let records = records::Records::new(&header, self.out.at);
                            self.out.header = Some(header);
                            self.stage = Stage::Records(records);
                        }
                    }
                }
                Stage::Objects(objects) => return Ok(objects.next(&mut self.out, cut)),
                Stage::Lines(lines) => return Ok(lines.next(&mut self.out, cut)),
                Stage::Records(records) => return Ok(records.next(&mut self.out, cut)),
            }
        }
    }
}

/// The way out: the window, and what the next block already has.
#[derive(Debug)]
struct Outlet {
    window: Window,
    max_line: u64,
    /// Where the next block begins.
    origin: Origin,
    /// Where the window begins; after `origin` if something was dropped.
    at: Origin,
    header: Option<Arc<CsvHeader>>,
    form: Option<JsonForm>,
    lost: Option<FailedRecord>,
    /// The notices of the next block.
    notices: Notices,
    /// Ranges are offsets in the object until the block is made.
    faults: Vec<(std::ops::Range<u64>, FailureReason)>,
    /// The same for records that are not lines.
    records: Vec<std::ops::Range<u64>>,
}

impl Outlet {
    fn new(options: &SplitOptions, at: Origin, header: Option<Arc<CsvHeader>>) -> Self {
        Self {
            window: Window::new(Buffers::new(options.block_bytes), at.byte),
            max_line: options.limits.max_line as u64,
            origin: at,
            at,
            header,
            form: None,
            lost: None,
            notices: Notices::new(),
            faults: Vec::new(),
            records: Vec::new(),
        }
    }

    /// Whether bytes or failures wait that a block up to `to` would hold.
    fn has_pending(&self, to: u64) -> bool {
        self.lost.is_some() || to > self.at.byte
    }

    /// Where the next block ends at the latest; always after `origin`.
    fn stop(&self, cut: Option<Cut>) -> Cut {
        let Origin { byte, line, .. } = self.origin;
        let most = line + BLOCK_LINES;
        Cut {
            byte: cut.map(|cut| cut.byte).filter(|cut| *cut > byte).unwrap_or(u64::MAX),
            line: cut.map(|cut| cut.line).filter(|cut| *cut > line).map_or(most, |cut| cut.min(most)),
            records: cut.map_or(u64::MAX, |cut| cut.records.max(1)),
        }
    }

    /// The line at `to`, which lies in the window.
    fn line_at(&self, to: u64) -> u64 {
        self.at.line + self.window.newlines(self.at.byte..to)
    }

    /// The block up to `to`.
    fn block(&mut self, to: u64) -> Split {
        self.block_at(to, self.line_at(to))
    }

    /// The block up to `to`, where `line` begins.
    fn block_at(&mut self, to: u64, line: u64) -> Split {
        let first = self.at;
        let (mut buffer, range) = self.window.take(to);
        let records = matches!(self.form, Some(JsonForm::Objects { .. })).then(|| {
            // The parser's fast way wants a line feed after all it reads.
            match buffer.get_mut(range.end) {
                Some(behind) => *behind = b'\n',
                None => buffer.push(b'\n'),
            }
            self.records
                .drain(..)
                .map(|record| (record.start - first.byte) as usize..(record.end - first.byte) as usize)
                .collect()
        });
        let relative = |at: u64| (at - first.byte) as usize;
        let faults = self
            .faults
            .drain(..)
            .map(|(range, reason)| Fault { range: relative(range.start)..relative(range.end), reason });
        let faults = faults.collect();
        let end = Origin { byte: to, line, ..first };
        let origin = std::mem::replace(&mut self.origin, end);
        self.at = end;
        Split::Block(Block {
            origin,
            end,
            first,
            header: self.header.clone(),
            lost: self.lost.take(),
            notices: std::mem::take(&mut self.notices),
            faults,
            records,
            buffer,
            range,
        })
    }

    /// The last block of the object, if anything is left for it to account for.
    fn rest(&mut self) -> Split {
        let end = self.window.end();
        if end > self.origin.byte || self.lost.is_some() { self.block(end) } else { Split::End }
    }

    /// Drops the bytes before `to`.
    fn drop_before(&mut self, to: u64) {
        self.at.line += self.window.newlines(self.at.byte..to);
        self.at.byte = to;
        self.window.discard(to);
    }

    /// Detects how the records of a JSON object lie. Nothing: more bytes are needed.
    fn form(&mut self) -> Option<JsonForm> {
        let (start, finished) = (self.window.start(), self.window.is_finished());
        let most = self.window.end().min(start + SNIFF_BYTES as u64);
        if !finished && most - start < SNIFF_BYTES as u64 {
            return None;
        }
        let whole = finished && most == self.window.end();
        let form = form_of(self.window.bytes(start..most), whole);
        self.form = Some(form);
        if form != JsonForm::Lines {
            self.notices.add(NoticeKind::JsonForm, "", 1);
        }
        Some(form)
    }

    /// Detects how the object is written, and drops what comes before its header. Nothing: more bytes are needed.
    fn sniff(&mut self, options: &SplitOptions) -> Option<Dialect> {
        let (start, finished) = (self.window.start(), self.window.is_finished());
        let most = self.window.end().min(start + SNIFF_BYTES as u64);
        if !finished && most - start < SNIFF_BYTES as u64 {
            return None;
        }
        let whole = finished && most == self.window.end();
        let sniffed = sniff::sniff(self.window.bytes(start..most), whole, options);
        self.notices.merge(&sniffed.notices);
        if sniffed.dialect.carriage {
            self.window.end_lines_by_carriage_returns();
        }
        self.drop_before(start + sniffed.skip as u64);
        Some(sniffed.dialect)
    }

    /// Drops a byte order mark. False: more bytes are needed to decide.
    fn skip_mark(&mut self) -> Result<bool, ObjectRefused> {
        let window = &self.window;
        let head = window.bytes(window.start()..window.end().min(window.start() + 4));
        if head.len() < 4 && !window.is_finished() {
            return Ok(false);
        }
        let encoding = match head {
            [0xef, 0xbb, 0xbf, ..] => {
                self.drop_before(self.at.byte + 3);
                // Some programs write a second one.
                return self.skip_mark();
            }
            [0xff, 0xfe, 0, 0] => ("UTF-32 (little-endian)", "UTF-32LE"),
            [0, 0, 0xfe, 0xff] => ("UTF-32 (big-endian)", "UTF-32BE"),
            [0xff, 0xfe, ..] => ("UTF-16 (little-endian)", "UTF-16LE"),
            [0xfe, 0xff, ..] => ("UTF-16 (big-endian)", "UTF-16BE"),
            _ => return Ok(true),
        };
        let reason = RefusedReason::Encoding { name: encoding.0, iconv: encoding.1 };
        Err(ObjectRefused { origin: self.at, column: Some(1), reason })
    }
}

/// How a CSV object that begins with `head` is written, where its header begins, and whether that is sure.
pub(crate) fn dialect_of(head: &[u8], whole: bool, options: &SplitOptions) -> (Dialect, usize, bool) {
    let most = head.len().min(SNIFF_BYTES);
    let sniffed = sniff::sniff(&head[..most], whole && most == head.len(), options);
    (sniffed.dialect, sniffed.skip, sniffed.is_found)
}
