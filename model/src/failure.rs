//! A failed record: where it stands, which rule it broke, and a sentence for the person who mends it.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

/// Where a record begins: a byte of the decoded object and a line, both of the record's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// Index of the object in the plan.
    pub object: u64,
    /// Offset in the decoded object, from 0.
    pub byte: u64,
    /// Line, from 1.
    pub line: u64,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal),+ $(,)?) => {
        /// Why a record failed: stable words for programs; the message is for people.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum FailureCode {
            $($(#[$doc])* #[serde(rename = $code)] $name,)+
        }

        impl FailureCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The code as it is written.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }
        }
    };
}

codes! {
    /// The bytes are not UTF-8.
    InvalidUtf8 = "invalid_utf8",
    /// The line is no JSON.
    InvalidJson = "invalid_json",
    /// JSON nested too deep.
    TooDeep = "too_deep",
    /// The line is JSON but no object.
    NotAnObject = "not_an_object",
    /// The record is longer than `max_line`.
    LineTooLong = "line_too_long",
    /// A quoted CSV cell does not end.
    UnterminatedQuote = "unterminated_quote",
    /// More or fewer cells than the header.
    CellCount = "cell_count",
    /// A member has a value of the wrong type.
    WrongType = "wrong_type",
    /// A word that is not one of the member's values.
    UnknownValue = "unknown_value",
    /// A cell that should hold a number does not, or the number is not finite.
    InvalidNumber = "invalid_number",
    /// A member that a new endpoint needs is missing.
    MissingMember = "missing_member",
    /// The record updates an endpoint that does not exist.
    UnknownEndpoint = "unknown_endpoint",
    /// The record names a user that has no endpoint.
    UnknownUser = "unknown_user",
    /// An attribute's or metric's name is too long or empty.
    InvalidName = "invalid_name",
    /// An attribute's value is too long.
    ValueTooLong = "value_too_long",
    /// An attribute has too many values.
    TooManyValues = "too_many_values",
    /// The record has too many attributes.
    TooManyAttributes = "too_many_attributes",
    /// An id or address is empty or too long.
    InvalidId = "invalid_id",
    /// An object, or the rest of one, could not be read.
    ObjectLost = "object_lost",
    /// A date has none of the forms that are known.
    InvalidDate = "invalid_date",
    /// An id or address was spoilt by a spreadsheet or a database.
    SuspiciousKey = "suspicious_key",
    /// An address that should be a phone number is none.
    InvalidAddress = "invalid_address",
    /// The endpoint as stored is too large.
    EndpointTooLarge = "endpoint_too_large",
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a record failed, before it is known which object the record is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureReason {
    /// The rule.
    pub code: FailureCode,
    /// The member the rule is about, dotted (`Attributes.plan`), if it is about one.
    pub member: Option<String>,
    /// What is wrong, as a fragment: it reads on after "`member`: ". Escaped when it is recorded.
    pub message: String,
    /// Byte within the record where it is wrong, if known, from 0.
    pub offset: Option<u64>,
}

impl FailureReason {
    /// A reason about the record as a whole.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, member: None, message: message.into(), offset: None }
    }

    /// A reason about one member.
    pub fn of(member: impl Into<String>, code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, member: Some(member.into()), message: message.into(), offset: None }
    }

    /// The reason, with the byte within the record where it shows.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// The failure of a record of `object` (its URL or path) that begins at `origin`.
    pub fn locate(self, object: &str, origin: Origin) -> Failure {
        Failure {
            object: escape_controls(object).into_owned(),
            line: origin.line,
            byte: origin.byte,
            column: self.offset.map(|offset| offset + 1),
            code: self.code,
            member: self.member.map(|member| escape_controls(&member).into_owned()),
            message: escape_controls(&self.message).into_owned(),
            reject: None,
        }
    }
}

/// Bytes of the header of rejects in CSV, with its line end: the first row. A quoted name may hold a line break. `None`: the
/// row does not end in `bytes`.
pub fn csv_header_len(bytes: &[u8]) -> Option<usize> {
    let mut inside = false;
    let end = bytes.iter().position(|byte| {
        inside ^= *byte == b'"';
        *byte == b'\n' && !inside
    });
    end.map(|end| end + 1)
}

