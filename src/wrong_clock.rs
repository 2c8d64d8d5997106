//! A clock that jumps, for tests: the file that `PINPORT_CLOCK` names says by how many milliseconds it is wrong. In no build that
//! is used.

use std::{fs, thread, time::Duration};

/// How often the file is read.
const LOOK: Duration = Duration::from_millis(20);

/// Follows the file until the process ends.
pub(crate) fn follow() {
    let Some(file) = std::env::var_os("PINPORT_CLOCK") else { return };
    let read = move || fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    pinport_model::skew::set(read());
    thread::spawn(move || {
        loop {
            pinport_model::skew::set(read());
            thread::park_timeout(LOOK);
        }
    });
}
