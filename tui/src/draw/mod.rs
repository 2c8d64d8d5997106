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
mod record;

use ratatui::{Frame, buffer::Buffer, layout::Rect};

use self::brush::Brush;
use crate::{
    hit::Hit,
    layout,
    state::{Dashboard, Screen},
};

impl Dashboard {
    /// Draws the current state.
    pub fn draw(&self, frame: &mut Frame<'_>) {
        let area = frame.area();
        if !area.is_empty() {
            self.paint(&mut Brush::new(frame.buffer_mut(), self.options.look), area);
        }
    }

    /// What lies at a cell of the screen. It is found by drawing, so that it is where it is seen.
    pub fn hit(&self, column: u16, row: u16) -> Option<Hit> {
        let mut buffer = Buffer::empty(Rect::new(0, 0, self.size.0, self.size.1));
        let area = buffer.area;
        if area.is_empty() {
            return None;
        }
        let mut brush = Brush::new(&mut buffer, self.options.look);
        self.paint(&mut brush, area);
        // What was drawn last lies on top.
        let zone = brush.zones.iter().rev().find(|(zone, _)| zone.contains((column, row).into()));
        zone.map(|(_, zone)| Hit(*zone))
    }

    fn paint(&self, brush: &mut Brush<'_>, area: Rect) {
        let parts = layout::frame(area);
        let borders = layout::has_borders(area);
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
        brush.ground();
    }
}
