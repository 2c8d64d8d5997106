//! The engine over real files: pieces do not depend on how they were made, and whatever stops a job leaves
//! it where it can go on.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod house;
mod known;

use std::path::Path;

use pinport_model::{FailureCode, Format, JobStatus, PieceRecord, job::FailureBudget};
use pinport_pipeline::engine::{EngineOptions, JobError, RunOutcome, files};

use self::house::{APPLICATION, House, PIECE, fill, gzip, options, read, rows};

#[test]
fn pieces_do_not_depend_on_blocks_or_threads() {
    for format in [Format::Json, Format::Csv] {
        let mut first: Option<(Vec<PieceRecord>, String, Vec<_>)> = None;
        for (block_bytes, threads, reader_parses) in [
            (512 << 10, 1, false),
            (64, 3, false),
            (1000, 2, false),
            (PIECE as usize, 4, false),
            (512, 1, true),
            (64, 3, true),
        ] {
            let house = House::new();
            fill(&house, format);
            let job = house.job(format);
            let options = EngineOptions { reader_parses, ..options(block_bytes, threads) };
            let RunOutcome { job, stopped, .. } = house.run(job, options, None);
            assert!(stopped.is_none(), "{stopped:?}");
            assert_eq!(job.status, JobStatus::Completed);
            assert_eq!((job.tally.read, job.tally.failed), (1350, 135));
            assert!(job.tally.balances());
            let folder = house.folder(&job);
            let objects = house.objects.path().display().to_string();
            let mut pieces = house.pieces(&job);
            assert!(pieces.len() > 10);
            // Failure texts name the folder, which each round has its own of.
            for class in pieces
                .iter_mut()
                .flat_map(|piece| [&mut piece.tally, &mut piece.total])
                .flat_map(|tally| &mut tally.classes)
            {
                class.example = class.example.replace(&objects, "");
            }
            for piece in &mut pieces {
                piece.failures_len = 0;
            }
            let failures = read(&files::failures_path(&folder)).replace(&objects, "");
            let outcome = (pieces, failures, house.members(&job));
            match &first {
                None => first = Some(outcome),
                Some(first) => assert!(first == &outcome, "{format} {block_bytes} {threads} {reader_parses}"),
            }
        }
    }
}

#[test]
fn a_stopped_job_goes_on_and_ends_the_same() {
    for format in [Format::Json, Format::Csv] {
        let house = House::new();
        fill(&house, format);
        let whole = house.run(house.job(format), options(512, 2), None);
        let stopped_job = house.job(format);
        let mut job = stopped_job.clone();
        let mut stops = 0;
        for stop_at in [1, 3, 4, 8, 15] {
            let outcome = house.run(job, options(512, 2), Some(stop_at));
            job = outcome.job;
            match outcome.stopped {
                Some(JobError::Cancelled) => stops += 1,
                None => break,
                Some(error) => panic!("{error}"),
            }
            assert!(!job.status.is_terminal());
        }
        assert!(stops > 0, "it was never stopped");
        if !job.status.is_terminal() {
            job = house.run(job, options(700, 3), None).job;
        }
        assert_eq!(job.status, JobStatus::Completed);
        assert_eq!(job.tally, whole.job.tally);
        assert_eq!(house.pieces(&job), house.pieces(&whole.job));
        let (one, other) = (house.folder(&job), house.folder(&whole.job));
        assert_eq!(read(&files::failures_path(&one)), read(&files::failures_path(&other)));
        let rejects = |folder: &Path| {
            files::rejects_paths(folder, format).iter().map(|path| read(path)).collect::<Vec<_>>()
        };
        assert_eq!(rejects(&one), rejects(&other));
        assert_eq!(house.members(&job), house.members(&whole.job));
    }
}

#[test]
fn the_later_record_wins_whatever_ran_in_parallel() {
    let house = House::new();
    for object in 0..20 {
        let rows: String = (0..200)
            .map(|row| {
                format!(
                    "{{\"Id\":\"{}\",\"ChannelType\":\"EMAIL\",\"Address\":\"{object}-{row}\"}}\n",
                    row % 50
                )
            })
            .collect();
        house.object(&format!("{object:02}.json"), rows.as_bytes());
    }
    let outcome = house.run(house.job(Format::Json), options(300, 4), None);
    for (id, address) in house.members(&outcome.job) {
        let row = 150 + id.parse::<u64>().unwrap();
        assert_eq!(address.unwrap(), format!("19-{row}"));
    }
}

