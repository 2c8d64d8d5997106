//! The plan of a CSV header under a mapping: each member's column is made of cells, joins and constants.

use std::{borrow::Cow, sync::Arc};

use bumpalo::Bump;
use pinport_model::{Channel, NoticeKind, Notices, failure::quoted, limits::MAX_JOINED};

use super::{Map, Replaced, Role, taken};
use crate::{
    parse::{
        clean::{self, Done},
        names,
        validate::Judged,
    },
    text::RefusedReason,
};

/// How the columns that are read are made of those of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Columns {
    map: Arc<Map>,
    /// The column of each name of the mapping.
    sources: Vec<Option<u32>>,
    outputs: Vec<Output>,
    channel: Option<usize>,
    address: Option<usize>,
    country: Option<usize>,
}

/// A column that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Output {
    from: From,
    /// The member, if its values have meanings.
    words: Option<String>,
    /// The number of its default in the mapping.
    default: Option<usize>,
    /// The other columns of an attribute that has a default.
    siblings: Vec<usize>,
    /// Whether what is around the value goes.
    cleans: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Column(u32),
    Join(usize),
    Constant(usize),
    /// Only a default.
    Nothing,
}

/// What comes of a header.
pub(in super::super) struct Planned {
    pub(in super::super) columns: Columns,
    /// The names of the columns that are read.
    pub(in super::super) names: Vec<String>,
    /// What people know each of them by.
    pub(in super::super) labels: Vec<String>,
}

impl Columns {
    /// Plans for a header with these names.
    ///
    /// # Errors
    /// Why the object cannot be read.
    pub(in super::super) fn plan(
        map: &Arc<Map>,
        found: &[String],
        strict: bool,
        notices: &mut Notices,
    ) -> Result<Planned, RefusedReason> {
        let of: Vec<_> = found.iter().map(|name| map.source(name, strict)).collect();
        let mut sources = vec![None; map.sources.len()];
        for (column, (name, source)) in (0..).zip(found.iter().zip(&of)) {
            let Some((at, is_exact)) = *source else { continue };
            if !is_exact {
                notices.add(NoticeKind::NameTaken, &taken(name, &map.sources[at].name), 1);
            }
            sources[at].get_or_insert(column);
        }
        if let Some((source, _)) =
            map.sources.iter().zip(&sources).find(|(source, column)| source.needed && column.is_none())
        {
            let near = found.iter().find(|name| names::is_near(name, &source.name));
            let hint = near.map(|name| format!("; did you mean {}?", quoted(names::trimmed(name))));
            let found = quoted(&source.name);
            return Err(RefusedReason::MappedMissing { found, hint: hint.unwrap_or_default() });
        }
        let mut plan = Plan { map, names: Vec::new(), labels: Vec::new(), outputs: Vec::new() };
        for (column, (name, source)) in (0..).zip(found.iter().zip(&of)) {
            plan.column(column, name.trim(), source.map(|(at, _)| at), strict, notices);
        }
        for (at, join) in map.joins.iter().enumerate() {
            plan.add(&join.member, format!("[join] {}", join.member), From::Join(at));
        }
        for (at, (member, _)) in map.constants.iter().enumerate() {
            plan.add(member, format!("[constants] {member}"), From::Constant(at));
        }
        plan.defaults();
        let Plan { names, labels, outputs, .. } = plan;
        let place =
            |member: &str| names.iter().position(|name| names::known(name).as_deref() == Some(member));
        let columns = Self {
            map: Arc::clone(map),
            sources,
            channel: place("ChannelType"),
            address: place("Address"),
            country: place("Location.Country"),
            outputs,
        };
        Ok(Planned { columns, names, labels })
    }

