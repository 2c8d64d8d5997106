//! Columns, put together again by their levels.

use serde_json::{Map, Value, json};

use super::*;
use crate::record::write::columns::{Column, SHAPES, Shape};

/// A value with its repetition and definition levels.
type Levelled = (i16, i16, Value);

/// The values of each row, and the places of those that are missing.
fn by_row(column: Column, shape: &Shape) -> Vec<Vec<Levelled>> {
    let Column { texts, ends, numbers, definition, repetition } = column;
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let texts = starts.zip(&ends).map(|(start, end)| str::from_utf8(&texts[start as usize..*end as usize]));
    let texts: Vec<Value> = texts.map(|text| text.unwrap().into()).collect();
    let numbers: Vec<Value> = numbers.into_iter().map(Value::from).collect();
    let mut values = if shape.is_number { numbers } else { texts }.into_iter();
    assert_eq!(
        (definition.is_empty(), repetition.is_empty()),
        (shape.definition == 0, shape.repetition == 0)
    );
    let count = if shape.definition == 0 { values.len() } else { definition.len() };
    let mut rows: Vec<Vec<Levelled>> = Vec::new();
    for at in 0..count {
        let level = definition.get(at).copied().unwrap_or(shape.definition);
        let again = repetition.get(at).copied().unwrap_or_default();
        assert!((0..=shape.definition).contains(&level) && (0..=shape.repetition).contains(&again));
        let value = if level == shape.definition { values.next().unwrap() } else { Value::Null };
        if again == 0 {
            rows.push(Vec::new());
        }
        rows.last_mut().unwrap().push((again, level, value));
    }
    assert_eq!(values.next(), None, "{}", shape.path);
    rows
}

/// Sets a member of an object, or of an object in it.
fn set(row: &mut Value, path: &str, value: Value) {
    match path.split_once('.') {
        Some((object, member)) => {
            row.as_object_mut().unwrap().entry(object).or_insert(json!({}))[member] = value
        }
        None => row[path] = value,
    }
}

/// What the values of a map are, name by name: its own levels, and those of what it has.
fn map(names: &[Levelled], values: &[Levelled], shape: &Shape) -> Option<Value> {
    let (_, level, _) = names[0];
    if level + 1 < shape.definition {
        assert_eq!(values, [(0, level, Value::Null)]);
        return None;
    }
    let mut map = Map::new();
    if level < shape.definition {
        assert_eq!((names.len(), values), (1, &[(0, level, Value::Null)][..]));
        return Some(map.into());
    }
    let mut values = values.iter().peekable();
    for (at, (again, level, name)) in names.iter().enumerate() {
        assert_eq!((*again, *level), (i16::from(at > 0), shape.definition));
        let (of_name, _, first) = values.next().unwrap();
        assert_eq!(of_name, again);
        let mut list = vec![first.clone()];
        while let Some((2, _, value)) = values.peek() {
            list.push(value.clone());
            values.next();
        }
        let value = if shape.path.starts_with("Metrics") { list.remove(0) } else { list.into() };
        assert_eq!(map.insert(name.as_str().unwrap().to_owned(), value), None);
    }
    assert_eq!(values.next(), None);
    Some(map.into())
}

/// Endpoints put together again.
fn assembled(columns: Columns) -> Vec<Value> {
    let mut rows = vec![json!({}); columns.rows()];
    let columns: Vec<_> = columns.into_columns().into_iter().zip(&SHAPES).collect();
    let mut columns = columns.into_iter().map(|(column, shape)| (by_row(column, shape), shape));
    while let Some((values, shape)) = columns.next() {
        assert_eq!(values.len(), rows.len(), "{}", shape.path);
        if let Some(path) = shape.path.strip_suffix(".key_value.key") {
            let (of_names, _) = columns.next().unwrap();
            for ((row, names), values) in rows.iter_mut().zip(&values).zip(&of_names) {
                if let Some(map) = map(names, values, shape) {
                    set(row, path, map);
                }
            }
            continue;
        }
        for (row, values) in rows.iter_mut().zip(values) {
            let [(_, level, value)] = &values[..] else { panic!("{} has {values:?}", shape.path) };
            if *level == shape.definition {
                set(row, shape.path, value.clone());
            }
        }
    }
    rows
}

