//! An export: what is written where, and the parts that are.

use serde::{Deserialize, Serialize};

use crate::SegmentId;

/// What an export job is to write, beside what every job has: its source is where it writes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportDefinition {
    /// The segment whose members are written; all endpoints of the application if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<SegmentId>,
    /// The segment's version that is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// `SegmentVersion` of the request, verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_version: Option<u32>,
    /// How parts are compressed.
    pub compression: Compression,
    /// The folder below the target that the parts are in.
    pub folder: String,
}

/// How the parts of an export are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// They are not.
    None,
    /// As Pinpoint's exports are.
    #[default]
    Gzip,
    /// Smaller and faster.
    Zstd,
}

impl Compression {
    const ALL: [Self; 3] = [Self::None, Self::Gzip, Self::Zstd];

    /// What it is called in a query of our API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The one that is called so.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|compression| compression.name() == name)
    }

    /// What is added to the name of a file.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }
}

/// A part of an export that is there, whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenPart {
    /// Its name in the folder of the export.
    pub name: String,
    /// Endpoints in it.
    pub records: u64,
    /// Its bytes, compressed.
    pub bytes: u64,
    /// The bytes of its text, or of its columns before they were encoded.
    pub text_bytes: u64,
    /// The SHA-256 of its bytes, in hex; empty if they went into a pipe.
    pub sha256: String,
    /// The id of its last endpoint: the next part begins after it.
    pub last: String,
}

/// What a job does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobKind {
    /// It reads endpoints.
    #[default]
    Import,
    /// It writes them.
    Export,
}

impl JobKind {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Import => "IMPORT",
            Self::Export => "EXPORT",
        }
    }

    /// Whether it reads endpoints.
    pub fn is_import(&self) -> bool {
        *self == Self::Import
    }
}
