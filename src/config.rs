//! `pinport.toml`: what a server is told by its file. Flags and the environment come before it; defaults behind.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use pinport_model::{ApplicationId, RecordLimits};
use pinport_pipeline::jobs::{Hidden, RoleConfig, SourcesConfig};
use pinport_server::{
    access::{KeyConfig, Rate, Secret},
    log::LogFormat,
};
use serde::Deserialize;

use crate::{cli::ServeArgs, explain::Usage};

/// The file that is read when none is named and it is there.
const DEFAULT_FILE: &str = "pinport.toml";

/// The file, as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    listen: Option<SocketAddr>,
    data: Option<PathBuf>,
    insecure_listen: Option<bool>,
    region: Option<String>,
    account: Option<String>,
    auto_create_apps: Option<bool>,
    segment_update: Option<SegmentUpdate>,
    tls: Option<TlsFiles>,
    jobs: JobsSection,
    engine: EngineSection,
    limits: RecordLimits,
    log: LogSection,
    sources: SourcesSection,
    roles: BTreeMap<String, RoleConfig>,
    keys_file: Option<PathBuf>,
    keys: Vec<KeySection>,
}

/// What an import into an existing segment does to its members.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SegmentUpdate {
    /// Adds to them.
    #[default]
    Add,
    /// Replaces them.
    Replace,
}

/// The files of a certificate.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct JobsSection {
    max_running: Option<u16>,
    piece_kib: Option<u64>,
    look_seconds: Option<u64>,
    drain_seconds: Option<u64>,
    max_failures: Option<toml::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct EngineSection {
    threads: Option<u16>,
    memory_mib: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LogSection {
    format: Option<LogFormat>,
    filter: Option<String>,
}

/// The members of [`RoleConfig`] and those of the whole. (`flatten` would accept unknown members.)
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SourcesSection {
    endpoint: Option<String>,
    region: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<Hidden>,
    session_token: Option<Hidden>,
    profile: Option<String>,
    environment: Option<bool>,
    unsigned: bool,
    sts_endpoint: Option<String>,
    allow: Option<Vec<String>>,
    allow_http: Option<bool>,
    settings: BTreeMap<String, Hidden>,
    strict_roles: bool,
    local_root: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeySection {
    id: String,
    secret: Secret,
    #[serde(default)]
    applications: Option<BTreeSet<ApplicationId>>,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    rate: Option<Rate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct KeysFile {
    keys: Vec<KeySection>,
}

/// Everything that a server is told.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) file: Option<PathBuf>,
    pub(crate) listen: SocketAddr,
    pub(crate) data: PathBuf,
    pub(crate) insecure_listen: bool,
    pub(crate) region: String,
    pub(crate) account: String,
    pub(crate) auto_create_apps: bool,
    pub(crate) segment_update: SegmentUpdate,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) max_running: usize,
    pub(crate) piece_bytes: u64,
    pub(crate) look: Duration,
    pub(crate) drain: Duration,
    pub(crate) max_failures: Option<pinport_model::job::FailureBudget>,
    pub(crate) threads: Option<usize>,
    pub(crate) memory: u64,
    pub(crate) limits: RecordLimits,
    pub(crate) log_format: LogFormat,
    pub(crate) log_filter: String,
    pub(crate) sources: SourcesConfig,
    pub(crate) keys: Vec<KeyConfig>,
}

impl Config {
    /// Reads the file that the arguments name (or `pinport.toml`, if it is there), and puts flags and environment
    /// before it.
    pub(crate) fn load(args: &ServeArgs) -> anyhow::Result<Self> {
        let path = match &args.config {
            Some(path) => Some(path.clone()),
            None => Path::new(DEFAULT_FILE).exists().then(|| PathBuf::from(DEFAULT_FILE)),
        };
        let file = match &path {
            Some(path) => parse(path, &read(path)?)?,
            None => File::default(),
        };
        Self::merge(args, path, file)
    }

    fn merge(args: &ServeArgs, path: Option<PathBuf>, file: File) -> anyhow::Result<Self> {
        let named = path.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
        let wrong = |what: String| anyhow::Error::from(Usage(format!("{named}: {what}")));
        // Paths in the file are meant from where the file lies.
        let folder = path.as_deref().and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
        let from_file = |path: PathBuf| folder.join(path);
        let File { jobs, engine, log, sources, .. } = file;
        let account = args.account.clone().or(file.account).unwrap_or_else(|| "000000000000".into());
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong(format!("account: \"{account}\" is not a number of 12 digits")));
        }
        let keys_file = args.keys_file.clone().or(file.keys_file.map(from_file));
        let mut keys = file.keys;
        if let Some(path) = &keys_file {
            let found: KeysFile = parse(path, &read(path)?)?;
            keys.extend(found.keys);
        }
        let keys: Vec<_> = keys.into_iter().map(KeyConfig::from).collect();
        let open = keys.is_empty();
        let max_failures = match (&args.max_failures, jobs.max_failures) {
            (Some(budget), _) => Some(*budget),
            (None, None) => None,
            (None, Some(value)) => {
                let text = match &value {
                    toml::Value::String(text) => text.clone(),
                    toml::Value::Integer(number) => number.to_string(),
                    _ => String::new(),
                };
                let budget = crate::cli::parse_budget(&text);
                Some(budget.map_err(|error| wrong(format!("jobs.max_failures: {error}")))?)
            }
        };
        let max_running = args.max_running_jobs.or(jobs.max_running).unwrap_or(2);
        let piece_kib = args.engine.piece.or(jobs.piece_kib).unwrap_or(32 << 10);
        let memory_mib = args.engine.memory.or(engine.memory_mib).unwrap_or(256);
        for (key, value, from, to) in [
            ("jobs.max_running", u64::from(max_running), 1, 64),
            ("jobs.piece_kib", piece_kib, 1, 1 << 20),
            ("engine.memory_mib", memory_mib, 64, 1 << 20),
            ("engine.threads", u64::from(engine.threads.unwrap_or(1)), 1, 1024),
        ] {
            if !(from..=to).contains(&value) {
                return Err(wrong(format!("{key}: {value} is not from {from} to {to}")));
            }
        }
        let has_credentials =
            sources.access_key_id.is_some() || sources.profile.is_some() || sources.unsigned;
        let sources = SourcesConfig {
            // Who configures keys has tenants: they get the machine's own credentials only if that is said.
            ambient: open && sources.environment.is_none(),
            strict_roles: sources.strict_roles,
            local_root: args.local_root.clone().or(sources.local_root.map(from_file)),
            roles: file.roles,
            default: RoleConfig {
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
            },
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
            insecure_listen: args.insecure_listen || file.insecure_listen.unwrap_or(false),
            region: args.region.clone().or(file.region).unwrap_or_else(|| "us-east-1".into()),
            account,
            auto_create_apps: file.auto_create_apps.unwrap_or(open),
            segment_update: file.segment_update.unwrap_or_default(),
            tls,
            max_running: usize::from(max_running),
            piece_bytes: piece_kib << 10,
            look: Duration::from_secs(jobs.look_seconds.unwrap_or(3)),
            drain: Duration::from_secs(args.drain_seconds.or(jobs.drain_seconds).unwrap_or(20)),
            max_failures,
            threads: args.engine.threads.or(engine.threads).map(usize::from),
            memory: memory_mib << 20,
            limits: file.limits,
            log_format: args.log_format.map_or(log.format.unwrap_or_default(), LogFormat::from),
            log_filter: args.log_filter.clone().or(log.filter).unwrap_or_else(|| "info".into()),
            sources,
            keys,
            file: path,
        })
    }
}

