//! The servers that share a store: each says every second that it is here, and is gone when it says so or is not heard of for
//! as long as a lease lasts. Nothing depends on these rows: who works on a job is what its lease says.

use std::time::Duration;

use pinport_model::view::ServerView;

use super::connection::Connection;
use crate::Result;

/// The name in what a process is known by: what is before the last slash. The rest tells apart those that have one name.
pub(super) fn shown(owner: &str) -> &str {
    owner.rsplit_once('/').map_or(owner, |(name, _)| name)
}

/// Says that this server is here. Those that are, in order of their names.
pub(super) fn meet(
    connection: &mut Connection,
    owner: &str,
    lease: Duration,
    (version, running): (&str, u64),
) -> Result<Vec<ServerView>> {
    let running = i64::try_from(running).unwrap_or(i64::MAX);
    connection.execute(
        "INSERT INTO servers (owner, name, version, running, seen) VALUES ($1, $2, $3, $4, clock_timestamp()) \
         ON CONFLICT (owner) DO UPDATE SET running = excluded.running, seen = excluded.seen",
        &[&owner, &shown(owner), &version, &running],
    )?;
    let found = connection.query(
        "SELECT name, version, running, owner, seen < clock_timestamp() - make_interval(secs => $1) \
         FROM servers ORDER BY name, owner",
        &[&lease.as_secs_f64()],
    )?;
    let mut here = Vec::new();
    for row in found {
        if row.get::<_, bool>(4) {
            let gone: &str = row.get(3);
            // Another one may do the same, and the server may be back.
            connection.execute(
                "DELETE FROM servers WHERE owner IN (SELECT owner FROM servers WHERE owner = $1 \
                 AND seen < clock_timestamp() - make_interval(secs => $2) FOR UPDATE SKIP LOCKED)",
                &[&gone, &lease.as_secs_f64()],
            )?;
            continue;
        }
        here.push(ServerView {
            name: row.get(0),
            version: row.get(1),
            running: u64::try_from(row.get::<_, i64>(2)).unwrap_or(0),
            here: row.get::<_, &str>(3) == owner,
        });
    }
    Ok(here)
}

/// The names of the servers that are here.
pub(super) fn here(connection: &mut Connection, lease: Duration) -> Result<Vec<String>> {
    let found = connection.query(
        "SELECT name FROM servers WHERE seen >= clock_timestamp() - make_interval(secs => $1) ORDER BY name",
        &[&lease.as_secs_f64()],
    )?;
    Ok(found.iter().map(|row| row.get(0)).collect())
}

/// Takes this server's row.
pub(super) fn leave(connection: &mut Connection, owner: &str) -> Result<()> {
    connection.execute("DELETE FROM servers WHERE owner = $1", &[&owner])?;
    Ok(())
}
