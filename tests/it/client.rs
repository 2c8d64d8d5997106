//! Commands against servers that want TLS and signatures, and against what is no pinport.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
};

use crate::{serving::Serving, support::*};

const KEYS: &str = "[[keys]]\nid = \"ITKEY\"\nsecret = \"it-secret-0123456789\"\n";

/// `pinport top --once --json`, which asks for little.
fn top(lab: &Lab, server: &str) -> Run {
    lab.pinport(&["top", "--once", "--json", "--server", server])
}

fn signed(run: Run) -> Run {
    run.env("AWS_ACCESS_KEY_ID", "ITKEY").env("AWS_SECRET_ACCESS_KEY", "it-secret-0123456789")
}

#[test]
fn requests_are_signed_where_a_server_asks_for_it() {
    let lab = Lab::new();
    let server = Serving::start_with(&lab, KEYS, &[]);
    let url = &server.url;
    assert_eq!(signed(top(&lab, url)).expect(0).json()["jobs_total"], 0);

    lab.write(
        ".aws/credentials",
        "[pinport]\naws_access_key_id = ITKEY\naws_secret_access_key = it-secret-0123456789\n",
    );
    assert_eq!(top(&lab, url).env("AWS_PROFILE", "pinport").expect(0).json()["jobs_total"], 0);

    top(&lab, url).expect(1).says(&["wants signed requests", "AWS_ACCESS_KEY_ID", "hint: "]);
    let wrong = top(&lab, url).env("AWS_ACCESS_KEY_ID", "ITKEY").env("AWS_SECRET_ACCESS_KEY", "another");
    wrong.expect(1).says(&["refused (403)", "the signature does not match", "AWS_PROFILE"]);
    signed(top(&lab, url)).env("AWS_REGION", "eu-west-1").expect(1).says(&[
        "refused (403)",
        "us-east-1",
        "AWS_REGION",
    ]);
    let half = top(&lab, url).env("AWS_ACCESS_KEY_ID", "ITKEY");
    half.expect(1).says(&["AWS_SECRET_ACCESS_KEY is not"]);
}

#[test]
fn certificates_are_checked() {
    let lab = Lab::new();
    let server = Serving::start_tls(&lab, KEYS);
    let ca = lab.path("server.crt");
    let ca = ca.to_str().unwrap();
    assert_eq!(signed(top(&lab, &server.url).args(["--ca", ca])).expect(0).json()["jobs_total"], 0);
    assert_eq!(signed(top(&lab, &server.url).env("PINPORT_CA", ca)).expect(0).json()["jobs_total"], 0);

    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let other = lab.write("other.crt", other.cert.pem());
    let untrusted = top(&lab, &server.url).args(["--ca", other.to_str().unwrap()]);
    untrusted.expect(1).says(&["no private connection", "--ca FILE"]);
    let misnamed = server.url.replace("localhost", "127.0.0.1");
    top(&lab, &misnamed).args(["--ca", ca]).expect(1).says(&["no private connection", "not valid for name"]);

    let plain = server.url.replace("https:", "http:");
    top(&lab, &plain).expect(1).says(&["cannot be reached", "https:// if it has a certificate"]);
    lab.write("empty.crt", "");
    top(&lab, &server.url).args(["--ca", "empty.crt"]).expect(2).says(&["--ca empty.crt", "no certificate"]);
    top(&lab, &server.url).args(["--ca", "absent.crt"]).expect(1).says(&["absent.crt"]);
}

/// What `openssl req -x509` makes is marked as an authority's, and its own server shows it.
#[test]
fn a_certificate_that_is_its_own_authority_is_taken_from_the_file() {
    let lab = Lab::new();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let made = params.self_signed(&key).unwrap();
    let server = Serving::start_certified(&lab, "", &made.pem(), &key.serialize_pem());
    let ca = lab.path("server.crt");
    let ca = ca.to_str().unwrap();
    assert_eq!(top(&lab, &server.url).args(["--ca", ca]).expect(0).json()["jobs_total"], 0);
    let misnamed = server.url.replace("localhost", "127.0.0.1");
    top(&lab, &misnamed).args(["--ca", ca]).expect(1).says(&["no private connection"]);
    // Whoever does not name it hears that it is an authority's, and what to do.
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let other = lab.write("other.crt", other.cert.pem());
    let untrusted = top(&lab, &server.url).args(["--ca", other.to_str().unwrap()]).expect(1);
    untrusted.says(&[
        "no private connection",
        "hint: the server shows the certificate of an authority",
        "CA:FALSE",
    ]);
}

#[test]
fn a_server_that_is_no_pinport_is_reported() {
    let lab = Lab::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers = [
        "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    ];
    let answering = std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    top(&lab, &url).expect(1).says(&["not one of a pinport server", "404", "--server URL"]);
    top(&lab, &url).expect(1).says(&["--server URL"]);
    answering.join().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    top(&lab, &format!("https://localhost:{port}")).expect(1).says(&["cannot be reached", "pinport serve"]);
}
