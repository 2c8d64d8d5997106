//! Every screen at each side of each breakpoint, in each state.

use std::time::Duration;

use insta::assert_snapshot;
use pinport_model::{
    Format, JobStatus, ReadOptions, RejectPlace,
    view::{PieceRun, PieceState},
};
use pinport_tui::{
    Connection, Effect, FailuresPage, FailuresQuery, Message, Options, RecordBytes, RecordQuery, Symbols,
};

use crate::fixtures::*;

const SIZES: [(u16, u16); 7] = [(20, 6), (40, 10), (59, 19), (60, 20), (80, 24), (109, 30), (120, 40)];

fn running(second: u64) -> Vec<pinport_model::view::JobView> {
    vec![job(1, JobStatus::Processing, second)]
}

#[test]
fn overview_at_every_size() {
    let dashboard = watched(mixed, 30);
    for (width, height) in SIZES {
        assert_snapshot!(format!("overview_{width}x{height}"), screen(&dashboard, width, height));
    }
    assert_snapshot!("overview_200x30", screen(&dashboard, 200, 30));
}

#[test]
fn overview_in_every_state() {
    let empty = watched(|_| Vec::new(), 1);
    assert_snapshot!("overview_empty", screen(&empty, 80, 10));

    let mut connecting = pinport_tui::Dashboard::new(options(Symbols::Unicode));
    connecting.update(Message::Tick(at(0)));
    assert_snapshot!("overview_connecting", screen(&connecting, 80, 5));

    let lost =
        Connection::Disconnected { reason: "connection refused".into(), retry_in: Duration::from_secs(4) };
    connecting.update(Message::Connection(lost.clone()));
    assert_snapshot!("overview_never_connected", screen(&connecting, 80, 5));

    let mut dashboard = watched(mixed, 30);
    dashboard.update(Message::Connection(lost));
    dashboard.update(Message::Tick(at(32_500)));
    assert_snapshot!("overview_disconnected", screen(&dashboard, 100, 12));

    let mut stale = watched(mixed, 30);
    stale.update(Message::Tick(at(42_000)));
    assert_snapshot!("overview_stale_and_stalled", screen(&stale, 100, 8));

    let mut dashboard = watched_with(Options { read_only: true, ..options(Symbols::Unicode) }, mixed, 30);
    let mut late = sample(40, mixed(40));
    late.sequence = 38;
    dashboard.update(Message::Sample(Box::new(late)));
    press(&mut dashboard, "space");
    assert_snapshot!("overview_frozen_lossy_read_only", screen(&dashboard, 120, 8));

    press(&mut dashboard, "s s s s s s s s s r t t t");
    assert_snapshot!("overview_sorted_and_filtered", screen(&dashboard, 120, 10));
    press(&mut dashboard, "/");
    type_text(&mut dashboard, "!news status:f");
    assert_snapshot!("overview_while_filtering", screen(&dashboard, 80, 8));

    assert_snapshot!("overview_ascii", screen(&watched_with(options(Symbols::Ascii), mixed, 30), 100, 30));
}

#[test]
fn ten_thousand_jobs() {
    let statuses = [JobStatus::Completed, JobStatus::Processing, JobStatus::Failed, JobStatus::PendingJob];
    let jobs = |second| {
        (0..10_000).map(|number| job(number, statuses[number as usize % 4], 20 + second)).collect::<Vec<_>>()
    };
    let mut dashboard = watched(jobs, 2);
    press(&mut dashboard, "pgdn pgdn j j");
    assert_snapshot!("jobs_10000", screen(&dashboard, 100, 30));
    press(&mut dashboard, "G");
    assert_snapshot!("jobs_10000_last", screen(&dashboard, 60, 10));
}

#[test]
fn job_at_every_size() {
    let dashboard = opened(running, 30);
    for (width, height) in SIZES {
        assert_snapshot!(format!("job_{width}x{height}"), screen(&dashboard, width, height));
    }
}

#[test]
fn job_in_every_state() {
    let mut dashboard = watched(running, 5);
    press(&mut dashboard, "enter");
    assert_snapshot!("job_without_details", screen(&dashboard, 80, 24));

    let mut dashboard = opened(|second| vec![job(4, JobStatus::Failed, 20 + second)], 5);
    assert_snapshot!("job_failed", screen(&dashboard, 80, 24));
    press(&mut dashboard, "tab tab tab tab tab");
    assert_snapshot!("job_definition_pane", screen(&dashboard, 60, 12));

    let done = opened(|_| vec![job(3, JobStatus::Completed, 100)], 5);
    assert_snapshot!("job_completed", screen(&done, 110, 30));

    let waiting = opened(|_| vec![job(2, JobStatus::PendingJob, 0)], 5);
    assert_snapshot!("job_waiting", screen(&waiting, 80, 24));

    // Without stages of its own, the counters of the progress tell.
    let mut plain = opened(running, 30);
    let mut view = detail(job(1, JobStatus::Processing, 32));
    view.stages.clear();
    plain.update(Message::Detail(Box::new(view)));
    press(&mut plain, "tab tab");
    assert_snapshot!("job_stages_by_share", screen(&plain, 60, 12));
}

