//! The list of events, newest first.

use ratatui::layout::Rect;

use super::{
    brush::{Brush, after, row},
    panes,
};
use crate::{
    look::Role,
    state::{Dashboard, Event},
    text::{clock, count},
    words::short_id,
};

pub(super) fn draw(dashboard: &Dashboard, brush: &mut Brush<'_>, area: Rect, borders: bool) {
    let title = format!("events {} (UTC)", count(dashboard.events.len() as u64));
    let inner = brush.pane(area, &title, true, borders);
    if dashboard.events.is_empty() {
        brush.text(row(inner, 0), "nothing has happened since this dashboard began", Role::Dim);
        return;
    }
    panes::list(brush, inner, dashboard.events.len(), dashboard.event_row, |brush, at, index| {
        if let Some(event) = dashboard.events.get(index) {
            event_row(brush, at, event);
        }
    });
}

/// The newest events, beside the list of jobs.
pub(super) fn latest(dashboard: &Dashboard, brush: &mut Brush<'_>, area: Rect, borders: bool) {
    if area.is_empty() {
        return;
    }
    let inner = brush.pane(area, "events", false, borders);
    if dashboard.events.is_empty() {
        brush.text(row(inner, 0), "nothing has happened yet", Role::Dim);
    }
    for (line, event) in dashboard.events.iter().take(inner.height.into()).enumerate() {
        event_row(brush, row(inner, line), event);
    }
}

fn event_row(brush: &mut Brush<'_>, at: Rect, event: &Event) {
    brush.text(at, &clock(event.time), Role::Dim);
    let job = event.job.map(short_id).unwrap_or_default();
    brush.text(after(at, 9), &job, Role::Active);
    let role = if event.worked { Role::Plain } else { Role::Bad };
    brush.text(after(at, if job.is_empty() { 9 } else { 18 }), &event.text, role);
}
