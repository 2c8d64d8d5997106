//! The exit codes of an import and of whoever waits for one; their commands' help lists them.

use pinport_model::{ImportJob, JobStatus, job::FailureBudget};

pub(crate) const COMPLETED: u8 = 0;
pub(crate) const FAILED: u8 = 1;
pub(crate) const WITH_FAILURES: u8 = 3;
pub(crate) const OVER_BUDGET: u8 = 4;
pub(crate) const STOPPED: u8 = 5;

/// The code of a job that has ended.
pub(crate) fn of(job: &ImportJob) -> u8 {
    let over = |budget: FailureBudget| budget.is_exceeded(&job.tally, true);
    match job.status {
        JobStatus::Cancelled => STOPPED,
        _ if job.definition.max_failures.is_some_and(over) => OVER_BUDGET,
        JobStatus::Completed if job.tally.failed > 0 => WITH_FAILURES,
        JobStatus::Completed => COMPLETED,
        _ => FAILED,
    }
}
