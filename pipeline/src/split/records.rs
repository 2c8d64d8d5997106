//! CSV records: they end at the newlines that lie outside quotes.
//!
//! A record that spans lines is judged whole before it goes out, because one quote too many would otherwise
//! swallow what follows. It fails if a quoted cell does not end, or ends in the middle of a cell, or if its
//! cells are not as many as the header's. Then reading goes on at the next line that begins a good record
//! of the header's width; the lines between belong to the failed one. Records of one line are never judged
//! here (the parser counts their cells), so the common case is a search for newlines.
//!
//! Hostile quotes cannot make this slow. If two records are read from different lines and both are inside a
//! quoted cell at the same newline, all that follows is the same for both. So what the first reading found
//! (its [`FailedRun`]) answers for the second, and no line is walked more than a few times.

use std::ops::Range;

use pinport_model::{FailureCode, Origin, failure::FailureReason};

use super::{Cut, FailedRecord, Outlet, Split, window::Window};
use crate::{
    parse::CsvHeader,
    text::{Dialect, content_len, is_blank, too_long, walk},
};

/// The reading of a record that spans lines, as far as it has come: the line at `last` begins inside quotes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) last: u64,
    pub(super) commas: usize,
    /// No newline lies between `last` and here.
    pub(super) searched: u64,
}

/// How the reading of a record that spans lines ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum RunEnd {
    /// Text follows a closing quote.
    Stray,
    /// The object ends inside quotes.
    Unterminated,
    /// The record ends.
    Ended { end: u64, commas: usize },
    /// The record is longer than `max_line`.
    Long,
}

impl Run {
    /// Reads on a record that began at `start`. `None`: more bytes are needed.
    pub(super) fn go_on(
        &mut self,
        window: &Window,
        start: u64,
        max_line: u64,
        dialect: Dialect,
    ) -> Option<RunEnd> {
        loop {
            let end = match find_line(window, start, self.last, &mut self.searched, max_line) {
                Line::NeedInput => return None,
                Line::Long => return Some(RunEnd::Long),
                Line::Ends(end) => end,
            };
            let line = window.bytes(self.last..end);
            let walk = walk::<true>(line, true, dialect);
            if walk.stray {
                return Some(RunEnd::Stray);
            }
            if !walk.inside {
                return Some(RunEnd::Ended { end, commas: self.commas + walk.commas });
            }
            if line.last() != Some(&b'\n') {
                return Some(RunEnd::Unterminated);
            }
            *self = Self { last: end, commas: self.commas + walk.commas, searched: end };
        }
    }
}

pub(super) enum Line {
    NeedInput,
    Long,
    /// Offset after the line.
    Ends(u64),
}

/// The end of the line at `last` in a record that began at `start`.
pub(super) fn find_line(window: &Window, start: u64, last: u64, searched: &mut u64, max_line: u64) -> Line {
    // A terminator takes two bytes: with this many and no newline the record is too long for sure.
    let limit = (start + max_line + 2).min(window.end());
    let from = (*searched).max(last);
    let newline = if from < limit { window.find(b'\n', from..limit) } else { None };
    let end = match newline {
        Some(newline) => newline + 1,
        None => {
            *searched = from.max(limit);
            if window.end() >= start + max_line + 2 {
                return Line::Long;
            }
            if !window.is_finished() {
                return Line::NeedInput;
            }
            window.end()
        }
    };
    if content_len(window.bytes(start..end)) as u64 > max_line { Line::Long } else { Line::Ends(end) }
}

/// What the reading of a failed record found: it is inside quotes at every newline before `run.last`.
#[derive(Debug)]
struct FailedRun {
    /// The line that is judged now, and the commas of the failed record before it.
    at: u64,
    commas: usize,
    run: Run,
    end: RunEnd,
}

/// The record that failed, while the line is sought where reading goes on.
#[derive(Debug)]
struct Failing {
    /// Where it begins; its line counts once `kept` is false.
    origin: Origin,
    reason: FailureReason,
    /// Whether its bytes are still in the window.
    kept: bool,
}

