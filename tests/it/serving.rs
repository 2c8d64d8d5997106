//! The real server on a port of its own, for tests that look at it from outside.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread::JoinHandle,
};

use serde_json::Value;

use crate::support::*;

/// A server that runs until this is dropped.
pub(crate) struct Serving {
    child: Child,
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
        let serve =
            lab.pinport(&["serve", "--listen", "127.0.0.1:0", "--local-root", root.to_str().unwrap()]);
        let mut command = serve.args(more).command;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let (mut text, mut url) = (String::new(), None);
        while url.is_none() {
            let begun = text.len();
            let read = said.read_line(&mut text).unwrap();
            assert!(read > 0, "it does not say where it listens: {text}");
            let mut words = text[begun..].split([' ', ',']);
            url = words.find(|word| word.starts_with("http")).map(str::to_owned);
        }
        let url = url.unwrap();
        let log = Arc::new(Log { text: Mutex::new(text), more: Condvar::new() });
        let reader = {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                let mut line = String::new();
                while said.read_line(&mut line).is_ok_and(|read| read > 0) {
                    log.text.lock().unwrap().push_str(&line);
                    log.more.notify_all();
                    line.clear();
                }
            })
        };
        Self { child, url, log, reader: Some(reader) }
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

    /// Stops it in good order; gives its log.
    pub(crate) fn stop(mut self) -> String {
        self.signal(libc::SIGTERM);
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        let log = std::mem::take(&mut *self.log.text.lock().unwrap());
        assert_eq!(status.code(), Some(0), "{log}");
        log
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

    /// Sends a request without a signature; gives status and body.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let body = body.map(Value::to_string).unwrap_or_default();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Posts JSON and reads the answer's, which must be a 201.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let (status, body) = self.ask("POST", path, Some(body));
        assert_eq!(status, 201, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Makes an import of a file of the lab into the application `shop`; gives its id.
    pub(crate) fn import(&self, lab: &Lab, file: &str) -> String {
        // The first import makes it; a second one is told that it is there.
        self.ask("POST", "/v1/apps", Some(&serde_json::json!({ "Name": "shop" })));
        let (_, apps) = self.ask("GET", "/v1/apps", None);
        let apps: Value = serde_json::from_str(&apps).unwrap();
        let app = apps["Item"].as_array().unwrap().iter().find(|app| app["Name"] == "shop").unwrap();
        let path = format!("/v1/apps/{}/jobs/import", app["Id"].as_str().unwrap());
        let url = format!("file://{}", lab.path(file).display());
        let body = serde_json::json!({ "Format": "JSON", "S3Url": url, "RoleArn": "role" });
        self.post(&path, &body)["Id"].as_str().unwrap().to_owned()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
