//! The places between two steps of a commit, by name: where power may go, and where tests end the process.
//!
//! Without the feature `failpoints`, and so in every build that is used, a boundary is nothing. With it
//! `FAILPOINTS` says what happens there (`piece.staged=3*off->return` aborts at the fourth time), and
//! `PINPORT_BOUNDARIES` names a file that takes a line for each boundary that is passed. A boundary never
//! decides anything; `tests/failpoints` has the list of them and looks whether it is complete.

/// Passes the boundary `name`. The name is written out where it is passed, so that a search finds it.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn boundary(_name: &'static str) {}

/// Passes the boundary `name`, unless the process is to end here.
#[cfg(feature = "failpoints")]
pub fn boundary(name: &'static str) {
    armed::note(name);
    fail::fail_point!(name, |_| std::process::abort());
}

/// Whether commits to a database ask for their job's token. Always, but for the test that shows what comes of it otherwise:
/// that the tests of what the token is for can fail.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(crate) const fn checks_tokens() -> bool {
    true
}

/// Whether commits to a database ask for their job's token.
#[cfg(feature = "failpoints")]
pub(crate) fn checks_tokens() -> bool {
    std::env::var_os("PINPORT_UNCHECKED_TOKENS").is_none()
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::{
        fs::{File, OpenOptions},
        io::Write as _,
        sync::OnceLock,
    };

    /// Reads what `FAILPOINTS` says, once, and writes down that a boundary is passed.
    pub(super) fn note(name: &str) {
        static TRAIL: OnceLock<Option<File>> = OnceLock::new();
        let trail = TRAIL.get_or_init(|| {
            // It stays armed for as long as the process lives.
            std::mem::forget(fail::FailScenario::setup());
            let path = std::env::var_os("PINPORT_BOUNDARIES")?;
            let file = OpenOptions::new().append(true).create(true).open(path);
            Some(file.expect("the file of PINPORT_BOUNDARIES can be opened"))
        });
        if let Some(mut file) = trail.as_ref() {
            let line = format!("{name}\n");
            file.write_all(line.as_bytes()).expect("the file of PINPORT_BOUNDARIES can be written");
        }
    }
}
