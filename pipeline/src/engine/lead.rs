//! The server that has a job in parts: it watches how far they come, and takes those that are done together, in source order.
//! Then they are pieces of the job, with its files, counts and first failures, as if one server had read it from start to end.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufReader, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use pinport_model::{Failure, FailureCode, Format, JobPart, LostObject, ObjectTally, PieceRecord, Position};
use pinport_store::{JobWriter, PartState, Parts};
use tokio_util::sync::CancellationToken;

use super::{
    Engine, JobError, Life, Site,
    commit::{Committer, over_budget},
    crew::Crew,
    files::{self, FileError, on},
    mirror,
    progress::PartsSum,
};

/// Ids that are read at once.
const IDS_AT_ONCE: usize = 1 << 16;

/// Works on a job in parts until all of them are its pieces.
pub(super) fn drive(
    engine: &Engine,
    site: &Site<'_>,
    life: &mut Life<'_>,
    last: &mut Option<PieceRecord>,
    cancel: &CancellationToken,
) -> Result<(), JobError> {
    let Some(parts) = site.store.parts() else { return Ok(()) };
    let stop = cancel.child_token();
    let job = life.job.clone();
    let crew = Crew::new(engine, (parts, *site), job, stop.clone(), (&|| true, true));
    let writer = site.store.writer(life.job)?;
    let committer = Committer::open(life, site.folder, last, &stop)?;
    let mut lead = Lead { parts, site: *site, writer, committer, source_bytes: 0 };
    crew.run(|| lead.run(&crew))
}

struct Lead<'a, 'b> {
    parts: &'a dyn Parts,
    site: Site<'a>,
    writer: Arc<dyn JobWriter>,
    committer: Committer<'a, 'b>,
    /// Bytes of the parts that were taken.
    source_bytes: u64,
}

impl Lead<'_, '_> {
    fn run(&mut self, crew: &Crew<'_>) -> Result<(), JobError> {
        let job = crew.job.id;
        let taken = self.taken();
        if taken > 0 {
            let before = self.parts.part_states(job, 0)?;
            let is_taken = |state: &&PartState| state.part.number <= taken;
            self.source_bytes = before.iter().filter(is_taken).map(|state| state.part.bytes).sum();
            // An earlier run may have ended before it let go of it.
            self.parts.forget_part(job, taken)?;
        }
        let mut begins = true;
        loop {
            let states = self.parts.part_states(job, self.taken())?;
            let total = self.total(&states);
            self.show(crew, &states, &total, std::mem::take(&mut begins));
            if states.is_empty() {
                return Ok(());
            }
            let done: Vec<_> = states.iter().take_while(|state| state.is_done).collect();
            for state in &done {
                self.take(state)?;
            }
            if done.is_empty() {
                if over_budget(&crew.job, Some(&total), false) {
                    return self.take_what_there_is(crew);
                }
                crew.wait()?;
                crew.report();
            }
        }
    }

    /// How many parts are pieces of the job.
    fn taken(&self) -> u32 {
        let taken = self.committer.last.as_ref().map_or(0, |last| last.piece + 1);
        u32::try_from(taken).unwrap_or(u32::MAX)
    }

    /// What all parts have committed.
    fn total(&self, states: &[PartState]) -> PieceRecord {
        let mut total = self.committer.last.clone().unwrap_or_else(PieceRecord::nothing);
        states.iter().filter_map(|state| state.last.as_ref()).for_each(|last| total.count_part(last));
        total
    }

    fn show(&self, crew: &Crew<'_>, states: &[PartState], total: &PieceRecord, begins: bool) {
        let mut taken = PartsSum { source_bytes: self.source_bytes, ..PartsSum::default() };
        if let Some(last) = &*self.committer.last {
            taken.add_record(last);
            taken.bytes_total = last.total.bytes;
            taken.objects_done = last.end.object;
        }
        self.site.progress.show_parts(&crew.sum(taken, states), begins);
        self.site.progress.set_totals(total);
    }

