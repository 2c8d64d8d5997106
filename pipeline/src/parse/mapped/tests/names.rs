//! Names of the mapping and of the file that nearly fit.

use super::*;

#[test]
fn names_of_the_mapping_may_nearly_fit() {
    let mapping = json!({"rename": {"E-Mail": "Address"}, "constants": {"ChannelType": "EMAIL"}});
    let near = "e_mail\na\n";
    let read = csv(mapping.clone(), near);
    assert_eq!(read.of("Address"), ["a"]);
    assert_eq!(read.notices.len(), 1);
    assert!(read.notices[0].contains(r#""e_mail" is read as "E-Mail" of the mapping"#), "{:?}", read.notices);
    let read = json_lines(mapping.clone(), "{\"email\":\"a\"}\n");
    assert_eq!(read.of("Address"), ["a"]);
    let strict = ReadRules { strict_names: true, ..ReadRules::default() };
    assert!(read_as(mapping.clone(), Format::Csv, near, strict).is_err());
    assert_eq!(read_as(mapping, Format::Json, "{\"email\":\"a\"}\n", strict).unwrap().failed.len(), 1);
}

#[test]
fn near_names_of_members_keep_their_rules() {
    // What is normalised and given a meaning must not depend on how a name is written.
    let mapping = json!({"values": {"OptOut": {"yes": "ALL"}}, "normalise": {"email": true}});
    let read = csv(mapping.clone(), "address,channel_type,Optout\nA@X.TEST,EMAIL,yes\n");
    assert_eq!((read.of("Address"), read.of("OptOut")), (vec!["a@x.test".into()], vec!["ALL".into()]));
    let line =
        "{\"address\":\"A@X.TEST\",\"channelType\":\"EMAIL\",\"optOut\":\"yes\",\"User.UserId\":\"u\"}\n";
    let read = json_lines(mapping, line);
    assert_eq!((read.of("Address"), read.of("OptOut")), (vec!["a@x.test".into()], vec!["ALL".into()]));
    assert_eq!(read.of("User.UserId"), ["u"]);
    assert_eq!(read.notices.len(), 4, "{:?}", read.notices);
    // Two names for one member: nothing says which is right.
    let mapping = json!({"normalise": {"email": true}});
    let line = "{\"Address\":\"a\",\"address\":\"b\",\"ChannelType\":\"EMAIL\"}\n";
    let read = json_lines(mapping.clone(), line);
    assert!(read.failed[0].2.contains("comes twice"), "{:?}", read.failed);
    let line = "{\"Address\":\"a\",\"Address\":\"b\",\"ChannelType\":\"EMAIL\"}\n";
    assert_eq!(json_lines(mapping, line).of("Address"), ["b"]);
}

#[test]
fn unknown_names_are_still_said_and_those_of_the_mapping_are_not() {
    let mapping = json!({"join": {"Address": "{a}@{b}"}, "constants": {"ChannelType": "EMAIL"}});
    let read = csv(mapping.clone(), "a,b,c\n1,x.test,3\n");
    assert_eq!(
        (read.of("Address"), read.notices),
        (vec!["1@x.test".into()], vec!["1 a column was ignored: \"c\"".into()])
    );
    let read = json_lines(mapping, "{\"a\":1,\"b\":\"x.test\",\"c\":3}\n");
    assert_eq!(read.of("Address"), ["1@x.test"]);
    assert_eq!(read.notices.len(), 1);
    assert!(read.notices[0].ends_with("\"c\""), "{:?}", read.notices);
}

#[test]
fn a_header_is_found_by_the_names_of_the_mapping() {
    let mapping = json!({"rename": {"Mail": "Address"}, "constants": {"ChannelType": "EMAIL"}});
    let read = csv(mapping.clone(), "Contacts of 2026;;\nMail;City;x\na;Bern;1\n");
    assert_eq!(read.of("Address"), ["a"]);
    // A header that gives no key is refused, and the mapping is named as the way out.
    assert!(
        refused(json!({"rename": {"Mail": "Attributes.Mail"}}), "Mail\na\n")
            .contains("the mapping makes none")
    );
}
