//! What the fuzz targets see of the inside of this crate: routing, framing, tokens and signatures. For `fuzz/`
//! alone; nothing else may call it.

use http::request::Parts;

use crate::{
    access::{
        Access,
        sigv4::{AuthError, PayloadHash},
    },
    http::fuzzing as inner,
    operations::token,
    percent,
};

pub use inner::{Found, Framed, find, frame};

/// Checks the signature of a request as the server does: the id of the key that made it.
pub fn judge(access: &Access, parts: &Parts, body: &[u8]) -> Result<Option<String>, AuthError> {
    let Some(claim) = access.claim(parts, false)? else { return Ok(None) };
    Ok(claim.verify(parts, PayloadHash::of(body))?.key_id().map(str::to_owned))
}

/// What a segment of a path says.
pub fn decode_segment(raw: &str) -> Option<String> {
    percent::decode_segment(raw)
}

/// The token for the place after `key` in a list.
pub fn write_token(list: &str, owner: &[u8], key: &[u8]) -> String {
    token::write(list, owner, key)
}

/// The key that a token holds, if this list gave it out.
pub fn read_token(list: &str, owner: &[u8], token: &str) -> Option<[u8; 16]> {
    token::read(list, owner, token).ok()
}
