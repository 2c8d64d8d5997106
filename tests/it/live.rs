//! A `pinport serve` of a lab, and what a client says to it over plain HTTP.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::*;

/// A server that runs until this is dropped.
pub(crate) struct Live {
    child: Child,
    pub(crate) url: String,
    log: Arc<Mutex<String>>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

impl Live {
    /// On a port of its own, reading what is in the lab, with this data folder and these lines of `pinport.toml`.
    pub(crate) fn start(lab: &Lab, data: &str, config: &str) -> Self {
        let root = lab.path("");
        let config = lab.write(&format!("{data}.toml"), config);
        let config = config.to_str().unwrap();
        let arguments = ["serve", "--config", config, "--listen", "127.0.0.1:0", "--local-root"];
        let mut serve = lab.pinport_with(data, &arguments).args([root.to_str().unwrap()]);
        serve.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = serve.command.spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let mut url = None;
        while url.is_none() {
            let mut line = String::new();
            let read = said.read_line(&mut line).unwrap();
            assert!(read > 0, "it does not say where it listens: {}", log.lock().unwrap());
            url = line.split([' ', ',']).find(|word| word.starts_with("http://")).map(str::to_owned);
            log.lock().unwrap().push_str(&line);
        }
        let kept = Arc::clone(&log);
        // What it logs must not fill the pipe.
        std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                kept.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Self { child, url: url.unwrap(), log }
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Sends a request; an error if the server is not there or goes away.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> io::Result<Reply> {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n{headers}\r\n"
        )?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "the answer is cut off");
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(cut)?;
        let body = answer.split_off(end + 4);
        let head = String::from_utf8(answer).unwrap().to_ascii_lowercase();
        let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(cut)?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let body = match length {
            Some(length) if body.len() != length.parse::<usize>().unwrap() => return Err(cut()),
            Some(_) => body,
            None if head.contains("transfer-encoding: chunked") => unchunked(&body).ok_or_else(cut)?,
            None => body,
        };
        Ok(Reply { status, head, body })
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "", b"").unwrap()
    }

    /// Posts JSON and reads the answer's, which must be 201.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let reply = self.send("POST", path, "", body.to_string().as_bytes()).unwrap();
        assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
        reply.json()
    }

    /// Makes an application; gives its id.
    pub(crate) fn app(&self, name: &str) -> String {
        let app = self.post("/v1/apps", &serde_json::json!({ "Name": name }));
        app["Id"].as_str().unwrap().to_owned()
    }

    /// A job when it has ended.
    #[track_caller]
    pub(crate) fn ended(&self, app: &str, job: &str) -> Value {
        let (_keep, never) = mpsc::sync_channel::<()>(1);
        let begun = Instant::now();
        loop {
            let found = self.get(&format!("/v1/apps/{app}/jobs/import/{job}")).json();
            if ["COMPLETED", "FAILED", "CANCELLED"].map(Value::from).contains(&found["JobStatus"]) {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end: {found}\n{}", self.log());
            let _ = never.recv_timeout(Duration::from_millis(5));
        }
    }

    /// Sends it a signal when the time has come, unless that is called off before.
    pub(crate) fn signal_after(&self, time: Duration, signal: i32) -> Fuse {
        let id = self.child.id().cast_signed();
        let (call_off, called_off) = mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            if called_off.recv_timeout(time) == Err(mpsc::RecvTimeoutError::Timeout) {
                // SAFETY: the child is not waited for while a fuse burns, so its id is its own.
                assert_eq!(unsafe { libc::kill(id, signal) }, 0);
                return true;
            }
            false
        });
        Fuse { call_off, thread }
    }

    /// Waits for its end, which must be this one: an exit code, or none after a kill.
    #[track_caller]
    pub(crate) fn wait(mut self, code: Option<i32>) {
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), code, "{}", self.log());
    }

    /// Stops it in good order.
    #[track_caller]
    pub(crate) fn stop(self) {
        assert!(self.signal_after(Duration::ZERO, libc::SIGTERM).thread.join().unwrap());
        self.wait(Some(0));
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A signal that is on its way.
pub(crate) struct Fuse {
    call_off: mpsc::SyncSender<()>,
    thread: JoinHandle<bool>,
}

impl Fuse {
    /// Calls it off; whether it was too late.
    pub(crate) fn put_out(self) -> bool {
        let _ = self.call_off.send(());
        self.thread.join().unwrap()
    }
}

/// A chunked body, when it came whole.
fn unchunked(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).ok()?, 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(body.get(end + 2..end + 2 + size)?);
        body = body.get(end + 4 + size..)?;
    }
}
