//! `pinport top` and a server: what is seen of its jobs from outside.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Stdio},
};

use serde_json::Value;

use crate::support::*;

/// A server that runs until this is dropped.
struct Serving {
    child: Child,
    url: String,
}

impl Serving {
    /// On a port of its own, reading what is in the lab.
    fn start(lab: &Lab) -> Self {
        let root = lab.path("");
        let mut serve =
            lab.pinport(&["serve", "--listen", "127.0.0.1:0", "--local-root", root.to_str().unwrap()]);
        serve.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = serve.command.spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let url = line.split([' ', ',']).find(|word| word.starts_with("http://"));
        let url = url.unwrap_or_else(|| panic!("it does not say where it listens: {line}")).to_owned();
        // What it logs must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self { child, url }
    }

    /// Posts JSON and reads the answer's.
    fn post(&self, path: &str, body: &Value) -> Value {
        let address = self.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let body = body.to_string();
        let length = body.len();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// Makes an import of a file of the lab; gives its id.
    fn import(&self, lab: &Lab, file: &str) -> String {
        let app = self.post("/v1/apps", &serde_json::json!({ "Name": "shop" }));
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

#[test]
fn once_and_json_show_the_jobs() {
    let lab = Lab::new();
    lab.write("in/rows.json", lab.sample("--rows 300"));
    let server = Serving::start(&lab);
    let top = |more: &[&str]| lab.pinport(&["top", "--server", &server.url]).args(more);

    let empty = top(&["--once"]).expect(0);
    let text = String::from_utf8(empty.out).unwrap();
    assert!(text.starts_with("0 jobs at "), "{text}");

    let id = server.import(&lab, "in/rows.json");
    // The same stream that a dashboard follows tells when the job has ended.
    let mut follow = top(&["--json"]).command;
    let mut follow = follow.stdout(Stdio::piped()).spawn().unwrap();
    let ended = BufReader::new(follow.stdout.take().unwrap()).lines().find_map(|line| {
        let sample: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_eq!(sample["jobs_total"], 1);
        (sample["jobs"][0]["progress"]["status"] == "COMPLETED").then_some(sample)
    });
    // The reader is gone, which is how `| head` ends it.
    let _ = follow.kill();
    follow.wait().unwrap();
    assert_eq!(ended.unwrap()["jobs"][0]["id"], *id);

    let sample = top(&["--once", "--json"]).expect(0).json();
    assert_eq!(sample["jobs"][0]["id"], *id);
    assert_eq!(sample["jobs"][0]["application_name"], "shop");
    assert_eq!(sample["jobs"][0]["progress"]["parsed"], 300);
    let text = String::from_utf8(top(&["--once"]).expect(0).out).unwrap();
    assert!(text.starts_with("1 job at ") && text.contains(&id) && text.contains("300 read"), "{text}");
}

#[test]
fn without_a_terminal_lines_come_until_a_signal() {
    let lab = Lab::new();
    lab.write("in/rows.json", lab.sample("--rows 300"));
    let server = Serving::start(&lab);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut top = lab.pinport(&["top", "--json", "--server", &server.url]).command;
        let mut top = top.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(top.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["jobs_total"], 0);
        // SAFETY: the child was not waited for, so its id is its own.
        assert_eq!(unsafe { libc::kill(top.id().cast_signed(), signal) }, 0);
        std::io::copy(&mut out, &mut std::io::sink()).unwrap();
        assert_eq!(top.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_server_that_is_not_there_is_explained() {
    let lab = Lab::new();
    // Nobody listens on a port that was just given back.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    for more in [&["--once"][..], &["--once", "--json"]] {
        let top = lab.pinport(&["top", "--server", &url]).args(more).expect(1);
        top.says(&[&url, "cannot be reached", "hint: ", "pinport serve", "--server"]);
        assert!(top.out.is_empty());
    }
    for wrong in ["https://127.0.0.1:1", "127.0.0.1:7465", "http://a:b@c", "http://"] {
        lab.pinport(&["top", "--once", "--server", wrong]).expect(2).says(&["--server", "http://"]);
    }
}
