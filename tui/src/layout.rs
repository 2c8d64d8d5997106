//! Chooses the panes and columns that fit, by importance. Borders are dropped before content, and every size
//! works. All arithmetic saturates, because a size may be anything.

use ratatui::layout::{Constraint, Layout, Rect};

/// From here on panes have borders.
const BORDERS_FROM: (u16, u16) = (60, 20);
/// Cells that are left for bars and longer texts before the time that a job ran is shown.
const BAR: u16 = 30;
/// From here on the panes of a job stand in two columns.
const TWO_COLUMNS_FROM: (u16, u16) = (110, 24);

/// A column of the overview, in the order of display.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Id,
    Application,
    Source,
    Status,
    Progress,
    /// Records a second over the last minute, as a sparkline.
    Trend,
    Pieces,
    Rows,
    Bytes,
    Failures,
    Age,
    Ran,
    Left,
}

impl Column {
    pub(crate) const ALL: [Self; 13] = [
        Self::Id,
        Self::Application,
        Self::Source,
        Self::Status,
        Self::Progress,
        Self::Trend,
        Self::Pieces,
        Self::Rows,
        Self::Bytes,
        Self::Failures,
        Self::Age,
        Self::Ran,
        Self::Left,
    ];

    /// From the most to the least important.
    const BY_IMPORTANCE: [Self; 13] = [
        Self::Status,
        Self::Progress,
        Self::Source,
        Self::Failures,
        Self::Rows,
        Self::Left,
        Self::Application,
        Self::Id,
        Self::Bytes,
        Self::Pieces,
        Self::Trend,
        Self::Age,
        Self::Ran,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Id => "JOB",
            Self::Application => "APPLICATION",
            Self::Source => "SOURCE",
            Self::Status => "STATUS",
            Self::Progress => "DONE",
            Self::Trend => "TREND",
            Self::Pieces => "PIECES",
            Self::Rows => "ROWS/S",
            Self::Bytes => "MB/S",
            Self::Failures => "FAILED",
            Self::Age => "AGE",
            Self::Ran => "RAN",
            Self::Left => "LEFT",
        }
    }

    pub(crate) fn is_number(self) -> bool {
        matches!(
            self,
            Self::Pieces | Self::Rows | Self::Bytes | Self::Failures | Self::Age | Self::Ran | Self::Left
        )
    }

    /// Its smallest useful width.
    fn least(self) -> u16 {
        match self {
            Self::Status => 7,
            Self::Progress => 4,
            Self::Failures => 6,
            Self::Source | Self::Trend => 8,
            Self::Rows => 6,
            Self::Left => 6,
            Self::Application => 11,
            Self::Id => 8,
            Self::Bytes => 6,
            Self::Pieces => 11,
            Self::Age | Self::Ran => 6,
        }
    }

    /// Its largest useful width.
    fn most(self) -> u16 {
        match self {
            Self::Status => 12,
            Self::Progress => 20,
            Self::Trend => 24,
            Self::Failures => 6,
            Self::Application => 24,
            Self::Pieces => 15,
            // The remaining width.
            Self::Source => u16::MAX,
            Self::Rows | Self::Id | Self::Bytes | Self::Age | Self::Ran | Self::Left => self.least(),
        }
    }
}

