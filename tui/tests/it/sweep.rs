//! No size makes any screen panic, and nothing is drawn outside it.

use pinport_model::JobStatus;
use pinport_tui::{Dashboard, FailuresPage, FailuresQuery, Message, Symbols};
use ratatui::style::Color;

use crate::fixtures::*;

fn dashboards() -> Vec<Dashboard> {
    let running = |second| {
        let mut jobs = mixed(second);
        jobs[0].progress.pieces_total = 10_000;
        jobs
    };
    let with = |keys: &str| {
        let mut dashboard = opened(running, 12);
        press(&mut dashboard, keys);
        dashboard
    };
    let mut entries = with("f enter");
    let query = FailuresQuery { job: id(1), class: None, search: String::new() };
    let page = FailuresPage { query, entries: (1..200).map(failure).collect(), more: true };
    entries.update(Message::Failures(page));
    press(&mut entries, "G");
    let mut form = with("esc n");
    form.update(Message::Paste("s3://bucket/日本語/".repeat(20)));
    let mut frozen = watched_with(options(Symbols::Ascii), mixed, 12);
    press(&mut frozen, "space / a");
    let mut all = vec![
        Dashboard::new(options(Symbols::Unicode)),
        watched(|_| Vec::new(), 1),
        with("esc"),
        with(""),
        with("f"),
        with("f enter enter"),
        with("esc e"),
        with("?"),
        with("x"),
        with("w"),
        entries,
        form,
        frozen,
    ];
    all.extend(["tab", "tab tab", "tab tab tab", "tab tab tab tab", "backtab j j"].map(with));
    all
}

#[test]
fn every_size_up_to_40_by_30() {
    for mut dashboard in dashboards() {
        for width in 0..=40 {
            for height in 0..=30 {
                screen(&dashboard, width, height);
            }
        }
        // Keys also work after the size has changed.
        dashboard.update(Message::Resize { width: 0, height: 0 });
        press(&mut dashboard, "pgdn pgup G g");
        screen(&dashboard, 3, 2);
    }
}

#[test]
fn large_sizes() {
    for dashboard in dashboards() {
        for (width, height) in
            [(41, 31), (60, 20), (109, 23), (110, 24), (160, 60), (250, 70), (500, 10), (1, 200)]
        {
            screen(&dashboard, width, height);
        }
    }
}

/// With the colours' own tests in `look`: whatever is drawn reads on black and on white, and on the one background that
/// a selected row has.
#[test]
fn nothing_is_drawn_on_a_background_or_in_a_colour_of_its_own() {
    let known = [28, 161, 130, 31].map(Color::Indexed);
    for dashboard in dashboards() {
        let terminal = terminal(&dashboard, 120, 40);
        for cell in terminal.backend().buffer().content() {
            let plain = if cell.bg == Color::Reset { Color::Reset } else { Color::Indexed(16) };
            assert!([Color::Reset, Color::Indexed(254)].contains(&cell.bg), "{cell:?}");
            assert!(cell.fg == plain || known.contains(&cell.fg), "{cell:?}");
        }
    }
}

#[test]
fn something_is_said_at_20_by_6_and_below() {
    let dashboard = opened(|second| vec![job(1, JobStatus::Processing, second)], 12);
    assert!(screen(&dashboard, 20, 6).contains("running"));
    assert!(screen(&dashboard, 20, 1).contains("running"));
    let overview = watched(mixed, 12);
    assert!(screen(&overview, 20, 6).contains("connected"));
    assert!(screen(&overview, 10, 1).contains("run"));
}
