//! Lets tests see the drafts that a parser makes, before they are encoded.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    ops::RangeInclusive,
};

use pinport_model::{Attribute, Draft, Origin, Scalar, TextMember};
use pinport_store::DraftKind;

/// A draft as plain data: every member by its dotted name, of a repeated one the last.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) byte: u64,
    pub(crate) line: u64,
    pub(crate) kind: DraftKind,
    pub(crate) id: String,
    pub(crate) members: BTreeMap<String, Vec<String>>,
}

thread_local! {
    static SEEN: RefCell<Vec<Seen>> = const { RefCell::new(Vec::new()) };
    /// Lines that were read in one pass.
    static PLAIN: Cell<usize> = const { Cell::new(0) };
}

/// Notes a draft. `stored`: from what it takes when it is stored to the bound on that.
pub(crate) fn note(
    draft: &Draft<'_>,
    kind: DraftKind,
    id: &str,
    origin: Origin,
    stored: RangeInclusive<usize>,
) {
    assert!(!stored.is_empty(), "{stored:?}");
    let seen =
        Seen { byte: origin.byte, line: origin.line, kind, id: id.to_owned(), members: members(draft) };
    SEEN.with_borrow_mut(|list| list.push(seen));
}

/// Notes a line that was read in one pass.
pub(crate) fn note_plain() {
    PLAIN.set(PLAIN.get() + 1);
}

/// How many lines were read in one pass since this was called last.
pub(crate) fn take_plain() -> usize {
    PLAIN.take()
}

/// The drafts since this was called last.
pub(crate) fn take() -> Vec<Seen> {
    SEEN.take()
}

fn members(draft: &Draft<'_>) -> BTreeMap<String, Vec<String>> {
    let mut members = BTreeMap::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            members.insert(name.to_owned(), vec![value]);
        }
    };
    add("Id", draft.id.map(str::to_owned));
    add("ChannelType", draft.channel.map(|value| value.to_string()));
    add("OptOut", draft.opt_out.map(|value| value.to_string()));
    add("EndpointStatus", draft.status.map(|value| value.to_string()));
    add("Location.Latitude", draft.latitude.map(|value| value.to_string()));
    add("Location.Longitude", draft.longitude.map(|value| value.to_string()));
    for member in TextMember::ALL {
        add(member.name(), draft.text(member).map(str::to_owned));
    }
    for (name, value) in &draft.metrics {
        add(&format!("Metrics.{name}"), Some(value.to_string()));
    }
    let mut add_all = |prefix: &str, attributes: &[Attribute<'_>]| {
        for attribute in attributes {
            let values = draft.values_of(attribute).iter().map(text).collect();
            members.insert(format!("{prefix}.{}", attribute.name), values);
        }
    };
    add_all("Attributes", &draft.attributes);
    add_all("User.UserAttributes", &draft.user_attributes);
    members
}

fn text(value: &Scalar<'_>) -> String {
    match value {
        Scalar::Text(text) => (*text).to_owned(),
        Scalar::Int(number) => number.to_string(),
        Scalar::Uint(number) => number.to_string(),
        Scalar::Float(number) => number.to_string(),
        Scalar::Bool(truth) => truth.to_string(),
    }
}
