//! The flags that say how a file is to be read, for an import of this process and for one at a server.

use std::fs;

use clap::Args;
use pinport_model::{Delimiter, Encoding, Escape, Mapping, ReadOptions, ReadRules};
use pinport_pipeline::parse::Map;

#[derive(Debug, Args)]
#[command(next_help_heading = "How to read (docs/files.md)")]
pub(crate) struct ReadingArgs {
    /// Refuse columns, and fail JSON records with members, whose names are nearly known ones: Optout is not OptOut
    #[arg(long, env = "PINPORT_STRICT_NAMES")]
    strict_names: bool,

    /// The separator of CSV cells: a character, or the word tab; by default it is detected from the header
    #[arg(long, env = "PINPORT_DELIMITER", value_name = "CHARACTER")]
    delimiter: Option<Delimiter>,

    /// The encoding of the text, such as windows-1252; by default UTF-8, or UTF-16 where that is seen
    #[arg(long, env = "PINPORT_ENCODING", value_name = "NAME")]
    encoding: Option<Encoding>,

    /// How quotes within quoted CSV cells are escaped: auto, double ("") or backslash (\\")
    #[arg(long, env = "PINPORT_ESCAPE", value_name = "HOW", default_value_t)]
    escape: Escape,

    /// Keep ids, addresses and user ids that a spreadsheet or a database has spoilt: 4.47701E+11, #N/A, NULL
    #[arg(long, env = "PINPORT_ALLOW_SUSPICIOUS")]
    allow_suspicious: bool,
    /// Take a record with an Id and without Address or ChannelType as a new endpoint, opted out of everything
    #[arg(long, env = "PINPORT_ALLOW_INCOMPLETE")]
    allow_incomplete: bool,
    /// What columns and members become, in TOML; `pinport map` proposes one (docs/mapping.md)
    #[arg(long, env = "PINPORT_MAP", value_name = "FILE", value_parser = mapping)]
    map: Option<Box<Mapping>>,
}

/// Reads a mapping from its file, and judges it.
fn mapping(path: &str) -> Result<Box<Mapping>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("failed to read it: {error}"))?;
    let mapping: Mapping = toml::from_str(&text).map_err(|error| format!("it is no mapping:\n{error}"))?;
    Map::new(&mapping).map_err(|wrong| wrong.to_string())?;
    Ok(Box::new(mapping))
}

impl ReadingArgs {
    /// What they say.
    pub(crate) fn options(&self) -> ReadOptions {
        let &Self { strict_names, delimiter, encoding, escape, allow_suspicious, allow_incomplete, .. } =
            self;
        let rules = ReadRules { strict_names, delimiter, escape, allow_suspicious, allow_incomplete };
        ReadOptions { rules, encoding, map: self.map.clone() }
    }

    /// Hands the parameters to `add` that say the same to a server.
    pub(crate) fn parameters(&self, add: &mut dyn FnMut(&str, &str)) {
        if let Some(delimiter) = self.delimiter {
            add("delimiter", &delimiter.to_string());
        }
        if let Some(encoding) = self.encoding {
            add("encoding", &encoding.to_string());
        }
        if self.escape != Escape::default() {
            add("escape", self.escape.as_str());
        }
        if let Some(map) = &self.map {
            add("map", &serde_json::to_string(map).expect("a mapping is JSON"));
        }
        for (name, is_set) in [
            ("strict-names", self.strict_names),
            ("allow-suspicious", self.allow_suspicious),
            ("allow-incomplete", self.allow_incomplete),
        ] {
            if is_set {
                add(name, "true");
            }
        }
    }
}
