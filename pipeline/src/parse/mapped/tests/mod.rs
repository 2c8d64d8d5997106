//! What a mapping makes of records, in both formats.

mod names;

use std::{collections::BTreeMap, sync::Arc};

use pinport_model::{Format, ReadRules, RecordLimits, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    parse::{ParseContext, Parser, tests::seen},
    split::{Split, SplitOptions, Splitter},
    text::ObjectRefused,
};

/// What was read of an object.
#[derive(Debug, Default, PartialEq)]
struct Read {
    records: Vec<BTreeMap<String, Vec<String>>>,
    /// Line, member and message.
    failed: Vec<(u64, String, String)>,
    raw: Vec<String>,
    notices: Vec<String>,
}

impl Read {
    /// The values of a member, record by record.
    fn of(&self, member: &str) -> Vec<String> {
        let value = |record: &BTreeMap<String, Vec<String>>| {
            record.get(member).map_or("-".into(), |values| values.join("+"))
        };
        self.records.iter().map(value).collect()
    }
}

fn map_of(mapping: Value) -> Result<Map, WrongMapping> {
    Map::new(&serde_json::from_value(mapping).unwrap())
}

fn read_as(mapping: Value, format: Format, input: &str, rules: ReadRules) -> Result<Read, ObjectRefused> {
    let map = Some(Arc::new(map_of(mapping).unwrap()));
    let context = ParseContext {
        now: Timestamp::from_millis(0),
        limits: RecordLimits::default(),
        rules,
        map: map.clone(),
        mark: None,
    };
    let options = SplitOptions { rules, map, ..SplitOptions::default() };
    let (mut splitter, mut parser) = (Splitter::new(format, options, 0), Parser::new());
    let (mut read, mut rest, mut notices) = (Read::default(), input.as_bytes(), Notices::new());
    seen::take();
    loop {
        match splitter.next(None)? {
            Split::NeedInput if rest.is_empty() => splitter.finish(),
            Split::NeedInput => rest = &rest[splitter.push(rest)..],
            Split::Block(block) => {
                let (parsed, _) = parser.parse(block, &context);
                notices.merge(&parsed.notices);
                for failed in parsed.failed {
                    let member = failed.reason.member.unwrap_or_default();
                    read.failed.push((failed.origin.line, member, failed.reason.message));
                    read.raw.push(String::from_utf8(failed.raw.unwrap_or_default()).unwrap());
                }
            }
            Split::End => break,
        }
    }
    read.records = seen::take().into_iter().map(|seen| seen.members).collect();
    read.notices = notices.iter().map(|notice| format!("{} {notice}", notice.count)).collect();
    Ok(read)
}

fn csv(mapping: Value, input: &str) -> Read {
    read_as(mapping, Format::Csv, input, ReadRules::default()).unwrap()
}

fn json_lines(mapping: Value, input: &str) -> Read {
    read_as(mapping, Format::Json, input, ReadRules::default()).unwrap()
}

fn refused(mapping: Value, input: &str) -> String {
    read_as(mapping, Format::Csv, input, ReadRules::default()).unwrap_err().to_string()
}

#[test]
fn columns_are_renamed_joined_fixed_and_left_out() {
    let mapping = json!({
        "rename": {"E-mail": "Address", "crm": "User.UserId", "tier": "Attributes.Plan"},
        "ignore": ["Notes"],
        "join": {"User.UserAttributes.Name": "{First} {Last}", "Id": "crm-{crm}"},
        "constants": {"ChannelType": "EMAIL", "Attributes.Source": "crm"},
        "defaults": {"OptOut": "NONE", "Attributes.Plan": "free"}
    });
    let input =
        "crm,E-mail,First,Last,Notes,tier\n7, a@x.test ,Ann,Lee,n,gold\n8,b@x.test,,Bo,,\n9,c@x.test,,,,\n";
    let read = csv(mapping, input);
    assert_eq!(read.of("Id"), ["crm-7", "crm-8", "crm-9"]);
    assert_eq!(read.of("Address"), ["a@x.test", "b@x.test", "c@x.test"]);
    assert_eq!(read.of("ChannelType"), ["EMAIL"; 3]);
    assert_eq!(read.of("User.UserId"), ["7", "8", "9"]);
    assert_eq!(read.of("User.UserAttributes.Name"), ["Ann Lee", "Bo", "-"]);
    assert_eq!(read.of("Attributes.Plan"), ["gold", "free", "free"]);
    assert_eq!(read.of("Attributes.Source"), ["crm"; 3]);
    assert_eq!(read.of("OptOut"), ["NONE"; 3]);
    assert_eq!((read.failed, read.notices), (vec![], vec![]));
}

