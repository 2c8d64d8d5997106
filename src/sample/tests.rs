use std::{
    collections::{BTreeMap, HashSet},
    slice, str,
};

use pinport_model::Channel;
use serde_json::Value;

use super::{csv::Column, *};

fn args(rows: u64, format: Format) -> Args {
    Args {
        rows,
        format,
        bad: Share(0.0),
        updates: Share(0.0),
        seed: 1,
        generation: 1,
        start: 0,
        tally: false,
    }
}

fn made(args: &Args) -> Vec<u8> {
    let mut out = Vec::new();
    run(args, &mut out).unwrap();
    out
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    let text = bytes.strip_suffix(b"\n").expect("the last row ends with a newline");
    text.split(|byte| *byte == b'\n').collect()
}

fn parsed(bytes: &[u8]) -> Vec<Value> {
    lines(bytes).into_iter().map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn records(bytes: &[u8]) -> Vec<::csv::ByteRecord> {
    let mut reader = ::csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    reader.byte_records().collect::<Result<_, _>>().unwrap()
}

#[test]
fn the_same_arguments_make_the_same_bytes() {
    for format in [Format::Json, Format::Csv] {
        let one = Args { bad: Share(0.05), updates: Share(0.05), ..args(3000, format) };
        assert_eq!(made(&one), made(&one));
        assert_ne!(made(&one), made(&Args { seed: 2, ..one.clone() }));
        assert_ne!(made(&one), made(&Args { generation: 2, ..one }));
    }
}

#[test]
fn ranges_join_to_the_whole() {
    let whole = Args { bad: Share(0.02), updates: Share(0.1), ..args(1000, Format::Json) };
    let mut joined = made(&Args { rows: 300, ..whole.clone() });
    joined.extend(made(&Args { rows: 700, start: 300, ..whole.clone() }));
    assert!(joined == made(&whole));
}

#[test]
fn json_rows_are_about_560_bytes() {
    let mean = made(&args(5000, Format::Json)).len() / 5000;
    assert!((540..=580).contains(&mean), "{mean}");
}

#[test]
fn whole_rows_have_what_pinpoint_exports_have() {
    let rows = parsed(&made(&args(2000, Format::Json)));
    assert_eq!(rows.len(), 2000);
    let mut ids = HashSet::new();
    let mut users = HashSet::new();
    for row in &rows {
        let id = row["Id"].as_str().unwrap();
        assert_eq!(uuid_version(id), Some('4'), "{id}");
        assert!(ids.insert(id.to_owned()), "{id} twice");
        users.insert(row["User"]["UserId"].as_str().unwrap());
        let channel = Channel::from_name(row["ChannelType"].as_str().unwrap()).unwrap();
        let address = row["Address"].as_str().unwrap();
        match channel {
            Channel::Email => assert!(address.ends_with("@example.com"), "{address}"),
            Channel::Sms | Channel::Voice => {
                assert!(address.len() == 12 && address[5..].starts_with("55501"), "{address}");
            }
            _ => assert_eq!(address.len(), 64),
        }
        assert!((3..=5).contains(&row["Attributes"].as_object().unwrap().len()));
        assert!((2..=3).contains(&row["Metrics"].as_object().unwrap().len()));
        assert!(row["Location"]["Latitude"].as_f64().unwrap().abs() < 90.0);
        assert_eq!(row["EffectiveDate"].as_str().unwrap().len(), 24);
    }
    assert!(users.len() < 1900, "some users have several endpoints: {} users", users.len());
}

fn uuid_version(id: &str) -> Option<char> {
    let parts: Vec<usize> = id.split('-').map(str::len).collect();
    (parts == [8, 4, 4, 4, 12]).then(|| id.chars().nth(14)).flatten()
}

#[test]
fn a_generation_changes_values_and_keeps_who_it_is() {
    let first = parsed(&made(&args(500, Format::Json)));
    let second = parsed(&made(&Args { generation: 2, ..args(500, Format::Json) }));
    for (first, second) in first.iter().zip(&second) {
        for member in ["Id", "Address", "ChannelType"] {
            assert_eq!(first[member], second[member]);
        }
        assert_eq!(first["User"]["UserId"], second["User"]["UserId"]);
        assert!(first["EffectiveDate"].as_str() < second["EffectiveDate"].as_str());
    }
}

/// A JSON row in the form of a CSV one: header to values.
fn flattened(value: &Value, name: &str, out: &mut BTreeMap<String, Vec<String>>) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                let name = if name.is_empty() { member.clone() } else { format!("{name}.{member}") };
                flattened(value, &name, out);
            }
        }
        Value::Array(values) => {
            for value in values {
                flattened(value, name, out);
            }
        }
        Value::String(text) => out.entry(name.into()).or_default().push(text.clone()),
        Value::Number(number) => {
            out.entry(name.into()).or_default().push(number.as_f64().unwrap().to_string());
        }
        Value::Bool(_) | Value::Null => panic!("samples have no {value}"),
    }
}

