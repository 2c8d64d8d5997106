//! Maps a JSON record: it is taken apart into its members and rewritten, with the members that the mapping makes.
//!
//! Values stay the JSON text that they are, so that digits are not lost. What is no JSON object, or has values of a
//! wrong type, is left as it is: the reader judges it.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use pinport_model::{Channel, FailureCode, NoticeKind, Notices, failure::quoted, limits::MAX_JOINED};

use super::{
    Map, Replaced, Role,
    parts::{Holder, Key, Members, Value, elements, json, scalar, text},
    taken,
};
use crate::parse::{
    names,
    validate::{Judged, failed},
};

/// Names whose places are remembered; others are looked up each time.
const MAX_SPOTS: usize = 1000;

/// What came of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Mapped {
    /// It is no object and stays as it is.
    Unread,
    /// A rule drops it.
    Dropped,
    /// It was rewritten.
    Written,
}

/// Where records are mapped: the text of the last one, and what is known of names.
#[derive(Debug, Default)]
pub(in super::super) struct Room {
    pub(in super::super) text: Vec<u8>,
    map: Option<Arc<Map>>,
    strict: bool,
    spots: HashMap<String, Arc<Spot>, foldhash::fast::RandomState>,
}

/// What becomes of the members of one name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spot {
    holder: Holder,
    /// The member's dotted name, as it is known.
    member: String,
    /// The member's name in its holder as JSON, with a colon.
    name: String,
    source: Option<usize>,
    fate: Fate,
    /// Whether the name is nearly that of the member.
    is_near: bool,
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

/// A member of the record that is written.
struct Leaf<'a> {
    spot: Arc<Spot>,
    value: Value<'a>,
}

impl<'a> Leaf<'a> {
    /// Its value, which is to be put back.
    fn take(&mut self) -> Value<'a> {
        std::mem::replace(&mut self.value, Value::List(Vec::new()))
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
        let mut record =
            Record { map, leaves: Vec::with_capacity(32), sources: vec![None; map.sources.len()] };
        self.take(members, "", &mut record, notices)?;
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
    ) -> Judged {
        for (Key(key), value) in members.0 {
            let full = if prefix.is_empty() { key } else { Cow::Owned(format!("{prefix}.{key}")) };
            let spot = self.spot(record.map, &full, prefix);
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
                self.take(members, &spot.member, record, notices)?;
            } else if spot.fate != Fate::Goes {
                record.own(spot, value)?;
            }
        }
        Ok(())
    }

    /// What is known of a name.
    fn spot(&mut self, map: &Map, full: &str, prefix: &str) -> Arc<Spot> {
        if let Some(spot) = self.spots.get(full) {
            return Arc::clone(spot);
        }
        if self.spots.len() >= MAX_SPOTS {
            self.spots.clear();
        }
        let spot = Arc::new(Spot::of(map, full, prefix, self.strict));
        self.spots.insert(full.to_owned(), Arc::clone(&spot));
        spot
    }
}

impl Spot {
    /// The place of a member that the mapping makes.
    pub(super) fn made(member: &str) -> Self {
        let (holder, name) = Holder::of(member);
        Self {
            holder,
            member: member.to_owned(),
            name: format!("{}:", json(name)),
            source: None,
            fate: Fate::Stays,
            is_near: false,
            notice: None,
        }
    }

