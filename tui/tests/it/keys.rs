//! Keys and the effects that they cause.

use std::{path::PathBuf, time::Duration};

use insta::assert_snapshot;
use pinport_model::{
    Failure, Format, JobStatus, RejectPlace, SourceLocation,
    job::FailureBudget,
    view::{SourcePlace, SourcePlaces},
};
use pinport_tui::{
    Connection, Dashboard, Effect, FailuresPage, FailuresQuery, ImportRequest, Message, Options, Rate,
    Symbols,
    crossterm::event::{KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind},
};

use crate::fixtures::*;

fn acts(effects: Vec<Effect>) -> Vec<Effect> {
    let is_data = |effect: &Effect| matches!(effect, Effect::RequestDetail(_) | Effect::RequestSources(_));
    effects.into_iter().filter(|effect| !is_data(effect)).collect()
}

#[test]
fn cancelling_asks_first() {
    let mut dashboard = watched(mixed, 3);
    assert_eq!(press(&mut dashboard, "x"), []);
    assert_eq!(press(&mut dashboard, "enter"), [], "enter alone is no answer");
    assert_eq!(press(&mut dashboard, "n x esc x q"), []);
    assert_eq!(press(&mut dashboard, "x y"), [Effect::Cancel(id(1))]);
    assert_eq!(press(&mut dashboard, "j x y"), [Effect::Cancel(id(2))]);
}

#[test]
fn pause_turns_into_resume() {
    let mut dashboard = watched(mixed, 3);
    assert_eq!(press(&mut dashboard, "p y"), [Effect::Pause(id(1))]);
    // The third is paused.
    assert_eq!(press(&mut dashboard, "j j p y"), [Effect::Resume(id(3))]);
}

#[test]
fn a_rate_is_typed() {
    let mut dashboard = watched(mixed, 3);
    for (text, rows, bytes) in [
        ("20000", Some(20_000), None),
        (" 50m ", None, Some(50 << 20)),
        ("7 2K", Some(7), Some(2 << 10)),
        ("off", None, None),
    ] {
        assert_eq!(press(&mut dashboard, "T"), []);
        type_text(&mut dashboard, text);
        assert_eq!(press(&mut dashboard, "enter"), [Effect::Throttle(id(1), Rate { rows, bytes })]);
    }
    for wrong in ["fast", "0", "1 2", "-5", "99999999999g", ""] {
        press(&mut dashboard, "T");
        type_text(&mut dashboard, wrong);
        assert_eq!(press(&mut dashboard, "enter"), [], "{wrong}");
    }
    assert!(screen(&dashboard, 100, 20).contains("no rate was typed"));
}

#[test]
fn a_lost_connection_is_tried_again_at_once() {
    let mut dashboard = watched(mixed, 3);
    assert_eq!(press(&mut dashboard, "R"), []);
    assert!(screen(&dashboard, 100, 20).contains("the connection is not lost"));
    let lost = Connection::Disconnected { reason: "gone".into(), retry_in: Duration::from_secs(9) };
    dashboard.update(Message::Connection(lost));
    assert_eq!(press(&mut dashboard, "R"), [Effect::Reconnect]);
}

#[test]
fn ended_jobs_take_no_actions() {
    let mut dashboard = watched(|_| vec![job(5, JobStatus::Completed, 60)], 3);
    assert_eq!(press(&mut dashboard, "x y p y T"), []);
    assert!(screen(&dashboard, 80, 10).contains("has ended"));
}

#[test]
fn read_only_never_acts() {
    let options = Options { read_only: true, ..options(Symbols::Unicode) };
    let mut dashboard = watched_with(options, mixed, 3);
    assert_eq!(press(&mut dashboard, "x y p y n"), []);
    assert_eq!(acts(press(&mut dashboard, "enter x y p y")), []);
    // Files on this side may still be written.
    let saved = press(&mut dashboard, "w enter");
    assert!(matches!(&acts(saved)[..], [Effect::SaveFailures { job, .. }] if *job == id(1)));
}

#[test]
fn opening_a_job_asks_for_it_every_second_until_it_has_ended() {
    let mut dashboard = watched(mixed, 3);
    assert_eq!(press(&mut dashboard, "enter"), [Effect::RequestDetail(id(1))]);
    assert_eq!(dashboard.update(Message::Tick(at(3_500))), []);
    assert_eq!(dashboard.update(Message::Tick(at(4_100))), [Effect::RequestDetail(id(1))]);
    dashboard.update(Message::Detail(Box::new(detail(job(1, JobStatus::Completed, 60)))));
    assert_eq!(dashboard.update(Message::Tick(at(5_100))), []);
    press(&mut dashboard, "esc j enter");
    assert_eq!(dashboard.update(Message::Tick(at(6_100))), [Effect::RequestDetail(id(2))]);
    press(&mut dashboard, "esc");
    assert_eq!(dashboard.update(Message::Tick(at(7_100))), []);
}

