//! HTTP as plain as it goes: one request a connection, and what comes back.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    time::SystemTime,
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use serde_json::Value;

use crate::support::PATIENCE;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// Sends a request; an error if the server is not there or goes away.
pub(crate) fn send(address: &str, method: &str, path: &str, headers: &str, body: &[u8]) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{headers}\r\n"
    )?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    reply(answer)
}

/// The reply that was read.
pub(crate) fn reply(mut answer: Vec<u8>) -> io::Result<Reply> {
    let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "the answer is cut off");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(cut)?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8(answer).unwrap().to_ascii_lowercase();
    let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(cut)?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let body = match length {
        Some(length) if body.len() != length.parse::<usize>().unwrap() => return Err(cut()),
        Some(_) => body,
        None if head.contains("transfer-encoding: chunked") => unchunked(&body).ok_or_else(cut)?,
        None => body,
    };
    Ok(Reply { status, head, body })
}

/// Sends a request that a key of the server signs, as AWS's SDKs do.
#[track_caller]
pub(crate) fn signed(address: &str, key: (&str, &str), method: &str, path: &str, body: &[u8]) -> Reply {
    let headers = signature(address, key, method, path, SignableBody::Bytes(body));
    send(address, method, path, &headers, body).unwrap()
}

/// The headers that sign a request.
#[track_caller]
pub(crate) fn signature(
    address: &str,
    (id, secret): (&str, &str),
    method: &str,
    path: &str,
    body: SignableBody<'_>,
) -> String {
    // What is not signed has to be said.
    let mut settings = SigningSettings::default();
    if matches!(body, SignableBody::UnsignedPayload) {
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    let identity = Credentials::new(id, secret, None, None, "test").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("mobiletargeting")
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let uri = format!("http://{address}{path}");
    let request = SignableRequest::new(method, uri, [("host", address)].into_iter(), body).unwrap();
    let (made, _) = sign(request, &params).unwrap().into_parts();
    made.headers().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

/// A chunked body, when it came whole.
fn unchunked(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).ok()?, 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(body.get(end + 2..end + 2 + size)?);
        body = body.get(end + 4 + size..)?;
    }
}
