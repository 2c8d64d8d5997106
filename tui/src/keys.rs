//! The table of keys. It maps keys to actions, and the footer and the help are generated from it, so that
//! the three agree.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::look::Symbols;

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table says it in words")]
pub(crate) enum Action {
    Quit,
    Help,
    Close,
    Up,
    Down,
    PageUp,
    PageDown,
    Top,
    Bottom,
    Open,
    NextPane,
    PreviousPane,
    Filter,
    StatusFilter,
    Sort,
    SortBack,
    Reverse,
    Freeze,
    Suspend,
    Window,
    Events,
    Failures,
    Cancel,
    Pause,
    SaveFailures,
    SaveRejects,
    Mark,
    Mend,
    Copy,
    NewImport,
    Throttle,
    Reconnect,
    OpenById,
    Yes,
    Stop,
    GoOn,
    Submit,
    Complete,
    NextField,
    PreviousField,
    Toggle,
}

/// Where a key is pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Context {
    Overview = 1,
    Detail = 2,
    Classes = 4,
    Entries = 8,
    Events = 16,
    Prompt = 32,
    Form = 64,
    Confirm = 128,
    /// The whole text of an entry.
    Text = 256,
    Help = 512,
    /// Quitting the dashboard of an import that runs in this process.
    Leave = 1024,
}

/// Which actions are available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Reach {
    /// All actions of a server.
    #[default]
    Server,
    /// Reading only.
    ReadOnly,
    /// The only import of this process. It can only be stopped.
    OneImport,
}

use Context as C;

/// A key: the code, and whether Ctrl is held.
type Key = (KeyCode, bool);

/// A line of the table.
pub(crate) struct Binding {
    keys: &'static [Key],
    pub(crate) action: Action,
    contexts: u16,
    /// One or two words for the footer, or empty to leave it out.
    pub(crate) label: &'static str,
    /// A sentence for the help.
    pub(crate) help: &'static str,
    /// Whether it changes something on the server.
    acts: bool,
}

const fn key(character: char) -> Key {
    (KeyCode::Char(character), false)
}

const fn control(character: char) -> Key {
    (KeyCode::Char(character), true)
}

const fn code(code: KeyCode) -> Key {
    (code, false)
}

const fn line(
    keys: &'static [Key],
    action: Action,
    contexts: u16,
    label: &'static str,
    help: &'static str,
) -> Binding {
    Binding { keys, action, contexts, label, help, acts: false }
}

const fn act(
    keys: &'static [Key],
    action: Action,
    contexts: u16,
    label: &'static str,
    help: &'static str,
) -> Binding {
    Binding { keys, action, contexts, label, help, acts: true }
}

const LISTS: u16 = C::Overview as u16 | C::Classes as u16 | C::Entries as u16 | C::Events as u16;
const SCREENS: u16 = LISTS | C::Detail as u16;
const OF_JOB: u16 = C::Overview as u16 | C::Detail as u16;
const FAILURES: u16 = C::Classes as u16 | C::Entries as u16;
const OPENS: u16 = C::Overview as u16 | C::Classes as u16 | C::Entries as u16 | C::Events as u16;
const SCROLLS: u16 = SCREENS | TEXTS;
const TEXTS: u16 = C::Text as u16 | C::Help as u16;
const ALL: u16 = 2047;

