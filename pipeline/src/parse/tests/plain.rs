//! The fast way against the way that judges: whatever the first takes, the second takes too, with an equal draft.

use super::{properties::json_line, *};

/// What a parser says of `input`.
fn said_by(mut parser: Parser, input: &[u8], context: &ParseContext) -> Outcome {
    parse_by(&mut parser, Format::Json, input, context, 1 << 16)
}

/// Both ways must say the same, whether the last line has an end or not; returns the lines that were read in one pass
/// when it has.
fn same_with(input: &[u8], context: &ParseContext) -> usize {
    let mut plain = 0;
    for end in [&b""[..], b"\n"] {
        let input = [input, end].concat();
        let expected = said_by(Parser::judging(), &input, context);
        assert_eq!(expected.plain, 0);
        let said = said_by(Parser::new(), &input, context);
        plain = said.plain;
        let shown = String::from_utf8_lossy(&input);
        assert_eq!(said.drafts, expected.drafts, "{shown}");
        assert_eq!(said.failed, expected.failed, "{shown}");
        assert_eq!(said.unknown, expected.unknown, "{shown}");
    }
    plain
}

fn same(input: impl AsRef<[u8]>) -> usize {
    same_with(input.as_ref(), &context())
}

/// A record with everything that is read in one pass.
const PLAIN: &str = r#"{"Id":"i-1","ChannelType":"EMAIL","Address":"zoë@example.com","EndpointStatus":"ACTIVE","OptOut":"none","RequestId":null,"EffectiveDate":"2026-01-02T03:04:05Z","Shoe":42,"Attributes":{"one":"x","more":["y",1,-2,0.5,true,null,false],"none":[],"t\u00e4\n":"\u00E9\ud83d\uDE00\"\\\/\b\f\r\t."},"Demographic":{"Make":"m","PlatformVersion":"17.0.1","Colour":"a rather long unknown text"},"Location":{"City":"京都","Latitude":47.6062134234231,"Longitude":-0,"PostalCode":"98101"},"Metrics":{"visits":3,"spend":-130.20},"User":{"UserId":"u","Age":1.5,"UserAttributes":{"k":["v"]}},"CohortId":"7"}"#;

