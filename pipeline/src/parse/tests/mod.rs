//! The rules of the data, record by record, against serde_json and the csv crate as oracles.

mod oracle;
mod plain;
mod properties;
mod rows;
pub(super) mod seen;
mod torture;

use std::collections::BTreeMap;

use pinport_model::{Channel, FailureCode, Format, ReadRules};
use pinport_store::DraftKind;
use proptest::prelude::*;
use seen::Seen;

use super::*;
use crate::split::{Split, SplitOptions, Splitter};

fn context() -> ParseContext {
    ParseContext {
        now: Timestamp::from_millis(1_790_000_000_000),
        limits: RecordLimits::default(),
        rules: ReadRules::default(),
        map: None,
        mark: None,
    }
}

/// What a parser said of an object.
struct Outcome {
    drafts: Vec<Seen>,
    failed: Vec<FailedRecord>,
    unknown: Vec<String>,
    /// Names were taken for known ones, dates rewritten, or several objects found on a line: the oracle knows nothing of that.
    guessed: bool,
    /// Good records by channel.
    channels: BTreeMap<Channel, u64>,
    /// Lines that were read in one pass.
    plain: usize,
}

fn parse_with(format: Format, input: &[u8], context: &ParseContext, block_bytes: usize) -> Outcome {
    parse_by(&mut Parser::new(), format, input, context, block_bytes)
}

fn parse_by(
    parser: &mut Parser,
    format: Format,
    input: &[u8],
    context: &ParseContext,
    block_bytes: usize,
) -> Outcome {
    parse_in(parser, format, input, context, block_bytes, usize::MAX)
}

fn parse_in(
    parser: &mut Parser,
    format: Format,
    input: &[u8],
    context: &ParseContext,
    block_bytes: usize,
    chunk: usize,
) -> Outcome {
    let checked = check_with(format, input, context, block_bytes);
    let options = SplitOptions { block_bytes, limits: context.limits, ..SplitOptions::default() };
    let mut splitter = Splitter::new(format, options, 0);
    let mut rest = input;
    let mut guessed = false;
    let (mut failed, mut unknown, mut channels, mut drafts) = (Vec::new(), Vec::new(), BTreeMap::new(), 0);
    seen::take();
    seen::take_plain();
    loop {
        match splitter.next(None).unwrap() {
            Split::NeedInput if rest.is_empty() => splitter.finish(),
            Split::NeedInput => rest = &rest[splitter.push(&rest[..rest.len().min(chunk)])..],
            Split::Block(block) => {
                let (parsed, buffer) = parser.parse(block, context);
                drafts += parsed.drafts.len();
                failed.extend(parsed.failed);
                for notice in &parsed.notices {
                    guessed |= matches!(
                        notice.kind,
                        NoticeKind::NameTaken | NoticeKind::DateNormalised | NoticeKind::JsonForm
                    );
                    let is_name =
                        matches!(notice.kind, NoticeKind::UnknownMember | NoticeKind::UnknownColumn);
                    if is_name && !unknown.contains(&notice.subject) {
                        unknown.push(notice.subject.clone());
                    }
                }
                for (channel, count) in Channel::ALL.iter().copied().zip(parsed.channels) {
                    *channels.entry(channel).or_default() += count;
                }
                splitter.give_back(buffer);
            }
            Split::End => break,
        }
    }
    channels.retain(|_, count| *count > 0);
    let seen = seen::take();
    assert_eq!(seen.len(), drafts);
    assert_eq!(checked, (drafts as u64, failed.clone()));
    Outcome { drafts: seen, failed, unknown, guessed, channels, plain: seen::take_plain() }
}

/// The good records and the failures, by a parser that only checks.
fn check_with(
    format: Format,
    input: &[u8],
    context: &ParseContext,
    block_bytes: usize,
) -> (u64, Vec<FailedRecord>) {
    let options = SplitOptions { block_bytes, limits: context.limits, ..SplitOptions::default() };
    let (mut splitter, mut parser) = (Splitter::new(format, options, 0), Parser::new());
    let mut rest = input;
    let (mut registered, mut failed) = (0, Vec::new());
    loop {
        match splitter.next(None).unwrap() {
            Split::NeedInput if rest.is_empty() => splitter.finish(),
            Split::NeedInput => rest = &rest[splitter.push(rest)..],
            Split::Block(block) => {
                let (parsed, buffer) = parser.check(block, context);
                assert!(parsed.drafts.is_empty());
                registered += parsed.registered;
                failed.extend(parsed.failed);
                splitter.give_back(buffer);
            }
            Split::End => return (registered, failed),
        }
    }
}

