//! Overlays: help, texts, questions, text input and the form.

use pinport_model::view::SourcePlace;
use ratatui::layout::Rect;

use super::{
    brush::{Brush, after, below, row},
    record,
};
use crate::{
    keys,
    layout::{Frame, middle},
    look::Role,
    state::{
        Dashboard, Overlay, Prompt,
        form::{Field, Form},
        input::Input,
        lines::{self, MAX_WIDTH, harmless_lines, help_indent, help_lines, inner_width},
    },
    text::{bytes, clip, clip_left, harmless, width, wrap},
};

pub(super) fn draw(dashboard: &Dashboard, brush: &mut Brush<'_>, area: Rect, parts: Frame) {
    match &dashboard.overlay {
        None => {}
        Some(Overlay::Help { scroll, search, typing }) => {
            let lines = help_lines(dashboard.reach(), brush.look, inner_width(area.width), search.text());
            let title = match search.text() {
                "" => "help".to_owned(),
                text => format!("help, search: {text}"),
            };
            scrolled(brush, body_of(area, parts), &title, lines.len(), *scroll, |brush, at, index| {
                let (keys, text) = &lines[index];
                if text.is_empty() {
                    brush.text(at, keys, Role::Title);
                } else {
                    brush.text(at, keys, Role::Key);
                    brush.text(after(at, help_indent(at.width.into())), text, Role::Plain);
                }
            });
            if *typing {
                typed(brush, area, "search: ", search);
            }
        }
        Some(Overlay::Text { title, text, scroll }) => {
            let lines = harmless_lines(text, inner_width(area.width), usize::MAX, brush.look.symbols);
            scrolled(brush, body_of(area, parts), title, lines.len(), *scroll, |brush, at, index| {
                brush.text(at, &lines[index], Role::Plain);
            });
        }
        Some(Overlay::Record { scroll }) => {
            let lines = lines::of_record(dashboard, inner_width(area.width));
            scrolled(
                brush,
                body_of(area, parts),
                "failed record",
                lines.len(),
                *scroll,
                |brush, at, index| {
                    record::draw_line(brush, at, &lines[index]);
                },
            );
        }
        Some(Overlay::Confirm { question, .. }) => {
            ask(dashboard, brush, body_of(area, parts), "sure?", question);
        }
        Some(Overlay::Leave { .. }) => {
            let question = "The import is still running. Stop it, or let it go on with plain lines here?";
            ask(dashboard, brush, body_of(area, parts), "leave?", question);
        }
        Some(Overlay::Prompt { prompt, input }) => {
            let label = match prompt {
                Prompt::Filter => "filter: ",
                Prompt::Search => "search: ",
                Prompt::OpenById => "job id: ",
                Prompt::Throttle(_) => "at most, rows/s, or bytes/s as 50m, or off: ",
                Prompt::SaveFailures(_) => "save failures to: ",
                Prompt::SaveRejects(_) => "save rejects to: ",
            };
            typed(brush, area, label, input);
        }
        Some(Overlay::Form(form)) => draw_form(brush, body_of(area, parts), form),
    }
}

/// A line that is being typed. It replaces the footer, or the last row if there is no footer.
fn typed(brush: &mut Brush<'_>, area: Rect, label: &str, input: &Input) {
    let at = row(area, usize::from(area.height.saturating_sub(1)));
    let blank = " ".repeat(at.width.into());
    brush.text(at, &blank, Role::Plain);
    let used = brush.text(at, label, Role::Key);
    line(brush, after(at, used), input, true);
}

/// Places of a source that the form lists.
const PLACES: usize = 6;

/// Overlays leave the footer visible, because it shows the keys.
fn body_of(area: Rect, parts: Frame) -> Rect {
    Rect { height: area.height.saturating_sub(parts.footer.height), ..area }
}

