//! What the fuzz targets check, each a function of bytes: [`TARGETS`] names them all.
//!
//! The targets in `fuzz_targets/` hand them what libFuzzer makes up; the test `fuzz` of the workspace includes this
//! file and hands them the corpus, on the stable compiler and without libFuzzer. A check fails by panicking, and
//! each has an oracle: another reader of the same bytes, or what the bytes were made from.

pub mod arrival;
pub mod checkpoint;
pub mod csv_object;
pub mod decode;
pub mod failure;
pub mod framing;
pub mod input;
pub mod json_record;
pub mod listing;
pub mod location;
#[path = "../../pipeline/src/split/naive.rs"]
mod naive;
#[path = "../../pipeline/src/parse/tests/oracle.rs"]
mod oracle;
pub mod record;
pub mod route;
pub mod seen;
pub mod signature;
#[path = "../../server/src/access/sigv4/signer.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod signer;
pub mod token;
pub mod where_text;

/// A target's name and what it checks of some bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("split_json", arrival::json),
    ("split_csv", arrival::csv),
    ("json_record", json_record::check),
    ("csv_object", csv_object::check),
    ("decode", decode::check),
    ("location", location::check),
    ("listing", listing::check),
    ("route", route::check),
    ("framing", framing::check),
    ("signature", signature::check),
    ("token", token::check),
    ("record", record::check),
    ("checkpoint", checkpoint::check),
    ("failure", failure::check),
    ("where_text", where_text::check),
];
