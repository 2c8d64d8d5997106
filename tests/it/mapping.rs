//! Mappings, from the proposal to the endpoints, with a data folder and at a server.

use serde_json::{Value, json};

use crate::{serving::Serving, support::*};

const CONTACTS: &str = "\
Customer ID;First;Last;E-Mail;Mobile;Country;Newsletter;Status
17;Ann;Lee;Ann@X.TEST;07700 900123;Germany;Yes;active
18;Bo;;bo@x.test;;FR;no;deleted
19;Cy;Nu;cy@x.test;;Narnia;no;active
20;Di;Ok;di@x.test;;;;active
";

const MAP: &str = r#"
[rename]
"Customer ID" = "User.UserId"
"E-Mail" = "Address"
"Country" = "Location.Country"
"Newsletter" = "OptOut"
"Mobile" = "Attributes.Mobile"

[join]
"User.UserAttributes.Name" = "{First} {Last}"

[constants]
ChannelType = "EMAIL"

[defaults]
OptOut = "ALL"

[values.OptOut]
yes = "NONE"
no = "ALL"

[normalise]
email = true
country = true

[[drop]]
column = "Status"
is = ["deleted"]
"#;

/// The addresses, opt-outs and users of a segment.
fn people(members: &[u8]) -> Vec<Value> {
    let person = |member: &Value| {
        json!([
            member["Address"],
            member["OptOut"],
            member["User"]["UserId"],
            member["User"]["UserAttributes"]["Name"][0]
        ])
    };
    let mut people: Vec<_> = lines(members).iter().map(person).collect();
    people.sort_by_key(ToString::to_string);
    people
}

fn expected() -> Vec<Value> {
    vec![json!(["ann@x.test", "NONE", "17", "Ann Lee"]), json!(["di@x.test", "ALL", "20", "Di Ok"])]
}

/// The same contacts as JSON.
fn as_json() -> String {
    let rows: Vec<Vec<&str>> = CONTACTS.lines().map(|line| line.split(';').collect()).collect();
    let record = |row: &Vec<&str>| {
        let pairs = rows[0].iter().zip(row).map(|(name, value)| ((*name).to_owned(), Value::from(*value)));
        Value::Object(pairs.collect()).to_string()
    };
    rows[1..].iter().map(|row| record(row) + "\n").collect()
}

