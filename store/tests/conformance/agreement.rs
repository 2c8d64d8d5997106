//! Random imports, on every engine: the same failures, endpoints, users and members as the oracle's.

use pinport_model::{ApplicationId, Channel, EndpointStatus, ImportJob, JobId, JobStatus, SegmentId};
use pinport_store::Scope;
use proptest::{collection::vec, prelude::*};

use crate::support::{Bench, Record, copies_job, job, segment_job};

const IDS: [&str; 5] = ["a", "b", "bb", "c", "\u{1f600}"];
const USERS: [&str; 4] = ["u", "v", "vv", ""];

/// One step of a history.
#[derive(Debug, Clone)]
enum Step {
    /// An import: of which kind, in pieces, and whether it comes to a good end.
    Import(Kind, Vec<Vec<Record>>, bool),
    Delete(usize),
    /// The user at a place of [`USERS`].
    DeleteUser(usize),
    Put(Record),
    /// At most so many parts of it.
    Settle(usize),
    Reopen,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Plain,
    NewSegment,
    NewCopies,
    /// Into the segment of the last job that had one; copies or not, replacing or not.
    Same(bool, bool),
}

fn attributes() -> impl Strategy<Value = Vec<(String, Option<String>)>> {
    vec(("[xy]", proptest::option::of("[12]")), 0..3)
}

