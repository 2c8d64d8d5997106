//! Memory that is read all over, so that the processor can not know what comes next. What is due soon is fetched meanwhile; and
//! it lies in large pages, if the system has some to give: most of what a jump into 100 MB costs is to find the page.

#![allow(unsafe_code, reason = "calls libc, and an instruction that fetches")]

/// Bytes that the processor fetches at once.
const LINE: usize = 64;

/// Begins to fetch the bytes of a text.
#[inline]
pub(crate) fn prefetch(text: &[u8]) {
    text.iter().step_by(LINE).chain(text.last()).for_each(prefetch_one);
}

/// Begins to fetch the line that a value begins in. It is no load: nothing waits for it.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn prefetch_one<T>(value: &T) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

    // SAFETY: the address is that of a value, and the program sees nothing of what is fetched.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast()) };
}

/// Loads the value: several that are asked for together arrive together.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(crate) fn prefetch_one<T: Copy>(value: &T) {
    std::hint::black_box(*value);
}

/// Asks for large pages for all that a buffer has room for. To be refused changes nothing.
#[cfg(target_os = "linux")]
pub(crate) fn in_large_pages<T>(buffer: &Vec<T>) {
    /// Bytes of the smallest pages of any machine; where pages are larger it is refused.
    const PAGE: usize = 4096;
    let start = buffer.as_ptr().addr().next_multiple_of(PAGE);
    let end = buffer.as_ptr().addr() + buffer.capacity() * size_of::<T>();
    if let Some(length) = end.checked_sub(start).filter(|length| *length > 0) {
        let start = buffer.as_ptr().with_addr(start).cast_mut().cast();
        // SAFETY: the range lies within memory that the buffer owns, and what is in it stays as it is.
        unsafe { libc::madvise(start, length, libc::MADV_HUGEPAGE) };
    }
}

/// Asks for nothing: there is no such request.
#[cfg(not(target_os = "linux"))]
pub(crate) fn in_large_pages<T>(_: &Vec<T>) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_buffer_stays() {
        for length in [0, 1, 4095, 5000, 5 << 20] {
            let mut buffer: Vec<u16> = (0..length).map(|number| number as u16).collect();
            buffer.reserve(length);
            in_large_pages(&buffer);
            assert!(buffer.iter().enumerate().all(|(place, number)| *number == place as u16));
        }
        in_large_pages(&Vec::<u8>::new());
    }
}
