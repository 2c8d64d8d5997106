//! A database as a side of a copy.
//!
//! What is copied in is one operand each, older than all that comes later: its job has the number 0. [`pages`] reads it out by
//! pages of hashes, as the indexes have it, and [`target`] writes what comes in.

mod names;
mod pages;
mod target;

use pinport_model::JobId;

use self::{names::Names, pages::Pages, target::Target};
use super::{Postgres, connection::Connection, jobs, leases::WHOLE, servers};
use crate::{
    Result, Store as _, StoreError,
    copied::{Copying, Reader, Writer, not_empty, unfinished},
    record::bounds::Bounds,
};

/// An error if a copy into the database is not whole.
pub(super) fn check_whole(connection: &mut Connection) -> Result<()> {
    match connection.query_opt("SELECT source FROM copying", &[])? {
        None => Ok(()),
        Some(row) => Err(unfinished(connection.server(), row.get(0))),
    }
}

impl Copying for Postgres {
    fn check_idle(&self) -> Result<()> {
        let here = self.pool().write(|connection| servers::here(connection, self.pool().options.lease))?;
        if !here.is_empty() {
            return Err(StoreError::Conflict(format!(
                "the store is in use by {}: stop it first",
                here.join(", ")
            )));
        }
        match self.unfinished_jobs()?.len() {
            0 => Ok(()),
            open => Err(StoreError::Conflict(format!(
                "{open} jobs have not ended: let them end, or cancel them, before the store is copied"
            ))),
        }
    }

    fn bounds(&self) -> Bounds {
        self.engine.bounds
    }

    fn reader(&self, after: &[u8]) -> Result<Box<dyn Reader + '_>> {
        let names = self.pool().read(Names::load)?;
        let (phase, after) = match after {
            [] => (0, Vec::new()),
            [phase, after @ ..] => (usize::from(*phase), after.to_vec()),
        };
        Ok(Box::new(Pages { store: self, names, phase, after }))
    }

    fn begin(&self, source: &str) -> Result<Vec<u8>> {
        self.pool().write(|connection| {
            if let Some(found) = connection.query_opt("SELECT source, cursor FROM copying", &[])? {
                return match found.get::<_, &str>(0) == source {
                    true => Ok(found.get(1)),
                    false => Err(unfinished(connection.server(), found.get(0))),
                };
            }
            let any = "SELECT 1 FROM applications UNION ALL SELECT 1 FROM jobs LIMIT 1";
            if connection.query_opt(any, &[])?.is_some() {
                return Err(not_empty(connection.server()));
            }
            connection.execute("INSERT INTO copying (source, cursor) VALUES ($1, '')", &[&source])?;
            Ok(Vec::new())
        })
    }

    fn writer(&self) -> Result<Box<dyn Writer + '_>> {
        Ok(Box::new(Target { store: self, names: self.pool().read(Names::load)? }))
    }

    fn finish(&self) -> Result<()> {
        self.pool().write(|connection| connection.execute("DELETE FROM copying", &[]))?;
        // Plans depend on it, and what was copied is all there is.
        self.pool().read(|connection| connection.batch("ANALYZE"))
    }
}

impl Postgres {
    /// Keeps a piece of a file of a job that has ended.
    pub(crate) fn keep_copied_file(&self, job: JobId, name: &str, at: u64, bytes: &[u8]) -> Result<()> {
        self.pool().write(|connection| jobs::keep_file(connection, (job, WHOLE), name, at, bytes))
    }
}
