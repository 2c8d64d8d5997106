//! Applications and the segments that imports define in them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ApplicationId, Channel, Format, JobId, SegmentId, Timestamp};

/// An application: the tenant endpoints and segments belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Its id.
    pub id: ApplicationId,
    /// Its name; others may have it too.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// Tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

impl Application {
    /// The fragment for a name that several applications have.
    pub fn ambiguous(name: &str, named: &[Self]) -> String {
        const SHOWN: usize = 5;
        let ids: Vec<_> = named.iter().take(SHOWN).map(|application| application.id.to_string()).collect();
        let more = if named.len() > SHOWN { ", …" } else { "" };
        format!(
            "{} applications are named \"{name}\"; give the id of one: {}{more}",
            named.len(),
            ids.join(", ")
        )
    }
}

/// Versions of a segment that are kept, the current one among them. An older one is forgotten when a new one is made.
pub const VERSIONS_KEPT: u32 = 32;

/// A segment made by imports. Each import adds a *layer* of members; a version is a range of layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Its id.
    pub id: SegmentId,
    /// The application it belongs to.
    pub application: ApplicationId,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// When its current version was made.
    pub modified: Timestamp,
    /// Tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Its current version. None until the first import has ended.
    #[serde(default)]
    pub current: Option<SegmentVersion>,
}

/// The members that one import added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentLayer {
    /// Its number within the segment.
    pub number: u32,
    /// The job that made it.
    pub job: JobId,
    /// Whether its members are copies (the job registered no endpoints).
    pub copies: bool,
}

/// One version of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentVersion {
    /// From 1.
    pub version: u32,
    /// When the import that made it ended.
    pub created: Timestamp,
    /// The first layer whose members it has. Layers are counted from 0, in the order in which their imports ended.
    pub first_layer: u32,
    /// The last layer whose members it has: that of its own import.
    pub last_layer: u32,
    /// The job that made it.
    pub job: JobId,
    /// What the job read.
    pub source: String,
    /// Its format.
    pub format: Format,
    /// Its members.
    pub size: u64,
    /// Those by channel, by the order of [`Channel::ALL`].
    pub channels: [u64; Channel::ALL.len()],
    /// Whether the job failed or was cancelled, so that members are missing.
    pub partial: bool,
}

impl Segment {
    /// The current version, once an import has ended.
    pub fn current(&self) -> Option<&SegmentVersion> {
        self.current.as_ref()
    }
}
