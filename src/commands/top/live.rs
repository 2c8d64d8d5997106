//! The dashboard of an import in this process: the engine's counters in, samples out, four times a second.
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

use parking_lot::Mutex;
use pinport_model::{
    Failure, ImportJob, JobStatus, Timestamp,
    view::{JobDetail, JobView, Machine, PieceRun, PieceState, Sample},
    with_causes,
};
use pinport_pipeline::{
    disk::Disk,
    engine::{Engine, JobError, JobProgress, RunOutcome, files},
    jobs::{ObjectCounts, detail_of, failures_of, object_views, stage_views, view_of},
    machine::Load,
};
use pinport_store::Store;
use pinport_tui::{Connection, Effect, FailuresPage, FailuresQuery, Message, Options, Output, RecordQuery};
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
    /// As it begins.
    pub(in crate::commands) job: ImportJob,
    /// Its application's name.
    pub(in crate::commands) application: String,
    /// Its own folder.
    pub(in crate::commands) folder: PathBuf,
    /// Its live counters.
    pub(in crate::commands) progress: Arc<JobProgress>,
    /// The engine that runs it.
    pub(in crate::commands) engine: &'a Engine,
    /// Where its pieces are committed, if they are.
    pub(in crate::commands) store: Option<Arc<dyn Store>>,
    /// Stops it.
    pub(in crate::commands) cancel: CancellationToken,
    /// How the dashboard looks.
    pub(in crate::commands) look: LookArgs,
}

