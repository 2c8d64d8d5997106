//! Every case at every chunk and block size and at every cut, against readers that see the whole object at once.

mod beginnings;
mod records;

use pinport_model::{FailureCode, Format, Origin, RecordLimits};
use proptest::prelude::*;

use super::{
    naive::{Item, line_len, lines_in, naive_csv, naive_lines, naive_record, trimmed},
    *,
};
use crate::text::is_blank;

const HEADER: &str = "Id,A,B\n";

fn options(block_bytes: usize, max_line: usize) -> SplitOptions {
    SplitOptions {
        block_bytes,
        limits: RecordLimits { max_line, ..RecordLimits::default() },
        ..SplitOptions::default()
    }
}

/// The items of a block, whose records are found again by the naive reader.
fn items_of(block: &Block, format: Format, max_line: usize, items: &mut Vec<Item>) {
    let bytes = block.bytes();
    assert_eq!(block.first.byte + bytes.len() as u64, block.end.byte);
    assert_eq!(block.first.line + lines_in(bytes), block.end.line);
    assert!(block.origin <= block.first);
    if let Some(lost) = &block.lost {
        assert!(block.origin <= lost.origin && lost.origin < block.first);
        assert_eq!(lost.raw, None);
        let outcome = Err((lost.reason.code, None));
        items.push(Item { byte: lost.origin.byte, line: lost.origin.line, outcome });
    }
    let mut faults = block.faults.iter().peekable();
    let mut at = 0;
    while at < bytes.len() {
        let (byte, line) = (block.first.byte + at as u64, block.first.line + lines_in(&bytes[..at]));
        if let Some(fault) = faults.next_if(|fault| fault.range.start == at) {
            at = fault.range.end;
            let outcome = Err((fault.reason.code, Some(trimmed(&bytes[fault.range.clone()]))));
            items.push(Item { byte, line, outcome });
            continue;
        }
        let line_end = line_len(&bytes[at..]);
        let len = match format {
            Format::Csv if !is_blank(&bytes[at..at + line_end]) => naive_record(&bytes[at..]).len,
            _ => line_end,
        };
        let record = &bytes[at..at + len];
        at += len;
        let content = trimmed(record);
        if content.len() > max_line {
            assert_eq!(format, Format::Json, "the parser judges only the length of lines");
            items.push(Item { byte, line, outcome: Err((FailureCode::LineTooLong, None)) });
        } else if !is_blank(record) {
            items.push(Item { byte, line, outcome: Ok(content) });
        }
    }
    assert_eq!(faults.next(), None);
}

/// Splits `input` from `splitter`'s position on; `chunks` are cycled. Returns the items and the ends of blocks.
fn drive(
    splitter: Splitter,
    input: &[u8],
    chunks: &[usize],
    cut: Option<Cut>,
) -> Result<(Vec<Item>, Vec<Origin>), ObjectRefused> {
    drive_by(Splitter::push, splitter, input, chunks, cut)
}

/// Has the splitter take the bytes as a chunk that has so much room before them, or copies them where it holds more.
fn take<const ROOM: usize>(splitter: &mut Splitter, bytes: &[u8]) -> usize {
    if splitter.held() > ROOM {
        return splitter.push(bytes);
    }
    let buffer = [&[b'\n'; ROOM], bytes].concat();
    splitter.push_chunk(Chunk { buffer, start: ROOM });
    bytes.len()
}

/// The same with bytes that arrive in some way.
fn drive_by(
    push: fn(&mut Splitter, &[u8]) -> usize,
    mut splitter: Splitter,
    input: &[u8],
    chunks: &[usize],
    cut: Option<Cut>,
) -> Result<(Vec<Item>, Vec<Origin>), ObjectRefused> {
    let (format, max_line) = (splitter.format, splitter.options.limits.max_line);
    let mut rest = &input[splitter.position().byte as usize..];
    let mut sizes = chunks.iter().cycle();
    let (mut items, mut ends) = (Vec::new(), vec![]);
    let mut position = splitter.position();
    let mut finished = false;
    loop {
        match splitter.next(cut)? {
            Split::NeedInput => {
                assert!(!finished, "nothing more comes");
                let size = (*sizes.next().unwrap()).min(rest.len());
                let pushed = push(&mut splitter, &rest[..size]);
                rest = &rest[pushed..];
                if rest.is_empty() {
                    splitter.finish();
                    finished = true;
                }
            }
            Split::Block(block) => {
                assert_eq!(block.origin, position);
                assert!(block.end.byte > block.origin.byte);
                position = block.end;
                items_of(&block, format, max_line, &mut items);
                ends.push(block.end);
                splitter.give_back(block.into_buffer());
            }
            Split::End => break,
        }
    }
    assert_eq!(splitter.position().byte, input.len() as u64);
    Ok((items, ends))
}

