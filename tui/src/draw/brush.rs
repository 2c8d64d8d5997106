//! Puts text and bars into a frame: only this file writes cells, and it clips to the area.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
    widgets::{Block, Clear, Widget},
};

use crate::{
    hit::Zone,
    look::{Look, Role},
    text::{clip, width},
};

/// A buffer with the look to draw in.
pub(crate) struct Brush<'a> {
    buffer: &'a mut Buffer,
    pub(crate) look: Look,
    /// What the mouse finds where.
    pub(crate) zones: Vec<(Rect, Zone)>,
}

/// One row of an area.
pub(crate) fn row(area: Rect, index: usize) -> Rect {
    let index = u16::try_from(index).unwrap_or(u16::MAX);
    if index >= area.height {
        return Rect { height: 0, width: 0, ..area };
    }
    Rect { y: area.y.saturating_add(index), height: 1, ..area }
}

/// The part of an area to the right of its first `cells`.
pub(crate) fn after(area: Rect, cells: usize) -> Rect {
    let cells = u16::try_from(cells).unwrap_or(u16::MAX).min(area.width);
    Rect { x: area.x.saturating_add(cells), width: area.width - cells, ..area }
}

/// The part of an area below its first `rows`.
pub(crate) fn below(area: Rect, rows: usize) -> Rect {
    let rows = u16::try_from(rows).unwrap_or(u16::MAX).min(area.height);
    Rect { y: area.y.saturating_add(rows), height: area.height - rows, ..area }
}

impl<'a> Brush<'a> {
    pub(crate) fn new(buffer: &'a mut Buffer, look: Look) -> Self {
        Self { buffer, look, zones: Vec::new() }
    }

    /// Writes text at the start of the area's first row. Returns the cells it took.
    pub(crate) fn text(&mut self, area: Rect, text: &str, role: Role) -> usize {
        self.styled(area, text, self.look.style(role))
    }

    pub(crate) fn styled(&mut self, area: Rect, text: &str, style: Style) -> usize {
        let area = area.intersection(self.buffer.area);
        if area.is_empty() {
            return 0;
        }
        let text = clip(text, area.width.into(), self.look.symbols);
        self.buffer.set_stringn(area.x, area.y, &text, area.width.into(), style);
        width(&text)
    }

    /// Writes text at the end of the area's first row.
    pub(crate) fn right(&mut self, area: Rect, text: &str, role: Role) {
        let cells = width(text).min(area.width.into());
        self.text(after(area, usize::from(area.width) - cells), text, role);
    }

    /// Writes parts one after the other.
    pub(crate) fn parts(&mut self, area: Rect, parts: &[(&str, Role)]) -> usize {
        let mut used = 0;
        for (text, role) in parts {
            used += self.text(after(area, used), text, *role);
        }
        used
    }

    /// Dims an area: what stands there may no longer be true.
    pub(crate) fn dim(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        self.buffer.set_style(area, self.look.style(Role::Dim));
    }

    /// Marks a row as selected: one background, on which every cell reads.
    pub(crate) fn select(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        for position in area.positions() {
            if let Some(cell) = self.buffer.cell_mut(position) {
                let colour = Some(cell.fg).filter(|colour| *colour != Color::Reset);
                let style = Style { fg: colour, add_modifier: cell.modifier, ..Style::new() };
                let style = self.look.selected(style);
                cell.modifier = style.add_modifier;
                cell.fg = style.fg.unwrap_or_default();
                cell.bg = style.bg.unwrap_or_default();
            }
        }
    }

    /// Paints the theme's background behind what has none, and its colour on text that has none.
    pub(crate) fn ground(&mut self) {
        let Some((text, ground)) = self.look.ground() else { return };
        for cell in &mut self.buffer.content {
            if cell.bg == Color::Reset && !cell.modifier.contains(Modifier::REVERSED) {
                cell.bg = ground;
                if let (Color::Reset, Some(text)) = (cell.fg, text) {
                    cell.fg = text;
                }
            }
        }
    }

