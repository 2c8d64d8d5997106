//! R7: whatever bytes come, each request gets one answer, in the service's form, and none of it is a 5xx.

use super::*;

/// Splits what came back into answers, checking the form of each.
fn answers(text: &str) -> Vec<(u16, String)> {
    let mut rest = text;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (head, tail) = rest.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no whole head in {rest:?}"));
        let status: u16 = head.strip_prefix("HTTP/1.1 ").or(head.strip_prefix("HTTP/1.0 ")).expect(head)[..3]
            .parse()
            .unwrap();
        if status == 100 {
            rest = tail;
            continue;
        }
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
        };
        let id = header("x-amzn-RequestId").unwrap_or_else(|| panic!("no request id in {head}"));
        assert!(id.len() == 36 && id.matches('-').count() == 4, "{id}");
        let length = header("content-length").map_or(0, |length| length.parse().unwrap());
        let body = &tail[..length];
        if status >= 400 {
            let kind = header("x-amzn-ErrorType").unwrap();
            assert!(kind.ends_with("Exception"), "{kind}");
            assert!(body.starts_with(&format!("{{\"RequestID\":\"{id}\",\"Message\":\"")), "{body}");
            assert_eq!(header("content-type").as_deref(), Some("application/json"));
        } else {
            assert_eq!(header("x-amzn-ErrorType"), None);
        }
        assert_eq!(status == 405, header("allow").is_some(), "{head}");
        assert_eq!(status == 429, header("retry-after").is_some(), "{head}");
        found.push((status, body.to_owned()));
        rest = &tail[length..];
    }
    found
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn each_request_has_one_answer() {
    let server = TestServer::start(Limits { drain: Duration::from_millis(200), ..Limits::default() }).await;
    const OK: &str = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const POST: &str = "POST /v1/apps HTTP/1.1\r\nHost: localhost\r\n";
    const END: &str = "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let with = |line: &str| format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{line}\r\n{END}");
    let post = |rest: &str| format!("{POST}{rest}{END}");
    let long = format!("a: {}\r\n", "x".repeat(33 << 10));
    let many = "a: b\r\n".repeat(64);
    let most = "a: b\r\n".repeat(63);
    let table: Vec<(String, &[u16])> = vec![
        // Sound ones, pipelined, split over any connection.
        (END.into(), &[200]),
        (format!("{OK}{OK}{END}"), &[200, 200, 200]),
        (format!("\r\n\r\n{END}"), &[200]),
        (END.replace("1.1", "1.0"), &[200]),
        // As load balancers check: HTTP/1.0 without a host ends the connection.
        (format!("GET /livez HTTP/1.0\r\n\r\n{END}"), &[200]),
        (with("a: \u{e9}\r\n"), &[200, 200]),
        (with(&most), &[200, 200]),
        (post("Content-Length: 2\r\n\r\nhi"), &[200, 200]),
        (post("Content-Length: 0\r\n\r\n"), &[200, 200]),
        (post("Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"), &[200, 200]),
        (post("Transfer-Encoding: chunked\r\n\r\n002;x=\"y\"\r\nhi\r\n0\r\nt: v\r\n\r\n"), &[200, 200]),
        (post("Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi"), &[200, 200]),
        (with("Content-Length: 2\r\n\r\nhi").replace("hi\r\n", "hi"), &[200, 200]),
        // Ambiguous ones: one answer, and what follows is not a request.
        (with("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"), &[400]),
        (with("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), &[400]),
        (with("Content-Length: 3\r\nContent-Length: 4\r\n"), &[400]),
        (with("Content-Length: -1\r\n"), &[400]),
        (with("Content-Length: 99999999999999999999\r\n"), &[400]),
        (with("Transfer-Encoding: identity\r\n"), &[400]),
        (with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), &[400]),
        (with("Host: localhost\r\n"), &[400]),
        (with(" folded\r\n"), &[400]),
        (with("a : b\r\n"), &[400]),
        (with("a\r\n"), &[400]),
        (with(": b\r\n"), &[400]),
        (with("a: \0\r\n"), &[400]),
        (with("a: b\nc: d\r\n"), &[400]),
        (with("a: b\rc: d\r\n"), &[400]),
        (with(&many), &[400]),
        (with(&long), &[400]),
        (format!("{OK}GET / HTTP/1.1\r\n\r\n{END}"), &[200, 400]),
        (format!("GET /livez HTTP/1.1\r\n\r\n{END}"), &[400]),
        (format!("GET /livez HTTP/1.1\r\nHost:\r\n\r\n{END}"), &[400]),
        (format!("GET /livez HTTP/1.1\nHost: localhost\n\n{END}"), &[400]),
        (format!("GET /livez\r\n\r\n{END}"), &[400]),
        (format!("GET  /livez HTTP/1.1\r\nHost: localhost\r\n\r\n{END}"), &[400]),
        (format!("GET /livez HTTP/1.1 \r\nHost: localhost\r\n\r\n{END}"), &[400]),
        (format!("GET /li vez HTTP/1.1\r\nHost: localhost\r\n\r\n{END}"), &[400]),
        (format!("GET http://localhost/livez HTTP/1.1\r\nHost: localhost\r\n\r\n{END}"), &[400]),
        (format!("CONNECT localhost:1 HTTP/1.1\r\nHost: localhost\r\n\r\n{END}"), &[400]),
        (format!("GET /livez HTTP/3.0\r\nHost: localhost\r\n\r\n{END}"), &[400]),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), &[400]),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\n".into(), &[400]),
        (format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n{END}", "x".repeat(40_000)), &[400]),
        // Broken bodies.
        (post("Transfer-Encoding: chunked\r\n\r\nxx\r\nhi\r\n0\r\n\r\n"), &[400]),
        (post("Transfer-Encoding: chunked\r\n\r\n2\nhi\r\n0\r\n\r\n"), &[400]),
        (post("Transfer-Encoding: chunked\r\n\r\n2\r\nhix\r\n0\r\n\r\n"), &[400]),
        (post("Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhi\r\n0\r\n\r\n"), &[400]),
        // Sound HTTP that asks for what is not there.
        (END.replace("/livez", "/"), &[404]),
        (END.replace("/livez", "/v1/apps//x"), &[404]),
        (END.replace("/livez", "/v1/apps/../livez"), &[404]),
        (END.replace("/livez", "/v1/apps/%zz"), &[400]),
        (END.replace("/livez", "/v1/apps/%ff"), &[400]),
        (END.replace("/livez", "/v1/apps/a?b=%"), &[400]),
        (END.replace("/livez", "/v1/apps/a%2Fb?c=%2B+"), &[200]),
        (END.replace("GET", "DELETE"), &[405]),
        (END.replace("GET", "BREW"), &[405]),
        (END.replace("GET", "TRACE"), &[405]),
        (END.replace("/livez", "/late"), &[429]),
        (post("Content-Length: 2\r\n\r\nhi").replace("POST /v1/apps", "PUT /json"), &[400, 200]),
        (post("\r\n").replace("POST /v1/apps", "PUT /json"), &[400, 200]),
        (post("Content-Length: 8\r\n\r\n{\"a\": 1}").replace("POST /v1/apps", "PUT /json"), &[201, 200]),
        (format!("DELETE /empty HTTP/1.1\r\nHost: localhost\r\n\r\n{END}"), &[204, 200]),
        // A page in a browser, and a public name that resolves to the loopback.
        (
            END.replace("/livez", "/v1/apps/a").replace("Connection", "Origin: http://evil\r\nConnection"),
            &[403],
        ),
        (END.replace("/livez", "/v1/apps/a").replace("localhost", "evil.example"), &[403]),
        (END.replace("/livez", "/v1/apps/a").replace("localhost", "[::1]:80"), &[200]),
    ];
    for (request, expected) in &table {
        let got = answers(&server.exchange(request).await);
        let statuses: Vec<_> = got.iter().map(|(status, _)| *status).collect();
        assert_eq!(&statuses, expected, "{:?}\n{got:?}", &request[..request.len().min(300)]);
    }
    println!("R7: {} raw requests, each answer once", table.len());
}