fn check(format: Format, input: &[u8], max_line: usize) {
    let expected = match format {
        Format::Json => naive_lines(input, max_line),
        Format::Csv => {
            let header = naive_record(input);
            naive_csv(input, header.len, header.cells, max_line)
        }
    };
    for block_bytes in [1, 7, 64, 4096] {
        for chunk in (1..=9).chain([input.len().max(1)]) {
            let splitter = Splitter::new(format, options(block_bytes, max_line), 3);
            let (items, _) = drive(splitter, input, &[chunk], None).unwrap();
            assert_eq!(items, expected, "chunks of {chunk}, blocks of {block_bytes}");
            for push in [take::<0>, take::<5>, take::<1000>] {
                let splitter = Splitter::new(format, options(block_bytes, max_line), 3);
                let (items, _) = drive_by(push, splitter, input, &[chunk, 30], None).unwrap();
                assert_eq!(items, expected, "chunks of {chunk} that are taken, blocks of {block_bytes}");
            }
        }
    }
    check_cuts(format, input, max_line, &expected);
    check_line_cuts(format, input, max_line, &expected);
}

/// A cut falls on the first border at or behind it, and reading goes on there as if nothing had been.
fn check_cuts(format: Format, input: &[u8], max_line: usize, expected: &[Item]) {
    for cut in 1..=input.len() as u64 {
        let mut borders = Vec::new();
        for block_bytes in [5, 4096] {
            for push in [Splitter::push, take::<8>] {
                let splitter = Splitter::new(format, options(block_bytes, max_line), 3);
                let (items, ends) = drive_by(push, splitter, input, &[3, 40, 1], at_byte(cut)).unwrap();
                assert_eq!(items, expected, "cut at {cut}");
                borders.push(
                    ends.iter().copied().find(|end| end.byte >= cut).expect("the object's end is a border"),
                );
            }
        }
        assert!(borders.iter().all(|border| *border == borders[0]), "cut at {cut}: {borders:?}");
        let border = borders[0];
        let split = |item: &&Item| item.byte < border.byte;
        let header = header_of(format, input, max_line);
        if header.is_none() && format == Format::Csv {
            continue;
        }
        let resumed = Splitter::resume(format, options(32, max_line), border, header);
        let (items, _) = drive(resumed, input, &[2], None).unwrap();
        let behind: Vec<_> = expected.iter().skip_while(split).cloned().collect();
        assert_eq!(items, behind, "resumed at {border:?} for the cut at {cut}");
    }
}

/// The header of an object, as it is read when the object goes on.
fn header_of(format: Format, input: &[u8], max_line: usize) -> Option<Head> {
    let mut head = Splitter::new(format, options(16, max_line), 3);
    let mut rest = input;
    loop {
        match head.next(None).unwrap() {
            _ if head.head().is_some() => return head.head(),
            Split::NeedInput if rest.is_empty() => head.finish(),
            Split::NeedInput => rest = &rest[head.push(&rest[..rest.len().min(2)])..],
            _ => return None,
        }
    }
}

fn at_byte(byte: u64) -> Option<Cut> {
    Some(Cut { byte, line: u64::MAX, records: u64::MAX })
}

