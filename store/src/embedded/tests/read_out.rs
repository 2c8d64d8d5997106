//! Reading out: pages, long reads, and ranges on several threads are the same.

use pinport_model::{Criteria, Segment};
use serde_json::json;

use super::{layers::import_as, *};
use crate::{
    Room,
    ranges::{AsStored, in_order_on},
};

const ENDPOINTS: usize = 3000;

/// Endpoints with users, in two pieces, and some of other kinds; all of the first kind are in the segment of `JOB`.
fn store(folder: &Path) -> Embedded {
    let store = begin(folder, 40, true);
    let mut job = store.job(JOB).unwrap().unwrap();
    let origin = Origin { object: 0, byte: 0, line: 1 };
    for piece in 0..2 {
        let mut batch = DraftBatch::new(origin, job.created);
        for record in (0..ENDPOINTS).step_by(piece + 1) {
            // Users lie in another order than endpoints, some have several, and some endpoints have none.
            let user = format!("user-{:04}", record * 7919 % 2000);
            let plan = format!("{piece}-{}", record % 3);
            let mut draft = Draft::default();
            draft.channel = Some(Channel::Email);
            draft.set_text(TextMember::Address, Some("somewhere"));
            if record % 5 > 0 {
                draft.set_text(TextMember::UserId, Some(&user));
                draft.values.push(Scalar::Text(&plan));
                draft.user_attributes.push(Attribute { name: "plan", start: 0, end: 1 });
            }
            batch.push(&mut draft, DraftKind::Blind, &format!("{record:05}"), b"", origin);
        }
        let piece = piece as u64;
        let mut prepared = store.writer(&job).unwrap().prepare(piece, vec![batch]).unwrap();
        prepared.resolve().unwrap();
        prepared.commit(&PieceRecord { piece, ..PieceRecord::default() }).unwrap();
    }
    job.status = JobStatus::Completed;
    job.tally.registered = 1;
    store.finish_job(&job, false).unwrap();
    // The segment has another layer, and one of copies: of what is registered, and of what is not.
    import_as(&store, 1, (0..ENDPOINTS as u64).step_by(7), true);
    import_as(&store, 2, 2900..3400, false);
    for number in 0..400_u64 {
        for id in [number.to_string(), format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))] {
            let mut draft = Draft::default();
            draft.channel = Some(Channel::Sms);
            draft.set_text(TextMember::Address, Some("+1"));
            store.put_endpoint(APPLICATION, &id, &mut draft, job.created).unwrap();
        }
    }
    store
}

type Row = (Vec<u8>, Vec<u8>, Vec<u8>);

fn row(stored: Stored<'_>) -> Row {
    (stored.id.to_vec(), stored.record.to_vec(), stored.user_record.to_vec())
}

fn read(store: &Embedded, scope: Scope<'_>, after: Option<&str>, batch: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut each = |stored: Stored<'_>| {
        rows.push(row(stored));
        Ok(ControlFlow::Continue(()))
    };
    store.read_out(scope, after, batch, &mut each).unwrap();
    rows
}

fn made(store: &Embedded, criteria: serde_json::Value) -> Segment {
    let criteria: Criteria = serde_json::from_value(criteria).unwrap();
    let segment = Segment::of_criteria(APPLICATION, None, Default::default(), criteria);
    store.create_segment(&segment).unwrap();
    segment
}

/// A long read has a thread of its own and keeps some of the users; a page has neither.
#[test]
fn a_long_read_is_what_pages_are() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let all = Scope::Application(APPLICATION);
    let pages = read(&store, all, None, 64 << 10);
    assert_eq!(pages.len(), ENDPOINTS + 800);
    assert_eq!(pages.iter().filter(|(_, _, user)| !user.is_empty()).count(), ENDPOINTS * 4 / 5);
    assert!(read(&store, all, None, 48 << 20) == pages);
    // Batches of a few rows, with what they are read by.
    let from = pages.partition_point(|(id, ..)| id.as_slice() <= &b"00999"[..]);
    assert!(read(&store, all, Some("00999"), 5 << 20) == pages[from..]);
    // It ends where whoever reads wants it to.
    let mut seen = 0;
    let mut each = |_: Stored<'_>| {
        seen += 1;
        Ok(if seen == 700 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    store.read_out(all, None, 48 << 20, &mut each).unwrap();
    assert_eq!(seen, 700);
}

