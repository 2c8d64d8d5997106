//! What a running job shows of itself: one snapshot feeds progress lines, `--json`, events and the dashboard.

use serde::{Deserialize, Serialize};

use crate::{JobId, JobStatus};

/// A job at one moment. Counters are of the whole job, what was done before an interruption included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The job.
    pub job: JobId,
    /// Where it stands.
    pub status: JobStatus,
    /// Bytes of the source that were read, as they lie in the store.
    pub source_bytes: u64,
    /// Bytes of the source in all; 0 while unknown.
    pub source_total: u64,
    /// Decoded bytes that were read.
    pub bytes: u64,
    /// Decoded bytes of the source in all: exact when nothing in it is compressed, else an estimate that gets better
    /// while it is read. 0 while unknown.
    #[serde(default)]
    pub bytes_total: u64,
    /// Records parsed so far, committed or not.
    pub parsed: u64,
    /// Records of committed pieces that were registered.
    pub registered: u64,
    /// Records that failed so far, committed or not.
    pub failed: u64,
    /// Committed pieces.
    pub pieces_done: u64,
    /// Pieces that could not be read.
    pub pieces_failed: u64,
    /// Pieces in all, as far as known.
    pub pieces_total: u64,
    /// Objects read to their end.
    pub objects_done: u64,
    /// Objects in the plan.
    pub objects_total: u64,
    /// What these counters were when this run of the job began: rates are of what came since.
    #[serde(default)]
    pub before: Baseline,
    /// Milliseconds since this run of the job began, or that it took.
    pub elapsed_ms: u64,
    /// Milliseconds that each stage's threads were busy.
    pub busy_ms: StageTimes,
}

/// Counters of a job when its present run began; all 0 unless it was interrupted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// Bytes of the source.
    pub source_bytes: u64,
    /// Decoded bytes.
    pub bytes: u64,
    /// Records parsed.
    pub parsed: u64,
    /// Milliseconds that earlier runs took, as far as known.
    #[serde(default)]
    pub elapsed_ms: u64,
}

/// Milliseconds by stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the stages of the pipeline, in order")]
pub struct StageTimes {
    pub fetch: u64,
    pub decode: u64,
    pub parse: u64,
    pub build: u64,
    pub commit: u64,
}

impl Progress {
    /// Records parsed a second in this run of the job.
    pub fn records_per_second(&self) -> f64 {
        self.rate(self.parsed, self.before.parsed)
    }

    /// Decoded bytes read a second in this run of the job.
    pub fn bytes_per_second(&self) -> f64 {
        self.rate(self.bytes, self.before.bytes)
    }

    /// Milliseconds that the job has run, without the time that it waited.
    pub fn ran_ms(&self) -> u64 {
        self.before.elapsed_ms.saturating_add(self.elapsed_ms)
    }

    /// Decoded bytes that are still to be read, as far as known. Compressed bytes are not counted: an object takes the time
    /// of what comes out of it.
    pub fn bytes_left(&self) -> Option<u64> {
        let is_read = self.source_total > 0 && self.source_bytes >= self.source_total;
        match self.bytes_total {
            _ if is_read => Some(0),
            0 => None,
            total => Some(total.saturating_sub(self.bytes)),
        }
    }

    /// Seconds until the source is read, if it goes on as it did in this run. `None` while nothing can be said.
    pub fn seconds_left(&self) -> Option<f64> {
        let (left, rate) = (self.bytes_left()?, self.bytes_per_second());
        (left > 0 && rate > 0.0).then(|| left as f64 / rate)
    }

    fn rate(&self, now: u64, before: u64) -> f64 {
        if self.elapsed_ms == 0 {
            0.0
        } else {
            now.saturating_sub(before) as f64 * 1000.0 / self.elapsed_ms as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(elapsed_ms: u64) -> Progress {
        Progress {
            job: JobId::from_bytes([1; 16]),
            status: JobStatus::Processing,
            source_bytes: 600,
            source_total: 1000,
            bytes: 5000,
            bytes_total: 9000,
            parsed: 70,
            registered: 0,
            failed: 0,
            pieces_done: 0,
            pieces_failed: 0,
            pieces_total: 0,
            objects_done: 0,
            objects_total: 0,
            before: Baseline { source_bytes: 200, bytes: 1000, parsed: 10, elapsed_ms: 5000 },
            elapsed_ms,
            busy_ms: StageTimes::default(),
        }
    }

    #[test]
    fn rates_are_of_this_run_alone() {
        let progress = progress(2000);
        assert_eq!(progress.records_per_second(), 30.0);
        assert_eq!(progress.bytes_per_second(), 2000.0);
        assert_eq!(progress.seconds_left(), Some(2.0));
        assert_eq!(progress.ran_ms(), 7000);
    }

    #[test]
    fn nothing_is_said_of_a_run_that_just_began_or_of_a_source_that_was_read() {
        assert_eq!(progress(0).records_per_second(), 0.0);
        assert_eq!(progress(0).seconds_left(), None);
        let read = Progress { source_bytes: 1000, ..progress(2000) };
        assert_eq!((read.seconds_left(), read.bytes_left()), (None, Some(0)));
        let unknown = Progress { bytes_total: 0, ..progress(2000) };
        assert_eq!((unknown.seconds_left(), unknown.bytes_left()), (None, None));
    }
}
