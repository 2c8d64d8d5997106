//! What a JSON line says, read slowly by serde_json.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    fmt,
};

use pinport_model::{Channel, EndpointStatus, FailureCode, OptOut, TextMember};
use serde::de;

/// JSON with every member in its place, repeated ones too.
#[derive(Debug, Clone)]
enum Json {
    Null,
    Bool(bool),
    Number(f64, String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

thread_local! {
    /// The numbers of the line that were not visited yet, as they are written.
    static NUMBERS: RefCell<VecDeque<String>> = const { RefCell::new(VecDeque::new()) };
}

fn next_number() -> String {
    NUMBERS.with_borrow_mut(|numbers| numbers.pop_front().expect("numbers are visited in their order"))
}

/// The numbers of a line of good JSON.
fn numbers(line: &[u8]) -> VecDeque<String> {
    let (mut numbers, mut inside, mut escaped, mut number) = (VecDeque::new(), false, false, String::new());
    for &byte in line.iter().chain(b" ") {
        if !inside
            && (byte.is_ascii_digit()
                || b"+-.".contains(&byte)
                || !number.is_empty() && b"eE".contains(&byte))
        {
            number.push(byte.into());
            continue;
        }
        if !number.is_empty() {
            numbers.push_back(std::mem::take(&mut number));
        }
        inside ^= byte == b'"' && !escaped;
        escaped = inside && byte == b'\\' && !escaped;
    }
    numbers
}

struct Reader;

impl<'de> de::Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value as f64, next_number()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value as f64, next_number()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value, next_number()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}

impl<'de> de::Deserialize<'de> for Json {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

type Members = BTreeMap<String, Vec<String>>;

/// The members of a line, or the codes that may be given for its failure. The last rules (ids, kinds,
/// sizes) are not judged here.
pub(super) fn read(line: &[u8]) -> Result<Members, FailureCode> {
    if str::from_utf8(line).is_err() {
        return Err(FailureCode::InvalidUtf8);
    }
    NUMBERS.set(numbers(line));
    let json: Json = serde_json::from_slice(line).map_err(|_| FailureCode::InvalidJson)?;
    let Json::Object(members) = json else { return Err(FailureCode::NotAnObject) };
    let mut said = Members::new();
    for (key, value) in members {
        let text = TextMember::ALL.into_iter().find(|member| member.name() == key && !key.contains('.'));
        match key.as_str() {
            "ChannelType" => {
                word(&mut said, &key, value, |word| Some(Channel::from_name(word)?.to_string()))?
            }
            "OptOut" => word(&mut said, &key, value, |word| Some(OptOut::from_name(word)?.to_string()))?,
            "EndpointStatus" => {
                word(&mut said, &key, value, |word| Some(EndpointStatus::from_name(word)?.to_string()))?;
            }
            "Attributes" => attributes(&mut said, "Attributes", value)?,
            "Metrics" => {
                clear(&mut said, "Metrics");
                for (name, value) in object(value)? {
                    number(&mut said, &format!("Metrics.{name}"), value)?;
                }
            }
            "User" => {
                clear(&mut said, "User");
                for (name, value) in object(value)? {
                    match name.as_str() {
                        "UserId" => set(&mut said, "User.UserId", value)?,
                        "UserAttributes" => attributes(&mut said, "User.UserAttributes", value)?,
                        _ => {}
                    }
                }
            }
            "Location" | "Demographic" => {
                clear(&mut said, &key);
                for (name, value) in object(value)? {
                    let full = format!("{key}.{name}");
                    if matches!(full.as_str(), "Location.Latitude" | "Location.Longitude") {
                        number(&mut said, &full, value)?;
                    } else if TextMember::ALL.into_iter().any(|member| member.name() == full) {
                        set(&mut said, &full, value)?;
                    }
                }
            }
            "Id" => set(&mut said, "Id", value)?,
            _ if text.is_some() => set(&mut said, &key, value)?,
            _ => {}
        }
    }
    Ok(said)
}

fn clear(said: &mut Members, prefix: &str) {
    let prefix = format!("{prefix}.");
    said.retain(|name, _| !name.starts_with(&prefix));
}

fn object(value: Json) -> Result<Vec<(String, Json)>, FailureCode> {
    match value {
        Json::Object(members) => Ok(members),
        Json::Null => Ok(Vec::new()),
        _ => Err(FailureCode::WrongType),
    }
}

fn set(said: &mut Members, name: &str, value: Json) -> Result<(), FailureCode> {
    word(said, name, value, |word| Some(word.to_owned()))
}

fn word(
    said: &mut Members,
    name: &str,
    value: Json,
    read: fn(&str) -> Option<String>,
) -> Result<(), FailureCode> {
    match value {
        Json::Text(text) | Json::Number(_, text) => {
            said.insert(name.to_owned(), vec![read(&text).ok_or(FailureCode::UnknownValue)?]);
        }
        Json::Null => {
            said.remove(name);
        }
        _ => return Err(FailureCode::WrongType),
    }
    Ok(())
}

fn number(said: &mut Members, name: &str, value: Json) -> Result<(), FailureCode> {
    match value {
        Json::Number(number, _) => {
            said.insert(name.to_owned(), vec![number.to_string()]);
        }
        Json::Null => {
            said.remove(name);
        }
        _ => return Err(FailureCode::WrongType),
    }
    Ok(())
}

fn attributes(said: &mut Members, prefix: &str, value: Json) -> Result<(), FailureCode> {
    clear(said, prefix);
    for (name, value) in object(value)? {
        let full = format!("{prefix}.{name}");
        let list = match value {
            Json::Null => {
                said.remove(&full);
                continue;
            }
            Json::List(list) => list,
            scalar => vec![scalar],
        };
        let mut values = Vec::new();
        for value in list {
            match value {
                Json::Text(text) | Json::Number(_, text) => values.push(text),
                Json::Bool(truth) => values.push(truth.to_string()),
                Json::Null => {}
                _ => return Err(FailureCode::WrongType),
            }
        }
        said.insert(full, values);
    }
    Ok(())
}
