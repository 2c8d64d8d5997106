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
use pinport_model::{ImportJob, JobId, JobPart, progress::Progress};

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
/// The part that is the job itself.
pub(super) const WHOLE: i32 = 0;

/// A job and one of its parts.
pub(super) type Key = (JobId, i32);

/// A claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// The job's number.
    pub(super) number: i32,
    pub(super) part: i32,
    pub(super) token: i64,
    /// The piece after the last committed one, as far as this process knows.
    pub(super) next: i32,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<Key, Held>,
    /// How far they have come, as JSON, since it was told last.
    reports: HashMap<Key, String>,
    /// Claims that are given back, and whether the part waits for those before it.
    released: Vec<(Held, bool)>,
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
        self.hold(id, held);
        Ok((job, held))
    }

    /// Takes the first part of a job that can be worked on, if there is one: what it is, and the claim.
    pub(super) fn claim_part(&self, id: JobId) -> Result<Option<(JobPart, Held)>> {
        let taken = self.pool.write(|connection| {
            let found = connection.query_opt(
                "UPDATE parts p SET token = token + 1, owner = $2, tries = tries + 1, progress = NULL, waits = false, \
                        lease = clock_timestamp() + make_interval(secs => $3) \
                 FROM jobs j WHERE j.id = $1 AND NOT j.ended AND j.wish IS NULL AND p.job = j.job AND p.part = ( \
                    SELECT q.part FROM parts q WHERE q.job = j.job AND q.part > 0 AND q.state = 'open' \
                      AND (q.lease IS NULL OR q.lease < clock_timestamp()) \
                      AND (NOT q.waits OR NOT EXISTS ( \
                        SELECT FROM parts e WHERE e.job = q.job AND e.part > 0 AND e.part < q.part AND e.state <> 'done')) \
                    ORDER BY q.part LIMIT 1 FOR UPDATE SKIP LOCKED) \
                 RETURNING p.doc::text, p.job, p.part, p.token, p.piece",
                &[&key(id.as_bytes()), &self.owner(), &self.pool.options.lease.as_secs_f64()],
            )?;
            found
                .map(|row| {
                    let (number, part, token, next) = (row.get(1), row.get(2), row.get(3), row.get(4));
                    Ok((read(&row, 0)?, Held { number, part, token, next }))
                })
                .transpose()
        })?;
        if let Some((_, held)) = &taken {
            self.hold(id, *held);
        }
        Ok(taken)
    }

    fn hold(&self, id: JobId, held: Held) {
        let mut state = self.shared.state.lock();
        state.held.insert((id, held.part), held);
        if !state.is_running {
            let (shared, pool) = (Arc::clone(&self.shared), Arc::clone(&self.pool));
            // Without the thread the job is somebody else's when the lease ends, and the commit says so.
            let beating = thread::Builder::new().name("pg-lease".into());
            state.is_running = beating.spawn(move || shared.beat(&pool)).is_ok();
        }
    }

    /// What this process holds of a job.
    pub(super) fn held(&self, key: Key) -> Option<Held> {
        self.shared.state.lock().held.get(&key).copied()
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
            &[&number, &WHOLE, &self.owner(), &self.pool.options.lease.as_secs_f64()],
        )?;
        match taken {
            Some(taken) => Ok((job, Held { number, part: WHOLE, token: taken.get(0), next: taken.get(1) })),
            None => Err(lost(connection, (id, WHOLE), number)?),
        }
    }

    /// An error unless a part is still this process's. The row stays locked until the transaction ends.
    pub(super) fn check_held(&self, connection: &mut Connection, key: Key) -> Result<()> {
        if !checks_tokens() {
            return Ok(());
        }
        let Some(Held { number, part, token, .. }) = self.held(key) else {
            return Err(StoreError::Lost(format!("{} is not worked on here any more", named(key))));
        };
        let found = connection.query_opt(
            "SELECT 1 FROM parts WHERE job = $1 AND part = $2 AND token = $3 AND owner = $4 AND state = 'open' FOR SHARE",
            &[&number, &part, &token, &self.owner()],
        )?;
        match found {
            Some(_) => Ok(()),
            None => Err(lost(connection, key, number)?),
        }
    }

    /// An error if another process has a job now.
    pub(super) fn check(&self, connection: &mut Connection, id: JobId) -> Result<()> {
        let found = connection.query_opt(
            "SELECT p.job FROM jobs j JOIN parts p ON p.job = j.job AND p.part = $2 \
             WHERE j.id = $1 AND p.owner <> $3 AND p.lease >= clock_timestamp()",
            &[&key(id.as_bytes()), &WHOLE, &self.owner()],
        )?;
        match found {
            None => Ok(()),
            Some(found) => Err(lost(connection, (id, WHOLE), found.get(0))?),
        }
    }

    /// Lets the others know how far a part has come, with its next heartbeat, which is now.
    pub(super) fn report(&self, key: Key, progress: &Progress) {
        // Numbers always serialise.
        let text = serde_json::to_string(progress).unwrap_or_default();
        let mut state = self.shared.state.lock();
        if state.held.contains_key(&key) {
            state.reports.insert(key, text);
            self.shared.changed.notify_all();
        }
    }

    /// Takes note of a piece that is committed.
    pub(super) fn committed(&self, key: Key, token: i64, piece: i32) {
        let mut state = self.shared.state.lock();
        if let Some(held) = state.held.get_mut(&key).filter(|held| held.token == token) {
            held.next = held.next.max(piece + 1);
        }
    }

    /// An error if the database has fewer pieces of a part than were committed to it.
    pub(super) fn check_pieces(&self, connection: &mut Connection, key: Key) -> Result<()> {
        let Some(Held { number, part, next, .. }) = self.held(key) else { return Ok(()) };
        let sql = "SELECT piece FROM parts WHERE job = $1 AND part = $2";
        match connection.query_opt(sql, &[&number, &part])? {
            Some(found) => self.check_next(key, found.get(0), next),
            None => Ok(()),
        }
    }

    /// An error if the next piece of a part is one that was committed.
    pub(super) fn check_next(&self, key: Key, due: i32, next: i32) -> Result<()> {
        let held = self.held(key).map_or(next, |held| held.next);
        match due < held {
            true => Err(StoreError::Behind(format!(
                "the database has {due} pieces of {}, and {held} were committed: it goes on after those that it has",
                named(key)
            ))),
            false => Ok(()),
        }
    }

    /// Gives a part back; `waits`: until those before it are done.
    pub(super) fn release(&self, key: Key, waits: bool) {
        let mut state = self.shared.state.lock();
        if let Some(held) = state.held.remove(&key) {
            state.released.push((held, waits));
            self.shared.changed.notify_all();
        }
    }

    /// Forgets a part that is done, or a job that has ended.
    pub(super) fn forget(&self, key: Key) {
        self.shared.state.lock().held.remove(&key);
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

/// What a part is called in messages.
pub(super) fn named((id, part): Key) -> String {
    match part {
        WHOLE => format!("job {id}"),
        part => format!("part {part} of job {id}"),
    }
}

/// That a part is another's, with its name.
fn lost(connection: &mut Connection, key: Key, number: i32) -> Result<StoreError> {
    let found =
        connection.query_opt("SELECT owner FROM parts WHERE job = $1 AND part = $2", &[&number, &key.1])?;
    let owner: Option<String> = found.and_then(|row| row.get(0));
    let owner = owner.as_deref().map_or("another server", shown);
    Ok(StoreError::Lost(format!("{} is worked on by {owner}", named(key))))
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
                    let all: Vec<_> = state.held.drain().map(|(_, held)| (held, false)).collect();
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
        (held, reports): (&HashMap<Key, Held>, &HashMap<Key, String>),
        released: &[(Held, bool)],
    ) -> Result<()> {
        if connection.as_ref().is_none_or(|connection| !connection.is_good()) {
            *connection = Some(pool.connect()?);
        }
        let Some(connection) = connection else { return Ok(()) };
        for (Held { number, part, token, .. }, waits) in released {
            connection.execute(
                "UPDATE parts SET lease = NULL, waits = $5 WHERE job = $1 AND part = $2 AND token = $3 AND owner = $4",
                &[number, part, token, &self.owner, waits],
            )?;
        }
        for (key, Held { number, part, token, .. }) in held {
            let renewed = connection.execute(
                "UPDATE parts SET lease = clock_timestamp() + make_interval(secs => $5), \
                        progress = coalesce($6::text::json, progress) \
                 WHERE job = $1 AND part = $2 AND token = $3 AND owner = $4 AND state = 'open'",
                &[number, part, token, &self.owner, &pool.options.lease.as_secs_f64(), &reports.get(key)],
            )?;
            if renewed == 0 {
                let mut state = self.state.lock();
                // It may have been claimed anew meanwhile.
                if state.held.get(key).is_some_and(|held| held.token == *token) {
                    state.held.remove(key);
                }
            }
        }
        Ok(())
    }
}
