//! A server with two roles, each of which reads a bucket of its own, and keys that may use them.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    time::Instant,
};

use aws_sigv4::http_request::SignableBody;
use serde_json::{Value, json};

use crate::{
    fault_store::FaultStore,
    http::{Reply, signature, signed},
    serving::Serving,
    support::*,
};

pub(crate) const ROW: &[u8] = b"{\"Id\":\"a\",\"Address\":\"a@example.com\",\"ChannelType\":\"EMAIL\"}\n";

pub(crate) const ROLES: [&str; 2] = ["arn:aws:iam::1:role/a", "arn:aws:iam::1:role/b"];

/// An application by its number.
pub(crate) fn app(number: u8) -> String {
    format!("{number:032x}")
}

/// A key of this name; its secret is made of it.
pub(crate) fn key(id: &str, more: &str) -> String {
    format!("[[keys]]\nid = \"{id}\"\nsecret = \"{}\"\n{more}\n", secret(id))
}

pub(crate) fn secret(id: &str) -> String {
    format!("secret-of-{id}-0123456789")
}

/// A store, and a server with two roles that read it, each a bucket of its own.
pub(crate) struct House {
    pub(crate) lab: Lab,
    pub(crate) store: FaultStore,
    pub(crate) server: Serving,
}

impl House {
    /// `sources`: more lines of `[sources]`; `keys`: the keys.
    pub(crate) fn new(sources: &str, keys: &[String]) -> Self {
        let (lab, store) =
            (Lab::new(), FaultStore::start(BTreeMap::from([("in.json".into(), ROW.to_vec())])));
        let configuration = configuration(&store, sources, keys);
        lab.write("root/a/in.json", ROW);
        lab.write("root/b/in.json", ROW);
        let root = lab.path("root");
        let server = Serving::start_rooted(&lab, &configuration, &root, &[]);
        let house = Self { lab, store, server };
        house.lab.write("up.json", ROW);
        for number in 1..=3 {
            // An upload makes its application.
            house.works("ADMIN", &app(number), "up.json", "role");
        }
        house
    }

    /// An import by a key; what came of it.
    pub(crate) fn import(&self, id: &str, app: &str, source: &str, role: &str) -> Outcome {
        let arguments = ["import", source, "--format", "json", "--app", app, "--role-arn", role, "--json"];
        self.by(id, &arguments)
    }

    /// A command to the server, signed by this key.
    pub(crate) fn by(&self, id: &str, arguments: &[&str]) -> Outcome {
        let run = self.lab.pinport(&[arguments, &["--server", &self.server.url]].concat());
        run.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", &secret(id)).run()
    }

    /// A request signed by this key.
    pub(crate) fn ask(&self, id: &str, method: &str, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let address = self.server.url.strip_prefix("http://").unwrap();
        signed(address, (id, &secret(id)), method, path, body.as_bytes())
    }

    /// Begins a request of this key, of whose body no part is signed, on a connection of its own.
    pub(crate) fn begin(&self, id: &str, method: &str, path: &str, length: usize) -> TcpStream {
        let address = self.server.url.strip_prefix("http://").unwrap();
        let (secret, body) = (secret(id), SignableBody::UnsignedPayload);
        let headers = signature(address, (id, &secret), method, path, body);
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n{headers}\r\n"
        );
        socket.write_all(head.as_bytes()).unwrap();
        socket
    }

    /// The next sample of the event stream that this key hears and that fits.
    pub(crate) fn sample(&self, id: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let address = self.server.url.strip_prefix("http://").unwrap();
        let path = "/pinport/v1/events";
        let headers = signature(address, (id, &secret(id)), "GET", path, SignableBody::Bytes(b""));
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n").unwrap();
        let begun = Instant::now();
        let mut lines = BufReader::new(socket).lines().map(Result::unwrap);
        loop {
            let line = lines.find(|line| line.starts_with("data: ")).expect("the stream goes on");
            let sample = serde_json::from_str(&line[6..]).unwrap();
            if fits(&sample) {
                return sample;
            }
            assert!(begun.elapsed() < PATIENCE, "{sample}");
        }
    }

    /// Makes a job and does not wait for it; gives its id.
    #[track_caller]
    pub(crate) fn create(&self, id: &str, app: &str, url: &str, role: &str) -> String {
        let body = json!({ "Format": "JSON", "S3Url": url, "RoleArn": role });
        let reply = self.ask(id, "POST", &format!("/v1/apps/{app}/jobs/import"), &body);
        assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
        reply.json()["Id"].as_str().unwrap().to_owned()
    }

    /// The detail of a job as this key sees it.
    #[track_caller]
    pub(crate) fn job(&self, id: &str, job: &str) -> Value {
        let reply = self.ask(id, "GET", &format!("/pinport/v1/jobs/{job}"), &Value::Null);
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        reply.json()
    }

    /// Stops the server and starts it with other keys.
    pub(crate) fn restart(&mut self, keys: &[String]) {
        self.server.signal(libc::SIGTERM);
        assert!(self.server.child.wait().unwrap().success(), "{}", self.server.log());
        let configuration = configuration(&self.store, "", keys);
        self.server = Serving::start_rooted(&self.lab, &configuration, &self.lab.path("root"), &[]);
    }

    /// An import that must be refused, with these words, before anybody is asked for anything.
    #[track_caller]
    pub(crate) fn refused(&self, id: &str, app: &str, source: &str, role: &str, words: &[&str]) {
        let before = self.store.requests();
        let outcome = self.import(id, app, source, role);
        assert_eq!(outcome.code, Some(1), "{id} {source} {role}: {}", outcome.err);
        outcome.says(&["refused (400)"]).says(words);
        assert_eq!(self.store.requests(), before, "the store was asked: {id} {source} {role}");
    }

    #[track_caller]
    pub(crate) fn works(&self, id: &str, app: &str, source: &str, role: &str) -> Value {
        let outcome = self.import(id, app, source, role);
        assert_eq!(outcome.code, Some(0), "{id} {source} {role}: {}", outcome.err);
        outcome.json()
    }
}

pub(crate) fn configuration(store: &FaultStore, sources: &str, keys: &[String]) -> String {
    let url = store.url();
    let role = |arn: &str, bucket: &str| {
        format!(
            "[roles.\"{arn}\"]\naccess_key_id = \"{bucket}\"\nsecret_access_key = \"s\"\nallow = [\"{bucket}\"]\n"
        )
    };
    format!(
        "auto_create_apps = true\n[jobs]\nmax_running = 1\nlook_seconds = 1\n[sources]\nendpoint = \"{url}\"\naccess_key_id = \"DEFAULT\"\n\
         secret_access_key = \"s\"\n{sources}\n{}{}{}",
        role(ROLES[0], "bucket-a"),
        role(ROLES[1], "bucket-b"),
        keys.concat()
    )
}
