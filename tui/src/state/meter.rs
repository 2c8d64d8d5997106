//! Rates of jobs, computed from the server's counters and the server's clock.

use std::collections::{HashMap, HashSet, VecDeque};

use pinport_model::{
    JobId, JobStatus, Timestamp,
    history::{Curve, HistoryPoint},
    view::{JobView, Past, Sample},
};

use super::window::Window;

/// The window of the current rate.
const RATE_MS: i64 = 5_000;
/// The window of the estimate of the time left.
const ESTIMATE_MS: i64 = 20_000;
/// The most samples kept for both, however fast they come.
const MAX_RECENT: usize = 256;
/// The most jobs whose histories are kept. Beyond it, ended jobs are dropped; a server runs far fewer at a time.
const MAX_METERS: usize = 4096;

#[derive(Debug, Clone, Copy)]
struct Recent {
    time: i64,
    records: u64,
    bytes: u64,
    /// Records that are stored or failed.
    settled: u64,
}

/// One job's counters over time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meter {
    pub(crate) curve: Curve,
    recent: VecDeque<Recent>,
    /// When a counter moved last, by the server's clock.
    moved: i64,
    /// Whether the job's end is recorded. Later samples do not count.
    ended: bool,
    /// Whether the connection was lost since the last sample.
    lost: bool,
}

impl Meter {
    /// Records a second over the last minute, in this many columns; of an ended job, over its whole run.
    pub(crate) fn trend(&self, columns: usize) -> Vec<f64> {
        if self.ended {
            return self.curve.whole.rates(columns, |point| point.records);
        }
        let to = self.curve.late.newest().map_or(0, |newest| newest.time.as_millis());
        let from = to.saturating_sub(Window::Minute.millis().unwrap_or_default());
        let mut rates = self.curve.late.rates_between(from, to, columns, |point| point.records);
        // Before it began there was nothing; later, nothing is known.
        rates.iter_mut().take_while(|rate| rate.is_nan()).for_each(|rate| *rate = 0.0);
        rates
    }

    fn record(&mut self, time: Timestamp, job: &JobView) {
        let progress = &job.progress;
        if self.ended && progress.status.is_terminal() {
            return;
        }
        self.ended = progress.status.is_terminal();
        // The job may have ended some time before this sample.
        let time = job.completed.filter(|completed| self.ended && *completed < time).unwrap_or(time);
        let failed = progress.failed;
        let point = HistoryPoint { time, records: progress.parsed, bytes: progress.bytes, failed };
        match std::mem::take(&mut self.lost) {
            true => {
                self.curve.push_after_gap(point);
                self.recent.clear();
            }
            false => self.curve.push_on(point),
        }
        let point = Recent {
            time: time.as_millis(),
            records: progress.parsed,
            bytes: progress.bytes,
            settled: progress.registered.saturating_add(progress.failed),
        };
        match self.recent.back() {
            Some(last) if point.time < last.time || point.records < last.records => self.recent.clear(),
            Some(last) if point.time == last.time => return,
            Some(last) if (point.records, point.bytes) == (last.records, last.bytes) => {}
            _ => self.moved = point.time,
        }
        if self.recent.is_empty() {
            self.moved = point.time;
        }
        self.recent.push_back(point);
        let too_old = |second: &Recent| point.time - second.time >= ESTIMATE_MS;
        while self.recent.len() > MAX_RECENT || self.recent.get(1).is_some_and(too_old) {
            self.recent.pop_front();
        }
    }

    /// Takes a server's points up to a time; from there on its own stay.
    fn adopt(&mut self, points: &[HistoryPoint], until: i64) {
        let mut curve = Curve::default();
        let theirs = points.iter().filter(|point| point.time.as_millis() < until);
        let ours = self.curve.late.points().filter(|point| point.time.as_millis() >= until);
        theirs.chain(ours).for_each(|point| curve.push_on(*point));
        self.curve = curve;
    }

    fn over(&self, millis: i64, counter: impl Fn(&Recent) -> u64) -> Option<f64> {
        let last = self.recent.back()?;
        let reaches = |point: &&Recent| last.time - point.time >= millis;
        let first = self.recent.iter().rev().find(reaches).or_else(|| self.recent.front())?;
        let seconds = (last.time - first.time) as f64 / 1000.0;
        (seconds > 0.0).then(|| counter(last).saturating_sub(counter(first)) as f64 / seconds)
    }

    /// Current records a second.
    pub(crate) fn records(&self) -> Option<f64> {
        self.over(RATE_MS, |point| point.records)
    }

    /// Current decoded bytes a second.
    pub(crate) fn bytes(&self) -> Option<f64> {
        self.over(RATE_MS, |point| point.bytes)
    }

