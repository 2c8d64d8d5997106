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
    /// Milliseconds since this run of the job began.
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

    /// Seconds until the source is read, if it goes on as it did in this run. `None` while nothing can be said.
    pub fn seconds_left(&self) -> Option<f64> {
        let rate = self.rate(self.source_bytes, self.before.source_bytes);
        let left = self.source_total.saturating_sub(self.source_bytes);
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
            parsed: 70,
            registered: 0,
            failed: 0,
            pieces_done: 0,
            pieces_failed: 0,
            pieces_total: 0,
            objects_done: 0,
            objects_total: 0,
            before: Baseline { source_bytes: 200, bytes: 1000, parsed: 10 },
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
    }

    #[test]
    fn nothing_is_said_of_a_run_that_just_began_or_of_a_source_that_was_read() {
        assert_eq!(progress(0).records_per_second(), 0.0);
        assert_eq!(progress(0).seconds_left(), None);
        let read = Progress { source_bytes: 1000, ..progress(2000) };
        assert_eq!(read.seconds_left(), None);
    }
}
