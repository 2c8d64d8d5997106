//! Jobs and the records of their pieces.

use std::collections::HashSet;

use pinport_model::{ApplicationId, ImportJob, JobId, PieceRecord, SourceLocation};
use uuid::Uuid;

use super::{
    connection::Connection,
    documents::{key, limit, read, text},
    leases::Key,
    segments, servers,
};
use crate::{
    OpenJob, Result, StopRequest, StoreError, Worker,
    lifecycle::{self, not_found},
};

/// Draws the number of a job, or of an update that comes by itself. Until the transaction ends the fold waits: it must
/// know whether a lower number is still under way.
pub(super) fn draw_number(connection: &mut Connection) -> Result<i32> {
    connection.query("SELECT 1 FROM meta FOR SHARE", &[])?;
    let drawn = connection.query("SELECT nextval('job_no')::int4", &[])?;
    Ok(drawn[0].get(0))
}

pub(super) fn create(connection: &mut Connection, job: &ImportJob, place: &str) -> Result<()> {
    let application = job.definition.application;
    let sql = "SELECT 1 FROM applications WHERE id = $1 FOR SHARE";
    if connection.query_opt(sql, &[&key(application.as_bytes())])?.is_none() {
        return Err(not_found("application", application));
    }
    let number = draw_number(connection)?;
    // Only its own process can read what it reads, or write what it writes.
    let is_local = matches!(job.definition.source, SourceLocation::Path(_) | SourceLocation::Stdin);
    let pin = (is_local || job.definition.export.is_some()).then_some(place);
    let added = connection.execute(
        "INSERT INTO jobs (job, id, application, doc, pin) VALUES ($1, $2, $3, $4::text::json, $5) ON CONFLICT (id) DO NOTHING",
        &[&number, &key(job.id.as_bytes()), &key(application.as_bytes()), &text(job)?, &pin],
    )?;
    if added == 0 {
        return Err(StoreError::Conflict(format!("there is already a job {}", job.id)));
    }
    connection.execute("INSERT INTO parts (job, part) VALUES ($1, 0)", &[&number])?;
    if let Some(id) = job.definition.segment {
        segments::open_layer(connection, job, id)?;
    }
    Ok(())
}

/// A job that no one else changes until the transaction ends.
fn locked(connection: &mut Connection, id: JobId) -> Result<Option<ImportJob>> {
    let sql = "SELECT doc::text FROM jobs WHERE id = $1 FOR UPDATE";
    connection.query_opt(sql, &[&key(id.as_bytes())])?.map(|row| read(&row, 0)).transpose()
}

pub(super) fn save(connection: &mut Connection, job: &ImportJob) -> Result<()> {
    lifecycle::check_save(locked(connection, job.id)?.as_ref(), job)?;
    put(connection, job)
}

fn put(connection: &mut Connection, job: &ImportJob) -> Result<()> {
    connection.execute(
        "UPDATE jobs SET doc = $2::text::json, ended = $3 WHERE id = $1",
        &[&key(job.id.as_bytes()), &text(job)?, &job.status.is_terminal()],
    )?;
    Ok(())
}

pub(super) fn finish(connection: &mut Connection, job: &ImportJob, replace: bool) -> Result<()> {
    lifecycle::check_finish(locked(connection, job.id)?.as_ref(), job)?;
    if let Some(id) = job.definition.segment {
        segments::close_layer(connection, job, id, replace)?;
    }
    put(connection, job)?;
    // What it brought waits to be folded.
    connection.execute(
        "UPDATE folds SET operands = operands + $2 WHERE place = (SELECT job % 256 FROM jobs WHERE id = $1)",
        &[&key(job.id.as_bytes()), &i64::try_from(job.tally.registered).unwrap_or(i64::MAX)],
    )?;
    let sql =
        "UPDATE parts SET state = 'done', lease = NULL WHERE job = (SELECT job FROM jobs WHERE id = $1)";
    connection.execute(sql, &[&key(job.id.as_bytes())])?;
    Ok(())
}

/// A job with what was left out of its records.
pub(super) fn read_job(row: &postgres::Row) -> Result<ImportJob> {
    let mut job: ImportJob = read(row, 0)?;
    job.left_out = u64::try_from(row.get::<_, i64>(1)).unwrap_or(0);
    Ok(job)
}

