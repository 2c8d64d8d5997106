//! What depends on the inside of the engine: how commits wait for compaction.

#![allow(clippy::field_reassign_with_default, reason = "a draft has private members")]

use std::{sync::mpsc, thread, time::Duration};

use pinport_model::{Channel, Draft, Format, ImportDefinition, Origin, SourceLocation, TextMember};

use super::*;
use crate::{DraftBatch, DraftKind};

const APPLICATION: ApplicationId = ApplicationId::from_bytes([1; 16]);
const JOB: JobId = JobId::from_bytes([2; 16]);
/// Long enough for any commit that does not wait.
const NO_WAIT: Duration = Duration::from_millis(300);
const AT_MOST: Duration = Duration::from_secs(120);

/// A store with a job whose commits wait at so many files in level 0; whether compaction makes room by itself.
fn begin(folder: &Path, hold: u32, compacts: bool) -> Embedded {
    let options =
        EmbeddedOptions { level0_trigger: hold - 4, max_level0_files: hold, ..EmbeddedOptions::default() };
    let store = Embedded::open(folder, options).unwrap();
    if !compacts {
        compact(&store, false);
    }
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
    store.engine.db.set_options(&[("disable_auto_compactions", disabled)]).unwrap();
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

fn level0_files(store: &Embedded) -> u64 {
    store.engine.property("rocksdb.num-files-at-level0").unwrap()
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
        *store.engine.stopped.lock() = Some("a write failed".into());
        let ended = commits.recv_timeout(AT_MOST).expect("it gives up");
        assert!(matches!(ended, Err(StoreError::Stopped(_))), "{ended:?}");
    });
}

#[test]
fn settling_joins_small_files_that_lie_next_to_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = begin(folder.path(), 4800, true);
    // Ids ascend, so each piece lies behind the one before and its files sink to the last level.
    for piece in 0..20 {
        commit_as(&store, piece, |piece, record| format!("{piece:02}-{record}")).unwrap();
    }
    let files = || store.engine.db.live_files().unwrap().len();
    assert!(files() >= 4 * 20, "endpoints, members, links and pieces: {} files", files());
    store.settle().unwrap();
    // Each of these in one, and what was in the log.
    assert!(files() <= 2 * 4, "{} files", files());
}
