//! The dashboard on a real terminal: it starts, is steered, says what is wrong, and leaves the terminal as it was.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{pty::OnTerminal, serving::Serving, support::*};

pub(crate) const ESC: &str = "\x1b";

pub(crate) fn top(lab: &Lab, server: &Serving) -> Run {
    lab.pinport(&["top", "--server", &server.url])
}

/// A server with one job that has ended with failures.
fn served(lab: &Lab) -> (Serving, String) {
    lab.write_sample("in/rows.json", "--rows 3000 --bad 2%");
    let server = Serving::start(lab);
    let id = server.import(lab, "in/rows.json");
    (server, id)
}

#[test]
fn a_job_is_opened_its_failures_read_and_saved() {
    let lab = Lab::new();
    let (server, id) = served(&lab);
    let top = OnTerminal::start(top(&lab, &server), 110, 30);
    let overview = top.wait_for("✓ completed");
    assert!(top.is_full_screen());
    // What came before the dashboard did is not lost: its events and its throughput are there at once.
    assert!(overview.contains("connected") && !overview.contains(" lost"), "{overview}");
    assert!(overview.contains("rows/s over ") && overview.contains(" free"), "{overview}");
    top.keys("e");
    // All of it: a list that is not yet drawn over would be taken for the one that comes back.
    let events = |screen: &str| screen.contains("COMPLETED: 3000 read") && !screen.contains("SOURCE");
    top.wait_until("the events", events);
    top.keys(ESC);
    top.wait_for("SOURCE");
    top.keys("\r");
    let parts = ["failures", "pieces 1/1", "throughput", "rows.json", "definition"];
    let stages = ["fetch ", "decode ", "parse ", "build ", "commit "];
    top.wait_until("the whole job", |screen| parts.iter().chain(&stages).all(|part| screen.contains(part)));
    top.keys("f");
    top.wait_for("all reasons");
    top.keys("\r");
    let records = |screen: &str| screen.contains("rows.json:") && screen.contains("selected");
    top.wait_until("the records", records);
    top.keys("/");
    top.wait_for("search: ");
    top.keys("nothing has this in it\r");
    // All of it: records that are not yet drawn over would be taken for those that come back.
    top.wait_until("no record", |screen| screen.contains("none has that in it") && !records(screen));
    top.keys(ESC);
    top.wait_until("the records", records);
    top.keys("w");
    top.wait_for("save failures to: ");
    top.keys("\x15saved.ndjson\r");
    top.wait_for("bytes of failures are in saved.ndjson");
    let saved = std::fs::read_to_string(lab.path("saved.ndjson")).unwrap();
    let failed = lab.sample_tally("--rows 3000 --bad 2%")["failed"].as_u64().unwrap();
    assert_eq!(saved.lines().count() as u64, failed);
    // Esc closes what is open, one after the other, and never the program.
    top.keys(ESC);
    top.wait_for("failures by reason");
    top.keys("?");
    top.wait_for("everywhere");
    top.keys(ESC);
    top.wait_until("no help", |screen| !screen.contains("everywhere"));
    top.keys(ESC);
    top.wait_for("stages");
    top.keys(ESC);
    top.wait_for("SOURCE");
    top.keys("/status:fail");
    top.wait_for("no job is like the filter");
    top.keys("\x15status:comp\r");
    top.wait_until("the job", |screen| {
        screen.contains("filter: status:comp") && screen.contains("✓ completed")
    });
    top.keys(ESC);
    top.wait_until("no filter", |screen| !screen.contains("filter: "));
    // By the last digits of its id, as the list shows it.
    top.keys(&format!("o{}\r", &id[id.len() - 8..]));
    top.wait_for("stages");
    top.keys("q");
    let left = top.end();
    assert_eq!(left.status.code(), Some(0));
    assert!(left.text.contains("1 job, 0 active") && left.text.contains("3,000 read = "), "{}", left.text);
}

