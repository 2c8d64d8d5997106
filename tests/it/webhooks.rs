//! Webhooks: what a receiver gets when a job ends or stands still, signed, tried again until it is taken, also after a
//! restart of the server.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    sync::mpsc,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{serving::Serving, support::*};

const SECRET: &str = "a-secret-of-the-tests-0123";

/// What a receiver got.
#[derive(Debug)]
pub(crate) struct Hook {
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Hook {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("no {name}: {:?}", self.headers))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A receiver on loopback that answers with these codes, and then with 200.
pub(crate) struct Receiver {
    pub(crate) url: String,
    hooks: mpsc::Receiver<Hook>,
}

impl Receiver {
    pub(crate) fn start(codes: &'static [u16]) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), codes)
    }

    pub(crate) fn on(listener: TcpListener, codes: &'static [u16]) -> Self {
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (sender, hooks) = mpsc::sync_channel(100);
        std::thread::spawn(move || {
            let mut codes = codes.iter().copied();
            for socket in listener.incoming() {
                let mut socket = BufReader::new(socket.unwrap());
                let mut lines = Vec::new();
                loop {
                    let mut line = String::new();
                    if socket.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                        break;
                    }
                    lines.push(line.trim().to_owned());
                }
                let Some(first) = lines.first() else { continue };
                let path = first.split(' ').nth(1).unwrap().to_owned();
                assert!(first.starts_with("POST "), "{first}");
                let headers = lines[1..].iter().filter_map(|line| line.split_once(": "));
                let headers: Vec<_> =
                    headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
                let length =
                    headers.iter().find(|(name, _)| name == "content-length").unwrap().1.parse().unwrap();
                let mut body = vec![0; length];
                socket.read_exact(&mut body).unwrap();
                let code = codes.next().unwrap_or(200);
                let answer = format!("HTTP/1.1 {code} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = socket.get_mut().write_all(answer.as_bytes());
                let _ = sender.send(Hook { path, headers, body: String::from_utf8(body).unwrap() });
            }
        });
        Self { url, hooks }
    }

    #[track_caller]
    pub(crate) fn next(&self) -> Hook {
        self.hooks.recv_timeout(PATIENCE).unwrap()
    }
}

fn configuration(url: &str, more: &str) -> String {
    format!("[webhooks]\nurl = \"{url}\"\nsecret = \"{SECRET}\"\n{more}")
}

/// HMAC-SHA256 by the tool that receivers have, if it is there.
fn hmac(text: &str) -> Option<String> {
    let mut command = std::process::Command::new("openssl");
    command.args(["dgst", "-sha256", "-hmac", SECRET]).stdin(std::process::Stdio::piped());
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().ok()?;
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let out = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    Some(out.trim().rsplit(' ').next().unwrap().to_owned())
}

#[test]
fn the_end_of_a_job_is_sent_signed_until_it_is_taken() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 100 --bad 10%");
    let receiver = Receiver::start(&[500, 302]);
    let server = Serving::start_with(&lab, &configuration(&receiver.url, ""), &[]);
    let job = server.import(&lab, "rows.json");
    let hooks: Vec<_> = (0..3).map(|_| receiver.next()).collect();
    server.until_said("webhook sent");
    for hook in &hooks {
        assert_eq!((hook.path.as_str(), hook.header("x-pinport-event")), ("/hook", "job.ended"));
        assert_eq!(hook.header("content-type"), "application/json");
        let told = hook.json();
        assert_eq!((&told["event"], &told["job"]["id"]), (&json!("job.ended"), &json!(job)));
        assert_eq!(told["job"]["progress"]["status"], "COMPLETED");
        assert_eq!(
            (&told["job"]["progress"]["parsed"], &told["id"]),
            (&json!(100), &json!(hook.header("x-pinport-delivery")))
        );
        // All tries are the same delivery, each with a signature of its time.
        assert_eq!(hook.header("x-pinport-delivery"), hooks[0].header("x-pinport-delivery"));
        let signature = hook.header("x-pinport-signature");
        let (time, sum) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
        assert_eq!(sum.len(), 64);
        if let Some(expected) = hmac(&format!("{time}.{}", hook.body)) {
            assert_eq!(sum, expected);
        }
    }
    // It is sent once it was taken, and nothing is left of it.
    let waiting = || std::fs::read_dir(lab.path("data/webhooks")).unwrap().count();
    while waiting() > 0 {
        pause(Duration::from_millis(5));
    }
    assert!(receiver.hooks.try_recv().is_err());
    let log = server.stop();
    assert!(!log.contains(SECRET), "{log}");
}

