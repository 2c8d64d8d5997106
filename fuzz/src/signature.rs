//! Signatures: what the AWS SDK's signer signed holds, whatever the target and the body; no change of it does,
//! unless it means the same; and bytes that no one signed never hold.

use std::sync::{Arc, OnceLock};

use http::{HeaderValue, Method, Uri};
use pinport_server::{
    access::{Access, FixedClock, KeyConfig, KeyRing, Secret, sigv4::AuthError},
    fuzzing::{decode_segment, judge},
};

use super::{
    input::Input,
    signer::{KEY, NOW, REGION, SECRET, Sent, Signer},
};

/// Checks a request.
pub fn check(data: &[u8]) {
    let mut data = Input(data);
    if data.byte() < 64 {
        return unsigned(data);
    }
    let method = data.of(&["GET", "POST", "PUT", "DELETE"]);
    let (checksum, presign) = (data.number(1) == 1, data.number(3) == 3);
    let harm = data.number(5);
    let (place, byte) = (data.number(1023), data.byte());
    let body = data.part(64);
    let Ok(target) = str::from_utf8(data.0) else { return };
    if !is_plain(target) {
        return;
    }
    let presign = presign.then_some(300);
    let body = if presign.is_some() { &[] } else { body };
    let sent = Signer { checksum, presign, ..Signer::default() }.sign(method, target, body);
    assert_eq!(judged(&sent), Some(Ok(Some(KEY.to_owned()))), "{sent:?}");
    let mut other = sent.clone();
    let same = change(&mut other, harm, place, byte);
    let Some(found) = judged(&other) else { return };
    match same {
        Some(true) => assert_eq!(found, Ok(Some(KEY.to_owned())), "{other:?}"),
        Some(false) => assert!(found.is_err(), "{sent:?} as {other:?}"),
        None => {}
    }
}

/// Targets that every client signs as they are: others are not routed, or no client writes them so.
fn is_plain(target: &str) -> bool {
    let Ok(uri) = target.parse::<Uri>() else { return false };
    let plain = |segment: &str| !matches!(segment, "" | "." | "..");
    let query = uri.query().unwrap_or("");
    target.starts_with('/')
        && target.is_ascii()
        && uri.authority().is_none()
        && uri.path_and_query().is_some_and(|parsed| parsed.as_str() == target)
        && uri.path().split('/').skip(1).all(plain)
        && !query.contains('+')
        && decoded(query).is_some_and(|pairs| !pairs.iter().any(|(name, _)| name.starts_with("X-Amz-")))
}

/// The pairs of a query in the order of what is signed.
fn decoded(query: &str) -> Option<Vec<(String, String)>> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        Some((decode_segment(name)?, decode_segment(value)?))
    };
    let mut pairs = parts.map(pair).collect::<Option<Vec<_>>>()?;
    pairs.sort();
    Some(pairs)
}

/// Changes the request; whether it still means what was signed, if that is known.
fn change(sent: &mut Sent, harm: usize, place: usize, byte: u8) -> Option<bool> {
    match harm {
        0 => {
            let at = place % (sent.body.len() + 1);
            sent.body.insert(at, byte);
            Some(false)
        }
        1 => {
            let before = sent.target.clone();
            let at = place % before.len();
            let byte = char::from(byte & 0x7f);
            sent.target.replace_range(at..=at, byte.encode_utf8(&mut [0; 4]));
            let meaning = |target: &str| {
                let (path, query) = target.split_once('?').unwrap_or((target, ""));
                Some((path.to_owned(), decoded(query)?))
            };
            Some(meaning(&before) == meaning(&sent.target))
        }
        2 => {
            let index = place % sent.headers.len();
            let (name, value) = &mut sent.headers[index];
            let before = value.clone();
            let at = (place / 7) % (before.len() + 1);
            value.insert(at, char::from(byte & 0x7f));
            let squeezed = |text: &str| text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
            // Spaces between the parts of an authorisation are free; within them nothing is said here.
            let same =
                squeezed(&before) == squeezed(value) || (name == "authorization" && byte & 0x7f == b' ');
            if same { None } else { Some(false) }
        }
        3 => {
            let index = place % sent.headers.len();
            if byte.is_multiple_of(2) {
                sent.headers.remove(index);
            } else {
                let twice = sent.headers[index].clone();
                sent.headers.push(twice);
            }
            Some(false)
        }
        4 => {
            sent.headers.push(("x-not-signed".into(), "1".into()));
            Some(true)
        }
        _ => {
            let method = ["GET", "POST", "PUT", "DELETE", "HEAD"][place % 5];
            let same = method == sent.method;
            sent.method = method.into();
            Some(same)
        }
    }
}

/// What the server says of a request; nothing if HTTP cannot carry it.
fn judged(sent: &Sent) -> Option<Result<Option<String>, AuthError>> {
    sent.target.parse::<Uri>().ok().filter(|uri| uri.authority().is_none())?;
    if sent.headers.iter().any(|(_, value)| HeaderValue::from_str(value).is_err()) {
        return None;
    }
    Some(judge(access(), &sent.parts(), &sent.body))
}

fn access() -> &'static Access {
    static ACCESS: OnceLock<Access> = OnceLock::new();
    ACCESS.get_or_init(|| {
        let key = KeyConfig {
            id: KEY.into(),
            secret: Secret::new(SECRET),
            applications: None,
            read_only: false,
            rate: None,
        };
        let ring = KeyRing::new([key]).expect("one good key");
        Access::with_keys(REGION, ring, Arc::new(FixedClock::at(NOW)))
    })
}

/// A request with any authorisation at all.
fn unsigned(mut data: Input<'_>) {
    let form = data.byte();
    let (authorization, date, hash) = (data.part(600), data.part(20), data.part(70));
    let Ok(uri) = Uri::try_from(data.0) else { return };
    let mut request = http::Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    let mut add = |name: &'static str, value: &[u8]| {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            request.headers_mut().append(name, value);
        }
    };
    add("host", b"localhost");
    if form & 1 == 0 {
        add("authorization", authorization);
    }
    add("x-amz-date", if form & 2 == 0 { b"20260921T141320Z" } else { date });
    if form & 4 == 4 {
        add("x-amz-content-sha256", hash);
    }
    if form & 24 == 24 {
        add("authorization", authorization);
    }
    let error = judge(access(), &request.into_parts().0, b"").expect_err("nobody signed this");
    assert!(!format!("{error} {error:?} {}", error.reason()).contains(SECRET));
}
