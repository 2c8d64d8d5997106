//! The known names of members, and which of them a name stands for that does not quite fit.
//!
//! A known name but for case, spaces, underscores, hyphens or invisible characters is taken as that name. Anything
//! further away is not taken; the nearest known name is only suggested.

use std::{collections::HashMap, sync::LazyLock};

use pinport_model::{TextMember, failure::quoted};

/// Scalar members that are not text members of a draft.
const OTHERS: [&str; 8] = [
    "Id",
    "ChannelType",
    "OptOut",
    "EndpointStatus",
    "Location.Latitude",
    "Location.Longitude",
    "ApplicationId",
    "CohortId",
];

/// What stands before the name of an attribute or a metric.
pub(super) const PREFIXES: [&str; 3] = ["Attributes", "User.UserAttributes", "Metrics"];

/// How far a suggested name may be from what was written, in edits.
const NEAR: usize = 2;

/// Every scalar member's name.
fn scalars() -> impl Iterator<Item = &'static str> {
    OTHERS.into_iter().chain(TextMember::ALL.into_iter().map(TextMember::name))
}

/// Whether nothing can be seen of a character, or it only separates.
fn is_invisible(character: char) -> bool {
    character.is_whitespace()
        // A zero byte is no invisible character: it is half of one in UTF-16, which is not read here.
        || character.is_control() && character != '\0'
        || matches!(character, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A name without white space and invisible characters around it.
pub(crate) fn trimmed(name: &str) -> &str {
    name.trim_matches(is_invisible)
}

/// The form in which names are compared.
pub(super) fn folded(name: &str) -> String {
    if name.is_ascii() {
        let kept = name.chars().filter(|kept| !is_invisible(*kept) && !matches!(kept, '_' | '-'));
        return kept.map(|kept| kept.to_ascii_lowercase()).collect();
    }
    let kept = name.chars().filter(|character| !is_invisible(*character) && !matches!(character, '_' | '-'));
    kept.flat_map(char::to_lowercase).collect()
}

/// The known name that `name` stands for, if it is one or nearly one. `name` may be that of an attribute, which is
/// kept as it is after the known prefix.
pub(crate) fn known(name: &str) -> Option<String> {
    /// The scalar members by their folded names, with and without dots.
    static FOLDED: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
        let dotless = scalars().map(|name| (name.to_lowercase().replace('.', ""), name));
        dotless.chain(scalars().map(|name| (name.to_lowercase(), name))).collect()
    });
    let name = trimmed(name);
    // Nearly all names are right, and a header is looked up more than once.
    if is_exact(name) {
        return Some(name.to_owned());
    }
    if let Some(scalar) = FOLDED.get(&folded(name)) {
        return Some((*scalar).to_owned());
    }
    for prefix in PREFIXES {
        let dots = prefix.matches('.').count();
        let Some((at, _)) = name.match_indices('.').nth(dots) else { continue };
        let rest = trimmed(&name[at + 1..]);
        if folded(&name[..at]).eq_ignore_ascii_case(prefix) && !rest.is_empty() {
            return Some(format!("{prefix}.{rest}"));
        }
    }
    None
}

/// Whether a name is that of a member as it should be written.
fn is_exact(name: &str) -> bool {
    let is_member = |prefix: &str| {
        let rest = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'));
        rest.is_some_and(|rest| !rest.is_empty() && trimmed(rest).len() == rest.len())
    };
    PREFIXES.into_iter().any(is_member) || scalars().any(|scalar| scalar == name)
}

/// Members of JSON that hold others.
pub(super) const HOLDERS: [&str; 6] =
    ["Attributes", "User", "User.UserAttributes", "Demographic", "Location", "Metrics"];

/// The same for a member of JSON, which may be one that holds others.
pub(crate) fn known_member(name: &str) -> Option<String> {
    let written = folded(trimmed(name));
    let holder = HOLDERS.into_iter().find(|holder| holder.to_lowercase() == written);
    holder.map(str::to_owned).or_else(|| known(name))
}

