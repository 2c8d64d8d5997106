//! `pinport.toml`: the configuration file of a server. Flags and the environment come before it, defaults after it.

mod change;
pub(crate) mod environment;
mod file;
#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use pinport_model::{RecordLimits, job::FailureBudget};
use pinport_pipeline::{
    jobs::{Retention, RoleConfig, SourcesConfig},
    throttle::ThrottleRate,
};
use pinport_server::{
    Limits,
    access::{Cors, KeyConfig, ScrapeToken},
    log::LogFormat,
};

use self::environment::Overlay;
use self::file::{File, HttpSection, SourcesSection, read_keys};
pub(crate) use self::file::{SegmentUpdate, StoreUrl, Text, TlsFiles};
use crate::{
    cli::ServeArgs,
    data::{Place, database},
    exit::Usage,
    otlp::OtlpConfig,
    private,
    webhooks::WebhookConfig,
};

/// After how long a job that reads nothing is reported.
const STALL: Duration = Duration::from_secs(600);

/// The file that is read when none is named and it is there.
const DEFAULT_FILE: &str = "pinport.toml";

/// Everything a server is configured with.
#[derive(Debug)]
pub(crate) struct Config {
    /// The file, to say where something stands.
    pub(crate) text: Text,
    pub(crate) listen: SocketAddr,
    pub(crate) data: PathBuf,
    /// The database of the store, if it is in one.
    pub(crate) store_url: Option<StoreUrl>,
    pub(crate) insecure_listen: bool,
    pub(crate) region: String,
    pub(crate) account: String,
    pub(crate) auto_create_apps: bool,
    pub(crate) segment_update: SegmentUpdate,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) max_running: usize,
    pub(crate) piece_bytes: u64,
    /// Bytes of a part of a job, in a store that several servers share; jobs are not divided if absent.
    pub(crate) part_bytes: Option<u64>,
    pub(crate) look: Duration,
    pub(crate) drain: Duration,
    pub(crate) max_failures: Option<FailureBudget>,
    pub(crate) kept_failure_bytes: Option<u64>,
    pub(crate) disk_reserve: Option<u64>,
    pub(crate) uploads: Option<u64>,
    pub(crate) uploads_of_key: Option<u64>,
    pub(crate) exit_when_stopped: bool,
    pub(crate) retention: Retention,
    pub(crate) throttle: ThrottleRate,
    pub(crate) webhooks: WebhookConfig,
    pub(crate) threads: Option<usize>,
    pub(crate) memory: u64,
    pub(crate) limits: RecordLimits,
    pub(crate) http: Limits,
    pub(crate) cors: Cors,
    pub(crate) log_format: LogFormat,
    pub(crate) log_filter: String,
    /// Where probes and metrics have a listener of their own.
    pub(crate) metrics_listen: Option<SocketAddr>,
    pub(crate) metrics_token: Option<ScrapeToken>,
    pub(crate) otlp: OtlpConfig,
    pub(crate) sources: SourcesConfig,
    pub(crate) keys: Vec<KeyConfig>,
    pub(crate) keys_file: Option<PathBuf>,
}

impl Config {
    /// Reads the file that the arguments name (or `pinport.toml`, if it is there), and puts flags and environment
    /// before it.
    pub(crate) fn load(args: &ServeArgs) -> anyhow::Result<Self> {
        let path = match &args.config {
            Some(path) => Some(path.clone()),
            None => Path::new(DEFAULT_FILE).exists().then(|| PathBuf::from(DEFAULT_FILE)),
        };
        let mut text = path.as_deref().map(Text::read).transpose()?.unwrap_or_default();
        let file: File = if path.is_some() { text.parse()? } else { File::default() };
        if let Some(path) = path.filter(|_| file.has_secrets()) {
            private::check_secrets(&path).map_err(Usage)?;
        }
        let overlay = Overlay::read(|name| std::env::var(name).ok())?;
        let file = match overlay.options.is_empty() {
            true => file,
            false => text.overlaid(overlay.options.clone(), |table| overlay.over(table))?,
        };
        let mut config = Self::merge(args, text, file)?;
        config.otlp = config.otlp.or_environment(|name| std::env::var(name).ok());
        config.otlp.check().map_err(|(member, reason)| config.text.wrong(&["otlp", member], reason))?;
        if let Some(tls) = &config.tls {
            private::check_secrets(&tls.key).map_err(Usage)?;
        }
        Ok(config)
    }

