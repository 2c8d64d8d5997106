//! Which endpoints belong to a segment of criteria, judged by stored bytes. The engines share it, but for the one in memory:
//! that is what it is held against.

use std::{collections::HashMap, sync::Arc};

use pinport_model::{
    Criteria, Segment, SegmentId, SegmentVersion, Timestamp,
    criteria::{MAX_CRITERIA_DEPTH, MAX_CRITERIA_SEGMENTS, SegmentReference},
};

use crate::{
    Result,
    lifecycle::{no_source, too_deep, too_many_segments, unreadable},
    record::{
        matcher::{Compiler, Matcher, Values, Verdict},
        read::user_of,
    },
};

/// Where an engine has the segments that criteria refer to.
pub(crate) trait Sources {
    /// What the members of an import segment are read by.
    type Import;

    /// A segment of the application.
    fn segment(&mut self, id: SegmentId) -> Result<Option<Segment>>;
    /// A version of a segment.
    fn version(&mut self, id: SegmentId, number: u32) -> Result<Option<SegmentVersion>>;
    /// The members of a version that imports made.
    fn import(&mut self, segment: &Segment, version: &SegmentVersion) -> Result<Self::Import>;
}

/// Makes ready to judge the endpoints of a segment, and to read the import segments that its criteria refer to.
pub(crate) fn plan<S: Sources>(
    sources: S,
    segment: &Segment,
    criteria: &Criteria,
) -> Result<(Judge, Vec<S::Import>)> {
    let mut plan = Plan {
        sources,
        top: segment.id,
        compiler: Compiler::new(Timestamp::now()),
        rules: HashMap::new(),
        imports: Vec::new(),
    };
    plan.made(criteria, 0)?;
    Ok((Judge::new(Arc::new(plan.compiler.matcher())), plan.imports))
}

/// Looks at one endpoint after the other.
pub(crate) struct Judge {
    matcher: Arc<Matcher>,
    values: Values,
}

impl Judge {
    fn new(matcher: Arc<Matcher>) -> Self {
        Self { matcher, values: Values::default() }
    }

    /// One with the same criteria, for another thread.
    pub(crate) fn another(&self) -> Self {
        Self::new(Arc::clone(&self.matcher))
    }

    /// Whether what is in no import segment cannot belong.
    pub(crate) fn needs_import(&self) -> bool {
        self.matcher.needs_import
    }

    /// Whether an endpoint belongs, before its user's record is at hand. `imports`: the import segments it is in, a bit for
    /// each.
    pub(crate) fn look(&mut self, record: &[u8], imports: u128, is_copy: bool) -> Result<Verdict> {
        // A copy is whole by itself, its user's attributes included.
        let has_user = self.matcher.has_user_tests()
            && !is_copy
            && user_of(record)?.is_some_and(|user| !user.is_empty());
        let user: Option<&[u8]> = if has_user { None } else { Some(&[]) };
        Ok(self.matcher.look(record, user, imports, &mut self.values)?)
    }

    /// Whether an endpoint belongs, now that its user's record is at hand.
    pub(crate) fn belongs(&mut self, record: &[u8], user: &[u8], imports: u128) -> Result<bool> {
        Ok(self.matcher.look(record, Some(user), imports, &mut self.values)? == Verdict::Yes)
    }
}

/// A segment's rules while they are made.
struct Plan<S: Sources> {
    sources: S,
    top: SegmentId,
    compiler: Compiler,
    /// Those of the segments that were met, by id and version.
    rules: HashMap<(SegmentId, u32), usize>,
    imports: Vec<S::Import>,
}

impl<S: Sources> Plan<S> {
    fn made(&mut self, criteria: &Criteria, depth: usize) -> Result<usize> {
        if depth > MAX_CRITERIA_DEPTH {
            return Err(unreadable(self.top, &too_deep()));
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
                self.imports.push(self.sources.import(&segment, &version)?);
                self.compiler.import()
            }
        };
        self.rules.insert(known, rule);
        if self.rules.len() > MAX_CRITERIA_SEGMENTS {
            return Err(unreadable(self.top, &too_many_segments()));
        }
        Ok(rule)
    }

    /// The segment and version that a reference means.
    fn find(&mut self, reference: &SegmentReference) -> Result<(Segment, SegmentVersion)> {
        let segment = self.sources.segment(reference.id)?;
        let version = match (&segment, reference.version) {
            (None, _) => None,
            (Some(segment), None) => segment.current.clone(),
            (Some(_), Some(number)) => self.sources.version(reference.id, number)?,
        };
        segment.zip(version).ok_or_else(|| unreadable(self.top, &no_source(reference)))
    }
}
