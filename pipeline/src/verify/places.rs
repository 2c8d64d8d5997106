//! Finds the records of a source again by the ids of their endpoints: where a difference comes from.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use pinport_model::ImportDefinition;
use tokio_util::sync::CancellationToken;

use crate::{
    engine::{JobError, files},
    limits::VERIFY_BLOCK,
    parse::{ParseContext, Parser},
    source::{ObjectReader, Source},
    split::{Split, SplitOptions, Splitter},
};

/// Where a record is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The object, as messages name it.
    pub(super) object: String,
    /// Its line, from 1.
    pub(super) line: u64,
}

/// The last records of a job's source that speak of these endpoints. What cannot be read is passed over: the import said
/// so already. `folder`: the job's, for its plan.
///
/// # Errors
/// If the plan cannot be read, or `cancel` fires.
pub(super) fn places(
    source: &Source,
    folder: &Path,
    definition: &ImportDefinition,
    ids: &HashSet<&str>,
    cancel: &CancellationToken,
) -> Result<HashMap<String, Place>, JobError> {
    let context = ParseContext::new(&definition.read, definition.limits, pinport_model::Timestamp::now())
        .map_err(JobError::Mapping)?;
    let mut stream = source.read(files::objects_to_read(folder)?, 0);
    let (mut found, mut parser, mut number) = (HashMap::new(), Parser::new(), 0);
    while let Some(object) = stream.next_object() {
        if cancel.is_cancelled() {
            return Err(JobError::Cancelled);
        }
        if let Ok(mut object) = object {
            let name = source.url(&object.object().key);
            let mut splitter =
                Splitter::new(definition.format, SplitOptions::of(&context, VERIFY_BLOCK), number);
            while let Some(lines) = next_lines(&mut object, &mut splitter, &mut parser, &context) {
                for (id, line) in lines {
                    if ids.contains(id.as_str()) {
                        found.insert(id, Place { object: name.clone(), line });
                    }
                }
            }
        }
        number += 1;
    }
    Ok(found)
}

/// The ids and lines of the next block's records; nothing at the object's end, or where it cannot be read.
fn next_lines(
    object: &mut ObjectReader<'_>,
    splitter: &mut Splitter,
    parser: &mut Parser,
    context: &ParseContext,
) -> Option<Vec<(String, u64)>> {
    loop {
        match splitter.next(None).ok()? {
            Split::NeedInput => match object.read(splitter.space()).ok()? {
                0 => splitter.finish(),
                read => splitter.advance(read),
            },
            Split::Block(block) => {
                let (parsed, buffer) = parser.parse(block, context);
                splitter.give_back(buffer);
                let drafts = &parsed.drafts;
                let record = |index| Some((drafts.id(index)?.to_owned(), drafts.origin(index)?.line));
                return Some((0..drafts.len()).filter_map(record).collect());
            }
            Split::End => return None,
        }
    }
}
