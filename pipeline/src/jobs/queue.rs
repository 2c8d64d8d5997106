//! Which jobs wait, run and rest. Jobs are kept in order of creation, which is the order of their ids.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use pinport_model::{
    ApplicationId, ImportJob, JobId, JobStatus, PieceRecord, Timestamp,
    history::{Curve, HistoryPoint},
    progress::Progress,
    view::{Event, JobHistory, JobView, PartView, Past, ServerView},
};
use pinport_store::{StopRequest, Worker};
use tokio_util::sync::CancellationToken;

use super::help::Helping;
use crate::{
    engine::{JobProgress, log_status, progress_of},
    limits::{ENDED_SHOWN, EVENTS_KEPT, EVENTS_WAITING, HISTORIES_SHOWN},
    throttle::Throttle,
};

/// What every caller may read about a store that stopped.
pub(super) const STOPPED: &str =
    "the server's store has stopped and nothing can be stored; its operator has to mend that";
/// And of a disk that has too little room.
pub(super) const SHORT: &str =
    "the server's disk has too little room; the job goes on by itself when there is more";

/// How often the store was settled since the process began.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settling {
    /// Whether it is being settled.
    pub now: bool,
    /// How many times it was.
    pub times: u64,
    /// How long that took.
    pub took: Duration,
}

#[derive(Default)]
pub(super) struct State {
    /// Every job that has not ended.
    pub(super) jobs: BTreeMap<JobId, Entry>,
    /// Jobs that other servers work on, or that wait for theirs, in a store that several share.
    pub(super) others: BTreeMap<JobId, Other>,
    /// Jobs that other servers lead, and that this one works on parts of.
    pub(super) helping: BTreeMap<JobId, Helping>,
    /// Jobs that it cannot help with, until some moment.
    pub(super) no_help_before: HashMap<JobId, Instant>,
    /// Which server works on which parts of a job.
    pub(super) parts: HashMap<JobId, Vec<PartView>>,
    /// The servers that share it.
    pub(super) servers: Vec<ServerView>,
    /// The newest jobs that were counted, whoever made them, since the store was looked at.
    pub(super) known: Option<HashSet<JobId>>,
    /// The newest ended jobs, the newest last.
    pub(super) ended: VecDeque<JobView>,
    /// How many jobs there are in all, once counted.
    pub(super) counted: u64,
    /// How many of them each application has.
    pub(super) counted_of: Arc<HashMap<ApplicationId, u64>>,
    /// What happened since the last sample.
    pub(super) events: VecDeque<Event>,
    /// The newest events before that, for new listeners.
    pub(super) past: VecDeque<Event>,
    /// What all jobs did together since the process began.
    pub(super) done: Curve,
    /// The number of the last sample.
    pub(super) sequence: u64,
    /// Counts everything that a view would show.
    pub(super) changes: u64,
    /// No job is begun any more.
    pub(super) stopping: bool,
    /// Why no job can run any more.
    pub(super) halted: Option<String>,
    /// Why no job may run until there is room on the disk.
    pub(super) short: Option<String>,
    /// When a job of each application began last, as a count of the jobs that began.
    pub(super) turns: HashMap<ApplicationId, u64>,
    pub(super) begun: u64,
    /// The store is being sorted.
    pub(super) settling: bool,
    /// How often it was, and how long that took.
    pub(super) settled: Settling,
}

/// A job that has not ended.
pub(super) struct Entry {
    /// As it is in the store, or newer.
    pub(super) job: ImportJob,
    pub(super) application_name: String,
    pub(super) place: Place,
    pub(super) stop_request: Option<StopRequest>,
    /// When it may begin again, if its source could not be reached.
    pub(super) not_before: Option<Instant>,
    /// Why it waits until then.
    pub(super) why: Option<String>,
    /// The last committed piece when it rested last.
    pub(super) last: Option<PieceRecord>,
    /// Its counters when it rested last.
    pub(super) rested: Option<Progress>,
    /// Its counters over its life.
    pub(super) history: Curve,
    /// How fast it may read.
    pub(super) throttle: Arc<Throttle>,
    /// Records and bytes that other servers had come to when it was sampled last.
    pub(super) by_others: Option<[u64; 2]>,
}

