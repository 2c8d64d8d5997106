//! The real server on a port of its own, for tests that look at it from outside.

#![allow(unsafe_code, reason = "calls libc")]

use std::{
    io::{self, BufRead as _, BufReader},
    path::Path,
    process::{Child, Stdio},
    sync::{Arc, Condvar, Mutex, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    http::{self, Reply},
    support::*,
};

/// A server that runs until this is dropped.
pub(crate) struct Serving {
    pub(crate) child: Child,
    pub(crate) url: String,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
}

/// What a server has said on its standard error.
#[derive(Default)]
struct Log {
    text: Mutex<String>,
    more: Condvar,
}

impl Serving {
    /// On a port of its own, open, reading what is in the lab.
    pub(crate) fn start(lab: &Lab) -> Self {
        Self::start_with(lab, "", &[])
    }

    /// The same with these lines in its configuration and these arguments.
    pub(crate) fn start_with(lab: &Lab, configuration: &str, more: &[&str]) -> Self {
        Self::start_rooted(lab, configuration, &lab.path(""), more)
    }

    /// The same reading what is in a folder.
    pub(crate) fn start_rooted(lab: &Lab, configuration: &str, root: &Path, more: &[&str]) -> Self {
        lab.write("pinport.toml", configuration);
        let serve = lab.pinport(&["serve", "--local-root", root.to_str().unwrap()]);
        Self::spawn(serve.args(more)).unwrap_or_else(|log| panic!("it does not say where it listens: {log}"))
    }

    /// With a data folder and a configuration of its own.
    pub(crate) fn start_in(lab: &Lab, data: &str, configuration: &str) -> Self {
        let root = lab.path("");
        let configuration = lab.write(&format!("{data}.toml"), configuration);
        let serve =
            ["serve", "--config", configuration.to_str().unwrap(), "--local-root", root.to_str().unwrap()];
        let serve = lab.pinport_with(data, &serve);
        Self::spawn(serve).unwrap_or_else(|log| panic!("it does not say where it listens: {log}"))
    }

    /// Starts `pinport serve` on a port of its own; what it said if it ended instead.
    pub(crate) fn spawn(serve: Run) -> Result<Self, String> {
        let mut command = serve.args(["--listen", "127.0.0.1:0"]).command;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let (mut text, mut url) = (String::new(), None);
        while url.is_none() {
            let begun = text.len();
            if said.read_line(&mut text).unwrap() == 0 {
                child.wait().unwrap();
                return Err(text);
            }
            let mut words = text[begun..].split([' ', ',', '"']);
            url = words.find(|word| word.starts_with("http")).map(str::to_owned);
        }
        let url = url.unwrap();
        let log = Arc::new(Log { text: Mutex::new(text), more: Condvar::new() });
        let reader = {
            let log = Arc::clone(&log);
            // What it logs must not fill the pipe.
            std::thread::spawn(move || {
                let mut line = String::new();
                while said.read_line(&mut line).is_ok_and(|read| read > 0) {
                    log.text.lock().unwrap().push_str(&line);
                    log.more.notify_all();
                    line.clear();
                }
            })
        };
        Ok(Self { child, url, log, reader: Some(reader) })
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        self.log.text.lock().unwrap().clone()
    }

    /// Whether its log has these words.
    pub(crate) fn has_said(&self, words: &str) -> bool {
        self.log.text.lock().unwrap().contains(words)
    }

    /// Waits until its log has these words.
    pub(crate) fn until_said(&self, words: &str) {
        let text = self.log.text.lock().unwrap();
        let wait = self.log.more.wait_timeout_while(text, PATIENCE, |text| !text.contains(words));
        let (text, wait) = wait.unwrap();
        assert!(!wait.timed_out(), "it does not say {words:?}: {text}");
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: the child was not waited for, so its id is its own.
        assert_eq!(unsafe { libc::kill(self.child.id().cast_signed(), signal) }, 0);
    }

    /// Sends a signal when the time has come, unless that is called off before.
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

    /// Waits for its end, which must be this one: an exit code, or none after a kill. Gives its log.
    #[track_caller]
    pub(crate) fn wait(mut self, code: Option<i32>) -> String {
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        let log = std::mem::take(&mut *self.log.text.lock().unwrap());
        assert_eq!(status.code(), code, "{log}");
        log
    }

    /// Stops it in good order; gives its log.
    #[track_caller]
    pub(crate) fn stop(self) -> String {
        self.signal(libc::SIGTERM);
        self.wait(Some(0))
    }

    /// With a certificate for `localhost`, which is the file `server.crt` of the lab.
    pub(crate) fn start_tls(lab: &Lab, configuration: &str) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        Self::start_certified(lab, configuration, &made.cert.pem(), &made.signing_key.serialize_pem())
    }

    /// With this certificate, which becomes the file `server.crt` of the lab.
    pub(crate) fn start_certified(lab: &Lab, configuration: &str, certificate: &str, key: &str) -> Self {
        let certificate = lab.write("server.crt", certificate);
        let key = lab.write("server.key", key);
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let (certificate, key) = (text(&certificate), text(&key));
        let mut serving =
            Self::start_with(lab, configuration, &["--tls-certificate", &certificate, "--tls-key", &key]);
        serving.url = serving.url.replace("127.0.0.1", "localhost");
        serving
    }

    /// Sends a request without a signature; an error if the server is not there or goes away.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> io::Result<Reply> {
        http::send(self.url.strip_prefix("http://").unwrap(), method, path, headers, body)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        let reply = self.send("GET", path, "", b"");
        reply.unwrap_or_else(|error| panic!("{path}: {error}\n{}", self.log()))
    }

    /// Sends JSON, if any; gives status and body.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
        let body = body.map(Value::to_string).unwrap_or_default();
        let reply = self.send(method, path, "", body.as_bytes()).unwrap();
        (reply.status, String::from_utf8(reply.body).unwrap())
    }

    /// Posts JSON and reads the answer's, which must be a 201.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let reply = self.send("POST", path, "", body.to_string().as_bytes()).unwrap();
        assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
        reply.json()
    }

    /// Makes an application; gives its id.
    #[track_caller]
    pub(crate) fn app(&self, name: &str) -> String {
        self.post("/v1/apps", &json!({ "Name": name }))["Id"].as_str().unwrap().to_owned()
    }

    /// A job when it has ended.
    #[track_caller]
    pub(crate) fn ended(&self, app: &str, job: &str) -> Value {
        let begun = Instant::now();
        loop {
            let found = self.get(&format!("/v1/apps/{app}/jobs/import/{job}")).json();
            if ["COMPLETED", "FAILED", "CANCELLED"].map(Value::from).contains(&found["JobStatus"]) {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end: {found}\n{}", self.log());
            pause(Duration::from_millis(5));
        }
    }

    /// Makes an import of a file of the lab into the application `shop`; gives its id.
    pub(crate) fn import(&self, lab: &Lab, file: &str) -> String {
        // The first import makes it.
        let apps = self.get("/v1/apps").json();
        let app = apps["Item"].as_array().unwrap().iter().find(|app| app["Name"] == "shop");
        let app = app.map_or_else(|| self.app("shop"), |app| app["Id"].as_str().unwrap().to_owned());
        let path = format!("/v1/apps/{app}/jobs/import");
        let url = format!("file://{}", lab.path(file).display());
        let body = json!({ "Format": "JSON", "S3Url": url, "RoleArn": "role" });
        self.post(&path, &body)["Id"].as_str().unwrap().to_owned()
    }
}

impl Drop for Serving {
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
