//! Charts of records a second, with a scale, a time axis, and the failures over them.

use pinport_model::history::{Curve, History};
use ratatui::{
    layout::Rect,
    symbols::Marker,
    widgets::canvas::{Canvas, Line},
};

use super::brush::{Brush, after, below, row};
use crate::{
    look::{Role, Symbols},
    state::window::Window,
    text::{append, count, megabytes, short, span, width},
};

/// From this size on a chart has a scale and a time axis.
const AXES_FROM: (u16, u16) = (24, 3);
/// Cells of the scale's numbers.
const SCALE: u16 = 5;

/// What is charted.
pub(super) struct Chart<'a> {
    pub(super) curve: &'a Curve,
    pub(super) window: Window,
    /// Whether the newest point is the end of a job, not now.
    pub(super) ended: bool,
    /// What the figures are called, and records and bytes a second.
    pub(super) figures: (&'static str, (f64, f64)),
}

/// The part of a history that a chart shows.
struct Shown<'a> {
    history: &'a History,
    from: i64,
    to: i64,
}

impl Chart<'_> {
    fn shown(&self) -> Option<Shown<'_>> {
        let whole = &self.curve.whole;
        let (first, to) = (whole.oldest()?.time.as_millis(), whole.newest()?.time.as_millis());
        Some(match self.window.millis() {
            None => Shown { history: whole, from: first, to },
            Some(millis) => {
                let from = to.saturating_sub(millis);
                // Both are exact; the one with closer points shows more.
                let history = if self.curve.late.span_ms() > 0 { &self.curve.late } else { whole };
                Shown { history, from, to }
            }
        })
    }

    pub(super) fn draw(&self, brush: &mut Brush<'_>, area: Rect) {
        let shown = self.shown().filter(|shown| shown.history.span_ms() > 0);
        let Some(shown) = shown else {
            brush.text(row(area, 0), "two samples make a chart", Role::Dim);
            return;
        };
        let symbols = brush.look.symbols;
        let plot = below(area, 1);
        let axes = plot.width >= AXES_FROM.0 && plot.height >= AXES_FROM.1;
        let canvas = if axes {
            let right = after(plot, usize::from(SCALE) + 1);
            Rect { height: right.height - 1, ..right }
        } else {
            plot
        };
        let dots = if symbols == Symbols::Unicode { 2 } else { 1 };
        let columns = usize::from(canvas.width) * dots;
        let rates = shown.history.rates_between(shown.from, shown.to, columns, |point| point.records);
        let most = match shown.history.peak_since(shown.from, |point| point.records) {
            // The time that is shown is too short for a peak.
            0.0 => rates.iter().copied().fold(0.0, f64::max),
            peak => peak,
        };
        self.caption(brush, row(area, 0), &shown, most);
        // Before the first point there was nothing; in a gap nothing is known.
        let begun = shown.history.oldest().map_or(0, |point| point.time.as_millis());
        let step = (shown.to - shown.from) as f64 / columns.max(1) as f64;
        let before = ((begun - shown.from) as f64 / step).ceil().clamp(0.0, columns as f64) as usize;
        match symbols {
            Symbols::Unicode => braille(brush, canvas, &rates, before, most),
            Symbols::Console | Symbols::Ascii => {
                brush.columns(after(canvas, before), rates.get(before..).unwrap_or(&[]), most, Role::Active);
            }
        }
        failures(brush, canvas, &shown, most);
        if axes {
            self.scale(brush, plot, canvas, most);
            self.times(brush, plot, canvas, &shown);
        }
    }

    fn caption(&self, brush: &mut Brush<'_>, area: Rect, shown: &Shown<'_>, most: f64) {
        let (word, (rows, bytes)) = self.figures;
        let over = (shown.to - shown.from).min(self.curve.whole.span_ms());
        let mut text = format!(
            "rows/s over {}: at most {}, {word} {}, {} MB/s",
            span(over),
            count(most as u64),
            count(rows as u64),
            megabytes(bytes),
        );
        let failed = shown.history.rates_between(shown.from, shown.to, 1, |point| point.failed);
        let used = if failed.first().is_some_and(|rate| *rate > 0.0) {
            text.push_str("  ");
            brush.text(area, &text, Role::Dim)
        } else {
            brush.text(area, &text, Role::Dim);
            return;
        };
        let mark = brush.look.symbols.failure();
        let mut legend = format!("{mark} failed");
        if width(&legend) + used > usize::from(area.width) {
            return;
        }
        let peak = shown.history.peak_since(shown.from, |point| point.failed);
        if peak >= 1.0 {
            append!(legend, ", at most {}", count(peak as u64));
        }
        brush.text(after(area, used), &legend, Role::Bad);
    }

    /// The numbers on the left: the most, the half and none.
    fn scale(&self, brush: &mut Brush<'_>, plot: Rect, canvas: Rect, most: f64) {
        let symbols = brush.look.symbols;
        let last = usize::from(canvas.height) - 1;
        for line in 0..=last {
            let value = match line {
                0 => Some(most),
                line if line == last => Some(0.0),
                line if last >= 4 && line * 2 == last => Some(most / 2.0),
                _ => None,
            };
            let at = Rect { width: SCALE, ..row(plot, line) };
            brush.right(at, &value.map(|value| short(value as u64)).unwrap_or_default(), Role::Dim);
            let edge = symbols.scale(value.is_some());
            brush.text(after(row(plot, line), SCALE.into()), edge, Role::Dim);
        }
    }

    /// The times below: of a running job back from now, of an ended one from its begin.
    fn times(&self, brush: &mut Brush<'_>, plot: Rect, canvas: Rect, shown: &Shown<'_>) {
        let at = Rect { width: canvas.width, x: canvas.x, ..row(plot, usize::from(canvas.height)) };
        let length = shown.to - shown.from;
        let origin = self.curve.whole.oldest().map_or(shown.from, |point| point.time.as_millis());
        let label = |part: i64| {
            let time = shown.from + length * part / 4;
            match self.ended {
                true if time < origin => String::new(),
                true => span(time - origin),
                false if part == 4 => "now".into(),
                // Less than a second ago has no label.
                false if shown.to - time < 1000 => String::new(),
                false => format!("-{}", span(shown.to - time)),
            }
        };
        brush.text(at, &label(0), Role::Dim);
        brush.right(at, &label(4), Role::Dim);
        let parts: &[i64] = if at.width >= 60 { &[1, 2, 3] } else { &[2] };
        for part in parts {
            let text = label(*part);
            let middle = usize::from(at.width) * *part as usize / 4;
            if at.width >= 30 {
                brush.text(after(at, middle.saturating_sub(width(&text) / 2)), &text, Role::Dim);
            }
        }
    }
}

