//! The exit codes of an import and of commands that wait for one (their commands' help lists them), and the end of the process.

#![allow(unsafe_code, reason = "calls libc")]

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use pinport_model::{ImportJob, JobStatus, job::FailureBudget};

pub(crate) const COMPLETED: u8 = 0;
pub(crate) const FAILED: u8 = 1;
pub(crate) const WITH_FAILURES: u8 = 3;
pub(crate) const OVER_BUDGET: u8 = 4;
pub(crate) const STOPPED: u8 = 5;
pub(crate) const WAITED: u8 = 6;
pub(crate) const NOTHING: u8 = 7;

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

/// The command was called in a way that cannot work.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// What was named is not there.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotThere(pub(crate) String);

/// An error that is in the log; the exit code that it means.
#[derive(Debug, thiserror::Error)]
#[error("the log says what went wrong")]
pub(crate) struct Logged(pub(crate) u8);

/// Ends the process. Threads may be left that a command did not wait for (the store settles, a source is looked at):
/// they must not meet the engine's statics half destroyed, or it aborts. What was acknowledged is durable.
pub(crate) fn now(code: u8) -> ExitCode {
    // The reader closed it and does not want the rest.
    let _ = io::stdout().flush();
    #[cfg(unix)]
    // SAFETY: it takes a number and does not return.
    unsafe {
        libc::_exit(code.into())
    }
    #[cfg(not(unix))]
    ExitCode::from(code)
}
