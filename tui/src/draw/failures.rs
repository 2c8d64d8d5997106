//! Failed records, by reason and in a list.

use pinport_model::{Failure, JobId, view::JobDetail};
use ratatui::layout::Rect;

use super::{
    brush::{Brush, after, below, row},
    panes, record,
};
use crate::{
    look::Role,
    state::{Dashboard, detail::Detail, failures::Extent},
    text::{append, clip_left, count, small_percent, width},
    words,
};

/// From here on the selected record is written out below the list.
const WHOLE_FROM: u16 = 12;

pub(super) fn classes(dashboard: &Dashboard, brush: &mut Brush<'_>, area: Rect, borders: bool, id: JobId) {
    let Some(detail) = dashboard.detail.as_ref().filter(|detail| detail.job == id) else { return };
    let inner = brush.pane(area, "failures by reason", true, borders);
    let Some(view) = &detail.view else {
        brush.text(row(inner, 0), "waiting for the details", Role::Dim);
        return;
    };
    let classes = detail.classes();
    let failed = view.job.progress.failed;
    if failed == 0 {
        brush.text(row(inner, 0), "no record failed", Role::Good);
        return;
    }
    let read = view.job.progress.parsed.max(failed);
    let reasons = u16::try_from(classes.len() + 1).unwrap_or(u16::MAX);
    // The rows below the reasons list records of the selected reason.
    let sample = inner.height.saturating_sub(reasons);
    let sample = if inner.height >= WHOLE_FROM { sample.max(inner.height / 3) } else { 0 };
    let rows = Rect { height: inner.height - sample, ..inner };
    let columns = panes::ReasonColumns::new(classes.iter().copied(), rows.width.into());
    panes::list(brush, rows, classes.len() + 1, detail.class_row, |brush, at, index| {
        let Some(class) = index.checked_sub(1).and_then(|index| classes.get(index)) else {
            let text =
                format!("all reasons ({} of the records read)", small_percent(failed as f64 / read as f64));
            let used = panes::reason_head(brush, at, failed, 1.0);
            brush.text(after(at, used), &text, Role::Plain);
            return;
        };
        panes::class_row(brush, at, class, failed, columns);
    });
    if sample > 0 {
        first_records(detail, view, brush, below(inner, rows.height.into()));
    }
}

/// The records of the selected reason among the job's first failures. Enter shows them in full.
fn first_records(detail: &Detail, view: &JobDetail, brush: &mut Brush<'_>, area: Rect) {
    let class = detail.class_row.checked_sub(1).and_then(|row| detail.classes().get(row).copied());
    let wanted = |failure: &&Failure| {
        class.is_none_or(|class| {
            failure.code == class.code && failure.class_member() == class.member.as_deref()
        })
    };
    let title = match class {
        Some(class) => format!("first records: {}", words::class(class)),
        None => "first records".into(),
    };
    let inner = brush.pane(area, &title, false, false);
    let mut line = 0;
    for failure in view.failures.iter().filter(wanted).take(inner.height.into()) {
        entry_row(brush, row(inner, line), failure);
        line += 1;
    }
    if line == 0 {
        // The job keeps its first 100 failures; this reason first appeared later.
        brush.text(row(inner, 0), "none among the job's first failures: enter asks for them", Role::Dim);
    }
}

/// A failed record in one row: its place, then the error.
fn entry_row(brush: &mut Brush<'_>, at: Rect, entry: &Failure) {
    let place = format!(":{}", entry.line);
    let room = (usize::from(at.width) / 3).max(8).saturating_sub(width(&place));
    let object = clip_left(&entry.object, room, brush.look.symbols);
    let used = brush.parts(at, &[(&object, Role::Dim), (&place, Role::Plain)]);
    let mut text = String::new();
    if let Some(member) = &entry.member {
        append!(text, "{member}: ");
    }
    text.push_str(&entry.message);
    brush.text(after(at, used.max(room + 6) + 1), &text, Role::Plain);
}

pub(super) fn entries(dashboard: &Dashboard, brush: &mut Brush<'_>, area: Rect, borders: bool, id: JobId) {
    let Some(failures) = dashboard.failures.as_ref().filter(|failures| failures.query.job == id) else {
        return;
    };
    let query = &failures.query;
    let mut title = match &query.class {
        Some((code, member)) => words::class_name(*code, member.as_deref()),
        None => "all reasons".into(),
    };
    let number = count(failures.entries.len() as u64);
    match failures.extent {
        Extent::First => append!(title, ": {number} of the job's first failures, asking for all"),
        Extent::All => append!(title, ": {number}"),
        Extent::Most => append!(title, ": the first {number}; w saves all"),
    }
    if !query.search.is_empty() {
        append!(title, ", search: {}", query.search);
    }
    if !failures.marked.is_empty() {
        append!(title, ", {} marked: E edits them", count(failures.marked.len() as u64));
    }
    let inner = brush.pane(area, &title, true, borders);
    if failures.entries.is_empty() {
        let text = if query.search.is_empty() {
            "none is known yet"
        } else {
            "none has that in it: esc drops the search"
        };
        brush.text(row(inner, 0), text, Role::Dim);
        return;
    }
    let whole = if inner.height >= WHOLE_FROM { (inner.height * 2 / 5).clamp(7, 10) } else { 0 };
    let rows = Rect { height: inner.height - whole, ..inner };
    panes::list(brush, rows, failures.entries.len(), failures.row, |brush, at, index| {
        let Some(entry) = failures.entries.get(index) else { return };
        let mark = if failures.is_marked(entry) { brush.look.symbols.choose("◆ ", "* ") } else { "" };
        let used = brush.text(at, mark, Role::Key);
        entry_row(brush, after(at, used), entry);
    });
    if whole > 0
        && let Some(entry) = failures.entries.get(failures.row)
    {
        let place = below(inner, rows.height.into());
        let place = brush.pane(place, &record::title(entry), false, false);
        record::selected(dashboard, brush, place, failures);
    }
}
