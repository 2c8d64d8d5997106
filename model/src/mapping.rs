//! What a file's columns and members become: names, constants, joined values, words, and normalised values.
//!
//! A mapping is what a caller wrote; the pipeline compiles it and says what is wrong with it. It travels with the
//! job's definition, so that a job that goes on after a crash maps as it did before.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Names from a file, or members they become, in order of the name.
type Names = BTreeMap<String, String>;

/// What a file's columns (or JSON members, by dotted paths) become. Members are named as in CSV headers:
/// `Address`, `User.UserId`, `Attributes.plan`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mapping {
    /// From the name in the file to the member it is.
    #[serde(skip_serializing_if = "Names::is_empty")]
    pub rename: Names,
    /// Names in the file that are left out, without a notice.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// Names that a CSV file may lack. Without it, a header that lacks a named column refuses its object.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub optional: Vec<String>,
    /// From a member to a text with names from the file in braces: `{First} {Last}`.
    #[serde(skip_serializing_if = "Names::is_empty")]
    pub join: Names,
    /// From a member to the value that every record has.
    #[serde(skip_serializing_if = "Names::is_empty")]
    pub constants: Names,
    /// From a member to the value of the records that have none.
    #[serde(skip_serializing_if = "Names::is_empty")]
    pub defaults: Names,
    /// From a member to what its values mean: `yes` is `ALL`. Case does not matter.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, Names>,
    /// What is done to values.
    #[serde(skip_serializing_if = "Normalise::is_none")]
    pub normalise: Normalise,
    /// Which records are skipped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<DropRule>,
}

/// What is done to values once each has its member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Normalise {
    /// White space around every value goes, also around those of attributes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub trim: bool,
    /// Addresses of the channel EMAIL become lower case.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub email: bool,
    /// Addresses of the channels SMS and VOICE become E.164: `+447700900123`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub phone: bool,
    /// The country of phone numbers without a country code, where the record has no Location.Country: ISO 3166,
    /// `GB` or `GBR`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_country: Option<String>,
    /// Location.Country becomes ISO 3166 alpha-3: `GBR` for `GB` and `United Kingdom`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub country: bool,
}

impl Normalise {
    /// Whether nothing is done.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Skips the records whose value is one of some, none of some, or empty. A record without the name has an empty value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DropRule {
    /// The name in the file.
    pub column: String,
    /// Values that skip a record. Case does not matter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub is: Vec<String>,
    /// Values that keep a record; all others skip it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub is_not: Vec<String>,
    /// An empty value skips the record.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty: bool,
}
