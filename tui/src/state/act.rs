//! What keys do to the dashboard.

use pinport_model::view::JobView;
use ratatui::crossterm::event::KeyEvent;

use super::{
    Dashboard, Overlay, Prompt, Screen,
    form::{Field, Form},
    input::Input,
};
use crate::{
    keys::Action,
    layout::Pane,
    message::{Connection, Effect},
};

impl Dashboard {
    /// Whether an action's key is meant as text where it is pressed now.
    pub(super) fn is_typed(&self, action: Action) -> bool {
        match &self.overlay {
            Some(Overlay::Form(form)) => {
                action == Action::Toggle && !matches!(form.field, Field::Format | Field::Register)
            }
            _ => false,
        }
    }

    /// A key that is no action: text for a line, if one is being typed.
    pub(super) fn type_key(&mut self, key: KeyEvent) {
        let taken = match &mut self.overlay {
            Some(Overlay::Prompt { input, .. }) => input.key(key),
            Some(Overlay::Help { search, typing: true, scroll }) => {
                *scroll = 0;
                search.key(key)
            }
            Some(Overlay::Form(form)) => form.input().is_some_and(|input| input.key(key)),
            _ => false,
        };
        if taken {
            self.typed();
        }
    }

    /// The line that is being typed changed: a filter shows at once what it leaves.
    pub(super) fn typed(&mut self) {
        if let Some(Overlay::Form(form)) = &mut self.overlay {
            self.effects.extend(form.want_places().map(Effect::RequestSources));
        }
        let Some(Overlay::Prompt { prompt, input }) = &self.overlay else { return };
        match prompt {
            Prompt::Filter => {
                self.jobs.filter = input.text().to_owned();
                self.jobs.arrange(&self.meters);
            }
            Prompt::Search => {
                let text = input.text().to_owned();
                let view = self.detail.as_ref().and_then(|detail| detail.view.as_ref());
                let first = view.map(|view| view.failures.as_slice()).unwrap_or_default();
                if let Some(failures) = &mut self.failures {
                    failures.search(text, first);
                }
            }
            _ => {}
        }
    }

    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Quit => self.quit(),
            Action::Stop | Action::GoOn => self.leave(action == Action::Stop),
            Action::Help => {
                self.overlay = Some(Overlay::Help { scroll: 0, search: Input::default(), typing: false });
            }
            Action::Close => self.close(),
            Action::Up => self.step(-1),
            Action::Down => self.step(1),
            Action::PageUp => self.step(-self.page()),
            Action::PageDown => self.step(self.page()),
            Action::Top => self.step(isize::MIN / 2),
            Action::Bottom => self.step(isize::MAX / 2),
            Action::Open => self.open(),
            Action::NextPane => self.pane(1),
            Action::PreviousPane => self.pane(Pane::ALL.len() - 1),
            Action::Filter => self.filter(),
            Action::StatusFilter => {
                self.jobs.status = self.jobs.status.next();
                self.jobs.arrange(&self.meters);
            }
            Action::Sort => self.sort(true),
            Action::SortBack => self.sort(false),
            Action::Reverse => {
                self.jobs.reversed = !self.jobs.reversed;
                self.jobs.arrange(&self.meters);
            }
            Action::Freeze => self.freeze(),
            Action::Suspend => self.effects.push(Effect::Suspend),
            Action::Window => self.window = self.window.next(),
            Action::Events => {
                self.event_row = 0;
                self.screens.push(Screen::Events);
            }
            Action::Failures => self.open_classes(),
            Action::Cancel => self.ask_to_cancel(),
            Action::Pause => self.ask_to_pause(),
            Action::SaveFailures | Action::SaveRejects => {
                self.ask_where_to_save(action == Action::SaveRejects)
            }
            Action::Mark => self.mark(),
            Action::Mend => self.mend(),
            Action::Copy => self.copy(),
            Action::NewImport => {
                let application = self.job().map(|job| job.application_name.clone()).unwrap_or_default();
                self.overlay = Some(Overlay::Form(Box::new(Form::new(&application))));
                self.typed();
            }
            Action::Throttle => self.ask_for_rate(),
            Action::Reconnect => self.reconnect(),
            Action::OpenById => self.prompt(Prompt::OpenById, String::new()),
            Action::Yes => {
                if let Some(Overlay::Confirm { effect, .. }) = self.overlay.take() {
                    self.effects.push(effect);
                }
            }
            Action::Submit => self.submit(),
            Action::Complete => {
                if let Some(Overlay::Form(form)) = &mut self.overlay {
                    form.complete();
                    self.typed();
                }
            }
            Action::NextField | Action::PreviousField => {
                if let Some(Overlay::Form(form)) = &mut self.overlay {
                    form.step(action == Action::NextField);
                }
            }
            Action::Toggle => {
                if let Some(Overlay::Form(form)) = &mut self.overlay {
                    form.toggle();
                }
            }
        }
    }

    /// A server's jobs go on; an import of this process ends with it, so that is asked first.
    fn quit(&mut self) {
        if let Some(Overlay::Leave { .. }) = self.overlay {
            // Ctrl-C again stops the import.
            return self.leave(true);
        }
        let runs = |job: &&JobView| !job.progress.status.is_terminal();
        match self.jobs.all().iter().find(runs).map(|job| job.id).filter(|_| self.options.one_import) {
            Some(job) => self.overlay = Some(Overlay::Leave { job }),
            None => self.effects.push(Effect::Quit),
        }
    }

    fn leave(&mut self, stop: bool) {
        if let Some(Overlay::Leave { job }) = self.overlay.take() {
            self.effects.extend(stop.then_some(Effect::Cancel(job)));
            self.effects.push(Effect::Quit);
        }
    }

    /// Esc: the overlay, else the screen, else the filter. Never the program.
    fn close(&mut self) {
        if let Some(overlay) = self.overlay.take() {
            match overlay {
                // Esc drops the filter that was being typed.
                Overlay::Prompt { prompt: Prompt::Filter, .. } => self.clear_filter(),
                Overlay::Prompt { prompt: Prompt::Search, .. } => self.search(String::new()),
                // First the search is dropped, then the help is left.
                Overlay::Help { search, typing, .. } if typing || !search.text().is_empty() => {
                    self.overlay = Some(Overlay::Help { scroll: 0, search: Input::default(), typing: false });
                }
                _ => {}
            }
            return;
        }
        match self.screen() {
            Screen::Entries(_)
                if self.failures.as_ref().is_some_and(|failures| !failures.query.search.is_empty()) =>
            {
                self.search(String::new());
            }
            Screen::Overview => self.clear_filter(),
            _ => {
                self.screens.pop();
            }
        }
    }

    fn clear_filter(&mut self) {
        self.jobs.filter.clear();
        self.jobs.status = super::jobs::StatusFilter::All;
        self.jobs.arrange(&self.meters);
    }

    fn freeze(&mut self) {
        self.frozen = !self.frozen;
        if let Some(sample) = self.held.take() {
            self.show(*sample);
        }
    }

    /// Connects again now if the connection is lost.
    fn reconnect(&mut self) {
        if matches!(self.connection, Connection::Disconnected { .. }) {
            self.retry_at = self.now;
            self.effects.push(Effect::Reconnect);
        } else {
            self.tell("the connection is not lost".into(), true);
        }
    }

    fn copy(&mut self) {
        let text = match (&self.overlay, self.screen()) {
            (Some(Overlay::Text { text, .. }), _) => Some(text.clone()),
            (Some(Overlay::Record { .. }), _) => {
                let failures = self.failures.as_ref();
                let record = failures.and_then(|failures| failures.record.as_ref());
                let bytes = record.and_then(|record| record.bytes.as_deref().ok());
                bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            }
            (Some(_), _) => None,
            (None, Screen::Entries(_)) => {
                let entry = self.failures.as_ref().and_then(|failures| failures.entries.get(failures.row));
                entry.map(ToString::to_string)
            }
            (None, Screen::Classes(_)) => {
                let detail = self.detail.as_ref();
                let example = detail.and_then(|detail| {
                    detail.class_row.checked_sub(1).and_then(|row| detail.classes().get(row).copied())
                });
                example.map(|class| class.example.clone())
            }
            (None, Screen::Events) => self.events.get(self.event_row).map(|event| event.text.clone()),
            (None, Screen::Overview | Screen::Job(_)) => self.job().map(|job| job.id.to_string()),
        };
        if let Some(text) = text {
            self.effects.push(Effect::Copy(text));
            self.tell("copied, if the terminal allows it".into(), true);
        }
    }
}
