//! Fills drafts from CSV records, by the plan of their header.

#![allow(unsafe_code, reason = "text that is known to be UTF-8")]

use std::{mem, ops::Range};

use bumpalo::Bump;
use pinport_model::{
    Channel, Draft, EndpointStatus, FailureCode, OptOut, Origin, TextMember, failure::FailureReason,
};

use super::block::Block;
use super::{
    Judged, Sink, clean,
    csv_attributes::{fill_attributes, judge_all_attributes},
    dates, decimal,
    mapped::Columns,
    plan::{CsvHeader, Target},
    structure::{Cell, Cells, FIRST, Passed, Places, places, read_record},
    validate,
};
use crate::text::{MARK, content_len, is_blank};

#[derive(Debug, Default)]
pub(super) struct CsvReader {
    places: Places,
    cells: Cells,
    /// Of records without quotes.
    draft: Draft<'static>,
    /// Dates that were brought into another form, of one block at most.
    scratch: Bump,
    /// What a mapping made of one record.
    mapped: Bump,
}

impl CsvReader {
    /// Reads every record of a block.
    pub(super) fn read(
        &mut self,
        block: &Block,
        header: &CsvHeader,
        sink: &mut Sink<'_>,
        slot: &mut Draft<'static>,
    ) {
        let mut scratch = mem::take(&mut self.scratch);
        let mut draft = self.draft.lend();
        let bytes = block.bytes();
        let dialect = header.dialect();
        places(bytes, dialect.delimiter, &mut self.places);
        let whole = simdutf8::basic::from_utf8(bytes).is_ok();
        let plain = whole && header.mapped.is_none();
        let mut faults = block.faults.iter().peekable();
        let mut origin = block.first;
        let (mut start, mut at) = (0, FIRST);
        let mut passed = Passed::default();
        while start < bytes.len() {
            let (end, lines);
            if let Some(fault) = faults.next_if(|fault| fault.range.start == start) {
                end = fault.range.end;
                lines = newlines(&bytes[start..end]);
                sink.fail(fault.reason.clone(), &bytes[start..end], origin);
                at += self.places.all[at..].partition_point(|&place| (place as usize) < end);
            } else {
                let first_place = at;
                let marked = bytes[start] == MARK[0] && bytes[start..].starts_with(MARK);
                let plain = if plain && !marked { passed.plain(&self.places, start, at) } else { None };
                let judged;
                let record;
                if let Some(last) = plain {
                    end = self.places.all[last] as usize + 1;
                    lines = 1;
                    at = last + 1;
                    record = &bytes[start..end];
                    judged = self.read_plain(
                        bytes,
                        start,
                        first_place..last,
                        header,
                        sink,
                        &mut draft,
                        &scratch,
                        origin,
                    );
                } else {
                    let mut from = start;
                    while bytes[from..].starts_with(MARK) {
                        from += MARK.len();
                        sink.done.marks += 1;
                    }
                    (end, at) = read_record(bytes, &self.places.all, from, at, &mut self.cells, dialect);
                    record = &bytes[from..end];
                    lines = match self.cells.quoted {
                        true => newlines(record),
                        false => u64::from(record.last() == Some(&b'\n')),
                    };
                    // A blank line has no place but its end.
                    judged = match at <= first_place + 1 && is_blank(record) {
                        true => Ok(()),
                        false => self.read_one(record, whole, header, sink, slot, &scratch, origin),
                    };
                }
                match judged {
                    Err(_) if header.is_repeated_by(record) => sink.done.headers += 1,
                    Err(_) if is_row_of_nothing(record, dialect.delimiter) => sink.done.blank_rows += 1,
                    Err(reason) => sink.fail(*reason, record, origin),
                    Ok(()) => {}
                }
            }
            origin.byte += (end - start) as u64;
            origin.line += lines;
            start = end;
        }
        self.draft.take_back(draft);
        scratch.reset();
        self.scratch = scratch;
    }

