//! All jobs: totals of the server, and a row for each job.

use ratatui::layout::Rect;

use super::{
    brush::{Brush, after, below, row},
    chart::Chart,
    events,
};
use crate::{
    hit::Zone,
    layout::{self, Column},
    look::{Role, Symbols},
    message::Connection,
    state::{Dashboard, jobs::StatusFilter},
    text::{
        append, bytes, clip_left, clock, count, harmless, megabytes, percent, short, span, stem, width, wrap,
    },
    words::{self, StatusWord, plural},
};
use pinport_model::{JobStatus, progress::Progress, view::JobView};

/// A shorter wait is not mentioned.
const SHOWN_WAIT_MS: i64 = 1_000;

pub(super) fn draw(dashboard: &Dashboard, brush: &mut Brush<'_>, area: Rect, borders: bool) {
    let jobs = &dashboard.jobs;
    let filtered = usize::from(is_filtered(dashboard));
    let worked = dashboard.meters.server.newest().is_some_and(|newest| newest.records > 0);
    let parts = layout::overview(area, jobs.len().max(1) + 1 + filtered, worked);
    totals(dashboard, brush, parts.totals);
    if !parts.chart.is_empty() {
        let window = dashboard.window;
        let title = format!("throughput of the server, {}", window.word("since the start"));
        let inner = brush.pane(parts.chart, &title, false, borders);
        let figures = ("now", dashboard.meters.rate());
        Chart { curve: &dashboard.meters.server, window, ended: false, figures }.draw(brush, inner);
    }
    table(dashboard, brush, parts.table);
    if let Some(job) = jobs.selected().filter(|_| !parts.selected.is_empty()) {
        selected(dashboard, brush, parts.selected, borders, job);
        events::latest(dashboard, brush, parts.events, borders);
    }
}

fn is_filtered(dashboard: &Dashboard) -> bool {
    !dashboard.jobs.filter.is_empty() || dashboard.jobs.status != StatusFilter::All
}

/// What does not fit into the table: the full name, the counters, and why the job failed.
fn selected(dashboard: &Dashboard, brush: &mut Brush<'_>, area: Rect, borders: bool, job: &JobView) {
    let symbols = brush.look.symbols;
    let separator = symbols.separator();
    let inner = brush.pane(area, &format!("job {}", words::short_id(job.id)), false, borders);
    let status = status_word(dashboard, job, symbols);
    let mut lines: Vec<(String, Role)> = Vec::new();
    let segment = match &job.segment_name {
        Some(name) => format!("{separator}segment {name}"),
        None => String::new(),
    };
    let (note, _) = note(dashboard, job);
    let note = if note.is_empty() { note } else { format!("{separator}{note}") };
    lines.push((
        format!("{} {}{note}{separator}{}{segment}", status.symbol, status.word, job.application_name),
        status.role,
    ));
    if let Some(why) = &job.waits_for {
        let room = usize::from(inner.height).saturating_sub(3).max(1);
        let why = harmless(why, symbols);
        lines.extend(wrap(&why, inner.width.into(), room).into_iter().map(|line| (line, Role::Warn)));
    }
    if let Some(error) = &job.error {
        let room = usize::from(inner.height).saturating_sub(3).max(1);
        let error = harmless(error, symbols);
        lines.extend(wrap(&error, inner.width.into(), room).into_iter().map(|line| (line, Role::Bad)));
    }
    lines.push((words::records(&job.progress), Role::Plain));
    if let Some(workers) = words::workers(job) {
        let room = usize::from(inner.height).saturating_sub(3).max(1);
        let workers = harmless(&workers, symbols);
        lines.extend(wrap(&workers, inner.width.into(), room).into_iter().map(|line| (line, Role::Dim)));
    }
    lines.push((clip_left(&job.source, inner.width.into(), symbols), Role::Dim));
    let pieces = words::pieces(&job.progress);
    lines.push((format!("{}{separator}pieces {pieces}", words::source_bytes(&job.progress)), Role::Dim));
    for (line, (text, role)) in lines.iter().enumerate() {
        brush.text(row(inner, line), text, *role);
    }
}

fn totals(dashboard: &Dashboard, brush: &mut Brush<'_>, area: Rect) {
    let Some(server) = dashboard.server else { return };
    let jobs = dashboard.jobs.all();
    let active = jobs.iter().filter(|job| !job.progress.status.is_terminal()).count() as u64;
    let failed: u64 = jobs.iter().fold(0, |sum, job| sum.saturating_add(job.progress.failed));
    let (records, bytes_rate) = dashboard.meters.rate();
    let separator = brush.look.symbols.separator();
    let mut text = format!(
        "{} active of {}{separator}{} rows/s{separator}{} MB/s{separator}{} failed",
        count(active),
        plural(server.jobs_total.max(jobs.len() as u64), "job"),
        count(records as u64),
        megabytes(bytes_rate),
        count(failed),
    );
    if server.bytes_in_flight_limit > 0 {
        let (now, most) = (bytes(server.bytes_in_flight), bytes(server.bytes_in_flight_limit));
        append!(text, "{separator}{now} of {most} in flight");
    }
    if !dashboard.servers.is_empty() {
        append!(text, "{separator}{}", plural(dashboard.servers.len() as u64, "server"));
    }
    let role = match dashboard.true_at() {
        Some(time) => {
            text.insert_str(0, &format!("as it was at {}{separator}", clock(time)));
            Role::Dim
        }
        None => Role::Plain,
    };
    brush.text(row(area, 0), &text, role);
}

