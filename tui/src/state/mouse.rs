//! What clicks and the wheel do.

use ratatui::crossterm::event::{MouseButton, MouseEvent, MouseEventKind};

use super::{Dashboard, Screen};
use crate::{
    hit::{Hit, Zone},
    layout::Column,
};

/// Rows that one step of the wheel scrolls.
const WHEEL: isize = 3;

impl Dashboard {
    /// `hit`: what lies below the mouse. Says whether something changed.
    pub(super) fn take_mouse(&mut self, event: MouseEvent, hit: Option<Hit>) -> bool {
        match event.kind {
            MouseEventKind::ScrollUp => self.step(-WHEEL),
            MouseEventKind::ScrollDown => self.step(WHEEL),
            MouseEventKind::Down(MouseButton::Left) if self.overlay.is_none() => match hit.map(|hit| hit.0) {
                Some(Zone::Row(row)) => self.select_row(row),
                Some(Zone::Title(column)) => self.sort_by(column),
                Some(Zone::Pane(pane)) => {
                    if let Some(detail) = &mut self.detail {
                        detail.pane = pane;
                    }
                }
                None => return false,
            },
            _ => return false,
        }
        true
    }

    fn select_row(&mut self, row: usize) {
        let at = match self.screen() {
            Screen::Overview => self.jobs.row(),
            Screen::Events => self.event_row,
            Screen::Classes(_) => self.detail.as_ref().map_or(0, |detail| detail.class_row),
            Screen::Entries(_) => self.failures.as_ref().map_or(0, |failures| failures.row),
            Screen::Job(_) => return,
        };
        let steps = |from: usize, to: usize| isize::try_from(to - from).unwrap_or(isize::MAX);
        self.step(if row >= at { steps(at, row) } else { -steps(row, at) });
    }

    /// Sorts by a column; once more turns the order round.
    fn sort_by(&mut self, column: Column) {
        if column == Column::Trend {
            return;
        }
        self.jobs.reversed = self.jobs.sort == Some(column) && !self.jobs.reversed;
        self.jobs.sort = Some(column);
        self.jobs.arrange(&self.meters);
    }
}
