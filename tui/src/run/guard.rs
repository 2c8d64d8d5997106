//! Sets the terminal up and restores it on return, on errors and on panics.

#![allow(unsafe_code, reason = "calls libc")]

use std::{
    io::{self, Write},
    panic,
    sync::{Mutex, MutexGuard, Once, PoisonError},
    thread::{self, ThreadId},
};

use ratatui::crossterm::{
    cursor::{Hide, Show},
    event::{DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture},
    execute,
    terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
};

/// Where the dashboard is drawn: standard error leaves standard output to data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Output {
    pub(super) fn writer(self) -> Box<dyn Write> {
        match self {
            Self::Stdout => Box::new(io::stdout()),
            Self::Stderr => Box::new(io::stderr()),
        }
    }
}

/// What is needed to restore the terminal.
struct Taken {
    output: Output,
    mouse: bool,
    thread: ThreadId,
    /// Panic messages of other threads, printed later because they would damage the screen.
    kept: Vec<String>,
}

static TAKEN: Mutex<Option<Taken>> = Mutex::new(None);
static HOOK: Once = Once::new();

fn taken() -> MutexGuard<'static, Option<Taken>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Restores the terminal when dropped.
pub(super) struct Guard(());

impl Guard {
    pub(super) fn enter(output: Output, mouse: bool) -> io::Result<Self> {
        HOOK.call_once(install_hook);
        // From here on, dropping the guard restores everything.
        let guard = Self(());
        take(output, mouse)?;
        Ok(guard)
    }

    /// Gives the terminal back for as long as `work` takes.
    pub(super) fn lend(
        &self,
        output: Output,
        mouse: bool,
        work: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        give_back();
        work()?;
        take(output, mouse)
    }
}

/// Sets the terminal up.
fn take(output: Output, mouse: bool) -> io::Result<()> {
    enable_raw_mode()?;
    *taken() = Some(Taken { output, mouse, thread: thread::current().id(), kept: Vec::new() });
    execute!(output.writer(), EnterAlternateScreen, EnableBracketedPaste, Hide)?;
    if mouse { execute!(output.writer(), EnableMouseCapture) } else { Ok(()) }
}

/// Stops every process of the group, this one among them, as the terminal's Ctrl-Z does; returns when the shell lets
/// them go on.
pub(super) fn stop_group() -> io::Result<()> {
    // SAFETY: it takes two numbers.
    if unsafe { libc::kill(0, libc::SIGTSTP) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl Drop for Guard {
    fn drop(&mut self) {
        give_back();
    }
}

/// Restores the terminal, once.
fn give_back() {
    let Some(taken) = taken().take() else { return };
    // If the terminal is gone, there is nothing to restore.
    if taken.mouse {
        let _ = execute!(taken.output.writer(), DisableMouseCapture);
    }
    let _ = execute!(taken.output.writer(), DisableBracketedPaste, Show, LeaveAlternateScreen);
    let _ = disable_raw_mode();
    for text in taken.kept {
        let _ = writeln!(io::stderr(), "{text}");
    }
}

fn install_hook() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let is_other = {
            let mut taken = taken();
            match taken.as_mut().filter(|taken| taken.thread != thread::current().id()) {
                Some(taken) => {
                    taken.kept.push(info.to_string());
                    true
                }
                None => false,
            }
        };
        if !is_other {
            give_back();
            before(info);
        }
    }));
}