/// The border nearest to a cut does not depend on how the bytes arrive, and it is the first: every border of
/// a splitter that is cut at every line is one.
fn check_line_cuts(format: Format, input: &[u8], max_line: usize, expected: &[Item]) {
    let size = input.len() as u64;
    let start = || Splitter::new(format, options(32, max_line), 3);
    let mut borders = Vec::new();
    let mut splitter = start();
    let mut rest = input;
    loop {
        let Origin { byte, line, .. } = splitter.position();
        match splitter.next(Some(Cut { byte: byte + 1, line: line + 1, records: u64::MAX })).unwrap() {
            Split::NeedInput if rest.is_empty() => splitter.finish(),
            Split::NeedInput => rest = &rest[splitter.push(rest)..],
            Split::Block(block) => borders.push(block.end),
            Split::End => break,
        }
    }
    for line in 2..=lines_in(input) + 2 {
        for byte in [u64::MAX, size / 2 + 1] {
            let is_cut = |end: &&Origin| end.byte >= byte || end.line >= line;
            let nearest = borders.iter().find(is_cut).or(borders.last());
            for (block_bytes, chunk) in [(1, 1), (7, 3), (64, 2), (64, 1000), (4096, 1000)] {
                let splitter = Splitter::new(format, options(block_bytes, max_line), 3);
                let cut = Some(Cut { byte, line, records: u64::MAX });
                let (items, ends) = drive(splitter, input, &[chunk], cut).unwrap();
                assert_eq!(items, expected, "cut at line {line}");
                let border = ends.iter().find(is_cut).or(ends.last());
                assert_eq!(border, nearest, "cut at line {line}, byte {byte}, blocks of {block_bytes}");
            }
        }
    }
    // After any border, lines are counted from there.
    for (index, border) in borders.iter().enumerate() {
        let Some(next) = borders[index..].iter().find(|end| end.line >= border.line + 2) else { break };
        let header = header_of(format, input, max_line);
        let splitter = Splitter::resume(format, options(64, max_line), *border, header);
        let cut = Some(Cut { byte: u64::MAX, line: border.line + 2, records: u64::MAX });
        let (_, ends) = drive(splitter, input, &[5], cut).unwrap();
        assert_eq!(ends.iter().find(|end| end.line >= border.line + 2), Some(next), "behind {border:?}");
    }
}

/// Where pieces of `bytes` and `lines` end, cut as the engine cuts them.
fn pieces(format: Format, input: &[u8], bytes: u64, lines: u64, block_bytes: usize) -> Vec<Origin> {
    let mut splitter = Splitter::new(format, options(block_bytes, 1000), 0);
    let (mut rest, mut ends) = (input, Vec::new());
    let (mut cut_stream, mut lines_left) = (bytes, lines);
    loop {
        let position = splitter.position();
        match splitter
            .next(Some(Cut { byte: cut_stream, line: position.line + lines_left, records: u64::MAX }))
            .unwrap()
        {
            Split::NeedInput if rest.is_empty() => splitter.finish(),
            Split::NeedInput => rest = &rest[splitter.push(&rest[..rest.len().min(100)])..],
            Split::Block(block) => {
                lines_left = lines_left.saturating_sub(block.end.line - block.origin.line);
                if block.end.byte >= cut_stream || lines_left == 0 {
                    ends.push(block.end);
                    (cut_stream, lines_left) = ((block.end.byte / bytes + 1) * bytes, lines);
                }
                splitter.give_back(block.into_buffer());
            }
            Split::End => return ends,
        }
    }
}

#[test]
fn pieces_are_the_same_for_every_block_size() {
    let json = "{}\n\n{\"a\":\"some text that is longer\"}\n{}\n".repeat(300);
    let csv = format!("{HEADER}{}", "1,2,3\n1,\"\n\n\",3\n\n1,\"2,3\n1,2,3\n".repeat(300));
    for (format, text) in [(Format::Json, json), (Format::Csv, csv)] {
        for (bytes, lines) in [(1000, 7), (300, 100), (1 << 20, 64), (97, 3), (50, 1)] {
            let expected = pieces(format, text.as_bytes(), bytes, lines, 1 << 20);
            assert!(expected.len() > 5);
            for block_bytes in [1, 13, 64, 1000, 5000] {
                let found = pieces(format, text.as_bytes(), bytes, lines, block_bytes);
                assert_eq!(
                    found, expected,
                    "{format}, {bytes} bytes, {lines} lines, blocks of {block_bytes}"
                );
            }
        }
    }
}

#[test]
fn a_block_has_not_too_many_lines() {
    for (format, head, line) in
        [(Format::Json, "", "{}\n"), (Format::Csv, HEADER, "1\n"), (Format::Csv, HEADER, "\"\"\n")]
    {
        let input = format!("{head}{}", line.repeat(100_000));
        let splitter = Splitter::new(format, options(512 << 10, 1000), 0);
        let (items, ends) = drive_quickly(splitter, input.as_bytes());
        assert_eq!(items, 100_000 + u64::from(format == Format::Csv));
        assert!(ends > 5, "{ends} blocks");
    }
}

/// Lines and blocks; no block may have more lines than allowed.
fn drive_quickly(mut splitter: Splitter, mut rest: &[u8]) -> (u64, usize) {
    let (mut lines, mut blocks) = (0, 0);
    loop {
        match splitter.next(None).unwrap() {
            Split::NeedInput if rest.is_empty() => splitter.finish(),
            Split::NeedInput => rest = &rest[splitter.push(rest)..],
            Split::Block(block) => {
                assert!(block.end.line - block.origin.line <= BLOCK_LINES);
                lines += block.end.line - block.origin.line;
                blocks += 1;
                splitter.give_back(block.into_buffer());
            }
            Split::End => return (lines, blocks),
        }
    }
}

