//! What `pinport serve` may be asked, and `pinport config`.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use pinport_model::job::FailureBudget;
use pinport_server::log::LogFormat;

use super::parse_budget;
use crate::address;

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Read and judge the configuration without starting anything
    ///
    /// Folders, ports, certificates, modes and limits are tried too, with a line for each; it ends with 1 if one of them
    /// is WRONG, and with 2 if the configuration itself is.
    #[command(after_help = "Example:\n  pinport config check --config /etc/pinport.toml")]
    Check(Box<ServeArgs>),
}

#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Example:
  pinport serve --data /var/lib/pinport
  AWS_ENDPOINT_URL_PINPOINT=http://127.0.0.1:7465 aws pinpoint get-apps

Every option may also stand in pinport.toml; examples/pinport.toml lists them all.
SIGTERM stops in good order, SIGHUP reads configuration, keys and certificate again.")]
pub(crate) struct ServeArgs {
    /// Where to listen [default: 127.0.0.1:7465]
    #[arg(long, env = "PINPORT_LISTEN", value_name = "ADDRESS", value_parser = address::listen)]
    pub(crate) listen: Option<SocketAddr>,
    /// The folder of the store and of the jobs' files [default: pinport-data]
    #[arg(long, env = "PINPORT_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Keep endpoints, segments and jobs in this database of PostgreSQL's: postgres://USER@HOST/DATABASE [default: in the data folder]
    #[arg(long, env = "PINPORT_STORE_URL", hide_env_values = true, value_name = "URL")]
    pub(crate) store_url: Option<String>,
    /// The configuration [default: pinport.toml, if it is there]
    #[arg(long, env = "PINPORT_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Jobs that run at a time [default: 2]
    #[arg(long, env = "PINPORT_MAX_RUNNING_JOBS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) max_running_jobs: Option<u16>,
    /// The folder below which file:// URLs may read [default: none]
    #[arg(long, env = "PINPORT_LOCAL_ROOT", value_name = "DIR")]
    pub(crate) local_root: Option<PathBuf>,
    /// The region in ARNs and signatures [default: us-east-1]
    #[arg(long, env = "PINPORT_REGION", value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// The account in ARNs, 12 digits [default: 000000000000]
    #[arg(long, env = "PINPORT_ACCOUNT", value_name = "DIGITS")]
    pub(crate) account: Option<String>,
    /// A file with `keys` tables
    #[arg(long, env = "PINPORT_KEYS_FILE", value_name = "FILE")]
    pub(crate) keys_file: Option<PathBuf>,
    /// The certificate in PEM, its chain after it
    #[arg(long, env = "PINPORT_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// The certificate's key in PEM
    #[arg(long, env = "PINPORT_TLS_KEY", value_name = "FILE", requires = "tls_certificate")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Listen beyond loopback without keys or without TLS: something else guards the address
    #[arg(long, env = "PINPORT_INSECURE_LISTEN")]
    pub(crate) insecure_listen: bool,
    /// Give a job up when more records fail: a number, or a share such as 1%
    #[arg(long, value_name = "N|N%", value_parser = parse_budget, env = "PINPORT_MAX_FAILURES")]
    pub(crate) max_failures: Option<FailureBudget>,
    /// MiB of failures and rejects that a job keeps: after them a sample [default: 1024, or 1/50 of the disk]
    #[arg(long, env = "PINPORT_KEPT_FAILURES", value_name = "MIB", value_parser = clap::value_parser!(u64).range(..=1 << 20))]
    pub(crate) kept_failures: Option<u64>,
    /// MiB that are kept free on the disk: below them no job begins and running ones wait [default: 1024, or 1/20 of it]
    #[arg(long, env = "PINPORT_DISK_RESERVE", value_name = "MIB", value_parser = clap::value_parser!(u64).range(..=1 << 30))]
    pub(crate) disk_reserve: Option<u64>,
    /// End with an error when the store has stopped, so that the service manager starts the server again
    #[arg(long, env = "PINPORT_EXIT_WHEN_STOPPED")]
    pub(crate) exit_when_stopped: bool,
    /// Seconds that running jobs get to rest when the server stops [default: 20]
    #[arg(long, env = "PINPORT_DRAIN_SECONDS", value_name = "N")]
    pub(crate) drain_seconds: Option<u64>,
    /// The form of the log [default: text]
    #[arg(long, value_enum, env = "PINPORT_LOG_FORMAT")]
    pub(crate) log_format: Option<LogFormatArg>,
    /// A level, or targets with levels: info,pinport=debug [default: info]
    #[arg(long, env = "PINPORT_LOG", value_name = "FILTER")]
    pub(crate) log_filter: Option<String>,
    /// Where probes and metrics have a listener of their own, without TLS and signatures [default: none]
    #[arg(long, env = "PINPORT_METRICS_LISTEN", value_name = "ADDRESS", value_parser = address::listen)]
    pub(crate) metrics_listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) engine: ServeEngineArgs,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ServeEngineArgs {
    /// Threads that parse and build [default: one a core]
    #[arg(long, env = "PINPORT_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Bytes in flight, in MiB [default: 256]
    #[arg(long, env = "PINPORT_MEMORY", value_name = "MIB", value_parser = clap::value_parser!(u64).range(64..=1 << 20))]
    pub(crate) memory: Option<u64>,
    /// Decoded size of a piece, the unit of durable progress, in KiB [default: 32768]
    #[arg(long, env = "PINPORT_PIECE", value_name = "KIB", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub(crate) piece: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LogFormatArg {
    /// For reading
    Text,
    /// One object a line
    Json,
}

impl From<LogFormatArg> for LogFormat {
    fn from(format: LogFormatArg) -> Self {
        match format {
            LogFormatArg::Text => Self::Text,
            LogFormatArg::Json => Self::Json,
        }
    }
}
