//! JSON records: one a line.

use pinport_model::Origin;

use super::{Cut, FailedRecord, Outlet, Split};
use crate::text::too_long;

/// Finds where lines end.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The line that is being dropped because it is too long.
    dropping: Option<Origin>,
    /// No newline lies between the last border and here.
    searched: u64,
}

impl Lines {
    pub(super) fn next(&mut self, out: &mut Outlet, cut: Cut) -> Split {
        loop {
            if let Some(origin) = self.dropping {
                let (start, end) = (out.window.start(), out.window.end());
                match out.window.find(b'\n', start..end) {
                    Some(newline) => out.drop_before(newline + 1),
                    None => {
                        out.drop_before(end);
                        if !out.window.is_finished() {
                            return Split::NeedInput;
                        }
                    }
                }
                self.dropping = None;
                out.lost = Some(FailedRecord { origin, reason: too_long(out.max_line), raw: None });
                if cut.byte <= out.at.byte || cut.line <= out.at.line {
                    return out.block(out.at.byte);
                }
            }
            let (start, end) = (out.at.byte, out.window.end());
            let from = self.searched.max(start);
            if cut.byte <= end
                && let Some(newline) = out.window.find(b'\n', (cut.byte - 1).max(start)..end)
            {
                return block(out, newline + 1, cut.line);
            }
            if !out.window.is_finished() && !out.window.is_full() {
                return Split::NeedInput;
            }
            let border = out.window.rfind(b'\n', from..end).map(|newline| newline + 1);
            let tail = end - border.unwrap_or(start);
            match border {
                Some(border) if !out.window.is_finished() || tail > out.max_line + 1 => {
                    return block(out, border, cut.line);
                }
                // What was dropped before may not be joined by another in the same block.
                None if tail > out.max_line + 1 && out.lost.is_some() => return out.block(start),
                None if tail > out.max_line + 1 => self.dropping = Some(out.at),
                _ if out.window.is_finished() && end > out.origin.byte => {
                    return block(out, end, cut.line);
                }
                _ if out.window.is_finished() => return out.rest(),
                _ => {
                    self.searched = end;
                    return Split::NeedInput;
                }
            }
        }
    }
}

/// The block up to `to`, or up to where `line` begins if that comes first.
fn block(out: &mut Outlet, to: u64, line: u64) -> Split {
    let at = out.at;
    let line_at_end = out.line_at(to);
    if line_at_end < line {
        return out.block_at(to, line_at_end);
    }
    let newline = out.window.find_nth(b'\n', line - at.line, at.byte..to);
    out.block_at(newline.map_or(to, |newline| newline + 1), line)
}