proptest! {
    /// Whoever puts columns together by their levels has what JSON says.
    #[test]
    fn columns_have_the_values_of_json(
        rows in vec((nasty(), record(), attributes(Tag::UserAttribute)), 1..6),
    ) {
        let (mut columns, mut expected, mut bytes) = (Columns::new(APP), Vec::new(), 0);
        for (id, record, user) in &rows {
            let stored = Stored { id: id.as_bytes(), record, user_record: user };
            bytes += columns.add(&stored).unwrap();
            let mut written = Vec::new();
            JsonWriter::new(APP, Order::Export).write(&stored, &mut written).unwrap();
            expected.push(serde_json::from_slice::<Value>(&written).unwrap());
        }
        prop_assert_eq!((columns.rows(), columns.bytes()), (rows.len(), bytes));
        let taken = columns.take();
        prop_assert_eq!((columns.rows(), columns.bytes()), (0, 0));
        prop_assert_eq!(assembled(taken), expected);
    }
}

/// The levels of the columns whose path begins so, each with its text.
fn levels(columns: Columns, path: &str) -> Vec<(Vec<i16>, Vec<i16>, String)> {
    let columns = columns.into_columns().into_iter().zip(&SHAPES);
    let found = columns.filter(|(_, shape)| shape.path.starts_with(path));
    let found = found
        .map(|(column, _)| (column.repetition, column.definition, String::from_utf8(column.texts).unwrap()));
    found.collect()
}

#[test]
fn levels_tell_what_is_missing_from_what_is_empty() {
    let add = |columns: &mut Columns, record: &[u8]| {
        columns.add(&Stored { id: b"i", record, user_record: &[] }).unwrap();
    };
    let columns = || {
        let mut columns = Columns::new(APP);
        // Nothing at all.
        add(&mut columns, &[]);
        // A user without attributes; an attribute that is removed is none.
        let mut record = Vec::new();
        put(&mut record, Tag::City, "Köln".as_bytes());
        put(&mut record, Tag::UserId, "ü".as_bytes());
        put_name(&mut record, Tag::Attribute, "gone");
        put_bytes(&mut record, b"");
        put_name(&mut record, Tag::Metric, "gone");
        put_bytes(&mut record, b"");
        add(&mut columns, &record);
        // Attributes with an empty value and with two; no user, but attributes of one.
        let mut record = Vec::new();
        put_name(&mut record, Tag::Attribute, "");
        put_bytes(&mut record, b"\x00");
        put_name(&mut record, Tag::Attribute, "é");
        put_bytes(&mut record, b"\x01x\x01y");
        put_name(&mut record, Tag::Metric, "m");
        put_bytes(&mut record, &2.5_f64.to_be_bytes());
        put_name(&mut record, Tag::UserAttribute, "u");
        put_bytes(&mut record, b"\x01z");
        add(&mut columns, &record);
        columns
    };
    let none = || String::new();
    assert_eq!(levels(columns(), "Location.City"), [(vec![], vec![0, 2, 0], "Köln".into())]);
    assert_eq!(levels(columns(), "Location.Region"), [(vec![], vec![0, 1, 0], none())]);
    assert_eq!(
        levels(columns(), "Attributes"),
        [
            (vec![0, 0, 0, 1], vec![0, 0, 1, 1], "é".into()),
            (vec![0, 0, 0, 1, 2], vec![0, 0, 2, 2, 2], "xy".into()),
        ]
    );
    assert_eq!(
        levels(columns(), "Metrics"),
        [(vec![0, 0, 0], vec![0, 0, 2], "m".into()), (vec![0, 0, 0], vec![0, 0, 2], none())]
    );
    assert_eq!(
        levels(columns(), "User"),
        [
            (vec![0, 0, 0], vec![0, 1, 2], "u".into()),
            (vec![0, 0, 0], vec![0, 1, 3], "z".into()),
            (vec![], vec![0, 2, 1], "ü".into()),
        ]
    );
}
