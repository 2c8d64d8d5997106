//! Blocks of JSON that is not one object a line. [`crate::text`] finds where the objects end.

#[cfg(test)]
mod tests;

use pinport_model::{FailureCode, Origin, failure::FailureReason};

use super::{Cut, FailedRecord, Outlet, Split};
use crate::{
    limits::{BLOCK_RECORDS, HOLDER_DEPTH},
    text::{Finder, LOOK_BACK, Step, breaks, next_start, too_long},
};

/// Splits an object of this form. Blocks end where a record does.
#[derive(Debug)]
pub(super) struct Objects {
    finder: Finder,
    /// Everything before is judged.
    pos: u64,
    /// The number of the line at `pos`.
    line: u64,
    /// Where the last record ended, and its line.
    border: (u64, u64),
    /// Where reading began.
    start: u64,
    failing: Option<Failing>,
}

/// A record that failed. Its end is being looked for.
#[derive(Debug)]
struct Failing {
    origin: Origin,
    reason: FailureReason,
    /// The brace that cannot belong to it.
    broken: Option<u64>,
    /// It is no object, so any brace begins the next one.
    between: bool,
    /// Whether its bytes are still in the window.
    kept: bool,
}

impl Objects {
    pub(super) fn new(enclosed: bool, at: Origin) -> Self {
        let finder = Finder::new(enclosed);
        Self {
            finder,
            pos: at.byte,
            line: at.line,
            border: (at.byte, at.line),
            start: at.byte,
            failing: None,
        }
    }

    pub(super) fn next(&mut self, out: &mut Outlet, cut: Cut) -> Split {
        loop {
            let ended = match self.failing {
                Some(_) => self.recover(out),
                None => self.step(out),
            };
            match ended {
                Ended::Between => {}
                Ended::Record => {
                    self.border = (self.pos, self.line);
                    let records = (out.records.len() + out.faults.len()) as u64;
                    if self.pos >= cut.byte
                        || self.line >= cut.line
                        || records >= cut.records.min(BLOCK_RECORDS)
                        || out.lost.is_some()
                    {
                        return self.block(out);
                    }
                }
                Ended::Pending => return self.block(out),
                Ended::NeedInput if !out.window.is_full() => return Split::NeedInput,
                Ended::NeedInput if out.has_pending(self.border.0) => return self.block(out),
                Ended::NeedInput => {
                    // White space alone is not kept.
                    let start = self.failing.as_ref().map_or(self.pos, |failing| failing.origin.byte);
                    if start > out.at.byte {
                        out.drop_before(start);
                        self.border = (out.at.byte, out.at.line);
                    }
                    return Split::NeedInput;
                }
                Ended::All if out.has_pending(self.border.0) => return self.block(out),
                Ended::All => {
                    let is_open = self.finder.enclosed && !std::mem::replace(&mut self.finder.closed, true);
                    // At the very end it was said before.
                    if is_open && self.pos > self.start {
                        let message =
                            "the array around the records does not end; perhaps the file was cut off";
                        let reason = FailureReason::new(FailureCode::InvalidJson, message);
                        let mut origin = self.origin(out);
                        origin.byte = origin.byte.saturating_sub(1);
                        out.lost = Some(FailedRecord { origin, reason, raw: None });
                    }
                    return out.rest();
                }
            }
        }
    }

    /// Judges what comes next.
    fn step(&mut self, out: &mut Outlet) -> Ended {
        let end = out.window.end();
        let bytes = out.window.bytes(self.pos..end);
        let max_line = out.max_line as usize;
        let is_long = |len: usize| len > max_line;
        let mut step = self.finder.step(bytes, out.window.is_finished());
        let len = if let Step::Record(len, _) = step { len } else { bytes.len() };
        if matches!(step, Step::NeedInput | Step::Record(..)) && is_long(len) {
            // That it breaks says more than that it is too long.
            step = breaks(&bytes[..=max_line]).unwrap_or(Step::Record(len, 0));
        }
        match step {
            Step::NeedInput => Ended::NeedInput,
            Step::Record(len, _) | Step::Broken { at: len, .. } if is_long(len) => {
                self.fail(out, too_long(out.max_line), max_line + 1)
            }
            Step::Broken { at, depth, why } => {
                let message = format!("the object is no JSON: {why}");
                let reason = FailureReason::new(FailureCode::InvalidJson, message).at(at as u64);
                let broken = self.pos + at as u64;
                let ended = self.fail(out, reason, if depth > HOLDER_DEPTH { at.max(1) } else { 1 });
                if let Some(failing) = &mut self.failing {
                    failing.broken = Some(broken);
                    failing.between = depth == 0;
                }
                ended
            }
            Step::Between(len) => {
                self.move_by(out, len);
                Ended::Between
            }
            Step::Record(len, newlines) => {
                let start = self.pos;
                self.pos += len as u64;
                self.line += newlines;
                out.records.push(start..self.pos);
                Ended::Record
            }
            Step::End => Ended::All,
        }
    }

