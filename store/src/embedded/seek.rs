//! Bringing a scan forward to a key that is wanted: to step over what lies between costs less than to seek, if it is little.

use super::{keys, scan::Scan};
use crate::Result;

/// Entries that a scan goes over before it seeks the next one that is wanted.
pub(super) const STEPS: usize = 12;

/// Brings a scan to the first key at or after `wanted`: step by step, if it is not far from where the scan is. Returns how
/// many entries it passed.
#[inline]
pub(super) fn seek(
    scan: &mut Scan<'_>,
    wanted: &[u8],
    is_first: bool,
    key: impl Fn(&[u8]) -> keys::Key,
) -> Result<usize> {
    if is_first {
        scan.seek(&key(wanted));
        return Ok(0);
    }
    for passed in 0..STEPS {
        match scan.entry()? {
            Some((at, _)) if at < wanted => scan.forward(),
            _ => return Ok(passed),
        }
    }
    if scan.entry()?.is_some_and(|(at, _)| at < wanted) {
        scan.seek(&key(wanted));
    }
    Ok(STEPS)
}
