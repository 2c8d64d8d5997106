//! Why a server did not do what it was asked: sentences for an operator, and what to do about it.

use std::fmt;

/// Why the server did not do what it was asked.
#[derive(Debug, Clone)]
pub(crate) enum ClientError {
    /// It was not reached, or the connection broke.
    Unreachable { server: String, reason: String },
    /// The connection could not be made private.
    Untrusted { server: String, reason: String },
    /// It wants signed requests, and there is no key to sign with.
    NoKeys { server: String, reason: String },
    /// It answered with an error.
    Refused { status: u16, message: String },
    /// Its answer was not understood.
    Strange { what: String },
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { server, reason } => {
                write!(f, "the server at {server} cannot be reached: {reason}")
            }
            Self::Untrusted { server, reason } => {
                write!(f, "no private connection to the server at {server}: {reason}")
            }
            Self::NoKeys { server, reason } => {
                write!(f, "the server at {server} wants signed requests, and there is no key: {reason}")
            }
            Self::Refused { status, message } => write!(f, "the server refused ({status}): {message}"),
            Self::Strange { what } => {
                write!(f, "the answer is not one of a pinport server of this version: {what}")
            }
        }
    }
}

impl std::error::Error for ClientError {}

impl ClientError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { server, .. } if server.starts_with("https:") => {
                Some("start it with `pinport serve`, or name another one with --server URL")
            }
            Self::Unreachable { .. } => Some(
                "start it with `pinport serve`, or name another one with --server URL (https:// if it has a certificate)",
            ),
            // What `openssl req -x509` makes is marked so.
            Self::Untrusted { reason, .. } if reason.contains("CaUsedAsEndEntity") => Some(
                "the server shows the certificate of an authority: name that certificate itself with --ca FILE, or give the \
                 server one that is none (openssl req -x509 -addext basicConstraints=critical,CA:FALSE)",
            ),
            Self::Untrusted { .. } => {
                Some("name the certificates to trust with --ca FILE; a server without TLS is http://")
            }
            Self::NoKeys { .. } => Some(
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key of that server, or AWS_PROFILE",
            ),
            Self::Refused { status: 401 | 403, .. } => {
                Some("the key is the one of AWS_ACCESS_KEY_ID or AWS_PROFILE, the region that of AWS_REGION")
            }
            Self::Refused { .. } => None,
            Self::Strange { .. } => Some("name a pinport server with --server URL"),
        }
    }
}
