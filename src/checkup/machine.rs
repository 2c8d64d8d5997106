//! `pinport doctor`: the machine, the store and the sources of a server, measured and asked.

use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use pinport_model::{Format, Timestamp, with_causes};
use pinport_pipeline::{
    jobs::{Grant, Resolver},
    source::{Settings, Source, SourceError, SourceOptions},
};
use pinport_store::StoreError;

use super::{Finding, fine, note, wrong};
use crate::{
    cli::ServerArgs,
    client::Client,
    config::Config,
    data::{self, Data},
};

/// Bytes that are written to see how fast the disk is.
const MEASURED: usize = 64 << 20;
/// Writes of a page, each with a sync, as commits make them.
const SYNCS: u32 = 20;
/// How long a source may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// A time before which no pinport was: a clock that shows less is wrong.
const FIRST: &str = "2025-01-01T00:00:00Z";

/// What of a server's machine, store and sources is well and what is not.
pub(crate) fn doctor(config: &Config) -> Vec<Finding> {
    let mut found = super::configuration(config);
    let store = store(config, &mut found);
    found.push(clock(store));
    found.push(speed(&config.data));
    sources(config, &mut found);
    found
}

/// How the store is; the time of its newest job.
fn store(config: &Config, found: &mut Vec<Finding>) -> Option<Timestamp> {
    if config.store_url.is_none() && !config.data.join("store").is_dir() {
        found.push(fine("store", "there is none yet: the first start makes it"));
        return None;
    }
    match Data::open_existing(config.place()) {
        Ok(data) => {
            let checked = data.store.check().and_then(|()| data.store.jobs(None, None, 1));
            let figures = data.store.figures().unwrap_or_default();
            let server = config.store_url.as_ref().and_then(|_| config.place().shown().ok());
            match checked {
                Ok(jobs) if server.is_some() => {
                    found.push(fine("store", format!("{} answers", server.unwrap_or_default())));
                    jobs.first().map(|job| job.created)
                }
                Ok(jobs) => {
                    let (files, mib) = (figures.files, figures.bytes >> 20);
                    let said =
                        format!("{files} files, {mib} MiB, {} of them not settled", figures.unsettled_files);
                    found.push(fine("store", said));
                    jobs.first().map(|job| job.created)
                }
                Err(error) => {
                    found.push(wrong("store", with_causes(&error)));
                    None
                }
            }
        }
        Err(error) => {
            match error.downcast_ref() {
                Some(StoreError::InUse { holder, .. }) => {
                    found.push(match data::served_at(&config.data, holder) {
                        Some(url) => ready(url),
                        None => note("store", format!("in use by {holder}")),
                    })
                }
                _ => found.push(wrong("store", format!("{error:#}"))),
            }
            None
        }
    }
}

/// Whether the server that has the store open can work.
fn ready(url: String) -> Finding {
    let args = ServerArgs { server: url, ca: None };
    let asked = || -> anyhow::Result<()> {
        let client = Client::new(&args)?;
        let io = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        io.block_on(client.send(reqwest::Method::GET, "/readyz", None))?;
        Ok(())
    };
    match asked() {
        Ok(()) => fine("store", format!("the server at {} has it open and is ready", args.server)),
        Err(error) if args.server.starts_with("https") => note(
            "store",
            format!("the server at {} has it open; it could not be asked: {error:#}", args.server),
        ),
        Err(error) => wrong("store", format!("the server at {} is not ready: {error:#}", args.server)),
    }
}

/// Whether the clock can be right, and whether the system keeps it so.
fn clock(newest: Option<Timestamp>) -> Finding {
    let now = Timestamp::now();
    let first: Timestamp = FIRST.parse().unwrap_or(now);
    if now < first {
        return wrong("clock", format!("it shows {now}, which cannot be: signatures would be refused"));
    }
    match newest.filter(|newest| *newest > now) {
        Some(newest) => wrong("clock", format!("it shows {now}, and the newest job was made at {newest}")),
        None if is_kept() == Some(false) => {
            note("clock", format!("{now}; the system says that nothing keeps it right (NTP)"))
        }
        None => fine("clock", now.to_string()),
    }
}

