//! What the dashboard looks like: colours that read on black and on white, symbols with an ASCII form.
//!
//! The terminal's background is unknown, because many terminals do not answer when asked. So every colour must be
//! readable on black and on white, and plain text uses the terminal's own colour. Colour is never the only sign:
//! every state also has a symbol and a word.

use ratatui::style::{Color, Modifier, Style};

pub(crate) use crate::theme::Role;
use crate::theme::{self, Theme};

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
    /// What the font of the Linux console has: frames, half and full blocks, Latin-1. Other characters are shown as `?`.
    Console,
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
    /// The symbols for an environment: the first of LC_ALL, LC_CTYPE and LANG that is set must name UTF-8, and the Linux
    /// console has few of them.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"];
        let locale = locale.into_iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
        let locale = locale.unwrap_or_default().to_ascii_lowercase().replace('-', "");
        let is_console =
            variable("TERM").is_some_and(|terminal| terminal == "linux" || terminal.starts_with("linux-"));
        match locale.contains("utf8") {
            true if is_console => Self::Console,
            true => Self::Unicode,
            false => Self::Ascii,
        }
    }

    /// Whether a character of data can be shown.
    pub(crate) fn has(self, character: char) -> bool {
        match self {
            Self::Unicode => true,
            Self::Console => matches!(character, '\0'..='\u{ff}' | '─'..='▟'),
            Self::Ascii => character.is_ascii(),
        }
    }

    fn pick<T>(self, unicode: T, ascii: T) -> T {
        match self {
            Self::Unicode => unicode,
            Self::Console | Self::Ascii => ascii,
        }
    }

    /// The same where the Linux console has the first one.
    fn drawn<T>(self, unicode: T, ascii: T) -> T {
        match self {
            Self::Unicode | Self::Console => unicode,
            Self::Ascii => ascii,
        }
    }

    pub(crate) fn ellipsis(self) -> char {
        self.pick('…', '~')
    }

    pub(crate) fn horizontal(self) -> &'static str {
        self.drawn("─", "-")
    }

    pub(crate) fn separator(self) -> &'static str {
        self.drawn(" · ", " | ")
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
        if self == Self::Console {
            return &[" ", "▌", "█"];
        }
        self.pick(&[" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"], &[" ", "#"])
    }

    /// Parts of a chart's cell from empty to full.
    pub(crate) fn vertical_parts(self) -> &'static [&'static str] {
        if self == Self::Console {
            return &[" ", "▄", "█"];
        }
        self.pick(&[" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"], &[" ", ".", ":", "|"])
    }

    /// What an empty part of a bar is drawn with.
    pub(crate) fn track(self) -> &'static str {
        self.drawn("░", ".")
    }

    /// What a chart shows where nothing is known.
    pub(crate) fn unknown(self) -> &'static str {
        self.drawn("·", ":")
    }

    /// What marks failed records in a chart.
    pub(crate) fn failure(self) -> &'static str {
        self.pick("×", "x")
    }

    /// The line beside a chart, with a tick or without.
    pub(crate) fn scale(self, tick: bool) -> &'static str {
        if tick { self.drawn("┤", "+") } else { self.drawn("│", "|") }
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
        self.drawn(border::PLAIN, ascii)
    }
}

/// Colours and symbols together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// The colours.
    pub palette: Palette,
    /// The characters.
    pub symbols: Symbols,
    /// The colours of roles. Without a palette it has no effect.
    pub theme: Theme,
}

/// How a colour must stand out from a selected row's to stay there.
const READABLE: f64 = 3.0;

impl Look {
    /// The palette, unless the theme wants none.
    fn palette(self) -> Palette {
        if self.theme.is_mono { Palette::None } else { self.palette }
    }

    /// A theme's colour as this terminal has it.
    fn shown(self, colour: Option<Color>) -> Option<Color> {
        match self.palette() {
            Palette::None => None,
            Palette::Sixteen => colour.map(theme::of_sixteen),
            Palette::Many => colour.map(theme::of_many),
        }
    }

    /// The colours to paint behind everything and to write plain text in, if the theme says so.
    pub(crate) fn ground(self) -> Option<(Option<Color>, Color)> {
        let ground = self.shown(self.theme.colour(Role::Background))?;
        Some((self.shown(self.theme.colour(Role::Plain)), ground))
    }

    /// What a cell of a selected row becomes: every cell has the same background, and a colour stays where it reads on
    /// that.
    pub(crate) fn selected(self, cell: Style) -> Style {
        let kept = cell.remove_modifier(Modifier::DIM);
        if self.palette() == Palette::None {
            return kept.fg(Color::Reset).bg(Color::Reset).add_modifier(Modifier::REVERSED);
        }
        let (text, ground) = match (self.theme.is_auto, self.palette()) {
            (true, Palette::Sixteen) => (Some(Color::Black), Some(Color::Gray)),
            // Light, as what is reversed on black; what reads on black and on white reads on it too.
            (true, _) => (Some(Color::Indexed(16)), Some(Color::Indexed(254))),
            (false, _) => (
                self.shown(self.theme.colour(Role::SelectedText)),
                self.shown(self.theme.colour(Role::SelectedBackground)),
            ),
        };
        let Some(ground) = ground else {
            return kept.fg(text.unwrap_or_default()).add_modifier(Modifier::REVERSED);
        };
        let reads = |colour: &Color| {
            let pair = theme::parts(*colour).zip(theme::parts(ground));
            pair.is_some_and(|(colour, ground)| theme::contrast(colour, ground) >= READABLE)
        };
        let fallback = || if reads(&Color::Black) { Color::Black } else { Color::White };
        let text = text.filter(reads).unwrap_or_else(fallback);
        // What is plain or dim elsewhere is plain here.
        let plain = [self.style(Role::Plain).fg, self.style(Role::Dim).fg];
        let colour =
            kept.fg.filter(|colour| reads(colour) && !plain.contains(&Some(*colour))).unwrap_or(text);
        kept.fg(colour).bg(ground)
    }

