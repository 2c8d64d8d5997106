//! Export jobs: created by a request, run on a job's thread, gone on with after the last part that is whole.

use std::{path::Path, sync::Arc, time::Duration};

use pinport_model::{
    ApplicationId, Compression, ExportDefinition, Format, ImportDefinition, ImportJob, JobId, JobStatus,
    ObjectTally, PieceRecord, Position, Segment, SegmentId, SegmentVersion, Tally, Timestamp, WrittenPart,
    job::PlanSummary, with_causes,
};
use pinport_store::{Scope, Store, boundary};
use tokio_util::sync::CancellationToken;

use super::{CreateError, Created, Inner, Jobs, NotAllowed};
use crate::{
    engine::{Counter, JobError, JobProgress, Life, Stage, files::create_folder},
    export::{Before, Content, Export, ExportError, Form, Manifest, Target, part_name},
    limits::PARTS_SHOWN,
    source::{SourceError, SourceOptions},
};

/// Bytes of an endpoint's line, about: what the pieces of a job are guessed by before there are any.
const ABOUT: u64 = 450;

/// What a caller wants.
#[derive(Debug)]
pub struct NewExport {
    /// The application.
    pub application: ApplicationId,
    /// The segment whose members are written; all endpoints of the application if absent.
    pub segment: Option<SegmentId>,
    /// The segment's version; its current one if absent.
    pub version: Option<u32>,
    /// `S3UrlPrefix`, verbatim.
    pub target_text: String,
    /// `RoleArn`, verbatim.
    pub role_arn: Option<String>,
    /// The form of the records.
    pub format: Format,
    /// How parts are compressed.
    pub compression: Compression,
    /// The fingerprint of the request: another one with the same finds this job.
    pub request: Option<String>,
    /// The id of the key that asks for it; none while the server has no keys.
    pub principal: Option<String>,
}

impl Jobs {
    /// Creates a job that writes endpoints, as [`Jobs::create`] does one that reads them.
    pub fn create_export(&self, new: NewExport) -> Result<Created, CreateError> {
        let request = new.request.clone();
        self.create_once(request, || self.inner.create_export(new))
    }
}

impl Inner {
    fn create_export(&self, new: NewExport) -> Result<Created, CreateError> {
        let refused = |error: NotAllowed| CreateError::Refused(error.0);
        let target = self.resolver().target(&new.target_text).map_err(refused)?;
        let version = match new.segment {
            None => None,
            Some(id) => {
                let segment = self.store.segment(new.application, id)?;
                let segment = segment.ok_or(CreateError::NoSegment(id))?;
                Some(self.version_of(&segment, new.version)?)
            }
        };
        let created = self.unlike_others();
        let export = ExportDefinition {
            segment: new.segment,
            version: version.map(|version| version.version),
            asked_version: new.version,
            compression: new.compression,
            folder: folder_name(new.application, created),
        };
        let definition = ImportDefinition {
            source_text: new.target_text,
            role_arn: new.role_arn,
            register_endpoints: false,
            limits: self.options().limits,
            export: Some(Box::new(export)),
            ..ImportDefinition::new(new.application, target, new.format, self.options().piece_bytes)
        };
        let mut job = ImportJob::new(JobId::generate(), definition, created);
        (job.request, job.principal) = (new.request, new.principal);
        self.resolver().resolve_job(&job).map_err(refused)?;
        if let Some(job) = self.add(&job)? {
            return Ok(Created { job, new: false });
        }
        boundary("export.created");
        self.enqueue(&job)?;
        Ok(Created { job, new: true })
    }

    fn version_of(&self, segment: &Segment, wanted: Option<u32>) -> Result<SegmentVersion, CreateError> {
        match wanted {
            Some(version) => self
                .store
                .segment_version(segment, version)?
                .ok_or(CreateError::NoVersion(segment.id, version)),
            None => segment.current().cloned().ok_or_else(|| {
                let id = segment.id;
                CreateError::Refused(format!(
                    "segment {id} has no version yet: its first import has not ended"
                ))
            }),
        }
    }

    /// The time, but no time that another export of this process was given: the name of its folder has it.
    fn unlike_others(&self) -> Timestamp {
        let mut last = self.last_export.lock();
        *last = Timestamp::now().as_millis().max(*last + 1);
        Timestamp::from_millis(*last)
    }
}

/// `<application>_<date>`.
pub fn folder_name(application: ApplicationId, created: Timestamp) -> String {
    // Colons are none for files of some systems.
    format!("{application}_{}", created.to_string().replace(':', "-"))
}

impl From<ExportError> for JobError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Target(SourceError::Other { url, reason, .. }) => {
                Self::Export(format!("{url} cannot be written: {reason}"))
            }
            ExportError::Target(error) => error.into(),
            // A target that is full or broken is no fault of the server's own disk.
            ExportError::File(error) => Self::Export(with_causes(&error)),
            ExportError::Store(error) => Self::Store(error),
            ExportError::Unfit(reason) => Self::Export(reason),
            ExportError::Io(error) => Self::Threads(error),
            ExportError::Cancelled => Self::Cancelled,
        }
    }
}

/// What an export job is run with.
pub(super) struct Running<'a> {
    pub(super) store: &'a Arc<dyn Store>,
    pub(super) options: &'a SourceOptions,
    pub(super) io: tokio::runtime::Handle,
    pub(super) folder: &'a Path,
    pub(super) progress: &'a JobProgress,
    pub(super) cancel: CancellationToken,
}

