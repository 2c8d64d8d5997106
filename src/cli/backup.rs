//! What `pinport backup` and `pinport restore` may be asked.

use clap::{Args, Subcommand};

use super::{DataArgs, RemoteArgs};

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    #[command(subcommand)]
    pub(crate) command: Option<BackupCommand>,
    /// A folder, or s3://, gs:// or az:// with a prefix of keys
    #[arg(long, value_name = "DIR|URL", env = "PINPORT_BACKUP_TO")]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
    /// Print each file that is copied
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// List the backups of a place, the oldest first
    #[command(after_help = "Example:\n  pinport backup ls /mnt/backups")]
    Ls {
        /// The folder or bucket of the backups
        place: String,
    },
    /// Read a backup whole and hold every file against its sum; ends with 1 if one is missing or damaged
    #[command(after_help = "Example:\n  pinport backup verify s3://bucket/pinport/")]
    Verify {
        /// The folder or bucket of the backups
        place: String,
        /// Its name [default: the newest]
        #[arg(long, value_name = "NAME")]
        backup: Option<String>,
    },
    /// Remove all backups but the newest
    #[command(after_help = "Example:\n  pinport backup prune /mnt/backups --keep 7")]
    Prune {
        /// The folder or bucket of the backups
        place: String,
        /// How many stay
        #[arg(long, value_name = "N", value_parser = parse_above_0)]
        keep: usize,
    },
}

fn parse_above_0(text: &str) -> Result<usize, &'static str> {
    text.parse::<usize>().ok().filter(|keep| *keep > 0).ok_or("write a number above 0")
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The folder or bucket of the backups
    pub(crate) from: String,
    /// Its name [default: the newest]
    #[arg(long, value_name = "NAME")]
    pub(crate) backup: Option<String>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}
