//! A way to a database that a test can block, as a network that drops everything does, and lead to another database.

use std::{
    io::{Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex},
    thread,
};

/// A port that leads to the socket of a server of PostgreSQL's. Its threads end with their connections.
pub(crate) struct PgProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: Mutex<PathBuf>,
    is_blocked: Mutex<bool>,
    opened: Condvar,
    connections: Mutex<Vec<(TcpStream, UnixStream)>>,
}

impl PgProxy {
    /// Leads to a socket. `address` is of this machine's loopback.
    pub(crate) fn start(target: PathBuf, address: IpAddr) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (is_blocked, opened, connections) = Default::default();
        let shared = Arc::new(Shared { target: Mutex::new(target), is_blocked, opened, connections });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                // Whoever connects while no server is there is cut off.
                let target = of_thread.target.lock().unwrap().clone();
                let Ok(server) = UnixStream::connect(target) else { continue };
                of_thread.connect(client, server);
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://pinport@{}/postgres?sslmode=disable", self.address)
    }

    /// From here on nothing passes, in either direction. No connection ends.
    pub(crate) fn block(&self) {
        *self.shared.is_blocked.lock().unwrap() = true;
    }

    /// What waited passes, and all that follows.
    pub(crate) fn open(&self) {
        *self.shared.is_blocked.lock().unwrap() = false;
        self.shared.opened.notify_all();
    }

    /// Leads to another socket, and ends all connections to the one before.
    pub(crate) fn lead_to(&self, target: PathBuf) {
        *self.shared.target.lock().unwrap() = target;
        for (client, server) in self.shared.connections.lock().unwrap().drain(..) {
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn connect(self: &Arc<Self>, client: TcpStream, server: UnixStream) {
        let mut connections = self.connections.lock().unwrap();
        connections.push((client.try_clone().unwrap(), server.try_clone().unwrap()));
        drop(connections);
        let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let shared = Arc::clone(self);
        thread::spawn(move || {
            shared.pass(from, &to);
            let _ = to.shutdown(Shutdown::Both);
        });
        let shared = Arc::clone(self);
        thread::spawn(move || {
            shared.pass(server, &client);
            let _ = client.shutdown(Shutdown::Both);
        });
    }

    fn pass(&self, mut from: impl Read, mut to: impl Write) {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(bytes @ 1..) = from.read(&mut buffer) {
            let is_blocked = self.is_blocked.lock().unwrap();
            drop(self.opened.wait_while(is_blocked, |is_blocked| *is_blocked).unwrap());
            if to.write_all(&buffer[..bytes]).is_err() {
                return;
            }
        }
    }
}
