//! The dashboard of an import in this process: the samples and views that a server's listeners get, without the network.
//!
//! The import has a thread of its own and the dashboard reaches it only to stop it, so a terminal that takes
//! nothing holds up nothing but the screen.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use pinport_model::{Failure, JobId, view::Sample, with_causes};
use pinport_pipeline::{
    engine::{JobProgress, RunOutcome, files},
    jobs::{Jobs, Seen},
};
use pinport_tui::{Connection, Effect, FailuresPage, FailuresQuery, Message, Options, Output, RecordQuery};
use tokio::sync::broadcast::{self, error::TryRecvError};
use tokio_util::sync::CancellationToken;

use super::{
    Outbox,
    effects::record_answer,
    saving::{not_written, part_path},
};
use crate::{cli::LookArgs, progress::Display};

const SAMPLE_EVERY: Duration = Duration::from_millis(250);
/// Effects that wait for their turn.
const WAITING: usize = 64;

/// An import that is about to run.
pub(in crate::commands) struct Live<'a> {
    /// The jobs of this process.
    pub(in crate::commands) jobs: &'a Jobs,
    /// The one that is run.
    pub(in crate::commands) job: JobId,
    /// Its live counters.
    pub(in crate::commands) progress: Arc<JobProgress>,
    /// Stops it.
    pub(in crate::commands) cancel: CancellationToken,
    /// How the dashboard looks.
    pub(in crate::commands) look: &'a LookArgs,
}

/// Runs the import beside the dashboard. When that is left while the import goes on, lines take its place.
pub(in crate::commands) fn run(
    live: &Live<'_>,
    import: impl FnOnce() -> RunOutcome + Send,
) -> anyhow::Result<RunOutcome> {
    let (outbox, messages) = Outbox::open();
    let (desk, orders) = sync_channel(WAITING);
    let options = Options {
        look: super::look(live.look),
        mouse: live.look.mouse,
        one_import: true,
        open: Some(live.job),
        ..Options::default()
    };
    thread::scope(|scope| {
        let mut feeder = Feeder { live, samples: live.jobs.subscribe(), outbox, asked: false };
        let running = thread::Builder::new().name("import".into()).spawn_scoped(scope, import)?;
        let feeding =
            thread::Builder::new().name("feeder".into()).spawn_scoped(scope, move || feeder.run(&orders))?;
        let shown = pinport_tui::run(options, Output::Stderr, &messages, |effect| {
            // What does not fit is asked for again a second later.
            let _ = desk.try_send(effect);
        });
        drop(desk);
        // It has nothing to clear up if it panicked.
        let _ = feeding.join();
        let display = match running.is_finished() || live.cancel.is_cancelled() {
            true => None,
            false => Some({
                let progress = Arc::clone(&live.progress);
                Display::lines(move || progress.snapshot().into())?
            }),
        };
        let outcome = running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        if let Some(display) = display {
            display.finish();
        }
        // A terminal that broke is no reason to keep the report back.
        if let Err(error) = shown {
            tracing::warn!(%error, "the dashboard was lost");
        }
        Ok(outcome)
    })
}

/// Answers the dashboard, and shows it how the import stands.
struct Feeder<'a> {
    live: &'a Live<'a>,
    samples: broadcast::Receiver<Arc<Sample>>,
    outbox: Outbox,
    /// The dashboard asked for the stop; a signal's stop ends the dashboard too.
    asked: bool,
}

