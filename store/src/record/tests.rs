//! Golden bytes, and the properties that merging stands on.

use std::collections::BTreeMap;

use pinport_model::{
    ApplicationId, Attribute, Channel, Draft, EndpointStatus, JobId, OptOut, Origin, Scalar, TextMember,
    Timestamp,
};
use proptest::{collection::vec, prelude::*};

use super::{
    Tag,
    bounds::fold,
    encode_endpoint, encode_user,
    merge::merge,
    put, put_bytes, put_name,
    read::{Members, decode, is_endpoint, job_of, user_of},
};

const APP: ApplicationId = ApplicationId::from_bytes([7; 16]);

fn sample() -> Draft<'static> {
    let mut draft = Draft::default();
    draft.set_text(TextMember::Address, Some("a@b.c"));
    draft.set_text(TextMember::EffectiveDate, Some("2026-01-01"));
    draft.set_text(TextMember::City, Some("Ulm"));
    draft.set_text(TextMember::UserId, Some("u1"));
    draft.channel = Some(Channel::Email);
    draft.opt_out = Some(OptOut::All);
    draft.latitude = Some(48.5);
    draft.values = vec![
        Scalar::Text("x"),
        Scalar::Int(-1),
        Scalar::Uint(u64::MAX),
        Scalar::Float(1.5),
        Scalar::Bool(true),
    ];
    draft.attributes = vec![
        Attribute { name: "b", start: 1, end: 5 },
        Attribute { name: "a", start: 0, end: 1 },
        Attribute { name: "gone", start: 0, end: 0 },
    ];
    draft.metrics = vec![("m", 1.0), ("m", 2.0)];
    draft.user_attributes = vec![Attribute { name: "plan", start: 0, end: 1 }];
    draft
}

fn encoded(draft: &mut Draft<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let now = Timestamp::from_millis(1_790_000_000_000);
    let user = encode_endpoint(draft, Some(now), now, &mut out);
    assert_eq!(user.map(|range| out[range].to_vec()), draft.text(TextMember::UserId).map(|id| id.into()));
    encode_user(draft, &mut out);
    out
}

#[test]
fn the_layout_is_what_it_was() {
    let golden = b"\x01\x05a@b.c\x02\x01\x09\x03\x01\x00\x06\x0b\x002026-01-01\
        \x07\x09\x01\x00\x00\x01\xa0\xc4\x50\x6c\x00\x20\x03Ulm\x24\x08\x40\x48\x40\0\0\0\0\0\x30\x02u1\
        \x40\x01a\x02\x01x\x40\x01b\x21\x02-1\x1418446744073709551615\x031.5\x04true\x40\x04gone\x00\
        \x41\x01m\x08\x40\0\0\0\0\0\0\0\x50\x04plan\x02\x01x";
    assert_eq!(encoded(&mut sample()).escape_ascii().to_string(), golden.escape_ascii().to_string());
    assert_eq!(super::LAYOUT, 7, "a new layout needs new golden bytes, and these must still be read");
}

#[test]
fn the_mark_of_a_job_ends_the_endpoint_and_begins_the_user() {
    let origin = Origin { object: 0, byte: 0, line: 1 };
    let bytes = |mark: Option<JobId>| {
        let mut batch = crate::DraftBatch::new(origin, Timestamp::from_millis(1_790_000_000_000));
        if let Some(job) = mark {
            batch.mark(job);
        }
        let size = batch.push(&mut sample(), crate::DraftKind::Blind, "e1", b"", origin);
        let entry = &batch.entries()[0];
        let whole = crate::piece_rows::whole(&batch, entry).to_vec();
        (size, batch.bytes(entry.record).to_vec(), batch.bytes(entry.user_record).to_vec(), whole)
    };
    let id = JobId::from_bytes(*b"0123456789ab\x01\x02\x03\x04");
    let mark = b"\x4f\0\x04\x01\x02\x03\x04";
    let (size, record, user_record, whole) = bytes(None);
    let marked = bytes(Some(id));
    assert_eq!(marked.0, size, "the mark takes no room");
    assert_eq!(marked.1, [&record[..], mark].concat());
    assert_eq!(marked.2, [&mark[..], &user_record].concat());
    assert_eq!(marked.3, [&record[..], mark, &user_record].concat());
    assert_eq!(whole, [&record[..], &user_record].concat());
    assert_eq!(job_of(&marked.1), Ok(Some([1, 2, 3, 4])));
    assert_eq!(decode(APP, b"e1", &marked.1, &marked.2), decode(APP, b"e1", &record, &user_record));
}

