//! Some connections, and what is tried again when one is lost.
//!
//! What only reads, and a transaction that was not yet asked to commit, may be tried again: nothing of it is there. A lost
//! answer to COMMIT is not tried again here: whoever can tell whether it came to be does so.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{config::PostgresOptions, connection::Connection, schema, tls};
use crate::{Result, StoreError};

/// How long a caller waits for a connection while all are in use.
const WAIT: Duration = Duration::from_secs(30);
/// Pauses before something is tried again; after the last one the caller learns that the database is away.
pub(super) const PAUSES: [Duration; 6] = [
    Duration::from_millis(0),
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1000),
    Duration::from_millis(2000),
];

/// What each session is set to. Plans are made for the values at hand, and by the indexes: before the first ANALYZE the
/// planner would read whole tables. An ANALYZE of ours needs to know sizes, and how many layers and spaces there are: with
/// the target of 100 it reads 30,000 pages of each table, after each job. Time-outs free what a frozen process holds.
const SESSION: &str = "SET plan_cache_mode = force_custom_plan; SET enable_seqscan = off; SET jit = off; \
    SET default_statistics_target = 10; SET statement_timeout = '10min'; \
    SET client_connection_check_interval = '5s'; SET client_min_messages = warning; SET bytea_output = hex; \
    SET default_transaction_isolation = 'read committed'";

/// Connections to one database.
pub(super) struct Pool {
    pub(super) options: PostgresOptions,
    tls: MakeRustlsConnect,
    state: Mutex<State>,
    freed: Condvar,
    /// Held by who takes two connections: were it two callers at once, each could wait for the other's.
    pairs: Mutex<()>,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    /// Connections that there are, used or not.
    count: usize,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Pool {
    pub(super) fn new(options: PostgresOptions) -> Result<Self> {
        let tls = tls::connector(&options)?;
        Ok(Self { options, tls, state: Mutex::default(), freed: Condvar::new(), pairs: Mutex::default() })
    }

    /// A connection of its own, which is not counted.
    pub(super) fn connect(&self) -> Result<Connection> {
        let config = &self.options.config;
        let tls = (config.get_ssl_mode() != SslMode::Disable).then(|| self.tls.clone());
        let mut connection = Connection::open(config, self.options.server(), tls)?;
        let schema = schema::quoted(&self.options.schema);
        // What a frozen process has locked is free when its leases have ended, and whoever waits for longer has lost its own.
        let idle = self.options.lease.as_millis();
        connection.batch(&format!(
            "{SESSION}; SET idle_in_transaction_session_timeout = {idle}; SET lock_timeout = {idle}; \
             SET search_path = {schema}"
        ))?;
        Ok(connection)
    }

    /// A connection that was idle, or a new one.
    fn get(&self) -> Result<Pooled<'_>> {
        let deadline = Instant::now() + WAIT;
        let mut state = self.state.lock();
        loop {
            while let Some(connection) = state.idle.pop() {
                if connection.is_good() {
                    return Ok(Pooled { pool: self, connection: Some(connection) });
                }
                state.count -= 1;
                drop_aside(vec![connection]);
            }
            if state.count < self.options.connections {
                state.count += 1;
                break;
            }
            if self.freed.wait_until(&mut state, deadline).timed_out() {
                return Err(self.all_in_use());
            }
        }
        drop(state);
        match self.connect() {
            Ok(connection) => Ok(Pooled { pool: self, connection: Some(connection) }),
            Err(error) => {
                self.state.lock().count -= 1;
                self.freed.notify_one();
                Err(error)
            }
        }
    }

    fn all_in_use(&self) -> StoreError {
        let count = self.options.connections;
        StoreError::Unavailable {
            server: self.options.server().into(),
            message: format!("all {count} connections are in use: give the store more with ?connections="),
        }
    }