pub(super) fn find(connection: &mut Connection, id: JobId) -> Result<Option<ImportJob>> {
    let found =
        connection.query_opt("SELECT doc::text, left_out FROM jobs WHERE id = $1", &[&key(id.as_bytes())])?;
    found.map(|row| read_job(&row)).transpose()
}

pub(super) fn list(
    connection: &mut Connection,
    application: Option<ApplicationId>,
    before: Option<JobId>,
    most: usize,
) -> Result<Vec<ImportJob>> {
    // Ids of jobs begin with the time they were made.
    let before = before.map(|before| key(before.as_bytes()));
    let found = match application {
        None => connection.query(
            "SELECT doc::text, left_out FROM jobs WHERE $1::uuid IS NULL OR id < $1 ORDER BY id DESC LIMIT $2",
            &[&before, &limit(most)],
        ),
        Some(application) => connection.query(
            "SELECT doc::text, left_out FROM jobs WHERE application = $3 AND ($1::uuid IS NULL OR id < $1) ORDER BY id DESC LIMIT $2",
            &[&before, &limit(most), &key(application.as_bytes())],
        ),
    };
    found?.iter().map(read_job).collect()
}

pub(super) fn unfinished(connection: &mut Connection) -> Result<Vec<ImportJob>> {
    let found = connection.query("SELECT doc::text FROM jobs WHERE NOT ended ORDER BY id", &[])?;
    found.iter().map(|row| read(row, 0)).collect()
}

pub(super) fn delete(connection: &mut Connection, id: JobId) -> Result<bool> {
    let Some(job) = locked(connection, id)? else { return Ok(false) };
    lifecycle::check_deletable(&job)?;
    for sql in [
        "DELETE FROM pieces WHERE job = (SELECT job FROM jobs WHERE id = $1)",
        "DELETE FROM parts WHERE job = (SELECT job FROM jobs WHERE id = $1)",
        "DELETE FROM files WHERE job = (SELECT job FROM jobs WHERE id = $1)",
        "DELETE FROM requests WHERE job = $1",
        "DELETE FROM jobs WHERE id = $1",
    ] {
        connection.execute(sql, &[&key(id.as_bytes())])?;
    }
    Ok(true)
}

/// The last committed piece of a part.
pub(super) fn last_of_part(connection: &mut Connection, (id, part): Key) -> Result<Option<PieceRecord>> {
    let found = connection.query_opt(
        "SELECT record::text FROM pieces WHERE job = (SELECT job FROM jobs WHERE id = $1) AND part = $2 ORDER BY piece DESC LIMIT 1",
        &[&key(id.as_bytes()), &part],
    )?;
    found.map(|row| read(&row, 0)).transpose()
}

pub(super) fn pieces(
    connection: &mut Connection,
    job: JobId,
    from: u64,
    most: usize,
) -> Result<Vec<PieceRecord>> {
    let Ok(from) = i32::try_from(from) else { return Ok(Vec::new()) };
    let found = connection.query(
        "SELECT record::text FROM pieces WHERE job = (SELECT job FROM jobs WHERE id = $1) AND part = 0 AND piece >= $2 ORDER BY piece LIMIT $3",
        &[&key(job.as_bytes()), &from, &limit(most)],
    )?;
    found.iter().map(|row| read(row, 0)).collect()
}

/// Jobs below the highest number that was seen which may still have been unseen: they were drawn before it and committed after.
const LATE: i32 = 64;

