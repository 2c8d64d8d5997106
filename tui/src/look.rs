//! What the dashboard looks like: colours that read on dark and light backgrounds, symbols with an ASCII form.
//!
//! Colour is never the only carrier: every state has a symbol and a word too.

use std::str::FromStr;

use ratatui::style::{Color, Modifier, Style};

/// Which colours are used. None of them paints a background, so the terminal's own stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Palette {
    /// No colour at all: bold, dim and reversed only.
    None,
    /// The 16 colours of every terminal; reads on dark and most light backgrounds.
    #[default]
    Dark,
    /// The darker half of them, for light backgrounds.
    Light,
}

/// Which characters draw lines, bars and states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Symbols {
    /// Box drawing and block elements.
    #[default]
    Unicode,
    /// ASCII only; other characters in data are shown as `?`.
    Ascii,
}

/// Text that names no palette.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsePaletteError;

impl std::fmt::Display for ParsePaletteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the palettes are none, dark and light")
    }
}

impl std::error::Error for ParsePaletteError {}

impl FromStr for Palette {
    type Err = ParsePaletteError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "dark" => Ok(Self::Dark),
            "light" => Ok(Self::Light),
            _ => Err(ParsePaletteError),
        }
    }
}

impl Palette {
    /// The palette for an environment: none when NO_COLOR is present and not empty or TERM is `dumb`, light
    /// when COLORFGBG tells of a light background, else dark. A flag comes before all of it.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        if set("NO_COLOR").is_some() || set("TERM").as_deref() == Some("dumb") {
            return Self::None;
        }
        let background = set("COLORFGBG").and_then(|value| value.rsplit(';').next()?.parse::<u8>().ok());
        if matches!(background, Some(7 | 9..=15)) { Self::Light } else { Self::Dark }
    }
}

impl Symbols {
    /// The symbols for an environment: the first of LC_ALL, LC_CTYPE and LANG that is set must name UTF-8.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"];
        let locale = locale.into_iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
        let locale = locale.unwrap_or_default().to_ascii_lowercase().replace('-', "");
        if locale.contains("utf8") { Self::Unicode } else { Self::Ascii }
    }

    fn pick<T>(self, unicode: T, ascii: T) -> T {
        match self {
            Self::Unicode => unicode,
            Self::Ascii => ascii,
        }
    }

    pub(crate) fn ellipsis(self) -> char {
        self.pick('…', '~')
    }

    pub(crate) fn horizontal(self) -> &'static str {
        self.pick("─", "-")
    }

    pub(crate) fn separator(self) -> &'static str {
        self.pick(" · ", " | ")
    }

    pub(crate) fn selected(self) -> &'static str {
        self.pick("▸", ">")
    }

    pub(crate) fn descending(self) -> &'static str {
        self.pick("▼", "v")
    }

    pub(crate) fn ascending(self) -> &'static str {
        self.pick("▲", "^")
    }

    /// Parts of a bar's cell from empty to full.
    pub(crate) fn horizontal_parts(self) -> &'static [&'static str] {
        self.pick(&[" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"], &[" ", "#"])
    }

    /// Parts of a chart's cell from empty to full.
    pub(crate) fn vertical_parts(self) -> &'static [&'static str] {
        self.pick(&[" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"], &[" ", ".", ":", "|"])
    }

    /// What an empty part of a bar is drawn with.
    pub(crate) fn track(self) -> &'static str {
        self.pick("░", ".")
    }

    pub(crate) fn choose(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        self.pick(unicode, ascii)
    }

    pub(crate) fn border(self) -> ratatui::symbols::border::Set<'static> {
        use ratatui::symbols::border;
        let ascii = border::Set {
            top_left: "+",
            top_right: "+",
            bottom_left: "+",
            bottom_right: "+",
            vertical_left: "|",
            vertical_right: "|",
            horizontal_top: "-",
            horizontal_bottom: "-",
        };
        self.pick(border::PLAIN, ascii)
    }
}

/// What a text is, not how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Plain,
    Dim,
    Title,
    Good,
    Bad,
    Warn,
    Active,
    Key,
}

/// Colours and symbols together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// The colours.
    pub palette: Palette,
    /// The characters.
    pub symbols: Symbols,
}

impl Look {
    pub(crate) fn style(self, role: Role) -> Style {
        let plain = Style::new();
        let colour = |dark: Color, light: Color| match self.palette {
            Palette::None => plain,
            Palette::Dark => plain.fg(dark),
            Palette::Light => plain.fg(light),
        };
        match role {
            Role::Plain => plain,
            Role::Dim => plain.add_modifier(Modifier::DIM),
            Role::Title => plain.add_modifier(Modifier::BOLD),
            Role::Good => colour(Color::Green, Color::Green),
            Role::Bad => colour(Color::Red, Color::Red).add_modifier(Modifier::BOLD),
            Role::Warn => colour(Color::Yellow, Color::Magenta).add_modifier(Modifier::BOLD),
            Role::Active => colour(Color::Cyan, Color::Blue),
            Role::Key => colour(Color::Cyan, Color::Blue).add_modifier(Modifier::BOLD),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment<'a>(pairs: &'a [(&str, &str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn the_palette_follows_the_environment() {
        let cases: [(&[(&str, &str)], Palette); 7] = [
            (&[], Palette::Dark),
            (&[("NO_COLOR", "")], Palette::Dark),
            (&[("NO_COLOR", "1")], Palette::None),
            (&[("NO_COLOR", "0")], Palette::None),
            (&[("TERM", "dumb")], Palette::None),
            (&[("COLORFGBG", "0;15")], Palette::Light),
            (&[("COLORFGBG", "15;default;0")], Palette::Dark),
        ];
        for (pairs, palette) in cases {
            assert_eq!(Palette::from_environment(environment(pairs)), palette, "{pairs:?}");
        }
    }

    #[test]
    fn symbols_follow_the_first_locale_that_is_set() {
        let cases: [(&[(&str, &str)], Symbols); 5] = [
            (&[], Symbols::Ascii),
            (&[("LANG", "de_DE.UTF-8")], Symbols::Unicode),
            (&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")], Symbols::Ascii),
            (&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")], Symbols::Unicode),
            (&[("LANG", "de_DE.ISO-8859-1")], Symbols::Ascii),
        ];
        for (pairs, symbols) in cases {
            assert_eq!(Symbols::from_environment(environment(pairs)), symbols, "{pairs:?}");
        }
    }

    #[test]
    fn without_a_palette_nothing_has_a_colour() {
        let look = Look { palette: Palette::None, symbols: Symbols::Unicode };
        for role in
            [Role::Plain, Role::Dim, Role::Title, Role::Good, Role::Bad, Role::Warn, Role::Active, Role::Key]
        {
            let style = look.style(role);
            assert_eq!((style.fg, style.bg), (None, None), "{role:?}");
        }
    }
}
