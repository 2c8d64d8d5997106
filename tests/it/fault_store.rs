//! An S3 store that misbehaves by script, over plain sockets.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A request as a script sees it.
pub(crate) struct Ask {
    method: String,
    /// Path and query.
    target: String,
    headers: BTreeMap<String, String>,
    /// Requests of this kind that came before it since the script was set: for a listing, or for bytes.
    pub(crate) before: usize,
}

impl Ask {
    pub(crate) fn is_list(&self) -> bool {
        self.target.contains("list-type=2")
    }

    /// Whether it is for a page after the first one of a listing.
    pub(crate) fn is_next_page(&self) -> bool {
        self.is_list() && self.target.contains("continuation-token=")
    }

    /// Whether it is for the buckets of the account.
    pub(crate) fn is_of_account(&self) -> bool {
        self.target == "/"
    }

    /// Whether it is for bytes of this object.
    pub(crate) fn is_of(&self, key: &str) -> bool {
        !self.is_list() && self.target.ends_with(key)
    }

    fn range(&self) -> Option<(usize, usize)> {
        let (start, end) = self.headers.get("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((start.parse().ok()?, end.parse::<usize>().ok()? + 1))
    }
}

/// What a script answers.
pub(crate) enum Answer {
    /// What a store should say.
    Right,
    /// A status, a header and the code of an error.
    Error(u16, Option<(&'static str, String)>, &'static str),
    /// This body with status 200.
    Body(String),
    /// What is right, a listing in two pages.
    Paged,
    /// Nothing, until the client gives up.
    Silence,
    /// The connection is closed.
    Close,
    /// The right head, a part of the body, and the connection is closed.
    Cut,
    /// What is right, as of another object of the same name.
    Changed,
}

type Script = Box<dyn Fn(&Ask) -> Answer + Send>;

struct Shared {
    objects: BTreeMap<String, Vec<u8>>,
    script: Mutex<Script>,
    lists: AtomicUsize,
    reads: AtomicUsize,
}

/// The store; its threads end with their connections.
pub(crate) struct FaultStore {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl FaultStore {
    /// A store with these objects in each of its buckets.
    pub(crate) fn start(objects: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let script: Script = Box::new(|_| Answer::Right);
        let shared = Arc::new(Shared {
            objects,
            script: Mutex::new(script),
            lists: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
        });
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&served);
                std::thread::spawn(move || shared.connection(socket));
            }
        });
        Self { shared, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers by this from now on.
    pub(crate) fn script(&self, script: impl Fn(&Ask) -> Answer + Send + 'static) {
        let mut set = self.shared.script.lock().unwrap();
        *set = Box::new(script);
        self.shared.lists.store(0, Ordering::SeqCst);
        self.shared.reads.store(0, Ordering::SeqCst);
    }

    /// Requests since the script was set.
    pub(crate) fn requests(&self) -> usize {
        self.shared.lists.load(Ordering::SeqCst) + self.shared.reads.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn connection(&self, mut socket: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(socket.try_clone().ok()?);
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
            let mut words = line.split(' ').map(str::to_owned);
            let (method, target) = (words.next()?, words.next()?);
            let mut ask = Ask { method, target, headers: BTreeMap::new(), before: 0 };
            loop {
                let mut line = String::new();
                lines.read_line(&mut line).ok()?;
                let Some((name, value)) = line.split_once(':') else { break };
                ask.headers.insert(name.to_ascii_lowercase(), value.trim().into());
            }
            let answer = {
                let script = self.script.lock().unwrap();
                let counter = if ask.is_list() { &self.lists } else { &self.reads };
                ask.before = counter.fetch_add(1, Ordering::SeqCst);
                script(&ask)
            };
            match answer {
                Answer::Right => send(&mut socket, &ask, &self.right(&ask, "e"))?,
                Answer::Changed => send(&mut socket, &ask, &self.right(&ask, "other"))?,
                Answer::Error(status, header, code) => {
                    let body = format!("<Error><Code>{code}</Code><Message>scripted</Message></Error>");
                    send(&mut socket, &ask, &(status, header.into_iter().collect(), body.into_bytes()))?;
                }
                Answer::Paged if ask.is_list() => {
                    let page = self.page(ask.is_next_page());
                    send(&mut socket, &ask, &(200, vec![], page.into_bytes()))?;
                }
                Answer::Paged => send(&mut socket, &ask, &self.right(&ask, "e"))?,
                Answer::Body(body) => send(&mut socket, &ask, &(200, vec![], body.into_bytes()))?,
                Answer::Silence => {
                    let _ = socket.read(&mut [0; 1]);
                    return None;
                }
                Answer::Close => return None,
                Answer::Cut => {
                    let (status, headers, body) = self.right(&ask, "e");
                    let half = body.len() / 2;
                    socket.write_all(&head(status, &headers, body.len())).ok()?;
                    socket.write_all(&body[..half]).ok()?;
                    return None;
                }
            }
        }
    }

    /// The first page of a listing, which has one object, or the second, which has the others.
    fn page(&self, is_next: bool) -> String {
        let objects = self.objects.iter().map(|(key, body)| (&**key, body.len()));
        if is_next {
            return listing(objects.skip(1));
        }
        let more = "<IsTruncated>true</IsTruncated><NextContinuationToken>next</NextContinuationToken>";
        listing(objects.take(1)).replace("<IsTruncated>false</IsTruncated>", more)
    }

    fn right(&self, ask: &Ask, tag: &str) -> Said {
        if ask.is_list() {
            return (
                200,
                vec![],
                listing(self.objects.iter().map(|(key, body)| (&**key, body.len()))).into_bytes(),
            );
        }
        let tag = ("ETag", format!("\"{tag}\""));
        let Some((_, body)) = self.objects.iter().find(|(key, _)| ask.is_of(key)) else {
            return (404, vec![], b"<Error><Code>NoSuchKey</Code></Error>".to_vec());
        };
        match ask.range() {
            None => (200, vec![tag], body.clone()),
            Some((start, end)) => {
                let end = end.min(body.len());
                let range = format!("bytes {start}-{}/{}", end - 1, body.len());
                (206, vec![tag, ("Content-Range", range)], body[start..end].to_vec())
            }
        }
    }
}

/// Status, headers, body.
type Said = (u16, Vec<(&'static str, String)>, Vec<u8>);

fn send(socket: &mut TcpStream, ask: &Ask, (status, headers, body): &Said) -> Option<()> {
    socket.write_all(&head(*status, headers, body.len())).ok()?;
    if ask.method != "HEAD" {
        socket.write_all(body).ok()?;
    }
    Some(())
}

fn head(status: u16, headers: &[(&'static str, String)], length: usize) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    (head + "\r\n").into_bytes()
}

/// A page of a listing, the last one.
pub(crate) fn listing<'a>(objects: impl Iterator<Item = (&'a str, usize)>) -> String {
    let mut body = "<ListBucketResult><IsTruncated>false</IsTruncated>".to_owned();
    for (key, size) in objects {
        body +=
            &format!("<Contents><Key>{key}</Key><ETag>&quot;e&quot;</ETag><Size>{size}</Size></Contents>");
    }
    body + "</ListBucketResult>"
}
