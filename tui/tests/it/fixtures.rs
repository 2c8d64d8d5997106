//! A server's jobs at fixed moments.
#![allow(clippy::unwrap_used, reason = "fixtures are right or a test fails")]

use pinport_model::{
    ApplicationId, Failure, FailureClass, FailureCode, Format, ImportDefinition, JobId, JobStatus,
    ObjectTally, RecordLimits, Timestamp,
    job::FailureBudget,
    progress::{Progress, StageTimes},
    view::{Event, JobDetail, JobView, ObjectView, PieceRun, PieceState, Sample, StageName, StageView},
};
use pinport_tui::{
    Connection, Dashboard, Effect, Look, Message, Options, Palette, Symbols,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
};
use ratatui::{Terminal, backend::TestBackend};

/// 2026-09-21T14:13:20Z.
pub(crate) const START: i64 = 1_790_000_000_000;

pub(crate) fn id(number: u64) -> JobId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(0x0190_0000_0000_0000 + number).to_be_bytes());
    bytes[8..].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    JobId::from_bytes(bytes)
}

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(START + millis)
}

/// A job that has read for `seconds`, 50,000 records and 25 MB a second.
pub(crate) fn job(number: u64, status: JobStatus, seconds: u64) -> JobView {
    let source_total = 2_500_000_000;
    let ended = status.is_terminal();
    let started = !matches!(status, JobStatus::Created | JobStatus::PendingJob);
    let seconds = match status {
        JobStatus::Completed => 100,
        _ if started => seconds,
        _ => 0,
    };
    let bytes = (25_000_000 * seconds).min(source_total);
    let parsed = bytes / 500;
    let failed = if number.is_multiple_of(3) { 0 } else { parsed / 10_000 };
    JobView {
        id: id(number),
        kind: Default::default(),
        application: ApplicationId::from_bytes([number as u8; 16]),
        application_name: ["shop", "newsletter", "loyalty programme"][number as usize % 3].into(),
        source: format!("s3://contacts-{}/2026/09/part-{number:05}.json.gz", ["eu", "us"][number as usize % 2]),
        format: Format::Json,
        segment_name: None,
        created: at(-(number.cast_signed() % 900) * 1000),
        completed: ended.then(|| at(seconds.cast_signed() * 1000)),
        paused: false,
        waits_for: None,
        server: None,
        parts: Vec::new(),
        progress: Progress {
            job: id(number),
            status,
            source_bytes: bytes,
            source_total,
            bytes,
            bytes_total: source_total,
            parsed,
            registered: parsed - failed,
            failed,
            pieces_done: if status == JobStatus::Completed { 75 } else { bytes / (32 << 20) },
            pieces_failed: u64::from(status == JobStatus::Failed),
            pieces_total: source_total.div_ceil(32 << 20),
            objects_done: bytes / 1_000_000_000,
            objects_total: 3,
            before: Default::default(),
            elapsed_ms: seconds * 1000,
            busy_ms: StageTimes {
                fetch: seconds * 250,
                decode: seconds * 400,
                parse: seconds * 1900,
                build: seconds * 700,
                commit: seconds * 150,
            },
        },
        error: (status == JobStatus::Failed)
            .then(|| "piece 7 of s3://contacts-eu/2026/09/part-00004.json.gz could not be read: corrupt gzip at byte 71,303,168".into()),
    }
}

/// A running server at a second: jobs of every kind.
pub(crate) fn sample(second: u64, jobs: Vec<JobView>) -> Sample {
    Sample {
        sequence: second + 1,
        time: at(second.cast_signed() * 1000),
        jobs_total: jobs.len() as u64,
        jobs_of: Default::default(),
        jobs,
        bytes_in_flight: 96 << 20,
        bytes_in_flight_limit: 256 << 20,
        trouble: None,
        servers: Vec::new(),
        events: Vec::new(),
        past: None,
        machine: None,
    }
}

pub(crate) fn mixed(second: u64) -> Vec<JobView> {
    use JobStatus::*;
    let statuses = [
        Processing,
        Processing,
        PendingJob,
        Completing,
        Completed,
        Failed,
        Cancelled,
        Initializing,
        Created,
        Cancelling,
    ];
    let mut jobs: Vec<_> = (1..)
        .zip(statuses)
        .map(|(number, status)| {
            let ended = status.is_terminal();
            job(number, status, if ended { 60 } else { second * number.min(2) })
        })
        .collect();
    jobs[2].paused = true;
    jobs
}

