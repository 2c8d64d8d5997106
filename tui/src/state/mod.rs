//! The dashboard's state: the data it received, and the open screens.
//!
//! [`Dashboard::update`] is the only writer and does not draw; drawing only reads. This module reads no clock and
//! does no work: time comes in as a message, work goes out as an effect.

mod act;
mod asking;
pub(crate) mod detail;
pub(crate) mod failures;
pub(crate) mod form;
pub(crate) mod input;
pub(crate) mod jobs;
pub(crate) mod lines;
mod mending;
pub(crate) mod meter;
mod mouse;
mod moving;
mod received;
mod requests;
pub(crate) mod window;

use std::{collections::VecDeque, path::PathBuf};

use pinport_model::{
    JobId, JobStatus, Timestamp,
    view::{JobView, Machine, Sample, ServerView},
};
use ratatui::crossterm::event::{KeyEvent, KeyEventKind};

use self::{
    detail::Detail, failures::Failures, form::Form, input::Input, jobs::Jobs, meter::Meters, window::Window,
};
use crate::{
    keys::{self, Context, Reach},
    look::Look,
    message::{Connection, Effect, Message},
};
/// How long a notice stays.
const NOTICE_MS: i64 = 10_000;
/// A sample that is older than this is called stale.
pub(crate) const STALE_MS: i64 = 5_000;
/// A running job whose counters did not move for this long is called stalled.
const STALLED_MS: i64 = 10_000;
/// Options of the dashboard.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The server's name in the header; empty for a job of this process.
    pub server: String,
    /// Colours and symbols.
    pub look: Look,
    /// Whether all actions on the server are disabled.
    pub read_only: bool,
    /// Whether the only job is an import in this process. Quitting then asks what to do with it.
    pub one_import: bool,
    /// Whether the terminal sends clicks and turns of the wheel. Its own selecting of text then needs Shift.
    pub mouse: bool,
    /// The job to open first.
    pub open: Option<JobId>,
    /// The initial filter.
    pub filter: String,
}

/// A screen. The last one on the stack is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Screen {
    Overview,
    Job(JobId),
    Classes(JobId),
    Entries(JobId),
    Events,
}

/// An overlay over the screen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Overlay {
    Help {
        scroll: usize,
        /// Only lines with these words are shown.
        search: Input,
        /// Whether the words are being typed.
        typing: bool,
    },
    Text {
        title: String,
        text: String,
        scroll: usize,
    },
    /// All of the selected failed record.
    Record {
        scroll: usize,
    },
    Confirm {
        effect: Effect,
        question: String,
    },
    /// Asks what to do with the running import of this process before quitting.
    Leave {
        job: JobId,
    },
    Prompt {
        prompt: Prompt,
        input: Input,
    },
    Form(Box<Form>),
}

/// The purpose of a text input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prompt {
    Filter,
    Search,
    OpenById,
    SaveFailures(JobId),
    SaveRejects(JobId),
    Throttle(JobId),
}

/// An event, and whether it is bad news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) time: Timestamp,
    pub(crate) job: Option<JobId>,
    pub(crate) text: String,
    pub(crate) worked: bool,
}

/// The last sample without its jobs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server {
    pub(crate) time: Timestamp,
    pub(crate) jobs_total: u64,
    pub(crate) bytes_in_flight: u64,
    pub(crate) bytes_in_flight_limit: u64,
    pub(crate) machine: Option<Machine>,
}

/// The dashboard.
#[derive(Debug)]
pub struct Dashboard {
    pub(crate) options: Options,
    pub(crate) now: Timestamp,
    pub(crate) connection: Connection,
    /// When the next attempt to connect is.
    pub(crate) retry_at: Timestamp,
    pub(crate) server: Option<Server>,
    /// Why no job runs, if none does.
    pub(crate) trouble: Option<String>,
    /// The servers that share the store; empty if it is no store that several may share.
    pub(crate) servers: Vec<ServerView>,
    /// When the newest sample came, by our clock.
    pub(crate) arrived: Timestamp,
    sequence: Option<u64>,
    pub(crate) lost: u64,
    pub(crate) jobs: Jobs,
    pub(crate) meters: Meters,
    pub(crate) detail: Option<Detail>,
    pub(crate) failures: Option<Failures>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) event_row: usize,
    pub(crate) screens: Vec<Screen>,
    pub(crate) overlay: Option<Overlay>,
    pub(crate) notice: Option<(String, bool, Timestamp)>,
    /// While frozen: the newest sample, to show afterwards.
    held: Option<Box<Sample>>,
    pub(crate) frozen: bool,
    /// How much time the charts show.
    pub(crate) window: Window,
    pub(crate) size: (u16, u16),
    revision: u64,
    effects: Vec<Effect>,
}

