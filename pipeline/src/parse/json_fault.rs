//! Says what is wrong with a line that is no JSON, and where. Only failed lines come here, so it may be slow.

use pinport_model::{FailureCode, failure::FailureReason};

use super::csv::not_utf8;

/// Why `line` cannot be read.
#[cold]
pub(super) fn explain(line: &[u8], max_depth: usize) -> FailureReason {
    if let Err(error) = simdutf8::compat::from_utf8(line) {
        return not_utf8(line, error.valid_up_to());
    }
    if let Some(at) = too_deep(line, max_depth) {
        let message = format!("the JSON is nested deeper than {max_depth} levels (max_depth)");
        return FailureReason::new(FailureCode::TooDeep, message).at(at as u64);
    }
    if let Some((at, half)) = half_a_pair(line) {
        let message = format!(
            "the line is no JSON: {half} is half of a surrogate pair; the text was cut in the middle of a character"
        );
        return FailureReason::new(FailureCode::InvalidJson, message).at(at as u64);
    }
    match serde_json::from_slice::<serde_json::Value>(line) {
        Err(error) => {
            // Its text ends with the place, which we give in our own way.
            let text = error.to_string();
            let what = text.split(" at line ").next().unwrap_or_default();
            let message = format!("the line is no JSON: {what}");
            FailureReason::new(FailureCode::InvalidJson, message).at(error.column().saturating_sub(1) as u64)
        }
        Ok(_) => FailureReason::new(FailureCode::InvalidJson, "the line is no JSON"),
    }
}

/// Where an escape stands for half of a surrogate pair, and the escape.
fn half_a_pair(line: &[u8]) -> Option<(usize, &str)> {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &line[at..]) {
        at += found;
        let unit = |at: usize| {
            let escape = line.get(at..at + 6)?;
            let digits = escape.strip_prefix(b"\\u").and_then(|digits| str::from_utf8(digits).ok())?;
            u16::from_str_radix(digits, 16).ok()
        };
        match unit(at) {
            Some(0xd800..0xdc00) if matches!(unit(at + 6), Some(0xdc00..0xe000)) => at += 12,
            Some(0xd800..0xe000) => return Some((at, str::from_utf8(&line[at..at + 6]).unwrap_or_default())),
            _ => at += 2,
        }
        if at >= line.len() {
            break;
        }
    }
    None
}

/// Where the nesting exceeds `max_depth`.
fn too_deep(line: &[u8], max_depth: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for (at, byte) in line.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > max_depth {
                    return Some(at);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_pairs_are_found() {
        assert_eq!(half_a_pair(br#"{"a":"\\ud83d \ud83d\ude00 \n"}"#), None);
        assert_eq!(half_a_pair(br#"{"a":"\ud83d"}"#), Some((6, "\\ud83d")));
        assert_eq!(half_a_pair(br#"{"a":"\ude00\ud83d"}"#), Some((6, "\\ude00")));
        assert_eq!(half_a_pair(br#"\ud83d\"#), Some((0, "\\ud83d")));
    }

    #[test]
    fn depth_is_of_what_is_open() {
        assert_eq!(too_deep(br#"[{"a":[1]},{"b":[2]},[[3]]]"#, 3), None);
        assert_eq!(too_deep(br#"[{"a":[1]},{"b":[2]},[[3]]]"#, 2), Some(6));
        assert_eq!(too_deep(br#"]}[{"[[[\"[[[":1}]"#, 2), None, "what closes nothing, and brackets in text");
    }
}
