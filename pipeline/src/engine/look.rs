//! A look at the data before a job is created: is there an object, and does it hold what the caller says?

use pinport_model::{FailureCode, Format, PlannedObject, ReadOptions, RecordLimits, Timestamp};

use crate::{
    limits::LOOK_BYTES,
    parse::{ParseContext, Parser},
    source::{Source, SourceError},
    split::{SplitOptions, Splitter},
};

/// Opens the first matching object that may hold records and reads the first of them.
///
/// # Errors
/// What listing and opening say; [`SourceError::NoMatch`] when no object would be read; and
/// [`SourceError::Refused`] when none of the first records is of `format`, with the reason of the first.
pub fn look(
    source: &Source,
    format: Format,
    limits: RecordLimits,
    read: &ReadOptions,
) -> Result<PlannedObject, SourceError> {
    let (object, head) = first_data(source, format, LOOK_BYTES)?;
    let name = source.url(&object.key);
    look_at(&head, format, limits, read).map_err(|reason| SourceError::Refused { url: name, reason })?;
    Ok(object)
}

/// The first matching object that may hold records, and its first decoded bytes.
///
/// # Errors
/// What listing and opening say; [`SourceError::NoMatch`] when no object would be read.
pub fn first_data(
    source: &Source,
    format: Format,
    bytes: usize,
) -> Result<(PlannedObject, Vec<u8>), SourceError> {
    let mut first = None;
    // Objects of a folder that hold no records are lost one by one; they do not keep the others from being read.
    let mut no_data = None;
    let listed = source.list(format, &mut |object| {
        if object.skipped.is_some() {
            return Ok(());
        }
        match source.head(&object, bytes) {
            Err(error @ SourceError::NotData { .. }) => {
                no_data.get_or_insert(error);
                return Ok(());
            }
            head => first = Some((object, head)),
        }
        Err(SourceError::Cancelled)
    });
    match first {
        Some((object, head)) => Ok((object, head?)),
        None => Err(no_data.or(listed.err()).unwrap_or(SourceError::Cancelled)),
    }
}

/// Bytes of a block of the first records: most often one of them is good, and no more is read.
const FEW_RECORDS: usize = 4 << 10;

/// The reason why these first bytes are not of `format`.
fn look_at(head: &[u8], format: Format, limits: RecordLimits, read: &ReadOptions) -> Result<(), String> {
    // The head may end in the middle of a record: what follows its last line break is no record yet.
    let whole = if head.len() < LOOK_BYTES {
        head.len()
    } else {
        memchr::memrchr(b'\n', head).map_or(0, |at| at + 1)
    };
    if whole == 0 {
        return Ok(());
    }
    let context = ParseContext::new(read, limits, Timestamp::now()).map_err(|wrong| wrong.to_string())?;
    let mut splitter = Splitter::new(format, SplitOptions::of(&context, FEW_RECORDS), 0);
    let mut parser = Parser::new();
    let mut rest = &head[..whole];
    let mut first_mismatch = None;
    while let Some(block) = splitter.next_of(&mut rest, None).map_err(|refused| refused.to_string())? {
        let (parsed, _) = parser.parse(block, &context);
        // A record that fails for another reason is of the right format all the same.
        let mismatch = |code| matches!(code, FailureCode::InvalidJson | FailureCode::NotAnObject);
        if parsed.registered > 0 || parsed.failed.iter().any(|failed| !mismatch(failed.reason.code)) {
            return Ok(());
        }
        if first_mismatch.is_none() {
            first_mismatch = parsed.failed.into_iter().next();
        }
    }
    match first_mismatch {
        Some(failed) => {
            let failure = failed.reason.locate("", failed.origin);
            Err(format!("it does not look like {format}:{failure}"))
        }
        None => Ok(()),
    }
}
