//! What keys do to the dashboard.

use pinport_model::{JobId, view::JobView};
use ratatui::crossterm::event::KeyEvent;

use super::{
    Dashboard, Overlay, Prompt, Screen,
    form::{Field, Form},
    input::Input,
    lines,
};
use crate::{
    keys::Action,
    layout::{Column, Pane},
    look::Symbols,
    message::{Connection, Effect, FailuresQuery, RejectsQuery},
    text::harmless,
    words::short_id,
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

    fn page(&self) -> isize {
        isize::from(i16::try_from(self.size.1.saturating_sub(6)).unwrap_or(i16::MAX)).max(1)
    }

    pub(super) fn step(&mut self, rows: isize) {
        let moved = |row: usize, len: usize| row.saturating_add_signed(rows).min(len.saturating_sub(1));
        let last = lines::scrolled_over(self, self.size);
        match &mut self.overlay {
            Some(
                Overlay::Help { scroll, .. } | Overlay::Text { scroll, .. } | Overlay::Record { scroll },
            ) => {
                *scroll = moved(*scroll, last);
                return;
            }
            Some(_) => return,
            None => {}
        }
        match self.screen() {
            Screen::Overview => self.jobs.move_by(rows),
            Screen::Events => self.event_row = moved(self.event_row, self.events.len()),
            Screen::Job(_) => {
                if let Some(detail) = &mut self.detail {
                    let len = detail.rows(detail.pane);
                    let row = detail.row_mut();
                    *row = moved(*row, len);
                }
            }
            Screen::Classes(_) => {
                if let Some(detail) = &mut self.detail {
                    detail.class_row = moved(detail.class_row, detail.classes().len() + 1);
                }
            }
            Screen::Entries(_) => {
                if let Some(failures) = &mut self.failures {
                    failures.row = moved(failures.row, failures.entries.len());
                }
            }
        }
    }

    fn open(&mut self) {
        match self.screen() {
            Screen::Overview => {
                if let Some(job) = self.jobs.selected().map(|job| job.id) {
                    self.open_job(job);
                }
            }
            Screen::Classes(job) => {
                let query = self.selected_class(job);
                self.ask_failures(query);
                self.screens.push(Screen::Entries(job));
            }
            Screen::Entries(_) => {
                let entry = self.failures.as_ref().and_then(|failures| failures.entries.get(failures.row));
                if entry.is_some() {
                    self.overlay = Some(Overlay::Record { scroll: 0 });
                }
            }
            Screen::Events => {
                let Some(event) = self.events.get(self.event_row) else { return };
                match event.job {
                    Some(job) => self.open_job(job),
                    None => {
                        let text = event.text.clone();
                        self.overlay = Some(Overlay::Text { title: "event".into(), text, scroll: 0 });
                    }
                }
            }
            Screen::Job(_) => {}
        }
    }

    fn open_classes(&mut self) {
        let Some(job) = self.job().map(|job| job.id) else { return };
        self.watch(job);
        if let Some(detail) = &mut self.detail {
            detail.class_row = 0;
        }
        self.screens.push(Screen::Classes(job));
    }

    fn pane(&mut self, steps: usize) {
        if let Some(detail) = &mut self.detail {
            let at = Pane::ALL.iter().position(|pane| *pane == detail.pane).unwrap_or(0);
            detail.pane = Pane::ALL[(at + steps) % Pane::ALL.len()];
        }
    }

    fn filter(&mut self) {
        if let Some(Overlay::Help { typing, .. }) = &mut self.overlay {
            *typing = true;
            return;
        }
        match self.screen() {
            Screen::Overview => self.prompt(Prompt::Filter, self.jobs.filter.clone()),
            Screen::Entries(_) => {
                let text = self.failures.as_ref().map(|failures| failures.query.search.clone());
                self.prompt(Prompt::Search, text.unwrap_or_default());
            }
            Screen::Classes(job) => {
                self.ask_failures(FailuresQuery { job, class: None, search: String::new() });
                self.screens.push(Screen::Entries(job));
                self.prompt(Prompt::Search, String::new());
            }
            _ => {}
        }
    }

    fn prompt(&mut self, prompt: Prompt, text: String) {
        self.overlay = Some(Overlay::Prompt { prompt, input: Input::new(text) });
    }

    fn sort(&mut self, forward: bool) {
        let sortable: Vec<Column> =
            Column::ALL.into_iter().filter(|column| *column != Column::Trend).collect();
        let at = self.jobs.sort.and_then(|sort| sortable.iter().position(|column| *column == sort));
        let last = sortable.len() - 1;
        let next = match (at, forward) {
            (None, true) => Some(0),
            (None, false) => Some(last),
            (Some(at), true) if at == last => None,
            (Some(0), false) => None,
            (Some(at), true) => Some(at + 1),
            (Some(at), false) => Some(at - 1),
        };
        self.jobs.sort = next.map(|index| sortable[index]);
        self.jobs.reversed = false;
        self.jobs.arrange(&self.meters);
    }

    fn freeze(&mut self) {
        self.frozen = !self.frozen;
        if let Some(sample) = self.held.take() {
            self.show(*sample);
        }
    }

    fn ask_to_cancel(&mut self) {
        let Some(job) = self.job() else { return };
        if job.progress.status.is_terminal() {
            return self.tell(format!("job {} has ended", short_id(job.id)), false);
        }
        let (effect, name) = (Effect::Cancel(job.id), name(job));
        let question = if self.options.one_import {
            format!("Stop {name}? What has been committed stays; the same command goes on behind it.")
        } else {
            format!("Cancel {name}? What has been committed stays; the job cannot go on afterwards.")
        };
        self.overlay = Some(Overlay::Confirm { effect, question });
    }

    fn ask_to_pause(&mut self) {
        let Some(job) = self.job() else { return };
        if job.progress.status.is_terminal() {
            return self.tell(format!("job {} has ended", short_id(job.id)), false);
        }
        let name = name(job);
        let (effect, question) = if job.paused {
            (Effect::Resume(job.id), format!("Let {name} go on?"))
        } else {
            (
                Effect::Pause(job.id),
                format!("Pause {name}? It goes on behind its last committed piece when it is resumed."),
            )
        };
        self.overlay = Some(Overlay::Confirm { effect, question });
    }

    fn ask_for_rate(&mut self) {
        let Some(job) = self.job() else { return };
        let id = job.id;
        if job.progress.status.is_terminal() {
            return self.tell(format!("job {} has ended", short_id(id)), false);
        }
        self.prompt(Prompt::Throttle(id), String::new());
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

    fn ask_where_to_save(&mut self, rejects: bool) {
        let Some(job) = self.job() else { return };
        let (id, format) = (job.id, job.format);
        if job.progress.failed == 0 {
            return self.tell(format!("no record of job {} failed", short_id(id)), false);
        }
        if rejects {
            self.prompt(Prompt::SaveRejects(id), format!("rejects-{}.{}", short_id(id), format.suffix()));
        } else {
            self.prompt(Prompt::SaveFailures(id), format!("failures-{}.ndjson", short_id(id)));
        }
    }

    fn mark(&mut self) {
        let marked = self.failures.as_mut().is_some_and(|failures| failures.mark());
        match marked {
            true => self.step(1),
            false => self.tell("its original bytes are not kept: it cannot be mended here".into(), false),
        }
    }

    /// The failures of the selected reason.
    fn selected_class(&self, job: JobId) -> FailuresQuery {
        let class = self.detail.as_ref().and_then(|detail| {
            let class = detail.class_row.checked_sub(1).and_then(|row| detail.classes().get(row).copied());
            class.map(|class| (class.code, class.member.clone()))
        });
        FailuresQuery { job, class, search: String::new() }
    }

    /// Gets the marked records for an editor, or else those that the screen lists.
    fn mend(&mut self) {
        let Some(view) = self.job() else { return };
        let (job, failed, has_ended) = (view.id, view.progress.failed, view.progress.status.is_terminal());
        if failed == 0 {
            return self.tell(format!("no record of job {} failed", short_id(job)), false);
        }
        if !has_ended {
            let text = format!("job {} has not ended: more of its records may fail", short_id(job));
            return self.tell(text, false);
        }
        let (failures, places, part) = match (self.screen(), &self.failures) {
            (Screen::Entries(_), Some(list)) => {
                let marked = Some(list.marked.clone()).filter(|marked| !marked.is_empty());
                (list.query.clone(), marked, list.part())
            }
            (Screen::Classes(_), _) => (self.selected_class(job), None, None),
            _ => (FailuresQuery { job, class: None, search: String::new() }, None, None),
        };
        self.tell("getting the records for the editor".into(), true);
        let query = RejectsQuery { failures, places, part: part.unwrap_or(1) };
        self.effects.push(Effect::FetchRejects(query));
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

    fn submit(&mut self) {
        match self.overlay.take() {
            Some(Overlay::Form(mut form)) => match form.submit() {
                Some(request) => {
                    self.tell(format!("creating the import of {}", request.source_text), true);
                    self.effects.push(Effect::CreateImport(request));
                }
                None => self.overlay = Some(Overlay::Form(form)),
            },
            Some(Overlay::Prompt { prompt, input }) => match prompt {
                Prompt::Filter => {}
                Prompt::Search => self.search(input.text().to_owned()),
                Prompt::OpenById => self.open_by_id(input.text().trim()),
                Prompt::Throttle(job) => match input.text().parse() {
                    Ok(rate) => self.effects.push(Effect::Throttle(job, rate)),
                    Err(text) => self.tell(text, false),
                },
                Prompt::SaveFailures(_) | Prompt::SaveRejects(_) if input.text().trim().is_empty() => {
                    self.tell("no file was named".into(), false);
                }
                Prompt::SaveFailures(_) | Prompt::SaveRejects(_) => self.save(prompt, input.text()),
            },
            Some(Overlay::Help { scroll, search, .. }) => {
                self.overlay = Some(Overlay::Help { scroll, search, typing: false });
            }
            other => self.overlay = other,
        }
    }

    fn search(&mut self, search: String) {
        if let Some(failures) = &self.failures {
            let query = FailuresQuery { search, ..failures.query.clone() };
            self.ask_failures(query);
        }
    }

    fn open_by_id(&mut self, text: &str) {
        let text = text.to_ascii_lowercase();
        if let Ok(id) = text.parse::<JobId>() {
            self.jobs.select(id, &self.meters);
            return self.open_job(id);
        }
        match JobId::find(self.jobs.all().iter().map(|job| job.id), &text) {
            Ok(Some(id)) => {
                self.jobs.select(id, &self.meters);
                self.open_job(id);
            }
            Ok(None) => {
                let text = format!(
                    "no job in the list has an id with \"{text}\": type all 32 digits to look further"
                );
                self.tell(text, false);
            }
            Err(_) => self.tell(format!("several jobs have ids with \"{text}\": type more of it"), false),
        }
    }
}

fn name(job: &JobView) -> String {
    format!("job {} of {}", short_id(job.id), harmless(&job.source, Symbols::Unicode))
}