fn scrolled(
    brush: &mut Brush<'_>,
    area: Rect,
    title: &str,
    lines: usize,
    scroll: usize,
    mut draw: impl FnMut(&mut Brush<'_>, Rect, usize),
) {
    let height = u16::try_from(lines.saturating_add(2)).unwrap_or(u16::MAX);
    let place = middle(area, MAX_WIDTH, height);
    let room = usize::from(place.height.saturating_sub(2)).max(1);
    let first = scroll.min(lines.saturating_sub(room));
    let title = if lines > room {
        format!("{title} {}-{} of {lines}", first + 1, (first + room).min(lines))
    } else {
        title.into()
    };
    let inner = brush.overlay(place, &title);
    for index in first..lines.min(first.saturating_add(inner.height.into())) {
        draw(brush, row(inner, index - first), index);
    }
}

/// A question, and the keys that answer it.
fn ask(dashboard: &Dashboard, brush: &mut Brush<'_>, area: Rect, title: &str, question: &str) {
    let question = harmless(question, brush.look.symbols);
    let room = usize::from(area.width.min(70)).saturating_sub(4).max(1);
    let lines = wrap(&question, room, 12);
    let height = u16::try_from(lines.len() + 4).unwrap_or(u16::MAX);
    let inner = brush.overlay(middle(area, 70, height), title);
    // Without room for both, the keys stay.
    let answers = row(inner, usize::from(inner.height.saturating_sub(1)));
    for (index, line) in lines.iter().enumerate().take(usize::from(inner.height.saturating_sub(1))) {
        brush.text(row(inner, index), line, Role::Plain);
    }
    let mut used = 0;
    for binding in keys::footer(dashboard.context(), dashboard.reach()) {
        let key = binding.first(brush.look.symbols);
        let label = format!(" {}   ", binding.label);
        used += brush.parts(after(answers, used), &[(&key, Role::Key), (&label, Role::Plain)]);
    }
}

/// A text input, scrolled so that its cursor is visible.
fn line(brush: &mut Brush<'_>, area: Rect, input: &Input, active: bool) {
    let symbols = brush.look.symbols;
    let (before, rest) = input.parts();
    if !active {
        brush.text(row(area, 0), input.text(), Role::Plain);
        return;
    }
    let room = usize::from(area.width).saturating_sub(1);
    let before = clip_left(before, room, symbols);
    let used = brush.text(row(area, 0), &before, Role::Plain);
    let at = after(row(area, 0), used);
    let under =
        rest.chars().next().map_or_else(|| " ".into(), |character| harmless(&character.to_string(), symbols));
    let cells = brush.text(at, &under, Role::Plain);
    brush.select(Rect { width: at.width.min(u16::try_from(cells.max(1)).unwrap_or(1)), ..at });
    let rest = rest.char_indices().nth(1).map_or("", |(index, _)| &rest[index..]);
    brush.text(
        after(at, cells),
        &clip(rest, usize::from(at.width).saturating_sub(cells), symbols),
        Role::Plain,
    );
}

fn draw_form(brush: &mut Brush<'_>, area: Rect, form: &Form) {
    let symbols = brush.look.symbols;
    // One row for each field, and if there is room, one for its error or hint.
    let two = area.height >= 2 + 2 * Field::ALL.len() as u16;
    let per_field = if two { 2 } else { 1 };
    let height = 3 + per_field * Field::ALL.len() as u16;
    let fitting = if form.field == Field::Source { form.fitting() } else { Vec::new() };
    // The places that complete the source, if there is room below the fields.
    let listed = u16::try_from(fitting.len().min(PLACES)).unwrap_or(0);
    let listed = if two { listed.min(area.height.saturating_sub(height)) } else { 0 };
    let mut inner = brush.overlay(middle(area, 76, height + listed), "new import");
    if listed > 0 {
        inner.height = inner.height.saturating_sub(listed);
        places(
            brush,
            below(Rect { height: inner.height + listed, ..inner }, inner.height.into()),
            form,
            &fitting,
        );
    }
    let selected = Field::ALL.iter().position(|field| *field == form.field).unwrap_or(0);
    let notes = if two { 0 } else { u16::from(inner.height >= 2) };
    let rows = usize::from(inner.height.saturating_sub(notes)) / usize::from(per_field);
    let first = crate::layout::first_row(selected, Field::ALL.len(), rows.max(1));
    let label_width = if inner.width >= 36 { 13 } else { 0 };
    for (line_index, field) in Field::ALL.into_iter().skip(first).take(rows.max(1)).enumerate() {
        let at = row(inner, line_index * usize::from(per_field));
        let active = field == form.field;
        let fault = form.shown_fault(field);
        let mark = if fault.is_some() {
            symbols.choose("✗", "x")
        } else if active {
            symbols.selected()
        } else {
            " "
        };
        let role = if fault.is_some() { Role::Bad } else { Role::Key };
        brush.text(at, mark, role);
        let label = after(at, 2);
        let used = if label_width > 0 {
            brush.text(label, field.label(), if active { Role::Key } else { Role::Dim });
            label_width
        } else {
            brush.text(label, &format!("{} ", field.label()), Role::Dim) + 1
        };
        value(brush, after(label, used), form, field, active);
        if two {
            note(
                brush,
                after(row(below(inner, line_index * 2), 1), 2 + label_width),
                (field, form),
                fault,
                active,
            );
        }
    }
    if notes > 0 {
        let at = row(inner, usize::from(inner.height.saturating_sub(1)));
        note(brush, at, (form.field, form), form.shown_fault(form.field), true);
    }
}

/// The first of the places that complete the source.
fn places(brush: &mut Brush<'_>, area: Rect, form: &Form, fitting: &[&SourcePlace]) {
    let symbols = brush.look.symbols;
    let folder = form.source.text().rfind('/').map_or(0, |at| at + 1);
    let rows = usize::from(area.height);
    for (line, place) in fitting.iter().enumerate().take(rows) {
        let at = after(row(area, line), 2);
        if line + 1 == rows && fitting.len() > rows {
            let more = format!("{} more", fitting.len() - line);
            brush.text(at, &more, Role::Dim);
            return;
        }
        let name = harmless(place.url.get(folder..).unwrap_or(&place.url), symbols);
        let used = brush.text(at, &name, if place.size.is_some() { Role::Plain } else { Role::Active });
        if let Some(size) = place.size {
            brush.right(after(at, used + 1), &bytes(size), Role::Dim);
        }
    }
}

fn value(brush: &mut Brush<'_>, area: Rect, form: &Form, field: Field, active: bool) {
    let choice = |brush: &mut Brush<'_>, text: &str| {
        let cells = brush.text(area, text, Role::Plain).max(1);
        if active {
            brush.select(Rect { width: area.width.min(u16::try_from(cells).unwrap_or(1)), ..area });
        }
    };
    match field {
        Field::Source => line(brush, area, &form.source, active),
        Field::Application => line(brush, area, &form.application, active),
        Field::Segment => line(brush, area, &form.segment, active),
        Field::MaxFailures => line(brush, area, &form.max_failures, active),
        Field::Format => {
            let text = match (form.format, form.effective_format()) {
                (Some(format), _) => format.to_string(),
                (None, Some(format)) => format!("{format} (by the name)"),
                (None, None) => "?".into(),
            };
            choice(brush, &text);
        }
        Field::Register => choice(brush, if form.register { "yes" } else { "no" }),
    }
}

fn note(
    brush: &mut Brush<'_>,
    area: Rect,
    (field, form): (Field, &Form),
    fault: Option<String>,
    active: bool,
) {
    match fault {
        Some(fault) => {
            // The error stands at the end of the row, after the input.
            let cells = usize::from(area.width);
            let text = harmless(&fault, brush.look.symbols);
            let text = if width(&text) > cells { clip_left(&text, cells, brush.look.symbols) } else { text };
            brush.text(area, &text, Role::Bad);
        }
        None if active => {
            let about = form.about_places().filter(|_| field == Field::Source);
            let text = harmless(about.unwrap_or(field.hint()), brush.look.symbols);
            brush.text(area, &text, Role::Dim);
        }
        None => {}
    }
}
