//! `pinport.toml` as it is written, and where in it something stands.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    num::NonZeroU64,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use pinport_model::{ApplicationId, RecordLimits};
use pinport_pipeline::jobs::{Grant, Hidden, Reach, RoleConfig};
use pinport_server::{
    access::{KeyConfig, Rate, ScrapeToken, Secret},
    log::LogFormat,
};
use serde::{Deserialize, de::DeserializeOwned};
use toml::de::{DeTable, DeValue};

use crate::{address, exit::Usage, private};

fn listen<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(value)?;
    address::listen(&text).map(Some).map_err(serde::de::Error::custom)
}

/// The file, as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    #[serde(deserialize_with = "listen")]
    pub(super) listen: Option<SocketAddr>,
    pub(super) data: Option<PathBuf>,
    pub(super) store: StoreSection,
    pub(super) insecure_listen: Option<bool>,
    pub(super) region: Option<String>,
    pub(super) account: Option<String>,
    pub(super) auto_create_apps: Option<bool>,
    pub(super) segment_update: Option<SegmentUpdate>,
    pub(super) tls: Option<TlsFiles>,
    pub(super) http: HttpSection,
    pub(super) jobs: JobsSection,
    pub(super) retention: RetentionSection,
    pub(super) webhooks: WebhooksSection,
    pub(super) engine: EngineSection,
    pub(super) limits: RecordLimits,
    pub(super) log: LogSection,
    pub(super) metrics: MetricsSection,
    pub(super) otlp: OtlpSection,
    pub(super) sources: SourcesSection,
    pub(super) roles: BTreeMap<String, RoleConfig>,
    pub(super) keys_file: Option<PathBuf>,
    pub(super) keys: Vec<KeySection>,
}

impl File {
    /// Whether it holds what only its owner should read.
    pub(super) fn has_secrets(&self) -> bool {
        let sources = &self.sources;
        let of_role = |role: &RoleConfig| {
            role.secret_access_key.is_some() || role.session_token.is_some() || !role.settings.is_empty()
        };
        !self.keys.is_empty()
            || self.store.url.as_ref().is_some_and(StoreUrl::has_password)
            || self.metrics.token.is_some()
            || self.webhooks.secret.is_some()
            || !self.otlp.headers.is_empty()
            || sources.secret_access_key.is_some()
            || sources.session_token.is_some()
            || !sources.settings.is_empty()
            || self.roles.values().any(of_role)
    }
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

/// Where the store is, if not in the data folder.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StoreSection {
    pub(super) url: Option<StoreUrl>,
}

/// The URL of a database, which may have a password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct StoreUrl(pub(crate) String);

impl StoreUrl {
    /// Whether a password stands in it.
    fn has_password(&self) -> bool {
        let after_scheme = self.0.split_once("://").map_or("", |(_, after)| after);
        let user = after_scheme.split(['/', '?']).next().and_then(|place| place.rsplit_once('@'));
        user.is_some_and(|(user, _)| user.contains(':')) || self.0.contains("password=")
    }
}

impl std::fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreUrl")
    }
}

/// Bounds on connections and requests.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpSection {
    pub(super) connections: Option<u64>,
    pub(super) connections_per_peer: Option<u64>,
    pub(super) memory: Option<u64>,
    pub(super) handshake_seconds: Option<u64>,
    pub(super) head_seconds: Option<u64>,
    pub(super) head_kib: Option<u64>,
    pub(super) headers: Option<u64>,
    pub(super) body_seconds: Option<u64>,
    pub(super) body_kib: Option<u64>,
    pub(super) body_rate: Option<u64>,
    pub(super) idle_seconds: Option<u64>,
    pub(super) write_stall_seconds: Option<u64>,
    /// Of each key that has none of its own.
    pub(super) rate: Option<Rate>,
    pub(super) cors_origins: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct JobsSection {
    pub(super) max_running: Option<u16>,
    pub(super) piece_kib: Option<u64>,
    pub(super) part_kib: Option<u64>,
    pub(super) look_seconds: Option<u64>,
    pub(super) drain_seconds: Option<u64>,
    pub(super) max_failures: Option<toml::Value>,
    pub(super) kept_failures_mib: Option<u64>,
    pub(super) disk_reserve_mib: Option<u64>,
    pub(super) uploads_mib: Option<u64>,
    pub(super) uploads_of_key_mib: Option<u64>,
    pub(super) exit_when_stopped: bool,
    pub(super) rows_per_second: Option<NonZeroU64>,
    pub(super) bytes_per_second: Option<NonZeroU64>,
}