    /// The columns that are read of a record, or nothing if a rule drops it.
    pub(in super::super) fn row<'a>(
        &'a self,
        cell: impl Fn(u32) -> &'a str,
        scratch: &'a Bump,
        done: &mut Done,
        notices: &mut Notices,
    ) -> Judged<Option<&'a [&'a str]>> {
        let map = &*self.map;
        let value = |source: usize| match self.sources[source] {
            Some(column) => Cow::Borrowed(clean::value(cell(column))),
            None => Cow::Borrowed(""),
        };
        if let Some(rule) = map.dropped(value) {
            map.note_dropped(rule, notices);
            return Ok(None);
        }
        let row: &'a mut [&'a str] = scratch.alloc_slice_fill_copy(self.outputs.len(), "");
        let mut room = MAX_JOINED;
        for (text, output) in row.iter_mut().zip(&self.outputs) {
            *text = match output.from {
                From::Column(column) => cell(column),
                From::Join(join) => scratch.alloc_str(&map.joined(&map.joins[join], value, &mut room)?),
                From::Constant(constant) => map.constants[constant].1.as_str(),
                From::Nothing => "",
            };
            if output.cleans && clean::is_suspect(text) {
                *text = clean::cleaned(text, done);
            }
            let meaning = output.words.as_ref().and_then(|member| map.meaning(member, clean::value(text)));
            *text = meaning.unwrap_or(text);
        }
        for (at, output) in self.outputs.iter().enumerate() {
            if let Some(default) = output.default
                && clean::value(row[at]).is_empty()
                && output.siblings.iter().all(|sibling| row[*sibling].is_empty())
            {
                row[at] = &map.defaults[default].1;
            }
        }
        if let Some(at) = self.country
            && let Some(code) = map.country(clean::value(row[at]))?
        {
            row[at] = code;
        }
        if let Some(at) = self.address {
            let channel = self.channel.and_then(|at| Channel::from_name(clean::value(row[at])));
            let country = self.country.map_or("", |at| clean::value(row[at]));
            if map.changes_addresses(channel) {
                row[at] = match map.address(channel, country, clean::value(row[at]))? {
                    Cow::Borrowed(address) => address,
                    Cow::Owned(address) => scratch.alloc_str(&address),
                };
            }
        }
        Ok(Some(row))
    }
}

/// Columns, while they are planned.
struct Plan<'m> {
    map: &'m Map,
    names: Vec<String>,
    labels: Vec<String>,
    outputs: Vec<Output>,
}

impl Plan<'_> {
    /// Adds a column of the file, if it is read for itself.
    fn column(
        &mut self,
        column: u32,
        name: &str,
        source: Option<usize>,
        strict: bool,
        notices: &mut Notices,
    ) {
        let label = format!("{} (number {})", quoted(name), column + 1);
        let role = source.map(|at| &self.map.sources[at].role);
        match role {
            Some(Role::Ignored) => return,
            Some(Role::Renamed(member)) => return self.add(member, label, From::Column(column)),
            Some(Role::Read) | None => {}
        }
        let known = names::known(name).filter(|known| !strict || known == name);
        match known.as_ref().map(|member| self.map.is_replaced(source, member)) {
            Some(Some(Replaced::ByConstant)) => {
                notices.add(NoticeKind::MappedOver, &quoted(name), 1);
            }
            Some(Some(Replaced::ByJoin)) => {}
            // What only a join or a rule reads is not unknown.
            None if role.is_some() => {}
            Some(None) | None => self.add(name, label, From::Column(column)),
        }
    }

    fn add(&mut self, name: &str, label: String, from: From) {
        let member = names::known(name);
        let is_attribute = member
            .as_deref()
            .is_some_and(|member| names::PREFIXES.iter().any(|prefix| member.starts_with(prefix)));
        self.names.push(name.to_owned());
        self.labels.push(label);
        self.outputs.push(Output {
            from,
            words: member.filter(|member| self.map.has_words(member)),
            default: None,
            siblings: Vec::new(),
            cleans: !is_attribute || self.map.trim,
        });
    }

    /// Gives each member with a default its own, the first column of it or a new one.
    fn defaults(&mut self) {
        for (number, (member, _)) in self.map.defaults.iter().enumerate() {
            let is_it = |name: &String| names::known(name).as_ref() == Some(member);
            let mut places: Vec<_> =
                (0..).zip(&self.names).filter(|(_, name)| is_it(name)).map(|(at, _)| at).collect();
            if places.is_empty() {
                places.push(self.names.len());
                self.add(member, format!("[defaults] {member}"), From::Nothing);
            }
            let output = &mut self.outputs[places[0]];
            output.default = Some(number);
            output.siblings = places.split_off(1);
        }
    }
}