pub(crate) fn failure(line: u64) -> Failure {
    let (code, member, message) = match line % 3 {
        0 => {
            (FailureCode::UnknownValue, Some("ChannelType"), "\"PIGEON\" is not one of ADM, APNS, EMAIL, SMS")
        }
        1 => (
            FailureCode::ValueTooLong,
            Some("Attributes.plan"),
            "the value has 140 characters; at most 100 are allowed",
        ),
        _ => (FailureCode::InvalidJson, None, "expected ',' or '}' behind a member"),
    };
    Failure {
        object: format!("s3://contacts-eu/2026/09/part-{:05}.json.gz", line / 40),
        line,
        byte: line * 531,
        column: line.is_multiple_of(2).then_some(17),
        code,
        member: member.map(str::to_owned),
        message: message.into(),
        reject: None,
    }
}

#[expect(clippy::too_many_lines, reason = "data")]
pub(crate) fn detail(job: JobView) -> JobDetail {
    let progress = job.progress.clone();
    let seconds = progress.elapsed_ms / 1000;
    let failures: Vec<Failure> = (1..=progress.failed.min(100)).map(|line| failure(line * 7)).collect();
    let mut classes: Vec<FailureClass> = Vec::new();
    for failure in &failures {
        let member = failure.class_member().map(str::to_owned);
        match classes.iter_mut().find(|class| class.code == failure.code && class.member == member) {
            Some(class) => class.count += 1,
            None => {
                classes.push(FailureClass {
                    code: failure.code,
                    member,
                    count: 1,
                    example: failure.to_string(),
                });
            }
        }
    }
    if let Some(class) = classes.first_mut() {
        class.count += progress.failed - failures.len() as u64;
    }
    let run = |state, count| PieceRun { state, count };
    let done = progress.pieces_done;
    let active = u64::from(progress.status == JobStatus::Processing);
    let stage = |stage, busy_ms, threads, queued, queue_limit| StageView {
        stage,
        busy_ms,
        threads,
        queued,
        queue_limit,
    };
    JobDetail {
        principal: None,
        definition: ImportDefinition {
            application: job.application,
            source: job.source.parse().unwrap(),
            source_text: job.source.clone(),
            format: job.format,
            register_endpoints: true,
            segment: Some(job.id.into()),
            asked_to_define: None,
            segment_name: Some("autumn".into()),
            role_arn: Some("arn:aws:iam::123456789012:role/import".into()),
            external_id: None,
            piece_bytes: 32 << 20,
            limits: RecordLimits::default(),
            max_failures: Some(FailureBudget::Percent(5.0)),
            kept_failure_bytes: 1 << 30,
            read: Default::default(),
            retry_of: None,
            export: None,
        },
        pieces: vec![
            run(PieceState::Done, done.saturating_sub(if progress.failed > 0 { 3 } else { 2 })),
            run(PieceState::Failed, u64::from(done > 3 && progress.failed > 0)),
            run(PieceState::Done, done.min(2)),
            run(PieceState::Committing, active),
            run(PieceState::Parsing, 2 * active),
            run(PieceState::Reading, active),
        ],
        classes,
        failures,
        objects: (0..3)
            .map(|object| ObjectView {
                name: format!("s3://contacts-eu/2026/09/part-{object:05}.json.gz"),
                size: 850_000_000,
                skipped: (object == 2).then(|| "its name ends in .metadata".into()),
                tally: ObjectTally {
                    object,
                    read: if object == 0 { 2_000_000 } else { 0 },
                    failed: if object == 0 { 12 } else { 0 },
                    bytes: if object == 0 { 1_000_000_000 } else { 0 },
                    complete: object == 0,
                },
            })
            .collect(),
        skipped: 0,
        unkept_failures: 0,
        resumed: 0,
        lost: Vec::new(),
        notices: Default::default(),
        warnings: vec!["the member \"Nickname\" is not known and was ignored".into()],
        stages: vec![
            stage(StageName::Fetch, seconds * 250, 1, 0, 0),
            stage(StageName::Decode, seconds * 400, 1, 2, 8),
            stage(StageName::Parse, seconds * 1900, 2, 15, 16),
            stage(StageName::Build, seconds * 700, 2, 1, 4),
            stage(StageName::Commit, seconds * 150, 1, 0, 4),
        ],
        history: Vec::new(),
        job,
    }
}

