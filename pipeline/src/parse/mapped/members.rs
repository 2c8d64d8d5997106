//! Maps a JSON record: it is taken apart into its members and written anew, with the members that the mapping makes.
//!
//! Values stay the JSON text that they are, so that digits are not lost. What is no JSON object, or has values of a
//! wrong type, is left as it is: the reader judges it.

use std::{borrow::Cow, collections::HashMap, fmt, sync::Arc};

use pinport_model::{Channel, FailureCode, NoticeKind, Notices, failure::quoted, limits::MAX_JOINED};
use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Map, Replaced, Role, taken};
use crate::parse::{
    names,
    validate::{Judged, failed},
};

/// Names whose places are remembered; more are looked up anew.
const MAX_SPOTS: usize = 1000;

/// What came of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Mapped {
    /// It is no object and stays as it is.
    Unread,
    /// A rule drops it.
    Dropped,
    /// It was written anew.
    Written,
}

/// Where records are mapped: the text of the last one, and what is known of names.
#[derive(Debug, Default)]
pub(in super::super) struct Room {
    pub(in super::super) text: Vec<u8>,
    map: Option<Arc<Map>>,
    strict: bool,
    spots: HashMap<String, Arc<Spot>>,
}

/// What becomes of the members of one name.
#[derive(Debug)]
struct Spot {
    holder: Holder,
    name: String,
    /// The member's dotted name, as it is known.
    member: String,
    source: Option<usize>,
    fate: Fate,
    /// What is noted if a record has it.
    notice: Option<(NoticeKind, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It stands for itself.
    Stays,
    /// The mapping reaches into it.
    Opens,
    /// It gives way to what the mapping makes.
    Goes,
}

/// The objects of a record that hold members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Root,
    Attributes,
    User,
    UserAttributes,
    Demographic,
    Location,
    Metrics,
}

impl Holder {
    /// Where a member is, and its name there.
    fn of(member: &str) -> (Self, &str) {
        let holders = [
            ("Attributes.", Self::Attributes),
            ("User.UserAttributes.", Self::UserAttributes),
            ("User.", Self::User),
            ("Demographic.", Self::Demographic),
            ("Location.", Self::Location),
            ("Metrics.", Self::Metrics),
        ];
        let within =
            holders.into_iter().find_map(|(prefix, holder)| Some((holder, member.strip_prefix(prefix)?)));
        within.unwrap_or((Self::Root, member))
    }

    fn has_lists(self) -> bool {
        matches!(self, Self::Attributes | Self::UserAttributes)
    }
}

/// A member of the record that is written.
struct Leaf<'a> {
    holder: Holder,
    name: Cow<'a, str>,
    member: Cow<'a, str>,
    /// JSON text. Only attributes have several.
    values: Vec<Cow<'a, str>>,
}

/// The members of an object, in order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = access.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reads)
    }
}

/// A record that is mapped.
struct Record<'a> {
    map: &'a Map,
    leaves: Vec<Leaf<'a>>,
    /// The values of the mapping's names.
    sources: Vec<Option<&'a str>>,
}

impl Room {
    /// Maps a record, and keeps what comes of it in `text`.
    pub(in super::super) fn map(
        &mut self,
        map: &Arc<Map>,
        strict: bool,
        line: &[u8],
        notices: &mut Notices,
    ) -> Judged<Mapped> {
        if self.strict != strict || !self.map.as_ref().is_some_and(|known| Arc::ptr_eq(known, map)) {
            *self = Self { map: Some(Arc::clone(map)), strict, ..Self::default() };
        }
        let Ok(members) = serde_json::from_slice::<Members<'_>>(line) else { return Ok(Mapped::Unread) };
        let mut record = Record { map, leaves: Vec::new(), sources: vec![None; map.sources.len()] };
        self.take(members, "", &mut record, notices);
        if let Some(rule) = map.dropped(|source| record.source(source)) {
            map.note_dropped(rule, notices);
            return Ok(Mapped::Dropped);
        }
        record.make()?;
        record.normalise()?;
        self.text.clear();
        record.write(&mut self.text);
        Ok(Mapped::Written)
    }

