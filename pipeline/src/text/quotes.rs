//! Where quoted CSV cells begin and end, one physical line at a time.
//!
//! The rules are RFC 4180's and a little more: a quote opens a cell only as its first character that is not white
//! space; inside, two quotes are one, and in some dialects a backslash escapes one. After the closing quote only white
//! space, a separator or the line's end should follow; other text is `stray`. A carriage return ends a line only before
//! a newline: where it does so by itself, the window has made it one.

use memchr::{memchr, memchr_iter};

use super::dialect::Dialect;

/// A byte order mark in UTF-8.
pub(crate) const MARK: &[u8] = b"\xef\xbb\xbf";

/// What one physical line does to the state of the quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Walk {
    /// Whether the line's end lies inside a quoted cell.
    pub(crate) inside: bool,
    /// Whether text follows a closing quote.
    pub(crate) stray: bool,
    /// Where the last quote that opened a cell is, in the line.
    pub(crate) opened: usize,
    /// Separators between cells (only if asked for).
    pub(crate) commas: usize,
}

/// Walks over one physical line, terminator included, which begins inside a quoted cell or at a record's
/// first cell.
pub(crate) fn walk<const COUNT: bool>(line: &[u8], inside: bool, dialect: Dialect) -> Walk {
    let delimiter = dialect.delimiter;
    let mut walk = Walk { inside, stray: false, opened: 0, commas: 0 };
    let mut at = 0;
    loop {
        let rest = &line[at..];
        let found = memchr(b'"', rest);
        if walk.inside {
            let Some(quote) = found.map(|index| at + index) else { return walk };
            at = quote + 1;
            if dialect.backslash && is_escaped(line, quote) {
                continue;
            }
            if line.get(at) == Some(&b'"') {
                at += 1;
                continue;
            }
            walk.inside = false;
            walk.stray |= !ends_cell(&line[at..], delimiter);
        } else {
            let stop = found.map_or(line.len(), |index| at + index);
            if COUNT {
                walk.commas += memchr_iter(delimiter, &line[at..stop]).count();
            }
            if found.is_none() {
                return walk;
            }
            if opens(line, stop, delimiter) {
                walk.inside = true;
                walk.opened = stop;
            }
            at = stop + 1;
        }
    }
}

/// Whether the end of a physical line lies inside a quoted cell; `inside`: whether its beginning does.
pub(crate) fn ends_inside(line: &[u8], inside: bool) -> bool {
    walk::<false>(line, inside, Dialect::default()).inside
}

/// Whether a backslash escapes the byte at `at`.
pub(crate) fn is_escaped(bytes: &[u8], at: usize) -> bool {
    bytes[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Whether the quote at `at` is the first of its cell but for white space, and for the byte order marks that joined
/// files have between them.
pub(crate) fn opens(line: &[u8], at: usize, delimiter: u8) -> bool {
    let before = line[..at].iter().rposition(|byte| *byte == delimiter || !matches!(byte, b' ' | b'\t'));
    before.is_none_or(|before| line[before] == delimiter || without_marks(&line[..=before]).is_empty())
}

/// What follows the byte order marks at the start of a line.
pub(crate) fn without_marks(mut line: &[u8]) -> &[u8] {
    while let Some(rest) = line.strip_prefix(MARK) {
        line = rest;
    }
    line
}

/// Whether what follows a closing quote ends the cell, perhaps after white space.
pub(crate) fn ends_cell(rest: &[u8], delimiter: u8) -> bool {
    match rest.iter().position(|byte| *byte == delimiter || !matches!(byte, b' ' | b'\t')) {
        Some(at) if rest[at] == b'\r' => matches!(rest.get(at + 1), Some(b'\n') | None),
        Some(at) => rest[at] == delimiter || rest[at] == b'\n',
        None => true,
    }
}

/// Length of `line` without its terminator.
pub(crate) fn content_len(line: &[u8]) -> usize {
    match line {
        [content @ .., b'\r', b'\n'] | [content @ .., b'\n'] | [content @ .., b'\r'] => content.len(),
        content => content.len(),
    }
}

/// Whether a line is white space only.
pub(crate) fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_open_only_at_the_start_of_a_cell() {
        let state = |line: &str, inside| {
            let walk = walk::<true>(line.as_bytes(), inside, Dialect::default());
            (walk.inside, walk.stray, walk.commas)
        };
        assert_eq!(state("a,b\n", false), (false, false, 1));
        assert_eq!(state("\"a,b\n", false), (true, false, 0));
        assert_eq!(state("\"a,\"\"b\",c\n", false), (false, false, 1));
        assert_eq!(state("a\"b,\"c\n", false), (true, false, 1));
        assert_eq!(state("a \"b\n", false), (false, false, 0));
        assert_eq!(state("a, \"b,c\" ,d\n", false), (false, false, 2));
        assert_eq!(state(" \"b\n", false), (true, false, 0));
        assert_eq!(state("\"a\" \"b\n", false), (false, true, 0));
        assert_eq!(state("\"a\"b,c\n", false), (false, true, 1));
        assert_eq!(state("\"a\"\r\n", false), (false, false, 0));
        assert_eq!(state("\"a\"\rb\n", false), (false, true, 0));
        assert_eq!(state("\"\"\n", false), (false, false, 0));
        assert_eq!(state("\"\"\"\n", false), (true, false, 0));
        assert_eq!(state("x\",\"y\n", true), (true, false, 1));
        assert_eq!(state("x\",\"y\n", false), (true, false, 1));
        assert_eq!(state("x\"\n", true), (false, false, 0));
        assert_eq!(state("\"", true), (false, false, 0));
        assert_eq!(state("\"a\",\"", false), (true, false, 1));
    }

    #[test]
    fn a_backslash_escapes_a_quote_where_it_does() {
        let dialect = Dialect { backslash: true, delimiter: b';', ..Dialect::default() };
        let state = |line: &str| {
            let walk = walk::<true>(line.as_bytes(), false, dialect);
            (walk.inside, walk.stray, walk.commas)
        };
        assert_eq!(state("\"a\\\"b;c\";d\n"), (false, false, 1));
        assert_eq!(state("\"a\\\\\";d\n"), (false, false, 1));
        assert_eq!(state("\"a\\\"\n"), (true, false, 0));
    }
}