#[expect(clippy::large_enum_variant, reason = "it is matched where it is made, never kept")]
enum Step {
    On,
    NeedInput,
    Out(Split),
}

/// Finds where records end.
#[derive(Debug)]
pub(super) struct Records {
    columns: usize,
    dialect: Dialect,
    /// Everything before is judged; a line begins here.
    pos: u64,
    /// The number of the line at `pos`.
    line: u64,
    /// No newline lies between `pos` and here.
    searched: u64,
    /// The next quote at or after `pos`, and up to where it was looked for.
    quote: Option<u64>,
    quote_searched: u64,
    /// The rest of the line at `pos` is being dropped because it is too long.
    skipping: bool,
    run: Option<Run>,
    failed_run: Option<FailedRun>,
    failing: Option<Failing>,
}

impl Records {
    pub(super) fn new(header: &CsvHeader, at: Origin) -> Self {
        let Origin { byte: at, line, .. } = at;
        Self {
            columns: header.columns(),
            dialect: header.dialect(),
            pos: at,
            line,
            searched: at,
            quote: None,
            quote_searched: at,
            skipping: false,
            run: None,
            failed_run: None,
            failing: None,
        }
    }

    pub(super) fn next(&mut self, out: &mut Outlet, cut: Cut) -> Split {
        loop {
            if self.failing.is_none() {
                if self.is_at(cut) {
                    return out.block_at(self.pos, self.line);
                }
                if self.failed_run.is_none() && self.run.is_none() {
                    self.leap(out, cut);
                    if self.is_at(cut) {
                        return out.block_at(self.pos, self.line);
                    }
                }
            }
            match self.step(out) {
                Step::On => {}
                Step::Out(split) => return split,
                Step::NeedInput => {
                    let border = match &self.failing {
                        Some(failing) if failing.kept => failing.origin.byte,
                        Some(_) => out.at.byte,
                        None => self.pos,
                    };
                    return if out.window.is_full() && out.has_pending(border) {
                        out.block(border)
                    } else {
                        Split::NeedInput
                    };
                }
            }
        }
    }

    /// Goes over lines without quotes, which are records as they are, up to the cut.
    fn leap(&mut self, out: &Outlet, cut: Cut) {
        let end = out.window.end();
        loop {
            if self.quote.is_none_or(|quote| quote < self.pos) {
                let from = if self.quote.is_none() { self.quote_searched.max(self.pos) } else { self.pos };
                self.quote = out.window.find(b'"', from..end);
                self.quote_searched = end;
            }
            // Among so few bytes no whole line is too long.
            let clear = self.quote.unwrap_or(end).min(self.pos + out.max_line);
            let from = self.searched.clamp(self.pos, clear);
            let at_cut =
                if cut.byte <= clear { out.window.find(b'\n', from.max(cut.byte - 1)..clear) } else { None };
            let Some(newline) = at_cut.or_else(|| out.window.rfind(b'\n', from..clear)) else { return };
            let line = self.line + out.window.newlines(self.pos..newline + 1);
            if line < cut.line {
                self.move_to(newline + 1, line);
            } else if let Some(newline) = out.window.find_nth(b'\n', cut.line - self.line, self.pos..clear) {
                self.move_to(newline + 1, cut.line);
            }
            if self.is_at(cut) {
                return;
            }
        }
    }

