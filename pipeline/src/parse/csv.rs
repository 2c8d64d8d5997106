//! Fills drafts from CSV records, by the plan of their header.

#![allow(unsafe_code, reason = "text that is known to be UTF-8")]

use std::ops::Range;

use pinport_model::{
    Attribute, Draft, FailureCode, NoticeKind, Origin, RecordLimits, Scalar, failure::FailureReason,
};

use super::{
    Judged, Sink,
    plan::{CsvHeader, Group, Target},
    structure::{Cell, Cells, FIRST, Passed, Places, places, read_record},
    validate,
};
use crate::{block::Block, split::is_blank};

#[derive(Debug, Default)]
pub(super) struct CsvReader {
    places: Places,
    cells: Cells,
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
        let bytes = block.bytes();
        places(bytes, &mut self.places);
        let whole = simdutf8::basic::from_utf8(bytes).is_ok();
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
                let plain = if whole { passed.plain(&self.places, start, at) } else { None };
                let judged;
                let record;
                if let Some(last) = plain {
                    end = self.places.all[last] as usize + 1;
                    lines = 1;
                    at = last + 1;
                    record = &bytes[start..end];
                    judged = self.read_plain(bytes, start, first_place..last, header, sink, slot, origin);
                } else {
                    (end, at) = read_record(bytes, &self.places.all, start, at, &mut self.cells);
                    record = &bytes[start..end];
                    lines = match self.cells.quoted {
                        true => newlines(record),
                        false => u64::from(record.last() == Some(&b'\n')),
                    };
                    // A blank line has no place but its end.
                    judged = match at <= first_place + 1 && is_blank(record) {
                        true => Ok(()),
                        false => self.read_one(record, whole, header, sink, slot, origin),
                    };
                }
                match judged {
                    Ok(()) => {}
                    Err(_) if is_row_of_nothing(record) => {
                        sink.notices.add(NoticeKind::BlankRowsSkipped, "", 1);
                    }
                    Err(reason) => sink.fail(*reason, record, origin),
                }
            }
            origin.byte += (end - start) as u64;
            origin.line += lines;
            start = end;
        }
    }

    /// Reads a record without quotes, whose line begins at `start` and has these places.
    #[expect(clippy::too_many_arguments, reason = "it is one loop, in two functions")]
    fn read_plain(
        &mut self,
        bytes: &[u8],
        start: usize,
        places: Range<usize>,
        header: &CsvHeader,
        sink: &mut Sink<'_>,
        slot: &mut Draft<'static>,
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
            return Err(Box::new(cell_count(cells, header)));
        }
        places[0] = (start as u32).wrapping_sub(1);
        if end > start && bytes[end - 1] == b'\r' {
            places[cells] -= 1;
        }
        let places = &*places;
        let mut draft = slot.lend();
        let judged = fill(&mut draft, header, &sink.context.limits, |column: u32| {
            let column = column as usize;
            debug_assert!(column < cells);
            // SAFETY: a header's columns are fewer than `CsvHeader::columns`, of which the record has as many cells, each
            // between two places. Places ascend and lie in the block, and a carriage return before the last is behind the
            // one before that. The block is UTF-8, and a cell begins and ends at ASCII characters or at an end of it.
            unsafe {
                let start = places.get_unchecked(column).wrapping_add(1) as usize;
                let end = *places.get_unchecked(column + 1) as usize;
                debug_assert!(str::from_utf8(&bytes[start..end]).is_ok());
                str::from_utf8_unchecked(bytes.get_unchecked(start..end))
            }
        })
        .and_then(|()| sink.add(&mut draft, record, origin));
        slot.take_back(draft);
        judged
    }

    fn read_one(
        &mut self,
        record: &[u8],
        whole: bool,
        header: &CsvHeader,
        sink: &mut Sink<'_>,
        slot: &mut Draft<'static>,
        origin: Origin,
    ) -> Judged {
        let cells = &self.cells.list;
        if cells.len() != header.columns() {
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
        let mut draft = slot.lend();
        let judged = fill(&mut draft, header, &sink.context.limits, |column: u32| {
            Cell::text(cells[column as usize], text, scratch)
        })
        .and_then(|()| sink.add(&mut draft, record, origin));
        slot.take_back(draft);
        judged
    }
}

#[cold]
fn cell_count(cells: usize, header: &CsvHeader) -> FailureReason {
    let message = format!("has {cells} cells, the header has {}", header.columns());
    FailureReason::new(FailureCode::CellCount, message)
}

fn newlines(record: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', record).count() as u64
}

/// Whether a record has no value at all, as rows of a spreadsheet in which only a format was set.
#[cold]
fn is_row_of_nothing(record: &[u8]) -> bool {
    String::from_utf8_lossy(record).chars().all(|found| matches!(found, ',' | '"') || found.is_whitespace())
}

/// The failure of a record that is not UTF-8 from `at` on.
pub(super) fn not_utf8(record: &[u8], at: usize) -> FailureReason {
    let message = format!("the byte 0x{:02x} is not UTF-8 here", record.get(at).copied().unwrap_or_default());
    FailureReason::new(FailureCode::InvalidUtf8, message).at(at as u64)
}

fn fill<'a>(
    draft: &mut Draft<'a>,
    header: &'a CsvHeader,
    limits: &RecordLimits,
    cell: impl Fn(u32) -> &'a str,
) -> Judged {
    for &(column, target) in &header.scalars {
        let text = cell(column);
        if text.is_empty() {
            continue;
        }
        match target {
            Target::Text(member) => draft.set_text(member, Some(text)),
            Target::Id => draft.id = Some(text),
            Target::Channel => draft.channel = Some(validate::channel(text)?),
            Target::OptOut => draft.opt_out = Some(validate::opt_out(text)?),
            Target::Status => draft.status = Some(validate::status(text)?),
            Target::Latitude => draft.latitude = Some(validate::number("Location.Latitude", None, text)?),
            Target::Longitude => draft.longitude = Some(validate::number("Location.Longitude", None, text)?),
        }
    }
    fill_attributes(
        &mut draft.attributes,
        &mut draft.values,
        "Attributes",
        &header.attributes,
        limits,
        &cell,
    )?;
    let users = "User.UserAttributes";
    fill_attributes(
        &mut draft.user_attributes,
        &mut draft.values,
        users,
        &header.user_attributes,
        limits,
        &cell,
    )?;
    for group in &header.metrics {
        let texts = group.columns.iter().map(|&column| cell(column));
        if let Some(text) = texts.filter(|text| !text.is_empty()).last() {
            validate::name(limits, "Metrics", &group.name)?;
            draft.metrics.push((&group.name, validate::number("Metrics", Some(&group.name), text)?));
        }
    }
    validate::count(limits, "Metrics", draft.metrics.len())
}

fn fill_attributes<'a>(
    attributes: &mut Vec<Attribute<'a>>,
    values: &mut Vec<Scalar<'a>>,
    prefix: &str,
    groups: &'a [Group],
    limits: &RecordLimits,
    cell: &impl Fn(u32) -> &'a str,
) -> Judged {
    for group in groups {
        let start = values.len();
        for &column in &group.columns {
            let text = cell(column);
            if !text.is_empty() {
                validate::value(limits, prefix, &group.name, text)?;
                values.push(Scalar::Text(text));
            }
        }
        if values.len() > start {
            validate::name(limits, prefix, &group.name)?;
            validate::value_count(limits, prefix, &group.name, values.len() - start)?;
            attributes.push(Attribute { name: &group.name, start: start as u32, end: values.len() as u32 });
        }
    }
    validate::count(limits, prefix, attributes.len())
}
