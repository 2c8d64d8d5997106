//! Requests and the jobs they made, so that one which is sent again is known by every server.

use std::time::Duration;

use pinport_model::JobId;

use super::{connection::Connection, documents::key};
use crate::Result;

/// Requests over their time that are forgotten when one is noted: more than come in.
const FORGOTTEN_AT_ONCE: i64 = 100;

/// Notes that a request makes a job, in the transaction that adds it; if the same one made another within `window`, that
/// one's id. Of two that come at the same time the second waits for the first.
pub(super) fn note(
    connection: &mut Connection,
    request: &str,
    job: JobId,
    window: Duration,
) -> Result<Option<JobId>> {
    let seconds = window.as_secs_f64();
    loop {
        let noted = connection.execute(
            "INSERT INTO requests AS r (request, job, made) VALUES ($1, $2, clock_timestamp()) \
             ON CONFLICT (request) DO UPDATE SET job = excluded.job, made = excluded.made \
             WHERE r.made < clock_timestamp() - make_interval(secs => $3)",
            &[&request, &key(job.as_bytes()), &seconds],
        )?;
        if noted > 0 {
            break;
        }
        if let Some(row) = connection.query_opt("SELECT job FROM requests WHERE request = $1", &[&request])? {
            return Ok(Some(id(&row)));
        }
        // Its job was deleted between the two.
    }
    // Those that another one forgets are left to it.
    connection.execute(
        "DELETE FROM requests WHERE request IN (SELECT request FROM requests \
         WHERE made < clock_timestamp() - make_interval(secs => $1) ORDER BY made LIMIT $2 FOR UPDATE SKIP LOCKED)",
        &[&seconds, &FORGOTTEN_AT_ONCE],
    )?;
    Ok(None)
}

/// The job that a request made within `window`.
pub(super) fn find(connection: &mut Connection, request: &str, window: Duration) -> Result<Option<JobId>> {
    let found = connection.query_opt(
        "SELECT job FROM requests WHERE request = $1 AND made >= clock_timestamp() - make_interval(secs => $2)",
        &[&request, &window.as_secs_f64()],
    )?;
    Ok(found.map(|row| id(&row)))
}

fn id(row: &postgres::Row) -> JobId {
    JobId::from_bytes(*row.get::<_, uuid::Uuid>(0).as_bytes())
}
