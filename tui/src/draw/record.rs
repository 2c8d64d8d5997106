//! The selected failed record: its bytes with a mark under the fault, the reason, and what would be right.

use pinport_model::{Failure, remedy};
use ratatui::layout::Rect;

use super::brush::{Brush, after, row};
use crate::{
    look::{Role, Symbols},
    record::{Line, cut, spot, whole},
    state::{Dashboard, failures::Failures},
    text::{append, count, harmless, wrap},
    words,
};

/// What marks the fault.
const CARET: &str = "^";

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

/// All that is known of the selected record, the whole of it included, in lines of at most `width` cells.
pub(crate) fn lines(dashboard: &Dashboard, width: usize) -> Vec<(String, Role)> {
    let symbols = dashboard.options.look.symbols;
    let selected = dashboard.failures.as_ref().and_then(|list| Some((list, list.entries.get(list.row)?)));
    let Some((failures, entry)) = selected else { return Vec::new() };
    let plain = |text: &str| {
        let lines = harmless_lines(text, width, usize::MAX, symbols);
        lines.into_iter().map(|line| (line, Role::Plain)).collect::<Vec<_>>()
    };
    let mut lines = plain(&entry_text(entry));
    lines.extend(right(dashboard, entry, width, symbols));
    lines.push((String::new(), Role::Plain));
    match bytes_of(failures, entry) {
        Ok((record, at)) => {
            for line in whole(record, at, width, symbols) {
                push_line(&mut lines, line);
            }
            let all = entry.reject.map_or(0, |place| place.bytes);
            if all > record.len() as u64 {
                let text = format!("the first {} of {} bytes", count(record.len() as u64), count(all));
                lines.push((text, Role::Dim));
            }
        }
        Err(text) => lines.push((text.to_owned(), Role::Dim)),
    }
    lines
}

/// The bytes of the record and where its fault is, or why they are not shown.
fn bytes_of<'f>(failures: &'f Failures, entry: &Failure) -> Result<(&'f [u8], Option<usize>), &'f str> {
    if entry.reject.is_none() {
        return Err("its original bytes are not kept");
    }
    let Some(record) = failures.record.as_ref().filter(|record| Some(record.query.place) == entry.reject)
    else {
        return Err("asking for its original bytes");
    };
    let bytes = record.bytes.as_deref().map_err(String::as_str)?;
    Ok((bytes, spot(entry, record.query.format, record.header.as_deref(), bytes)))
}

fn push_line(lines: &mut Vec<(String, Role)>, line: Line) {
    lines.push((line.text, Role::Plain));
    if let Some(caret) = line.caret {
        lines.push((format!("{}{CARET}", " ".repeat(caret)), Role::Bad));
    }
}

/// The reason in words, and what would be right.
fn told(dashboard: &Dashboard, entry: &Failure, width: usize, symbols: Symbols) -> Vec<(String, Role)> {
    let mut text = String::new();
    if let Some(member) = &entry.member {
        append!(text, "{member}: ");
    }
    text.push_str(&entry.message);
    let lines = harmless_lines(&text, width, 3, symbols);
    let mut lines: Vec<_> = lines.into_iter().map(|line| (line, Role::Bad)).collect();
    lines.extend(right(dashboard, entry, width, symbols));
    lines
}

fn right(dashboard: &Dashboard, entry: &Failure, width: usize, symbols: Symbols) -> Vec<(String, Role)> {
    let view = dashboard.detail.as_ref().and_then(|detail| detail.view.as_ref());
    let limits = view.map(|view| view.definition.limits).unwrap_or_default();
    let text = format!("right: {}", remedy(entry.code, entry.member.as_deref(), &limits));
    let lines = harmless_lines(&text, width, 4, symbols);
    lines.into_iter().map(|line| (line, Role::Good)).collect()
}

/// A line of [`lines`].
pub(super) fn draw_line(brush: &mut Brush<'_>, at: Rect, (text, role): &(String, Role)) {
    brush.text(after(at, 0), text, *role);
}

/// All details of a failed record, one a line.
fn entry_text(entry: &Failure) -> String {
    // A line break in a name must not start a new line here.
    let clean = |text: &str| harmless(text, Symbols::Unicode);
    let mut text =
        format!("{}\nline {}, byte {}", clean(&entry.object), count(entry.line), count(entry.byte));
    if let Some(column) = entry.column {
        append!(text, ", column {}", count(column));
    }
    append!(text, "\n{} ({})", clean(&words::class_name(entry.code, entry.member.as_deref())), entry.code);
    append!(text, "\n{}", clean(&entry.message));
    text
}

/// Lines of `text`, each escaped and wrapped.
pub(super) fn harmless_lines(text: &str, width: usize, most: usize, symbols: Symbols) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let room = most.saturating_sub(lines.len());
        lines.extend(wrap(&harmless(line, symbols), width, room));
    }
    lines
}
