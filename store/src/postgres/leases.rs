//! Jobs that this process works on, and that others leave alone.
//!
//! A lease ends by the database's clock. A thread with a connection of its own makes it longer; a process that is gone, or
//! frozen, or cut off does not, and another one takes its jobs over. The token goes up with each claim and is checked in
//! each commit, so whoever was replaced commits nothing, whatever it believes.

use std::{
    collections::HashMap,
    mem,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use pinport_model::{ImportJob, JobId, progress::Progress};

use super::{
    connection::Connection,
    documents::{key, read},
    pool::Pool,
    servers::shown,
};
use crate::{
    Result, StoreError,
    boundary::checks_tokens,
    lifecycle::{self, not_found},
};

/// How often a lease is made longer at least, while it lasts: twice it may fail.
const BEATS: u32 = 3;
/// How long the end of a store waits until its leases are given back.
const FAREWELL: Duration = Duration::from_secs(2);
/// Parts of a job; for now there is one.
pub(super) const PART: i32 = 0;

/// A claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// The job's number.
    pub(super) number: i32,
    pub(super) token: i64,
    /// The piece after the last committed one, as far as this process knows.
    pub(super) next: i32,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<JobId, Held>,
    /// How far they have come, as JSON, since it was told last.
    reports: HashMap<JobId, String>,
    /// Claims that are given back.
    released: Vec<Held>,
    is_running: bool,
    is_stopping: bool,
}

/// The claims of this process.
#[derive(Debug)]
pub(super) struct Leases {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Shared {
    owner: String,
    state: Mutex<State>,
    changed: Condvar,
}

impl Leases {
    pub(super) fn new(pool: Arc<Pool>, owner: String) -> Self {
        Self { shared: Arc::new(Shared { owner, state: Mutex::default(), changed: Condvar::new() }), pool }
    }

    pub(super) fn owner(&self) -> &str {
        &self.shared.owner
    }

    /// Takes a job that has not ended, if no one else has it; what is stored of it, and the claim.
    pub(super) fn claim(&self, id: JobId) -> Result<(ImportJob, Held)> {
        let (job, held) = self.pool.write(|connection| self.take(connection, id))?;
        let mut state = self.shared.state.lock();
        state.held.insert(id, held);
        if !state.is_running {
            let (shared, pool) = (Arc::clone(&self.shared), Arc::clone(&self.pool));
            // Without the thread the job is somebody else's when the lease ends, and the commit says so.
            let beating = thread::Builder::new().name("pg-lease".into());
            state.is_running = beating.spawn(move || shared.beat(&pool)).is_ok();
        }
        Ok((job, held))
    }

    fn take(&self, connection: &mut Connection, id: JobId) -> Result<(ImportJob, Held)> {
        let sql = "SELECT doc::text, job, pin FROM jobs WHERE id = $1";
        let found = connection.query_opt(sql, &[&key(id.as_bytes())])?.ok_or_else(|| not_found("job", id))?;
        let (job, number): (ImportJob, i32) = (read(&found, 0)?, found.get(1));
        lifecycle::check_open(Some(&job), &job)?;
        if let Some(pin) = found.get::<_, Option<&str>>(2)
            && pin != self.pool.options.place
        {
            return Err(StoreError::Lost(format!(
                "job {id} reads or writes files of {pin}: only there can it run"
            )));
        }
        let taken = connection.query_opt(
            "UPDATE parts SET token = token + 1, owner = $3, tries = tries + 1, progress = NULL, \
                    lease = clock_timestamp() + make_interval(secs => $4) \
             WHERE job = $1 AND part = $2 AND state = 'open' \
               AND (owner = $3 OR lease IS NULL OR lease < clock_timestamp()) RETURNING token, piece",
            &[&number, &PART, &self.owner(), &self.pool.options.lease.as_secs_f64()],
        )?;
        match taken {
            Some(taken) => Ok((job, Held { number, token: taken.get(0), next: taken.get(1) })),
            None => Err(lost(connection, id, number)?),
        }
    }

    /// An error unless a job is still this process's, if it was claimed here. The row stays locked until the transaction ends.
    pub(super) fn check_held(&self, connection: &mut Connection, id: JobId) -> Result<()> {
        if !checks_tokens() {
            return Ok(());
        }
        let held = self.shared.state.lock().held.get(&id).copied();
        let Some(Held { number, token, .. }) = held else {
            return Err(StoreError::Lost(format!("job {id} is not worked on here any more")));
        };
        let found = connection.query_opt(
            "SELECT 1 FROM parts WHERE job = $1 AND part = $2 AND token = $3 AND owner = $4 AND state = 'open' FOR SHARE",
            &[&number, &PART, &token, &self.owner()],
        )?;
        match found {
            Some(_) => Ok(()),
            None => Err(lost(connection, id, number)?),
        }
    }

    /// An error if another process has a job now.
    pub(super) fn check(&self, connection: &mut Connection, id: JobId) -> Result<()> {
        let found = connection.query_opt(
            "SELECT p.job FROM jobs j JOIN parts p ON p.job = j.job AND p.part = $2 \
             WHERE j.id = $1 AND p.owner <> $3 AND p.lease >= clock_timestamp()",
            &[&key(id.as_bytes()), &PART, &self.owner()],
        )?;
        match found {
            None => Ok(()),
            Some(found) => Err(lost(connection, id, found.get(0))?),
        }
    }

