//! A terminal for the real binary: a pty that it controls, and what a terminal would show of its output.
//!
//! Nothing here knows what a dashboard should show; that is what the tests are for.

#![allow(unsafe_code, reason = "calls libc")]

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    process::{Child, ExitStatus},
    sync::{Arc, Condvar, Mutex},
    thread::JoinHandle,
};

use crate::support::*;

/// How long a screen may take to show what is waited for.
const SCREEN_PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// What the terminal has taken in.
#[derive(Default)]
struct Taken {
    parser: vt100::Parser,
    bytes: Vec<u8>,
    ended: bool,
    /// Nothing more is to be taken in.
    left: bool,
}

/// A command on a terminal of its own.
pub(crate) struct OnTerminal {
    child: Child,
    master: File,
    taken: Arc<(Mutex<Taken>, Condvar)>,
    reader: Option<JoinHandle<()>>,
    before: libc::termios,
}

/// How a command left its terminal.
pub(crate) struct Left {
    pub(crate) status: ExitStatus,
    /// The screen.
    pub(crate) text: String,
    /// Everything that was written.
    pub(crate) bytes: Vec<u8>,
}

impl OnTerminal {
    /// Starts the command on a terminal of this many columns and rows.
    pub(crate) fn start(run: Run, columns: u16, rows: u16) -> Self {
        // No other command that is started meanwhile gets hold of it: then it could not be hung up.
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        // SAFETY: it takes a number and gives one.
        let master = unsafe { libc::posix_openpt(flags) };
        assert!(master >= 0, "{}", std::io::Error::last_os_error());
        // SAFETY: it was just opened and has no other owner.
        let master = unsafe { File::from_raw_fd(master) };
        let fd = master.as_raw_fd();
        // SAFETY: the descriptor is open, and all three take numbers.
        let (done, slave) =
            unsafe { (libc::grantpt(fd) | libc::unlockpt(fd), libc::ioctl(fd, libc::TIOCGPTPEER, flags)) };
        assert!(done == 0 && slave >= 0, "{}", std::io::Error::last_os_error());
        // SAFETY: as above.
        let slave = unsafe { OwnedFd::from_raw_fd(slave) };
        set_size(&master, columns, rows);
        let before = settings(&master);
        let mut command = run.command;
        let stream = || slave.try_clone().unwrap();
        command.stdin(stream()).stdout(stream()).stderr(stream());
        for (name, value) in [("TERM", "xterm-256color"), ("LC_ALL", "C.UTF-8")] {
            if command.get_envs().all(|(given, _)| given != name) {
                command.env(name, value);
            }
        }
        // SAFETY: between fork and exec only these two system calls are made.
        unsafe {
            command.pre_exec(|| {
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        // Our copies of the command's end go now, so that reading ends with the command.
        drop((command, slave));
        let taken: Arc<(Mutex<Taken>, Condvar)> = Arc::default();
        taken.0.lock().unwrap().parser = vt100::Parser::new(rows, columns, 0);
        let reader = std::thread::spawn({
            let (taken, mut output) = (Arc::clone(&taken), master.try_clone().unwrap());
            move || {
                let mut bytes = [0; 4096];
                // An error says that no one holds the other end any more.
                while let Ok(len @ 1..) = output.read(&mut bytes) {
                    let mut now = taken.0.lock().unwrap();
                    now.parser.process(&bytes[..len]);
                    now.bytes.extend_from_slice(&bytes[..len]);
                    taken.1.notify_all();
                    if now.left {
                        return;
                    }
                }
                taken.0.lock().unwrap().ended = true;
                taken.1.notify_all();
            }
        });
        Self { child, master, taken, reader: Some(reader), before }
    }

    /// Waits until the screen is like this; gives it.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let (taken, changed) = &*self.taken;
        let mut now = taken.lock().unwrap();
        // Over all: a screen that lives is drawn again and again.
        let begun = std::time::Instant::now();
        loop {
            let text = now.parser.screen().contents();
            if is(&text) {
                return text;
            }
            assert!(!now.ended, "it ended before there was {what}:\n{text}");
            let (next, _) = changed.wait_timeout(now, SCREEN_PATIENCE).unwrap();
            assert!(
                begun.elapsed() < SCREEN_PATIENCE,
                "there is no {what}:\n{}",
                next.parser.screen().contents()
            );
            now = next;
        }
    }

    /// Waits until the screen has this text.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) -> String {
        self.wait_until(&format!("\"{text}\""), |screen| screen.contains(text))
    }

    /// Whether the screen that is seen is the one that goes away.
    pub(crate) fn is_full_screen(&self) -> bool {
        self.taken.0.lock().unwrap().parser.screen().alternate_screen()
    }

    /// Whether the terminal's settings are those before the command.
    pub(crate) fn is_as_before(&self) -> bool {
        let now = settings(&self.master);
        (now.c_lflag, now.c_iflag, now.c_oflag)
            == (self.before.c_lflag, self.before.c_iflag, self.before.c_oflag)
    }

    /// Types keys. What follows Esc at once is Alt and that key, as on every terminal: wait for what Esc does.
    pub(crate) fn keys(&self, keys: &str) {
        (&self.master).write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        self.taken.0.lock().unwrap().parser.screen_mut().set_size(rows, columns);
        set_size(&self.master, columns, rows);
    }

    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: the child was not waited for, so its id is its own.
        assert_eq!(unsafe { libc::kill(self.child.id().cast_signed(), signal) }, 0);
    }

