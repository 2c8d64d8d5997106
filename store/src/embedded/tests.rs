//! What depends on the inside of the engine: how commits wait for compaction.

#![allow(clippy::field_reassign_with_default, reason = "a draft has private members")]

use std::{sync::mpsc, thread, time::Duration};

use pinport_model::{
    Channel, Draft, Format, ImportDefinition, JobStatus, Origin, SourceLocation, TextMember,
    draft::{Attribute, Scalar},
};

use pinport_model::Timestamp;

use super::*;
use rocksdb::WaitForCompactOptions;

use crate::{DraftBatch, DraftKind};

const APPLICATION: ApplicationId = ApplicationId::from_bytes([1; 16]);
const JOB: JobId = JobId::from_bytes([2; 16]);
/// Long enough for any commit that does not wait.
const NO_WAIT: Duration = Duration::from_millis(300);
const AT_MOST: Duration = Duration::from_secs(120);

/// A store with a job whose pieces become runs, however small, and whose commits wait at so many files in level 0;
/// whether compaction makes room by itself.
fn begin(folder: &Path, hold: u32, compacts: bool) -> Embedded {
    let store = begin_with(
        folder,
        EmbeddedOptions { level0_trigger: hold - 4, max_level0_files: hold, ..EmbeddedOptions::default() },
    );
    if !compacts {
        compact(&store, false);
    }
    store
}

fn begin_with(folder: &Path, options: EmbeddedOptions) -> Embedded {
    let store = Embedded::open(folder, EmbeddedOptions { small_piece: 0, ..options }).unwrap();
    let now = Timestamp::from_millis(1);
    let (name, tags) = ("a".into(), Default::default());
    store.create_application(&Application { id: APPLICATION, name, created: now, tags }).unwrap();
    let definition = ImportDefinition {
        segment: Some(SegmentId::from(JOB)),
        ..ImportDefinition::new(APPLICATION, SourceLocation::Stdin, Format::Json, 1)
    };
    store.create_job(&ImportJob::new(JOB, definition, now)).unwrap();
    store
}

fn compact(store: &Embedded, compacts: bool) {
    let disabled = if compacts { "false" } else { "true" };
    store.engine().unwrap().db.set_options(&[("disable_auto_compactions", disabled)]).unwrap();
}

/// Ids of different pieces lie among each other, so that their files overlap.
fn id_of(piece: u64, record: u64) -> String {
    format!("{record:02}-{piece}")
}

fn commit(store: &Embedded, piece: u64) -> Result<()> {
    commit_as(store, piece, id_of)
}

fn commit_as(store: &Embedded, piece: u64, id_of: impl Fn(u64, u64) -> String) -> Result<()> {
    let job = store.job(JOB)?.unwrap();
    let origin = Origin { object: 0, byte: 0, line: 1 };
    let mut batch = DraftBatch::new(origin, job.created);
    for record in 0..20 {
        let mut draft = Draft::default();
        draft.channel = Some(Channel::Email);
        draft.set_text(TextMember::Address, Some("somewhere"));
        draft.set_text(TextMember::UserId, Some("somebody"));
        batch.push(&mut draft, DraftKind::Blind, &id_of(piece, record), b"", origin);
    }
    let mut prepared = store.writer(&job)?.prepare(piece, vec![batch])?;
    prepared.resolve()?;
    prepared.commit(&PieceRecord { piece, ..PieceRecord::default() })
}

#[test]
fn ids_that_come_again_in_a_piece_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 20, true);
    let job = store.job(JOB).unwrap().unwrap();
    let origin = Origin { object: 0, byte: 0, line: 1 };
    let mut batches = Vec::new();
    for ids in [["a", "b", "a"], ["c", "a", "b"]] {
        let mut batch = DraftBatch::new(origin, job.created);
        for id in ids {
            let mut draft = Draft::default();
            draft.channel = Some(Channel::Email);
            draft.set_text(TextMember::Address, Some("somewhere"));
            batch.push(&mut draft, DraftKind::Blind, id, b"", origin);
        }
        batches.push(batch);
    }
    let mut prepared = store.writer(&job).unwrap().prepare(0, batches).unwrap();
    assert_eq!(prepared.resolve().unwrap(), []);
    assert_eq!(prepared.repeated(), 3);
}