/// A job of a store that several servers share, and not this one's to run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Other {
    pub(super) job: ImportJob,
    pub(super) application_name: String,
    /// Who works on it; no one, if it waits for the server that has its files.
    pub(super) worker: Option<Worker>,
    pub(super) paused: bool,
}

/// Where a job is.
pub(super) enum Place {
    /// In the queue; not to be begun before a moment if its source could not be reached.
    Waiting { not_before: Option<Instant>, tries: u32 },
    /// On a thread of its own.
    Running { cancel: CancellationToken, progress: Arc<JobProgress>, tries: u32 },
    /// It waits until it is resumed.
    Paused,
    /// Somebody is ending it.
    Ending,
}

impl Entry {
    pub(super) fn new(job: ImportJob, application_name: String, place: Place) -> Self {
        Self {
            job,
            application_name,
            place,
            stop_request: None,
            not_before: None,
            why: None,
            last: None,
            rested: None,
            history: Curve::default(),
            throttle: Arc::default(),
            by_others: None,
        }
    }

    /// The counters of its run, if it runs.
    pub(super) fn running(&self) -> Option<&Arc<JobProgress>> {
        match &self.place {
            Place::Running { progress, .. } => Some(progress),
            _ => None,
        }
    }

    /// Whether nobody works on it here.
    pub(super) fn rests(&self) -> bool {
        matches!(self.place, Place::Waiting { .. } | Place::Paused)
    }

    /// The status as views show it.
    pub(super) fn status(&self) -> JobStatus {
        match &self.place {
            Place::Running { progress, .. } => match progress.snapshot().status {
                JobStatus::Created => self.job.status,
                // The engine ends a job in the store before its thread says so here.
                status => status,
            },
            _ => self.job.status,
        }
    }

    /// Its counters while it does not run: of the committed pieces, and of the rest what its last run left.
    pub(super) fn at_rest(&self) -> Progress {
        let mut job = self.job.clone();
        if let Some(last) = &self.last {
            last.count_into(&mut job);
        }
        progress_of(&job, self.rested.clone())
    }

    /// Shows it with this status from now on.
    pub(super) fn set_status(&mut self, status: JobStatus) {
        self.job.status = status;
        log_status(self.job.id, status);
    }

    /// Adds the counters of this moment to its history. Other servers had come to so many records and bytes of
    /// them. Gives by how much the rest grew: records, bytes and failed records.
    pub(super) fn record(&mut self, now: &Progress, others: [u64; 2], time: Timestamp) -> [u64; 3] {
        // What an interrupted run did is not done again.
        let begin = || HistoryPoint { time, records: now.before.parsed, bytes: now.before.bytes, failed: 0 };
        let before = self.history.newest().copied().unwrap_or_else(begin);
        let Progress { parsed: records, bytes, failed, .. } = *now;
        self.history.push_on(HistoryPoint { time, records, bytes, failed });
        let known = self.by_others.replace(others).unwrap_or([now.before.parsed, now.before.bytes]);
        [
            records.saturating_sub(before.records).saturating_sub(others[0].saturating_sub(known[0])),
            bytes.saturating_sub(before.bytes).saturating_sub(others[1].saturating_sub(known[1])),
            failed.saturating_sub(before.failed),
        ]
    }

    /// Whether it may begin now, as far as it goes by itself.
    fn may_begin(&self, now: Instant) -> bool {
        matches!(self.place, Place::Waiting { not_before, .. } if not_before.is_none_or(|then| then <= now))
    }

    pub(super) fn is_paused(&self) -> bool {
        matches!(self.place, Place::Paused) || self.stop_request == Some(StopRequest::Pause)
    }
}

impl State {
    pub(super) fn running(&self) -> usize {
        self.jobs.values().filter(|entry| matches!(entry.place, Place::Running { .. })).count()
    }

    /// Notes an event for the log and the next sample.
    pub(super) fn happened(&mut self, job: JobId, text: impl Into<String>) {
        let text = text.into();
        tracing::info!(target: "pinport::job", %job, "{text}");
        self.note(Some(job), text);
    }