    /// Judges the line at `pos`.
    fn step(&mut self, out: &mut Outlet) -> Step {
        let (max_line, dialect) = (out.max_line, self.dialect);
        if let Some(failing) = &self.failing
            && failing.kept
            && (self.skipping || self.pos > failing.origin.byte + max_line + 2)
            && let Some(block) = self.lose(out)
        {
            return Step::Out(block);
        }
        if self.skipping {
            return self.skip(out);
        }
        if self.pos == out.window.end() {
            if !out.window.is_finished() {
                return Step::NeedInput;
            }
            if self.failing.is_some() {
                return self.settle(out).map_or(Step::On, Step::Out);
            }
            return Step::Out(out.rest());
        }
        let pos = self.pos;
        let end = match find_line(&out.window, pos, pos, &mut self.searched, max_line) {
            Line::NeedInput => return Step::NeedInput,
            Line::Long => {
                self.fail(out, too_long(max_line));
                self.failed_run = None;
                self.skipping = true;
                return Step::On;
            }
            Line::Ends(end) => end,
        };
        let line = out.window.bytes(pos..end);
        // Most files have only lines that need no count.
        let mut first = walk::<false>(line, false, dialect);
        if first.inside || self.failing.is_some() {
            first = walk::<true>(line, false, dialect);
        }
        let next = if is_blank(line) {
            None
        } else if !first.inside {
            (self.failing.is_none() || fits(first.commas + 1, self.columns, line, dialect)).then_some(end)
        } else {
            let judged = if line.last() != Some(&b'\n') {
                Some((RunEnd::Unterminated, 0))
            } else if first.stray {
                Some((RunEnd::Stray, 0))
            } else {
                self.judge(&out.window, pos..end, first.commas, max_line)
            };
            match judged {
                None => return Step::NeedInput,
                Some((RunEnd::Ended { end, .. }, cells))
                    if fits(cells, self.columns, out.window.bytes(pos..end), dialect) =>
                {
                    Some(end)
                }
                Some((ended, cells)) => {
                    let lines = match ended {
                        RunEnd::Ended { end, .. } => out.window.newlines(pos..end),
                        _ => 0,
                    };
                    self.fail(out, self.reason(ended, cells, lines, first.opened, max_line));
                    if let Some(run) = self.run.take().filter(|run| run.last > end) {
                        self.failed_run = Some(FailedRun { at: end, commas: first.commas, run, end: ended });
                    }
                    None
                }
            }
        };
        match next {
            // The failed record ends here; the line is judged again, for the next record.
            Some(_) if self.failing.is_some() => self.settle(out).map_or(Step::On, Step::Out),
            Some(next) => {
                // Most records are a line.
                let lines = if next == end { ends_line(line) } else { out.window.newlines(pos..next) };
                self.pass(out, next, lines);
                Step::On
            }
            None => {
                self.pass(out, end, ends_line(line));
                Step::On
            }
        }
    }

    /// Reads the record whose first line is `line`, and which spans more; its end and its cells.
    fn judge(
        &mut self,
        window: &Window,
        line: Range<u64>,
        commas: usize,
        max_line: u64,
    ) -> Option<(RunEnd, usize)> {
        if let Some(failed_run) = &mut self.failed_run {
            // At the end of this line the failed record is inside quotes too.
            if matches!(failed_run.end, RunEnd::Long) {
                failed_run.end = failed_run.run.go_on(window, line.start, max_line, self.dialect)?;
            }
            let there = failed_run.commas + walk::<true>(window.bytes(line), true, self.dialect).commas;
            let cells = match failed_run.end {
                RunEnd::Ended { commas: all, .. } => commas + (all - there) + 1,
                _ => 0,
            };
            return Some((failed_run.end, cells));
        }
        let run = self.run.get_or_insert(Run { last: line.end, commas, searched: line.end });
        let end = run.go_on(window, line.start, max_line, self.dialect)?;
        let cells = if let RunEnd::Ended { commas, .. } = end { commas + 1 } else { 0 };
        Some((end, cells))
    }

