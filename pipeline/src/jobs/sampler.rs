//! The thread that takes samples of all jobs, and begins those whose wait is over. It is not in the way of
//! the pipeline: it reads counters, and never waits for a listener.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Weak},
    thread,
    time::Instant,
};

use pinport_model::{
    ApplicationId, ImportJob, Timestamp,
    view::{JobView, Machine, Sample},
};
use tokio_util::sync::CancellationToken;

use super::{
    Inner,
    queue::{Place, State},
};
use crate::limits::{COUNTED_AT_ONCE, OPEN_SHOWN, SAMPLE_EVERY};

/// Starts sampling; it ends with the jobs.
pub(super) fn start(inner: &Arc<Inner>) -> io::Result<()> {
    let this = Arc::downgrade(inner);
    thread::Builder::new().name("sampler".into()).spawn(move || sample(&this))?;
    let this = Arc::downgrade(inner);
    let newest = inner.state.lock().jobs.keys().next_back().copied();
    // Jobs are many after years: they are counted while everything else begins.
    thread::Builder::new().name("count".into()).spawn(move || {
        let mut before = None;
        let mut counted: HashMap<ApplicationId, u64> = HashMap::new();
        while let Some(inner) = this.upgrade() {
            let Ok(jobs) = inner.store.jobs(None, before, COUNTED_AT_ONCE) else { return };
            // Those made since the start have been counted by their makers.
            let is_older =
                |job: &&ImportJob| newest.is_none_or(|newest| job.id <= newest) || job.status.is_terminal();
            for job in jobs.iter().filter(is_older) {
                *counted.entry(job.definition.application).or_default() += 1;
            }
            before = jobs.last().map(|job| job.id);
            if jobs.len() < COUNTED_AT_ONCE {
                let mut state = inner.state.lock();
                counted.into_iter().for_each(|(application, jobs)| state.count(application, jobs));
                return;
            }
        }
    })?;
    Ok(())
}

fn sample(this: &Weak<Inner>) {
    let mut shown = 0;
    loop {
        let Some(inner) = this.upgrade() else { return };
        inner.watch();
        let mut state = inner.state.lock();
        let waits = |place: &Place| matches!(place, Place::Waiting { not_before: Some(_), .. });
        let pending = state.jobs.values().any(|entry| waits(&entry.place));
        let running = state.running() > 0 || !state.helping.is_empty();
        let changed = state.changes != shown;
        shown = state.changes;
        if !running && !changed && !pending {
            // Woken by whatever changes something; the time-out lets it notice that the jobs are gone.
            inner.changed.wait_for(&mut state, SAMPLE_EVERY * 8);
            continue;
        }
        drop(state);
        if pending {
            inner.dispatch();
        }
        if running || changed {
            let sample = inner.sample(true);
            // An error says that no one listens.
            let _ = inner.samples.send(Arc::new(sample));
        }
        // Whatever changes in between is in the next one.
        let next = Instant::now() + SAMPLE_EVERY;
        let mut state = inner.state.lock();
        while !inner.changed.wait_until(&mut state, next).timed_out() {}
    }
}

impl Inner {
    /// Takes samples until no job runs, and one of the end.
    pub(super) fn sample_until(&self, over: &CancellationToken) {
        let runs = |state: &State| state.running() > 0 && !over.is_cancelled();
        loop {
            let next = Instant::now() + SAMPLE_EVERY;
            let mut state = self.state.lock();
            while runs(&state) && !self.changed.wait_until(&mut state, next).timed_out() {}
            let on = runs(&state);
            drop(state);
            if self.samples.receiver_count() == 0 {
                self.record_all(&mut self.state.lock(), Timestamp::now());
            } else {
                let _ = self.samples.send(Arc::new(self.sample(true)));
            }
            if !on {
                return;
            }
        }
    }

    /// Adds what all jobs came to by this moment to their histories, and to that of all together.
    fn record_all(&self, state: &mut State, time: Timestamp) {
        let mut grown = [0; 3];
        for entry in state.jobs.values_mut() {
            if let Place::Running { progress, .. } = &entry.place {
                let (now, others) = (progress.snapshot(), progress.by_others());
                for (sum, more) in grown.iter_mut().zip(entry.record(&now, others, time)) {
                    *sum += more;
                }
            }
        }
        for helping in state.helping.values_mut() {
            let now = helping.progress.snapshot();
            let before = std::mem::replace(&mut helping.sampled, [now.parsed, now.bytes]);
            grown[0] += now.parsed.saturating_sub(before[0]);
            grown[1] += now.bytes.saturating_sub(before[1]);
        }
        state.add(grown, time);
    }

    /// All jobs at this moment: the next sample of all listeners, or one listener's first, which has the number of
    /// the last one that all got, so that nothing seems to be lost between it and the next.
    pub(super) fn sample(&self, next: bool) -> Sample {
        let (bytes_in_flight, bytes_in_flight_limit) = self.engine.bytes_in_flight();
        let (time, mut machine) = (Timestamp::now(), self.machine());
        let mut state = self.state.lock();
        machine.settling = state.settling;
        if next {
            self.record_all(&mut state, time);
        }
        let open = state.shown(OPEN_SHOWN).into_iter().map(|entry| self.open_view(&state, entry));
        let room = OPEN_SHOWN.saturating_sub(state.jobs.len());
        let others = state.others.iter().filter(|(id, _)| !state.jobs.contains_key(id));
        let others =
            others.take(room).map(|(id, other)| JobView { parts: state.parts_of(*id), ..other.view() });
        let mut jobs: Vec<_> = open.chain(others).chain(state.ended.iter().cloned()).collect();
        jobs.sort_by_key(|job| std::cmp::Reverse(job.id));
        state.sequence += u64::from(next);
        let events = if next { state.take_events() } else { Vec::new() };
        Sample {
            sequence: state.sequence,
            time,
            jobs,
            jobs_total: state.counted,
            jobs_of: Arc::clone(&state.counted_of),
            bytes_in_flight,
            bytes_in_flight_limit,
            trouble: state.trouble().map(str::to_owned),
            events,
            past: None,
            machine: Some(machine),
            servers: state.servers.clone(),
        }
    }

    /// What the process has of its machine, without what the jobs know.
    fn machine(&self) -> Machine {
        let (cpu, cpus, memory) = self.load.lock().get_or_insert_default().measure();
        let disk = self.disk();
        Machine {
            disk_free: disk.map(|(disk, _)| disk.free),
            disk_reserve: disk.map(|(_, reserve)| reserve),
            cpu,
            cpus,
            memory,
            settling: false,
        }
    }
}
