//! Where keys lead: to other rows, panes and screens, and to another order.

use super::{Dashboard, Overlay, Prompt, Screen, lines};
use crate::{
    layout::{Column, Pane},
    message::FailuresQuery,
};

impl Dashboard {
    pub(super) fn page(&self) -> isize {
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

    pub(super) fn open(&mut self) {
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

    pub(super) fn open_classes(&mut self) {
        let Some(job) = self.job().map(|job| job.id) else { return };
        self.watch(job);
        if let Some(detail) = &mut self.detail {
            detail.class_row = 0;
        }
        self.screens.push(Screen::Classes(job));
    }

    pub(super) fn pane(&mut self, steps: usize) {
        if let Some(detail) = &mut self.detail {
            let at = Pane::ALL.iter().position(|pane| *pane == detail.pane).unwrap_or(0);
            detail.pane = Pane::ALL[(at + steps) % Pane::ALL.len()];
        }
    }

    pub(super) fn filter(&mut self) {
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

    pub(super) fn sort(&mut self, forward: bool) {
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
}