    pub(crate) fn style(self, role: Role) -> Style {
        let plain = Style::new();
        if !self.theme.is_auto && !self.theme.is_mono && self.palette != Palette::None {
            let style = self.shown(self.theme.colour(role)).map_or(plain, |colour| plain.fg(colour));
            return match role {
                Role::Title | Role::Bad | Role::Warn | Role::Key => style.add_modifier(Modifier::BOLD),
                Role::Dim if style.fg.is_none() => style.add_modifier(Modifier::DIM),
                _ => style,
            };
        }
        let colour = |sixteen: Option<Color>, many: u8| match self.palette() {
            Palette::None => plain,
            Palette::Sixteen => sixteen.map_or(plain, |colour| plain.fg(colour)),
            Palette::Many => plain.fg(Color::Indexed(many)),
        };
        // Bold would make some terminals take the bright one of 16 colours, which is hard to read on white.
        let bold = |style: Style| match self.palette() {
            Palette::Sixteen if style.fg.is_some() => style,
            _ => style.add_modifier(Modifier::BOLD),
        };
        match role {
            Role::Plain | Role::Background | Role::SelectedText | Role::SelectedBackground => plain,
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
        let cases: [(&[(&str, &str)], Symbols); 7] = [
            (&[("LANG", "de_DE.UTF-8"), ("TERM", "linux")], Symbols::Console),
            (&[("LANG", "C"), ("TERM", "linux")], Symbols::Ascii),
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
        Look { palette, ..Look::default() }
    }

    #[test]
    fn without_a_palette_nothing_has_a_colour() {
        for role in ROLES {
            let style = look(Palette::None).style(role);
            assert_eq!((style.fg, style.bg), (None, None), "{role:?}");
        }
    }

    /// How a colour stands out from black and from white.
    fn contrasts(colour: [u8; 3]) -> (f64, f64) {
        (theme::contrast(colour, [0; 3]), theme::contrast(colour, [255; 3]))
    }

    #[test]
    fn a_selected_row_is_flat_and_every_cell_of_it_reads() {
        let file =
            Theme::parse("background = 'black'\nselected_background = '#404040'\nselected_text = 'black'")
                .unwrap();
        for theme in [Theme::AUTO, Theme::DARK, Theme::LIGHT, Theme::MONO, file] {
            for palette in [Palette::None, Palette::Sixteen, Palette::Many] {
                let look = Look { palette, theme, ..Look::default() };
                let rows: Vec<Style> = ROLES.iter().map(|role| look.selected(look.style(*role))).collect();
                for style in &rows {
                    let reversed = style.add_modifier.contains(Modifier::REVERSED);
                    assert_eq!(style.bg, rows[0].bg, "{look:?}");
                    assert!(!style.add_modifier.contains(Modifier::DIM), "{look:?}");
                    assert_eq!(reversed, style.bg == Some(Color::Reset), "{look:?}");
                    if !reversed {
                        let pair = style.fg.and_then(theme::parts).zip(style.bg.and_then(theme::parts));
                        let (text, ground) = pair.unwrap();
                        assert!(theme::contrast(text, ground) >= READABLE, "{look:?} {style:?}");
                    }
                }
            }
        }
        // States keep their colours where they read.
        for theme in [Theme::AUTO, Theme::DARK, Theme::LIGHT] {
            let look = Look { theme, ..Look::default() };
            for role in [Role::Good, Role::Bad, Role::Warn, Role::Active] {
                assert_eq!(look.selected(look.style(role)).fg, look.style(role).fg, "{theme:?} {role:?}");
            }
        }
    }

    #[test]
    fn the_dark_theme_reads_on_black_and_the_light_one_on_white() {
        for (theme, ground) in [(Theme::DARK, [0; 3]), (Theme::LIGHT, [255; 3])] {
            for palette in [Palette::Sixteen, Palette::Many] {
                for role in ROLES {
                    let Some(colour) = (Look { theme, palette, ..Look::default() }).style(role).fg else {
                        continue;
                    };
                    let contrast = theme::contrast(theme::parts(colour).unwrap(), ground);
                    let least = if palette == Palette::Many { 4.5 } else { 2.6 };
                    assert!(contrast >= least, "{role:?} {colour:?}: {contrast:.1}");
                }
            }
        }
    }

    #[test]
    fn no_color_wins_over_every_theme() {
        for theme in [Theme::DARK, Theme::LIGHT, Theme::parse("bad = 'red'\nbackground = 'blue'").unwrap()] {
            let look = Look { palette: Palette::None, theme, ..Look::default() };
            assert_eq!(look.ground(), None);
            for role in ROLES {
                let style = look.style(role);
                assert_eq!((style.fg, style.bg), (None, None), "{role:?}");
            }
        }
    }

    #[test]
    fn every_colour_reads_on_black_and_on_white() {
        for role in ROLES {
            let style = look(Palette::Many).style(role);
            assert_eq!(style.bg, None, "{role:?}");
            let Some(colour) = style.fg else { continue };
            assert!(matches!(colour, Color::Indexed(16..=231)), "{role:?} is {colour:?}");
            let (black, white) = contrasts(theme::parts(colour).unwrap());
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
