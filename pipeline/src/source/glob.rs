//! Keys by wildcards: `*` and `?` stand for characters of a name, `**` for names too.
//!
//! A key is taken letter by letter first; only where nothing begins with it are its wildcards tried.

/// A pattern of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Exactly(char),
    /// One character of a name.
    One,
    /// Any characters of a name.
    Many,
    /// Any characters.
    All,
}

impl Glob {
    /// The pattern of a key and the prefix before its first wildcard; `None` for a key without one.
    pub(super) fn of(key: &str) -> Option<(&str, Self)> {
        let first = key.find(['*', '?'])?;
        let mut tokens: Vec<Token> = Vec::new();
        for char in key.chars() {
            match (char, tokens.last_mut()) {
                ('*', Some(last @ (Token::Many | Token::All))) => *last = Token::All,
                ('*', _) => tokens.push(Token::Many),
                ('?', _) => tokens.push(Token::One),
                (char, _) => tokens.push(Token::Exactly(char)),
            }
        }
        Some((&key[..first], Self { tokens }))
    }

    /// Whether a key is of the pattern, or lies in a folder that is. The work is at most that of comparing each
    /// character of the key with each of the pattern.
    pub(super) fn matches(&self, key: &str) -> bool {
        let end = self.tokens.len();
        // How far the pattern may have come; a wildcard of many characters may stand for none.
        let mut now = vec![false; end + 1];
        let mut next = now.clone();
        let reach = |states: &mut Vec<bool>| {
            for at in 0..end {
                if states[at] && matches!(self.tokens[at], Token::Many | Token::All) {
                    states[at + 1] = true;
                }
            }
        };
        now[0] = true;
        reach(&mut now);
        let mut before = None;
        for char in key.chars() {
            // A folder ends here, or just before.
            if now[end] && (char == '/' || before == Some('/')) {
                return true;
            }
            next.fill(false);
            for at in (0..end).filter(|at| now[*at]) {
                match self.tokens[at] {
                    Token::Exactly(wanted) => next[at + 1] |= wanted == char,
                    Token::One => next[at + 1] |= char != '/',
                    Token::Many => next[at] |= char != '/',
                    Token::All => next[at] = true,
                }
            }
            reach(&mut next);
            std::mem::swap(&mut now, &mut next);
            before = Some(char);
        }
        now[end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_matched_by_name_and_folder() {
        for (pattern, prefix, yes, no) in [
            ("in/*.csv", "in/", &["in/a.csv", "in/.csv"][..], &["in/a.json", "in/b/a.csv", "x/a.csv"][..]),
            ("year=*/", "year=", &["year=2025/a.csv", "year=/b/c"], &["year=2025", "month=1/a"]),
            ("year=*/month=1?/*.csv", "year=", &["year=1/month=12/a.csv"], &["year=1/month=1/a.csv"]),
            ("in/**/*.csv", "in/", &["in/a/b/c.csv", "in/x/y.csv"], &["in/a.json"]),
            ("in/**.csv", "in/", &["in/a/b/c.csv", "in/y.csv"], &["in/a.json"]),
            ("part*", "part", &["part-0.csv", "part-1/x.csv", "part"], &["a/part"]),
            ("*", "", &["a", "a/b"], &[]),
            ("ü?.csv", "ü", &["üé.csv"], &["ü.csv"]),
            ("a*b*c", "a", &["abc", "axxbyyc", "abcbc"], &["acb", "ab/c"]),
        ] {
            let (found, glob) = Glob::of(pattern).unwrap();
            assert_eq!(found, prefix, "{pattern}");
            for key in yes {
                assert!(glob.matches(key), "{pattern} {key}");
            }
            for key in no {
                assert!(!glob.matches(key), "{pattern} {key}");
            }
        }
        assert_eq!(Glob::of("in/a.csv"), None);
    }

    #[test]
    fn hostile_patterns_take_no_longer_than_their_length() {
        let (_, glob) = Glob::of(&"*a".repeat(400)).map(|(_, glob)| ((), glob)).unwrap();
        let begun = std::time::Instant::now();
        assert!(!glob.matches(&"a".repeat(399)));
        assert!(!glob.matches(&("a".repeat(1000) + "b")));
        assert!(begun.elapsed() < std::time::Duration::from_secs(5));
    }
}