#[test]
fn an_undelivered_webhook_is_sent_after_a_restart() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 10");
    // No one listens there for now.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}/hook");
    let server = Serving::start_with(&lab, &configuration(&url, ""), &[]);
    let job = server.import(&lab, "rows.json");
    server.until_said("webhook not taken");
    server.signal(libc::SIGKILL);
    server.wait(None);
    let receiver = Receiver::on(TcpListener::bind(address).unwrap(), &[]);
    let server = Serving::start_with(&lab, &configuration(&url, ""), &[]);
    assert_eq!(receiver.next().json()["job"]["id"], json!(job));
    server.until_said("webhook sent");
}

#[test]
fn a_job_that_stands_still_is_reported_once() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 20000");
    let receiver = Receiver::start(&[]);
    let more = "stall = \"1s\"\n[jobs]\nbytes_per_second = 1\n";
    let server = Serving::start_with(&lab, &configuration(&receiver.url, more), &[]);
    let job = server.import(&lab, "rows.json");
    let hook = receiver.next();
    assert_eq!((hook.header("x-pinport-event"), &hook.json()["job"]["id"]), ("job.stalled", &json!(job)));
    lab.pinport(&["jobs", "cancel", &job, "--server", &server.url]).expect(0);
    // The next is the end: it was not told twice.
    let hook = receiver.next();
    assert_eq!(
        (hook.header("x-pinport-event"), &hook.json()["job"]["progress"]["status"]),
        ("job.ended", &json!("CANCELLED"))
    );
}

#[test]
fn the_maker_of_a_job_gets_its_webhook_where_that_is_allowed() {
    let lab = Lab::new();
    lab.write_sample("rows.json", "--rows 10");
    let receiver = Receiver::start(&[]);
    let base = receiver.url.strip_suffix("hook").unwrap();
    let allowed = format!("[webhooks]\nsecret = \"{SECRET}\"\nallow = [\"{base}tenants/\"]\n");
    let server = Serving::start_with(&lab, &allowed, &[]);
    let job = server.import(&lab, "rows.json");
    let mine = format!("{base}tenants/a");
    let webhook = |url: &str| lab.pinport(&["jobs", "webhook", &job, url, "--server", &server.url]);
    webhook(&format!("{base}other")).expect(1).says(&["[webhooks] allow"]);
    // Whether it has ended by now or not.
    webhook(&mine).expect(0);
    let hook = receiver.next();
    assert_eq!((hook.path.as_str(), &hook.json()["job"]["id"]), ("/tenants/a", &json!(job)));
    let (status, body) =
        server.ask("PUT", &format!("/pinport/v1/jobs/{job}/webhook"), Some(&json!({ "url": mine })));
    assert_eq!(status, 202, "{body}");
    drop(server);
    for (configuration, told) in [
        ("[webhooks]\nurl = \"https://a.example/\"\n", "(webhooks.url): a secret is needed"),
        (
            "[webhooks]\nurl = \"http://a.example/\"\nsecret = \"0123456789abcdef\"\n",
            "must begin with https://",
        ),
        (
            "[webhooks]\nallow = [\"https://a.example\"]\nsecret = \"0123456789abcdef\"\n",
            "slash behind its host",
        ),
    ] {
        lab.write("pinport.toml", configuration);
        lab.pinport(&["config", "check", "--listen", "127.0.0.1:0"]).expect(2).says(&[told]);
    }
}