/// Every key, the most used first: the footer shows as many as fit.
pub(crate) const TABLE: &[Binding] = &[
    act(&[key('y')], Action::Yes, C::Confirm as u16, "yes", "do it"),
    line(&[key('n'), code(KeyCode::Esc), key('q')], Action::Close, C::Confirm as u16, "no", "leave it"),
    line(
        &[key('s')],
        Action::Stop,
        C::Leave as u16,
        "stop",
        "stop the import; the same command goes on behind what is committed",
    ),
    line(&[key('l'), key('g')], Action::GoOn, C::Leave as u16, "lines", "go on importing, with plain lines"),
    line(&[code(KeyCode::Esc), key('n'), key('q')], Action::Close, C::Leave as u16, "stay", "stay here"),
    line(
        &[code(KeyCode::Enter)],
        Action::Submit,
        C::Prompt as u16 | C::Form as u16,
        "go",
        "take what is typed",
    ),
    line(
        &[code(KeyCode::Esc)],
        Action::Close,
        C::Prompt as u16 | C::Form as u16,
        "close",
        "leave without it",
    ),
    line(
        &[code(KeyCode::Tab)],
        Action::Complete,
        C::Form as u16,
        "complete",
        "complete the source as far as it is clear; else go to the next field",
    ),
    line(&[code(KeyCode::Down)], Action::NextField, C::Form as u16, "", "go to the next field"),
    line(
        &[code(KeyCode::BackTab), code(KeyCode::Up)],
        Action::PreviousField,
        C::Form as u16,
        "",
        "go to the field before",
    ),
    line(&[key(' ')], Action::Toggle, C::Form as u16, "", "change a choice"),
    line(&[key('?'), code(KeyCode::F(1))], Action::Help, SCREENS, "help", "show the keys"),
    line(&[key('q')], Action::Quit, SCREENS, "quit", "quit; a server's jobs go on"),
    line(
        &[code(KeyCode::Enter), key('l'), code(KeyCode::Right)],
        Action::Open,
        OPENS,
        "open",
        "open what is selected: a job, a reason, an entry",
    ),
    line(
        &[code(KeyCode::Esc), key('h'), code(KeyCode::Left)],
        Action::Close,
        LISTS,
        "",
        "go back one screen, or drop the filter; never quits",
    ),
    line(&[code(KeyCode::Esc)], Action::Close, C::Detail as u16, "back", "go back; never quits"),
    line(
        &[code(KeyCode::Tab), key('l'), code(KeyCode::Right)],
        Action::NextPane,
        C::Detail as u16,
        "pane",
        "go to the next pane; what does not fit is shown when it is chosen",
    ),
    line(
        &[code(KeyCode::BackTab), key('h'), code(KeyCode::Left)],
        Action::PreviousPane,
        C::Detail as u16,
        "",
        "go to the pane before",
    ),
    line(
        &[code(KeyCode::Enter), key('f')],
        Action::Failures,
        C::Detail as u16,
        "failures",
        "show the job's failed records by reason",
    ),
    line(
        &[key('f')],
        Action::Failures,
        C::Overview as u16,
        "failures",
        "show the job's failed records by reason",
    ),
    line(&[key('/')], Action::Filter, C::Help as u16, "search", "search the help"),
    line(
        &[key('/')],
        Action::Filter,
        C::Overview as u16 | FAILURES,
        "filter",
        "jobs: words of id, application, source, status (status:failed, !word); failures: search",
    ),
    line(&[key('s')], Action::Sort, C::Overview as u16, "sort", "sort by the next column"),
    line(&[key('S')], Action::SortBack, C::Overview as u16, "", "sort by the column before"),
    line(&[key('r')], Action::Reverse, C::Overview as u16, "reverse", "turn the order round"),
    line(
        &[key('t')],
        Action::StatusFilter,
        C::Overview as u16,
        "status",
        "show all jobs, active ones, ended ones, those with failures",
    ),
    line(&[key('w')], Action::SaveFailures, OF_JOB | FAILURES, "save", "write every failed record to a file"),
    line(
        &[key('W')],
        Action::SaveRejects,
        OF_JOB | FAILURES,
        "",
        "write the failed records' original bytes to a file, to mend and import",
    ),
    act(
        &[key('E')],
        Action::Mend,
        FAILURES,
        "edit",
        "edit the marked or listed failed records in $EDITOR and import what was mended as a new job",
    ),
    act(
        &[key('E')],
        Action::Mend,
        OF_JOB,
        "",
        "edit all failed records of the job in $EDITOR and import what was mended as a new job",
    ),
    act(&[key('m')], Action::Mark, C::Entries as u16, "mark", "mark a failed record for E, or unmark it"),
    line(
        &[key('c'), control('y')],
        Action::Copy,
        SCREENS | C::Text as u16,
        "copy",
        "copy the job's id or the entry (through the terminal, OSC 52)",
    ),
    act(&[key('n')], Action::NewImport, C::Overview as u16, "new", "start an import"),
    act(&[key('p')], Action::Pause, OF_JOB, "pause", "pause the job, or let it go on"),
    act(&[key('x')], Action::Cancel, OF_JOB, "cancel", "cancel the job; what is committed stays"),
    act(
        &[key('T')],
        Action::Throttle,
        OF_JOB,
        "",
        "bound how fast the job reads: rows a second, or bytes with k, m or g; off",
    ),
    line(&[key('R')], Action::Reconnect, SCREENS, "", "connect to the server again now"),
    line(&[key('e')], Action::Events, OF_JOB, "events", "show what happened, and when"),
    line(&[key('o')], Action::OpenById, C::Overview as u16, "", "open a job by its id or the end of it"),
    line(&[key('z')], Action::Window, OF_JOB, "time", "charts of 1 minute, 5 minutes, or the whole time"),
    line(&[key(' ')], Action::Freeze, SCREENS, "freeze", "hold the numbers still, or let them go on"),
    line(&[code(KeyCode::Up), key('k')], Action::Up, SCROLLS, "", "up"),
    line(&[code(KeyCode::Down), key('j')], Action::Down, SCROLLS, "", "down"),
    line(&[code(KeyCode::PageUp), control('b'), control('u')], Action::PageUp, SCROLLS, "", "a page up"),
    line(
        &[code(KeyCode::PageDown), control('f'), control('d')],
        Action::PageDown,
        SCROLLS,
        "",
        "a page down",
    ),
    line(&[code(KeyCode::Home), key('g')], Action::Top, SCROLLS, "", "to the first"),
    line(&[code(KeyCode::End), key('G')], Action::Bottom, SCROLLS, "", "to the last"),
    line(
        &[code(KeyCode::Esc), key('q'), key('?'), code(KeyCode::Enter)],
        Action::Close,
        TEXTS,
        "close",
        "close the help or the text",
    ),
    line(&[control('z')], Action::Suspend, ALL, "", "stop here and give the terminal back; fg goes on"),
    line(&[control('c')], Action::Quit, ALL, "", "quit from anywhere"),
];

