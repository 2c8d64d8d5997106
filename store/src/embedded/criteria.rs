//! Finding the members of a segment that is made of criteria.
//!
//! One scan goes over the application's endpoints, and one over each import segment that the criteria refer to; they go
//! along together in order of id, so what is held does not grow with what is looked at. Segments of criteria among the
//! sources need no scan: they are rules of the same [`Judge`]. Where every member has to be in an import segment, the
//! endpoints between its members are skipped.
//!
//! The application's endpoints are looked at, and beside them the copies that source segments hold of what is not
//! registered. Of an endpoint that is registered, what is registered counts.

use pinport_model::{ApplicationId, Criteria, Segment, SegmentId, SegmentVersion};
use rocksdb::Snapshot;

use super::{
    borders::Seen,
    engine::Engine,
    keys, layers,
    merged::{Merged, Place},
    rows::Rows,
    scan::Scan,
    seek::seek,
};
use crate::{
    Result,
    criteria::{Judge, Sources, plan},
    lifecycle::SegmentState,
    record::{matcher::Verdict, read::is_endpoint},
};

/// Endpoints that are looked at between two questions whether to go on.
const ASKED_EVERY: usize = 4096;

/// What is looked at, and how.
pub(super) struct Wanted<'a> {
    judge: Judge,
    imports: Vec<Import<'a>>,
    /// The id that is looked at.
    id: Vec<u8>,
    /// What was looked at since it went on to an id.
    pub(super) seen: Seen,
}

/// The members of an import segment, with the next of them at hand.
struct Import<'a> {
    ids: Merged<'a>,
    next: Option<Place>,
    bytes: Vec<u8>,
}

impl Import<'_> {
    fn forward(&mut self) -> Result<()> {
        self.bytes.clear();
        self.next = self.ids.append_next(&mut self.bytes)?;
        Ok(())
    }

    /// Goes on to the first member that is not before `id`.
    fn seek(&mut self, id: &[u8]) -> Result<()> {
        if self.id().is_some_and(|at| at < id) {
            self.ids.seek(id)?;
            self.forward()?;
        }
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
    pub(super) fn open(
        engine: &'a Engine,
        snapshot: &'a Snapshot<'_>,
        segment: &Segment,
        criteria: &Criteria,
        from: (Option<&[u8]>, bool),
        room: usize,
    ) -> Result<Self> {
        let sources = Read { engine, snapshot, application: segment.application };
        let (judge, imports) = plan(sources, segment, criteria)?;
        let room = room / imports.len().max(1);
        let imports = imports.into_iter().map(|(id, layers)| {
            let ids = Merged::with_room(engine, snapshot, (id, &layers), from, room)?;
            let mut import = Import { ids, next: None, bytes: Vec::new() };
            import.forward()?;
            Ok(import)
        });
        let imports = imports.collect::<Result<_>>()?;
        Ok(Self { judge, imports, id: Vec::new(), seen: Seen::default() })
    }

    /// Goes on to the first endpoint that is not before `id`.
    pub(super) fn seek(&mut self, id: &[u8]) -> Result<()> {
        self.seen.clear();
        self.imports.iter_mut().try_for_each(|import| import.seek(id))
    }

    /// Takes the next endpoints before `end` that belong, or may belong if their users say so; whether they are the last.
    pub(super) fn fill(
        &mut self,
        rows: &mut Rows,
        endpoints: &mut Scan<'_>,
        (application, end): (ApplicationId, Option<&[u8]>),
        [most, batch]: [usize; 2],
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        if self.imports.is_empty() {
            return self.fill_with_registered(rows, endpoints, end, [most, batch], go_on);
        }
        let mut is_first = true;
        while rows.has_room(most, batch) {
            if self.seen.ids().is_multiple_of(ASKED_EVERY) && !go_on() {
                return Ok(true);
            }
            let least = self.imports.iter().filter_map(Import::id).min();
            if self.judge.needs_import() {
                let Some(least) = least else { return Ok(true) };
                if is_past(least, end) {
                    return Ok(true);
                }
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
                if is_past(least, end) {
                    return Ok(true);
                }
                self.id.clear();
                self.id.extend_from_slice(least);
            }
            self.seen.add(&self.id);
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
        end: Option<&[u8]>,
        [most, batch]: [usize; 2],
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        while rows.has_room(most, batch) {
            if self.seen.ids().is_multiple_of(ASKED_EVERY) && !go_on() {
                return Ok(true);
            }
            let Some((id, record)) = endpoints.entry()? else { return Ok(true) };
            if is_past(id, end) {
                return Ok(true);
            }
            self.seen.add(id);
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
        self.judge.another()
    }

    fn look(&mut self, rows: &mut Rows, record: &[u8], imports: u128, is_copy: bool) -> Result<()> {
        let verdict = self.judge.look(record, imports, is_copy)?;
        if verdict != Verdict::No {
            rows.push_found(&self.id, record, is_copy, (verdict == Verdict::Open).then_some(imports))?;
        }
        Ok(())
    }
}

/// Whether an id comes after those that are looked at.
fn is_past(id: &[u8], end: Option<&[u8]>) -> bool {
    end.is_some_and(|end| id >= end)
}

/// The segments of an application, all of one moment.
struct Read<'a> {
    engine: &'a Engine,
    snapshot: &'a Snapshot<'a>,
    application: ApplicationId,
}

impl Sources for Read<'_> {
    type Import = (SegmentId, Vec<(u32, bool)>);

    fn segment(&mut self, id: SegmentId) -> Result<Option<Segment>> {
        let key = keys::segment(self.application, id);
        let state: Option<SegmentState> = self.engine.get_json_in(self.snapshot, &key)?;
        Ok(state.map(|state| state.segment))
    }

    fn version(&mut self, id: SegmentId, number: u32) -> Result<Option<SegmentVersion>> {
        self.engine.get_json_in(self.snapshot, &keys::version(id, number))
    }

    fn import(&mut self, segment: &Segment, version: &SegmentVersion) -> Result<Self::Import> {
        let layers = layers::of_version(self.engine, self.snapshot, segment, version)?;
        Ok((segment.id, layers::to_open(&layers)))
    }
}