#[test]
fn both_formats_say_the_same() {
    let of = |format| made(&Args { updates: Share(0.1), ..args(2000, format) });
    let (json, csv) = (parsed(&of(Format::Json)), records(&of(Format::Csv)));
    assert_eq!(json.len(), csv.len());
    for (json, csv) in json.iter().zip(&csv) {
        let (mut from_json, mut from_csv) = (BTreeMap::new(), BTreeMap::<String, Vec<String>>::new());
        flattened(json, "", &mut from_json);
        for (header, cell) in csv::HEADER.iter().zip(csv) {
            let mut cell = str::from_utf8(cell).unwrap().to_owned();
            if header.starts_with("Metrics.") || header.ends_with("itude") {
                cell = cell.parse().map(|number: f64| number.to_string()).unwrap_or_default();
            }
            if !cell.is_empty() {
                from_csv.entry((*header).into()).or_default().push(cell);
            }
        }
        assert_eq!(from_json, from_csv);
    }
}

#[test]
fn the_tally_tells_what_is_in_the_rows() {
    let args = Args { bad: Share(0.02), updates: Share(0.05), ..args(20_000, Format::Json) };
    let tally = tally(&args);
    let rows = made(&args);
    let rows = lines(&rows);
    assert_eq!(tally.read, 20_000);
    assert_eq!(tally.read, tally.registered + tally.failed);
    assert!((300..500).contains(&tally.failed), "{tally:?}");
    assert_eq!(tally.codes.values().sum::<u64>(), tally.failed);
    let mut codes = BTreeMap::<&str, u64>::new();
    let (mut ids, mut users) = (HashSet::new(), HashSet::new());
    for row in rows {
        match naive_verdict(row, &mut ids, &mut users) {
            Ok(()) => {}
            Err(code) => *codes.entry(code.as_str()).or_default() += 1,
        }
    }
    assert_eq!(codes, tally.codes);
    assert_eq!(ids.len() as u64, tally.endpoints);
}

