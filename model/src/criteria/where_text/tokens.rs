//! A line of text in words, texts, numbers and signs, each with its place.

use super::WhereError;

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Letters, digits, `_` and `-`, beginning with a letter.
    Word(String),
    /// In double quotes or backticks: a name.
    Name(String),
    /// In single quotes: a value.
    Text(String),
    /// A number, as it is written.
    Number(String),
    Sign(&'static str),
    End,
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// The byte where it begins.
    pub(super) at: usize,
}

/// Longer ones first.
const SIGNS: [&str; 11] = ["<=", ">=", "<>", "!=", "=", "<", ">", "(", ")", ",", "."];

/// The tokens of a text, with one at its end.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, WhereError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (kind, length) = match first {
            '\'' | '"' | '`' => {
                let (value, length) = quoted(rest, first).ok_or_else(|| {
                    WhereError::new(at, format!("the text that begins here has no end: {first} is missing"))
                })?;
                (if first == '\'' { Kind::Text(value) } else { Kind::Name(value) }, length)
            }
            _ if first.is_alphabetic() || first == '_' => {
                let end =
                    rest.find(|letter: char| !(letter.is_alphanumeric() || matches!(letter, '_' | '-')));
                let word = &rest[..end.unwrap_or(rest.len())];
                (Kind::Word(word.to_owned()), word.len())
            }
            _ if first.is_ascii_digit() || begins_number(rest) => {
                let end = rest.find(|letter: char| {
                    !(letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '+'))
                });
                let number = &rest[..end.unwrap_or(rest.len())];
                if number.parse::<f64>().is_err() {
                    let message = format!("{number} is no number; a text stands in quotes: '{number}'");
                    return Err(WhereError::new(at, message));
                }
                (Kind::Number(number.to_owned()), number.len())
            }
            _ => match SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
                Some(sign) => (Kind::Sign(sign), sign.len()),
                None => return Err(WhereError::new(at, format!("{first:?} is not known here"))),
            },
        };
        tokens.push(Token { kind, at });
        at += length;
    }
    tokens.push(Token { kind: Kind::End, at: text.len() });
    Ok(tokens)
}

fn begins_number(rest: &str) -> bool {
    rest.strip_prefix(['-', '+']).is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()))
}

/// What stands between quotes, with the length of all; a quote that is doubled stands for itself.
fn quoted(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut letters = rest.char_indices().skip(1).peekable();
    while let Some((place, letter)) = letters.next() {
        if letter != quote {
            value.push(letter);
        } else if letters.next_if(|(_, next)| *next == quote).is_some() {
            value.push(quote);
        } else {
            return Some((value, place + 1));
        }
    }
    None
}
