//! `pinport export`: writes endpoints of an application or a segment to a folder, a bucket, a file or standard output.

use std::{
    io::{self, IsTerminal as _, Write as _},
    path::Path,
    time::Instant,
};

use anyhow::Context as _;
use pinport_model::{Compression, Format, SourceLocation, Timestamp};
use pinport_pipeline::{
    export::{Before, Content, Export, ExportError, Form, Manifest, PartWriter, Target},
    jobs::folder_name,
    source::{SourceError, SourceOptions},
};
use pinport_store::Scope;
use tokio_util::sync::CancellationToken;

use super::import::stop_on_signals;
use crate::{
    cli::{AppArgs, ExportArgs, ExportFormatArg, ServerArgs},
    client::{Client, encoded, not_there},
    data::Data,
    exit::{self, Usage},
    follow::block_on,
};

/// Bytes of rows after which a part ends.
const PART_BYTES: u64 = 64 << 20;

/// Where the endpoints go, by what the target is called.
struct Place {
    location: SourceLocation,
    /// The one file; parts in a folder of their own if absent.
    file: Option<String>,
    form: Form,
    compression: Compression,
}

pub(super) fn run(args: &ExportArgs) -> anyhow::Result<u8> {
    let place = place(args)?;
    let begun = Instant::now();
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let cancel = CancellationToken::new();
    stop_on_signals(&io, &cancel)?;
    let options = SourceOptions { cancel: cancel.clone(), ..SourceOptions::default() };
    if let Some(server) = args.app.remote.server() {
        if matches!(place.location, SourceLocation::Bucket { .. }) || place.file.is_none() {
            let what = "with --server the target is a file or - for standard output";
            return Err(Usage(format!("{what}; an export job (CreateExportJob) writes to a bucket")).into());
        }
        let target = Target::open(&place.location, "", &options, io.handle().clone())?;
        return served(args, &server, &target, &place);
    }
    let AppArgs { app, data, .. } = &args.app;
    let data = Data::open_existing(data.place())?;
    let application = data.application(app)?.id;
    let found = match &args.segment {
        None => None,
        Some(name) => {
            let segment = data.find_segment(application, name)?;
            let segment =
                segment.with_context(|| format!("application \"{app}\" has no segment \"{name}\""))?;
            let version = match args.version {
                Some(number) => data.store.segment_version(&segment, number)?,
                None => segment.current().cloned(),
            };
            let version = version.with_context(|| format!("segment \"{name}\" has no such version"))?;
            Some((segment, version))
        }
    };
    let scope = Scope::of(application, found.as_ref());
    let content = Content::of(&*data.store, scope, place.form, &args.columns).map_err(wrong)?;
    let folder = match place.file {
        Some(_) => String::new(),
        None => folder_name(application, Timestamp::now()),
    };
    let target = Target::open(&place.location, &folder, &options, io.handle().clone())?;
    let export = Export {
        scope,
        form: place.form,
        compression: place.compression,
        part_bytes: place.file.is_none().then_some(PART_BYTES),
        name: place.file.clone(),
        before: Before::default(),
        note: None,
        cancel,
    };
    let mut parts = Vec::new();
    let wrote = export.run(&*data.store, content, &target, &mut |part| {
        parts.push(part);
        Ok(())
    });
    match wrote {
        Err(ExportError::Cancelled) => {
            writeln!(io::stderr(), "stopped; what is not whole was removed")?;
            return Ok(exit::STOPPED);
        }
        other => other.map_err(wrong)?,
    }
    let records = parts.iter().map(|part| part.records).sum();
    let bytes: u64 = parts.iter().map(|part| part.bytes).sum();
    if place.file.is_none() {
        let segment = found.as_ref().map(|(segment, _)| segment.id.to_string());
        let version = found.as_ref().map(|(_, version)| version.version);
        let (application, format) = (application.to_string(), place.form);
        let manifest = Manifest { application, segment, version, format, records, parts: &parts };
        manifest.write(&target).map_err(wrong)?;
    }
    report(records, bytes, &target.url(place.file.as_deref().unwrap_or_default()), begun)?;
    Ok(exit::COMPLETED)
}

fn report(records: u64, bytes: u64, url: &str, begun: Instant) -> io::Result<()> {
    let seconds = begun.elapsed().as_secs_f64();
    let url = pinport_model::escape_controls(url).into_owned();
    writeln!(io::stderr(), "exported {records} endpoints, {bytes} bytes, to {url}; {seconds:.2} s")
}

