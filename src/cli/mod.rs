//! What may be asked on the command line. Every option is also an environment variable `PINPORT_*`.

mod backup;
mod jobs;
mod look;
mod serve;
mod store;
mod verify;

use std::path::PathBuf;

use clap::{
    Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum, error::ErrorKind,
    parser::ValueSource,
};
use pinport_model::{Format, RecordLimits, job::FailureBudget};

pub(crate) use self::{
    backup::{BackupArgs, BackupCommand, RestoreArgs},
    jobs::{JobArgs, JobsCommand, RetryArgs, ServedJobArgs, ThrottleArgs, parse_time},
    look::LookArgs,
    serve::{ConfigCommand, LogFormatArg, ServeArgs, ServeEngineArgs},
    store::{CopyArgs, DataArgs, StoreCommand},
    verify::VerifyArgs,
};
use crate::{address, reading::ReadingArgs, sample};

/// The self-hosted home for Amazon Pinpoint's import jobs
#[derive(Debug, Parser)]
#[command(name = "pinport", version, arg_required_else_help = true, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Reads the arguments, or ends the process with what is wrong with them. A folder that is named with `--data` is
    /// the one that is asked, whatever server the environment names.
    pub(crate) fn read() -> Self {
        let mut command = Self::command();
        let mut matches = command.get_matches_mut();
        let mut innermost = &matches;
        while let Some((_, inner)) = innermost.subcommand() {
            innermost = inner;
        }
        let source = |name| innermost.try_contains_id(name).ok().and_then(|_| innermost.value_source(name));
        if source("data") == Some(ValueSource::CommandLine) {
            match source("server") {
                Some(ValueSource::CommandLine) => {
                    let what = "--data names a folder and --server a server: only one of them can be asked";
                    command.error(ErrorKind::ArgumentConflict, what).exit();
                }
                Some(ValueSource::EnvVariable) => matches = without_server(Self::command()).get_matches(),
                _ => {}
            }
        }
        Self::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.format(&mut command).exit())
    }
}

