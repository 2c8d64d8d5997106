//! Makes a [`Map`] of what a caller wrote, or says what is wrong with it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use pinport_model::{Mapping, failure::quoted, limits, mapping::DropRule};

use super::{Drop, Join, Map, Part, Role, Source, Spot, normal};
use crate::parse::{names, validate};

/// What is wrong with a mapping.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct WrongMapping {
    /// Where, as it is written: `[rename] "E-mail"`.
    place: String,
    what: String,
}

fn wrong(place: impl Into<String>, what: impl Into<String>) -> WrongMapping {
    WrongMapping { place: place.into(), what: what.into() }
}

pub(super) fn compile(mapping: &Mapping) -> Result<Map, WrongMapping> {
    check_size(mapping)?;
    let mut sources = Sources::default();
    for (name, member) in &mapping.rename {
        let place = format!("[rename] {}", quoted(name));
        check_member(&place, member)?;
        sources.add(&place, name, Role::Renamed(member.clone()))?;
    }
    for name in &mapping.ignore {
        sources.add("ignore", name, Role::Ignored)?;
    }
    let joins = mapping.join.iter().map(|(member, text)| {
        let place = format!("[join] {}", quoted(member));
        check_member(&place, member)?;
        let parts = parts(&place, text, &mut sources)?;
        if !parts.iter().any(|part| matches!(part, Part::Source(_))) {
            return Err(wrong(
                place,
                "names no column; put names in braces, as in {First} {Last}, or write it as a constant",
            ));
        }
        Ok(Join { member: member.clone(), parts })
    });
    let joins = joins.collect::<Result<Vec<_>, _>>()?;
    let drops = mapping.drop.iter().enumerate().map(|(at, rule)| drop_rule(at + 1, rule, &mut sources));
    let drops = drops.collect::<Result<Vec<_>, _>>()?;
    for name in &mapping.optional {
        sources.allow_missing(name)?;
    }
    let constants = fixed("constants", &mapping.constants)?;
    let defaults = fixed("defaults", &mapping.defaults)?;
    check_targets(mapping)?;
    let words = mapping.values.iter().map(|(member, words)| Ok((member.clone(), words_of(member, words)?)));
    let words = words.collect::<Result<HashMap<_, _>, WrongMapping>>()?;
    let default_country = mapping.normalise.default_country.as_deref().map(|country| {
        let place = "[normalise] default_country";
        if !mapping.normalise.phone {
            return Err(wrong(place, "is the country of phone numbers; set phone = true with it"));
        }
        normal::alpha2(country).ok_or_else(|| {
            wrong(
                place,
                format!("{} is no country; write its ISO 3166 code, such as GB or GBR", quoted(country)),
            )
        })
    });
    let Sources { list: sources, exact } = sources;
    let mut map = Map {
        folded: folded(&sources),
        sources,
        exact,
        joins,
        constants,
        defaults,
        words,
        trim: mapping.normalise.trim,
        email: mapping.normalise.email,
        phone: mapping.normalise.phone,
        country: mapping.normalise.country,
        default_country: default_country.transpose()?,
        drops,
        opened: Vec::new(),
        spots: HashMap::new(),
    };
    map.opened = opened(&map);
    let renamed = map.sources.iter().filter_map(|source| match &source.role {
        Role::Renamed(member) => Some(member),
        _ => None,
    });
    let fixed = map.constants.iter().chain(&map.defaults).map(|(member, _)| member);
    let made = renamed.chain(map.joins.iter().map(|join| &join.member)).chain(fixed);
    map.spots = made.map(|member| (member.clone(), Arc::new(Spot::made(member)))).collect();
    Ok(map)
}

/// The names of the file, gathered.
#[derive(Default)]
struct Sources {
    list: Vec<Source>,
    exact: HashMap<String, usize>,
}

impl Sources {
    fn add(&mut self, place: &str, name: &str, role: Role) -> Result<usize, WrongMapping> {
        let trimmed = names::trimmed(name);
        if trimmed.is_empty() {
            return Err(wrong(place, "the name of a column is empty"));
        }
        let needed = role != Role::Ignored;
        match self.exact.get(trimmed) {
            Some(&at) if role == Role::Read => {
                self.list[at].needed = true;
                Ok(at)
            }
            Some(_) => Err(wrong(place, format!("{} is renamed or ignored already", quoted(trimmed)))),
            None => {
                self.list.push(Source { name: trimmed.to_owned(), role, needed });
                self.exact.insert(trimmed.to_owned(), self.list.len() - 1);
                Ok(self.list.len() - 1)
            }
        }
    }