    /// Takes the members of an object apart. It goes no deeper than the names of the mapping do.
    fn take<'a>(
        &mut self,
        members: Members<'a>,
        prefix: &str,
        record: &mut Record<'a>,
        notices: &mut Notices,
    ) {
        for (key, value) in members.0 {
            let full = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
            let spot = self.spot(record.map, full, prefix);
            let value = value.get();
            if let Some(source) = spot.source {
                record.sources[source] = Some(value);
            }
            if let Some((kind, subject)) = &spot.notice {
                notices.add(*kind, subject, 1);
            }
            if spot.fate == Fate::Opens
                && let Ok(members) = serde_json::from_str(value)
            {
                self.take(members, &spot.member, record, notices);
            } else if spot.fate != Fate::Goes {
                record.own(&spot, value);
            }
        }
    }

    /// What is known of a name.
    fn spot(&mut self, map: &Map, full: String, prefix: &str) -> Arc<Spot> {
        if let Some(spot) = self.spots.get(&full) {
            return Arc::clone(spot);
        }
        if self.spots.len() >= MAX_SPOTS {
            self.spots.clear();
        }
        let spot = Arc::new(Spot::of(map, &full, prefix, self.strict));
        self.spots.insert(full, Arc::clone(&spot));
        spot
    }
}

impl Spot {
    fn of(map: &Map, full: &str, prefix: &str, strict: bool) -> Self {
        let found = map.source(full, strict);
        let source = found.map(|(at, _)| at);
        let mut spot = Self {
            holder: Holder::Root,
            name: full.into(),
            member: full.into(),
            source,
            fate: Fate::Stays,
            notice: None,
        };
        let role = source.map(|at| &map.sources[at].role);
        if let Some((at, false)) = found {
            spot.notice = Some((NoticeKind::NameTaken, taken(full, &map.sources[at].name)));
        }
        if matches!(role, Some(Role::Renamed(_) | Role::Ignored)) {
            spot.fate = Fate::Goes;
            return spot;
        }
        let is_flat = prefix.is_empty() && full.contains('.');
        if let Some(known) = names::known_member(full).filter(|known| !strict || known == full && !is_flat) {
            let (holder, name) = Holder::of(&known);
            if known != full || is_flat {
                let subject = match is_flat && known == full {
                    true => format!(
                        "{} is read as {name} in {}",
                        quoted(full),
                        &known[..known.len() - name.len() - 1]
                    ),
                    false => format!("{} is read as {known}", quoted(full)),
                };
                spot.notice.get_or_insert((NoticeKind::NameTaken, subject));
            }
            (spot.holder, spot.name, spot.member) = (holder, name.to_owned(), known);
        }
        match map.is_replaced(source, &spot.member) {
            Some(Replaced::ByConstant) => {
                spot.notice = Some((NoticeKind::MappedOver, quoted(full)));
                spot.fate = Fate::Goes;
            }
            Some(Replaced::ByJoin) => spot.fate = Fate::Goes,
            None if map.opened.contains(&spot.member.as_str()) => spot.fate = Fate::Opens,
            None => {
                let is_on_the_way = |source: &super::Source| {
                    source.name.strip_prefix(full).is_some_and(|rest| rest.starts_with('.'))
                };
                if map.sources.iter().any(is_on_the_way) {
                    spot.fate = Fate::Opens;
                } else if role.is_some() && names::known_member(full).is_none() {
                    // What only a join or a rule reads is not unknown.
                    spot.fate = Fate::Goes;
                }
            }
        }
        spot
    }
}

impl<'a> Record<'a> {
    /// A member that stands for itself. Of a repeated one the last counts.
    fn own(&mut self, spot: &Spot, value: &'a str) {
        let values = vec![Cow::Borrowed(value)];
        match self.leaf(spot.holder, &spot.name) {
            Some(leaf) => leaf.values = values,
            None => self.leaves.push(Leaf {
                holder: spot.holder,
                name: Cow::Owned(spot.name.clone()),
                member: Cow::Owned(spot.member.clone()),
                values,
            }),
        }
    }

