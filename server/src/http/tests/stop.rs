//! Stopping, and requests whose client has gone.

use super::*;

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect(what);
}

#[tokio::test]
async fn a_shutdown_answers_what_is_under_way_and_takes_nothing_new() {
    let server = TestServer::start(Limits::default()).await;
    let mut resting = server.connect().await;
    resting.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    read_answer(&mut resting).await;
    let mut fresh = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /hold/a HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    until("the operation begins", || !server.ended.lock().is_empty()).await;
    server.stop.cancel();
    assert_eq!(read_all(&mut resting).await, "");
    assert_eq!(read_all(&mut fresh).await, "");
    assert!(TcpStream::connect(server.address).await.is_err(), "nothing new is accepted");
    assert!(!server.served.is_finished());
    server.hold.notify_one();
    let answer = read_all(&mut busy).await;
    assert!(answer.ends_with("held") && answer.contains("connection: close"), "{answer}");
    assert_eq!(server.served.await.unwrap(), Drained { cut_off: 0 });
}

#[tokio::test]
async fn a_shutdown_waits_only_so_long() {
    let server =
        TestServer::start(Limits { shutdown: Duration::from_millis(100), ..Limits::default() }).await;
    let mut busy = server.connect().await;
    busy.write_all(b"GET /hold/a HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    until("the operation begins", || !server.ended.lock().is_empty()).await;
    server.stop.cancel();
    assert!(server.served.await.unwrap().cut_off > 0);
    assert_eq!(read_all(&mut busy).await, "");
}

#[tokio::test]
async fn an_operation_ends_though_its_client_has_gone() {
    for reset in [true, false] {
        let server = TestServer::start(Limits::default()).await;
        let mut socket = server.connect().await;
        socket.write_all(b"GET /hold/a HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        until("the operation begins", || !server.ended.lock().is_empty()).await;
        let closed = || server.metrics.encode().unwrap().contains("pinport_http_connections 0");
        if reset {
            socket.set_zero_linger().unwrap();
        }
        drop(socket);
        server.hold.notify_one();
        until("the operation ends", || server.ended.lock().last().is_some_and(|last| last == "a ended"))
            .await;
        until("the connection ends", closed).await;
    }
}

#[tokio::test]
async fn tls_is_served_and_its_certificate_replaced() {
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};

    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("crt"), dir.path().join("key"));
    let write = || {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        made.cert.der().clone()
    };
    let first = write();
    let tls = Arc::new(Tls::load(&certificate, &key).unwrap());
    let server = TestServer::start_with(Limits::default(), Access::open(), Some(Arc::clone(&tls))).await;
    let probe = async |trusted| {
        let mut roots = RootCertStore::empty();
        roots.add(trusted).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("localhost").unwrap();
        let mut socket = connector.connect(name, server.connect().await).await?;
        socket.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        io::Result::Ok(answer)
    };
    assert!(probe(first.clone()).await.unwrap().ends_with("ok"));
    let second = write();
    tls.reload().unwrap();
    assert!(probe(second).await.unwrap().ends_with("ok"));
    assert!(probe(first).await.is_err(), "the old certificate is no longer served");
    // Plain HTTP to a TLS port is not answered, and does no harm.
    assert!(!server.exchange("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.contains("200"));
}