    fn reason(&self, end: RunEnd, cells: usize, lines: u64, opened: usize, max_line: u64) -> FailureReason {
        let code = FailureCode::UnterminatedQuote;
        let reason = match end {
            RunEnd::Stray => {
                FailureReason::new(code, "text follows the closing quote of a cell that spans lines")
            }
            RunEnd::Unterminated => FailureReason::new(code, "a quoted cell does not end"),
            RunEnd::Long => FailureReason::new(
                code,
                format!("a quoted cell does not end within {max_line} bytes (max_line)"),
            ),
            RunEnd::Ended { .. } => FailureReason::new(
                FailureCode::CellCount,
                format!(
                    "has {cells} cells on {lines} lines, the header has {}; perhaps a quote does not end",
                    self.columns
                ),
            ),
        };
        reason.at(opened as u64)
    }

    /// The record at `pos` failed, unless the line only looked for the end of one that did.
    fn fail(&mut self, out: &Outlet, reason: FailureReason) {
        let origin = Origin { byte: self.pos, ..out.at };
        self.failing.get_or_insert(Failing { origin, reason, kept: true });
    }

    /// Goes over a line (or a record) that is judged.
    fn pass(&mut self, out: &mut Outlet, to: u64, lines: u64) {
        if let Some(failed_run) = &mut self.failed_run {
            if failed_run.at < to && to <= failed_run.run.last {
                failed_run.commas +=
                    walk::<true>(out.window.bytes(failed_run.at..to), true, self.dialect).commas;
                failed_run.at = to;
            }
            if to >= failed_run.run.last {
                self.failed_run = None;
            }
        }
        self.move_to(to, self.line + lines);
        if self.failing.as_ref().is_some_and(|failing| !failing.kept) {
            out.drop_before(to);
        }
    }

    /// Whether a block that ends at `pos` has come to the cut.
    fn is_at(&self, cut: Cut) -> bool {
        cut.byte <= self.pos || cut.line <= self.line
    }

    fn move_to(&mut self, to: u64, line: u64) {
        self.pos = to;
        self.line = line;
        self.searched = to;
        self.run = None;
    }

    /// Drops the rest of a line that is too long.
    fn skip(&mut self, out: &mut Outlet) -> Step {
        let end = out.window.end();
        match out.window.find(b'\n', self.pos..end) {
            Some(newline) => {
                self.skipping = false;
                self.pass(out, newline + 1, 1);
                Step::On
            }
            None => {
                self.pass(out, end, 0);
                self.skipping = !out.window.is_finished();
                if self.skipping { Step::NeedInput } else { Step::On }
            }
        }
    }

    /// Gives up the bytes of the failing record. What lies before it must go out first.
    fn lose(&mut self, out: &mut Outlet) -> Option<Split> {
        let failing = self.failing.as_mut()?;
        if out.has_pending(failing.origin.byte) {
            return Some(out.block(failing.origin.byte));
        }
        failing.origin = out.at;
        failing.kept = false;
        out.drop_before(self.pos);
        None
    }

    /// The failing record ends at `pos`.
    fn settle(&mut self, out: &mut Outlet) -> Option<Split> {
        let failing = self.failing.as_ref()?;
        if failing.kept
            && content_len(out.window.bytes(failing.origin.byte..self.pos)) as u64 > out.max_line
            && let Some(block) = self.lose(out)
        {
            return Some(block);
        }
        let failing = self.failing.take()?;
        if failing.kept {
            out.faults.push((failing.origin.byte..self.pos, failing.reason));
        } else {
            out.lost = Some(FailedRecord { origin: failing.origin, reason: failing.reason, raw: None });
        }
        None
    }
}

/// Whether a record has as many cells as there are columns, or ends in as many separators more as the first one.
/// Nothing else is taken here: one cell too many may be the sign of a quote that does not end.
fn fits(cells: usize, columns: usize, record: &[u8], dialect: Dialect) -> bool {
    cells == columns
        || dialect.trailing > 0 && cells == columns + dialect.trailing && {
            let content = &record[..content_len(record)];
            content.iter().rev().take_while(|byte| **byte == dialect.delimiter).count() >= dialect.trailing
        }
}

/// How many newlines end a line: one, unless the object ends.
fn ends_line(line: &[u8]) -> u64 {
    u64::from(line.last() == Some(&b'\n'))
}