    /// Notes what happened to a job, or to all of them, for the next sample.
    pub(super) fn note(&mut self, job: Option<JobId>, text: String) {
        let application = job.and_then(|job| self.application_of(job));
        if self.events.len() == EVENTS_WAITING {
            drop_one(&mut self.events, |event| event.application);
        }
        self.events.push_back(Event { time: Timestamp::now(), job, application, text });
        self.changes += 1;
    }

    /// The events since the last sample. They become past.
    pub(super) fn take_events(&mut self) -> Vec<Event> {
        let events: Vec<Event> = self.events.drain(..).collect();
        for event in &events {
            if self.past.len() == EVENTS_KEPT {
                drop_one(&mut self.past, |event| event.application);
            }
            self.past.push_back(event.clone());
        }
        events
    }

    /// Makes past events of the jobs that ended before this process began.
    pub(super) fn remember_ends(&mut self) {
        let mut ends: Vec<Event> = self
            .ended
            .iter()
            .filter_map(|view| {
                let progress = &view.progress;
                let text =
                    format!("{}: {} read, {} failed", progress.status, progress.parsed, progress.failed);
                Some(Event {
                    time: view.completed?,
                    job: Some(view.id),
                    application: Some(view.application),
                    text,
                })
            })
            .collect();
        ends.sort_by_key(|event| event.time);
        self.past.extend(ends);
    }

    /// Adds to what all jobs did.
    pub(super) fn add(&mut self, [records, bytes, failed]: [u64; 3], time: Timestamp) {
        let now = self.done.newest().copied();
        let now = now.unwrap_or(HistoryPoint { time, records: 0, bytes: 0, failed: 0 });
        self.done.push(HistoryPoint {
            time,
            records: now.records.saturating_add(records),
            bytes: now.bytes.saturating_add(bytes),
            failed: now.failed.saturating_add(failed),
        });
    }

    /// What a new listener missed.
    pub(super) fn past(&self) -> Past {
        let is_running = |entry: &&Entry| matches!(entry.place, Place::Running { .. });
        let jobs = self.jobs.values().filter(is_running).take(HISTORIES_SHOWN);
        let jobs = jobs.map(|entry| JobHistory {
            job: entry.job.id,
            application: Some(entry.job.definition.application),
            points: entry.history.points(),
        });
        Past { events: self.past.iter().cloned().collect(), server: self.done.points(), jobs: jobs.collect() }
    }

    /// Keeps the view of a job that has ended.
    pub(super) fn push_ended(&mut self, view: JobView) {
        if self.ended.len() == ENDED_SHOWN {
            drop_one(&mut self.ended, |view| Some(view.application));
        }
        self.ended.push_back(view);
    }

    /// The application of a job that is known here.
    pub(super) fn application_of(&self, job: JobId) -> Option<ApplicationId> {
        let open = self.jobs.get(&job).map(|entry| entry.job.definition.application);
        let open = open.or_else(|| self.others.get(&job).map(|other| other.job.definition.application));
        open.or_else(|| self.ended.iter().find(|view| view.id == job).map(|view| view.application))
    }

    /// Counts jobs of an application.
    pub(super) fn count(&mut self, application: ApplicationId, jobs: u64) {
        self.counted += jobs;
        *Arc::make_mut(&mut self.counted_of).entry(application).or_default() += jobs;
    }

    /// Forgets a deleted job.
    pub(super) fn forget_job(&mut self, job: JobId, application: ApplicationId) {
        self.ended.retain(|view| view.id != job);
        self.counted = self.counted.saturating_sub(1);
        if let Some(count) = Arc::make_mut(&mut self.counted_of).get_mut(&application) {
            *count = count.saturating_sub(1);
        }
        self.changes += 1;
    }

    /// Forgets the jobs of a deleted application.
    pub(super) fn forget(&mut self, application: ApplicationId, jobs: u64) {
        self.ended.retain(|view| view.application != application);
        self.past.retain(|event| event.application != Some(application));
        self.counted = self.counted.saturating_sub(jobs);
        Arc::make_mut(&mut self.counted_of).remove(&application);
        self.turns.remove(&application);
        self.changes += 1;
    }

