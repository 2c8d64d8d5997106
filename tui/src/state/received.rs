//! What comes from the server: samples, details, events, and the connection itself.

use pinport_model::{
    Timestamp,
    view::{self, Sample},
};

use super::{Dashboard, Event, Server};
use crate::message::Connection;

/// Events that are kept.
const MAX_EVENTS: usize = 1000;

impl Dashboard {
    pub(super) fn take_sample(&mut self, mut sample: Box<Sample>) {
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

    pub(super) fn show(&mut self, sample: Sample) {
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

    pub(super) fn take_detail(&mut self, view: Box<pinport_model::view::JobDetail>) -> bool {
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

    pub(super) fn take_connection(&mut self, connection: Connection) {
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

    /// Adds an event of the past at its place, unless it is there: a server tells of it again after a lost connection.
    pub(super) fn add_past(&mut self, event: view::Event) {
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

    pub(super) fn add_event(&mut self, event: Event) {
        // The newest comes first. A reader who scrolled down stays at the same line.
        if self.event_row > 0 {
            self.event_row = (self.event_row + 1).min(MAX_EVENTS - 1);
        }
        self.events.push_front(event);
        self.events.truncate(MAX_EVENTS);
    }
}
