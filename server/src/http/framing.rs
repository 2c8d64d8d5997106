//! Follows the bytes of one connection and finds where each head and each body ends, more strictly than
//! hyper does: it refuses what two readers could understand differently (bare line feeds, a length beside
//! chunks, two hosts, folded lines). It does no I/O and keeps no bytes; [`super::guard`] feeds it.
//!
//! A refused head never reaches hyper. What is let through means to hyper exactly what it means here.

use bytes::BytesMut;
use http::uri::PathAndQuery;
use memchr::memchr;

/// What the next bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Not enough bytes to decide.
    More,
    /// A whole head of this many bytes, after this many bytes of empty lines.
    Head { skip: usize, len: usize },
    /// So many bytes of a body.
    Body(usize),
}

/// Why a connection cannot go on: a sentence for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused(pub(super) &'static str);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Sized(u64),
    Chunk(Chunk),
}

/// Where in a chunked body we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    Size { size: u64, digits: u32 },
    Extension { size: u64, len: usize },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    Trailer { line: usize, total: usize },
    TrailerEnd { line: usize, total: usize },
}

const CHUNK_START: State = State::Chunk(Chunk::Size { size: 0, digits: 0 });
const MAX_EXTENSION: usize = 256;
const MAX_TRAILERS: usize = 4096;

/// The follower. [`Framing::step`] is called with all bytes that were not yet taken.
#[derive(Debug)]
pub(super) struct Framing {
    state: State,
    max_head: usize,
    max_headers: usize,
    /// Bytes of the current head that were searched already.
    scanned: usize,
    line_start: usize,
    head_start: usize,
    head: Option<Head>,
}

/// What matters of the head so far.
#[derive(Debug, Default)]
struct Head {
    version_1_0: bool,
    headers: usize,
    hosts: usize,
    length: Option<u64>,
    chunked: bool,
}

impl Framing {
    pub(super) fn new(max_head: usize, max_headers: usize) -> Self {
        Self {
            state: State::Head,
            max_head,
            max_headers,
            scanned: 0,
            line_start: 0,
            head_start: 0,
            head: None,
        }
    }

    /// Whether the next byte belongs to a head.
    pub(super) fn in_head(&self) -> bool {
        self.state == State::Head
    }

    /// Bytes left of a body whose length is known: they may be read without being looked at.
    pub(super) fn sized_left(&self) -> Option<u64> {
        match self.state {
            State::Sized(left) => Some(left),
            _ => None,
        }
    }

    /// Takes bytes of a body whose length is known.
    pub(super) fn take_sized(&mut self, taken: u64) {
        if let State::Sized(left) = self.state {
            let left = left.saturating_sub(taken);
            self.state = if left == 0 { State::Head } else { State::Sized(left) };
        }
    }

    /// Looks at the bytes not yet taken. The caller takes what the step names before it calls again.
    pub(super) fn step(&mut self, bytes: &BytesMut) -> Result<Step, Refused> {
        match self.state {
            State::Head => self.head(bytes),
            State::Sized(left) => {
                let len = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                self.take_sized(len as u64);
                Ok(if len == 0 { Step::More } else { Step::Body(len) })
            }
            State::Chunk(chunk) => self.chunks(chunk, bytes),
        }
    }

    fn head(&mut self, bytes: &BytesMut) -> Result<Step, Refused> {
        while let Some(at) = memchr(b'\n', &bytes[self.scanned..]).map(|at| at + self.scanned) {
            self.scanned = at + 1;
            let line = &bytes[self.line_start..at];
            let line = line.strip_suffix(b"\r").ok_or(Refused("A line of the head ends without CR."))?;
            self.line_start = at + 1;
            if self.scanned > self.max_head {
                return Err(Refused("The head of the request is too long."));
            }
            match (&mut self.head, line.is_empty()) {
                // A robust server ignores empty lines before a request (RFC 9112, section 2.2).
                (None, true) => self.head_start = self.scanned,
                (None, false) => self.head = Some(request_line(line)?),
                (Some(head), false) => {
                    head.headers += 1;
                    if head.headers > self.max_headers {
                        return Err(Refused("The request has too many headers."));
                    }
                    header_line(head, line)?;
                }
                (Some(head), true) => {
                    self.state = body_of(head)?;
                    let step = Step::Head { skip: self.head_start, len: self.scanned - self.head_start };
                    (self.head, self.scanned, self.line_start, self.head_start) = (None, 0, 0, 0);
                    return Ok(step);
                }
            }
        }
        self.scanned = bytes.len();
        if self.scanned > self.max_head {
            return Err(Refused("The head of the request is too long."));
        }
        Ok(Step::More)
    }

