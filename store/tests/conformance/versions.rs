//! What every engine must do with segments that many imports add to.

use pinport_model::{ImportJob, JobStatus, SegmentVersion, segment::VERSIONS_KEPT};
use pinport_store::StoreError;

use crate::support::{Bench, Record, copies_job, job, new, segment_job, update};

/// A job that adds to the segment of another, of the same kind.
fn adding(first: &ImportJob) -> ImportJob {
    let mut made = job(first.definition.application);
    made.definition.segment = first.definition.segment;
    made.definition.register_endpoints = first.definition.register_endpoints;
    made
}

fn version(bench: &Bench, job: &ImportJob, number: u32) -> Option<SegmentVersion> {
    bench.store().segment_version(&bench.segment(job), number).unwrap()
}

/// The members of a version, in pages of three.
fn cities(bench: &Bench, job: &ImportJob, version: &SegmentVersion) -> Vec<(String, Option<String>)> {
    let segment = bench.segment(job);
    let mut found: Vec<pinport_model::Endpoint> = Vec::new();
    loop {
        let after = found.last().map(|member| member.id.clone());
        let page = bench.store().members(&segment, version, after.as_deref(), 3).unwrap();
        if page.is_empty() {
            return found.into_iter().map(|member| (member.id, member.location.city)).collect();
        }
        found.extend(page);
    }
}

/// Many small imports of `record(n)`; every kept version has the members that its imports brought, each as the last of
/// them says.
fn many_imports(mut bench: Bench, first: &ImportJob, record: impl Fn(u32) -> Record, as_then: bool) {
    const IMPORTS: u32 = 100;
    let id = |number: u32| format!("{:02}", number * 7 % 40);
    for number in 0..IMPORTS {
        let made = if number == 0 { first.clone() } else { adding(first) };
        bench.import(&made, &[record(number)]);
        if number == IMPORTS / 2 {
            bench.reopen();
        }
    }
    let expected = |imports: u32| {
        let mut members = std::collections::BTreeMap::new();
        for number in 0..imports {
            members.insert(id(number), number);
        }
        members
    };
    let kept: Vec<_> = (IMPORTS - VERSIONS_KEPT + 1..=IMPORTS).rev().collect();
    assert_eq!(bench.versions(first), kept);
    assert_eq!(version(&bench, first, IMPORTS - VERSIONS_KEPT), None);
    for number in kept {
        let version = version(&bench, first, number).unwrap();
        let members = expected(number);
        assert_eq!(version.size, members.len() as u64, "version {number}");
        let found = cities(&bench, first, &version);
        assert_eq!(
            found.iter().map(|(id, _)| id).collect::<Vec<_>>(),
            members.keys().collect::<Vec<_>>(),
            "version {number}"
        );
        // Registered endpoints are shown as they are now.
        let shown = if as_then { members } else { expected(IMPORTS) };
        for (id, city) in found {
            assert_eq!(city, Some(shown[&id].to_string()), "member {id} of version {number}");
        }
    }
}

fn record(number: u32) -> Record {
    new(&format!("{:02}", number * 7 % 40), "a").city(&number.to_string())
}

pub(crate) fn many_imports_into_a_segment_are_read_as_one(bench: Bench) {
    let first = segment_job(bench.application("a"));
    many_imports(bench, &first, record, false);
}

pub(crate) fn many_imports_of_copies_are_read_as_one(bench: Bench) {
    let first = copies_job(bench.application("a"));
    many_imports(bench, &first, record, true);
}

pub(crate) fn a_version_that_is_not_kept_is_not_found(bench: Bench) {
    let first = segment_job(bench.application("a"));
    bench.import(&first, &[new("a", "1")]);
    let (segment, old) = (bench.segment(&first), version(&bench, &first, 1).unwrap());
    for number in 0..VERSIONS_KEPT {
        assert_eq!(bench.store().members(&segment, &old, None, 9).unwrap().len(), 1);
        let next = adding(&first);
        bench.store().create_job(&next).unwrap();
        bench.commit(&next, 0, &[new(&number.to_string(), "1")]);
        // The members that no one else has go with the version.
        bench.finish(&next, JobStatus::Completed, 1, number % 2 == 0);
    }
    let gone = bench.store().members(&segment, &old, None, 9);
    assert!(matches!(gone, Err(StoreError::NotFound { what: "version", .. })), "{gone:?}");
    let oldest = version(&bench, &first, 2).unwrap();
    assert_eq!(cities(&bench, &first, &oldest), [("0".to_owned(), None)]);
    let last = version(&bench, &first, VERSIONS_KEPT + 1).unwrap();
    assert_eq!((last.size, last.last_layer - last.first_layer), (2, 1));
    // Pages of versions.
    let segment = bench.segment(&first);
    let page = |before, limit| {
        let found = bench.store().segment_versions(&segment, before, limit).unwrap();
        found.into_iter().map(|version| version.version).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 2), [VERSIONS_KEPT + 1, VERSIONS_KEPT]);
    assert_eq!(page(Some(4), 9), [3, 2]);
    assert_eq!(page(Some(2), 9), [0; 0]);
}

pub(crate) fn the_size_of_a_segment_counts_what_is_new(bench: Bench) {
    let first = segment_job(bench.application("a"));
    bench.import(&first, &[new("a", "1"), new("c", "1"), new("e", "1")]);
    let size = |bench: &Bench| bench.segment(&first).current().unwrap().size;
    for (records, expected) in [
        (vec![new("b", "1"), new("c", "1")], 4),
        (vec![new("a", "1"), new("b", "2"), update("e")], 4),
        (vec![], 4),
        (vec![new("0", "1"), new("d", "1"), new("f", "1")], 7),
    ] {
        bench.import(&adding(&first), &records);
        assert_eq!(size(&bench), expected);
    }
    let replacing = adding(&first);
    bench.store().create_job(&replacing).unwrap();
    bench.commit(&replacing, 0, &[new("z", "1"), new("a", "1")]);
    bench.finish(&replacing, JobStatus::Completed, 2, true);
    assert_eq!(size(&bench), 2);
    bench.import(&adding(&first), &[new("b", "1"), new("a", "1")]);
    assert_eq!(size(&bench), 3);
}

pub(crate) fn a_deleted_job_leaves_what_it_stored(mut bench: Bench) {
    let application = bench.application("shop");
    let first = segment_job(application);
    let second = adding(&first);
    bench.store().create_job(&first).unwrap();
    bench.commit(&first, 0, &[new("a", "a@x")]);
    assert!(matches!(bench.store().delete_job(first.id), Err(StoreError::Conflict(_))));
    bench.finish(&first, JobStatus::Completed, 1, false);
    bench.import(&second, &[new("b", "b@x")]);
    assert!(bench.store().delete_job(first.id).unwrap());
    assert!(!bench.store().delete_job(first.id).unwrap());
    bench.reopen();
    assert_eq!(bench.store().job(first.id).unwrap(), None);
    assert_eq!(bench.store().last_piece(first.id).unwrap(), None);
    for application in [None, Some(application)] {
        let jobs = bench.store().jobs(application, None, 10).unwrap();
        assert_eq!(jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [second.id]);
    }
    assert_eq!(bench.member_ids(&bench.segment(&second)), ["a", "b"]);
    assert!(bench.endpoint(application, "a").is_some());
}
