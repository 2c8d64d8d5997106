//! The service model's shapes, as a judge of answers: members, types, enums, and what is required.

use serde_json::Value;

/// Ours beyond the model: old pollers do not know it, and the documents say so.
const OWN_STATUSES: [&str; 2] = ["CANCELLING", "CANCELLED"];

pub(super) struct Shapes(Value);

impl Shapes {
    pub(super) fn read() -> Self {
        Self(serde_json::from_str(include_str!("../../../tests/contract.json")).unwrap())
    }

    /// The status of an operation's success.
    pub(super) fn status(&self, operation: &str) -> u16 {
        let code = &self.0["operations"][operation]["http"]["responseCode"];
        code.as_u64().map_or(200, |code| code as u16)
    }

    /// Name, method and path of every operation.
    pub(super) fn operations(&self) -> impl Iterator<Item = (&str, (&str, &str))> {
        self.0["operations"].as_object().unwrap().iter().map(|(name, operation)| {
            let http = &operation["http"];
            (name.as_str(), (http["method"].as_str().unwrap(), http["requestUri"].as_str().unwrap()))
        })
    }

    /// Panics unless `value` is the payload of the operation's output.
    pub(super) fn check_output(&self, operation: &str, value: &Value) {
        let output = self.0["operations"][operation]["output"]["shape"].as_str().unwrap();
        let output = &self.0["shapes"][output];
        let payload = output["payload"].as_str().unwrap();
        let shape = output["members"][payload]["shape"].as_str().unwrap();
        self.check(shape, value, operation);
    }

    fn check(&self, name: &str, value: &Value, at: &str) {
        let shape = &self.0["shapes"][name];
        let wrong = |expected: &str| panic!("{at}: {value} is no {expected}");
        match shape["type"].as_str().unwrap() {
            "structure" => {
                let Some(object) = value.as_object() else { wrong("structure") };
                let members = shape["members"].as_object().unwrap();
                for required in shape["required"].as_array().into_iter().flatten() {
                    let member = required.as_str().unwrap();
                    let wire = members[member]["locationName"].as_str().unwrap_or(member);
                    assert!(object.contains_key(wire), "{at}: {wire} is missing in {value}");
                }
                for (found, value) in object {
                    // The last page has a token that is null.
                    if found == "NextToken" && value.is_null() {
                        continue;
                    }
                    let member = members.iter().find(|(name, member)| {
                        member["locationName"].as_str().unwrap_or(name.as_str()) == found
                    });
                    let (_, member) = member.unwrap_or_else(|| panic!("{at}: {name} has no member {found}"));
                    self.check(member["shape"].as_str().unwrap(), value, &format!("{at}.{found}"));
                }
            }
            "list" => {
                let Some(list) = value.as_array() else { wrong("list") };
                let member = shape["member"]["shape"].as_str().unwrap();
                list.iter().for_each(|value| self.check(member, value, &format!("{at}[]")));
            }
            "map" => {
                let Some(map) = value.as_object() else { wrong("map") };
                let member = shape["value"]["shape"].as_str().unwrap();
                map.iter().for_each(|(key, value)| self.check(member, value, &format!("{at}.{key}")));
            }
            "string" => {
                let Some(text) = value.as_str() else { wrong("string") };
                let Some(words) = shape["enum"].as_array() else { return };
                let known = words.iter().any(|word| word == text);
                assert!(known || (name == "JobStatus" && OWN_STATUSES.contains(&text)), "{at}: {text}");
            }
            "integer" if value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()) => {}
            "double" if value.is_number() => {}
            "boolean" if value.is_boolean() => {}
            expected => wrong(expected),
        }
    }
}