#[test]
fn ranges_are_what_pages_are() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let imported = store.segment(APPLICATION, SegmentId::from(JOB)).unwrap().unwrap();
    let sources = json!([{"Id": imported.id}]);
    let of_groups = |groups: &serde_json::Value| {
        made(&store, json!({"SegmentGroups": {"Groups": groups, "Include": "ANY"}}))
    };
    let segments = [
        // By the endpoint alone, and by its user too.
        made(&store, json!({"Dimensions": {"Demographic": {"Channel": {"Values": ["SMS"]}}}})),
        made(&store, json!({"Dimensions": {"UserAttributes": {"plan": {"Values": ["1-0", "0-2"]}}}})),
        // Of the members of a segment, of all others, and of both.
        of_groups(&json!([{"SourceSegments": sources, "SourceType": "ALL", "Type": "ALL", "Dimensions": [
            {"UserAttributes": {"plan": {"AttributeType": "EXCLUSIVE", "Values": ["1-0"]}}}
        ]}])),
        of_groups(&json!([{"SourceSegments": sources, "SourceType": "NONE", "Dimensions": []}])),
        of_groups(
            &json!([{"SourceSegments": sources, "Dimensions": []}, {"SourceSegments": [], "Dimensions": [
                {"Demographic": {"Channel": {"Values": ["SMS"]}}}
            ]}]),
        ),
        imported,
    ];
    let versions = segments.iter().map(|segment| Scope::Version(segment, segment.current().unwrap()));
    let scopes = [Scope::Application(APPLICATION)].into_iter().chain(versions);
    let counts = scopes.map(|scope| {
        let pages = read(&store, scope, None, 64 << 10);
        for (threads, batch) in [(1, 48 << 20), (2, 48 << 20), (3, 48 << 20), (4, 64 << 10), (3, 1)] {
            for after in [None, Some("02000"), Some("0")] {
                let mut found = Vec::new();
                let room = Room { batch, loads: 2 };
                let from = (scope, after);
                in_order_on(threads, &store, from, room, &mut AsStored::default, &mut |rows| {
                    found.push(rows.iter().map(row).collect::<Vec<_>>());
                    Ok::<_, StoreError>(ControlFlow::Continue(()))
                })
                .unwrap();
                let expected = pages
                    .iter()
                    .filter(|(id, ..)| after.is_none_or(|after| id.as_slice() > after.as_bytes()));
                assert!(
                    found.concat().iter().eq(expected),
                    "{threads} threads, after {after:?}, {batch} bytes"
                );
                // Each range ends a load. One thread has no ranges of an application's endpoints.
                let is_one = threads == 1 || found.concat().len() < 1000;
                assert!(found.len() > 3 || is_one, "{} ranges on {threads} threads", found.len());
            }
        }
        pages.len()
    });
    let counts: Vec<_> = counts.collect();
    assert_eq!(counts[0], ENDPOINTS + 800);
    assert_eq!(counts[1], 800);
    assert_eq!(*counts.last().unwrap(), 3400);
    assert!(counts.iter().all(|count| *count > 200), "{counts:?}");
}

/// What cannot be read is told after all that comes before it.
#[test]
fn damage_is_told_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let damaged = keys::endpoint(APPLICATION, b"02500");
    store.engine().unwrap().db.put(damaged, [0xff; 3]).unwrap();
    let imported = store.segment(APPLICATION, SegmentId::from(JOB)).unwrap().unwrap();
    for scope in [Scope::Application(APPLICATION), Scope::Version(&imported, imported.current().unwrap())] {
        let mut last = String::new();
        let room = Room { batch: 48 << 20, loads: 2 };
        let outcome = in_order_on(3, &store, (scope, None), room, &mut AsStored::default, &mut |rows| {
            last = rows.iter().last().unwrap().id()?.to_owned();
            Ok(ControlFlow::Continue(()))
        });
        assert!(matches!(outcome, Err(StoreError::Corrupt(_))), "{outcome:?}");
        assert_eq!(last, "02499");
    }
}
