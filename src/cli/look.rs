//! Options of how the dashboard looks.

use std::{fs::File, io::Read as _};

use clap::Args;
use pinport_tui::Theme;

/// The largest file of a theme.
const MAX_THEME: u64 = 64 << 10;

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LookArgs {
    /// Draw with ASCII characters only
    #[arg(long, env = "PINPORT_ASCII")]
    pub(crate) ascii: bool,
    /// Colours: auto (they read on black and on white), dark, light, mono, or a file like examples/theme.toml
    #[arg(long, env = "PINPORT_THEME", value_name = "NAME|FILE", default_value = "auto", value_parser = theme)]
    pub(crate) theme: Theme,
    /// Let the mouse select, scroll and sort; selecting text then needs Shift
    #[arg(long, env = "PINPORT_MOUSE")]
    pub(crate) mouse: bool,
}

/// A theme by its name, or out of a file.
fn theme(text: &str) -> Result<Theme, String> {
    if text.is_empty() {
        return Ok(Theme::AUTO);
    }
    if let Some(theme) = Theme::named(text) {
        return Ok(theme);
    }
    let mut content = String::new();
    let read = File::open(text).and_then(|file| file.take(MAX_THEME + 1).read_to_string(&mut content));
    read.map_err(|error| format!("{error}; write auto, dark, light, mono, or the name of a file"))?;
    if content.len() as u64 > MAX_THEME {
        return Err(format!("the file is longer than {MAX_THEME} bytes: it is no theme"));
    }
    Theme::parse(&content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn themes_are_named_or_read() {
        assert_eq!(theme("dark"), Ok(Theme::DARK));
        assert_eq!(theme(""), Ok(Theme::AUTO));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine");
        let name = file.to_str().unwrap();
        assert!(theme(name).unwrap_err().ends_with("write auto, dark, light, mono, or the name of a file"));
        std::fs::write(&file, "good = 1\nnice = 2").unwrap();
        assert!(theme(name).unwrap_err().starts_with("line 2: there is no role \"nice\""));
        std::fs::write(&file, "good = 1").unwrap();
        theme(name).unwrap();
        std::fs::write(&file, "#".repeat(1 << 17)).unwrap();
        assert!(theme(name).unwrap_err().contains("longer than"));
    }
}
