//! The flags that say how a file is to be read, for an import of this process and for one at a server.

use clap::Args;
use pinport_model::{ReadOptions, ReadRules};

#[derive(Debug, Args)]
#[command(next_help_heading = "How to read (docs/files.md)")]
pub(crate) struct ReadingArgs {
    /// Refuse a CSV file with a column that is nearly a known one, as Pinpoint does: Optout is not OptOut
    #[arg(long, env = "PINPORT_STRICT_NAMES")]
    strict_names: bool,
    /// Take a record with an Id and without Address or ChannelType as a new endpoint, opted out of everything
    #[arg(long, env = "PINPORT_ALLOW_INCOMPLETE")]
    allow_incomplete: bool,
}

impl ReadingArgs {
    /// What they say.
    pub(crate) fn options(&self) -> ReadOptions {
        ReadOptions {
            rules: ReadRules { strict_names: self.strict_names, allow_incomplete: self.allow_incomplete },
        }
    }

    /// Hands the parameters to `add` that say the same to a server.
    pub(crate) fn parameters(&self, add: &mut dyn FnMut(&str, &str)) {
        if self.strict_names {
            add("strict-names", "true");
        }
        if self.allow_incomplete {
            add("allow-incomplete", "true");
        }
    }
}
