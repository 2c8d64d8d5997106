//! What is requested from the server for the open screens.

use pinport_model::JobId;

use super::{Dashboard, Screen, detail::Detail, failures::Failures};
use crate::message::{Connection, Effect, FailuresQuery};

/// How often failed records are requested again while their job runs.
const FAILURES_EVERY_MS: i64 = 5_000;

impl Dashboard {
    /// Requests the bytes of the failed record that is selected, if they are not here.
    pub(super) fn want_record(&mut self) {
        let Screen::Entries(job) = self.screen() else { return };
        let detail = self.detail.as_ref().filter(|detail| detail.job == job);
        let Some(view) = detail.and_then(|detail| detail.view.as_ref()) else { return };
        let (format, read) = (view.job.format, &view.definition.read);
        let query = self.failures.as_mut().and_then(|failures| failures.want_record(format, read));
        self.effects.extend(query.map(Effect::RequestRecord));
    }

    /// Requests the data that the open screens need.
    pub(super) fn ask_again(&mut self) {
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

    /// Opens this job and keeps its details.
    pub(super) fn watch(&mut self, job: JobId) {
        if self.detail.as_ref().is_none_or(|detail| detail.job != job) {
            self.detail = Some(Detail::new(job));
            self.failures = None;
        }
        self.effects.push(Effect::RequestDetail(job));
    }

    pub(super) fn ask_failures(&mut self, query: FailuresQuery) {
        let first = self.detail.as_ref().and_then(|detail| detail.view.as_ref());
        let first = first.map(|view| view.failures.as_slice()).unwrap_or_default();
        self.effects.push(Effect::RequestFailures(query.clone()));
        self.failures = Some(Failures::new(query, first, self.now));
    }
}
