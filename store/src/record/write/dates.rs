//! Dates as text. Most rows have a date that a row before had: the last ones are kept.

use pinport_model::Timestamp;

use super::parts::Date;

/// Dates that are kept.
const KEPT: usize = 4;

/// Writes dates.
#[derive(Debug, Clone, Default)]
pub(super) struct Dates {
    kept: [Option<(i64, String)>; KEPT],
    next: usize,
}

impl Dates {
    /// The date as it is written.
    pub(super) fn text<'a>(&'a mut self, date: Date<'a>) -> &'a str {
        let millis = match date {
            Date::Text(text) => return text,
            Date::Millis(millis) => millis,
        };
        let found = self.kept.iter().position(|kept| kept.as_ref().is_some_and(|(then, _)| *then == millis));
        let place = found.unwrap_or_else(|| {
            let place = self.next;
            self.next = (place + 1) % KEPT;
            self.kept[place] = Some((millis, Timestamp::from_millis(millis).to_string()));
            place
        });
        self.kept[place].as_ref().map_or("", |(_, text)| text)
    }
}
