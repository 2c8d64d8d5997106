//! Finds the cells of CSV records: first the places of all separators, newlines and quotes, 64 bytes at a
//! time, then the records. A record without quotes has its cells between its places as they are; the others
//! take one walk over their places by the rules of quotes that the splitter follows too.

#![allow(unsafe_code, reason = "vector instructions, and text that is known to be UTF-8")]

use crate::text::{Dialect, ends_cell, is_escaped};

/// Where a cell's text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cell {
    start: u32,
    end: u32,
    /// Whether the range is one of the scratch text, into which the cell was unescaped.
    unescaped: bool,
}

impl Cell {
    /// The cell's text.
    pub(super) fn text<'a>(self, record: &'a str, scratch: &'a str) -> &'a str {
        let from = if self.unescaped { scratch } else { record };
        let bytes = &from.as_bytes()[self.start as usize..self.end as usize];
        debug_assert!(str::from_utf8(bytes).is_ok());
        // SAFETY: the texts are UTF-8, and a cell begins and ends at ASCII characters or at an end of its text.
        unsafe { str::from_utf8_unchecked(bytes) }
    }
}

/// The cells of one record.
#[derive(Debug, Default)]
pub(super) struct Cells {
    pub(super) list: Vec<Cell>,
    /// The text of cells that had to be unescaped.
    pub(super) scratch: Vec<u8>,
    /// Whether a cell is quoted: only then may the record have more lines than one.
    pub(super) quoted: bool,
    /// Where text follows a closing quote, from the beginning of the record.
    pub(super) stray: Option<usize>,
}

/// Where the separators, newlines and quotes of a block are.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Places {
    /// The offset of each separator, `\n` and `"`, after one entry that is none: what ends before the block.
    pub(super) all: Vec<u32>,
    /// Which of `all` are newlines.
    pub(super) newlines: Vec<u32>,
    /// The offsets of the quotes.
    pub(super) quotes: Vec<u32>,
}

/// The first of [`Places::all`] that is a place.
pub(super) const FIRST: usize = 1;

impl Places {
    fn add(&mut self, offset: u32, byte: u8, delimiter: u8) {
        match byte {
            b'\n' => self.newlines.push(self.all.len() as u32),
            b'"' => self.quotes.push(offset),
            byte if byte == delimiter => {}
            _ => return,
        }
        self.all.push(offset);
    }
}

/// How many newlines and quotes lie before the record that is read.
#[derive(Debug, Default)]
pub(super) struct Passed {
    newlines: usize,
    quotes: usize,
}

impl Passed {
    /// Where the record at `start`, whose first place is `at`, ends in [`Places::all`], if no quote is in it.
    #[inline]
    pub(super) fn plain(&mut self, places: &Places, start: usize, at: usize) -> Option<usize> {
        let Places { all, newlines, quotes } = places;
        while newlines.get(self.newlines).is_some_and(|&end| (end as usize) < at) {
            self.newlines += 1;
        }
        while quotes.get(self.quotes).is_some_and(|&quote| (quote as usize) < start) {
            self.quotes += 1;
        }
        let end = *newlines.get(self.newlines)? as usize;
        quotes.get(self.quotes).is_none_or(|&quote| quote > all[end]).then_some(end)
    }
}

/// Which of 64 bytes are commas, newlines or quotes.
#[derive(Debug, Clone, Copy, Default)]
struct Masks {
    all: u64,
    newlines: u64,
    quotes: u64,
}

/// Finds every separator, `\n` and `"` in `bytes`.
pub(super) fn places(bytes: &[u8], delimiter: u8, places: &mut Places) {
    places.all.clear();
    places.all.push(u32::MAX);
    places.newlines.clear();
    places.quotes.clear();
    #[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
    if is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("popcnt")
    {
        // SAFETY: the processor has what the function needs.
        return unsafe { places_avx2(bytes, delimiter, places) };
    }
    places_plain(bytes, delimiter, places);
}

/// The loop of [`places`], for one way to find the places among 64 bytes. A macro, because what is inlined into
/// a function for newer processors is not compiled for them.
macro_rules! fill_places {
    ($bytes:ident, $delimiter:ident, $places:ident, $masks:expr) => {{
        let mut chunks = $bytes.chunks_exact(64);
        let mut base = 0_u32;
        for chunk in &mut chunks {
            let chunk: &[u8; 64] = chunk.try_into().expect("chunks_exact gives 64 bytes");
            let Masks { all: mut mask, mut newlines, mut quotes } = $masks(chunk, $delimiter);
            while newlines != 0 {
                let before = mask & (newlines - 1) & !newlines;
                $places.newlines.push($places.all.len() as u32 + before.count_ones());
                newlines &= newlines - 1;
            }
            while quotes != 0 {
                $places.quotes.push(base + quotes.trailing_zeros());
                quotes &= quotes - 1;
            }
            let places = &mut $places.all;
            places.reserve(64);
            let count = mask.count_ones() as usize;
            let room = &mut places.spare_capacity_mut()[..64];
            // Four at a time: the last few may be nonsense, which no one reads.
            for part in room.chunks_exact_mut(4).take(count.div_ceil(4)) {
                for place in part {
                    place.write(base.wrapping_add(mask.trailing_zeros()));
                    mask &= mask.wrapping_sub(1);
                }
            }
            // SAFETY: the loop wrote `count` places, and there is room for as many as a mask has bits.
            unsafe { places.set_len(places.len() + count) };
            base += 64;
        }
        for (offset, byte) in (base..).zip(chunks.remainder()) {
            $places.add(offset, *byte, $delimiter);
        }
    }};
}