    /// Takes the terminal away, as a lost ssh session does; gives how the command ended.
    pub(crate) fn hang_up(mut self) -> ExitStatus {
        self.taken.0.lock().unwrap().left = true;
        // It draws at least once a second, and reading ends with that.
        self.reader.take().map(JoinHandle::join).unwrap().unwrap();
        self.master = File::open("/dev/null").unwrap();
        let (id, child) = (self.child.id().cast_signed(), &mut self.child);
        std::thread::scope(|scope| {
            let (done, ended) = std::sync::mpsc::sync_channel(1);
            scope.spawn(move || done.send(child.wait().unwrap()));
            ended.recv_timeout(SCREEN_PATIENCE).unwrap_or_else(|_| {
                // SAFETY: no one has waited for it, or else it had been said.
                unsafe { libc::kill(id, libc::SIGKILL) };
                panic!("it goes on without a terminal");
            })
        })
    }

    /// Waits for its end, and checks that the terminal is as it was before.
    #[track_caller]
    pub(crate) fn end(mut self) -> Left {
        let (taken, changed) = &*self.taken;
        let mut now = taken.lock().unwrap();
        let begun = std::time::Instant::now();
        while !now.ended {
            let (next, _) = changed.wait_timeout(now, SCREEN_PATIENCE).unwrap();
            assert!(
                begun.elapsed() < SCREEN_PATIENCE,
                "it does not end:\n{}",
                next.parser.screen().contents()
            );
            now = next;
        }
        let screen = now.parser.screen();
        let (text, bytes) = (screen.contents(), now.bytes.clone());
        assert!(!screen.alternate_screen(), "the other screen is left on:\n{text}");
        assert!(!screen.hide_cursor(), "the cursor is left hidden:\n{text}");
        assert!(!screen.bracketed_paste(), "pasting is left bracketed");
        drop(now);
        let after = settings(&self.master);
        let modes = |of: &libc::termios| (of.c_iflag, of.c_oflag, of.c_cflag, of.c_lflag);
        assert_eq!(modes(&after), modes(&self.before), "the terminal's modes are others than before");
        self.reader.take().map(JoinHandle::join).unwrap().unwrap();
        Left { status: self.child.wait().unwrap(), text, bytes }
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn set_size(terminal: &File, columns: u16, rows: u16) {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is open and the size is read.
    let done = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &size) };
    assert_eq!(done, 0);
}

fn settings(terminal: &File) -> libc::termios {
    // SAFETY: zeroes are a value of this plain structure, which the call fills.
    let (done, found) = unsafe {
        let mut found: libc::termios = std::mem::zeroed();
        (libc::tcgetattr(terminal.as_raw_fd(), &mut found), found)
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    found
}