/// Two columns a cell, filled from the bottom.
fn braille(brush: &mut Brush<'_>, area: Rect, rates: &[f64], before: usize, most: f64) {
    let colour = brush.look.style(Role::Active).fg.unwrap_or_default();
    let height = f64::from(area.height) * 4.0;
    let canvas = Canvas::default()
        .marker(Marker::Braille)
        .x_bounds([0.0, (rates.len().max(2) - 1) as f64])
        .y_bounds([0.0, height - 1.0])
        .paint(|context| {
            for (column, rate) in rates.iter().enumerate() {
                let share = if most > 0.0 { (rate / most).clamp(0.0, 1.0) } else { 0.0 };
                // A small value still shows.
                let filled = (share * height).round().max(f64::from(u8::from(*rate > 0.0)));
                if filled >= 1.0 {
                    let x = column as f64;
                    context.draw(&Line::new(x, 0.0, x, filled - 1.0, colour));
                }
            }
        });
    brush.widget(canvas, area);
    let unknown = brush.look.symbols.unknown();
    for cell in (before / 2)..usize::from(area.width) {
        let known = |column: usize| rates.get(column).is_some_and(|rate| !rate.is_nan());
        if cell * 2 >= before && !known(cell * 2) && !known(cell * 2 + 1) {
            for line in 0..usize::from(area.height) {
                brush.cell(area, cell, line, unknown, Role::Dim);
            }
        }
    }
}

/// A mark where records failed, as high as their rate.
fn failures(brush: &mut Brush<'_>, area: Rect, shown: &Shown<'_>, most: f64) {
    let mark = brush.look.symbols.failure();
    let failed = shown.history.rates_between(shown.from, shown.to, area.width.into(), |point| point.failed);
    let read = shown.history.rates_between(shown.from, shown.to, area.width.into(), |point| point.records);
    // In a low chart a few failures must not hide the rates.
    let least = if area.height < 4 { 0.01 } else { 0.0 };
    for (column, (rate, read)) in failed.iter().zip(&read).enumerate() {
        if *rate > 0.0 && *rate >= read * least && most > 0.0 && !area.is_empty() {
            let rows = f64::from(area.height);
            let above = (rate / most * rows).ceil().clamp(1.0, rows) as usize;
            brush.cell(area, column, usize::from(area.height).saturating_sub(above), mark, Role::Bad);
        }
    }
}
