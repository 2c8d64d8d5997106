//! R9 and R10 over real sockets: signed requests, keys, rates, and what the log says of them.

use std::io::Write;

use tracing::Dispatch;

use super::*;
use crate::{
    access::{
        FixedClock, KeyRing, Rate,
        sigv4::tests::{KEY, NOW, REGION, SECRET, Sent, Signer, key},
    },
    log::{LogFormat, subscriber},
};

impl Sent {
    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nConnection: close\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n", self.body.len());
        [head.as_bytes(), &self.body].concat()
    }
}

async fn locked(clock: &Arc<FixedClock>, rate: Option<Rate>) -> TestServer {
    let ring = KeyRing::new([crate::access::KeyConfig { rate, ..key(KEY, SECRET) }]).unwrap();
    TestServer::start_with(Limits::default(), Access::with_keys(REGION, ring, clock.clone()), None).await
}

async fn status(server: &TestServer, sent: &Sent) -> u16 {
    let answer = server.exchange(sent.bytes()).await;
    answer.get(9..12).unwrap_or_else(|| panic!("no status in {answer:?}")).parse().unwrap()
}

#[tokio::test]
async fn only_the_signed_get_in() {
    let clock = Arc::new(FixedClock::at(NOW));
    let server = locked(&clock, None).await;
    let signer = Signer::default();
    let good = signer.sign("GET", "/v1/apps/a%20b?c=d", b"");
    assert!(server.exchange(good.bytes()).await.ends_with("a b [(\"c\", \"d\")]"));
    let body = Signer { checksum: true, ..signer.clone() }.sign("POST", "/v1/apps", b"body");
    assert!(server.exchange(body.bytes()).await.ends_with("body"));
    assert_eq!(
        status(&server, &Signer { presign: Some(60), ..signer.clone() }.sign("GET", "/v1/apps/a", b"")).await,
        200
    );

    let mut tampered = body.clone();
    tampered.body = b"evil".to_vec();
    assert_eq!(status(&server, &tampered).await, 403);
    let mut unsigned = good.clone();
    unsigned.headers.retain(|(name, _)| name != "authorization");
    let answer = server.exchange(unsigned.bytes()).await;
    assert!(answer.contains("403") && answer.contains("ForbiddenException"), "{answer}");

    // A key that is not known and a secret that is wrong cannot be told apart.
    let message = async |signer: Signer| {
        let answer = server.exchange(signer.sign("GET", "/v1/apps/a", b"").bytes()).await;
        answer.rsplit_once("\"Message\":").unwrap().1.to_owned()
    };
    let unknown = message(Signer { key: "NOBODY", ..signer.clone() }).await;
    assert_eq!(unknown, message(Signer { secret: "something else entirely", ..signer.clone() }).await);

    // Paths that are not there, and probes, need no key.
    assert_eq!(status(&server, &unsigned_get("/nothing")).await, 404);
    assert_eq!(status(&server, &unsigned_get("/livez")).await, 200);

    clock.set(NOW + 900);
    assert_eq!(status(&server, &good).await, 200);
    clock.set(NOW + 901);
    assert_eq!(status(&server, &good).await, 403, "a replay after fifteen minutes");
    let text = server.metrics.encode().unwrap();
    for reason in ["stale", "missing", "mismatch", "unknown_key"] {
        assert!(
            text.contains(&format!("pinport_http_auth_failures_total{{reason=\"{reason}\"}} 1"))
                || reason == "mismatch",
            "{text}"
        );
    }
}

fn unsigned_get(target: &str) -> Sent {
    let headers = vec![("host".to_owned(), "localhost".to_owned())];
    Sent { method: "GET".into(), target: target.into(), headers, body: Vec::new() }
}

#[tokio::test]
async fn uploads_are_hashed_as_they_stream() {
    let server = locked(&Arc::new(FixedClock::at(NOW)), None).await;
    let body = vec![b'x'; 2 << 20];
    let hashed = Signer { checksum: true, ..Signer::default() }.sign("POST", "/uploads", &body);
    assert!(server.exchange(hashed.bytes()).await.ends_with("2097152"));
    let mut changed = hashed.clone();
    changed.body[1 << 20] = b'y';
    assert_eq!(status(&server, &changed).await, 403);
    let unsigned = Signer { checksum: true, unsigned_payload: true, ..Signer::default() };
    assert_eq!(status(&server, &unsigned.sign("POST", "/uploads", &body)).await, 200, "on loopback");
    assert_eq!(status(&server, &unsigned.sign("POST", "/v1/apps", b"x")).await, 403, "not on other routes");
    assert_eq!(status(&server, &Signer::default().sign("POST", "/uploads", &body)).await, 403, "no hash");
}