#[test]
fn a_chart_over_a_life() {
    let wave = |second: u64| {
        let mut view = job(1, JobStatus::Processing, second);
        // Faster and faster, a pause, then on at a third.
        let parsed = match second {
            0..60 => second * second * 20,
            60..80 => 72_000,
            _ => 72_000 + (second - 80) * 800,
        };
        (view.progress.parsed, view.progress.bytes) = (parsed, parsed * 500);
        vec![view]
    };
    let mut dashboard = watched(wave, 119);
    assert_snapshot!("overview_chart", screen(&dashboard, 80, 30));
    press(&mut dashboard, "enter tab tab tab");
    assert_snapshot!("job_chart", screen(&dashboard, 80, 30));
    assert_snapshot!("job_chart_small", screen(&dashboard, 30, 10));
}

#[test]
fn ten_thousand_pieces() {
    let mut dashboard = opened(running, 30);
    let mut view = detail(job(1, JobStatus::Processing, 31));
    let run = |state, count| PieceRun { state, count };
    view.job.progress.pieces_total = 10_000;
    view.pieces = vec![
        run(PieceState::Done, 3_333),
        run(PieceState::Failed, 1),
        run(PieceState::Done, 1_666),
        run(PieceState::Committing, 1),
        run(PieceState::Parsing, 3),
        run(PieceState::Reading, 2),
    ];
    dashboard.update(Message::Detail(Box::new(view)));
    press(&mut dashboard, "tab");
    assert_snapshot!("pieces_10000", screen(&dashboard, 100, 30));
    assert_snapshot!("pieces_10000_small", screen(&dashboard, 40, 10));
}

#[test]
fn failures() {
    let mut dashboard = opened(running, 30);
    press(&mut dashboard, "f j");
    assert_snapshot!("classes_80x24", screen(&dashboard, 80, 24));
    assert_snapshot!("classes_20x6", screen(&dashboard, 20, 6));
    let query = press(&mut dashboard, "enter").into_iter().find_map(|effect| match effect {
        pinport_tui::Effect::RequestFailures(query) => Some(query),
        _ => None,
    });
    assert_snapshot!("entries_of_the_first", screen(&dashboard, 80, 24));
    let query = query.unwrap();
    let entries: Vec<_> =
        (1..4000).map(failure).filter(|failure| query.matches(failure)).take(1000).collect();
    dashboard.update(Message::Failures(FailuresPage { query, entries, more: true }));
    press(&mut dashboard, "pgdn");
    assert_snapshot!("entries_80x24", screen(&dashboard, 80, 24));
    assert_snapshot!("entries_40x10", screen(&dashboard, 40, 10));
    assert_snapshot!("entries_20x6", screen(&dashboard, 20, 6));
    press(&mut dashboard, "enter");
    assert_snapshot!("entry_80x24", screen(&dashboard, 80, 24));
    assert_snapshot!("entry_20x6", screen(&dashboard, 20, 6));

    let mut none = opened(|_| vec![job(3, JobStatus::Completed, 100)], 5);
    press(&mut none, "f");
    assert_snapshot!("classes_none", screen(&none, 60, 8));
}

/// A dashboard that shows a failed record of these bytes, whose fault is at a byte of them.
fn recorded(record: &[u8], fault: Option<usize>) -> pinport_tui::Dashboard {
    let mut dashboard = opened(running, 30);
    press(&mut dashboard, "f enter");
    let query = FailuresQuery { job: id(1), class: None, search: String::new() };
    let place = RejectPlace { part: 1, byte: 90, bytes: record.len() as u64 };
    let mut entries = vec![failure(3), failure(7)];
    (entries[0].column, entries[0].reject) = (None, Some(place));
    let failure = entries[0].clone();
    let effects = dashboard.update(Message::Failures(FailuresPage { query, entries, more: false }));
    let wanted =
        RecordQuery { job: id(1), format: Format::Json, read: ReadOptions::default(), place, failure };
    assert_eq!(effects, [Effect::RequestRecord(wanted.clone())]);
    assert!(screen(&dashboard, 80, 24).contains("asking for its original bytes"));
    let answer = RecordBytes { query: wanted, bytes: Ok(record.to_vec()), fault };
    dashboard.update(Message::Record(Box::new(answer)));
    dashboard
}

#[test]
fn the_failing_record_itself() {
    let record = format!(
        "{{\"Id\":\"{}\",\"ChannelType\":\"PIGEON\",\"Attributes\":{{\"note\":[\"a\x1b[2J{}\"]}}}}",
        "1".repeat(60),
        "long ".repeat(60)
    );
    let mut dashboard = recorded(record.as_bytes(), record.find("\"PIGEON\""));
    assert_snapshot!("record_80x24", screen(&dashboard, 80, 24));
    assert_snapshot!("record_40x20", screen(&dashboard, 40, 20));
    assert_eq!(press(&mut dashboard, "enter"), []);
    assert_snapshot!("record_whole_80x24", screen(&dashboard, 80, 24));
    assert_eq!(press(&mut dashboard, "c"), [Effect::Copy(record)]);
    // The next one has no bytes, and is not asked for.
    assert_eq!(press(&mut dashboard, "esc j"), []);
    assert!(screen(&dashboard, 80, 24).contains("its original bytes are not kept"));
    // The first one is still here.
    assert_eq!(press(&mut dashboard, "k"), []);
    assert!(screen(&dashboard, 80, 24).contains("\"PIGEON\","));
}

