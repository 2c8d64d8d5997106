//! Stored records: what a draft is encoded to and read back as, merging against a map, and damage.

use std::collections::BTreeMap;

use pinport_model::{
    Attribute, Channel, Draft, EndpointStatus, OptOut, Origin, Scalar, TextMember, Timestamp,
};
use pinport_store::{
    DraftBatch, DraftKind,
    fuzzing::{encoded, fold, members, merge, read},
};

use super::{input::Input, seen::shown};

/// Checks drafts, records, or damaged ones, as the first byte says.
pub fn check(data: &[u8]) {
    let mut data = Input(data);
    match data.number(2) {
        0 => drafts(data),
        1 => merging(data),
        _ => damage(data),
    }
}

/// What a record says, as a map.
type Map = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

const TAGS: [u8; 25] = [
    1, 2, 3, 4, 5, 6, 7, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25,
    0x30, 0x40, 0x41, 0x50,
];

fn bytes_of(map: &Map) -> Vec<u8> {
    fn put(out: &mut Vec<u8>, bytes: &[u8]) {
        let mut len = bytes.len();
        while len >= 0x80 {
            out.push(len as u8 | 0x80);
            len >>= 7;
        }
        out.push(len as u8);
        out.extend_from_slice(bytes);
    }
    let mut out = Vec::new();
    for ((tag, name), value) in map {
        out.push(*tag);
        if *tag >= 0x40 {
            put(&mut out, name);
        }
        put(&mut out, value);
    }
    out
}

/// Folds records as maps: the newer member counts, but for the creation date; no value removes an attribute or
/// a metric.
fn naive_fold(records: &[Map], keep_removals: bool) -> Map {
    let mut whole = Map::new();
    for record in records {
        for (key, value) in record {
            if key.0 == 7 {
                whole.entry(key.clone()).or_insert_with(|| value.clone());
            } else {
                whole.insert(key.clone(), value.clone());
            }
        }
    }
    whole.retain(|(tag, _), value| keep_removals || !value.is_empty() || *tag < 0x40);
    whole
}

fn merging(mut data: Input<'_>) {
    let count = data.number(5);
    let mut maps: Vec<Map> = vec![Map::new(); count];
    let mut budget = 64;
    while !data.is_empty() && budget > 0 && count > 0 {
        budget -= 1;
        let (map, tag) = (data.number(count - 1), data.of(&TAGS));
        let name = if tag >= 0x40 { data.part(3).to_vec() } else { Vec::new() };
        let mut value = data.part(15).to_vec();
        if value.len() == 15 {
            // Lengths of two bytes.
            value = value.repeat(12);
        }
        maps[map].insert((tag, name), value);
    }
    let records: Vec<_> = maps.iter().map(bytes_of).collect();
    let slices: Vec<_> = records.iter().map(Vec::as_slice).collect();
    for keep in [false, true] {
        assert_eq!(fold(&slices, keep), Some(bytes_of(&naive_fold(&maps, keep))));
        // Neighbours may be folded before, in any grouping.
        for cut in 0..=slices.len() {
            let [left, right] =
                [&slices[..cut], &slices[cut..]].map(|part| fold(part, true).expect("good records"));
            assert_eq!(fold(&[&left, &right], keep), fold(&slices, keep), "cut at {cut}");
        }
    }
    if let [a, b, c, ..] = slices[..] {
        let merged = |a: &[u8], b: &[u8]| merge(a, b).expect("good records");
        assert_eq!(merged(&merged(a, b), c), merged(a, &merged(b, c)), "merging is associative");
    }
}

/// Bytes that may be no record: they end in members or in damage, and what is whole stays whole.
fn damage(mut data: Input<'_>) {
    let one = data.part(512);
    let other = data.0;
    let _ = read(one, other);
    let whole = [members(one), members(other)].map(|members| members.is_some());
    let merged = merge(one, other);
    assert_eq!(merged.is_some(), whole == [true, true]);
    if let Some(merged) = merged {
        assert!(members(&merged).is_some());
        let _ = read(&merged, one);
    }
    for keep in [false, true] {
        let _ = fold(&[one, other, one], keep);
    }
}

