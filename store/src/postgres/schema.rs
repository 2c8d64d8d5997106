//! The tables, and whether a database has those that this build writes.

use crate::{Result, StoreError};

use super::{connection::Connection, error::failed, hash};

/// The version of the tables and of what is in them.
pub(super) const LAYOUT: i32 = 1;

/// What [`init`] runs in the new schema.
const TABLES: &str = include_str!("schema.sql");

/// What [`init`] runs after that in a database that has Citus: what is of one endpoint is in one place.
const DISTRIBUTED: &str = "SELECT create_distributed_table('ops', 'h8'); \
    SELECT create_distributed_table('members', 'h8', colocate_with => 'ops'); \
    SELECT create_distributed_table('uops', 'h8', colocate_with => 'ops'); \
    SELECT create_distributed_table('addresses', 'h8', colocate_with => 'ops')";

/// Makes the tables in `schema`, unless they are there.
pub(super) fn init(connection: &mut Connection, schema: &str) -> Result<bool> {
    if connection
        .query_opt("SELECT 1 FROM pg_tables WHERE schemaname = $1 AND tablename = 'meta'", &[&schema])?
        .is_some()
    {
        check(connection, schema)?;
        return Ok(false);
    }
    connection.in_transaction(|connection| {
        connection.batch(&format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema)))?;
        connection.batch(TABLES)?;
        if connection.query_opt("SELECT 1 FROM pg_extension WHERE extname = 'citus'", &[])?.is_some() {
            connection.batch(DISTRIBUTED)?;
        }
        let bounds = crate::record::bounds::Bounds::from(&pinport_model::limits::RecordLimits::default());
        let numbers = [bounds.names, bounds.bytes].map(|number| i64::try_from(number).unwrap_or(i64::MAX));
        connection.execute(
            "INSERT INTO meta (layout, hash_check, record_layout, most_names, most_bytes) VALUES ($1, $2, $3, $4, $5)",
            &[&LAYOUT, &hash::check(), &crate::record::LAYOUT.cast_signed(), &numbers[0], &numbers[1]],
        )?;
        Ok(())
    })?;
    Ok(true)
}

/// An error unless the tables are there and are those that this build writes.
pub(super) fn check(connection: &mut Connection, schema: &str) -> Result<()> {
    let found = connection
        .query_opt("SELECT 1 FROM pg_tables WHERE schemaname = $1 AND tablename = 'meta'", &[&schema])?;
    if found.is_none() {
        return Err(StoreError::Unfit(format!(
            "{} has no pinport tables in schema {schema}: run `pinport store init` once",
            connection.server()
        )));
    }
    let found = connection.query_opt("SELECT layout, hash_check, record_layout FROM meta", &[])?;
    let found =
        found.ok_or_else(|| failed("read the layout", connection.server(), &"the table meta is empty"))?;
    let (layout, check, record): (i32, i64, i32) = (found.get(0), found.get(1), found.get(2));
    let known = crate::record::LAYOUT.cast_signed();
    if layout > LAYOUT || record > known {
        return Err(StoreError::Unfit(format!(
            "{} has layout {layout}.{record} in schema {schema}; this pinport knows layouts up to {LAYOUT}.{known}: use the version that made it, or a newer one",
            connection.server()
        )));
    }
    if check != hash::check() {
        return Err(StoreError::Unfit(format!(
            "{} was written with another hash of ids (in schema {schema}): this build would find nothing, and must not write",
            connection.server()
        )));
    }
    Ok(())
}

/// A name as SQL takes it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
