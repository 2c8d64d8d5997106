//! Time limits, size limits and many connections. Limits are short here; the margins are wide.

use std::time::Instant;

use super::*;

const SHORT: Duration = Duration::from_millis(150);

fn short() -> Limits {
    Limits { head: SHORT, idle: SHORT, body: SHORT, drain: SHORT, write_stall: SHORT, ..Limits::default() }
}

#[tokio::test]
async fn a_slow_head_is_a_408_and_silence_is_a_close() {
    let server = TestServer::start(short()).await;
    let mut silent = server.connect().await;
    assert_eq!(read_all(&mut silent).await, "");
    let mut slow = server.connect().await;
    slow.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n").await.unwrap();
    let answer = read_all(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("RequestTimeoutException"), "{answer}");
}

#[tokio::test]
async fn a_head_that_drips_does_not_gain_time() {
    let server = TestServer::start(short()).await;
    let started = Instant::now();
    let mut drip = server.connect().await;
    let (mut reader, mut writer) = drip.split();
    let drips = async {
        writer.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n").await.unwrap();
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if writer.write_all(b"a: b\r\n").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut first = [0; 12];
    tokio::select! { read = reader.read_exact(&mut first) => { read.unwrap(); } () = drips => {} }
    assert_eq!(&first, b"HTTP/1.1 408");
    assert!(started.elapsed() < SHORT * 6, "64 headers would have taken longer");
}

#[tokio::test]
async fn a_resting_connection_is_closed_and_a_busy_one_is_not() {
    let server = TestServer::start(short()).await;
    let mut socket = server.connect().await;
    socket.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let rest = Instant::now();
    let answer = read_all(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok"), "{answer}");
    assert!(rest.elapsed() >= SHORT && rest.elapsed() < SHORT * 10, "{:?}", rest.elapsed());

    let mut busy = server.connect().await;
    busy.write_all(b"GET /hold/a HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    tokio::time::sleep(SHORT * 3).await;
    server.hold.notify_one();
    assert!(read_answer(&mut busy).await.ends_with("held"));
}

#[tokio::test]
async fn slow_bodies_are_given_up() {
    let server = TestServer::start(short()).await;
    for path in ["/v1/apps", "/uploads"] {
        let mut socket = server.connect().await;
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhi");
        socket.write_all(head.as_bytes()).await.unwrap();
        let answer = read_all(&mut socket).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn an_upload_at_a_fair_rate_may_take_any_time() {
    let server = TestServer::start(Limits { body_rate: 1000, ..short() }).await;
    let mut socket = server.connect().await;
    socket
        .write_all(b"POST /uploads HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    for _ in 0..25 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let chunk = format!("200\r\n{}\r\n", "x".repeat(0x200));
        socket.write_all(chunk.as_bytes()).await.unwrap();
    }
    socket.write_all(b"0\r\n\r\n").await.unwrap();
    assert!(read_answer(&mut socket).await.ends_with("12800"));
}

#[tokio::test]
async fn large_bodies_are_a_413_that_arrives_and_uploads_have_no_cap() {
    let server = TestServer::start(Limits::default()).await;
    let body = vec![b'x'; 3 << 20];
    let sent = |path: &str, chunked: bool| {
        let mut request =
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n").into_bytes();
        if chunked {
            request.extend_from_slice(
                format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len()).as_bytes(),
            );
            request.extend_from_slice(&body);
            request.extend_from_slice(b"\r\n0\r\n\r\n");
        } else {
            request.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            request.extend_from_slice(&body);
        }
        request
    };
    for chunked in [false, true] {
        // As SDKs do it: everything is sent before anything is read.
        let answer = server.exchange(sent("/v1/apps", chunked)).await;
        assert!(answer.starts_with("HTTP/1.1 413"), "chunked {chunked}: {answer}");
        assert!(answer.contains("PayloadTooLargeException"), "{answer}");
        let answer = server.exchange(sent("/uploads", chunked)).await;
        assert!(answer.ends_with(&body.len().to_string()), "chunked {chunked}: {answer}");
    }
    let exact = format!("POST /v1/apps HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", 1 << 20);
    let mut socket = server.connect().await;
    socket.write_all(exact.as_bytes()).await.unwrap();
    socket.write_all(&body[..1 << 20]).await.unwrap();
    assert!(read_answer(&mut socket).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_refused_expectation_costs_no_body() {
    let server = TestServer::start(short()).await;
    let request = "POST /v1/apps HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 9000000\r\n\r\n";
    let answer = server.exchange(request).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_cut_off() {
    let server = TestServer::start(short()).await;
    let mut socket = server.connect().await;
    socket.write_all(b"GET /zeros HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let gone = async {
        while !server.metrics.encode().unwrap().contains("pinport_http_connections 0") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    // The connection must have been counted first.
    let mut byte = [0];
    socket.read_exact(&mut byte).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the stalled answer is given up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_resting_or_slow_connections_do_not_stop_a_probe() {
    let server = TestServer::start(Limits { shutdown: Duration::from_secs(5), ..Limits::default() }).await;
    let mut resting = Vec::new();
    for at in 0..1000 {
        let mut socket = server.connect().await;
        let bytes: &[u8] = match at % 3 {
            0 => b"",
            1 => b"GET /livez HTTP/1.1\r\nHost: local",
            _ => b"POST /v1/apps HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhi",
        };
        socket.write_all(bytes).await.unwrap();
        resting.push(socket);
    }
    let mut times = Vec::new();
    for _ in 0..200 {
        let started = Instant::now();
        let mut probe = server.connect().await;
        probe.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        assert!(read_answer(&mut probe).await.ends_with("ok"));
        times.push(started.elapsed());
    }
    times.sort();
    println!("R7: 1000 connections held; probe p50 {:?}, p99 {:?}", times[100], times[197]);
    assert!(times[197] < Duration::from_millis(500), "p99 {:?}", times[197]);
}

#[tokio::test]
async fn connections_over_the_limit_are_refused_in_words_and_probes_are_answered() {
    let server = TestServer::start(Limits { connections: 2, ..Limits::default() }).await;
    let first = server.connect().await;
    let mut second = server.connect().await;
    second.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    read_answer(&mut second).await;
    let answer = server.exchange("GET /v1/apps/a HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("connections_per_peer"), "{answer}");
    assert!(answer.to_lowercase().contains("retry-after: 1\r\n"), "{answer}");
    let probe = server.exchange("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(probe.ends_with("ok") && probe.to_lowercase().contains("connection: close"), "{probe}");
    drop(first);
    let again = async {
        let request = "GET /v1/apps/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        while !server.exchange(request).await.starts_with("HTTP/1.1 200") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), again).await.expect("the first one's place is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_of_one_client_leave_probes_and_other_clients_alone() {
    let limits = Limits { connections: 512, connections_per_peer: 384, ..Limits::default() };
    let server = TestServer::start(Limits { shutdown: Duration::from_secs(5), ..limits }).await;
    let mut idle = Vec::new();
    for _ in 0..600 {
        idle.push(server.connect().await);
    }
    let mut times = Vec::new();
    for _ in 0..100 {
        let started = Instant::now();
        let probe = server.exchange("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert!(probe.ends_with("ok"), "{probe}");
        times.push(started.elapsed());
    }
    times.sort();
    assert!(times[98] < Duration::from_millis(100), "p99 {:?}", times[98]);
    // On Linux the whole of 127/8 is this machine.
    if cfg!(target_os = "linux") {
        let other = tokio::net::TcpSocket::new_v4().unwrap();
        other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut other = other.connect(server.address).await.unwrap();
        other.write_all(b"GET /v1/apps/a HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        assert!(read_answer(&mut other).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn bodies_share_one_budget_before_anybody_knows_whose_they_are() {
    // A quarter of it for one address.
    let limits = Limits { memory: 1 << 20, memory_wait: SHORT, ..Limits::default() };
    let server = TestServer::start(limits).await;
    let head = format!("POST /v1/apps HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", 200 << 10);
    let begin = async || {
        let mut socket = server.connect().await;
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&[b'x'; 100 << 10]).await.unwrap();
        socket
    };
    let mut first = begin().await;
    let held = async {
        // Until the first holds its share, one more may get it.
        loop {
            let mut second = begin().await;
            let answer = tokio::time::timeout(SHORT * 3, read_answer(&mut second)).await;
            if let Ok(answer) = answer {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(10), held).await.expect("a body is refused");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("[http] memory"), "{answer}");
    // Small ones pass, and the first goes on.
    let small =
        "POST /v1/apps HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
    assert!(server.exchange(small).await.ends_with("hi"));
    first.write_all(&[b'x'; 100 << 10]).await.unwrap();
    assert!(read_answer(&mut first).await.starts_with("HTTP/1.1 200"));
}