    fn get_two(&self) -> Result<[Pooled<'_>; 2]> {
        let _turn = self.pairs.try_lock_for(WAIT).ok_or_else(|| self.all_in_use())?;
        Ok([self.get()?, self.get()?])
    }

    /// Runs what reads, again if a connection is lost.
    pub(super) fn read<T>(&self, mut work: impl FnMut(&mut Connection) -> Result<T>) -> Result<T> {
        self.again(|_| work(&mut *self.get()?))
    }

    /// Runs what writes in one transaction; again if it collides with another one, or is lost before it was asked to
    /// commit.
    pub(super) fn write<T>(&self, mut work: impl FnMut(&mut Connection) -> Result<T>) -> Result<T> {
        self.again(|may_be_done| {
            self.get()?.in_transaction(|connection| {
                *may_be_done = false;
                let done = work(connection)?;
                *may_be_done = true;
                Ok(done)
            })
        })
    }

    /// Runs what reads all of one moment.
    pub(super) fn snapshot<T>(&self, mut work: impl FnMut(&mut Connection) -> Result<T>) -> Result<T> {
        self.again(|_| self.get()?.in_snapshot(&mut work))
    }

    /// The same on two connections, so that one can be asked while rows come from the other.
    pub(super) fn snapshot_of_two<T>(
        &self,
        mut work: impl FnMut(&mut Connection, &mut Connection) -> Result<T>,
    ) -> Result<T> {
        self.again(|_| {
            let [mut one, mut other] = self.get_two()?;
            one.in_snapshot(|one| {
                let moment = one.query("SELECT pg_export_snapshot()", &[])?[0].get::<_, String>(0);
                other.in_snapshot(|other| {
                    other.batch(&format!("SET TRANSACTION SNAPSHOT '{moment}'"))?;
                    work(one, other)
                })
            })
        })
    }

    /// Runs what writes in one transaction, once: the caller can find out what came of it.
    pub(super) fn write_once<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T>) -> Result<T> {
        self.get()?.in_transaction(work)
    }

    /// Runs `work` until it does not find the database away, with pauses. It says whether another try could do something
    /// a second time.
    fn again<T>(&self, mut work: impl FnMut(&mut bool) -> Result<T>) -> Result<T> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let mut may_be_done = false;
            match work(&mut may_be_done) {
                Err(error @ StoreError::Unavailable { .. }) if !may_be_done => match pauses.next() {
                    Some(pause) => rest(pause),
                    None => return Err(error),
                },
                done => return done,
            }
        }
    }

    /// Takes a connection back. If it was lost, lets those go that nobody uses: they usually are lost too.
    fn give(&self, connection: Connection) {
        let mut state = self.state.lock();
        if connection.is_good() {
            state.idle.push(connection);
        } else if connection.is_cut {
            state.count -= 1;
            drop_aside(vec![connection]);
        } else {
            let mut gone = std::mem::take(&mut state.idle);
            gone.push(connection);
            state.count -= gone.len();
            drop_aside(gone);
        }
        self.freed.notify_one();
    }
}

/// Waits before another try.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing tells when a database is back, and the caller's thread is its own"
)]
pub(super) fn rest(pause: Duration) {
    thread::sleep(pause);
}

/// Ends connections on a thread of their own: that blocks, and whoever lets the last of them go may be a task of an I/O
/// runtime, where to block is a panic.
fn drop_aside(connections: Vec<Connection>) {
    if !connections.is_empty() {
        // Without a thread they stay open until the process ends.
        let ending = thread::Builder::new().name("pg-close".into());
        drop(ending.spawn(move || drop(connections)));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        drop_aside(std::mem::take(&mut self.state.get_mut().idle));
    }
}

/// A connection that goes back.
pub(super) struct Pooled<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Deref for Pooled<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("taken only when dropped")
    }
}

impl DerefMut for Pooled<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("taken only when dropped")
    }
}

impl Drop for Pooled<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.give(connection);
        }
    }
}
