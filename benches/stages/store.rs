//! Drafts to sorted runs, runs to a durable store, merged records, and back to endpoints.

use std::collections::BTreeMap;

use pinport_model::{
    Application, ApplicationId, Format, ImportDefinition, ImportJob, JobId, JobStatus, PieceRecord, Segment,
    SegmentId, SourceLocation, Timestamp,
};
use pinport_store::{
    DraftBatch, Store,
    embedded::{Embedded, EmbeddedOptions},
    fuzzing::{self, Encoded, encoded, members},
};

use crate::{
    Wanted,
    clock::{self, Cost},
    data::Data,
    print,
    records::parsed,
};

/// Bytes of a piece, as `pinport import` has them.
const PIECE_BYTES: u64 = 32 << 20;

const NAMES: [&str; 11] = [
    "build runs, first import",
    "commit, first import",
    "build runs, re-import",
    "commit, re-import",
    "get an endpoint, runs unsettled",
    "fold a segment's members",
    "settle",
    "get an endpoint, settled",
    "find by dimensions, runs unsettled",
    "find by dimensions, settled",
    "find by user attributes, settled",
];

pub(crate) fn run(wanted: &Wanted, data: &Data) {
    if wanted.any(&[MERGE]) {
        let records = |json| parsed(Format::Json, json).iter().flat_map(|b| encoded(&b.drafts)).collect();
        let pairs: (Vec<_>, Vec<_>) = (records(&data.json), records(&data.json_again));
        wanted.measure(MERGE, data.rows, 0, || merge_all(&pairs.0, &pairs.1));
    }
    if !wanted.any(&NAMES) {
        return;
    }
    let runs: Vec<[Cost; NAMES.len()]> = (0..wanted.runs).map(|run| costs(data, run)).collect();
    let reads = data.ids(READ_STEP).len() as u64;
    for (stage, name) in NAMES.into_iter().enumerate().filter(|(_, name)| wanted.any(&[name])) {
        let least = runs.iter().map(|costs| costs[stage]).min().expect("there is a run");
        let bytes = [data.json.len(), data.json.len(), data.json_again.len(), data.json_again.len()];
        let rows = if name.starts_with("get") { reads } else { data.rows };
        print(name, rows, bytes.get(stage).copied().unwrap_or(0) as u64, least);
    }
}

const MERGE: &str = "merge a record with its newer one";

/// The one member that stays what it was.
const CREATION_DATE: u8 = 0x07;

/// Merges each record of the first import with that of the second, as compaction and reads do.
fn merge_all(olds: &[Encoded], news: &[Encoded]) -> Cost {
    let (merged, cost) = clock::thread(|| {
        let both = olds.iter().zip(news);
        both.map(|(old, new)| fuzzing::fold(&[&old.record, &new.record], false).unwrap()).collect::<Vec<_>>()
    });
    for ((old, new), merged) in olds.iter().zip(news).zip(&merged).step_by(97) {
        let mut expected = members_by_name(&old.record);
        for (name, value) in members_by_name(&new.record) {
            if name.0 != CREATION_DATE || !expected.contains_key(&name) {
                expected.insert(name, value);
            }
        }
        assert_eq!((&old.id, members_by_name(merged)), (&new.id, expected));
    }
    assert_eq!(merged.len(), olds.len().max(news.len()));
    cost
}

fn members_by_name(record: &[u8]) -> BTreeMap<(u8, Vec<u8>), Vec<u8>> {
    members(record).unwrap().into_iter().map(|(tag, name, value)| ((tag, name), value)).collect()
}

/// Every so many rows are read one by one.
const READ_STEP: usize = 20;

/// Both imports into a new store, and reading it; the costs are those of [`NAMES`].
fn costs(data: &Data, run: u32) -> [Cost; NAMES.len()] {
    // An import has no cache for reading endpoints.
    let store = Embedded::open(data.path(&format!("store-{run}")), EmbeddedOptions::serving()).unwrap();
    let application = ApplicationId::generate();
    let made = Application {
        id: application,
        name: "bench".into(),
        created: Timestamp::now(),
        tags: Default::default(),
    };
    store.create_application(&made).unwrap();
    let ids = data.ids(READ_STEP);

    let ([first_build, first_commit], _) = import(&store, application, data.rows, &data.json);
    let ([build, commit], segment) = import(&store, application, data.rows, &data.json_again);
    let unsettled = get_all(&store, application, &ids);
    let fold = fold(&store, application, segment, data.rows);
    let own = segment_of(&store, application, "Location.Country != 'CAN' and Metrics.visits > 50");
    let found_unsettled = find(&store, &own, is_found);
    let ((), settle) = clock::process(|| store.settle().unwrap());
    let settled = get_all(&store, application, &ids);
    let found = find(&store, &own, is_found);
    let tests = "Location.Country != 'CAN' and Metrics.visits > 50 and UserAttributes.FirstName contains 'a'";
    let of_users = segment_of(&store, application, tests);
    let found_by_users = find(&store, &of_users, |endpoint| {
        let names = endpoint.user.user_attributes.get("FirstName");
        is_found(endpoint) && names.is_some_and(|names| names.iter().any(|name| name.contains('a')))
    });
    [
        first_build,
        first_commit,
        build,
        commit,
        unsettled,
        fold,
        settle,
        settled,
        found_unsettled,
        found,
        found_by_users,
    ]
}

