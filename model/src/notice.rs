//! What was merged, guessed, taken, skipped or normalised while an import was read: a short list with counts.
//!
//! A notice is no failure: nothing is lost by it. Who reads the report must still be able to see that, say, a column
//! was taken for another. The list is bounded however bad a file is, and lists of pieces add up to that of the job.

use serde::{Deserialize, Serialize};

use crate::escape_controls;

/// Distinct notices that a list keeps. Those beyond it are counted by kind, without their subject.
pub const MAX_NOTICES: usize = 100;

/// Characters of a subject.
pub const MAX_SUBJECT: usize = 100;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// What was done. The words are stable; programs may read them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum NoticeKind {
            $($(#[$doc])* $name,)+
        }

        impl NoticeKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// What it says, with `{}` where the subject stands.
            const fn text(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

kinds! {
    /// A column was taken for a known one. The subject: `"Optout" is read as OptOut`.
    NameTaken = "{} (--strict-names refuses it)",
    /// A column that is not known. The subject: its name, and perhaps what was meant.
    UnknownColumn = "a column was ignored: {}",
    /// A member of an archive that is no data. The subject: archive, member and reason.
    MemberSkipped = "a member of an archive was skipped: {}",
    /// The separator is not a comma. The subject: its name.
    SeparatorDetected = "the separator is {}",
    /// Quotes are escaped by backslashes.
    EscapeDetected = "quotes are escaped by {}",
    /// Lines end in carriage returns.
    LineEndDetected = "lines end in {}",
    /// Lines before the header.
    TitleSkipped = "lines before the header were skipped{}",
    /// Rows without a value.
    BlankRowsSkipped = "rows without any value were skipped{}",
    /// Trailing separators without a column.
    TrailingSeparator = "rows end in separators beyond the header's columns; they were ignored{}",
    /// An apostrophe or a formula around a value, as Excel writes it.
    CellUnwrapped = "values were taken out of Excel's {}",
    /// The text is in another encoding than UTF-8.
    EncodingDetected = "the text is {}",
    /// A byte order mark that is not at the beginning.
    BomSkipped = "byte order marks within objects were skipped{}",
    /// A number where text is expected.
    NumberAsText = "numbers were taken as text: {}",
    /// A date in another form.
    DateNormalised = "dates were brought into ISO 8601 form: {}",
    /// The header of a joined file.
    HeaderRepeated = "headers of joined files were skipped{}",
    /// A member that are unknown. The subject: its name, and perhaps what was meant.
    UnknownMember = "records had an unknown member, which was ignored: {}",
    /// JSON that is not one object a line.
    JsonForm = "JSON that is not one object a line was read record by record{}",
    /// A record whose id came before in the same import.
    IdSeenAlready = "records have an id that came before in this import; the last one counts{}",
    /// Members of records that had no room: the import has more for an endpoint or a user than one may have.
    LeftOut = "members were left out, because the records of an endpoint or a user have more than one may have{}",
    /// Records that a drop rule of the mapping skipped. The subject: the rule.
    RecordDropped = "records were dropped by the mapping: {}",
    /// A column or member that a constant of the mapping replaced. The subject: its name.
    MappedOver = "values gave way to a constant of the mapping: {}",
    /// An object with a header and no record.
    NoRecord = "objects have a header and no record{}",
}

/// Something that was done, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What was done.
    pub kind: NoticeKind,
    /// With what; control characters are escaped. May be empty.
    #[serde(default)]
    pub subject: String,
    /// How often: records, cells or objects, by its kind.
    pub count: u64,
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (before, after) = self.kind.text().split_once("{}").unwrap_or((self.kind.text(), ""));
        let subject = match self.subject.as_str() {
            "" if before.ends_with(' ') => "others",
            "" if before.is_empty() => "other names were taken",
            subject if !subject.is_empty() && !before.is_empty() && !before.ends_with(' ') => {
                return write!(f, "{before}: {subject}{after}");
            }
            subject => subject,
        };
        write!(f, "{before}{subject}{after}")
    }
}

