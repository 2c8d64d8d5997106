//! What the splitter and the parsers both know of text: line ends, quotes, the dialect of a CSV object, where JSON
//! objects end, and why an object is refused. It reads nothing and depends on neither of them.

mod dialect;
mod objects;
mod quotes;
mod refused;

use pinport_model::{FailureCode, failure::FailureReason};

pub use dialect::Dialect;
pub use objects::JsonForm;
pub(crate) use objects::{Finder, LOOK_BACK, Step, breaks, form_of, next_start, objects_of};
pub(crate) use quotes::{MARK, content_len, ends_cell, ends_inside, is_blank, is_escaped, opens, walk};
pub use refused::{ObjectRefused, RefusedReason};

/// The reason of a record that is longer than `max_line`.
pub(crate) fn too_long(max_line: u64) -> FailureReason {
    let message = format!("the record is longer than {max_line} bytes (max_line)");
    FailureReason::new(FailureCode::LineTooLong, message)
}
