//! `pinport store copy`: a whole store with the files of its jobs, from a data folder into a database, or back.

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use pinport_model::{ImportJob, RecordLimits};
use pinport_pipeline::engine::mirror;
use pinport_store::{
    copying::{KINDS, Side, Step},
    embedded::{Embedded, EmbeddedOptions},
    postgres::{Postgres, is_postgres},
};

use crate::{
    cli::CopyArgs,
    data::{command, database},
    descriptors,
    exit::Usage,
    private,
};

/// How often it is said how far the copy is.
const TOLD: Duration = Duration::from_secs(2);
/// Jobs that are looked through at a time.
const PAGE: usize = 500;

/// One side, with the folder of its jobs if it is one.
struct End {
    side: Side,
    name: String,
    jobs: Option<PathBuf>,
}

pub(super) fn run(args: &CopyArgs) -> anyhow::Result<()> {
    if !is_postgres(&args.from) && !is_postgres(&args.to) {
        let text = "both are folders: `pinport backup` copies a data folder, also while a server uses it";
        return Err(Usage(text.into()).into());
    }
    let from = source(&args.from)?;
    let to = target(&args.to, &from.side.limits())?;
    let (begun, mut told) = (Instant::now(), Instant::now());
    let contents = from.side.copy(&from.name, &to.side, &mut |step| {
        if told.elapsed() >= TOLD {
            told = Instant::now();
            match step {
                Step::Copied(entries) => eprintln!("copied {entries} entries"),
                Step::Verified(entries) => eprintln!("verified {entries} entries of both"),
            }
        }
        ControlFlow::Continue(())
    })?;
    let bytes = copy_files(&from, &to)?;
    to.side.finish()?;
    for (kind, count) in KINDS.iter().zip(contents.counts()).filter(|(_, count)| *count > 0) {
        eprintln!("{count:>12} {kind}");
    }
    eprintln!("{bytes:>12} bytes of plans, failures and rejects");
    let seconds = begun.elapsed().as_secs_f64();
    eprintln!("{} is in {} now: counts and hashes are the same, after {seconds:.1} s", from.name, to.name);
    Ok(())
}

fn is_folder(place: &str) -> Option<&Path> {
    (!is_postgres(place)).then_some(Path::new(place))
}

fn source(place: &str) -> anyhow::Result<End> {
    let Some(folder) = is_folder(place) else {
        let options = database(place)?;
        let name = options.server().to_owned();
        let store = Postgres::open(options, &command(), &RecordLimits::default())?;
        return Ok(End { side: Side::Postgres(store), name, jobs: None });
    };
    if !folder.join("store").is_dir() {
        return Err(Usage(format!("there is no pinport data in {}", folder.display())).into());
    }
    let store =
        Embedded::open(folder.join("store"), EmbeddedOptions::reading().within(descriptors::raise()))?;
    let folder = std::path::absolute(folder)?;
    Ok(End {
        side: Side::Embedded(store),
        name: folder.display().to_string(),
        jobs: Some(folder.join("jobs")),
    })
}

fn target(place: &str, limits: &RecordLimits) -> anyhow::Result<End> {
    let Some(folder) = is_folder(place) else {
        let options = database(place)?;
        let name = options.server().to_owned();
        let store = Postgres::open_to_copy(options, &command(), limits)?;
        return Ok(End { side: Side::Postgres(store), name, jobs: None });
    };
    let folder = std::path::absolute(folder)?;
    for part in ["jobs", "checks", "store"] {
        private::keep_folder(&folder.join(part))
            .with_context(|| format!("failed to make {}", folder.display()))?;
    }
    let options = EmbeddedOptions { limits: *limits, ..EmbeddedOptions::default() };
    let store = Embedded::open_to_copy(folder.join("store"), options.within(descriptors::raise()))?;
    Ok(End {
        side: Side::Embedded(store),
        name: folder.display().to_string(),
        jobs: Some(folder.join("jobs")),
    })
}

/// Copies the files of all jobs; how many bytes they have.
fn copy_files(from: &End, to: &End) -> anyhow::Result<u64> {
    let store = from.side.store();
    let (mut bytes, mut before) = (0, None);
    loop {
        let jobs = store.jobs(None, before, PAGE)?;
        for job in &jobs {
            bytes += copy_files_of(job, from, to)
                .with_context(|| format!("failed to copy the files of job {}", job.id))?;
        }
        match jobs.last() {
            Some(last) if jobs.len() == PAGE => before = Some(last.id),
            _ => return Ok(bytes),
        }
    }
}

fn copy_files_of(job: &ImportJob, from: &End, to: &End) -> anyhow::Result<u64> {
    let (id, format) = (job.id, job.definition.format);
    let keep = &mut |name: &str, at, bytes: &[u8]| to.side.keep_file(id, name, at, bytes);
    match (&from.jobs, &to.jobs) {
        (Some(folder), _) => Ok(mirror::files_of(&folder.join(id.to_string()), format, keep)?),
        (None, Some(folder)) => {
            let folder = folder.join(id.to_string());
            mirror::bring(from.side.store(), id, format, &folder)?;
            Ok(size_of(&folder))
        }
        (None, None) => {
            let mut all = 0;
            from.side.store().kept_files(id, 0, &mut |name, at, bytes| {
                all += bytes.len() as u64;
                keep(name, at, bytes)
            })?;
            Ok(all)
        }
    }
}

/// Bytes of the files in a folder; none, if it is not there.
fn size_of(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}
