//! Pieces: prepared on any thread, committed in order, each in one transaction.
//!
//! Whoever writes to a job holds its token. The commit asks whether it is still the one that was handed out last, so a
//! server that was replaced commits nothing more.

use std::sync::Arc;

use pinport_model::{ImportJob, JobId, PieceRecord};

use super::{
    Engine,
    connection::Connection,
    documents::{int4, text},
    facts::PieceFacts,
    leases::{self, Held, Key},
    pool::{PAUSES, rest},
    rows::{COPY_MEMBERS, COPY_OPS, COPY_UOPS, Place, Tables},
    segments, servers,
};
use crate::{
    DraftBatch, JobWriter, PreparedPiece, Result, StoreError, Unresolved,
    boundary::checks_tokens,
    lifecycle::{self, not_found},
    piece_rows::{Crowded, Rows, Target},
    resolve::{self, Deferred, Lookup},
};

#[derive(Clone)]
struct Writer {
    engine: Arc<Engine>,
    job: JobId,
    token: i64,
    target: Target,
    place: Place,
}

/// Takes a job that has not ended over: whoever wrote to it before does not any more.
pub(super) fn writer(engine: &Arc<Engine>, job: &ImportJob) -> Result<Arc<dyn JobWriter>> {
    let (_, held) = engine.leases.claim(job.id)?;
    writer_of(engine, job, held)
}

/// The same for what is held of a job.
pub(super) fn writer_of(engine: &Arc<Engine>, job: &ImportJob, held: Held) -> Result<Arc<dyn JobWriter>> {
    let application = job.definition.application;
    let space = engine.needed_space(application)?;
    let Held { number, part, token, .. } = held;
    let layer = match job.definition.segment {
        None => None,
        Some(id) => Some(engine.pool.read(|connection| segments::layer_of(connection, id, job))?),
    };
    let copies = layer.is_some_and(|(_, copies)| copies);
    let place = Place { space, layer: layer.map(|(layer, _)| layer), copies, version: [number, part, 0] };
    let layer = job.definition.segment.zip(layer).map(|(segment, (layer, copies))| {
        let number = layer.cast_unsigned();
        (segment, pinport_model::segment::SegmentLayer { number, job: job.id, copies })
    });
    let target = Target { application, layer };
    Ok(Arc::new(Writer { engine: Arc::clone(engine), job: job.id, token, target, place }))
}

impl JobWriter for Writer {
    fn prepare(&self, piece: u64, batches: Vec<DraftBatch>) -> Result<Box<dyn PreparedPiece>> {
        let mut writer = self.clone();
        writer.place.version[2] = int4("piece", piece)?;
        let mut deferred = Deferred::find(&batches, &self.target, &Crowded::default());
        // A user's attributes may come from records that wait and from others: then all are written at their turn, in order.
        let mut tables = Tables::default();
        if deferred.is_empty() {
            tables = writer.tables(&deferred.rows_of_others(&batches, &self.target))?;
            if !tables.crowded.is_empty() {
                // Some of these records have no room. Which ones is judged one after the other.
                deferred = Deferred::find(&batches, &self.target, &tables.crowded);
                tables = Tables::default();
            }
        }
        let waiting = (!deferred.is_empty()).then_some((batches, deferred));
        Ok(Box::new(Prepared { writer, piece, tables, waiting }))
    }
}

impl Writer {
    fn key(&self) -> Key {
        (self.job, self.place.version[1])
    }

    fn tables(&self, rows: &Rows<'_>) -> Result<Tables> {
        Tables::of(&self.place, self.engine.bounds, &rows.endpoints, &rows.users, &rows.members)
    }
}

struct Prepared {
    writer: Writer,
    piece: u64,
    tables: Tables,
    /// The piece, while some of its records depend on what the store holds at its turn.
    waiting: Option<(Vec<DraftBatch>, Deferred)>,
}

impl PreparedPiece for Prepared {
    fn resolve(&mut self) -> Result<Vec<Unresolved>> {
        let Some((batches, deferred)) = self.waiting.take() else { return Ok(Vec::new()) };
        let Writer { engine, target, place, .. } = &self.writer;
        let facts = PieceFacts::new(&engine.pool, *place, engine.bounds);
        let lookup = Lookup::make(&facts, target, &batches)?;
        let (judged, unresolved) = resolve::judge(&facts, &lookup, target, &batches, &deferred)?;
        let mut rows = deferred.rows_of_others(&batches, target);
        rows.endpoints.extend(judged.endpoints);
        rows.users.extend(judged.users);
        rows.members.extend(judged.members);
        self.tables = self.writer.tables(&rows)?;
        Ok(unresolved)
    }

