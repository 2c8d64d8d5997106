//! What is written is what `Endpoint` says, byte for byte.

mod columns;

use std::collections::BTreeMap;

use pinport_model::{ApplicationId, Channel, EndpointStatus, OptOut};
use proptest::{collection::vec, option, prelude::*};

use super::{
    columns::Columns,
    csv::CsvColumns,
    json::{JsonWriter, Order},
};
use crate::{
    Stored,
    record::{
        DATE_MILLIS, DATE_TEXT, Tag, mark_member, put, put_bytes, put_name,
        read::{decode, is_endpoint},
    },
};

const APP: ApplicationId = ApplicationId::from_bytes([7; 16]);

fn nasty() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,6}",
        "\\PC{0,8}",
        vec(
            prop_oneof![
                Just('"'),
                Just('\\'),
                Just('\n'),
                Just('\u{1}'),
                Just('é'),
                Just('\u{2028}'),
                Just(',')
            ],
            0..6
        )
        .prop_map(|chars| chars.into_iter().collect::<String>()),
    ]
}

fn attributes(tag: Tag) -> impl Strategy<Value = Vec<u8>> {
    let values = vec(nasty(), 0..4);
    vec((nasty(), values), 0..4).prop_map(move |attributes| {
        let attributes: BTreeMap<_, _> = attributes.into_iter().collect();
        let mut record = Vec::new();
        for (name, values) in attributes {
            let mut value = Vec::new();
            values.iter().for_each(|text| put_bytes(&mut value, text.as_bytes()));
            put_name(&mut record, tag, &name);
            put_bytes(&mut record, &value);
        }
        record
    })
}

/// A record with some of every kind of member.
fn record() -> impl Strategy<Value = Vec<u8>> {
    let text = |tag: Tag| (Just(tag), option::of(nasty().prop_map(String::into_bytes)));
    let word = |tag: Tag, most: u8| (Just(tag), option::of((0..most).prop_map(|word| vec![word])));
    let date = |tag: Tag| {
        let date = prop_oneof![
            nasty().prop_map(|text| [&[DATE_TEXT], text.as_bytes()].concat()),
            any::<i64>().prop_map(|millis| [&[DATE_MILLIS][..], &millis.to_be_bytes()].concat()),
            (0..2_000_000_000_000_i64)
                .prop_map(|millis| [&[DATE_MILLIS][..], &millis.to_be_bytes()].concat()),
        ];
        (Just(tag), option::of(date))
    };
    let number =
        |tag: Tag| (Just(tag), option::of(any::<f64>().prop_map(|number| number.to_be_bytes().to_vec())));
    let first = (
        text(Tag::Address),
        word(Tag::Channel, Channel::ALL.len() as u8),
        word(Tag::OptOut, OptOut::ALL.len() as u8),
        word(Tag::Status, EndpointStatus::ALL.len() as u8),
        text(Tag::RequestId),
        date(Tag::EffectiveDate),
        date(Tag::CreationDate),
        text(Tag::CohortId),
        (Just(Tag::Incomplete), option::of(Just(Vec::new()))),
        text(Tag::Make),
    );
    let second = (text(Tag::City), number(Tag::Latitude), number(Tag::Longitude), text(Tag::UserId));
    let metrics = vec((nasty(), any::<f64>()), 0..3);
    let named = (attributes(Tag::Attribute), metrics, any::<bool>(), attributes(Tag::UserAttribute));
    (first, second, named).prop_map(|(first, second, (attributes, metrics, is_marked, user_attributes))| {
        let (a, b, c, d, e, f, g, h, i, j) = first;
        let mut record = Vec::new();
        for (tag, value) in [a, b, c, d, e, f, g, h, i, j, second.0, second.1, second.2, second.3] {
            if let Some(value) = value {
                put(&mut record, tag, &value);
            }
        }
        record.extend_from_slice(&attributes);
        for (name, value) in metrics.into_iter().collect::<BTreeMap<_, _>>() {
            put_name(&mut record, Tag::Metric, &name);
            put_bytes(&mut record, &value.to_be_bytes());
        }
        if is_marked {
            record.extend_from_slice(&mark_member([1, 2, 3, 4]));
        }
        record.extend_from_slice(&user_attributes);
        record
    })
}