/// What does not fit the format is a wrong call.
fn wrong(error: ExportError) -> anyhow::Error {
    match error {
        ExportError::Unfit(reason) => Usage(reason).into(),
        // Whoever reads our output may go away.
        ExportError::Io(error) => error.into(),
        ExportError::Target(SourceError::Other { url, reason, .. }) => {
            anyhow::anyhow!("{url} cannot be written: {reason}")
        }
        error => error.into(),
    }
}

/// Copies what a server streams.
fn served(args: &ExportArgs, server: &ServerArgs, target: &Target, place: &Place) -> anyhow::Result<u8> {
    let client = Client::new(server)?;
    let format = place.form.suffix();
    let mut path = format!("/pinport/v1/apps/{}/export?format={format}", encoded(&args.app.app));
    for (name, value) in [
        ("segment", args.segment.clone()),
        ("version", args.version.map(|version| version.to_string())),
        ("columns", Some(args.columns.join(",")).filter(|columns| !columns.is_empty())),
        // What is in a Parquet file is compressed where it is made.
        ("compression", (place.form == Form::Parquet).then(|| place.compression.name().to_owned())),
    ] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", encoded(&value)));
        }
    }
    let name = place.file.clone().unwrap_or_default();
    let begun = Instant::now();
    let around = place.form.around(place.compression);
    let mut part = PartWriter::begin(target, name.clone(), around, None)?;
    block_on(async {
        let mut answer = client.get(&path).await.map_err(not_there)?;
        while let Some(chunk) = client.next(&mut answer).await? {
            part.write(&chunk)?;
        }
        anyhow::Ok(())
    })?;
    let written = part.end(String::new())?;
    writeln!(
        io::stderr(),
        "exported {} bytes to {}; {:.2} s",
        written.bytes,
        target.url(&name),
        begun.elapsed().as_secs_f64()
    )?;
    Ok(exit::COMPLETED)
}

/// The form that is asked for, by either flag.
fn form(args: &ExportArgs) -> anyhow::Result<Form> {
    match (args.parquet, args.format) {
        (true, Some(ExportFormatArg::Csv)) => {
            let text =
                "--parquet writes the members that --format json does, and no CSV: leave --format csv out";
            Err(Usage(text.into()).into())
        }
        (true, _) | (_, Some(ExportFormatArg::Parquet)) => Ok(Form::Parquet),
        (_, Some(ExportFormatArg::Csv)) => Ok(Format::Csv.into()),
        (_, Some(ExportFormatArg::Json)) => Ok(Format::Json.into()),
        (_, None) => Err(Usage("--format json, csv or parquet is missing".into()).into()),
    }
}

fn place(args: &ExportArgs) -> anyhow::Result<Place> {
    let form = form(args)?;
    let location: SourceLocation = args.target.parse().map_err(|error| Usage(format!("{error}")))?;
    let asked = match (args.gzip, args.zstd, args.none) {
        (true, ..) => Some(Compression::Gzip),
        (_, true, _) => Some(Compression::Zstd),
        (_, _, true) => Some(Compression::None),
        _ => None,
    };
    let by_name = |file: &str| match form {
        Form::Text(_) => by_name(file),
        Form::Parquet => form.usual(),
    };
    let plain = |location, file: &str| Place {
        location,
        file: Some(file.to_owned()),
        form,
        compression: asked.unwrap_or_else(|| by_name(file)),
    };
    let parts = |location| Place { location, file: None, form, compression: asked.unwrap_or(form.usual()) };
    let path = match &location {
        SourceLocation::Stdin if form == Form::Parquet && io::stdout().is_terminal() => {
            let text = "Parquet is nothing for a terminal: name a file or a folder, or write it into a pipe";
            return Err(Usage(text.into()).into());
        }
        SourceLocation::Stdin => return Ok(plain(location, "")),
        SourceLocation::Path(path) => std::path::absolute(path)?,
        SourceLocation::Bucket { .. } => return Ok(parts(location)),
    };
    let is_folder = path.is_dir() || args.target.ends_with('/') || path.extension().is_none();
    match (path.parent(), path.file_name().and_then(|name| name.to_str())) {
        (Some(folder), Some(name)) if !is_folder => Ok(plain(SourceLocation::Path(folder.to_owned()), name)),
        _ => Ok(parts(SourceLocation::Path(path))),
    }
}

/// How a file of this name is compressed.
fn by_name(name: &str) -> Compression {
    match Path::new(name).extension().and_then(|suffix| suffix.to_str()) {
        Some("gz") => Compression::Gzip,
        Some("zst") => Compression::Zstd,
        _ => Compression::None,
    }
}
