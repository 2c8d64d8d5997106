//! Commits pieces in source order: judges what depends on the store, records the failures, makes it durable.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use pinport_model::{
    FailureCode, ImportDefinition, ImportJob, JobId, JobStatus, MAX_LOST, NoticeKind, Origin, PieceRecord,
    Tally, failure::FailureReason, job::SegmentMembers,
};
use pinport_store::{JobWriter, Parts, PreparedPiece, Store, Unresolved, boundary};
use tokio_util::sync::CancellationToken;

use super::{
    JobError, Life,
    files::{self, Appender, FailureFiles, FileError},
    ids::{Ids, forget_ids},
    mirror::{Mirror, ids_len},
    piece::{BuiltPiece, Counts, PieceEnd, Reject},
    progress::{Counter, Stage},
};
use crate::limits::{COUNTED_JOBS, KEPT_OF_PART};

/// How late a committer that waits for a piece notices that the run was stopped.
const NOTICE: Duration = Duration::from_millis(20);

/// What is said of a record whose bytes were too many to hold: it can only be mended where it came from.
const NOT_KEPT: &str = ", so it is not among the rejects";

/// The committing side of a run.
pub(super) struct Committer<'a, 'b> {
    pub(super) life: &'a mut Life<'b>,
    pub(super) files: FailureFiles,
    /// Where other servers find them.
    mirror: Option<Mirror>,
    ids: KeptIds,
    pub(super) last: &'a mut Option<PieceRecord>,
    stop: &'a CancellationToken,
    /// If it commits a part of a job: what says whether those before it are done.
    order: Option<Order<'a>>,
}

/// Where the ids of records are kept.
enum KeptIds {
    /// As they are counted.
    OfJob(Ids),
    /// One after the other, until the part is a piece of its job.
    OfPart(Appender),
}

/// The place of a part among those of its job.
struct Order<'a> {
    parts: &'a dyn Parts,
    job: JobId,
    part: u32,
    is_first: bool,
}

impl Order<'_> {
    /// Records that depend on what is stored come after all that is before them in the source.
    fn check(&mut self) -> Result<(), JobError> {
        self.is_first = self.is_first || self.parts.is_first(self.job, self.part)?;
        if self.is_first { Ok(()) } else { Err(JobError::Early) }
    }
}

impl<'a, 'b> Committer<'a, 'b> {
    pub(super) fn open(
        life: &'a mut Life<'b>,
        folder: &Path,
        last: &'a mut Option<PieceRecord>,
        stop: &'a CancellationToken,
    ) -> Result<Self, JobError> {
        let ImportDefinition { format, kept_failure_bytes, .. } = life.job.definition;
        let files = FailureFiles::open(folder, format, kept_failure_bytes, last.as_ref())?;
        if let Some(record) = &*last {
            life.progress.show_before(record);
        }
        let shared = life.store.filter(|store| store.is_shared());
        let mirror = shared.map(|store| Mirror::open(store, folder, (life.job.id, format), last.as_ref()));
        let mirror = mirror.transpose()?;
        let ids = KeptIds::OfJob(Ids::open(folder));
        Ok(Self { life, files, mirror, ids, last, stop, order: None })
    }

