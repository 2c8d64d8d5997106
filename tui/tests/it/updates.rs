//! Messages and the state changes that they cause.

use std::{collections::HashSet, time::Duration};

use pinport_model::{
    JobStatus,
    history::HistoryPoint,
    view::{Event, JobHistory, Machine, Past, Sample},
};
use pinport_tui::{Connection, Dashboard, Effect, FailuresPage, FailuresQuery, Message, Symbols};
use ratatui::{
    buffer::Cell,
    style::{Color, Modifier},
};

use crate::fixtures::*;

#[test]
fn rates_use_elapsed_time() {
    // Samples come at uneven times; 50,000 rows a second all the same.
    let mut dashboard = Dashboard::new(options(Symbols::Unicode));
    for (sequence, millis) in (1..).zip([0_i64, 300, 2_100, 2_200, 7_000, 9_500]) {
        let mut view = job(3, JobStatus::Processing, 1);
        view.progress.parsed = millis as u64 * 50;
        view.progress.bytes = millis as u64 * 25_000;
        let mut sample = sample(0, vec![view]);
        (sample.sequence, sample.time) = (sequence, at(millis));
        dashboard.update(Message::Sample(Box::new(sample)));
    }
    let text = screen(&dashboard, 120, 20);
    assert!(text.contains("50,000 rows/s") && text.contains("25.0 MB/s"), "{text}");
}

#[test]
fn lost_samples_are_counted() {
    let mut dashboard = watched(mixed, 3);
    for sequence in [5, 9, 9, 10, 2, 3] {
        let mut sample = sample(4, mixed(4));
        sample.sequence = sequence;
        dashboard.update(Message::Sample(Box::new(sample)));
    }
    assert!(screen(&dashboard, 120, 10).contains("3 samples lost"));
}

#[test]
fn a_frozen_screen_does_not_change_and_catches_up() {
    let mut dashboard = watched(mixed, 3);
    press(&mut dashboard, "space");
    let before = screen(&dashboard, 120, 14);
    dashboard.update(Message::Tick(at(4_000)));
    dashboard.update(Message::Sample(Box::new(sample(4, Vec::new()))));
    let rows = |text: &str| text.lines().skip(2).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rows(&screen(&dashboard, 120, 14)), rows(&before));
    press(&mut dashboard, "space");
    assert!(screen(&dashboard, 120, 14).contains("no jobs yet"));
}

#[test]
fn the_selection_follows_its_job() {
    let mut dashboard = watched(mixed, 3);
    press(&mut dashboard, "j");
    let mut jobs = mixed(4);
    jobs.insert(0, job(100, JobStatus::Processing, 1));
    dashboard.update(Message::Sample(Box::new(sample(4, jobs.clone()))));
    assert_eq!(press(&mut dashboard, "c"), [pinport_tui::Effect::Copy(id(2).to_string())]);
    // When it leaves the list, the row stays.
    jobs.retain(|job| job.id != id(2));
    dashboard.update(Message::Sample(Box::new(sample(5, jobs))));
    assert_eq!(press(&mut dashboard, "c"), [pinport_tui::Effect::Copy(id(3).to_string())]);
}

#[test]
fn filters() {
    let shown = |filter: &str| {
        let mut dashboard = watched(mixed, 3);
        press(&mut dashboard, "/");
        type_text(&mut dashboard, filter);
        press(&mut dashboard, "enter");
        let text = screen(&dashboard, 120, 40);
        let line = text.lines().find(|line| line.starts_with("showing")).map(str::to_owned);
        line.map_or(10, |line| line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap())
    };
    assert_eq!(shown(""), 10);
    assert_eq!(shown("running"), 2);
    assert_eq!(shown("SHOP"), 3);
    assert_eq!(shown("!shop"), 7);
    assert_eq!(shown("shop !paused"), 2);
    assert_eq!(shown("status:cancel"), 2);
    assert_eq!(shown("status:PENDING_JOB"), 1);
    assert_eq!(shown(&id(4).to_string()), 1);
    assert_eq!(shown("contacts-eu json"), 5);
    assert_eq!(shown("nothing like it"), 0);
}

