//! JSON records: one a line.

use pinport_model::Origin;

use super::{FailedRecord, Outlet, Split, too_long};

/// Finds where lines end.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The line that is being dropped because it is too long.
    dropping: Option<Origin>,
    /// No newline lies between the last border and here.
    searched: u64,
}

impl Lines {
    pub(super) fn next(&mut self, out: &mut Outlet, cut: Option<u64>) -> Split {
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
                if out.is_cut(cut, out.at.byte) {
                    return out.block(out.at.byte);
                }
            }
            let (start, end) = (out.at.byte, out.window.end());
            let from = self.searched.max(start);
            if let Some(cut) = cut.filter(|&cut| out.is_cut(Some(cut), end))
                && let Some(newline) = out.window.find(b'\n', (cut - 1).max(start)..end)
            {
                return out.block(newline + 1);
            }
            if !out.window.is_finished() && !out.window.is_full() {
                return Split::NeedInput;
            }
            let border = out.window.rfind(b'\n', from..end).map(|newline| newline + 1);
            let tail = end - border.unwrap_or(start);
            match border {
                Some(border) if !out.window.is_finished() || tail > out.max_line + 1 => {
                    return out.block(border);
                }
                // What was dropped before may not be joined by another in the same block.
                None if tail > out.max_line + 1 && out.lost.is_some() => return out.block(start),
                None if tail > out.max_line + 1 => self.dropping = Some(out.at),
                _ if out.window.is_finished() => return out.rest(),
                _ => {
                    self.searched = end;
                    return Split::NeedInput;
                }
            }
        }
    }
}
