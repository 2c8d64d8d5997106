//! The grammar of an authorisation, in the header and in the query.

use http::{HeaderMap, header, request::Parts};
use jiff::{civil::DateTime, tz::TimeZone};

use super::{AuthError, PayloadHash, Presented};
use crate::percent::decode_segment;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The longest that a presigned URL may be made for (AWS's own limit).
const MAX_EXPIRES: i64 = 7 * 24 * 3600;
const MAX_SIGNED_HEADERS: usize = 64;

pub(super) fn read(parts: &Parts) -> Result<Presented, AuthError> {
    let query = QueryAuth::read(parts.uri.query().unwrap_or(""))?;
    let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
    match (headers.next(), headers.next(), query) {
        (None, _, None) => Err(AuthError::Missing),
        (Some(_), _, Some(_)) => Err(AuthError::Mixed),
        (Some(_), Some(_), None) => Err(AuthError::Repeated),
        (Some(value), None, None) => {
            from_header(value.to_str().map_err(|_| AuthError::Malformed("it is not text"))?, &parts.headers)
        }
        (None, _, Some(query)) => query.presented(&parts.headers),
    }
}

/// `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`, in any order.
fn from_header(value: &str, headers: &HeaderMap) -> Result<Presented, AuthError> {
    let (algorithm, rest) = value.split_once(' ').unwrap_or((value, ""));
    if algorithm != ALGORITHM {
        return Err(AuthError::Algorithm);
    }
    let (mut credential, mut signed, mut signature) = (None, None, None);
    for part in rest.split(',') {
        let (name, value) =
            part.trim().split_once('=').ok_or(AuthError::Malformed("a part has no equals sign"))?;
        let slot = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed,
            "Signature" => &mut signature,
            _ => return Err(AuthError::Malformed("it has a part that is not known")),
        };
        if slot.replace(value).is_some() {
            return Err(AuthError::Repeated);
        }
    }
    let (Some(credential), Some(signed), Some(signature)) = (credential, signed, signature) else {
        return Err(AuthError::Malformed("Credential, SignedHeaders and Signature are needed"));
    };
    let date = once(headers, "x-amz-date")?.ok_or(AuthError::NotSigned("x-amz-date"))?;
    let presented = assemble(credential, signed, signature, date, None, headers)?;
    require_signed(&presented.signed_headers, "x-amz-date")?;
    Ok(presented)
}

/// The `X-Amz-…` parameters of a presigned URL.
#[derive(Default)]
struct QueryAuth {
    algorithm: Option<String>,
    credential: Option<String>,
    date: Option<String>,
    expires: Option<String>,
    signed: Option<String>,
    signature: Option<String>,
}

impl QueryAuth {
    fn read(raw: &str) -> Result<Option<Self>, AuthError> {
        let mut auth = Self::default();
        let mut found = false;
        for pair in raw.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode_segment(name).ok_or(AuthError::Malformed("the query does not decode"))?;
            let slot = match name.as_str() {
                "X-Amz-Algorithm" => &mut auth.algorithm,
                "X-Amz-Credential" => &mut auth.credential,
                "X-Amz-Date" => &mut auth.date,
                "X-Amz-Expires" => &mut auth.expires,
                "X-Amz-SignedHeaders" => &mut auth.signed,
                "X-Amz-Signature" => &mut auth.signature,
                _ => continue,
            };
            found = true;
            let value = decode_segment(value).ok_or(AuthError::Malformed("the query does not decode"))?;
            if slot.replace(value).is_some() {
                return Err(AuthError::Repeated);
            }
        }
        Ok(found.then_some(auth))
    }

    fn presented(self, headers: &HeaderMap) -> Result<Presented, AuthError> {
        if self.algorithm.as_deref() != Some(ALGORITHM) {
            return Err(AuthError::Algorithm);
        }
        let (Some(credential), Some(date), Some(expires), Some(signed), Some(signature)) =
            (&self.credential, &self.date, &self.expires, &self.signed, &self.signature)
        else {
            return Err(AuthError::Malformed(
                "X-Amz-Credential, -Date, -Expires, -SignedHeaders and -Signature are needed",
            ));
        };
        let digits = expires.bytes().all(|byte| byte.is_ascii_digit());
        let expires = expires.parse().ok().filter(|seconds| digits && (1..=MAX_EXPIRES).contains(seconds));
        let expires = expires.ok_or(AuthError::Malformed("X-Amz-Expires must be 1 to 604800"))?;
        assemble(credential, signed, signature, date, Some(expires), headers)
    }
}

