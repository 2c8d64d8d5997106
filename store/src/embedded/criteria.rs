//! Finding the members of a segment that is made of criteria.
//!
//! One scan goes over the application's endpoints, and one over each import segment that the criteria refer to; they go
//! along together in order of id, so what is held does not grow with what is looked at. Segments of criteria among the
//! sources need no scan: they are rules of the same [`Matcher`]. Where every member has to be in an import segment, the
//! endpoints between its members are skipped.
//!
//! The application's endpoints are looked at, and beside them the copies that source segments hold of what is not
//! registered. Of an endpoint that is registered, what is registered counts.

use std::{collections::HashMap, sync::Arc};

use pinport_model::{
    ApplicationId, Criteria, Segment, SegmentId, SegmentVersion, Timestamp,
    criteria::{MAX_CRITERIA_DEPTH, MAX_CRITERIA_SEGMENTS, SegmentReference},
};
use rocksdb::Snapshot;

use super::{
    engine::{Engine, Scan},
    keys,
    rows::{Ids, Place, Rows},
    seek::seek,
    segments,
};
use crate::{
    Result,
    lifecycle::{SegmentState, no_source, too_deep, too_many_segments, unreadable},
    record::{
        matcher::{Compiler, Matcher, Values, Verdict},
        read::{is_endpoint, user_of},
    },
};

/// Endpoints that are looked at between two questions whether to go on.
const ASKED_EVERY: usize = 4096;

/// What is looked at, and how.
pub(super) struct Wanted<'a> {
    judge: Judge,
    imports: Vec<Import<'a>>,
    /// The id that is looked at.
    id: Vec<u8>,
}

/// The members of an import segment, with the next of them at hand.
struct Import<'a> {
    ids: Ids<'a>,
    next: Option<Place>,
    bytes: Vec<u8>,
}

impl Import<'_> {
    fn forward(&mut self) -> Result<()> {
        self.bytes.clear();
        self.next = self.ids.next(&mut self.bytes)?;
        Ok(())
    }

    fn id(&self) -> Option<&[u8]> {
        self.next.as_ref().map(|(id, _)| &self.bytes[id.clone()])
    }

    /// The copy that the segment holds, if it is whole by itself.
    fn copy(&self) -> Result<Option<&[u8]>> {
        let Some((_, Some(copy))) = &self.next else { return Ok(None) };
        let copy = &self.bytes[copy.clone()];
        Ok(is_endpoint(copy)?.then_some(copy))
    }
}

impl<'a> Wanted<'a> {
    /// `scan`: begins to read below a prefix.
    pub(super) fn open(
        engine: &'a Engine,
        snapshot: &'a Snapshot<'_>,
        scan: &impl Fn(&[u8]) -> Scan<'a>,
        segment: &Segment,
        criteria: &Criteria,
        after: Option<&[u8]>,
    ) -> Result<Self> {
        let mut plan = Plan {
            engine,
            snapshot,
            top: segment,
            compiler: Compiler::new(Timestamp::now()),
            rules: HashMap::new(),
            imports: Vec::new(),
        };
        plan.made(criteria, 0)?;
        let Plan { compiler, imports, .. } = plan;
        let imports = imports.into_iter().map(|(id, layers)| {
            let ids = Ids::open(engine, snapshot, scan, id, &layers, after)?;
            let mut import = Import { ids, next: None, bytes: Vec::new() };
            import.forward()?;
            Ok(import)
        });
        let imports = imports.collect::<Result<_>>()?;
        let judge = Judge { matcher: Arc::new(compiler.matcher()), values: Values::default() };
        Ok(Self { judge, imports, id: Vec::new() })
    }

    /// Takes the next endpoints that belong, or may belong if their users say so; whether they are the last.
    pub(super) fn fill(
        &mut self,
        rows: &mut Rows,
        endpoints: &mut Scan<'_>,
        application: ApplicationId,
        [most, batch]: [usize; 2],
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        if self.imports.is_empty() {
            return self.fill_with_registered(rows, endpoints, [most, batch], go_on);
        }
        let mut is_first = true;
        let mut looked = 0_usize;
        while rows.has_room(most, batch) {
            if looked.is_multiple_of(ASKED_EVERY) && !go_on() {
                return Ok(true);
            }
            looked += 1;
            let least = self.imports.iter().filter_map(Import::id).min();
            if self.judge.matcher.needs_import {
                let Some(least) = least else { return Ok(true) };
                self.id.clear();
                self.id.extend_from_slice(least);
                seek(endpoints, &self.id, is_first, |id| keys::endpoint(application, id))?;
                is_first = false;
            } else {
                let least = match (least, endpoints.entry()?) {
                    (None, None) => return Ok(true),
                    (Some(one), Some((other, _))) => one.min(other),
                    (Some(one), None) | (None, Some((one, _))) => one,
                };
                self.id.clear();
                self.id.extend_from_slice(least);
            }
            let mut imports = 0_u128;
            for (number, import) in self.imports.iter().enumerate() {
                imports |= u128::from(import.id() == Some(&self.id)) << number;
            }
            let registered = endpoints.entry()?.filter(|(id, _)| *id == self.id);
            let is_registered = registered.is_some();
            let mut record = registered.map(|(_, record)| record).filter(|record| !record.is_empty());
            if let Some(found) = record
                && !is_endpoint(found)?
            {
                record = None;
            }
            match record {
                Some(record) => self.look(rows, record, imports, false)?,
                None if imports != 0 => {
                    let mut copy = None;
                    for (number, import) in self.imports.iter().enumerate() {
                        if copy.is_none() && imports >> number & 1 == 1 {
                            copy = import.copy()?;
                        }
                    }
                    let copy = copy.map(<[u8]>::to_vec);
                    if let Some(copy) = copy {
                        self.look(rows, &copy, imports, true)?;
                    }
                }
                None => {}
            }
            if is_registered {
                endpoints.forward();
            }
            if imports != 0 {
                for import in self.imports.iter_mut() {
                    if import.id() == Some(&self.id) {
                        import.forward()?;
                    }
                }
            }
        }
        Ok(false)
    }

