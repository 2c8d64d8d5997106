//! The flags that say how a file is to be read, for an import of this process and for one at a server.

use clap::Args;
use pinport_model::{Delimiter, Escape, ReadOptions, ReadRules};

#[derive(Debug, Args)]
#[command(next_help_heading = "How to read (docs/files.md)")]
pub(crate) struct ReadingArgs {
    /// Take names of columns and members only as they are written, as Pinpoint does: Optout is not OptOut
    #[arg(long, env = "PINPORT_STRICT_NAMES")]
    strict_names: bool,
    /// The separator of CSV cells: a character or the word tab [default: told from the header]
    #[arg(long, env = "PINPORT_DELIMITER", value_name = "CHAR")]
    delimiter: Option<Delimiter>,
    /// How quotes in quoted CSV cells are escaped: auto, double or backslash
    #[arg(long, env = "PINPORT_ESCAPE", value_name = "HOW", default_value_t)]
    escape: Escape,
    /// The encoding of the text, such as windows-1252 [default: told from the first bytes]
    #[arg(long, env = "PINPORT_ENCODING", value_name = "NAME")]
    encoding: Option<String>,
    /// Keep ids and addresses that a spreadsheet or a database has spoilt (4.47701E+11, #N/A, NULL)
    #[arg(long, env = "PINPORT_ALLOW_SUSPICIOUS")]
    allow_suspicious: bool,
    /// Make endpoints of records with an Id but without Address or ChannelType
    #[arg(long, env = "PINPORT_ALLOW_INCOMPLETE")]
    allow_incomplete: bool,
}

impl ReadingArgs {
    /// What they say.
    pub(crate) fn options(&self) -> ReadOptions {
        ReadOptions {
            rules: ReadRules {
                strict_names: self.strict_names,
                delimiter: self.delimiter,
                escape: self.escape,
                allow_suspicious: self.allow_suspicious,
                allow_incomplete: self.allow_incomplete,
            },
            encoding: self.encoding.clone(),
        }
    }

    /// Hands the parameters to `add` that say the same to a server.
    pub(crate) fn parameters(&self, add: &mut dyn FnMut(&str, &str)) {
        let flags = [
            ("strict-names", self.strict_names),
            ("allow-suspicious", self.allow_suspicious),
            ("allow-incomplete", self.allow_incomplete),
        ];
        for (name, _) in flags.into_iter().filter(|(_, set)| *set) {
            add(name, "true");
        }
        if let Some(delimiter) = self.delimiter {
            add("delimiter", &delimiter.to_string());
        }
        if self.escape != Escape::Auto {
            add("escape", self.escape.as_str());
        }
        if let Some(encoding) = &self.encoding {
            add("encoding", encoding);
        }
    }
}