    fn of(map: &Map, full: &str, prefix: &str, strict: bool) -> Self {
        let found = map.source(full, strict);
        let source = found.map(|(at, _)| at);
        let mut spot =
            Self { holder: Holder::Root, name: format!("{}:", json(full)), source, ..Self::made(full) };
        let role = source.map(|at| &map.sources[at].role);
        if let Some((at, false)) = found {
            spot.notice = Some((NoticeKind::NameTaken, taken(full, &map.sources[at].name)));
        }
        if matches!(role, Some(Role::Renamed(_) | Role::Ignored)) {
            spot.fate = Fate::Goes;
            return spot;
        }
        let is_flat = prefix.is_empty() && full.contains('.');
        let known = names::known_member(full);
        if let Some(known) = known.as_ref().filter(|known| !strict || *known == full && !is_flat) {
            let (holder, name) = Holder::of(known);
            spot.is_near = known != full || is_flat;
            if spot.is_near {
                let subject = match is_flat && known == full {
                    true => {
                        let holder = &known[..known.len() - name.len() - 1];
                        format!("{} is read as {name} in {holder}", quoted(full))
                    }
                    false => format!("{} is read as {known}", quoted(full)),
                };
                spot.notice.get_or_insert((NoticeKind::NameTaken, subject));
            }
            (spot.holder, spot.name, spot.member) = (holder, format!("{}:", json(name)), known.clone());
        }
        let is_on_the_way =
            |source: &super::Source| source.name.strip_prefix(full).is_some_and(|rest| rest.starts_with('.'));
        spot.fate = match map.is_replaced(source, &spot.member) {
            Some(Replaced::ByConstant) => {
                spot.notice = Some((NoticeKind::MappedOver, quoted(full)));
                Fate::Goes
            }
            Some(Replaced::ByJoin) => Fate::Goes,
            None if map.opened.contains(&spot.member.as_str()) || map.sources.iter().any(is_on_the_way) => {
                Fate::Opens
            }
            // What only a join or a rule reads is not unknown.
            None if role.is_some() && known.is_none() => Fate::Goes,
            None => Fate::Stays,
        };
        spot
    }
}

impl<'a> Record<'a> {
    /// A member that stands for itself. Of a repeated one the last counts.
    fn own(&mut self, spot: Arc<Spot>, value: &'a str) -> Judged {
        let value = Value::One(Cow::Borrowed(value));
        match self.leaf(&spot) {
            Some(leaf) if spot.is_near || leaf.spot.is_near => {
                let message = "comes twice, under names that mean the same, and has one value";
                return failed(spot.member.clone(), FailureCode::InvalidName, message);
            }
            Some(leaf) => leaf.value = value,
            None => self.leaves.push(Leaf { spot, value }),
        }
        Ok(())
    }

