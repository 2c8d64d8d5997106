//! Reading out: all endpoints of an application, or of a version of a segment, as stored bytes in order of id.
//!
//! They are read in ranges that follow one another, by one thread or by several that take one range after the other. In each
//! range they are read in batches ([`super::rows`]): their members, their records by one scan that goes along, and then the
//! users that they name. Nothing is decoded here.
//!
//! ```text
//! Reading    what all threads share: the scope, the next range, the users that are kept
//! Reader     what a thread has: its scans and its batch
//! ```
//!
//! The members of a segment are merged from its layers once, whichever thread needs the next ones. The endpoints of an
//! application are divided where there is a border ([`super::borders`]).

use std::{ops::ControlFlow, thread};

use parking_lot::Mutex;
use pinport_model::{ApplicationId, Criteria, Endpoint, Segment};
use rocksdb::Snapshot;

use super::{
    borders::{Border, Borders, Seen, go_to},
    criteria::Wanted,
    engine::Engine,
    kept::Source,
    keys, layers,
    merged::{AT_HAND, Merged},
    rows::{Ids, Rows},
    scan::Scan,
    users::{Shared, Users},
};
use crate::{RangeTaker, Result, Scope, Stored, criteria::Judge, record::read::decode};

/// Rows of the first batch, so that the first of them come soon. Each batch is twice the one before.
const FIRST_ROWS: usize = if cfg!(test) { 1 << 4 } else { 1 << 8 };
/// Rows of all batches: more would not make the users lie closer.
const MOST_ROWS: usize = 1 << 18;
/// Rows of a batch where all users are in memory: so many lie in the processor's cache when they are handed on.
const FEW_ROWS: usize = if cfg!(test) { 1 << 6 } else { 1 << 11 };
/// Batches of a range. To begin one takes time, and what lies around its border in the store is read on both sides.
const BATCHES: usize = 2;
/// Bytes that the last row of a batch nearly always has room in.
const LAST_ROW: usize = 64 << 10;
/// Bytes up to which a read is a short one, which the cache is for.
const SHORT: usize = 4 << 20;

/// What is read, and how.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) scope: Scope<'a>,
    pub(super) after: Option<&'a [u8]>,
    /// Bytes of endpoints that are held at a time.
    pub(super) batch: usize,
    /// Users are read of all endpoints that name one, or only where these decide whether an endpoint belongs.
    pub(super) with_users: bool,
    /// Asked now and then while endpoints are looked at that criteria do not find: if it says no, there are no more.
    pub(super) go_on: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> Wish<'a> {
    /// All endpoints with their users.
    pub(super) fn all(scope: Scope<'a>, after: Option<&'a [u8]>, batch: usize) -> Self {
        Self { scope, after, batch, with_users: true, go_on: &|| true }
    }
}

/// Hands all endpoints to `each`.
pub(super) fn read_out(
    engine: &Engine,
    wish: Wish<'_>,
    each: &mut dyn FnMut(Stored<'_>) -> Result<ControlFlow<()>>,
) -> Result<()> {
    // Another thread may fold the layers meanwhile.
    let snapshot = engine.db.snapshot();
    let reading = Reading::open(engine, &snapshot, wish, 1)?;
    let mut taker = Alone { each, outcome: Ok(()) };
    reading.work(&mut taker);
    taker.outcome
}

/// Hands ranges of endpoints to takers, each on a thread of its own.
pub(super) fn read_ranges(
    engine: &Engine,
    wish: Wish<'_>,
    takers: &mut [&mut (dyn RangeTaker + Send)],
) -> Result<()> {
    let snapshot = engine.db.snapshot();
    let reading = &Reading::open(engine, &snapshot, wish, takers.len())?;
    let Some((first, others)) = takers.split_first_mut() else { return Ok(()) };
    thread::scope(|scope| {
        for taker in others {
            let own = thread::Builder::new().name("read-out".to_owned());
            // Where the system gives no more threads, those that are there read everything.
            let _ = own.spawn_scoped(scope, || reading.work(&mut **taker));
        }
        reading.work(&mut **first);
    });
    Ok(())
}

/// One who takes everything.
struct Alone<'a> {
    each: &'a mut dyn FnMut(Stored<'_>) -> Result<ControlFlow<()>>,
    outcome: Result<()>,
}

impl RangeTaker for Alone<'_> {
    fn begin(&mut self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn add(&mut self, stored: &Stored<'_>) -> Result<ControlFlow<()>> {
        (self.each)(*stored)
    }

    fn end(&mut self, outcome: Result<()>) {
        self.outcome = outcome;
    }
}

