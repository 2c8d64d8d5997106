//! Which failures of a job are written: the first ones, then a sample that thins out, within a budget of bytes.
//!
//! The decision depends only on the failures before, in source order, and on what the last piece's record holds: a job
//! that goes on after a crash keeps the same ones as a job that was left alone. It reads and writes no files.

use pinport_model::PieceRecord;

/// What a file costs on the disk beside its bytes: a block.
pub(super) const FILE_BYTES: u64 = 4096;
/// The part of the budget in which every failure is kept, in eighths. The sample has the rest.
const WHOLE_EIGHTHS: u64 = 7;
/// One failure of so many is in the sample while more than half of its room is left.
const FIRST_STRIDE: u64 = 64;
/// How many times fewer are kept whenever the room has halved, as a power of two.
const THINNING: u32 = 4;

/// Counts what was kept and decides what is.
#[derive(Debug)]
pub(super) struct Keeping {
    limit: u64,
    /// Bytes of all files of failures and rejects.
    kept: u64,
    /// Failures so far.
    seen: u64,
    /// Those of them that were not written.
    unkept: u64,
}

impl Keeping {
    /// Goes on after a job's last piece.
    pub(super) fn new(limit: u64, last: &PieceRecord) -> Self {
        // Records of old stores know only the file that was open.
        let known = last.failures_len + last.rejects_len;
        Self {
            limit,
            kept: last.kept_bytes.max(known),
            seen: last.failures.max(last.total.failed),
            unkept: last.unkept_failures,
        }
    }

    /// Decides about the next failure. `bytes` says what writing it takes; it is called only if that matters.
    pub(super) fn admits(&mut self, bytes: impl FnOnce() -> u64) -> bool {
        let number = self.seen;
        self.seen += 1;
        let bytes =
            if self.unkept == 0 || number.is_multiple_of(self.stride()) { Some(bytes()) } else { None };
        let room = if self.unkept == 0 { self.whole() } else { self.limit };
        let fits = bytes.filter(|bytes| self.kept.saturating_add(*bytes) <= room);
        self.kept += fits.unwrap_or(0);
        self.unkept += u64::from(fits.is_none());
        fits.is_some()
    }

    /// Counts failures that were kept nowhere.
    pub(super) fn pass(&mut self, failures: u64) {
        self.seen += failures;
        self.unkept += failures;
    }

    /// Notes what was counted in the record of a piece.
    pub(super) fn note(&self, record: &mut PieceRecord) {
        record.kept_bytes = self.kept;
        record.failures = self.seen;
        record.unkept_failures = self.unkept;
    }

    fn whole(&self) -> u64 {
        self.limit / 8 * WHOLE_EIGHTHS
    }

    /// One failure of so many is in the sample now. It grows as the room becomes less, so that there is room for some
    /// from any part of the source.
    fn stride(&self) -> u64 {
        let room = self.limit - self.whole();
        let left = self.limit.saturating_sub(self.kept);
        let halvings = room.checked_div(left).map_or(u64::BITS, |times| times.max(1).ilog2());
        FIRST_STRIDE
            .checked_shl(halvings.saturating_mul(THINNING))
            .filter(|stride| *stride > 0)
            .unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of the failures of `bytes` each that are kept, and what was counted.
    fn kept(limit: u64, failures: u64, bytes: u64, interrupted_at: &[u64]) -> (Vec<u64>, PieceRecord) {
        let mut record = PieceRecord::default();
        let mut keeping = Keeping::new(limit, &record);
        let mut kept = Vec::new();
        for number in 0..failures {
            if interrupted_at.contains(&number) {
                keeping.note(&mut record);
                keeping = Keeping::new(limit, &record);
            }
            if keeping.admits(|| bytes) {
                kept.push(number);
            }
        }
        keeping.note(&mut record);
        (kept, record)
    }

    #[test]
    fn the_first_are_kept_and_a_sample_of_the_rest_within_the_budget() {
        let (numbers, record) = kept(80_000, 1_000_000, 100, &[]);
        assert_eq!(numbers[..700], (0..700).collect::<Vec<_>>());
        let sample = &numbers[700..];
        assert!(sample.len() > 50 && sample.len() <= 100, "{}", sample.len());
        assert!(sample.last() > Some(&50_000), "it reaches far: {sample:?}");
        assert!(record.kept_bytes <= 80_000);
        assert_eq!(record.kept_bytes, 100 * numbers.len() as u64);
        assert_eq!((record.failures, record.unkept_failures), (1_000_000, 1_000_000 - numbers.len() as u64));
    }

    #[test]
    fn a_job_that_goes_on_keeps_the_same_ones() {
        let alone = kept(80_000, 300_000, 90, &[]);
        assert_eq!(kept(80_000, 300_000, 90, &[1, 700, 779, 800, 8000, 8001, 299_999]), alone);
    }

    #[test]
    fn small_failures_after_a_large_one_do_not_count_as_first() {
        let mut keeping = Keeping::new(8000, &PieceRecord::default());
        assert!(keeping.admits(|| 100) && !keeping.admits(|| 9000));
        assert!(!keeping.admits(|| 10), "the third is in no sample");
    }

    #[test]
    fn without_a_budget_nothing_is_kept() {
        assert!(kept(0, 1000, 1, &[500]).0.is_empty());
    }
}
