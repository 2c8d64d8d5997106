//! How a source is read: bounds with their reasons, and where its settings come from.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use tokio_util::sync::CancellationToken;

/// How a source is read.
#[derive(Debug, Clone)]
pub struct SourceOptions {
    /// Bytes of one ranged GET. 4 to 8 MiB cost the least CPU time a byte; five of 4 MiB bring more a second from a store
    /// that is far away than four of 8 MiB, in less memory.
    pub request_bytes: u64,
    /// Ranged GETs of full size in flight; times `request_bytes` it bounds the memory, or times `whole_bytes` if that is more.
    /// Smaller ones, as of small objects, are many times as many.
    pub requests_in_flight: u32,
    /// An object of at most so many bytes is read by one request, however many `request_bytes` are: a store sends a checksum
    /// of the object with it.
    pub whole_bytes: u64,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for the next bytes of an answer. There is no limit to the whole of it.
    pub read_timeout: Duration,
    /// How often a request is tried again without having brought anything.
    pub retries: u32,
    /// The first wait before trying again; it doubles from then on, with jitter.
    pub retry_base: Duration,
    /// Longest wait between two tries, `Retry-After` included, and all waits of one range together.
    pub retry_budget: Duration,
    /// Decoded bytes of one object.
    pub max_decoded_bytes: u64,
    /// Decoded bytes for each byte read, counted from `ratio_grace` on. Rows have ids of their own, so real
    /// data stays far below: even rows that differ in a counter alone reach about 100.
    pub max_ratio: u64,
    /// Decoded bytes of an object before its ratio counts: short repetitive files are harmless.
    pub ratio_grace: u64,
    /// Objects of a listing that is not in key order: it is sorted in memory.
    pub max_unsorted: usize,
    /// Whether an object is also held against sums that are dear to compute: SHA-256, the MD5 of an entity tag.
    pub verify_all: bool,
    /// Ends every wait, soon, with [`Cancelled`](super::SourceError::Cancelled).
    pub cancel: CancellationToken,
    /// Endpoint, region, credentials.
    pub settings: Settings,
    /// Files outside of this folder are not read, whatever links point to them. The folder has no links in
    /// its own path.
    pub within: Option<PathBuf>,
    /// What a file is called in messages, instead of its path.
    pub shown_as: Option<String>,
}

impl Default for SourceOptions {
    fn default() -> Self {
        let settings = Settings::from_environment();
        Self {
            verify_all: settings.is_on("PINPORT_VERIFY_ALL"),
            request_bytes: 4 << 20,
            requests_in_flight: 5,
            whole_bytes: 8 << 20,
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(30),
            retries: 6,
            retry_base: Duration::from_millis(200),
            retry_budget: Duration::from_secs(120),
            max_decoded_bytes: 1 << 40,
            max_ratio: 1000,
            ratio_grace: 64 << 20,
            max_unsorted: 1_000_000,
            cancel: CancellationToken::new(),
            settings,
            within: None,
            shown_as: None,
        }
    }
}

/// The settings of object stores, by the names of their environment variables.
#[derive(Clone, Default)]
pub struct Settings {
    values: BTreeMap<String, String>,
    files: bool,
    ambient: bool,
}

impl Settings {
    /// No settings, no profile files: what a server starts from, so that a tenant's job never gets the server's own.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The environment's `AWS_*`, `GOOGLE_*`, `AZURE_*` and a few more, and the profile files of AWS.
    pub fn from_environment() -> Self {
        const OTHERS: [&str; 8] = [
            "SERVICE_ACCOUNT",
            "STORAGE_EMULATOR_HOST",
            "AZURITE_BLOB_STORAGE_URL",
            "HOME",
            "MSI_ENDPOINT",
            "PINPORT_ALLOW_HTTP",
            "PINPORT_VERIFY_ALL",
            "PINPORT_TRUST_LISTING",
        ];
        let wanted = |name: &str| {
            ["AWS_", "GOOGLE_", "AZURE_", "IDENTITY_"].iter().any(|prefix| name.starts_with(prefix))
                || OTHERS.contains(&name)
        };
        let values = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| wanted(name))
            .map(|(name, value)| (name, clean(&value).to_owned()))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        Self { values, files: true, ambient: true }
    }

    /// A profile of AWS's files, and nothing of the environment but where those files are.
    pub fn of_profile(name: &str) -> Self {
        const FILES: [&str; 3] = ["HOME", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"];
        let values = FILES.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
        let settings = Self { values: values.collect(), files: true, ambient: false };
        settings.with("AWS_PROFILE", name)
    }

    /// With this setting, whatever the environment says.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.values.insert(name.to_ascii_uppercase(), clean(value).into());
        self
    }

    /// A setting.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Whether a setting says yes.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| ["1", "true", "yes", "on"].contains(&value.to_ascii_lowercase().as_str()))
    }

    /// Whether profile files are read.
    pub(super) fn reads_files(&self) -> bool {
        self.files
    }

    /// Whether the machine's own credentials may be asked for where none are named: of its instance, of a managed
    /// identity, of the user who signed in on it.
    pub(super) fn is_ambient(&self) -> bool {
        self.ambient
    }

    /// The settings whose names begin so.
    pub(super) fn starting<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.values
            .iter()
            .filter(move |(name, _)| name.starts_with(prefix))
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// A value without what a copy from a page, a file with CRLF or a file of `docker --env-file` puts around it: white
/// space, line ends, invisible characters and a pair of quotes.
pub(super) fn clean(value: &str) -> &str {
    let around = |char: char| {
        char.is_whitespace()
            || char.is_control()
            || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
    };
    let value = value.trim_matches(around);
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote)) {
            return inner.trim_matches(around);
        }
    }
    value
}

/// Values are secrets: only the names are shown.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("names", &self.values.keys()).field("files", &self.files).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_copied_along_with_a_value_is_dropped() {
        for value in
            ["key", " key\r\n", "\"key\"", "'key' ", "\u{feff}key\u{200b}", "\u{a0}key\t", "\" key\""]
        {
            assert_eq!(clean(value), "key", "{value:?}");
        }
        assert_eq!(clean("a b"), "a b");
        assert_eq!(clean("\""), "\"");
        assert_eq!(Settings::empty().with("aws_region", " eu-west-1\n").get("AWS_REGION"), Some("eu-west-1"));
    }
}
