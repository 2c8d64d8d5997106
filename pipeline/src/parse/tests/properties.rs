//! Whatever a record looks like, it is read as by serde_json and the csv crate.

use proptest::prelude::*;

use super::{oracle, seen::Seen, *};
use crate::split::naive::naive_record;

/// JSON that is nearly a record.
pub(super) fn json_line() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        4 => "\"[a-zé\\\\n\"]{0,3}\"".prop_map(|text| text.replace('n', "\\n")),
        2 => Just("\"SMS\"".to_owned()),
        1 => Just("\"\\u00e9\\ud83d\\ude00\"".to_owned()),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(|number| format!("{number:e}")),
        1 => prop_oneof![Just("null"), Just("true"), Just("{}"), Just("[]"), Just("\"\\ud800\""), Just("1e400"), Just("01")].prop_map(str::to_owned),
    ];
    let list = prop::collection::vec(scalar.clone(), 0..3).prop_map(|list| format!("[{}]", list.join(",")));
    let value = prop_oneof![4 => scalar.clone(), 1 => list];
    let key = prop_oneof![
        Just("a"),
        Just("b"),
        Just("City"),
        Just("Latitude"),
        Just("Make"),
        Just("UserId"),
        Just("UserAttributes"),
        Just("x\\u0041")
    ];
    let object = prop::collection::vec((key, value.clone()), 0..4).prop_map(|members| {
        let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{{}}}", members.join(", "))
    });
    let nested =
        object.clone().prop_map(|object| format!("{{\"UserId\":\"u\",\"UserAttributes\":{object}}}"));
    let member = prop_oneof![
        (
            prop_oneof![
                Just("Id"),
                Just("Address"),
                Just("ChannelType"),
                Just("OptOut"),
                Just("Zzz"),
                Just("RequestId")
            ],
            value
        ),
        (
            prop_oneof![
                Just("Attributes"),
                Just("Metrics"),
                Just("Location"),
                Just("Demographic"),
                Just("User")
            ],
            object
        ),
        (Just("User"), nested),
    ];
    prop::collection::vec(member, 0..5).prop_map(|members| {
        let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

/// Codes of rules that the oracle does not judge.
const LAST_RULES: [FailureCode; 5] = [
    FailureCode::MissingMember,
    FailureCode::InvalidId,
    FailureCode::SuspiciousKey,
    FailureCode::InvalidDate,
    FailureCode::InvalidName,
];

/// Whether a member's name is nearly one that is known: such a line is judged by what it is taken for.
fn has_near_name(line: &[u8]) -> bool {
    let Ok(serde_json::Value::Object(members)) = serde_json::from_slice(line) else { return false };
    let is_near = |name: String| names::known_member(&name).is_some_and(|known| known != name);
    members.iter().any(|(name, value)| {
        let within = value.as_object().into_iter().flatten();
        name.contains('.')
            || is_near(name.clone())
            || within.map(|(inner, _)| format!("{name}.{inner}")).any(is_near)
    })
}

fn same_as_oracle(line: &[u8]) {
    let said = parse_with(Format::Json, line, &context(), 4096);
    let shown = String::from_utf8_lossy(line);
    if said.guessed || has_near_name(line) {
        return;
    }
    match oracle::read(line) {
        Ok(members) => match said.failed.first() {
            Some(failed) => assert!(LAST_RULES.contains(&failed.reason.code), "{shown}: {failed:?}"),
            None => assert_eq!(said.drafts[0].members, members, "{shown}"),
        },
        Err(code) => {
            let failed: Vec<_> = said.failed.iter().map(|failed| failed.reason.code).collect();
            assert_eq!(failed, [code], "{shown}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn json_says_what_serde_json_reads(line in json_line()) {
        same_as_oracle(line.as_bytes());
    }

    #[test]
    fn broken_json_fails_as_with_serde_json(line in json_line(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut line = line.into_bytes();
        let index = at.index(line.len());
        line[index] = byte;
        if !matches!(byte, b'\n' | b'\r') && !line.iter().all(u8::is_ascii_whitespace) {
            same_as_oracle(&line);
        }
    }

    #[test]
    fn csv_cells_are_those_of_the_csv_crate(rows in "([12é]|\"|,|\n|\r\n|\"\"|,\"|\",){0,40}", block in 1_usize..40) {
        // Only inputs whose records have a line each: what happens after an open quote differs on purpose.
        let input = format!("Id,Attributes.a,Attributes.b\n{rows}\n");
        let said = parse_with(Format::Csv, input.as_bytes(), &context(), block);
        let mut reader = ::csv::ReaderBuilder::new().flexible(true).from_reader(input.as_bytes());
        let mut good = Vec::new();
        let mut plain = true;
        for record in reader.byte_records() {
            let record = record.unwrap();
            let cells: Vec<_> = record.iter().map(|cell| String::from_utf8(cell.to_vec()).unwrap()).collect();
            plain &= !cells.iter().any(|cell| cell.contains('\n'));
            // Text after a closing quote fails the record; separators at its end do no harm.
            let start = record.position().unwrap().byte() as usize;
            let raw = input.as_bytes()[start..].trim_ascii_start();
            let is_good = cells.len() >= 3 && cells[3..].iter().all(String::is_empty) && !naive_record(raw).stray;
            if is_good && !cells[0].is_empty() {
                good.push(cells[..3].to_vec());
            }
        }
        if !plain {
            return Ok(());
        }
        let text = |draft: &Seen, name: &str| draft.members.get(name).map(|values| values[0].clone()).unwrap_or_default();
        let found: Vec<_> = said.drafts.iter()
            .map(|draft| vec![text(draft, "Id"), text(draft, "Attributes.a"), text(draft, "Attributes.b")])
            .collect();
        prop_assert_eq!(found, good);
    }
}