#[test]
fn jobs_are_made_paused_and_cancelled_after_a_question() {
    let lab = Lab::new();
    lab.write_sample("in/few.csv", "--rows 3000 --format csv --bad 5%");
    let many = lab.write_sample("in/many.csv", "--rows 400000 --format csv");
    // So that it does not end before it is cancelled.
    let server = Serving::start_with(&lab, "[jobs]\nrows_per_second = 40000\n", &["--threads", "1"]);
    let top_ = OnTerminal::start(top(&lab, &server), 120, 40);
    top_.wait_for("no jobs yet: n starts an import");
    top_.keys("n");
    top_.wait_for("new import");
    top_.keys("ftp://nowhere");
    top_.wait_for("the scheme is not one of");
    // Its budget of failures reaches the job: 5% of the rows are broken, 1% may be.
    let few = lab.path("in/few.csv");
    top_.keys(&format!("\x15file://{}\t\tshop\tspring\t\t1%\r", few.display()));
    // All of them: a screen may be read half drawn.
    let parts = ["✗ failed", "over the failure budget", "segment spring"];
    top_.wait_until("the job over its budget", |screen| parts.iter().all(|part| screen.contains(part)));

    top_.keys("n");
    top_.wait_for("new import");
    // The application is that of the selected job.
    top_.keys(&format!("file://{}\t\t\t\t\t1%\r", many.display()));
    // It becomes the selected one, so keys act on it.
    top_.wait_until("the new job", |screen| screen.contains("│▶ running"));
    top_.keys("p");
    top_.wait_for("sure?");
    top_.keys("y");
    top_.wait_for("‖ paused");
    top_.keys("p");
    top_.wait_for("go on?");
    top_.keys("y");
    top_.wait_until("that it runs", |screen| screen.contains("│▶ running"));
    top_.keys("x");
    top_.wait_for("Cancel job");
    top_.keys("n");
    top_.wait_until("no question", |screen| !screen.contains("Cancel job"));
    top_.keys("xy");
    top_.wait_for("■ cancelled");
    top_.keys("q");
    assert_eq!(top_.end().status.code(), Some(0));

    // Whoever only watches is not even asked.
    let watching = OnTerminal::start(top(&lab, &server).args(["--read-only"]), 120, 40);
    let screen = watching.wait_for("cancelled");
    assert!(screen.contains("read-only") && !screen.contains("n new"), "{screen}");
    watching.keys("nxp?");
    let help = watching.wait_for("everywhere");
    assert!(!help.contains("start an import") && !help.contains("cancel the job"), "{help}");
    watching.keys(ESC);
    let screen = watching.wait_until("no help", |screen| !screen.contains("everywhere"));
    assert!(!screen.contains("new import") && !screen.contains("sure?"), "{screen}");
    watching.keys("q");
    watching.end();
}

#[test]
fn the_form_browses_what_the_server_may_read_and_completes() {
    let lab = Lab::new();
    lab.write_sample("in/contacts.csv", "--rows 30 --format csv");
    lab.write("in/older/x.csv", "");
    lab.write("in/other.csv", "");
    let server = Serving::start_rooted(&lab, "", &lab.path("in"), &[]);
    let top = OnTerminal::start(top(&lab, &server), 120, 40);
    top.wait_for("no jobs yet: n starts an import");
    top.keys("n");
    // The folder that is open, before anything is typed.
    top.wait_for("/in/");
    top.keys("\t");
    let listed = ["contacts.csv", "older/", "other.csv"];
    top.wait_until("the folder", |screen| listed.iter().all(|name| screen.contains(name)));
    top.keys("o");
    top.wait_until("those with o", |screen| screen.contains("older/") && !screen.contains("contacts.csv"));
    top.keys("\x7fc");
    top.wait_until("those with c", |screen| screen.contains("contacts.csv") && !screen.contains("older/"));
    // As far as it is clear, and then on to the next fields.
    top.keys("\t\t\tshop\r");
    top.wait_for("✓ completed");
    top.keys("q");
    top.end();
}

#[test]
fn it_ends_with_its_terminal() {
    let lab = Lab::new();
    let (server, _) = served(&lab);
    let top = OnTerminal::start(top(&lab, &server), 80, 24);
    top.wait_for("connected");
    top.hang_up();
}

#[test]
fn signals_leave_the_terminal_as_it_was() {
    let lab = Lab::new();
    let (server, _) = served(&lab);
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let top = OnTerminal::start(top(&lab, &server), 80, 24);
        top.wait_for("connected");
        top.signal(signal);
        let left = top.end();
        assert_eq!(left.status.code(), Some(0));
        assert!(left.text.contains("1 job"), "{}", left.text);
    }
    // Ctrl-C is a key there.
    let top = OnTerminal::start(top(&lab, &server), 80, 24);
    top.wait_for("connected");
    top.keys("?");
    top.wait_for("everywhere");
    top.keys("\x03");
    assert_eq!(top.end().status.code(), Some(0));
}

