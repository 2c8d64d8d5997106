//! The dashboard with made-up data instead of a server: `cargo run -p pinport-tui --example pretend [JOBS]`.
//! For viewing screens and measuring their cost. Actions are acknowledged but not carried out.

#[allow(dead_code, unreachable_pub, reason = "the fixtures serve the tests first")]
#[path = "../tests/it/fixtures.rs"]
mod fixtures;

use std::{io::Write as _, sync::mpsc, thread, time::Duration};

use pinport_model::{
    JobStatus, Timestamp,
    history::HistoryPoint,
    view::{Event, JobHistory, Machine, Past, Sample},
};
use pinport_tui::{Connection, Effect, FailuresPage, Look, Message, Options, Output, Palette, Symbols, run};

/// What a server knows of the ten minutes before: as many events and points as one keeps.
fn past(begun: Timestamp, jobs: u64) -> Past {
    let before = |seconds: u64| Timestamp::from_millis(begun.as_millis() - seconds.cast_signed() * 1000);
    let event = |number: u64| Event {
        time: before(2 * number),
        job: Some(fixtures::id(1 + number % jobs)),
        application: None,
        text: format!("COMPLETED: {number} read, 0 failed"),
    };
    // Fewer than the first sample says.
    let point = |second: u64| HistoryPoint {
        time: before(600 - second),
        records: second * 20,
        bytes: second * 10_000,
        failed: second / 10,
    };
    let points: Vec<_> = (0..600).map(point).collect();
    let history =
        |number| JobHistory { job: fixtures::id(number), application: None, points: points.clone() };
    Past {
        events: (0..256).rev().map(event).collect(),
        server: points.clone(),
        jobs: (1..=jobs).map(history).collect(),
    }
}

/// A machine of which every figure changes.
fn machine(sequence: u64) -> Machine {
    let disk_free = Some((80 << 30) - (sequence << 20));
    let memory = Some((300 << 20) + ((sequence % 16) << 20));
    let cpu = 1.0 + (sequence % 10) as f64 / 10.0;
    Machine { disk_free, disk_reserve: Some(1 << 30), cpu, cpus: 2, memory, settling: sequence % 40 < 20 }
}

fn main() -> std::io::Result<()> {
    let jobs: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(50);
    let variable = |name: &str| std::env::var(name).ok();
    let look = Look {
        palette: Palette::from_environment(variable),
        symbols: Symbols::from_environment(variable),
        ..Look::default()
    };
    let (sender, messages) = mpsc::sync_channel(64);
    let (asked, effects) = mpsc::sync_channel::<Effect>(64);
    let begun = Timestamp::now();
    let now = move || (Timestamp::now().as_millis() - begun.as_millis()) as u64;
    let view = move |number: u64| {
        let status = if number % 7 == 6 { JobStatus::Completed } else { JobStatus::Processing };
        let mut view = fixtures::job(number, status, now() / 1000);
        let shift = begun.as_millis() - fixtures::START;
        view.created = Timestamp::from_millis(view.created.as_millis() + shift);
        let wave = 1.0 + (now() as f64 / 3000.0 + number as f64).sin() / 2.0;
        view.progress.parsed = now() * 50 + (wave * 30_000.0) as u64;
        view.progress.bytes = view.progress.parsed * 500;
        view.progress.source_bytes = view.progress.bytes.min(view.progress.source_total);
        view
    };
    let samples = sender.clone();
    thread::spawn(move || {
        let _ = samples.try_send(Message::Connection(Connection::Connected));
        for sequence in 1.. {
            let sample = Sample {
                sequence,
                time: Timestamp::now(),
                jobs: (1..=jobs).map(view).collect(),
                jobs_total: jobs,
                jobs_of: Default::default(),
                bytes_in_flight: 96 << 20,
                bytes_in_flight_limit: 256 << 20,
                trouble: None,
                servers: Vec::new(),
                events: Vec::new(),
                past: (sequence == 1).then(|| Box::new(past(begun, jobs))),
                machine: Some(machine(sequence)),
            };
            // Drop samples that a stopped dashboard does not take.
            let _ = samples.try_send(Message::Sample(Box::new(sample)));
            // As often as a server does.
            thread::park_timeout(Duration::from_millis(250));
        }
    });
    thread::spawn(move || {
        for effect in effects {
            let answer = match effect {
                Effect::RequestDetail(id) => {
                    let Some(number) = (1..=jobs).find(|number| fixtures::id(*number) == id) else {
                        continue;
                    };
                    Message::Detail(Box::new(fixtures::detail(view(number))))
                }
                Effect::RequestFailures(query) => {
                    let entries = (1..9999).map(fixtures::failure).filter(|failure| query.matches(failure));
                    let entries = entries.take(1000).collect();
                    Message::Failures(FailuresPage { query, entries, more: true })
                }
                effect => Message::EffectDone { text: format!("pretended: {effect:?}"), worked: true },
            };
            if sender.send(answer).is_err() {
                return;
            }
        }
    });
    let options = Options { server: "pretended".into(), look, ..Options::default() };
    let summary = run(options, Output::Stdout, &messages, |effect| _ = asked.send(effect))?;
    std::io::stdout().write_all(summary.as_bytes())
}