fn table(dashboard: &Dashboard, brush: &mut Brush<'_>, area: Rect) {
    let jobs = &dashboard.jobs;
    let titles = usize::from(area.height >= 3);
    let room = usize::from(area.height).saturating_sub(titles);
    let shown = layout::first_row(jobs.row(), jobs.len(), room)..;
    let shown: Vec<&JobView> = shown.take(room).map_while(|index| jobs.at(index)).collect();
    let columns = layout::columns(area.width, |column| {
        let cells = shown.iter().map(|job| match column {
            Column::Application => width(&job.application_name),
            Column::Source => width(&job.source),
            Column::Pieces => width(&pieces(&job.progress, brush.look.symbols)),
            _ => 0,
        });
        cells.max().and_then(|cells| u16::try_from(cells).ok()).unwrap_or(u16::MAX)
    });
    if titles > 0 {
        let mut x = 0;
        for (column, cells) in &columns {
            let at = Rect { width: *cells, ..row(after(area, x), 0) };
            let mut title = column.title().to_owned();
            if jobs.sort == Some(*column) {
                let symbols = brush.look.symbols;
                let mark = if jobs.reversed { symbols.ascending() } else { symbols.descending() };
                title = format!("{}{mark}", &title[..title.len().min(usize::from(*cells).saturating_sub(1))]);
            }
            brush.zones.push((at, Zone::Title(*column)));
            let role = if jobs.sort == Some(*column) { Role::Key } else { Role::Dim };
            if column.is_number() {
                brush.right(at, &title, role)
            } else {
                _ = brush.text(at, &title, role)
            }
            x += usize::from(*cells) + 1;
        }
    }
    let mut rows = below(area, titles);
    let filtered = is_filtered(dashboard);
    if filtered && rows.height > 1 {
        let mut text = format!("showing {} of {}", count(jobs.len() as u64), count(jobs.all().len() as u64));
        if jobs.status != StatusFilter::All {
            append!(text, ", {}", jobs.status.word());
        }
        if !jobs.filter.is_empty() {
            append!(text, ", filter: {}", jobs.filter);
        }
        rows.height -= 1;
        brush.text(row(below(area, titles), usize::from(rows.height)), &text, Role::Warn);
    }
    if jobs.len() == 0 {
        return empty(dashboard, brush, rows, filtered);
    }
    let first = layout::first_row(jobs.row(), jobs.len(), rows.height.into());
    for line in 0..usize::from(rows.height) {
        let Some(job) = jobs.at(first + line) else { break };
        let at = row(rows, line);
        job_row(dashboard, brush, at, job, &columns);
        brush.zones.push((at, Zone::Row(first + line)));
        if first + line == jobs.row() {
            brush.select(at);
        }
        if dashboard.true_at().is_some() {
            brush.dim(at);
        }
    }
}

/// An empty list says why it is empty.
fn empty(dashboard: &Dashboard, brush: &mut Brush<'_>, area: Rect, filtered: bool) {
    let text = match (&dashboard.server, &dashboard.connection) {
        (None, Connection::Disconnected { .. }) => "no connection: no job is known",
        (None, _) => "waiting for the first sample",
        (Some(_), _) if filtered => "no job is like the filter: esc drops it",
        (Some(_), _) if dashboard.options.read_only => "no jobs yet",
        (Some(_), _) => "no jobs yet: n starts an import",
    };
    brush.text(row(area, 0), text, Role::Dim);
}

