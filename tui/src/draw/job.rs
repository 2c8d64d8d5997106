//! One job: its definition and progress, then its panes.

use pinport_model::{JobId, JobStatus, view::JobView};
use ratatui::layout::Rect;

use super::{
    brush::{Brush, after, below, row},
    overview, panes,
};
use crate::{
    hit::Zone,
    layout::{self, Pane},
    look::Role,
    state::{Dashboard, detail::Detail},
    text::{append, count, harmless, megabytes, percent, span, wrap},
    words,
};

pub(super) fn draw(dashboard: &Dashboard, brush: &mut Brush<'_>, area: Rect, borders: bool, id: JobId) {
    let Some(detail) = dashboard.detail.as_ref().filter(|detail| detail.job == id) else { return };
    let Some(job) = dashboard.view_of(id) else {
        brush.text(row(area, 0), &format!("waiting for job {id}"), Role::Dim);
        return;
    };
    let width = layout::pane_width(area).saturating_sub(if borders { 2 } else { 0 });
    let places = layout::detail(area, detail.pane, borders, |pane| rows(pane, dashboard, detail, width));
    summary(dashboard, brush, places.summary, job);
    for (pane, area) in places.panes {
        let focus = pane == detail.pane;
        let title = match pane {
            Pane::Throughput => format!("throughput, {}", dashboard.window.word("whole job")),
            pane => title(pane, detail),
        };
        brush.zones.push((area, Zone::Pane(pane)));
        let inner = brush.pane(area, &title, focus, borders);
        if detail.view.is_none() && pane != Pane::Throughput {
            brush.text(row(inner, 0), "waiting for the details", Role::Dim);
            continue;
        }
        panes::draw(pane, dashboard, detail, brush, inner);
    }
}

/// Rows of content that a pane has.
fn rows(pane: Pane, dashboard: &Dashboard, detail: &Detail, width: u16) -> u16 {
    if detail.view.is_none() {
        return 2;
    }
    let rows = match pane {
        Pane::Pieces => {
            let total: u64 = detail.pieces.iter().fold(0, |sum, count| sum.saturating_add(*count));
            // One more for the legend.
            usize::try_from(total.div_ceil(u64::from(width.max(1)))).unwrap_or(usize::MAX).saturating_add(1)
        }
        Pane::Stages => detail.shares.len() + 1,
        // Without a chart it is one sentence.
        Pane::Throughput if dashboard.meters.of(detail.job).is_none() => 1,
        Pane::Throughput => 8,
        Pane::Reasons | Pane::Objects | Pane::Definition => detail.rows(pane).max(1),
    };
    u16::try_from(rows).unwrap_or(u16::MAX)
}

fn title(pane: Pane, detail: &Detail) -> String {
    let Some(view) = &detail.view else { return pane.title().into() };
    let progress = &view.job.progress;
    match pane {
        Pane::Reasons => format!("failures {}", count(progress.failed)),
        Pane::Pieces => format!("pieces {}", words::pieces(progress)),
        Pane::Objects => {
            format!("objects {}/{}", count(progress.objects_done), count(progress.objects_total))
        }
        Pane::Definition => {
            let warnings = (view.warnings.len() + view.lost.len()) as u64;
            let notices = view.notices.iter().count() as u64;
            let mut title = "definition".to_owned();
            for (number, what) in [(warnings, "warning"), (notices, "note")] {
                if number > 0 {
                    append!(title, ", {}", words::plural(number, what));
                }
            }
            title
        }
        pane => pane.title().into(),
    }
}

/// The definition and progress of a job, the most important row first.
fn summary(dashboard: &Dashboard, brush: &mut Brush<'_>, area: Rect, job: &JobView) {
    let progress = &job.progress;
    let symbols = brush.look.symbols;
    let separator = symbols.separator();
    let status = overview::status_word(dashboard, job, symbols);
    let share = words::share(progress);
    let state = format!("{} {}", status.symbol, status.word);
    let (note, note_role) = overview::note(dashboard, job);
    let note = if note.is_empty() { note } else { format!("{separator}{note}") };
    let rate = rate(dashboard, job);
    let percent = share.map(percent).unwrap_or_default();
    let failed = format!("{separator}{} failed", count(progress.failed));
    let failed_role = if progress.failed > 0 { Role::Bad } else { Role::Dim };
    let first = row(area, 0);
    let mut used = brush.parts(first, &[(&state, status.role), (" ", Role::Plain), (&percent, Role::Title)]);
    used += brush.text(after(first, used), &failed, failed_role);
    used += brush.text(after(first, used), &note, note_role);
    brush.text(after(first, used), &format!("{separator}{rate}"), Role::Plain);

    let mut line = 1;
    if area.height >= 3 {
        let bar = row(area, line);
        let role = if progress.status == JobStatus::Failed { Role::Bad } else { status.role };
        brush.bar(bar, share.unwrap_or(0.0), role);
        line += 1;
    }
    if let Some(error) = &job.error {
        // The cause of a failure comes before the figures.
        let room = usize::from(area.height).saturating_sub(line);
        let text = harmless(error, symbols);
        for text in wrap(&text, area.width.into(), room) {
            brush.text(row(area, line), &text, Role::Bad);
            line += 1;
        }
    }
    let mut text = words::records(progress);
    append!(text, "{separator}{}", words::source_bytes(progress));
    if usize::from(area.height) > line + 1 {
        let mut source = format!("{}{separator}{}", job.source, job.application_name);
        if let Some(workers) = words::workers(job) {
            append!(source, "{separator}{}", harmless(&workers, symbols));
        }
        brush.text(row(area, line), &source, Role::Dim);
        line += 1;
    }
    brush.text(row(below(area, line), 0), &text, Role::Plain);
}

fn rate(dashboard: &Dashboard, job: &JobView) -> String {
    let meter = dashboard.meters.of(job.id).filter(|_| !job.progress.status.is_terminal());
    let (records, bytes) = match meter {
        Some(meter) => (meter.records().unwrap_or(0.0), meter.bytes().unwrap_or(0.0)),
        None => words::average(&job.progress),
    };
    let text = format!("{} rows/s, {} MB/s", count(records as u64), megabytes(bytes));
    match words::ran_ms(job) {
        ran if ran > 0 && !job.progress.status.is_terminal() => format!("{text}, for {}", span(ran)),
        _ => text,
    }
}