impl From<KeySection> for KeyConfig {
    fn from(key: KeySection) -> Self {
        let KeySection { id, secret, applications, read_only, rate } = key;
        Self { id, secret, applications, read_only, rate }
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
}

/// Parses a file; an error names the line, the key and what is wrong, and shows no value: it may be a secret.
fn parse<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> anyhow::Result<T> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text[..at].matches('\n').count() + 1;
        let key = text.lines().nth(line - 1).and_then(|line| line.split_once('=')).map(|(key, _)| key.trim());
        let key = key.map(|key| format!(" ({key})")).unwrap_or_default();
        Usage(format!("{}, line {line}{key}: {}", path.display(), error.message())).into()
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: ServeArgs,
    }

    fn args(line: &[&str]) -> ServeArgs {
        Line::parse_from(std::iter::once(&"serve").chain(line)).args
    }

    fn config(line: &[&str], text: &str) -> anyhow::Result<Config> {
        let path = Path::new("etc/pinport.toml");
        Config::merge(&args(line), Some(path.into()), parse(path, text)?)
    }

    #[test]
    fn flags_come_before_the_file_and_defaults_behind() {
        let config =
            config(&["--listen", "127.0.0.1:1"], "listen = \"127.0.0.1:2\"\ndata = \"d\"\n").unwrap();
        assert_eq!(config.listen.port(), 1);
        assert_eq!(config.data, Path::new("etc/d"));
        assert_eq!((config.max_running, config.memory), (2, 256 << 20));
        assert!(config.sources.ambient && config.auto_create_apps);
    }

    #[test]
    fn keys_close_what_stands_open() {
        let text = "[[keys]]\nid = \"KEY\"\nsecret = \"0123456789abcdef\"\n";
        let config = config(&[], text).unwrap();
        assert_eq!(config.keys.len(), 1);
        assert!(!config.sources.ambient && !config.auto_create_apps);
    }

    #[test]
    fn mistakes_are_told_with_line_and_key_and_without_values() {
        for (text, told) in [
            ("listen = \"127.0.0.1:1\"\nlissten = 3\n", "line 2 (lissten): unknown field `lissten`"),
            ("[jobs]\nmax_running = \"two\"\n", "line 2 (max_running)"),
            ("[jobs]\nmax_running = 0\n", "jobs.max_running: 0 is not from 1 to 64"),
            ("account = \"1\"\n", "account: \"1\" is not a number of 12 digits"),
            ("[jobs]\nmax_failures = \"200%\"\n", "jobs.max_failures: a share lies"),
            ("[log\n", "line 1"),
        ] {
            let error = config(&[], text).unwrap_err().to_string();
            assert!(error.contains(told) && error.contains("etc/pinport.toml"), "{error}");
        }
        let error = config(&[], "[sources]\nsecret_access_key = [\"hush\"]\n").unwrap_err().to_string();
        assert!(error.contains("line 2 (secret_access_key)") && !error.contains("hush"), "{error}");
    }

    /// The example lists every option: what it shows commented out is what a reader may write.
    #[test]
    fn the_example_is_a_configuration() {
        let text = include_str!("../examples/pinport.toml");
        let uncommented: Vec<_> = text.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line)).collect();
        let file: File = parse(Path::new("example"), &uncommented.join("\n")).unwrap();
        assert_eq!(file.keys.len(), 2);
        assert_eq!(file.roles.len(), 3);
        assert!(file.sources.local_root.is_some() && file.jobs.max_failures.is_some());
        parse::<File>(Path::new("example"), text).unwrap();
    }
}
