//! Lets the process have as many files open as its hard limit allows.

#![allow(unsafe_code, reason = "calls libc")]

/// More are of no use to us.
const MOST: u64 = 16_384;

/// Descriptors on systems that are not asked.
#[cfg(not(unix))]
const ASSUMED: u64 = 1024;

/// Raises the soft limit of open files and returns what it is now. The usual 1024 is there for programs that use
/// `select`; a scan of the store opens all files of its level 0 at once, and each client of a server takes one too.
#[cfg(unix)]
pub(crate) fn raise() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: it fills the struct it is given.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return 0;
    }
    let wanted = limit.rlim_max.min(MOST);
    if wanted > limit.rlim_cur {
        let raised = libc::rlimit { rlim_cur: wanted, ..limit };
        // SAFETY: it reads the struct. A refusal leaves things as they were.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } == 0 {
            return wanted;
        }
    }
    limit.rlim_cur
}

/// What may be open at once.
#[cfg(not(unix))]
pub(crate) fn raise() -> u64 {
    ASSUMED
}