#[test]
fn every_order_keeps_every_job() {
    let mut dashboard = watched(mixed, 3);
    for _ in 0..13 {
        for keys in ["s", "r"] {
            press(&mut dashboard, keys);
            press(&mut dashboard, "g");
            let mut seen = std::collections::HashSet::new();
            for _ in 0..10 {
                seen.insert(format!("{:?}", press(&mut dashboard, "c")));
                press(&mut dashboard, "j");
            }
            assert_eq!(seen.len(), 10);
        }
    }
    // Failures: the most first.
    let mut dashboard = watched(mixed, 3);
    press(&mut dashboard, "S S S S");
    let text = screen(&dashboard, 120, 14);
    assert!(text.contains("FAILE▼"), "{text}");
}

#[test]
fn a_stall_is_shown_and_ends() {
    let stuck = |second: u64| vec![job(1, JobStatus::Processing, second.min(5))];
    let mut dashboard = watched(stuck, 20);
    assert!(screen(&dashboard, 120, 10).contains("stalled"));
    dashboard.update(Message::Sample(Box::new(sample(21, vec![job(1, JobStatus::Processing, 6)]))));
    assert!(!screen(&dashboard, 120, 10).contains("stalled"));
}

#[test]
fn connections_come_and_go() {
    let mut dashboard = watched(mixed, 3);
    let reason = "timed out".to_owned();
    let lost = Connection::Disconnected { reason, retry_in: Duration::from_millis(2_500) };
    dashboard.update(Message::Connection(lost));
    assert!(screen(&dashboard, 120, 10).contains("retry in 3s · timed out"));
    dashboard.update(Message::Tick(at(6_000)));
    assert!(screen(&dashboard, 120, 10).contains("retrying"));
    dashboard.update(Message::Connection(Connection::Connected));
    // After a restart of the server, no samples count as lost.
    let mut fresh = sample(7, mixed(7));
    fresh.sequence = 900;
    dashboard.update(Message::Sample(Box::new(fresh)));
    assert!(!screen(&dashboard, 120, 10).contains("lost"));
    press(&mut dashboard, "e");
    let text = screen(&dashboard, 120, 10);
    assert!(text.contains("connected again") && text.contains("disconnected: timed out"), "{text}");
}

#[test]
fn answers_to_old_requests_are_dropped() {
    let mut dashboard = opened(|second| vec![job(1, JobStatus::Processing, second)], 30);
    press(&mut dashboard, "f enter");
    let before = screen(&dashboard, 80, 24);
    let query = FailuresQuery { job: id(1), class: None, search: "other".into() };
    dashboard.update(Message::Failures(FailuresPage { query, entries: Vec::new(), more: false }));
    dashboard.update(Message::Detail(Box::new(detail(job(2, JobStatus::Failed, 9)))));
    assert_eq!(screen(&dashboard, 80, 24), before);
}

#[test]
fn a_server_s_history_reaches_further_back() {
    let mut dashboard = watched(|second| vec![job(1, JobStatus::Processing, 100 + second)], 3);
    press(&mut dashboard, "enter");
    let mut view = detail(job(1, JobStatus::Processing, 103));
    view.history = (0..=100_u64)
        .map(|second| HistoryPoint {
            time: at(second.cast_signed() * 1000 - 100_000),
            records: second * 50_000,
            bytes: 0,
            failed: 0,
        })
        .collect();
    dashboard.update(Message::Detail(Box::new(view)));
    press(&mut dashboard, "tab tab tab");
    let text = screen(&dashboard, 80, 24);
    assert!(text.contains("rows/s over 1m43s"), "{text}");
}

fn point(millis: i64, records: u64) -> HistoryPoint {
    HistoryPoint { time: at(millis), records, bytes: records * 500, failed: 0 }
}

/// A first sample whose server knows the last 100 seconds of a job, at 50,000 records a second, and an event.
fn first_sample(second: u64) -> Message {
    let running = vec![job(1, JobStatus::Processing, 100 + second)];
    let points: Vec<_> =
        (0..=100 + second).map(|s| point(s.cast_signed() * 1000 - 100_000, s * 50_000)).collect();
    let event =
        |time, text: &str| Event { time: at(time), job: Some(id(1)), application: None, text: text.into() };
    let past = Past {
        events: vec![event(-100_000, "CREATED s3://contacts"), event(-99_000, "PROCESSING")],
        server: points.clone(),
        jobs: vec![JobHistory { job: id(1), application: None, points }],
    };
    Message::Sample(Box::new(Sample { past: Some(Box::new(past)), ..sample(second, running) }))
}

