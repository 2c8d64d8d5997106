//! Reads keys, and notices when the terminal is gone.

#![allow(unsafe_code, reason = "calls libc")]

use std::{
    fs::File,
    io::{self, IsTerminal as _},
    os::fd::{AsRawFd, RawFd},
    time::Duration,
};

use ratatui::crossterm::event::{self, Event};

use super::Input;

/// The keyboard of this process's terminal.
pub(super) struct Keyboard {
    /// None: standard input, which is a terminal.
    opened: Option<File>,
}

impl Keyboard {
    /// The terminal that crossterm reads: standard input, or else the one that controls this process.
    pub(super) fn new() -> io::Result<Self> {
        let is_terminal = io::stdin().is_terminal();
        Ok(Self { opened: if is_terminal { None } else { Some(File::open("/dev/tty")?) } })
    }

    fn fd(&self) -> RawFd {
        self.opened.as_ref().map_or_else(|| io::stdin().as_raw_fd(), AsRawFd::as_raw_fd)
    }
}

impl Input for Keyboard {
    /// Waits here, because crossterm loops forever when the terminal is gone.
    fn next(&mut self, wait: Duration) -> io::Result<Option<Event>> {
        is_there(self.fd(), Duration::ZERO)?;
        if event::poll(Duration::ZERO)? {
            return event::read().map(Some);
        }
        if wait.is_zero() {
            return Ok(None);
        }
        is_there(self.fd(), wait)?;
        if event::poll(Duration::ZERO)? { event::read().map(Some) } else { Ok(None) }
    }
}

/// Waits for input, a signal (such as a new size) or the end of `wait`. An error means that the terminal is
/// gone.
fn is_there(fd: RawFd, wait: Duration) -> io::Result<()> {
    let mut polled = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: it is one structure, which lives until the call returns.
    let found = unsafe { libc::poll(&raw mut polled, 1, wait) };
    if found > 0 && polled.revents & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the terminal is gone"));
    }
    Ok(())
}