#[test]
fn ctrl_z_gives_the_terminal_back_and_fg_takes_it_again() {
    let lab = Lab::new();
    let (server, _) = served(&lab);
    let script = "\"$@\"; echo the shell is told $?; read line; fg %1";
    let top = OnTerminal::start(top(&lab, &server).under("sh", &["-mc", script, "sh"]), 80, 24);
    top.wait_for("connected");
    assert!(top.is_full_screen() && !top.is_as_before());
    top.keys("\x1a");
    // 128 and the number of SIGTSTP.
    top.wait_for("the shell is told 148");
    assert!(!top.is_full_screen() && top.is_as_before(), "the terminal was given back");
    top.keys("\n");
    let screen = top.wait_for("completed");
    assert!(top.is_full_screen() && !top.is_as_before(), "{screen}");
    assert!(screen.contains("SOURCE") && screen.contains("more"), "all of it is drawn again: {screen}");
    top.keys("q");
    assert_eq!(top.end().status.code(), Some(0));
}

#[test]
fn a_dumb_terminal_gets_lines_and_the_console_what_it_can_show() {
    let lab = Lab::new();
    let (server, _) = served(&lab);
    let dumb = OnTerminal::start(top(&lab, &server).env("TERM", "dumb"), 120, 24);
    // It tells of jobs that end while it listens, so there is one until it does.
    let is_told = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let begun = Instant::now();
            while !is_told.load(Ordering::Relaxed) && begun.elapsed() < PATIENCE {
                server.import(&lab, "in/rows.json");
                pause(Duration::from_millis(500));
            }
        });
        dumb.wait_for("completed 100%");
        is_told.store(true, Ordering::Relaxed);
    });
    assert!(!dumb.is_full_screen() && dumb.is_as_before());
    dumb.signal(libc::SIGTERM);
    let left = dumb.end();
    assert!(!left.bytes.contains(&0x1b), "{}", left.text);

    let console = OnTerminal::start(top(&lab, &server).env("TERM", "linux"), 80, 24);
    let screen = console.wait_for("+ completed");
    assert!(screen.contains("─ throughput") || screen.contains("─ job"), "{screen}");
    console.keys("q");
    console.end();
}

#[test]
fn a_theme_is_taken_and_one_that_is_wrong_says_where() {
    let lab = Lab::new();
    let (server, _) = served(&lab);
    std::fs::write(lab.path("mine.toml"), "base = \"dark\"\ngood = 201\n").unwrap();
    let themed = OnTerminal::start(top(&lab, &server).args(["--theme", "mine.toml"]), 80, 24);
    themed.wait_for("completed");
    themed.keys("q");
    assert!(themed.end().bytes.windows(8).any(|bytes| bytes == b"38;5;201"));
    std::fs::write(lab.path("mine.toml"), "base = \"dark\"\ngod = 201\n").unwrap();
    let wrong = top(&lab, &server).args(["--theme", "mine.toml"]).expect(2);
    assert!(wrong.err.contains("line 2: there is no role \"god\"; roles are base, text,"), "{}", wrong.err);
    let missing = top(&lab, &server).env("PINPORT_THEME", "drak").expect(2);
    assert!(missing.err.contains("write auto, dark, light, mono, or the name of a file"), "{}", missing.err);
}

#[test]
fn every_size_shows_something_and_colours_can_be_off() {
    let lab = Lab::new();
    let (server, _) = served(&lab);
    // `39` is the terminal's own colour.
    let colour = |bytes: &[u8]| bytes.starts_with(b"\x1b[3") && (b'0'..=b'8').contains(&bytes[3]);
    let coloured = |bytes: &[u8]| bytes.windows(4).any(colour);
    let top_ = OnTerminal::start(top(&lab, &server), 120, 40);
    top_.wait_for("completed");
    for (columns, rows) in [(80, 24), (40, 10), (20, 6)] {
        top_.resize(columns, rows);
        top_.wait_until("the job", |screen| screen.contains("✓ ") && screen.contains("connected"));
    }
    for (columns, rows) in [(3, 2), (1, 1), (200, 50)] {
        top_.resize(columns, rows);
    }
    top_.wait_for("completed");
    top_.keys("q");
    assert!(coloured(&top_.end().bytes));

    let plain = top(&lab, &server).env("NO_COLOR", "1").env("LC_ALL", "C");
    let plain = OnTerminal::start(plain.args(["--ascii"]), 80, 24);
    let screen = plain.wait_for("+ completed");
    assert!(screen.is_ascii(), "{screen}");
    plain.keys("q");
    assert!(!coloured(&plain.end().bytes));
}

