//! What is acknowledged is on the disk: a child process commits pieces and says so, line by line; the parent
//! kills it at any moment and looks. A kill cannot find a missing sync, because the page cache outlives the process:
//! `trace` reads the sync calls, `power` takes the disk away from under the page cache. Both are also run with the
//! syncs switched off, and must notice.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::field_reassign_with_default,
    reason = "tests"
)]

mod child;
mod power;
mod trace;
mod zeroed;

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use child::{APPLICATION, JOB, RECORDS, address_of, id_of};
use pinport_model::{JobId, SegmentId};
use pinport_store::{
    Store, StoreError,
    embedded::{Embedded, EmbeddedOptions},
    record::LAYOUT,
};

const CHILD: &str = "PINPORT_TEST_STORE";

/// The child's work, when this program runs as one; nothing otherwise.
#[test]
fn child_process() {
    if let Some(folder) = std::env::var_os(CHILD) {
        let number = |name| std::env::var(name).unwrap().parse::<u64>().unwrap();
        child::run(Path::new(&folder), number("PIECES"), number("SMALL_PIECE") as usize);
    }
}

/// How a child's pieces are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Each as runs.
    Runs,
    /// Each through the log.
    Log,
}

pub(crate) fn child(program: &mut Command, folder: &Path, pieces: u64, way: Way) -> Command {
    let mut command = Command::new(program.get_program());
    command.args(program.get_args());
    command.args(["--exact", "child_process", "--nocapture", "--test-threads", "1"]);
    let small = if way == Way::Log { 1 << 20 } else { 0 };
    command.env(CHILD, folder).env("PIECES", pieces.to_string()).env("SMALL_PIECE", small.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// A store whose pieces all become runs.
fn open(folder: &Path) -> Embedded {
    Embedded::open(folder, EmbeddedOptions { small_piece: 0, ..Default::default() }).unwrap()
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let place = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}

/// Checks a store whose child had acknowledged piece `acknowledged`; the last piece that is there.
pub(crate) fn check(folder: &Path, acknowledged: Option<u64>) -> Option<u64> {
    let store = open(folder);
    let job = JobId::from_bytes(JOB);
    let last = store.last_piece(job).unwrap().map(|piece| piece.piece);
    assert!(last >= acknowledged, "acknowledged {acknowledged:?}, found {last:?}");
    let pieces = store.pieces(job, 0, usize::MAX).unwrap();
    assert_eq!(pieces.len() as u64, last.map_or(0, |last| last + 1));
    let Ok(Some(segment)) = store.segment(APPLICATION, SegmentId::from(job)) else {
        assert_eq!(last, None);
        return None;
    };
    for piece in 0..=last.map_or(0, |last| last + 1) {
        for record in 0..RECORDS {
            let endpoint = store.endpoint(APPLICATION, &id_of(piece, record)).unwrap();
            let there = last.is_some_and(|last| piece <= last);
            assert_eq!(endpoint.is_some(), there, "piece {piece} of {last:?}, record {record}");
            if let Some(endpoint) = endpoint {
                assert_eq!(endpoint.user.user_attributes["piece"], [piece.to_string()]);
            }
        }
    }
    if let Some(last) = last {
        let shared = store.endpoint(APPLICATION, "shared").unwrap().unwrap();
        assert_eq!(shared.address, Some(address_of(last)), "the last piece that is there wins");
        let user = store.user_endpoints(APPLICATION, &format!("user {last}"), None, usize::MAX).unwrap();
        assert_eq!(user.len(), RECORDS as usize);
    }
    let staged = std::fs::read_dir(folder.join("staging")).unwrap().count();
    assert_eq!(staged, 0, "what was never acknowledged is swept away");
    // The layer is still open; its members are read in a copy in which the job has ended.
    drop(store);
    let copy = tempfile::tempdir().unwrap();
    copy_folder(folder, copy.path());
    let store = open(copy.path());
    let mut ended = store.job(job).unwrap().unwrap();
    ended.status = pinport_model::JobStatus::Completed;
    store.finish_job(&ended, false).unwrap();
    let segment = store.segment(APPLICATION, segment.id).unwrap().unwrap();
    let version = segment.current().unwrap();
    let members = store.members(&segment, version, None, usize::MAX).unwrap();
    let expected = last.map_or(0, |last| (last + 1) * RECORDS + 1);
    assert_eq!(members.len() as u64, expected);
    last
}

#[test]
fn acknowledged_pieces_survive_a_kill() {
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = std::env::var("SEED").map_or(seed, |text| text.parse().unwrap());
    println!("SEED={seed}");
    let mut random = seed | 1;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let folder = tempfile::tempdir().unwrap();
    let mut program = Command::new(std::env::current_exe().unwrap());
    let (mut last, mut torn) = (None, 0);
    for round in 0..10 {
        // One way comes after the other in the same store.
        let way = if round % 3 == 1 { Way::Log } else { Way::Runs };
        let mut running = child(&mut program, folder.path(), u64::MAX, way).spawn().unwrap();
        let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
        // Kill at a random time after a random acknowledgement; in some rounds while the store is opened.
        let (wanted, pause) = (if round % 4 == 3 { 0 } else { next(8) }, Duration::from_micros(next(20_000)));
        let mut acknowledged = last;
        let mut heard = 0;
        while heard < wanted {
            let line = lines.next().unwrap().unwrap();
            if let Some(piece) = line.strip_prefix("acknowledged ") {
                acknowledged = Some(piece.parse().unwrap());
                heard += 1;
            }
        }
        let start = Instant::now();
        while start.elapsed() < pause {
            std::hint::spin_loop();
        }
        running.kill().unwrap();
        running.wait().unwrap();
        for line in lines.map_while(Result::ok) {
            if let Some(piece) = line.strip_prefix("acknowledged ") {
                acknowledged = Some(piece.parse().unwrap());
            }
        }
        last = check(folder.path(), acknowledged);
        torn += u64::from(last > acknowledged);
        println!("round {round}: acknowledged {acknowledged:?}, found {last:?}");
    }
    assert!(last.is_some(), "something was committed");
    println!("10 kills, {torn} with a piece that was durable but not yet acknowledged");
}

#[test]
fn a_second_process_learns_who_holds_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    match Embedded::open(folder.path(), EmbeddedOptions::default()) {
        Err(StoreError::InUse { holder, .. }) => {
            assert!(holder.starts_with(&format!("process {} (", std::process::id())), "{holder}");
            assert!(holder.contains(" since 2"), "{holder}");
        }
        other => panic!("{other:?}"),
    }
    drop(store);
    open(folder.path());
}

#[test]
fn a_newer_layout_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    std::fs::write(folder.path().join("layout"), format!("{}\n", LAYOUT + 1)).unwrap();
    let refused = Embedded::open(folder.path(), EmbeddedOptions::default());
    let is_newer = |error: &StoreError| matches!(error, StoreError::NewerLayout { found, known, .. } if (*found, *known) == (LAYOUT + 1, LAYOUT));
    assert!(refused.as_ref().is_err_and(is_newer), "{refused:?}");
    std::fs::write(folder.path().join("layout"), "one\n").unwrap();
    let refused = Embedded::open(folder.path(), EmbeddedOptions::default());
    assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
}