    /// Where the store is.
    pub(crate) fn place(&self) -> Place<'_> {
        Place::new(&self.data, self.store_url.as_ref().map(|url| url.0.as_str()))
    }

    /// What the arguments say, without a file.
    pub(crate) fn of(args: &ServeArgs) -> anyhow::Result<Self> {
        Self::merge(args, Text::default(), File::default())
    }

    #[expect(clippy::too_many_lines, reason = "a line for each option")]
    fn merge(args: &ServeArgs, text: Text, file: File) -> anyhow::Result<Self> {
        // Paths in the file are meant from where the file lies.
        let folder = text.path().and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
        let from_file = |path: PathBuf| folder.join(path);
        let File { jobs, engine, log, sources, .. } = file;
        let account = args.account.clone().or(file.account).unwrap_or_else(|| "000000000000".into());
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(text.wrong(&["account"], format!("\"{account}\" is not a number of 12 digits")));
        }
        let keys_file = args.keys_file.clone().or(file.keys_file.map(from_file));
        let mut keys = file.keys;
        if let Some(path) = &keys_file {
            keys.extend(read_keys(path)?);
        }
        let grants = keys.iter().enumerate().map(|(index, key)| match key.grant(&file.roles) {
            Ok(grant) => Ok((key.id.clone(), grant)),
            // Those of a file of their own come after the others.
            Err((member, reason)) => Err(text.wrong(&["keys", &index.to_string(), member], reason)),
        });
        let grants = grants.collect::<anyhow::Result<_>>()?;
        let mut keys: Vec<_> = keys.into_iter().map(KeyConfig::from).collect();
        for key in &mut keys {
            key.rate = key.rate.or(file.http.rate);
        }
        let open = keys.is_empty();
        let max_failures = match (&args.max_failures, &jobs.max_failures) {
            (Some(budget), _) => Some(*budget),
            (None, written) => written.as_ref().map(|written| failure_budget(&text, written)).transpose()?,
        };
        let max_running = args.max_running_jobs.or(jobs.max_running).unwrap_or(2);
        let piece_kib = args.engine.piece.or(jobs.piece_kib).unwrap_or(32 << 10);
        let part_kib = jobs.part_kib.unwrap_or(128 << 10);
        let memory_mib = args.engine.memory.or(engine.memory_mib).unwrap_or(256);
        let kept_failures_mib = args.kept_failures.or(jobs.kept_failures_mib);
        let disk_reserve_mib = args.disk_reserve.or(jobs.disk_reserve_mib);
        for (section, key, value, from, to) in [
            ("jobs", "max_running", u64::from(max_running), 1, 64),
            ("jobs", "piece_kib", piece_kib, 1, 1 << 20),
            ("jobs", "part_kib", part_kib, 0, 1 << 40),
            ("jobs", "kept_failures_mib", kept_failures_mib.unwrap_or(0), 0, 1 << 20),
            ("jobs", "uploads_mib", jobs.uploads_mib.unwrap_or(0), 0, 1 << 30),
            ("jobs", "uploads_of_key_mib", jobs.uploads_of_key_mib.unwrap_or(0), 0, 1 << 30),
            ("jobs", "disk_reserve_mib", disk_reserve_mib.unwrap_or(0), 0, 1 << 30),
            ("engine", "memory_mib", memory_mib, 64, 1 << 20),
            ("engine", "threads", u64::from(engine.threads.unwrap_or(1)), 1, 1024),
        ] {
            in_range(&text, section, key, value, from, to)?;
        }
        let drain = Duration::from_secs(args.drain_seconds.or(jobs.drain_seconds).unwrap_or(20));
        let store_url = args.store_url.clone().filter(|url| !url.is_empty()).map(StoreUrl);
        let store_url = store_url.or(file.store.url).filter(|url| !url.0.is_empty());
        if let Some(url) = &store_url {
            database(&url.0).map_err(|error| text.wrong(&["store", "url"], error))?;
        }
        let http = Limits { shutdown: drain, ..http_limits(&text, &file.http)? };
        let cors = Cors::new(file.http.cors_origins.iter().map(String::as_str))
            .map_err(|reason| text.wrong(&["http", "cors_origins"], reason))?;
        let sources = SourcesConfig {
            // Who configures keys has tenants: they get the machine's own credentials only if that is said.
            ambient: open && sources.environment.is_none(),
            strict_roles: sources.strict_roles.unwrap_or(!open),
            grants,
            local_root: args.local_root.clone().or(sources.local_root.clone().map(from_file)),
            roles: file.roles,
            default: default_role(sources),
        };
        let webhooks = WebhookConfig {
            url: file.webhooks.url,
            secret: file.webhooks.secret,
            allow: file.webhooks.allow,
            // Long enough for the slowest store, short enough for a waiting person.
            stall: Some(file.webhooks.stall.unwrap_or(STALL)),
            ca: file.webhooks.ca.map(from_file),
        };
        webhooks.check().map_err(|(member, reason)| text.wrong(&["webhooks", member], reason))?;
        let otlp = OtlpConfig {
            endpoint: file.otlp.endpoint,
            headers: file.otlp.headers,
            interval: file.otlp.interval,
            service: file.otlp.service,
            ca: file.otlp.ca.map(from_file),
        };
        let tls = match (&args.tls_certificate, &args.tls_key) {
            (Some(certificate), Some(key)) => {
                Some(TlsFiles { certificate: certificate.clone(), key: key.clone() })
            }
            _ => file
                .tls
                .map(|tls| TlsFiles { certificate: from_file(tls.certificate), key: from_file(tls.key) }),
        };
        Ok(Self {
            listen: args.listen.or(file.listen).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 7465))),
            data: args.data.clone().or(file.data.map(from_file)).unwrap_or_else(|| "pinport-data".into()),
            store_url,
            insecure_listen: args.insecure_listen || file.insecure_listen.unwrap_or(false),
            region: args.region.clone().or(file.region).unwrap_or_else(|| "us-east-1".into()),
            account,
            auto_create_apps: file.auto_create_apps.unwrap_or(open),
            segment_update: file.segment_update.unwrap_or_default(),
            tls,
            max_running: usize::from(max_running),
            piece_bytes: piece_kib << 10,
            part_bytes: (part_kib > 0).then_some(part_kib << 10),
            look: Duration::from_secs(jobs.look_seconds.unwrap_or(3)),
            drain,
            max_failures,
            kept_failure_bytes: kept_failures_mib.map(|mib| mib << 20),
            disk_reserve: disk_reserve_mib.map(|mib| mib << 20),
            uploads: jobs.uploads_mib.map(|mib| mib << 20),
            uploads_of_key: jobs.uploads_of_key_mib.map(|mib| mib << 20),
            retention: Retention { rejects: file.retention.rejects, jobs: file.retention.jobs },
            throttle: ThrottleRate {
                rows_per_second: jobs.rows_per_second,
                bytes_per_second: jobs.bytes_per_second,
            },
            webhooks,
            exit_when_stopped: args.exit_when_stopped || jobs.exit_when_stopped,
            threads: args.engine.threads.or(engine.threads).map(usize::from),
            memory: memory_mib << 20,
            limits: file.limits,
            http,
            cors,
            log_format: args.log_format.map_or(log.format.unwrap_or_default(), LogFormat::from),
            log_filter: args.log_filter.clone().or(log.filter).unwrap_or_else(|| "info".into()),
            metrics_listen: args.metrics_listen.or(file.metrics.listen),
            metrics_token: file.metrics.token,
            otlp,
            sources,
            keys,
            keys_file,
            text,
        })
    }
}

