//! The lines of texts that can be scrolled: the help, an event, a failed record. How many there are decides how far a key
//! scrolls.

use pinport_model::{Failure, remedy};

use super::{Dashboard, Overlay, failures::Failures};
use crate::{
    keys::{self, Reach},
    look::{Look, Role, Symbols},
    record::{Line, whole},
    text::{append, count, harmless, wrap},
    words,
};

/// The widest an overlay gets.
pub(crate) const MAX_WIDTH: u16 = 92;
/// Cells of the keys' column in the help.
const KEYS_WIDTH: usize = 20;
/// What marks the fault.
const CARET: &str = "^";

/// Cells of an overlay's text on a terminal of this width.
pub(crate) fn inner_width(width: u16) -> usize {
    let outer = width.min(MAX_WIDTH);
    usize::from(if outer < 24 { outer } else { outer - 4 })
}

/// Where the texts of the help begin.
pub(crate) fn help_indent(width: usize) -> usize {
    KEYS_WIDTH.min(width / 3)
}

/// The help, wrapped: continued lines have no keys.
pub(crate) fn help_lines(reach: Reach, look: Look, width: usize, search: &str) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let room = width.saturating_sub(help_indent(width));
    for (keys, text) in keys::help(reach, look.symbols, search) {
        if text.is_empty() {
            lines.push((keys, String::new()));
            continue;
        }
        let wide = crate::text::width(&keys) >= help_indent(width);
        if wide {
            lines.push((keys.clone(), " ".into()));
        }
        for (index, text) in wrap(text, room.max(1), 8).into_iter().enumerate() {
            lines.push((if index == 0 && !wide { keys.clone() } else { String::new() }, text));
        }
    }
    if lines.is_empty() {
        lines.push(("no key is like that".into(), String::new()));
    }
    lines
}

/// Lines of the overlay that can be scrolled, on a terminal of this size.
pub(crate) fn scrolled_over(dashboard: &Dashboard, size: (u16, u16)) -> usize {
    let look = dashboard.options.look;
    let lines = match &dashboard.overlay {
        Some(Overlay::Help { search, .. }) => {
            help_lines(dashboard.reach(), look, inner_width(size.0), search.text()).len()
        }
        Some(Overlay::Text { text, .. }) => {
            harmless_lines(text, inner_width(size.0), usize::MAX, look.symbols).len()
        }
        Some(Overlay::Record { .. }) => of_record(dashboard, inner_width(size.0)).len(),
        _ => 0,
    };
    // Scrolling ends when the last line is at the bottom.
    lines.saturating_sub(usize::from(size.1.saturating_sub(4))) + 1
}

/// All that is known of the selected record, the whole of it included, in lines of at most `width` cells.
pub(crate) fn of_record(dashboard: &Dashboard, width: usize) -> Vec<(String, Role)> {
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
pub(crate) fn bytes_of<'f>(
    failures: &'f Failures,
    entry: &Failure,
) -> Result<(&'f [u8], Option<usize>), &'f str> {
    if entry.reject.is_none() {
        return Err("its original bytes are not kept");
    }
    let Some(record) = failures.record.as_ref().filter(|record| Some(record.query.place) == entry.reject)
    else {
        return Err("asking for its original bytes");
    };
    let bytes = record.bytes.as_deref().map_err(String::as_str)?;
    Ok((bytes, record.fault.filter(|at| *at <= bytes.len())))
}

/// Adds a line, and below it the mark of the fault.
pub(crate) fn push_line(lines: &mut Vec<(String, Role)>, line: Line) {
    lines.push((line.text, Role::Plain));
    if let Some(caret) = line.caret {
        lines.push((format!("{}{CARET}", " ".repeat(caret)), Role::Bad));
    }
}

/// The reason in words, and what would be right.
pub(crate) fn told(
    dashboard: &Dashboard,
    entry: &Failure,
    width: usize,
    symbols: Symbols,
) -> Vec<(String, Role)> {
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

/// What would be right.
fn right(dashboard: &Dashboard, entry: &Failure, width: usize, symbols: Symbols) -> Vec<(String, Role)> {
    let view = dashboard.detail.as_ref().and_then(|detail| detail.view.as_ref());
    let limits = view.map(|view| view.definition.limits).unwrap_or_default();
    let text = format!("right: {}", remedy(entry.code, entry.member.as_deref(), &limits));
    let lines = harmless_lines(&text, width, 4, symbols);
    lines.into_iter().map(|line| (line, Role::Good)).collect()
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
pub(crate) fn harmless_lines(text: &str, width: usize, most: usize, symbols: Symbols) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let room = most.saturating_sub(lines.len());
        lines.extend(wrap(&harmless(line, symbols), width, room));
    }
    lines
}