#[test]
fn what_has_no_room_fails_where_a_piece_can_know_and_is_counted_once_it_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 40, true);
    let job = store.job(JOB).unwrap().unwrap();
    let origin = Origin { object: 0, byte: 0, line: 1 };
    let names: Vec<_> = (0..1000).map(|name| format!("{name:03}")).collect();
    // Records of so many names each; how many of them failed.
    let commit = |piece: u64, width: usize, names_of_piece: &[std::ops::Range<usize>]| {
        let mut batch = DraftBatch::new(origin, job.created);
        for names in names_of_piece.iter().flat_map(|range| names[range.clone()].chunks(width)) {
            let mut draft = Draft::default();
            draft.channel = Some(Channel::Email);
            draft.set_text(TextMember::Address, Some("somewhere"));
            draft.metrics.extend(names.iter().map(|name| (name.as_str(), 1.0)));
            batch.push(&mut draft, DraftKind::Blind, "a", b"raw", origin);
        }
        let mut prepared = store.writer(&job).unwrap().prepare(piece, vec![batch]).unwrap();
        let failed = prepared.resolve().unwrap();
        // The bytes of a wide record are kept, those of others are not.
        assert!(failed.iter().all(|failed| failed.raw.is_some() == (width > 62)));
        assert_eq!(prepared.left_out(), 0);
        prepared.commit(&PieceRecord { piece, ..PieceRecord::default() }).unwrap();
        failed.len()
    };
    let read = || store.endpoint(APPLICATION, "a").unwrap().unwrap().metrics.len();
    assert_eq!(commit(0, 50, &[0..200, 100..240]), 0);
    assert_eq!((read(), store.left_out()), (240, 0));
    // A wide record is judged by what is there, and so are all of an endpoint that the piece itself has too much for.
    assert_eq!(commit(1, 200, &[100..300, 0..200]), 1);
    assert_eq!(commit(2, 50, &[300..500, 500..800]), 10);
    assert_eq!(commit(3, 50, &[0..240, 800..1000, 200..210]), 4);
    assert_eq!((read(), store.left_out()), (240, 0));
    // Of the others no piece can know.
    assert_eq!(commit(4, 50, &[800..825, 825..850]), 0);
    assert_eq!((read(), read(), store.left_out()), (250, 250, 0));
    store.settle().unwrap();
    assert_eq!((read(), store.left_out()), (250, 40));
    store.settle().unwrap();
    assert_eq!((read(), store.left_out()), (250, 40));
}

#[test]
fn updates_of_one_endpoint_are_folded_while_they_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 20, true);
    for number in 0..200_u32 {
        let mut draft = Draft::default();
        let address = number.to_string();
        draft.set_text(TextMember::Address, Some(&address));
        let now = Timestamp::from_millis(i64::from(number));
        store.put_endpoint(APPLICATION, "a", &mut draft, now).unwrap();
    }
    let found = store.endpoint(APPLICATION, "a").unwrap().unwrap();
    assert_eq!(found.address.as_deref(), Some("199"));
    assert_eq!(found.creation_date, "1970-01-01T00:00:00.000Z");
}