/// The rules of an import as far as sample rows break them, written without a thought for speed.
fn naive_verdict(
    row: &[u8],
    ids: &mut HashSet<String>,
    users: &mut HashSet<String>,
) -> Result<(), FailureCode> {
    let text = str::from_utf8(row).map_err(|_| FailureCode::InvalidUtf8)?;
    let value: Value = serde_json::from_str(text).map_err(|_| FailureCode::InvalidJson)?;
    let object = value.as_object().ok_or(FailureCode::NotAnObject)?;
    if text.contains(&"[".repeat(33)) {
        return Err(FailureCode::TooDeep);
    }
    let is_wrong =
        |name: &str, right: fn(&Value) -> bool| object.get(name).is_some_and(|value| !right(value));
    let latitude = object.get("Location").and_then(|location| location.get("Latitude"));
    if is_wrong("Address", Value::is_string)
        || is_wrong("Demographic", Value::is_object)
        || latitude.is_some_and(|value| !value.is_number())
    {
        return Err(FailureCode::WrongType);
    }
    let member = |name: &str| object.get(name).and_then(Value::as_str);
    if member("ChannelType").is_some_and(|word| Channel::from_name(word).is_none())
        || member("OptOut").is_some_and(|word| !["ALL", "NONE"].contains(&word))
    {
        return Err(FailureCode::UnknownValue);
    }
    for (name, values) in object.get("Attributes").and_then(Value::as_object).into_iter().flatten() {
        if name.chars().count() > 50 {
            return Err(FailureCode::InvalidName);
        }
        let values = values.as_array().map_or(slice::from_ref(values), Vec::as_slice);
        if values.len() > 50 {
            return Err(FailureCode::TooManyValues);
        }
        if values.iter().filter_map(Value::as_str).any(|value| value.chars().count() > 100) {
            return Err(FailureCode::ValueTooLong);
        }
    }
    if object.get("Attributes").and_then(Value::as_object).is_some_and(|attributes| attributes.len() > 250) {
        return Err(FailureCode::TooManyAttributes);
    }
    if member("Id").is_some_and(|id| id.len() > 1024) {
        return Err(FailureCode::InvalidId);
    }
    if text.len() > 15 << 10 {
        return Err(FailureCode::EndpointTooLarge);
    }
    let user = value["User"]["UserId"].as_str();
    match (member("Id"), member("Address")) {
        (Some(id), Some(_)) => {
            ids.insert(id.into());
            users.extend(user.map(str::to_owned));
            Ok(())
        }
        (Some(id), None) if ids.contains(id) => Ok(()),
        (Some(_), None) => Err(FailureCode::UnknownEndpoint),
        (None, None) if object.len() > 1 => Err(FailureCode::MissingMember),
        (None, _) if user.is_some_and(|user| users.contains(user)) => Ok(()),
        (None, _) => Err(FailureCode::UnknownUser),
    }
}

#[test]
fn every_fault_of_a_format_appears() {
    for format in [Format::Json, Format::Csv] {
        let args = Args { bad: Share(1.0), ..args(1000, format) };
        let tally = tally(&args);
        assert_eq!((tally.read, tally.failed), (1000, 1000));
        let expected: HashSet<&str> =
            Fault::of_format(format).iter().map(|fault| fault.code(format).as_str()).collect();
        assert_eq!(tally.codes.into_keys().collect::<HashSet<_>>(), expected);
        assert!(made(&args).len() < 3 << 20);
    }
}

#[test]
fn broken_csv_rows_stay_rows() {
    let broken = records(&made(&Args { bad: Share(1.0), ..args(2000, Format::Csv) }));
    let tally = tally(&Args { bad: Share(1.0), ..args(2000, Format::Csv) });
    assert_eq!(broken.len(), 2000);
    let wrong_width = broken.iter().filter(|record| record.len() != csv::HEADER.len()).count();
    assert_eq!(wrong_width as u64, tally.codes["cell_count"]);
    let latin1 =
        broken.iter().filter(|record| record.iter().any(|cell| str::from_utf8(cell).is_err())).count();
    assert_eq!(latin1 as u64, tally.codes["invalid_utf8"]);
    let no_number =
        broken.iter().filter(|record| record.get(Column::Latitude as usize) == Some(b"north")).count();
    assert_eq!(no_number as u64, tally.codes["invalid_number"]);
}

#[test]
fn a_share_is_a_percentage() {
    assert_eq!("1%".parse(), Ok(Share(0.01)));
    assert_eq!("0.5%".parse(), Ok(Share(0.005)));
    for text in ["1", "", "%", "-1%", "101%", "NaN%", "one%"] {
        assert!(text.parse::<Share>().is_err(), "{text}");
    }
}
