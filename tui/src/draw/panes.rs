//! The panes of a job: reasons of failures, piece map, stages, throughput, objects, definition.

use pinport_model::{
    FailureClass, JobStatus,
    view::{JobDetail, PieceRun, PieceState},
};
use ratatui::layout::Rect;

use super::{
    brush::{Brush, after, below, row},
    chart::Chart,
};
use crate::{
    hit::Zone,
    layout::{Pane, first_row},
    look::Role,
    state::{
        Dashboard,
        detail::{DEFINITION_ROWS, Detail, definition_rows},
    },
    text::{bytes, clip, clip_left, count, percent, short, width},
    words::{self, PIECE_STATES},
};

/// Cells of the bar before a reason.
const REASON_BAR: u16 = 10;

pub(super) fn draw(pane: Pane, dashboard: &Dashboard, detail: &Detail, brush: &mut Brush<'_>, area: Rect) {
    if let (Pane::Throughput, meter) = (pane, dashboard.meters.of(detail.job)) {
        match meter {
            Some(meter) => {
                let ended = dashboard.view_of(detail.job).filter(|job| job.progress.status.is_terminal());
                let figures = match ended {
                    Some(job) => ("on average", words::average(&job.progress)),
                    None => ("now", (meter.records().unwrap_or(0.0), meter.bytes().unwrap_or(0.0))),
                };
                let chart =
                    Chart { curve: &meter.curve, window: dashboard.window, ended: ended.is_some(), figures };
                chart.draw(brush, area);
            }
            None => {
                let status = dashboard.view_of(detail.job).map(|job| job.progress.status);
                let ended = status.is_some_and(JobStatus::is_terminal);
                let text = if ended { "it ended before this dashboard began" } else { "it has not begun" };
                brush.text(row(area, 0), text, Role::Dim);
            }
        }
        return;
    }
    let Some(view) = &detail.view else { return };
    match pane {
        Pane::Reasons => reasons(detail, view, brush, area),
        Pane::Pieces => pieces(detail, view, brush, area),
        Pane::Stages => stages(detail, brush, area),
        Pane::Objects => objects(detail, view, brush, area),
        Pane::Definition => definition(detail, view, brush, area),
        Pane::Throughput => {}
    }
}

fn reasons(detail: &Detail, view: &JobDetail, brush: &mut Brush<'_>, area: Rect) {
    let classes = detail.classes();
    if classes.is_empty() {
        let (text, role) = match (view.job.progress.failed, view.job.progress.parsed) {
            (0, 0) => ("no record has been read", Role::Dim),
            (0, _) => ("no record failed", Role::Good),
            _ => ("reasons are known when the first piece is committed", Role::Dim),
        };
        brush.text(row(area, 0), text, role);
        return;
    }
    let first = detail.row(Pane::Reasons).min(classes.len().saturating_sub(area.height.into()));
    let failed = view.job.progress.failed.max(1);
    let shown = || classes.iter().skip(first).take(area.height.into());
    let ranks = ReasonColumns::new(shown().copied(), area.width.into());
    for (line, class) in shown().enumerate() {
        class_row(brush, row(area, line), class, failed, ranks);
    }
}

/// The cells of a reason's name and of its place: the same in every row, so that they line up.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReasonColumns {
    name: usize,
    place: usize,
}

impl ReasonColumns {
    pub(super) fn new<'a>(classes: impl Iterator<Item = &'a FailureClass>, room: usize) -> Self {
        let (mut name, mut place) = (0, 0);
        for class in classes {
            name = name.max(width(&words::class(class)));
            place = place.max(width(words::example(class).1));
        }
        let name = name.min(room * 2 / 5);
        // A name of a file says less than what is wrong.
        let place = if room < 100 { 0 } else { place.min(room / 4) };
        Self { name, place }
    }
}

/// A reason: its count, a bar of its share of all failures, its name, and its first record.
pub(super) fn class_row(
    brush: &mut Brush<'_>,
    at: Rect,
    class: &FailureClass,
    failed: u64,
    columns: ReasonColumns,
) {
    let used = reason_head(brush, at, class.count, class.count as f64 / failed as f64);
    let symbols = brush.look.symbols;
    let (message, place) = words::example(class);
    let rest = after(at, used);
    brush.text(rest, &clip(&words::class(class), columns.name, symbols), Role::Plain);
    let rest = after(rest, columns.name + 2);
    let kept = if columns.place > 0 { columns.place + 2 } else { 0 };
    let room = usize::from(rest.width).saturating_sub(kept);
    brush.text(rest, &clip(message, room, symbols), Role::Dim);
    brush.text(after(rest, room + 2), &clip_left(place, columns.place, symbols), Role::Dim);
}

