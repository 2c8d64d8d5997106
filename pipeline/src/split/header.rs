//! The header of a CSV object: the first line that is not blank, or several where a quoted name spans them.

use std::sync::Arc;

use super::{
    Outlet, SplitOptions,
    records::{Line, Run, RunEnd, find_line},
};
use crate::{
    parse::{CsvHeader, HeaderRules},
    text::{Dialect, ObjectRefused, RefusedReason, is_blank, walk},
};

/// What reading a header came to.
pub(super) enum HeaderStep {
    NeedInput,
    /// The object has no record at all.
    Nothing,
    Read(Arc<CsvHeader>),
}

/// Reads the header and drops its bytes.
pub(super) fn read_header(
    out: &mut Outlet,
    options: &SplitOptions,
    dialect: Dialect,
) -> Result<HeaderStep, ObjectRefused> {
    let refused = |out: &Outlet, reason| ObjectRefused { origin: out.at, column: None, reason };
    loop {
        let start = out.at.byte;
        if start == out.window.end() {
            return Ok(if out.window.is_finished() { HeaderStep::Nothing } else { HeaderStep::NeedInput });
        }
        let most = options.limits.max_line;
        let mut end = match find_line(&out.window, start, start, &mut { start }, out.max_line) {
            Line::NeedInput => return Ok(HeaderStep::NeedInput),
            Line::Long => return Err(refused(out, RefusedReason::HeaderTooLong { most })),
            Line::Ends(end) => end,
        };
        let line = out.window.bytes(start..end);
        if is_blank(line) {
            out.drop_before(end);
            continue;
        }
        let first = walk::<false>(line, false, dialect);
        if first.inside {
            let mut run = Run { last: end, commas: 0, searched: end };
            let ended = match run.go_on(&out.window, start, out.max_line, dialect) {
                _ if line.last() != Some(&b'\n') => Some(RunEnd::Unterminated),
                ended => ended,
            };
            match ended {
                None => return Ok(HeaderStep::NeedInput),
                Some(RunEnd::Ended { end: ended, .. }) => end = ended,
                Some(RunEnd::Long) => return Err(refused(out, RefusedReason::HeaderTooLong { most })),
                Some(RunEnd::Stray | RunEnd::Unterminated) => {
                    let column = Some(first.opened as u64 + 1);
                    return Err(ObjectRefused { column, ..refused(out, RefusedReason::HeaderUnterminated) });
                }
            }
        }
        let rules = HeaderRules {
            max_columns: options.limits.max_columns,
            rules: &options.rules,
            map: options.map.as_ref(),
        };
        let header = CsvHeader::read_as(out.window.bytes(start..end), rules, dialect)
            .map_err(|fault| ObjectRefused { column: fault.1, ..refused(out, fault.0) })?;
        out.notices.merge(header.notices());
        out.drop_before(end);
        return Ok(HeaderStep::Read(Arc::new(header)));
    }
}