/// The columns that fit into a width, in the order of display, with their widths; one cell lies between two. `content`
/// gives the cells that a column of names needs; the others have a fixed need.
pub(crate) fn columns(width: u16, content: impl Fn(Column) -> u16) -> Vec<(Column, u16)> {
    let mut chosen: Vec<Column> = Vec::new();
    let mut used = 0_u16;
    for column in Column::BY_IMPORTANCE {
        let gap = u16::from(!chosen.is_empty());
        // Bars and names say more than times.
        let cost = column.least() + gap;
        let spare = match column {
            Column::Ran => BAR,
            Column::Age => BAR / 3,
            _ => 0,
        };
        if used + cost + spare > width && spare > 0 {
            continue;
        }
        if used + cost > width {
            // A source that is cut is better than none.
            if column == Column::Source && width.saturating_sub(used) >= 4 {
                chosen.push(column);
                used = width;
            }
            break;
        }
        used += cost;
        chosen.push(column);
    }
    if chosen.is_empty() {
        return vec![(Column::Status, width)];
    }
    // What the names need, and no more: the rest is for others.
    let need = |column: Column| match column {
        Column::Application | Column::Pieces | Column::Source => {
            let title = u16::try_from(column.title().len()).unwrap_or(u16::MAX);
            content(column).max(title).min(column.most())
        }
        column => column.most(),
    };
    let mut widths: Vec<(Column, u16)> = Column::ALL
        .into_iter()
        .filter(|column| chosen.contains(column))
        .map(|column| (column, column.least().min(need(column))))
        .collect();
    let others: u16 =
        widths.iter().filter(|(column, _)| *column != Column::Source).map(|(_, width)| width + 1).sum();
    if used == width && chosen.last() == Some(&Column::Source) {
        widths.iter_mut().filter(|(column, _)| *column == Column::Source).for_each(|(_, cells)| {
            *cells = (*cells).min(width.saturating_sub(others));
        });
    }
    let gaps = u16::try_from(widths.len()).unwrap_or(u16::MAX).saturating_sub(1);
    let mut room = width.saturating_sub(widths.iter().map(|(_, width)| width).sum::<u16>() + gaps);
    // The source first gets enough to be recognised, then the others their need, then the source the whole name. What
    // is left makes bars and sparklines longer, and the last of it keeps the table as wide as the screen.
    let mut grow = |column: Column, most: u16| {
        if let Some((_, width)) = widths.iter_mut().find(|(known, _)| *known == column) {
            let more = most.saturating_sub(*width).min(room);
            *width += more;
            room -= more;
        }
    };
    grow(Column::Source, need(Column::Source).min(14));
    grow(Column::Status, need(Column::Status));
    grow(Column::Application, need(Column::Application).min(12));
    grow(Column::Source, need(Column::Source).min(18));
    grow(Column::Progress, 10);
    grow(Column::Source, need(Column::Source).min(24));
    for column in Column::BY_IMPORTANCE {
        match column {
            Column::Source => {}
            Column::Progress | Column::Trend => grow(column, need(column).min(14)),
            column => grow(column, need(column)),
        }
    }
    grow(Column::Source, need(Column::Source));
    grow(Column::Progress, need(Column::Progress));
    grow(Column::Trend, 60);
    grow(Column::Source, u16::MAX);
    widths
}

/// The rows of every screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) header: Rect,
    pub(crate) body: Rect,
    pub(crate) footer: Rect,
}

/// Header, body and footer. The header goes last: it says whether the numbers are true.
pub(crate) fn frame(area: Rect) -> Frame {
    let header = u16::from(area.height >= 2);
    let footer = u16::from(area.height >= 5);
    let [header, body, footer] =
        Layout::vertical([Constraint::Length(header), Constraint::Fill(1), Constraint::Length(footer)])
            .areas(area);
    Frame { header, body, footer }
}

/// Whether panes have borders.
pub(crate) fn has_borders(area: Rect) -> bool {
    area.width >= BORDERS_FROM.0 && area.height >= BORDERS_FROM.1
}

/// The overview: the totals, the throughput chart, the table, and below it the selected job and the last events
/// where the table leaves room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overview {
    pub(crate) totals: Rect,
    pub(crate) chart: Rect,
    pub(crate) table: Rect,
    pub(crate) selected: Rect,
    pub(crate) events: Rect,
}

/// The rows that the panes below the table get at most.
const STRIP: u16 = 7;
/// From this width on both of them are there.
const EVENTS_FROM: u16 = 100;

/// `rows` is what the table can use; a server that has done nothing has no chart.
pub(crate) fn overview(body: Rect, rows: usize, has_chart: bool) -> Overview {
    let totals = u16::from(body.height >= 6);
    let chart = match body.height {
        0..16 => 0,
        16..24 => 6,
        24..36 => 6,
        _ => 9,
    };
    let chart = if body.width < 30 || !has_chart { 0 } else { chart };
    let rows = u16::try_from(rows).unwrap_or(u16::MAX);
    let left = body.height.saturating_sub(totals).saturating_sub(chart).saturating_sub(rows);
    let strip = if left >= 4 && body.width >= BORDERS_FROM.0 { left.min(STRIP) } else { 0 };
    // A higher chart shows more, up to a point.
    let chart = if chart == 0 { 0 } else { (chart + (left - strip) / 2).min(14) };
    let [totals, chart, table, strip] = Layout::vertical([
        Constraint::Length(totals),
        Constraint::Length(chart),
        Constraint::Fill(1),
        Constraint::Length(strip),
    ])
    .areas(body);
    let events = if body.width >= EVENTS_FROM { body.width * 2 / 5 } else { 0 };
    let [selected, events] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(events)]).areas(strip);
    Overview { totals, chart, table, selected, events }
}

