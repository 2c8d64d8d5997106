//! What the threads of a process do for a job: parse a block that was read, build a piece that is whole.
//!
//! [`Task`] is the message that travels to them; [`Stages`] is what all tasks of one job share.

use std::{
    sync::{Arc, mpsc},
    time::Instant,
};

use pinport_model::view::PieceState;
use pinport_store::JobWriter;

use super::{
    JobError, guarded,
    piece::{BuiltPiece, CollectedBlock, ObjectName, OpenPiece, WholePiece},
    progress::{Counter, JobProgress, Stage},
    workers::Work,
};
use crate::{
    buffers::Buffers,
    parse::{ParseContext, Parser, block::Block},
};

/// A block of records with its place in its piece.
#[derive(Debug)]
pub(super) struct ReadBlock {
    pub(super) block: Block,
    /// The object it is of.
    pub(super) name: ObjectName,
    pub(super) piece: Arc<OpenPiece>,
    pub(super) place: usize,
}

/// Work for a thread.
#[derive(Debug)]
pub(super) enum Task {
    Parse(ReadBlock, Arc<Stages>),
    Build(WholePiece, Arc<Stages>),
}

impl Work for Task {
    fn run(self, parser: &mut Parser) {
        match self {
            Self::Parse(block, stages) => stages.parse(block, parser),
            Self::Build(piece, stages) => stages.build(piece),
        }
    }
}

/// What the tasks of one job share.
pub(super) struct Stages {
    pub(super) context: ParseContext,
    /// Prepares pieces for the store. `None`: the records are only checked.
    pub(super) writer: Option<Arc<dyn JobWriter>>,
    pub(super) progress: Arc<JobProgress>,
    /// Where built pieces wait for their turn, and errors that end the job.
    pub(super) built: mpsc::SyncSender<Result<BuiltPiece, JobError>>,
    /// Where blocks go when they are parsed, and what is read next gets its room from.
    pub(super) buffers: Buffers,
}

impl std::fmt::Debug for Stages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stages").finish_non_exhaustive()
    }
}

impl Stages {
    fn parse(&self, read: ReadBlock, parser: &mut Parser) {
        let ReadBlock { block, name, piece, place } = read;
        self.progress.block_begins();
        let begun = Instant::now();
        let parsed = guarded(|| match self.writer {
            Some(_) => parser.parse(block, &self.context),
            None => parser.check(block, &self.context),
        });
        self.progress.busy(Stage::Parse, begun.elapsed());
        let parsed = match parsed {
            Ok((parsed, buffer)) => {
                self.buffers.give_back(buffer);
                parsed
            }
            Err(panic) => return self.deliver(Err(panic)),
        };
        let failed = parsed.failed.len() as u64;
        self.progress.add(Counter::Parsed, parsed.registered + failed);
        self.progress.add(Counter::Failed, failed);
        if let Some(whole) = piece.put(place, CollectedBlock { parsed, name }) {
            // The thread that completes a piece builds it at once: its blocks are warm, and nothing waits.
            self.build(whole);
        }
    }

    /// Builds a piece, and hands it to the committer.
    pub(super) fn build(&self, whole: WholePiece) {
        let built = guarded(|| {
            let begun = Instant::now();
            let number = whole.number;
            let (batches, counts, end, guards) = whole.take_apart();
            let writer = self.writer.as_ref();
            let prepared = writer.map(|writer| writer.prepare(number, batches)).transpose()?;
            self.progress.set_piece(number, PieceState::Committing);
            self.progress.busy(Stage::Build, begun.elapsed());
            Ok(BuiltPiece { number, prepared, counts, end, _guards: guards })
        });
        self.deliver(built.and_then(|built| built));
    }

    /// Hands a piece or an error to the committer. It takes none any more when the job has ended.
    pub(super) fn deliver(&self, built: Result<BuiltPiece, JobError>) {
        let _ = self.built.send(built);
    }
}
