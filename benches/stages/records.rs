//! Bytes to blocks, and blocks to encoded drafts.

use pinport_model::{Format, ReadRules, RecordLimits, Timestamp};
use pinport_pipeline::{
    engine::EngineOptions,
    parse::{
        ParseContext, Parser,
        block::{Block, ParsedBlock},
    },
    split::{Split, SplitOptions, Splitter},
};

use crate::{
    Wanted,
    clock::{self, Cost},
    data::Data,
};

pub(crate) fn run(wanted: &Wanted, data: &Data) {
    for (name, format) in [("JSON", Format::Json), ("CSV", Format::Csv)] {
        let bytes = data.of(format);
        let header =
            if format == Format::Csv { 1 + bytes.iter().position(|byte| *byte == b'\n').unwrap() } else { 0 };
        wanted.measure(&format!("split {name}"), data.rows, bytes.len() as u64, || {
            let (mut held, mut reused) = (0, 0);
            let cost = split(format, bytes, |block| {
                held += block.bytes().len();
                reused += 1;
                Some(block.into_buffer())
            });
            assert_eq!(held, bytes.len() - header);
            assert!(reused > 1);
            cost
        });
        wanted.measure(&format!("parse and encode {name}"), data.rows, bytes.len() as u64, || {
            parse_all(format, bytes, (data.rows, 0))
        });
    }
    let broken = &data.broken;
    wanted.measure("parse and encode JSON, 1% failing", data.rows, broken.json.len() as u64, || {
        parse_all(Format::Json, &broken.json, (data.rows - broken.failed, broken.failed))
    });
}

/// Splits all of `bytes`, as they would be read from a file. `each` may give a block's buffer back.
pub(crate) fn split(format: Format, bytes: &[u8], mut each: impl FnMut(Block) -> Option<Vec<u8>>) -> Cost {
    let ((), cost) = clock::thread(|| {
        let options =
            SplitOptions { block_bytes: EngineOptions::default().block_bytes, ..SplitOptions::default() };
        let mut splitter = Splitter::new(format, options, 0);
        let mut rest = bytes;
        loop {
            match splitter.next(None).unwrap() {
                Split::NeedInput if rest.is_empty() => splitter.finish(),
                Split::NeedInput => rest = &rest[splitter.push(rest)..],
                Split::Block(block) => {
                    if let Some(buffer) = each(block) {
                        splitter.give_back(buffer);
                    }
                }
                Split::End => break,
            }
        }
    });
    cost
}

/// Parses all of `bytes`; only parsing counts. `expected`: drafts and failures.
fn parse_all(format: Format, bytes: &[u8], expected: (u64, u64)) -> Cost {
    let mut parser = Parser::new();
    let mut counts = (0, 0);
    let mut cost = Vec::new();
    split(format, bytes, |block| {
        let ((parsed, buffer), took) = clock::thread(|| parser.parse(block, &context()));
        counts.0 += parsed.drafts.len() as u64;
        counts.1 += parsed.failed.len() as u64;
        // Freed where the engine frees it: far from the parser.
        cost.push(took);
        Some(buffer)
    });
    assert_eq!(counts, expected, "drafts and failures");
    cost.into_iter().sum()
}

/// The parsed blocks of `bytes`, none of which may fail.
pub(crate) fn parsed(format: Format, bytes: &[u8]) -> Vec<ParsedBlock> {
    let mut parser = Parser::new();
    let mut blocks = Vec::new();
    split(format, bytes, |block| {
        let (parsed, buffer) = parser.parse(block, &context());
        assert!(parsed.failed.is_empty(), "{:?}", parsed.failed);
        blocks.push(parsed);
        Some(buffer)
    });
    blocks
}

fn context() -> ParseContext {
    ParseContext {
        now: Timestamp::from_millis(1_790_000_000_000),
        limits: RecordLimits::default(),
        rules: ReadRules::default(),
        map: None,
        mark: None,
    }
}