/// What all threads that read share.
struct Reading<'a> {
    engine: &'a Engine,
    snapshot: &'a Snapshot<'a>,
    application: ApplicationId,
    of: Of<'a>,
    wish: Wish<'a>,
    /// Bytes of a batch.
    batch: usize,
    threads: usize,
    ranges: Mutex<Ranges<'a>>,
    users: Shared,
}

/// Which endpoints are read.
#[derive(Clone, Copy)]
enum Of<'a> {
    All,
    Members,
    Found(&'a Segment, &'a Criteria),
}

/// The ranges that no one has taken.
enum Ranges<'a> {
    Members(Box<Merged<'a>>),
    Between(Box<Borders<'a>>),
    /// All is one range.
    Whole,
    None,
}

impl<'a> Reading<'a> {
    fn open(engine: &'a Engine, snapshot: &'a Snapshot<'a>, wish: Wish<'a>, threads: usize) -> Result<Self> {
        let Wish { scope, after, batch, .. } = wish;
        let is_short = batch <= SHORT;
        // How many endpoints there are at least, if it is known before they are read. All of an application have all users.
        let mut known = 0;
        let (application, of) = match scope {
            Scope::Application(application) => (application, Of::All),
            Scope::Version(segment, version) => match &version.criteria {
                Some(criteria) => (segment.application, Of::Found(segment, criteria)),
                None => (segment.application, Of::Members),
            },
        };
        let ranges = match scope {
            Scope::Version(segment, version) if version.criteria.is_none() => {
                let layers = layers::of_version(engine, snapshot, segment, version)?;
                known = layers.iter().map(|layer| layer.records).max().unwrap_or_default();
                Ranges::Members(Box::new(Merged::new(
                    engine,
                    snapshot,
                    segment.id,
                    &layers::to_open(&layers),
                    (after, !is_short),
                )?))
            }
            _ if threads == 1 => Ranges::Whole,
            _ => {
                let endpoints = engine.scan_in(snapshot, &keys::endpoint(application, b""));
                Ranges::Between(Box::new(Borders::new((endpoints, keys::endpoint), application, after)))
            }
        };
        if matches!(of, Of::All) {
            known = u64::MAX;
        }
        // A page needs few users, and leaves the rest where they are.
        let users = Shared::new(!is_short, if after.is_none() { known } else { 0 }, threads);
        let ranges = Mutex::new(ranges);
        Ok(Self {
            engine,
            snapshot,
            application,
            of,
            wish,
            batch: (batch / threads).max(1),
            threads,
            ranges,
            users,
        })
    }

    fn scan(&self, prefix: &[u8]) -> Scan<'a> {
        match self.wish.batch <= SHORT {
            true => self.engine.scan_in(self.snapshot, prefix),
            false => self.engine.stream_in(self.snapshot, prefix),
        }
    }

    /// Reads one range after the other until none is left, or no more is wanted.
    fn work(&self, taker: &mut dyn RangeTaker) {
        let mut reader = match Reader::open(self) {
            Ok(reader) => reader,
            Err(error) => {
                let _ranges = self.ranges.lock();
                if taker.begin().is_continue() {
                    taker.end(Err(error));
                }
                return;
            }
        };
        loop {
            let range = {
                let mut ranges = self.ranges.lock();
                let range = reader.next_range(&mut ranges);
                // In the order of ranges: the next is not taken before this one has begun.
                if matches!(range, Ok(false)) || taker.begin().is_break() {
                    return;
                }
                range
            };
            let outcome = range.and_then(|_| reader.read(taker));
            let is_over = !matches!(outcome, Ok(ControlFlow::Continue(()))) || !(self.wish.go_on)();
            taker.end(outcome.map(|_| ()));
            if is_over {
                return;
            }
        }
    }
}

/// A thread that reads.
struct Reader<'r, 'a> {
    reading: &'r Reading<'a>,
    /// The members of the range.
    ids: Ids,
    start: Border,
    end: Border,
    wanted: Option<(Wanted<'a>, Judge)>,
    endpoints: Scan<'a>,
    /// Whether that is anywhere yet.
    is_begun: bool,
    users: Users<'r>,
    rows: Rows,
    /// Rows of the next batch.
    most: usize,
    /// What was read of the range, unless that is what criteria look at.
    seen: Seen,
}

impl<'r, 'a: 'r> Reader<'r, 'a> {
    fn open(reading: &'r Reading<'a>) -> Result<Self> {
        let &Reading { engine, snapshot, application, of, wish, batch, threads, .. } = reading;
        let is_short = wish.batch <= SHORT;
        let wanted = match of {
            Of::Found(segment, criteria) => {
                let from = (wish.after, !is_short);
                let wanted = Wanted::open(engine, snapshot, segment, criteria, from, AT_HAND / threads)?;
                let judge = wanted.judge();
                Some((wanted, judge))
            }
            _ => None,
        };
        let mut rows = Rows::new(wish.with_users);
        if !is_short {
            // The last row of a batch may be as long as a record is, and the batch before it full.
            rows.reserve(batch + LAST_ROW);
        }
        Ok(Self {
            reading,
            ids: Ids::default(),
            start: None,
            end: None,
            wanted,
            endpoints: reading.scan(&keys::endpoint(application, b"")),
            is_begun: false,
            users: Users::new(Source { engine, snapshot, application, is_long: !is_short }, &reading.users),
            rows,
            most: FIRST_ROWS,
            seen: Seen::default(),
        })
    }