impl Dashboard {
    /// A dashboard without data.
    pub fn new(options: Options) -> Self {
        let mut jobs = Jobs::default();
        jobs.filter.clone_from(&options.filter);
        let start = Timestamp::from_millis(0);
        let mut dashboard = Self {
            now: start,
            connection: Connection::Connecting,
            retry_at: start,
            server: None,
            trouble: None,
            servers: Vec::new(),
            arrived: start,
            sequence: None,
            lost: 0,
            jobs,
            meters: Meters::default(),
            detail: None,
            failures: None,
            events: VecDeque::new(),
            event_row: 0,
            screens: vec![Screen::Overview],
            overlay: None,
            notice: None,
            held: None,
            frozen: false,
            window: Window::default(),
            size: (80, 24),
            revision: 1,
            effects: Vec::new(),
            options,
        };
        if let Some(job) = dashboard.options.open {
            dashboard.open_job(job);
        }
        dashboard
    }

    /// Handles a message and returns the effects to carry out.
    pub fn update(&mut self, message: Message) -> Vec<Effect> {
        let changed = match message {
            Message::Sample(sample) => {
                self.take_sample(sample);
                true
            }
            Message::Detail(detail) => self.take_detail(detail),
            Message::Failures(page) => self.failures.as_mut().is_some_and(|failures| failures.take(page)),
            Message::Record(record) => {
                self.failures.as_mut().is_some_and(|failures| failures.take_record(*record))
            }
            Message::Sources { prefix, found } => match &mut self.overlay {
                Some(Overlay::Form(form)) => form.take_places(prefix, found),
                _ => false,
            },
            Message::Rejects(job) => {
                self.effects.push(Effect::Edit(job));
                false
            }
            Message::Connection(connection) => {
                self.take_connection(connection);
                true
            }
            Message::Key(key) => self.take_key(key),
            Message::Paste(text) => self.paste(&text),
            Message::Mouse { event, hit } => self.take_mouse(event, hit),
            Message::Resize { width, height } => {
                self.size = (width, height);
                true
            }
            Message::Tick(now) => self.tick(now),
            Message::EffectDone { text, worked } => {
                self.tell(text.clone(), worked);
                self.add_event(Event { time: self.server_now(), job: None, text, worked });
                true
            }
            Message::Created(job) => {
                self.jobs.await_job(job, &self.meters);
                true
            }
            Message::Quit => {
                self.effects.push(Effect::Quit);
                false
            }
        };
        if changed {
            self.want_record();
        }
        self.revision += u64::from(changed);
        std::mem::take(&mut self.effects)
    }

    /// Changes whenever there is something new to draw.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// When what is shown was true, if the connection to the server is lost.
    pub(crate) fn true_at(&self) -> Option<Timestamp> {
        let is_lost = matches!(self.connection, Connection::Disconnected { .. });
        self.server.filter(|_| is_lost).map(|server| server.time)
    }

    fn tick(&mut self, now: Timestamp) -> bool {
        let second = |time: Timestamp| time.as_millis().div_euclid(1000);
        let is_new = second(now) != second(self.now);
        self.now = now;
        if !is_new {
            return false;
        }
        if self.notice.as_ref().is_some_and(|(_, _, until)| *until <= now) {
            self.notice = None;
        }
        self.ask_again();
        true
    }

    fn take_key(&mut self, key: KeyEvent) -> bool {
        // Some terminals also report releases, which would double every key.
        if key.kind == KeyEventKind::Release {
            return false;
        }
        let context = self.context();
        match keys::action(context, key, self.reach()) {
            Some(action) if !self.is_typed(action) => self.act(action),
            _ => self.type_key(key),
        }
        true
    }