impl Binding {
    /// The keys as the help names them.
    pub(crate) fn names(&self, symbols: Symbols) -> String {
        let names: Vec<String> = self.keys.iter().map(|key| name(*key, symbols)).collect();
        names.join(" ")
    }

    /// The first key.
    pub(crate) fn first(&self, symbols: Symbols) -> String {
        self.keys.first().map(|key| name(*key, symbols)).unwrap_or_default()
    }

    pub(crate) fn is_for(&self, context: Context) -> bool {
        self.contexts & context as u16 != 0
    }

    fn may(&self, reach: Reach) -> bool {
        let asks_a_server = matches!(
            self.action,
            Action::NewImport
                | Action::Pause
                | Action::OpenById
                | Action::Throttle
                | Action::Reconnect
                | Action::Mark
                | Action::Mend
        );
        match reach {
            Reach::Server => true,
            Reach::ReadOnly => !self.acts,
            Reach::OneImport => !asks_a_server,
        }
    }
}

fn name((code, control): Key, symbols: Symbols) -> String {
    let word = match code {
        KeyCode::Char(' ') => "space".to_owned(),
        KeyCode::Char(character) => character.to_string(),
        KeyCode::F(number) => format!("F{number}"),
        KeyCode::Enter => "enter".into(),
        KeyCode::Esc => "esc".into(),
        KeyCode::Tab => "tab".into(),
        KeyCode::BackTab => "shift-tab".into(),
        KeyCode::Up => symbols.choose("↑", "up").into(),
        KeyCode::Down => symbols.choose("↓", "down").into(),
        KeyCode::Left => symbols.choose("←", "left").into(),
        KeyCode::Right => symbols.choose("→", "right").into(),
        KeyCode::PageUp => "pgup".into(),
        KeyCode::PageDown => "pgdn".into(),
        KeyCode::Home => "home".into(),
        KeyCode::End => "end".into(),
        _ => "?".into(),
    };
    if control { format!("ctrl-{word}") } else { word }
}

/// The action of a key in this context, if `reach` allows it.
pub(crate) fn action(context: Context, event: KeyEvent, reach: Reach) -> Option<Action> {
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    if event.modifiers.contains(KeyModifiers::ALT) {
        return None;
    }
    // Some terminals send Shift-Tab as Tab with Shift.
    let code = match event.code {
        KeyCode::Tab if event.modifiers.contains(KeyModifiers::SHIFT) => KeyCode::BackTab,
        code => code,
    };
    let binding = TABLE.iter().find(|line| line.is_for(context) && line.keys.contains(&(code, control)))?;
    binding.may(reach).then_some(binding.action)
}

/// The keys of a context that the footer shows.
pub(crate) fn footer(context: Context, reach: Reach) -> impl Iterator<Item = &'static Binding> {
    TABLE.iter().filter(move |line| line.is_for(context) && !line.label.is_empty() && line.may(reach))
}

