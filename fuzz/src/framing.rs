//! Where requests begin and end on a connection: the same however the bytes arrive, and every head that is let
//! through means to httparse (which is hyper's reader) what it means here.

use pinport_server::fuzzing::{Framed, frame};

use super::input::Input;

const MAX_HEAD: usize = 512;
const MAX_HEADERS: usize = 8;

/// Checks the bytes of a connection.
pub fn check(data: &[u8]) {
    let mut data = Input(data);
    let part = data.number(63) + 1;
    let whole = frame(data.0, usize::MAX, MAX_HEAD, MAX_HEADERS);
    let parts = frame(data.0, part, MAX_HEAD, MAX_HEADERS);
    // Of two faults of one head either may be told.
    let said = (&parts.heads, parts.refused.is_some());
    assert_eq!(said, (&whole.heads, whole.refused.is_some()), "in parts of {part}");
    if whole.refused.is_none() {
        assert_eq!(parts.passed, whole.passed);
    } else {
        // Of a body that ends badly more or less was let through before.
        assert!(parts.passed.starts_with(&whole.passed));
    }
    let mut end = 0;
    for &(start, head_end) in &whole.heads {
        assert_eq!(start, end, "a head begins where the body before it ends");
        end = head_end + body(&whole, start, head_end);
    }
    assert!(end >= whole.passed.len(), "nothing is let through behind the last body");
}

/// Reads a head once more; the length of its body, or of what is there of it.
fn body(whole: &Framed, start: usize, end: usize) -> usize {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(&whole.passed[start..end]);
    assert_eq!(parsed, Ok(httparse::Status::Complete(end - start)));
    assert!(end - start <= MAX_HEAD);
    let values = |name: &str| {
        let named = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| header.value.to_vec()).collect::<Vec<_>>()
    };
    assert_eq!(values("host").len(), 1);
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    let rest = &whole.passed[end..];
    match (&lengths[..], &codings[..]) {
        ([], []) => 0,
        ([length], []) => str::from_utf8(length).expect("digits").parse::<usize>().expect("a length"),
        ([], [coding]) => {
            assert!(coding.eq_ignore_ascii_case(b"chunked"));
            assert_eq!(request.version, Some(1));
            chunked(rest)
        }
        _ => panic!("a body of two lengths"),
    }
}

/// The length of a chunked body at the start of `bytes`; more than there is if it does not end.
fn chunked(bytes: &[u8]) -> usize {
    let line = |at: usize| bytes.get(at..)?.windows(2).position(|pair| pair == b"\r\n");
    let mut at = 0;
    loop {
        let Some(len) = line(at) else { return usize::MAX / 2 };
        let size = &bytes[at..at + len];
        let digits = size.split(|byte| *byte == b';').next().unwrap_or_default();
        let size = str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let size = size.expect("a size in hexadecimal digits");
        at += len + 2;
        if size == 0 {
            break;
        }
        if at + size + 2 > bytes.len() {
            return usize::MAX / 2;
        }
        assert_eq!(&bytes[at + size..at + size + 2], b"\r\n");
        at += size + 2;
    }
    loop {
        let Some(len) = line(at) else { return usize::MAX / 2 };
        at += len + 2;
        if len == 0 {
            return at;
        }
    }
}