    fn paste(&mut self, text: &str) -> bool {
        match &mut self.overlay {
            Some(Overlay::Prompt { input, .. }) => input.insert(text),
            Some(Overlay::Help { search, typing: true, .. }) => search.insert(text),
            Some(Overlay::Form(form)) => {
                if let Some(input) = form.input() {
                    input.insert(text);
                }
            }
            _ => return false,
        }
        self.typed();
        true
    }

    pub(crate) fn context(&self) -> Context {
        match (&self.overlay, self.screen()) {
            (Some(Overlay::Help { typing: true, .. }), _) => Context::Prompt,
            (Some(Overlay::Help { .. }), _) => Context::Help,
            (Some(Overlay::Text { .. } | Overlay::Record { .. }), _) => Context::Text,
            (Some(Overlay::Confirm { .. }), _) => Context::Confirm,
            (Some(Overlay::Leave { .. }), _) => Context::Leave,
            (Some(Overlay::Prompt { .. }), _) => Context::Prompt,
            (Some(Overlay::Form(_)), _) => Context::Form,
            (None, Screen::Overview) => Context::Overview,
            (None, Screen::Job(_)) => Context::Detail,
            (None, Screen::Classes(_)) => Context::Classes,
            (None, Screen::Entries(_)) => Context::Entries,
            (None, Screen::Events) => Context::Events,
        }
    }

    /// The actions that are available.
    pub(crate) fn reach(&self) -> Reach {
        match (self.options.one_import, self.options.read_only) {
            (true, _) => Reach::OneImport,
            (false, true) => Reach::ReadOnly,
            (false, false) => Reach::Server,
        }
    }

    pub(crate) fn screen(&self) -> Screen {
        self.screens.last().copied().unwrap_or(Screen::Overview)
    }

    /// The job that keys act on: the open one, else the selected one.
    pub(crate) fn job(&self) -> Option<&JobView> {
        match self.screen() {
            Screen::Overview | Screen::Events => self.jobs.selected(),
            Screen::Job(id) | Screen::Classes(id) | Screen::Entries(id) => self.view_of(id),
        }
    }

    /// The newest view of a job.
    pub(crate) fn view_of(&self, id: JobId) -> Option<&JobView> {
        let detail =
            self.detail.as_ref().filter(|detail| detail.job == id).and_then(|detail| detail.view.as_ref());
        self.jobs.find(id).or_else(|| detail.map(|view| &view.job))
    }

    /// The server's time: the time of its last sample plus the time since.
    pub(crate) fn server_now(&self) -> Timestamp {
        match self.server {
            Some(server) if self.frozen => server.time,
            Some(server) => {
                Timestamp::from_millis(server.time.as_millis().saturating_add(self.sample_age_ms()))
            }
            None => self.now,
        }
    }

    /// How long a running job has made no progress, if that is long. Measured up to the last sample: a server
    /// that sends nothing is stale, its jobs are not stalled.
    pub(crate) fn stalled_ms(&self, job: &JobView) -> Option<i64> {
        let running = job.progress.status == JobStatus::Processing && !job.paused;
        let still = self.meters.of(job.id)?.still_ms(self.server?.time.as_millis());
        (running && still >= STALLED_MS).then_some(still)
    }

    /// Milliseconds since the newest sample came.
    pub(crate) fn sample_age_ms(&self) -> i64 {
        self.now.as_millis().saturating_sub(self.arrived.as_millis()).max(0)
    }

    fn tell(&mut self, text: String, worked: bool) {
        let until = Timestamp::from_millis(self.now.as_millis().saturating_add(NOTICE_MS));
        self.notice = Some((text, worked, until));
    }

    fn open_job(&mut self, job: JobId) {
        self.watch(job);
        self.screens.push(Screen::Job(job));
    }

    fn save(&mut self, prompt: Prompt, path: &str) {
        let path = PathBuf::from(path.trim());
        match prompt {
            Prompt::SaveFailures(job) => self.effects.push(Effect::SaveFailures { job, path }),
            Prompt::SaveRejects(job) => self.effects.push(Effect::SaveRejects { job, path }),
            _ => {}
        }
    }
}
