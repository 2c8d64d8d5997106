//! What the fuzz targets share: one object through the splitter and the parser, however it arrives.

use pinport_model::{ApplicationId, FailureCode, Format, RecordLimits, Timestamp};
use pinport_pipeline::{
    parse::{ParseContext, Parser},
    split::{Cut, ObjectRefused, Split, SplitOptions, Splitter},
};

/// Small, so that short inputs reach them.
pub fn limits() -> RecordLimits {
    RecordLimits { max_line: 64, max_depth: 8, max_columns: 8, ..RecordLimits::default() }
}

/// How an object arrives.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Bytes of a read.
    pub chunk: usize,
    /// Bytes of a block.
    pub block: usize,
    /// Where a block must end.
    pub cut: Option<u64>,
}

/// What was said of an object.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Good records.
    pub good: usize,
    /// Place, code and bytes of the failed ones.
    pub failed: Vec<(u64, u64, FailureCode, Option<Vec<u8>>)>,
}

/// Splits and parses `input`, and checks that every byte is accounted for.
pub fn outcome(
    format: Format,
    input: &[u8],
    arrival: Arrival,
    limits: RecordLimits,
) -> Result<Outcome, ObjectRefused> {
    let options = SplitOptions { block_bytes: arrival.block, limits };
    let context = ParseContext {
        application: ApplicationId::from_bytes([7; 16]),
        now: Timestamp::from_millis(0),
        limits,
    };
    let mut splitter = Splitter::new(format, options, 0);
    let mut parser = Parser::new();
    let mut outcome = Outcome::default();
    let mut rest = input;
    let mut end = splitter.position();
    loop {
        match splitter.next(arrival.cut.map(|byte| Cut { byte, line: u64::MAX }))? {
            Split::NeedInput if rest.is_empty() => splitter.finish(),
            Split::NeedInput => {
                let chunk = rest.len().min(arrival.chunk.max(1));
                rest = &rest[splitter.push(&rest[..chunk])..];
            }
            Split::Block(block) => {
                assert_eq!(block.origin, end);
                end = block.end;
                let (parsed, buffer) = parser.parse(block, &context);
                outcome.good += parsed.drafts.len();
                outcome.failed.extend(
                    parsed.failed.into_iter().map(|failed| {
                        (failed.origin.byte, failed.origin.line, failed.reason.code, failed.raw)
                    }),
                );
                splitter.give_back(buffer);
            }
            Split::End => break,
        }
    }
    assert_eq!(end.byte, input.len() as u64);
    Ok(outcome)
}

/// Asserts that what is said of `input` does not depend on how it arrives. The first three bytes say how.
pub fn check_arrival(format: Format, data: &[u8]) {
    let [chunk, block, cut, input @ ..] = data else { return };
    let whole = Arrival { chunk: usize::MAX, block: 1 << 16, cut: None };
    let other =
        Arrival { chunk: usize::from(*chunk), block: usize::from(*block), cut: Some(u64::from(*cut)) };
    assert_eq!(outcome(format, input, whole, limits()), outcome(format, input, other, limits()));
}