/// Jobs that have not ended and the newest ones that have, as a process sees them, which is `own` at its place; and the highest
/// number of a job. `newest` is the one of the last look, or 0.
pub(super) fn open(
    connection: &mut Connection,
    (owner, place): (&str, &str),
    newest: i32,
) -> Result<(Vec<OpenJob>, i32)> {
    let mut highest = newest;
    if newest == 0 {
        highest = connection.query("SELECT coalesce(max(job), 0) FROM jobs", &[])?[0].get(0);
    }
    let after = highest - LATE;
    let found = connection.query(
        "SELECT j.doc::text, j.job, j.ended, j.pin <> $1, j.wish, p.owner, p.lease >= clock_timestamp(), p.progress::text, q.open, q.taken::text \
         FROM jobs j JOIN parts p ON p.job = j.job AND p.part = 0 \
         LEFT JOIN (SELECT job, count(*) FILTER (WHERE NOT waits AND (lease IS NULL OR lease < clock_timestamp())) AS open, \
                json_agg(json_build_array(part, owner)) FILTER (WHERE lease >= clock_timestamp()) AS taken \
            FROM parts WHERE part > 0 AND state = 'open' GROUP BY job) q ON q.job = j.job \
         WHERE NOT j.ended OR j.job > $2 ORDER BY j.id",
        &[&place, &after],
    )?;
    let mut jobs = Vec::with_capacity(found.len());
    for row in &found {
        highest = highest.max(row.get(1));
        let (has_ended, is_elsewhere): (bool, bool) =
            (row.get(2), row.get::<_, Option<_>>(3).unwrap_or(false));
        let worker = row.get::<_, Option<&str>>(5).filter(|_| row.get::<_, Option<bool>>(6) == Some(true));
        let asked = match row.get::<_, Option<&str>>(4) {
            Some("cancel") => Some(StopRequest::Cancel),
            Some(_) => Some(StopRequest::Pause),
            None => None,
        };
        let worker = worker.filter(|worker| *worker != owner && !has_ended);
        let mut parts: Vec<(u32, String)> = match row.get::<_, Option<&str>>(9) {
            Some(_) => read(row, 9)?,
            None => Vec::new(),
        };
        parts.sort_unstable();
        jobs.push(OpenJob {
            job: read(row, 0)?,
            is_free: !has_ended && worker.is_none() && !is_elsewhere,
            is_elsewhere: is_elsewhere && worker.is_none(),
            asked,
            open_parts: u64::try_from(row.get::<_, Option<i64>>(8).unwrap_or(0)).unwrap_or(0),
            parts: parts.into_iter().map(|(part, owner)| (part, servers::shown(&owner).to_owned())).collect(),
            worker: worker.map(|worker| Worker {
                name: servers::shown(worker).to_owned(),
                // What another version wrote may be read some other time.
                progress: row.get::<_, Option<&str>>(7).and_then(|text| serde_json::from_str(text).ok()),
            }),
        });
    }
    Ok((jobs, highest))
}

/// Which of these jobs are not there.
pub(super) fn deleted(connection: &mut Connection, ids: &[JobId]) -> Result<Vec<JobId>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<_> = ids.iter().map(|id| key(id.as_bytes())).collect();
    let found = connection.query("SELECT id FROM jobs WHERE id = ANY($1)", &[&keys])?;
    let there: HashSet<Uuid> = found.iter().map(|row| row.get(0)).collect();
    Ok(ids.iter().zip(keys).filter(|(_, key)| !there.contains(key)).map(|(id, _)| *id).collect())
}

/// Notes what is asked of a job that has not ended.
pub(super) fn ask(connection: &mut Connection, id: JobId, asked: Option<StopRequest>) -> Result<bool> {
    let asked = asked.map(|asked| match asked {
        StopRequest::Cancel => "cancel",
        StopRequest::Pause => "pause",
    });
    let sql = "UPDATE jobs SET wish = $2 WHERE id = $1 AND NOT ended";
    Ok(connection.execute(sql, &[&key(id.as_bytes()), &asked])? > 0)
}

/// Keeps a piece of a file of a part, and nothing after it.
pub(super) fn keep_file(
    connection: &mut Connection,
    (id, part): Key,
    name: &str,
    at: u64,
    bytes: &[u8],
) -> Result<()> {
    let at = i64::try_from(at).unwrap_or(i64::MAX);
    let key = key(id.as_bytes());
    connection.execute(
        "DELETE FROM files WHERE job = (SELECT job FROM jobs WHERE id = $1) AND part = $2 AND name = $3 AND at >= $4",
        &[&key, &part, &name, &at],
    )?;
    connection.execute(
        "INSERT INTO files (job, part, name, at, data) SELECT job, $2, $3, $4, $5 FROM jobs WHERE id = $1",
        &[&key, &part, &name, &at, &bytes],
    )?;
    Ok(())
}

/// The piece of a file that is kept after another one.
pub(super) fn next_file(
    connection: &mut Connection,
    (id, part): Key,
    after: (&str, i64),
) -> Result<Option<(String, i64, Vec<u8>)>> {
    let found = connection.query_opt(
        "SELECT name, at, data FROM files WHERE job = (SELECT job FROM jobs WHERE id = $1) AND part = $2 \
         AND (name, at) > ($3, $4) ORDER BY name, at LIMIT 1",
        &[&key(id.as_bytes()), &part, &after.0, &after.1],
    )?;
    Ok(found.map(|row| (row.get(0), row.get(1), row.get(2))))
}