    /// Ends the work on a job that is over its failure budget: what was committed until then is its outcome.
    fn take_what_there_is(&mut self, crew: &Crew<'_>) -> Result<(), JobError> {
        self.parts.close_parts(crew.job.id)?;
        for state in self.parts.part_states(crew.job.id, self.taken())? {
            self.take(&state)?;
        }
        Ok(())
    }

    /// Makes a part the next piece of the job.
    fn take(&mut self, state: &PartState) -> Result<(), JobError> {
        let Site { store, folder, .. } = self.site;
        let (job, format) = (self.committer.life.job.id, self.committer.life.job.definition.format);
        let part = &state.part;
        // Not that of the thread that worked on it, which still cleans up.
        let of_part = files::folder_of_part(folder, part.number).with_extension("done");
        mirror::bring_part(&**store, (job, part.number), format, &of_part)?;
        let mut last = state.last.clone().unwrap_or_else(PieceRecord::nothing);
        let kept = last.failures - last.unkept_failures;
        let before = self.committer.last.clone().unwrap_or_else(PieceRecord::nothing);
        let shift = self.shift(part, &before)?;
        shift.correct(&mut last);
        let taken = self.take_failures(&of_part, &mut last, &shift)?;
        if taken != kept {
            let error = io::Error::other(format!("it has {taken} failures, and {kept} were kept"));
            return Err(on("read", &files::failures_path(&of_part))(error).into());
        }
        self.take_ids(&of_part, &last)?;
        let mut objects = Vec::new();
        for piece in self.parts.part_pieces(job, part.number)? {
            ObjectTally::add_all(&mut objects, &piece.objects);
        }
        let mut record = PieceRecord {
            piece: u64::from(part.number) - 1,
            end: shift.end(state, &last, &before),
            tally: last.total.clone(),
            objects,
            error: last.lost.first().map(|lost| lost.reason.clone()),
            ..before
        };
        record.count_part(&last);
        self.committer.commit_part(record, &*self.writer)?;
        self.source_bytes += part.bytes;
        self.parts.forget_part(job, part.number)?;
        let _ = fs::remove_dir_all(of_part);
        Ok(())
    }

    /// What is different in the part's own counts from those of a reader that came from the start.
    fn shift(&self, part: &JobPart, before: &PieceRecord) -> Result<Shift, JobError> {
        if part.start.byte == 0 {
            return Ok(Shift::default());
        }
        let mut objects = files::planned_objects(self.site.folder)?;
        let index = usize::try_from(part.start.object).unwrap_or(usize::MAX);
        let object = objects.nth(index).transpose().map_err(JobError::Threads)?;
        let name = object.map(|object| self.site.source.url(&object.key)).unwrap_or_default();
        let is_lost = before.lost.iter().any(|lost| lost.object == name);
        Ok(Shift { lines: before.end.line.saturating_sub(1), object: Some(name), is_lost })
    }

    /// Adds the failures of a part to the job's; how many there are. The classes of `last` get the examples that they would
    /// have had.
    fn take_failures(
        &mut self,
        folder: &Path,
        last: &mut PieceRecord,
        shift: &Shift,
    ) -> Result<u64, JobError> {
        let mut rejects = Rejects::new(folder, self.committer.life.job.definition.format);
        let mut examples = HashMap::new();
        let mut count = 0;
        for failure in files::failures(folder, last.failures_len)? {
            let mut failure = failure?;
            count += 1;
            let is_of_object = shift.object.as_deref() == Some(&failure.object);
            if is_of_object && shift.is_lost && failure.code == FailureCode::ObjectLost {
                continue;
            }
            if is_of_object {
                failure.line += shift.lines;
            }
            let class = (failure.code, failure.class_member().map(str::to_owned));
            examples.entry(class).or_insert_with(|| failure.to_string());
            let (header, raw) = rejects.of(&failure)?;
            self.committer.files.push(failure, header.as_deref(), raw.as_deref())?;
        }
        self.committer.files.pass(last.unkept_failures);
        for class in &mut last.total.classes {
            if let Some(example) = examples.remove(&(class.code, class.member.clone())) {
                class.example = example;
            }
        }
        Ok(count)
    }

