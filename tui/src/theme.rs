//! Themes: which colour each role has, from a file or built in.

use ratatui::style::Color;
use toml::de::{DeTable, DeValue};

/// What a colour is for, in the order of the documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Role {
    Plain,
    /// Painted behind everything.
    Background,
    Dim,
    Title,
    Good,
    Bad,
    Warn,
    Active,
    Key,
    SelectedText,
    SelectedBackground,
}

impl Role {
    /// All of them by their names in files.
    const ALL: [(Self, &'static str); 11] = [
        (Self::Plain, "text"),
        (Self::Background, "background"),
        (Self::Dim, "dim"),
        (Self::Title, "title"),
        (Self::Good, "good"),
        (Self::Bad, "bad"),
        (Self::Warn, "warn"),
        (Self::Active, "active"),
        (Self::Key, "key"),
        (Self::SelectedText, "selected_text"),
        (Self::SelectedBackground, "selected_background"),
    ];
}

/// The colours of the dashboard. A role without one has the terminal's own colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    colours: [Option<Color>; Role::ALL.len()],
    /// Whether the colours are left to the kind of terminal: those that read on black and on white.
    pub(crate) is_auto: bool,
    /// Whether there are no colours at all.
    pub(crate) is_mono: bool,
}

/// The names of the 16 colours.
const NAMES: [(&str, Color); 16] = [
    ("black", Color::Black),
    ("red", Color::Red),
    ("green", Color::Green),
    ("yellow", Color::Yellow),
    ("blue", Color::Blue),
    ("magenta", Color::Magenta),
    ("cyan", Color::Cyan),
    ("white", Color::Gray),
    ("bright-black", Color::DarkGray),
    ("bright-red", Color::LightRed),
    ("bright-green", Color::LightGreen),
    ("bright-yellow", Color::LightYellow),
    ("bright-blue", Color::LightBlue),
    ("bright-magenta", Color::LightMagenta),
    ("bright-cyan", Color::LightCyan),
    ("bright-white", Color::White),
];

const COLOURS: &str = "a name (black, red, green, yellow, blue, magenta, cyan, white, each also as bright-…), \
                       a number from 0 to 255, \"#rrggbb\", or \"default\"";

impl Default for Theme {
    fn default() -> Self {
        Self::AUTO
    }
}

impl Theme {
    /// Colours that read on black and on white, as many as the terminal has.
    pub const AUTO: Self = Self { colours: [None; Role::ALL.len()], is_auto: true, is_mono: false };
    /// No colours: bold, dim and reversed only.
    pub const MONO: Self = Self { colours: [None; Role::ALL.len()], is_auto: false, is_mono: true };
    /// For a dark background.
    pub const DARK: Self =
        Self::of([None, None, n(245), None, n(114), n(210), n(215), n(80), n(80), n(255), n(237)]);
    /// For a light background.
    pub const LIGHT: Self =
        Self::of([None, None, n(242), None, n(22), n(124), n(94), n(24), n(24), n(16), n(252)]);

    const fn of(colours: [Option<Color>; Role::ALL.len()]) -> Self {
        Self { colours, is_auto: false, is_mono: false }
    }

    /// A theme that is built in.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "auto" => Self::AUTO,
            "dark" => Self::DARK,
            "light" => Self::LIGHT,
            "mono" => Self::MONO,
            _ => return None,
        })
    }

    /// A theme in TOML: roles and their colours, one a line, over the theme that `base` names.
    ///
    /// # Errors
    ///
    /// Says the line, what is wrong with it, and what is allowed there.
    pub fn parse(text: &str) -> Result<Self, String> {
        let line = |at: usize| {
            text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
        };
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            format!("line {}: {}", line(at), error.message())
        })?;
        let mut theme = Self::DARK;
        let entries: Vec<_> = table.get_ref().iter().collect();
        // The base comes first wherever it stands.
        for (key, value) in entries.iter().filter(|(key, _)| key.get_ref().as_ref() == "base") {
            let base = value
                .get_ref()
                .as_str()
                .and_then(|name| Self::named(name).filter(|theme| !theme.is_mono && !theme.is_auto));
            theme = base
                .ok_or_else(|| format!("line {}: base is \"dark\" or \"light\"", line(key.span().start)))?;
        }
        for (key, value) in entries.iter().filter(|(key, _)| key.get_ref().as_ref() != "base") {
            let (name, line) = (key.get_ref().as_ref(), line(key.span().start));
            let Some((role, _)) = Role::ALL.into_iter().find(|(_, known)| *known == name) else {
                let known: Vec<&str> = Role::ALL.into_iter().map(|(_, known)| known).collect();
                return Err(format!(
                    "line {line}: there is no role \"{name}\"; roles are base, {}",
                    known.join(", ")
                ));
            };
            theme.colours[role as usize] = colour(value.get_ref())
                .ok_or_else(|| format!("line {line}: {name} needs a colour: {COLOURS}"))?;
        }
        Ok(theme)
    }

    /// The colour of a role, if it has one.
    pub(crate) fn colour(&self, role: Role) -> Option<Color> {
        self.colours[role as usize]
    }
}

const fn n(number: u8) -> Option<Color> {
    Some(Color::Indexed(number))
}

