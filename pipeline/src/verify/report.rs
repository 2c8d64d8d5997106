//! What a verification found, as it is sent and printed.

use std::collections::HashMap;

use pinport_model::ImportJob;
use pinport_store::compare::{Comparison, Difference};
use serde::{Deserialize, Serialize};

use super::places::Place;

/// Differences that are shown with their places.
pub(super) const SHOWN: usize = 20;

/// Counts, and the first differences in order of id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Report {
    /// Records of the source.
    pub records: u64,
    /// Those of them that fail, as in an import, or only name users: they are not compared.
    pub failed_records: u64,
    /// Endpoints that the others speak of.
    pub endpoints: u64,
    /// Those of them that are stored as the source says.
    pub equal: u64,
    /// Those that are not stored.
    pub missing: u64,
    /// Those that are stored with other values.
    pub different: u64,
    /// Those that are not stored, and that the source only updates: an import fails such records.
    pub unknown: u64,
    /// Stored endpoints of which the source does not speak.
    pub others: u64,
    /// The first that are missing or differ.
    pub differences: Vec<Found>,
}

/// An endpoint that is not stored as its record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Found {
    /// The endpoint's id.
    pub id: String,
    /// The object of its last record, if it was found again.
    pub object: Option<String>,
    /// The line of that record, from 1.
    pub line: Option<u64>,
    /// The first member that differs; `None` if the endpoint is not stored.
    pub member: Option<String>,
    /// What the record says, as JSON. `None`: it removes the member.
    pub said: Option<String>,
    /// What is stored, as JSON.
    pub stored: Option<String>,
}

/// A line of a server's answer while it verifies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub enum Line {
    /// How far it has read, each second.
    #[serde(rename_all = "PascalCase")]
    Progress {
        /// Records that were read.
        records: u64,
    },
    /// The last line: what it came to.
    Report(Report),
    /// The last line: why it came to nothing, in a sentence.
    Error(String),
}

impl Report {
    pub(super) fn new(job: &ImportJob, comparison: &Comparison, places: &HashMap<String, Place>) -> Self {
        let Comparison { said, equal, missing, different, unknown, others, first } = comparison;
        let found = |difference: &Difference| {
            let place = places.get(&difference.id);
            let member = difference.member.as_ref();
            Found {
                id: difference.id.clone(),
                object: place.map(|place| place.object.clone()),
                line: place.map(|place| place.line),
                member: member.map(|member| member.name.clone()),
                said: member.and_then(|member| member.said.clone()),
                stored: member.and_then(|member| member.stored.clone()),
            }
        };
        Self {
            records: job.tally.read,
            failed_records: job.tally.failed,
            endpoints: *said,
            equal: *equal,
            missing: *missing,
            different: *different,
            unknown: *unknown,
            others: *others,
            differences: first.iter().map(found).collect(),
        }
    }
}