    /// Reads a record without quotes, whose line begins at `start` and has these places.
    #[expect(clippy::too_many_arguments, reason = "it is one loop, in two functions")]
    fn read_plain<'a>(
        &mut self,
        bytes: &'a [u8],
        start: usize,
        places: Range<usize>,
        header: &'a CsvHeader,
        sink: &mut Sink<'_>,
        draft: &mut Draft<'a>,
        scratch: &'a Bump,
        origin: Origin,
    ) -> Judged {
        // With the place before it each cell lies between two.
        let places = &mut self.places.all[places.start - 1..=places.end];
        let end = places[places.len() - 1] as usize;
        let record = &bytes[start..=end];
        let cells = places.len() - 1;
        if cells == 1 && is_blank(record) {
            return Ok(());
        }
        if cells != header.columns() {
            let delimiter = header.dialect().delimiter;
            let more = record[..content_len(record)].iter().rev();
            let more = more.take_while(|byte| **byte == delimiter || matches!(byte, b' ' | b'\t'));
            let more = more.filter(|byte| **byte == delimiter).count();
            if cells < header.columns() || cells - header.columns() > more {
                return Err(Box::new(cell_count(cells, header)));
            }
        }
        if header.is_repeated_by(record) {
            return Err(Box::new(cell_count(cells, header)));
        }
        places[0] = (start as u32).wrapping_sub(1);
        if end > start && bytes[end - 1] == b'\r' {
            places[cells] -= 1;
        }
        let places = &*places;
        draft.clear();
        let judged = fill(draft, header, sink, scratch, |column: u32| {
            let column = column as usize;
            debug_assert!(column < cells);
            // SAFETY: a header's columns are fewer than `CsvHeader::columns`, of which the record has as many cells, each
            // between two places. Places ascend and lie in the block, and a carriage return before the last is after the
            // one before that. The block is UTF-8, and a cell begins and ends at ASCII characters or at an end of it.
            unsafe {
                let start = places.get_unchecked(column).wrapping_add(1) as usize;
                let end = *places.get_unchecked(column + 1) as usize;
                debug_assert!(str::from_utf8(&bytes[start..end]).is_ok());
                str::from_utf8_unchecked(bytes.get_unchecked(start..end))
            }
        })
        .and_then(|()| add(sink, draft, record, origin));
        if cells != header.columns() && judged.is_ok() {
            sink.done.trailing += 1;
        }
        judged
    }

    #[expect(clippy::too_many_arguments, reason = "they are the loop's state")]
    fn read_one(
        &mut self,
        record: &[u8],
        whole: bool,
        header: &CsvHeader,
        sink: &mut Sink<'_>,
        slot: &mut Draft<'static>,
        dates: &Bump,
        origin: Origin,
    ) -> Judged {
        let cells = &self.cells.list;
        if let Some(at) = self.cells.stray {
            let message = "text follows the closing quote of a cell; if quotes are escaped by backslashes, say --escape backslash";
            return Err(Box::new(FailureReason::new(FailureCode::UnterminatedQuote, message).at(at as u64)));
        }
        if header.is_repeated_by(record) {
            return Err(Box::new(cell_count(cells.len(), header)));
        }
        if !whole && let Err(error) = simdutf8::compat::from_utf8(record) {
            let at = error.valid_up_to();
            return Err(Box::new(not_utf8(record, at)));
        }
        // SAFETY: the record is UTF-8 (so is the block, if `whole`, and records end at ASCII characters);
        // the scratch text holds parts of it that were cut at ASCII characters.
        let (text, scratch) =
            unsafe { (str::from_utf8_unchecked(record), str::from_utf8_unchecked(&self.cells.scratch)) };
        if cells.len() != header.columns() {
            let more = cells.get(header.columns()..);
            let is_white =
                |cell: &Cell| Cell::text(*cell, text, scratch).trim_matches([' ', '\t']).is_empty();
            if !more.is_some_and(|more| more.iter().all(is_white)) {
                return Err(Box::new(cell_count(cells.len(), header)));
            }
        }
        let cell = |column: u32| Cell::text(cells[column as usize], text, scratch);
        let mut draft = slot.lend();
        let judged = match &header.mapped {
            None => fill(&mut draft, header, sink, dates, cell)
                .and_then(|()| add(sink, &mut draft, record, origin)),
            Some(columns) => {
                self.mapped.reset();
                let made = Made { columns, dates, texts: &self.mapped };
                made.read(&mut draft, header, sink, cell, record, origin)
            }
        };
        slot.take_back(draft);
        if cells.len() != header.columns() && judged.is_ok() {
            sink.done.trailing += 1;
        }
        judged
    }
}

