//! The part of [`crate::fuzzing`] that only this module can see.

use pinport_model::PlannedObject;

use super::{Settings, decode, remote};

/// Decodes what is in memory: all that came out, how it ended in words, and the bytes that were used.
pub(crate) fn decode(
    input: &[u8],
    chunk: usize,
    room: usize,
    most: u64,
) -> (Vec<u8>, Result<(), String>, u64) {
    let caps = decode::Caps { decoded: most, ratio: u64::MAX, grace: u64::MAX };
    let (bytes, end, used) = decode::whole::decode(input, chunk, room, caps);
    (bytes, end.map_err(|fault| format!("{fault:?}")), used)
}

/// Where an object of a bucket on this machine is asked for.
pub(crate) fn object_url(bucket: &str, key: &str) -> Result<String, String> {
    remote::object_url(bucket, key, &Settings::empty().with("AWS_ENDPOINT_URL", "http://127.0.0.1:1"))
}

/// A page of a listing: its objects, and how to ask for the next one.
pub(crate) fn listing(body: &[u8]) -> Result<(Vec<PlannedObject>, Option<String>), String> {
    let text = |next| match next {
        remote::Next::Token(text) | remote::Next::Key(text) => text,
    };
    remote::read_page(body).map(|page| (page.objects, page.next.map(text)))
}