#[test]
fn failures_are_one_enter_from_their_reason() {
    let mut dashboard = opened(|second| vec![job(1, JobStatus::Processing, second)], 30);
    let effects = acts(press(&mut dashboard, "f j enter"));
    let [Effect::RequestFailures(query)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(query.job, id(1));
    assert!(query.class.is_some() && query.search.is_empty());
    assert!(query.matches(&failure(7)) != query.matches(&failure(8)));
    // A finished search sends a new request.
    press(&mut dashboard, "/");
    type_text(&mut dashboard, "PIGEON");
    let effects = acts(press(&mut dashboard, "enter"));
    let [Effect::RequestFailures(query)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(query.search, "PIGEON");
    // Esc drops the search, then goes back, and in the end does nothing.
    let effects = acts(press(&mut dashboard, "esc"));
    assert!(matches!(&effects[..], [Effect::RequestFailures(query)] if query.search.is_empty()));
    assert_eq!(press(&mut dashboard, "esc esc esc esc esc esc"), []);
    assert!(screen(&dashboard, 80, 24).contains("SOURCE"));
}

#[test]
fn writing_a_file_asks_for_its_name() {
    let mut dashboard = opened(|second| vec![job(1, JobStatus::Processing, second)], 30);
    let effects = press(&mut dashboard, "W ctrl-u");
    assert_eq!(effects, []);
    assert_eq!(press(&mut dashboard, "enter"), [], "no name");
    press(&mut dashboard, "w ctrl-u");
    type_text(&mut dashboard, "/tmp/out q.ndjson");
    let path = PathBuf::from("/tmp/out q.ndjson");
    assert_eq!(press(&mut dashboard, "enter"), [Effect::SaveFailures { job: id(1), path }]);
    let effects = press(&mut dashboard, "W enter");
    let [Effect::SaveRejects { path, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert!(path.to_str().unwrap().starts_with("rejects-") && path.extension().unwrap() == "json");
}

#[test]
fn failed_records_are_marked_and_mended() {
    let mut dashboard = opened(|second| vec![job(1, JobStatus::Processing, second)], 30);
    assert_eq!(acts(press(&mut dashboard, "E")), []);
    assert!(screen(&dashboard, 100, 24).contains("has not ended"));
    let mut dashboard = opened(|_| vec![job(1, JobStatus::Completed, 60)], 30);
    let fetched = |effects: Vec<Effect>| match &acts(effects)[..] {
        [Effect::FetchRejects(query)] => query.clone(),
        other => panic!("{other:?}"),
    };
    let all = fetched(press(&mut dashboard, "E"));
    assert!(all.failures.is_all() && all.places.is_none() && all.part == 1);
    press(&mut dashboard, "f j");
    let reason = fetched(press(&mut dashboard, "E"));
    assert!(reason.failures.class.is_some() && reason.places.is_none());
    // The listed ones, in the part of the selected one; then the marked ones alone.
    let place = |line: u64| RejectPlace { part: 2, byte: line * 100, bytes: 90 };
    let list = |query: FailuresQuery| {
        let entries = (1..=3).map(|line| Failure { reject: Some(place(line)), ..failure(line) }).collect();
        Message::Failures(FailuresPage { query, entries, more: false })
    };
    press(&mut dashboard, "enter");
    dashboard.update(list(reason.failures.clone()));
    let listed = fetched(press(&mut dashboard, "E"));
    assert_eq!((listed.failures, listed.places, listed.part), (reason.failures, None, 2));
    press(&mut dashboard, "m m m k m");
    let marked = fetched(press(&mut dashboard, "E"));
    assert_eq!(marked.places, Some(vec![place(1), place(3)]));
    assert_snapshot!("marked_80x24", screen(&dashboard, 80, 24));
    assert_eq!(dashboard.update(Message::Rejects(id(1))), [Effect::Edit(id(1))]);
}

#[test]
fn copying() {
    let mut dashboard = opened(|second| vec![job(1, JobStatus::Processing, second)], 30);
    assert_eq!(press(&mut dashboard, "c"), [Effect::Copy(id(1).to_string())]);
    let effects = acts(press(&mut dashboard, "f enter j c"));
    let [Effect::RequestFailures(_), Effect::Copy(text)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(*text, failure(14).to_string());
}

#[test]
fn the_form_lists_what_fits_and_completes_it() {
    let mut dashboard = watched(mixed, 3);
    assert_eq!(press(&mut dashboard, "n"), [Effect::RequestSources(String::new())]);
    let place = |url: &str, size| SourcePlace { url: url.into(), size };
    let answer = |prefix: &str, places| Message::Sources {
        prefix: prefix.into(),
        found: Ok(SourcePlaces { places, more: false }),
    };
    let roots = vec![place("s3://crm/", None), place("s3://crm-old/", None)];
    dashboard.update(answer("", roots));
    // Both begin with s3://crm.
    assert_eq!(press(&mut dashboard, "tab"), [Effect::RequestSources("s3://".into())]);
    let mut typed = Vec::new();
    for key in ["/", "e"] {
        typed.extend(press(&mut dashboard, key));
    }
    assert_eq!(typed, [Effect::RequestSources("s3://crm/".into())]);
    let mut places =
        vec![place("s3://crm/exports/", None), place("s3://crm/evil\u{1b}[2J.csv", Some(5 << 20))];
    places.extend((0..8).map(|part| place(&format!("s3://crm/extra-{part}.csv.gz"), Some(1 << 20))));
    dashboard.update(answer("s3://crm/", places));
    assert_snapshot!("form_places_80x30", screen(&dashboard, 80, 30));
    assert!(screen(&dashboard, 40, 10).contains("s3://crm/e"));
    let failed =
        Message::Sources { prefix: "s3://crm/".into(), found: Err("it is not open to this key".into()) };
    dashboard.update(failed);
    assert!(screen(&dashboard, 80, 30).contains("it is not open to this key"));
}

#[test]
fn an_import_is_typed() {
    let mut dashboard = watched(mixed, 3);
    press(&mut dashboard, "n");
    type_text(&mut dashboard, "s3://bucket/new contacts.csv.gz");
    press(&mut dashboard, "tab tab tab");
    type_text(&mut dashboard, "spring sale");
    press(&mut dashboard, "down down");
    type_text(&mut dashboard, "5x%");
    assert_eq!(press(&mut dashboard, "enter"), []);
    press(&mut dashboard, "left backspace");
    let effects = press(&mut dashboard, "enter");
    let source_text = "s3://bucket/new contacts.csv.gz".to_owned();
    assert_eq!(
        effects,
        [Effect::CreateImport(ImportRequest {
            source: source_text.parse::<SourceLocation>().unwrap(),
            source_text,
            format: Format::Csv,
            application: "newsletter".into(),
            segment_name: Some("spring sale".into()),
            register_endpoints: true,
            max_failures: Some(FailureBudget::Percent(5.0)),
        })]
    );
}

#[test]
fn a_job_is_opened_by_the_end_of_its_id() {
    let mut dashboard = watched(mixed, 3);
    let text = id(6).to_string();
    press(&mut dashboard, "o");
    type_text(&mut dashboard, &text[26..]);
    assert_eq!(press(&mut dashboard, "enter"), [Effect::RequestDetail(id(6))]);
    press(&mut dashboard, "esc o");
    type_text(&mut dashboard, "0190");
    assert_eq!(press(&mut dashboard, "enter"), []);
    assert!(screen(&dashboard, 80, 10).contains("several jobs"));
    // A whole id may be of a job that is not in the list.
    press(&mut dashboard, "o");
    type_text(&mut dashboard, &id(77_777).to_string());
    assert_eq!(press(&mut dashboard, "enter"), [Effect::RequestDetail(id(77_777))]);
}

#[test]
fn quitting() {
    for keys in ["q", "ctrl-c", "enter q", "? ctrl-c", "n ctrl-c", "/ ctrl-c", "x ctrl-c"] {
        let effects = acts(press(&mut watched(mixed, 3), keys));
        assert_eq!(effects, [Effect::Quit], "{keys}");
    }
    // Where text is typed, q is a letter.
    assert_eq!(press(&mut watched(mixed, 3), "/ q"), []);
    assert_eq!(watched(mixed, 3).update(Message::Quit), [Effect::Quit]);
}

#[test]
fn key_releases_are_ignored() {
    let mut dashboard = watched(mixed, 3);
    let release = KeyEvent::new_with_kind(key("q").code, KeyModifiers::NONE, KeyEventKind::Release);
    assert_eq!(dashboard.update(Message::Key(release)), []);
}

#[test]
fn arrows_and_letters_are_equivalent() {
    for (arrows, letters) in
        [("down down up", "j j k"), ("end", "G"), ("end home", "G g"), ("pgdn", "ctrl-f")]
    {
        let (mut first, mut second) = (watched(mixed, 3), watched(mixed, 3));
        press(&mut first, arrows);
        press(&mut second, letters);
        assert_eq!(press(&mut first, "c"), press(&mut second, "c"), "{arrows}");
    }
}

#[test]
fn quitting_an_import_of_this_process_asks_first() {
    let options = || Options { one_import: true, open: Some(id(1)), ..options(Symbols::Unicode) };
    let running = |second| vec![job(1, JobStatus::Processing, second)];
    let start = || watched_with(options(), running, 3);
    assert_eq!(acts(press(&mut start(), "q esc q n q q")), [], "nothing is decided yet");
    assert_eq!(acts(press(&mut start(), "q s")), [Effect::Cancel(id(1)), Effect::Quit]);
    assert_eq!(acts(press(&mut start(), "q l")), [Effect::Quit]);
    assert_eq!(acts(press(&mut start(), "ctrl-c ctrl-c")), [Effect::Cancel(id(1)), Effect::Quit]);
    // What only a server does is not there; stopping is.
    assert_eq!(acts(press(&mut start(), "esc n p y o esc")), []);
    assert_eq!(acts(press(&mut start(), "x y")), [Effect::Cancel(id(1))]);
    let mut ended = watched_with(options(), |_| vec![job(1, JobStatus::Completed, 9)], 3);
    assert_eq!(acts(press(&mut ended, "q")), [Effect::Quit]);
    let mut asked = start();
    press(&mut asked, "q");
    assert_eq!(asked.update(Message::Quit), [Effect::Quit], "a signal does not ask");
}

#[test]
fn the_mouse_selects_scrolls_and_sorts() {
    let click = |dashboard: &mut Dashboard, text: &str| {
        let screen = screen(dashboard, 80, 24);
        let (row, line) = screen.lines().enumerate().find(|(_, line)| line.contains(text)).unwrap();
        let column = line[..line.find(text).unwrap()].chars().count();
        let kind = MouseEventKind::Down(MouseButton::Left);
        mouse(dashboard, kind, column as u16, row as u16)
    };
    let mut dashboard = watched(mixed, 3);
    dashboard.update(Message::Resize { width: 80, height: 24 });
    click(&mut dashboard, "part-00004");
    assert_eq!(press(&mut dashboard, "c"), [Effect::Copy(id(4).to_string())]);
    mouse(&mut dashboard, MouseEventKind::ScrollDown, 5, 12);
    assert_eq!(press(&mut dashboard, "c"), [Effect::Copy(id(10).to_string())], "three rows down");
    mouse(&mut dashboard, MouseEventKind::ScrollUp, 5, 12);
    assert_eq!(press(&mut dashboard, "c"), [Effect::Copy(id(4).to_string())]);
    click(&mut dashboard, "FAILED");
    assert!(screen(&dashboard, 80, 24).contains("FAILE▼"));
    click(&mut dashboard, "FAILE▼");
    assert!(screen(&dashboard, 80, 24).contains("FAILE▲"));
    // On a job, a click chooses the pane; in the list of reasons, the row.
    let mut dashboard = opened(|second| vec![job(1, JobStatus::Processing, second)], 30);
    dashboard.update(Message::Resize { width: 80, height: 24 });
    click(&mut dashboard, "stages");
    assert!(screen(&dashboard, 80, 24).contains("▸stages"));
    press(&mut dashboard, "f");
    click(&mut dashboard, "invalid json");
    assert!(screen(&dashboard, 80, 24).contains("first records: invalid json"));
    // Questions are answered with keys.
    press(&mut dashboard, "esc x");
    assert_eq!(mouse(&mut dashboard, MouseEventKind::Down(MouseButton::Left), 40, 12), []);
    assert!(screen(&dashboard, 80, 24).contains("sure?"));
}

fn mouse(dashboard: &mut Dashboard, kind: MouseEventKind, column: u16, row: u16) -> Vec<Effect> {
    let event = MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE };
    let hit = dashboard.hit(column, row);
    dashboard.update(Message::Mouse { event, hit })
}

#[test]
fn the_help_is_searched() {
    let mut dashboard = watched(mixed, 3);
    dashboard.update(Message::Resize { width: 80, height: 24 });
    press(&mut dashboard, "? /");
    type_text(&mut dashboard, "cancel q");
    assert!(screen(&dashboard, 80, 24).contains("no key is like that"));
    press(&mut dashboard, "backspace backspace");
    let found = screen(&dashboard, 80, 24);
    assert!(found.contains("help, search: cancel") && found.contains("what is committed stays"), "{found}");
    assert!(found.contains("search: cancel"), "{found}");
    press(&mut dashboard, "enter");
    assert_snapshot!("help_search_80x24", screen(&dashboard, 80, 24));
    // Esc first shows all keys again, then closes the help.
    press(&mut dashboard, "esc");
    assert!(screen(&dashboard, 80, 24).contains("help 1-"));
    press(&mut dashboard, "esc");
    assert!(!screen(&dashboard, 80, 24).contains("help 1-"));
}

#[test]
fn ctrl_z_suspends_from_everywhere() {
    for keys in ["", "enter", "f", "e", "?", "n", "/", "x"] {
        let mut dashboard = watched(mixed, 3);
        press(&mut dashboard, keys);
        assert_eq!(press(&mut dashboard, "ctrl-z"), [Effect::Suspend], "{keys}");
    }
}
