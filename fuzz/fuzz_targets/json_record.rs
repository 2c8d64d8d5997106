//! A line is JSON for us exactly if it is for serde_json.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pinport_fuzz::{Arrival, outcome};
use pinport_model::{FailureCode, Format, RecordLimits};

fuzz_target!(|data: &[u8]| {
    let blank = data.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
    let marked =
        data.starts_with(b"\xef\xbb\xbf") || data.starts_with(b"\xff\xfe") || data.starts_with(b"\xfe\xff");
    if blank || marked || data.contains(&b'\n') || data.starts_with(b"\0\0\xfe\xff") {
        return;
    }
    let arrival = Arrival { chunk: usize::MAX, block: 1 << 16, cut: None };
    let said = outcome(Format::Json, data, arrival, RecordLimits::default()).expect("no mark, no refusal");
    assert_eq!(said.good + said.failed.len(), 1);
    let no_json = said.failed.iter().any(|failed| {
        matches!(failed.2, FailureCode::InvalidJson | FailureCode::InvalidUtf8 | FailureCode::TooDeep)
    });
    let too_deep = said.failed.iter().any(|failed| failed.2 == FailureCode::TooDeep);
    let oracle = serde_json::from_slice::<serde_json::Value>(data);
    assert!(no_json == oracle.is_err() || too_deep, "{said:?} {oracle:?}");
});