#[test]
fn large_layers_are_folded_while_the_store_settles() {
    const MEMBERS: u64 = 2 * segments::FOLD_MEMBERS + 8;
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 2000, true);
    let (mut job, origin) = (store.job(JOB).unwrap().unwrap(), Origin { object: 0, byte: 0, line: 1 });
    let segment = SegmentId::from(JOB);
    let rows = || {
        let engine = store.engine().unwrap();
        let mut rows = engine.scan(&key(Table::Layers, &[segment.as_bytes()]));
        rows.seek_first();
        let mut found = 0;
        while rows.entry().unwrap().is_some() {
            found += 1;
            rows.forward();
        }
        found
    };
    let import = |job: &mut ImportJob, number: u64, members: std::ops::Range<u64>| {
        if number > 0 {
            let mut id = [2; 16];
            id[8..].copy_from_slice(&number.to_be_bytes());
            job.id = JobId::from_bytes(id);
            job.status = JobStatus::Created;
            store.create_job(job).unwrap();
        }
        let mut batch = DraftBatch::new(origin, job.created);
        let count = members.end - members.start;
        for member in members {
            let mut draft = Draft::default();
            draft.channel = Some(Channel::Email);
            draft.set_text(TextMember::Address, Some("somewhere"));
            batch.push(&mut draft, DraftKind::Blind, &format!("{member:07}"), b"", origin);
        }
        let mut prepared = store.writer(job).unwrap().prepare(0, vec![batch]).unwrap();
        prepared.resolve().unwrap();
        prepared.commit(&PieceRecord::default()).unwrap();
        job.status = JobStatus::Completed;
        job.tally.registered = count;
        store.finish_job(job, false).unwrap();
    };
    let kept = u64::from(pinport_model::segment::VERSIONS_KEPT);
    // Each has half of its members from the one before.
    for number in 0..17 {
        import(&mut job, number, number * MEMBERS / 2..number * MEMBERS / 2 + MEMBERS);
    }
    for number in 17..17 + kept - 1 {
        import(&mut job, number, 0..1);
    }
    let count = |limit| {
        let segment = store.segment(APPLICATION, segment).unwrap().unwrap();
        let version = segment.current().unwrap().clone();
        let members = store.members(&segment, &version, None, limit).unwrap();
        assert!(members.is_sorted_by(|one, other| one.id < other.id));
        (version.size, members.len() as u64)
    };
    let all = 16 * MEMBERS / 2 + MEMBERS;
    assert_eq!(count(usize::MAX), (all, all));
    assert_eq!(rows(), 17 + kept - 1, "an import folds none of them");
    store.settle().unwrap();
    assert_eq!(rows(), kept, "17 became one");
    assert_eq!(count(usize::MAX), (all, all));
    store.settle().unwrap();
    assert_eq!(rows(), kept);
    // What is folded is read, forgotten and deleted as other layers are.
    drop(store);
    let store = Embedded::open(folder.path(), EmbeddedOptions::default()).unwrap();
    assert!(store.delete_segment(APPLICATION, segment).unwrap());
    let engine = store.engine().unwrap();
    let mut left = engine.scan(&keys::members(segment));
    left.seek_first();
    assert_eq!(left.entry().unwrap(), None);
}

#[test]
fn an_engine_that_lacked_descriptors_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 20, true);
    commit(&store, 0).unwrap();
    let job = store.job(JOB).unwrap().unwrap();
    let writer = store.writer(&job).unwrap();
    let first = Arc::downgrade(&store.engine().unwrap());
    store.engine().unwrap().fail_for_descriptors();
    // While somebody has it, it answers reads.
    let refused = store.save_job(&job).unwrap_err();
    assert!(refused.lacks_descriptors(), "{refused}");
    assert!(store.check().is_err() && first.upgrade().is_some());
    check(&store, 1);
    drop(writer);
    store.check().unwrap();
    assert!(first.upgrade().is_none());
    check(&store, 1);
    commit(&store, 1).unwrap();
    check(&store, 2);
    // It cannot be opened: another has taken the folder's lock. It is tried again.
    store.engine().unwrap().fail_for_descriptors();
    *store.engine.write() = None;
    let other = Embedded::open(folder.path(), EmbeddedOptions::default()).unwrap();
    assert!(matches!(store.check(), Err(StoreError::InUse { .. })));
    drop(other);
    check(&store, 2);
}

fn level0_files(store: &Embedded) -> u64 {
    store.engine().unwrap().property("rocksdb.num-files-at-level0").unwrap()
}

/// Commits pieces until so many files lie in level 0 (the first sink below it: they overlap nothing); how many.
fn fill(store: &Embedded, files: u64) -> u64 {
    let mut pieces = 0;
    while level0_files(store) < files {
        commit(store, pieces).unwrap();
        pieces += 1;
        assert!(pieces <= 32, "pieces leave nothing in level 0");
    }
    pieces
}