#[tokio::test]
async fn a_head_cut_short_is_one_400() {
    let server = TestServer::start(Limits { drain: Duration::from_millis(100), ..Limits::default() }).await;
    let whole = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    for cut in 0..=whole.len() {
        let mut socket = server.connect().await;
        socket.write_all(&whole[..cut]).await.unwrap();
        socket.shutdown().await.unwrap();
        let got = answers(&read_all(&mut socket).await);
        let statuses: Vec<_> = got.iter().map(|(status, _)| *status).collect();
        match cut {
            0 => assert!(statuses.is_empty()),
            cut if cut == whole.len() => assert_eq!(statuses, [200]),
            _ => assert_eq!(statuses, [400], "cut {cut}"),
        }
    }
}

#[tokio::test]
async fn a_body_cut_short_reaches_no_operation() {
    let server = TestServer::start(Limits::default()).await;
    for body in ["Content-Length: 5\r\n\r\nhi", "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"] {
        let mut socket = server.connect().await;
        socket
            .write_all(format!("POST /v1/apps HTTP/1.1\r\nHost: localhost\r\n{body}").as_bytes())
            .await
            .unwrap();
        socket.shutdown().await.unwrap();
        let statuses: Vec<_> =
            answers(&read_all(&mut socket).await).iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses, [400]);
    }
    let text = server.metrics.encode().unwrap();
    assert!(!text.contains("operation=\"CreateApp\",status=\"200\""), "{text}");
}

#[tokio::test]
async fn faults_are_500s_that_say_nothing() {
    let server = TestServer::start(Limits::default()).await;
    for path in ["/panic", "/fault"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let got = answers(&server.exchange(request).await);
        assert_eq!(got[0].0, 500);
        assert!(!got[0].1.contains("purpose") && !got[0].1.contains("disk"), "{got:?}");
    }
}

#[tokio::test]
async fn options_lists_the_methods() {
    let server = TestServer::start(Limits::default()).await;
    let request = "OPTIONS /v1/apps HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = server.exchange(request).await.to_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.contains("allow: options, post\r\n"), "{answer}");
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = TestServer::start(Limits::default()).await;
    let request = "HEAD /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = server.exchange(request).await.to_lowercase();
    assert!(answer.contains("content-length: 2\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_broken_answer_is_not_taken_for_a_whole_one() {
    let server = TestServer::start(Limits::default()).await;
    let answer = server.exchange("GET /broken HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(!answer.contains("0\r\n\r\n"), "{answer}");
}
