//! The engine on PostgreSQL: one database that many servers may write to.
//!
//! What RocksDB does with merge operands, PostgreSQL does here with rows: a piece appends versioned operands by COPY
//! ([`rows`], [`writer`]), never reads and never updates; they are folded when they are read ([`read`], [`stream`]) and in
//! the background ([`folds`]). The version of an operand is (number of the job, part, piece), so of two jobs the one
//! that was created later wins. Rows of endpoints and users are found by a hash of their id ([`hash`]).
//!
//! [`store`] takes each call to the file that answers it; this one opens the store. The tables are in `schema.sql`. Nothing here reads the environment.

mod applications;
mod config;
mod connection;
mod copy;
mod copy_out;
mod copying;
mod criteria;
mod documents;
mod endpoints;
mod error;
mod facts;
mod folds;
mod hash;
mod jobs;
mod layers;
mod leases;
mod parts;
mod pool;
mod read;
mod removal;
mod requests;
mod rows;
mod schema;
mod segments;
mod servers;
mod store;
mod stream;
mod tls;
mod writer;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use pinport_model::{ApplicationId, limits::RecordLimits};

pub use self::config::{PostgresOptions, is_postgres};
use self::{leases::Leases, pool::Pool, stream::Asked};
use crate::{Result, Scope, lifecycle::not_found, record::bounds::Bounds};

/// How long the space of an application is taken for what it was: another server may delete it.
const SPACE_HOLDS: Duration = Duration::from_secs(5);

/// A store in a database.
pub struct Postgres {
    engine: Arc<Engine>,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("pool", &self.engine.pool).finish_non_exhaustive()
    }
}

/// What all parts of the engine share.
struct Engine {
    pool: Arc<Pool>,
    bounds: Bounds,
    leases: Leases,
    spaces: Mutex<HashMap<ApplicationId, (i32, Instant)>>,
    left_out: AtomicU64,
    /// The highest number of a job that was seen.
    newest: AtomicI32,
}

impl Engine {
    /// The space of an application, if it is there.
    fn space(&self, id: ApplicationId) -> Result<Option<i32>> {
        if let Some((space, since)) = self.spaces.lock().get(&id)
            && since.elapsed() < SPACE_HOLDS
        {
            return Ok(Some(*space));
        }
        let found = self.pool.read(|connection| applications::space(connection, id))?;
        let mut spaces = self.spaces.lock();
        match found {
            None => drop(spaces.remove(&id)),
            Some(space) => drop(spaces.insert(id, (space, Instant::now()))),
        }
        Ok(found)
    }

    fn needed_space(&self, id: ApplicationId) -> Result<i32> {
        self.space(id)?.ok_or_else(|| not_found("application", id))
    }

    fn count_left_out(&self, members: u64) {
        self.left_out.fetch_add(members, Ordering::Relaxed);
    }
}

/// Makes the tables of a store, unless they are there; whether they were made.
pub fn init(options: &PostgresOptions) -> Result<bool> {
    let schema = options.schema.clone();
    let pool = Pool::new(options.clone())?;
    let mut connection = pool.connect()?;
    schema::init(&mut connection, &schema)
}

impl Postgres {
    /// Opens a store whose tables [`init`] made. `owner` is who this process is among those that share it: its name, a slash
    /// and what no other process has been; `limits`: what endpoints may have becomes at least this.
    pub fn open(options: PostgresOptions, owner: &str, limits: &RecordLimits) -> Result<Self> {
        let store = Self::open_to_copy(options, owner, limits)?;
        store.pool().read(copying::check_whole)?;
        Ok(store)
    }

    /// The same for a copy, which may have been interrupted.
    pub fn open_to_copy(options: PostgresOptions, owner: &str, limits: &RecordLimits) -> Result<Self> {
        let pool = Pool::new(options)?;
        let asked = Bounds::from(limits);
        let numbers = [asked.names, asked.bytes].map(|number| i64::try_from(number).unwrap_or(i64::MAX));
        let bounds = pool.write(|connection| {
            schema::check(connection, &pool.options.schema)?;
            connection.execute(
                "UPDATE meta SET most_names = greatest(most_names, $1), most_bytes = greatest(most_bytes, $2) \
                 WHERE most_names < $1 OR most_bytes < $2",
                &[&numbers[0], &numbers[1]],
            )?;
            let found = connection.query("SELECT most_names, most_bytes FROM meta", &[])?;
            let number = |column| usize::try_from(found[0].get::<_, i64>(column)).unwrap_or(usize::MAX);
            Ok(Bounds { names: number(0), bytes: number(1) })
        })?;
        let pool = Arc::new(pool);
        let leases = Leases::new(Arc::clone(&pool), owner.to_owned());
        let (spaces, left_out, newest) = Default::default();
        Ok(Self { engine: Arc::new(Engine { pool, bounds, leases, spaces, left_out, newest }) })
    }

    fn pool(&self) -> &Pool {
        &self.engine.pool
    }

    fn stream(
        &self,
        scope: Scope<'_>,
        after: Option<&[u8]>,
        (batch, with_users): (usize, bool),
        go_on: &(dyn Fn() -> bool + Sync),
        each: &mut stream::Each<'_>,
    ) -> Result<()> {
        let application = stream::application_of(scope);
        let Some(space) = self.engine.space(application)? else { return Ok(()) };
        let asked = Asked { scope, space, after, batch, with_users, bounds: self.engine.bounds };
        let mut is_begun = false;
        self.pool().snapshot_of_two(|rows, users| {
            // What was handed on cannot be taken back, and another try would see another moment.
            if is_begun {
                return Err(error::failed(
                    "go on with what was read out",
                    rows.server(),
                    &"the connection was lost",
                ));
            }
            stream::read_out([rows, users], &asked, go_on, &mut |stored| {
                is_begun = true;
                each(stored)
            })
        })
    }
}
