//! Taking attributes from all endpoints or users of an application. Each is removed by an update, so what an import that
//! begins later brings is not lost.

use std::{collections::BTreeSet, ops::ControlFlow};

use pinport_model::ApplicationId;

use super::{
    Engine, endpoints, read,
    stream::{self, Asked},
};
use crate::{AttributeKind, Result, Scope, lifecycle::removal, record::Tag};

/// Updates that are written in one transaction.
const AT_ONCE: usize = 1000;
/// Users that are looked at at once.
const USERS_AT_ONCE: i64 = 2000;
/// Bytes of endpoints that are held.
const HELD: usize = 4 << 20;

/// Removes attributes; the names that were there.
pub(super) fn remove(
    engine: &Engine,
    application: ApplicationId,
    kind: AttributeKind,
    is_named: &dyn Fn(&str) -> bool,
) -> Result<BTreeSet<String>> {
    let mut removed = BTreeSet::new();
    let Some(space) = engine.space(application)? else { return Ok(removed) };
    let tag = kind.tag();
    if kind == AttributeKind::User {
        from_users(engine, space, is_named, &mut removed)?;
    }
    // An endpoint keeps user attributes that came before it had a user.
    let mut updates = Vec::new();
    let asked = Asked {
        scope: Scope::Application(application),
        space,
        after: None,
        batch: HELD,
        with_users: false,
        bounds: engine.bounds,
    };
    engine.pool.snapshot_of_two(|rows, users| {
        stream::read_out([rows, users], &asked, &|| true, &mut |stored| {
            let update = removal(stored.record, tag, is_named, &mut removed)?;
            if !update.is_empty() {
                updates.push((stored.id.to_vec(), update));
            }
            if updates.len() >= AT_ONCE {
                append(engine, application, &std::mem::take(&mut updates), false)?;
            }
            Ok(ControlFlow::Continue(()))
        })
    })?;
    append(engine, application, &updates, false)?;
    Ok(removed)
}

fn append(
    engine: &Engine,
    application: ApplicationId,
    updates: &[(Vec<u8>, Vec<u8>)],
    are_users: bool,
) -> Result<()> {
    if updates.is_empty() {
        return Ok(());
    }
    let space = engine.needed_space(application)?;
    engine.pool.write(|connection| endpoints::append_updates(connection, space, updates, are_users))
}

fn from_users(
    engine: &Engine,
    space: i32,
    is_named: &dyn Fn(&str) -> bool,
    removed: &mut BTreeSet<String>,
) -> Result<()> {
    let mut after: (i64, Vec<u8>) = (i64::MIN, Vec::new());
    loop {
        // In the order of the index: the end of one page is the beginning of the next.
        let found = engine.pool.read(|connection| {
            connection.query(
                "SELECT h8, usr FROM uops WHERE h8 >= $1 AND (h8, usr) > ($1, $2) AND space = $3 AND rec IS NOT NULL \
                 GROUP BY h8, usr ORDER BY h8, usr LIMIT $4",
                &[&after.0, &after.1, &space, &USERS_AT_ONCE],
            )
        })?;
        let Some(last) = found.last() else { return Ok(()) };
        after = (last.get(0), last.get(1));
        let users: Vec<&[u8]> = found.iter().map(|row| row.get(1)).collect();
        let records = engine
            .pool
            .read(|connection| read::users(connection, space, users.iter().copied(), engine.bounds))?;
        let mut updates = Vec::new();
        for (user, record) in records {
            let update = removal(&record, Tag::UserAttribute, is_named, removed)?;
            if !update.is_empty() {
                updates.push((user, update));
            }
        }
        if !updates.is_empty() {
            engine.pool.write(|connection| endpoints::append_updates(connection, space, &updates, true))?;
        }
    }
}