#[test]
fn an_endpoint_has_its_defaults_and_dates() {
    let record = encoded(&mut sample());
    let mut plans = Vec::new();
    put_name(&mut plans, Tag::UserAttribute, "plan");
    put_bytes(&mut plans, b"\x04gold");
    let endpoint = decode(APP, b"e1", &record, &plans).unwrap().unwrap();
    assert_eq!(endpoint.address.as_deref(), Some("a@b.c"));
    assert_eq!(endpoint.channel_type, Some(Channel::Email));
    assert_eq!(endpoint.opt_out, OptOut::All);
    assert_eq!(endpoint.endpoint_status, EndpointStatus::Active);
    assert_eq!(endpoint.effective_date, "2026-01-01");
    assert_eq!(endpoint.creation_date, "2026-09-21T14:13:20.000Z");
    assert_eq!(endpoint.cohort_id, pinport_model::endpoint::cohort("e1"));
    assert_eq!(endpoint.attributes["b"], ["-1", "18446744073709551615", "1.5", "true"]);
    assert_eq!(endpoint.attributes.len(), 2, "a removed attribute is not shown");
    assert_eq!(endpoint.metrics["m"], 2.0);
    assert_eq!(endpoint.user.user_id.as_deref(), Some("u1"));
    assert_eq!(endpoint.user.user_attributes["plan"], ["gold"], "the user's own table counts");
    assert_eq!(endpoint.location.latitude, Some(48.5));
}

#[test]
fn a_record_without_address_or_channel_is_no_endpoint() {
    let mut record = Vec::new();
    put(&mut record, Tag::Address, b"x");
    assert_eq!(decode(APP, b"e", &record, &[]), Ok(None));
    put(&mut record, Tag::Channel, &[0]);
    assert!(decode(APP, b"e", &record, &[]).unwrap().is_some());
    // Unless it was made without them; it has opted out until it says otherwise.
    let made = decode(APP, b"e", super::INCOMPLETE, &[]).unwrap().unwrap();
    assert_eq!((made.address, made.channel_type, made.opt_out), (None, None, OptOut::All));
}

#[test]
fn an_unknown_word_is_damage() {
    let mut record = Vec::new();
    put(&mut record, Tag::Address, b"x");
    put(&mut record, Tag::Channel, &[Channel::ALL.len() as u8]);
    assert!(decode(APP, b"e", &record, &[]).is_err());
}

#[test]
fn values_of_every_length_read_back() {
    for len in [1, 126, 127, 128, 129, 255, 256, 16_383, 16_384] {
        let value = "v".repeat(len);
        // With the length before it, the attribute's value is up to three bytes longer.
        for value in [&value[..], &value[1..], &value[len.min(2)..], &value[len.min(3)..]] {
            let mut draft = sample();
            draft.set_text(TextMember::Address, Some(value));
            draft.values[0] = Scalar::Text(value);
            let endpoint = decode(APP, b"e", &encoded(&mut draft), b"").unwrap().unwrap();
            assert_eq!(endpoint.address.as_deref(), Some(value));
            assert_eq!(endpoint.attributes["a"], [value]);
            assert_eq!(endpoint.attributes["b"].len(), 4, "what follows is where it was");
        }
    }
}

#[test]
fn a_draft_takes_no_more_than_its_bound_which_is_not_far_off() {
    let check = |mut draft: Draft<'_>, raw: usize| {
        let names = draft.attributes.iter().chain(&draft.user_attributes).map(|attribute| attribute.name);
        let names = names.chain(draft.metrics.iter().map(|metric| metric.0));
        let longest = names.map(|name| name.chars().count()).max().unwrap_or_default();
        let bound = crate::DraftBatch::stored_at_most(&draft, raw, longest);
        let stored = encoded(&mut draft).len();
        // A character may take four bytes.
        assert!((stored..5 * stored + 1000).contains(&bound), "{stored} bytes, {bound} at most");
    };
    check(sample(), 40);
    // The names of attributes and metrics are no part of a CSV record.
    let names: Vec<_> = (1000..3000).map(|name| format!("attribute number {name}")).collect();
    let attribute = |name| Attribute { name, start: 0, end: 0 };
    let mut draft = Draft::default();
    draft.attributes.extend(names.iter().map(|name| attribute(name.as_str())));
    check(draft.clone(), 0);
    draft.metrics.extend(names.iter().map(|name| (name.as_str(), 0.0)));
    check(draft, 0);
    let text = "a".repeat(10_000);
    let mut draft = Draft::default();
    draft.set_text(TextMember::City, Some(&text));
    check(draft, text.len());
    // Numbers may be longer as text than as they were written.
    let mut draft = Draft::default();
    draft.values.resize(1000, Scalar::Float(-1.234_567_890_123_456_7e-300));
    draft.attributes.push(Attribute { end: 1000, ..attribute("a") });
    check(draft, 0);
}

