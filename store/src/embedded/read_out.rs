//! Reading out: all endpoints of an application, or of a version of a segment, as stored bytes in order of id.
//!
//! Endpoints are read in batches ([`super::rows`]): their members, their records by one scan that goes along, and then the
//! users that they name. Nothing is decoded here.

use std::{ops::ControlFlow, sync::mpsc, thread};

use pinport_model::{ApplicationId, Endpoint};

use super::{
    criteria::Wanted,
    engine::Engine,
    keys, layers,
    merged::Merged,
    rows::{Each, Rows},
    scan::Scan,
    users::Users,
};
use crate::{Result, Scope, StoreError, record::read::decode};

/// Rows of the first batch, so that the first of them come soon. Each batch is twice the one before.
const FIRST_ROWS: usize = 256;
/// Rows of a batch: more would not make the users lie closer.
const MOST_ROWS: usize = 1 << 18;
/// The same where all users are in memory: so many rows lie in the processor's cache when they are handed on.
const FEW_ROWS: usize = 1 << 11;
/// Bytes that the last row of a batch nearly always has room in.
const LAST_ROW: usize = 64 << 10;
/// Bytes up to which a read is a short one, which the cache is for.
const SHORT: usize = 4 << 20;

/// Bytes of users that a long read keeps: about a million, and in tests some of them.
const USERS: usize = if cfg!(test) { 6 << 10 } else { 96 << 20 };

/// Reads with the users of endpoints, or without where these decide nothing. `go_on` is asked now and then while endpoints
/// are looked at that criteria do not find: if it says no, there are no more.
///
/// A long read has a thread of its own for the endpoints: it reads a batch while this one reads the users of the batch
/// before and hands it on.
pub(super) fn read_out(
    engine: &Engine,
    scope: Scope<'_>,
    after: Option<&[u8]>,
    (batch, with_users): (usize, bool),
    go_on: &(dyn Fn() -> bool + Sync),
    each: &mut Each<'_>,
) -> Result<()> {
    // Another thread may fold the layers meanwhile.
    let snapshot = engine.db.snapshot();
    let is_short = batch <= SHORT;
    let scan = |prefix: &[u8]| match is_short {
        true => engine.scan_in(&snapshot, prefix),
        false => engine.stream_in(&snapshot, prefix),
    };
    // How many endpoints there are at least, if it is known before they are read. All of an application have all users.
    let mut known = 0;
    let (application, of) = match scope {
        Scope::Application(application) => {
            known = if after.is_none() { u64::MAX } else { 0 };
            (application, Of::All)
        }
        Scope::Version(segment, version) => {
            let of = match &version.criteria {
                Some(criteria) => {
                    Of::Found(Wanted::open(engine, &snapshot, segment, criteria, (after, !is_short))?)
                }
                None => {
                    let layers = layers::of_version(engine, &snapshot, segment, version)?;
                    if after.is_none() {
                        known = layers.iter().map(|layer| layer.records).max().unwrap_or_default();
                    }
                    let layers: Vec<_> = layers.iter().map(|layer| (layer.number, layer.copies)).collect();
                    Of::Members(Box::new(Merged::new(
                        engine,
                        &snapshot,
                        segment.id,
                        &layers,
                        (after, !is_short),
                    )?))
                }
            };
            (segment.application, of)
        }
    };
    let mut judge = match &of {
        Of::Found(wanted) => Some(wanted.judge()),
        _ => None,
    };
    let mut belongs = |record: &[u8], user: &[u8], imports| match &mut judge {
        Some(judge) => judge.belongs(record, user, imports),
        None => Ok(true),
    };
    let mut endpoints = scan(&keys::endpoint(application, b""));
    match (&of, after) {
        (Of::Members(_), _) => {}
        (_, None) => endpoints.seek_first(),
        (_, Some(after)) => endpoints.seek_after(&keys::endpoint(application, after)),
    }
    // A long read holds two batches at a time.
    let batch = if is_short { batch } else { batch / 2 };
    let mut reader = Reader { of, endpoints, application, batch, most: FIRST_ROWS, go_on };
    // A page needs few users, and leaves the rest where they are.
    let room = if is_short { 0 } else { USERS };
    let mut users = Users::new(scan(&keys::user(application, b"")), application, room, known);
    let mut hand_on = |rows: &mut Rows| {
        let all = 0..rows.len();
        let goes_on = rows.hand_on(&mut users, all, batch, &mut belongs, each);
        rows.most = if users.keeps_all() { FEW_ROWS } else { MOST_ROWS };
        goes_on
    };
    if is_short {
        let mut rows = Rows::new(with_users);
        loop {
            let is_last = reader.fill(&mut rows)?;
            if hand_on(&mut rows)?.is_break() || is_last {
                return Ok(());
            }
        }
    }
    in_two_threads(engine, reader, with_users, &mut hand_on)
}