    fn chunks(&mut self, mut chunk: Chunk, bytes: &BytesMut) -> Result<Step, Refused> {
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            chunk = match chunk {
                Chunk::Data { left } => {
                    let len = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    at += len;
                    match left - len as u64 {
                        0 => Chunk::DataCr,
                        left => Chunk::Data { left },
                    }
                }
                other => {
                    at += 1;
                    match chunk_byte(other, byte) {
                        // What came before the bad byte is passed on, as it is when the byte arrives by itself.
                        Err(_) if at > 1 => {
                            self.state = State::Chunk(other);
                            return Ok(Step::Body(at - 1));
                        }
                        Err(refused) => return Err(refused),
                        Ok(Some(next)) => next,
                        Ok(None) => {
                            self.state = State::Head;
                            return Ok(Step::Body(at));
                        }
                    }
                }
            };
        }
        self.state = State::Chunk(chunk);
        Ok(if at == 0 { Step::More } else { Step::Body(at) })
    }
}

/// The state after one byte of a chunked body that is not data; nothing at the body's end.
fn chunk_byte(chunk: Chunk, byte: u8) -> Result<Option<Chunk>, Refused> {
    const BAD: Refused = Refused("The chunks of the body are malformed.");
    Ok(Some(match (chunk, byte) {
        (Chunk::Size { size, digits }, byte) if byte.is_ascii_hexdigit() && digits < 15 => {
            let digit = (byte as char).to_digit(16).ok_or(BAD)?;
            Chunk::Size { size: size * 16 + u64::from(digit), digits: digits + 1 }
        }
        (Chunk::Size { size, digits: 1.. }, b'\r') => Chunk::SizeEnd { size },
        (Chunk::Size { size, digits: 1.. }, b';') => Chunk::Extension { size, len: 0 },
        (Chunk::Extension { size, .. }, b'\r') => Chunk::SizeEnd { size },
        (Chunk::Extension { size, len }, b'\t' | b' '..=b'~') if len < MAX_EXTENSION => {
            Chunk::Extension { size, len: len + 1 }
        }
        (Chunk::SizeEnd { size: 0 }, b'\n') => Chunk::Trailer { line: 0, total: 0 },
        (Chunk::SizeEnd { size }, b'\n') => Chunk::Data { left: size },
        (Chunk::DataCr, b'\r') => Chunk::DataLf,
        (Chunk::DataLf, b'\n') => Chunk::Size { size: 0, digits: 0 },
        (Chunk::Trailer { line, total }, b'\r') => Chunk::TrailerEnd { line, total },
        (Chunk::Trailer { line, total }, b'\t' | b' '..=b'~') if total < MAX_TRAILERS => {
            Chunk::Trailer { line: line + 1, total: total + 1 }
        }
        (Chunk::TrailerEnd { line: 0, .. }, b'\n') => return Ok(None),
        (Chunk::TrailerEnd { total, .. }, b'\n') => Chunk::Trailer { line: 0, total },
        _ => return Err(BAD),
    }))
}

fn request_line(line: &[u8]) -> Result<Head, Refused> {
    let mut words = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Refused("The request line is not \"METHOD TARGET HTTP/1.1\"."));
    };
    if method.is_empty() || method.len() > 32 || !method.iter().copied().all(is_token) {
        return Err(Refused("The method of the request is malformed."));
    }
    if method == b"CONNECT" {
        return Err(Refused("This server is not a proxy: CONNECT is not supported."));
    }
    let origin_form = target.first() == Some(&b'/') || (target == b"*" && method == b"OPTIONS");
    if !origin_form || target.contains(&b'#') || PathAndQuery::try_from(target).is_err() {
        return Err(Refused("The target of the request is not a path."));
    }
    match version {
        b"HTTP/1.1" => Ok(Head::default()),
        b"HTTP/1.0" => Ok(Head { version_1_0: true, ..Head::default() }),
        _ => Err(Refused("This server speaks HTTP/1.1.")),
    }
}

fn header_line(head: &mut Head, line: &[u8]) -> Result<(), Refused> {
    if matches!(line[0], b' ' | b'\t') {
        return Err(Refused("A header is folded over two lines."));
    }
    let colon = memchr(b':', line).ok_or(Refused("A header has no colon."))?;
    let (name, value) = (&line[..colon], trimmed(&line[colon + 1..]));
    if name.is_empty() || !name.iter().copied().all(is_token) {
        return Err(Refused("The name of a header is malformed."));
    }
    if value.iter().any(|&byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
        return Err(Refused("The value of a header has a control character."));
    }
    if name.eq_ignore_ascii_case(b"host") {
        head.hosts += 1;
        if value.is_empty() || !value.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'/') {
            return Err(Refused("The Host header is malformed."));
        }
    } else if name.eq_ignore_ascii_case(b"content-length") {
        if head.length.is_some() {
            return Err(Refused("The request has more than one Content-Length header."));
        }
        head.length = Some(content_length(value)?);
    } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
        if head.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Refused("The only Transfer-Encoding this server reads is \"chunked\", once."));
        }
        head.chunked = true;
    }
    Ok(())
}