fn places_plain(bytes: &[u8], delimiter: u8, places: &mut Places) {
    fill_places!(bytes, delimiter, places, masks);
}

#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
#[target_feature(enable = "avx2,bmi1,popcnt")]
fn places_avx2(bytes: &[u8], delimiter: u8, places: &mut Places) {
    fill_places!(bytes, delimiter, places, masks_avx2);
}

#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
#[inline]
#[target_feature(enable = "avx2")]
fn masks_avx2(chunk: &[u8; 64], delimiter: u8) -> Masks {
    use std::arch::x86_64::{
        __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8,
    };
    let mut masks = Masks::default();
    for (part, bytes) in chunk.as_chunks::<32>().0.iter().enumerate() {
        // SAFETY: the load reads the 32 bytes of the array, unaligned.
        let bytes = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast::<__m256i>()) };
        let is = |byte: u8| {
            let found = _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(byte.cast_signed())));
            u64::from(found as u32) << (part * 32)
        };
        masks.all |= is(delimiter);
        masks.newlines |= is(b'\n');
        masks.quotes |= is(b'"');
    }
    masks.all |= masks.newlines | masks.quotes;
    masks
}

#[cfg(all(target_arch = "x86_64", not(feature = "portable")))]
#[inline]
fn masks(chunk: &[u8; 64], delimiter: u8) -> Masks {
    use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};
    let mut masks = Masks::default();
    for (part, bytes) in chunk.as_chunks::<16>().0.iter().enumerate() {
        let is = |byte: u8| {
            // SAFETY: SSE2 is part of every x86-64, and the load reads the 16 bytes of the array, unaligned.
            let found = unsafe {
                let bytes = _mm_loadu_si128(bytes.as_ptr().cast::<__m128i>());
                _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte.cast_signed())))
            };
            u64::from(found as u16) << (part * 16)
        };
        masks.all |= is(delimiter);
        masks.newlines |= is(b'\n');
        masks.quotes |= is(b'"');
    }
    masks.all |= masks.newlines | masks.quotes;
    masks
}

#[cfg(not(all(target_arch = "x86_64", not(feature = "portable"))))]
#[inline]
fn masks(chunk: &[u8; 64], delimiter: u8) -> Masks {
    use super::swar::equal;

    let mut masks = Masks::default();
    for (part, bytes) in chunk.as_chunks::<8>().0.iter().enumerate() {
        let is = |byte: u8| u64::from(equal(bytes, byte)) << (part * 8);
        masks.all |= is(delimiter);
        masks.newlines |= is(b'\n');
        masks.quotes |= is(b'"');
    }
    masks.all |= masks.newlines | masks.quotes;
    masks
}

/// Finds the cells of the record at `start`. `at` is the index in `places` of the first place that belongs
/// to it. Returns the offset after the record and the index of the first place after it.
///
/// Cells are ranges of `bytes` relative to `start`.
pub(super) fn read_record(
    bytes: &[u8],
    places: &[u32],
    start: usize,
    at: usize,
    cells: &mut Cells,
    dialect: Dialect,
) -> (usize, usize) {
    let comma = dialect.delimiter;
    cells.stray = None;
    cells.list.clear();
    cells.scratch.clear();
    cells.quoted = false;
    let mut at = at;
    let mut from = start;
    loop {
        // `from` is the first byte of a cell.
        let place = places.get(at).map_or(bytes.len(), |&place| place as usize);
        let stop = match bytes.get(place) {
            Some(b'"') if place == from || is_white(&bytes[from..place]) => {
                cells.quoted = true;
                let (cell, next) = read_quoted(bytes, places, start, at, cells, dialect);
                cells.list.push(cell);
                at = next;
                places.get(at).map_or(bytes.len(), |&place| place as usize)
            }
            byte => {
                let stop = if byte == Some(&b'"') { delimiter(bytes, places, &mut at) } else { place };
                let end =
                    if bytes.get(stop) == Some(&comma) { stop } else { strip_return(bytes, from, stop) };
                cells.list.push(Cell {
                    start: (from - start) as u32,
                    end: (end - start) as u32,
                    unescaped: false,
                });
                stop
            }
        };
        match bytes.get(stop) {
            Some(&byte) if byte == comma => {
                from = stop + 1;
                at += 1;
            }
            Some(_) => return (stop + 1, at + 1),
            None => return (stop, at),
        }
    }
}

/// Whether there is nothing but white space, as the splitter sees it.
fn is_white(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b' ' | b'\t'))
}

