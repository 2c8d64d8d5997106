//! One endpoint that comes by itself, as the service's UpdateEndpoint brings it: judged by the same rules as a
//! record of a file.

use pinport_model::{Draft, FailureCode, Origin, ReadRules, RecordLimits, Timestamp, failure::FailureReason};
use pinport_store::{DraftBatch, DraftKind};
use simd_json::{Buffers, Tape};

use super::{
    Judged, Unknown, json_fault, json_walk,
    validate::{self, failed},
};

/// Reads one JSON object and hands its draft to `take`. The endpoint's id is `id`, whatever the object says.
///
/// # Errors
/// Why the record fails.
pub fn with_endpoint<T>(
    body: &[u8],
    id: &str,
    limits: &RecordLimits,
    take: impl FnOnce(&mut Draft<'_>) -> T,
) -> Result<T, FailureReason> {
    read(body, id, limits, take).map_err(|reason| *reason)
}

fn read<T>(
    body: &[u8],
    id: &str,
    limits: &RecordLimits,
    take: impl FnOnce(&mut Draft<'_>) -> T,
) -> Judged<T> {
    if body.len() > limits.max_line {
        let message = format!("the record has {} bytes, the limit is {}", body.len(), limits.max_line);
        return Err(Box::new(FailureReason::new(FailureCode::LineTooLong, message)));
    }
    let mut line = body.to_vec();
    line.resize(body.len() + simd_json::INPUT_PADDING, 0);
    let mut buffers = Buffers::with_max_depth(body.len(), limits.max_depth);
    let mut tape = Tape(Vec::new());
    simd_json::fill_tape_padded(&mut line, body.len(), &mut buffers, &mut tape)
        .map_err(|_| Box::new(json_fault::explain(body, limits.max_depth)))?;
    let mut draft = Draft::default();
    json_walk::record(&tape.0, limits, &mut Unknown::default(), &mut draft)?;
    draft.id = Some(id);
    // The service takes what it is given.
    let rules = ReadRules { allow_suspicious: true, allow_incomplete: true, ..ReadRules::default() };
    let kind = validate::kind(limits, &rules, &draft)?;
    debug_assert!(kind != DraftKind::UserOnly, "it has an id");
    let origin = Origin { object: 0, byte: 0, line: 1 };
    let stored = DraftBatch::new(origin, Timestamp::from_millis(0)).push(&mut draft, kind, id, &[], origin);
    if stored > limits.max_endpoint {
        let message = format!("the endpoint takes {stored} bytes, the limit is {}", limits.max_endpoint);
        return failed("", FailureCode::EndpointTooLarge, message);
    }
    Ok(take(&mut draft))
}

#[cfg(test)]
mod tests {
    use pinport_model::TextMember;

    use super::*;

    #[test]
    fn an_endpoint_is_judged_like_a_record() {
        let limits = RecordLimits::default();
        let read = |body: &str| {
            with_endpoint(body.as_bytes(), "e1", &limits, |draft| {
                assert_eq!(draft.id, Some("e1"));
                draft.text(TextMember::Address).map(str::to_owned)
            })
        };
        assert_eq!(
            read("{\n \"Address\": \"a\",\n \"ChannelType\": \"EMAIL\", \"Id\": \"other\"}"),
            Ok(Some("a".into()))
        );
        assert_eq!(read(r#"{"Attributes":{"x":["1"]}}"#), Ok(None));
        for (body, code) in [
            ("", FailureCode::InvalidJson),
            ("[]", FailureCode::NotAnObject),
            (r#"{"ChannelType":"PIGEON"}"#, FailureCode::UnknownValue),
            (r#"{"Address":""}"#, FailureCode::InvalidId),
            (r#"{"User":{"UserAttributes":{"a":["b"]}}}"#, FailureCode::MissingMember),
        ] {
            assert_eq!(read(body).unwrap_err().code, code, "{body}");
        }
        let many: Vec<_> = (0..250).map(|n| format!(r#""a{n}":["{}"]"#, "x".repeat(90))).collect();
        let large = format!(r#"{{"Attributes":{{{}}}}}"#, many.join(","));
        assert_eq!(read(&large).unwrap_err().code, FailureCode::EndpointTooLarge);
    }

    #[test]
    fn limits_are_the_largest_that_pass() {
        let body = r#"{"Attributes":{"x":["1"]}}"#;
        let read = |max_line, max_endpoint| {
            let limits = RecordLimits { max_line, max_endpoint, ..RecordLimits::default() };
            with_endpoint(body.as_bytes(), "e1", &limits, |_| ())
        };
        let (line, most) = (body.len(), RecordLimits::default().max_endpoint);
        assert_eq!(read(line, most), Ok(()));
        assert_eq!(read(line - 1, most).unwrap_err().code, FailureCode::LineTooLong);
        let message = read(line, 1).unwrap_err().message;
        let takes = message.split(' ').find_map(|word| word.parse().ok()).unwrap();
        assert_eq!(read(line, takes), Ok(()));
        assert_eq!(read(line, takes - 1).unwrap_err().code, FailureCode::EndpointTooLarge);
    }
}
