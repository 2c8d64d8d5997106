//! `pinport verify`: reads a source again and compares what it says with what is stored.

use std::{
    io::{self, Write as _},
    sync::Arc,
};

use anyhow::Context as _;
use pinport_model::{
    Application, ImportDefinition, JobId, Segment, SegmentVersion, SourceLocation, escape_controls,
    failure::quoted,
};
use pinport_pipeline::{
    engine::{Engine, JobError, JobProgress},
    source::{Source, SourceOptions},
    verify::{Found, Report, Verification, comparable},
};
use pinport_store::{Scope, compare::Side};
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
    let scope = Scope::of(application.id, segment.as_ref());
    let options = SourceOptions { cancel: cancel.clone(), ..SourceOptions::default() };
    let open = || Ok(Source::open(&location, options.clone(), io.handle().clone())?);
    let format = match args.format {
        Some(format) => format.into(),
        None => format::of_source(&args.source, open)?,
    };
    let piece_bytes = args.engine.piece << 10;
    let whole = ImportDefinition::new(application.id, location.clone(), format, piece_bytes);
    let definition = comparable(ImportDefinition { limits, read: args.reading.options(), ..whole });
    let source = Arc::new(open()?.reading(format, &definition.read));
    let engine = Engine::start(engine_options(&args.engine)).context("failed to start the threads")?;
    let verification = Verification {
        application: &application,
        definition,
        source,
        stored: Side { store: &*data.store, scope },
        beside: &args.data.data,
        progress: Arc::new(JobProgress::new(JobId::generate())),
    };
    match verification.run(&engine, &cancel) {
        Ok(report) => finish(&report, args.json),
        Err(JobError::Cancelled) => {
            writeln!(io::stderr(), "stopped; nothing was changed")?;
            Ok(exit::STOPPED)
        }
        Err(error) => {
            explain::print(&error);
            Ok(exit::FAILED)
        }
    }
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

/// The exit code of a report: 0 only if everything matches.
fn code(report: &Report) -> u8 {
    match report {
        _ if report.missing + report.different > 0 => exit::FAILED,
        _ if report.failed_records + report.unknown > 0 => exit::WITH_FAILURES,
        _ => exit::COMPLETED,
    }
}

/// Prints a report, and says what it means.
pub(super) fn finish(report: &Report, json: bool) -> anyhow::Result<u8> {
    match json {
        true => write_line(&mut io::stdout().lock(), report)?,
        false => print(report)?,
    }
    Ok(code(report))
}

fn print(report: &Report) -> io::Result<()> {
    let Report { records, failed_records, endpoints, equal, .. } = report;
    let Report { missing, different, unknown, others, differences, .. } = report;
    let mut err = io::stderr().lock();
    writeln!(
        err,
        "the source has {records} records of {endpoints} endpoints: {equal} are stored as it says"
    )?;
    if *failed_records > 0 {
        writeln!(
            err,
            "{failed_records} records fail, as in an import, or only name users: they are not compared"
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
    for Found { id, object, line, member, said, stored } in differences {
        let at = match (object, line) {
            (Some(object), Some(line)) => format!("{}:{line}: ", escape_controls(object)),
            _ => String::new(),
        };
        let id = quoted(id);
        match member {
            None => writeln!(err, "  {at}{id} is not stored")?,
            Some(member) => {
                let value = |value: &Option<String>| match value {
                    Some(value) => escape_controls(value.get(..VALUE).unwrap_or(value)).into_owned(),
                    None => "nothing".into(),
                };
                let (said, stored) = (value(said), value(stored));
                let member = escape_controls(member);
                writeln!(err, "  {at}{id}: {member} is {said} in the source and {stored} in the store")?;
            }
        }
    }
    if missing + different > differences.len() as u64 {
        writeln!(err, "  and {} more", missing + different - differences.len() as u64)?;
    }
    Ok(())
}
