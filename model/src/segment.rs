//! Applications and the segments in them: what imports define, and what is made of criteria.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ApplicationId, Channel, Criteria, Format, JobId, SegmentId, Timestamp};

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

/// A segment: made by imports, or by criteria. Each import adds a *layer* of members, and a version is a range of layers.
/// A version by criteria holds no members: they are found when it is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// One version of a segment. By criteria, what belongs to an import is empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SegmentVersion {
    /// From 1.
    pub version: u32,
    /// When the import that made it ended, or its criteria were given.
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
    /// Its members; of one by criteria, as they were [counted](Self::counted) last.
    pub size: u64,
    /// Those by channel, by the order of [`Channel::ALL`].
    pub channels: [u64; Channel::ALL.len()],
    /// Whether the job failed or was cancelled, so that members are missing.
    pub partial: bool,
    /// What its members are found by; none for those that imports brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criteria: Option<Box<Criteria>>,
    /// When its members were counted, of one by criteria; none if they were not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Timestamp>,
}

/// What counting the members of a version by criteria found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberCount {
    /// How many there are.
    pub size: u64,
    /// Those by channel, by the order of [`Channel::ALL`].
    pub channels: [u64; Channel::ALL.len()],
    /// When they were counted.
    pub at: Timestamp,
}

impl SegmentVersion {
    /// A version that is made of criteria.
    pub fn of_criteria(version: u32, created: Timestamp, criteria: Criteria) -> Self {
        Self {
            version,
            created,
            first_layer: 0,
            last_layer: 0,
            job: JobId::from_bytes([0; 16]),
            source: String::new(),
            format: Format::Json,
            size: 0,
            channels: Default::default(),
            partial: false,
            criteria: Some(Box::new(criteria)),
            counted: None,
        }
    }

    /// Notes what a count found.
    pub fn count(&mut self, count: &MemberCount) {
        (self.size, self.channels, self.counted) = (count.size, count.channels, Some(count.at));
    }
}

impl Segment {
    /// A new segment that is made of criteria.
    pub fn of_criteria(
        application: ApplicationId,
        name: Option<String>,
        tags: BTreeMap<String, String>,
        criteria: Criteria,
    ) -> Self {
        let (id, now) = (SegmentId::generate(), Timestamp::now());
        let name = name.unwrap_or_else(|| id.to_string());
        let current = Some(SegmentVersion::of_criteria(1, now, criteria));
        Self { id, application, name, created: now, modified: now, tags, current }
    }

    /// What the current version is made of, if that is criteria.
    pub fn criteria(&self) -> Option<&Criteria> {
        self.current.as_ref()?.criteria.as_deref()
    }

    /// The current version, once an import has ended.
    pub fn current(&self) -> Option<&SegmentVersion> {
        self.current.as_ref()
    }
}
