//! What an error of a job means: whether it may pass, and whether it is the store's or the disk's and stops all jobs.

use pinport_store::StoreError;

use crate::{engine::JobError, source::SourceError};

/// EIO, which has no kind of its own.
const DISK_CODE: i32 = 5;

/// The I/O errors among an error's causes.
fn io_causes(error: &JobError) -> impl Iterator<Item = &std::io::Error> {
    std::iter::successors(std::error::Error::source(error), |error| error.source())
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
}

/// Whether the process or the machine had no descriptor left. Connections give theirs back, so the job may go on later.
pub(super) fn lacks_descriptors(error: &JobError) -> bool {
    io_causes(error).any(pinport_store::lacks_descriptors)
}

/// Whether the disk was full for what a job wrote. The store can go on if it could write what is its own.
pub(super) fn lacks_room(error: &JobError) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error, JobError::Store(StoreError::Full { .. }))
        || io_causes(error).any(|error| matches!(error.kind(), StorageFull | QuotaExceeded))
}

/// Whether an error says that nothing can be stored any more: then no job is to blame.
pub(super) fn is_halting(error: &JobError) -> bool {
    if lacks_descriptors(error) {
        return false;
    }
    let by_store = matches!(
        error,
        JobError::Store(
            StoreError::Full { .. }
                | StoreError::Stopped(_)
                | StoreError::Io { .. }
                | StoreError::Engine(_)
                | StoreError::Corrupt(_)
        )
    );
    by_store
        || io_causes(error).any(|error| {
            use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
            matches!(error.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
                || error.raw_os_error() == Some(DISK_CODE)
        })
}

/// What keeps a store from working, in words without a path.
pub(super) fn halting_reason(error: &JobError) -> String {
    let of_system = io_causes(error).last().map(|cause| match cause.raw_os_error() {
        Some(_) => cause.to_string(),
        None => cause.kind().to_string(),
    });
    match error {
        JobError::Store(StoreError::Full { .. }) => "no space left on the disk".into(),
        JobError::Store(StoreError::Corrupt(_)) => "the store is damaged".into(),
        _ => of_system.unwrap_or_else(|| "a write failed".into()),
    }
}

/// Whether the source may answer later.
pub(super) fn may_pass(error: &SourceError) -> bool {
    matches!(error, SourceError::Unreachable { .. } | SourceError::Throttled { .. })
}

#[cfg(test)]
mod tests {
    use std::{io, path::Path};

    use super::*;
    use crate::engine::files::on;

    /// L4: `/readyz` is for everybody.
    #[test]
    fn what_every_caller_reads_of_a_failed_store_has_no_path() {
        let path = || std::path::PathBuf::from("/secret/place/store");
        let full =
            StoreError::Full { path: path(), message: "While appending to /secret/place/1.sst".into() };
        let of_system = |code| StoreError::Io {
            action: "write",
            path: path(),
            source: io::Error::from_raw_os_error(code),
        };
        let file = on("write", &path())(io::Error::from_raw_os_error(libc::ENOSPC));
        for (error, reason) in [
            (JobError::Store(full), "no space left"),
            (JobError::Store(of_system(libc::EIO)), "Input/output error"),
            (JobError::Store(StoreError::Stopped("IO error: /secret/place".into())), "a write failed"),
            (JobError::Store(StoreError::Corrupt("/secret/place".into())), "the store is damaged"),
            (JobError::File(file), "No space left"),
        ] {
            assert!(is_halting(&error), "{error}");
            let said = halting_reason(&error);
            assert!(said.contains(reason) && !said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn a_disk_that_takes_nothing_more_is_no_fault_of_a_job() {
        let by_file = |code: i32| {
            is_halting(&JobError::File(on("write", Path::new("x"))(io::Error::from_raw_os_error(code))))
        };
        for code in [libc::ENOSPC, libc::EDQUOT, libc::EROFS, libc::EIO] {
            assert!(by_file(code), "{code}");
        }
        for code in [libc::ENOENT, libc::EACCES, libc::EINTR] {
            assert!(!by_file(code), "{code}");
        }
        for code in [libc::ENFILE, libc::EMFILE] {
            assert!(!by_file(code), "{code} passes when connections close");
            let source = io::Error::from_raw_os_error(code);
            let by_store = JobError::from(StoreError::Io { action: "open", path: "x".into(), source });
            assert!(lacks_descriptors(&by_store) && !is_halting(&by_store), "{code}");
        }
        assert!(is_halting(&StoreError::Stopped("a write failed".into()).into()));
        assert!(!is_halting(&StoreError::Conflict("job 1 has ended".into()).into()));
        assert!(!is_halting(&JobError::Cancelled));
    }
}