#[test]
fn members_of_json_are_mapped_the_same() {
    let mapping = json!({
        "rename": {"contact.email": "Address", "crm": "User.UserId", "tier": "Attributes.Plan", "score": "Metrics.Score"},
        "ignore": ["contact.phone"],
        "join": {"User.UserAttributes.Name": "{first} {last}", "Id": "crm-{crm}"},
        "constants": {"ChannelType": "EMAIL"},
        "defaults": {"OptOut": "NONE", "Attributes.Plan": "free"}
    });
    let input = concat!(
        r#"{"crm": 12345678901234567890, "contact": {"email": "a\u0040x.test", "phone": "1"}, "first": "Ann", "last": "Lee", "tier": ["gold", 1.10], "score": "7", "Attributes": {"x": 1e3}}"#,
        "\n",
        r#"{"crm": "8", "contact": {"email": "b@x.test"}, "last": "Bo", "tier": null, "Attributes": {"Plan": ["old"]}, "User": {"UserAttributes": {"a": ["b"]}}}"#,
        "\n",
    );
    let read = json_lines(mapping, input);
    assert_eq!(read.failed, []);
    assert_eq!(read.of("Id"), ["crm-12345678901234567890", "crm-8"]);
    assert_eq!(read.of("Address"), ["a@x.test", "b@x.test"]);
    assert_eq!(read.of("User.UserId"), ["12345678901234567890", "8"]);
    assert_eq!(read.of("User.UserAttributes.Name"), ["Ann Lee", "Bo"]);
    assert_eq!(read.of("User.UserAttributes.a"), ["-", "b"]);
    assert_eq!(read.of("Attributes.Plan"), ["gold+1.10", "old"]);
    assert_eq!(read.of("Attributes.x"), ["1e3", "-"]);
    assert_eq!(read.of("Metrics.Score"), ["7", "-"]);
    assert_eq!(read.of("OptOut"), ["NONE", "NONE"]);
}

#[test]
fn words_have_meanings_whatever_their_case() {
    let mapping = json!({
        "rename": {"unsubscribed": "OptOut"},
        "values": {"OptOut": {"yes": "ALL", "no": "NONE"}, "Attributes.Plan": {"g": "gold"}}
    });
    let head = "Id,Address,ChannelType,unsubscribed,Attributes.Plan";
    let read =
        csv(mapping.clone(), &format!("{head}\n1,a,EMAIL,YES,G\n2,b,EMAIL, no ,s\n3,c,EMAIL,maybe,\n"));
    assert_eq!(read.of("OptOut"), ["ALL", "NONE"]);
    assert_eq!(read.of("Attributes.Plan"), ["gold", "s"]);
    assert_eq!(read.failed[0].0, 4);
    assert!(read.failed[0].2.contains("\"maybe\" is not one of ALL, NONE"), "{:?}", read.failed);
    assert_eq!(read.raw, ["3,c,EMAIL,maybe,"]);

    let line = |word: &str| {
        format!(
            r#"{{"Id":"1","Address":"a","ChannelType":"EMAIL","unsubscribed":{word},"Attributes":{{"Plan":["G","s"]}}}}"#
        )
    };
    let read = json_lines(mapping, &format!("{}\n{}\n", line("\"Yes\""), line("\"maybe\"")));
    assert_eq!(read.of("OptOut"), ["ALL"]);
    assert_eq!(read.of("Attributes.Plan"), ["gold+s"]);
    assert_eq!(read.raw, [line("\"maybe\"")]);
}

#[test]
fn booleans_are_words_too() {
    let mapping =
        json!({"rename": {"consent": "OptOut"}, "values": {"OptOut": {"true": "NONE", "false": "ALL"}}});
    let read = json_lines(mapping, "{\"Address\":\"a\",\"ChannelType\":\"EMAIL\",\"consent\":false}\n");
    assert_eq!((read.of("OptOut"), read.failed), (vec!["ALL".into()], vec![]));
}

