//! What an error, or a panic, says in one line.

use std::{any::Any, error::Error};

/// An error with its causes, in one line. A cause that the text before has already is left out.
pub fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |error| (*error).source());
    causes.map(ToString::to_string).fold(error.to_string(), |text, cause| {
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

/// What a caught panic says.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it left no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Nested(&'static str, #[source] Option<Box<Nested>>);

    #[test]
    fn a_cause_is_said_once() {
        let cause = Nested("the disk is full", None);
        let known = Nested("failed to write: the disk is full", Some(Box::new(cause)));
        let error = Nested("the job stopped", Some(Box::new(known)));
        assert_eq!(with_causes(&error), "the job stopped: failed to write: the disk is full");
    }

    #[test]
    fn a_panic_says_its_text() {
        let number = 17;
        for (panic, text) in [
            (std::panic::catch_unwind(|| panic!("at {number}")), "at 17"),
            (std::panic::catch_unwind(|| panic!("plainly")), "plainly"),
            (std::panic::catch_unwind(|| std::panic::panic_any(number)), "it left no message"),
        ] {
            assert_eq!(panic_text(&*panic.unwrap_err()), text);
        }
    }
}