/// Where the original bytes of a failed record lie among the rejects of its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectPlace {
    /// Number of the rejects file, from 1.
    pub part: u32,
    /// Byte of that file where the record begins, from 0.
    pub byte: u64,
    /// Length of the record in bytes.
    pub bytes: u64,
}

/// A failed record, as `failures.ndjson` and the API give it. Its `Display` is the one line of text in a
/// job's `Failures`: `s3://bucket/key line 17: ChannelType: "PIGEON" is not one of ADM, …`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// URL or path of the object.
    pub object: String,
    /// Line where the record begins, from 1.
    pub line: u64,
    /// Byte of the decoded object where the record begins, from 0.
    pub byte: u64,
    /// Byte within the record where the fault shows, from 1, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// The rule.
    pub code: FailureCode,
    /// The member the rule is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// What is wrong, control characters escaped.
    pub message: String,
    /// Where its original bytes are, if they are kept. Jobs of older versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reject: Option<RejectPlace>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} line {}", self.object, self.line)?;
        if let Some(column) = self.column {
            write!(f, " column {column}")?;
        }
        if let Some(member) = &self.member {
            write!(f, ": {member}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Which failures of a job are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailureFilter {
    /// Only this code.
    pub code: Option<FailureCode>,
    /// Only this member, as [`Failure::class_member`] names it.
    pub member: Option<String>,
    /// Only those whose line of text has all of these words in it, in lower case.
    words: Vec<String>,
}

impl FailureFilter {
    /// A filter of a code, a member and the words of a search. The case of letters does not matter.
    pub fn new(code: Option<FailureCode>, member: Option<String>, search: &str) -> Self {
        let words = search.to_lowercase().split_whitespace().map(str::to_owned).collect();
        Self { code, member, words }
    }

    /// Whether `failure` is wanted.
    pub fn matches(&self, failure: &Failure) -> bool {
        if self.code.is_some_and(|code| code != failure.code)
            || self.member.as_deref().is_some_and(|member| failure.class_member() != Some(member))
        {
            return false;
        }
        if self.words.is_empty() {
            return true;
        }
        let text = failure.to_string().to_lowercase();
        self.words.iter().all(|word| text.contains(word))
    }
}

/// Failures of one kind, counted, with the first as example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureClass {
    /// The rule.
    pub code: FailureCode,
    /// The member, without the name of an attribute, so that the number of classes is bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// How many records failed so.
    pub count: u64,
    /// The first of them, as one line of text.
    pub example: String,
}

impl Failure {
    /// The member as failure classes name it: `Attributes` for `Attributes.plan`.
    pub fn class_member(&self) -> Option<&str> {
        let member = self.member.as_deref()?;
        let open = ["Attributes", "Metrics", "User.UserAttributes"];
        Some(open.into_iter().find(|prefix| is_below(member, prefix)).unwrap_or(member))
    }
}

fn is_below(member: &str, prefix: &str) -> bool {
    member.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'))
}

