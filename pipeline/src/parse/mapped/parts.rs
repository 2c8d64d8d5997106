//! The parts of a JSON record that is mapped, as JSON text: its members, where they stand, and their values.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

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
    pub(super) fn of(member: &str) -> (Self, &str) {
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

/// JSON text.
pub(super) enum Value<'a> {
    One(Cow<'a, str>),
    /// Values of an attribute.
    List(Vec<Cow<'a, str>>),
}

impl<'a> Value<'a> {
    pub(super) fn of(mut values: Vec<Cow<'a, str>>) -> Self {
        match values.len() {
            1 => Self::One(values.remove(0)),
            _ => Self::List(values),
        }
    }

    /// The values one by one, also those of a list that stands as it is.
    pub(super) fn into_list(self) -> Vec<Cow<'a, str>> {
        match self {
            Self::One(value) => elements(value),
            Self::List(values) => values,
        }
    }

    pub(super) fn first(&self) -> Option<&str> {
        match self {
            Self::One(value) => Some(value),
            Self::List(values) => values.first().map(|value| &**value),
        }
    }

    /// Whether it says nothing.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::One(value) if matches!(&**value, "null" | "\"\""))
    }
}

/// The members of an object, in order.
pub(super) struct Members<'a>(pub(super) Vec<(Key<'a>, &'a RawValue)>);

/// A member's name, without its escapes.
pub(super) struct Key<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Reads)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reads;
        impl<'de> Visitor<'de> for Reads {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some(member) = access.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reads)
    }
}

pub(super) fn json(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}

/// The text of a scalar: a string's characters, and the digits or the word of another.
pub(super) fn scalar(raw: &str) -> Cow<'_, str> {
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
pub(super) fn text(raw: &str) -> Cow<'_, str> {
    if !raw.starts_with('[') {
        return scalar(raw);
    }
    let texts: Vec<_> =
        elements(Cow::Borrowed(raw)).into_iter().map(|raw| scalar(&raw).into_owned()).collect();
    Cow::Owned(texts.join(", "))
}

/// The elements of a list, or a value as the only one.
pub(super) fn elements(value: Cow<'_, str>) -> Vec<Cow<'_, str>> {
    if !value.starts_with('[') {
        return vec![value];
    }
    match serde_json::from_str::<Vec<&RawValue>>(&value) {
        Ok(list) => list.into_iter().map(|raw| Cow::Owned(raw.get().to_owned())).collect(),
        Err(_) => vec![value],
    }
}