    fn allow_missing(&mut self, name: &str) -> Result<(), WrongMapping> {
        match self.exact.get(names::trimmed(name)) {
            Some(&at) => self.list[at].needed = false,
            None => {
                let what = format!("{} is no name that the mapping uses; remove it here", quoted(name));
                return Err(wrong("optional", what));
            }
        }
        Ok(())
    }
}

/// The names in the form in which they are compared. Two that look the same in it are taken only as they are written.
fn folded(sources: &[Source]) -> HashMap<String, usize> {
    let mut folded: HashMap<String, Option<usize>> = HashMap::new();
    for (at, source) in sources.iter().enumerate() {
        folded.entry(names::folded(&source.name)).and_modify(|found| *found = None).or_insert(Some(at));
    }
    folded.into_iter().filter_map(|(name, at)| Some((name, at?))).collect()
}

/// Judges the name of a member that a mapping makes.
fn check_member(place: &str, member: &str) -> Result<(), WrongMapping> {
    if names::known(member).as_deref() == Some(member) && member != "ApplicationId" {
        return Ok(());
    }
    let meant = names::known(member).or_else(|| names::suggestion(member));
    let hint = match meant {
        Some(meant) => format!("did you mean {meant}?"),
        None => "write a member as in a CSV header, such as Address, User.UserId or Attributes.plan".into(),
    };
    Err(wrong(place, format!("{} is no member; {hint}", quoted(member))))
}

/// Members with fixed values.
fn fixed(table: &str, values: &BTreeMap<String, String>) -> Result<Vec<(String, String)>, WrongMapping> {
    let judged = values.iter().map(|(member, value)| {
        let place = format!("[{table}] {}", quoted(member));
        check_member(&place, member)?;
        if value.is_empty() {
            return Err(wrong(place, "the value is empty; leave it out"));
        }
        check_word(&place, member, value)?;
        Ok((member.clone(), value.clone()))
    });
    judged.collect()
}

/// Judges a value of the members that have but some words, by the rule of records.
fn check_word(place: &str, member: &str, value: &str) -> Result<(), WrongMapping> {
    let judged = match member {
        "ChannelType" => validate::channel(value).map(drop),
        "OptOut" => validate::opt_out(value).map(drop),
        "EndpointStatus" => validate::status(value).map(drop),
        _ => Ok(()),
    };
    judged.map_err(|reason| wrong(place, reason.message))
}

/// What the values of a member mean, in lower case.
fn words_of(member: &str, words: &BTreeMap<String, String>) -> Result<HashMap<String, String>, WrongMapping> {
    let place = format!("[values.{}]", quoted(member));
    check_member(&place, member)?;
    let mut lower = HashMap::new();
    for (word, meaning) in words {
        let word = names::trimmed(word);
        if word.is_empty() {
            return Err(wrong(place, "an empty value is given its meaning in [defaults]"));
        }
        // A word may mean nothing.
        if !meaning.is_empty() {
            check_word(&format!("{place} {}", quoted(word)), member, meaning)?;
        }
        if lower.insert(word.to_lowercase(), meaning.clone()).is_some_and(|before| before != *meaning) {
            return Err(wrong(place, format!("{} has two meanings; case does not matter", quoted(word))));
        }
    }
    Ok(lower)
}

/// No member of one value may come from two places.
fn check_targets(mapping: &Mapping) -> Result<(), WrongMapping> {
    let mut made: HashMap<&str, String> = HashMap::new();
    let renamed = mapping.rename.iter().map(|(name, member)| (member, format!("[rename] {}", quoted(name))));
    let joined = mapping.join.keys().map(|member| (member, format!("[join] {}", quoted(member))));
    let fixed = mapping.constants.keys().map(|member| (member, format!("[constants] {}", quoted(member))));
    for (member, place) in renamed.chain(joined).chain(fixed) {
        if names::PREFIXES[..2].iter().any(|prefix| member.starts_with(prefix)) {
            continue;
        }
        if let Some(first) = made.insert(member, place.clone()) {
            return Err(wrong(place, format!("{member} has one value, and {first} makes it already")));
        }
    }
    Ok(())
}

