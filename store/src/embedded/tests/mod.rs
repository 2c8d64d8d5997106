//! What depends on the inside of the engine: how commits wait for compaction.

#![allow(clippy::field_reassign_with_default, reason = "a draft has private members")]

use std::{ops::ControlFlow, sync::mpsc, thread, time::Duration};

use pinport_model::{
    Application, ApplicationId, Channel, Draft, Format, ImportDefinition, ImportJob, JobId, JobStatus,
    Origin, PieceRecord, SegmentId, SourceLocation, TextMember, Timestamp,
    draft::{Attribute, Scalar},
};

use super::{
    keys::{Table, key},
    *,
};
use crate::{DraftBatch, DraftKind, Scope, Store as _, StoreError, Stored};

mod layers;
mod links;
mod members;
mod read_out;

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
    let rows: Vec<_> = (0..20).map(|record| (id_of(piece, record), "somebody".to_owned())).collect();
    commit_rows(store, piece, &rows)
}

/// Commits a piece with these endpoints and users.
fn commit_rows(store: &Embedded, piece: u64, rows: &[(String, String)]) -> Result<()> {
    let job = store.job(JOB)?.unwrap();
    let origin = Origin { object: 0, byte: 0, line: 1 };
    let mut batch = DraftBatch::new(origin, job.created);
    for (id, user) in rows {
        let mut draft = Draft::default();
        draft.channel = Some(Channel::Email);
        draft.set_text(TextMember::Address, Some("somewhere"));
        draft.set_text(TextMember::UserId, Some(user));
        batch.push(&mut draft, DraftKind::Blind, id, b"", origin);
    }
    let mut prepared = store.writer(&job)?.prepare(piece, vec![batch])?;
    prepared.resolve()?;
    prepared.commit(&PieceRecord { piece, ..PieceRecord::default() })
}

/// How many entries begin with a prefix.
fn entries(store: &Embedded, prefix: &[u8]) -> u64 {
    let engine = store.engine().unwrap();
    let mut entries = engine.scan(prefix);
    entries.seek_first();
    let mut count = 0;
    while entries.entry().unwrap().is_some() {
        count += 1;
        entries.forward();
    }
    count
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
    const MEMBERS: u64 = 2 * closing::FOLD_MEMBERS + 8;
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 2000, true);
    let (mut job, origin) = (store.job(JOB).unwrap().unwrap(), Origin { object: 0, byte: 0, line: 1 });
    let segment = SegmentId::from(JOB);
    let rows = || entries(&store, &key(Table::Layers, &[segment.as_bytes()]));
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