impl Feeder<'_> {
    fn run(&mut self, orders: &Receiver<Effect>) {
        self.outbox.offer(Message::Connection(Connection::InProcess));
        let mut next = Instant::now();
        loop {
            let now = Instant::now();
            if now >= next {
                self.sample();
                if self.live.cancel.is_cancelled() && !self.asked {
                    self.outbox.offer(Message::Quit);
                }
                next = now + SAMPLE_EVERY;
            }
            match orders.recv_timeout(next.saturating_duration_since(now)) {
                Ok(effect) => self.carry_out(effect),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Shows the newest sample; one of this moment when none came, for what the dashboard had no room for.
    fn sample(&mut self) {
        let mut newest = None;
        loop {
            match self.samples.try_recv() {
                Ok(sample) => newest = Some(sample),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let sample = newest.unwrap_or_else(|| self.live.jobs.sample());
        self.outbox.offer(Message::Sample(Box::new(Sample::clone(&sample))));
    }

    /// The job as it stands.
    fn seen(&self) -> Result<Seen, String> {
        let seen = self.live.jobs.seen(self.live.job);
        let seen = seen.map_err(|error| format!("the job cannot be read: {}", with_causes(&error)))?;
        seen.ok_or_else(|| "the job is not in the store any more".into())
    }

    fn detail(&self) -> Result<Message, String> {
        let detail = self.live.jobs.detail(self.seen()?);
        let detail = detail.map_err(|error| format!("the job cannot be read: {}", with_causes(&error)))?;
        Ok(Message::Detail(Box::new(detail)))
    }

    fn carry_out(&mut self, effect: Effect) {
        let done = match effect {
            Effect::RequestDetail(_) => match self.detail() {
                Ok(detail) => return self.outbox.offer(detail),
                Err(text) => Err(text),
            },
            Effect::RequestFailures(query) => match self.failures(&query) {
                Ok(page) => return self.outbox.offer(Message::Failures(page)),
                Err(text) => Err(text),
            },
            Effect::RequestRecord(query) => {
                let record = self.record(&query);
                let bytes = record.as_ref().map(|(_, bytes)| bytes.clone());
                let bytes = bytes.map_err(|error| format!("its bytes cannot be read: {error}"));
                let header = record.as_ref().map_or(&[][..], |(header, _)| header);
                return self.outbox.offer(Message::Record(Box::new(record_answer(query, header, bytes))));
            }
            Effect::Cancel(_) => {
                self.asked = true;
                self.live.cancel.cancel();
                Ok("the import is being stopped".into())
            }
            Effect::SaveFailures { path, .. } => self.save_failures(&path),
            Effect::SaveRejects { path, .. } => self.save_rejects(&path),
            Effect::Pause(_)
            | Effect::Resume(_)
            | Effect::Throttle(..)
            | Effect::CreateImport(_)
            | Effect::RequestSources(_)
            | Effect::FetchRejects(_)
            | Effect::Edit(_) => Err("this needs a server: start one with `pinport serve`".into()),
            Effect::Reconnect | Effect::Copy(_) | Effect::Suspend | Effect::Quit => return,
        };
        let (text, worked) = match done {
            Ok(text) => (text, true),
            Err(text) => (text, false),
        };
        self.outbox.offer(Message::EffectDone { text, worked });
    }

    /// The file of failures, as far as it is committed.
    fn committed(&self) -> Result<Option<io::Take<File>>, String> {
        let len = self.seen()?.last.map_or(0, |last| last.failures_len);
        match File::open(files::failures_path(&self.folder())) {
            Ok(file) => Ok(Some(file.take(len))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("the failed records cannot be read: {error}")),
        }
    }

    fn failures(&self, query: &FailuresQuery) -> Result<FailuresPage, String> {
        let mut page = FailuresPage::new(query.clone());
        let matches = query.matcher();
        let Some(file) = self.committed()? else { return Ok(page) };
        for line in BufReader::with_capacity(256 << 10, file).lines() {
            let failure = line.and_then(|line| Ok(serde_json::from_str::<Failure>(&line)?));
            let failure = failure.map_err(|error| format!("the failed records cannot be read: {error}"))?;
            if matches(&failure) && !page.push(failure) {
                break;
            }
        }
        Ok(page)
    }

    fn folder(&self) -> PathBuf {
        self.live.jobs.folder(self.live.job)
    }

    /// The bytes that hold a record's header, and its own.
    fn record(&self, query: &RecordQuery) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let paths = files::rejects_paths(&self.folder(), query.format);
        let path = paths.get((query.place.part as usize).wrapping_sub(1)).ok_or(io::ErrorKind::NotFound)?;
        let mut file = File::open(path)?;
        let (mut header, mut bytes) = (Vec::new(), Vec::new());
        (&mut file).take(query.header_bytes()).read_to_end(&mut header)?;
        file.seek(SeekFrom::Start(query.place.byte))?;
        file.take(query.place.bytes.min(RecordQuery::LIMIT)).read_to_end(&mut bytes)?;
        Ok((header, bytes))
    }

    fn save_failures(&self, path: &Path) -> Result<String, String> {
        let Some(mut from) = self.committed()? else { return Err(nothing_yet()) };
        let bytes = save(&mut from, path)?;
        Ok(format!("{bytes} bytes of failures are in {}", path.display()))
    }

    fn save_rejects(&self, path: &Path) -> Result<String, String> {
        let seen = self.seen()?;
        let Some(last) = seen.last else { return Err(nothing_yet()) };
        let from = files::rejects_paths(&self.folder(), seen.job.definition.format);
        let (mut bytes, mut part) = (0, 0);
        for from in from.iter().take(last.rejects_file as usize) {
            part += 1;
            let file = File::open(from).map_err(|error| format!("the rejects cannot be read: {error}"))?;
            // What comes after is not committed.
            let len = if part == last.rejects_file { last.rejects_len } else { u64::MAX };
            bytes += save(&mut file.take(len), &part_path(path, part))?;
        }
        if part == 0 {
            return Err(nothing_yet());
        }
        Ok(format!("{bytes} bytes of rejects are in {}", path.display()))
    }
}

fn nothing_yet() -> String {
    "nothing of it is committed yet: try again in a moment".into()
}

/// Copies to a new file; gives its length.
fn save(from: &mut impl io::Read, path: &Path) -> Result<u64, String> {
    let mut file = File::create_new(path).map_err(|error| not_written(path, &error))?;
    io::copy(from, &mut file).map_err(|error| {
        let _ = fs::remove_file(path);
        not_written(path, &error)
    })
}
