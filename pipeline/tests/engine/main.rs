//! The engine over real files: pieces do not depend on how they were made, and whatever stops a job leaves
//! it where it can go on.
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::{fs, io::Write as _, path::Path, sync::Arc, thread};

use pinport_model::{
    Application, ApplicationId, FailureCode, Format, ImportDefinition, ImportJob, JobId, JobStatus,
    NoticeKind, PieceRecord, SegmentId, SourceLocation, Timestamp, job::FailureBudget,
};
use pinport_pipeline::{
    engine::{Engine, EngineOptions, JobError, JobProgress, Run, RunOutcome, files},
    source::{Settings, Source, SourceOptions},
};
use pinport_store::{Store, memory::Memory};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const PIECE: u64 = 4096;
const APPLICATION: ApplicationId = ApplicationId::from_bytes([1; 16]);

/// A folder of objects, a store, and where the job's files go.
struct House {
    io: Runtime,
    objects: TempDir,
    work: TempDir,
    store: Arc<dyn Store>,
}

impl House {
    fn new() -> Self {
        let store: Arc<dyn Store> = Arc::new(Memory::default());
        let application = Application {
            id: APPLICATION,
            name: "default".into(),
            created: Timestamp::from_millis(0),
            tags: Default::default(),
        };
        store.create_application(&application).unwrap();
        let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { io, objects: tempfile::tempdir().unwrap(), work: tempfile::tempdir().unwrap(), store }
    }

    fn object(&self, name: &str, bytes: &[u8]) {
        fs::write(self.objects.path().join(name), bytes).unwrap();
    }

    fn job(&self, format: Format) -> ImportJob {
        let id = JobId::generate();
        let definition = ImportDefinition {
            source_text: "objects".into(),
            segment: Some(SegmentId::from(id)),
            segment_name: Some("all".into()),
            ..ImportDefinition::new(
                APPLICATION,
                SourceLocation::Path(self.objects.path().to_owned()),
                format,
                PIECE,
            )
        };
        let job = ImportJob::new(id, definition, Timestamp::from_millis(1));
        self.store.create_job(&job).unwrap();
        job
    }

    /// Runs a job; `stop_at` stops it when so many pieces are committed.
    fn run(&self, job: ImportJob, options: EngineOptions, stop_at: Option<u64>) -> RunOutcome {
        let progress = Arc::new(JobProgress::new(job.id));
        self.run_seen(job, options, stop_at, progress)
    }

    fn run_seen(
        &self,
        job: ImportJob,
        options: EngineOptions,
        stop_at: Option<u64>,
        progress: Arc<JobProgress>,
    ) -> RunOutcome {
        let cancel = CancellationToken::new();
        let source_options =
            SourceOptions { cancel: cancel.clone(), settings: Settings::empty(), ..SourceOptions::default() };
        let source = Source::open(&job.definition.source, source_options, self.io.handle().clone()).unwrap();
        let watcher = stop_at.map(|pieces| {
            let (progress, cancel) = (Arc::clone(&progress), cancel.clone());
            thread::spawn(move || {
                while progress.snapshot().pieces_done < pieces && !progress.snapshot().status.is_terminal() {
                    thread::yield_now();
                }
                cancel.cancel();
            })
        });
        let folder = self.folder(&job);
        let run = Run { job, source: Arc::new(source), folder, progress, cancel };
        let outcome = Engine::start(options).unwrap().run(run, Some(&self.store));
        if let Some(watcher) = watcher {
            watcher.join().unwrap();
        }
        outcome
    }

    fn folder(&self, job: &ImportJob) -> std::path::PathBuf {
        self.work.path().join(job.id.to_string())
    }

    fn pieces(&self, job: &ImportJob) -> Vec<PieceRecord> {
        self.store.pieces(job.id, 0, usize::MAX).unwrap()
    }

    fn members(&self, job: &ImportJob) -> Vec<(String, Option<String>)> {
        let segment = self.store.segment(APPLICATION, job.id.into()).unwrap().unwrap();
        let version = segment.current().unwrap();
        let members = self.store.members(&segment, version, None, usize::MAX).unwrap();
        members.into_iter().map(|member| (member.id, member.address)).collect()
    }
}

fn options(block_bytes: usize, threads: usize) -> EngineOptions {
    EngineOptions { block_bytes, threads, bytes_in_flight: 64 << 10, ..EngineOptions::default() }
}

/// Rows of which every tenth is broken, every seventh repeats an id, and some span lines in CSV.
fn rows(format: Format, rows: std::ops::Range<u64>) -> Vec<u8> {
    let mut text = String::new();
    if format == Format::Csv {
        text.push_str("Id,ChannelType,Address,Attributes.note\n");
    }
    for row in rows {
        let id = if row % 7 == 0 { row / 7 } else { row };
        let channel = if row % 10 == 3 { "PIGEON" } else { "EMAIL" };
        match format {
            Format::Json => text.push_str(&format!(
                "{{\"Id\":\"{id}\",\"ChannelType\":\"{channel}\",\"Address\":\"{row}@example.com\"}}\n"
            )),
            Format::Csv => text.push_str(&format!("{id},{channel},{row}@example.com,\"one\ntwo {row}\"\n")),
        }
    }
    text.into_bytes()
}

fn gzip(members: &[Vec<u8>]) -> Vec<u8> {
    members
        .iter()
        .flat_map(|member| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(member).unwrap();
            encoder.finish().unwrap()
        })
        .collect()
}

fn fill(house: &House, format: Format) {
    let suffix = format.suffix();
    house.object(&format!("a.{suffix}"), &rows(format, 0..600));
    house.object(&format!("b.{suffix}.gz"), &gzip(&[rows(format, 600..900), Vec::new()]));
    house.object(&format!("c.{suffix}"), b"");
    for small in 0..30 {
        house.object(&format!("d{small:02}.{suffix}"), &rows(format, 900 + small * 5..905 + small * 5));
    }
    house.object(&format!("e.{suffix}"), &rows(format, 0..300));
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

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
