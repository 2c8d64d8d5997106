//! `pinport verify`: reads a source again and compares what it says with what is stored.
//!
//! The source is imported into a store of its own beside the data, which is removed afterwards. So the rules of imports
//! decide what it says, whatever repeats an id in it, and both sides are read in order of id.

use std::{
    collections::HashSet,
    io::{self, Write as _},
    path::PathBuf,
    sync::Arc,
};

use anyhow::Context as _;
use pinport_model::{
    Application, Format, ImportDefinition, ImportJob, JobId, ReadOptions, RecordLimits, Segment,
    SegmentVersion, SourceLocation, Timestamp, escape_controls, failure::quoted,
};
use pinport_pipeline::{
    disk::kept_failure_bytes,
    engine::{Engine, JobError, JobProgress, Run, RunOutcome, look, progress_of},
    source::{Source, SourceOptions},
    verify::{Place, places},
};
use pinport_store::{
    Scope, Store,
    compare::{Comparison, Difference, Side, compare},
    embedded::{Embedded, EmbeddedOptions},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    import::{absolute, engine_options, format, stop_on_signals},
    write_line,
};
use crate::{
    cli::{VerifyArgs, limits},
    data::Data,
    exit::{self, Usage},
    explain,
};

/// Bytes of a value that are shown.
const VALUE: usize = 256;

/// The folder of the job within the scratch folder.
const FOLDER: &str = "job";

/// Differences that are shown with their places.
const SHOWN: usize = 20;

pub(super) fn run(args: &VerifyArgs) -> anyhow::Result<u8> {
    let location: SourceLocation = args.source.parse().map_err(|error| Usage(format!("{error}")))?;
    if location == SourceLocation::Stdin {
        let what = "standard input cannot be read twice: write it to a file, and name that";
        return Err(Usage(what.into()).into());
    }
    let location = absolute(location)?;
    let limits = limits(&args.limits).map_err(|error| Usage(error.to_string()))?;
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let cancel = CancellationToken::new();
    stop_on_signals(&io, &cancel)?;
    let data = Data::open_existing(args.data.place())?;
    let application = data.application(&args.app)?;
    let segment = args.segment.as_ref().map(|name| current(&data, &application, name)).transpose()?;
    let scope = match &segment {
        None => Scope::Application(application.id),
        Some((segment, version)) => Scope::Version(segment, version),
    };
    let options = SourceOptions { cancel: cancel.clone(), ..SourceOptions::default() };
    let open = || Ok(Source::open(&location, options.clone(), io.handle().clone())?);
    let format = match args.format {
        Some(format) => format.into(),
        None => format::of_source(&args.source, open)?,
    };
    // A record that only updates an endpoint says something of it all the same.
    let mut read = args.reading.options();
    read.rules.allow_incomplete = true;
    let source = Arc::new(open()?.reading(format, &read));
    look(&source, format, limits, &read)?;
    let wanted = Wanted { args, location: location.clone(), format, limits, read };
    let scratch = Scratch::import(&wanted, &application, &source, &cancel)?;
    if let Some(error) = &scratch.stopped {
        if cancel.is_cancelled() {
            return stopped();
        }
        explain::print(error);
        return Ok(exit::FAILED);
    }
    let said = Side { store: &*scratch.store, scope: Scope::Application(application.id) };
    let stored = Side { store: &*data.store, scope };
    let Some(comparison) = compare(said, stored, SHOWN, &|| !cancel.is_cancelled())? else {
        return stopped();
    };
    let ids: HashSet<&str> = comparison.first.iter().map(|difference| difference.id.as_str()).collect();
    let found = match ids.is_empty() {
        true => Default::default(),
        false => places(&source, &scratch.folder(), &scratch.job.definition, &ids, &cancel)?,
    };
    let place = |difference: &Difference| found.get(&difference.id);
    let report = Report { job: &scratch.job, comparison: &comparison };
    if args.json {
        write_line(&mut io::stdout().lock(), &report.json(place))?;
    } else {
        report.print(place)?;
    }
    Ok(report.code())
}

fn stopped() -> anyhow::Result<u8> {
    writeln!(io::stderr(), "stopped; nothing was changed")?;
    Ok(exit::STOPPED)
}

/// A segment and its current version.
fn current(data: &Data, application: &Application, name: &str) -> anyhow::Result<(Segment, SegmentVersion)> {
    let segment = data.find_segment(application.id, name)?;
    let segment =
        segment.with_context(|| format!("application \"{}\" has no segment \"{name}\"", application.name))?;
    let version = segment.current().cloned();
    let version = version.with_context(|| format!("segment \"{name}\" has no version"))?;
    Ok((segment, version))
}

/// What is read, and how.
struct Wanted<'a> {
    args: &'a VerifyArgs,
    location: SourceLocation,
    format: Format,
    limits: RecordLimits,
    read: ReadOptions,
}

