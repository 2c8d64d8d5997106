//! The environment as a configuration: `PINPORT_<SECTION>_<NAME>` for each option of `pinport.toml`, and an error for a
//! variable that nothing reads. Values are never shown: some are secrets.

use std::{collections::BTreeSet, path::PathBuf};

use clap::CommandFactory as _;
use toml::{Table, Value};

use super::file::{File, variable, without_value};
use crate::{cli::Cli, exit::Usage};

/// The options by their sections, but for those that `pinport serve` has as flags with the same variables. A test holds
/// them against the file's sections.
pub(super) const OPTIONS: &[(&str, &[&str])] = &[
    ("", &["auto_create_apps", "segment_update", "roles", "keys"]),
    (
        "http",
        &[
            "connections",
            "connections_per_peer",
            "memory",
            "handshake_seconds",
            "head_seconds",
            "head_kib",
            "headers",
            "body_seconds",
            "body_kib",
            "body_rate",
            "idle_seconds",
            "write_stall_seconds",
            "rate",
            "cors_origins",
        ],
    ),
    (
        "jobs",
        &[
            "max_running",
            "piece_kib",
            "part_kib",
            "look_seconds",
            "drain_seconds",
            "max_failures",
            "kept_failures_mib",
            "disk_reserve_mib",
            "uploads_mib",
            "uploads_of_key_mib",
            "exit_when_stopped",
            "rows_per_second",
            "bytes_per_second",
        ],
    ),
    ("retention", &["rejects", "jobs"]),
    ("webhooks", &["url", "secret", "allow", "stall", "ca"]),
    ("engine", &["threads", "memory_mib"]),
    (
        "limits",
        &[
            "max_line",
            "max_depth",
            "max_columns",
            "max_attributes",
            "max_name",
            "max_value",
            "max_values",
            "max_id",
            "max_endpoint",
        ],
    ),
    ("log", &["filter"]),
    // No flag: arguments can be seen by every user.
    ("metrics", &["token"]),
    ("otlp", &["endpoint", "headers", "interval", "service", "ca"]),
    (
        "sources",
        &[
            "endpoint",
            "region",
            "access_key_id",
            "secret_access_key",
            "session_token",
            "profile",
            "environment",
            "unsigned",
            "sts_endpoint",
            "allow",
            "allow_http",
            "settings",
            "strict_roles",
            "local_root",
        ],
    ),
];

/// Variables that are read where they are needed, by no flag and no section.
const OTHERS: &[&str] = &[
    "PINPORT_ALLOW_HTTP",
    "PINPORT_VERIFY_ALL",
    "PINPORT_BOUNDARIES",
    "PINPORT_CLOCK",
    "PINPORT_UNCHECKED_TOKENS",
];

/// How the variables of this project's tests and scripts begin.
const OF_TESTS: &[&str] =
    &["PINPORT_TEST_", "PINPORT_TORTURE_", "PINPORT_MUTANT_", "PINPORT_CI_", "PINPORT_SEEDS"];

/// What the environment says, and which options that are, as in `jobs.max_running`.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    pub(super) table: Table,
    pub(super) options: BTreeSet<String>,
}

impl Overlay {
    /// Reads the variables of all options.
    pub(super) fn read(get: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let mut overlay = Self::default();
        for (section, name) in
            OPTIONS.iter().flat_map(|(section, names)| names.iter().map(move |name| (section, name)))
        {
            let variable = variable(section, name);
            // One that is empty is as good as none, as for the flags.
            let Some(text) = get(&variable).filter(|text| !text.is_empty()) else { continue };
            let value =
                value_of(section, name, &text).map_err(|reason| Usage(format!("{variable}: {reason}")))?;
            let value = match (*name, value) {
                // Not from where the file lies, but from here.
                ("local_root" | "ca", Value::String(path)) => Value::String(
                    std::path::absolute(&path).unwrap_or(PathBuf::from(path)).display().to_string(),
                ),
                (_, value) => value,
            };
            overlay.options.insert(if section.is_empty() {
                (*name).to_owned()
            } else {
                format!("{section}.{name}")
            });
            let table = match *section {
                "" => &mut overlay.table,
                section => {
                    let inner = overlay.table.entry(section).or_insert_with(|| Value::Table(Table::new()));
                    inner.as_table_mut().expect("sections are tables")
                }
            };
            table.insert((*name).to_owned(), value);
        }
        Ok(overlay)
    }

