//! What the fuzz targets see of the inside of this crate: the way of reading that judges every line, the
//! decoder, the lines of a plan, and the addresses of objects. For `fuzz/` alone; nothing else may call it.

use std::io;

use pinport_model::{PlannedObject, job::PlanSummary};

use crate::{engine::files, parse::Parser};

pub use crate::source::fuzzing::{Decoded, decode, object_url, read_listing};

/// A parser that reads no line in one pass: what it says is what any other must say.
pub fn judging_parser() -> Parser {
    Parser::judging()
}

/// The text of a plan.
pub fn write_plan(objects: Vec<PlannedObject>, summary: PlanSummary) -> io::Result<Vec<u8>> {
    files::plan_of(objects, summary)
}

/// The objects of a plan's text that are read.
pub fn read_plan(text: &[u8]) -> io::Result<Vec<PlannedObject>> {
    files::objects_of(text).collect()
}
