//! The reading thread of a job: objects to blocks. It reads and cuts; [`PieceCutter`] says where, and
//! [`super::stages`] does the rest.

use std::{
    cell::RefCell,
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use pinport_model::{
    Border, ImportDefinition, JobPart, LostObject, NoticeKind, Notices, Origin, PlannedObject, Position,
    view::PieceState, with_causes,
};
use tokio_util::sync::CancellationToken;

use super::{
    JobError,
    budget::ByteBudget,
    crew::Turn,
    cutter::PieceCutter,
    files,
    piece::{ObjectName, OpenPiece, PieceEnd},
    progress::{Counter, JobProgress, Stage},
    stages::{ReadBlock, Stages, Task},
    workers::{Lane, Work},
};
use crate::{
    limits::{RATIO_BYTES, RATIO_FROM, RECORD_OVERHEAD, SNIFF_BYTES},
    parse::{Parser, block::Block},
    source::{ObjectReader, ObjectStream, Source, SourceError, is_compressed_name},
    split::{Head, Split, SplitOptions, Splitter},
    text::{ObjectRefused, is_blank},
};

/// Everything the reading thread works with.
pub(super) struct Reader {
    pub(super) source: Arc<Source>,
    pub(super) folder: PathBuf,
    pub(super) definition: Arc<ImportDefinition>,
    pub(super) block_bytes: usize,
    pub(super) lane: Arc<Lane<Task>>,
    /// What this thread parses with while the lane is full, if it does.
    pub(super) parser: Option<RefCell<Parser>>,
    pub(super) budget: ByteBudget,
    pub(super) progress: Arc<JobProgress>,
    pub(super) cancel: CancellationToken,
    pub(super) stages: Arc<Stages>,
    /// What is read: of a job that is not divided, everything.
    pub(super) part: JobPart,
    /// That it is this job's part that is read, until all of it was.
    pub(super) _turn: Option<Turn>,
}

/// The piece that is being read.
struct Current {
    piece: Arc<OpenPiece>,
    complete: Vec<u64>,
    lost: Vec<(u64, LostObject)>,
    /// What is to be said of its objects.
    notices: Notices,
    empty: bool,
}

/// Where reading is.
struct Place {
    position: Position,
    cutter: PieceCutter,
    current: Current,
}

impl Reader {
    /// Reads everything of its part after `start`, where piece `number` begins.
    pub(super) fn run(self, start: Position, number: u64) -> Result<(), JobError> {
        let JobPart { start: first, end, .. } = self.part;
        if (Border { object: start.object, byte: start.byte }) >= end {
            return Ok(());
        }
        let mut objects = files::objects_to_read(&self.folder)?;
        objects.by_ref().take(first.object as usize).for_each(drop);
        let (mut source_bytes, mut packed) = (0, 0);
        for object in objects.by_ref().take((start.object - first.object) as usize).flatten() {
            source_bytes += object.size;
            packed += if is_compressed_name(&object.key) { object.size } else { 0 };
        }
        let objects = objects.take((end.object - start.object + u64::from(end.byte > 0)) as usize);
        let made = (start.stream + first.byte - start.byte).saturating_sub(source_bytes - packed);
        self.progress.expected().pass(packed, made);
        self.look_at_packed()?;
        let mut stream = self.source.read_into(self.stages.buffers.clone(), objects, start.byte);
        let cutter = PieceCutter::new(self.definition.piece_bytes, start.stream);
        let mut place = Place { position: start, cutter, current: Current::new(number) };
        let mut begun = false;
        self.read_so_far(source_bytes);
        while let Some(object) = self.next_object(&mut stream) {
            let mut object = match object {
                Ok(object) => object,
                Err(error) if error.is_object_error() => {
                    place.end_object(Err(&error));
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let before = source_bytes;
            let (size, was_packed) = (object.object().size, is_compressed_name(&object.object().key));
            let is_packed = !object.is_plain();
            self.progress.expected().begin(size, is_packed, was_packed);
            if !std::mem::replace(&mut begun, true) {
                let read = (before + object.source_bytes()).saturating_sub(first.byte);
                self.progress.set(Counter::SourceBytesBefore, read);
            }
            let limit = (place.position.object == end.object).then_some(end.byte);
            let outcome = self.read_object(&mut object, &mut place, (before, limit))?;
            if let (Some(limit), Ok(())) = (limit, &outcome) {
                // The rest of the object is another part's.
                self.read_so_far(before + limit);
                break;
            }
            source_bytes = before + size;
            if is_packed {
                self.progress.expected().end(size);
            }
            self.read_so_far(source_bytes);
            if outcome.is_ok() {
                self.progress.add(Counter::ObjectsDone, 1);
            }
            place.end_object(outcome.as_ref());
        }
        let Place { position, current, .. } = place;
        if !(current.empty && current.complete.is_empty() && current.lost.is_empty()) {
            self.close(current, position);
        }
        Ok(())
    }

    /// Counts what was read of the objects from the first one of the part on; it may begin in the middle of that.
    fn read_so_far(&self, bytes: u64) {
        self.progress.set(Counter::SourceBytes, bytes.saturating_sub(self.part.start.byte));
    }

    /// Looks at the first compressed object among others that are not: how long the rest takes would else be a guess
    /// until it is read.
    fn look_at_packed(&self) -> Result<(), JobError> {
        let is_large = self.progress.snapshot().source_total >= RATIO_FROM;
        if !is_large || !self.progress.expected().is_unsure() {
            return Ok(());
        }
        let mut objects = files::planned_objects(&self.folder)?.map_while(Result::ok);
        if let Some(object) = objects.find(|object| is_compressed_name(&object.key))
            && let Ok((read, made)) = self.source.ratio(&object, RATIO_BYTES)
        {
            self.progress.expected().look(read, made);
        }
        Ok(())
    }

    /// Reads one object, up to a byte of it if there is a limit; the inner error ends this object only.
    fn read_object(
        &self,
        object: &mut ObjectReader<'_>,
        place: &mut Place,
        (source_before, limit): (u64, Option<u64>),
    ) -> Result<Result<(), SourceError>, JobError> {
        let name: ObjectName = self.source.url(&object.object().key).into();
        let options = SplitOptions::of(&self.stages.context, self.block_bytes);
        let position = place.position;
        let mut splitter = if position.byte == 0 {
            Splitter::new(self.definition.format, options, position.object)
        } else {
            let head = match self.head(object.object()) {
                Ok(head) => head,
                Err(error) => return Ok(Err(error)),
            };
            let at = Origin { object: position.object, byte: position.byte, line: position.line };
            Splitter::resume(self.definition.format, options, at, head)
        }
        .sharing(self.stages.buffers.clone());
        // What reading found, until a block takes it along.
        let mut notices = Notices::new();
        let mut is_empty = position.byte == 0;
        let mut left = limit.map(|limit| limit - position.byte);
        loop {
            let begun = Instant::now();
            let split = splitter.next(Some(place.cutter.cut(&place.position)));
            self.progress.busy(Stage::Decode, begun.elapsed());
            match split {
                Ok(Split::NeedInput) => {
                    let begun = Instant::now();
                    let read = read_on(object, &mut splitter, left);
                    self.spent(begun, object.take_waited());
                    let read = match read {
                        Ok(read) => read,
                        Err(error) if error.is_object_error() => return Ok(Err(error)),
                        Err(error) => return Err(error.into()),
                    };
                    left = left.map(|left| left - read as u64);
                    self.read_so_far(source_before + object.source_bytes());
                    if !object.is_plain() {
                        self.progress.expected().reading(object.source_bytes(), object.decoded_bytes());
                    }
                    for (kind, subject) in object.take_notes() {
                        notices.add(kind, &subject, 1);
                    }
                    if read == 0 {
                        splitter.finish();
                    }
                }
                Ok(Split::Block(mut block)) => {
                    if !notices.is_empty() {
                        block.notices.merge(&std::mem::take(&mut notices));
                    }
                    if place.cutter.is_full() {
                        self.next_piece(place);
                    }
                    is_empty &= block.lost.is_none() && is_blank(block.bytes());
                    self.dispatch(block, Arc::clone(&name), place)?;
                }
                Ok(Split::End) => {
                    if is_empty {
                        place.current.notices.add(NoticeKind::NoRecord, &name, 1);
                    }
                    return Ok(Ok(()));
                }
                Err(refused) => return Ok(Err(refuse(&name, &refused))),
            }
        }
    }

    /// What the start of an object says that is read from its middle.
    fn head(&self, object: &PlannedObject) -> Result<Option<Head>, SourceError> {
        // A header has one record's bound, after what the splitter looks at to detect the dialect.
        let head = self.source.head(object, SNIFF_BYTES + self.definition.limits.max_line + 2)?;
        let name = self.source.url(&object.key);
        let options = SplitOptions::of(&self.stages.context, head.len());
        let mut splitter = Splitter::new(self.definition.format, options, 0);
        splitter.next_of(&mut &head[..], None).map_err(|refused| refuse(&name, &refused))?;
        Ok(splitter.head())
    }

    /// Sends a block to be parsed.
    fn dispatch(&self, block: Block, name: ObjectName, place: &mut Place) -> Result<(), JobError> {
        let bytes = block.bytes().len() as u64;
        let records = block.records.as_ref().map(|records| records.len() as u64);
        let given_up = records.map_or(0, |records| records + block.faults.len() as u64);
        let lines = (block.end.line - block.origin.line).max(given_up);
        place.cutter.take(&mut place.position, block.end, lines);
        if !self.progress.may_read(records.unwrap_or(lines), bytes, &self.cancel) {
            return Err(JobError::Cancelled);
        }
        let guard =
            self.budget.take(bytes + lines * RECORD_OVERHEAD, &self.cancel).ok_or(JobError::Cancelled)?;
        self.progress.add(Counter::Bytes, block.end.byte - block.origin.byte);
        let current = &mut place.current;
        if std::mem::take(&mut current.empty) {
            self.progress.set_piece(current.piece.number, PieceState::Reading);
        }
        let piece = Arc::clone(&current.piece);
        let read = ReadBlock { block, name, place: piece.expect(guard), piece };
        let task = Task::Parse(read, Arc::clone(&self.stages));
        self.progress.block_waits();
        let goes_on = match &self.parser {
            Some(parser) => {
                if let Some(task) = self.lane.offer(task) {
                    task.run(&mut parser.borrow_mut());
                }
                !self.cancel.is_cancelled()
            }
            None => self.lane.push(task, &self.cancel),
        };
        if goes_on { Ok(()) } else { Err(JobError::Cancelled) }
    }

    /// Ends the piece before the block at hand, which begins another.
    fn next_piece(&self, place: &mut Place) {
        let next = Current::new(place.current.piece.number + 1);
        place.cutter.begin(place.position.stream);
        self.close(std::mem::replace(&mut place.current, next), place.position);
    }

    fn close(&self, done: Current, position: Position) {
        // Before it is closed: a worker may complete it at once.
        let Current { piece, complete, lost, notices, .. } = done;
        self.progress.set_piece(piece.number, PieceState::Parsing);
        let end = PieceEnd { position, complete, lost, notices };
        if let Some(whole) = piece.close(end) {
            match self.parser {
                Some(_) => self.stages.build(whole),
                None => self.lane.push_urgent(Task::Build(whole, Arc::clone(&self.stages))),
            }
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
    fn new(number: u64) -> Self {
        Self {
            piece: Arc::new(OpenPiece::new(number)),
            complete: Vec::new(),
            lost: Vec::new(),
            notices: Notices::new(),
            empty: true,
        }
    }
}

impl Place {
    /// Goes to the next object. With an error, this one was lost from here on.
    fn end_object(&mut self, outcome: Result<&(), &SourceError>) {
        let at = self.position;
        match outcome {
            Ok(_) => self.current.complete.push(at.object),
            Err(error) => {
                let lost = LostObject {
                    object: error.place(),
                    line: at.line.max(1),
                    byte: at.byte,
                    reason: with_causes(error),
                    hint: error.hint().map(str::to_owned),
                };
                self.current.lost.push((at.object, lost));
            }
        }
        self.cutter.end_object(&mut self.position);
    }
}

/// Has the splitter take what comes next, no more than is `left` if that is said; how many bytes that was, 0 at the end.
fn read_on(
    object: &mut ObjectReader<'_>,
    splitter: &mut Splitter,
    left: Option<u64>,
) -> Result<usize, SourceError> {
    let left = left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
    if left == 0 {
        return Ok(0);
    }
    let held = splitter.held();
    if let Some(mut chunk) = object.take_chunk(held)? {
        chunk.truncate(left);
        splitter.push_chunk(chunk);
        return Ok(splitter.held() - held);
    }
    let space = splitter.space();
    let room = space.len().min(left);
    let read = object.read(&mut space[..room])?;
    splitter.advance(read);
    Ok(read)
}

fn refuse(name: &str, refused: &ObjectRefused) -> SourceError {
    SourceError::Refused { url: name.into(), reason: refused.to_string() }
}

impl From<io::Error> for JobError {
    fn from(error: io::Error) -> Self {
        Self::Threads(error)
    }
}
