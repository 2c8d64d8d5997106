//! The order of the source decides, whatever runs in parallel: the later record wins, and a record may rest
//! on any earlier one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::*;

#[test]
fn the_later_record_of_an_id_wins() {
    let lab = Lab::new();
    let row = |id: u64, n: u64| {
        format!(
            "{{\"Id\":\"id-{id}\",\"ChannelType\":\"EMAIL\",\"Address\":\"{n}@example.com\",\"Attributes\":{{\"n\":\"{n}\"}}}}\n"
        )
    };
    // Key order, not the order of names that people would choose: 10 comes before 2.
    let mut n = 0;
    for object in ["1", "10", "2", "3"] {
        let mut text = String::new();
        for _ in 0..4000 {
            text.push_str(&row(n % 100, n));
            n += 1;
        }
        lab.write(&format!("in/{object}.json"), text);
    }
    let outcome =
        lab.import("in", "json", &["--segment", "s", "--threads", "4", "--piece", "40"]).expect(0).json();
    assert_eq!(counts(&outcome), (16_000, 16_000, 0));
    let members = lines(&lab.members("data", "s"));
    assert_eq!(members.len(), 100);
    for member in members {
        let id: u64 = member["Id"].as_str().unwrap()[3..].parse().unwrap();
        let last = 15_900 + id;
        assert_eq!(member["Address"], format!("{last}@example.com"));
        assert_eq!(member["Attributes"]["n"], json!([last.to_string()]));
    }
}

/// What an endpoint should be, from reading the records one after the other.
#[derive(Default)]
struct Model {
    endpoints: BTreeMap<String, BTreeMap<&'static str, u64>>,
    users: BTreeMap<String, u64>,
    failed: BTreeSet<(u64, u64)>,
}

fn user_of(id: u64) -> Option<String> {
    id.is_multiple_of(2).then(|| format!("user-{}", id % 50))
}

impl Model {
    /// Draws a record, and does what it says.
    fn step(&mut self, random: &mut Random, place: (u64, u64), n: u64) -> Value {
        // Ids come into use as time goes by, so that there are always some that do not exist yet.
        let id = random.below(n / 20 + 10).min(400);
        let name = format!("id-{id:03}");
        match random.below(10) {
            0..6 => {
                let endpoint = self.endpoints.entry(name.clone()).or_default();
                endpoint.insert("address", n);
                endpoint.insert("a", n);
                let mut record = json!({
                    "Id": name, "ChannelType": "EMAIL", "Address": format!("{n}@example.com"),
                    "Attributes": {"a": [n.to_string()]},
                });
                if let Some(user) = user_of(id) {
                    record["User"] = json!({"UserId": user, "UserAttributes": {"seen": [n.to_string()]}});
                    self.users.insert(user, n);
                }
                record
            }
            6..9 => {
                match self.endpoints.get_mut(&name) {
                    Some(endpoint) => drop(endpoint.insert("b", n)),
                    None => drop(self.failed.insert(place)),
                }
                json!({"Id": name, "Attributes": {"b": [n.to_string()]}})
            }
            _ => {
                let user = format!("user-{}", random.below(50));
                if !self.users.contains_key(&user) {
                    self.failed.insert(place);
                }
                json!({"User": {"UserId": user}})
            }
        }
    }
}

#[test]
fn records_that_rest_on_earlier_ones_are_judged_in_source_order() {
    let lab = Lab::new();
    let mut random = Random::seeded("records in order");
    let mut model = Model::default();
    let mut n = 0;
    for object in 0..4 {
        let mut text = String::new();
        for line in 1..=3000 {
            text.push_str(&model.step(&mut random, (object, line), n).to_string());
            text.push('\n');
            n += 1;
        }
        lab.write(&format!("in/{object}.json"), text);
    }
    assert!(model.failed.len() > 100, "too few records fail: {}", model.failed.len());
    let outcome =
        lab.import("in", "json", &["--segment", "s", "--threads", "4", "--piece", "30"]).expect(3).json();
    let failed: BTreeSet<(u64, u64)> = lines(&failures(&outcome))
        .iter()
        .map(|failure| {
            let object = failure["object"].as_str().unwrap();
            let number = object.strip_suffix(".json").unwrap().rsplit('/').next().unwrap();
            (number.parse().unwrap(), failure["line"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(failed, model.failed);
    assert_eq!(counts(&outcome).2 as usize, model.failed.len());

    let members = lines(&lab.members("data", "s"));
    assert_eq!(members.len(), model.endpoints.len());
    for (member, (id, expected)) in members.iter().zip(&model.endpoints) {
        assert_eq!(member["Id"], *id);
        assert_eq!(member["Address"], format!("{}@example.com", expected["address"]), "{id}");
        for name in ["a", "b"] {
            let value = expected.get(name).map_or(Value::Null, |n| json!([n.to_string()]));
            assert_eq!(member["Attributes"][name], value, "{id} {name}");
        }
        let user = user_of(id[3..].parse().unwrap());
        let seen = user.map_or(Value::Null, |user| json!([model.users[&user].to_string()]));
        assert_eq!(member["User"]["UserAttributes"]["seen"], seen, "{id}");
    }
}

#[test]
fn a_second_import_keeps_when_an_endpoint_was_created() {
    let lab = Lab::new();
    let row = |more: &str| {
        format!("{{\"Id\":\"x\",\"ChannelType\":\"EMAIL\",\"Address\":\"x@example.com\"{more}}}\n")
    };
    lab.write("one.json", row(r#","Attributes":{"keep":"1","gone":"1"},"OptOut":"ALL""#));
    lab.write(
        "two.json",
        row(r#","CreationDate":"2001-01-01T00:00:00.000Z","Attributes":{"gone":[],"new":"2"}"#),
    );
    let one = lab.import("one.json", "json", &[]).expect(0).json();
    let before = lab.endpoint("x");
    let two = lab.import("two.json", "json", &[]).expect(0).json();
    let after = lab.endpoint("x");
    assert_eq!(before["CreationDate"], one["CreationDate"]);
    assert_eq!(before["EffectiveDate"], one["CreationDate"]);
    assert_eq!(after["CreationDate"], before["CreationDate"]);
    assert_eq!(after["EffectiveDate"], two["CreationDate"]);
    assert_ne!(one["CreationDate"], two["CreationDate"]);
    assert_eq!(after["Attributes"], json!({"keep": ["1"], "new": ["2"]}));
    assert_eq!(after["OptOut"], "ALL", "what a record does not say stays");
    assert_eq!(after["CohortId"], before["CohortId"]);
}

#[test]
fn a_record_without_an_id_is_the_same_endpoint_each_time() {
    let lab = Lab::new();
    lab.write("in.csv", "ChannelType,Address\nEMAIL,a@example.com\nSMS,+12025550101\nEMAIL,a@example.com\n");
    for version in ["1", "2"] {
        let outcome = lab.import("in.csv", "csv", &["--segment", "s"]).expect(0).json();
        assert_eq!(counts(&outcome), (3, 3, 0));
        let members = lab.pinport(&["segment", "members", "s", "--version", version]).expect(0);
        assert_eq!(lines(&members.out).len(), 2);
    }
}
