//! Fills drafts from CSV records, by the plan of their header.

use pinport_model::{Attribute, Draft, FailureCode, Origin, RecordLimits, Scalar, failure::FailureReason};

use super::{
    Judged, Sink,
    plan::{CsvHeader, Group, Target},
    structure::{Cell, Cells, places, read_record},
    validate,
};
use crate::{block::Block, split::is_blank};

#[derive(Debug, Default)]
pub(super) struct CsvReader {
    places: Vec<u32>,
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
        let (mut start, mut at) = (0, 0);
        while start < bytes.len() {
            let (end, lines);
            if let Some(fault) = faults.next_if(|fault| fault.range.start == start) {
                end = fault.range.end;
                lines = newlines(&bytes[start..end]);
                sink.fail(fault.reason.clone(), &bytes[start..end], origin);
                at += self.places[at..].partition_point(|&place| (place as usize) < end);
            } else {
                let first_place = at;
                (end, at) = read_record(bytes, &self.places, start, at, &mut self.cells);
                let record = &bytes[start..end];
                lines = match self.cells.quoted {
                    true => newlines(record),
                    false => u64::from(record.last() == Some(&b'\n')),
                };
                // A blank line has no place but its end.
                if !(at <= first_place + 1 && is_blank(record))
                    && let Err(reason) = self.read_one(record, whole, header, sink, slot, origin)
                {
                    sink.fail(*reason, record, origin);
                }
            }
            origin.byte += (end - start) as u64;
            origin.line += lines;
            start = end;
        }
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
            let message = format!("has {} cells, the header has {}", cells.len(), header.columns());
            return Err(Box::new(FailureReason::new(FailureCode::CellCount, message)));
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