fn segment_of(store: &Embedded, application: ApplicationId, tests: &str) -> Segment {
    let criteria = pinport_model::criteria::parse(tests).unwrap();
    let segment = Segment::of_criteria(application, None, Default::default(), criteria);
    store.create_segment(&segment).unwrap();
    segment
}

/// What the first tests of [`costs`] say.
fn is_found(endpoint: &pinport_model::Endpoint) -> bool {
    let country = endpoint.location.country.as_deref();
    country != Some("CAN") && endpoint.metrics.get("visits").is_some_and(|visits| *visits > 50.0)
}

/// Looks at every endpoint, and counts those that belong; what that cost.
fn find(store: &Embedded, segment: &Segment, is: impl Fn(&pinport_model::Endpoint) -> bool) -> Cost {
    let version = segment.current().unwrap();
    let (count, cost) = clock::thread(|| store.count_members(segment, version, &|| true).unwrap().unwrap());
    let all = segment_of(store, segment.application, "Demographic.DeviceType != 'x'");
    let mut expected = 0;
    let mut last = None::<String>;
    loop {
        let page = store.members(&all, all.current().unwrap(), last.as_deref(), 20_000).unwrap();
        let Some(end) = page.last() else { break };
        last = Some(end.id.clone());
        expected += page.iter().filter(|endpoint| is(endpoint)).count() as u64;
    }
    assert!(count.size > 0);
    assert_eq!(count.size, expected);
    cost
}

/// Builds and commits all pieces; what both cost. Parsing them does not count.
fn import(store: &Embedded, application: ApplicationId, rows: u64, json: &[u8]) -> ([Cost; 2], SegmentId) {
    let mut job = ImportJob::new(JobId::generate(), definition(application), Timestamp::now());
    let segment = SegmentId::from(job.id);
    job.definition.segment = Some(segment);
    store.create_job(&job).unwrap();
    let writer = store.writer(&job).unwrap();
    let (mut build, mut commit, mut registered) = (Vec::new(), Vec::new(), 0);
    for (piece, batches) in pieces(json).into_iter().enumerate() {
        let piece = piece as u64;
        registered += batches.iter().map(|batch| batch.len() as u64).sum::<u64>();
        let (prepared, cost) = clock::thread(|| writer.prepare(piece, batches).unwrap());
        build.push(cost);
        let (unresolved, cost) = clock::thread(|| {
            let mut prepared = prepared;
            let unresolved = prepared.resolve().unwrap();
            let mut record = PieceRecord { piece, ..PieceRecord::default() };
            record.total.read = registered;
            record.total.registered = registered;
            prepared.commit(&record).unwrap();
            unresolved
        });
        commit.push(cost);
        assert!(unresolved.is_empty(), "{unresolved:?}");
    }
    assert_eq!(registered, rows);
    assert_eq!(store.last_piece(job.id).unwrap().unwrap().total.registered, rows);
    job.status = JobStatus::Completed;
    job.tally.read = rows;
    job.tally.registered = rows;
    store.finish_job(&job, false).unwrap();
    ([build.into_iter().sum(), commit.into_iter().sum()], segment)
}

fn pieces(json: &[u8]) -> Vec<Vec<DraftBatch>> {
    let mut pieces: Vec<Vec<DraftBatch>> = Vec::new();
    for block in parsed(Format::Json, json) {
        let piece = usize::try_from(block.origin.byte / PIECE_BYTES).unwrap();
        pieces.resize_with(pieces.len().max(piece + 1), Vec::new);
        pieces[piece].push(block.drafts);
    }
    pieces
}

fn definition(application: ApplicationId) -> ImportDefinition {
    ImportDefinition::new(application, SourceLocation::Stdin, Format::Json, PIECE_BYTES)
}

fn get_all(store: &Embedded, application: ApplicationId, ids: &[String]) -> Cost {
    let (found, cost) = clock::thread(|| {
        let found = |id: &&String| {
            let endpoint = store.endpoint(application, id).unwrap();
            endpoint.is_some_and(|endpoint| is_of_the_second_import(&endpoint))
        };
        ids.iter().filter(found).count()
    });
    assert_eq!(found, ids.len());
    cost
}

fn fold(store: &Embedded, application: ApplicationId, segment: SegmentId, rows: u64) -> Cost {
    let segment: Segment = store.segment(application, segment).unwrap().unwrap();
    let version = segment.current().unwrap();
    let (members, cost) = clock::thread(|| {
        let (mut members, mut last) = (0, None::<String>);
        loop {
            let page = store.members(&segment, version, last.as_deref(), 1000).unwrap();
            let Some(end) = page.last() else { break members };
            last = Some(end.id.clone());
            members += page.iter().filter(|endpoint| is_of_the_second_import(endpoint)).count() as u64;
        }
    });
    assert_eq!(members, rows);
    cost
}

/// Rows of the second generation are dated in its year.
fn is_of_the_second_import(endpoint: &pinport_model::Endpoint) -> bool {
    endpoint.effective_date.starts_with("2026-")
}
