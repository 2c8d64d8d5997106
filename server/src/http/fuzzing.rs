//! The part of [`crate::fuzzing`] that only this module can see.

use bytes::BytesMut;
use http::Method;

use super::{
    Route, Router,
    framing::{Framing, Refused, Step},
    router::Matched,
};

/// What a method and path came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// An operation, with its decoded parameters.
    Operation(Route, Vec<(String, String)>),
    /// OPTIONS on a known path: the methods it knows.
    Options(String),
    /// An error with this status.
    Refused(u16),
}

/// Finds the operation for a raw path.
pub fn find(router: &Router, method: &Method, raw_path: &str) -> Found {
    match router.find(method, raw_path) {
        Ok(Matched::Operation(call)) => Found::Operation(call.route, call.params),
        Ok(Matched::Options(allow)) => Found::Options(allow),
        Err(error) => Found::Refused(error.status().code().as_u16()),
    }
}

/// What a connection's bytes were taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framed {
    /// What was let through of heads and bodies.
    pub passed: Vec<u8>,
    /// Where in `passed` each head begins and ends.
    pub heads: Vec<(usize, usize)>,
    /// Why the connection cannot go on, if it cannot.
    pub refused: Option<&'static str>,
}

/// Follows the bytes of a connection that arrive in parts of `part` bytes.
pub fn frame(input: &[u8], part: usize, max_head: usize, max_headers: usize) -> Framed {
    let mut framing = Framing::new(max_head, max_headers);
    let mut raw = BytesMut::new();
    let mut framed = Framed { passed: Vec::new(), heads: Vec::new(), refused: None };
    for part in input.chunks(part.max(1)) {
        raw.extend_from_slice(part);
        loop {
            match framing.step(&raw) {
                Ok(Step::More) => break,
                Ok(Step::Head { skip, len }) => {
                    let _ = raw.split_to(skip);
                    let start = framed.passed.len();
                    framed.passed.extend_from_slice(&raw.split_to(len));
                    framed.heads.push((start, framed.passed.len()));
                }
                Ok(Step::Body(len)) => framed.passed.extend_from_slice(&raw.split_to(len)),
                Err(Refused(reason)) => {
                    framed.refused = Some(reason);
                    return framed;
                }
            }
        }
    }
    framed
}