/// A store that has what the source says and nothing else.
struct Scratch {
    /// Dropped before the place, where it may still write.
    store: Arc<dyn Store>,
    place: tempfile::TempDir,
    job: ImportJob,
    /// Why the import did not come to its end.
    stopped: Option<JobError>,
}

impl Scratch {
    fn import(
        wanted: &Wanted<'_>,
        application: &Application,
        source: &Arc<Source>,
        cancel: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let Wanted { args, limits, .. } = *wanted;
        let place = tempfile::Builder::new().prefix("verify-").tempdir_in(&args.data.data)?;
        let options = EmbeddedOptions { limits, ..EmbeddedOptions::default() };
        let store: Arc<dyn Store> = Arc::new(Embedded::open(place.path().join("store"), options)?);
        store.create_application(application)?;
        let piece_bytes = args.engine.piece << 10;
        let whole =
            ImportDefinition::new(application.id, wanted.location.clone(), wanted.format, piece_bytes);
        let definition = ImportDefinition {
            limits,
            kept_failure_bytes: kept_failure_bytes(place.path()),
            read: wanted.read.clone(),
            ..whole
        };
        let job = ImportJob::new(JobId::generate(), definition, Timestamp::now());
        store.create_job(&job)?;
        let engine = Engine::start(engine_options(&args.engine)).context("failed to start the threads")?;
        let progress = Arc::new(JobProgress::going_on(&progress_of(&job, None)));
        let folder = place.path().join(FOLDER);
        let run = Run { job, source: Arc::clone(source), folder, progress, cancel: cancel.clone() };
        let RunOutcome { job, stopped, .. } = engine.run(run, Some(&store));
        Ok(Self { place, store, job, stopped })
    }

    /// The folder of the job.
    fn folder(&self) -> PathBuf {
        self.place.path().join(FOLDER)
    }
}

struct Report<'a> {
    job: &'a ImportJob,
    comparison: &'a Comparison,
}

impl Report<'_> {
    fn code(&self) -> u8 {
        let Comparison { missing, different, unknown, .. } = *self.comparison;
        match exit::of(self.job) {
            _ if missing + different > 0 => exit::FAILED,
            exit::COMPLETED if unknown > 0 => exit::WITH_FAILURES,
            code => code,
        }
    }

    fn json<'p>(&self, place: impl Fn(&Difference) -> Option<&'p Place>) -> serde_json::Value {
        let first = self.comparison.first.iter().map(|difference| {
            let place = place(difference);
            let member = difference.member.as_ref();
            json!({
                "Id": difference.id,
                "Object": place.map(|place| &place.object),
                "Line": place.map(|place| place.line),
                "Member": member.map(|member| &member.name),
                "Said": member.map(|member| &member.said),
                "Stored": member.map(|member| &member.stored),
            })
        });
        json!({
            "Records": self.job.tally.read,
            "FailedRecords": self.job.tally.failed,
            "Endpoints": self.comparison.said,
            "Equal": self.comparison.equal,
            "Missing": self.comparison.missing,
            "Different": self.comparison.different,
            "Unknown": self.comparison.unknown,
            "Others": self.comparison.others,
            "Differences": first.collect::<Vec<_>>(),
        })
    }

    fn print<'p>(&self, place: impl Fn(&Difference) -> Option<&'p Place>) -> io::Result<()> {
        let Comparison { said, equal, missing, different, unknown, others, first } = self.comparison;
        let mut err = io::stderr().lock();
        let read = self.job.tally.read;
        writeln!(err, "the source has {read} records of {said} endpoints: {equal} are stored as it says")?;
        if self.job.tally.failed > 0 {
            let failed = self.job.tally.failed;
            writeln!(
                err,
                "{failed} records fail, as in an import, or only name users: they are not compared"
            )?;
        }
        if *unknown > 0 {
            writeln!(
                err,
                "{unknown} are not stored and only updated by the source: an import fails such records"
            )?;
        }
        for (count, what) in [(missing, "are not stored"), (different, "are stored with other values")] {
            if *count > 0 {
                writeln!(err, "{count} {what}")?;
            }
        }
        if *others > 0 {
            writeln!(err, "{others} others are stored, of which the source does not speak")?;
        }
        for difference in first {
            let at = place(difference).map_or(String::new(), |place| {
                format!("{}:{}: ", escape_controls(&place.object), place.line)
            });
            let id = quoted(&difference.id);
            match &difference.member {
                None => writeln!(err, "  {at}{id} is not stored")?,
                Some(member) => {
                    let value = |value: &Option<String>| match value {
                        Some(value) => escape_controls(value.get(..VALUE).unwrap_or(value)).into_owned(),
                        None => "nothing".into(),
                    };
                    let (said, stored) = (value(&member.said), value(&member.stored));
                    let name = escape_controls(&member.name);
                    writeln!(err, "  {at}{id}: {name} is {said} in the source and {stored} in the store")?;
                }
            }
        }
        if missing + different > first.len() as u64 {
            writeln!(err, "  and {} more", missing + different - first.len() as u64)?;
        }
        Ok(())
    }
}