/// How many records may fail, as it is written.
fn failure_budget(text: &Text, written: &toml::Value) -> anyhow::Result<FailureBudget> {
    let written = match written {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        _ => String::new(),
    };
    let budget = crate::cli::parse_budget(&written);
    budget.map_err(|error| text.wrong(&["jobs", "max_failures"], error))
}

/// What is read without a role, or with one that is not configured.
fn default_role(sources: SourcesSection) -> RoleConfig {
    let has_credentials = sources.access_key_id.is_some() || sources.profile.is_some() || sources.unsigned;
    RoleConfig {
        endpoint: sources.endpoint,
        region: sources.region,
        access_key_id: sources.access_key_id,
        secret_access_key: sources.secret_access_key,
        session_token: sources.session_token,
        profile: sources.profile,
        environment: sources.environment.unwrap_or(false) && !has_credentials,
        unsigned: sources.unsigned,
        assume_role: false,
        sts_endpoint: sources.sts_endpoint,
        allow: sources.allow,
        allow_http: sources.allow_http,
        settings: sources.settings,
    }
}

/// An error unless `value`, which stands at this key, is from `from` to `to`.
fn in_range(text: &Text, section: &str, key: &str, value: u64, from: u64, to: u64) -> anyhow::Result<()> {
    if (from..=to).contains(&value) {
        return Ok(());
    }
    Err(text.wrong(&[section, key], format!("{value} is not from {from} to {to}")))
}