#[test]
fn a_damaged_object_fails_its_piece_and_no_other_object() {
    let house = House::new();
    house.object("a.json", &rows(Format::Json, 1..2));
    let mut damaged = gzip(&[rows(Format::Json, 2..500)]);
    let middle = damaged.len() / 2;
    damaged[middle..].fill(0xff);
    house.object("b.json.gz", &damaged);
    house.object("c.json", &rows(Format::Json, 501..503));
    let RunOutcome { job, stopped, .. } = house.run(house.job(Format::Json), options(512, 2), None);
    assert!(stopped.is_none(), "{stopped:?}");
    assert_eq!((job.status, job.failed_pieces), (JobStatus::Failed, 1));
    let error = job.error.clone().unwrap();
    assert!(error.contains("b.json.gz is ") && error.contains("at byte"), "{error}");
    let members = house.members(&job);
    for id in ["1", "501", "502"] {
        assert!(members.iter().any(|(member, _)| member == id), "{id} is missing");
    }
    assert!(house.store.segment(APPLICATION, job.id.into()).unwrap().unwrap().current().unwrap().partial);
}

#[test]
fn a_refused_object_is_named() {
    let house = House::new();
    house.object("a.csv", b"Id,ChannelType,Address\n1,EMAIL,a@example.com\n");
    house.object("b.csv", b"Name,Mail\nx,y\n");
    let RunOutcome { job, .. } = house.run(house.job(Format::Csv), options(512, 1), None);
    let error = job.error.unwrap();
    assert!(
        error.contains("b.csv: line 1: the header has none of the columns Id, Address, User.UserId"),
        "{error}"
    );
    assert_eq!((job.status, job.tally.registered), (JobStatus::Failed, 1));
}

#[test]
fn a_job_over_its_failure_budget_is_given_up() {
    let house = House::new();
    fill(&house, Format::Json);
    let mut job = house.job(Format::Json);
    job.definition.max_failures = Some(FailureBudget::Count(20));
    let RunOutcome { job, stopped, .. } = house.run(job, options(512, 2), None);
    assert!(stopped.is_none(), "{stopped:?}");
    assert_eq!(job.status, JobStatus::Failed);
    assert!(job.error.unwrap().contains("over the failure budget"));
    assert!(job.tally.failed > 20 && job.tally.failed < 135, "{}", job.tally.failed);
}

#[test]
fn records_that_ask_the_store_are_judged_in_source_order() {
    let full = |id: &str| {
        format!(
            "{{\"Id\":\"{id}\",\"ChannelType\":\"SMS\",\"Address\":\"{id}\",\"User\":{{\"UserId\":\"u-{id}\"}}}}\n"
        )
    };
    let update = |id: &str| format!("{{\"Id\":\"{id}\",\"Attributes\":{{\"a\":\"b\"}}}}\n");
    let user = |id: &str| format!("{{\"User\":{{\"UserId\":\"u-{id}\"}}}}\n");
    let lines = [
        update("late"),
        user("late"),
        full("early"),
        update("early"),
        user("early"),
        full("late"),
        update("late"),
        user("nobody"),
    ];
    // One row a piece, then all in one piece.
    for (padding, expected_pieces) in [(PIECE as usize, 8), (0, 1)] {
        let text: String = lines.iter().map(|line| format!("{}{line}", " ".repeat(padding))).collect();
        let fresh = House::new();
        fresh.object("a.json", text.as_bytes());
        let RunOutcome { job, .. } = fresh.run(fresh.job(Format::Json), options(512, 3), None);
        assert_eq!(fresh.pieces(&job).len(), expected_pieces);
        let failures: Vec<pinport_model::Failure> = read(&files::failures_path(&fresh.folder(&job)))
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let failed: Vec<_> = failures.iter().map(|failure| (failure.line, failure.code)).collect();
        assert_eq!(
            failed,
            [(1, FailureCode::UnknownEndpoint), (2, FailureCode::UnknownUser), (8, FailureCode::UnknownUser)]
        );
        assert_eq!(job.tally.registered, 5);
        assert_eq!(fresh.members(&job).len(), 2);
        let rejects = read(&files::rejects_paths(&fresh.folder(&job), Format::Json)[0]);
        assert_eq!(
            rejects.lines().map(str::trim).collect::<Vec<_>>(),
            [update("late").trim(), user("late").trim(), user("nobody").trim()]
        );
    }
}

#[test]
fn an_object_that_cannot_be_begun_keeps_its_place() {
    let house = House::new();
    house.object("a.json.gz", b"");
    house.object("b.json", &rows(Format::Json, 1..3));
    let RunOutcome { job, .. } = house.run(house.job(Format::Json), options(512, 1), None);
    assert!(job.error.as_ref().is_some_and(|error| error.contains("a.json.gz")), "{:?}", job.error);
    assert_eq!((job.status, job.failed_pieces, job.tally.registered), (JobStatus::Failed, 1, 2));
    let last = house.store.last_piece(job.id).unwrap().unwrap();
    assert_eq!(last.end.object, 2);
    let objects: Vec<_> =
        last.objects.iter().map(|tally| (tally.object, tally.read, tally.complete)).collect();
    assert_eq!(objects, [(1, 2, true)]);
}
