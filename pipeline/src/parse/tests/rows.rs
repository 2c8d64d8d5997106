//! The rules of CSV rows.

use super::*;

#[test]
fn rows_of_nothing_are_skipped_and_counted() {
    let rows = "Id,Address,ChannelType\n1,a,SMS\n,,\n\"\",\"\",\"\"\n , ,\u{a0}\n,,,,\n\n2,b,SMS\n,b,\n";
    let options = SplitOptions { limits: context().limits, ..SplitOptions::default() };
    let (mut splitter, mut parser) = (Splitter::new(Format::Csv, options, 0), Parser::new());
    assert_eq!(splitter.push(rows.as_bytes()), rows.len());
    splitter.finish();
    let Split::Block(block) = splitter.next(None).unwrap() else { panic!("there is a block") };
    let (parsed, _) = parser.check(block, &context());
    assert_eq!((parsed.registered, parsed.failed.len()), (2, 1), "{:?}", parsed.failed);
    let said: Vec<_> = parsed.notices.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["rows without any value were skipped"]);
    assert_eq!(parsed.notices.iter().map(|notice| notice.count).sum::<u64>(), 4);
}

#[test]
fn csv_cells_become_members() {
    let said = parse(
        Format::Csv,
        "Id, ChannelType ,Address,Attributes.a,Metrics.m,Attributes.b,Attributes.a,Note,User.UserId,User.UserAttributes.x,Location.Latitude,ApplicationId\r\n\
         1,sms,\"+1, 2\",x,1.5,\"say \"\"hi\"\"\",y,,u,\"z\nz\",-1e2,app\r\n\
         2,SMS,first,,,,\"\",,,,,\r\n",
    );
    assert_eq!((&said.failed, &said.unknown), (&vec![], &vec!["\"Note\"".to_owned()]));
    let expected = members([
        ("Id", &["1"]),
        ("ChannelType", &["SMS"]),
        ("Address", &["+1, 2"]),
        ("Attributes.a", &["x", "y"]),
        ("Attributes.b", &["say \"hi\""]),
        ("Metrics.m", &["1.5"]),
        ("User.UserId", &["u"]),
        ("User.UserAttributes.x", &["z\nz"]),
        ("Location.Latitude", &["-100"]),
    ]);
    assert_eq!(said.drafts[0].members, expected);
    assert_eq!(said.drafts[1].members["Address"], ["first"]);
    assert_eq!(said.drafts[1].line, 4);
    assert_eq!(said.drafts[1].members.len(), 3);
}

#[test]
fn every_member_has_a_column() {
    let named = [
        ("Id", "i"),
        ("ChannelType", "EMAIL"),
        ("OptOut", "NONE"),
        ("EndpointStatus", "ACTIVE"),
        ("Location.Latitude", "1.5"),
        ("Location.Longitude", "-2"),
    ];
    let text = pinport_model::TextMember::ALL.map(|member| match member {
        TextMember::EffectiveDate | TextMember::CreationDate => (member.name(), "2026-01-02T03:04:05.678Z"),
        _ => (member.name(), member.name()),
    });
    let all: BTreeMap<_, _> = named.into_iter().chain(text).collect();
    let header = all.keys().copied().collect::<Vec<_>>().join(",");
    let row = all.values().copied().collect::<Vec<_>>().join(",");
    let said = parse(Format::Csv, &format!("{header}\n{row}\n"));
    assert_eq!((&said.failed, &said.unknown), (&vec![], &vec![]));
    let read: BTreeMap<_, _> =
        said.drafts[0].members.iter().map(|(name, values)| (name.as_str(), values[0].as_str())).collect();
    assert_eq!(read, all);
}

#[test]
fn csv_rows_fail_alone() {
    let said = parse_with(
        Format::Csv,
        b"Id,Metrics.m,Attributes.n\n1,x,\n2,inf,\n3,1\n4,1,2,3\n5,1,\xff\n\"6\",\"1\n7,1,\n8,1,ok\n",
        &context(),
        4096,
    );
    let failed: Vec<_> = said.failed.iter().map(|failed| (failed.origin.line, failed.reason.code)).collect();
    use FailureCode::*;
    let expected = [
        (2, InvalidNumber),
        (3, InvalidNumber),
        (4, CellCount),
        (5, CellCount),
        (6, InvalidUtf8),
        (7, UnterminatedQuote),
    ];
    assert_eq!(failed, expected);
    assert_eq!(said.failed[3].reason.message, "has 4 cells, the header has 3");
    assert_eq!(said.failed[4].reason.offset, Some(4));
    assert_eq!(said.failed[5].raw.as_deref(), Some(&b"\"6\",\"1"[..]));
    assert_eq!(said.drafts.iter().map(|draft| draft.id.as_str()).collect::<Vec<_>>(), ["7", "8"]);
}