/// The lines of the help that have `search` in them: headings, and each key with its action under the first context that
/// has it.
pub(crate) fn help(reach: Reach, symbols: Symbols, search: &str) -> Vec<(String, &'static str)> {
    let words: Vec<String> = search.split_whitespace().map(str::to_lowercase).collect();
    const GROUPS: [(&str, u16); 6] = [
        ("everywhere", SCREENS),
        ("jobs", C::Overview as u16),
        ("one job", C::Detail as u16),
        ("failures", FAILURES),
        ("help and texts", TEXTS),
        ("forms and questions", C::Form as u16 | C::Prompt as u16 | C::Confirm as u16 | C::Leave as u16),
    ];
    let group_of = |line: &Binding| {
        if line.contexts & SCREENS == SCREENS {
            return Some(0);
        }
        GROUPS.iter().skip(1).position(|(_, contexts)| line.contexts & contexts != 0).map(|index| index + 1)
    };
    let mut lines = Vec::new();
    for (index, (title, _)) in GROUPS.iter().enumerate() {
        let wanted = |line: &&Binding| group_of(line) == Some(index) && line.may(reach);
        let named = TABLE.iter().filter(wanted).map(|line| (line.names(symbols), line.help));
        let found = named.filter(|(keys, text)| {
            let text = format!("{title} {keys} {text}").to_lowercase();
            words.iter().all(|word| text.contains(word))
        });
        let before = lines.len();
        lines.push(((*title).to_owned(), ""));
        lines.extend(found);
        if lines.len() == before + 1 {
            lines.pop();
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXTS: [Context; 11] = [
        C::Leave,
        C::Overview,
        C::Detail,
        C::Classes,
        C::Entries,
        C::Events,
        C::Prompt,
        C::Form,
        C::Confirm,
        C::Text,
        C::Help,
    ];

    #[test]
    fn no_key_has_two_meanings_in_one_place() {
        for context in CONTEXTS {
            let mut seen = Vec::new();
            for line in TABLE.iter().filter(|line| line.is_for(context)) {
                for key in line.keys {
                    assert!(!seen.contains(key), "{context:?} {key:?}");
                    seen.push(*key);
                }
            }
        }
    }

    #[test]
    fn esc_never_quits_and_closes_everywhere() {
        for context in CONTEXTS {
            let escape = KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE);
            assert_eq!(action(context, escape, Reach::Server), Some(Action::Close), "{context:?}");
            let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
            assert_eq!(action(context, interrupt, Reach::ReadOnly), Some(Action::Quit), "{context:?}");
        }
    }

    #[test]
    fn read_only_takes_the_keys_away_that_act() {
        for (character, context) in [
            ('x', C::Overview),
            ('p', C::Detail),
            ('n', C::Overview),
            ('y', C::Confirm),
            ('T', C::Detail),
            ('E', C::Entries),
        ] {
            let event = KeyEvent::new(KeyCode::Char(character), KeyModifiers::NONE);
            assert!(action(context, event, Reach::Server).is_some(), "{character}");
            assert_eq!(action(context, event, Reach::ReadOnly), None, "{character}");
        }
        assert!(footer(C::Overview, Reach::ReadOnly).all(|line| line.action != Action::Cancel));
        assert!(help(Reach::ReadOnly, Symbols::Ascii, "").iter().all(|(keys, _)| keys != "x"));
    }

    #[test]
    fn one_import_can_be_stopped_and_that_is_all() {
        let press = |character| {
            let event = KeyEvent::new(KeyCode::Char(character), KeyModifiers::NONE);
            action(C::Overview, event, Reach::OneImport)
        };
        assert_eq!(press('x'), Some(Action::Cancel));
        assert_eq!([press('n'), press('p'), press('o'), press('T'), press('R'), press('E')], [None; 6]);
    }

    #[test]
    fn the_help_is_searched_by_words_of_keys_and_texts() {
        let found = |search| help(Reach::Server, Symbols::Ascii, search);
        assert_eq!(found("CANCEL job").len(), 2, "{:?}", found("CANCEL job"));
        assert_eq!(found("jobs pause")[0].0, "jobs");
        assert!(found("ctrl-z").iter().any(|(_, text)| text.contains("fg")));
        assert_eq!(found("no such words"), []);
    }

    #[test]
    fn the_help_names_every_key() {
        let help = help(Reach::Server, Symbols::Unicode, "");
        for line in TABLE {
            assert!(!line.help.is_empty());
            let listed =
                help.iter().any(|(keys, text)| *keys == line.names(Symbols::Unicode) && *text == line.help);
            assert!(listed, "{} {}", line.names(Symbols::Unicode), line.help);
        }
        assert!(help.iter().any(|(keys, _)| keys == "ctrl-c"));
    }

    #[test]
    fn shift_tab_in_both_spellings() {
        for event in [
            KeyEvent::new(KeyCode::BackTab, KeyModifiers::SHIFT),
            KeyEvent::new(KeyCode::Tab, KeyModifiers::SHIFT),
        ] {
            assert_eq!(action(C::Detail, event, Reach::Server), Some(Action::PreviousPane));
        }
    }
}
