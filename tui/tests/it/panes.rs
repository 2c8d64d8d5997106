//! Every pane of a job's screen with the focus, at each side of each breakpoint and in each state: one snapshot a
//! size and state holds all six.

use std::{fmt::Write as _, time::Duration};

use insta::assert_snapshot;
use pinport_model::{
    JobStatus,
    view::{JobView, PieceRun, PieceState},
};
use pinport_tui::{Connection, Dashboard, Message, Options, Symbols};

use crate::fixtures::*;

const SIZES: [(u16, u16); 7] = [(20, 6), (40, 10), (59, 19), (60, 20), (80, 24), (109, 30), (120, 40)];

fn running(second: u64) -> Vec<JobView> {
    vec![job(1, JobStatus::Processing, second)]
}

/// All panes, one after the other, and then the same pane as at first.
fn panes(dashboard: &mut Dashboard, width: u16, height: u16) -> String {
    let mut text = String::new();
    for _ in 0..6 {
        let _ = writeln!(text, "{}", screen(dashboard, width, height));
        press(dashboard, "tab");
    }
    text
}

#[test]
fn at_every_size() {
    let mut dashboard = opened(running, 30);
    for (width, height) in SIZES {
        assert_snapshot!(format!("panes_{width}x{height}"), panes(&mut dashboard, width, height));
    }
}

#[test]
fn in_every_state() {
    let failing = |second| vec![JobView { error: None, ..job(4, JobStatus::Failing, 20 + second) }];
    let failed = |second| vec![job(4, JobStatus::Failed, 20 + second)];
    let lost = {
        let mut dashboard = opened(running, 30);
        let reason = "connection refused".into();
        let retry_in = Duration::from_secs(4);
        dashboard.update(Message::Connection(Connection::Disconnected { reason, retry_in }));
        dashboard.update(Message::Tick(at(40_000)));
        dashboard
    };
    let many = {
        let mut dashboard = opened(running, 30);
        let mut view = detail(job(1, JobStatus::Processing, 31));
        let object = view.objects[1].clone();
        view.objects = (0..1000).map(|_| object.clone()).collect();
        view.job.progress.objects_total = 10_000;
        view.job.progress.pieces_total = 10_000;
        view.pieces = vec![
            PieceRun { state: PieceState::Done, count: 7_000 },
            PieceRun { state: PieceState::Parsing, count: 2 },
        ];
        dashboard.update(Message::Detail(Box::new(view)));
        dashboard
    };
    let states = [
        ("created", opened(|_| vec![job(9, JobStatus::Created, 0)], 5)),
        ("failing", opened(failing, 5)),
        ("failed", opened(failed, 5)),
        ("completed", opened(|_| vec![job(3, JobStatus::Completed, 100)], 5)),
        ("disconnected", lost),
        ("many", many),
    ];
    for (state, mut dashboard) in states {
        for (width, height) in [(20, 6), (80, 24), (120, 40)] {
            assert_snapshot!(format!("panes_{state}_{width}x{height}"), panes(&mut dashboard, width, height));
        }
    }
}

#[test]
fn the_overview_in_every_state_at_every_size() {
    let many = |second| {
        let statuses =
            [JobStatus::Completed, JobStatus::Processing, JobStatus::Failed, JobStatus::PendingJob];
        (0..10_000).map(|number| job(number, statuses[number as usize % 4], 20 + second)).collect::<Vec<_>>()
    };
    let lost = {
        let mut dashboard = watched(mixed, 30);
        let reason = "connection refused".into();
        let retry_in = Duration::from_secs(4);
        dashboard.update(Message::Connection(Connection::Disconnected { reason, retry_in }));
        dashboard.update(Message::Tick(at(40_000)));
        dashboard
    };
    let failed = {
        let mut dashboard =
            watched(|second| vec![job(1, JobStatus::Processing, second), job(4, JobStatus::Failed, 60)], 9);
        press(&mut dashboard, "j");
        dashboard
    };
    let states = [
        ("empty", watched(|_| Vec::new(), 3)),
        ("failed", failed),
        ("disconnected", lost),
        ("many", watched(many, 2)),
    ];
    for (state, dashboard) in states {
        for (width, height) in [(20, 6), (40, 10), (59, 19), (60, 20), (99, 30), (100, 30), (120, 40)] {
            assert_snapshot!(format!("overview_{state}_{width}x{height}"), screen(&dashboard, width, height));
        }
    }
}

#[test]
fn an_import_of_this_process() {
    let options =
        Options { server: String::new(), one_import: true, open: Some(id(1)), ..options(Symbols::Unicode) };
    let mut dashboard = watched_with(options, running, 30);
    dashboard.update(Message::Connection(Connection::InProcess));
    dashboard.update(Message::Detail(Box::new(detail(running(30).remove(0)))));
    assert_snapshot!("one_import_100x30", screen(&dashboard, 100, 30));
    press(&mut dashboard, "q");
    assert_snapshot!("one_import_leave_80x24", screen(&dashboard, 80, 24));
    assert_snapshot!("one_import_leave_20x6", screen(&dashboard, 20, 6));
}