fn both_ends(format: Format, input: &str, max_line: usize) {
    check(format, input.as_bytes(), max_line);
    check(format, input.replace('\n', "\r\n").as_bytes(), max_line);
}

#[test]
fn an_endless_line_takes_bounded_memory() {
    for (format, head) in [(Format::Json, ""), (Format::Csv, "Id,A\n"), (Format::Csv, "Id,A\n1,\"")] {
        let mut splitter = Splitter::new(format, options(4096, 10_000), 0);
        assert_eq!(splitter.push(head.as_bytes()), head.len());
        let mut blocks = Vec::new();
        let mut pushed = head.len();
        while pushed < 20_000_000 {
            while let Split::Block(block) = splitter.next(None).unwrap() {
                blocks.push(block);
            }
            let space = splitter.space();
            assert!(space.len() < 100_000);
            space.fill(b'a');
            let filled = space.len();
            splitter.advance(filled);
            pushed += filled;
        }
        splitter.finish();
        loop {
            match splitter.next(None).unwrap() {
                Split::Block(block) => blocks.push(block),
                Split::End => break,
                Split::NeedInput => panic!("the object has ended"),
            }
        }
        let lost: Vec<_> = blocks.iter().filter_map(|block| block.lost.as_ref()).collect();
        assert_eq!(lost.len(), 1, "{format}");
        assert_eq!(lost[0].reason.code, FailureCode::LineTooLong);
        assert_eq!(blocks.last().unwrap().end.byte, pushed as u64);
    }
}

#[test]
fn hostile_quotes_take_linear_time() {
    let lines =
        ["\"\n", "x\",\"y\n", "1,2,3\nx\",\"y\n", "\",\"\n", "1,\"\n", "\"\"\",\"\n", "1,2,\"3\n1,2,3\n"];
    for line in lines {
        let input = format!("{HEADER}{}", line.repeat((8 << 20) / line.len()));
        let begun = std::time::Instant::now();
        let splitter = Splitter::new(Format::Csv, options(256 << 10, 1 << 20), 0);
        let mut splitter = splitter;
        let mut rest = input.as_bytes();
        let mut end = 0;
        loop {
            match splitter.next(None).unwrap() {
                Split::NeedInput if rest.is_empty() => splitter.finish(),
                Split::NeedInput => rest = &rest[splitter.push(rest)..],
                Split::Block(block) => end = block.end.byte,
                Split::End => break,
            }
        }
        assert_eq!(end, input.len() as u64);
        // Rescanning a mebibyte a line would take minutes.
        assert!(begun.elapsed().as_secs() < 20, "{line:?} took {:?}", begun.elapsed());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn csv_does_not_depend_on_how_it_arrives(
        rows in "([12]|\"|,|\n|\r\n|\"\"|x|,\"|\",|1,2,3\n){0,40}",
        max_line in prop_oneof![Just(9_usize), Just(17), Just(1000)],
        block in 1_usize..64,
        chunks in prop::collection::vec(1_usize..20, 1..4),
        cut in (1_u64..100, 1_u64..30),
    ) {
        let input = format!("{HEADER}{rows}");
        let header = naive_record(input.as_bytes());
        let expected = naive_csv(input.as_bytes(), header.len, 3, max_line);
        let splitter = Splitter::new(Format::Csv, options(block, max_line), 3);
        let (items, _) = drive(splitter, input.as_bytes(), &chunks, Some(Cut { byte: cut.0, line: cut.1, records: u64::MAX })).unwrap();
        prop_assert_eq!(items, expected);
    }

    #[test]
    fn lines_do_not_depend_on_how_they_arrive(
        input in "([a{]|\n|\r\n| |aaaaaaa){0,40}",
        block in 1_usize..64,
        chunks in prop::collection::vec(1_usize..20, 1..4),
        cut in (1_u64..100, 1_u64..30),
    ) {
        let splitter = Splitter::new(Format::Json, options(block, 8), 3);
        let (items, _) = drive(splitter, input.as_bytes(), &chunks, Some(Cut { byte: cut.0, line: cut.1, records: u64::MAX })).unwrap();
        prop_assert_eq!(items, naive_lines(input.as_bytes(), 8));
    }
}