#[test]
fn a_whole_record_is_scrolled() {
    let record: String = (0..200).map(|line| format!("cell {line},\n")).collect();
    let mut dashboard = recorded(record.as_bytes(), Some(0));
    press(&mut dashboard, "enter");
    assert!(screen(&dashboard, 80, 24).contains("cell 1,"));
    press(&mut dashboard, "G");
    let end = screen(&dashboard, 80, 24);
    assert!(end.contains("cell 199,") && !end.contains("cell 1,"), "{end}");
}

#[test]
fn events() {
    let mut dashboard = watched(mixed, 5);
    dashboard.update(Message::EffectDone {
        text: "job could not be cancelled: it has ended".into(),
        worked: false,
    });
    assert_snapshot!("notice", screen(&dashboard, 80, 8));
    press(&mut dashboard, "e j");
    assert_snapshot!("events_80x24", screen(&dashboard, 80, 24));
    assert_snapshot!("events_20x6", screen(&dashboard, 20, 6));
}

#[test]
fn help() {
    let mut dashboard = watched(mixed, 5);
    press(&mut dashboard, "?");
    assert_snapshot!("help_80x24", screen(&dashboard, 80, 24));
    assert_snapshot!("help_20x6", screen(&dashboard, 20, 6));
    dashboard.update(Message::Resize { width: 80, height: 24 });
    press(&mut dashboard, "G");
    assert_snapshot!("help_80x24_end", screen(&dashboard, 80, 24));
}

#[test]
fn questions() {
    let mut dashboard = watched(mixed, 5);
    press(&mut dashboard, "x");
    assert_snapshot!("confirm_80x24", screen(&dashboard, 80, 24));
    assert_snapshot!("confirm_20x6", screen(&dashboard, 20, 6));
    press(&mut dashboard, "n w");
    assert_snapshot!("prompt_60x8", screen(&dashboard, 60, 8));
}

#[test]
fn form() {
    let mut dashboard = watched(mixed, 5);
    press(&mut dashboard, "n");
    assert_snapshot!("form_empty_80x24", screen(&dashboard, 80, 24));
    dashboard.update(Message::Paste("nope://bucket/contacts.csv\n".into()));
    press(&mut dashboard, "tab tab tab");
    assert_snapshot!("form_wrong_80x24", screen(&dashboard, 80, 24));
    assert_snapshot!("form_wrong_40x10", screen(&dashboard, 40, 10));
    press(&mut dashboard, "enter");
    assert_snapshot!("form_wrong_20x6", screen(&dashboard, 20, 6));
}

#[test]
fn a_chart_of_each_window() {
    // One record of ten fails in the last ten seconds; ten minutes at one rate lie before.
    let jobs = |second: u64| {
        let mut view = job(1, JobStatus::Processing, second);
        let fast = second.saturating_sub(570) * 9_000;
        view.progress.parsed = second * 1_000 + fast;
        view.progress.bytes = view.progress.parsed * 500;
        view.progress.failed = second.saturating_sub(590) * 1_000;
        vec![view]
    };
    let mut dashboard = watched(jobs, 600);
    for window in ["whole", "1_min", "5_min"] {
        assert_snapshot!(format!("overview_window_{window}"), screen(&dashboard, 100, 26));
        press(&mut dashboard, "z");
    }
    press(&mut dashboard, "z enter tab tab tab");
    assert_snapshot!("job_window_1_min", screen(&dashboard, 80, 24));
    let ascii = watched_with(options(Symbols::Ascii), jobs, 600);
    assert_snapshot!("overview_window_ascii", screen(&ascii, 100, 26));
}

#[test]
fn the_most_is_of_the_window_whatever_the_width() {
    let jobs = |second: u64| {
        let mut view = job(1, JobStatus::Processing, second);
        // A peak of 50,000 a second, five minutes before the end.
        view.progress.parsed = second * 1_000 + if second > 100 { 49_000 } else { 0 };
        vec![view]
    };
    let mut dashboard = watched(jobs, 400);
    let most = |dashboard: &pinport_tui::Dashboard, width| {
        let text = screen(dashboard, width, 30);
        let most = text.split_once("at most ").map(|(_, rest)| rest.split(' ').next().unwrap().to_owned());
        most.unwrap().trim_end_matches(',').replace(',', "").parse::<u64>().unwrap()
    };
    for width in [60, 100, 200] {
        // The whole run keeps a point every few seconds.
        assert!((20_000..=50_000).contains(&most(&dashboard, width)), "{width}");
    }
    assert_eq!(most(&dashboard, 60), most(&dashboard, 200));
    press(&mut dashboard, "z");
    for width in [60, 100, 200] {
        assert_eq!(most(&dashboard, width), 1_000, "the last minute alone");
    }
}