/// The same commands, deaf to `PINPORT_SERVER`.
fn without_server(command: clap::Command) -> clap::Command {
    let deaf = |arg: clap::Arg| if arg.get_id() == "server" { arg.env(None) } else { arg };
    command.mut_args(deaf).mut_subcommands(without_server)
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Import endpoints from CSV or NDJSON objects
    Import(ImportArgs),
    /// Write endpoints to a folder, a bucket, a file or standard output
    Export(ExportArgs),
    /// Read a source again, and compare what it says with what is stored
    Verify(VerifyArgs),
    /// Propose a mapping for a file, and show its first records before and after
    Map(MapArgs),
    /// Serve Pinpoint's Import Jobs API
    Serve(Box<ServeArgs>),
    /// Watch a server's import jobs
    Top(TopArgs),
    /// See it all at once: sample endpoints, a server, jobs, the dashboard
    Demo(DemoArgs),
    /// Look a server's machine over: files, clock, limits, disk, store, sources
    ///
    /// Prints a line for each finding and ends with 1 if something is WRONG. It takes the arguments of `pinport serve`
    /// and changes nothing; 64 MiB are written into the data folder for a moment to see how fast the disk is.
    #[command(after_help = "Example:\n  pinport doctor --config /etc/pinport/pinport.toml")]
    Doctor(Box<ServeArgs>),
    /// Look at the server's configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Read endpoints
    #[command(subcommand)]
    Endpoint(EndpointCommand),
    /// Read segments
    #[command(subcommand)]
    Segment(SegmentCommand),
    /// Compact what imports left: endpoints and segments are then read faster, from a smaller disk
    ///
    /// A server does this by itself when it has no job to run; imports need not wait for it. It can be ended at any
    /// moment, and needs as much free disk as the store takes.
    #[command(after_help = "Example:\n  pinport settle --data pinport-data")]
    Settle(DataArgs),
    /// Keep the store in a database of PostgreSQL's, which many servers may share
    #[command(subcommand)]
    Store(StoreCommand),
    /// Back a data folder up, also that of a running server, to a folder or a bucket
    ///
    /// Contents that are there from earlier backups are not copied again. What is backed up is one moment of the store;
    /// the server goes on meanwhile. The configuration and its keys are no part of it.
    #[command(
        after_help = "\
Examples:
  pinport backup --data /var/lib/pinport --to /mnt/backups
  pinport backup --data /var/lib/pinport --to s3://bucket/pinport/
  pinport backup verify s3://bucket/pinport/
  pinport backup ls /mnt/backups
  pinport backup prune /mnt/backups --keep 7

It runs where the data folder is, as its user, and finds the server that has it open. The name of the backup goes to
standard output.",
        args_conflicts_with_subcommands = true,
        subcommand_negates_reqs = true
    )]
    Backup(BackupArgs),
    /// Write a backup into a new data folder
    #[command(after_help = "Example:\n  pinport restore s3://bucket/pinport/ --data /var/lib/pinport")]
    Restore(RestoreArgs),
    /// Look at import jobs, their failures and rejected records
    #[command(subcommand)]
    Jobs(JobsCommand),
    /// Print sample endpoints to try an import with
    #[command(after_help = "Example:\n  pinport sample --rows 1000000 --format json --bad 1% > sample.json")]
    Sample(sample::Args),
    /// Print the completion script of a shell
    #[command(after_help = "Example:\n  pinport completions bash > /etc/bash_completion.d/pinport")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder
    #[command(after_help = "Example:\n  pinport man /usr/local/share/man/man1")]
    Man {
        /// The folder; it is made if it is not there
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinport import examples/contacts --format json --segment everyone
  pinport import s3://bucket/exports/ --format json --app shop --segment customers
  zcat contacts.csv.gz | pinport import - --format csv
  pinport import contacts.csv --format csv --check --max-failures 1%
  pinport import contacts.csv --format csv --server http://127.0.0.1:7465
  pinport import exports/ --format json --top

With --server a file or standard input is uploaded and becomes a job there, which is followed to its end; a URL is
read by the server itself. Without it, S3 is reached by the usual AWS_* variables and profiles (AWS_ENDPOINT_URL_S3 for other services).
A killed import goes on behind its last committed piece when the same command is run again.

Exit codes: 0 completed; 3 completed, with failed records; 4 over the failure budget; 5 stopped;
1 the job failed, or what was named is not there; 2 wrong usage.")]
pub(crate) struct ImportArgs {
    /// s3://, gs://, az:// or file:// with a key or a prefix of keys; a file; a folder; or - for standard input
    pub(crate) source: String,
    /// What a shell makes of `*`: refused with what to write
    #[arg(hide = true)]
    pub(crate) more_sources: Vec<String>,
    /// What the objects hold [default: what their names or their first bytes say]
    #[arg(long, short, value_enum, ignore_case = true, env = "PINPORT_FORMAT")]
    pub(crate) format: Option<FormatArg>,
    /// The application the endpoints belong to; made on first use
    #[arg(long, default_value = "default", env = "PINPORT_APP", value_name = "NAME")]
    pub(crate) app: String,
    /// Make the imported endpoints a segment of this name, or add them to it
    #[arg(long, env = "PINPORT_SEGMENT", value_name = "NAME")]
    pub(crate) segment: Option<String>,
    /// Keep the endpoints in the segment only, as copies; register none
    #[arg(long, requires = "segment", env = "PINPORT_SEGMENT_ONLY")]
    pub(crate) segment_only: bool,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    /// Read and judge every record, but store nothing
    #[arg(long, conflicts_with = "fresh", env = "PINPORT_CHECK")]
    pub(crate) check: bool,
    /// Give up when more records fail: a number, or a share such as 1% (judged from 1,000 records on)
    #[arg(long, value_name = "N|N%", value_parser = parse_budget, env = "PINPORT_MAX_FAILURES")]
    pub(crate) max_failures: Option<FailureBudget>,
    /// Start anew although an earlier run of this import was interrupted
    #[arg(long, env = "PINPORT_FRESH")]
    pub(crate) fresh: bool,
    /// Hold objects of a bucket against the sizes of the listing alone, for a store that lists other tags than it sends
    #[arg(long, value_name = "size", value_parser = ["size"], env = "PINPORT_TRUST_LISTING")]
    pub(crate) trust_listing: Option<String>,
    /// The role by which a server reads a URL (with --server), as its `[roles]` name it
    #[arg(long, value_name = "ARN", env = "PINPORT_ROLE_ARN")]
    pub(crate) role_arn: Option<String>,
    /// Watch it on the dashboard, if this is a terminal
    #[arg(long, env = "PINPORT_TOP")]
    pub(crate) top: bool,
    #[command(flatten)]
    pub(crate) look: LookArgs,
    /// Print the outcome as one JSON object: ImportJobResponse's members and ours
    #[arg(long)]
    pub(crate) json: bool,
    /// Show no progress, and no report unless a record failed or the import did not complete
    #[arg(long, short, conflicts_with = "top", env = "PINPORT_QUIET")]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
    /// Change a bound on records, e.g. --limit max_value=200; see docs/limits.md
    #[arg(long = "limit", value_name = "NAME=N", env = "PINPORT_LIMITS", value_delimiter = ',')]
    pub(crate) limits: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinport map contacts.csv > contacts.toml
  pinport map contacts.csv --map contacts.toml
  pinport import contacts.csv --format csv --map contacts.toml --check

The proposal goes to standard output, the records to standard error. With --map nothing is proposed: the records show
what that mapping makes of them. docs/mapping.md tells what a mapping can do.")]
pub(crate) struct MapArgs {
    /// A file, s3://, gs://, az:// or file:// with a key or a prefix of keys, or - for standard input: its first object is read
    pub(crate) source: String,
    /// What the file holds [default: what its name says]
    #[arg(long, short, value_enum, ignore_case = true, env = "PINPORT_FORMAT")]
    pub(crate) format: Option<FormatArg>,
    /// Records to show
    #[arg(long, default_value_t = 10, value_name = "N", env = "PINPORT_MAP_ROWS")]
    pub(crate) rows: usize,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EngineArgs {
    /// Threads that parse and build [default: one a core]
    #[arg(long, env = "PINPORT_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) threads: Option<u16>,
    /// Bytes in flight, in MiB
    #[arg(long, env = "PINPORT_MEMORY", value_name = "MIB", default_value_t = 256,
          value_parser = clap::value_parser!(u64).range(64..))]
    pub(crate) memory: u64,
    /// Decoded size of a piece, the unit of durable progress, in KiB
    #[arg(long, env = "PINPORT_PIECE", value_name = "KIB", default_value_t = 32 << 10,
          value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub(crate) piece: u64,
    /// MiB of failures and rejects that a job keeps: after them a sample [default: 1024, or 1/50 of the disk]
    #[arg(long, env = "PINPORT_KEPT_FAILURES", value_name = "MIB", value_parser = clap::value_parser!(u64).range(..=1 << 20))]
    pub(crate) kept_failures: Option<u64>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinport top
  pinport top --server http://10.0.0.7:7465 --read-only
  pinport top --once --json | jq .jobs[0].progress

Without a terminal it prints a line for each job every 5 seconds. Requests are signed with the usual AWS
credentials (AWS_ACCESS_KEY_ID or AWS_PROFILE, AWS_REGION) if the server asks for that.")]
pub(crate) struct TopArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print how the jobs stand and leave
    #[arg(long)]
    pub(crate) once: bool,
    /// Print samples as JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Only watch: nothing can be cancelled, paused or created
    #[arg(long, env = "PINPORT_READ_ONLY")]
    pub(crate) read_only: bool,
    #[command(flatten)]
    pub(crate) look: LookArgs,
}

/// A server that may be asked instead of a data folder.
#[derive(Debug, Clone, Args)]
pub(crate) struct RemoteArgs {
    /// Ask this server instead of the data folder
    #[arg(long, env = "PINPORT_SERVER", value_name = "URL", value_parser = |text: &str| Ok::<_, String>(address::server(text)))]
    server: Option<String>,
    /// The certificates to trust, in PEM [default: the system's]
    #[arg(long, env = "PINPORT_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl RemoteArgs {
    /// The server, if one is named.
    pub(crate) fn server(&self) -> Option<ServerArgs> {
        let server = self.server.clone().filter(|server| !server.is_empty())?;
        Some(self.at(server))
    }

    /// The server at this URL.
    pub(crate) fn at(&self, server: String) -> ServerArgs {
        ServerArgs { server, ca: self.ca.clone() }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinport demo
  pinport demo --rows 5000000 --bad 0.1%
  pinport demo --rows 100000 | cat

It writes about 400 MB a million rows into a temporary folder, serves on loopback, and clears everything away at
its end. Without a terminal it prints a line for each job every second and ends with the last of them.")]
pub(crate) struct DemoArgs {
    /// Rows in all
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rows: u64,
    /// Share of rows that are broken, in many ways
    #[arg(long, default_value = "1%", value_name = "N%")]
    pub(crate) bad: sample::Share,
    #[command(flatten)]
    pub(crate) look: LookArgs,
}

/// A server that is always asked.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArgs {
    /// The server
    #[arg(long, env = "PINPORT_SERVER", value_name = "URL", default_value = "http://127.0.0.1:7465",
          value_parser = |text: &str| Ok::<_, String>(address::server(text)))]
    pub(crate) server: String,
    /// The certificates to trust, in PEM [default: the system's]
    #[arg(long, env = "PINPORT_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum FormatArg {
    /// RFC 4180 with a header of dotted names
    Csv,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ExportFormatArg {
    /// RFC 4180 with a header of dotted names
    Csv,
    /// One JSON object a line
    Json,
    /// Columns, as warehouses read them; no import reads them again
    Parquet,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Csv => Self::Csv,
            FormatArg::Json => Self::Json,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct AppArgs {
    /// The application, by name or id
    #[arg(long, default_value = "default", env = "PINPORT_APP", value_name = "NAME")]
    pub(crate) app: String,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EndpointCommand {
    /// Print an endpoint as JSON
    #[command(after_help = "Example:\n  pinport endpoint get user-17 --app shop | jq .Attributes")]
    Get {
        /// The endpoint's id
        id: String,
        #[command(flatten)]
        app: AppArgs,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinport export out/ --app shop --format json
  pinport export s3://bucket/out/ --app shop --segment customers --format json
  pinport export customers.csv --app shop --segment customers --format csv
  pinport export - --format json | jq .Address
  pinport export emails.csv --format csv --columns Id,Address,User.UserId
  pinport export s3://warehouse/endpoints/ --app shop --parquet

A folder and a bucket get parts and a manifest in a folder of their own, as an export job makes them; a name with a
suffix is one file. A part or file is there whole or not at all. CSV refuses what it cannot hold.

Exit codes: 0 completed; 5 stopped; 1 failed; 2 wrong usage.")]
pub(crate) struct ExportArgs {
    /// s3://, gs:// or az:// with a prefix of keys; a folder; a file (its name has a suffix); or - for standard output
    pub(crate) target: String,
    /// The form of the endpoints
    #[arg(
        long,
        short,
        value_enum,
        ignore_case = true,
        env = "PINPORT_FORMAT",
        required_unless_present = "parquet"
    )]
    pub(crate) format: Option<ExportFormatArg>,
    /// Parquet for a warehouse: the members of JSON as typed columns, pages compressed with zstd or as is said here. The same
    /// as --format parquet
    #[arg(long)]
    pub(crate) parquet: bool,
    /// Only the members of this segment, by name or id
    #[arg(long, value_name = "NAME")]
    pub(crate) segment: Option<String>,
    /// A version of the segment [default: the current one]
    #[arg(long, value_name = "N", requires = "segment")]
    pub(crate) version: Option<u32>,
    /// The columns of CSV, with commas between; an attribute's second value is in the column that names it again
    /// [default: all that have a value]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) columns: Vec<String>,
    /// Compress with gzip; the default for folders and buckets, and for names that end in .gz
    #[arg(long, conflicts_with_all = ["zstd", "none"])]
    pub(crate) gzip: bool,
    /// Compress with zstd; the default for names that end in .zst
    #[arg(long, conflicts_with = "none")]
    pub(crate) zstd: bool,
    /// Do not compress
    #[arg(long)]
    pub(crate) none: bool,
    #[command(flatten)]
    pub(crate) app: AppArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SegmentCommand {
    /// List the segments of an application
    #[command(after_help = "Example:\n  pinport segment ls --app shop")]
    Ls {
        #[command(flatten)]
        app: AppArgs,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Make a segment of what its members have in common; they are found when it is read
    #[command(after_help = "Examples:\n  \
        pinport segment create canada --where \"Location.Country = 'CAN'\"\n  \
        pinport segment create gold --where \"Attributes.plan in ('gold', 'lead') and Metrics.visits > 3\"\n\n\
        Tests are joined by and, or, not and brackets:\n  \
        Attributes.x, UserAttributes.x    = != in, not in, contains, before, after, on, between 'a' and 'b'\n  \
        Demographic.Channel and others    = != in, not in (AppVersion, Channel, DeviceType, Make, Model, Platform)\n  \
        Location.Country                  = != in, not in\n  \
        Location.GPSPoint                 within 10 km of (43.7, -79.4)\n  \
        Metrics.x                         = != < <= > >=\n  \
        Behavior.Recency                  active within DAY_30, inactive within DAY_7\n  \
        Segment                           = '<id>', != '<id>', in ('<id>', '<id>@<version>')")]
    Create {
        /// What it is called
        name: String,
        /// Which endpoints belong to it
        #[arg(long = "where", value_name = "TEXT")]
        tests: String,
        #[command(flatten)]
        app: AppArgs,
        /// Print the request that CreateSegment takes, and make nothing
        #[arg(long)]
        print: bool,
    },
    /// Print the members of a segment, one JSON endpoint a line, in order of id
    #[command(after_help = "Example:\n  pinport segment members everyone --app shop | wc -l")]
    Members {
        /// The segment, by name or id
        name: String,
        /// A version [default: the current one]
        #[arg(long, value_name = "N")]
        version: Option<u32>,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Delete a segment with all its versions; its endpoints stay
    #[command(after_help = "Example:\n  pinport segment delete everyone --app shop")]
    Delete {
        /// The segment, by name or id
        name: String,
        #[command(flatten)]
        app: AppArgs,
    },
}

pub(crate) fn parse_budget(text: &str) -> Result<FailureBudget, String> {
    text.parse()
}

/// The default limits with these `name=value` changes.
pub(crate) fn limits(changes: &[String]) -> anyhow::Result<RecordLimits> {
    let mut limits = serde_json::to_value(RecordLimits::default())?;
    for change in changes.iter().filter(|change| !change.is_empty()) {
        let (name, value) =
            change.split_once('=').ok_or_else(|| anyhow::anyhow!("--limit {change}: NAME=N is expected"))?;
        let known: Vec<_> = limits.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        let slot = limits.get_mut(name).ok_or_else(|| {
            anyhow::anyhow!("--limit {change}: there is no limit {name}; there are {}", known.join(", "))
        })?;
        let value: u32 =
            value.parse().map_err(|_| anyhow::anyhow!("--limit {change}: {value} is no number"))?;
        *slot = value.into();
    }
    Ok(serde_json::from_value(limits)?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn failure_budgets_are_counts_or_shares() {
        assert_eq!(parse_budget("10"), Ok(FailureBudget::Count(10)));
        assert_eq!(parse_budget("0.5%"), Ok(FailureBudget::Percent(0.5)));
        for text in ["", "-1", "101%", "x%", "1.5"] {
            assert!(parse_budget(text).is_err(), "{text}");
        }
    }

    #[test]
    fn limits_change_by_name() {
        assert_eq!(limits(&["max_value=7".into()]).unwrap().max_value, 7);
        let error = limits(&["max_values_=7".into()]).unwrap_err().to_string();
        assert!(error.contains("there is no limit max_values_; there are max_attributes"), "{error}");
    }
}