    /// Draws a widget of ratatui's, clipped to the buffer.
    pub(crate) fn widget(&mut self, widget: impl Widget, area: Rect) {
        let area = area.intersection(self.buffer.area);
        if !area.is_empty() {
            widget.render(area, self.buffer);
        }
    }

    /// A bar that is filled to `share`.
    pub(crate) fn bar(&mut self, area: Rect, share: f64, role: Role) {
        let area = row(area, 0).intersection(self.buffer.area);
        let parts = self.look.symbols.horizontal_parts();
        let steps = parts.len() - 1;
        let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        let filled = (share * f64::from(area.width) * steps as f64).floor() as usize;
        for column in 0..usize::from(area.width) {
            let part = filled.saturating_sub(column * steps).min(steps);
            let (symbol, role) =
                if part == 0 { (self.look.symbols.track(), Role::Dim) } else { (parts[part], role) };
            self.cell(area, column, 0, symbol, role);
        }
    }

    /// Columns whose heights are shares of `most`. NaN stands for what is not known.
    pub(crate) fn columns(&mut self, area: Rect, values: &[f64], most: f64, role: Role) {
        let area = area.intersection(self.buffer.area);
        let parts = self.look.symbols.vertical_parts();
        let steps = parts.len() - 1;
        let full = usize::from(area.height) * steps;
        for (column, value) in values.iter().enumerate().take(area.width.into()) {
            if value.is_nan() {
                for line in 0..usize::from(area.height) {
                    self.cell(area, column, line, self.look.symbols.unknown(), Role::Dim);
                }
                continue;
            }
            let share = if most > 0.0 { (value / most).clamp(0.0, 1.0) } else { 0.0 };
            // A small value still shows.
            let filled = ((share * full as f64).round() as usize).max(usize::from(*value > 0.0));
            for line in 0..usize::from(area.height) {
                let from_bottom = usize::from(area.height) - 1 - line;
                let part = filled.saturating_sub(from_bottom * steps).min(steps);
                if part > 0 {
                    self.cell(area, column, line, parts[part], role);
                }
            }
        }
    }

    /// One cell of an area.
    pub(crate) fn cell(&mut self, area: Rect, column: usize, line: usize, symbol: &str, role: Role) {
        let style = self.look.style(role);
        let at = row(after(area, column), line);
        if at.is_empty() {
            return;
        }
        if let Some(cell) = self.buffer.cell_mut((at.x, at.y)) {
            cell.set_symbol(symbol).set_style(style);
        }
    }

    /// Frames an area, or only writes a title above it where space is scarce. Returns the inner area.
    pub(crate) fn pane(&mut self, area: Rect, title: &str, focus: bool, borders: bool) -> Rect {
        let area = area.intersection(self.buffer.area);
        let role = if focus { Role::Key } else { Role::Title };
        if borders {
            let edge = if focus { Role::Active } else { Role::Dim };
            let block =
                Block::bordered().border_set(self.look.symbols.border()).border_style(self.look.style(edge));
            let inner = block.inner(area);
            block.render(area, self.buffer);
            let title_area = Rect { width: after(area, 2).width.saturating_sub(2), ..row(after(area, 2), 0) };
            let mark = if focus { self.look.symbols.selected() } else { "" };
            self.text(title_area, &format!(" {mark}{title} "), role);
            return inner;
        }
        let mark = if focus { self.look.symbols.selected() } else { self.look.symbols.horizontal() };
        let used = self.text(row(area, 0), &format!("{mark} {title} "), role);
        let rule = self.look.symbols.horizontal().repeat(usize::from(area.width).saturating_sub(used));
        self.text(after(row(area, 0), used), &rule, Role::Dim);
        below(area, 1)
    }

    /// An empty box over what was drawn before.
    pub(crate) fn overlay(&mut self, area: Rect, title: &str) -> Rect {
        let area = area.intersection(self.buffer.area);
        Clear.render(area, self.buffer);
        if area.width < 24 || area.height < 5 {
            return self.pane(area, title, true, false);
        }
        let inner = self.pane(area, title, true, true);
        // An empty cell on both sides.
        Rect { width: inner.width.saturating_sub(2), ..after(inner, 1) }
    }
}
