//! What users see of failures: escaped once, harmless to terminals and logs, bounded, and read back as written.

use pinport_model::{
    Failure, FailureCode, Origin, escape_controls,
    failure::{FailureReason, quoted},
};

use super::input::Input;

/// Checks a failure made of any text.
pub fn check(data: &[u8]) {
    let mut data = Input(data);
    let code = data.of(FailureCode::ALL);
    let origin = Origin { object: 0, byte: data.number(65_535) as u64, line: data.number(65_535) as u64 };
    let (object, member) = (data.text(80), data.text(80));
    let value = String::from_utf8_lossy(data.0);
    let shown = escape_controls(&value);
    harmless(&shown);
    assert_eq!(escape_controls(&shown), shown, "what is escaped stays");
    if value.chars().all(|char| char.is_ascii_graphic() || char == ' ') {
        assert_eq!(shown, value);
    }
    assert_eq!(unescaped(&shown, &value), Some(()), "it says what was there");
    let quote = quoted(&value);
    harmless(&quote);
    assert!(quote.chars().count() <= 256 * 10 + 3, "at most 256 characters, the longest escape each");
    let reason = FailureReason::of(&*member, code, quote).at(origin.byte);
    let failure = reason.locate(&object, origin);
    let line = failure.to_string();
    harmless(&line);
    assert!(failure.class_member().is_some());
    let json = serde_json::to_string(&failure).expect("a failure has only strings and numbers");
    harmless(&json);
    assert_eq!(serde_json::from_str::<Failure>(&json).expect("what was written"), failure);
    // A damaged line of a failures file.
    let _ = serde_json::from_slice::<Failure>(data.0);
}

/// No character moves a cursor, hides or reorders text, or ends a line.
fn harmless(text: &str) {
    for char in text.chars() {
        let number = u32::from(char);
        let bad = number < 0x20
            || (0x7f..0xa0).contains(&number)
            || (0x200b..0x2010).contains(&number)
            || (0x2028..0x202f).contains(&number)
            || (0x2066..0x206a).contains(&number)
            || number == 0x2060
            || number == 0xfeff;
        assert!(!bad, "U+{number:04X} in {text:?}");
    }
}

/// Whether `shown` is `text` with some characters as escapes.
fn unescaped(shown: &str, text: &str) -> Option<()> {
    let mut rest = shown;
    for char in text.chars() {
        let escape = char.escape_default().to_string();
        rest = rest.strip_prefix(char).or_else(|| rest.strip_prefix(&escape))?;
    }
    rest.is_empty().then_some(())
}