#[test]
fn a_mapped_file_gives_the_same_as_csv_and_as_json_and_checked() {
    for (name, text) in [("contacts.csv", CONTACTS.to_owned()), ("contacts.json", as_json())] {
        let lab = Lab::new();
        lab.write(name, &text);
        lab.write("map.toml", MAP);
        let format = name.split('.').next_back().unwrap();
        let flags = ["--map", "map.toml"];
        let checked = lab.import_with("checks", name, format, &[&flags[..], &["--check"]].concat()).expect(3);
        let outcome = lab.import(name, format, &[&flags[..], &["--segment", "s"]].concat()).expect(3);
        assert_eq!(counts(&outcome.json()), (3, 2, 1), "{name}");
        assert_eq!(counts(&checked.json()), (3, 2, 1), "{name}");
        assert_eq!(checked.json()["Notices"], outcome.json()["Notices"], "{name}");
        let notices = outcome.json()["Notices"].to_string();
        assert!(
            notices.contains(r#""kind":"record_dropped","subject":"\"Status\" is \"deleted\"""#),
            "{notices}"
        );
        assert_eq!(people(&lab.members("data", "s")), expected(), "{name}");

        // The reject is the line as it was: mended, it goes in with the same mapping.
        let rejects = std::fs::read_to_string(&reject_files(&outcome.json())[0]).unwrap();
        let line = text.lines().find(|line| line.contains("Narnia")).unwrap();
        assert!(rejects.contains(line), "{rejects}");
        lab.write(&format!("mended.{format}"), rejects.replace("Narnia", "Norway"));
        lab.import(&format!("mended.{format}"), format, &[&flags[..], &["--segment", "s"]].concat())
            .expect(0);
        assert_eq!(lines(&lab.members("data", "s")).len(), 3, "{name}");
    }
}

#[test]
fn a_server_maps_uploads_and_what_it_reads_itself() {
    let lab = Lab::new();
    lab.write("contacts.csv", CONTACTS);
    lab.write("root/contacts.csv", CONTACTS);
    lab.write("map.toml", MAP);
    let root = lab.path("root");
    let server = Serving::start_rooted(&lab, "", &root, &[]);
    let url = format!("file://{}/contacts.csv", root.display());
    for (source, segment) in [("contacts.csv", "uploaded"), (&*url, "read")] {
        let import = ["import", source, "--format", "csv", "--app", "shop", "--segment", segment, "--json"];
        let more = ["--map", "map.toml", "--server", &server.url];
        let outcome = lab.pinport(&[&import[..], &more].concat()).expect(3).json();
        assert_eq!(counts(&outcome), (3, 2, 1), "{source}");
        let members = ["segment", "members", segment, "--app", "shop", "--server", &server.url];
        assert_eq!(people(&lab.pinport(&members).expect(0).out), expected(), "{source}");
        let id = outcome["Id"].as_str().unwrap();
        let (_, detail) = server.ask("GET", &format!("/pinport/v1/jobs/{id}"), None);
        let detail: Value = serde_json::from_str(&detail).unwrap();
        assert_eq!(detail["definition"]["read"]["map"]["constants"]["ChannelType"], "EMAIL");
    }
    let wrong =
        "/pinport/v1/apps/shop/uploads?format=csv&map=%7B%22rename%22%3A%7B%22a%22%3A%22Adress%22%7D%7D";
    let (status, message) = server.ask("POST", wrong, Some(&json!({})));
    assert_eq!(status, 400);
    assert!(message.contains("did you mean Address?"), "{message}");
}

#[test]
fn a_killed_import_goes_on_with_its_mapping() {
    let lab = Lab::new();
    let rows: String = (0..6_000).map(|at| format!("{at};p{at};l;P{at}@X.TEST;;FR;no;active\n")).collect();
    let header = CONTACTS.lines().next().unwrap();
    lab.write("contacts.csv", format!("{header}\n{rows}"));
    lab.write("map.toml", MAP);
    let more = ["--map", "map.toml", "--segment", "s", "--piece", "8"];
    let whole = lab.import_with("whole", "contacts.csv", "csv", &more).expect(0).json();
    let mut random = Random::seeded("kill -9 over a mapping");
    let mut kills = 0;
    let json = loop {
        let time = if kills < 6 { std::time::Duration::from_millis(random.below(120)) } else { PATIENCE };
        let (killed, outcome) =
            lab.import_with("torn", "contacts.csv", "csv", &more).start().kill_after(time);
        if !killed {
            break outcome.json();
        }
        kills += 1;
    };
    assert_eq!(counts(&json), counts(&whole));
    assert_eq!(people(&lab.members("torn", "s")), people(&lab.members("whole", "s")));
    assert_eq!(people(&lab.members("torn", "s"))[0], json!(["p0@x.test", "ALL", "0", "p0 l"]));
}

#[test]
fn a_proposal_is_a_mapping_that_works() {
    let lab = Lab::new();
    lab.write("contacts.csv", CONTACTS.replace("Narnia", "Norway"));
    let proposed = lab.pinport(&["map", "contacts.csv"]).expect(0);
    proposed.says(&["before  Customer ID=17", "after   Address=ann@x.test", "4 records: 4 good"]);
    lab.write("map.toml", &proposed.out);
    lab.import("contacts.csv", "csv", &["--map", "map.toml", "--segment", "s"]).expect(0);
    let people = people(&lab.members("data", "s"));
    assert_eq!(people[0], json!(["ann@x.test", "NONE", "17", null]));
    assert_eq!(people.len(), 4);
    let shown = lab.pinport(&["map", "contacts.csv", "--map", "map.toml", "--rows", "1"]).expect(0);
    assert_eq!(String::from_utf8_lossy(&shown.out).matches("before").count(), 1);

    // Standard input, and what its name does not tell.
    let piped = lab.pinport(&["map", "-", "--format", "json"]).input(as_json()).expect(0);
    assert!(String::from_utf8_lossy(&piped.out).contains(r#""E-Mail" = "Address""#));
    lab.pinport(&["map", "contacts"]).expect(2).says(&["--format"]);
    lab.pinport(&["map", "none.csv"]).expect(1).says(&["none.csv"]);
}

#[test]
fn a_wrong_mapping_is_wrong_usage() {
    let lab = Lab::new();
    lab.write("contacts.csv", CONTACTS);
    for (text, says) in [
        ("[rename", "TOML parse error at line 1"),
        ("[rename]\nmail = \"Adress\"", "did you mean Address?"),
        ("[renames]\nmail = \"Address\"", "unknown field `renames`"),
    ] {
        lab.write("map.toml", text);
        lab.import("contacts.csv", "csv", &["--map", "map.toml"]).expect(2).says(&[says]);
    }
    lab.import("contacts.csv", "csv", &["--map", "none.toml"])
        .expect(2)
        .says(&["none.toml", "failed to read it"]);
    // A column that is not there refuses the file, and nothing is stored.
    lab.write("map.toml", MAP.replace("E-Mail", "Post"));
    lab.import("contacts.csv", "csv", &["--map", "map.toml"]).expect(1).says(&["names the column \"Post\""]);
}
