//! `pinport import`: one import from source to report.

pub(super) mod format;
mod served;
mod unreported;

use std::{
    fs,
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    sync::{Arc, OnceLock},
    time::Instant,
};

use anyhow::Context as _;
use pinport_model::{
    Application, ApplicationId, Format, ImportDefinition, ImportJob, JobId, SegmentId, SourceLocation,
    Timestamp, with_causes,
};
use pinport_pipeline::{
    disk,
    engine::{Engine, EngineOptions, JobError, RunOutcome, look},
    jobs::{Jobs, JobsOptions},
    source::{Source, SourceOptions},
};
use pinport_store::{Store, boundary};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{
    top::{
        self,
        live::{self, Live},
    },
    write_line,
};
use crate::{
    cli::{EngineArgs, ImportArgs, limits},
    data::{Data, first_failures},
    exit::{self, Usage},
    explain,
    progress::Display,
    report::{self, Place},
};

pub(super) fn run(args: &ImportArgs) -> anyhow::Result<u8> {
    if let Some(second) = args.more_sources.first() {
        let what = format!("an import has one source, and {second} is a second one");
        let way =
            "name the folder or the prefix, below which all data is read, or import one after the other";
        return Err(Usage(format!("{what}; {way} (a shell makes many names of a *)")).into());
    }
    if let Some(server) = args.remote.server() {
        return served::run(args, &server);
    }
    let location: SourceLocation = args.source.parse().map_err(|error| Usage(format!("{error}")))?;
    let location = absolute(location)?;
    let limits = limits(&args.limits).map_err(|error| Usage(error.to_string()))?;
    let io = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("io")
        .enable_all()
        .build()?;
    let cancel = CancellationToken::new();
    stop_on_signals(&io, &cancel)?;
    let mut options = SourceOptions { cancel: cancel.clone(), ..SourceOptions::default() };
    if let Some(what) = &args.trust_listing {
        options.settings = options.settings.with("PINPORT_TRUST_LISTING", what);
    }
    let open = || Ok(Source::open(&location, options.clone(), io.handle().clone())?);
    let told = match (args.format, &location) {
        (format, SourceLocation::Stdin) => format::of_input(open()?, format.map(Into::into)),
        (Some(format), _) => Ok((open()?, format.into())),
        (None, _) => format::of_source(&args.source, open).and_then(|format| Ok((open()?, format))),
    };
    let (source, format) = match told {
        Err(_) if cancel.is_cancelled() => return stopped(),
        told => told?,
    };
    let source = Arc::new(source.reading(format, &args.reading.options()));
    let wanted = Wanted { args, location, format, limits };
    // Nothing is stored before the data has been looked at. Standard input can be read but once.
    if wanted.location != SourceLocation::Stdin {
        match look(&source, format, limits, &args.reading.options()) {
            Err(_) if cancel.is_cancelled() => return stopped(),
            looked => looked?,
        };
    }
    let run = if args.check { check } else { import };
    run(&wanted, source, io.handle().clone(), cancel)
}

fn stopped() -> anyhow::Result<u8> {
    writeln!(io::stderr(), "stopped before anything was stored")?;
    Ok(exit::STOPPED)
}

/// What the caller wants, read from the arguments.
struct Wanted<'a> {
    args: &'a ImportArgs,
    location: SourceLocation,
    format: Format,
    limits: pinport_model::RecordLimits,
}

impl Wanted<'_> {
    fn definition(&self, application: ApplicationId, segment: Option<SegmentId>) -> ImportDefinition {
        let args = self.args;
        ImportDefinition {
            application,
            source: self.location.clone(),
            source_text: args.source.clone(),
            format: self.format,
            register_endpoints: !args.segment_only,
            segment,
            asked_to_define: None,
            segment_name: args.segment.clone(),
            role_arn: None,
            external_id: None,
            piece_bytes: args.engine.piece << 10,
            limits: self.limits,
            max_failures: args.max_failures,
            kept_failure_bytes: match args.engine.kept_failures {
                Some(mib) => mib << 20,
                None => disk::kept_failure_bytes(&args.data.data),
            },
            retry_of: None,
            export: None,
            read: args.reading.options(),
        }
    }
}