/// The bounds on HTTP: what is written, else the default.
fn http_limits(text: &Text, http: &HttpSection) -> anyhow::Result<Limits> {
    let default = Limits::default();
    let get = |key: &str, written: Option<u64>, default: u64, from: u64, to: u64| {
        let value = written.unwrap_or(default);
        in_range(text, "http", key, value, from, to).map(|()| value)
    };
    let seconds = |key: &str, written: Option<u64>, default: Duration| {
        get(key, written, default.as_secs(), 1, 3600).map(Duration::from_secs)
    };
    let number = |key: &str, written: Option<u64>, default: usize, from: u64, to: u64| {
        // The bounds are far below what a usize holds.
        get(key, written, default as u64, from, to).map(|value| value as usize)
    };
    let connections = number("connections", http.connections, default.connections, 1, 1 << 20)?;
    // What one client leaves to the others.
    let of_peer = connections - connections / 4;
    Ok(Limits {
        connections,
        connections_per_peer: number("connections_per_peer", http.connections_per_peer, of_peer, 1, 1 << 20)?,
        memory: number("memory", http.memory, default.memory >> 20, 16, 1 << 20)? << 20,
        handshake: seconds("handshake_seconds", http.handshake_seconds, default.handshake)?,
        head: seconds("head_seconds", http.head_seconds, default.head)?,
        head_bytes: number("head_kib", http.head_kib, default.head_bytes >> 10, 4, 1024)? << 10,
        headers: number("headers", http.headers, default.headers, 16, 1024)?,
        body: seconds("body_seconds", http.body_seconds, default.body)?,
        body_bytes: number("body_kib", http.body_kib, default.body_bytes >> 10, 16, 1 << 20)? << 10,
        body_rate: get("body_rate", http.body_rate, default.body_rate, 0, 1 << 30)?,
        idle: seconds("idle_seconds", http.idle_seconds, default.idle)?,
        write_stall: seconds("write_stall_seconds", http.write_stall_seconds, default.write_stall)?,
        ..default
    })
}