/// `text` with everything escaped that could move a cursor, reorder or hide text in a terminal or a log:
/// C0, DEL, C1, bidirectional controls, and what is there without being seen (zero-width characters, soft
/// hyphens, fillers, tags). Everything else stays as it is, the selectors that make an emoji coloured included.
///
/// This is the one rule of the whole house for text that came from outside.
pub fn escape_controls(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_hostile(character) {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

fn is_hostile(character: char) -> bool {
    match character {
        ' '..='~' => false,
        // Controls.
        '\0'..='\x1f' | '\x7f'..='\u{9f}' => true,
        // Zero-width characters, marks and overrides of direction, separators of lines, and the deprecated ones.
        '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => true,
        // Soft hyphen, joiner, fillers, vowels without a shape, annotations: they take room or none, unseen.
        '\u{ad}'
        | '\u{34f}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180e}'
        | '\u{3164}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' => true,
        // Tags and selectors beyond the usual ones: whole texts were hidden in them.
        '\u{e0000}'..='\u{e0fff}' => true,
        _ => false,
    }
}

/// `value` in double quotes and escaped, cut to 256 characters: how failures show what they found.
pub fn quoted(value: &str) -> String {
    const MAX_SHOWN: usize = 256;
    match value.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("\"{}…\"", escape_controls(&value[..end])),
        None => format!("\"{}\"", escape_controls(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_harmless_line() {
        let failure =
            FailureReason::of("ChannelType", FailureCode::UnknownValue, "\"a\nb\u{202e}\" is not one")
                .locate("s3://bucket/a\x1b[2Jkey", Origin { object: 0, byte: 90, line: 17 });
        assert_eq!(
            failure.to_string(),
            "s3://bucket/a\\u{1b}[2Jkey line 17: ChannelType: \"a\\nb\\u{202e}\" is not one"
        );
    }

    #[test]
    fn a_code_is_shown_as_it_is_written() {
        assert_eq!(FailureCode::UnknownUser.to_string(), "unknown_user");
    }

    #[test]
    fn a_fault_within_a_record_has_a_column() {
        let reason = FailureReason::new(FailureCode::UnknownValue, "no").at(4);
        let failure = reason.locate("o", Origin { object: 0, byte: 90, line: 17 });
        assert_eq!(failure.to_string(), "o line 17 column 5: no");
    }

    #[test]
    fn what_is_not_seen_is_escaped() {
        let hidden = [
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{180e}',
            '\u{200b}',
            '\u{200f}',
            '\u{2028}',
            '\u{202e}',
            '\u{2060}',
            '\u{2064}',
            '\u{2066}',
            '\u{206a}',
            '\u{206f}',
            '\u{3164}',
            '\u{feff}',
            '\u{fff9}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e007f}',
            '\u{e0100}',
        ];
        for character in hidden {
            let text = format!("a{character}b");
            let expected = format!("a\\u{{{:x}}}b", u32::from(character));
            assert_eq!(escape_controls(&text), expected);
        }
        let plain = "Zoë 日本 ❤\u{fe0f} e\u{301} \u{a0}\u{2013}…🇩🇪";
        assert!(matches!(escape_controls(plain), Cow::Borrowed(text) if text == plain));
    }

    #[test]
    fn a_filter_wants_all_of_its_words_in_any_case_and_order() {
        let failure = FailureReason::of("Attributes.plan", FailureCode::ValueTooLong, "has 101 characters")
            .locate("s3://b/Part-1.csv", Origin { object: 0, byte: 0, line: 17 });
        let matches = |code, member: Option<&str>, search: &str| {
            FailureFilter::new(code, member.map(str::to_owned), search).matches(&failure)
        };
        assert!(matches(None, None, "") && matches(None, None, " CHARACTERS part-1.CSV "));
        assert!(!matches(None, None, "characters part-2"));
        assert!(matches(Some(FailureCode::ValueTooLong), Some("Attributes"), "line 17"));
        assert!(!matches(Some(FailureCode::WrongType), None, ""));
        assert!(!matches(None, Some("Attributes.plan"), ""), "classes have no names of attributes");
    }

    #[test]
    fn classes_do_not_grow_with_attribute_names() {
        let origin = Origin { object: 0, byte: 0, line: 1 };
        let class = |member: &str| {
            let failure = FailureReason::of(member, FailureCode::ValueTooLong, "").locate("o", origin);
            failure.class_member().map(str::to_owned)
        };
        assert_eq!(class("Attributes.plan").as_deref(), Some("Attributes"));
        assert_eq!(class("User.UserAttributes.x.y").as_deref(), Some("User.UserAttributes"));
        assert_eq!(class("Location.City").as_deref(), Some("Location.City"));
    }

    #[test]
    fn a_long_value_is_cut_at_a_character() {
        assert_eq!(quoted(&"é".repeat(300)).chars().count(), 259);
    }
}