#[tokio::test]
async fn a_key_over_its_rate_learns_when_to_come_back() {
    let server = locked(&Arc::new(FixedClock::at(NOW)), Some(Rate { per_second: 0.01, burst: 2 })).await;
    let good = Signer::default().sign("GET", "/v1/apps/a", b"");
    // A wrong signature takes nothing from the key's rate.
    assert_eq!(
        status(
            &server,
            &Signer { secret: "something else entirely", ..Signer::default() }.sign("GET", "/v1/apps/a", b"")
        )
        .await,
        403
    );
    assert_eq!(status(&server, &good).await, 200);
    assert_eq!(status(&server, &good).await, 200);
    let answer = server.exchange(good.bytes()).await.to_lowercase();
    assert!(answer.starts_with("http/1.1 429") && answer.contains("toomanyrequestsexception"), "{answer}");
    let wait: u64 =
        answer.split("retry-after: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
    assert!((90..=100).contains(&wait), "{wait}");
    assert!(server.metrics.encode().unwrap().contains("pinport_http_rate_limited_total 1"));
}

#[tokio::test]
async fn keys_are_replaced_while_the_server_runs() {
    let server = locked(&Arc::new(FixedClock::at(NOW)), None).await;
    let old = Signer::default().sign("GET", "/v1/apps/a", b"");
    let new = Signer { key: "NEWKEY", ..Signer::default() }.sign("GET", "/v1/apps/a", b"");
    assert_eq!((status(&server, &old).await, status(&server, &new).await), (200, 403));
    server.access.reload(KeyRing::new([key("NEWKEY", SECRET)]).unwrap()).unwrap();
    assert_eq!((status(&server, &old).await, status(&server, &new).await), (403, 200));
}

/// M11: what is being sent to a key ends when the key is removed, gets another secret, or may do less than before.
#[tokio::test]
async fn streams_of_keys_that_lost_something_end_at_reload() {
    use crate::access::KeyConfig;

    let apps = |numbers: &[u8]| {
        Some(numbers.iter().map(|number| pinport_model::ApplicationId::from_bytes([*number; 16])).collect())
    };
    let of = |id: &str, numbers: &[u8]| KeyConfig { applications: apps(numbers), ..key(id, SECRET) };
    let before = [
        key("KEPT", SECRET),
        of("WIDENED", &[1]),
        key("REMOVED", SECRET),
        key("NARROWED", SECRET),
        of("LESS", &[1, 2]),
        key("READS", SECRET),
        key("ROTATED", SECRET),
    ];
    let ring = KeyRing::new(before).unwrap();
    let access = Access::with_keys(REGION, ring, Arc::new(FixedClock::at(NOW)));
    let server = TestServer::start_with(Limits::default(), access, None).await;
    let open = async |id: &'static str| {
        let mut socket = server.connect().await;
        let sent = Signer { key: id, ..Signer::default() }.sign("GET", "/zeros", b"");
        socket.write_all(&sent.bytes()).await.unwrap();
        let mut head = [0; 12];
        socket.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200", "{id}");
        socket
    };
    let mut kept = [open("KEPT").await, open("WIDENED").await];
    let mut ended = Vec::new();
    for id in ["REMOVED", "NARROWED", "LESS", "READS", "ROTATED"] {
        ended.push((id, open(id).await));
    }
    let after = [
        key("KEPT", SECRET),
        of("WIDENED", &[1, 2]),
        of("NARROWED", &[1]),
        of("LESS", &[2, 3]),
        KeyConfig { read_only: true, ..key("READS", SECRET) },
        key("ROTATED", "another secret of this key"),
    ];
    server.access.reload(KeyRing::new(after).unwrap()).unwrap();
    for (id, socket) in &mut ended {
        let mut block = vec![0; 1 << 20];
        let end = async {
            let mut last = Vec::new();
            while let Ok(read @ 1..) = socket.read(&mut block).await {
                last = block[..read].to_vec();
            }
            last
        };
        let last = tokio::time::timeout(Duration::from_secs(20), end).await;
        let last = last.unwrap_or_else(|_| panic!("the stream of {id} goes on"));
        assert!(!last.ends_with(b"\r\n0\r\n\r\n"), "the stream of {id} looks whole");
    }
    // More than the buffers between held at the reload.
    let mut much = vec![0; 32 << 20];
    for socket in &mut kept {
        tokio::time::timeout(Duration::from_secs(20), socket.read_exact(&mut much)).await.unwrap().unwrap();
    }
}

