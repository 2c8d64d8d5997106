//! What may be asked of jobs on the command line.

use std::{num::NonZeroU64, time::Duration};

use clap::{Args, Subcommand};

use super::{DataArgs, RemoteArgs, ServerArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    /// List jobs, newest first
    #[command(after_help = "Example:\n  pinport jobs ls --server http://127.0.0.1:7465 --limit 5")]
    Ls {
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        remote: RemoteArgs,
        /// At most this many
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: usize,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Print a job: its counts, warnings and failure classes
    #[command(after_help = "Example:\n  pinport jobs show last")]
    Show {
        #[command(flatten)]
        job: JobArgs,
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print every failed record of a job, or those that a search finds, one JSON object a line
    #[command(after_help = "\
Examples:
  pinport jobs failures last | jq -r .message | sort | uniq -c
  pinport jobs failures last --search 'ChannelType pigeon'")]
    Failures {
        #[command(flatten)]
        job: JobArgs,
        /// Only failures whose text has all of these words in it, in any case: object, line, member, reason
        #[arg(long, value_name = "WORDS")]
        search: Option<String>,
    },
    /// Print the original bytes of the failed records of a job, importable as they are
    #[command(after_help = "Example:\n  pinport jobs rejects last > mend.json")]
    Rejects {
        #[command(flatten)]
        job: JobArgs,
        /// CSV objects with another header have their rejects in another part
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        part: u32,
    },
    /// Import the rejects of a server's ended job again, mended in an editor or as they are
    #[command(after_help = "\
Examples:
  pinport jobs retry last --edit
  pinport jobs retry last --edit --search 'ChannelType pigeon'
  pinport jobs retry last                # after what they refer to was made

The new job imports into the same application and segment, with the same format and options, and names the job it came from.
The editor is $VISUAL, or else $EDITOR, or else vi.

Exit codes, as of an import: 0 completed; 3 completed, with failed records; 4 over the failure budget; 5 stopped;
7 nothing to import: no rejects, or the file was left as it was or emptied; 1 the job failed, or the server cannot be
asked; 2 wrong usage.")]
    Retry(RetryArgs),
    /// Follow a server's job to its end and report it
    #[command(after_help = "\
Example:
  pinport jobs wait last && echo everything is in

Exit codes, as of an import: 0 completed; 3 completed, with failed records; 4 over the failure budget; 5 cancelled;
6 --timeout is over and the job goes on; 1 the job failed, or the server cannot be asked; 2 wrong usage.")]
    Wait {
        #[command(flatten)]
        job: ServedJobArgs,
        /// Wait at most so long: seconds, or 90s, 10m, 2h
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        timeout: Option<Duration>,
        /// Show no progress, and no report unless a record failed or the job did not complete
        #[arg(long, short, env = "PINPORT_QUIET")]
        quiet: bool,
    },
    /// Read the source of a server's job again and compare what it says with what is stored
    #[command(after_help = "\
Example:
  pinport jobs verify last --json | jq .Differences

Exit codes: 0 everything is stored as the source says; 3 the same, but some records fail as in an import and were not
compared; 1 something is not stored, or with another value, or the server cannot be asked; 2 wrong usage.")]
    Verify(ServedJobArgs),
    /// Cancel a server's job; what it committed stays
    #[command(after_help = "Example:\n  pinport jobs cancel last; pinport jobs wait last")]
    Cancel(ServedJobArgs),
    /// Let a server's job rest after its last committed piece
    #[command(after_help = "Example:\n  pinport jobs pause last")]
    Pause(ServedJobArgs),
    /// Let a paused job go on
    #[command(after_help = "Example:\n  pinport jobs resume last")]
    Resume(ServedJobArgs),
    /// Show or change how fast a server's job may read, also while it runs
    #[command(after_help = "\
Examples:
  pinport jobs throttle last --rows 20000
  pinport jobs throttle all --bytes 50m
  pinport jobs throttle last --off

`all` is the rate of all jobs of the server together, until it ends; [jobs] of pinport.toml has the one from its start on.")]
    Throttle(ThrottleArgs),
    /// Have a URL told when a server's job ends or stands still, if the server's configuration allows webhooks
    #[command(after_help = "Example:\n  pinport jobs webhook last https://hooks.example.com/tenants/a")]
    Webhook {
        #[command(flatten)]
        job: ServedJobArgs,
        /// The URL
        url: String,
    },
    /// Delete an ended job with its failures and rejects; what it registered stays
    #[command(after_help = "Example:\n  pinport jobs delete last")]
    Delete {
        #[command(flatten)]
        job: JobArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    /// The job's id, any part of it that no other job has, or `last`
    pub(crate) job: String,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    #[command(flatten)]
    pub(crate) job: ServedJobArgs,
    /// Open them in an editor first
    #[arg(long)]
    pub(crate) edit: bool,
    /// Only rejects whose failure has all of these words in it, in any case: object, line, member, reason
    #[arg(long, value_name = "WORDS")]
    pub(crate) search: Option<String>,
    /// CSV objects with another header have their rejects in another part
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) part: u32,
    /// Show no progress, and no report unless a record failed or the job did not complete
    #[arg(long, short, env = "PINPORT_QUIET")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ThrottleArgs {
    /// The job's id, any part of it that no other job has, `last`, or `all` for all jobs together
    pub(crate) job: String,
    /// Records a second
    #[arg(long, value_name = "N", conflicts_with = "off")]
    pub(crate) rows: Option<NonZeroU64>,
    /// Decoded bytes a second: a number, or one with k, m or g
    #[arg(long, value_name = "N", conflicts_with = "off", value_parser = parse_bytes)]
    pub(crate) bytes: Option<NonZeroU64>,
    /// No bound any more
    #[arg(long)]
    pub(crate) off: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// A number of bytes as `1000`, `500k`, `20m` or `1g`.
fn parse_bytes(text: &str) -> Result<NonZeroU64, String> {
    let bytes = pinport_model::size::with_unit(text).map(|(number, _)| number);
    bytes.and_then(NonZeroU64::new).ok_or_else(|| "write a number above 0, or 500k, 20m, 1g".into())
}

#[derive(Debug, Args)]
pub(crate) struct ServedJobArgs {
    /// The job's id, any part of it that no other job has, or `last`
    pub(crate) job: String,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// A time as `90`, `90s`, `10m`, `2h` or `30d`.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.as_bytes().last() {
        Some(b's') => (&text[..text.len() - 1], 1),
        Some(b'm') => (&text[..text.len() - 1], 60),
        Some(b'h') => (&text[..text.len() - 1], 3600),
        Some(b'd') => (&text[..text.len() - 1], 86_400),
        _ => (text, 1),
    };
    let seconds = number.parse::<u32>().ok().map(|number| u64::from(number) * unit);
    seconds.map(Duration::from_secs).ok_or_else(|| "write seconds, or 90s, 10m, 2h, 30d".into())
}