/// A commit that is seen to wait, and where its outcome will arrive.
fn held_commit<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    store: &'scope Embedded,
    piece: u64,
) -> mpsc::Receiver<Result<()>> {
    let (committed, commits) = mpsc::sync_channel(1);
    scope.spawn(move || committed.send(commit(store, piece)));
    let early = commits.recv_timeout(NO_WAIT);
    assert!(matches!(early, Err(mpsc::RecvTimeoutError::Timeout)), "it was not held: {early:?}");
    commits
}

fn check(store: &Embedded, pieces: u64) {
    assert_eq!(store.last_piece(JOB).unwrap().unwrap().piece, pieces - 1);
    for piece in 0..pieces {
        for record in 0..20 {
            assert!(store.endpoint(APPLICATION, &id_of(piece, record)).unwrap().is_some());
        }
    }
}

#[test]
fn a_commit_waits_while_level_0_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 16, false);
    let pieces = fill(&store, 16);
    assert!(pieces > 2, "commits went on below the limit");
    thread::scope(|scope| {
        let store = &store;
        let commits = held_commit(scope, store, pieces);
        let last = store.last_piece(JOB);
        // Judged when nothing waits any more: the scope would wait with it for ever.
        compact(store, true);
        commits.recv_timeout(AT_MOST).expect("there is room again").unwrap();
        assert_eq!(last.unwrap().unwrap().piece, pieces - 1, "it is not there before its turn");
    });
    check(&store, pieces + 1);
}

#[test]
fn commits_go_on_as_compaction_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 12, true);
    for piece in 0..60 {
        commit(&store, piece).unwrap();
        // It began below the limit, and a piece leaves five files at most.
        let files = level0_files(&store);
        assert!(files < 12 + 5, "{files} files after piece {piece}");
    }
    check(&store, 60);
}

#[test]
fn a_waiting_commit_ends_with_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 5, false);
    let pieces = fill(&store, 5);
    thread::scope(|scope| {
        let commits = held_commit(scope, &store, pieces);
        *store.engine().unwrap().stopped.lock() = Some("a write failed".into());
        let ended = commits.recv_timeout(AT_MOST).expect("it gives up");
        assert!(matches!(ended, Err(StoreError::Stopped(_))), "{ended:?}");
    });
}

/// A long read has a thread of its own and keeps some of the users; a page has neither.
#[test]
fn a_long_read_is_what_pages_are() {
    const ENDPOINTS: usize = 3000;
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 40, true);
    let job = store.job(JOB).unwrap().unwrap();
    let origin = Origin { object: 0, byte: 0, line: 1 };
    for piece in 0..2 {
        let mut batch = DraftBatch::new(origin, job.created);
        for record in (0..ENDPOINTS).step_by(piece + 1) {
            // Users lie in another order than endpoints, some have several, and some endpoints have none.
            let user = format!("user-{:04}", record * 7919 % 2000);
            let plan = format!("{piece}-{record}");
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
    let read = |after: Option<&str>, batch: usize| {
        let mut rows = Vec::new();
        let mut each = |row: Stored<'_>| {
            rows.push((row.id.to_vec(), row.record.to_vec(), row.user_record.to_vec()));
            Ok(ControlFlow::Continue(()))
        };
        store.read_out(Scope::Application(APPLICATION), after, batch, &mut each).unwrap();
        rows
    };
    let pages = read(None, 64 << 10);
    assert_eq!(pages.len(), ENDPOINTS);
    assert_eq!(pages.iter().filter(|(_, _, user)| !user.is_empty()).count(), ENDPOINTS * 4 / 5);
    assert!(read(None, 48 << 20) == pages);
    // Batches of a few rows, with what they are read by.
    assert!(read(Some("00999"), 5 << 20) == pages[1000..]);
    // It ends where whoever reads wants it to.
    let mut seen = 0;
    let mut each = |_: Stored<'_>| {
        seen += 1;
        Ok(if seen == 700 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    store.read_out(Scope::Application(APPLICATION), None, 48 << 20, &mut each).unwrap();
    assert_eq!(seen, 700);
}

#[test]
fn settling_joins_small_files_that_lie_next_to_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 4800, true);
    // Ids ascend, so each piece comes after the one before and its files sink to the last level.
    for piece in 0..20 {
        commit_as(&store, piece, |piece, record| format!("{piece:02}-{record}")).unwrap();
    }
    let files = || store.engine().unwrap().db.live_files().unwrap().len();
    assert!(files() >= 4 * 20, "endpoints, members, links and pieces: {} files", files());
    store.settle().unwrap();
    // Each of these in one, and what was in the log.
    assert!(files() <= 2 * 4, "{} files", files());
}

