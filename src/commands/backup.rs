//! `pinport backup` and `pinport restore`: a data folder, also that of a running server, to a folder or a bucket and back.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context as _;
use pinport_pipeline::{
    backup::{self, BackupError, SNAPSHOTS, Vault, back_up, prune, restore, snapshot, verify},
    source::SourceOptions,
};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{asked::Asked, import::stop_on_signals};
use crate::{
    cli::{BackupArgs, BackupCommand, RestoreArgs},
    client::{Client, not_there},
    data::{Data, Place},
    exit::{self, NotThere, Usage},
    follow::block_on,
};

pub(super) fn run(args: &BackupArgs) -> anyhow::Result<u8> {
    match &args.command {
        None => make(args),
        Some(BackupCommand::Ls { place }) => list(place),
        Some(BackupCommand::Verify { place, backup }) => check(place, backup.as_deref()),
        Some(BackupCommand::Prune { place, keep }) => {
            let (_io, vault) = open(place)?;
            let (backups, contents) = prune(&vault, *keep).map_err(explained)?;
            writeln!(io::stderr(), "removed {backups} backups and {contents} files that they alone had")?;
            Ok(exit::COMPLETED)
        }
    }
}

/// The place that a user names, and what its requests run on.
fn open(place: &str) -> anyhow::Result<(tokio::runtime::Runtime, Vault)> {
    let location = if place.contains("://") {
        place.parse().map_err(|error| Usage(format!("{place}: {error}")))?
    } else {
        pinport_model::SourceLocation::Path(PathBuf::from(place))
    };
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let cancel = CancellationToken::new();
    stop_on_signals(&io, &cancel)?;
    let options = SourceOptions { cancel, ..SourceOptions::default() };
    let vault = Vault::open(&location, &options, io.handle())?;
    Ok((io, vault))
}

/// What is not there is no wrong call.
fn explained(error: BackupError) -> anyhow::Error {
    match error {
        BackupError::None(name) => NotThere(format!("there is no backup {name}")).into(),
        error => error.into(),
    }
}

/// A snapshot that goes when this does.
enum Taken {
    /// Of a server, which is asked to remove it.
    Served { client: Box<Client>, id: String },
    /// Our own.
    Own(PathBuf),
}

impl Drop for Taken {
    fn drop(&mut self) {
        let gone = match self {
            Self::Own(folder) => std::fs::remove_dir_all(folder).is_ok(),
            Self::Served { client, id } => {
                let path = format!("/pinport/v1/snapshots/{id}");
                block_on(async { Ok(client.send(reqwest::Method::DELETE, &path, None).await?) }).is_ok()
            }
        };
        if !gone {
            tracing::warn!("the snapshot stays; the server removes it within a day");
        }
    }
}

#[derive(Deserialize)]
struct Snapshot {
    id: String,
    folder: PathBuf,
}

fn make(args: &BackupArgs) -> anyhow::Result<u8> {
    let Some(to) = &args.to else {
        return Err(
            Usage("--to names the folder or the bucket (s3://bucket/prefix/) of the backups".into()).into()
        );
    };
    let begun = Instant::now();
    let (_io, vault) = open(to)?;
    if args.remote.server().is_none() && args.data.place().url.is_some() {
        let what = "a store in a database is backed up with the database's own means, such as pg_dump --schema=pinport";
        return Err(Usage(what.into()).into());
    }
    let (folder, _taken) = match Asked::of(&args.remote, args.data.place())? {
        Asked::Server(server) => {
            let client = Client::new(&server)?;
            let taken: Snapshot = block_on(async {
                client.call(reqwest::Method::POST, "/pinport/v1/snapshots", None).await.map_err(not_there)
            })?;
            let folder = taken.folder.clone();
            let keep = Taken::Served { client: Box::new(client), id: taken.id };
            if !folder.is_dir() {
                let what = "is not on this machine: run the backup where the server runs, as its user";
                return Err(Usage(format!("{} {what}", folder.display())).into());
            }
            (folder, keep)
        }
        Asked::Data(data) => own_snapshot(&data, &args.data.data)?,
    };
    let mut out = io::stderr().lock();
    let (made, copied) = back_up(&folder, &vault, &mut |file, is_new| {
        if args.verbose && is_new {
            let _ = writeln!(out, "{} ({} bytes)", pinport_model::escape_controls(&file.path), file.size);
        }
    })
    .map_err(explained)?;
    drop(out);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    writeln!(
        io::stderr(),
        "backup {}: {} files, {:.1} MiB, {:.1} MiB of them new, {:.1} MiB read; {:.2} s",
        made.name(),
        copied.files,
        mib(copied.bytes),
        mib(copied.new_bytes),
        mib(copied.read_bytes),
        begun.elapsed().as_secs_f64()
    )?;
    writeln!(io::stdout(), "{}", made.name())?;
    Ok(exit::COMPLETED)
}