fn drafts(mut data: Input<'_>) {
    let origin = Origin { object: 1, byte: 10, line: 2 };
    let mut batch = DraftBatch::new(origin, Timestamp::from_millis(5));
    let mut expected = Vec::new();
    for number in 0..4 {
        if data.is_empty() {
            break;
        }
        let texts: Vec<String> = (0..data.number(12)).map(|_| data.text(12)).collect();
        let mut next = texts.iter().cycle();
        let mut draft = Draft::default();
        let mut members = BTreeMap::new();
        fill(&mut draft, &mut members, &mut data, &mut next);
        let kind = data.of(&[DraftKind::Blind, DraftKind::Update, DraftKind::UserOnly]);
        if kind != DraftKind::UserOnly {
            members.insert("Id".to_owned(), vec!["id".to_owned()]);
        }
        let place = Origin { byte: origin.byte + number, ..origin };
        let size = batch.push(&mut draft, kind, "id", b"raw", place);
        if data.byte() < 32 {
            batch.pop();
            continue;
        }
        expected.push((kind, place, size, members));
    }
    let found = encoded(&batch);
    assert_eq!(found.len(), expected.len());
    for (found, (kind, place, size, members)) in found.iter().zip(expected) {
        assert_eq!((found.kind, found.origin), (kind, place));
        assert_eq!(found.record.len() + found.user_record.len(), size);
        assert_eq!(found.raw.is_empty(), kind == DraftKind::Blind);
        assert_eq!(found.user, members.get("User.UserId").map_or(&b""[..], |user| user[0].as_bytes()));
        let complete = ["Address", "ChannelType"].iter().all(|name| members.contains_key(*name));
        assert_eq!(read(&found.record, &found.user_record), complete);
        assert_eq!(shown(found), members);
    }
}

fn fill<'a>(
    draft: &mut Draft<'a>,
    members: &mut BTreeMap<String, Vec<String>>,
    data: &mut Input<'_>,
    texts: &mut impl Iterator<Item = &'a String>,
) {
    for member in TextMember::ALL {
        if data.byte() & 3 == 1
            && let Some(text) = texts.next()
        {
            // An empty user id is not one.
            if member == TextMember::UserId && text.is_empty() {
                continue;
            }
            draft.set_text(member, Some(text));
            members.insert(member.name().to_owned(), vec![text.clone()]);
        }
    }
    let words = data.byte();
    if words & 1 == 1 {
        let channel = data.of(Channel::ALL);
        draft.channel = Some(channel);
        members.insert("ChannelType".into(), vec![channel.to_string()]);
    }
    if words & 2 == 2 {
        draft.opt_out = Some(OptOut::All);
        members.insert("OptOut".into(), vec!["ALL".into()]);
    }
    if words & 4 == 4 {
        draft.status = Some(EndpointStatus::Inactive);
        members.insert("EndpointStatus".into(), vec!["INACTIVE".into()]);
    }
    if words & 8 == 8 {
        draft.latitude = Some(-1.5);
        members.insert("Location.Latitude".into(), vec!["-1.5".into()]);
    }
    for _ in 0..data.number(6) {
        let Some(name) = texts.next() else { break };
        let number = f64::from(data.byte()) / 4.0;
        let start = draft.values.len() as u32;
        let values: Vec<_> = texts.take(data.number(3)).collect();
        draft.values.extend(values.iter().map(|text| Scalar::Text(text)));
        let attribute = Attribute { name, start, end: draft.values.len() as u32 };
        let values = values.into_iter().cloned().collect();
        match data.number(2) {
            0 => {
                draft.metrics.push((name, number));
                members.insert(format!("Metrics.{name}"), vec![number.to_string()]);
            }
            1 => {
                draft.attributes.push(attribute);
                members.insert(format!("Attributes.{name}"), values);
            }
            _ => {
                draft.user_attributes.push(attribute);
                members.insert(format!("User.UserAttributes.{name}"), values);
            }
        }
    }
}
