//! A JSON object means the same to the reader that takes plain lines in one pass and to the one that judges every
//! line, to the last bit; and a line means to both what it means to serde_json.

use pinport_model::{FailureCode, Format, Origin};
use pinport_pipeline::{fuzzing::judging_parser, parse::Parser, split::Head, text::JsonForm};

use super::{
    input::Input,
    oracle,
    seen::{BOUNDS, Seen, WHOLE, WIDE, assert_says, checked, narrow, read},
};

/// Checks some lines.
pub fn check(data: &[u8]) {
    let mut data = Input(data);
    let strict = data.byte() < 200;
    let limits = if strict {
        WIDE
    } else {
        pinport_model::RecordLimits { max_depth: 32, max_line: 1 << 20, ..narrow() }
    };
    let input = data.0;
    let both = [judging_parser(), Parser::new()]
        .map(|mut parser| read(&mut parser, Format::Json, input, WHOLE, limits));
    let [judged, taken] = both;
    assert_eq!(judged, taken, "both ways say the same");
    // What is no UTF-8 by its mark is refused.
    let Ok(judged) = judged else { return };
    let good = judged.drafts.len() as u64;
    assert_eq!(checked(Format::Json, input, limits), Ok((good, judged.failed.clone())), "so does a check");
    // Objects that are not lines have tests of their own.
    if matches!(judged.head, Some(Head::Json(JsonForm::Objects { .. }))) {
        return;
    }
    let mark = if input.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let mut at = mark;
    for line in input[mark..].split_inclusive(|byte| *byte == b'\n') {
        let content = line.strip_suffix(b"\n").unwrap_or(line);
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        if !content.iter().all(|byte| b" \t\r\n".contains(byte)) {
            as_serde(content, at as u64, &judged, strict);
        }
        at += line.len();
    }
}

/// What is said of the line at `at` is what serde_json reads.
fn as_serde(line: &[u8], at: u64, seen: &Seen, strict: bool) {
    use FailureCode::{
        EndpointTooLarge, InvalidDate, InvalidId, InvalidJson, InvalidName, InvalidUtf8, MissingMember,
        NotAnObject, TooDeep,
    };
    let (draft, failed) = seen.at(at);
    let is_within = |origin: &Origin| (at..at + line.len() as u64).contains(&origin.byte);
    let drafts = seen.drafts.iter().filter(|draft| is_within(&draft.origin)).count();
    let several = drafts + seen.failed.iter().filter(|failed| is_within(&failed.0)).count() > 1;
    let is_no_object = matches!(oracle::read(line), Err(InvalidJson | NotAnObject));
    if is_no_object && (several || failed.is_none() && (draft.is_none() || drafts == 1)) {
        // Several objects on the line, or one with something harmless around it.
        let around = |byte: &u8| b" \t\r,[]\xef\xbb\xbf".contains(byte);
        assert!(several || line.iter().any(around), "what was read of the line?");
        return;
    }
    assert!(draft.is_some() != failed.is_some(), "a line is one record");
    let last = |code: &FailureCode| {
        let always = [MissingMember, InvalidDate, InvalidId, InvalidName, EndpointTooLarge, TooDeep];
        always.contains(code) || (!strict && BOUNDS.contains(code))
    };
    match (oracle::read(line), draft, failed) {
        (Ok(members), Some(draft), _) => assert_says(draft, members),
        (Ok(_), None, Some(code)) => assert!(last(&code), "{code} for a good line"),
        (Err(expected @ (InvalidJson | InvalidUtf8 | NotAnObject)), _, found) => {
            assert!(found == Some(expected) || found == Some(TooDeep), "{found:?} for {expected}");
        }
        (Err(expected), _, found) => {
            assert!(
                found == Some(expected) || found.is_some_and(|code| last(&code)),
                "{found:?} for {expected}"
            );
        }
        (Ok(_), None, None) => unreachable!("a line is one record"),
    }
}
