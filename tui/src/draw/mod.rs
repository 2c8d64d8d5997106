//! Draws the dashboard. Drawing reads the state and writes a frame. It changes nothing, reads no clock and
//! formats only visible rows.

mod brush;
mod chart;
mod events;
mod failures;
mod header;
mod job;
mod overlay;
mod overview;
mod panes;

use ratatui::Frame;

use self::brush::Brush;
pub(crate) use self::{failures::entry_text, overlay::overlay_lines, panes::definition_rows};
use crate::{
    layout,
    state::{Dashboard, Screen},
};

impl Dashboard {
    /// Draws the current state.
    pub fn draw(&self, frame: &mut Frame<'_>) {
        let area = frame.area();
        if area.is_empty() {
            return;
        }
        let parts = layout::frame(area);
        let borders = layout::has_borders(area);
        let brush = &mut Brush::new(frame.buffer_mut(), self.options.look);
        header::draw(self, brush, parts.header);
        let body = header::banner(self, brush, parts.body);
        match self.screen() {
            Screen::Overview => overview::draw(self, brush, body, borders),
            Screen::Job(id) => job::draw(self, brush, body, borders, id),
            Screen::Classes(id) => failures::classes(self, brush, body, borders, id),
            Screen::Entries(id) => failures::entries(self, brush, body, borders, id),
            Screen::Events => events::draw(self, brush, body, borders),
        }
        header::footer(self, brush, parts.footer);
        overlay::draw(self, brush, area, parts);
    }
}