/// A count and a bar of a share. Returns the cells they take.
pub(super) fn reason_head(brush: &mut Brush<'_>, at: Rect, number: u64, share: f64) -> usize {
    brush.right(Rect { width: at.width.min(6), ..at }, &short(number), Role::Bad);
    if at.width < 60 {
        return 7;
    }
    brush.bar(Rect { width: REASON_BAR, ..after(at, 7) }, share, Role::Bad);
    8 + usize::from(REASON_BAR)
}

/// One cell for each piece if there is room, else one for several consecutive pieces.
fn pieces(detail: &Detail, view: &JobDetail, brush: &mut Brush<'_>, area: Rect) {
    let symbols = brush.look.symbols;
    let total: u64 = detail.pieces.iter().fold(0, |sum, count| sum.saturating_add(*count));
    if total == 0 {
        brush.text(row(area, 0), "no pieces are planned yet", Role::Dim);
        return;
    }
    let legend = row(area, usize::from(area.height.saturating_sub(1)));
    let map = Rect { height: area.height.saturating_sub(1), ..area };
    let cells = u64::from(map.width) * u64::from(map.height);
    let per_cell = total.div_ceil(cells.max(1)).max(1);
    let mut used = 0;
    let counted = PIECE_STATES.into_iter().zip(detail.pieces);
    // If the legend is cut, failures stay visible.
    let bad = |(state, _): &(PieceState, u64)| *state == PieceState::Failed;
    for (state, number) in counted.clone().filter(bad).chain(counted.filter(|state| !bad(state))) {
        if number > 0 {
            let (symbol, word, role) = words::piece(state, symbols);
            let text = format!(" {} {word}  ", count(number));
            used += brush.parts(after(legend, used), &[(symbol, role), (&text, Role::Plain)]);
        }
    }
    if per_cell > 1 {
        brush.text(after(legend, used), &format!("(a cell is {} pieces)", count(per_cell)), Role::Dim);
    }
    let shown = usize::try_from(total.div_ceil(per_cell).min(cells)).unwrap_or(usize::MAX);
    let mut runs = Runs::new(&view.pieces);
    for cell in 0..shown {
        let (symbol, _, role) = match runs.next(per_cell.min(total - cell as u64 * per_cell)) {
            CellState::All(state) => words::piece(state, symbols),
            CellState::PartlyDone => (symbols.choose("□", "o"), "", Role::Good),
        };
        let line = cell / usize::from(map.width.max(1));
        brush.cell(map, cell % usize::from(map.width.max(1)), line, symbol, role);
    }
}

/// Walks runs of pieces, a fixed number of pieces at a time.
struct Runs<'a> {
    runs: &'a [PieceRun],
    /// Pieces of the first run that were already taken.
    passed: u64,
}

/// What one cell shows for several pieces.
#[derive(Debug, PartialEq, Eq)]
enum CellState {
    /// All have this state, or it is the most important one.
    All(PieceState),
    /// Some are done, the others wait.
    PartlyDone,
}

impl<'a> Runs<'a> {
    fn new(runs: &'a [PieceRun]) -> Self {
        Self { runs, passed: 0 }
    }

    fn next(&mut self, mut pieces: u64) -> CellState {
        let mut seen = [false; 6];
        while pieces > 0 {
            let Some(run) = self.runs.first() else {
                // Pieces that are not listed yet wait.
                seen[PieceState::Waiting as usize] = true;
                break;
            };
            let step = (run.count - self.passed.min(run.count)).min(pieces);
            seen[run.state as usize] |= step > 0;
            pieces -= step;
            self.passed += step;
            if self.passed >= run.count {
                self.runs = &self.runs[1..];
                self.passed = 0;
            }
        }
        // A failure always shows; work in progress comes before finished work.
        let order = [PieceState::Failed, PieceState::Committing, PieceState::Parsing, PieceState::Reading];
        if let Some(state) = order.into_iter().find(|state| seen[*state as usize]) {
            return CellState::All(state);
        }
        match (seen[PieceState::Done as usize], seen[PieceState::Waiting as usize]) {
            (true, true) => CellState::PartlyDone,
            (true, false) => CellState::All(PieceState::Done),
            _ => CellState::All(PieceState::Waiting),
        }
    }
}