#[test]
fn phones_mails_and_countries_are_normalised() {
    let mapping =
        json!({"normalise": {"phone": true, "default_country": "GB", "email": true, "country": true}});
    let input = "ChannelType,Address,Location.Country\n\
        SMS,07700 900123,\nVOICE,(202) 555-0143,USA\nSMS,+33612345678,FR\nEMAIL,Ann@X.TEST,United Kingdom\nGCM,AbC,DE\n\
        SMS,12,\nEMAIL,a@x.test,Narnia\n";
    let read = csv(mapping.clone(), input);
    assert_eq!(read.of("Address"), ["+447700900123", "+12025550143", "+33612345678", "ann@x.test", "AbC"]);
    assert_eq!(read.of("Location.Country"), ["-", "USA", "FRA", "GBR", "DEU"]);
    assert_eq!(read.failed[0].1, "Address");
    assert!(read.failed[0].2.contains("\"12\" is no phone number of GB"), "{:?}", read.failed);
    assert!(read.failed[1].2.contains("\"Narnia\" is no country"), "{:?}", read.failed);

    let lines = "{\"ChannelType\":\"SMS\",\"Address\":\"07700 900123\"}\n\
        {\"ChannelType\":\"VOICE\",\"Address\":2025550143,\"Location\":{\"Country\":\"us\"}}\n\
        {\"ChannelType\":\"EMAIL\",\"Address\":\"Ann@X.TEST\"}\n\
        {\"ChannelType\":\"SMS\",\"Address\":\"12\"}\n";
    let read = json_lines(mapping, lines);
    assert_eq!(read.of("Address"), ["+447700900123", "+12025550143", "ann@x.test"]);
    assert_eq!(read.of("Location.Country"), ["-", "USA", "-"]);
    assert_eq!((read.failed.len(), read.failed[0].0), (1, 4));
}

#[test]
fn a_number_of_an_unknown_country_says_what_to_do() {
    let read = csv(json!({"normalise": {"phone": true}}), "ChannelType,Address\nSMS,07700 900123\n");
    assert!(read.failed[0].2.contains("default_country"), "{:?}", read.failed);
}

