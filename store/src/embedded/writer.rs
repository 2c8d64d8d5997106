//! Pieces: prepared on any thread, committed in order, each in one ingestion or, if it is small, in one write.

use std::sync::Arc;

use pinport_model::{ImportJob, JobId, PieceRecord};

use super::{
    engine::{Engine, to_json},
    jobs, keys,
    runs::Written,
};
use crate::{
    DraftBatch, JobWriter, PreparedPiece, Result, StoreError, Unresolved, boundary, lifecycle,
    piece_rows::{Crowded, Target},
    resolve::{self, Deferred, Lookup},
};

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
        let write = |deferred: &Deferred| {
            let rows = deferred.rows_of_others(&batches, &self.target);
            let mut written = match self.engine.is_small(&batches) {
                true => Written::small(),
                false => Written::default(),
            };
            written.add(&self.engine, &self.target, piece, &rows)?;
            Ok::<_, StoreError>(written)
        };
        let mut deferred = Deferred::find(&batches, &self.target, &Crowded::default());
        let mut written = write(&deferred)?;
        if !written.crowded.is_empty() {
            // Some of these records have no room. Which ones is judged one after the other.
            let crowded = std::mem::take(&mut written.crowded);
            drop(written);
            deferred = Deferred::find(&batches, &self.target, &crowded);
            written = write(&deferred)?;
        }
        let waiting = (!deferred.is_empty()).then_some((batches, deferred));
        Ok(Box::new(Prepared { writer: self.clone(), piece, written, waiting }))
    }
}

struct Prepared {
    writer: Writer,
    piece: u64,
    /// What is written; what was waiting is after the rest, and so the newer.
    written: Written,
    /// The piece, while some of its records depend on what the store holds at its turn.
    waiting: Option<(Vec<DraftBatch>, Deferred)>,
}

impl PreparedPiece for Prepared {
    fn resolve(&mut self) -> Result<Vec<Unresolved>> {
        let Some((batches, deferred)) = self.waiting.take() else { return Ok(Vec::new()) };
        let Writer { engine, target, .. } = &self.writer;
        let lookup = Lookup::make(&**engine, target, &batches)?;
        let (rows, unresolved) = resolve::judge(&**engine, &lookup, target, &batches, &deferred)?;
        self.written.add(engine, target, self.piece, &rows)?;
        Ok(unresolved)
    }

    fn repeated(&self) -> u64 {
        self.written.repeated
    }

    fn left_out(&self) -> u64 {
        self.written.left_out
    }

    fn commit(mut self: Box<Self>, record: &PieceRecord) -> Result<()> {
        let Writer { engine, job, .. } = &self.writer;
        if self.waiting.is_some() {
            return Err(StoreError::Conflict(format!("piece {} was not resolved", self.piece)));
        }
        let key = keys::piece(*job, self.piece);
        let record = PieceRecord { piece: self.piece, ..record.clone() };
        self.written.add_one(engine, &key, &to_json(&record)?)?;
        boundary("piece.staged");
        engine.wait_for_room()?;

        let mut control = engine.control();
        if engine.get(&keys::open_job(*job))?.is_none() {
            return Err(StoreError::Conflict(format!("job {job} has ended")));
        }
        lifecycle::check_piece(jobs::last_number(engine, &control, *job)?, self.piece)?;
        let _endpoints = engine.endpoints_of(self.writer.target.application);
        let (left_out, links) = (self.written.left_out, std::mem::take(&mut self.written.links));
        self.written.commit(engine)?;
        engine.known_links.add(self.writer.target.application, &links);
        engine.folding.left_out.add_members(left_out);
        control.last_pieces.insert(*job, self.piece);
        Ok(())
    }
}