/// A pane of a job's screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pane {
    Reasons,
    Pieces,
    Stages,
    Throughput,
    Objects,
    Definition,
}

impl Pane {
    /// From the most to the least important, which is also the order of Tab.
    pub(crate) const ALL: [Self; 6] =
        [Self::Reasons, Self::Pieces, Self::Stages, Self::Throughput, Self::Objects, Self::Definition];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Reasons => "failures",
            Self::Pieces => "pieces",
            Self::Stages => "stages",
            Self::Throughput => "throughput",
            Self::Objects => "objects",
            Self::Definition => "definition",
        }
    }

    /// The fewest rows of content that it is useful with.
    fn least(self) -> u16 {
        match self {
            Self::Throughput => 3,
            Self::Pieces | Self::Reasons | Self::Stages | Self::Objects | Self::Definition => 2,
        }
    }

    /// Rows of content that it gets before others have theirs.
    fn most(self) -> u16 {
        match self {
            Self::Reasons | Self::Objects => 12,
            Self::Pieces => 9,
            Self::Stages => u16::MAX,
            Self::Throughput => 8,
            Self::Definition => 16,
        }
    }

    fn is_left(self) -> bool {
        matches!(self, Self::Pieces | Self::Stages | Self::Throughput)
    }
}

/// Where the panes of a job are; those that there is no room for are missing.
pub(crate) struct Detail {
    pub(crate) summary: Rect,
    pub(crate) panes: Vec<(Pane, Rect)>,
}

/// The width of a pane of a job's screen.
pub(crate) fn pane_width(body: Rect) -> u16 {
    if has_two_columns(body) { body.width / 2 } else { body.width }
}

fn has_two_columns(body: Rect) -> bool {
    body.width >= TWO_COLUMNS_FROM.0 && body.height >= TWO_COLUMNS_FROM.1
}

/// Lays a job's screen out. The focused pane is always visible; `rows` gives the rows of content that each
/// pane has.
pub(crate) fn detail(body: Rect, focus: Pane, borders: bool, rows: impl Fn(Pane) -> u16) -> Detail {
    let summary = match body.height {
        0..3 => body.height,
        3..8 => 2,
        8..14 => 3,
        _ => 4,
    };
    let [summary, rest] = Layout::vertical([Constraint::Length(summary), Constraint::Fill(1)]).areas(body);
    let mut panes = Vec::new();
    if has_two_columns(body) {
        let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(rest);
        for (area, is_left) in [(left, true), (right, false)] {
            let column: Vec<Pane> = Pane::ALL.into_iter().filter(|pane| pane.is_left() == is_left).collect();
            stack(area, &column, focus, borders, &rows, &mut panes);
        }
    } else {
        stack(rest, &Pane::ALL, focus, borders, &rows, &mut panes);
    }
    Detail { summary, panes }
}

/// Puts as many panes as fit below each other: the focus first, then by importance; what is left goes to those
/// that have rows for it, and the last of it to the chart, which is the better for being higher.
fn stack(
    area: Rect,
    panes: &[Pane],
    focus: Pane,
    borders: bool,
    rows: &impl Fn(Pane) -> u16,
    placed: &mut Vec<(Pane, Rect)>,
) {
    // Without borders a title takes one row.
    let extra = if borders { 2 } else { 1 };
    let mut order: Vec<Pane> = panes.to_vec();
    order.sort_by_key(|pane| *pane != focus);
    let mut heights: Vec<(Pane, u16)> = Vec::new();
    let mut room = area.height;
    for pane in order {
        let need = pane.least() + extra;
        if need <= room {
            room -= need;
            heights.push((pane, need));
        } else if heights.is_empty() && room > 0 {
            heights.push((pane, room));
            room = 0;
        }
    }
    for (pane, height) in &mut heights {
        let wanted = rows(*pane).min(pane.most());
        let wish = wanted.saturating_add(extra).saturating_sub(*height);
        // Some of the stages say no more than all of them in one row.
        let more = if *pane == Pane::Stages && wish > room { 0 } else { wish.min(room) };
        *height += more;
        room -= more;
    }
    // The one that is looked at is shown whole if it can be.
    let mut grow = |wanted: Pane, all: bool| {
        if let Some((pane, height)) = heights.iter_mut().find(|(pane, _)| *pane == wanted) {
            let wish = rows(*pane).saturating_add(extra).saturating_sub(*height);
            let more = if all { room } else { wish.min(room) };
            *height += more;
            room -= more;
        }
    };
    grow(focus, false);
    grow(Pane::Throughput, rows(Pane::Throughput) > 1);
    for pane in panes.iter().rev() {
        grow(*pane, false);
    }
    if let Some((_, height)) = heights.last_mut() {
        *height += room;
    }
    let mut y = area.y;
    for pane in panes {
        if let Some((_, height)) = heights.iter().find(|(known, _)| known == pane) {
            placed.push((*pane, Rect { y, height: *height, ..area }));
            y = y.saturating_add(*height);
        }
    }
}

