//! What an import costs in the store alone: `cargo run --release -p pinport-store --example import_cost [rows]`.
//!
//! Rows of about 300 bytes with random ids go into a registry with users and a segment, in pieces of 60,000.
//! The folder is made in `STORE_DIR` or the system's temporary one; `SKIP_SETTLE` settles only at the end.
//! Prints CPU time and wall time for the first import, for a second of the same ids, and for settling.

#![allow(clippy::print_stdout, reason = "it is what the example is for")]
#![allow(clippy::unwrap_used, clippy::field_reassign_with_default, reason = "an example may stop")]

use std::{
    env, fs,
    time::{Duration, Instant},
};

use pinport_model::{
    Application, ApplicationId, Attribute, Channel, Draft, Format, ImportDefinition, ImportJob, JobId,
    JobStatus, Origin, PieceRecord, Scalar, SegmentId, SourceLocation, TextMember, Timestamp,
};
use pinport_store::{
    DraftBatch, DraftKind, Store,
    embedded::{Embedded, EmbeddedOptions},
};

const PIECE: u64 = 60_000;
const BATCH: u64 = 600;

fn main() {
    let mut arguments = env::args().skip(1);
    let rows: u64 = arguments.next().map_or(1_000_000, |text| text.parse().unwrap());
    let folder = env::var_os("STORE_DIR").map_or_else(env::temp_dir, Into::into);
    let folder = folder.join(format!("import-cost-{}", std::process::id()));
    let store = Embedded::open(&folder, EmbeddedOptions::default()).unwrap();
    let application = ApplicationId::generate();
    let now = Timestamp::now();
    let made = Application { id: application, name: "bench".into(), created: now, tags: Default::default() };
    store.create_application(&made).unwrap();
    println!(
        "{:10} {:>9} {:>9} {:>9} {:>9} {:>9}  CPU us a row",
        "", "encode", "prepare", "commit", "all", "wall s"
    );
    for name in ["first", "again"] {
        import(&store, application, rows, name);
        if name == "first" && env::var_os("SKIP_SETTLE").is_some() {
            continue;
        }
        let (cpu, start) = (cpu_time(), Instant::now());
        store.settle().unwrap();
        report("settle", rows, &[Duration::ZERO, Duration::ZERO, Duration::ZERO, cpu_time() - cpu], start);
    }
    let start = Instant::now();
    let reads = 20_000;
    for row in 0..reads {
        let id = id_of(mix(row) % rows);
        assert!(store.endpoint(application, &id).unwrap().is_some());
    }
    println!("point get with user: {:.1} us", start.elapsed().as_secs_f64() * 1e6 / reads as f64);
    println!("peak memory: {} MB, disk: {} MB", peak_memory() >> 20, disk(&folder) >> 20);
    drop(store);
    fs::remove_dir_all(&folder).unwrap();
}

fn import(store: &Embedded, application: ApplicationId, rows: u64, name: &str) {
    let definition = ImportDefinition::new(application, SourceLocation::Stdin, Format::Json, 32 << 20);
    let mut job = ImportJob::new(JobId::generate(), definition, Timestamp::now());
    job.definition.segment = Some(SegmentId::from(job.id));
    store.create_job(&job).unwrap();
    let writer = store.writer(&job).unwrap();
    let (cpu, start) = (cpu_time(), Instant::now());
    let mut parts = [Duration::ZERO; 4];
    for piece in 0..rows.div_ceil(PIECE) {
        let began = thread_time();
        let batches = batches(piece * PIECE, rows.min((piece + 1) * PIECE));
        let encoded = thread_time();
        let mut prepared = writer.prepare(piece, batches).unwrap();
        let done = thread_time();
        assert!(prepared.resolve().unwrap().is_empty());
        prepared.commit(&PieceRecord { piece, ..PieceRecord::default() }).unwrap();
        parts[0] += encoded - began;
        parts[1] += done - encoded;
        parts[2] += thread_time() - done;
    }
    parts[3] = cpu_time() - cpu;
    report(name, rows, &parts, start);
    job.status = JobStatus::Completed;
    store.finish_job(&job, false).unwrap();
}

fn report(name: &str, rows: u64, parts: &[Duration; 4], start: Instant) {
    let [encode, prepare, commit, all] = parts.map(|part| part.as_secs_f64() * 1e6 / rows as f64);
    let wall = start.elapsed().as_secs_f64();
    println!("{name:10} {encode:9.2} {prepare:9.2} {commit:9.2} {all:9.2} {wall:9.2}");
}

fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn id_of(row: u64) -> String {
    let (one, two) = (mix(row), mix(!row));
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        one >> 32,
        one >> 16 & 0xffff,
        one & 0xffff,
        two >> 48,
        two & 0xffff_ffff_ffff
    )
}

fn batches(from: u64, to: u64) -> Vec<DraftBatch> {
    let mut batches = Vec::new();
    let mut first = from;
    while first < to {
        let end = to.min(first + BATCH);
        let mut batch = DraftBatch::new(
            Origin { object: 0, byte: first * 500, line: first + 1 },
            Timestamp::from_millis(1),
        );
        batch.reserve(BATCH as usize, BATCH as usize * 360);
        for row in first..end {
            push(&mut batch, row);
        }
        batches.push(batch);
        first = end;
    }
    batches
}

fn push(batch: &mut DraftBatch, row: u64) {
    let id = id_of(row);
    let address = format!("person.{:x}@example.com", mix(row ^ 77));
    let user = format!("user-{:012x}", mix(row / 2) >> 16);
    let plan = ["free", "basic", "gold", "platinum"][(mix(row ^ 5) % 4) as usize];
    let mut draft = Draft::default();
    draft.channel = Some(Channel::Email);
    draft.set_text(TextMember::Address, Some(&address));
    draft.set_text(TextMember::UserId, Some(&user));
    draft.set_text(TextMember::City, Some("Ludwigshafen"));
    draft.set_text(TextMember::Country, Some("DEU"));
    draft.set_text(TextMember::Locale, Some("de_DE"));
    draft.set_text(TextMember::Timezone, Some("Europe/Berlin"));
    draft.set_text(TextMember::Platform, Some("android"));
    draft.set_text(TextMember::EffectiveDate, Some("2026-05-04T10:11:12.123Z"));
    draft.values = vec![
        Scalar::Text(plan),
        Scalar::Text("newsletter"),
        Scalar::Text("spring-campaign"),
        Scalar::Int((mix(row ^ 9) % 1000).cast_signed()),
    ];
    draft.attributes =
        vec![Attribute { name: "interests", start: 1, end: 3 }, Attribute { name: "plan", start: 0, end: 1 }];
    draft.user_attributes = vec![Attribute { name: "score", start: 3, end: 4 }];
    draft.metrics =
        vec![("visits", (mix(row ^ 3) % 100) as f64), ("spent", (mix(row ^ 4) % 10_000) as f64 / 100.0)];
    batch.push(&mut draft, DraftKind::Blind, &id, b"", Origin { object: 0, byte: row * 500, line: row + 1 });
}

/// CPU time of this process.
fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// CPU time of this thread.
fn thread_time() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
}

fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

fn disk(folder: &std::path::Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| match entry.metadata().unwrap() {
            data if data.is_dir() => disk(&entry.path()),
            data => data.len(),
        })
        .sum()
}
