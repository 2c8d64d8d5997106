//! Pieces: prepared on any thread, committed in order, each in one ingestion.

use std::sync::Arc;

use pinport_model::{ImportJob, JobId, PieceRecord};

use super::{
    engine::{Engine, to_json},
    keys::{self, Table},
    resolve,
    runs::{self, StagedFile, Target},
};
use crate::{DraftBatch, JobWriter, PreparedPiece, Result, StoreError, Unresolved, lifecycle};

#[derive(Clone)]
struct Writer {
    engine: Arc<Engine>,
    job: JobId,
    target: Target,
}

pub(super) fn writer(engine: Arc<Engine>, job: &ImportJob, target: Target) -> Arc<dyn JobWriter> {
    Arc::new(Writer { engine, job: job.id, target })
}

impl JobWriter for Writer {
    fn prepare(&self, piece: u64, batches: Vec<DraftBatch>) -> Result<Box<dyn PreparedPiece>> {
        let mut entries = batches.iter().flat_map(DraftBatch::entries);
        let state = if entries.all(|entry| runs::is_blind(entry, &self.target)) {
            let rows = runs::blind_rows(&batches, &self.target);
            State::Written(runs::write(&self.engine, &self.target, &rows)?)
        } else {
            State::Waiting(batches)
        };
        Ok(Box::new(Prepared { writer: self.clone(), piece, state }))
    }
}

struct Prepared {
    writer: Writer,
    piece: u64,
    state: State,
}

enum State {
    /// Records depend on what the store holds when it is the piece's turn.
    Waiting(Vec<DraftBatch>),
    Written(Vec<StagedFile>),
}

impl PreparedPiece for Prepared {
    fn resolve(&mut self) -> Result<Vec<Unresolved>> {
        let State::Waiting(batches) = &self.state else { return Ok(Vec::new()) };
        let Writer { engine, target, .. } = &self.writer;
        let lookup = resolve::Lookup::make(engine, target, batches)?;
        let (rows, unresolved) = resolve::judge(&lookup, target, batches)?;
        self.state = State::Written(runs::write(engine, target, &rows)?);
        Ok(unresolved)
    }

    fn commit(self: Box<Self>, record: &PieceRecord) -> Result<()> {
        let Writer { engine, job, .. } = &self.writer;
        let State::Written(files) = &self.state else {
            return Err(StoreError::Conflict(format!("piece {} was not resolved", self.piece)));
        };
        let key = keys::piece(*job, self.piece);
        let record = PieceRecord { piece: self.piece, ..record.clone() };
        let own = runs::write_one(engine, Table::Pieces, &key, &to_json(&record)?)?;
        engine.wait_for_room()?;

        let _control = engine.control();
        if engine.get(&keys::open_job(*job))?.is_none() {
            return Err(StoreError::Conflict(format!("job {job} has ended")));
        }
        lifecycle::check_piece(last_piece_number(engine, *job)?, self.piece)?;
        engine.ingest(files.iter().chain([&own]).map(StagedFile::path).collect())
    }
}

fn last_piece_number(engine: &Engine, job: JobId) -> Result<Option<u64>> {
    let mut pieces = engine.scan(&keys::key(Table::Pieces, &[job.as_bytes()]));
    pieces.seek_last();
    let Some((key, _)) = pieces.entry()? else { return Ok(None) };
    let number = key.try_into().map_err(|_| StoreError::Corrupt("the key of a piece is too short".into()))?;
    Ok(Some(u64::from_be_bytes(number)))
}