#[test]
fn charts_and_events_of_the_time_before_are_there_at_once() {
    let mut dashboard = Dashboard::new(options(Symbols::Unicode));
    dashboard.update(Message::Resize { width: 120, height: 40 });
    dashboard.update(Message::Tick(at(0)));
    dashboard.update(first_sample(0));
    let text = screen(&dashboard, 120, 40);
    assert!(text.contains("rows/s over 1m40s: at most 50,000"), "{text}");
    assert!(text.contains("PROCESSING") && !text.contains("nothing has happened"), "{text}");
    press(&mut dashboard, "e");
    let events = screen(&dashboard, 120, 40);
    let line = |text: &str| events.lines().position(|line| line.contains(text)).unwrap();
    assert!(line("PROCESSING") < line("CREATED s3://contacts"), "newest first: {events}");

    // After an outage a server tells of it again: no event is there twice, and no time is unknown that it knows.
    press(&mut dashboard, "esc");
    let reason = Connection::Disconnected { reason: "gone".into(), retry_in: Duration::from_secs(1) };
    dashboard.update(Message::Connection(reason));
    dashboard.update(Message::Tick(at(30_000)));
    dashboard.update(Message::Connection(Connection::Connected));
    dashboard.update(first_sample(30));
    press(&mut dashboard, "e");
    let events = screen(&dashboard, 120, 40);
    assert_eq!(events.matches("PROCESSING").count(), 1, "{events}");
    press(&mut dashboard, "esc enter");
    let job = screen(&dashboard, 120, 40);
    assert!(job.contains("rows/s over 2m10s: at most 50,000"), "{job}");
}

#[test]
fn the_header_says_how_the_server_is() {
    let machine = |disk_free| Machine {
        disk_free: Some(disk_free),
        disk_reserve: Some(2 << 30),
        cpu: 1.84,
        cpus: 2,
        memory: Some(283 << 20),
        settling: false,
    };
    let shown = |machine: Machine, trouble: Option<&str>| {
        let mut dashboard = watched(mixed, 3);
        let trouble = trouble.map(str::to_owned);
        let sample = Sample { machine: Some(machine), trouble, ..sample(4, mixed(4)) };
        dashboard.update(Message::Sample(Box::new(sample)));
        dashboard
    };
    let head = |dashboard: &Dashboard, width| screen(dashboard, width, 30).lines().next().unwrap().to_owned();
    let well = shown(machine(24 << 30), None);
    let all = "store ok · disk 24.0 GiB free · cpu 1.8/2 · mem 283 MiB";
    assert!(head(&well, 120).contains(all), "{}", head(&well, 120));
    assert!(
        head(&well, 84).contains("store ok") && head(&well, 84).contains("127.0.0.1"),
        "{}",
        head(&well, 84)
    );
    let settling = shown(Machine { settling: true, ..machine(3 << 30) }, None);
    assert!(head(&settling, 120).contains("settling · disk 3.0 GiB free"));
    let short = shown(machine(1 << 30), Some("the disk is full"));
    assert!(head(&short, 120).contains("no room · disk 1.0 GiB free"));
    let stopped = shown(machine(24 << 30), Some("a write failed"));
    assert!(head(&stopped, 120).contains("store stopped"));
}

#[test]
fn a_job_created_here_is_selected() {
    let mut dashboard = watched(|second| vec![job(1, JobStatus::Processing, second)], 3);
    let both = |sequence| {
        let jobs = vec![job(7, JobStatus::Created, 1), job(1, JobStatus::Processing, sequence)];
        Message::Sample(Box::new(sample(sequence, jobs)))
    };
    let acted_on = |dashboard: &mut Dashboard| match &press(dashboard, "x y")[..] {
        [Effect::Cancel(job)] => *job,
        other => panic!("{other:?}"),
    };
    // A filter hides it no longer.
    press(&mut dashboard, "/ z z enter");
    dashboard.update(Message::Created(id(7)));
    dashboard.update(Message::Sample(Box::new(sample(4, vec![job(1, JobStatus::Processing, 4)]))));
    dashboard.update(both(5));
    assert_eq!(acted_on(&mut dashboard), id(7));
    // Once.
    press(&mut dashboard, "j");
    assert_eq!(acted_on(&mut dashboard), id(1));
    dashboard.update(both(6));
    assert_eq!(acted_on(&mut dashboard), id(1));
}

