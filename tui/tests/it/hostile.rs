//! Text from data never controls the terminal.

use insta::assert_snapshot;
use pinport_model::JobStatus;
use pinport_tui::{FailuresPage, FailuresQuery, Message, Symbols};

use crate::fixtures::*;

const HOSTILE: &str =
    "a\x1b[2J\x1b]0;owned\x07b\u{9b}31m\r\n\u{202e}txt.exe\u{200b}\u{2066}\u{61c}\u{e0041}é日本";

fn poisoned() -> pinport_tui::Dashboard {
    let mut bad = job(1, JobStatus::Processing, 10);
    bad.source = format!("s3://b/{HOSTILE}");
    bad.application_name = HOSTILE.into();
    bad.error = Some(HOSTILE.into());
    let jobs = move |_| vec![bad.clone()];
    let mut dashboard = opened(&jobs, 5);
    let mut view = detail(jobs(0).remove(0));
    view.definition.source_text = HOSTILE.into();
    view.definition.role_arn = Some(HOSTILE.into());
    view.warnings = vec![HOSTILE.into()];
    view.objects[0].name = HOSTILE.into();
    view.objects[1].skipped = Some(HOSTILE.into());
    view.classes[0].example = HOSTILE.into();
    view.classes[0].member = Some(HOSTILE.into());
    view.failures[0].message = HOSTILE.into();
    dashboard.update(Message::Detail(Box::new(view)));
    let mut sample = sample(6, jobs(0));
    let event =
        pinport_model::view::Event { time: at(0), job: None, application: None, text: HOSTILE.into() };
    sample.events.push(event);
    dashboard.update(Message::Sample(Box::new(sample)));
    dashboard
}

fn assert_harmless(dashboard: &pinport_tui::Dashboard) {
    for (width, height) in [(20, 6), (80, 24), (200, 50)] {
        let text = screen(dashboard, width, height);
        let bad = text.chars().find(|character| {
            (character.is_control() && *character != '\n')
                || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}')
        });
        assert_eq!(bad, None, "{text}");
    }
}

#[test]
fn every_screen_escapes() {
    let mut dashboard = poisoned();
    assert_snapshot!("hostile_job", screen(&dashboard, 120, 40));
    for keys in ["", "tab", "tab", "tab", "tab", "tab", "w", "esc x", "n f", "enter", "enter", "esc /"] {
        press(&mut dashboard, keys);
        assert_harmless(&dashboard);
    }
    let query = FailuresQuery { job: id(1), class: None, search: String::new() };
    let mut bad = failure(1);
    (bad.object, bad.message, bad.member) = (HOSTILE.into(), HOSTILE.into(), Some(HOSTILE.into()));
    press(&mut dashboard, "esc esc esc f enter");
    dashboard.update(Message::Failures(FailuresPage { query, entries: vec![bad], more: false }));
    assert_snapshot!("hostile_entries", screen(&dashboard, 100, 20));
    assert_harmless(&dashboard);
    press(&mut dashboard, "enter");
    assert_harmless(&dashboard);
    press(&mut dashboard, "esc esc esc esc e");
    assert_harmless(&dashboard);
    press(&mut dashboard, "esc esc n");
    dashboard.update(Message::Paste(HOSTILE.into()));
    assert_harmless(&dashboard);
    dashboard.update(Message::EffectDone { text: HOSTILE.into(), worked: false });
    press(&mut dashboard, "esc");
    assert_snapshot!("hostile_overview", screen(&dashboard, 100, 10));
    assert_harmless(&dashboard);
}

#[test]
fn ascii_screens_are_ascii() {
    let mut bad = job(1, JobStatus::Processing, 10);
    bad.source = HOSTILE.into();
    let mut dashboard = watched_with(options(Symbols::Ascii), move |_| vec![bad.clone()], 5);
    for keys in ["", "enter", "?", "esc f", "esc e", "esc esc n", "esc x"] {
        press(&mut dashboard, keys);
        let text = screen(&dashboard, 100, 40);
        assert!(text.is_ascii(), "{keys}: {text}");
    }
}

#[test]
fn the_linux_console_gets_what_its_font_has() {
    let mut dashboard = watched_with(options(Symbols::Console), mixed, 30);
    for keys in ["", "enter", "?", "esc f", "esc e", "esc esc n", "esc x"] {
        press(&mut dashboard, keys);
        let text = screen(&dashboard, 100, 40);
        let strange =
            text.chars().find(|character| !(character.is_ascii() || "·─│┌┐└┘├┤░▌▄█".contains(*character)));
        assert_eq!(strange, None, "{keys}: {text}");
    }
    assert_snapshot!(
        "overview_console",
        screen(&watched_with(options(Symbols::Console), mixed, 30), 100, 30)
    );
}

#[test]
fn numbers_beyond_reason() {
    let mut huge = job(1, JobStatus::Processing, 10);
    let progress = &mut huge.progress;
    for number in [
        &mut progress.source_bytes,
        &mut progress.source_total,
        &mut progress.bytes,
        &mut progress.parsed,
        &mut progress.registered,
        &mut progress.failed,
        &mut progress.pieces_done,
        &mut progress.pieces_failed,
        &mut progress.pieces_total,
        &mut progress.objects_done,
        &mut progress.objects_total,
        &mut progress.elapsed_ms,
        &mut progress.busy_ms.parse,
    ] {
        *number = u64::MAX;
    }
    huge.created = pinport_model::Timestamp::from_millis(i64::MIN);
    let jobs = move |_| vec![huge.clone(), huge.clone()];
    let mut dashboard = watched(&jobs, 3);
    press(&mut dashboard, "enter");
    let mut view = detail(job(1, JobStatus::Processing, 10));
    view.job = jobs(0).remove(0);
    view.pieces.iter_mut().for_each(|run| run.count = u64::MAX);
    view.classes.iter_mut().for_each(|class| class.count = u64::MAX);
    for stage in &mut view.stages {
        (stage.busy_ms, stage.queued, stage.queue_limit, stage.threads) = (u64::MAX, u64::MAX, 1, u32::MAX);
    }
    dashboard.update(Message::Detail(Box::new(view.clone())));
    dashboard.update(Message::Detail(Box::new(view.clone())));
    for keys in ["", "tab", "tab", "tab", "f", "esc esc"] {
        press(&mut dashboard, keys);
        for (width, height) in [(20, 6), (80, 24), (160, 50)] {
            screen(&dashboard, width, height);
        }
    }
    let mut late = sample(5, jobs(0));
    late.time = pinport_model::Timestamp::from_millis(i64::MAX);
    late.sequence = u64::MAX;
    dashboard.update(Message::Sample(Box::new(late.clone())));
    late.time = pinport_model::Timestamp::from_millis(i64::MIN);
    late.sequence = 0;
    dashboard.update(Message::Sample(Box::new(late)));
    dashboard.update(Message::Tick(pinport_model::Timestamp::from_millis(i64::MAX)));
    screen(&dashboard, 80, 24);
    pinport_tui::snapshot_of_job(&view);
    dashboard.summary();
}