/// Runs an export job to its end, or until it is stopped.
pub(super) fn run(job: &mut ImportJob, run: &Running<'_>) -> Result<(), JobError> {
    let Some(export) = job.definition.export.clone() else { return Ok(()) };
    let definition = job.definition.clone();
    let mut last = run.store.last_piece(job.id)?;
    let mut life = Life { job, store: Some(run.store), progress: run.progress, replace: false, hint: None };
    life.advance(JobStatus::Initializing)?;
    let store = &**run.store;
    let found = match export.segment {
        None => None,
        Some(id) => Some(version(store, definition.application, id, export.version)?),
    };
    let scope = Scope::of(definition.application, found.as_ref());
    let bytes = found.as_ref().map_or(0, |(_, version)| version.size * ABOUT);
    let pieces = bytes.div_ceil(definition.piece_bytes.max(1));
    let plan = PlanSummary { pieces, bytes, objects: 1, ..PlanSummary::default() };
    run.progress.set_plan(&plan);
    life.job.plan = Some(plan);
    if let Some(last) = &last {
        run.progress.show_before(last);
    }
    create_folder(run.folder)?;
    let target = Target::open(&definition.source, &export.folder, run.options, run.io.clone())?;
    let note = run.folder.join("upload.id");
    target.clear(&note)?;
    life.advance(JobStatus::Processing)?;

    let writer = store.writer(life.job)?;
    let mut before = Before::default();
    if let Some(last) = &last {
        before.parts = last.piece + 1;
        before.last = last.part.as_ref().map(|part| part.last.clone());
    }
    let form = Form::Text(definition.format);
    let writing = Export {
        scope,
        form,
        compression: export.compression,
        part_bytes: Some(definition.piece_bytes),
        name: None,
        before,
        note: Some(note),
        cancel: run.cancel.clone(),
    };
    let content = Content::of(store, scope, form, &[])?;
    let begun = std::time::Instant::now();
    let mut written = |part: WrittenPart| {
        boundary("export.part-there");
        let record = record_of(last.as_ref(), part);
        writer.prepare(record.piece, Vec::new())?.commit(&record)?;
        boundary("export.part-counted");
        let progress = run.progress;
        progress.add(Counter::Bytes, record.tally.bytes);
        progress.add(Counter::SourceBytes, record.tally.bytes);
        progress.add(Counter::Parsed, record.tally.read);
        progress.add(Counter::Registered, record.tally.read);
        progress.add(Counter::PiecesDone, 1);
        progress.set_last(&record);
        last = Some(record);
        Ok(())
    };
    let wrote = writing.run(store, content, &target, &mut written);
    run.progress.busy(Stage::Build, begun.elapsed().max(Duration::from_micros(1)));
    wrote?;
    complete(life, &export, store, &target, last.as_ref())
}

/// Ends an export whose parts are all there: with its manifest.
fn complete(
    mut life: Life<'_>,
    export: &ExportDefinition,
    store: &dyn Store,
    target: &Target,
    last: Option<&PieceRecord>,
) -> Result<(), JobError> {
    let parts = parts_of(store, life.job.id)?;
    if life.job.resumed > 0 {
        // An earlier run may have written one that had no time to be counted, and what was in it is gone since.
        let name = part_name(parts.len() as u64, life.job.definition.format.into(), export.compression);
        target.remove(&name)?;
    }
    if let Some(last) = last {
        last.count_into(life.job);
    }
    life.advance(JobStatus::Completing)?;
    let definition = &life.job.definition;
    let manifest = Manifest {
        application: definition.application.to_string(),
        segment: export.segment.map(|segment| segment.to_string()),
        version: export.version,
        format: definition.format.into(),
        records: parts.iter().map(|part| part.records).sum(),
        parts: &parts,
    };
    manifest.write(target)?;
    boundary("export.manifest-written");
    life.progress.set(Counter::SourceTotal, life.job.tally.bytes);
    life.progress.set(Counter::ObjectsDone, 1);
    life.end(JobStatus::Completed)
}

/// A segment with one of its versions.
fn version(
    store: &dyn Store,
    application: ApplicationId,
    id: SegmentId,
    number: Option<u32>,
) -> Result<(Segment, SegmentVersion), JobError> {
    let gone = |what, id: String| JobError::Store(pinport_store::StoreError::NotFound { what, id });
    let segment = store.segment(application, id)?.ok_or_else(|| gone("segment", id.to_string()))?;
    let number = number.unwrap_or_default();
    let version = store.segment_version(&segment, number)?;
    let version = version.ok_or_else(|| gone("version", format!("{number} of segment {id}")))?;
    Ok((segment, version))
}

/// The record of a part, after that of the part before.
fn record_of(before: Option<&PieceRecord>, part: WrittenPart) -> PieceRecord {
    let tally =
        Tally { read: part.records, registered: part.records, bytes: part.text_bytes, ..Tally::default() };
    let mut total = before.map(|before| before.total.clone()).unwrap_or_default();
    total.add(&tally);
    let piece = before.map_or(0, |before| before.piece + 1);
    let objects =
        vec![ObjectTally { object: 0, read: tally.read, bytes: tally.bytes, ..ObjectTally::default() }];
    let end = Position { stream: total.bytes, ..Position::default() };
    PieceRecord { piece, end, tally, total, objects, part: Some(Box::new(part)), ..PieceRecord::default() }
}

/// The parts of a job that are there.
fn parts_of(store: &dyn Store, job: JobId) -> Result<Vec<WrittenPart>, JobError> {
    let mut parts = Vec::new();
    loop {
        let pieces = store.pieces(job, parts.len() as u64, PARTS_SHOWN)?;
        let whole = pieces.len() == PARTS_SHOWN;
        parts.extend(pieces.into_iter().filter_map(|piece| piece.part.map(|part| *part)));
        if !whole {
            return Ok(parts);
        }
    }
}
