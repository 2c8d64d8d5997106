//! The dashboard over an import of this process.

use serde_json::json;

use crate::{dashboard::ESC, pty::OnTerminal, support::*};

fn live(lab: &Lab, more: &[&str]) -> Run {
    lab.pinport(&["import", "in/many.json", "--format", "json", "--top"]).args(more)
}

#[test]
fn an_import_is_watched_from_within() {
    let lab = Lab::new();
    lab.write_sample("in/many.json", "--rows 20000 --bad 1%");
    let import = OnTerminal::start(live(&lab, &["--piece", "512"]), 110, 30);
    let screen = import.wait_for("✓ completed");
    assert!(screen.contains("20,000 read = ") && screen.contains("this process"), "{screen}");
    import.keys("f");
    import.wait_for("all reasons");
    import.keys("w");
    import.wait_for("save failures to: ");
    import.keys("\x15saved.ndjson\r");
    import.wait_for("bytes of failures are in saved.ndjson");
    // What a server does is not offered.
    import.keys("?");
    let help = import.wait_for("everywhere");
    assert!(!help.contains("start an import") && !help.contains("pause the job"), "{help}");
    import.keys(ESC);
    import.wait_until("no help", |screen| !screen.contains("everywhere"));
    import.keys("q");
    let left = import.end();
    assert_eq!(left.status.code(), Some(3));
    let written = String::from_utf8_lossy(&left.bytes);
    let (_, report) = written.rsplit_once("\x1b[?1049l").expect("it left the screen");
    assert!(report.contains("20,000"), "the report follows:\n{report}");
    let failed = lab.sample_tally("--rows 20000 --bad 1%")["failed"].as_u64().unwrap();
    let saved = std::fs::read_to_string(lab.path("saved.ndjson")).unwrap();
    assert_eq!(saved.lines().count() as u64, failed);
}

#[test]
fn leaving_a_running_import_asks_what_becomes_of_it() {
    let lab = Lab::new();
    lab.write_sample("in/many.json", "--rows 400000");
    // Small pieces take so long that it runs when keys are pressed, also if the machine is busy.
    let slow = ["--threads", "1", "--piece", "128"];
    // Stop: the same command goes on later.
    let import = OnTerminal::start(live(&lab, &slow), 100, 30);
    import.wait_for("running");
    import.keys("q");
    import.wait_for("still running");
    import.keys(ESC);
    import.wait_until("no question", |screen| !screen.contains("still running"));
    import.keys("q");
    import.wait_for("still running");
    import.keys("s");
    let left = import.end();
    assert_eq!(left.status.code(), Some(5), "{}", left.text);
    assert!(left.text.contains("run the same command again"), "{}", left.text);

    // Go on, with lines.
    let import = OnTerminal::start(live(&lab, &slow), 100, 30);
    import.wait_for("running");
    import.keys("q");
    import.wait_for("still running");
    import.keys("l");
    let left = import.end();
    assert_eq!(left.status.code(), Some(0), "{}", left.text);
    assert!(left.text.contains("400,000"), "{}", left.text);

    // A signal stops import and dashboard.
    let import = OnTerminal::start(live(&lab, &["--fresh", "--threads", "1", "--piece", "128"]), 100, 30);
    import.wait_for("running");
    import.signal(libc::SIGTERM);
    let left = import.end();
    assert_eq!(left.status.code(), Some(5), "{}", left.text);

    // Without a terminal the option changes nothing.
    let plain = live(&lab, &["--json", "--check"]).expect(0);
    assert_eq!(plain.json()["TotalProcessed"], json!(400_000));
}
