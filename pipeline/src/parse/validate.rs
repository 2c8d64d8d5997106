//! The rules that hold for records of both formats: names, values, ids, numbers, words, and what a record
//! must have to become an endpoint.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use pinport_model::{
    Channel, Draft, EndpointStatus, FailureCode, OptOut, ReadRules, RecordLimits, TextMember,
    failure::{FailureReason, quoted},
};
use pinport_store::DraftKind;
use sha1::{Digest, Sha1};

use super::{clean, decimal};

/// A judgement of one record.
pub(super) type Judged<T = ()> = Result<T, Box<FailureReason>>;

/// The failure of a member.
#[cold]
pub(super) fn failed<T>(
    member: impl Into<String>,
    code: FailureCode,
    message: impl Into<String>,
) -> Judged<T> {
    Err(Box::new(FailureReason::of(member, code, message)))
}

/// Whether `text` has more than `most` characters.
fn is_longer(text: &str, most: usize) -> bool {
    text.len() > most && text.chars().count() > most
}

/// Judges the name of an attribute or metric. Nearly all are good by their bytes alone.
#[inline(always)]
pub(super) fn name(limits: &RecordLimits, prefix: &str, name: &str) -> Judged {
    if !name.is_empty() && name.len() <= limits.max_name {
        return Ok(());
    }
    unusual_name(limits, prefix, name)
}

#[cold]
fn unusual_name(limits: &RecordLimits, prefix: &str, name: &str) -> Judged {
    if name.is_empty() {
        return failed(prefix, FailureCode::InvalidName, "a name is empty");
    }
    if is_longer(name, limits.max_name) {
        let shown: String = name.chars().take(limits.max_name).collect();
        let message =
            format!("the name has {} characters, the limit is {}", name.chars().count(), limits.max_name);
        return failed(format!("{prefix}.{shown}…"), FailureCode::InvalidName, message);
    }
    Ok(())
}

/// Judges one value of an attribute. Nearly all are good by their bytes alone.
#[inline(always)]
pub(super) fn value(limits: &RecordLimits, prefix: &str, name: &str, value: &str) -> Judged {
    if value.len() <= limits.max_value {
        return Ok(());
    }
    unusual_value(limits, prefix, name, value)
}

#[cold]
fn unusual_value(limits: &RecordLimits, prefix: &str, name: &str, value: &str) -> Judged {
    if is_longer(value, limits.max_value) {
        let message =
            format!("the value has {} characters, the limit is {}", value.chars().count(), limits.max_value);
        return failed(format!("{prefix}.{name}"), FailureCode::ValueTooLong, message);
    }
    Ok(())
}

/// Judges the number of an attribute's values.
#[inline(always)]
pub(super) fn value_count(limits: &RecordLimits, prefix: &str, name: &str, count: usize) -> Judged {
    if count <= limits.max_values { Ok(()) } else { too_many_values(limits, prefix, name, count) }
}

#[cold]
fn too_many_values(limits: &RecordLimits, prefix: &str, name: &str, count: usize) -> Judged {
    let message = format!("has {count} values, the limit is {}", limits.max_values);
    failed(format!("{prefix}.{name}"), FailureCode::TooManyValues, message)
}

/// Judges the number of attributes (or metrics, or user attributes).
#[inline(always)]
pub(super) fn count(limits: &RecordLimits, prefix: &str, count: usize) -> Judged {
    if count <= limits.max_attributes { Ok(()) } else { too_many_names(limits, prefix, count) }
}

#[cold]
fn too_many_names(limits: &RecordLimits, prefix: &str, count: usize) -> Judged {
    let message = format!("has {count} names, the limit is {}", limits.max_attributes);
    failed(prefix, FailureCode::TooManyAttributes, message)
}

/// Whether a key needs a closer look. Nearly none does.
#[inline(always)]
fn is_odd_key(limits: &RecordLimits, key: Option<&str>) -> bool {
    key.is_some_and(|key| key.len() > limits.max_id || clean::is_odd_key(key))
}

/// Judges an id, an address and a user's id.
#[inline(never)]
fn keys(limits: &RecordLimits, rules: &ReadRules, draft: &Draft<'_>) -> Judged {
    let (address, user) = (draft.text(TextMember::Address), draft.text(TextMember::UserId));
    id(limits, "Id", draft.id)?;
    id(limits, "Address", address)?;
    id(limits, "User.UserId", user)?;
    if rules.allow_suspicious {
        return Ok(());
    }
    let phone = matches!(draft.channel, Some(Channel::Sms | Channel::Voice));
    unspoilt("Id", draft.id, true)?;
    unspoilt("Address", address, phone)?;
    unspoilt("User.UserId", user, true)
}

