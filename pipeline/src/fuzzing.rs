//! What the fuzz targets see of the inside of this crate: the way of reading that judges every line, the
//! decoder, the lines of a plan, and the addresses of objects. For `fuzz/` alone; nothing else may call it.

use std::io;

use pinport_model::{PlannedObject, job::PlanSummary};

use crate::{
    engine::files,
    parse::Parser,
    source::{self, Compression},
};

/// What came out of a decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// What was detected by content.
    pub compression: Compression,
    /// All that was handed out.
    pub bytes: Vec<u8>,
    /// How it ended: what went wrong, in words.
    pub end: Result<(), String>,
    /// Bytes of the input that were used.
    pub used: u64,
}

/// Decodes `input` that arrives in chunks of `chunk` bytes, into buffers of `room` bytes, up to `most` bytes.
pub fn decode(input: &[u8], chunk: usize, room: usize, most: u64) -> Decoded {
    let (bytes, end, used) = source::fuzzing::decode(input, chunk, room, most);
    Decoded { compression: Compression::of(input), bytes, end, used }
}

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

/// The URL that an object of a bucket on this machine is asked for at.
pub fn object_url(bucket: &str, key: &str) -> Result<String, String> {
    source::fuzzing::object_url(bucket, key)
}

/// The objects on a page of a store's listing, and how to ask for the next page.
pub fn read_listing(body: &[u8]) -> Result<(Vec<PlannedObject>, Option<String>), String> {
    source::fuzzing::listing(body)
}