fn stages(detail: &Detail, brush: &mut Brush<'_>, area: Rect) {
    let sentence = detail.bottleneck().unwrap_or_else(|| "no stage has worked yet".into());
    brush.text(row(area, 0), &sentence, Role::Title);
    let area = below(area, 1);
    if usize::from(area.height) < detail.shares.len() {
        // One short row for all stages beats full rows for a few.
        let mut used = 0;
        for share in &detail.shares {
            let (name, busy) = (share.stage.as_str(), percent(share.busy));
            let busy = format!(" {busy}  ");
            used += brush.parts(after(row(area, 0), used), &[(name, Role::Dim), (&busy, Role::Plain)]);
        }
        return;
    }
    let first = detail.row(Pane::Stages).min(detail.shares.len().saturating_sub(area.height.into()));
    for (line, share) in detail.shares.iter().skip(first).take(area.height.into()).enumerate() {
        let at = row(area, line);
        brush.text(at, share.stage.as_str(), Role::Plain);
        brush.right(
            Rect { width: after(at, 7).width.min(4), ..after(at, 7) },
            &percent(share.busy),
            Role::Plain,
        );
        let threads =
            if share.threads == 0 { String::new() } else { words::plural(share.threads.into(), "thread") };
        let queue = if share.queue_limit == 0 {
            String::new()
        } else {
            format!("queue {}/{}", share.queued, share.queue_limit)
        };
        let words = format!("{threads:<10} {queue}");
        let words = words.trim_end();
        let rest = after(at, 12);
        let bar = usize::from(rest.width).saturating_sub(if words.is_empty() { 0 } else { 24 }).min(40);
        if bar >= 4 {
            let cells = u16::try_from(bar).unwrap_or(0);
            brush.bar(Rect { width: cells, ..rest }, share.busy, Role::Active);
            brush.text(after(rest, bar + 1), words, Role::Dim);
        } else {
            brush.text(rest, words, Role::Dim);
        }
    }
}

fn objects(detail: &Detail, view: &JobDetail, brush: &mut Brush<'_>, area: Rect) {
    if view.objects.is_empty() {
        brush.text(row(area, 0), "no objects are listed yet", Role::Dim);
        return;
    }
    let symbols = brush.look.symbols;
    let ended = view.job.progress.status.is_terminal();
    let first = detail.row(Pane::Objects).min(view.objects.len().saturating_sub(area.height.into()));
    for (line, object) in view.objects.iter().skip(first).take(area.height.into()).enumerate() {
        let at = row(area, line);
        let tally = &object.tally;
        let (symbol, role, text) = if let Some(reason) = &object.skipped {
            ("-", Role::Dim, format!("skipped: {reason}"))
        } else if tally.complete {
            let text = format!("{} read, {} failed", count(tally.read), count(tally.failed));
            (symbols.choose("✓", "+"), Role::Good, text)
        } else if tally.bytes > 0 {
            // A compressed object decodes to more bytes than its size.
            let packed =
                PACKED.iter().any(|ending| object.name.ends_with(ending)) || tally.bytes > object.size;
            let share = tally.bytes as f64 / object.size.max(1) as f64;
            let share = if packed { String::new() } else { format!("{}, ", percent(share)) };
            let text = format!("{share}{} read, {} failed", count(tally.read), count(tally.failed));
            // The job failed or was cancelled.
            let (symbol, role) = if ended { ("■", Role::Dim) } else { ("▶", Role::Active) };
            (symbols.choose(symbol, ">"), role, text)
        } else {
            (symbols.choose("·", "."), Role::Dim, if ended { "not read" } else { "waiting" }.to_owned())
        };
        let text = format!("{}  {text}", bytes(object.size));
        brush.text(at, symbol, role);
        let room = usize::from(at.width).saturating_sub(2);
        let figures = if width(&text) + 12 <= room { text } else { String::new() };
        let name_room = room.saturating_sub(width(&figures) + usize::from(!figures.is_empty()));
        let name = clip_left(&object.name, name_room, symbols);
        brush.text(after(at, 2), &name, Role::Plain);
        brush.right(after(at, 2), &figures, if tally.failed > 0 { Role::Bad } else { Role::Dim });
    }
}