/// Judges an id, an address or a user's id.
fn id(limits: &RecordLimits, member: &str, value: Option<&str>) -> Judged {
    match value {
        Some("") => failed(member, FailureCode::InvalidId, "is empty"),
        Some(id) if id.len() > limits.max_id => {
            let message = format!("has {} bytes, the limit is {}", id.len(), limits.max_id);
            failed(member, FailureCode::InvalidId, message)
        }
        _ => Ok(()),
    }
}

/// Judges whether a key came through spreadsheets and databases as it was.
fn unspoilt(member: &str, value: Option<&str>, numbers: bool) -> Judged {
    match value.and_then(|value| clean::spoilt(value, numbers).map(|why| (value, why))) {
        Some((value, why)) => {
            let message = format!("{} {why} (--allow-suspicious keeps it)", quoted(value));
            failed(member, FailureCode::SuspiciousKey, message)
        }
        None => Ok(()),
    }
}

/// The number in a CSV cell.
#[inline(always)]
pub(super) fn number(member: &str, name: Option<&str>, text: &str) -> Judged<f64> {
    decimal::float(text).map_or_else(|| unusual_number(member, name, text), Ok)
}

#[cold]
fn unusual_number(member: &str, name: Option<&str>, text: &str) -> Judged<f64> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => {
            let member = name.map_or_else(|| member.to_owned(), |name| format!("{member}.{name}"));
            let message = format!("{} is no finite number", quoted(text));
            failed(member, FailureCode::InvalidNumber, message)
        }
    }
}

macro_rules! words {
    ($($(#[$doc:meta])* $function:ident: $type:ident = $member:literal;)+) => {
        $($(#[$doc])*
        pub(super) fn $function(word: &str) -> Judged<$type> {
            $type::from_name(word).map_or_else(
                || {
                    let allowed: Vec<_> = $type::ALL.iter().map(|value| value.as_str()).collect();
                    let message = format!("{} is not one of {}", quoted(word), allowed.join(", "));
                    failed($member, FailureCode::UnknownValue, message)
                },
                Ok,
            )
        })+
    };
}

words! {
    /// The channel with this name.
    channel: Channel = "ChannelType";
    /// The opt-out with this name.
    opt_out: OptOut = "OptOut";
    /// The status with this name.
    status: EndpointStatus = "EndpointStatus";
}

/// The last judgement: what the draft is, if it has all that it needs.
pub(super) fn kind(limits: &RecordLimits, rules: &ReadRules, draft: &Draft<'_>) -> Judged<DraftKind> {
    let (address, user) = (draft.text(TextMember::Address), draft.text(TextMember::UserId));
    if is_odd_key(limits, draft.id) || is_odd_key(limits, address) || is_odd_key(limits, user) {
        keys(limits, rules, draft)?;
    }
    let missing = |member, message| failed(member, FailureCode::MissingMember, message);
    if user.is_none() && !draft.user_attributes.is_empty() {
        return missing("User.UserId", "is missing; user attributes belong to a user");
    }
    if draft.is_user_only() {
        return Ok(DraftKind::UserOnly);
    }
    match (draft.id, address, draft.channel) {
        (_, Some(_), Some(_)) => Ok(DraftKind::Blind),
        // What was exported was an endpoint, with or without Address and ChannelType.
        (Some(_), ..) if rules.allow_incomplete || draft.is_exported() => Ok(DraftKind::Upsert),
        (Some(_), ..) => Ok(DraftKind::Update),
        (None, Some(_), None) => {
            missing("ChannelType", "is missing; a record without Id needs it with Address")
        }
        (None, None, Some(_)) => {
            missing("Address", "is missing; a record without Id needs it with ChannelType")
        }
        (None, None, None) => missing("Id", "is missing, and so are Address and ChannelType"),
    }
}

/// The length of a derived id: the base64 of a SHA-1, without padding.
pub(super) const DERIVED_ID: usize = 27;

/// The id of an endpoint whose record brings none. It is Pinpoint's own, and depends on the address alone:
/// a file without ids meets the endpoints that Pinpoint exported.
pub(super) fn derived_id<'a>(address: &str, id: &'a mut [u8; DERIVED_ID]) -> &'a str {
    let digest = Sha1::digest(address.as_bytes());
    let len = STANDARD_NO_PAD.encode_slice(digest, id).expect("20 bytes are 27 digits of base64");
    debug_assert_eq!(len, DERIVED_ID);
    id.make_ascii_lowercase();
    std::str::from_utf8(id).expect("base64 is ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_are_those_of_pinpoint() {
        for (address, id) in [
            ("1a2b3c4d5e6f7g8h9i0j1a2b3c4d5e6f", "idrexqqtn8sbwfex0ouscod0yto"),
            ("4d5e6f1a2b3c4d5e6f7g8h9i0j1a2b3c", "eqmj8wpxszeqy/b3vch04sn41yw"),
        ] {
            assert_eq!(derived_id(address, &mut [0; DERIVED_ID]), id);
        }
    }
}
