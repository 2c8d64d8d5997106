//! Reading out: all endpoints of an application, or of a version of a segment, as stored bytes in order of id.
//!
//! Endpoints are read in batches ([`super::rows`]): their members, their records by one scan that goes along, and then the
//! users that they name. Nothing is decoded here.

use std::ops::ControlFlow;

use pinport_model::Endpoint;

use super::{
    criteria::Wanted,
    engine::Engine,
    keys,
    rows::{Each, Ids, Rows},
    segments,
};
use crate::{Result, Scope, record::read::decode};

/// Rows of the first batch, so that the first of them come soon. Each batch is twice the one before.
const FIRST_ROWS: usize = 256;
/// Rows of a batch: more would not make the users lie closer.
const MOST_ROWS: usize = 1 << 18;
/// Bytes up to which a read is a short one, which the cache is for.
const SHORT: usize = 4 << 20;

/// Reads with the users of endpoints, or without where these decide nothing. `go_on` is asked now and then while endpoints
/// are looked at that criteria do not find: if it says no, there are no more.
pub(super) fn read_out(
    engine: &Engine,
    scope: Scope<'_>,
    after: Option<&[u8]>,
    (batch, with_users): (usize, bool),
    go_on: &dyn Fn() -> bool,
    each: &mut Each<'_>,
) -> Result<()> {
    // Another thread may fold the layers meanwhile.
    let snapshot = engine.db.snapshot();
    let scan = |prefix: &[u8]| match batch <= SHORT {
        true => engine.scan_in(&snapshot, prefix),
        false => engine.stream_in(&snapshot, prefix),
    };
    let (application, mut of) = match scope {
        Scope::Application(application) => (application, Of::All),
        Scope::Version(segment, version) => {
            let of = match &version.criteria {
                Some(criteria) => {
                    Of::Found(Wanted::open(engine, &snapshot, &scan, segment, criteria, after)?)
                }
                None => {
                    let layers = segments::layers(engine, &snapshot, segment, version)?;
                    let layers: Vec<_> = layers.iter().map(|layer| (layer.number, layer.copies)).collect();
                    Of::Members(Ids::open(engine, &snapshot, &scan, segment.id, &layers, after)?)
                }
            };
            (segment.application, of)
        }
    };
    let mut endpoints = scan(&keys::endpoint(application, b""));
    let mut users = scan(&keys::user(application, b""));
    match (&of, after) {
        (Of::Members(_), _) => {}
        (_, None) => endpoints.seek_first(),
        (_, Some(after)) => endpoints.seek_after(&keys::endpoint(application, after)),
    }
    let mut rows = Rows::new(with_users);
    let mut most = FIRST_ROWS;
    loop {
        rows.clear();
        let is_last = match &mut of {
            Of::All => rows.fill_with_all(&mut endpoints, most, batch)?,
            Of::Members(ids) => rows.fill_with_members(ids, &mut endpoints, application, most, batch)?,
            Of::Found(wanted) => wanted.fill(&mut rows, &mut endpoints, application, [most, batch], go_on)?,
        };
        let all = 0..rows.len();
        let mut belongs = |record: &[u8], user: &[u8], imports| match &mut of {
            Of::Found(wanted) => wanted.belongs(record, user, imports),
            _ => Ok(true),
        };
        if rows.hand_on(&mut users, application, all, batch, &mut belongs, each)?.is_break() || is_last {
            return Ok(());
        }
        most = (most * 2).min(MOST_ROWS);
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
    Members(Ids<'a>),
    Found(Wanted<'a>),
}
