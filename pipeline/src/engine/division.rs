//! Divides a job among servers: consecutive objects, and ranges of the lines of large objects that are JSON, one record a
//! line. CSV and what is compressed is read from its start on, so such an object is never divided.

use std::{io, iter::once};

use pinport_model::{Border, Format, ImportDefinition, JobPart, PlannedObject};

use crate::{
    limits::SNIFF_BYTES,
    source::{Source, SourceError, is_compressed_name},
    split::{Head, SplitOptions, Splitter},
    text::JsonForm,
};

/// The parts of a job that reads these objects, of about `part_bytes` each. `line_after` says where the first record after a
/// byte of an object begins, if the object may be divided there.
pub(super) fn divide<E: From<io::Error>>(
    objects: impl Iterator<Item = io::Result<PlannedObject>>,
    part_bytes: u64,
    mut line_after: impl FnMut(&PlannedObject, u64) -> Result<Option<u64>, E>,
) -> Result<Vec<JobPart>, E> {
    let mut parts = Vec::new();
    let mut part = JobPart { number: 1, ..JobPart::default() };
    let mut count = 0;
    for (object, index) in objects.zip(0..) {
        let object = object?;
        count = index + 1;
        let is_packed = is_compressed_name(&object.key);
        let mut from = 0;
        loop {
            let border = from + part_bytes.saturating_sub(part.bytes);
            // What is left would be a small part.
            if is_packed || object.size.saturating_sub(border) < part_bytes / 2 {
                break;
            }
            let Some(line) =
                line_after(&object, border)?.filter(|line| (from + 1..object.size).contains(line))
            else {
                break;
            };
            part.bytes += line - from;
            close(&mut part, Border { object: index, byte: line }, &mut parts);
            from = line;
        }
        part.bytes += object.size - from;
        part.packed += if is_packed { object.size } else { 0 };
        if part.bytes >= part_bytes {
            close(&mut part, Border { object: count, byte: 0 }, &mut parts);
        }
    }
    if part.start.object < count {
        close(&mut part, Border { object: count, byte: 0 }, &mut parts);
    }
    Ok(parts)
}

/// Ends a part and begins the next one there.
fn close(part: &mut JobPart, end: Border, parts: &mut Vec<JobPart>) {
    parts.push(JobPart { end, ..*part });
    *part = JobPart { number: part.number + 1, start: end, ..JobPart::default() };
}

/// Finds records in the middle of objects.
pub(super) struct Borders<'a> {
    source: &'a Source,
    definition: &'a ImportDefinition,
    /// The object that was looked at last, and whether its records are lines.
    looked: Option<(String, bool)>,
}

/// Bytes of a source that are looked at for the end of a line at a time.
const LOOKED_AT_ONCE: usize = 64 << 10;

impl<'a> Borders<'a> {
    pub(super) fn new(source: &'a Source, definition: &'a ImportDefinition) -> Self {
        Self { source, definition, looked: None }
    }

    /// Where the first line after a byte of an object begins, if its records are lines and it has one. What cannot be read is
    /// not divided: the job says why when it gets there.
    pub(super) fn line_after(
        &mut self,
        object: &PlannedObject,
        byte: u64,
    ) -> Result<Option<u64>, SourceError> {
        if self.definition.format != Format::Json {
            return Ok(None);
        }
        match self.has_lines(object).and_then(|has| if has { self.find_line(object, byte) } else { Ok(None) })
        {
            Err(error) if error.is_object_error() => Ok(None),
            found => found,
        }
    }

    fn has_lines(&mut self, object: &PlannedObject) -> Result<bool, SourceError> {
        if let Some((key, has_lines)) = &self.looked
            && *key == object.key
        {
            return Ok(*has_lines);
        }
        let mut stream = self.source.read(once(Ok(object.clone())), 0);
        let Some(reader) = stream.next_object() else { return Ok(false) };
        let mut reader = reader?;
        let options = SplitOptions {
            block_bytes: SNIFF_BYTES,
            limits: self.definition.limits,
            ..SplitOptions::default()
        };
        let mut splitter = Splitter::new(Format::Json, options, 0);
        let (mut left, mut has_lines) = (SNIFF_BYTES, false);
        while left > 0 && !has_lines {
            let space = splitter.space();
            let room = space.len().min(left);
            let read = reader.read(&mut space[..room])?;
            if read == 0 {
                break;
            }
            left -= read;
            splitter.advance(read);
            if splitter.next(None).is_err() {
                break;
            }
            has_lines = splitter.head() == Some(Head::Json(JsonForm::Lines));
        }
        has_lines &= reader.is_plain();
        self.looked = Some((object.key.clone(), has_lines));
        Ok(has_lines)
    }