    /// Lets the others know how far a job has come, with its next heartbeat, which is now.
    pub(super) fn report(&self, id: JobId, progress: &Progress) {
        // Numbers always serialise.
        let text = serde_json::to_string(progress).unwrap_or_default();
        let mut state = self.shared.state.lock();
        if state.held.contains_key(&id) {
            state.reports.insert(id, text);
            self.shared.changed.notify_all();
        }
    }

    /// Takes note of a piece that is committed.
    pub(super) fn committed(&self, id: JobId, token: i64, piece: i32) {
        let mut state = self.shared.state.lock();
        if let Some(held) = state.held.get_mut(&id).filter(|held| held.token == token) {
            held.next = held.next.max(piece + 1);
        }
    }

    /// An error if the database has fewer pieces of a job than were committed to it.
    pub(super) fn check_pieces(&self, connection: &mut Connection, id: JobId) -> Result<()> {
        let held = self.shared.state.lock().held.get(&id).copied();
        let Some(Held { number, next, .. }) = held else { return Ok(()) };
        let sql = "SELECT piece FROM parts WHERE job = $1 AND part = $2";
        match connection.query_opt(sql, &[&number, &PART])? {
            Some(found) => self.check_next(id, found.get(0), next),
            None => Ok(()),
        }
    }

    /// An error if the next piece of a job is one that was committed.
    pub(super) fn check_next(&self, id: JobId, due: i32, next: i32) -> Result<()> {
        let held = self.shared.state.lock().held.get(&id).map_or(next, |held| held.next);
        match due < held {
            true => Err(StoreError::Behind(format!(
                "the database has {due} pieces of job {id}, and {held} were committed: the job goes on after those that it has"
            ))),
            false => Ok(()),
        }
    }

    /// Gives a job back.
    pub(super) fn release(&self, id: JobId) {
        let mut state = self.shared.state.lock();
        if let Some(held) = state.held.remove(&id) {
            state.released.push(held);
            self.shared.changed.notify_all();
        }
    }

    /// Forgets a job that has ended.
    pub(super) fn forget(&self, id: JobId) {
        self.shared.state.lock().held.remove(&id);
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        let deadline = Instant::now() + FAREWELL;
        let mut state = self.shared.state.lock();
        state.is_stopping = true;
        self.shared.changed.notify_all();
        while state.is_running {
            if self.shared.changed.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
    }
}

/// That a job is another's, with its name.
fn lost(connection: &mut Connection, id: JobId, number: i32) -> Result<StoreError> {
    let found =
        connection.query_opt("SELECT owner FROM parts WHERE job = $1 AND part = $2", &[&number, &PART])?;
    let owner: Option<String> = found.and_then(|row| row.get(0));
    let owner = owner.as_deref().map_or("another server", shown);
    Ok(StoreError::Lost(format!("job {id} is worked on by {owner}")))
}

impl Shared {
    /// Makes leases longer until the store is closed.
    fn beat(&self, pool: &Pool) {
        let mut connection: Option<Connection> = None;
        loop {
            let (held, reports, released, is_stopping) = {
                let mut state = self.state.lock();
                if state.released.is_empty() && state.reports.is_empty() && !state.is_stopping {
                    self.changed.wait_for(&mut state, pool.options.lease / BEATS);
                }
                if state.is_stopping {
                    let all: Vec<_> = state.held.drain().map(|(_, held)| held).collect();
                    state.released.extend(all);
                }
                let (reports, released) = (mem::take(&mut state.reports), mem::take(&mut state.released));
                (state.held.clone(), reports, released, state.is_stopping)
            };
            // What cannot be said now is said the next time, or the lease ends.
            let said = self.say(pool, &mut connection, (&held, &reports), &released);
            if said.is_err() {
                connection = None;
            }
            if is_stopping {
                self.state.lock().is_running = false;
                self.changed.notify_all();
                return;
            }
        }
    }

    fn say(
        &self,
        pool: &Pool,
        connection: &mut Option<Connection>,
        (held, reports): (&HashMap<JobId, Held>, &HashMap<JobId, String>),
        released: &[Held],
    ) -> Result<()> {
        if connection.as_ref().is_none_or(|connection| !connection.is_good()) {
            *connection = Some(pool.connect()?);
        }
        let Some(connection) = connection else { return Ok(()) };
        for Held { number, token, .. } in released {
            connection.execute(
                "UPDATE parts SET lease = NULL WHERE job = $1 AND part = $2 AND token = $3 AND owner = $4",
                &[number, &PART, token, &self.owner],
            )?;
        }
        for (id, Held { number, token, .. }) in held {
            let renewed = connection.execute(
                "UPDATE parts SET lease = clock_timestamp() + make_interval(secs => $5), \
                        progress = coalesce($6::text::json, progress) \
                 WHERE job = $1 AND part = $2 AND token = $3 AND owner = $4 AND state = 'open'",
                &[number, &PART, token, &self.owner, &pool.options.lease.as_secs_f64(), &reports.get(id)],
            )?;
            if renewed == 0 {
                let mut state = self.state.lock();
                // It may have been claimed anew meanwhile.
                if state.held.get(id).is_some_and(|held| held.token == *token) {
                    state.held.remove(id);
                }
            }
        }
        Ok(())
    }
}
