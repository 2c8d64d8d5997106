//! An S3 store that takes objects, over plain sockets, and refuses by script.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// What a script says to a request.
pub(crate) enum Fault {
    None,
    /// A status and the code of an error.
    Refuse(u16, &'static str),
    /// The connection is closed when the request has come.
    Cut,
}

type Script = Box<dyn Fn(&str, &str, usize) -> Fault + Send>;

/// What it has.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    /// Uploads that have not ended: their keys and parts by number.
    pub(crate) uploads: BTreeMap<String, (String, BTreeMap<u32, Vec<u8>>)>,
    /// Uploads that were begun, completed and aborted.
    pub(crate) begun: usize,
    pub(crate) completed: usize,
    pub(crate) aborted: usize,
    requests: usize,
}

/// The store; its threads end with their connections.
pub(crate) struct SinkStore {
    kept: Arc<Mutex<Kept>>,
    script: Arc<Mutex<Script>>,
    address: SocketAddr,
}

impl SinkStore {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let script: Script = Box::new(|_, _, _| Fault::None);
        let script = Arc::new(Mutex::new(script));
        let (serves, says) = (Arc::clone(&kept), Arc::clone(&script));
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (kept, script) = (Arc::clone(&serves), Arc::clone(&says));
                std::thread::spawn(move || connection(socket, &kept, &script));
            }
        });
        Self { kept, script, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers by this from now on: it is given method, path with query, and the number of the request.
    pub(crate) fn script(&self, script: impl Fn(&str, &str, usize) -> Fault + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
        self.kept.lock().unwrap().requests = 0;
    }

    pub(crate) fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }
}

fn connection(mut socket: TcpStream, kept: &Mutex<Kept>, script: &Mutex<Script>) -> Option<()> {
    let mut lines = BufReader::new(socket.try_clone().ok()?);
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        let mut words = line.split(' ').map(str::to_owned);
        let (method, target) = (words.next()?, words.next()?);
        let (mut length, mut signed) = (0, false);
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).ok()?;
            let Some((name, value)) = line.split_once(':') else { break };
            match &*name.to_ascii_lowercase() {
                "content-length" => length = value.trim().parse().ok()?,
                "authorization" => signed = value.contains("AWS4-HMAC-SHA256"),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        lines.read_exact(&mut body).ok()?;
        let number = {
            let mut kept = kept.lock().unwrap();
            kept.requests += 1;
            kept.requests - 1
        };
        let fault = script.lock().unwrap()(&method, &target, number);
        let (status, headers, answer) = match fault {
            Fault::Cut => return None,
            Fault::Refuse(status, code) => {
                let body = format!("<Error><Code>{code}</Code><Message>scripted</Message></Error>");
                (status, String::new(), body)
            }
            Fault::None if !signed => (403, String::new(), "<Error><Code>AccessDenied</Code></Error>".into()),
            Fault::None => kept.lock().unwrap().answer(&method, &target, body),
        };
        let length = answer.len();
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{headers}\r\n{answer}");
        socket.write_all(head.as_bytes()).ok()?;
    }
}

impl Kept {
    fn answer(&mut self, method: &str, target: &str, body: Vec<u8>) -> (u16, String, String) {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let key = path.trim_start_matches('/').to_owned();
        let of = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let tag = "ETag: \"e\"\r\n".to_owned();
        match (method, of("uploadId"), of("partNumber")) {
            ("POST", None, _) if query.starts_with("uploads") => {
                self.begun += 1;
                let id = format!("upload-{}", self.begun);
                self.uploads.insert(id.clone(), (key.clone(), BTreeMap::new()));
                let body = format!(
                    "<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>{key}</Key>\
                     <UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                );
                (200, String::new(), body)
            }
            ("PUT", Some(id), Some(part)) => match self.uploads.get_mut(id) {
                Some((_, parts)) => {
                    parts.insert(part.parse().unwrap(), body);
                    (200, tag, String::new())
                }
                None => (404, String::new(), "<Error><Code>NoSuchUpload</Code></Error>".into()),
            },
            ("POST", Some(id), _) => match self.uploads.remove(id) {
                Some((key, parts)) => {
                    self.completed += 1;
                    self.objects.insert(key.clone(), parts.into_values().flatten().collect());
                    let body = format!(
                        "<CompleteMultipartUploadResult><Key>{key}</Key><ETag>\"e\"</ETag></CompleteMultipartUploadResult>"
                    );
                    (200, String::new(), body)
                }
                None => (404, String::new(), "<Error><Code>NoSuchUpload</Code></Error>".into()),
            },
            ("DELETE", Some(id), _) => {
                self.aborted += usize::from(self.uploads.remove(id).is_some());
                (204, String::new(), String::new())
            }
            ("DELETE", None, _) => {
                self.objects.remove(&key);
                (204, String::new(), String::new())
            }
            ("PUT", None, _) => {
                self.objects.insert(key, body);
                (200, tag, String::new())
            }
            _ => (400, String::new(), "<Error><Code>InvalidRequest</Code></Error>".into()),
        }
    }
}