fn parse(format: Format, input: &str) -> Outcome {
    parse_with(format, input.as_bytes(), &context(), 1 << 16)
}

/// The one draft of a line.
fn good(line: &str) -> Seen {
    let mut said = parse(Format::Json, line);
    assert_eq!(said.failed, [], "{line}");
    assert_eq!(said.drafts.len(), 1, "{line}");
    said.drafts.remove(0)
}

/// The failure of one line, as text after the object and line.
fn bad(line: &[u8]) -> (FailureCode, String) {
    let mut input = b"{\"Id\":\"a\"}\n".to_vec();
    input.extend_from_slice(line);
    input.extend_from_slice(b"\r\n{\"Id\":\"b\"}\n");
    let said = parse_with(Format::Json, &input, &context(), 1 << 16);
    let ids: Vec<_> = said.drafts.iter().map(|draft| (draft.id.as_str(), draft.line)).collect();
    assert_eq!(ids, [("a", 1), ("b", 3)], "the neighbours of {}", String::from_utf8_lossy(line));
    assert_eq!(said.failed.len(), 1, "{}", String::from_utf8_lossy(line));
    let failed = &said.failed[0];
    assert_eq!(failed.raw.as_deref(), Some(line));
    assert_eq!((failed.origin.byte, failed.origin.line), (11, 2));
    let text = failed.reason.clone().locate("o", failed.origin).to_string();
    (failed.reason.code, text.replacen("o line 2", "", 1).trim_start_matches([':', ' ']).to_owned())
}

fn members<const N: usize>(members: [(&str, &[&str]); N]) -> BTreeMap<String, Vec<String>> {
    let owned = |(name, values): (&str, &[&str])| {
        (name.to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
    };
    members.into_iter().map(owned).collect()
}

#[test]
fn messages_may_cross_threads() {
    fn is_send<T: Send>() {}
    is_send::<Splitter>();
    is_send::<Block>();
    is_send::<ParsedBlock>();
    is_send::<Parser>();
}

#[test]
fn every_member_of_an_export_is_read() {
    let draft = good(
        r#"{"ChannelType":"email","Address":"a@b.c","EndpointStatus":"Active","OptOut":"none","RequestId":"r","EffectiveDate":"2026-01-02T03:04:05Z","CreationDate":"2026-01-02",
        "Location":{"Latitude":47.6,"Longitude":-122,"PostalCode":"9","City":"S","Region":"W","Country":"US"},
        "Demographic":{"Make":"m","Model":"o","ModelVersion":"v","Timezone":"t","Locale":"l","AppVersion":"a","Platform":"p","PlatformVersion":"q"},
        "Attributes":{"one":"x","more":["y",1,18446744073709551615,-2,0.5,true],"none":[]},"Metrics":{"m":1,"n":2.5},
        "User":{"UserId":"u","UserAttributes":{"k":["v"]}},"Id":"i","ApplicationId":"x","CohortId":"7"}"#
            .replace('\n', " ")
            .as_str(),
    );
    let expected = members([
        ("Id", &["i"]),
        ("Address", &["a@b.c"]),
        ("ChannelType", &["EMAIL"]),
        ("EndpointStatus", &["ACTIVE"]),
        ("OptOut", &["NONE"]),
        ("RequestId", &["r"]),
        ("EffectiveDate", &["2026-01-02T03:04:05Z"]),
        ("CreationDate", &["2026-01-02T00:00:00.000Z"]),
        ("CohortId", &["7"]),
        ("Location.Latitude", &["47.6"]),
        ("Location.Longitude", &["-122"]),
        ("Location.PostalCode", &["9"]),
        ("Location.City", &["S"]),
        ("Location.Region", &["W"]),
        ("Location.Country", &["US"]),
        ("Demographic.Make", &["m"]),
        ("Demographic.Model", &["o"]),
        ("Demographic.ModelVersion", &["v"]),
        ("Demographic.Timezone", &["t"]),
        ("Demographic.Locale", &["l"]),
        ("Demographic.AppVersion", &["a"]),
        ("Demographic.Platform", &["p"]),
        ("Demographic.PlatformVersion", &["q"]),
        ("Attributes.one", &["x"]),
        ("Attributes.more", &["y", "1", "18446744073709551615", "-2", "0.5", "true"]),
        ("Attributes.none", &[]),
        ("Metrics.m", &["1"]),
        ("Metrics.n", &["2.5"]),
        ("User.UserId", &["u"]),
        ("User.UserAttributes.k", &["v"]),
    ]);
    assert_eq!(draft.members, expected);
    assert_eq!((draft.kind, draft.id.as_str()), (DraftKind::Blind, "i"));
}