#[test]
fn plain_records_are_read_in_one_pass() {
    for end in ["", "\n", "\r\n", "\r", " \t\n"] {
        assert_eq!(same(format!("{PLAIN}{end}")), 1, "{end:?}");
    }
    // The judge reads a last line without an end.
    assert_eq!(said_by(Parser::new(), format!("{PLAIN}\n{PLAIN}").as_bytes(), &context()).plain, 1);
    for ignored in ["null", "true", "false", "-1.5", "12345678901234567", r#""text""#] {
        assert_eq!(same(format!(r#"{{"Id":"a","Zzz":{ignored}}}"#)), 1, "{ignored}");
    }
    let wide = PLAIN.replace(',', " , ").replace("\":", "\"\t: ").replace('{', " { ").replace(']', " ] ");
    assert_eq!(same(wide), 1);
    let lines = [PLAIN, r#"{"User":{"UserId":"u"},"Id":"x"}"#, r#"{"Id":"y","User":null,"Location":{}}"#];
    assert_eq!(same(lines.join("\n\n").repeat(7).replace("}}{", "}}\n{").replace("}{", "}\n{")), 21);
    // With a line that is not UTF-8 in the block.
    assert_eq!(same([PLAIN.as_bytes(), b"\n{\"Id\":\"\xff\"}\n", PLAIN.as_bytes()].concat()), 2);
}

#[test]
fn unusual_records_are_left_to_the_judge() {
    for line in [
        r#"{"I\u0064":"a"}"#,
        r#"{"Id":"a","Zz\n":1}"#,
        r#"{"Id":"a","Zzz":"\n"}"#,
        r#"{"Id":"a","Id":"b"}"#,
        r#"{"Id":"a","Location":{"City":"a","City":"b"}}"#,
        r#"{"Id":"a","Zzz":{}}"#,
        r#"{"Id":"a","Zzz":[]}"#,
        r#"{"Id":"a","a":1,"b":1,"c":1,"d":1,"e":1}"#,
        r#"{"Id":"a","Metrics":{"m":1e3}}"#,
        r#"{"Id":"a","Metrics":{"m":1.5E3}}"#,
        r#"{"Id":"a","Metrics":{"m":1234567890e1}}"#,
        r#"{"Id":"a","Attributes":{"m":[1e3]}}"#,
        r#"{"Id":"a","Zzz":1e3}"#,
        r#"{"Id":"a","Metrics":{"m":01}}"#,
        r#"{"Id":"a","Metrics":{"m":-}}"#,
        r#"{"Id":"a","Metrics":{"m":1.}}"#,
        r#"{"Id":"a","Metrics":{"m":.5}}"#,
        r#"{"Id":"a","Metrics":{"m":1234567890123456789}}"#,
        r#"{"Id":"a","Metrics":{"m":1,"m":null}}"#,
        r#"{"Id":"a","Attributes":{"m":"1","m":null}}"#,
        r#"{"Id":"a","Attributes":{"":"1"}}"#,
        r#"{"Id":"a","Attributes":{"a":["b",]}}"#,
        r#"{"Id":"a","Attributes":{"a":[[]]}}"#,
        r#"{"Id":"a",}"#,
        r#"{"Id":"a"} x"#,
        r#"{"Id":"a"}}"#,
        r#"{"Id":"a" "Address":"b"}"#,
        r#"{"Id":"a""#,
        r#"{"Id":"a"#,
        r#"{"Id"#,
        r#"{"#,
        "{\"Id\":\"a\0\"}",
        "{\"Id\":\"a\"}\0",
        "{\"Id\":\"a\"}\r\r",
        r#"{"Id":nullx}"#,
        r#"{"Id":42}"#,
        r#"{"OptOut":"x"}"#,
        "{}",
    ] {
        assert_eq!(same(line), 0, "{line}");
        assert_eq!(same(format!("{line}\n{PLAIN}\n")), 1, "{line}");
    }
}

#[test]
fn escapes_are_read_in_one_pass() {
    for (escaped, said) in [
        (r"\n", "\n"),
        (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
        (r"a\u0041é\u00e9\u00Efz", "aAééïz"),
        (r"\u0000\u001f\ud7ff\ue000\uffff", "\0\u{1f}\u{d7ff}\u{e000}\u{ffff}"),
        (r"\ud83d\ude00\uD800\uDC00\udbff\udfff.", "😀\u{10000}\u{10ffff}."),
    ] {
        let line =
            format!(r#"{{"Id":"a","Address":"{escaped}","Attributes":{{"{escaped}":["x","{escaped}"]}}}}"#);
        assert_eq!(same(&line), 1, "{escaped}");
        let unescaped = serde_json::from_str::<serde_json::Value>(&line).unwrap()["Address"].clone();
        assert_eq!(unescaped, said);
    }
    for broken in [
        r"\",
        r"\x",
        r"\U0041",
        r"\u",
        r"\u1",
        r"\u12",
        r"\u123",
        r"\u00g0",
        r"\u 041",
        r"\u+041",
        r"\ud83d",
        r"\ud83dx",
        r"\ud83d\n",
        r"\ud83d\u0041",
        r"\ud83d\ud83d",
        r"\ude00",
        r"\ude00\ud83d",
        r"\ud83d\ude0",
        "\\\n",
        "\\n\x01",
        "\\é",
    ] {
        assert_eq!(same(format!(r#"{{"Id":"a","Address":"{broken}"}}"#)), 0, "{broken}");
        same(format!(r#"{{"Id":"a","Address":"{broken}"#));
    }
}

#[test]
fn damage_is_judged_the_same() {
    let bytes = PLAIN.as_bytes();
    let mut taken = 0;
    for at in 0..bytes.len() {
        let mut line = bytes.to_vec();
        // Each byte at every third place, so that it is quick.
        for byte in (0..=u8::MAX).filter(|byte| (at + usize::from(*byte)) % 3 == 0) {
            line[at] = byte;
            taken += same(&line);
        }
        let (head, tail) = bytes.split_at(at);
        same(head);
        same(tail);
        same([head, &tail[1..]].concat());
        for more in [&b"\""[..], b"\\", b",", b":", b"}", b"{}", b"[", b"null", b"0", b" ", tail] {
            same([head, more, tail].concat());
        }
    }
    // Most letters may be others.
    assert!(taken > 6000, "{taken}");
}

#[test]
fn numbers_are_equal_to_the_last_bit() {
    let mut random = 1_u64;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random ^ random >> 33
    };
    let mut taken = 0;
    for _ in 0..1000 {
        let members: Vec<_> = (0..100)
            .map(|index| {
                let digits = next() % 10_u64.pow((next() % 18) as u32 + 1);
                let (sign, point) = (["", "-"][next() as usize % 2], next() as usize % 18);
                let mut text = format!("{digits:0point$}", point = point + 1);
                if point > 0 {
                    text.insert(text.len() - point, '.');
                }
                format!("\"{index}\":{sign}{text}")
            })
            .collect();
        let list: Vec<_> = members.iter().take(50).filter_map(|member| member.split(':').nth(1)).collect();
        let (members, list) = (members.join(","), list.join(","));
        taken += same(format!(r#"{{"Id":"a","Metrics":{{{members}}},"Attributes":{{"n":[{list}]}}}}"#));
    }
    assert_eq!(taken, 1000);
}

#[test]
fn limits_hold_on_both_ways() {
    let mut small = context();
    let limits = &mut small.limits;
    (limits.max_attributes, limits.max_values, limits.max_name, limits.max_value) = (2, 2, 3, 4);
    (limits.max_id, limits.max_endpoint) = (5, 150);
    for (body, plain) in [
        (r#""Attributes":{"abc":["éééé","xxxx"],"b":"c"}"#, 1),
        (r#""Attributes":{"abcd":"x"}"#, 0),
        (r#""Attributes":{"abc":"xxxxx"}"#, 0),
        (r#""Attributes":{"abc":[1,2,3]}"#, 0),
        (r#""Attributes":{"a":1,"b":2,"c":3}"#, 0),
        (r#""Attributes":{"a":1,"b":2,"a":3}"#, 0),
        (r#""Metrics":{"a":1,"b":2}"#, 1),
        (r#""Metrics":{"a":1,"b":2,"c":3}"#, 0),
        (r#""Metrics":{"a":1,"b":2,"a":3}"#, 0),
        (r#""Address":"123456""#, 0),
        (&format!(r#""RequestId":"{}""#, "a".repeat(200)), 0),
    ] {
        assert_eq!(same_with(format!("{{\"Id\":\"a\",{body}}}").as_bytes(), &small), plain, "{body}");
    }
    for (max_line, plain) in [(9, 0), (10, 1), (11, 1)] {
        let mut short = context();
        short.limits.max_line = max_line;
        let line = b"{\"Id\":\"a\"}\r\n";
        assert_eq!(same_with(line, &short), plain, "{max_line}");
        assert_eq!(same_with(&line.repeat(3), &short), 3 * plain, "{max_line}");
    }
    let mut flat = context();
    flat.limits.max_depth = 2;
    assert_eq!(same_with(PLAIN.as_bytes(), &flat), 0);
}

#[test]
fn the_fast_way_is_tried_less_while_it_fails() {
    let odd = "{\"Id\":\"a\",\"Zzz\":[]}\n".repeat(1000);
    let input = format!("{PLAIN}\n{odd}{PLAIN}\n{}", format!("{PLAIN}\n").repeat(200));
    let said = said_by(Parser::new(), input.as_bytes(), &context());
    assert_eq!(said.drafts.len(), 1202);
    assert!((138..202).contains(&said.plain), "{}", said.plain);
    // One that fails alone holds no one up.
    let mixed = format!("{PLAIN}\n{{\"Id\":\"a\",\"Zzz\":[]}}\n").repeat(50);
    assert_eq!(same(mixed), 50);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn both_ways_say_the_same(lines in prop::collection::vec(json_line(), 1..4)) {
        same(lines.join("\n"));
    }
}