/// Whether a cell is one of the names that a header must have one of.
pub(crate) fn is_key(name: &str, strict: bool) -> bool {
    const KEYS: [&str; 3] = ["Id", "Address", "User.UserId"];
    match strict {
        true => KEYS.contains(&name.trim()),
        false => known(name).is_some_and(|known| KEYS.contains(&known.as_str())),
    }
}

/// The known name that was perhaps meant.
pub(crate) fn suggestion(name: &str) -> Option<String> {
    let name = trimmed(name);
    let written = folded(name);
    if written.is_empty() || written.len() > 100 {
        return None;
    }
    if let Some((before, rest)) = name.split_once('.').filter(|(_, rest)| !rest.is_empty()) {
        let near = |prefix: &&str| distance(&folded(before), &prefix.to_lowercase()) <= NEAR;
        if let Some(prefix) = ["Attributes", "Metrics"].into_iter().find(near) {
            return Some(format!("{prefix}.{rest}"));
        }
    }
    let last = |known: &str| known.rsplit('.').next().unwrap_or(known).to_lowercase();
    if let Some(known) = scalars().find(|known| last(known) == written) {
        return Some(known.to_owned());
    }
    let most = NEAR.min(written.len() / 3);
    let far = |known: &&str| distance(&written, &known.to_lowercase()).min(distance(&written, &last(known)));
    scalars().min_by_key(far).filter(|known| far(known) <= most).map(str::to_owned)
}

/// Whether two names differ by few edits.
pub(super) fn is_near(one: &str, other: &str) -> bool {
    let (one, other) = (folded(trimmed(one)), folded(trimmed(other)));
    let most = NEAR.min(one.len().min(other.len()) / 2);
    one.len() <= 100 && other.len() <= 100 && distance(&one, &other) <= most
}

/// How an unknown name is shown, with what was perhaps meant.
pub(crate) fn shown_unknown(name: &str) -> String {
    match suggestion(name) {
        Some(meant) => format!("{}; did you mean {meant}?", quoted(name)),
        None => quoted(name).to_string(),
    }
}

/// Edits between two texts: characters put in, taken out or changed.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<_> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, left) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, right) in other.iter().enumerate() {
            let changed = diagonal + usize::from(left != *right);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_nearly_fit_are_known() {
        for (name, is) in [
            ("Id", Some("Id")),
            ("ID", Some("Id")),
            (" \u{feff}Id\u{a0}", Some("Id")),
            ("I\u{200b}d", Some("Id")),
            ("optOut", Some("OptOut")),
            ("Channel Type", Some("ChannelType")),
            ("channel_type", Some("ChannelType")),
            ("channel-type", Some("ChannelType")),
            ("User.UserID", Some("User.UserId")),
            ("User_UserId", Some("User.UserId")),
            ("demographic.app_version", Some("Demographic.AppVersion")),
            ("attributes.Plan", Some("Attributes.Plan")),
            ("ATTRIBUTES . plan_b ", Some("Attributes.plan_b")),
            ("user.userattributes.First.Name", Some("User.UserAttributes.First.Name")),
            ("metrics.x", Some("Metrics.x")),
            ("Attributes.", None),
            ("UserId", None),
            ("Mail", None),
            ("I\0d\0", None),
            ("", None),
        ] {
            assert_eq!(known(name).as_deref(), is, "{name}");
        }
    }

    #[test]
    fn what_was_perhaps_meant_is_suggested() {
        for (name, is) in [
            ("UserId", Some("User.UserId")),
            ("Adress", Some("Address")),
            ("OptOutt", Some("OptOut")),
            ("Attribute.Plan", Some("Attributes.Plan")),
            ("City", Some("Location.City")),
            ("Nickname", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(suggestion(name).as_deref(), is, "{name}");
        }
    }
}