/// The parts of a join: text, and names in braces. `{{` and `}}` are braces.
fn parts(place: &str, text: &str, sources: &mut Sources) -> Result<Vec<Part>, WrongMapping> {
    let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
    while let Some(at) = rest.find(['{', '}']) {
        plain.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(more) = rest.strip_prefix(brace) {
            plain.push_str(brace);
            rest = more;
            continue;
        }
        let Some((name, more)) = rest.split_once('}').filter(|_| brace == "{") else {
            return Err(wrong(place, "a brace has no other half; write {{ or }} for a brace"));
        };
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(Part::Source(sources.add(place, name, Role::Read)?));
        rest = more;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(parts)
}

fn drop_rule(number: usize, rule: &DropRule, sources: &mut Sources) -> Result<Drop, WrongMapping> {
    let place = format!("[[drop]] number {number}");
    if rule.is.is_empty() && rule.is_not.is_empty() && !rule.empty {
        return Err(wrong(place, "says nothing about the value; set is, is_not or empty"));
    }
    if !rule.is.is_empty() && !rule.is_not.is_empty() {
        return Err(wrong(place, "has both is and is_not; write two rules"));
    }
    let source = sources.add(&place, &rule.column, Role::Read)?;
    let name = quoted(&sources.list[source].name);
    let list = |words: &[String]| words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
    let mut said = Vec::new();
    if !rule.is.is_empty() {
        said.push(format!("is {}", list(&rule.is)));
    }
    if !rule.is_not.is_empty() {
        said.push(format!("is not {}", list(&rule.is_not)));
    }
    if rule.empty {
        said.push("is empty".into());
    }
    let lower = |words: &[String]| words.iter().map(|word| names::trimmed(word).to_lowercase()).collect();
    let subject = format!("{name} {}", said.join(" or "));
    Ok(Drop { source, is: lower(&rule.is), is_not: lower(&rule.is_not), empty: rule.empty, subject })
}

/// The holders of JSON members into which the mapping reaches.
fn opened(map: &Map) -> Vec<&'static str> {
    let renamed = map.sources.iter().filter_map(|source| match &source.role {
        Role::Renamed(member) => Some(member.as_str()),
        _ => None,
    });
    let reached: Vec<&str> = renamed
        .chain(map.sources.iter().map(|source| source.name.as_str()))
        .chain(map.joins.iter().map(|join| join.member.as_str()))
        .chain(map.constants.iter().chain(&map.defaults).map(|(member, _)| member.as_str()))
        .chain(map.words.keys().map(String::as_str))
        .chain(map.country.then_some("Location.Country"))
        // The country of a phone number.
        .chain(map.phone.then_some("Location.Country"))
        .collect();
    let is_reached = |holder: &&str| {
        let below = |name: &str| {
            let lower = name.to_lowercase();
            lower.strip_prefix(&holder.to_lowercase()).is_some_and(|rest| rest.starts_with('.'))
        };
        map.trim || reached.iter().any(|name| below(name))
    };
    names::HOLDERS.into_iter().filter(is_reached).collect()
}

/// A mapping is small: every record meets all of it.
fn check_size(mapping: &Mapping) -> Result<(), WrongMapping> {
    let pair = |(name, value): (&String, &String)| name.len() + value.len();
    let tables = [&mapping.rename, &mapping.join, &mapping.constants, &mapping.defaults];
    let rules = tables.iter().map(|table| table.len()).sum::<usize>()
        + mapping.ignore.len()
        + mapping.optional.len()
        + mapping.values.values().map(BTreeMap::len).sum::<usize>()
        + mapping.drop.iter().map(|rule| 1 + rule.is.len() + rule.is_not.len()).sum::<usize>();
    let bytes = tables.iter().flat_map(|table| table.iter().map(pair)).sum::<usize>()
        + mapping.ignore.iter().chain(&mapping.optional).map(String::len).sum::<usize>()
        + mapping.values.values().flat_map(|words| words.iter().map(pair)).sum::<usize>()
        + mapping
            .drop
            .iter()
            .flat_map(|rule| rule.is.iter().chain(&rule.is_not))
            .map(String::len)
            .sum::<usize>();
    if rules > limits::MAX_MAP_RULES {
        return Err(wrong(
            "the mapping",
            format!("has {rules} rules, the limit is {}", limits::MAX_MAP_RULES),
        ));
    }
    if bytes > limits::MAX_MAP_BYTES {
        return Err(wrong(
            "the mapping",
            format!("has {bytes} bytes, the limit is {}", limits::MAX_MAP_BYTES),
        ));
    }
    Ok(())
}