/// How long ended jobs and what they refused are kept.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RetentionSection {
    #[serde(deserialize_with = "time")]
    pub(super) rejects: Option<Duration>,
    #[serde(deserialize_with = "time")]
    pub(super) jobs: Option<Duration>,
}

fn time<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(value)?;
    crate::cli::parse_time(&text).map(Some).map_err(serde::de::Error::custom)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EngineSection {
    pub(super) threads: Option<u16>,
    pub(super) memory_mib: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LogSection {
    pub(super) format: Option<LogFormat>,
    pub(super) filter: Option<String>,
}

/// Webhooks that are called when a job ends or stands still.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WebhooksSection {
    pub(super) url: Option<String>,
    pub(super) secret: Option<Secret>,
    pub(super) allow: Vec<String>,
    #[serde(deserialize_with = "time")]
    pub(super) stall: Option<Duration>,
    pub(super) ca: Option<PathBuf>,
}

/// How scrapers read the metrics.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MetricsSection {
    #[serde(deserialize_with = "listen")]
    pub(super) listen: Option<SocketAddr>,
    pub(super) token: Option<ScrapeToken>,
}

/// The collector of OpenTelemetry that is sent traces and metrics.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OtlpSection {
    pub(super) endpoint: Option<String>,
    pub(super) headers: BTreeMap<String, Secret>,
    #[serde(deserialize_with = "time")]
    pub(super) interval: Option<Duration>,
    pub(super) service: Option<String>,
    pub(super) ca: Option<PathBuf>,
}