/// Promise R11.
#[test]
fn a_stopped_dashboard_never_slows_an_import() {
    let lab = Lab::new();
    lab.write_sample("in/many.json", "--rows 200000");
    let server = Serving::start(&lab);
    let took = |id: &str| {
        let run = lab.pinport(&["top", "--once", "--json", "--server", &server.url]).expect(0).json();
        let jobs = run["jobs"].as_array().unwrap();
        let job = jobs.iter().find(|job| job["id"] == id).unwrap();
        assert_eq!(job["progress"]["status"], "COMPLETED");
        assert_eq!(job["progress"]["registered"], 200_000);
        job["progress"]["elapsed_ms"].as_u64().unwrap()
    };
    let ended = |id: &str| {
        let (status, answer) = server.ask("GET", &format!("/pinport/v1/jobs/{id}"), None);
        assert_eq!(status, 200);
        answer.contains("\"status\":\"COMPLETED\"")
    };
    let alone = server.import(&lab, "in/many.json");
    let watcher = OnTerminal::start(top(&lab, &server), 100, 30);
    watcher.wait_for("✓ completed");
    let stopped: Vec<_> = (0..8).map(|_| OnTerminal::start(top(&lab, &server), 250, 70)).collect();
    for dashboard in &stopped {
        dashboard.wait_for("✓ completed");
        dashboard.signal(libc::SIGSTOP);
    }
    let beside = server.import(&lab, "in/many.json");
    // One more than there are jobs: the selected one is shown below them too.
    watcher.wait_until("two ended jobs", |screen| screen.matches("✓ ").count() >= 3);
    assert!(ended(&alone) && ended(&beside));
    let (alone, beside) = (took(&alone), took(&beside));
    println!("{alone} ms alone, {beside} ms with 8 stopped dashboards");
    // The bound is a hang, not a slow machine.
    assert!(beside < alone * 4 + 2_000, "{alone} ms alone, {beside} ms beside stopped dashboards");
    for dashboard in &stopped {
        dashboard.signal(libc::SIGCONT);
    }
    for dashboard in stopped {
        dashboard.wait_until("both jobs", |screen| screen.matches("✓ ").count() >= 3);
        dashboard.keys("q");
        assert_eq!(dashboard.end().status.code(), Some(0));
    }
    watcher.keys("q");
    watcher.end();
}

#[test]
fn keys_and_a_certificate() {
    let lab = Lab::new();
    let keys = "[[keys]]\nid = \"AKIDWATCH\"\nsecret = \"wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLE\"\n";
    let server = Serving::start_tls(&lab, keys);
    let certificate = lab.path("server.crt");
    let top = top(&lab, &server)
        .args(["--ca", certificate.to_str().unwrap()])
        .env("AWS_ACCESS_KEY_ID", "AKIDWATCH")
        .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLE");
    let top = OnTerminal::start(top, 80, 24);
    let screen = top.wait_for("no jobs yet");
    assert!(screen.contains("connected") && screen.contains("https://localhost:"), "{screen}");
    top.keys("q");
    assert_eq!(top.end().status.code(), Some(0));
}

#[test]
fn a_job_is_slowed_down_by_a_key() {
    let lab = Lab::new();
    lab.write_sample("in/many.json", "--rows 400000");
    let server = Serving::start_with(&lab, "", &["--threads", "1"]);
    let job = server.import(&lab, "in/many.json");
    let top = OnTerminal::start(top(&lab, &server), 110, 30);
    top.wait_for("▶ running");
    top.keys("T");
    top.wait_for("at most, rows/s");
    top.keys("1000 1m\r");
    top.wait_for("reads at most 1000 rows a second and 1048576 bytes a second");
    let rate = server.get(&format!("/pinport/v1/jobs/{job}/throttle")).json();
    assert_eq!(rate, json!({ "rows_per_second": 1000, "bytes_per_second": 1 << 20 }));
    top.keys("Toff\r");
    top.wait_for("reads without a bound");
    assert_eq!(server.get(&format!("/pinport/v1/jobs/{job}/throttle")).json(), json!({}));
    top.keys("q");
    top.end();
}

#[test]
fn a_key_connects_again_at_once() {
    let lab = Lab::new();
    // It takes connections and says nothing. Alone, twenty tries would take three minutes.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    nobody.set_nonblocking(true).unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    let top = OnTerminal::start(lab.pinport(&["top", "--server", &url]), 100, 20);
    let begun = std::time::Instant::now();
    let mut tries = 0;
    while tries < 20 {
        top.keys("R");
        tries += usize::from(nobody.accept().is_ok());
        pause(std::time::Duration::from_millis(20));
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "only {tries} tries");
    }
    top.keys("q");
    top.end();
}
