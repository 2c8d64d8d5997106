//! Where quoted CSV cells begin and end, one physical line at a time.
//!
//! The rules are RFC 4180's as csv-core reads them: a quote opens a cell only as its first character; inside,
//! two quotes are one; behind the closing quote only a comma or the line's end should follow, and what
//! follows nevertheless belongs to the cell (`stray`). A carriage return ends a line only before a newline.

use memchr::{memchr, memchr_iter};

/// What one physical line does to the state of the quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Walk {
    /// Whether the line's end lies inside a quoted cell.
    pub(super) inside: bool,
    /// Whether text follows a closing quote.
    pub(super) stray: bool,
    /// Where the last quote that opened a cell is, in the line.
    pub(super) opened: usize,
    /// Commas between cells (only if asked for).
    pub(super) commas: usize,
}

/// Walks over one physical line, terminator included, which begins inside a quoted cell or at a record's
/// first cell.
pub(super) fn walk<const COUNT: bool>(line: &[u8], inside: bool) -> Walk {
    let mut walk = Walk { inside, stray: false, opened: 0, commas: 0 };
    let mut at = 0;
    loop {
        let rest = &line[at..];
        let found = memchr(b'"', rest);
        if walk.inside {
            let Some(quote) = found.map(|index| at + index) else { return walk };
            at = quote + 1;
            match line.get(at) {
                Some(b'"') => at += 1,
                Some(b',' | b'\n') | None => walk.inside = false,
                Some(b'\r') if matches!(line.get(at + 1), Some(b'\n') | None) => walk.inside = false,
                Some(_) => {
                    walk.inside = false;
                    walk.stray = true;
                }
            }
        } else {
            let stop = found.map_or(line.len(), |index| at + index);
            if COUNT {
                walk.commas += memchr_iter(b',', &line[at..stop]).count();
            }
            if found.is_none() {
                return walk;
            }
            if stop == 0 || line[stop - 1] == b',' {
                walk.inside = true;
                walk.opened = stop;
            }
            at = stop + 1;
        }
    }
}

/// Whether the end of a physical line lies inside a quoted cell; `inside`: whether its beginning does.
pub(crate) fn ends_inside(line: &[u8], inside: bool) -> bool {
    walk::<false>(line, inside).inside
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
            let walk = walk::<true>(line.as_bytes(), inside);
            (walk.inside, walk.stray, walk.commas)
        };
        assert_eq!(state("a,b\n", false), (false, false, 1));
        assert_eq!(state("\"a,b\n", false), (true, false, 0));
        assert_eq!(state("\"a,\"\"b\",c\n", false), (false, false, 1));
        assert_eq!(state("a\"b,\"c\n", false), (true, false, 1));
        assert_eq!(state("a \"b\n", false), (false, false, 0));
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
}