    /// Takes the next range; false if there is none.
    fn next_range(&mut self, ranges: &mut Ranges<'_>) -> Result<bool> {
        let wanted = (BATCHES * self.most).min(MOST_ROWS);
        match ranges {
            Ranges::Members(members) => {
                self.ids.fill(members, wanted, self.reading.batch)?;
                Ok(!self.ids.is_empty())
            }
            Ranges::Between(borders) => {
                if let (Some(start), Some(end)) = (&self.start, &self.end) {
                    let seen = self.wanted.as_ref().map_or(&self.seen, |(wanted, _)| &wanted.seen);
                    borders.learn(start, seen, end);
                }
                let Some((start, end)) = borders.next(wanted)? else {
                    return Ok(false);
                };
                (self.start, self.end) = (start, end);
                Ok(true)
            }
            Ranges::Whole => {
                *ranges = Ranges::None;
                Ok(true)
            }
            Ranges::None => Ok(false),
        }
    }

    /// Reads the range. Whether more is wanted.
    fn read(&mut self, taker: &mut dyn RangeTaker) -> Result<ControlFlow<()>> {
        let Reading { application, of, wish, .. } = self.reading;
        if !matches!(of, Of::Members) {
            let key = |id: &[u8]| keys::endpoint(*application, id);
            go_to(&mut self.endpoints, key, (self.start.as_deref(), wish.after));
        }
        if let (Some((wanted, _)), Some(start)) = (&mut self.wanted, &self.start) {
            wanted.seek(start)?;
        }
        self.seen.clear();
        loop {
            let filled = self.fill();
            // What comes before damage is handed on before that is told.
            if self.hand_on(taker)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if filled? {
                return Ok(ControlFlow::Continue(()));
            }
        }
    }

    /// Takes the next batch; whether it is the last of the range.
    fn fill(&mut self) -> Result<bool> {
        let &Reading { application, wish, batch, .. } = self.reading;
        let Self { rows, endpoints, is_begun, end, most, .. } = self;
        let end = end.as_deref();
        rows.clear();
        let is_last = match (self.reading.of, &mut self.wanted) {
            (Of::Members, _) => {
                rows.fill_with_members(&mut self.ids, (endpoints, is_begun), application, *most, batch)?
            }
            (Of::All, _) => {
                let is_last = rows.fill_with_all(endpoints, end, *most, batch)?;
                if let Some(last) = rows.last_id() {
                    self.seen.add_up_to(last, rows.len());
                }
                is_last
            }
            (Of::Found(..), None) => true,
            (Of::Found(..), Some((wanted, _))) => {
                wanted.fill(rows, endpoints, (application, end), [*most, batch], wish.go_on)?
            }
        };
        *most = (*most * 2).min(rows.most);
        Ok(is_last)
    }

    /// Hands the batch on, with the users that are named.
    fn hand_on(&mut self, taker: &mut dyn RangeTaker) -> Result<ControlFlow<()>> {
        let &Reading { batch, threads, .. } = self.reading;
        let Self { rows, users, wanted, .. } = self;
        let mut belongs = |record: &[u8], user: &[u8], imports| match wanted {
            Some((_, judge)) => judge.belongs(record, user, imports),
            None => Ok(true),
        };
        let all = 0..rows.len();
        let goes_on = rows.hand_on(users, all, batch, &mut belongs, taker);
        rows.most = if users.keeps_all() { FEW_ROWS } else { MOST_ROWS / threads };
        goes_on
    }
}

/// Up to `limit` endpoints of a scope, decoded.
pub(super) fn members(
    engine: &Engine,
    scope: Scope<'_>,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<Endpoint>> {
    let application = match scope {
        Scope::Application(application) => application,
        Scope::Version(segment, _) => segment.application,
    };
    let mut found = Vec::new();
    if limit > 0 {
        read_out(engine, Wish::all(scope, after, SHORT), &mut |stored| {
            found.extend(decode(application, stored.id, stored.record, stored.user_record)?);
            Ok(if found.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
    }
    Ok(found)
}