    fn leaf(&mut self, holder: Holder, name: &str) -> Option<&mut Leaf<'a>> {
        self.leaves.iter_mut().find(|leaf| leaf.holder == holder && leaf.name == name)
    }

    fn member(&self, member: &str) -> Option<&Leaf<'a>> {
        self.leaves.iter().find(|leaf| leaf.member == member)
    }

    /// The value of a name of the mapping, as text.
    fn source<'s>(&self, source: usize) -> Cow<'s, str>
    where
        'a: 's,
    {
        self.sources[source].map_or(Cow::Borrowed(""), text)
    }

    /// Makes the members of the mapping.
    fn make(&mut self) -> Judged {
        let map = self.map;
        for (at, source) in map.sources.iter().enumerate() {
            if let Role::Renamed(member) = &source.role
                && let Some(value) = self.sources[at].filter(|value| *value != "null")
            {
                self.put(member, Cow::Borrowed(value), &source.name)?;
            }
        }
        let mut room = MAX_JOINED;
        for join in &map.joins {
            let joined = map.joined(join, |source| self.source(source), &mut room)?;
            if !joined.is_empty() {
                self.put(&join.member, Cow::Owned(json(&joined)), "[join]")?;
            }
        }
        for (member, value) in &map.constants {
            self.put(member, Cow::Owned(json(value)), "[constants]")?;
        }
        for leaf in &mut self.leaves {
            let has_words = map.has_words(&leaf.member);
            if has_words || map.trim {
                leaf.values = std::mem::take(&mut leaf.values).into_iter().flat_map(elements).collect();
                for value in &mut leaf.values {
                    reword(map, &leaf.member, value);
                }
            }
        }
        for (member, value) in &map.defaults {
            let is_empty =
                |leaf: &Leaf<'_>| leaf.values.iter().all(|value| matches!(&**value, "null" | "\"\""));
            match self.leaves.iter_mut().find(|leaf| leaf.member == *member) {
                Some(leaf) if is_empty(leaf) => {
                    leaf.values = vec![number_or(leaf.holder, member, json(value))]
                }
                Some(_) => {}
                None => self.put(member, Cow::Owned(json(value)), "[defaults]")?,
            }
        }
        Ok(())
    }

    /// Adds a value to a member.
    fn put(&mut self, member: &'a str, value: Cow<'a, str>, name: &str) -> Judged {
        let (holder, own) = Holder::of(member);
        let value = match number_or(holder, member, value) {
            value if holder.has_lists() => elements(value),
            value => vec![value],
        };
        match self.leaf(holder, own) {
            Some(leaf) if holder.has_lists() => leaf.values.extend(value),
            Some(_) => {
                let message = format!("{} means {member} too, which has one value", quoted(name));
                return failed(member, FailureCode::InvalidName, message);
            }
            None => self.leaves.push(Leaf {
                holder,
                name: Cow::Borrowed(own),
                member: Cow::Borrowed(member),
                values: value,
            }),
        }
        Ok(())
    }

    /// Brings the country and the address into their forms.
    fn normalise(&mut self) -> Judged {
        let map = self.map;
        let said = |record: &Self, member: &str| {
            record.member(member).and_then(|leaf| leaf.values.first()).map(|value| scalar(value).into_owned())
        };
        if map.country
            && let Some(country) = said(self, "Location.Country")
            && let Some(code) = map.country(names::trimmed(&country))?
        {
            self.set("Location.Country", code);
        }
        let channel = said(self, "ChannelType").and_then(|word| Channel::from_name(names::trimmed(&word)));
        if map.changes_addresses(channel)
            && let Some(address) = said(self, "Address")
        {
            let country = said(self, "Location.Country").unwrap_or_default();
            let address = map.address(channel, names::trimmed(&country), names::trimmed(&address))?;
            self.set("Address", &address);
        }
        Ok(())
    }

    fn set(&mut self, member: &str, value: &str) {
        if let Some(leaf) = self.leaves.iter_mut().find(|leaf| leaf.member == member) {
            leaf.values = vec![Cow::Owned(json(value))];
        }
    }

    /// Writes the record as one JSON object.
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        self.write_holder(Holder::Root, out);
        for (holder, name) in [
            (Holder::Attributes, "Attributes"),
            (Holder::Demographic, "Demographic"),
            (Holder::Location, "Location"),
            (Holder::Metrics, "Metrics"),
        ] {
            if self.has(holder) {
                begin(name, out);
                out.push(b'{');
                self.write_holder(holder, out);
                out.push(b'}');
            }
        }
        if self.has(Holder::User) || self.has(Holder::UserAttributes) {
            begin("User", out);
            out.push(b'{');
            self.write_holder(Holder::User, out);
            if self.has(Holder::UserAttributes) {
                begin("UserAttributes", out);
                out.push(b'{');
                self.write_holder(Holder::UserAttributes, out);
                out.push(b'}');
            }
            out.push(b'}');
        }
        out.push(b'}');
    }

    fn has(&self, holder: Holder) -> bool {
        self.leaves.iter().any(|leaf| leaf.holder == holder)
    }

    fn write_holder(&self, holder: Holder, out: &mut Vec<u8>) {
        for leaf in self.leaves.iter().filter(|leaf| leaf.holder == holder) {
            begin(&leaf.name, out);
            match &leaf.values[..] {
                [value] => out.extend_from_slice(value.as_bytes()),
                values => {
                    for (at, value) in values.iter().enumerate() {
                        out.push(if at == 0 { b'[' } else { b',' });
                        out.extend_from_slice(value.as_bytes());
                    }
                    out.extend_from_slice(if values.is_empty() { b"[]" } else { b"]" });
                }
            }
        }
    }
}

