//! How a file is to be read when it is not quite what is expected: what the caller decided, the rest is detected.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Mapping;

/// What the caller said about how to read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadOptions {
    /// What holds for splitting and parsing.
    pub rules: ReadRules,
    /// The encoding of the text; `None`: UTF-8, or UTF-16 where that is seen.
    pub encoding: Option<Encoding>,
    /// What columns and members become; `None`: what their names say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map: Option<Box<Mapping>>,
}

/// The encoding of text, by its name in the WHATWG encoding standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Encoding(&'static encoding_rs::Encoding);

impl Encoding {
    /// What decodes it.
    pub fn get(self) -> &'static encoding_rs::Encoding {
        self.0
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl FromStr for Encoding {
    /// A sentence for the person who wrote it.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        encoding_rs::Encoding::for_label_no_replacement(text.as_bytes()).map(Self).ok_or_else(|| {
            "the name of a text encoding is expected, such as utf-16le, windows-1252, iso-8859-2 or shift_jis".into()
        })
    }
}

impl TryFrom<String> for Encoding {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Encoding> for String {
    fn from(encoding: Encoding) -> Self {
        encoding.to_string()
    }
}

/// The part of [`ReadOptions`] that splitters and parsers ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadRules {
    /// A column whose name is nearly a known one refuses its object, such a member of JSON its record.
    pub strict_names: bool,
    /// The separator of CSV cells; `None`: detected from the header.
    pub delimiter: Option<Delimiter>,
    /// How quotes within quoted cells are escaped.
    pub escape: Escape,
    /// Ids and addresses that look mangled (`4.47701E+11`, `#N/A`, `NULL`) are kept.
    pub allow_suspicious: bool,
    /// A record with an Id and without Address or ChannelType makes an endpoint.
    pub allow_incomplete: bool,
}

/// How quotes within quoted CSV cells are escaped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Escape {
    /// Detected from the first rows.
    #[default]
    Auto,
    /// Doubled: `""`.
    Double,
    /// By a backslash: `\"`.
    Backslash,
}

impl Escape {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Double => "double",
            Self::Backslash => "backslash",
        }
    }
}

impl fmt::Display for Escape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Escape {
    /// A sentence for the person who wrote it.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Auto, Self::Double, Self::Backslash]
            .into_iter()
            .find(|escape| escape.as_str() == text)
            .ok_or_else(|| "auto, double or backslash is expected".into())
    }
}

/// The separator of CSV cells: one ASCII character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Delimiter(u8);

impl Delimiter {
    /// The usual one.
    pub const COMMA: Self = Self(b',');

    /// The separator that this byte is, if it can be one.
    pub const fn new(byte: u8) -> Option<Self> {
        match byte {
            b'"' | b'\'' | b'\n' | b'\r' | b'\\' | b' ' | b'.' | b'_' | b'-' => None,
            byte if byte.is_ascii_alphanumeric() || byte == 0 || byte > 0x7e => None,
            byte => Some(Self(byte)),
        }
    }

    /// Its byte.
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// What people call it.
    pub fn name(self) -> String {
        match self.0 {
            b',' => "a comma".into(),
            b';' => "a semicolon".into(),
            b'\t' => "a tab".into(),
            b'|' => "a vertical bar".into(),
            byte => format!("\"{}\"", char::from(byte).escape_default()),
        }
    }
}

impl Default for Delimiter {
    fn default() -> Self {
        Self::COMMA
    }
}

/// As it is written: the character, or `tab`.
impl fmt::Display for Delimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b'\t' => f.write_str("tab"),
            byte => write!(f, "{}", char::from(byte)),
        }
    }
}

impl FromStr for Delimiter {
    /// A sentence for the person who wrote it.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let byte = match text {
            "comma" => Some(b','),
            "semicolon" => Some(b';'),
            "tab" | "\\t" => Some(b'\t'),
            "pipe" | "bar" => Some(b'|'),
            _ => text.bytes().next().filter(|_| text.len() == 1),
        };
        byte.and_then(Self::new).ok_or_else(|| {
            "one ASCII character such as ; or | or the word tab is expected (no letter, digit, quote, space, dot, - or _)"
                .into()
        })
    }
}

impl TryFrom<String> for Delimiter {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Delimiter> for String {
    fn from(delimiter: Delimiter) -> Self {
        delimiter.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_are_read_as_they_are_written() {
        for byte in 0..=u8::MAX {
            if let Some(delimiter) = Delimiter::new(byte) {
                assert_eq!(delimiter.to_string().parse(), Ok(delimiter), "{byte}");
            }
        }
        assert_eq!("\\t".parse(), Ok(Delimiter(b'\t')));
        assert_eq!("latin1".parse::<Encoding>().unwrap().to_string(), "windows-1252");
        assert!("utf-17".parse::<Encoding>().is_err() && "replacement".parse::<Encoding>().is_err());
        for wrong in ["", "a", "\"", ";;", "é", " ", "\n"] {
            assert!(wrong.parse::<Delimiter>().is_err(), "{wrong:?}");
        }
    }
}