    /// The same where no import segment is referred to: nothing goes along with the scan of endpoints.
    fn fill_with_registered(
        &mut self,
        rows: &mut Rows,
        endpoints: &mut Scan<'_>,
        [most, batch]: [usize; 2],
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        let mut looked = 0_usize;
        while rows.has_room(most, batch) {
            if looked.is_multiple_of(ASKED_EVERY) && !go_on() {
                return Ok(true);
            }
            looked += 1;
            let Some((id, record)) = endpoints.entry()? else { return Ok(true) };
            if is_endpoint(record)? {
                let verdict = self.judge.look(record, 0, false)?;
                if verdict != Verdict::No {
                    rows.push_found(id, record, false, (verdict == Verdict::Open).then_some(0))?;
                }
            }
            endpoints.forward();
        }
        Ok(false)
    }

    /// Says of endpoints that may belong whether they do.
    pub(super) fn judge(&self) -> Judge {
        Judge { matcher: self.judge.matcher.clone(), values: Values::default() }
    }

    fn look(&mut self, rows: &mut Rows, record: &[u8], imports: u128, is_copy: bool) -> Result<()> {
        let verdict = self.judge.look(record, imports, is_copy)?;
        if verdict != Verdict::No {
            rows.push_found(&self.id, record, is_copy, (verdict == Verdict::Open).then_some(imports))?;
        }
        Ok(())
    }
}

/// Looks at one endpoint after the other.
pub(super) struct Judge {
    matcher: Arc<Matcher>,
    values: Values,
}

impl Judge {
    /// Whether an endpoint belongs, before its user's record is at hand.
    fn look(&mut self, record: &[u8], imports: u128, is_copy: bool) -> Result<Verdict> {
        // A copy is whole by itself, its user's attributes included.
        let has_user = self.matcher.has_user_tests()
            && !is_copy
            && user_of(record)?.is_some_and(|user| !user.is_empty());
        let user: Option<&[u8]> = if has_user { None } else { Some(&[]) };
        Ok(self.matcher.look(record, user, imports, &mut self.values)?)
    }

    /// Whether an endpoint belongs, now that its user's record is at hand.
    pub(super) fn belongs(&mut self, record: &[u8], user: &[u8], imports: u128) -> Result<bool> {
        Ok(self.matcher.look(record, Some(user), imports, &mut self.values)? == Verdict::Yes)
    }
}

/// A segment's rules while they are made.
struct Plan<'a> {
    engine: &'a Engine,
    snapshot: &'a Snapshot<'a>,
    top: &'a Segment,
    compiler: Compiler,
    /// Those of the segments that were met, by id and version.
    rules: HashMap<(SegmentId, u32), usize>,
    imports: Vec<(SegmentId, Vec<(u32, bool)>)>,
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
                let layers = segments::layers(self.engine, self.snapshot, &segment, &version)?;
                let layers = layers.iter().map(|layer| (layer.number, layer.copies)).collect();
                self.imports.push((segment.id, layers));
                self.compiler.import()
            }
        };
        self.rules.insert(known, rule);
        if self.rules.len() > MAX_CRITERIA_SEGMENTS {
            return Err(unreadable(self.top.id, &too_many_segments()));
        }
        Ok(rule)
    }

    /// The segment and version that a reference means, at the moment that everything is read of.
    fn find(&self, reference: &SegmentReference) -> Result<(Segment, SegmentVersion)> {
        let key = keys::segment(self.top.application, reference.id);
        let state: Option<SegmentState> = self.engine.get_json_in(self.snapshot, &key)?;
        let segment = state.map(|state| state.segment);
        let version = match (&segment, reference.version) {
            (None, _) => None,
            (Some(segment), None) => segment.current.clone(),
            (Some(_), Some(number)) => {
                self.engine.get_json_in(self.snapshot, &keys::version(reference.id, number))?
            }
        };
        let found = segment.zip(version);
        found.ok_or_else(|| unreadable(self.top.id, &no_source(reference)))
    }
}
