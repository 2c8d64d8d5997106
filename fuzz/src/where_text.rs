//! Criteria in words: what is understood is within the service's bounds, and says the same in brackets, with spaces
//! around it, and as JSON; what is not has a place in the text.

use pinport_model::{Criteria, criteria::parse};

/// Brackets that may lie one within the other, less one.
const DEPTH: usize = 49;

/// Checks a text of criteria.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let text = text.as_ref();
    match parse(text) {
        Ok(criteria) => {
            assert_eq!(criteria.check(), Ok(()));
            let json = serde_json::to_string(&criteria).expect("criteria are JSON");
            assert_eq!(serde_json::from_str::<Criteria>(&json).ok().as_ref(), Some(&criteria), "{json}");
            assert_eq!(parse(&format!(" {text}\n")).as_ref(), Ok(&criteria));
            if text.matches('(').count() < DEPTH {
                assert_eq!(parse(&format!("({text})")).as_ref(), Ok(&criteria));
            }
        }
        Err(error) => {
            assert!(text.is_char_boundary(error.at), "at {} of {} bytes", error.at, text.len());
            assert!(!error.message.is_empty());
            let pointed = error.pointed(text);
            let caret = pointed.lines().last().expect("it has lines");
            assert_eq!(caret.chars().count(), 3 + text[..error.at].chars().count(), "{pointed}");
        }
    }
}