/// Whether the kernel's clock is kept by NTP, if it says.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "calls libc")]
fn is_kept() -> Option<bool> {
    // SAFETY: zeroes are a value of the struct, and with no mode set the call only fills it.
    let state = unsafe {
        let mut asked: libc::timex = std::mem::zeroed();
        libc::adjtimex(&mut asked)
    };
    (state >= 0).then_some(state != libc::TIME_ERROR)
}

#[cfg(not(target_os = "linux"))]
fn is_kept() -> Option<bool> {
    None
}

/// How fast the disk of the data writes, in bulk and in commits.
fn speed(folder: &Path) -> Finding {
    let there = folder.ancestors().find(|folder| folder.is_dir() && !folder.as_os_str().is_empty());
    match measure(there.unwrap_or(Path::new("."))) {
        Err(error) => wrong("disk speed", error.to_string()),
        Ok((rate, sync)) => {
            let ms = sync.as_secs_f64() * 1000.0;
            let said = format!("{rate:.0} MB/s, {ms:.1} ms for a sync");
            match rate < 50.0 || ms > 50.0 {
                true => note("disk speed", format!("{said}: imports wait for this disk")),
                false => fine("disk speed", said),
            }
        }
    }
}

/// Megabytes a second, and the time of a small write with its sync.
fn measure(folder: &Path) -> io::Result<(f64, Duration)> {
    let mut file: File = tempfile::tempfile_in(folder)?;
    // Not zeroes: some disks do not write those.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let block: Vec<u8> = (0..1 << 17)
        .flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .collect();
    let begun = Instant::now();
    for _ in 0..MEASURED / block.len() {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    let rate = MEASURED as f64 / 1e6 / begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    for _ in 0..SYNCS {
        file.write_all(&block[..4096])?;
        file.sync_data()?;
    }
    Ok((rate, begun.elapsed() / SYNCS))
}

/// Whether the buckets that the configuration names can be listed, by the default source and by each role.
fn sources(config: &Config, found: &mut Vec<Finding>) {
    let options = SourceOptions {
        settings: Settings::empty(),
        retries: 0,
        retry_budget: PATIENCE,
        read_timeout: PATIENCE,
        ..SourceOptions::default()
    };
    let resolver = match Resolver::new(config.sources.clone(), options) {
        Ok(resolver) => resolver,
        Err(error) => return found.push(wrong("sources", error.to_string())),
    };
    let default = config.sources.default.allow.iter().flatten().map(|entry| (None, entry));
    let of_roles =
        config.sources.roles.iter().flat_map(|(arn, role)| {
            role.allow.iter().flatten().map(move |entry| (Some(arn.as_str()), entry))
        });
    let before = found.len();
    for (role, entry) in default.chain(of_roles) {
        found.push(source(&resolver, role, entry));
    }
    if found.len() == before {
        found.push(note("sources", "no bucket is named in `allow`, so none was asked"));
    }
}

fn source(resolver: &Resolver, role: Option<&str>, entry: &str) -> Finding {
    let url = if entry.contains("://") { entry.to_owned() } else { format!("s3://{entry}") };
    let by = role.map(|role| format!(" by {role}")).unwrap_or_default();
    let asked = || -> anyhow::Result<bool> {
        let location = resolver.location(&url)?;
        let options = resolver.resolve(&location, role, None, &Grant::everything())?;
        let cancel = options.cancel.clone();
        let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        io.spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            cancel.cancel();
        });
        let source = Source::open(&location, options, io.handle().clone())?;
        let mut any = false;
        let listed = source.list(Format::Json, &mut |_| {
            any = true;
            // One is enough.
            Err(SourceError::Cancelled)
        });
        io.shutdown_background();
        match listed {
            Err(SourceError::NoMatch { .. }) => Ok(false),
            Err(SourceError::Cancelled) if any => Ok(true),
            Err(SourceError::Cancelled) => {
                anyhow::bail!("it did not answer within {} s", PATIENCE.as_secs())
            }
            Err(error) => Err(error.into()),
            Ok(()) => Ok(true),
        }
    };
    match asked() {
        Ok(true) => fine("source", format!("{url} can be listed{by}")),
        Ok(false) => note("source", format!("{url} can be listed{by}, and has nothing to read")),
        Err(error) => wrong("source", format!("{url}{by}: {error:#}")),
    }
}