    fn take_ids(&mut self, folder: &Path, last: &PieceRecord) -> Result<(), JobError> {
        let path = files::ids_path(folder);
        let mut left = usize::try_from(last.with_id).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(());
        }
        let mut file = BufReader::new(File::open(&path).map_err(on("open", &path))?);
        while left > 0 {
            let count = left.min(IDS_AT_ONCE);
            let mut bytes = vec![0; count * 8];
            file.read_exact(&mut bytes).map_err(on("read", &path))?;
            let ids = bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
            self.committer.add_ids(&[ids])?;
            left -= count;
        }
        Ok(())
    }
}

/// How a part that begins in the middle of an object differs from a run that came from the object's start.
#[derive(Debug, Default)]
struct Shift {
    /// Lines of the object before the part.
    lines: u64,
    /// That object, as messages name it.
    object: Option<String>,
    /// Whether an earlier part lost it already: it is counted once.
    is_lost: bool,
}

impl Shift {
    fn correct(&self, last: &mut PieceRecord) {
        let is_of_object = |lost: &LostObject| self.object.as_deref() == Some(&lost.object);
        if self.is_lost && last.lost.iter().any(is_of_object) {
            last.lost.retain(|lost| !is_of_object(lost));
            last.failed_pieces -= 1;
            last.failures -= 1;
        }
        for lost in last.lost.iter_mut().filter(|lost| is_of_object(lost)) {
            lost.line += self.lines;
        }
    }

    /// Where the piece that the part becomes ends.
    fn end(&self, state: &PartState, last: &PieceRecord, before: &PieceRecord) -> Position {
        let JobPart { start, end, .. } = state.part;
        let stream = before.end.stream + last.end.stream;
        let lines = if last.end.object == start.object { self.lines } else { 0 };
        let line = if last.end.line > 0 { last.end.line + lines } else { 0 };
        if !state.is_done {
            let at = state.last.as_ref().map_or(state.part.position(), |last| last.end);
            return Position { line, stream, ..at };
        }
        let was_read = (last.end.object, last.end.byte) == (end.object, end.byte);
        Position { object: end.object, byte: end.byte, line: if was_read { line } else { 0 }, stream }
    }
}

/// The header of an object and the bytes of a failed record, if they were kept.
type Kept = (Option<Vec<u8>>, Option<Vec<u8>>);

/// The rejects of a part, as its failures name them.
struct Rejects {
    folder: PathBuf,
    format: Format,
    /// The file that is open, its number, and its header.
    open: Option<(u32, File, Option<Vec<u8>>)>,
}

impl Rejects {
    fn new(folder: &Path, format: Format) -> Self {
        Self { folder: folder.to_owned(), format, open: None }
    }

    fn of(&mut self, failure: &Failure) -> Result<Kept, FileError> {
        let Some(place) = &failure.reject else { return Ok((None, None)) };
        let path = files::rejects_path(&self.folder, self.format, place.part);
        if self.open.as_ref().is_none_or(|(number, ..)| *number != place.part) {
            let file = File::open(&path).map_err(on("open", &path))?;
            let header = match self.format {
                Format::Csv => Some(files::read_csv_header(&path)?),
                Format::Json => None,
            };
            self.open = Some((place.part, file, header));
        }
        let Some((_, file, header)) = &mut self.open else { return Ok((None, None)) };
        let mut raw = vec![0; usize::try_from(place.bytes).unwrap_or(usize::MAX)];
        file.seek(SeekFrom::Start(place.byte)).map_err(on("read", &path))?;
        file.read_exact(&mut raw).map_err(on("read", &path))?;
        Ok((header.clone(), Some(raw)))
    }
}