/// From then on older versions refuse the store.
#[test]
fn an_older_layout_becomes_the_newer_one() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let layout = folder.path().join("layout");
    std::fs::write(&layout, "1\n").unwrap();
    drop(open(folder.path()));
    assert_eq!(std::fs::read_to_string(layout).unwrap(), format!("{LAYOUT}\n"));
}

#[test]
fn a_store_stops_after_a_failed_write() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    child::begin(&store);
    // The folder of staged files goes: the next piece cannot be written.
    std::fs::remove_dir_all(folder.path().join("staging")).unwrap();
    let failed = child::commit(&store, 0);
    assert!(matches!(failed, Err(StoreError::Engine(_))), "{failed:?}");
    std::fs::create_dir(folder.path().join("staging")).unwrap();
    let failed = child::commit(&store, 0);
    assert!(matches!(failed, Err(StoreError::Stopped(_))), "{failed:?}");
    assert!(matches!(store.settle(), Err(StoreError::Stopped(_))));
    drop(store);
    let store = open(folder.path());
    child::commit(&store, 0).unwrap();
}

#[test]
fn commits_wait_for_compaction_and_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        EmbeddedOptions { level0_trigger: 64, max_level0_files: 128, small_piece: 0, ..Default::default() };
    let store = Embedded::open(folder.path(), options).unwrap();
    child::begin(&store);
    // Four files of a piece lie in level 0: past the limit after 32.
    for piece in 0..70 {
        child::commit(&store, piece).unwrap();
    }
    store.settle().unwrap();
    drop(store);
    let files = std::fs::read_dir(folder.path().join("db")).unwrap().map(|entry| entry.unwrap().path());
    let runs = files.filter(|path| path.extension().is_some_and(|suffix| suffix == "sst")).count();
    assert!(runs < 16, "{runs} files are left after settling");
    assert_eq!(check(folder.path(), Some(69)), Some(69));
}

#[test]
fn a_full_disk_is_named() {
    // The kernel's own full disk: whatever is written there fails with ENOSPC.
    if !Path::new("/dev/full").exists() {
        println!("skipped: there is no /dev/full");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    child::begin(&store);
    for number in 0..64 {
        let link = folder.path().join(format!("staging/{number}.sst"));
        std::os::unix::fs::symlink("/dev/full", link).unwrap();
    }
    let failed = child::commit(&store, 0);
    assert!(matches!(failed, Err(StoreError::Full { .. })), "{failed:?}");
    // What was staged is no part of the store, which goes on: the piece is committed when there is room.
    let again = child::commit(&store, 0);
    assert!(matches!(again, Err(StoreError::Full { .. })), "{again:?}");
    for link in std::fs::read_dir(folder.path().join("staging")).unwrap() {
        std::fs::remove_file(link.unwrap().path()).unwrap();
    }
    child::commit(&store, 0).unwrap();
}
