//! A server on which no job runs: the dashboard says why above everything else.

use pinport_model::{
    JobStatus,
    view::{JobView, Sample},
};
use pinport_tui::{Dashboard, Message, Options};

use crate::fixtures::*;

#[test]
fn why_no_job_runs_stands_above_everything() {
    let reason = "nothing can be stored any more (no space left on the disk of /srv/data/store)";
    let mut dashboard = Dashboard::new(Options::default());
    dashboard.update(Message::Tick(at(0)));
    let waiting = JobView {
        waits_for: Some("the server's store has stopped".into()),
        ..job(1, JobStatus::PendingJob, 0)
    };
    let stopped = Sample { trouble: Some(reason.into()), ..sample(0, vec![waiting]) };
    dashboard.update(Message::Sample(Box::new(stopped.clone())));
    for (width, height) in [(20, 6), (80, 24), (200, 50)] {
        let shown = screen(&dashboard, width, height);
        assert!(shown.contains("NO JOB RUNS"), "{width}x{height}:\n{shown}");
    }
    let shown = screen(&dashboard, 120, 40);
    assert!(shown.lines().nth(1).unwrap().contains(reason), "{shown}");
    assert!(shown.contains("the server's store has stopped"), "{shown}");
    let text = pinport_tui::snapshot(&stopped);
    assert!(text.contains("no job runs: nothing can be stored"), "{text}");
    dashboard.update(Message::Sample(Box::new(sample(1, Vec::new()))));
    assert!(!screen(&dashboard, 80, 24).contains("NO JOB RUNS"), "it goes with its cause");
}
