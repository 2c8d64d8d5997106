//! Sets up the system's allocator so that memory that is given back leaves the process.

#![allow(unsafe_code, reason = "calls libc")]

/// Bytes from which an allocation is a mapping of its own, and free bytes at the end of the heap that go back.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const THRESHOLD: libc::c_int = 128 << 10;

/// Heaps that threads share.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const ARENAS: libc::c_int = 2;

/// Call it before there are threads. glibc would else raise the first threshold to the size of whatever was freed
/// last, and give each thread a heap: an import allocates on one thread what it frees on another, and the heaps keep it.
pub(crate) fn bound() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (parameter, value) in [
        (libc::M_MMAP_THRESHOLD, THRESHOLD),
        (libc::M_TRIM_THRESHOLD, THRESHOLD),
        (libc::M_ARENA_MAX, ARENAS),
    ] {
        // SAFETY: it takes two numbers, and the process has one thread. A refusal leaves things as they were.
        unsafe { libc::mallopt(parameter, value) };
    }
}