/// A mapped record, and where its texts go.
struct Made<'a> {
    columns: &'a Columns,
    dates: &'a Bump,
    texts: &'a Bump,
}

impl<'a> Made<'a> {
    #[cold]
    fn read(
        self,
        draft: &mut Draft<'a>,
        header: &'a CsvHeader,
        sink: &mut Sink<'_>,
        cell: impl Fn(u32) -> &'a str,
        record: &[u8],
        origin: Origin,
    ) -> Judged {
        if is_row_of_nothing(record, header.dialect().delimiter) {
            // Constants do not make a record of it.
            return Err(Box::new(cell_count(0, header)));
        }
        let Some(row) = self.columns.row(cell, self.texts, &mut sink.done, &mut sink.notices)? else {
            return Ok(());
        };
        fill(draft, header, sink, self.dates, |column: u32| row[column as usize])?;
        sink.more = row.iter().map(|text| text.len()).sum::<usize>().saturating_sub(record.len());
        let judged = add(sink, draft, record, origin);
        sink.more = 0;
        judged
    }
}

/// Judges and adds a draft. One that only names users may name several, separated by spaces, as AWS's example does.
#[inline(always)]
fn add(sink: &mut Sink<'_>, draft: &mut Draft<'_>, record: &[u8], origin: Origin) -> Judged {
    if draft.id.is_none()
        && let Some(users) = draft.text(TextMember::UserId)
        && users.contains(' ')
        && draft.is_user_only()
    {
        return add_users(sink, draft, users, record, origin);
    }
    sink.add(draft, record, origin)
}

#[cold]
fn add_users<'a>(
    sink: &mut Sink<'_>,
    draft: &mut Draft<'a>,
    users: &'a str,
    record: &[u8],
    origin: Origin,
) -> Judged {
    // All or none: a record that fails leaves nothing behind.
    for user in users.split_ascii_whitespace() {
        draft.set_text(TextMember::UserId, Some(user));
        validate::kind(&sink.context.limits, &sink.context.rules, draft)?;
    }
    for user in users.split_ascii_whitespace() {
        draft.set_text(TextMember::UserId, Some(user));
        sink.add(draft, record, origin)?;
    }
    Ok(())
}

/// Whether a record has no value at all: rows of a spreadsheet in which somebody once clicked.
#[cold]
fn is_row_of_nothing(record: &[u8], delimiter: u8) -> bool {
    let content = String::from_utf8_lossy(&record[..content_len(record)]);
    let delimiter = char::from(delimiter);
    content
        .chars()
        .all(|found| found == delimiter || found == '"' || found == '\u{feff}' || found.is_whitespace())
}

#[cold]
fn cell_count(cells: usize, header: &CsvHeader) -> FailureReason {
    let message = format!("has {cells} cells, the header has {}", header.columns());
    FailureReason::new(FailureCode::CellCount, message)
}

fn newlines(record: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', record).count() as u64
}