fn own_snapshot(data: &Data, folder: &Path) -> anyhow::Result<(PathBuf, Taken)> {
    // We have the store, so no one else makes one.
    backup::sweep(folder, true);
    let into = folder.join(SNAPSHOTS).join("own");
    let taken = Taken::Own(into.clone());
    snapshot(&*data.store, folder, &into)?;
    Ok((into, taken))
}

fn list(place: &str) -> anyhow::Result<u8> {
    let (_io, vault) = open(place)?;
    let mut out = io::stdout().lock();
    for name in backup::names(&vault).map_err(explained)? {
        let found = backup::find(&vault, Some(&name)).map_err(explained)?;
        writeln!(out, "{name}  {:>8} files  {:>14} bytes", found.files.len(), found.bytes())?;
    }
    Ok(exit::COMPLETED)
}

fn check(place: &str, name: Option<&str>) -> anyhow::Result<u8> {
    let (_io, vault) = open(place)?;
    let found = backup::find(&vault, name).map_err(explained)?;
    let wrong = verify(&vault, &found).map_err(explained)?;
    let mut out = io::stdout().lock();
    for line in &wrong {
        writeln!(out, "{}", pinport_model::escape_controls(line))?;
    }
    if wrong.is_empty() {
        writeln!(
            out,
            "backup {} is whole: {} files, {} bytes",
            found.name(),
            found.files.len(),
            found.bytes()
        )?;
        return Ok(exit::COMPLETED);
    }
    writeln!(
        io::stderr(),
        "backup {} is damaged: {} of its {} files",
        found.name(),
        wrong.len(),
        found.files.len()
    )?;
    Ok(exit::FAILED)
}

pub(super) fn give_back(args: &RestoreArgs) -> anyhow::Result<()> {
    let folder = &args.data.data;
    for part in ["store", "jobs"] {
        if folder.join(part).exists() {
            let what = format!("{} has data already: name another folder with --data", folder.display());
            return Err(Usage(what).into());
        }
    }
    let (_io, vault) = open(&args.from)?;
    let found = backup::find(&vault, args.backup.as_deref()).map_err(explained)?;
    let unfinished = folder.join(".restoring");
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished)
            .with_context(|| format!("failed to remove {}", unfinished.display()))?;
    }
    restore(&vault, &found, &unfinished).map_err(explained)?;
    // It is there whole or not at all: the jobs first, for a store is what makes a folder one of data.
    for part in ["jobs", "store"] {
        let (from, to) = (unfinished.join(part), folder.join(part));
        if from.exists() {
            std::fs::rename(&from, &to).with_context(|| format!("failed to make {}", to.display()))?;
        }
    }
    std::fs::remove_dir_all(&unfinished)?;
    let data = Data::open_existing(Place::new(folder, None))?;
    data.store.check()?;
    let jobs = data.store.unfinished_jobs()?.len();
    writeln!(
        io::stderr(),
        "restored backup {} into {}: {} files, {} bytes, {jobs} jobs that go on when a server starts",
        found.name(),
        folder.display(),
        found.files.len(),
        found.bytes()
    )?;
    Ok(())
}