/// Reads batches on a thread of its own and hands them on here.
fn in_two_threads(
    engine: &Engine,
    mut reader: Reader<'_>,
    with_users: bool,
    hand_on: &mut dyn FnMut(&mut Rows) -> Result<ControlFlow<()>>,
) -> Result<()> {
    thread::scope(|scope| {
        let (full, filled) = mpsc::sync_channel(1);
        let (empty, emptied) = mpsc::sync_channel::<Rows>(2);
        for _ in 0..2 {
            let mut rows = Rows::new(with_users);
            // The last row of a batch may be as long as a record is, and the batch before it full.
            rows.reserve(reader.batch + LAST_ROW);
            empty.send(rows).expect("its receiver is held below");
        }
        let own = thread::Builder::new().name("read-out".to_owned());
        let spawned = own.spawn_scoped(scope, move || {
            // Who hands on has gone when either channel is closed.
            while let Ok(mut rows) = emptied.recv() {
                let is_last = reader.fill(&mut rows);
                let is_end = !matches!(is_last, Ok(false));
                if full.send((rows, is_last)).is_err() || is_end {
                    return;
                }
            }
        });
        spawned.map_err(|source| StoreError::Io {
            action: "start a thread for",
            path: engine.path.clone(),
            source,
        })?;
        for (mut rows, is_last) in filled {
            let is_last = is_last?;
            if hand_on(&mut rows)?.is_break() || is_last {
                break;
            }
            // It has ended, if it does not take it.
            let _ = empty.send(rows);
        }
        Ok(())
    })
}

/// Reads the endpoints of a scope in batches.
struct Reader<'a> {
    of: Of<'a>,
    endpoints: Scan<'a>,
    application: ApplicationId,
    /// Bytes of a batch.
    batch: usize,
    /// Rows of the next batch.
    most: usize,
    go_on: &'a (dyn Fn() -> bool + Sync),
}

impl Reader<'_> {
    /// Takes the next batch; whether it is the last.
    fn fill(&mut self, rows: &mut Rows) -> Result<bool> {
        let Self { of, endpoints, application, batch, most, go_on } = self;
        rows.clear();
        let is_last = match of {
            Of::All => rows.fill_with_all(endpoints, *most, *batch)?,
            Of::Members(ids) => rows.fill_with_members(ids, endpoints, *application, *most, *batch)?,
            Of::Found(wanted) => wanted.fill(rows, endpoints, *application, [*most, *batch], *go_on)?,
        };
        *most = (*most * 2).min(rows.most);
        Ok(is_last)
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
        read_out(engine, scope, after, (SHORT, true), &|| true, &mut |stored| {
            found.extend(decode(application, stored.id, stored.record, stored.user_record)?);
            Ok(if found.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
    }
    Ok(found)
}

/// Which endpoints are read.
enum Of<'a> {
    All,
    Members(Box<Merged<'a>>),
    Found(Wanted<'a>),
}
