//! A store that misbehaves by script.

#![allow(unsafe_code, reason = "calls libc")]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::*;

pub(super) struct Request {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    pub(super) headers: BTreeMap<String, String>,
}

impl Request {
    pub(super) fn is_list(&self) -> bool {
        self.target.contains("list-type=2")
    }

    pub(super) fn range(&self) -> Option<(usize, usize)> {
        let (start, end) = self.headers.get("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((start.parse().unwrap(), end.parse::<usize>().unwrap() + 1))
    }
}

pub(super) enum Answer {
    /// What a store should say.
    Right,
    /// A status, headers and body with its length.
    Say(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// These bytes; then the connection is closed.
    Raw(Vec<u8>),
    /// These bytes; then the connection is reset.
    Reset(Vec<u8>),
    /// These bytes; then nothing more comes.
    Stall(Vec<u8>),
    /// These bytes, a few at a time.
    Drip(Vec<u8>),
}

pub(super) const OBJECTS: [&str; 2] = ["a.json", "b.json"];

pub(super) const SIZE: usize = 300_000;

pub(super) fn data(key: &str) -> Vec<u8> {
    noise(SIZE, u64::from(key.as_bytes()[0]))
}

pub(super) fn listing(keys: &[(&str, usize)], next: Option<&str>) -> Vec<u8> {
    let mut body = format!("<ListBucketResult><IsTruncated>{}</IsTruncated>", next.is_some());
    if let Some(next) = next {
        body += &format!("<NextContinuationToken>{next}</NextContinuationToken>");
    }
    for (key, size) in keys {
        body +=
            &format!("<Contents><Key>{key}</Key><ETag>&quot;e&quot;</ETag><Size>{size}</Size></Contents>");
    }
    (body + "</ListBucketResult>").into_bytes()
}

pub(super) fn error_body(code: &str) -> Vec<u8> {
    format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>scripted</Message></Error>")
        .into_bytes()
}

pub(super) fn right(request: &Request) -> Answer {
    if request.is_list() {
        return Answer::Say(200, vec![], listing(&OBJECTS.map(|key| (key, SIZE)), None));
    }
    let key = request.target.rsplit('/').next().unwrap();
    if request.method == "HEAD" {
        return Answer::Raw(
            format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\nETag: \"e\"\r\n\r\n").into_bytes(),
        );
    }
    let (start, end) = request.range().unwrap();
    assert_eq!(request.headers["if-match"], "\"e\"");
    Answer::Say(
        206,
        vec![("Content-Range", format!("bytes {start}-{}/{SIZE}", end - 1))],
        data(key)[start..end].to_vec(),
    )
}

pub(super) fn head(status: u16, headers: &[(&str, String)], length: usize) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    (head + "\r\n").into_bytes()
}

/// The right answer, cut off or stalled after `bytes` of its body, which says it has `length`.
pub(super) fn partly(request: &Request, bytes: usize, length: impl Fn(usize) -> usize) -> Vec<u8> {
    let Answer::Say(status, mut headers, body) = right(request) else { unreachable!() };
    // Else the client may ask again where an answer that was whole by its own length ended, and that try fails by
    // something else.
    headers.push(("Connection", "close".into()));
    let mut raw = head(status, &headers, length(body.len()));
    raw.extend(&body[..bytes.min(body.len())]);
    raw
}

type Script = dyn Fn(usize, &Request) -> Answer + Send + Sync;

/// Serves by a script that is given each request with its number. The threads end with their connections.
pub(super) fn serve(script: Arc<Script>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counter = count.clone();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let (script, counter) = (script.clone(), counter.clone());
            std::thread::spawn(move || connection(socket.unwrap(), &*script, &counter));
        }
    });
    (address, count)
}