/// Imports a record into the segment of `JOB` with a job of its own.
fn import_one(store: &Embedded, number: u64) {
    import_ids(store, number, [number]);
}

/// Imports records into the segment of `JOB` with a job of its own, which has a number that no other has.
fn import_ids(store: &Embedded, number: u64, ids: impl IntoIterator<Item = u64>) {
    let mut id = [7; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let definition = ImportDefinition {
        segment: Some(SegmentId::from(JOB)),
        ..ImportDefinition::new(APPLICATION, SourceLocation::Stdin, Format::Json, 1)
    };
    let mut job = ImportJob::new(JobId::from_bytes(id), definition, Timestamp::from_millis(2));
    store.create_job(&job).unwrap();
    let origin = Origin { object: 0, byte: 0, line: 1 };
    let mut batch = DraftBatch::new(origin, job.created);
    for id in ids {
        let mut draft = Draft::default();
        draft.channel = Some(Channel::Email);
        draft.set_text(TextMember::Address, Some("somewhere"));
        batch.push(&mut draft, DraftKind::Blind, &format!("{id:05}"), b"", origin);
        job.tally.registered += 1;
    }
    let mut prepared = store.writer(&job).unwrap().prepare(0, vec![batch]).unwrap();
    prepared.resolve().unwrap();
    prepared.commit(&PieceRecord::default()).unwrap();
    job.status = JobStatus::Completed;
    store.finish_job(&job, false).unwrap();
}

#[test]
fn a_crowded_level_0_is_compacted_beside_jobs() {
    // Jobs before the store rests, jobs after it, ids of each of these, and how few files are left in level 0.
    for (crowded, [first, later], ids, files) in [
        (None, [0, 60], 2000, 60..1000),
        (Some(16), [0, 60], 2000, 0..40),
        // What lies below would be written again for little.
        (Some(16), [1, 60], 100, 60..1000),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = begin_with(folder.path(), EmbeddedOptions { crowded, ..EmbeddedOptions::default() });
        for job in 0..first {
            import_ids(&store, job, 0..50_000);
        }
        store.settle().unwrap();
        for job in first..first + later {
            import_ids(&store, job, 0..ids);
        }
        let db = &store.engine().unwrap().db;
        db.wait_for_compact(&WaitForCompactOptions::default()).unwrap();
        let left = db.property_int_value("rocksdb.num-files-at-level0").unwrap().unwrap();
        assert!(files.contains(&left), "{crowded:?}, {ids} ids: {left} files");
        let segment = store.segment(APPLICATION, SegmentId::from(JOB)).unwrap().unwrap();
        let current = segment.current().unwrap();
        assert_eq!(current.size, if first > 0 { 50_000 } else { ids });
        assert_eq!(store.members(&segment, current, None, usize::MAX).unwrap().len() as u64, current.size);
    }
}

#[test]
fn an_import_of_the_same_endpoints_adds_no_members() {
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 4800, true);
    let members = || {
        let engine = store.engine().unwrap();
        let mut entries = engine.scan(&keys::members(SegmentId::from(JOB)));
        entries.seek_first();
        let mut count = 0;
        while entries.entry().unwrap().is_some() {
            count += 1;
            entries.forward();
        }
        count
    };
    // Some ids of each import are new, between the others, and some are not there any more.
    for number in 0..5 {
        import_ids(&store, number, (0..2000).filter(|id| id % 50 >= 10 - number));
    }
    assert_eq!(members(), 1600 + 4 * 40);
    // All are known, and at last few of many are.
    import_ids(&store, 5, (0..2000).filter(|id| id % 50 >= 8));
    assert_eq!(members(), 1760);
    import_ids(&store, 6, 1990..4000);
    assert_eq!(members(), 1760 + 2010);
    let segment = store.segment(APPLICATION, SegmentId::from(JOB)).unwrap().unwrap();
    let sizes = [1600, 1640, 1680, 1720, 1760, 1760, 3760];
    for (number, size) in (1..).zip(sizes) {
        let version = store.segment_version(&segment, number).unwrap().unwrap();
        assert_eq!(version.size, size, "version {number}");
        let found = store.members(&segment, &version, None, usize::MAX).unwrap();
        assert_eq!(found.len() as u64, size, "version {number}");
        let jobs = store.version_jobs(&segment, &version, 10).unwrap().unwrap();
        assert_eq!(jobs.len() as u32, number);
    }
    store.settle().unwrap();
    let current = segment.current().unwrap();
    assert_eq!(store.members(&segment, current, None, usize::MAX).unwrap().len(), 3760);
}