/// Judges every record; the failures go to a folder of their own beside the store, which stays only if there are some.
fn check(
    wanted: &Wanted<'_>,
    source: Arc<Source>,
    io: Handle,
    cancel: CancellationToken,
) -> anyhow::Result<u8> {
    let data = &wanted.args.data.data;
    let checks = data.join("checks");
    let mut options = engine_options(&wanted.args.engine);
    // A check does little with a block, so that handing it over counts. Fewer of twice the size save 4% of its CPU time
    // (where drafts are made of them they take 3% more), and parsing some where they were read saves 3 to 4%.
    options.block_bytes *= 2;
    options.reader_parses = true;
    let jobs = jobs_of(options, None, &checks, io)?;
    let application = Application {
        id: ApplicationId::from_bytes([0; 16]),
        name: wanted.args.app.clone(),
        created: Timestamp::now(),
        tags: Default::default(),
    };
    jobs.store().create_application(&application)?;
    let job = jobs.make(JobId::generate(), wanted.definition(application.id, None))?;
    let folder = jobs.folder(job.id);
    let finished = execute(wanted, &jobs, job, source, cancel)?;
    let code = conclude(wanted, &finished, &folder, "checked", None)?;
    if finished.outcome.job.tally.failed == 0 {
        // And those above, if nothing else is in them: they were made for it. What stays harms no one.
        let removed = fs::remove_dir_all(&folder).and_then(|()| fs::remove_dir(&checks));
        let _ = removed.and_then(|()| fs::remove_dir(data));
    }
    Ok(code)
}

fn import(
    wanted: &Wanted<'_>,
    source: Arc<Source>,
    io: Handle,
    cancel: CancellationToken,
) -> anyhow::Result<u8> {
    let args = wanted.args;
    let data = Data::open(args.data.place(), wanted.limits)?;
    let application = data.application_or_new(&args.app)?;
    let store = Arc::clone(&data.store);
    let jobs = jobs_of(engine_options(&args.engine), Some(store), &args.data.data.join("jobs"), io)?;
    let finished;
    let folder;
    match begin(wanted, &data, &jobs, &application, &source)? {
        Begun::Job(job) => {
            folder = jobs.folder(job.id);
            unreported::begin(&folder)?;
            finished = execute(wanted, &jobs, *job, source, cancel)?;
        }
        Begun::Over(job) => {
            folder = jobs.folder(job.id);
            let before = job.tally.read;
            let outcome = RunOutcome { job: *job, last: None, stopped: None, hint: None };
            finished = Finished { outcome, seconds: 0.0, before };
        }
    }
    let code = conclude(wanted, &finished, &folder, "imported", Some(&application))?;
    boundary("report.told");
    unreported::end(&folder)?;
    Ok(code)
}

/// The jobs of this command, with an engine of their own.
fn jobs_of(
    engine: EngineOptions,
    store: Option<Arc<dyn Store>>,
    folder: &Path,
    io: Handle,
) -> anyhow::Result<Jobs> {
    let engine = Engine::start(engine).context("failed to start the threads")?;
    // No job waits for room: a full disk is reported.
    let options = JobsOptions { disk_reserve: Some(0), ..JobsOptions::new(folder) };
    Ok(Jobs::of_command(store, Arc::new(engine), options, io))
}

/// What the command is about.
enum Begun {
    /// A job to run, new or interrupted.
    Job(Box<ImportJob>),
    /// A job that had been completed when its process ended before it could say so.
    Over(Box<ImportJob>),
}

/// The job that this command began and that was interrupted, to go on with or to report; else a new one.
fn begin(
    wanted: &Wanted<'_>,
    data: &Data,
    jobs: &Jobs,
    application: &Application,
    source: &Source,
) -> anyhow::Result<Begun> {
    let segment = match &wanted.args.segment {
        Some(name) => data.find_segment(application.id, name)?.map(|segment| segment.id),
        None => None,
    };
    let definition = wanted.definition(application.id, segment);
    for job in jobs.unfinished(&definition)? {
        let reason = match (&wanted.location, wanted.args.fresh) {
            (SourceLocation::Stdin, _) => "standard input cannot be read twice",
            (_, true) => "--fresh",
            (_, false) => {
                say_where(data, &job)?;
                return Ok(Begun::Job(Box::new(job)));
            }
        };
        writeln!(io::stderr(), "starting anew ({reason}); what job {} committed stays", job.id)?;
        jobs.give_up(job, format!("interrupted, then given up for a new import ({reason})"))?;
    }
    if let Some(job) = unreported::find(wanted, data, &definition, source)? {
        writeln!(
            io::stderr(),
            "job {} of {} had been completed when its process ended; this is its report (--fresh imports anew)",
            job.id,
            job.created
        )?;
        return Ok(Begun::Over(Box::new(job)));
    }
    let id = JobId::generate();
    let segment = wanted.args.segment.as_ref().map(|_| segment.unwrap_or(id.into()));
    Ok(Begun::Job(Box::new(jobs.make(id, ImportDefinition { segment, ..definition })?)))
}