    /// The same for a part of a job, with the part's own folder.
    pub(super) fn open_part(
        life: &'a mut Life<'b>,
        folder: &Path,
        last: &'a mut Option<PieceRecord>,
        stop: &'a CancellationToken,
        (store, part): (&'a Arc<dyn Store>, u32),
    ) -> Result<Self, JobError> {
        let (job, format) = (life.job.id, life.job.definition.format);
        let limit = life.job.definition.kept_failure_bytes / KEPT_OF_PART;
        let files = FailureFiles::open(folder, format, limit, last.as_ref())?;
        if let Some(record) = &*last {
            life.progress.show_before(record);
        }
        let mirror = Some(Mirror::of_part(store, folder, (job, part, format), last.as_ref()));
        let ids = Appender::open(files::ids_path(folder), last.as_ref().map_or(0, ids_len))?;
        let order = store.parts().map(|parts| Order { parts, job, part, is_first: part == 1 });
        Ok(Self { life, files, mirror, ids: KeptIds::OfPart(ids), last, stop, order })
    }

    /// Commits what arrives, from piece `next` on, until the senders are gone.
    pub(super) fn run(
        mut self,
        pieces: mpsc::Receiver<Result<BuiltPiece, JobError>>,
        mut next: u64,
    ) -> Result<(), JobError> {
        let mut early = BTreeMap::new();
        loop {
            let piece = match pieces.recv_timeout(NOTICE) {
                Ok(piece) => piece?,
                // What is in flight is dropped: it may be a second's work of all threads.
                Err(RecvTimeoutError::Timeout) if self.stop.is_cancelled() => {
                    return Err(JobError::Cancelled);
                }
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            early.insert(piece.number, piece);
            while let Some(piece) = early.remove(&next) {
                // A stopped run commits no more: "stopped" must not take as long as what is in flight.
                if self.stop.is_cancelled() {
                    return Err(JobError::Cancelled);
                }
                let begun = Instant::now();
                self.commit(piece)?;
                self.life.progress.busy(Stage::Commit, begun.elapsed());
                next += 1;
                if self.is_over_budget(false) {
                    return Ok(());
                }
            }
        }
        if self.stop.is_cancelled() { Err(JobError::Cancelled) } else { Ok(()) }
    }

    fn is_over_budget(&self, ended: bool) -> bool {
        over_budget(self.life.job, self.last.as_ref(), ended)
    }

    fn commit(&mut self, built: BuiltPiece) -> Result<(), JobError> {
        let BuiltPiece { number, mut prepared, mut counts, end, _guards } = built;
        boundary("piece.begun");
        if let Some(prepared) = &mut prepared {
            if let Some(order) = self.order.as_mut().filter(|_| prepared.asks_the_store()) {
                order.check()?;
            }
            self.count_late(prepared.resolve()?, &mut counts);
        }
        boundary("piece.judged");
        self.write_failures(&mut counts, &end)?;
        counts.ids.push(counts.updates.drain(..).map(|(_, id)| id).collect());
        let with_id = self.add_ids(&counts.ids)?;
        let before = self.last.take().unwrap_or_else(PieceRecord::nothing);
        let done = before.completed_pieces();
        let mut total = before.total;
        total.add(&counts.tally);
        assert!(balances(&counts, &total), "piece {number} does not balance: {:?}", counts.tally);
        let mut total_notices = before.total_notices;
        total_notices.merge(&counts.notices);
        let left_out = prepared.as_ref().map_or(0, |prepared| prepared.left_out());
        total_notices.add(NoticeKind::LeftOut, "", left_out);
        let brought = end.lost.is_empty() || counts.tally.read > 0 || !end.complete.is_empty();
        let mut record = PieceRecord {
            piece: number,
            end: end.position,
            tally: counts.tally,
            total,
            objects: counts.objects,
            done_pieces: Some(done + u64::from(brought)),
            failed_pieces: before.failed_pieces + end.lost.len() as u64,
            error: end.lost.first().map(|(_, lost)| lost.reason.clone()),
            lost: before.lost,
            with_id: before.with_id + with_id,
            repeated_ids: before.repeated_ids + prepared.as_ref().map_or(0, |prepared| prepared.repeated()),
            total_notices,
            ..PieceRecord::default()
        };
        let room = MAX_LOST.saturating_sub(record.lost.len());
        record.lost.extend(end.lost.iter().take(room).map(|(_, lost)| lost.clone()));
        let hint = end.lost.first().and_then(|(_, lost)| lost.hint.clone());
        self.make_durable(&mut record, hint, prepared)?;
        let progress = self.life.progress;
        progress.set(Counter::Registered, record.total.registered);
        progress.add(Counter::PiecesDone, u64::from(brought));
        progress.add(Counter::PiecesFailed, end.lost.len() as u64);
        progress.set_last(&record);
        *self.last = Some(record);
        Ok(())
    }

    /// Commits a part that is done, as the piece with this record, which lacks what is said of files.
    pub(super) fn commit_part(
        &mut self,
        mut record: PieceRecord,
        writer: &dyn JobWriter,
    ) -> Result<(), JobError> {
        assert!(record.total.balances(), "part {} does not balance: {:?}", record.piece + 1, record.tally);
        // The part's rows are there already.
        let mut prepared = writer.prepare(record.piece, Vec::new())?;
        prepared.resolve()?;
        let hint = record.lost.first().and_then(|lost| lost.hint.clone());
        self.make_durable(&mut record, hint, Some(prepared))?;
        *self.last = Some(record);
        Ok(())
    }

    /// Makes what was written of a piece durable, and then the piece with its record.
    fn make_durable(
        &mut self,
        record: &mut PieceRecord,
        hint: Option<String>,
        prepared: Option<Box<dyn PreparedPiece>>,
    ) -> Result<(), JobError> {
        boundary("piece.failures-written");
        self.files.sync(record)?;
        if let Some(mirror) = &mut self.mirror {
            mirror.keep_piece(record)?;
        }
        if record.error.is_some() && self.life.job.error.is_none() {
            self.life.job.error = record.error.clone();
            self.life.hint = hint;
            // Before the piece is committed: a crash in between repeats the piece and its failures.
            self.life.save()?;
            boundary("piece.told");
        }
        if let Some(prepared) = prepared {
            prepared.commit(record)?;
        }
        boundary("piece.committed");
        Ok(())
    }

    /// Keeps the ids of a piece; how many they are.
    pub(super) fn add_ids(&mut self, lists: &[Vec<u64>]) -> Result<u64, FileError> {
        let out = match &mut self.ids {
            KeptIds::OfJob(ids) => return ids.add(lists),
            KeptIds::OfPart(out) => out,
        };
        for list in lists {
            out.write(list.iter().map(|id| id.to_le_bytes()).collect::<Vec<_>>().as_flattened())?;
        }
        out.sync()?;
        Ok(lists.iter().map(|list| list.len() as u64).sum())
    }

    /// Counts the records that failed by what is in the store.
    fn count_late(&self, unresolved: Vec<Unresolved>, counts: &mut Counts) {
        let failed: HashSet<Origin> = unresolved.iter().map(|unresolved| unresolved.origin).collect();
        counts.updates.retain(|(origin, _)| !failed.contains(origin));
        for Unresolved { origin, reason, channel, raw } in unresolved {
            let (name, header) = counts.name(origin.object);
            counts.reject_late(Reject { origin, reason, name, header, raw }, channel);
            self.life.progress.add(Counter::Failed, 1);
        }
        counts.rejects.sort_by_key(|reject| (reject.origin.object, reject.origin.byte));
    }

    /// Writes the failed records of a piece, and the objects that were lost in it.
    fn write_failures(&mut self, counts: &mut Counts, end: &PieceEnd) -> Result<(), JobError> {
        for Reject { origin, mut reason, name, header, raw } in std::mem::take(&mut counts.rejects) {
            if raw.is_none() {
                reason.message.push_str(NOT_KEPT);
            }
            let failure = reason.locate(&name, origin);
            counts.tally.count_failed(&failure);
            let header = header.as_ref().map(|header| header.raw());
            self.files.push(failure, header, raw.as_deref())?;
        }
        for (object, lost) in &end.lost {
            let reason = FailureReason::new(FailureCode::ObjectLost, lost.to_string());
            let origin = Origin { object: *object, byte: lost.byte, line: lost.line };
            self.files.push(reason.locate(&lost.object, origin), None, None)?;
        }
        Ok(())
    }
}

fn balances(counts: &Counts, total: &Tally) -> bool {
    let by_object = counts.objects.iter().fold((0, 0, 0), |(read, failed, bytes), object| {
        (read + object.read, failed + object.failed, bytes + object.bytes)
    });
    let tally = &counts.tally;
    by_object == (tally.read, tally.failed, tally.bytes) && tally.balances() && total.balances()
}

pub(super) fn over_budget(job: &ImportJob, last: Option<&PieceRecord>, ended: bool) -> bool {
    let budget = job.definition.max_failures;
    budget.zip(last).is_some_and(|(budget, last)| budget.is_exceeded(&last.total, ended))
}

/// Counts the endpoints that a job's records name, and the members of the segment that it adds to.
fn count_ids(life: &mut Life<'_>, last: &PieceRecord, folder: &Path) -> Result<(), JobError> {
    let base = segment_ids(life, folder)?;
    let others = base.as_ref().map_or(&[][..], |(_, others)| others);
    let ids = Ids::open(folder);
    if ids.len()? < last.with_id {
        // The job was begun on another machine, and its ids are there. The store counts the members.
        life.job.repeated_ids = last.repeated_ids;
        life.job.segment_members = None;
        return Ok(());
    }
    let (own, all) = ids.count(others)?;
    life.job.repeated_ids = last.with_id.saturating_sub(own);
    // Records that name users alone have members that no one counted.
    life.job.segment_members = base
        .filter(|_| last.with_id == last.total.registered)
        .map(|(version, _)| SegmentMembers { version, count: all });
    Ok(())
}

/// The version of its segment that a job makes, and the ids of the jobs before it that are members. Nothing, if it makes
/// none or not all of these ids are known.
fn segment_ids(life: &Life<'_>, folder: &Path) -> Result<Option<(u32, Vec<Ids>)>, JobError> {
    let definition = &life.job.definition;
    let (Some(store), Some(segment), Some(jobs)) = (life.store, definition.segment, folder.parent()) else {
        return Ok(None);
    };
    let segment = store.segment(definition.application, segment)?;
    let Some((segment, current)) = segment.as_ref().and_then(|segment| Some((segment, segment.current()?)))
    else {
        return Ok(Some((1, Vec::new())));
    };
    if life.replace {
        return Ok(Some((current.version + 1, Vec::new())));
    }
    let Some(before) = store.version_jobs(segment, current, COUNTED_JOBS)? else { return Ok(None) };
    let mut others = Vec::new();
    for job in before {
        let ids = Ids::open(&jobs.join(job.to_string()));
        let is_whole = store.job(job)?.is_some_and(|job| job.segment_members.is_some());
        if !is_whole || !ids.exist() {
            return Ok(None);
        }
        others.push(ids);
    }
    Ok(Some((current.version + 1, others)))
}

/// Ends a job all of whose pieces are committed, or that is over its failure budget.
pub(super) fn finish(life: &mut Life<'_>, last: Option<&PieceRecord>, folder: &Path) -> Result<(), JobError> {
    let read_to_end = match (last, &life.job.plan) {
        (Some(last), Some(plan)) => last.end.object >= plan.objects,
        (None, Some(plan)) => plan.objects == 0,
        _ => false,
    };
    if let Some(last) = last {
        count_ids(life, last, folder)?;
        last.count_into(life.job);
    }
    let over_budget = over_budget(life.job, last, read_to_end);
    let job = &mut *life.job;
    job.error = if over_budget {
        Some(format!(
            "{} of {} records failed, which is over the failure budget; see {}",
            job.tally.failed,
            job.tally.read,
            files::failures_path(folder).display()
        ))
    } else if job.failed_pieces > 0 {
        let first = job.error.take().unwrap_or_else(|| "a piece could not be read".into());
        Some(match job.failed_pieces {
            1 => first,
            lost => format!("{lost} objects could not be read whole; the first: {first}"),
        })
    } else if !read_to_end {
        Some("the source ended before all planned objects were read".into())
    } else {
        None
    };
    let failed = life.job.error.is_some();
    boundary("job.all-committed");
    life.advance(if failed { JobStatus::Failing } else { JobStatus::Completing })?;
    life.end(if failed { JobStatus::Failed } else { JobStatus::Completed })?;
    // Not before: a job that is ended after a crash is counted again.
    if life.job.segment_members.is_none() {
        forget_ids(folder);
    }
    Ok(())
}