#[test]
fn ticks_within_a_second_draw_nothing() {
    let mut dashboard = watched(mixed, 3);
    let revision = dashboard.revision();
    dashboard.update(Message::Tick(at(3_900)));
    assert_eq!(dashboard.revision(), revision);
    dashboard.update(Message::Tick(at(4_000)));
    assert!(dashboard.revision() > revision);
}

#[test]
fn colours_and_their_absence() {
    let look = |palette| {
        let mut options = options(Symbols::Unicode);
        options.look.palette = palette;
        terminal(&watched_with(options, mixed, 3), 120, 24)
    };
    let coloured = look(pinport_tui::Palette::Many);
    let buffer = coloured.backend().buffer();
    let colours: HashSet<Color> = buffer.content().iter().map(|cell| cell.fg).collect();
    assert!(colours.len() > 3, "{colours:?}");
    // The selected row: one background from end to end, and the state's colour stays.
    let selected: Vec<_> = buffer.content().iter().filter(|cell| cell.bg != Color::Reset).collect();
    assert_eq!(selected.len(), 120);
    assert!(
        selected.iter().all(|cell| cell.bg == selected[0].bg && !cell.modifier.contains(Modifier::DIM)),
        "{selected:?}"
    );
    assert!(selected.iter().any(|cell| cell.symbol() == "▶" && cell.fg == Color::Indexed(31)));
    let plain = look(pinport_tui::Palette::None);
    let reversed = |cell: &&Cell| cell.modifier.contains(Modifier::REVERSED);
    assert_eq!(plain.backend().buffer().content().iter().filter(reversed).count(), 120);
    assert!(
        plain
            .backend()
            .buffer()
            .content()
            .iter()
            .all(|cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset))
    );
}

#[test]
fn a_frame_with_50_jobs_is_cheap() {
    let mut dashboard =
        watched(|second| (0..50).map(|number| job(number, JobStatus::Processing, second)).collect(), 60);
    let mut terminal = terminal(&dashboard, 120, 40);
    let frames = 200;
    let begun = std::time::Instant::now();
    for number in 0..frames {
        let sample =
            sample(61 + number, (0..50).map(|at| job(at, JobStatus::Processing, 61 + number)).collect());
        dashboard.update(Message::Sample(Box::new(sample)));
        terminal.draw(|frame| dashboard.draw(frame)).unwrap();
    }
    let millis = begun.elapsed().as_secs_f64() * 1000.0 / f64::from(u32::try_from(frames).unwrap());
    println!("{millis:.3} ms a sample and frame of 120x40 with 50 jobs");
    // A generous limit, so that a busy machine does not fail it. It guards against work for invisible rows.
    assert!(millis < 50.0, "{millis} ms");
}

/// What is not known is not drawn, and what was known says when it was true.
#[test]
fn an_outage_is_a_gap_and_rows_are_dim_while_it_lasts() {
    let mut dashboard = opened(|second| vec![job(1, JobStatus::Processing, second)], 30);
    let peak =
        |text: &str| text.split("at most ").nth(1).and_then(|rest| rest.split(',').next()).map(str::to_owned);
    let before = peak(&screen(&dashboard, 100, 30)).unwrap();
    press(&mut dashboard, "esc");
    let lost = Connection::Disconnected { reason: "timed out".into(), retry_in: Duration::from_secs(1) };
    dashboard.update(Message::Connection(lost));
    let text = screen(&dashboard, 100, 12);
    assert!(text.contains("as it was at 14:13:50"), "{text}");
    let drawn = terminal(&dashboard, 100, 12).backend().buffer().clone();
    let (row, line) = (0..).zip(text.lines()).find(|(_, line)| line.contains("▶ run")).unwrap();
    let at = line.chars().position(|found| found == '▶').unwrap();
    assert!(drawn[(at as u16, row)].modifier.contains(Modifier::DIM), "{text}");

    dashboard.update(Message::Connection(Connection::Connected));
    dashboard.update(Message::Sample(Box::new(sample(60, vec![job(1, JobStatus::Processing, 90)]))));
    let text = screen(&dashboard, 100, 12);
    assert!(!text.contains("as it was"), "{text}");
    press(&mut dashboard, "enter");
    let text = screen(&dashboard, 100, 30);
    assert!(text.contains("····"), "{text}");
    // The records of the outage came at twice the rate, as far as anybody knows.
    assert_eq!(peak(&text).unwrap(), before, "{text}");
}
