//! Jobs in parts: see [`Parts`].

use std::sync::Arc;

use pinport_model::{ImportJob, JobId, JobPart, PieceRecord, progress::Progress};

use super::{
    Postgres,
    documents::{key, read, text},
    jobs,
    leases::{Key, WHOLE},
    servers, writer,
};
use crate::{
    ClaimedPart, JobWriter, PartState, Parts, Result, Store as _, StoreError, Worker, lifecycle::not_found,
};

/// A part as the database numbers it.
pub(super) fn part_of(job: JobId, part: u32) -> Key {
    (job, part.cast_signed())
}

/// The job's number, in a statement whose first parameter is its id.
const NUMBER: &str = "(SELECT job FROM jobs WHERE id = $1)";

impl Postgres {
    /// See [`crate::Store::totals`].
    pub(super) fn totals_of_parts(&self, job: JobId) -> Result<Option<PieceRecord>> {
        let last = self.last_piece(job)?;
        let job = self.job(job)?.ok_or_else(|| not_found("job", job))?;
        if job.plan.is_none_or(|plan| plan.parts == 0) {
            return Ok(last);
        }
        // Those that are pieces of the job have let go of their own.
        let taken = last.as_ref().map_or(0, |last| last.piece + 1);
        let states = self.part_states(job.id, u32::try_from(taken).unwrap_or(u32::MAX))?;
        let mut total = last;
        for last in states.iter().filter_map(|state| state.last.as_ref()) {
            total.get_or_insert_with(PieceRecord::nothing).count_part(last);
        }
        Ok(total)
    }
}

impl Parts for Postgres {
    fn divide(&self, job: JobId, parts: &[JobPart]) -> Result<()> {
        let id = key(job.as_bytes());
        self.pool().write(|connection| {
            self.engine.leases.check_held(connection, (job, WHOLE))?;
            connection.execute(&format!("DELETE FROM parts WHERE job = {NUMBER} AND part > 0"), &[&id])?;
            connection.execute(
                "INSERT INTO parts (job, part, doc) SELECT j.job, (d.doc->>'number')::int4, d.doc \
                 FROM jobs j, json_array_elements($2::text::json) AS d (doc) WHERE j.id = $1",
                &[&id, &text(&parts)?],
            )?;
            Ok(())
        })
    }

    fn claim_part(&self, job: JobId) -> Result<Option<ClaimedPart>> {
        let Some((part, held)) = self.engine.leases.claim_part(job)? else { return Ok(None) };
        let last = self.pool().read(|connection| jobs::last_of_part(connection, (job, held.part)));
        if last.is_err() {
            self.engine.leases.release((job, held.part), false);
        }
        Ok(Some(ClaimedPart { part, last: last? }))
    }

    fn part_writer(&self, job: &ImportJob, part: u32) -> Result<Arc<dyn JobWriter>> {
        let held = self.engine.leases.held(part_of(job.id, part));
        let held = held.ok_or_else(|| StoreError::Lost(format!("part {part} of job {} was lost", job.id)))?;
        writer::writer_of(&self.engine, job, held)
    }

    fn is_first(&self, job: JobId, part: u32) -> Result<bool> {
        let found = self.pool().read(|connection| {
            connection.query_opt(
                &format!(
                    "SELECT 1 FROM parts WHERE job = {NUMBER} AND part > 0 AND part < $2 AND state <> 'done' LIMIT 1"
                ),
                &[&key(job.as_bytes()), &part.cast_signed()],
            )
        })?;
        Ok(found.is_none())
    }

    fn release_part(&self, job: JobId, part: u32, waits: bool) {
        self.engine.leases.release(part_of(job, part), waits);
    }

    fn end_part(&self, job: JobId, part: u32) -> Result<()> {
        let part = part_of(job, part);
        self.pool().write(|connection| {
            self.engine.leases.check_held(connection, part)?;
            self.engine.leases.check_pieces(connection, part)?;
            connection.execute(
                &format!("UPDATE parts SET state = 'done', lease = NULL WHERE job = {NUMBER} AND part = $2"),
                &[&key(job.as_bytes()), &part.1],
            )?;
            Ok(())
        })?;
        self.engine.leases.forget(part);
        Ok(())
    }

    fn part_states(&self, job: JobId, after: u32) -> Result<Vec<PartState>> {
        let found = self.pool().read(|connection| {
            connection.query(
                &format!(
                    "SELECT p.doc::text, p.state = 'done', r.record::text, p.owner, p.lease >= clock_timestamp(), p.progress::text \
                     FROM parts p LEFT JOIN LATERAL (SELECT record FROM pieces WHERE job = p.job AND part = p.part \
                        ORDER BY piece DESC LIMIT 1) r ON true \
                     WHERE p.job = {NUMBER} AND p.part > $2 AND p.part > 0 ORDER BY p.part"
                ),
                &[&key(job.as_bytes()), &after.cast_signed()],
            )
        })?;
        let state = |row: &postgres::Row| {
            let is_done: bool = row.get(1);
            let has_lease = row.get::<_, Option<bool>>(4) == Some(true) && !is_done;
            let owner = row.get::<_, Option<&str>>(3).filter(|_| has_lease);
            Ok(PartState {
                part: read(row, 0)?,
                is_done,
                last: row.get::<_, Option<&str>>(2).map(|_| read(row, 2)).transpose()?,
                worker: owner.map(|owner| Worker {
                    name: servers::shown(owner).to_owned(),
                    progress: row.get::<_, Option<&str>>(5).and_then(|text| serde_json::from_str(text).ok()),
                }),
            })
        };
        found.iter().map(state).collect()
    }

    fn part_pieces(&self, job: JobId, part: u32) -> Result<Vec<PieceRecord>> {
        let found = self.pool().read(|connection| {
            connection.query(
                &format!("SELECT record::text FROM pieces WHERE job = {NUMBER} AND part = $2 ORDER BY piece"),
                &[&key(job.as_bytes()), &part.cast_signed()],
            )
        })?;
        found.iter().map(|row| read(row, 0)).collect()
    }

    fn report_part(&self, job: JobId, part: u32, progress: &Progress) {
        self.engine.leases.report(part_of(job, part), progress);
    }

    fn forget_part(&self, job: JobId, part: u32) -> Result<()> {
        let part = part.cast_signed();
        self.pool().write(|connection| {
            for table in ["files", "pieces"] {
                let sql = format!("DELETE FROM {table} WHERE job = {NUMBER} AND part = $2 AND part > 0");
                connection.execute(&sql, &[&key(job.as_bytes()), &part])?;
            }
            Ok(())
        })
    }

    fn close_parts(&self, job: JobId) -> Result<()> {
        self.pool().write(|connection| {
            self.engine.leases.check(connection, job)?;
            let sql = format!(
                "UPDATE parts SET state = 'closed', lease = NULL WHERE job = {NUMBER} AND part > 0 AND state = 'open'"
            );
            connection.execute(&sql, &[&key(job.as_bytes())])?;
            Ok(())
        })
    }
}