pub(crate) fn options(symbols: Symbols) -> Options {
    Options {
        server: "http://127.0.0.1:7465".into(),
        look: Look { palette: Palette::Many, symbols, ..Look::default() },
        ..Options::default()
    }
}

/// A dashboard after `seconds` of samples.
pub(crate) fn watched(jobs: impl Fn(u64) -> Vec<JobView>, seconds: u64) -> Dashboard {
    watched_with(options(Symbols::Unicode), jobs, seconds)
}

pub(crate) fn watched_with(options: Options, jobs: impl Fn(u64) -> Vec<JobView>, seconds: u64) -> Dashboard {
    let mut dashboard = Dashboard::new(options);
    dashboard.update(Message::Tick(at(0)));
    dashboard.update(Message::Connection(Connection::Connected));
    for second in 0..=seconds {
        dashboard.update(Message::Tick(at(second.cast_signed() * 1000)));
        let mut sample = sample(second, jobs(second));
        if second == 2 {
            let job = sample.jobs.first().map(|job| job.id);
            sample.events = vec![
                Event {
                    time: at(1500),
                    job: None,
                    application: None,
                    text: "the server began with 10 jobs".into(),
                },
                Event { time: at(1900), job, application: None, text: "job went on behind piece 12".into() },
            ];
        }
        dashboard.update(Message::Sample(Box::new(sample)));
    }
    dashboard
}

/// A dashboard with the first job open and its details loaded.
pub(crate) fn opened(jobs: impl Fn(u64) -> Vec<JobView>, seconds: u64) -> Dashboard {
    let mut dashboard = watched(&jobs, seconds);
    press(&mut dashboard, "enter");
    for second in [seconds - 1, seconds] {
        dashboard.update(Message::Detail(Box::new(detail(jobs(second).remove(0)))));
    }
    dashboard
}

/// Presses keys by their names and returns all their effects.
pub(crate) fn press(dashboard: &mut Dashboard, keys: &str) -> Vec<Effect> {
    keys.split_whitespace().flat_map(|key| dashboard.update(Message::Key(self::key(key)))).collect()
}

pub(crate) fn type_text(dashboard: &mut Dashboard, text: &str) {
    for character in text.chars() {
        dashboard.update(Message::Key(KeyEvent::new(KeyCode::Char(character), KeyModifiers::NONE)));
    }
}

pub(crate) fn key(name: &str) -> KeyEvent {
    let (name, modifiers) = match name.strip_prefix("ctrl-") {
        Some(name) => (name, KeyModifiers::CONTROL),
        None => (name, KeyModifiers::NONE),
    };
    let code = match name {
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "tab" => KeyCode::Tab,
        "backtab" => KeyCode::BackTab,
        "space" => KeyCode::Char(' '),
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "left" => KeyCode::Left,
        "right" => KeyCode::Right,
        "home" => KeyCode::Home,
        "end" => KeyCode::End,
        "pgup" => KeyCode::PageUp,
        "pgdn" => KeyCode::PageDown,
        "f1" => KeyCode::F(1),
        "backspace" => KeyCode::Backspace,
        name => KeyCode::Char(name.chars().next().unwrap()),
    };
    KeyEvent::new(code, modifiers)
}

pub(crate) fn terminal(dashboard: &Dashboard, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| dashboard.draw(frame)).unwrap();
    terminal
}

/// The screen as text.
pub(crate) fn screen(dashboard: &Dashboard, width: u16, height: u16) -> String {
    let terminal = terminal(dashboard, width, height);
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for y in 0..height {
        let mut line = String::new();
        let mut x = 0;
        while x < width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            // A wide character also covers the next cell.
            x += (unicode_width::UnicodeWidthStr::width(symbol) as u16).max(1);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