    fn repeated(&self) -> u64 {
        self.tables.repeated
    }

    fn asks_the_store(&self) -> bool {
        self.waiting.is_some()
    }

    fn left_out(&self) -> u64 {
        self.tables.left_out
    }

    fn commit(self: Box<Self>, record: &PieceRecord) -> Result<()> {
        if self.waiting.is_some() {
            return Err(StoreError::Conflict(format!("piece {} was not resolved", self.piece)));
        }
        let record = text(&PieceRecord { piece: self.piece, ..record.clone() })?;
        let engine = &self.writer.engine;
        let mut pauses = PAUSES.into_iter();
        let mut is_again = false;
        loop {
            let done = engine.pool.write_once(|connection| self.write(connection, &record));
            match &done {
                Ok(()) => break,
                Err(StoreError::Unavailable { .. }) => {}
                // The try before was still being committed when the database was asked about it.
                Err(_) if is_again && self.is_committed()? => break,
                Err(_) => return done,
            }
            // Nobody knows whether it was committed, but the database does.
            let Some(pause) = pauses.next() else { return done };
            rest(pause);
            if self.is_committed()? {
                break;
            }
            is_again = true;
        }
        engine.leases.committed(self.writer.key(), self.writer.token, self.writer.place.version[2]);
        engine.count_left_out(self.tables.left_out);
        Ok(())
    }
}

impl Prepared {
    fn write(&self, connection: &mut Connection, record: &str) -> Result<()> {
        let Tables { ops, uops, members, .. } = &self.tables;
        for (text, rows) in [(COPY_OPS, ops), (COPY_UOPS, uops), (COPY_MEMBERS, members)] {
            connection.copy_in(text, rows)?;
        }
        let [job, part, piece] = self.writer.place.version;
        let (token, owner) = (self.writer.token, self.writer.engine.leases.owner());
        // Last, so that the row is not held while rows are copied.
        let counted = connection.execute(
            "UPDATE parts SET piece = piece + 1 \
             WHERE job = $1 AND part = $2 AND piece = $3 AND token = $4 AND owner = $5 AND state = 'open'",
            &[&job, &part, &piece, &token, &owner],
        )?;
        if counted != 1 && checks_tokens() {
            return Err(self.refused(connection)?);
        }
        if counted != 1 {
            return Ok(());
        }
        connection.execute(
            "INSERT INTO pieces (job, part, piece, token, record) VALUES ($1, $2, $3, $4, $5::text::json)",
            &[&job, &part, &piece, &token, &record],
        )?;
        Ok(())
    }

    /// Why the piece cannot be committed.
    fn refused(&self, connection: &mut Connection) -> Result<StoreError> {
        let [job, part, _] = self.writer.place.version;
        let (id, named) = (self.writer.job, leases::named(self.writer.key()));
        let found = connection.query_opt(
            "SELECT state, piece, token, owner FROM parts WHERE job = $1 AND part = $2",
            &[&job, &part],
        )?;
        let Some(found) = found else { return Ok(not_found("job", id)) };
        let (state, due): (&str, i32) = (found.get(0), found.get(1));
        let owner = found.get::<_, Option<&str>>(3).unwrap_or_default();
        if found.get::<_, i64>(2) != self.writer.token || owner != self.writer.engine.leases.owner() {
            let owner = servers::shown(owner);
            return Ok(StoreError::Lost(format!("{named} is worked on by {owner} by now")));
        }
        if state != "open" {
            return Ok(StoreError::Conflict(format!("{named} has ended")));
        }
        self.writer.engine.leases.check_next(self.writer.key(), due, due)?;
        let last = u64::try_from(due).ok().and_then(|due| due.checked_sub(1));
        match lifecycle::check_piece(last, self.piece) {
            Err(error) => Ok(error),
            // Somebody was there between the two questions.
            Ok(()) => Ok(StoreError::Lost(format!("{named} is worked on by somebody else by now"))),
        }
    }

    fn is_committed(&self) -> Result<bool> {
        let [job, part, piece] = self.writer.place.version;
        let found = self.writer.engine.pool.read(|connection| {
            connection.query_opt(
                "SELECT token FROM pieces WHERE job = $1 AND part = $2 AND piece = $3",
                &[&job, &part, &piece],
            )
        })?;
        Ok(found.is_some_and(|row| row.get::<_, i64>(0) == self.writer.token))
    }
}
