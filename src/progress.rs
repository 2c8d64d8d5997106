//! Shows a running import: a bar on a terminal, plain lines otherwise.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use pinport_model::{JobStatus, escape_controls, progress::Progress, view::JobView};

const BAR_EVERY: Duration = Duration::from_millis(100);
const LINE_EVERY: Duration = Duration::from_secs(5);

/// What is shown of a job.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    pub(crate) progress: Progress,
    /// Why it waits, if it waits for more than its turn.
    pub(crate) waits_for: Option<String>,
}

impl From<Progress> for Moment {
    fn from(progress: Progress) -> Self {
        Self { progress, waits_for: None }
    }
}

impl From<&JobView> for Moment {
    fn from(view: &JobView) -> Self {
        Self { progress: view.progress.clone(), waits_for: view.waits_for.clone() }
    }
}

/// The thread that shows the progress of a job on standard error.
pub(crate) struct Display {
    thread: JoinHandle<()>,
    done: mpsc::SyncSender<()>,
}

impl Display {
    /// Starts showing what `now` gives.
    pub(crate) fn start(now: impl Fn() -> Moment + Send + 'static) -> io::Result<Self> {
        Self::spawn(|ended| if io::stderr().is_terminal() { bar(now, ended) } else { lines(now, ended) })
    }

    /// Shows it as lines, whatever the terminal could do.
    pub(crate) fn lines(now: impl Fn() -> Moment + Send + 'static) -> io::Result<Self> {
        Self::spawn(|ended| lines(now, ended))
    }

    fn spawn(show: impl FnOnce(&mpsc::Receiver<()>) + Send + 'static) -> io::Result<Self> {
        let (done, ended) = mpsc::sync_channel(0);
        let thread = thread::Builder::new().name("progress".into()).spawn(move || show(&ended))?;
        Ok(Self { thread, done })
    }

    /// Stops showing and leaves the line to the report.
    pub(crate) fn finish(self) {
        drop(self.done);
        // If it panicked there is nothing to clear away.
        let _ = self.thread.join();
    }
}

fn is_over(ended: &mpsc::Receiver<()>, wait: Duration) -> bool {
    !matches!(ended.recv_timeout(wait), Err(mpsc::RecvTimeoutError::Timeout))
}

fn bar(now: impl Fn() -> Moment, ended: &mpsc::Receiver<()>) {
    let bar = ProgressBar::no_length();
    let style = ProgressStyle::with_template("{bar:30} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    while !is_over(ended, BAR_EVERY) {
        let now = now();
        bar.set_length(now.progress.source_total.max(1));
        bar.set_position(now.progress.source_bytes.min(now.progress.source_total));
        bar.set_message(sentence(&now));
    }
    bar.finish_and_clear();
}

fn lines(now: impl Fn() -> Moment, ended: &mpsc::Receiver<()>) {
    while !is_over(ended, LINE_EVERY) {
        // A closed standard error is no reason to stop the import.
        let _ = writeln!(io::stderr(), "{}", sentence(&now()));
    }
}

/// A snapshot in words.
fn sentence(Moment { progress: now, waits_for }: &Moment) -> String {
    if let Some(why) = waits_for {
        return format!("waiting: {}", escape_controls(why));
    }
    if now.status == JobStatus::PendingJob {
        return "waiting for its turn".into();
    }
    let total =
        if now.source_total > 0 { format!(" of {}", HumanBytes(now.source_total)) } else { String::new() };
    let mut text = format!(
        "{}{total}, {} records, {} rows/s, {} failed",
        HumanBytes(now.source_bytes),
        HumanCount(now.parsed),
        HumanCount(now.records_per_second() as u64),
        HumanCount(now.failed),
    );
    if let Some(left) = now.seconds_left() {
        text.push_str(&format!(", {} left", HumanDuration(Duration::from_secs_f64(left))));
    }
    text
}

#[cfg(test)]
mod tests {
    use pinport_model::JobId;
    use pinport_pipeline::engine::JobProgress;

    use super::*;

    #[test]
    fn a_snapshot_in_words() {
        let mut now = JobProgress::new(JobId::from_bytes([0; 16])).snapshot();
        now.elapsed_ms = 2000;
        now.parsed = 10_000;
        now.failed = 3;
        (now.source_bytes, now.source_total) = (1 << 20, 2 << 20);
        (now.bytes, now.bytes_total) = (3 << 20, 6 << 20);
        assert_eq!(
            sentence(&now.clone().into()),
            "1.00 MiB of 2.00 MiB, 10,000 records, 5,000 rows/s, 3 failed, 2 seconds left"
        );
        now.status = JobStatus::PendingJob;
        assert_eq!(sentence(&now.clone().into()), "waiting for its turn");
        let waits_for = Some("the store has stopped".to_owned());
        assert_eq!(sentence(&Moment { progress: now, waits_for }), "waiting: the store has stopped");
    }
}