    fn origin(&self, out: &Outlet) -> Origin {
        Origin { byte: self.pos, line: self.line, ..out.at }
    }

    fn block(&self, out: &mut Outlet) -> Split {
        out.block_at(self.border.0, self.border.1)
    }

    fn move_by(&mut self, out: &Outlet, len: usize) {
        let to = self.pos + len as u64;
        self.line += out.window.newlines(self.pos..to);
        self.pos = to;
    }

    /// What begins here fails. The next record is looked for `over` bytes further on.
    fn fail(&mut self, out: &Outlet, reason: FailureReason, over: usize) -> Ended {
        self.finder.give_up();
        self.failing =
            Some(Failing { origin: self.origin(out), reason, broken: None, between: false, kept: true });
        self.pos = (self.pos + over as u64).min(out.window.end());
        Ended::Between
    }

    /// Looks for the end of the record that failed, which is where the next one may begin.
    fn recover(&mut self, out: &mut Outlet) -> Ended {
        let Some(failing) = &mut self.failing else { return Ended::Between };
        let start = if failing.kept { failing.origin.byte } else { out.at.byte };
        let (end, finished) = (out.window.end(), out.window.is_finished());
        let (broken, between) = (failing.broken, failing.between);
        let begins = |at: usize| between || broken == Some(start + at as u64);
        let found = next_start(out.window.bytes(start..end), (self.pos - start) as usize, begins, finished);
        let (to, is_found) = match found {
            Ok(Some(at)) => (start + at as u64, true),
            // What closes the array is not the failed record's.
            Ok(None) if self.finder.enclosed && failing.kept => {
                let bytes = out.window.bytes(start..end);
                let closes = |byte: &u8| *byte == b']' || byte.is_ascii_whitespace();
                let len =
                    bytes.iter().rposition(|byte| !closes(byte) && *byte != b'}').map_or(0, |at| at + 1);
                let tail = bytes[len..].iter().position(|byte| *byte == b']').unwrap_or(bytes.len() - len);
                (start + (len + tail).max(1) as u64, true)
            }
            Ok(None) => (end, true),
            Err(at) => (start + at as u64, false),
        };
        self.pos = to;
        if failing.kept && to - failing.origin.byte > out.max_line {
            // What lies before it must go out first.
            if out.has_pending(self.border.0) {
                return Ended::Pending;
            }
            failing.kept = false;
        }
        if !failing.kept {
            let keep = if is_found { to } else { to.saturating_sub(LOOK_BACK as u64).max(out.at.byte) };
            out.drop_before(keep);
            self.border = (out.at.byte, out.at.line);
        }
        if !is_found {
            return Ended::NeedInput;
        }
        let Some(failing) = self.failing.take() else { return Ended::Between };
        if failing.kept {
            self.line = failing.origin.line + out.window.newlines(failing.origin.byte..to);
            out.faults.push((failing.origin.byte..to, failing.reason));
        } else {
            self.line = out.at.line;
            out.lost = Some(FailedRecord { origin: failing.origin, reason: failing.reason, raw: None });
        }
        Ended::Record
    }
}

/// How a step ended.
enum Ended {
    /// Something that is no record was passed over.
    Between,
    /// A record, or one that failed.
    Record,
    /// What was found must go out before more is done.
    Pending,
    NeedInput,
    /// The object.
    All,
}
