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
pub(crate) use self::{overlay::overlay_lines, panes::definition_rows};
use crate::{
    layout,
    state::{Dashboard, Screen, mouse::Hit},
};

/// What lies at a cell of a terminal of this size. It is found by drawing, so that it is where it is seen.
pub(crate) fn hit(dashboard: &Dashboard, size: (u16, u16), at: (u16, u16)) -> Option<Hit> {
    let mut buffer = Buffer::empty(Rect::new(0, 0, size.0, size.1));
    let area = buffer.area;
    if area.is_empty() {
        return None;
    }
    let mut brush = Brush::new(&mut buffer, dashboard.options.look);
    dashboard.paint(&mut brush, area);
    // What was drawn last lies on top.
    brush.zones.iter().rev().find(|(zone, _)| zone.contains(at.into())).map(|(_, hit)| *hit)
}

impl Dashboard {
    /// Draws the current state.
    pub fn draw(&self, frame: &mut Frame<'_>) {
        let area = frame.area();
        if !area.is_empty() {
            self.paint(&mut Brush::new(frame.buffer_mut(), self.options.look), area);
        }
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