#[test]
fn rules_drop_records_and_are_counted() {
    let mapping = json!({
        "drop": [
            {"column": "status", "is": ["Deleted", "bounced"]},
            {"column": "Address", "empty": true},
            {"column": "kind", "is_not": ["person"]}
        ]
    });
    let head = "Id,Address,ChannelType,status,kind";
    let input = format!(
        "{head}\n1,a,EMAIL,deleted,person\n2,,EMAIL,ok,person\n3,c,EMAIL,ok,Person\n4,d,EMAIL,,robot\n5,e,EMAIL,BOUNCED,person\n"
    );
    let read = csv(mapping.clone(), &input);
    assert_eq!(read.of("Id"), ["3"]);
    let noted = |subject: &str, count: u64| format!("{count} records were dropped by the mapping: {subject}");
    let notices = [
        noted(r#""status" is "Deleted", "bounced""#, 2),
        noted(r#""Address" is empty"#, 1),
        noted(r#""kind" is not "person""#, 1),
    ];
    assert_eq!(read.notices, notices);
    assert_eq!(read.failed, []);

    let line = |id: u8, status: &str, kind: &str| {
        format!(
            "{{\"Id\":\"{id}\",\"Address\":\"a\",\"ChannelType\":\"EMAIL\",\"status\":\"{status}\",\"kind\":\"{kind}\"}}\n"
        )
    };
    let lines = [line(1, "deleted", "person"), line(3, "ok", "PERSON"), line(4, "", "robot")].concat();
    let read = json_lines(mapping, &lines);
    assert_eq!(read.of("Id"), ["3"]);
    assert_eq!(read.notices.len(), 2);
}

#[test]
fn spaces_around_attributes_go_only_when_asked() {
    let input = "Id,Address,ChannelType,Attributes.x\n1,a,EMAIL, v \n";
    assert_eq!(csv(json!({}), input).of("Attributes.x"), [" v "]);
    let trim = json!({"normalise": {"trim": true}});
    assert_eq!(csv(trim.clone(), input).of("Attributes.x"), ["v"]);
    let line =
        "{\"Id\":\"1\",\"Address\":\"a\",\"ChannelType\":\"EMAIL\",\"Attributes\":{\"x\":[\" v \",\"w\"]}}\n";
    assert_eq!(json_lines(trim.clone(), line).of("Attributes.x"), ["v+w"]);
    // A value of a wrong type is not mended by it.
    let line = "{\"Id\":\"1\",\"Address\":[\"a\"],\"ChannelType\":\"EMAIL\"}\n";
    assert_eq!(json_lines(trim, line).failed.len(), 1);
}

#[test]
fn columns_that_are_not_there_refuse_the_object() {
    let mapping = json!({"rename": {"E-mail": "Address", "Fax": "Attributes.Fax"}, "constants": {"ChannelType": "EMAIL"}});
    let said = refused(mapping, "Id,Emial,Fax\n1,a,f\n");
    assert!(said.contains("the mapping names the column \"E-mail\""), "{said}");
    assert!(said.contains("did you mean \"Emial\"?"), "{said}");
    let mapping = json!({"rename": {"Mail": "Address", "Fax": "Attributes.Fax"}, "optional": ["Fax"], "constants": {"ChannelType": "EMAIL"}});
    assert_eq!(csv(mapping, "Mail\na\n").of("Address"), ["a"]);
}

#[test]
fn two_makers_of_one_value_are_refused() {
    let mapping = json!({"rename": {"Mail": "Address"}, "constants": {"ChannelType": "EMAIL"}});
    let said = refused(mapping.clone(), "Mail,Address\na,b\n");
    assert!(said.contains("\"Mail\" (number 1) and \"Address\" (number 2)"), "{said}");
    let read = json_lines(mapping, "{\"Mail\":\"a\",\"Address\":\"b\"}\n{\"Mail\":\"c\"}\n");
    assert_eq!(read.of("Address"), ["c"]);
    assert!(read.failed[0].2.contains("\"Mail\" means Address too"), "{:?}", read.failed);
    // A file's own column gives way to a constant, and that is said.
    let read = csv(json!({"constants": {"ChannelType": "SMS"}}), "Address,ChannelType\n1,EMAIL\n");
    assert_eq!(read.of("ChannelType"), ["SMS"]);
    assert_eq!(read.notices, ["1 values gave way to a constant of the mapping: \"ChannelType\""]);
    let read = json_lines(
        json!({"constants": {"ChannelType": "SMS"}}),
        "{\"Address\":\"1\",\"ChannelType\":\"EMAIL\"}\n",
    );
    assert_eq!(read.of("ChannelType"), ["SMS"]);
    assert_eq!(read.notices, ["1 values gave way to a constant of the mapping: \"ChannelType\""]);
}

#[test]
fn rows_of_nothing_are_nothing_and_bad_records_cost_themselves() {
    let mapping =
        json!({"rename": {"Mail": "Address"}, "constants": {"ChannelType": "EMAIL", "Attributes.a": "b"}});
    let read = csv(mapping.clone(), "Mail,City\n,\na,Bern\nb\n\"c\nd,e\nf,Basel\n");
    assert_eq!(read.of("Address"), ["a", "d", "f"]);
    assert_eq!(read.failed.iter().map(|failed| failed.0).collect::<Vec<_>>(), [4, 5]);
    let read = json_lines(
        mapping,
        "{\"Mail\":\"a\"}\n[1]\n{\"Mail\"\nnull\n{\"Mail\":{\"x\":1}}\n{\"Mail\":\"b\"}\n",
    );
    assert_eq!(read.of("Address"), ["a", "b"]);
    assert_eq!(read.failed.iter().map(|failed| failed.0).collect::<Vec<_>>(), [2, 3, 4, 5]);
}

#[test]
fn joins_are_bounded() {
    let names = "{a}".repeat(4000);
    let mapping = json!({"join": {"Attributes.x": names}});
    let read =
        csv(mapping, &format!("Id,Address,ChannelType,a\n1,b,EMAIL,{}\n2,b,EMAIL,\n", "y".repeat(1000)));
    assert_eq!(read.of("Id"), ["2"]);
    assert!(read.failed[0].2.contains("1048576 bytes"), "{:?}", read.failed);
}

#[test]
fn what_cannot_be_meant_is_said() {
    for (mapping, says) in [
        (
            json!({"rename": {"Mail": "address"}}),
            r#"[rename] "Mail": "address" is no member; did you mean Address?"#,
        ),
        (json!({"rename": {"Mail": "Nonsense"}}), "write a member as in a CSV header"),
        (json!({"rename": {"Mail": "ApplicationId"}}), "is no member"),
        (json!({"rename": {" ": "Address"}}), "name of a column is empty"),
        (
            json!({"rename": {"a": "Address", "b": "Address"}}),
            r#"[rename] "b": Address has one value, and [rename] "a" makes it already"#,
        ),
        (
            json!({"rename": {"a": "Address"}, "constants": {"Address": "x"}}),
            "[constants] \"Address\": Address has one value",
        ),
        (json!({"rename": {"a": "Address"}, "ignore": ["a"]}), "renamed or ignored already"),
        (json!({"join": {"Id": "x"}}), "names no column"),
        (json!({"join": {"Id": "{a"}}), "a brace has no other half"),
        (json!({"join": {"Id": "a}"}}), "a brace has no other half"),
        (json!({"constants": {"ChannelType": "MAIL"}}), "\"MAIL\" is not one of"),
        (json!({"constants": {"Address": ""}}), "the value is empty"),
        (json!({"values": {"OptOut": {"yes": "OUT"}}}), "\"OUT\" is not one of ALL, NONE"),
        (json!({"values": {"OptOut": {"yes": "ALL", "YES": "NONE"}}}), "has two meanings"),
        (json!({"values": {"OptOut": {"": "ALL"}}}), "[defaults]"),
        (json!({"normalise": {"default_country": "GB"}}), "set phone = true"),
        (json!({"normalise": {"phone": true, "default_country": "Narnia"}}), "\"Narnia\" is no country"),
        (json!({"drop": [{"column": "a"}]}), "[[drop]] number 1: says nothing"),
        (json!({"drop": [{"column": "a", "is": ["x"], "is_not": ["y"]}]}), "both is and is_not"),
        (json!({"optional": ["z"]}), "\"z\" is no name that the mapping uses"),
        (
            json!({"ignore": (0..1001).map(|at| format!("c{at}")).collect::<Vec<_>>()}),
            "has 1001 rules, the limit is 1000",
        ),
        (json!({"constants": {"Attributes.x": "y".repeat(20_000)}}), "bytes, the limit is 16384"),
    ] {
        let said = map_of(mapping.clone()).expect_err(&mapping.to_string()).to_string();
        assert!(said.contains(says), "{said:?} should say {says:?}");
    }
    // Braces and lists of one name are fine.
    let read = csv(json!({"join": {"Address": "{{{a}}}"}, "constants": {"ChannelType": "EMAIL"}}), "a\n1\n");
    assert_eq!(read.of("Address"), ["{1}"]);
}

proptest! {
    /// A mapping that only renames is the same file with other names.
    #[test]
    fn renaming_is_reading_a_file_with_the_right_names(
        cells in prop::collection::vec(prop::collection::vec("[a-z0-9 '\",+=#é]{0,6}", 4), 0..5),
    ) {
        let row = |cells: &[String]| {
            let quoted: Vec<_> = cells.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
            format!("{}\n", quoted.join(","))
        };
        let rows: String = cells.iter().map(|cells| row(cells)).collect();
        let mapping = json!({"rename": {"key": "Id", "mail": "Address", "kind": "Attributes.kind", "mark": "User.UserId"}});
        let mapped = csv(mapping.clone(), &format!("key,mail,kind,mark\n{rows}"));
        let plain = csv(json!({}), &format!("Id,Address,Attributes.kind,User.UserId\n{rows}"));
        let without = read_as(json!({}), Format::Csv, &format!("Id,Address,Attributes.kind,User.UserId\n{rows}"), ReadRules::default());
        prop_assert_eq!(&mapped, &plain);
        prop_assert_eq!(&Ok(plain), &without);

        let line = |names: [&str; 4], cells: &[String]| {
            let pairs: serde_json::Map<_, _> =
                names.iter().zip(cells).map(|(name, cell)| ((*name).to_owned(), Value::from(cell.as_str()))).collect();
            let object = match names[0] {
                "key" => Value::from(pairs),
                _ => json!({"Id": cells[0], "Address": cells[1], "Attributes": {"kind": cells[2]}, "User": {"UserId": cells[3]}}),
            };
            format!("{object}\n")
        };
        let renamed: String = cells.iter().map(|cells| line(["key", "mail", "kind", "mark"], cells)).collect();
        let named: String = cells.iter().map(|cells| line(["Id", "", "", ""], cells)).collect();
        let (mapped, plain) = (json_lines(mapping, &renamed), json_lines(json!({}), &named));
        prop_assert_eq!(mapped.records, plain.records);
        prop_assert_eq!(mapped.failed, plain.failed);
    }
}