/// Runs the import beside the dashboard. When that is left while the import goes on, lines take its place.
pub(in crate::commands) fn run(
    live: &Live<'_>,
    import: impl FnOnce() -> RunOutcome + Send,
) -> anyhow::Result<RunOutcome> {
    let (outbox, messages) = Outbox::open();
    let (desk, orders) = sync_channel(WAITING);
    let ended = Mutex::new(None);
    let options = Options {
        look: super::look(&live.look),
        mouse: live.look.mouse,
        one_import: true,
        open: Some(live.job.id),
        ..Options::default()
    };
    thread::scope(|scope| {
        let running = thread::Builder::new().name("import".into()).spawn_scoped(scope, || {
            let outcome = import();
            *ended.lock() = Some(Ended::of(&outcome));
            outcome
        })?;
        let mut feeder = Feeder {
            live,
            ended: &ended,
            outbox,
            counts: ObjectCounts::default(),
            sequence: 0,
            load: Load::default(),
            asked: false,
        };
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

/// What became of the import.
struct Ended {
    job: ImportJob,
    status: JobStatus,
    error: Option<String>,
}

impl Ended {
    fn of(outcome: &RunOutcome) -> Self {
        let mut job = outcome.job.clone();
        job.completed.get_or_insert_with(Timestamp::now);
        let (status, error) = match &outcome.stopped {
            None => (job.status, job.error.clone()),
            Some(JobError::Cancelled) => (JobStatus::Cancelled, None),
            Some(error) => (JobStatus::Failed, Some(with_causes(error))),
        };
        Self { job, status, error }
    }
}

/// Answers the dashboard, and shows it how the import stands.
struct Feeder<'a> {
    live: &'a Live<'a>,
    ended: &'a Mutex<Option<Ended>>,
    outbox: Outbox,
    counts: ObjectCounts,
    sequence: u64,
    load: Load,
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

    /// What this process has of its machine.
    fn machine(&mut self) -> Machine {
        let (cpu, cpus, memory) = self.load.measure();
        let disk = Disk::of(&self.live.folder).ok();
        Machine { disk_free: disk.map(|disk| disk.free), cpu, cpus, memory, ..Machine::default() }
    }

    fn sample(&mut self) {
        self.sequence += 1;
        let (bytes_in_flight, bytes_in_flight_limit) = self.live.engine.bytes_in_flight();
        let machine = Some(self.machine());
        self.outbox.offer(Message::Sample(Box::new(Sample {
            sequence: self.sequence,
            time: Timestamp::now(),
            jobs: vec![self.view()],
            jobs_total: 1,
            jobs_of: Default::default(),
            bytes_in_flight,
            bytes_in_flight_limit,
            trouble: None,
            servers: Vec::new(),
            events: Vec::new(),
            past: None,
            machine,
        })));
    }

    fn view(&self) -> JobView {
        let Live { job, application, progress, .. } = self.live;
        let mut view = view_of(job, application, progress.snapshot());
        if let Some(ended) = &*self.ended.lock() {
            view.completed = ended.job.completed;
            view.progress.status = ended.status;
            view.error.clone_from(&ended.error);
        }
        view
    }

    fn detail(&mut self) -> anyhow::Result<JobDetail> {
        let mut job = match &*self.ended.lock() {
            Some(ended) => ended.job.clone(),
            None => self.live.job.clone(),
        };
        let last = self.live.progress.last_piece();
        if let Some(last) = &last {
            last.count_into(&mut job);
        }
        if let Some(store) = &self.live.store {
            self.counts.follow(&**store, job.id)?;
        }
        let failures = failures_of(&self.live.folder, last.as_ref())?;
        let objects = object_views(&job, &self.live.folder, self.counts.tallies())?;
        let pieces = match job.status {
            JobStatus::Completed => vec![PieceRun { state: PieceState::Done, count: job.completed_pieces }],
            _ => self.live.progress.pieces(),
        };
        let progress = &self.live.progress;
        let stages = stage_views(self.live.engine, progress.snapshot().busy_ms, progress.queues());
        // No history: the dashboard has seen all of it.
        Ok(JobDetail { pieces, failures, objects, stages, ..detail_of(job, self.view()) })
    }

    fn carry_out(&mut self, effect: Effect) {
        let done = match effect {
            Effect::RequestDetail(_) => match self.detail() {
                Ok(detail) => return self.outbox.offer(Message::Detail(Box::new(detail))),
                Err(error) => Err(format!("{error:#}")),
            },
            Effect::RequestFailures(query) => match self.failures(&query) {
                Ok(page) => return self.outbox.offer(Message::Failures(page)),
                Err(error) => Err(format!("the failed records cannot be read: {error}")),
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
    fn committed(&self) -> io::Result<Option<io::Take<File>>> {
        let len = self.live.progress.last_piece().map_or(0, |last| last.failures_len);
        match File::open(files::failures_path(&self.live.folder)) {
            Ok(file) => Ok(Some(file.take(len))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn failures(&self, query: &FailuresQuery) -> io::Result<FailuresPage> {
        let mut page = FailuresPage { query: query.clone(), entries: Vec::new(), more: false };
        let matches = query.matcher();
        let Some(file) = self.committed()? else { return Ok(page) };
        for line in BufReader::with_capacity(256 << 10, file).lines() {
            let failure: Failure = serde_json::from_str(&line?)?;
            if !matches(&failure) {
                continue;
            }
            if page.entries.len() == FailuresQuery::LIMIT {
                page.more = true;
                break;
            }
            page.entries.push(failure);
        }
        Ok(page)
    }

    /// The bytes that hold a record's header, and its own.
    fn record(&self, query: &RecordQuery) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let paths = files::rejects_paths(&self.live.folder, query.format);
        let path = paths.get((query.place.part as usize).wrapping_sub(1)).ok_or(io::ErrorKind::NotFound)?;
        let mut file = File::open(path)?;
        let (mut header, mut bytes) = (Vec::new(), Vec::new());
        (&mut file).take(query.header_bytes()).read_to_end(&mut header)?;
        file.seek(SeekFrom::Start(query.place.byte))?;
        file.take(query.place.bytes.min(RecordQuery::LIMIT)).read_to_end(&mut bytes)?;
        Ok((header, bytes))
    }

    fn save_failures(&self, path: &Path) -> Result<String, String> {
        let from = self.committed().map_err(|error| format!("the failed records cannot be read: {error}"))?;
        let Some(mut from) = from else { return Err(nothing_yet()) };
        let bytes = save(&mut from, path)?;
        Ok(format!("{bytes} bytes of failures are in {}", path.display()))
    }

    fn save_rejects(&self, path: &Path) -> Result<String, String> {
        let Some(last) = self.live.progress.last_piece() else { return Err(nothing_yet()) };
        let from = files::rejects_paths(&self.live.folder, self.live.job.definition.format);
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