fn assemble(
    credential: &str,
    signed: &str,
    signature: &str,
    amz_date: &str,
    expires: Option<i64>,
    headers: &HeaderMap,
) -> Result<Presented, AuthError> {
    let mut parts = credential.splitn(3, '/');
    let (Some(key_id), Some(scope_date), Some(scope_rest)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(AuthError::Malformed("the credential is not KEY/DATE/REGION/SERVICE/aws4_request"));
    };
    if scope_date.len() != 8 || !scope_date.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AuthError::Malformed("the date of the scope is not YYYYMMDD"));
    }
    let signed_headers: Vec<String> = signed.split(';').map(str::to_owned).collect();
    let sorted = signed_headers.is_sorted_by(|a, b| a < b);
    let lower = |name: &String| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase())
    };
    if !sorted || signed_headers.len() > MAX_SIGNED_HEADERS || !signed_headers.iter().all(lower) {
        return Err(AuthError::Malformed("SignedHeaders are not lower-case names, sorted, each once"));
    }
    require_signed(&signed_headers, "host")?;
    Ok(Presented {
        key_id: key_id.to_owned(),
        scope_date: scope_date.to_owned(),
        scope_rest: scope_rest.to_owned(),
        signed_headers,
        signature: unhex(signature).ok_or(AuthError::Malformed("Signature is not 64 hexadecimal digits"))?,
        amz_date: amz_date.to_owned(),
        time: time(amz_date).ok_or(AuthError::Malformed("the date is not YYYYMMDDTHHMMSSZ"))?,
        expires,
        payload: payload(headers)?,
    })
}

fn require_signed(signed: &[String], name: &'static str) -> Result<(), AuthError> {
    if signed.iter().any(|signed| signed == name) { Ok(()) } else { Err(AuthError::NotSigned(name)) }
}

fn payload(headers: &HeaderMap) -> Result<PayloadHash, AuthError> {
    match once(headers, "x-amz-content-sha256")? {
        None => Ok(PayloadHash::Unsaid),
        Some("UNSIGNED-PAYLOAD") => Ok(PayloadHash::Unsigned),
        Some(text) if text.starts_with("STREAMING-") => Err(AuthError::StreamingPayload),
        Some(text) => unhex(text)
            .map(PayloadHash::Sha256)
            .ok_or(AuthError::Malformed("x-amz-content-sha256 is not 64 hexadecimal digits")),
    }
}

/// A header that may be there once.
fn once<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, AuthError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(AuthError::RepeatedHeader(name.to_owned())),
        (None, None) => Ok(None),
        (Some(value), None) => {
            value.to_str().map(Some).map_err(|_| AuthError::Malformed("a header is not text"))
        }
    }
}

/// Lower-case digits only, as every client writes them: a signature has one spelling.
fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// `20260131T235959Z` in seconds since 1970.
fn time(text: &str) -> Option<i64> {
    let bytes: &[u8; 16] = text.as_bytes().try_into().ok()?;
    let number = |from: usize, to: usize| {
        bytes[from..to].iter().try_fold(0i16, |number, byte| {
            byte.is_ascii_digit().then(|| number * 10 + i16::from(byte - b'0'))
        })
    };
    let small = |from: usize| number(from, from + 2).and_then(|number| i8::try_from(number).ok());
    if bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let date =
        DateTime::new(number(0, 4)?, small(4)?, small(6)?, small(9)?, small(11)?, small(13)?, 0).ok()?;
    Some(TimeZone::UTC.to_timestamp(date).ok()?.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_one_form() {
        assert_eq!(time("19700102T000001Z"), Some(86_401));
        assert_eq!(time("20240229T235959Z"), Some(1_709_251_199));
        for bad in [
            "",
            "20240230T000000Z",
            "20240101T240000Z",
            "20240101t000000Z",
            "20240101T000000",
            "2024+101T000000Z",
            "20240101T0000000",
            "2024-01-01T00:00",
        ] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }
}
