//! The dashboard's state: the data it received, and the open screens.
//!
//! [`Dashboard::update`] is the only writer and does not draw; drawing only reads. This module reads no clock and
//! does no work: time comes in as a message, work goes out as an effect.

mod act;
pub(crate) mod detail;
pub(crate) mod failures;
pub(crate) mod form;
pub(crate) mod input;
pub(crate) mod jobs;
pub(crate) mod lines;
pub(crate) mod meter;
mod mouse;
pub(crate) mod window;

use std::{collections::VecDeque, path::PathBuf};

use pinport_model::{
    JobId, JobStatus, Timestamp,
    view::{self, JobView, Machine, Sample, ServerView},
};
use ratatui::crossterm::event::{KeyEvent, KeyEventKind};

use self::{
    detail::Detail, failures::Failures, form::Form, input::Input, jobs::Jobs, meter::Meters, window::Window,
};
use crate::{
    keys::{self, Context, Reach},
    look::Look,
    message::{Connection, Effect, FailuresQuery, Message},
};

/// Events that are kept.
const MAX_EVENTS: usize = 1000;
/// How long a notice stays.
const NOTICE_MS: i64 = 10_000;
/// A sample that is older than this is called stale.
pub(crate) const STALE_MS: i64 = 5_000;
/// A running job whose counters did not move for this long is called stalled.
const STALLED_MS: i64 = 10_000;
/// How often failed records are requested again while their job runs.
const FAILURES_EVERY_MS: i64 = 5_000;

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

    /// Requests the bytes of the failed record that is selected, if they are not here.
    fn want_record(&mut self) {
        let Screen::Entries(job) = self.screen() else { return };
        let detail = self.detail.as_ref().filter(|detail| detail.job == job);
        let Some(view) = detail.and_then(|detail| detail.view.as_ref()) else { return };
        let (format, read) = (view.job.format, &view.definition.read);
        let query = self.failures.as_mut().and_then(|failures| failures.want_record(format, read));
        self.effects.extend(query.map(Effect::RequestRecord));
    }

    fn take_sample(&mut self, mut sample: Box<Sample>) {
        if let Some(last) = self.sequence
            && sample.sequence > last
        {
            self.lost = self.lost.saturating_add(sample.sequence - last - 1);
        }
        self.sequence = Some(sample.sequence);
        self.arrived = self.now;
        if let Some(past) = sample.past.take() {
            self.meters.take_past(&past);
            past.events.into_iter().for_each(|event| self.add_past(event));
        }
        self.meters.record(&sample);
        for event in std::mem::take(&mut sample.events) {
            let (time, job, text) = (event.time, event.job, event.text);
            self.add_event(Event { time, job, text, worked: true });
        }
        if matches!(self.connection, Connection::Connecting) {
            self.connection = Connection::Connected;
        }
        if self.frozen {
            self.held = Some(sample);
        } else {
            self.show(*sample);
        }
    }

    fn show(&mut self, sample: Sample) {
        self.server = Some(Server {
            time: sample.time,
            jobs_total: sample.jobs_total,
            bytes_in_flight: sample.bytes_in_flight,
            bytes_in_flight_limit: sample.bytes_in_flight_limit,
            machine: sample.machine,
        });
        self.trouble = sample.trouble;
        self.servers = sample.servers;
        self.jobs.replace(sample.jobs, &self.meters);
    }

    fn take_detail(&mut self, view: Box<pinport_model::view::JobDetail>) -> bool {
        let Some(detail) = self.detail.as_mut().filter(|detail| detail.job == view.job.id && !self.frozen)
        else {
            return false;
        };
        self.meters.adopt(view.job.id, &view.history);
        if let Some(failures) = self.failures.as_mut().filter(|failures| failures.query.job == view.job.id) {
            failures.take_first(&view.failures);
        }
        detail.take(view);
        true
    }

    fn take_connection(&mut self, connection: Connection) {
        if let Connection::Disconnected { reason, retry_in } = &connection {
            let wait = i64::try_from(retry_in.as_millis()).unwrap_or(i64::MAX);
            self.retry_at = Timestamp::from_millis(self.now.as_millis().saturating_add(wait));
            if !matches!(self.connection, Connection::Disconnected { .. }) {
                self.meters.lose();
                let text = format!("disconnected: {reason}");
                self.add_event(Event { time: self.server_now(), job: None, text, worked: false });
            }
        } else if matches!(self.connection, Connection::Disconnected { .. })
            && connection == Connection::Connected
        {
            let text = "connected again".into();
            self.add_event(Event { time: self.server_now(), job: None, text, worked: true });
            // A restarted server counts its samples from 1.
            self.sequence = None;
            if let Some(failures) = &mut self.failures {
                failures.want_again();
            }
        }
        self.connection = connection;
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

    /// Requests the data that the open screens need.
    fn ask_again(&mut self) {
        if self.frozen || matches!(self.connection, Connection::Disconnected { .. }) {
            return;
        }
        let Some(detail) = self.detail.as_ref().filter(|_| self.screens.len() > 1) else { return };
        let ended = detail.view.as_ref().is_some_and(|view| view.job.progress.status.is_terminal());
        if !ended {
            self.effects.push(Effect::RequestDetail(detail.job));
        }
        if let Some(failures) = &mut self.failures {
            let due = self.now.as_millis() - failures.asked.as_millis() >= FAILURES_EVERY_MS;
            if due
                && (!ended || failures.is_waiting())
                && matches!(self.screens.last(), Some(Screen::Entries(_)))
            {
                failures.asked = self.now;
                self.effects.push(Effect::RequestFailures(failures.query.clone()));
            }
        }
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

    /// Adds an event of the past at its place, unless it is there: a server tells of it again after a lost connection.
    fn add_past(&mut self, event: view::Event) {
        let at = self.events.partition_point(|known| known.time > event.time);
        let same_time = self.events.iter().skip(at).take_while(|known| known.time == event.time);
        if same_time.into_iter().any(|known| known.job == event.job && known.text == event.text) {
            return;
        }
        let (time, job, text) = (event.time, event.job, event.text);
        self.events.insert(at, Event { time, job, text, worked: true });
        self.event_row += usize::from(self.event_row > at);
        self.events.truncate(MAX_EVENTS);
    }

    fn add_event(&mut self, event: Event) {
        // The newest comes first. A reader who scrolled down stays at the same line.
        if self.event_row > 0 {
            self.event_row = (self.event_row + 1).min(MAX_EVENTS - 1);
        }
        self.events.push_front(event);
        self.events.truncate(MAX_EVENTS);
    }

    fn open_job(&mut self, job: JobId) {
        self.watch(job);
        self.screens.push(Screen::Job(job));
    }

    /// Opens this job and keeps its details.
    fn watch(&mut self, job: JobId) {
        if self.detail.as_ref().is_none_or(|detail| detail.job != job) {
            self.detail = Some(Detail::new(job));
            self.failures = None;
        }
        self.effects.push(Effect::RequestDetail(job));
    }

    fn ask_failures(&mut self, query: FailuresQuery) {
        let first = self.detail.as_ref().and_then(|detail| detail.view.as_ref());
        let first = first.map(|view| view.failures.as_slice()).unwrap_or_default();
        self.effects.push(Effect::RequestFailures(query.clone()));
        self.failures = Some(Failures::new(query, first, self.now));
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
