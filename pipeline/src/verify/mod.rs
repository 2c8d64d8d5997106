//! Reads a source again and compares what it says with what is stored.
//!
//! The source is imported into a store of its own, which is removed afterwards. So the rules of imports decide what it
//! says, whatever repeats an id in it, and both sides are read in order of id.

mod places;
mod report;

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use pinport_model::{Application, ImportDefinition, ImportJob, Timestamp};
use pinport_store::{
    Scope, Store,
    compare::{Side, compare},
    embedded::{Embedded, EmbeddedOptions},
};
use tokio_util::sync::CancellationToken;

pub use self::report::{Found, Line, Report};
use self::{places::places, report::SHOWN};
use crate::{
    disk::kept_failure_bytes,
    engine::{Engine, JobError, JobProgress, Run, RunOutcome, files::on, look},
    source::Source,
};

/// How the folders begin that a verification makes.
const PREFIX: &str = "verify-";

/// A source and what it is compared with.
pub struct Verification<'a> {
    /// Whose endpoints they are.
    pub application: &'a Application,
    /// How the source is read, as [`comparable`] has it.
    pub definition: ImportDefinition,
    /// The source, opened to read what the definition says.
    pub source: Arc<Source>,
    /// What it is compared with.
    pub stored: Side<'a>,
    /// Where a folder is made for what is read, and removed at the end.
    pub beside: &'a Path,
    /// Counts what is read.
    pub progress: Arc<JobProgress>,
}

/// What a verification reads of a source that a definition imports: a record that only updates an endpoint says something
/// of it all the same, and no segment is defined.
pub fn comparable(definition: ImportDefinition) -> ImportDefinition {
    let mut read = definition.read.clone();
    read.rules.allow_incomplete = true;
    let bare = ImportDefinition::new(
        definition.application,
        definition.source,
        definition.format,
        definition.piece_bytes,
    );
    ImportDefinition { source_text: definition.source_text, limits: definition.limits, read, ..bare }
}

impl Verification<'_> {
    /// Reads, compares and finds the places of differences.
    ///
    /// # Errors
    /// If the source or the store cannot be read, or the folder not be written. [`JobError::Cancelled`] once `cancel` fires.
    pub fn run(self, engine: &Engine, cancel: &CancellationToken) -> Result<Report, JobError> {
        let Self { application, mut definition, source, stored, beside, progress } = self;
        look(&source, definition.format, definition.limits, &definition.read)?;
        let scratch = Scratch::new(beside)?;
        definition.kept_failure_bytes = kept_failure_bytes(&scratch.0);
        let options = EmbeddedOptions { limits: definition.limits, ..EmbeddedOptions::default() };
        let store: Arc<dyn Store> = Arc::new(Embedded::open(scratch.0.join("store"), options)?);
        store.create_application(application)?;
        let job = ImportJob::new(progress.snapshot().job, definition, Timestamp::now());
        store.create_job(&job)?;
        let folder = scratch.0.join("job");
        let run = Run {
            job,
            source: Arc::clone(&source),
            folder: folder.clone(),
            progress,
            cancel: cancel.clone(),
        };
        let RunOutcome { job, stopped, .. } = engine.run(run, Some(&store));
        if let Some(error) = stopped {
            return Err(if cancel.is_cancelled() { JobError::Cancelled } else { error });
        }
        let said = Side { store: &*store, scope: Scope::Application(application.id) };
        let comparison =
            compare(said, stored, SHOWN, &|| !cancel.is_cancelled())?.ok_or(JobError::Cancelled)?;
        let ids: HashSet<&str> = comparison.first.iter().map(|difference| difference.id.as_str()).collect();
        let found = match ids.is_empty() {
            true => Default::default(),
            false => places(&source, &folder, &job.definition, &ids, cancel)?,
        };
        Ok(Report::new(&job, &comparison, &found))
    }
}

/// A folder that is removed with all that is in it. The store in it is dropped before.
struct Scratch(PathBuf);

impl Scratch {
    fn new(beside: &Path) -> Result<Self, JobError> {
        let path = beside.join(format!("{PREFIX}{}", uuid::Uuid::now_v7().simple()));
        fs::create_dir(&path).map_err(on("create", &path))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The next start removes what stays.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Removes what verifications left behind whose process ended before they did.
pub(crate) fn sweep(data: &Path) {
    let Ok(entries) = fs::read_dir(data) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
