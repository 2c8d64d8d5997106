//! What the dashboard looks like: colours that read on black and on white, symbols with an ASCII form.
//!
//! The terminal's background is unknown, because many terminals do not answer when asked. So every colour must be
//! readable on black and on white, and plain text uses the terminal's own colour. Colour is never the only sign:
//! every state also has a symbol and a word.

use ratatui::style::{Color, Modifier, Style};

/// Which colours are used. None of them paints a background, so the terminal's own stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Palette {
    /// No colour at all: bold, dim and reversed only.
    None,
    /// Of the 16 colours those that read on every background: each terminal shows others.
    Sixteen,
    /// Middle tones of the 256, which are the same on every terminal.
    #[default]
    Many,
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

impl Palette {
    /// The palette for an environment: none when NO_COLOR is present and not empty or TERM is `dumb`, many when
    /// COLORTERM is set or TERM names 256 colours, else 16.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let terminal = set("TERM").unwrap_or_default();
        if set("NO_COLOR").is_some() || terminal == "dumb" {
            return Self::None;
        }
        let has_many = ["256color", "direct", "kitty", "alacritty", "ghostty", "foot", "wezterm"]
            .iter()
            .any(|word| terminal.contains(word));
        if has_many || set("COLORTERM").is_some() { Self::Many } else { Self::Sixteen }
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

    /// What a chart shows where nothing is known.
    pub(crate) fn unknown(self) -> &'static str {
        self.pick("·", ":")
    }

    /// What marks failed records in a chart.
    pub(crate) fn failure(self) -> &'static str {
        self.pick("×", "x")
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

/// The role of a text, which decides how it looks.
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
        let colour = |sixteen: Option<Color>, many: u8| match self.palette {
            Palette::None => plain,
            Palette::Sixteen => sixteen.map_or(plain, |colour| plain.fg(colour)),
            Palette::Many => plain.fg(Color::Indexed(many)),
        };
        // Bold would make some terminals take the bright one of 16 colours, which is hard to read on white.
        let bold = |style: Style| match self.palette {
            Palette::Sixteen if style.fg.is_some() => style,
            _ => style.add_modifier(Modifier::BOLD),
        };
        match role {
            Role::Plain => plain,
            Role::Dim => plain.add_modifier(Modifier::DIM),
            Role::Title => plain.add_modifier(Modifier::BOLD),
            // Green, cyan and yellow are too bright for white, blue is too dark for black.
            Role::Good => colour(None, 28),
            Role::Bad => bold(colour(Some(Color::Red), 161)),
            Role::Warn => bold(colour(Some(Color::Magenta), 130)),
            Role::Active => colour(None, 31),
            Role::Key => bold(colour(None, 31)),
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
        let cases: [(&[(&str, &str)], Palette); 9] = [
            (&[], Palette::Sixteen),
            (&[("TERM", "xterm")], Palette::Sixteen),
            (&[("TERM", "linux"), ("NO_COLOR", "")], Palette::Sixteen),
            (&[("TERM", "screen-256color")], Palette::Many),
            (&[("TERM", "xterm-kitty")], Palette::Many),
            (&[("TERM", "xterm"), ("COLORTERM", "truecolor")], Palette::Many),
            (&[("NO_COLOR", "1"), ("COLORTERM", "truecolor")], Palette::None),
            (&[("NO_COLOR", "0")], Palette::None),
            (&[("TERM", "dumb")], Palette::None),
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

    const ROLES: [Role; 8] =
        [Role::Plain, Role::Dim, Role::Title, Role::Good, Role::Bad, Role::Warn, Role::Active, Role::Key];

    fn look(palette: Palette) -> Look {
        Look { palette, symbols: Symbols::Unicode }
    }

    #[test]
    fn without_a_palette_nothing_has_a_colour() {
        for role in ROLES {
            let style = look(Palette::None).style(role);
            assert_eq!((style.fg, style.bg), (None, None), "{role:?}");
        }
    }

    /// How a colour stands out from black and from white, by the formula of WCAG 2.
    fn contrasts([red, green, blue]: [u8; 3]) -> (f64, f64) {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        let luminance = 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
        ((luminance + 0.05) / 0.05, 1.05 / (luminance + 0.05))
    }

    #[test]
    fn every_colour_reads_on_black_and_on_white() {
        for role in ROLES {
            let style = look(Palette::Many).style(role);
            assert_eq!(style.bg, None, "{role:?}");
            let Some(colour) = style.fg else { continue };
            let Color::Indexed(number @ 16..=231) = colour else { panic!("{role:?} is {colour:?}") };
            // The cube of 6 by 6 by 6.
            let part = |of: u8| if of == 0 { 0 } else { 55 + of * 40 };
            let number = number - 16;
            let (black, white) = contrasts([part(number / 36), part(number / 6 % 6), part(number % 6)]);
            assert!(black >= 4.0 && white >= 4.0, "{role:?}: {black:.1} on black, {white:.1} on white");
        }
    }

    #[test]
    fn of_16_colours_those_are_used_that_read_everywhere() {
        // As the VGA console, xterm, Windows and GNOME's terminals show them.
        let red = [[170, 0, 0], [205, 0, 0], [197, 15, 31], [192, 28, 40]];
        let magenta = [[170, 0, 170], [205, 0, 205], [136, 23, 152], [163, 71, 186]];
        let shown = |colour| match colour {
            Color::Red => red,
            Color::Magenta => magenta,
            other => panic!("{other:?} does not read on every background"),
        };
        for role in ROLES {
            let style = look(Palette::Sixteen).style(role);
            assert_eq!(style.bg, None, "{role:?}");
            let Some(colour) = style.fg else { continue };
            assert!(!style.add_modifier.contains(Modifier::BOLD), "{role:?} may become the bright one");
            for parts in shown(colour) {
                let (black, white) = contrasts(parts);
                let least = black.min(white);
                assert!(least >= 2.4, "{role:?} as {parts:?}: {black:.1} on black, {white:.1} on white");
            }
        }
    }
}
