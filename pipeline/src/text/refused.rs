//! An object that cannot be read at all, and the sentence that says what to do about it.

use pinport_model::Origin;

/// Why no record of an object can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedReason {
    /// Text in another encoding.
    #[error(
        "the file is {name} text, UTF-8 is expected; convert it with: iconv -f {iconv} -t UTF-8 OLD > NEW"
    )]
    Encoding {
        /// The encoding for people.
        name: &'static str,
        /// The encoding for iconv.
        iconv: &'static str,
    },
    /// The header names no key.
    #[error(
        "the header has none of the columns Id, Address, User.UserId (it has {found}); \
         the header must be among the first 10 lines{hint}"
    )]
    NoKey {
        /// The first columns that were found.
        found: String,
        /// What may be done about it.
        hint: String,
    },
    /// The first line is a record.
    #[error(
        "the file has no header: its first line looks like a record ({found}); put a line with the names of the columns \
         before it, for example: Id,Address,ChannelType"
    )]
    NoHeader {
        /// The first cells that were found.
        found: String,
    },
    /// A column that is nearly one of the known, while names are strict.
    #[error("the column {found} is not a known one; write {known}, or leave out --strict-names")]
    NearName {
        /// The column.
        found: String,
        /// The name it resembles.
        known: String,
    },
    /// A column that the mapping names.
    #[error(
        "the mapping names the column {found}, which the header does not have{hint}; correct the name, or list it \
         under optional"
    )]
    MappedMissing {
        /// The column.
        found: String,
        /// What was perhaps meant.
        hint: String,
    },
    /// Two columns for one member.
    #[error(
        "the columns {first} and {second} hold the same member, which has one value; rename or remove one of them \
         (further values of a person go into Attributes.* columns)"
    )]
    SameColumn {
        /// The first column's name and number.
        first: String,
        /// The second's.
        second: String,
    },
    /// More columns than allowed.
    #[error("the header has {found} columns, at most {most} are allowed (max_columns)")]
    TooManyColumns {
        /// Columns in the header.
        found: usize,
        /// The limit.
        most: usize,
    },
    /// Bytes in the header that are not UTF-8.
    #[error(
        "the header is not UTF-8; if it is the CSV of an older Excel, read it with --encoding windows-1252"
    )]
    HeaderNotUtf8,
    /// A quoted cell of the header that does not end.
    #[error("a quoted name in the header does not end")]
    HeaderUnterminated,
    /// Text after the closing quote of a name.
    #[error("text follows the closing quote of a name in the header")]
    HeaderStray,
    /// A header that is too long.
    #[error("the header is longer than {most} bytes (max_line)")]
    HeaderTooLong {
        /// The limit.
        most: usize,
    },
}

/// An object that cannot be read: no record of it was or will be handed out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {}{}: {reason}", origin.line, column.map(|column| format!(" column {column}")).unwrap_or_default())]
pub struct ObjectRefused {
    /// Where the fault's line begins.
    pub origin: Origin,
    /// Byte of the line, from 1, if one byte is at fault.
    pub column: Option<u64>,
    /// Why.
    pub reason: RefusedReason,
}