/// The next separator or newline from `at` on (quotes on the way are text).
fn delimiter(bytes: &[u8], places: &[u32], at: &mut usize) -> usize {
    loop {
        let Some(&place) = places.get(*at) else { return bytes.len() };
        if bytes[place as usize] != b'"' {
            return place as usize;
        }
        *at += 1;
    }
}

/// `stop`, or one less if a carriage return belongs to the line's end.
fn strip_return(bytes: &[u8], from: usize, stop: usize) -> usize {
    if stop > from && bytes[stop - 1] == b'\r' { stop - 1 } else { stop }
}

/// Reads the quoted cell whose opening quote is `places[at]`; returns it and the index of the place that ends it.
fn read_quoted(
    bytes: &[u8],
    places: &[u32],
    start: usize,
    at: usize,
    cells: &mut Cells,
    dialect: Dialect,
) -> (Cell, usize) {
    let open = places[at] as usize;
    let mut at = at + 1;
    let mut doubled = false;
    let close = loop {
        let Some(&place) = places.get(at) else { break bytes.len() };
        let place = place as usize;
        at += 1;
        if bytes[place] == b'"' {
            if dialect.backslash && is_escaped(&bytes[open + 1..place], place - open - 1) {
                continue;
            }
            if bytes.get(place + 1) != Some(&b'"') {
                break place;
            }
            doubled = true;
            at += 1;
        }
    };
    // What follows the closing quote belongs to no cell: the record fails, unless it is white space.
    let behind = (close + 1).min(bytes.len());
    let stop = delimiter(bytes, places, &mut at);
    if stop > behind && !ends_cell(&bytes[behind..], dialect.delimiter) {
        cells.stray.get_or_insert(behind - start);
    }
    let escaped = dialect.backslash && memchr::memchr(b'\\', &bytes[open + 1..close]).is_some();
    if !doubled && !escaped {
        let cell = Cell { start: (open + 1 - start) as u32, end: (close - start) as u32, unescaped: false };
        return (cell, at);
    }
    let scratch_start = cells.scratch.len();
    let mut inner = &bytes[open + 1..close];
    let backslash = if dialect.backslash { b'\\' } else { b'"' };
    while let Some(quote) = memchr::memchr2(b'"', backslash, inner) {
        // Of two quotes one is left, and of a backslash before a quote or another backslash what it escapes.
        let escaped = match inner[quote] {
            b'"' => Some(b'"'),
            _ => inner.get(quote + 1).copied().filter(|next| matches!(next, b'"' | b'\\')),
        };
        cells.scratch.extend_from_slice(&inner[..quote]);
        cells.scratch.push(escaped.unwrap_or(b'\\'));
        let passed = if escaped.is_some() { 2 } else { 1 };
        inner = &inner[(quote + passed).min(inner.len())..];
    }
    cells.scratch.extend_from_slice(inner);
    let cell = Cell { start: scratch_start as u32, end: cells.scratch.len() as u32, unescaped: true };
    (cell, at)
}

/// The cells of one record on its own, and where text follows a closing quote, if it does.
pub(super) fn cells_of(record: &str, dialect: Dialect) -> (Vec<String>, Option<usize>) {
    let mut found = Places::default();
    let mut cells = Cells::default();
    places(record.as_bytes(), dialect.delimiter, &mut found);
    read_record(record.as_bytes(), &found.all, 0, FIRST, &mut cells, dialect);
    let scratch = String::from_utf8_lossy(&cells.scratch);
    let texts = cells.list.iter().map(|cell| cell.text(record, &scratch).to_owned()).collect();
    (texts, cells.stray)
}

/// The cells of every record of a text. What cannot be read is left out.
pub(crate) fn rows_of(text: &str, dialect: Dialect) -> Vec<Vec<String>> {
    let mut found = Places::default();
    let mut cells = Cells::default();
    places(text.as_bytes(), dialect.delimiter, &mut found);
    let (mut rows, mut start, mut at) = (Vec::new(), 0, FIRST);
    while start < text.len() {
        let (end, next) = read_record(text.as_bytes(), &found.all, start, at, &mut cells, dialect);
        let record = &text[start..end];
        let scratch = String::from_utf8_lossy(&cells.scratch);
        if cells.stray.is_none() && !record.trim().is_empty() {
            rows.push(cells.list.iter().map(|cell| cell.text(record, &scratch).to_owned()).collect());
        }
        (start, at) = (end.max(start + 1), next);
    }
    rows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_place_is_found_on_every_processor(text in "[a,\"\n]{0,300}") {
            let mut expected = Places { all: vec![u32::MAX], ..Places::default() };
            (0..).zip(text.bytes()).for_each(|(offset, byte)| expected.add(offset, byte, b','));
            let (mut found, mut plain) = (Places::default(), Places { all: vec![u32::MAX], ..Places::default() });
            places(text.as_bytes(), b',', &mut found);
            places_plain(text.as_bytes(), b',', &mut plain);
            prop_assert_eq!(&found, &expected);
            prop_assert_eq!(&plain, &expected);
        }
    }
}
