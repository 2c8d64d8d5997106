//! Takes structure from bytes: small numbers and parts from the front, the rest as it is.

/// Bytes that are taken from the front; zeros and nothing after the end.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        byte
    }

    /// A number from 0 to `most`.
    pub fn number(&mut self, most: usize) -> usize {
        let wide =
            if most > 255 { u16::from_le_bytes([self.byte(), self.byte()]) } else { self.byte().into() };
        usize::from(wide) % (most + 1)
    }

    /// One of some.
    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.number(choices.len() - 1)]
    }

    /// Up to `most` bytes, with their number before them.
    pub fn part(&mut self, most: usize) -> &'a [u8] {
        let len = self.number(most).min(self.0.len());
        let (part, rest) = self.0.split_at(len);
        self.0 = rest;
        part
    }

    /// The same as text; what is not UTF-8 is replaced.
    pub fn text(&mut self, most: usize) -> String {
        String::from_utf8_lossy(self.part(most)).into_owned()
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