    fn leaf(&mut self, spot: &Spot) -> Option<&mut Leaf<'a>> {
        self.leaves.iter_mut().find(|leaf| leaf.spot.holder == spot.holder && leaf.spot.name == spot.name)
    }

    /// The text of a member of one value.
    fn text_of(&self, member: &str) -> Option<String> {
        let leaf = self.leaves.iter().find(|leaf| leaf.spot.member == member)?;
        leaf.value.first().map(|value| scalar(value).into_owned())
    }

    /// The value of a name of the mapping, as text.
    fn source(&self, source: usize) -> Cow<'a, str> {
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
        for leaf in self.leaves.iter_mut().filter(|leaf| map.trim || map.has_words(&leaf.spot.member)) {
            if leaf.spot.holder.has_lists() {
                let mut values = leaf.take().into_list();
                values.iter_mut().for_each(|value| reword(map, &leaf.spot.member, value));
                leaf.value = Value::of(values);
            } else if let Value::One(value) = &mut leaf.value {
                reword(map, &leaf.spot.member, value);
            }
        }
        for (member, value) in &map.defaults {
            match self.leaves.iter_mut().find(|leaf| leaf.spot.member == *member) {
                Some(leaf) if leaf.value.is_empty() => {
                    leaf.value = Value::One(number_or(&leaf.spot, json(value)));
                }
                Some(_) => {}
                None => self.put(member, Cow::Owned(json(value)), "[defaults]")?,
            }
        }
        Ok(())
    }

    /// Adds a value to a member.
    fn put(&mut self, member: &str, value: Cow<'a, str>, name: &str) -> Judged {
        let spot = Arc::clone(&self.map.spots[member]);
        let value = number_or(&spot, value);
        let has_lists = spot.holder.has_lists();
        match self.leaf(&spot) {
            None => self.leaves.push(Leaf { spot, value: Value::One(value) }),
            Some(leaf) if has_lists => {
                let mut values = leaf.take().into_list();
                values.extend(elements(value));
                leaf.value = Value::of(values);
            }
            Some(_) => {
                let message = format!("{} means {member} too, which has one value", quoted(name));
                return failed(member, FailureCode::InvalidName, message);
            }
        }
        Ok(())
    }

    /// Brings the country and the address into their forms.
    fn normalise(&mut self) -> Judged {
        let map = self.map;
        if !(map.country || map.phone || map.email) {
            return Ok(());
        }
        if map.country
            && let Some(country) = self.text_of("Location.Country")
            && let Some(code) = map.country(names::trimmed(&country))?
        {
            self.set("Location.Country", code);
        }
        let channel = self.text_of("ChannelType").and_then(|word| Channel::from_name(names::trimmed(&word)));
        if map.changes_addresses(channel)
            && let Some(address) = self.text_of("Address")
        {
            let country = self.text_of("Location.Country").unwrap_or_default();
            let address = map.address(channel, names::trimmed(&country), names::trimmed(&address))?;
            self.set("Address", &address);
        }
        Ok(())
    }

    fn set(&mut self, member: &str, value: &str) {
        if let Some(leaf) = self.leaves.iter_mut().find(|leaf| leaf.spot.member == member) {
            leaf.value = Value::One(Cow::Owned(json(value)));
        }
    }

    /// Writes the record as one JSON object.
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        self.write_holder(Holder::Root, out);
        for (holder, name) in [
            (Holder::Attributes, "\"Attributes\":{"),
            (Holder::Demographic, "\"Demographic\":{"),
            (Holder::Location, "\"Location\":{"),
            (Holder::Metrics, "\"Metrics\":{"),
        ] {
            if self.has(holder) {
                begin(name, out);
                self.write_holder(holder, out);
                out.push(b'}');
            }
        }
        if self.has(Holder::User) || self.has(Holder::UserAttributes) {
            begin("\"User\":{", out);
            self.write_holder(Holder::User, out);
            if self.has(Holder::UserAttributes) {
                begin("\"UserAttributes\":{", out);
                self.write_holder(Holder::UserAttributes, out);
                out.push(b'}');
            }
            out.push(b'}');
        }
        out.push(b'}');
    }

    fn has(&self, holder: Holder) -> bool {
        self.leaves.iter().any(|leaf| leaf.spot.holder == holder)
    }

    fn write_holder(&self, holder: Holder, out: &mut Vec<u8>) {
        for leaf in self.leaves.iter().filter(|leaf| leaf.spot.holder == holder) {
            begin(&leaf.spot.name, out);
            match &leaf.value {
                Value::One(value) => out.extend_from_slice(value.as_bytes()),
                Value::List(values) => {
                    out.push(b'[');
                    for (at, value) in values.iter().enumerate() {
                        out.extend_from_slice(if at == 0 { b"" } else { b"," });
                        out.extend_from_slice(value.as_bytes());
                    }
                    out.push(b']');
                }
            }
        }
    }
}

/// Begins a member: a comma if it is not the first, and its name with what follows.
fn begin(name: &str, out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.extend_from_slice(name.as_bytes());
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
fn number_or<'a>(spot: &Spot, value: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
    let value = value.into();
    let is_number =
        spot.holder == Holder::Metrics || matches!(&*spot.member, "Location.Latitude" | "Location.Longitude");
    if is_number && value.starts_with('"') {
        let said = scalar(&value);
        let digits = names::trimmed(&said);
        if serde_json::from_str::<serde_json::Number>(digits).is_ok() {
            return Cow::Owned(digits.to_owned());
        }
    }
    value
}