/// The bytes that were written to the log, if it was not cut meanwhile.
fn logged(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder.join("db")).unwrap().map(|file| file.unwrap());
    let logs = files.filter(|file| file.path().extension().is_some_and(|kind| kind == "log"));
    logs.map(|file| file.metadata().unwrap().len()).sum()
}

#[test]
fn an_import_into_a_segment_costs_the_same_whatever_came_before() {
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 4800, true);
    let mut most = [0; 2];
    for number in 0..500 {
        let before = logged(folder.path());
        import_one(&store, number);
        let written = logged(folder.path()).saturating_sub(before);
        // The rounds of folding differ; both spans have some.
        let span = match number {
            10..110 => 0,
            400.. => 1,
            _ => continue,
        };
        most[span] = most[span].max(written);
    }
    // A fold writes the ids of what it folds, at most as many as were imported.
    assert!(most[1] < most[0] + 40 * 500, "an early import wrote {} bytes, a late one {}", most[0], most[1]);
    let segment = store.segment(APPLICATION, SegmentId::from(JOB)).unwrap().unwrap();
    let current = segment.current().unwrap();
    assert_eq!(current.size, 500);
    let layers =
        segments::layers(&store.engine().unwrap(), &store.engine().unwrap().db.snapshot(), &segment, current)
            .unwrap();
    // Those of the versions that are kept, those that wait to be folded, and a few folded ones.
    assert!(layers.len() <= 32 + 16 + 6, "{} rows", layers.len());
    assert_eq!(store.members(&segment, current, None, usize::MAX).unwrap().len(), 500);
}

/// A segment as layouts 1 and 2 stored it.
fn old_segment(versions: &str) -> String {
    let [segment, application] = [SegmentId::from(JOB).to_string(), APPLICATION.to_string()];
    format!(
        r#"{{"id":"{segment}","application":"{application}","name":"old","created":"1970-01-01T00:00:00.001Z","modified":"1970-01-01T00:00:00.002Z","tags":{{"a":"b"}},"versions":[{versions}],"next_layer":5,"open_layers":[{{"number":4,"job":"{}","copies":false}}]}}"#,
        JobId::from_bytes([9; 16])
    )
}