    /// Puts it over what a file says.
    pub(super) fn over(self, mut file: Table) -> Table {
        for (name, value) in self.table {
            match (file.get_mut(&name), value) {
                (Some(Value::Table(section)), Value::Table(more)) if name != "roles" => section.extend(more),
                (_, value) => _ = file.insert(name, value),
            }
        }
        file
    }
}

/// The value that the option takes: as TOML writes it, else as it is, else as a list with commas.
fn value_of(section: &str, name: &str, text: &str) -> Result<Value, String> {
    let as_written =
        format!("value = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    let list = text.split(',').map(|item| Value::String(item.trim().to_owned())).collect();
    let mut reason = None;
    for value in as_written.into_iter().chain([Value::String(text.to_owned()), Value::Array(list)]) {
        let option = Table::from_iter([(name.to_owned(), value.clone())]);
        let table = match section {
            "" => option,
            section => Table::from_iter([(section.to_owned(), Value::Table(option))]),
        };
        match check_table(table) {
            Ok(()) => return Ok(value),
            Err(error) => _ = reason.get_or_insert(error),
        }
    }
    Err(reason.unwrap_or_default())
}

/// An error for the first variable that begins like ours and that nothing reads.
pub(crate) fn check(names: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let mut names: Vec<_> = names.filter(|name| name.starts_with("PINPORT_")).collect();
    if names.is_empty() {
        // The list of all takes as long as reading the arguments.
        return Ok(());
    }
    let known = known();
    names.sort_unstable();
    for name in names {
        let of_tests = OF_TESTS.iter().any(|begin| name.starts_with(begin));
        if known.contains(&name) || of_tests || is_of_a_service(&name) {
            continue;
        }
        let near = known.iter().map(|known| (strsim::damerau_levenshtein(&name, known), known)).min();
        let near = near.filter(|(distance, known)| *distance <= known.len() / 4);
        // Or one with something after it.
        let begin = known
            .iter()
            .filter(|known| name.strip_prefix(known.as_str()).is_some_and(|rest| rest.starts_with('_')));
        let near = near.map(|(_, known)| known).or_else(|| begin.max_by_key(|known| known.len()));
        let hint = near.map(|known| format!(": did you mean {known}?"));
        let hint =
            hint.unwrap_or_else(|| ": it is no option; unset it, or see `pinport serve --help`".into());
        let name = pinport_model::escape_controls(&name);
        return Err(Usage(format!("nothing reads the environment variable {name}{hint}")).into());
    }
    Ok(())
}

/// Every variable that something reads.
fn known() -> BTreeSet<String> {
    fn of_command(command: &clap::Command, known: &mut BTreeSet<String>) {
        let variables = command.get_arguments().filter_map(clap::Arg::get_env);
        known.extend(variables.filter_map(|name| name.to_str()).map(str::to_owned));
        command.get_subcommands().for_each(|inner| of_command(inner, known));
    }
    let mut known: BTreeSet<_> = OTHERS.iter().map(|name| (*name).to_owned()).collect();
    of_command(&Cli::command(), &mut known);
    known
        .extend(OPTIONS.iter().flat_map(|(section, names)| names.iter().map(|name| variable(section, name))));
    known
}

/// Whether Kubernetes and old Docker set it for a service that is called pinport: no one chose that.
fn is_of_a_service(name: &str) -> bool {
    let rest = name.strip_prefix("PINPORT_").unwrap_or(name);
    rest == "SERVICE_HOST" || rest == "PORT" || rest.starts_with("SERVICE_PORT") || {
        let number = rest.strip_prefix("PORT_").and_then(|rest| rest.split('_').next());
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

/// Whether a table is a configuration; the reason without its value.
fn check_table(table: Table) -> Result<(), String> {
    table.try_into::<File>().map(drop).map_err(|error| without_value(error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlay(variables: &[(&str, &str)]) -> anyhow::Result<Overlay> {
        Overlay::read(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn every_option_has_a_variable() {
        let known = known();
        let mut options = 0;
        let sections = [
            "",
            "jobs",
            "engine",
            "http",
            "sources",
            "log",
            "metrics",
            "otlp",
            "tls",
            "limits",
            "retention",
            "store",
            "webhooks",
        ]
        .map(|section| (section, ()));
        for (section, ()) in sections {
            let header = if section.is_empty() { String::new() } else { format!("[{section}]") };
            let error = toml::from_str::<File>(&format!("{header}\nno_such_option = 1\n")).err().unwrap();
            let error = error.to_string();
            let (_, names) = error.split_once("expected ").unwrap_or_else(|| panic!("{section}: {error}"));
            for name in names.split('`').skip(1).step_by(2) {
                let is_section = sections.iter().any(|(section, ())| *section == name);
                options += usize::from(!is_section);
                let variable = variable(section, name);
                assert!(is_section || known.contains(&variable), "{section}.{name} has no {variable}");
            }
        }
        assert!(options > 60, "only {options} options");
        for (section, name) in
            OPTIONS.iter().flat_map(|(section, names)| names.iter().map(move |name| (section, name)))
        {
            let there = value_of(section, name, "\u{1}").err().unwrap_or_default();
            assert!(!there.contains("unknown field"), "there is no option {section}.{name}");
        }
    }

    #[test]
    fn values_are_what_the_option_takes() {
        let read = overlay(&[
            ("PINPORT_JOBS_MAX_RUNNING", "3"),
            ("PINPORT_JOBS_MAX_FAILURES", "5%"),
            ("PINPORT_SOURCES_SECRET_ACCESS_KEY", "12345678"),
            ("PINPORT_SOURCES_UNSIGNED", "true"),
            ("PINPORT_HTTP_CORS_ORIGINS", "https://a.example, https://b.example"),
            ("PINPORT_HTTP_RATE", "{ per_second = 1.5, burst = 3 }"),
            ("PINPORT_KEYS", "[{ id = \"KEY\", secret = \"0123456789abcdef\" }]"),
            ("PINPORT_SEGMENT_UPDATE", "replace"),
            ("PINPORT_LOG_FILTER", ""),
        ])
        .unwrap();
        assert_eq!(read.options.len(), 8);
        let file = "[jobs]\nmax_running = 1\npiece_kib = 7\n".parse().unwrap();
        let file: File = read.over(file).try_into().unwrap();
        assert_eq!((file.jobs.max_running, file.jobs.piece_kib), (Some(3), Some(7)));
        assert_eq!(file.http.cors_origins, ["https://a.example", "https://b.example"]);
        assert!(file.sources.unsigned && file.http.rate.is_some() && file.keys.len() == 1);
    }

    #[test]
    fn a_wrong_value_names_its_variable_and_is_not_shown() {
        for (name, value) in [
            ("PINPORT_JOBS_MAX_RUNNING", "hush-many"),
            ("PINPORT_HTTP_RATE", "hush"),
            ("PINPORT_KEYS", "hush"),
            ("PINPORT_SOURCES_SETTINGS", "hush = 1"),
        ] {
            let error = overlay(&[(name, value)]).unwrap_err().to_string();
            assert!(error.starts_with(name) && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn unknown_variables_are_reported_with_what_is_near() {
        let told = |name: &str| check([name.to_owned()].into_iter()).err().map(|error| error.to_string());
        for name in [
            "PINPORT_DATA",
            "PINPORT_JOBS_MAX_RUNNING",
            "PINPORT_METRICS_TOKEN",
            "PATH",
            "PINPORT_SERVICE_HOST",
            "PINPORT_SERVICE_PORT_HTTP",
            "PINPORT_PORT",
            "PINPORT_PORT_7465_TCP_ADDR",
        ] {
            assert_eq!(told(name), None, "{name}");
        }
        let near = told("PINPORT_JOBS_MAX_RUNING").unwrap();
        assert!(near.ends_with("PINPORT_JOBS_MAX_RUNING: did you mean PINPORT_JOBS_MAX_RUNNING?"), "{near}");
        assert!(told("PINPORT_LISTEN_ADDR").unwrap().contains("did you mean PINPORT_LISTEN?"));
        assert!(told("PINPORT_COLOUR_OF_THE_SKY").unwrap().contains("it is no option"));
        assert!(told("PINPORT_PORT_X").is_some());
    }
}
