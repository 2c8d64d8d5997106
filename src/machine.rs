//! What the machine is called.

#![allow(unsafe_code, reason = "calls libc")]

/// Bytes of a name, and more.
const MOST: usize = 256;

/// The name of the machine, by which others know its server. It is asked of the system, not of /proc, which services may not see.
pub(crate) fn name() -> String {
    let mut bytes = [0_u8; MOST];
    // SAFETY: it writes no more than the length it is given.
    let failed = unsafe { libc::gethostname(bytes.as_mut_ptr().cast(), bytes.len()) } != 0;
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    match str::from_utf8(name) {
        Ok(name) if !failed && !name.is_empty() => name.to_owned(),
        _ => "pinport".to_owned(),
    }
}