#[test]
fn a_store_of_layout_2_is_upgraded_when_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    // The members were stored then as they are now.
    let store = begin(folder.path(), 4800, true);
    for number in 0..4 {
        import_one(&store, number);
    }
    let segment = store.segment(APPLICATION, SegmentId::from(JOB)).unwrap().unwrap();
    let current = segment.current().unwrap();
    let engine = store.engine().unwrap();
    let snapshot = engine.db.snapshot();
    let rows = segments::layers(&store.engine().unwrap(), &snapshot, &segment, current).unwrap();
    let numbers: Vec<_> = rows.iter().map(|layer| layer.number).collect();
    drop(snapshot);
    drop(engine);
    // The third version replaced what was there.
    let version = |number: u32, layers: &[u32]| {
        let job = JobId::from_bytes([number as u8; 16]);
        let layers: Vec<_> = layers
            .iter()
            .map(|layer| {
                let number = numbers[*layer as usize];
                format!(r#"{{"number":{number},"job":"{job}","copies":false}}"#)
            })
            .collect();
        format!(
            r#"{{"version":{number},"created":"1970-01-01T00:00:00.002Z","layers":[{}],"job":"{job}","source":"s","format":"JSON","size":{},"channels":{:?},"partial":false}}"#,
            layers.join(","),
            layers.len(),
            [0; Channel::ALL.len()]
        )
    };
    let versions = [version(1, &[0]), version(2, &[0, 1]), version(3, &[2]), version(4, &[2, 3])].join(",");
    let engine = store.engine().unwrap();
    let mut batch = WriteBatch::default();
    for table in [Table::Layers, Table::OpenLayers, Table::Versions] {
        delete_prefix(&engine, &mut batch, &key(table, &[])).unwrap();
    }
    batch.put(keys::segment(APPLICATION, segment.id), old_segment(&versions));
    engine.write(batch).unwrap();
    drop(engine);
    drop(store);
    std::fs::write(
        folder.path().join("layout"),
        "2
",
    )
    .unwrap();

    for _ in 0..2 {
        let store = Embedded::open(folder.path(), EmbeddedOptions::default()).unwrap();
        assert_eq!(
            std::fs::read_to_string(folder.path().join("layout")).unwrap(),
            format!("{}\n", crate::record::LAYOUT)
        );
        let segment = store.segment(APPLICATION, segment.id).unwrap().unwrap();
        assert_eq!((&segment.name[..], &segment.tags["a"][..]), ("old", "b"));
        let members = |version: &SegmentVersion| {
            let found = store.members(&segment, version, None, 9).unwrap();
            found.into_iter().map(|member| member.id).collect::<Vec<_>>().join(" ")
        };
        let versions = store.segment_versions(&segment, None, 9).unwrap();
        assert_eq!(segment.current(), versions.first());
        assert_eq!(
            versions.iter().map(members).collect::<Vec<_>>(),
            ["00002 00003", "00002", "00000 00001", "00000"]
        );
        let busy = store.delete_segment(APPLICATION, segment.id);
        assert!(matches!(busy, Err(StoreError::Conflict(_))), "a job of before still writes to it");
    }
    let store = Embedded::open(folder.path(), EmbeddedOptions::default()).unwrap();
    import_one(&store, 90);
    let segment = store.segment(APPLICATION, segment.id).unwrap().unwrap();
    assert_eq!((segment.current().unwrap().version, segment.current().unwrap().size), (5, 3));
}

