//! The text that is signed: method, path, query, headers and the body's hash, in their one canonical form.

use http::request::Parts;

use super::{AuthError, PayloadHash, Presented};
use crate::percent::decode_segment;

/// The canonical request. A body whose hash no one said must be hashed by the caller before.
pub(super) fn request(parts: &Parts, presented: &Presented, body: PayloadHash) -> Result<Vec<u8>, AuthError> {
    let mut text = Vec::with_capacity(1024);
    text.extend_from_slice(parts.method.as_str().as_bytes());
    text.push(b'\n');
    // The path that came is encoded once more, percent signs included, as every service but S3 has it.
    encode(parts.uri.path().as_bytes(), true, &mut text);
    text.push(b'\n');
    query(parts.uri.query().unwrap_or(""), &mut text)?;
    text.push(b'\n');
    for name in &presented.signed_headers {
        if !parts.headers.contains_key(name.as_str()) {
            return Err(AuthError::NoSuchHeader(name.clone()));
        }
        text.extend_from_slice(name.as_bytes());
        // A header that is repeated has its values in the order they came, as AWS's published test suite has it.
        for (at, value) in parts.headers.get_all(name.as_str()).iter().enumerate() {
            text.push(if at == 0 { b':' } else { b',' });
            trim_into(value.as_bytes(), &mut text);
        }
        text.push(b'\n');
    }
    text.push(b'\n');
    text.extend_from_slice(presented.signed_headers.join(";").as_bytes());
    text.push(b'\n');
    match body {
        PayloadHash::Unsigned => text.extend_from_slice(b"UNSIGNED-PAYLOAD"),
        PayloadHash::Sha256(hash) => text.extend_from_slice(hex(&hash).as_bytes()),
        PayloadHash::Unsaid => return Err(AuthError::NoPayloadHash),
    }
    Ok(text)
}

/// Names and values, decoded and encoded again so that each has one spelling, sorted. The signature of a presigned
/// URL cannot sign itself.
fn query(raw: &str, text: &mut Vec<u8>) -> Result<(), AuthError> {
    let recode = |part: &str| {
        let decoded = decode_segment(part).ok_or(AuthError::Malformed("the query does not decode"))?;
        let mut encoded = Vec::with_capacity(part.len());
        encode(decoded.as_bytes(), false, &mut encoded);
        Ok(encoded)
    };
    let mut pairs = Vec::new();
    for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (recode(name)?, recode(value)?);
        if name != b"X-Amz-Signature" {
            pairs.push((name, value));
        }
    }
    pairs.sort();
    for (at, (name, value)) in pairs.iter().enumerate() {
        if at > 0 {
            text.push(b'&');
        }
        text.extend_from_slice(name);
        text.push(b'=');
        text.extend_from_slice(value);
    }
    Ok(())
}

pub(super) fn encode(bytes: &[u8], keep_slash: bool, text: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (byte == b'/' && keep_slash) {
            text.push(byte);
        } else {
            text.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// A value without outer white space, inner runs of spaces as one.
fn trim_into(value: &[u8], text: &mut Vec<u8>) {
    let mut last = b' ';
    for &byte in value.trim_ascii() {
        if byte != b' ' || last != b' ' {
            text.push(byte);
        }
        last = byte;
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