    /// Milliseconds until the source is read and what was read is committed, at the rates of the last seconds:
    /// whichever takes longer.
    pub(crate) fn left_ms(&self, job: &JobView) -> Option<i64> {
        let progress = &job.progress;
        let at = |rate: f64, left: u64| match left {
            0 => Some(0),
            left => (rate > 0.0).then(|| (left as f64 / rate * 1000.0) as i64),
        };
        let read = at(self.over(ESTIMATE_MS, |point| point.bytes)?, progress.bytes_left()?)?;
        let open = progress.parsed.saturating_sub(progress.registered.saturating_add(progress.failed));
        let committed = at(self.over(ESTIMATE_MS, |point| point.settled)?, open).unwrap_or(0);
        Some(read.max(committed))
    }

    /// Milliseconds since a counter moved.
    pub(crate) fn still_ms(&self, now_ms: i64) -> i64 {
        now_ms.saturating_sub(self.moved).max(0)
    }
}

/// The meters of a server's jobs, and of the server as a whole.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    jobs: HashMap<JobId, Meter>,
    /// What all jobs did since the server began, or, if it does not tell, since the first sample.
    pub(crate) server: Curve,
    total: (u64, u64, u64),
    rate: (f64, f64),
    /// Whether the connection was lost since the last sample.
    lost: bool,
}

impl Meters {
    /// Adds a sample.
    pub(crate) fn record(&mut self, sample: &Sample) {
        let mut rate = (0.0, 0.0);
        for job in &sample.jobs {
            let known = self.jobs.get(&job.id);
            let waits = matches!(job.progress.status, JobStatus::Created | JobStatus::PendingJob);
            let idle = waits || job.progress.status.is_terminal();
            if known.is_none() && (idle || self.jobs.len() >= MAX_METERS * 2) {
                continue;
            }
            let before = known.and_then(|meter| meter.curve.newest().copied());
            let meter = self.jobs.entry(job.id).or_default();
            meter.record(sample.time, job);
            if let Some(before) = before {
                let now = &job.progress;
                self.total.0 = self.total.0.saturating_add(now.parsed.saturating_sub(before.records));
                self.total.1 = self.total.1.saturating_add(now.bytes.saturating_sub(before.bytes));
                self.total.2 = self.total.2.saturating_add(now.failed.saturating_sub(before.failed));
            }
            if !job.progress.status.is_terminal() {
                rate.0 += meter.records().unwrap_or(0.0);
                rate.1 += meter.bytes().unwrap_or(0.0);
            }
        }
        self.rate = rate;
        let (records, bytes, failed) = self.total;
        let point = HistoryPoint { time: sample.time, records, bytes, failed };
        match std::mem::take(&mut self.lost) {
            true => self.server.push_after_gap(point),
            false => self.server.push(point),
        }
        if self.jobs.len() > MAX_METERS {
            let listed: HashSet<JobId> = sample
                .jobs
                .iter()
                .filter(|job| !job.progress.status.is_terminal())
                .map(|job| job.id)
                .collect();
            self.jobs.retain(|id, _| listed.contains(id));
        }
    }

    /// The connection was lost: until the next sample nothing is known.
    pub(crate) fn lose(&mut self) {
        self.lost = true;
        for meter in self.jobs.values_mut() {
            meter.lost = true;
        }
    }

    /// Takes what the server knows from before this dashboard connected.
    pub(crate) fn take_past(&mut self, past: &Past) {
        for job in &past.jobs {
            let last = job.points.last().map_or(0, |last| last.time.as_millis());
            let meter = self.jobs.entry(job.job).or_default();
            // The server was there all the time: its points fill our gaps.
            if begin(&meter.curve) >= job.points.first().map_or(i64::MAX, |first| first.time.as_millis()) {
                meter.adopt(&job.points, last + 1);
                meter.lost = false;
            }
        }
        let server = Curve::from_points(&past.server);
        if let Some(newest) = server.newest().copied()
            && begin(&server) <= begin(&self.server)
        {
            self.total = (newest.records, newest.bytes, newest.failed);
            self.lost = false;
            self.server = server;
        }
    }

    /// Takes the server's history of a job, which may be longer than ours.
    pub(crate) fn adopt(&mut self, job: JobId, points: &[HistoryPoint]) {
        let Some(oldest) = points.first().map(|oldest| oldest.time.as_millis()) else { return };
        let meter = self.jobs.entry(job).or_default();
        if oldest < begin(&meter.curve) || meter.curve.whole.span_ms() == 0 {
            // What is seen here is closer than what a server keeps of a long run.
            let seen = meter.curve.late.oldest().map_or(i64::MAX, |seen| seen.time.as_millis());
            meter.adopt(points, seen);
        }
    }

    pub(crate) fn of(&self, job: JobId) -> Option<&Meter> {
        self.jobs.get(&job)
    }

    /// Records and bytes a second over all jobs.
    pub(crate) fn rate(&self) -> (f64, f64) {
        self.rate
    }
}

/// When a curve begins.
fn begin(curve: &Curve) -> i64 {
    curve.whole.oldest().map_or(i64::MAX, |oldest| oldest.time.as_millis())
}
