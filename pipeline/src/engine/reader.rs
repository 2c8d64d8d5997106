//! The reading thread of a job: objects to blocks, blocks to pieces. It decides where pieces are cut.

use std::{
    cell::RefCell,
    io,
    path::PathBuf,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use pinport_model::{
    ImportDefinition, LostObject, NoticeKind, Notices, Origin, PlannedObject, Position, view::PieceState,
};
use tokio_util::sync::CancellationToken;

use super::{
    EngineOptions, JobError,
    budget::ByteBudget,
    files,
    piece::{BuiltPiece, CollectedBlock, ObjectName, OpenPiece, PieceEnd, WholePiece},
    progress::{Counter, JobProgress, Stage},
    workers::Lane,
};
use crate::{
    block::Block,
    parse::{ParseContext, Parser},
    source::{ObjectReader, ObjectStream, Source, SourceError, is_compressed_name},
    split::{Cut, Head, ObjectRefused, SNIFF_BYTES, Split, Splitter, is_blank},
};

/// Lines after which a piece is cut although it has not its bytes: very short records would otherwise
/// take many times their size in drafts or failures.
pub(super) const PIECE_LINES: u64 = 1 << 16;

/// Objects after which a piece is cut, so that its record stays small.
const PIECE_OBJECTS: usize = 4096;

/// Bytes of a source from which on it is worth a look how much comes out of its compressed objects.
const LOOK_FROM: u64 = 16 << 20;

/// Decoded bytes of that look.
const LOOK_BYTES: usize = 256 << 10;

/// What a record takes beside its bytes while its piece is in flight: its place in the batch and in the
/// sorted run, or its failure, which is the larger: up to 390 with its text and its bytes.
const RECORD_OVERHEAD: u64 = 512;

/// Builds a piece that is whole; it runs on a worker.
pub(super) type Build = dyn Fn(WholePiece) -> Result<BuiltPiece, JobError> + Send + Sync;

/// Everything the reading thread works with.
pub(super) struct Reader {
    pub(super) source: Arc<Source>,
    pub(super) folder: PathBuf,
    pub(super) definition: Arc<ImportDefinition>,
    pub(super) context: Arc<ParseContext>,
    /// Whether the records are stored; else they are only checked.
    pub(super) stores: bool,
    pub(super) options: EngineOptions,
    pub(super) lane: Arc<Lane>,
    /// What this thread parses with while the lane is full, if it does.
    pub(super) parser: Option<RefCell<Parser>>,
    pub(super) budget: ByteBudget,
    pub(super) progress: Arc<JobProgress>,
    pub(super) cancel: CancellationToken,
    pub(super) build: Arc<Build>,
    pub(super) built: mpsc::SyncSender<Result<BuiltPiece, JobError>>,
    /// Buffers that parsers are done with.
    pub(super) buffers: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// The piece that is being read.
struct Current {
    piece: Arc<OpenPiece>,
    /// The stream offset at which it is cut.
    cut_stream: u64,
    /// Lines it may still take.
    lines_left: u64,
    complete: Vec<u64>,
    lost: Vec<(u64, LostObject)>,
    /// What is to be said of its objects.
    notices: Notices,
    empty: bool,
    /// It has its bytes. It ends where the next record begins, and so still takes the end of an object.
    full: bool,
}

impl Reader {
    /// Reads everything behind `start`, where piece `number` begins.
    pub(super) fn run(self, start: Position, number: u64) -> Result<(), JobError> {
        let mut objects = files::planned_objects(&self.folder)?;
        let (mut source_bytes, mut packed) = (0, 0);
        for object in objects.by_ref().take(start.object as usize).flatten() {
            source_bytes += object.size;
            packed += if is_compressed_name(&object.key) { object.size } else { 0 };
        }
        let made = (start.stream - start.byte).saturating_sub(source_bytes - packed);
        self.progress.expected().pass(packed, made);
        self.look_at_packed()?;
        let objects = objects.map(|object| {
            object.map_err(|error| SourceError::Other {
                url: "the job's plan".into(),
                reason: error.to_string(),
                object: false,
            })
        });
        let mut stream = self.source.read(objects, start.byte);
        let mut position = start;
        let mut current = self.begin_piece(number, start.stream);
        let mut begun = false;
        self.progress.set(Counter::SourceBytes, source_bytes);
        while let Some(object) = self.next_object(&mut stream) {
            let mut object = match object {
                Ok(object) => object,
                Err(error) if error.is_object_error() => {
                    current.fail(&error, position);
                    position = Position { object: position.object + 1, byte: 0, line: 0, ..position };
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let before = source_bytes;
            let (size, was_packed) = (object.object().size, is_compressed_name(&object.object().key));
            let is_packed = !object.is_plain();
            self.progress.expected().begin(size, is_packed, was_packed);
            if !std::mem::replace(&mut begun, true) {
                self.progress.set(Counter::SourceBytesBefore, before + object.source_bytes());
            }
            let outcome = self.read_object(&mut object, &mut position, &mut current, before)?;
            source_bytes = before + size;
            if is_packed {
                self.progress.expected().end(size);
            }
            self.progress.set(Counter::SourceBytes, source_bytes);
            match outcome {
                Ok(()) => {
                    current.complete.push(position.object);
                    self.progress.add(Counter::ObjectsDone, 1);
                }
                Err(error) => current.fail(&error, position),
            }
            position = Position { object: position.object + 1, byte: 0, line: 0, ..position };
            current.full |= current.complete.len() + current.lost.len() >= PIECE_OBJECTS;
        }
        if !(current.empty && current.complete.is_empty() && current.lost.is_empty()) {
            self.close(current, position);
        }
        Ok(())
    }

    /// Looks at the first compressed object among others that are not: how long the rest takes would else be a guess
    /// until it is read.
    fn look_at_packed(&self) -> Result<(), JobError> {
        let is_large = self.progress.snapshot().source_total >= LOOK_FROM;
        if !is_large || !self.progress.expected().is_unsure() {
            return Ok(());
        }
        let mut objects = files::planned_objects(&self.folder)?.map_while(Result::ok);
        if let Some(object) = objects.find(|object| is_compressed_name(&object.key))
            && let Ok((read, made)) = self.source.ratio(&object, LOOK_BYTES)
        {
            self.progress.expected().look(read, made);
        }
        Ok(())
    }

    /// Reads one object; the inner error ends this object only.
    fn read_object(
        &self,
        object: &mut ObjectReader<'_>,
        position: &mut Position,
        current: &mut Current,
        source_before: u64,
    ) -> Result<Result<(), SourceError>, JobError> {
        let name: ObjectName = self.source.url(&object.object().key).into();
        let options = self.context.split_options(self.options.block_bytes);
        let mut splitter = if position.byte == 0 {
            Splitter::new(self.definition.format, options, position.object)
        } else {
            let head = match self.head(object.object()) {
                Ok(head) => head,
                Err(error) => return Ok(Err(error)),
            };
            let at = Origin { object: position.object, byte: position.byte, line: position.line };
            Splitter::resume(self.definition.format, options, at, head)
        };
        // What reading found, until a block takes it along.
        let mut notices = Notices::new();
        let mut is_empty = position.byte == 0;
        loop {
            // A full piece ends before the next block, which then begins a piece of its own.
            let (cut_stream, lines) = match current.full {
                true => (self.next_cut(position.stream), PIECE_LINES),
                false => (current.cut_stream, current.lines_left),
            };
            // The splitter begins an object at line 1.
            let cut = Cut {
                byte: position.byte + (cut_stream - position.stream),
                line: position.line.max(1) + lines,
                records: lines,
            };
            let begun = Instant::now();
            let split = splitter.next(Some(cut));
            self.progress.busy(Stage::Decode, begun.elapsed());
            match split {
                Ok(Split::NeedInput) => {
                    self.buffers.lock().drain(..).for_each(|buffer| splitter.give_back(buffer));
                    let begun = Instant::now();
                    let read = object.read(splitter.space());
                    self.spent(begun, object.take_waited());
                    let read = match read {
                        Ok(read) => read,
                        Err(error) if error.is_object_error() => return Ok(Err(error)),
                        Err(error) => return Err(error.into()),
                    };
                    self.progress.set(Counter::SourceBytes, source_before + object.source_bytes());
                    if !object.is_plain() {
                        self.progress.expected().reading(object.source_bytes(), object.decoded_bytes());
                    }
                    for (kind, subject) in object.take_notes() {
                        notices.add(kind, &subject, 1);
                    }
                    if read == 0 { splitter.finish() } else { splitter.advance(read) }
                }
                Ok(Split::Block(mut block)) => {
                    if !notices.is_empty() {
                        block.notices.merge(&std::mem::take(&mut notices));
                    }
                    if current.full {
                        let next = self.begin_piece(current.piece.number + 1, position.stream);
                        self.close(std::mem::replace(current, next), *position);
                    }
                    let end = block.end;
                    is_empty &= block.lost.is_none() && is_blank(block.bytes());
                    let records =
                        block.records.as_ref().map_or(0, |records| records.len() + block.faults.len());
                    let lines = (end.line - block.origin.line).max(records as u64);
                    position.stream += end.byte - position.byte;
                    (position.byte, position.line) = (end.byte, end.line);
                    current.lines_left = current.lines_left.saturating_sub(lines);
                    self.dispatch(block, lines, Arc::clone(&name), current)?;
                    current.full = position.stream >= current.cut_stream || current.lines_left == 0;
                }
                Ok(Split::End) => {
                    if is_empty {
                        current.notices.add(NoticeKind::NoRecord, &name, 1);
                    }
                    return Ok(Ok(()));
                }
                Err(refused) => return Ok(Err(refuse(&name, &refused))),
            }
        }
    }

    /// What the start of an object told that is read from its middle.
    fn head(&self, object: &PlannedObject) -> Result<Option<Head>, SourceError> {
        // A header has one record's bound, after what the splitter looks at to tell the dialect.
        let head = self.source.head(object, SNIFF_BYTES + self.definition.limits.max_line + 2)?;
        let name = self.source.url(&object.key);
        let options = self.context.split_options(head.len());
        let mut splitter = Splitter::new(self.definition.format, options, 0);
        splitter.next_of(&mut &head[..], None).map_err(|refused| refuse(&name, &refused))?;
        Ok(splitter.head())
    }

    fn dispatch(
        &self,
        block: Block,
        lines: u64,
        name: ObjectName,
        current: &mut Current,
    ) -> Result<(), JobError> {
        let bytes = block.bytes().len() as u64;
        let rows = block.records.as_ref().map_or(lines, |records| records.len() as u64);
        if !self.progress.may_read(rows, bytes, &self.cancel) {
            return Err(JobError::Cancelled);
        }
        let guard =
            self.budget.take(bytes + lines * RECORD_OVERHEAD, &self.cancel).ok_or(JobError::Cancelled)?;
        self.progress.add(Counter::Bytes, block.end.byte - block.origin.byte);
        let place = current.piece.expect(guard);
        if std::mem::take(&mut current.empty) {
            self.progress.set_piece(current.piece.number, PieceState::Reading);
        }
        let piece = Arc::clone(&current.piece);
        let (context, progress) = (Arc::clone(&self.context), Arc::clone(&self.progress));
        let stores = self.stores;
        let (build, built, buffers) =
            (Arc::clone(&self.build), self.built.clone(), Arc::clone(&self.buffers));
        let task = move |parser: &mut Parser| {
            progress.block_begins();
            let begun = Instant::now();
            let parsed = super::guarded(|| match stores {
                true => parser.parse(block, &context),
                false => parser.check(block, &context),
            });
            progress.busy(Stage::Parse, begun.elapsed());
            let parsed = match parsed {
                Ok((parsed, buffer)) => {
                    buffers.lock().push(buffer);
                    parsed
                }
                Err(panic) => return drop(built.send(Err(panic))),
            };
            let failed = parsed.failed.len() as u64;
            progress.add(Counter::Parsed, parsed.registered + failed);
            progress.add(Counter::Failed, failed);
            if let Some(whole) = piece.put(place, CollectedBlock { parsed, name }) {
                // The worker that completes a piece builds it at once: its blocks are warm, and nothing waits.
                deliver(&*build, whole, &built);
            }
        };
        self.progress.block_waits();
        let goes_on = match &self.parser {
            Some(parser) => {
                if let Some(task) = self.lane.offer(task) {
                    task(&mut parser.borrow_mut());
                }
                !self.cancel.is_cancelled()
            }
            None => self.lane.push(task, &self.cancel),
        };
        if goes_on { Ok(()) } else { Err(JobError::Cancelled) }
    }

    fn begin_piece(&self, number: u64, stream: u64) -> Current {
        Current {
            piece: Arc::new(OpenPiece::new(number)),
            cut_stream: self.next_cut(stream),
            lines_left: PIECE_LINES,
            complete: Vec::new(),
            lost: Vec::new(),
            notices: Notices::new(),
            empty: true,
            full: false,
        }
    }

    /// The first multiple of the size of a piece behind `stream`.
    fn next_cut(&self, stream: u64) -> u64 {
        (stream / self.definition.piece_bytes + 1) * self.definition.piece_bytes
    }

    fn close(&self, done: Current, position: Position) {
        // Before it is closed: a worker may complete it at once.
        let Current { piece, complete, lost, notices, .. } = done;
        self.progress.set_piece(piece.number, PieceState::Parsing);
        let end = PieceEnd { position, complete, lost, notices };
        if let Some(whole) = piece.close(end) {
            if self.parser.is_some() {
                return deliver(&*self.build, whole, &self.built);
            }
            let (build, built) = (Arc::clone(&self.build), self.built.clone());
            self.lane.push_urgent(move |_| deliver(&*build, whole, &built));
        }
    }

    fn next_object<'a>(&self, stream: &'a mut ObjectStream) -> Option<Result<ObjectReader<'a>, SourceError>> {
        let begun = Instant::now();
        let mut object = stream.next_object();
        let waited = match &mut object {
            Some(Ok(object)) => object.take_waited(),
            _ => begun.elapsed(),
        };
        self.spent(begun, waited);
        object
    }

    /// Notes what was done since `begun`: bytes were waited for, and decoded.
    fn spent(&self, begun: Instant, waited: Duration) {
        self.progress.busy(Stage::Fetch, waited);
        self.progress.busy(Stage::Decode, begun.elapsed().saturating_sub(waited));
    }
}

impl Current {
    /// Notes that the object at `at` was lost from there on.
    fn fail(&mut self, error: &SourceError, at: Position) {
        let lost = LostObject {
            object: error.place(),
            line: at.line.max(1),
            byte: at.byte,
            reason: super::with_causes(error),
            hint: error.hint().map(str::to_owned),
        };
        self.lost.push((at.object, lost));
    }
}

/// Builds a whole piece and hands it to the committer.
fn deliver(build: &Build, whole: WholePiece, built: &mpsc::SyncSender<Result<BuiltPiece, JobError>>) {
    let outcome = super::guarded(|| build(whole)).and_then(|outcome| outcome);
    // Nobody listens any more when the job has ended already.
    let _ = built.send(outcome);
}

fn refuse(name: &str, refused: &ObjectRefused) -> SourceError {
    SourceError::Refused { url: name.into(), reason: refused.to_string() }
}

impl From<io::Error> for JobError {
    fn from(error: io::Error) -> Self {
        Self::Threads(error)
    }
}
