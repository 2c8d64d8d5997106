//! `pinport verify`: what a source says against what is stored.

use std::fs;

use serde_json::{Value, json};

use crate::support::*;

fn verify(lab: &Lab, source: &str, more: &[&str]) -> Run {
    lab.pinport(&["verify", source, "--json"]).args(more)
}

#[test]
fn what_was_imported_is_stored_as_its_source_says() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 3000 --bad 1% --updates 2%");
    let outcome = lab.import("rows.json", "json", &["--segment", "s"]).expect(3).json();
    // Also after another source brought other values for others, and after settling.
    lab.write("other.csv", "Id,Address,ChannelType,Attributes.plan\nz-1,z1@x.test,EMAIL,gold\n");
    lab.import("other.csv", "csv", &["--segment", "s"]).expect(0);
    for scope in [&["--segment", "s"][..], &[]] {
        let found = verify(&lab, "rows.json", scope).expect(3).json();
        assert_eq!((&found["Missing"], &found["Different"]), (&json!(0), &json!(0)), "{found}");
        let number = |name: &str| found[name].as_u64().unwrap();
        assert_eq!(number("Equal") + number("Unknown"), number("Endpoints"));
        let failed = number("FailedRecords") + number("Unknown");
        assert_eq!(failed, outcome["TotalFailures"].as_u64().unwrap(), "{found}");
        assert_eq!(found["Records"], outcome["TotalProcessed"]);
        assert_eq!(found["Others"], 1);
        lab.pinport(&["settle"]).expect(0);
    }
    let left: Vec<_> =
        fs::read_dir(lab.path("data")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("verify-")), "{left:?}");
}

#[test]
fn differences_are_named_with_object_line_and_member() {
    let lab = Lab::new();
    let header =
        "Id,Address,ChannelType,OptOut,Location.City,Attributes.plan,User.UserId,User.UserAttributes.tier\n";
    let rows = "a,a@x.test,EMAIL,NONE,Bonn,gold,u1,one\n\
                b,b@x.test,EMAIL,ALL,Bonn,gold,u2,one\n\
                c,c@x.test,EMAIL,NONE,Bonn,gold,u3,one\n\
                d,d@x.test,EMAIL,NONE,Bonn,gold,u4,one\n";
    lab.write("rows.csv", format!("{header}{rows}"));
    lab.import("rows.csv", "csv", &["--segment", "s"]).expect(0);
    let found = verify(&lab, "rows.csv", &["--segment", "s"]).expect(0).json();
    assert_eq!((&found["Endpoints"], &found["Equal"], &found["Others"]), (&json!(4), &json!(4), &json!(0)));

    // The later record of an id is what the source says.
    let changed = "a,a@x.test,EMAIL,NONE,Bonn,gold,u1,one\n\
                   b,b@x.test,EMAIL,NONE,Bonn,gold,u2,one\n\
                   c,c@x.test,EMAIL,NONE,Bonn,silver,u3,one\n\
                   d,d@x.test,EMAIL,NONE,Bonn,gold,u4,two\n\
                   c,c@x.test,EMAIL,NONE,Bonn,bronze,u3,one\n\
                   e,e@x.test,EMAIL,NONE,Bonn,gold,u5,one\n\
                   f,,,,,,,\n";
    lab.write("changed.csv", format!("{header}{changed}"));
    let found = verify(&lab, "changed.csv", &["--segment", "s"]).expect(1).json();
    let differences = found["Differences"].as_array().unwrap();
    let shown: Vec<Value> = differences
        .iter()
        .map(|one| json!([one["Id"], one["Line"], one["Member"], one["Said"], one["Stored"]]))
        .collect();
    let expected = [
        json!(["b", 3, "OptOut", "\"NONE\"", "\"ALL\""]),
        json!(["c", 6, "Attributes.plan", "[\"bronze\"]", "[\"gold\"]"]),
        json!(["d", 5, "User.UserAttributes.tier", "[\"two\"]", "[\"one\"]"]),
        json!(["e", 7, null, null, null]),
    ];
    assert_eq!(shown, expected);
    assert!(differences[0]["Object"].as_str().unwrap().ends_with("changed.csv"));
    let counts = ["Equal", "Missing", "Different", "Unknown"].map(|name| found[name].as_u64().unwrap());
    // The last record only updates an endpoint, which is not there.
    assert_eq!(counts, [1, 1, 3, 1]);

    let text = lab.pinport(&["verify", "changed.csv", "--segment", "s"]).expect(1);
    text.says(&[
        "changed.csv:6: \"c\": Attributes.plan is [\"bronze\"] in the source and [\"gold\"] in the store",
    ]);
    text.says(&["changed.csv:7: \"e\" is not stored", "1 are not stored", "3 are stored with other values"]);
}

#[test]
fn what_cannot_be_verified_is_refused() {
    let lab = Lab::new();
    lab.write("rows.csv", "Id,Address,ChannelType\na,a@x.test,EMAIL\n");
    lab.pinport(&["verify", "rows.csv"]).expect(2).says(&["there is no pinport data in"]);
    lab.import("rows.csv", "csv", &[]).expect(0);
    lab.pinport(&["verify", "-", "--format", "csv"]).expect(2).says(&["standard input cannot be read twice"]);
    lab.pinport(&["verify", "rows.csv", "--segment", "no"]).expect(1).says(&["has no segment \"no\""]);
    lab.pinport(&["verify", "rows.csv", "--app", "no"]).expect(1).says(&["there is no application \"no\""]);
}