/// Suffixes of compressed objects.
const PACKED: [&str; 4] = [".gz", ".zst", ".bz2", ".xz"];

fn definition(detail: &Detail, view: &JobDetail, brush: &mut Brush<'_>, area: Rect) {
    let (job, definition) = (&view.job, &view.definition);
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let or_none = |text: Option<&str>| text.unwrap_or("none").to_owned();
    let budget = definition.max_failures.map(|budget| match budget {
        pinport_model::job::FailureBudget::Count(most) => count(most),
        pinport_model::job::FailureBudget::Percent(share) => format!("{share}%"),
    });
    let rows: [(&str, String); DEFINITION_ROWS] = [
        ("job", job.id.to_string()),
        ("source", definition.source_text.clone()),
        ("format", definition.format.to_string()),
        ("application", format!("{} ({})", job.application_name, job.application)),
        ("segment", or_none(definition.segment_name.as_deref().or(job.segment_name.as_deref()))),
        ("segment id", or_none(definition.segment.map(|id| id.to_string()).as_deref())),
        ("register", yes(definition.register_endpoints)),
        ("max failures", or_none(budget.as_deref())),
        ("piece size", bytes(definition.piece_bytes)),
        ("role", or_none(definition.role_arn.as_deref())),
        ("external id", or_none(definition.external_id.as_deref())),
        ("created", job.created.to_string()),
        ("completed", or_none(job.completed.map(|time| time.to_string()).as_deref())),
    ];
    let lost = view.lost.iter().map(|lost| ("lost", lost.to_string(), Role::Warn));
    let warnings = view.warnings.iter().map(|text| ("warning", text.clone(), Role::Warn));
    let notices = view
        .notices
        .iter()
        .map(|notice| ("note", format!("{notice} ({})", count(notice.count)), Role::Plain));
    // They come first: the definition is already known.
    let retry = definition.retry_of.map(|job| ("retry of", job.to_string(), Role::Plain));
    let rows = lost
        .chain(retry)
        .chain(warnings)
        .chain(notices)
        .chain(rows.into_iter().map(|(name, text)| (name, text, Role::Plain)));
    let total = definition_rows(view);
    let first = detail.row(Pane::Definition).min(total.saturating_sub(area.height.into()));
    for (line, (name, text, role)) in rows.skip(first).take(area.height.into()).enumerate() {
        let at = row(area, line);
        brush.text(at, name, if role == Role::Warn { Role::Warn } else { Role::Dim });
        brush.text(after(at, 13), &text, Role::Plain);
    }
}

/// A list with one selected row. Draws only the visible rows.
pub(super) fn list(
    brush: &mut Brush<'_>,
    area: Rect,
    rows: usize,
    selected: usize,
    mut draw: impl FnMut(&mut Brush<'_>, Rect, usize),
) {
    let first = first_row(selected, rows, area.height.into());
    for line in 0..usize::from(area.height).min(rows.saturating_sub(first)) {
        let at = row(area, line);
        draw(brush, at, first + line);
        brush.zones.push((at, Zone::Row(first + line)));
        if first + line == selected {
            brush.select(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_for_several_pieces_shows_what_matters() {
        use PieceState::*;
        let run = |state, count| PieceRun { state, count };
        let runs =
            [run(Done, 5), run(Failed, 1), run(Done, 2), run(Reading, 1), run(Waiting, 0), run(Done, 3)];
        let cells = |per_cell, number: usize| {
            let mut runs = Runs::new(&runs);
            (0..number).map(|_| runs.next(per_cell)).collect::<Vec<_>>()
        };
        use CellState::*;
        assert_eq!(cells(4, 4), [All(Done), All(Failed), All(Reading), All(Waiting)]);
        assert_eq!(cells(8, 2), [All(Failed), All(Reading)]);
        assert_eq!(cells(1, 7)[4..], [All(Done), All(Failed), All(Done)]);
        let mut rest = Runs::new(&runs[5..]);
        assert_eq!(rest.next(4), PartlyDone);
    }
}