proptest! {
    /// The members stream of the API has been the service model's JSON by serde.
    #[test]
    fn json_is_that_of_the_endpoint(id in nasty(), record in record(), user in attributes(Tag::UserAttribute)) {
        let stored = Stored { id: id.as_bytes(), record: &record, user_record: &user };
        prop_assume!(is_endpoint(&record).unwrap());
        let endpoint = decode(APP, id.as_bytes(), &record, &user).unwrap().unwrap();
        let mut written = Vec::new();
        JsonWriter::new(APP, Order::Model).write(&stored, &mut written).unwrap();
        let expected = serde_json::to_string(&endpoint).unwrap();
        prop_assert_eq!(String::from_utf8(written).unwrap(), expected.clone());

        // In the order of an export it has the same members, but for a cohort that is made up.
        let mut exported = Vec::new();
        JsonWriter::new(APP, Order::Export).write(&stored, &mut exported).unwrap();
        let exported: serde_json::Value = serde_json::from_slice(&exported).unwrap();
        let mut expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
        if exported.get("CohortId").is_none() {
            expected["CohortId"].take();
            expected.as_object_mut().unwrap().remove("CohortId");
        }
        if exported.get("Metrics").is_none() {
            prop_assert_eq!(expected.as_object_mut().unwrap().remove("Metrics"), Some(serde_json::json!({})));
        }
        prop_assert_eq!(exported, expected);
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic(id in vec(any::<u8>(), 0..4), record in vec(any::<u8>(), 0..40), user in vec(any::<u8>(), 0..20)) {
        let stored = Stored { id: &id, record: &record, user_record: &user };
        for order in [Order::Model, Order::Export] {
            let mut out = Vec::new();
            let _ = JsonWriter::new(APP, order).write(&stored, &mut out);
        }
        let _ = Columns::new(APP).add(&stored);
        let mut columns = CsvColumns::default();
        if columns.collect(&stored).is_ok() {
            let _ = columns.writer(APP).write(&stored, &mut Vec::new());
        }
    }
}

#[test]
fn an_export_has_the_order_of_pinpoints() {
    let mut record = Vec::new();
    put(&mut record, Tag::Address, b"a@b.c");
    put(&mut record, Tag::Channel, &[Channel::Email as u8]);
    put(&mut record, Tag::EffectiveDate, b"\x002026-01-01");
    put(&mut record, Tag::Make, b"Acme");
    put(&mut record, Tag::City, b"Ulm");
    put(&mut record, Tag::UserId, b"u");
    let stored = Stored { id: b"i", record: &record, user_record: &[] };
    let mut out = Vec::new();
    JsonWriter::new(APP, Order::Export).write(&stored, &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "{\"ChannelType\":\"EMAIL\",\"Address\":\"a@b.c\",\"EndpointStatus\":\"ACTIVE\",\"OptOut\":\"NONE\",\
         \"Location\":{\"City\":\"Ulm\"},\"Demographic\":{\"Make\":\"Acme\"},\"EffectiveDate\":\"2026-01-01\",\
         \"Attributes\":{},\"User\":{\"UserAttributes\":{},\"UserId\":\"u\"},\
         \"ApplicationId\":\"07070707070707070707070707070707\",\"Id\":\"i\",\"CreationDate\":\"\"}"
    );
}

#[test]
fn a_row_has_the_cells_of_its_header() {
    let mut record = Vec::new();
    put(&mut record, Tag::Address, b"a,\"b\"");
    put(&mut record, Tag::Channel, &[Channel::Email as u8]);
    put_name(&mut record, Tag::Attribute, "k");
    put_bytes(&mut record, b"\x01x\x01y");
    put_name(&mut record, Tag::Metric, "m");
    put_bytes(&mut record, &1.5_f64.to_be_bytes());
    let stored = Stored { id: b"i", record: &record, user_record: &[] };
    let mut columns = CsvColumns::default();
    columns.collect(&stored).unwrap();
    let mut writer = columns.writer(APP);
    let mut out = Vec::new();
    writer.header(&mut out);
    writer.write(&stored, &mut out).unwrap();
    let other = Stored { id: b"j", record: &[Tag::Incomplete as u8, 0], user_record: &[] };
    writer.write(&other, &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "ChannelType,Address,EndpointStatus,OptOut,ApplicationId,Id,Attributes.k,Attributes.k,Metrics.m\n\
         EMAIL,\"a,\"\"b\"\"\",ACTIVE,NONE,07070707070707070707070707070707,i,x,y,1.5\n\
         ,,ACTIVE,NONE,07070707070707070707070707070707,j,,,\n"
    );
}
