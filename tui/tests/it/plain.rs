//! The same data without a terminal.

use insta::assert_snapshot;
use pinport_model::JobStatus;
use pinport_tui::{ProgressLines, progress_line, snapshot, snapshot_of_job};

use crate::fixtures::*;

#[test]
fn a_snapshot_for_scripts() {
    assert_snapshot!("plain_sample", snapshot(&sample(30, mixed(30))));
    assert_snapshot!("plain_job", snapshot_of_job(&detail(job(1, JobStatus::Processing, 30))));
    assert_snapshot!("plain_summary", watched(mixed, 30).summary());
}

#[test]
fn lines_have_current_rates_and_report_an_end_once() {
    let mut lines = ProgressLines::default();
    let mut last = Vec::new();
    for second in 0..10 {
        // It reads twice as fast as on average: the line is of the last seconds.
        let mut running = job(1, JobStatus::Processing, second * 2);
        running.progress.elapsed_ms = 1_000_000;
        let sample = sample(second, vec![running, job(2, JobStatus::Completed, 60)]);
        lines.record(&sample);
        last = lines.lines(&sample);
        assert_eq!(last.len(), 1);
    }
    assert!(last[0].contains("100,000 rows/s") && last[0].contains("left"), "{last:?}");
    let ended = sample(10, vec![job(1, JobStatus::Completed, 100)]);
    assert_eq!(lines.lines(&ended).len(), 1);
    assert_eq!(lines.lines(&ended), Vec::<String>::new());
}

#[test]
fn lines_say_at_first_that_no_job_runs() {
    let mut lines = ProgressLines::default();
    let ended = sample(1, vec![job(2, JobStatus::Completed, 60)]);
    assert_eq!(lines.lines(&ended), ["no job runs or waits; 1 job in all"]);
    assert_eq!(lines.lines(&ended), Vec::<String>::new());
}

#[test]
fn log_lines_have_no_control_characters() {
    let mut bad = job(1, JobStatus::Failed, 10);
    bad.source = "a\x1b[2J\nb".into();
    bad.error = Some("x\r\u{202e}".into());
    let text = progress_line(&bad) + &snapshot(&sample(1, vec![bad]));
    assert!(!text.contains(['\x1b', '\r', '\u{202e}']));
}