/// A colour of a file: `None` if it is none, `Some(None)` for the terminal's own.
fn colour(value: &DeValue<'_>) -> Option<Option<Color>> {
    if let Some(number) = value.as_integer() {
        return u8::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|number| Some(Color::Indexed(number)));
    }
    let text = value.as_str()?;
    if text == "default" {
        return Some(None);
    }
    if let Some((_, colour)) = NAMES.into_iter().find(|(name, _)| *name == text) {
        return Some(Some(colour));
    }
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii())?;
    let part = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok();
    Some(Some(Color::Rgb(part(0)?, part(2)?, part(4)?)))
}

/// Red, green and blue of a colour, as most terminals show it.
pub(crate) fn parts(colour: Color) -> Option<[u8; 3]> {
    const SIXTEEN: [[u8; 3]; 16] = [
        [0, 0, 0],
        [170, 0, 0],
        [0, 170, 0],
        [170, 85, 0],
        [0, 0, 170],
        [170, 0, 170],
        [0, 170, 170],
        [170, 170, 170],
        [85, 85, 85],
        [255, 85, 85],
        [85, 255, 85],
        [255, 255, 85],
        [85, 85, 255],
        [255, 85, 255],
        [85, 255, 255],
        [255, 255, 255],
    ];
    Some(match colour {
        Color::Rgb(red, green, blue) => [red, green, blue],
        Color::Indexed(number @ 232..) => [8 + (number - 232) * 10; 3],
        Color::Indexed(number @ 16..) => {
            // The cube of 6 by 6 by 6.
            let part = |of: u8| if of == 0 { 0 } else { 55 + of * 40 };
            let number = number - 16;
            [part(number / 36), part(number / 6 % 6), part(number % 6)]
        }
        Color::Indexed(number) => SIXTEEN[usize::from(number)],
        colour => SIXTEEN[NAMES.into_iter().position(|(_, named)| named == colour)?],
    })
}

/// The nearest of the colours that a terminal of 16 has.
pub(crate) fn of_sixteen(colour: Color) -> Color {
    let Some(wanted) = parts(colour) else { return colour };
    nearest(wanted, NAMES.into_iter().map(|(_, colour)| colour)).unwrap_or(colour)
}

/// The nearest of the colours that every terminal of 256 has.
pub(crate) fn of_many(colour: Color) -> Color {
    match colour {
        Color::Rgb(red, green, blue) => {
            nearest([red, green, blue], (16..=255).map(Color::Indexed)).unwrap_or(colour)
        }
        colour => colour,
    }
}

fn nearest(wanted: [u8; 3], colours: impl Iterator<Item = Color>) -> Option<Color> {
    colours.min_by_key(|colour| {
        let found = parts(*colour).unwrap_or_default();
        wanted.iter().zip(found).map(|(a, b)| (i32::from(*a) - i32::from(b)).pow(2)).sum::<i32>()
    })
}

/// How one colour stands out from another, by the formula of WCAG 2: from 1 to 21.
pub(crate) fn contrast(one: [u8; 3], other: [u8; 3]) -> f64 {
    let luminance = |[red, green, blue]: [u8; 3]| {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue) + 0.05
    };
    let (one, other) = (luminance(one), luminance(other));
    if one > other { one / other } else { other / one }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_changes_roles_over_its_base() {
        let text = "# mine\nbad = \"#ff0000\"\ngood = 'bright-green'\nkey = 200\ntext = \"default\"\nbase = \"light\"\n";
        let theme = Theme::parse(text).unwrap();
        assert_eq!(theme.colour(Role::Bad), Some(Color::Rgb(255, 0, 0)));
        assert_eq!(theme.colour(Role::Good), Some(Color::LightGreen));
        assert_eq!(theme.colour(Role::Key), Some(Color::Indexed(200)));
        assert_eq!(theme.colour(Role::Plain), None);
        assert_eq!(theme.colour(Role::Warn), Theme::LIGHT.colour(Role::Warn));
        assert_eq!(Theme::parse("").unwrap(), Theme::DARK);
        Theme::parse(include_str!("../../examples/theme.toml")).unwrap();
    }

    #[test]
    fn an_error_says_the_line_and_what_is_allowed() {
        let cases = [
            (
                "bad = 1\n\nworse = 2",
                "line 3: there is no role \"worse\"; roles are base, text, background, dim,",
            ),
            ("bad = 1\ngood = \"grn\"", "line 2: good needs a colour: a name (black, red,"),
            ("good = 256", "line 1: good needs a colour:"),
            ("good = \"#12\"", "line 1: good needs a colour:"),
            ("good = \"#äöü\"", "line 1: good needs a colour:"),
            ("good = true", "line 1: good needs a colour:"),
            ("\nbase = \"mono\"", "line 2: base is \"dark\" or \"light\""),
            ("good = 1\ngood = 2", "line 2: duplicate key"),
            ("good = 1\nbad =", "line 2: "),
        ];
        for (text, expected) in cases {
            let error = Theme::parse(text).unwrap_err();
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn colours_that_a_terminal_lacks_become_the_nearest() {
        assert_eq!(of_sixteen(Color::Rgb(250, 90, 80)), Color::LightRed);
        assert_eq!(of_sixteen(Color::Indexed(16)), Color::Black);
        assert_eq!(of_many(Color::Rgb(255, 95, 96)), Color::Indexed(203));
        assert_eq!(of_many(Color::Red), Color::Red);
    }
}
