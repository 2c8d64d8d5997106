//! The token with which the metrics are read: scrapers can send one, and none signs as SDKs do.

use hmac::Mac as _;
use serde::Deserialize;

use super::{keys::Secret, sigv4::mac};

/// A token that is good enough.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Secret")]
pub struct ScrapeToken(Secret);

/// Why a token is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token for metrics must be 16 to 256 letters, digits and signs of ASCII, without spaces")]
pub struct BadToken;

impl TryFrom<Secret> for ScrapeToken {
    type Error = BadToken;

    fn try_from(secret: Secret) -> Result<Self, BadToken> {
        let text = secret.expose();
        let sound = (16..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if sound { Ok(Self(secret)) } else { Err(BadToken) }
    }
}

impl ScrapeToken {
    /// Whether it is this one. How long that takes tells nothing of it: what is compared are its and the other's codes.
    pub(super) fn is(&self, given: &[u8]) -> bool {
        let own = self.0.expose().as_bytes();
        mac(own, given).verify(&mac(own, own).finalize().into_bytes()).is_ok()
    }
}

/// The token in a header, if it has one.
pub(super) fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_itself_alone() {
        let token = ScrapeToken::try_from(Secret::new("0123456789abcdef")).unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for other in ["", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef0"] {
            assert!(!token.is(other.as_bytes()), "{other}");
        }
        for bad in ["short", "has a space in it 01", "0123456789abcd\u{e9}f"] {
            assert_eq!(ScrapeToken::try_from(Secret::new(bad)).unwrap_err(), BadToken, "{bad}");
        }
        assert!(!format!("{token:?}").contains("0123"));
    }

    #[test]
    fn a_bearer_is_found() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        for other in ["", "Bearer", "Basic abc", "AWS4-HMAC-SHA256 Credential=x"] {
            assert_eq!(bearer(other.as_bytes()), None, "{other}");
        }
    }
}