fn connection(mut socket: TcpStream, script: &Script, count: &AtomicUsize) -> Option<()> {
    let mut lines = BufReader::new(socket.try_clone().unwrap());
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        let mut words = line.split(' ').map(str::to_owned);
        let mut request = Request { method: words.next()?, target: words.next()?, headers: BTreeMap::new() };
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).ok()?;
            let Some((name, value)) = line.split_once(':') else { break };
            request.headers.insert(name.to_ascii_lowercase(), value.trim().into());
        }
        let mut answer = script(count.fetch_add(1, Ordering::SeqCst), &request);
        if matches!(answer, Answer::Right) {
            answer = right(&request);
        }
        match answer {
            Answer::Right => unreachable!(),
            Answer::Say(status, headers, body) => {
                socket.write_all(&head(status, &headers, body.len())).ok()?;
                if request.method != "HEAD" {
                    socket.write_all(&body).ok()?;
                }
            }
            Answer::Raw(bytes) => {
                socket.write_all(&bytes).ok()?;
                return None;
            }
            Answer::Reset(bytes) => {
                socket.write_all(&bytes).ok()?;
                reset_on_close(&socket);
                return None;
            }
            Answer::Drip(bytes) => {
                let _ = socket.set_nodelay(true);
                for few in bytes.chunks(97) {
                    socket.write_all(few).ok()?;
                    std::thread::yield_now();
                }
            }
            Answer::Stall(bytes) => {
                socket.write_all(&bytes).ok()?;
                // Until the client gives up.
                let _ = socket.read(&mut [0; 1]);
                return None;
            }
        }
    }
}

/// Makes closing the socket a reset, as when the machine after it went down.
fn reset_on_close(socket: &TcpStream) {
    use std::os::fd::AsRawFd as _;
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the descriptor is open, and the value is a whole `linger` of the size that is told.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    assert_eq!(done, 0);
}

pub(super) fn fault_options(address: SocketAddr) -> SourceOptions {
    SourceOptions {
        settings: Settings::empty()
            .with("AWS_ENDPOINT_URL", &format!("http://{address}"))
            .with("AWS_ACCESS_KEY_ID", "k")
            .with("AWS_SECRET_ACCESS_KEY", "s"),
        request_bytes: 100_000,
        read_timeout: Duration::from_millis(150),
        retries: 3,
        ..options()
    }
}

pub(super) struct Run {
    pub(super) listed: Result<Vec<PlannedObject>, SourceError>,
    pub(super) contents: Contents,
    pub(super) requests: usize,
}

pub(super) fn run(script: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static) -> Run {
    run_waiting(fault_options, script)
}

pub(super) fn run_waiting(
    options: impl Fn(SocketAddr) -> SourceOptions,
    script: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static,
) -> Run {
    let runtime = runtime();
    let (address, count) = serve(Arc::new(script));
    let source = open("s3://bucket/", options(address), &runtime).unwrap();
    let listed = list(&source, Format::Json);
    let contents = listed.clone().map_or(vec![], |all| drain(source.read(readable(all), 0)));
    Run { listed, contents, requests: count.load(Ordering::SeqCst) }
}

pub(super) fn whole(run: &Run) {
    assert_eq!(run.contents.len(), 2, "{:?}", run.listed);
    for (key, bytes) in &run.contents {
        assert!(*bytes.as_ref().unwrap() == data(key), "{key}");
    }
}

/// One object of `parts` times `size` bytes, answered from one buffer.
pub(super) fn serve_static(listener: &TcpListener, parts: u64, size: u64) {
    let data = Arc::new(vec![b'x'; size as usize]);
    let total = parts * size;
    for socket in listener.incoming() {
        let (mut socket, data) = (socket.unwrap(), data.clone());
        std::thread::spawn(move || -> Option<()> {
            let mut lines = BufReader::new(socket.try_clone().unwrap());
            loop {
                let (mut range, mut list) = (None, false);
                loop {
                    let mut line = String::new();
                    lines.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
                    list |= line.contains("list-type");
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                        let (start, end) = value.trim().split_once('-')?;
                        range = Some((start.parse::<u64>().ok()?, end.parse::<u64>().ok()? + 1));
                    }
                    if line == "\r\n" {
                        break;
                    }
                }
                if list {
                    let body = listing(&[("big.json", total as usize)], None);
                    socket.write_all(&head(200, &[], body.len())).ok()?;
                    socket.write_all(&body).ok()?;
                    continue;
                }
                let (start, end) = range?;
                let headers = [("Content-Range", format!("bytes {start}-{}/{total}", end - 1))];
                socket.write_all(&head(206, &headers, (end - start) as usize)).ok()?;
                socket.write_all(&data[..(end - start) as usize]).ok()?;
            }
        });
    }
}