    /// At most so many jobs that have not ended, oldest first: of each application as many as of the others, and then
    /// the oldest of all. One that has thousands leaves room for those of the others.
    pub(super) fn shown(&self, most: usize) -> Vec<&Entry> {
        if self.jobs.len() <= most {
            return self.jobs.values().collect();
        }
        let application = |entry: &Entry| entry.job.definition.application;
        let count = self.jobs.values().map(application).collect::<HashSet<_>>().len();
        let share = (most / count).max(1);
        let mut taken: HashMap<ApplicationId, usize> = HashMap::new();
        let (mut shown, mut others) = (Vec::new(), Vec::new());
        for entry in self.jobs.values() {
            let taken = taken.entry(application(entry)).or_default();
            *taken += 1;
            let list = if *taken <= share && shown.len() < most { &mut shown } else { &mut others };
            list.push(entry);
        }
        let room = most - shown.len();
        shown.extend(others.into_iter().take(room));
        shown
    }

    /// Lets the jobs that run rest after their last committed pieces.
    pub(super) fn let_running_rest(&self) {
        for entry in self.jobs.values() {
            if let Place::Running { cancel, .. } = &entry.place {
                cancel.cancel();
            }
        }
        self.helping.values().for_each(|helping| helping.cancel.cancel());
    }

    /// Which server works on which parts of a job.
    pub(super) fn parts_of(&self, job: JobId) -> Vec<PartView> {
        self.parts.get(&job).cloned().unwrap_or_default()
    }

    /// Why no job runs, if none may: for those who run the server.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.halted.as_deref().or(self.short.as_deref())
    }

    /// Why a job waits, if it waits for more than its turn: for everybody, so without the names of files.
    pub(super) fn waits_for(&self, entry: &Entry) -> Option<String> {
        match &entry.place {
            Place::Waiting { .. } if self.halted.is_some() => Some(STOPPED.into()),
            Place::Waiting { .. } if self.short.is_some() => Some(SHORT.into()),
            Place::Waiting { not_before: Some(_), .. } => entry.why.clone(),
            _ => None,
        }
    }

    /// The job whose turn it is: the first that may begin of the application of which the fewest jobs run, and of
    /// those the one whose last turn was the longest ago. `most` says how many jobs of a key may run at a time.
    pub(super) fn next(&self, now: Instant, most: impl Fn(&str) -> Option<usize>) -> Option<JobId> {
        let mut of_application: HashMap<ApplicationId, usize> = HashMap::new();
        let mut of_key: HashMap<&str, usize> = HashMap::new();
        for entry in self.jobs.values().filter(|entry| matches!(entry.place, Place::Running { .. })) {
            *of_application.entry(entry.job.definition.application).or_default() += 1;
            if let Some(key) = &entry.job.principal {
                *of_key.entry(key).or_default() += 1;
            }
        }
        let is_full =
            |key: &str| most(key).is_some_and(|most| of_key.get(key).is_some_and(|now| *now >= most));
        let mut first = HashSet::new();
        let waiting = self.jobs.values().filter(|entry| entry.may_begin(now));
        waiting
            .filter(|entry| !entry.job.principal.as_deref().is_some_and(is_full))
            .filter(|entry| first.insert(entry.job.definition.application))
            .min_by_key(|entry| {
                let application = &entry.job.definition.application;
                let running = of_application.get(application).copied().unwrap_or(0);
                (running, self.turns.get(application).copied().unwrap_or(0), entry.job.id)
            })
            .map(|entry| entry.job.id)
    }
}

/// Drops the oldest of the application that has the most.
fn drop_one<T>(list: &mut VecDeque<T>, owner: impl Fn(&T) -> Option<ApplicationId>) {
    let mut counts: HashMap<Option<ApplicationId>, usize> = HashMap::new();
    list.iter().for_each(|item| *counts.entry(owner(item)).or_default() += 1);
    let most = counts.values().max().copied();
    if let Some(oldest) = list.iter().position(|item| counts.get(&owner(item)).copied() == most) {
        list.remove(oldest);
    }
}