/// L1, L7: whatever is wrong beside the key, a key that is not known hears what a known one hears whose secret is wrong.
#[tokio::test]
async fn unknown_and_known_keys_answer_alike() {
    let limits = Limits { body_bytes: 16 << 10, body: Duration::from_millis(300), ..Limits::default() };
    let ring = KeyRing::new([key(KEY, SECRET)]).unwrap();
    let access = Access::with_keys(REGION, ring, Arc::new(FixedClock::at(NOW)));
    let server = TestServer::start_with(limits, access, None).await;
    let large = vec![b'x'; 32 << 10];
    type Change = fn(&mut Sent);
    let table: [(&str, &str, &[u8], Change); 8] = [
        ("GET", "/v1/apps/a", b"", |_| ()),
        ("POST", "/v1/apps", b"body", |_| ()),
        ("POST", "/v1/apps", &large, |_| ()),
        ("POST", "/v1/apps", b"body", |sent| {
            sent.headers.push(("x-amz-content-sha256".into(), "0".repeat(64)))
        }),
        ("POST", "/uploads", b"body", |_| ()),
        ("POST", "/uploads", b"body", |sent| {
            sent.headers.push(("x-amz-content-sha256".into(), "UNSIGNED-PAYLOAD".into()));
        }),
        ("GET", "/v1/apps/a", b"", |sent| sent.headers.retain(|(name, _)| name != "x-a")),
        ("GET", "/nothing", b"", |_| ()),
    ];
    for (method, target, body, change) in table {
        let mut answers = Vec::new();
        for key in ["NOBODY", KEY] {
            let signer = Signer { key, secret: "something else entirely", ..Signer::default() };
            let mut sent = signer.sign(method, target, body);
            change(&mut sent);
            let answer = server.exchange(sent.bytes()).await;
            // But for what differs between any two answers.
            let lines = answer
                .lines()
                .filter(|line| !line.starts_with("x-amzn-requestid") && !line.starts_with("date"));
            let mut answer: Vec<_> = lines.map(str::to_owned).collect();
            if let Some(body) = answer.last_mut() {
                *body =
                    body.split_once("\"Message\"").map_or(body.clone(), |(_, message)| message.to_owned());
            }
            answers.push(answer);
        }
        assert!(answers[0][0].starts_with("HTTP/1.1 4"), "{answers:?}");
        assert_eq!(answers[0], answers[1], "{method} {target}");
    }
    // A body that does not come is waited for as long.
    for key in ["NOBODY", KEY] {
        let sent = Signer { key, secret: "something else entirely", ..Signer::default() }
            .sign("POST", "/v1/apps", b"body");
        let mut socket = server.connect().await;
        let bytes = sent.bytes();
        socket.write_all(&bytes[..bytes.len() - 1]).await.unwrap();
        let answer = read_all(&mut socket).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{key}: {answer}");
    }
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn each_request_has_one_log_line_and_no_secret_is_in_any() {
    for format in [LogFormat::Text, LogFormat::Json] {
        let captured = Captured::default();
        let writer = captured.clone();
        let (log, _) = subscriber(format, "trace,aws_sigv4=off", move || writer.clone()).unwrap();
        let _scope = tracing::dispatcher::set_default(&Dispatch::new(log));
        let server = locked(&Arc::new(FixedClock::at(NOW)), None).await;
        let signer = Signer::default();
        let mut tampered = signer.sign("GET", "/v1/apps/a?token=hushhush", b"");
        tampered.target += "2";
        let hostile = "GET /\u{1b}[31m HTTP/1.1\r\nHost: hushhush\r\n\r\n".to_owned().into_bytes();
        let requests = [
            signer.sign("GET", "/v1/apps/a?token=hushhush", b"").bytes(),
            signer.sign("POST", "/v1/apps", b"hushhush").bytes(),
            Signer { presign: Some(60), ..signer.clone() }.sign("GET", "/v1/apps/a", b"").bytes(),
            Signer { checksum: true, ..signer.clone() }
                .sign("PUT", "/json", b"{\"\xe2\x80\xae\": 1, 2}")
                .bytes(),
            signer.sign("GET", "/fault", b"").bytes(),
            signer.sign("GET", "/v1/apps/%ff", b"").bytes(),
            tampered.bytes(),
            hostile,
        ];
        let mut ids = Vec::new();
        let mut answers = String::new();
        for request in &requests {
            let answer = server.exchange(request).await;
            ids.push(answer.split("x-amzn-requestid: ").nth(1).unwrap()[..36].to_owned());
            // The echo of a request is its owner's.
            answers += answer.split("\r\n\r\n").next().unwrap();
        }
        let text = String::from_utf8(captured.0.lock().clone()).unwrap();
        let lines: Vec<_> = text.lines().filter(|line| line.contains("pinport::request")).collect();
        assert_eq!(lines.len(), requests.len(), "{text}");
        for (line, id) in lines.iter().zip(&ids) {
            assert!(line.contains(id.as_str()), "{line}");
            if format == LogFormat::Json {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                assert!(
                    value["status"].is_u64() && value["ms"].is_f64() && value["bytes"].is_u64(),
                    "{line}"
                );
            }
        }
        assert!(
            lines[0].contains("GetApp")
                && lines[0].contains(KEY)
                && lines[0].contains("/v1/apps/{application-id}")
        );
        assert!(lines[4].contains("the disk is gone") && lines[4].contains("500"), "{}", lines[4]);
        for everywhere in [&text, &answers, &server.metrics.encode().unwrap()] {
            for secret in [SECRET, "canary", "hushhush", "Signature=", "Credential=", "\u{1b}", "\u{202e}"] {
                assert!(!everywhere.contains(secret), "{secret:?} is in {everywhere}");
            }
        }
    }
}