/// The failure of a record that is not UTF-8 from `at` on.
pub(super) fn not_utf8(record: &[u8], at: usize) -> FailureReason {
    let message = format!("the byte 0x{:02x} is not UTF-8 here", record.get(at).copied().unwrap_or_default());
    FailureReason::new(FailureCode::InvalidUtf8, message).at(at as u64)
}

fn fill<'a>(
    draft: &mut Draft<'a>,
    header: &'a CsvHeader,
    sink: &mut Sink<'_>,
    scratch: &'a Bump,
    cell: impl Fn(u32) -> &'a str,
) -> Judged {
    let limits = &sink.context.limits;
    for &(column, target) in &header.scalars {
        let mut text = cell(column);
        if text.is_empty() {
            continue;
        }
        // What is a word, a number or a date as it stands has nothing around it.
        match target {
            Target::Text(_) | Target::Id => {
                if clean::is_suspect(text) {
                    text = clean::cleaned(text, &mut sink.done);
                    if text.is_empty() {
                        continue;
                    }
                }
                match target {
                    Target::Text(member) => draft.set_text(member, Some(text)),
                    _ => draft.id = Some(text),
                }
            }
            Target::Channel => match Channel::from_name(text) {
                Some(channel) => draft.channel = Some(channel),
                None => draft.channel = retry(text, &mut sink.done, validate::channel)?,
            },
            Target::OptOut => match OptOut::from_name(text) {
                Some(opt_out) => draft.opt_out = Some(opt_out),
                None => draft.opt_out = retry(text, &mut sink.done, validate::opt_out)?,
            },
            Target::Status => match EndpointStatus::from_name(text) {
                Some(status) => draft.status = Some(status),
                None => draft.status = retry(text, &mut sink.done, validate::status)?,
            },
            Target::Latitude => {
                draft.latitude = coordinate("Location.Latitude", text, &mut sink.done)?;
            }
            Target::Longitude => {
                draft.longitude = coordinate("Location.Longitude", text, &mut sink.done)?;
            }
            Target::Date(member) => {
                if !dates::is_usual(text) {
                    text = clean::cleaned(text, &mut sink.done);
                    text = dates::normalised(member, text, scratch, &mut sink.notices)?;
                }
                draft.set_text(member, Some(text).filter(|text| !text.is_empty()));
            }
        }
    }
    let is_within = header.is_within(limits);
    let Draft { attributes, user_attributes, values, .. } = draft;
    let is_filled = is_within
        && fill_attributes(attributes, values, &header.attributes, limits.max_value, &cell)
        && fill_attributes(user_attributes, values, &header.user_attributes, limits.max_value, &cell);
    if !is_filled {
        judge_all_attributes(draft, header, limits, &cell)?;
    }
    for group in &header.metrics {
        // Of a repeated column the last value counts.
        let mut text = "";
        for &column in &group.columns {
            let cell = cell(column);
            if !cell.is_empty() {
                text = Some(clean::bare(cell)).filter(|bare| !bare.is_empty()).unwrap_or(text);
            }
        }
        if !text.is_empty() {
            if !is_within {
                validate::name(limits, "Metrics", &group.name)?;
            }
            draft.metrics.push((&group.name, validate::number("Metrics", Some(&group.name), text)?));
        }
    }
    if is_within { Ok(()) } else { validate::count(limits, "Metrics", draft.metrics.len()) }
}

/// Reads a cell again without what is around its value. Nothing, if that is all.
#[cold]
fn retry<T>(text: &str, done: &mut clean::Done, read: impl Fn(&str) -> Judged<T>) -> Judged<Option<T>> {
    let text = clean::cleaned(text, done);
    if text.is_empty() { Ok(None) } else { read(text).map(Some) }
}

#[inline(always)]
fn coordinate(member: &str, text: &str, done: &mut clean::Done) -> Judged<Option<f64>> {
    match decimal::float(text) {
        Some(number) => Ok(Some(number)),
        None => retry(text, done, |text| validate::number(member, None, text)),
    }
}