/// A box of at most this size in the middle of the screen.
pub(crate) fn middle(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    let x = area.x.saturating_add(area.width.saturating_sub(width) / 2);
    let y = area.y.saturating_add(area.height.saturating_sub(height) / 2);
    Rect { x, y, width, height }
}

/// The first row that is shown of a list, so that the selected one is in the middle where it can be.
pub(crate) fn first_row(selected: usize, rows: usize, height: usize) -> usize {
    selected.saturating_sub(height / 2).min(rows.saturating_sub(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_never_take_more_than_there_is() {
        for width in 0..300 {
            let columns = columns(width, |_| 12);
            let used: u16 = columns.iter().map(|(_, width)| width).sum::<u16>() + columns.len() as u16 - 1;
            assert!(used <= width, "{width}: {columns:?}");
            assert!(columns.iter().any(|(column, _)| *column == Column::Status));
        }
        assert_eq!(columns(200, |_| 12).len(), Column::ALL.len());
    }

    #[test]
    fn columns_go_by_importance() {
        let names =
            |width| columns(width, |_| 99).into_iter().map(|(column, _)| column.title()).collect::<Vec<_>>();
        assert_eq!(names(20), ["SOURCE", "STATUS", "DONE"]);
        assert_eq!(names(40), ["SOURCE", "STATUS", "DONE", "ROWS/S", "FAILED"]);
        assert_eq!(names(80).len(), 9);
    }

    #[test]
    fn names_are_whole_where_there_is_room() {
        let need = |column| if column == Column::Source { 40 } else { 11 };
        for width in [112, 120, 160, 240] {
            let columns = columns(width, need);
            let of = |wanted| columns.iter().find(|(column, _)| *column == wanted).map(|(_, width)| *width);
            assert_eq!(of(Column::Application), Some(11), "{width}");
            assert!(of(Column::Trend).is_some(), "{width}");
            let used: u16 = columns.iter().map(|(_, width)| width).sum::<u16>() + columns.len() as u16 - 1;
            assert_eq!(used, width, "all of the width is used");
        }
        let columns = columns(170, need);
        assert!(columns.iter().any(|(column, width)| *column == Column::Source && *width >= 40));
    }

    #[test]
    fn the_pane_with_the_focus_is_always_there_and_none_is_outside() {
        for (width, height) in (0..60).flat_map(|height| [(20, height), (80, height), (160, height)]) {
            let body = Rect::new(3, 2, width, height);
            for focus in Pane::ALL {
                for borders in [false, true] {
                    let detail = detail(body, focus, borders, |_| 7);
                    let used: u32 = detail.panes.iter().map(|(_, area)| area.area()).sum();
                    assert!(used <= body.area());
                    assert!(detail.panes.iter().all(|(_, area)| body.union(*area) == body));
                    if height > 2 {
                        assert!(
                            detail.panes.iter().any(|(pane, _)| *pane == focus),
                            "{width}x{height} {focus:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_selected_row_is_shown() {
        for rows in 0..30 {
            for height in 1..12 {
                for selected in 0..rows {
                    let first = first_row(selected, rows, height);
                    assert!((first..first + height).contains(&selected));
                    assert!(first + height <= rows.max(height));
                }
            }
        }
    }
}