/// A bounded list of notices, each kind and subject once, in order of first appearance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Notices(Vec<Notice>);

impl Notices {
    /// An empty list.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The notices, in order of first appearance.
    pub fn iter(&self) -> std::slice::Iter<'_, Notice> {
        self.0.iter()
    }

    /// How often this kind was noted, whatever the subject.
    pub fn count(&self, kind: NoticeKind) -> u64 {
        self.0.iter().filter(|notice| notice.kind == kind).map(|notice| notice.count).sum()
    }

    /// Counts something. The subject is escaped and cut.
    pub fn add(&mut self, kind: NoticeKind, subject: &str, count: u64) {
        if count == 0 {
            return;
        }
        let escaped = escape_controls(subject);
        let subject = match escaped.char_indices().nth(MAX_SUBJECT) {
            Some((end, _)) => format!("{}…", &escaped[..end]),
            None => escaped.into_owned(),
        };
        self.put(Notice { kind, subject, count });
    }

    /// Adds what another list counted.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|notice| self.put(notice.clone()));
    }

    fn put(&mut self, mut notice: Notice) {
        let distinct = self.0.len();
        if let Some(known) = self.find(&notice) {
            known.count += notice.count;
            return;
        }
        if distinct >= MAX_NOTICES {
            notice.subject.clear();
            if let Some(known) = self.find(&notice) {
                known.count += notice.count;
                return;
            }
        }
        self.0.push(notice);
    }

    fn find(&mut self, notice: &Notice) -> Option<&mut Notice> {
        self.0.iter_mut().find(|known| known.kind == notice.kind && known.subject == notice.subject)
    }
}

impl<'a> IntoIterator for &'a Notices {
    type Item = &'a Notice;
    type IntoIter = std::slice::Iter<'a, Notice>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_counted_not_repeated() {
        let mut notices = Notices::new();
        notices.add(NoticeKind::BlankRowsSkipped, "", 3);
        notices.add(NoticeKind::UnknownColumn, "Adress", 1);
        notices.add(NoticeKind::BlankRowsSkipped, "", 0);
        let mut all = notices.clone();
        all.merge(&notices);
        let said: Vec<_> = all.iter().map(|notice| (notice.count, notice.to_string())).collect();
        assert_eq!(
            said,
            [
                (6, "rows without any value were skipped".to_owned()),
                (2, "a column was ignored: Adress".to_owned())
            ]
        );
    }

    #[test]
    fn however_much_is_noted_the_list_is_short_and_the_counts_are_right() {
        let mut notices = Notices::new();
        for number in 0..1000 {
            notices.add(NoticeKind::UnknownColumn, &format!("column{number}"), 1);
        }
        notices.add(NoticeKind::BlankRowsSkipped, "", 7);
        assert_eq!(notices.iter().count(), MAX_NOTICES + 2);
        assert_eq!(notices.count(NoticeKind::UnknownColumn), 1000);
        assert_eq!(notices.count(NoticeKind::BlankRowsSkipped), 7);
        let mut twice = notices.clone();
        twice.merge(&notices);
        assert_eq!(twice.count(NoticeKind::UnknownColumn), 2000);
        assert_eq!(twice.iter().count(), MAX_NOTICES + 2);
    }

    #[test]
    fn subjects_are_escaped_and_cut() {
        let mut notices = Notices::new();
        notices.add(NoticeKind::UnknownColumn, &format!("\u{1b}[31m{}", "x".repeat(200)), 1);
        let subject = &notices.iter().next().unwrap().subject;
        assert!(!subject.contains('\u{1b}') && subject.chars().count() == MAX_SUBJECT + 1, "{subject}");
    }

    #[test]
    fn every_kind_says_a_sentence() {
        for kind in NoticeKind::ALL {
            for subject in ["", "this"] {
                let said = Notice { kind: *kind, subject: subject.into(), count: 1 }.to_string();
                assert!(!said.contains("{}") && said.contains(subject), "{said}");
            }
        }
    }
}
