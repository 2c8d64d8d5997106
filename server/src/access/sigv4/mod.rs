//! AWS Signature Version 4, the verifying side: from the head of a request to "this key signed exactly
//! this". It knows no keys and reads no clock; [`super::Access`] brings both.
//!
//! What it insists on beyond a matching signature:
//! - one form of authorisation, once: the header, or the query of a presigned URL;
//! - `host` signed, and `x-amz-date` (the header, or in the query); every signed header present, and those that say
//!   when and what was signed once;
//! - region, service and terminator of the scope, and its date equal to the request's;
//! - fifteen minutes either way; a presigned URL holds as long as its `X-Amz-Expires` says, up to seven days;
//! - a hashed body. boto3, aws-cli and the Rust SDK send no `x-amz-content-sha256`: the hash is then the body's
//!   own. `STREAMING-…` is refused everywhere. `UNSIGNED-PAYLOAD` is refused except where a route streams
//!   its body (uploads) over TLS or loopback, where no one can change it on its way.
//!
//! The path is taken as it came: the router matches no path that clients would normalise before signing.
//! `parse` has the grammar, `canonical` the text that is signed.

mod canonical;
mod parse;
#[cfg(test)]
pub(crate) mod signer;
#[cfg(test)]
pub(crate) mod tests;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::request::Parts;
use sha2::{Digest as _, Sha256};

use super::Secret;

/// How far the time of a request may be from ours.
pub const WINDOW_SECONDS: i64 = 15 * 60;

const TERMINATOR: &str = "aws4_request";

/// Why a request is not who it says it is. The texts are for its sender; they name no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts are the docs")]
pub enum AuthError {
    #[error("The request is not signed. Configure the client with an access key of this server.")]
    Missing,
    #[error("The request is authorised more than once. Send one Authorization header, or one signed query.")]
    Repeated,
    #[error("The request is authorised by its header and by its query. Send one of the two.")]
    Mixed,
    #[error("The signature is malformed: {0}.")]
    Malformed(&'static str),
    #[error("The algorithm is not AWS4-HMAC-SHA256, the only one this server verifies.")]
    Algorithm,
    #[error("The credential's scope must end in {expected}; set the client's region to match.")]
    Scope { expected: String },
    #[error("The request was signed {0} s ago; at most 900 s are accepted. Check the clock of the client.")]
    Stale(i64),
    #[error(
        "The request was signed {0} s in the future; at most 900 s are accepted. Check the clock of the client."
    )]
    Future(i64),
    #[error("The signed URL has expired.")]
    Expired,
    #[error("The header \"{0}\" must be signed.")]
    NotSigned(&'static str),
    #[error("The signed header \"{0}\" is not in the request.")]
    NoSuchHeader(String),
    #[error("The signed header \"{0}\" is in the request more than once.")]
    RepeatedHeader(String),
    #[error(
        "UNSIGNED-PAYLOAD is accepted for uploads over TLS or from the same machine only. Sign the body's SHA-256."
    )]
    UnsignedPayload,
    #[error("STREAMING payloads are not supported. Sign the body's SHA-256.")]
    StreamingPayload,
    #[error("An upload must say x-amz-content-sha256: the body's SHA-256, or UNSIGNED-PAYLOAD.")]
    NoPayloadHash,
    #[error("The body is not the one that was signed: its SHA-256 differs from x-amz-content-sha256.")]
    PayloadHash,
    #[error(
        "The access key is not known or the signature does not match. Check the key, its secret, and that no proxy changes the request."
    )]
    Mismatch { known_key: bool },
}

impl AuthError {
    /// A label for logs and metrics; it tells the cases apart that the text does not.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Repeated => "repeated",
            Self::Mixed => "mixed",
            Self::Malformed(_) => "malformed",
            Self::Algorithm => "algorithm",
            Self::Scope { .. } => "scope",
            Self::Stale(_) => "stale",
            Self::Future(_) => "future",
            Self::Expired => "expired",
            Self::NotSigned(_) => "header_not_signed",
            Self::NoSuchHeader(_) => "header_missing",
            Self::RepeatedHeader(_) => "header_repeated",
            Self::UnsignedPayload => "unsigned_payload",
            Self::StreamingPayload => "streaming_payload",
            Self::NoPayloadHash => "no_payload_hash",
            Self::PayloadHash => "payload_hash",
            Self::Mismatch { known_key: false } => "unknown_key",
            Self::Mismatch { known_key: true } => "mismatch",
        }
    }
}

/// The hash of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadHash {
    /// The request does not say.
    Unsaid,
    /// `UNSIGNED-PAYLOAD`.
    Unsigned,
    /// This SHA-256.
    Sha256([u8; 32]),
}

impl PayloadHash {
    /// The hash of these bytes.
    pub fn of(body: &[u8]) -> Self {
        Self::Sha256(Sha256::digest(body).into())
    }
}

/// The authorisation that a request presents, well formed and unverified.
#[derive(Debug)]
pub struct Presented {
    key_id: String,
    /// `YYYYMMDD`.
    scope_date: String,
    scope_rest: String,
    signed_headers: Vec<String>,
    signature: [u8; 32],
    /// As sent, and in seconds since 1970.
    amz_date: String,
    time: i64,
    /// How long a presigned URL holds.
    expires: Option<i64>,
    payload: PayloadHash,
}

impl Presented {
    /// Reads the authorisation from a head.
    pub fn read(parts: &Parts) -> Result<Self, AuthError> {
        parse::read(parts)
    }

    /// The access key id that it names.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// What it says of the body.
    pub fn payload(&self) -> PayloadHash {
        self.payload
    }

    /// Checks scope and time.
    pub fn check(&self, region: &str, service: &str, now: i64) -> Result<(), AuthError> {
        let expected = format!("{region}/{service}/{TERMINATOR}");
        if self.scope_rest != expected {
            return Err(AuthError::Scope { expected });
        }
        if !self.amz_date.starts_with(&self.scope_date) {
            return Err(AuthError::Malformed("the dates of the scope and of the request differ"));
        }
        let age = now.saturating_sub(self.time);
        if age < -WINDOW_SECONDS {
            return Err(AuthError::Future(-age));
        }
        match self.expires {
            Some(expires) if age > expires => Err(AuthError::Expired),
            None if age > WINDOW_SECONDS => Err(AuthError::Stale(age)),
            _ => Ok(()),
        }
    }

    /// Checks the signature over the head and the hash of the body. The comparison takes the same time wherever
    /// the two differ.
    pub fn verify(&self, parts: &Parts, secret: &Secret, body: PayloadHash) -> Result<(), AuthError> {
        if let (PayloadHash::Sha256(said), PayloadHash::Sha256(is)) = (self.payload, body)
            && said != is
        {
            return Err(AuthError::PayloadHash);
        }
        let canonical = canonical::request(parts, self, body)?;
        let scope = format!("{}/{}", self.scope_date, self.scope_rest);
        let digest = canonical::hex(&Sha256::digest(canonical.as_slice()));
        let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{digest}", self.amz_date);
        let mut key = [b"AWS4", secret.expose().as_bytes()].concat();
        for part in scope.split('/') {
            key = mac(&key, part.as_bytes()).finalize().into_bytes().to_vec();
        }
        mac(&key, text.as_bytes())
            .verify_slice(&self.signature)
            .map_err(|_| AuthError::Mismatch { known_key: true })
    }
}

pub(super) fn mac(key: &[u8], text: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac
}
