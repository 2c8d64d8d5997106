//! What a page in a browser is told: by the origins that are configured, before anything else is checked.

use super::*;
use crate::access::{
    Cors, FixedClock, KeyRing,
    sigv4::tests::{KEY, NOW, REGION, SECRET, key},
};

const ORIGIN: &str = "https://app.example.com";

async fn served(access: Access, origins: &[&str]) -> TestServer {
    let cors = Cors::new(origins.iter().copied()).unwrap();
    TestServer::start_with(Limits::default(), access.with_cors(cors), None).await
}

fn locked() -> Access {
    let ring = KeyRing::new([key(KEY, SECRET)]).unwrap();
    Access::with_keys(REGION, ring, Arc::new(FixedClock::at(NOW)))
}

/// The status and the head, in small letters.
async fn ask(server: &TestServer, method: &str, path: &str, headers: &str) -> (u16, String) {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    let answer = server.exchange(head).await.to_lowercase();
    let head = answer.split_once("\r\n\r\n").unwrap().0.to_owned();
    (head[9..12].parse().unwrap(), head)
}

#[tokio::test]
async fn a_preflight_of_a_configured_origin_needs_no_signature() {
    let server = served(locked(), &["http://localhost:3000", ORIGIN]).await;
    let asks = format!(
        "Origin: {ORIGIN}\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: authorization,x-amz-date\r\n"
    );
    for path in ["/v1/apps/a", "/v1/apps", "/not/there"] {
        let (status, head) = ask(&server, "OPTIONS", path, &asks).await;
        assert_eq!(status, 200, "{head}");
        for line in [
            "access-control-allow-origin: https://app.example.com",
            "access-control-allow-methods: delete, get, head, post, put",
            "access-control-allow-headers: authorization,x-amz-date",
            "access-control-max-age: 600",
            "vary: origin",
        ] {
            assert!(head.lines().any(|found| found == line), "{line}: {head}");
        }
    }
    // Another origin is told what OPTIONS tells anybody.
    let (status, head) = ask(&server, "OPTIONS", "/v1/apps/a", &asks.replace("app.", "evil.")).await;
    assert!(status == 200 && head.contains("vary: origin") && !head.contains("access-control"), "{head}");
    let (_, head) = ask(&server, "OPTIONS", "/v1/apps/a", &format!("Origin: {ORIGIN}\r\n")).await;
    assert!(head.contains("allow: get, head, options") && !head.contains("allow-methods"), "{head}");
}

#[tokio::test]
async fn a_page_may_read_answers_and_errors_but_needs_a_signature() {
    let server = served(locked(), &[ORIGIN]).await;
    let origin = format!("Origin: {ORIGIN}\r\n");
    for (path, expected) in [("/livez", 200), ("/v1/apps/a", 403), ("/not/there", 404)] {
        let (status, head) = ask(&server, "GET", path, &origin).await;
        assert_eq!(status, expected, "{head}");
        assert!(head.contains("access-control-allow-origin: https://app.example.com\r\n"), "{head}");
        assert!(
            head.contains("access-control-expose-headers: allow, retry-after, x-amzn-errortype"),
            "{head}"
        );
    }
    for others in ["", "Origin: https://evil.example.com\r\n", "Origin: null\r\n"] {
        let (status, head) = ask(&server, "GET", "/livez", others).await;
        assert!(status == 200 && head.contains("vary: origin") && !head.contains("access-control"), "{head}");
    }
}

#[tokio::test]
async fn an_open_server_answers_to_the_pages_that_are_configured() {
    let server = served(Access::open(), &[ORIGIN]).await;
    assert_eq!(ask(&server, "GET", "/v1/apps/a", &format!("Origin: {ORIGIN}\r\n")).await.0, 200);
    assert_eq!(ask(&server, "GET", "/v1/apps/a", "Origin: https://evil.example.com\r\n").await.0, 403);
    // None are, unless they are named.
    let server = served(Access::open(), &[]).await;
    let (status, head) = ask(&server, "GET", "/v1/apps/a", &format!("Origin: {ORIGIN}\r\n")).await;
    assert!(status == 403 && !head.contains("vary") && !head.contains("access-control"), "{head}");
}