/// Begins a member: a comma if it is not the first, its name and a colon.
fn begin(name: &str, out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.extend_from_slice(json(name).as_bytes());
    out.push(b':');
}

fn json(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}

/// The text of a scalar: a string's characters, and the digits or the word of another.
fn scalar(raw: &str) -> Cow<'_, str> {
    match raw.as_bytes().first() {
        Some(b'"') => match raw[1..raw.len() - 1].contains('\\') {
            false => Cow::Borrowed(&raw[1..raw.len() - 1]),
            true => serde_json::from_str(raw).map_or_else(|_| Cow::Borrowed(raw), Cow::Owned),
        },
        _ if raw == "null" => Cow::Borrowed(""),
        _ => Cow::Borrowed(raw),
    }
}

/// The text of a value. That of a list is its elements, separated by commas.
fn text(raw: &str) -> Cow<'_, str> {
    if !raw.starts_with('[') {
        return scalar(raw);
    }
    let texts: Vec<_> =
        elements(Cow::Borrowed(raw)).into_iter().map(|raw| scalar(&raw).into_owned()).collect();
    Cow::Owned(texts.join(", "))
}

/// The elements of a list, or a value as the only one.
fn elements(value: Cow<'_, str>) -> Vec<Cow<'_, str>> {
    if !value.starts_with('[') {
        return vec![value];
    }
    match serde_json::from_str::<Vec<&RawValue>>(&value) {
        Ok(list) => list.into_iter().map(|raw| Cow::Owned(raw.get().to_owned())).collect(),
        Err(_) => vec![value],
    }
}

/// Trims a value, and gives it its meaning.
fn reword(map: &Map, member: &str, value: &mut Cow<'_, str>) {
    if value.starts_with(['{', '[']) || *value == "null" {
        return;
    }
    let said = scalar(value);
    let trimmed = names::trimmed(&said);
    if let Some(meaning) = map.meaning(member, trimmed) {
        *value = Cow::Owned(json(meaning));
    } else if map.trim && trimmed.len() < said.len() {
        *value = Cow::Owned(json(trimmed));
    }
}

/// A text as the number that it is, where a number is expected.
fn number_or<'a>(holder: Holder, member: &str, value: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
    let value = value.into();
    let is_number = holder == Holder::Metrics || matches!(member, "Location.Latitude" | "Location.Longitude");
    if is_number && value.starts_with('"') {
        let said = scalar(&value);
        let digits = names::trimmed(&said);
        if serde_json::from_str::<serde_json::Number>(digits).is_ok() {
            return Cow::Owned(digits.to_owned());
        }
    }
    value
}
