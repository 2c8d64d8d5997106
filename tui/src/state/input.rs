//! A line of text that is being typed.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// No source, name or path is longer.
const MAX_CHARS: usize = 4096;

/// A line and where its cursor stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Input {
    text: String,
    /// Byte in `text`, always at a character's border.
    cursor: usize,
}

impl Input {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { cursor: text.len(), text }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The text before and after the cursor.
    pub(crate) fn parts(&self) -> (&str, &str) {
        self.text.split_at(self.cursor)
    }

    /// Inserts text, without its control characters.
    pub(crate) fn insert(&mut self, text: &str) {
        let room = MAX_CHARS.saturating_sub(self.text.chars().count());
        for character in text.chars().filter(|character| !character.is_control()).take(room) {
            self.text.insert(self.cursor, character);
            self.cursor += character.len_utf8();
        }
    }

    /// Edits the line; says whether the key was for it.
    pub(crate) fn key(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('u') if control => {
                self.text.drain(..self.cursor);
                self.cursor = 0;
            }
            KeyCode::Char('w') if control => {
                let kept = self.text[..self.cursor].trim_end();
                let start = kept.rfind([' ', '/']).map_or(0, |index| index + 1);
                self.text.drain(start..self.cursor);
                self.cursor = start;
            }
            KeyCode::Char('a') if control => self.cursor = 0,
            KeyCode::Char('e') if control => self.cursor = self.text.len(),
            KeyCode::Char(_) if control || key.modifiers.contains(KeyModifiers::ALT) => return false,
            KeyCode::Char(character) => self.insert(character.encode_utf8(&mut [0; 4])),
            KeyCode::Backspace => {
                if let Some(start) = self.before() {
                    self.text.remove(start);
                    self.cursor = start;
                }
            }
            KeyCode::Delete if self.cursor < self.text.len() => {
                self.text.remove(self.cursor);
            }
            KeyCode::Left => self.cursor = self.before().unwrap_or(0),
            KeyCode::Right => {
                let next = self.text[self.cursor..].chars().next();
                self.cursor += next.map_or(0, char::len_utf8);
            }
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.text.len(),
            _ => return false,
        }
        true
    }

    fn before(&self) -> Option<usize> {
        self.text[..self.cursor].char_indices().next_back().map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn press(input: &mut Input, code: KeyCode) {
        input.key(KeyEvent::new(code, KeyModifiers::NONE));
    }

    #[test]
    fn a_line_is_edited() {
        let mut input = Input::new("s3://b/é");
        press(&mut input, KeyCode::Backspace);
        press(&mut input, KeyCode::Char('k'));
        press(&mut input, KeyCode::Home);
        press(&mut input, KeyCode::Delete);
        input.insert("g\x1b\n");
        assert_eq!(input.text(), "g3://b/k");
        press(&mut input, KeyCode::End);
        input.key(KeyEvent::new(KeyCode::Char('w'), KeyModifiers::CONTROL));
        assert_eq!(input.text(), "g3://b/");
        input.key(KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL));
        assert_eq!(input.text(), "");
    }

    proptest! {
        #[test]
        fn the_cursor_stays_at_a_border(text: String, keys in proptest::collection::vec(0..9_u8, 0..60)) {
            let mut input = Input::new(text);
            for key in keys {
                let code = [
                    KeyCode::Left, KeyCode::Right, KeyCode::Home, KeyCode::End, KeyCode::Backspace,
                    KeyCode::Delete, KeyCode::Char('ü'), KeyCode::Char('日'), KeyCode::Char(' '),
                ][key as usize];
                press(&mut input, code);
                let (before, after) = input.parts();
                prop_assert_eq!(format!("{before}{after}"), input.text());
            }
        }
    }
}
