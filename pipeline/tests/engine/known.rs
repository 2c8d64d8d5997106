//! What is known of a job before it ends, and of what it did not read.

use std::{fs, sync::Arc, thread};

use pinport_model::{Format, ImportDefinition, ImportJob, JobStatus, NoticeKind};
use pinport_pipeline::engine::{EngineOptions, JobProgress, RunOutcome};

use crate::house::{House, gzip, options, rows};

#[test]
fn a_plan_names_the_first_objects_it_skips() {
    for empty in [20, 21] {
        let house = House::new();
        for number in 0..empty {
            house.object(&format!("{number:02}.json"), b"");
        }
        let read = rows(Format::Json, 0..100);
        house.object("a.json", &read);
        let RunOutcome { job, .. } = house.run(house.job(Format::Json), options(512, 1), None);
        let plan = job.plan.unwrap();
        assert_eq!((plan.objects, plan.bytes, plan.skipped), (1, read.len() as u64, empty));
        assert_eq!((plan.pieces, plan.pieces_exact), (2, true), "{} bytes", read.len());
        let (named, all) = job.warnings.split_at(20);
        assert!(named.iter().all(|warning| warning.ends_with(".json: it is empty")), "{named:?}");
        match empty {
            20 => assert_eq!(all, [""; 0]),
            _ => assert_eq!(all, ["skipped 21 objects in all; plan.ndjson names them"]),
        }
    }
}

#[test]
fn the_pieces_of_compressed_objects_are_estimated() {
    for name in ["a.json.gz", "A.JSON.GZ"] {
        let house = House::new();
        house.object(name, &gzip(&[rows(Format::Json, 0..300)]));
        let RunOutcome { job, .. } = house.run(house.job(Format::Json), options(512, 1), None);
        assert_eq!(job.status, JobStatus::Completed);
        assert!(!job.plan.unwrap().pieces_exact, "{name}");
    }
}

/// How much is left is known within a quarter from a tenth of the run on, whatever is compressed, and in whichever order.
#[test]
fn what_compressed_objects_hold_is_known_early() {
    let line = |row: u64| {
        let text = format!("{:x}", (row + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).repeat(8);
        format!("{{\"Id\":\"{row}\",\"ChannelType\":\"EMAIL\",\"Address\":\"{text}\"}}\n")
    };
    let lines = |rows: std::ops::Range<u64>| rows.map(line).collect::<String>().into_bytes();
    for packed_first in [true, false] {
        let house = House::new();
        let (plain, packed) = if packed_first { ("b.json", "a.json.gz") } else { ("a.json", "b.json.gz") };
        house.object(plain, &lines(0..100_000));
        house.object(packed, &gzip(&[lines(100_000..160_000)]));
        let job = house.job(Format::Json);
        let job =
            ImportJob { definition: ImportDefinition { piece_bytes: 1 << 20, ..job.definition }, ..job };
        let progress = Arc::new(JobProgress::new(job.id));
        let watcher = {
            let progress = Arc::clone(&progress);
            thread::spawn(move || {
                let mut seen = Vec::new();
                while !progress.snapshot().status.is_terminal() {
                    let now = progress.snapshot();
                    seen.push((now.bytes, now.bytes_total));
                    thread::yield_now();
                }
                seen
            })
        };
        let options = EngineOptions { threads: 1, ..EngineOptions::default() };
        let RunOutcome { job, .. } = house.run_seen(job, options, None, progress);
        let all = job.tally.bytes;
        let seen = watcher.join().unwrap();
        let early: Vec<_> = seen.iter().filter(|(bytes, _)| *bytes > all / 10).collect();
        assert!(early.iter().any(|(bytes, _)| *bytes < all / 2), "nothing was seen in time");
        for (bytes, total) in early {
            assert!(
                total.abs_diff(all) < (all - bytes).max(all / 10) / 4,
                "{bytes}: {total} instead of {all}"
            );
        }
    }
}

#[test]
fn what_an_earlier_run_read_is_counted_apart() {
    let house = House::new();
    let objects = ["a.json", "b.json"].map(|name| {
        let line =
            |row| format!("{{\"Id\":\"{name}{row}\",\"ChannelType\":\"EMAIL\",\"Address\":\"{row}\"}}\n");
        let text: String = (0..300).map(line).collect();
        house.object(name, text.as_bytes());
        text.len() as u64
    });
    let whole = house.run(house.job(Format::Json), options(512, 2), None).job;
    let pieces = house.pieces(&whole);
    // What a run leaves that was stopped in the middle of the second object.
    let stopped = pieces.iter().position(|piece| piece.end.object == 1 && piece.end.byte > 0).unwrap();
    let job = ImportJob { plan: whole.plan.clone(), ..house.job(Format::Json) };
    fs::create_dir(house.folder(&job)).unwrap();
    fs::copy(house.folder(&whole).join("plan.ndjson"), house.folder(&job).join("plan.ndjson")).unwrap();
    let writer = house.store.writer(&job).unwrap();
    for piece in &pieces[..=stopped] {
        writer.prepare(piece.piece, Vec::new()).unwrap().commit(piece).unwrap();
    }
    let progress = Arc::new(JobProgress::new(job.id));
    let RunOutcome { job, stopped: error, .. } =
        house.run_seen(job, options(512, 2), None, Arc::clone(&progress));
    assert!(error.is_none(), "{error:?}");
    assert_eq!(house.pieces(&job), pieces);
    let seen = progress.snapshot();
    let last = &pieces[stopped];
    assert_eq!(seen.before.source_bytes, objects[0] + last.end.byte);
    assert_eq!((seen.before.bytes, seen.before.parsed), (last.total.bytes, last.total.read));
    assert_eq!((seen.source_bytes, seen.source_total), (objects[0] + objects[1], objects[0] + objects[1]));
    assert_eq!((seen.bytes, seen.parsed, seen.registered), (job.tally.bytes, 600, 600));
    assert_eq!((seen.objects_done, seen.pieces_done), (2, pieces.len() as u64));
}

#[test]
fn unknown_members_are_named_once_a_job_and_not_without_bound() {
    let house = House::new();
    let line = |row: u64| {
        let unknown = row / 3;
        format!(
            "{{\"Id\":\"{row}\",\"ChannelType\":\"EMAIL\",\"Address\":\"{row}\",\"Odd{unknown:03}\":1}}\n"
        )
    };
    house.object("a.json", (0..360).map(line).collect::<String>().as_bytes());
    let RunOutcome { job, .. } = house.run(house.job(Format::Json), options(512, 1), None);
    assert!(house.pieces(&job).len() > 2);
    let found: Vec<_> =
        house.store.last_piece(job.id).unwrap().unwrap().total_notices.iter().cloned().collect();
    assert!((60..=101).contains(&found.len()), "{} notices", found.len());
    assert!(found.iter().all(|notice| notice.kind == NoticeKind::UnknownMember));
    assert_eq!((found[0].subject.as_str(), found[0].count), ("\"Odd000\"", 3));
    assert_eq!(found.iter().map(|notice| notice.count).sum::<u64>(), 360);
}