/// Says where a job goes on.
fn say_where(data: &Data, job: &ImportJob) -> anyhow::Result<()> {
    let behind = match data.store.last_piece(job.id)? {
        Some(last) => format!("behind piece {} ({} records)", last.piece + 1, last.total.read),
        None => "at its beginning".into(),
    };
    let (id, created) = (job.id, job.created);
    writeln!(
        io::stderr(),
        "job {id} of {created} was interrupted; it goes on {behind} (--fresh starts anew)"
    )?;
    Ok(())
}

/// A job that was run, and how long that took.
struct Finished {
    outcome: RunOutcome,
    seconds: f64,
    /// Records that an earlier run had read already.
    before: u64,
}

fn execute(
    wanted: &Wanted<'_>,
    jobs: &Jobs,
    job: ImportJob,
    source: Arc<Source>,
    cancel: CancellationToken,
) -> anyhow::Result<Finished> {
    let id = job.id;
    let run = jobs.begin(job, source, cancel.clone())?;
    let (before, progress) = (run.read_before(), Arc::clone(run.progress()));
    let seconds = OnceLock::new();
    let work = || {
        let begun = Instant::now();
        let outcome = run.run();
        let _ = seconds.set(begun.elapsed().as_secs_f64());
        outcome
    };
    let outcome = if wanted.args.top && io::stderr().is_terminal() && top::can_draw() {
        let live = Live { jobs, job: id, progress, cancel, look: &wanted.args.look };
        live::run(&live, work)?
    } else if wanted.args.quiet {
        work()
    } else {
        let display = Display::start(move || progress.snapshot().into())?;
        let outcome = work();
        display.finish();
        outcome
    };
    // The dashboard may have been looked at long after the end.
    Ok(Finished { outcome, seconds: seconds.into_inner().unwrap_or_default(), before })
}

/// Prints the report and decides the exit code.
fn conclude(
    wanted: &Wanted<'_>,
    finished: &Finished,
    folder: &Path,
    done: &str,
    application: Option<&Application>,
) -> anyhow::Result<u8> {
    let RunOutcome { job, stopped, hint, .. } = &finished.outcome;
    let run = report::RunFigures { seconds: finished.seconds, records: job.tally.read - finished.before };
    if wanted.args.json {
        let failures = first_failures(folder, report::MAX_FAILURES)?;
        let mut outcome = report::response(job, failures);
        let kept = !wanted.args.check || job.tally.failed > 0;
        let files = kept.then_some((folder, job.definition.format));
        outcome.add_run(&run, files, wanted.args.check);
        outcome.stop(stopped.as_ref().map(|error| with_causes(error)));
        write_line(&mut io::stdout().lock(), &outcome)?;
    } else {
        let head = report::head(
            job,
            done,
            stopped.is_some(),
            application.map(|application| application.name.as_str()),
        );
        if !wanted.args.quiet || stopped.is_some() || exit::of(job) != exit::COMPLETED {
            write!(io::stderr(), "{head}{}", report::body(job, Some(&run), Place::Folder(folder)))?;
        }
    }
    match stopped {
        Some(JobError::Cancelled) => {
            let hint = if application.is_none() || wanted.location == SourceLocation::Stdin {
                ""
            } else {
                "; run the same command again to go on behind the last committed piece"
            };
            writeln!(io::stderr(), "stopped{hint}")?;
            Ok(exit::STOPPED)
        }
        Some(error) => {
            explain::print(error);
            Ok(exit::FAILED)
        }
        None => {
            let code = exit::of(job);
            if code == exit::FAILED {
                let hint = hint.as_deref().unwrap_or("mend what the error names");
                writeln!(io::stderr(), "hint: {hint}; then run the same command again")?;
            }
            Ok(code)
        }
    }
}

pub(super) fn engine_options(args: &EngineArgs) -> EngineOptions {
    let defaults = EngineOptions::default();
    EngineOptions {
        threads: args.threads.map_or(defaults.threads, usize::from),
        bytes_in_flight: args.memory << 20,
        ..defaults
    }
}

/// A path is kept absolute, so that the same import is recognised from another folder.
pub(super) fn absolute(location: SourceLocation) -> anyhow::Result<SourceLocation> {
    Ok(match location {
        SourceLocation::Path(path) => SourceLocation::Path(
            std::path::absolute(&path).with_context(|| format!("failed to find {}", path.display()))?,
        ),
        other => other,
    })
}

/// The first signal stops the import in good order; after it the system's own way with signals is back.
pub(super) fn stop_on_signals(
    io: &tokio::runtime::Runtime,
    cancel: &CancellationToken,
) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let _context = io.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let cancel = cancel.clone();
    io.spawn(async move {
        let mut stopping = false;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if stopping {
                // No one waits for a second one: what is committed is safe.
                std::process::abort();
            }
            stopping = true;
            cancel.cancel();
        }
    });
    Ok(())
}