/// A value without the spaces and tabs around it; other white space is not free.
fn trimmed(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

fn content_length(value: &[u8]) -> Result<u64, Refused> {
    // 18 digits fit into 64 bits.
    if value.is_empty() || value.len() > 18 || !value.iter().all(u8::is_ascii_digit) {
        return Err(Refused("The Content-Length header is not a length."));
    }
    Ok(value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}

fn body_of(head: &Head) -> Result<State, Refused> {
    // HTTP/1.0 has no Host header: the checks of load balancers come without one.
    if head.hosts != 1 && !(head.version_1_0 && head.hosts == 0) {
        return Err(Refused("The request needs exactly one Host header."));
    }
    match (head.chunked, head.length) {
        (true, Some(_)) => Err(Refused("The request has both Content-Length and Transfer-Encoding.")),
        (true, None) if head.version_1_0 => Err(Refused("HTTP/1.0 has no Transfer-Encoding.")),
        (true, None) => Ok(CHUNK_START),
        (false, None | Some(0)) => Ok(State::Head),
        (false, Some(length)) => Ok(State::Sized(length)),
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    /// Feeds `input` in parts of `part` bytes; the bytes and heads that came out, and why it ended.
    fn run(input: &[u8], part: usize) -> (Vec<u8>, usize, Option<&'static str>) {
        let framed = crate::http::fuzzing::frame(input, part, 4096, 8);
        (framed.passed, framed.heads.len(), framed.refused)
    }

    #[test]
    fn requests_end_where_they_end_however_they_arrive() {
        let input = b"\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\nPOST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n\r\n\r\
            POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nt: v\r\n\r\nGET /d HTTP/1.1\r\nHost: h\r\n\r\n";
        for part in 1..input.len() {
            let (passed, heads, refused) = run(input, part);
            assert_eq!((heads, refused), (4, None), "part {part}");
            assert_eq!(passed, &input[2..], "only the empty line before the first request is dropped");
        }
    }

    #[test]
    fn ambiguous_heads_are_refused() {
        let long = format!("GET / HTTP/1.1\r\nHost: h\r\na: {}\r\n\r\n", "x".repeat(4096));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "Host: h\r\n".repeat(9));
        let table: &[(&str, &str)] = &[
            ("GET / HTTP/1.1\nHost: h\n\n", "without CR"),
            ("GET / HTTP/1.1\r\nHost: h\r\n\n", "without CR"),
            ("GET / HTTP/1.1\r\n\r\n", "one Host"),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "one Host"),
            ("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "one Host"),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", "Host header"),
            ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "Host header"),
            ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "both"),
            ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", "both"),
            ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "more than one"),
            ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n", "not a length"),
            ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1,1\r\n\r\n", "not a length"),
            ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999999999999999\r\n\r\n", "not a length"),
            ("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "only Transfer"),
            ("GET / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0"),
            ("GET / HTTP/1.1\r\nHost : h\r\n\r\n", "name of a header"),
            ("GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", "folded"),
            ("GET / HTTP/1.1\r\nHost: h\r\nnocolon\r\n\r\n", "no colon"),
            ("GET / HTTP/1.1\r\nHost: h\r\na: b\0c\r\n\r\n", "control"),
            ("GET / HTTP/1.1\r\nHost: h\r\na: b\rc\r\n\r\n", "control"),
            ("GET / HTTP/1.1\r\nHost: h\r\na: \rb\r\n\r\n", "control"),
            ("GET / HTTP/1.1\r\nHost: h\r\na: b\x0c\r\n\r\n", "control"),
            ("GET / HTTP/1.1\r\nHost: h\r\na: b\r\r\n\r\n", "control"),
            ("GET / HTTP/1.1\r\nHost: h\r\r\n\r\n", "control"),
            ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "request line"),
            ("GET /\r\n\r\n", "request line"),
            ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", "speaks"),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "target"),
            ("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", "proxy"),
            ("GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", "target"),
            ("GET /#a HTTP/1.1\r\nHost: h\r\n\r\n", "target"),
            ("G(T / HTTP/1.1\r\nHost: h\r\n\r\n", "method"),
            ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello", "chunks"),
            ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello", "chunks"),
            ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "chunks"),
            ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", "chunks"),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1111111111111111\r\n",
                "chunks",
            ),
            (&long, "too long"),
            (&many, "too many"),
        ];
        for (input, reason) in table {
            for part in [1, 7, input.len()] {
                let refused = run(input.as_bytes(), part).2.unwrap_or("accepted");
                assert!(refused.contains(reason), "{input:?}: {refused}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_parts_mean_the_same(
            words in proptest::collection::vec(
                prop_oneof![
                    Just("GET / HTTP/1.1\r\nHost: h\r\n"), Just("\r\n"), Just("\n"), Just("\r"), Just("0\r\n\r\n"),
                    Just("Transfer-Encoding: chunked\r\n"), Just("Content-Length: 2\r\n"), Just("ab"), Just("2\r\nab\r\n"),
                    Just(" "), Just(":"), Just("\0"),
                ], 0..14),
            part in 1usize..9,
        ) {
            let input = words.concat();
            prop_assert_eq!(run(input.as_bytes(), part), run(input.as_bytes(), input.len().max(1)));
        }
    }
}
