//! The configuration of a server, checked as far as can be without starting it.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    sync::Arc,
};

use pinport_model::with_causes;
use pinport_pipeline::{
    jobs::{JobsOptions, Resolver},
    source::{Settings, SourceOptions},
};
use pinport_server::{
    access::{KeyRing, check_listen, check_scrape_listen},
    log::subscriber,
    tls::Tls,
};

use crate::{
    checkup::{self, Finding, Level},
    cli::ServeArgs,
    config::Config,
    exit::{self, Usage},
};

/// `pinport config check`: everything that can be said without starting.
pub(in crate::commands) fn check(args: &ServeArgs) -> anyhow::Result<u8> {
    let config = judged(args)?;
    let file = config
        .text
        .path()
        .map_or("no file, only defaults and flags".into(), |path| path.display().to_string());
    let access = match config.keys.len() {
        0 => "open, on loopback only".to_owned(),
        keys => format!("{keys} keys"),
    };
    let tls = if config.tls.is_some() { "TLS" } else { "no TLS" };
    let (listen, mut data) = (config.listen, config.data.display().to_string());
    if config.store_url.is_some() {
        data.push_str(&format!(", store {}", config.place().shown()?));
    }
    let told =
        format!("the configuration is valid: {file}\nlisten {listen} ({tls}), data {data}, access {access}");
    tell(&told, &checkup::configuration(&config))
}

/// `pinport doctor`: the same, and what takes longer to find out.
pub(in crate::commands) fn doctor(args: &ServeArgs) -> anyhow::Result<u8> {
    let config = judged(args)?;
    tell(&format!("pinport {}", env!("CARGO_PKG_VERSION")), &checkup::doctor(&config))
}

/// The configuration, if it is one.
fn judged(args: &ServeArgs) -> anyhow::Result<Config> {
    let config = Config::load(args)?;
    Checked::new(&config)?;
    subscriber(config.log_format, &config.log_filter, io::sink)
        .map_err(|error| Usage(format!("log.filter: {error}")))?;
    Ok(config)
}

/// Prints findings; the exit code that they mean.
fn tell(head: &str, found: &[Finding]) -> anyhow::Result<u8> {
    let mut out = io::stdout().lock();
    writeln!(out, "{head}")?;
    for finding in found {
        writeln!(out, "{finding}")?;
    }
    let is_wrong = found.iter().any(|finding| finding.level == Level::Wrong);
    Ok(if is_wrong { exit::FAILED } else { exit::COMPLETED })
}

/// What the configuration comes to, checked before anything is opened.
pub(super) struct Checked {
    pub(super) ring: KeyRing,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) resolver: Resolver,
}

impl Checked {
    pub(super) fn new(config: &Config) -> anyhow::Result<Self> {
        let text = &config.text;
        let ring = key_ring(config)?;
        let tls = match &config.tls {
            Some(files) => {
                let loaded = Tls::load(&files.certificate, &files.key);
                Some(Arc::new(loaded.map_err(|error| text.wrong(&["tls"], with_causes(&error)))?))
            }
            None => None,
        };
        check_listen(config.listen, tls.is_some(), !ring.is_empty(), config.insecure_listen)
            .map_err(|error| text.wrong(&["listen"], error))?;
        if let Some(address) = config.metrics_listen {
            check_scrape_listen(address, config.metrics_token.is_some(), config.insecure_listen)
                .map_err(|error| text.wrong(&["metrics", "listen"], error))?;
        }
        Ok(Self { ring, tls, resolver: resolver(config)? })
    }
}

/// The keys of a configuration.
pub(super) fn key_ring(config: &Config) -> anyhow::Result<KeyRing> {
    KeyRing::new(config.keys.iter().cloned()).map_err(|error| {
        // Those of a file of their own come after the others.
        let index = config.keys.iter().rposition(|key| key.id == error.id()).unwrap_or(0).to_string();
        config.text.wrong(&["keys", &index], error)
    })
}

/// What may be read, by a configuration.
pub(super) fn resolver(config: &Config) -> anyhow::Result<Resolver> {
    let text = &config.text;
    let options = SourceOptions { settings: Settings::empty(), ..SourceOptions::default() };
    Resolver::new(config.sources.clone(), options).map_err(|error| {
        let role = config.sources.roles.keys().find(|role| error.0.starts_with(&format!("{role}: ")));
        match role {
            Some(role) => text.wrong(&["roles", role], error),
            None => {
                let local = error.0.starts_with("local_root");
                text.wrong(if local { &["sources", "local_root"] } else { &["sources"] }, error)
            }
        }
    })
}

/// How jobs are run, by a configuration.
pub(super) fn jobs_options(config: &Config, folder: PathBuf) -> JobsOptions {
    JobsOptions {
        max_running: config.max_running,
        look: config.look,
        piece_bytes: config.piece_bytes,
        limits: config.limits,
        max_failures: config.max_failures,
        kept_failure_bytes: config.kept_failure_bytes,
        disk_reserve: config.disk_reserve,
        uploads: config.uploads,
        uploads_of_key: config.uploads_of_key,
        retention: config.retention,
        throttle: config.throttle,
        stall: config.webhooks.stall,
        webhooks: config.webhooks.allow.clone(),
        ..JobsOptions::new(folder)
    }
}
