//! One that attacks a server from another address, and a cgroup that says what the server took meanwhile.

#![allow(unsafe_code, reason = "calls libc")]

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{serving::Serving, support::*};

/// How many descriptors this process may have, once it has asked for as many as it can get.
pub(crate) fn descriptors() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read or fill the structure they are given.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
    }
    limit.rlim_cur
}

/// Whether this is `scripts/torture --only tenants`.
pub(crate) fn is_torture() -> bool {
    std::env::var_os("PINPORT_TORTURE_TENANTS").is_some()
}

/// Whether a folder lies in memory.
pub(crate) fn is_in_memory(folder: &Path) -> bool {
    let path = std::ffi::CString::new(folder.as_os_str().as_encoded_bytes()).unwrap();
    // SAFETY: all zeros are a statfs, which the call fills.
    let (found, system) = unsafe {
        let mut system: libc::statfs = std::mem::zeroed();
        (libc::statfs(path.as_ptr(), &raw mut system), system)
    };
    assert_eq!(found, 0, "{}", std::io::Error::last_os_error());
    system.f_type == libc::TMPFS_MAGIC
}

/// A cgroup of its own for a process, which bounds its memory.
pub(crate) struct Cage {
    pub(crate) folder: PathBuf,
    pub(crate) peak: &'static str,
}

impl Cage {
    /// Below the group of this process, if that may be done: with the second version of cgroups, or else the first.
    pub(crate) fn around(process: u32, bytes: u64) -> Option<Self> {
        let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let below = |prefix: &str, root: &str| {
            let path = own.lines().find_map(|line| line.split_once(prefix))?.1;
            let name = format!("pinport-tenants-{process}");
            Some(Path::new(root).join(path.trim_start_matches('/')).join(name))
        };
        let second = below("0::", "/sys/fs/cgroup").map(|folder| (folder, "memory.max", "memory.peak"));
        let first = below(":memory:", "/sys/fs/cgroup/memory")
            .map(|folder| (folder, "memory.limit_in_bytes", "memory.max_usage_in_bytes"));
        [second, first].into_iter().flatten().find_map(|(folder, limit, peak)| {
            std::fs::create_dir(&folder).ok()?;
            let cage = Self { folder, peak };
            // The files are there only where the group has the controller.
            let write = |file: &str, text: String| {
                let file = std::fs::OpenOptions::new().write(true).open(cage.folder.join(file));
                file.and_then(|mut file| file.write_all(text.as_bytes()))
            };
            write(limit, bytes.to_string()).ok()?;
            write("cgroup.procs", process.to_string()).ok()?;
            Some(cage)
        })
    }

    /// The most memory that was charged to it, what the system caches of files included.
    pub(crate) fn peak(&self) -> u64 {
        let peak = std::fs::read_to_string(self.folder.join(self.peak));
        peak.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.folder);
    }
}

/// Connections of another client: on Linux all of 127/8 is this machine.
pub(crate) struct Attacker {
    pub(crate) io: tokio::runtime::Runtime,
    pub(crate) server: std::net::SocketAddr,
}

impl Attacker {
    pub(crate) fn new(server: &Serving) -> Self {
        let io = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { io, server: server.url.strip_prefix("http://").unwrap().parse().unwrap() }
    }

    /// A connection on which this was sent, if the server took it.
    pub(crate) fn send(&self, bytes: &[u8]) -> Option<TcpStream> {
        let connected = self.io.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.bind("127.0.0.2:0".parse().unwrap())?;
            socket.connect(self.server).await?.into_std()
        });
        let mut socket = connected.ok()?;
        socket.set_nonblocking(false).ok()?;
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        socket.write_all(bytes).ok()?;
        Some(socket)
    }

    pub(crate) fn get(&self, path: &str) -> Option<TcpStream> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
    }
}

/// A store that takes a second to refuse a request.
pub(crate) fn refusing_slowly() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let _ = socket.read(&mut [0; 4096]);
                pause(Duration::from_secs(1));
                let _ = socket
                    .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            });
        }
    });
    address
}
