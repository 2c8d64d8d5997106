//! JSON text as it stands: the values of a member, and what they say.

use std::borrow::Cow;

use serde_json::value::RawValue;

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
