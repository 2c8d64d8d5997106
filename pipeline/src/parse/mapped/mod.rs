//! A mapping, compiled: which names of a file become which members, and what is done to their values.
//!
//! CSV rows are mapped in [`columns`], by a plan that is made once for each header; JSON records in [`members`],
//! which rewrites each before it is judged. Both leave values to [`values`], and all judgement to the readers:
//! a mapped record obeys the same rules as one that came so.

mod columns;
mod compile;
mod members;
mod normal;
mod parts;
#[cfg(test)]
mod tests;
mod values;

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use pinport_model::{FailureCode, Mapping, NoticeKind, Notices, failure::quoted, limits::MAX_JOINED};

use super::{
    names,
    validate::{self, Judged},
};
pub(super) use columns::{Columns, Planned};
pub use compile::WrongMapping;
use members::Spot;
pub(super) use members::{Mapped, Room};

/// A compiled mapping. Members are known names, as in [`Mapping`].
#[derive(Debug, PartialEq, Eq)]
pub struct Map {
    /// The names of the file that the mapping speaks of.
    sources: Vec<Source>,
    /// Where they are in `sources`, as they are written.
    exact: HashMap<String, usize>,
    /// The same in the form in which names are compared, where that is unique.
    folded: HashMap<String, usize>,
    joins: Vec<Join>,
    /// Members and their values.
    constants: Vec<(String, String)>,
    /// Members and the values of records that have none.
    defaults: Vec<(String, String)>,
    /// By member, what its values mean, in lower case.
    words: HashMap<String, HashMap<String, String>>,
    trim: bool,
    email: bool,
    phone: bool,
    country: bool,
    /// The country of phone numbers that name none, in two letters.
    default_country: Option<&'static str>,
    drops: Vec<Drop>,
    /// The holders of JSON members into which the mapping reaches.
    opened: Vec<&'static str>,
    /// Where the members are in JSON that the mapping makes.
    spots: HashMap<String, Arc<Spot>>,
}

/// A name of the file.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    name: String,
    role: Role,
    /// A CSV header without it is refused.
    needed: bool,
}

/// What becomes of the values of a name.
#[derive(Debug, PartialEq, Eq)]
enum Role {
    /// They are those of a member.
    Renamed(String),
    /// They are left out.
    Ignored,
    /// They are read by joins and drop rules, and are what they are else.
    Read,
}

/// A member that is put together.
#[derive(Debug, PartialEq, Eq)]
struct Join {
    member: String,
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Source(usize),
}

/// A rule that skips records.
#[derive(Debug, PartialEq, Eq)]
struct Drop {
    source: usize,
    /// In lower case.
    is: Vec<String>,
    is_not: Vec<String>,
    empty: bool,
    /// How it is named in the report.
    subject: String,
}

impl Map {
    /// Compiles a mapping.
    ///
    /// # Errors
    /// What cannot be meant, in a sentence.
    pub fn new(mapping: &Mapping) -> Result<Self, WrongMapping> {
        compile::compile(mapping)
    }

    /// Where a name of the file is in the mapping, and whether it is written the same.
    fn source(&self, name: &str, strict: bool) -> Option<(usize, bool)> {
        let name = names::trimmed(name);
        match self.exact.get(name) {
            Some(&source) => Some((source, true)),
            None if strict => None,
            None => self.folded.get(&names::folded(name)).map(|&source| (source, false)),
        }
    }

    /// Whether a cell of the first lines is a name by which the mapping knows the header.
    pub(crate) fn is_named(&self, cell: &str, strict: bool) -> bool {
        self.source(cell, strict).is_some()
    }

    /// Whether a line has all names that the mapping needs, so that it is surely the header.
    pub(crate) fn is_header(&self, cells: &[String], strict: bool) -> bool {
        let found: Vec<_> =
            cells.iter().filter_map(|cell| self.source(cell, strict)).map(|(at, _)| at).collect();
        !found.is_empty()
            && self.sources.iter().enumerate().all(|(at, source)| !source.needed || found.contains(&at))
    }

    /// Whether a member's own name gives way to a join that uses it, or to a constant.
    fn is_replaced(&self, source: Option<usize>, member: &str) -> Option<Replaced> {
        if self.constants.iter().any(|(constant, _)| constant == member) {
            return Some(Replaced::ByConstant);
        }
        let uses = |join: &Join| {
            join.parts.iter().any(|part| matches!(part, Part::Source(at) if Some(*at) == source))
        };
        self.joins.iter().any(|join| join.member == member && uses(join)).then_some(Replaced::ByJoin)
    }

    /// Whether a member is made of the values that have this name in the file, alone or with others.
    pub(crate) fn makes(&self, member: &str, name: &str, strict: bool) -> bool {
        let Some((source, _)) = self.source(name, strict) else { return false };
        let is_renamed = matches!(&self.sources[source].role, Role::Renamed(renamed) if renamed == member);
        is_renamed || matches!(self.is_replaced(Some(source), member), Some(Replaced::ByJoin))
    }

    /// The first drop rule that a record meets.
    fn dropped<'a>(&self, value: impl Fn(usize) -> Cow<'a, str>) -> Option<usize> {
        self.drops.iter().position(|rule| {
            let value = value(rule.source);
            let value = names::trimmed(&value);
            if value.is_empty() {
                return rule.empty || !rule.is_not.is_empty() && !rule.is_not.iter().any(String::is_empty);
            }
            let lower = value.to_lowercase();
            rule.is.contains(&lower) || !rule.is_not.is_empty() && !rule.is_not.contains(&lower)
        })
    }

    /// Puts a join together. White space around empty parts goes. `room`: the bytes that all joins of a record may take.
    fn joined<'a>(
        &self,
        join: &Join,
        value: impl Fn(usize) -> Cow<'a, str>,
        room: &mut usize,
    ) -> Judged<String> {
        let (mut text, mut has_value) = (String::new(), false);
        for part in &join.parts {
            match part {
                // An empty part leaves one space, not two.
                Part::Text(part) if text.is_empty() || text.ends_with(' ') => {
                    text.push_str(part.trim_start())
                }
                Part::Text(part) => text.push_str(part),
                Part::Source(source) => {
                    let value = value(*source);
                    let value = names::trimmed(&value);
                    has_value |= !value.is_empty();
                    text.push_str(value);
                }
            }
            if text.len() > *room {
                let message = format!("the joined values of a record take more than {MAX_JOINED} bytes");
                return validate::failed(&*join.member, FailureCode::ValueTooLong, message);
            }
        }
        if !has_value {
            return Ok(String::new());
        }
        text.truncate(text.trim_end().len());
        *room -= text.len();
        Ok(text)
    }

    /// Notes that a rule dropped a record.
    pub(super) fn note_dropped(&self, rule: usize, notices: &mut Notices) {
        notices.add(NoticeKind::RecordDropped, &self.drops[rule].subject, 1);
    }
}

/// What takes the place of a member's own value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replaced {
    ByConstant,
    ByJoin,
}

/// How a near name of the mapping is said.
fn taken(found: &str, name: &str) -> String {
    format!("{} is read as {} of the mapping", quoted(names::trimmed(found)), quoted(name))
}