    fn find_line(&self, object: &PlannedObject, byte: u64) -> Result<Option<u64>, SourceError> {
        // A line may begin at this very byte.
        let mut at = byte.saturating_sub(1);
        let mut stream = self.source.read(once(Ok(object.clone())), at);
        let Some(reader) = stream.next_object() else { return Ok(None) };
        let mut reader = reader?;
        let (mut buffer, mut left) =
            (vec![0; LOOKED_AT_ONCE], self.definition.limits.max_line + LOOKED_AT_ONCE);
        while left > 0 {
            let read = reader.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            if let Some(end) = memchr::memchr(b'\n', &buffer[..read]) {
                return Ok(Some(at + end as u64 + 1));
            }
            at += read as u64;
            left = left.saturating_sub(read);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn divided(sizes: &[(&str, u64)], part_bytes: u64, line: u64) -> Vec<JobPart> {
        let object = |(key, size): &(&str, u64)| {
            Ok(PlannedObject { key: (*key).to_owned(), size: *size, etag: None, skipped: None })
        };
        let line_after = |object: &PlannedObject, byte: u64| -> io::Result<_> {
            Ok((line > 0 && object.key.ends_with(".json")).then(|| byte.next_multiple_of(line.max(1))))
        };
        divide(sizes.iter().map(object), part_bytes, line_after).unwrap()
    }

    /// Where parts begin and end, and their bytes.
    fn shown(parts: &[JobPart]) -> Vec<(Place, Place, u64)> {
        let place = |border: Border| (border.object, border.byte);
        parts.iter().map(|part| (place(part.start), place(part.end), part.bytes)).collect()
    }

    type Place = (u64, u64);

    #[test]
    fn small_objects_come_together_and_large_ones_are_divided_at_lines() {
        assert_eq!(shown(&divided(&[("a", 3), ("b", 3), ("c", 3)], 100, 0)), [((0, 0), (3, 0), 9)]);
        assert_eq!(
            shown(&divided(&[("a", 60), ("b", 60), ("c", 30), ("d", 0)], 100, 0)),
            [((0, 0), (2, 0), 120), ((2, 0), (4, 0), 30)]
        );
        let large = [("a.json", 30), ("b.json", 250), ("c.csv", 500), ("d.json", 10)];
        assert_eq!(
            shown(&divided(&large, 100, 7)),
            [((0, 0), (1, 70), 100), ((1, 70), (1, 175), 105), ((1, 175), (3, 0), 575), ((3, 0), (4, 0), 10)]
        );
        // No line to divide at.
        assert_eq!(shown(&divided(&[("b.json", 900)], 100, 0)), [((0, 0), (1, 0), 900)]);
        assert!(divided(&[], 100, 1).is_empty());
    }

    proptest! {
        #[test]
        fn parts_follow_each_other_and_have_everything(
            sizes in vec((prop_oneof![Just("a.json"), Just("b.csv"), Just("c.json.gz")], 0..400_u64), 0..9),
            part_bytes in 1..200_u64,
            line in 1..50_u64,
        ) {
            let parts = divided(&sizes, part_bytes, line);
            let mut at = Border::default();
            for (part, number) in parts.iter().zip(1..) {
                prop_assert_eq!((part.number, part.start), (number, at));
                prop_assert!(part.end > at);
                at = part.end;
            }
            prop_assert_eq!(at, Border { object: sizes.len() as u64, byte: 0 });
            let bytes: u64 = parts.iter().map(|part| part.bytes).sum();
            prop_assert_eq!(bytes, sizes.iter().map(|(_, size)| size).sum::<u64>());
        }
    }
}