#[test]
fn an_upgrade_keeps_the_newest_versions_and_what_they_have() {
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 4800, true);
    let mut batch = WriteBatch::default();
    let version = |number: u32| {
        // Version 20 replaced all before it.
        let layers: Vec<_> = (if number < 20 { 0 } else { 19 }..number)
            .map(|layer| {
                format!(r#"{{"number":{layer},"job":"{}","copies":false}}"#, JobId::from_bytes([1; 16]))
            })
            .collect();
        format!(
            r#"{{"version":{number},"created":"1970-01-01T00:00:00.002Z","layers":[{}],"job":"{}","source":"s","format":"JSON","size":1,"channels":{:?},"partial":false}}"#,
            layers.join(","),
            JobId::from_bytes([1; 16]),
            [0; Channel::ALL.len()]
        )
    };
    let versions: Vec<_> = (1..=60).map(version).collect();
    for layer in 0..60 {
        batch.put([&keys::layer(SegmentId::from(JOB), layer)[..], b"a"].concat(), []);
    }
    batch.put(keys::segment(APPLICATION, SegmentId::from(JOB)), old_segment(&versions.join(",")));
    store.engine().unwrap().write(batch).unwrap();
    drop(store);
    // As a crash in an upgrade leaves it.
    std::fs::write(folder.path().join("layout"), "upgrading to 3\n").unwrap();
    let store = Embedded::open(folder.path(), EmbeddedOptions::default()).unwrap();
    let segment = store.segment(APPLICATION, SegmentId::from(JOB)).unwrap().unwrap();
    let versions = store.segment_versions(&segment, None, 99).unwrap();
    assert_eq!(
        versions.iter().map(|version| version.version).collect::<Vec<_>>(),
        (29..=60).rev().collect::<Vec<_>>()
    );
    let oldest = versions.last().unwrap();
    assert_eq!((oldest.first_layer, oldest.last_layer), (19, 28));
    let has = |layer| segments::has_members(&store.engine().unwrap(), segment.id, layer).unwrap();
    assert_eq!((has(18), has(19), has(59)), (false, true, true));
    for version in &versions {
        assert!(store.members(&segment, version, None, 9).is_ok(), "{version:?}");
    }
}

/// Nanoseconds of CPU that this thread has taken.
#[cfg(target_os = "linux")]
fn cpu() -> u64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    times.split(' ').next().unwrap().parse().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn a_late_import_into_a_segment_costs_what_an_early_one_did() {
    // A core that is slowed down in the middle takes twice the time for the same work: that does not happen each time, and
    // costs that grow do.
    let mut found = Vec::new();
    while found.len() < 4 {
        let (early, late) = early_and_late_imports();
        if late < early * 2 {
            return;
        }
        found.push((early, late));
    }
    panic!("us of early and late imports: {found:?}");
}

/// CPU time of an early import into a segment, and of a late one, in microseconds.
#[cfg(target_os = "linux")]
fn early_and_late_imports() -> (u64, u64) {
    const IMPORTS: u64 = 2400;
    const STEP: u64 = 200;
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let store = Embedded::open(folder.path(), EmbeddedOptions::serving()).unwrap();
    let now = Timestamp::from_millis(1);
    let (name, tags) = ("a".into(), Default::default());
    store.create_application(&Application { id: APPLICATION, name, created: now, tags }).unwrap();
    let segment = SegmentId::from(JOB);
    let import = |number: u64| {
        let definition = ImportDefinition {
            segment: Some(segment),
            ..ImportDefinition::new(APPLICATION, SourceLocation::Stdin, Format::Json, 1)
        };
        let id = if number == 0 { JOB } else { JobId::generate() };
        let mut job = ImportJob::new(id, definition, now);
        store.create_job(&job).unwrap();
        let origin = Origin { object: 0, byte: 0, line: 1 };
        let mut batch = DraftBatch::new(origin, now);
        let mut draft = Draft::default();
        draft.channel = Some(Channel::Email);
        draft.set_text(TextMember::Address, Some("somewhere"));
        batch.push(&mut draft, DraftKind::Blind, &format!("{}", number * 7919 % IMPORTS), b"", origin);
        let mut prepared = store.writer(&job).unwrap().prepare(0, vec![batch]).unwrap();
        prepared.resolve().unwrap();
        prepared.commit(&PieceRecord::default()).unwrap();
        job.status = pinport_model::JobStatus::Completed;
        (job.tally.read, job.tally.registered) = (1, 1);
        store.finish_job(&job, false).unwrap();
    };
    let steps: Vec<_> = (0..IMPORTS / STEP)
        .map(|step| {
            let before = cpu();
            (step * STEP..(step + 1) * STEP).for_each(import);
            (cpu() - before) / STEP / 1000
        })
        .collect();
    println!("CPU us an import, {STEP} at a time: {steps:?}");
    let (early, late) = (steps[1].max(steps[2]), steps[steps.len() - 2].min(steps[steps.len() - 1]));
    let found = store.segment(APPLICATION, segment).unwrap().unwrap();
    assert_eq!(found.current().unwrap().size, IMPORTS);
    (early, late)
}
