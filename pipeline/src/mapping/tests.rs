//! What is proposed for files, and what comes of them by it.

use super::*;

fn proposed(format: Format, text: &str) -> (Proposal, Vec<Shown>) {
    let read = ReadOptions::default();
    let proposal = propose(&sample(text.as_bytes(), true, format, &read, 100).unwrap());
    let read = ReadOptions { map: Some(Box::new(proposal.mapping.clone())), ..read };
    let outcomes = preview(text.as_bytes(), true, format, &read, 10).unwrap();
    (proposal, outcomes)
}

fn rename(proposal: &Proposal) -> Vec<(&str, &str)> {
    proposal.mapping.rename.iter().map(|(name, member)| (name.as_str(), member.as_str())).collect()
}

fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Members(members) => {
            members.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        }
        Outcome::Failed(why) => format!("failed: {why}"),
        Outcome::Dropped => "dropped".into(),
    }
}

#[test]
fn a_list_of_a_crm_becomes_endpoints() {
    let text = "Customer ID;First Name;E-Mail;Country;Newsletter;Tier;Signup Date\n\
        17;Ann;Ann@X.TEST;Germany;yes;gold;2026-01-02\n18;Bo;bo@x.test;France;no; free;2026-01-03\n";
    let (proposal, outcomes) = proposed(Format::Csv, text);
    assert_eq!(
        rename(&proposal),
        [
            ("Country", "Location.Country"),
            ("Customer ID", "User.UserId"),
            ("E-Mail", "Address"),
            ("First Name", "User.UserAttributes.FirstName"),
            ("Newsletter", "OptOut"),
            ("Signup Date", "CreationDate"),
            ("Tier", "Attributes.Tier"),
        ]
    );
    assert!(proposal.mapping.normalise.email && proposal.mapping.normalise.country);
    assert!(proposal.mapping.normalise.trim);
    let lines: Vec<_> =
        outcomes.iter().map(|shown| format!("{} {}", shown.line, said(&shown.outcome))).collect();
    assert!(lines[0].starts_with("2 Address=ann@x.test Attributes.Tier=gold ChannelType=EMAIL"), "{lines:?}");
    assert!(lines[0].contains("OptOut=NONE") && lines[0].contains("Location.Country=DEU"), "{lines:?}");
    assert!(lines[1].contains("OptOut=ALL") && lines[1].contains("Attributes.Tier=free"), "{lines:?}");
    assert_eq!(lines.len(), 2);
}

#[test]
fn phone_lists_and_json_are_understood() {
    let (proposal, outcomes) =
        proposed(Format::Csv, "Mobile,City\n07700 900123,Bern\n+41 44 668 18 00,Zug\n");
    assert_eq!(rename(&proposal), [("City", "Location.City"), ("Mobile", "Address")]);
    assert!(proposal.notes.iter().any(|note| note.contains("default_country")), "{:?}", proposal.notes);
    assert!(
        said(&outcomes[0].outcome).contains("failed: Address: \"07700 900123\" has no country code"),
        "{outcomes:?}"
    );
    assert!(said(&outcomes[1].outcome).contains("Address=+41446681800"), "{outcomes:?}");

    let line =
        r#"{"id":"c1","contact":{"email":"a@x.test","phone":"1"},"tags":["a","b"],"unsubscribed":false}"#;
    let (proposal, outcomes) = proposed(Format::Json, &format!("{line}\n"));
    assert_eq!(
        rename(&proposal),
        [
            ("contact.email", "Address"),
            ("contact.phone", "Attributes.contact.phone"),
            ("tags", "Attributes.tags"),
            ("unsubscribed", "OptOut"),
        ]
    );
    assert_eq!(
        said(&outcomes[0].outcome),
        "Address=a@x.test Attributes.contact.phone=1 Attributes.tags=a, b ChannelType=EMAIL Id=c1 OptOut=NONE"
    );
}

#[test]
fn a_file_that_needs_no_mapping_gets_an_empty_one() {
    let (proposal, outcomes) =
        proposed(Format::Csv, "Id,Address,ChannelType\n1,a,EMAIL\n2,b,PIGEON\n\n3,c,SMS\n");
    assert_eq!(proposal, Proposal::default());
    let lines: Vec<_> = outcomes.iter().map(|shown| shown.line).collect();
    assert_eq!(lines, [2, 3, 5]);
    assert!(
        matches!(&outcomes[1].outcome, Outcome::Failed(why) if why.starts_with("ChannelType: \"PIGEON\""))
    );
}

#[test]
fn what_cannot_be_guessed_is_said() {
    let (proposal, _) =
        (propose(&sample(b"a,b\n1,2\n", true, Format::Csv, &ReadOptions::default(), 10).unwrap()), ());
    assert!(proposal.notes[0].contains("No column looks like"), "{:?}", proposal.notes);
    let odd = propose(
        &sample(b"Email,Consent\na@x.test,maybe\n", true, Format::Csv, &ReadOptions::default(), 10).unwrap(),
    );
    assert!(odd.notes.iter().any(|note| note.contains("[values.OptOut]")), "{:?}", odd.notes);
    assert!(sample(b"", true, Format::Csv, &ReadOptions::default(), 10).is_err());
    assert!(sample(b"", true, Format::Json, &ReadOptions::default(), 10).is_err());
}

#[test]
fn a_head_that_is_cut_off_gives_whole_records() {
    let text = "Id,Address,ChannelType\r\n1,a,EMAIL\r\n2,b,EMA";
    let read = ReadOptions::default();
    let found = sample(text.as_bytes(), false, Format::Csv, &read, 10).unwrap();
    assert_eq!(found.records.len(), 1);
    assert_eq!(preview(text.as_bytes(), false, Format::Csv, &read, 10).unwrap().len(), 1);
}

#[test]
fn drop_rules_show() {
    let mapping = serde_json::json!({"drop": [{"column": "Address", "is": ["b"]}]});
    let read = ReadOptions { map: Some(serde_json::from_value(mapping).unwrap()), ..ReadOptions::default() };
    let outcomes =
        preview(b"Id,Address,ChannelType\n1,a,SMS\n2,b,SMS\n3,c,SMS\n", true, Format::Csv, &read, 10)
            .unwrap();
    assert_eq!((outcomes[1].line, &outcomes[1].outcome), (3, &Outcome::Dropped));
}

#[test]
fn each_record_stands_beside_what_came_of_it() {
    let text = "My list\nId,Address,ChannelType\n1,\"a\"x,SMS\n2,b,SMS\n,,\n3,c,PIGEON\n";
    let shown = preview(text.as_bytes(), true, Format::Csv, &ReadOptions::default(), 10).unwrap();
    let ids = |shown: &[Shown]| -> Vec<(u64, Option<String>)> {
        let id = |record: &Record| record.iter().find(|(name, _)| name == "Id").map(|(_, id)| id.clone());
        shown.iter().map(|shown| (shown.line, id(&shown.before))).collect()
    };
    assert_eq!(ids(&shown), [(3, None), (4, Some("2".into())), (6, Some("3".into()))]);
    let text = "{\"Id\":\n{\"Id\":\"2\",\"Address\":\"b\",\"ChannelType\":\"SMS\"}\n{\"Id\":\"3\"}\n";
    let shown = preview(text.as_bytes(), true, Format::Json, &ReadOptions::default(), 10).unwrap();
    assert_eq!(ids(&shown), [(1, None), (2, Some("2".into())), (3, Some("3".into()))]);
}
