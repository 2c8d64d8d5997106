//! Segments that are made of criteria: which import segments they refer to, and what belongs.

use std::collections::HashMap;

use pinport_model::{
    Criteria, Segment, SegmentId, SegmentVersion, Timestamp,
    criteria::{MAX_CRITERIA_DEPTH, MAX_CRITERIA_SEGMENTS, SegmentReference},
};

use super::{
    connection::Connection,
    segments::{self, Layer},
};
use crate::{
    Result,
    lifecycle::{no_source, too_deep, too_many_segments, unreadable},
    record::{
        matcher::{Compiler, Matcher, Values, Verdict},
        read::user_of,
    },
};

/// What is looked for, and in which import segments.
pub(super) struct Wanted {
    matcher: Matcher,
    values: Values,
    /// The layers of each import segment, oldest first.
    imports: Vec<Vec<Layer>>,
}

impl Wanted {
    /// All layers of the import segments.
    pub(super) fn layers(&self) -> impl Iterator<Item = Layer> {
        self.imports.iter().flatten().copied()
    }

    /// Whether what is in no import segment cannot belong.
    pub(super) fn needs_import(&self) -> bool {
        self.matcher.needs_import
    }

    /// The import segments that have a member in one of some layers.
    pub(super) fn imports_of(&self, layers: &[i32]) -> u128 {
        let has = |import: &Vec<Layer>| import.iter().any(|layer| layers.contains(&layer.layer));
        self.imports
            .iter()
            .enumerate()
            .fold(0, |all, (number, import)| all | u128::from(has(import)) << number)
    }

    /// Of each import segment the last layer that has a member, if it holds copies.
    pub(super) fn copies_of(&self, layers: &[i32]) -> impl Iterator<Item = i32> {
        let last =
            |import: &Vec<Layer>| import.iter().rev().find(|layer| layers.contains(&layer.layer)).copied();
        self.imports.iter().filter_map(last).filter(|layer| layer.copies).map(|layer| layer.layer)
    }

    /// Whether an endpoint belongs: none, if not; the import segments it is in, if its user decides.
    pub(super) fn looks_at(
        &mut self,
        record: &[u8],
        imports: u128,
        is_copy: bool,
    ) -> Result<Option<Option<u128>>> {
        // A copy is whole by itself, its user's attributes included.
        let has_user = self.matcher.has_user_tests()
            && !is_copy
            && user_of(record)?.is_some_and(|user| !user.is_empty());
        let user: Option<&[u8]> = if has_user { None } else { Some(&[]) };
        Ok(match self.matcher.look(record, user, imports, &mut self.values)? {
            Verdict::No => None,
            Verdict::Yes => Some(None),
            Verdict::Open => Some(Some(imports)),
        })
    }

    /// Whether an endpoint belongs, now that its user's record is at hand.
    pub(super) fn belongs(&mut self, record: &[u8], user: &[u8], imports: u128) -> Result<bool> {
        Ok(self.matcher.look(record, Some(user), imports, &mut self.values)? == Verdict::Yes)
    }
}

/// Makes ready to look for the members of a segment.
pub(super) fn plan(connection: &mut Connection, segment: &Segment, criteria: &Criteria) -> Result<Wanted> {
    let mut plan = Plan {
        connection,
        top: segment,
        compiler: Compiler::new(Timestamp::now()),
        rules: HashMap::new(),
        imports: Vec::new(),
    };
    plan.made(criteria, 0)?;
    let Plan { compiler, imports, .. } = plan;
    Ok(Wanted { matcher: compiler.matcher(), values: Values::default(), imports })
}

/// A segment's rules while they are made.
struct Plan<'a> {
    connection: &'a mut Connection,
    top: &'a Segment,
    compiler: Compiler,
    /// Those of the segments that were met, by id and version.
    rules: HashMap<(SegmentId, u32), usize>,
    imports: Vec<Vec<Layer>>,
}

impl Plan<'_> {
    fn made(&mut self, criteria: &Criteria, depth: usize) -> Result<usize> {
        if depth > MAX_CRITERIA_DEPTH {
            return Err(unreadable(self.top.id, &too_deep()));
        }
        let mut sources = Vec::new();
        for reference in criteria.references() {
            sources.push(self.source(reference, depth)?);
        }
        Ok(self.compiler.made(criteria, &sources))
    }

    fn source(&mut self, reference: &SegmentReference, depth: usize) -> Result<usize> {
        let (segment, version) = self.find(reference)?;
        let known = (segment.id, version.version);
        if let Some(rule) = self.rules.get(&known) {
            return Ok(*rule);
        }
        let rule = match &version.criteria {
            Some(criteria) => self.made(criteria, depth + 1)?,
            None => {
                self.imports.push(segments::layers(self.connection, &segment, &version)?);
                self.compiler.import()
            }
        };
        self.rules.insert(known, rule);
        if self.rules.len() > MAX_CRITERIA_SEGMENTS {
            return Err(unreadable(self.top.id, &too_many_segments()));
        }
        Ok(rule)
    }

    /// The segment and version that a reference means.
    fn find(&mut self, reference: &SegmentReference) -> Result<(Segment, SegmentVersion)> {
        let state = segments::state(self.connection, self.top.application, reference.id, false)?;
        let segment = state.map(|state| state.segment);
        let version = match (&segment, reference.version) {
            (None, _) => None,
            (Some(segment), None) => segment.current.clone(),
            (Some(_), Some(number)) => segments::version(self.connection, reference.id, number)?,
        };
        segment.zip(version).ok_or_else(|| unreadable(self.top.id, &no_source(reference)))
    }
}
