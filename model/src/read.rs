//! How a file is to be read when it is not quite what is expected: what the caller decided.

use serde::{Deserialize, Serialize};

/// What the caller said about how to read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadOptions {
    /// What holds for splitting and parsing.
    pub rules: ReadRules,
}

/// The part of [`ReadOptions`] that splitters and parsers ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReadRules {
    /// A column whose name is nearly a known one refuses its object.
    pub strict_names: bool,
    /// A record with an Id that lacks Address or ChannelType makes an endpoint without them. Without this it does so only
    /// with the marks of an export.
    pub allow_incomplete: bool,
}
