//! The selected failed record: its bytes with a mark under the fault, the reason, and what would be right.

use pinport_model::Failure;
use ratatui::layout::Rect;

use super::brush::{Brush, after, row};
use crate::{
    look::Role,
    record::cut,
    state::{
        Dashboard,
        failures::Failures,
        lines::{bytes_of, push_line, told},
    },
    text::{append, count},
};

/// Where the selected record stands: the title of its pane.
pub(super) fn title(entry: &Failure) -> String {
    let mut title = format!("selected: line {}, byte {}", count(entry.line), count(entry.byte));
    if let Some(column) = entry.column {
        append!(title, ", column {}", count(column));
    }
    append!(title, ", {}", entry.code);
    title
}

/// The selected record in few rows: its bytes are cut around the fault.
pub(super) fn selected(dashboard: &Dashboard, brush: &mut Brush<'_>, area: Rect, failures: &Failures) {
    let Some(entry) = failures.entries.get(failures.row) else { return };
    let symbols = brush.look.symbols;
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let mut lines = Vec::new();
    match bytes_of(failures, entry) {
        Ok((record, at)) => push_line(&mut lines, cut(record, at, width, symbols)),
        Err(text) => lines.push((text.to_owned(), Role::Dim)),
    }
    lines.extend(told(dashboard, entry, width, symbols));
    for (index, (text, role)) in lines.iter().enumerate().take(height) {
        brush.text(row(area, index), text, *role);
    }
}

/// A line of the whole record.
pub(super) fn draw_line(brush: &mut Brush<'_>, at: Rect, (text, role): &(String, Role)) {
    brush.text(after(at, 0), text, *role);
}