/// The members of [`RoleConfig`] and those of the whole. (`flatten` would accept unknown members.)
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SourcesSection {
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    pub(super) access_key_id: Option<String>,
    pub(super) secret_access_key: Option<Hidden>,
    pub(super) session_token: Option<Hidden>,
    pub(super) profile: Option<String>,
    pub(super) environment: Option<bool>,
    pub(super) unsigned: bool,
    pub(super) sts_endpoint: Option<String>,
    pub(super) allow: Option<Vec<String>>,
    pub(super) allow_http: Option<bool>,
    pub(super) settings: BTreeMap<String, Hidden>,
    pub(super) strict_roles: Option<bool>,
    pub(super) local_root: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeySection {
    pub(super) id: String,
    pub(super) secret: Secret,
    #[serde(default)]
    pub(super) applications: Option<BTreeSet<ApplicationId>>,
    #[serde(default)]
    pub(super) read_only: bool,
    #[serde(default)]
    pub(super) rate: Option<Rate>,
    #[serde(default)]
    pub(super) roles: Option<Vec<String>>,
    #[serde(default)]
    pub(super) sources: Option<Vec<String>>,
    #[serde(default)]
    pub(super) local_root: Option<LocalFiles>,
    #[serde(default)]
    pub(super) max_running_jobs: Option<std::num::NonZeroUsize>,
    #[serde(default)]
    pub(super) uploads_mib: Option<u64>,
}

/// What a key may read of the local root.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "true, false, or the name of a folder below local_root is expected")]
pub(super) enum LocalFiles {
    /// All of it, or nothing.
    All(bool),
    /// What is in this folder of it.
    Below(PathBuf),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct KeysFile {
    pub(super) keys: Vec<KeySection>,
}

impl KeySection {
    /// What the key may read; the error names the member that is wrong.
    pub(super) fn grant(
        &self,
        roles: &BTreeMap<String, RoleConfig>,
    ) -> Result<Grant, (&'static str, String)> {
        let mut grant = Grant::of(self.applications.clone(), self.read_only);
        grant.max_running = self.max_running_jobs.map(std::num::NonZero::get);
        grant.uploads = self.uploads_mib.map(|mib| mib.saturating_mul(1 << 20));
        if let Some(names) = &self.roles {
            if let Some(name) = names.iter().find(|name| *name != "*" && !roles.contains_key(*name)) {
                let reason =
                    format!("there is no [roles.\"{name}\"]; describe the role, or correct its name");
                return Err(("roles", reason));
            }
            grant.roles = Reach::of(names.clone());
        }
        if let Some(names) = &self.sources {
            grant.sources = Reach::of(names.clone());
        }
        match &self.local_root {
            None => {}
            Some(LocalFiles::All(all)) => grant.local_root = all.then(PathBuf::new),
            Some(LocalFiles::Below(folder)) => {
                if folder.components().any(|part| !matches!(part, Component::Normal(_))) {
                    let reason = format!("{} is not the name of a folder below local_root", folder.display());
                    return Err(("local_root", reason));
                }
                grant.local_root = Some(folder.clone());
            }
        }
        Ok(grant)
    }
}

impl From<KeySection> for KeyConfig {
    fn from(key: KeySection) -> Self {
        let KeySection { id, secret, applications, read_only, rate, .. } = key;
        Self { id, secret, applications, read_only, rate }
    }
}

/// The text of a file, to say where in it something is wrong. It is never shown: it may hold secrets.
#[derive(Default)]
pub(crate) struct Text {
    path: Option<PathBuf>,
    text: String,
    /// The options that the environment says in its place, as in `jobs.max_running`.
    by_environment: BTreeSet<String>,
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Text").field(&self.path).finish()
    }
}

impl Text {
    /// Reads a file.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("failed to read {}", path.display()))?;
        Ok(Self::new(path, text))
    }

    pub(super) fn new(path: &Path, text: impl Into<String>) -> Self {
        Self { path: Some(path.to_owned()), text: text.into(), by_environment: BTreeSet::new() }
    }

    /// The file, if there is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The file with other values for these options, which the environment says.
    pub(super) fn overlaid(
        &mut self,
        options: BTreeSet<String>,
        over: impl FnOnce(toml::Table) -> toml::Table,
    ) -> anyhow::Result<File> {
        self.by_environment = options;
        // Each of the two is a configuration by itself.
        Ok(over(self.text.parse()?).try_into()?)
    }

    /// Parses it; an error names the line, the key and what is wrong, and shows no value.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        let text = &self.text;
        toml::from_str(text).map_err(|error| {
            let line = self.line(error.span().map_or(0, |span| span.start));
            let key = text.lines().nth(line - 1).and_then(|line| line.split_once('='));
            let key = key.map(|(key, _)| format!(" ({})", key.trim())).unwrap_or_default();
            let path = self.path.as_deref().unwrap_or(Path::new("")).display();
            Usage(format!("{path}, line {line}{key}: {}", without_value(error.message()))).into()
        })
    }

    /// The error that what stands at `key` is wrong: with its line if it stands here.
    pub(crate) fn wrong(&self, key: &[&str], what: impl std::fmt::Display) -> anyhow::Error {
        let name = key.join(".");
        let said = |option: &&String| name.starts_with(option.as_str());
        if let Some(option) = self.by_environment.iter().find(said) {
            let (section, option) = option.split_once('.').unwrap_or(("", option));
            return Usage(format!("{}: {what}", variable(section, option))).into();
        }
        let place = self.path.as_deref().zip(self.find(key));
        Usage(match place {
            Some((path, at)) => format!("{}, line {} ({name}): {what}", path.display(), self.line(at)),
            None => format!("{name}: {what}"),
        })
        .into()
    }

    fn line(&self, at: usize) -> usize {
        let before = self.text.bytes().take(at);
        before.filter(|byte| *byte == b'\n').count() + 1
    }

    /// Where the value of a key begins, or the innermost table on the way to it. Numbers index arrays.
    fn find(&self, key: &[&str]) -> Option<usize> {
        let document = DeTable::parse(&self.text).ok()?;
        let mut table = document.get_ref();
        let mut at = None;
        let mut rest = key.iter();
        while let Some(name) = rest.next() {
            let Some((found, value)) = table.iter().find(|(found, _)| found.get_ref() == name) else { break };
            at = Some(found.span().start);
            let mut value = value;
            if let DeValue::Array(items) = value.get_ref()
                && let Some(item) = rest.next().and_then(|index| items.get(index.parse::<usize>().ok()?))
            {
                at = Some(item.span().start);
                value = item;
            }
            match value.get_ref() {
                DeValue::Table(inner) => table = inner,
                _ => break,
            }
        }
        at
    }
}

/// The variable of an option.
pub(super) fn variable(section: &str, name: &str) -> String {
    let joined = if section.is_empty() { name.to_owned() } else { format!("{section}_{name}") };
    format!("PINPORT_{}", joined.to_ascii_uppercase())
}

/// What is wrong with a value, without the value, which may be a secret: `invalid type: integer `17`, expected a string`.
pub(super) fn without_value(message: &str) -> String {
    for begin in ["invalid type: ", "invalid value: "] {
        if let Some(rest) = message.strip_prefix(begin)
            && let Some(expected) = rest.rfind(", expected ")
            && let Some(value) = rest[..expected].find(['`', '"'])
        {
            return format!("{begin}{}{}", rest[..value].trim_end(), &rest[expected..]);
        }
    }
    message.to_owned()
}

/// Reads and parses the file of the keys.
pub(super) fn read_keys(path: &Path) -> anyhow::Result<Vec<KeySection>> {
    private::check_secrets(path).map_err(Usage)?;
    let file: KeysFile = Text::read(path)?.parse()?;
    Ok(file.keys)
}