/// What a record says, as a map; the naive form of everything that merging does.
type Map = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

fn bytes_of(map: &Map) -> Vec<u8> {
    let mut out = Vec::new();
    for ((tag, name), value) in map {
        out.push(*tag);
        if *tag >= super::FIRST_NAMED {
            put_bytes(&mut out, name);
        }
        put_bytes(&mut out, value);
    }
    out
}

fn records() -> impl Strategy<Value = Vec<Map>> {
    let plain = (prop::sample::select(vec![1_u8, 2, 4, 5, 6, 7, 0x30]), vec(any::<u8>(), 0..4))
        .prop_map(|(tag, value)| ((tag, Vec::new()), value));
    let long = prop_oneof![vec(any::<u8>(), 0..3), vec(any::<u8>(), 120..140)];
    let named = (prop::sample::select(vec![0x40_u8, 0x41, 0x50]), vec(0_u8..3, 0..3), long)
        .prop_map(|(tag, name, value)| ((tag, name), value));
    vec(vec(prop_oneof![plain, named], 0..8).prop_map(|members| members.into_iter().collect()), 0..6)
}

fn naive_fold(records: &[Map]) -> Map {
    let mut whole = Map::new();
    for record in records {
        let has = |tag: Tag| record.contains_key(&(tag as u8, Vec::new()));
        if has(Tag::EffectiveDate) && !has(Tag::Status) {
            whole.remove(&(Tag::Status as u8, Vec::new()));
        }
        for (key, value) in record {
            if key.0 == Tag::CreationDate as u8 {
                whole.entry(key.clone()).or_insert_with(|| value.clone());
            } else {
                whole.insert(key.clone(), value.clone());
            }
        }
    }
    whole.retain(|(tag, _), value| !value.is_empty() || *tag < 0x40);
    whole
}

fn merged(older: &[u8], newer: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    merge(older, newer, &mut out).unwrap();
    out
}

proptest! {
    #[test]
    fn folding_is_what_a_map_does(records in records()) {
        let bytes: Vec<_> = records.iter().map(bytes_of).collect();
        let folded = fold(bytes.iter().map(Vec::as_slice), false).unwrap();
        prop_assert_eq!(folded, bytes_of(&naive_fold(&records)));
    }

    #[test]
    fn merging_is_associative_and_keeps_removals(records in records()) {
        let bytes: Vec<_> = records.iter().map(bytes_of).collect();
        if let [a, b, c, ..] = &bytes[..] {
            prop_assert_eq!(merged(&merged(a, b), c), merged(a, &merged(b, c)));
        }
        // Any grouping of neighbours folds to the same.
        for cut in 0..=bytes.len() {
            let (left, right) = bytes.split_at(cut);
            let groups = [left, right].map(|part| fold(part.iter().map(Vec::as_slice), true).unwrap());
            let grouped = fold(groups.iter().map(Vec::as_slice), false).unwrap();
            prop_assert_eq!(&grouped, &bytes_of(&naive_fold(&records)));
        }
    }

    #[test]
    fn the_order_of_operands_counts(address in "[a-z]{1,3}", other in "[A-Z]{1,3}") {
        let record = |address: &str, created: &str| {
            let mut out = Vec::new();
            put(&mut out, Tag::Address, address.as_bytes());
            put(&mut out, Tag::CreationDate, created.as_bytes());
            out
        };
        let (a, b) = (record(&address, "1"), record(&other, "2"));
        prop_assert_eq!(merged(&a, &b), record(&other, "1"));
        prop_assert_eq!(merged(&b, &a), record(&address, "2"));
    }

    #[test]
    fn damaged_bytes_never_panic(
        mut bytes in vec(any::<u8>(), 0..200),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut good = encoded(&mut sample());
        for (index, value) in flips {
            let index = index.index(good.len());
            good[index] = value;
        }
        good.truncate(cut.index(good.len() + 1));
        bytes.extend_from_slice(&good);
        for record in [&bytes, &good] {
            let _ = decode(APP, b"e", record, record);
            let _ = decode(APP, record, &encoded(&mut sample()), record);
            let _ = (is_endpoint(record), user_of(record));
            let _ = merge(record, &good, &mut Vec::new());
            let _ = fold([&good[..], record], false);
            let mut members = Members::new(record);
            while let Ok(Some(_)) = members.next() {}
        }
    }
}