fn record() -> impl Strategy<Value = Record> {
    let id = prop_oneof![8 => (0..IDS.len()).prop_map(|id| Some(IDS[id].to_owned())), 2 => Just(None)];
    let user = proptest::option::of((0..USERS.len()).prop_map(|user| USERS[user].to_owned()));
    let channel = prop_oneof![3 => Just(Some(Channel::Email)), 1 => Just(None)];
    let address = prop_oneof![3 => "[0-9]".prop_map(Some), 1 => Just(None)];
    let status = prop_oneof![
        4 => Just(None), 1 => Just(Some(EndpointStatus::Inactive)), 1 => Just(Some(EndpointStatus::Active))
    ];
    let created = prop_oneof![3 => Just(None), 1 => "[0-9]".prop_map(Some)];
    let rest = ((created, status), proptest::option::of("[A-C]"), attributes(), attributes());
    (id, user, address, channel, rest).prop_map(|(id, user, address, channel, rest)| {
        let ((created, status), city, attributes, user_attributes) = rest;
        let cohort = None;
        let record =
            Record { id, user, address, channel, created, cohort, status, city, attributes, user_attributes };
        if record.id.is_some() {
            return record;
        }
        // Without an id it names a user and nothing else.
        let user = record.user.filter(|user| !user.is_empty()).unwrap_or_else(|| "u".into());
        Record { user: Some(user), user_attributes: record.user_attributes, ..Record::default() }
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop_oneof![
        Just(Kind::Plain),
        Just(Kind::NewSegment),
        Just(Kind::NewCopies),
        any::<(bool, bool)>().prop_map(|(copies, replace)| Kind::Same(copies, replace)),
    ];
    let import = (kind, vec(vec(record(), 0..9), 0..4), any::<bool>());
    let step = prop_oneof![
        6 => import.prop_map(|(kind, pieces, good)| Step::Import(kind, pieces, good)),
        1 => (0..IDS.len()).prop_map(Step::Delete),
        1 => (0..USERS.len() - 1).prop_map(Step::DeleteUser),
        1 => record().prop_map(Step::Put),
        1 => prop_oneof![Just(usize::MAX), 1_usize..4].prop_map(Step::Settle),
        1 => Just(Step::Reopen),
    ];
    vec(step, 1..7)
}

/// The job of an import. `number` makes ids that are the same on all engines.
fn job_of(kind: Kind, application: ApplicationId, number: u8, last: Option<SegmentId>) -> ImportJob {
    let mut made = match (kind, last) {
        (Kind::Plain, _) => job(application),
        (Kind::NewSegment, _) | (Kind::Same(false, _), None) => segment_job(application),
        (Kind::NewCopies, _) | (Kind::Same(true, _), None) => copies_job(application),
        (Kind::Same(copies, _), Some(segment)) => {
            let mut made = job(application);
            made.definition.segment = Some(segment);
            made.definition.register_endpoints = !copies;
            made
        }
    };
    let own = made.definition.segment == Some(SegmentId::from(made.id));
    made.id = JobId::from_bytes([number; 16]);
    if own {
        made.definition.segment = Some(SegmentId::from(made.id));
    }
    made
}

/// Plays a history and tells, in words, everything that can be seen of it.
fn play(mut bench: Bench, application: ApplicationId, steps: &[Step]) -> Vec<String> {
    let created = pinport_model::Timestamp::from_millis(1);
    let (name, tags) = ("a".into(), Default::default());
    let made = pinport_model::Application { id: application, name, created, tags };
    bench.store().create_application(&made).unwrap();
    let mut seen = Vec::new();
    let mut segments: Vec<SegmentId> = Vec::new();
    for (number, step) in (1_u8..).zip(steps) {
        match step {
            Step::Import(kind, pieces, good) => {
                let job = job_of(*kind, application, number, segments.last().copied());
                segments.extend(job.definition.segment);
                bench.store().create_job(&job).unwrap();
                for (piece, records) in (0..).zip(pieces) {
                    seen.push(format!("{number} {piece}: {:?}", bench.commit(&job, piece, records)));
                }
                let status = if *good { JobStatus::Completed } else { JobStatus::Failed };
                bench.finish(&job, status, 1, matches!(kind, Kind::Same(_, true)));
            }
            Step::Delete(id) => {
                seen.push(format!(
                    "{number}: {}",
                    bench.store().delete_endpoint(application, IDS[*id]).unwrap()
                ));
            }
            Step::DeleteUser(user) => {
                let removed = bench.store().delete_user_endpoints(application, USERS[*user]).unwrap();
                seen.push(format!("{number}: {removed}"));
            }
            Step::Put(record) => {
                let now = pinport_model::Timestamp::from_millis(i64::from(number) * 1000);
                let id = record.id.as_deref().unwrap_or("a");
                let put = bench.store().put_endpoint(application, id, &mut record.draft(), now);
                seen.push(format!("{number}: {put:?}"));
            }
            Step::Settle(parts) => {
                let mut left = *parts;
                let mut go_on = |_| {
                    left -= 1;
                    left > 0
                };
                bench.store().settle_while(&mut go_on).unwrap();
            }
            Step::Reopen => bench.reopen(),
        }
    }
    for id in IDS {
        seen.push(format!("{id}: {:#?}", bench.endpoint(application, id)));
    }
    let all: Vec<_> = sorted(&IDS).iter().filter_map(|id| bench.endpoint(application, id)).collect();
    bench.check_read_out(Scope::Application(application), application, &all);
    for user in USERS.into_iter().filter(|user| !user.is_empty()) {
        seen.push(format!(
            "{user}: {:#?}",
            bench.store().user_endpoints(application, user, None, 9).unwrap()
        ));
    }
    for segment in bench.store().segments(application, None, 99).unwrap() {
        for version in bench.store().segment_versions(&segment, None, 99).unwrap() {
            let members = bench.store().members(&segment, &version, None, 99).unwrap();
            bench.check_read_out(Scope::Version(&segment, &version), application, &members);
            seen.push(format!("{} {version:?}: {members:#?}", segment.id));
        }
        seen.push(format!("{segment:?}"));
    }
    seen
}

fn sorted<'a>(ids: &[&'a str]) -> Vec<&'a str> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn agrees(bench: Bench, expected: &[String], steps: &[Step]) -> Result<(), TestCaseError> {
    let found = play(bench, ApplicationId::from_bytes([1; 16]), steps);
    for (expected, found) in expected.iter().zip(&found) {
        prop_assert_eq!(expected, found);
    }
    prop_assert_eq!(expected.len(), found.len());
    Ok(())
}

proptest! {
    #[test]
    fn engines_agree(steps in steps()) {
        let expected = play(Bench::memory(), ApplicationId::from_bytes([1; 16]), &steps);
        agrees(Bench::embedded(), &expected, &steps)?;
        agrees(Bench::embedded_runs(), &expected, &steps)?;
    }
}

proptest! {
    // Each has tables of its own, which takes longer than to play it.
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_database_agrees(steps in steps()) {
        let expected = play(Bench::memory(), ApplicationId::from_bytes([1; 16]), &steps);
        agrees(Bench::postgres(), &expected, &steps)?;
    }
}
