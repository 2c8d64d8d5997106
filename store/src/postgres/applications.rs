//! Applications, and what goes with them.

use pinport_model::{Application, ApplicationId, Settings};

use super::{
    connection::Connection,
    documents::{key, limit, read, text},
};
use crate::{
    Result, StoreError,
    lifecycle::{self, not_found},
};

/// Adds an application; `is_named`: only if no other has its name.
pub(super) fn create(connection: &mut Connection, application: &Application, is_named: bool) -> Result<()> {
    // Of two that ask whether a name is free, the second waits for the first.
    connection.batch("LOCK TABLE applications IN SHARE ROW EXCLUSIVE MODE")?;
    let (id, name) = (key(application.id.as_bytes()), application.name.as_bytes());
    let found = connection.query_opt(
        "SELECT 1 FROM applications WHERE id = $1 OR $2 AND name = $3 LIMIT 1",
        &[&id, &is_named, &name],
    )?;
    if found.is_some() {
        return Err(lifecycle::application_exists(application));
    }
    connection.execute(
        "INSERT INTO applications (id, space, name, doc) VALUES ($1, nextval('space_no')::int4, $2, $3::text::json)",
        &[&id, &name, &text(application)?],
    )?;
    Ok(())
}

pub(super) fn find(connection: &mut Connection, id: ApplicationId) -> Result<Option<Application>> {
    let id = key(id.as_bytes());
    let found = connection.query_opt("SELECT doc::text FROM applications WHERE id = $1", &[&id])?;
    found.map(|row| read(&row, 0)).transpose()
}

pub(super) fn named(connection: &mut Connection, name: &str) -> Result<Vec<Application>> {
    let sql = "SELECT doc::text FROM applications WHERE name = $1 ORDER BY id";
    connection.query(sql, &[&name.as_bytes()])?.iter().map(|row| read(row, 0)).collect()
}

pub(super) fn list(
    connection: &mut Connection,
    after: Option<ApplicationId>,
    most: usize,
) -> Result<Vec<Application>> {
    let after = after.map(|after| key(after.as_bytes()));
    let sql = "SELECT doc::text FROM applications WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $2";
    connection.query(sql, &[&after, &limit(most)])?.iter().map(|row| read(row, 0)).collect()
}

/// Replaces the tags.
pub(super) fn save(connection: &mut Connection, application: &Application) -> Result<()> {
    let id = key(application.id.as_bytes());
    let sql = "SELECT doc::text FROM applications WHERE id = $1 FOR UPDATE";
    let stored =
        connection.query_opt(sql, &[&id])?.ok_or_else(|| not_found("application", application.id))?;
    let stored = Application { tags: application.tags.clone(), ..read(&stored, 0)? };
    connection
        .execute("UPDATE applications SET doc = $2::text::json WHERE id = $1", &[&id, &text(&stored)?])?;
    Ok(())
}

pub(super) fn settings(connection: &mut Connection, id: ApplicationId) -> Result<Option<Settings>> {
    let sql = "SELECT settings::text FROM applications WHERE id = $1 AND settings IS NOT NULL";
    let found = connection.query_opt(sql, &[&key(id.as_bytes())])?;
    found.map(|row| read(&row, 0)).transpose()
}

pub(super) fn save_settings(
    connection: &mut Connection,
    id: ApplicationId,
    settings: &Settings,
) -> Result<()> {
    let sql = "UPDATE applications SET settings = $2::text::json WHERE id = $1";
    match connection.execute(sql, &[&key(id.as_bytes()), &text(settings)?])? {
        0 => Err(not_found("application", id)),
        _ => Ok(()),
    }
}

/// The space of an application.
pub(super) fn space(connection: &mut Connection, id: ApplicationId) -> Result<Option<i32>> {
    let found =
        connection.query_opt("SELECT space FROM applications WHERE id = $1", &[&key(id.as_bytes())])?;
    Ok(found.map(|row| row.get(0)))
}

/// The space of an application that changes one after the other, until the transaction ends.
pub(super) fn locked(connection: &mut Connection, id: ApplicationId) -> Result<i32> {
    let sql = "SELECT space FROM applications WHERE id = $1 FOR NO KEY UPDATE";
    let found = connection.query_opt(sql, &[&key(id.as_bytes())])?;
    Ok(found.ok_or_else(|| not_found("application", id))?.get(0))
}

/// Deletes an application with all that is in it.
pub(super) fn delete(connection: &mut Connection, id: ApplicationId) -> Result<()> {
    let space = locked(connection, id)?;
    let key = key(id.as_bytes());
    // Jobs are created under a lock of the application, so none comes meanwhile.
    let open = connection
        .query_opt("SELECT id FROM jobs WHERE application = $1 AND NOT ended ORDER BY id LIMIT 1", &[&key])?;
    if let Some(job) = open {
        let job = job.get::<_, uuid::Uuid>(0).simple();
        return Err(StoreError::Conflict(format!("job {job} of the application has not ended")));
    }
    // Rows of all other applications are passed by: this takes its time.
    connection.batch("SET LOCAL statement_timeout = 0; SELECT 1 FROM folds FOR SHARE")?;
    for sql in [
        "DELETE FROM ops WHERE space < 0 AND space IN (SELECT -layer FROM layers l JOIN segments s ON s.id = l.segment WHERE s.application = $1)",
        "DELETE FROM uops WHERE space < 0 AND space IN (SELECT -layer FROM layers l JOIN segments s ON s.id = l.segment WHERE s.application = $1)",
        "DELETE FROM members WHERE layer IN (SELECT layer FROM layers l JOIN segments s ON s.id = l.segment WHERE s.application = $1)",
        "DELETE FROM layers WHERE segment IN (SELECT id FROM segments WHERE application = $1)",
        "DELETE FROM versions WHERE segment IN (SELECT id FROM segments WHERE application = $1)",
        "DELETE FROM segments WHERE application = $1",
        "DELETE FROM pieces WHERE job IN (SELECT job FROM jobs WHERE application = $1)",
        "DELETE FROM parts WHERE job IN (SELECT job FROM jobs WHERE application = $1)",
        "DELETE FROM files WHERE job IN (SELECT job FROM jobs WHERE application = $1)",
        "DELETE FROM requests WHERE job IN (SELECT id FROM jobs WHERE application = $1)",
        "DELETE FROM jobs WHERE application = $1",
        "DELETE FROM applications WHERE id = $1",
    ] {
        connection.execute(sql, &[&key])?;
    }
    for sql in [
        "DELETE FROM ops WHERE space = $1",
        "DELETE FROM uops WHERE space = $1",
        "DELETE FROM addresses WHERE space = $1",
    ] {
        connection.execute(sql, &[&space])?;
    }
    Ok(())
}
