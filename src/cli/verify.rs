//! What `pinport verify` may be asked.

use clap::Args;

use super::{DataArgs, EngineArgs, FormatArg, ReadingArgs};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinport verify exports/ --format json --segment everyone
  pinport verify s3://bucket/contacts.csv --app shop --json | jq .Differences

The source is imported into a store of its own within the data folder, which is removed afterwards. What the data folder
has beside what the source says is counted and is no difference. A server that has the folder open must be stopped.

Exit codes: 0 everything is stored as the source says; 3 the same, but some records fail as in an import and were not
compared; 1 something is not stored, or with another value; 5 stopped; 2 wrong usage.")]
pub(crate) struct VerifyArgs {
    /// s3://, gs://, az:// or file:// with a key or a prefix of keys; a file; or a folder
    pub(crate) source: String,
    /// What the objects hold [default: what their names or their first bytes say]
    #[arg(long, short, value_enum, ignore_case = true, env = "PINPORT_FORMAT")]
    pub(crate) format: Option<FormatArg>,
    /// Compare with the members of this segment, by name or id [default: with all endpoints of the application]
    #[arg(long, value_name = "NAME")]
    pub(crate) segment: Option<String>,
    /// The application, by name or id
    #[arg(long, default_value = "default", env = "PINPORT_APP", value_name = "NAME")]
    pub(crate) app: String,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Print the outcome as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten)]
    pub(crate) reading: ReadingArgs,
    /// Change a bound on records, as the import did
    #[arg(long = "limit", value_name = "NAME=N", env = "PINPORT_LIMITS", value_delimiter = ',')]
    pub(crate) limits: Vec<String>,
}
