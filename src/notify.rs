//! What is reported to systemd, if it asks (`Type=notify`): that the server is ready, that it stops, and every now and then that
//! it lives. Elsewhere nothing is sent.

use std::{env, ffi::OsString, io, os::unix::net::UnixDatagram, time::Duration};

/// Where systemd listens.
#[derive(Debug)]
pub(crate) struct Notify {
    socket: Option<(UnixDatagram, OsString)>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// By the variables that systemd sets.
    pub(crate) fn from_environment() -> Self {
        let address = env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty());
        let socket = address.and_then(|address| Some((UnixDatagram::unbound().ok()?, address)));
        let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
        // It may be meant for another process.
        let ours = number("WATCHDOG_PID").is_none_or(|id| id == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|time| ours && *time > 0).map(Duration::from_micros);
        Self { socket, watchdog }
    }

    /// How often systemd gets a sign of life: twice as often as it demands.
    pub(crate) fn pulse(&self) -> Option<Duration> {
        self.socket.as_ref().and(self.watchdog).map(|time| time / 2)
    }

    /// Sends lines such as `READY=1`. No one needs to know whether that works.
    pub(crate) fn send(&self, text: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = send(socket, address, text)
        {
            tracing::debug!(%error, "systemd could not be told");
        }
    }
}

#[cfg(target_os = "linux")]
fn send(socket: &UnixDatagram, address: &OsString, text: &str) -> io::Result<()> {
    use std::os::{
        linux::net::SocketAddrExt as _,
        unix::{ffi::OsStrExt as _, net::SocketAddr},
    };
    let sent = match address.as_bytes() {
        [b'@', name @ ..] => socket.send_to_addr(text.as_bytes(), &SocketAddr::from_abstract_name(name)?),
        _ => socket.send_to(text.as_bytes(), address),
    };
    sent.map(drop)
}

#[cfg(not(target_os = "linux"))]
fn send(socket: &UnixDatagram, address: &OsString, text: &str) -> io::Result<()> {
    socket.send_to(text.as_bytes(), address).map(drop)
}
