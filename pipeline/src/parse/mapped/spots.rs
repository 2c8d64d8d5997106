//! What becomes of the members of one name: where they belong, and whether the mapping reads, opens or replaces them.

use pinport_model::{NoticeKind, failure::quoted};

use super::{Map, Replaced, Role, raw::json, taken};
use crate::parse::names;

/// What becomes of the members of one name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) holder: Holder,
    /// The member's dotted name, as it is known.
    pub(super) member: String,
    /// The member's name in its holder as JSON, with a colon.
    pub(super) name: String,
    pub(super) source: Option<usize>,
    pub(super) fate: Fate,
    /// Whether the name is nearly that of the member.
    pub(super) is_near: bool,
    /// What is noted if a record has it.
    pub(super) notice: Option<(NoticeKind, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stands for itself.
    Stays,
    /// The mapping reaches into it.
    Opens,
    /// It gives way to what the mapping makes.
    Goes,
}

/// The objects of a record that hold members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
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

    pub(super) fn has_lists(self) -> bool {
        matches!(self, Self::Attributes | Self::UserAttributes)
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

    pub(super) fn of(map: &Map, full: &str, prefix: &str, strict: bool) -> Self {
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