#[test]
fn the_last_of_repeated_members_counts() {
    let draft = good(
        r#"{"Id":"a","Id":"b","Attributes":{"x":"1","y":"2"},"Attributes":{"z":"3","z":"4","w":"5","w":null},"User":{"UserId":"u","UserAttributes":{"a":"b"}},"User":{"UserId":"v"}}"#,
    );
    let expected = members([("Id", &["b"]), ("Attributes.z", &["4"]), ("User.UserId", &["v"])]);
    assert_eq!(draft.members, expected);
    let draft = good(
        r#"{"Id":"b","Location":{"City":"x"},"Location":null,"Metrics":{"a":1,"a":null,"b":null,"b":2}}"#,
    );
    assert_eq!(draft.members, members([("Id", &["b"]), ("Metrics.b", &["2"])]));
}

#[test]
fn what_follows_a_null_is_read() {
    let draft = good(r#"{"Id":"b","Attributes":{"x":"1","a":null,"y":"2"},"Metrics":{"m":null,"n":1}}"#);
    let expected =
        [("Id", &["b"][..]), ("Attributes.x", &["1"]), ("Attributes.y", &["2"]), ("Metrics.n", &["1"])];
    assert_eq!(draft.members, members(expected));
}

#[test]
fn good_records_are_counted_by_channel() {
    for (format, input) in [
        (
            Format::Json,
            r#"{"Id":"a","ChannelType":"SMS"}#{"Id":"b","ChannelType":"EMAIL"}#{"Id":"c","ChannelType":"SMS"}#{"Id":"d"}#{"ChannelType":"SMS"}#"#,
        ),
        (Format::Csv, "Id,ChannelType#a,SMS#b,EMAIL#c,SMS#d,#,SMS#"),
    ] {
        let said = parse(format, &input.replace('#', "\n"));
        assert_eq!((said.drafts.len(), said.failed.len()), (4, 1), "{format}");
        assert_eq!(said.channels, BTreeMap::from([(Channel::Sms, 2), (Channel::Email, 1)]), "{format}");
    }
}

#[test]
fn what_a_record_has_decides_its_kind() {
    let kind = |line: &str| good(line).kind;
    assert_eq!(kind(r#"{"Id":"a","Address":"x","ChannelType":"SMS"}"#), DraftKind::Blind);
    assert_eq!(kind(r#"{"Id":"a","Address":"x"}"#), DraftKind::Update);
    assert_eq!(kind(r#"{"Id":"a"}"#), DraftKind::Update);
    for mark in ["\"CreationDate\":\"2020-01-01\"", "\"EndpointStatus\":\"ACTIVE\"", "\"CohortId\":\"7\""] {
        assert_eq!(kind(&format!("{{\"Id\":\"a\",{mark}}}")), DraftKind::Upsert, "{mark}");
    }
    assert_eq!(kind(r#"{"User":{"UserId":"u"}}"#), DraftKind::UserOnly);
    assert_eq!(kind(r#"{"User":{"UserId":"u","UserAttributes":{"a":"b"}},"Other":1}"#), DraftKind::UserOnly);
    let first = good(r#"{"Address":"x","ChannelType":"SMS"}"#);
    assert_eq!((first.kind, first.id.len()), (DraftKind::Blind, 27));
    // Whatever the channel and the user.
    let other = good(r#"{"Address":"x","ChannelType":"EMAIL","User":{"UserId":"u"}}"#);
    assert_eq!(other.id, first.id);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn bad_lines_fail_alone_and_say_why() {
    use FailureCode::*;
    let deep = |count| [vec![b'['; count], vec![b']'; count]].concat();
    let deep_member = [&b"{\"Id\":\"x\",\"a\":"[..], &deep(100_000), b"}"].concat();
    let long_name = format!("{{\"Id\":\"a\",\"Attributes\":{{\"{}\":\"x\"}}}}", "é".repeat(51));
    let long_value = format!("{{\"Id\":\"a\",\"Attributes\":{{\"n\":\"{}\"}}}}", "é".repeat(101));
    let many_values = format!("{{\"Id\":\"a\",\"Attributes\":{{\"n\":[{}1]}}}}", "1,".repeat(50));
    let names: Vec<_> = (0..251).map(|index| format!("\"n{index}\":\"x\"")).collect();
    let many_names = format!("{{\"Id\":\"a\",\"Attributes\":{{{}}}}}", names.join(","));
    let long_id = format!("{{\"Id\":\"{}\"}}", "a".repeat(1025));
    let large = format!("{{\"Id\":\"a\",\"RequestId\":\"{}\"}}", "a".repeat(16 << 10));
    let cases: &[(&[u8], FailureCode, &str)] = &[
        (b"{\"Id\":\"x\"", InvalidJson, "column 9: the line is no JSON: EOF while parsing an object"),
        (b"{\"Id\":\"x\"}}", InvalidJson, "column 11: the line is no JSON: trailing characters"),
        (b"nonsense", InvalidJson, "the line is no JSON: expected ident"),
        (b"{\"Id\":\"a\0b\"}", InvalidJson, "control character"),
        (b"{\"Id\":\"x\"}\0", InvalidJson, "trailing characters"),
        (br#"{"Id":"\ud800"}"#, InvalidJson, "the line is no JSON"),
        (br#"{"Id":"\udc00"}"#, InvalidJson, "the line is no JSON"),
        (br#"{"Id":"x","other":"\ud800x"}"#, InvalidJson, "the line is no JSON"),
        (b"{\"Id\":\"x\",\"Metrics\":{\"m\":1e999}}", InvalidJson, "number out of range"),
        (b"{\"Id\":\"\xff\"}", InvalidUtf8, "column 8: the byte 0xff is not UTF-8 here"),
        (b"{\"Id\":\"x\",\"\xc3\":1}", InvalidUtf8, "is not UTF-8 here"),
        (b"{\"Id\":\"x\",\"other\":\"\xed\xa0\x80\"}", InvalidUtf8, "is not UTF-8 here"),
        (&deep_member, TooDeep, "column 46: the JSON is nested deeper than 32 levels"),
        (b"[1]", NotAnObject, "the line is an array"),
        (b"\"x\"", NotAnObject, "the line is a string"),
        (b"null", NotAnObject, "the line is null"),
        (b"{\"Id\":true}", WrongType, "Id: is true or false, a string is expected"),
        (b"{\"Id\":\"a\",\"Address\":[]}", WrongType, "Address: is an array, a string is expected"),
        (b"{\"Id\":\"a\",\"Demographic\":[]}", WrongType, "Demographic: is an array, an object is expected"),
        (b"{\"Id\":\"a\",\"Demographic\":{\"Make\":[1]}}", WrongType, "Demographic.Make: is an array"),
        (
            b"{\"Id\":\"a\",\"Metrics\":{\"m\":\"1\"}}",
            WrongType,
            "Metrics.m: is a string, a number is expected",
        ),
        (b"{\"Id\":\"a\",\"Location\":{\"Latitude\":\"1\"}}", WrongType, "Location.Latitude: is a string"),
        (b"{\"Id\":\"a\",\"Attributes\":{\"n\":{}}}", WrongType, "Attributes.n: is an object"),
        (b"{\"Id\":\"a\",\"Attributes\":{\"n\":[[]]}}", WrongType, "Attributes.n: is an array"),
        (b"{\"Id\":\"a\",\"User\":\"u\"}", WrongType, "User: is a string"),
        (
            b"{\"ChannelType\":\"PIGEON\"}",
            UnknownValue,
            "ChannelType: \"PIGEON\" is not one of PUSH, GCM, APNS",
        ),
        (b"{\"OptOut\":\"\"}", UnknownValue, "OptOut: \"\" is not one of ALL, NONE"),
        (b"{\"EndpointStatus\":\"x\"}", UnknownValue, "EndpointStatus: \"x\" is not one of ACTIVE, INACTIVE"),
        (b"{}", MissingMember, "Id: is missing"),
        (b"{\"Address\":\"a\"}", MissingMember, "ChannelType: is missing"),
        (b"{\"ChannelType\":\"SMS\"}", MissingMember, "Address: is missing"),
        (
            b"{\"Id\":\"a\",\"User\":{\"UserAttributes\":{\"a\":[]}}}",
            MissingMember,
            "User.UserId: is missing",
        ),
        (b"{\"Id\":\"\"}", InvalidId, "Id: is empty"),
        (b"{\"Id\":\"a\",\"Address\":\"\"}", InvalidId, "Address: is empty"),
        (b"{\"User\":{\"UserId\":\"\"}}", InvalidId, "User.UserId: is empty"),
        (long_id.as_bytes(), InvalidId, "Id: has 1025 bytes, the limit is 1024"),
        (b"{\"Id\":\"a\",\"Attributes\":{\"\":\"x\"}}", InvalidName, "Attributes: a name is empty"),
        (long_name.as_bytes(), InvalidName, "the name has 51 characters, the limit is 50"),
        (long_value.as_bytes(), ValueTooLong, "Attributes.n: the value has 101 characters, the limit is 100"),
        (many_values.as_bytes(), TooManyValues, "Attributes.n: has 51 values, the limit is 50"),
        (many_names.as_bytes(), TooManyAttributes, "Attributes: has 251 names, the limit is 250"),
        (large.as_bytes(), EndpointTooLarge, "the limit is 15360"),
    ];
    for (line, code, text) in cases {
        if *code == EndpointTooLarge {
            let said = parse_with(Format::Json, line, &context(), 64);
            assert!(said.failed[0].reason.message.contains(text));
            continue;
        }
        let found = bad(line);
        assert_eq!(found.0, *code, "{found:?}");
        assert!(found.1.contains(text), "{found:?} has no {text:?}");
    }
    let mut small = context();
    small.limits.max_line = 20;
    let said =
        parse_with(Format::Json, b"{\"Id\":\"aaaaaaaaaaaaaaaaaaaaaa\"}\n{\"Id\":\"a\"}\n", &small, 4096);
    assert_eq!(
        (said.failed[0].reason.code, said.failed[0].raw.as_deref(), said.drafts.len()),
        (LineTooLong, None, 1)
    );
}

#[test]
fn limits_count_characters_not_bytes() {
    good(&format!("{{\"Id\":\"a\",\"Attributes\":{{\"{}\":\"{}\"}}}}", "é".repeat(50), "é".repeat(100)));
}

#[test]
fn large_integers_are_numbers_and_keep_their_digits_as_text() {
    let draft = good(
        r#"{"Id":"a","Metrics":{"m":18446744073709551616,"n":-9223372036854775809},"Attributes":{"n":18446744073709551616}}"#,
    );
    assert_eq!(draft.members["Metrics.m"], ["18446744073709552000"]);
    assert_eq!(draft.members["Metrics.n"], ["-9223372036854776000"]);
    assert_eq!(draft.members["Attributes.n"], ["18446744073709551616"]);
}

#[test]
fn millions_of_empty_objects_are_counted() {
    let count = 1_000_000;
    let mut splitter = Splitter::new(Format::Json, SplitOptions::default(), 0);
    let mut parser = Parser::new();
    let input = "{}\n".repeat(count);
    let mut rest = input.as_bytes();
    let mut failed = 0;
    loop {
        match splitter.next(None).unwrap() {
            Split::NeedInput if rest.is_empty() => splitter.finish(),
            Split::NeedInput => rest = &rest[splitter.push(rest)..],
            Split::Block(block) => {
                let (parsed, buffer) = parser.parse(block, &context());
                failed += parsed.failed.len();
                splitter.give_back(buffer);
            }
            Split::End => break,
        }
    }
    assert_eq!(failed, count);
}

#[test]
fn unknown_members_are_named_once() {
    let line = r#"{"Id":"a","Foo":1,"Location":{"Bar":[{"x":1}],"City":"c"},"User":{"UserId":"u","Baz":{}}}"#;
    let said = parse_with(Format::Json, format!("{line}\n{line}\n").as_bytes(), &context(), 64);
    assert_eq!(said.unknown, ["\"Foo\"", "\"Location.Bar\"", "\"User.Baz\""]);
    assert_eq!(said.drafts[1].members["Location.City"], ["c"]);
    let said = parse(Format::Csv, "Id,foo,Attributes.\na,b,c\n");
    assert_eq!(said.unknown, ["\"foo\"", "\"Attributes.\""]);
}