fn job_row(
    dashboard: &Dashboard,
    brush: &mut Brush<'_>,
    area: Rect,
    job: &JobView,
    columns: &[(Column, u16)],
) {
    let progress = &job.progress;
    let ended = progress.status.is_terminal();
    let meter = dashboard.meters.of(job.id).filter(|_| !ended);
    let symbols = brush.look.symbols;
    let now = dashboard.server_now().as_millis();
    let mut x = 0;
    for (column, cells) in columns {
        let at = Rect { width: *cells, ..after(area, x) };
        x += usize::from(*cells) + 1;
        let number = |brush: &mut Brush<'_>, text: &str, role| brush.right(at, text, role);
        match column {
            Column::Id => _ = brush.text(at, &words::short_id(job.id), Role::Dim),
            Column::Application => _ = brush.text(at, &job.application_name, Role::Plain),
            Column::Source => {
                let cells = usize::from(*cells);
                // Names of jobs differ at the end, before the file suffix.
                let fits = job.source.len() <= cells;
                let name = if fits { &job.source } else { stem(&job.source) };
                brush.text(at, &clip_left(name, cells, symbols), Role::Plain);
            }
            Column::Status => {
                // Without a column for failures, a mark shows them.
                let marked =
                    progress.failed > 0 && !columns.iter().any(|(known, _)| *known == Column::Failures);
                status_cell(dashboard, brush, at, job, marked);
            }
            Column::Progress => progress_cell(brush, at, progress),
            Column::Pieces => {
                let role = if progress.pieces_failed > 0 { Role::Bad } else { Role::Plain };
                number(brush, &pieces(progress, symbols), role);
            }
            Column::Trend => {
                if let Some(meter) = dashboard.meters.of(job.id) {
                    let trend = meter.trend((*cells).into());
                    let most = trend.iter().copied().fold(0.0, f64::max);
                    let role = if ended { Role::Dim } else { Role::Active };
                    brush.columns(at, &trend, most, role);
                }
            }
            Column::Rows | Column::Bytes => {
                let average = words::average(progress);
                let (rows, bytes) = match meter {
                    Some(meter) => (meter.records().unwrap_or(0.0), meter.bytes().unwrap_or(0.0)),
                    None if ended => average,
                    None => (0.0, 0.0),
                };
                let text = if *column == Column::Rows { short(rows as u64) } else { megabytes(bytes) };
                number(brush, &text, if ended { Role::Dim } else { Role::Plain });
            }
            Column::Failures => {
                let role = if progress.failed > 0 { Role::Bad } else { Role::Dim };
                number(brush, &short(progress.failed), role);
            }
            Column::Age => number(brush, &span(now.saturating_sub(job.created.as_millis())), Role::Dim),
            Column::Ran => {
                let ran = words::ran_ms(job);
                let text = if ran > 0 { span(ran) } else { String::new() };
                number(brush, &text, Role::Dim);
            }
            Column::Left => {
                let (text, role) = left(dashboard, job);
                number(brush, &text, role);
            }
        }
    }
}

fn status_cell(dashboard: &Dashboard, brush: &mut Brush<'_>, at: Rect, job: &JobView, marked: bool) {
    let status = status_word(dashboard, job, brush.look.symbols);
    let word = if usize::from(at.width) < 2 + width(status.word) { status.short } else { status.word };
    let mark = if marked { "!" } else { "" };
    let parts = [(status.symbol, status.role), (" ", Role::Plain), (word, status.role), (mark, Role::Bad)];
    brush.parts(at, &parts);
}

fn progress_cell(brush: &mut Brush<'_>, at: Rect, progress: &Progress) {
    let Some(share) = words::share(progress) else {
        brush.text(at, brush.look.symbols.choose("–", "-"), Role::Dim);
        return;
    };
    let role = if progress.status == JobStatus::Completed { Role::Good } else { Role::Active };
    let bar = at.width.saturating_sub(5);
    if bar >= 4 {
        brush.bar(Rect { width: bar, ..at }, share, role);
    }
    brush.right(at, &percent(share), Role::Plain);
}

/// Pieces in few cells, with those that failed.
fn pieces(progress: &Progress, symbols: Symbols) -> String {
    let mut text = format!("{}/{}", short(progress.pieces_done), short(progress.pieces_total));
    if progress.pieces_failed > 0 {
        append!(text, " {}{}", symbols.choose("✗", "x"), short(progress.pieces_failed));
    }
    text
}

/// The status, or that the job has stalled.
pub(super) fn status_word(dashboard: &Dashboard, job: &JobView, symbols: Symbols) -> StatusWord {
    match dashboard.stalled_ms(job) {
        Some(_) => words::stalled(symbols),
        None => words::status(job, symbols),
    }
}

/// The time left, if it is known.
fn left(dashboard: &Dashboard, job: &JobView) -> (String, Role) {
    let runs = matches!(job.progress.status, JobStatus::Processing | JobStatus::Completing) && !job.paused;
    let meter = dashboard.meters.of(job.id).filter(|_| runs && dashboard.stalled_ms(job).is_none());
    let left = meter.and_then(|meter| meter.left_ms(job));
    (left.map(span).unwrap_or_default(), Role::Plain)
}

/// What is known of a job's time: what is left, for how long it stalls, or how long it ran and waited.
pub(super) fn note(dashboard: &Dashboard, job: &JobView) -> (String, Role) {
    if let Some(still) = dashboard.stalled_ms(job) {
        return (format!("for {}", span(still)), Role::Warn);
    }
    let (left, role) = left(dashboard, job);
    if !left.is_empty() {
        return (format!("{left} left"), role);
    }
    let (ran, waited) = (words::ran_ms(job), words::waited_ms(job, dashboard.server_now().as_millis()));
    let runs = !job.progress.status.is_terminal() && job.progress.status != JobStatus::PendingJob;
    let mut parts = Vec::new();
    if !runs && ran > 0 {
        parts.push(format!("ran {}", span(ran)));
    }
    if !runs && waited >= SHOWN_WAIT_MS {
        parts.push(format!("waited {}", span(waited)));
    }
    (parts.join(", "), Role::Dim)
}
