//! Requests that the AWS SDK's own signer signed, to be verified: for the tests, and for the fuzz target that
//! includes this file.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
    },
    sign::v4,
};
use http::{HeaderName, HeaderValue, request::Parts};

pub(crate) const NOW: i64 = 1_790_000_000;
pub(crate) const KEY: &str = "AKIDEXAMPLE";
/// Searched for in logs.
pub(crate) const SECRET: &str = "canary/secret+of+the+example+key";
pub(crate) const REGION: &str = "us-east-1";

/// How a client signs.
#[derive(Clone)]
pub(crate) struct Signer {
    pub(crate) key: &'static str,
    pub(crate) secret: &'static str,
    pub(crate) region: &'static str,
    pub(crate) service: &'static str,
    pub(crate) time: i64,
    /// Sends `x-amz-content-sha256`.
    pub(crate) checksum: bool,
    /// A presigned URL that holds so long.
    pub(crate) presign: Option<u64>,
    pub(crate) unsigned_payload: bool,
}

impl Default for Signer {
    fn default() -> Self {
        Self {
            key: KEY,
            secret: SECRET,
            region: REGION,
            service: "mobiletargeting",
            time: NOW,
            checksum: false,
            presign: None,
            unsigned_payload: false,
        }
    }
}

/// A request as it goes over the wire.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Signer {
    pub(crate) fn sign(&self, method: &str, target: &str, body: &[u8]) -> Sent {
        let headers = [("host", "localhost"), ("content-type", "application/json"), ("x-a", " b   c ")];
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind =
            if self.checksum { PayloadChecksumKind::XAmzSha256 } else { PayloadChecksumKind::NoHeader };
        if let Some(seconds) = self.presign {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = Some(Duration::from_secs(seconds));
        }
        let identity = Credentials::new(self.key, self.secret, None, None, "test").into();
        let time: SystemTime = UNIX_EPOCH + Duration::from_secs(self.time.try_into().unwrap());
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(time)
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let signable =
            if self.unsigned_payload { SignableBody::UnsignedPayload } else { SignableBody::Bytes(body) };
        let uri = format!("http://localhost{target}");
        let request = SignableRequest::new(method, uri, headers.into_iter(), signable).unwrap();
        let (made, _) = sign(request, &params).unwrap().into_parts();
        let mut sent = Sent {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            body: body.to_owned(),
        };
        for (name, value) in made.headers() {
            sent.headers.push((name.to_owned(), value.to_owned()));
        }
        for (name, value) in made.params() {
            let mark = if sent.target.contains('?') { '&' } else { '?' };
            sent.target += &format!("{mark}{name}={}", encoded(value));
        }
        sent
    }
}

impl Sent {
    pub(crate) fn set(&mut self, name: &str, change: impl FnOnce(&str) -> String) {
        let found = self.headers.iter_mut().find(|(given, _)| given == name);
        let (_, value) = found.unwrap_or_else(|| panic!("there is no header {name}"));
        *value = change(value);
    }

    pub(crate) fn replace(&mut self, from: &str, to: &str) {
        let before = (self.target.clone(), self.headers.clone());
        self.target = self.target.replace(from, to);
        for (_, value) in &mut self.headers {
            *value = value.replace(from, to);
        }
        assert_ne!(before, (self.target.clone(), self.headers.clone()), "{from} is not in the request");
    }

    pub(crate) fn parts(&self) -> Parts {
        let mut request =
            http::Request::builder().method(self.method.as_str()).uri(&self.target).body(()).unwrap();
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
        }
        request.into_parts().0
    }
}

/// A value as it stands in a query.
fn encoded(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    value
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).into() } else { format!("%{byte:02X}") })
        .collect()
}
