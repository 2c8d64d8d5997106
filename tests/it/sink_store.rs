//! A store that takes objects, over plain sockets, as S3, Google's or Azure's does, and refuses by script. How Azure takes
//! blocks is in `sink_blocks.rs`.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use pinport_model::location::Service;

use crate::support::PATIENCE;

/// What a request is for, whatever the service calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Begins an upload. Azure has no such request.
    Begin,
    /// A part of an upload, from 1 on; Azure's blocks in the order in which they first came.
    Part(u32),
    Complete,
    /// Azure has no such request.
    Abort,
    /// Writes an object at once.
    Put,
    Delete,
    Head,
    Unknown,
}

/// What a script says to a request.
pub(crate) enum Fault {
    None,
    /// A status and the code of an error.
    Refuse(u16, &'static str),
    /// 503, and to come again after so many seconds.
    Busy(u64),
    /// The connection is closed when the request has come.
    Cut,
    /// The connection is reset when half of the request has come.
    Reset,
    /// It is done, and the connection is closed without an answer.
    Lost,
    /// It is done when another request has been refused.
    AfterRefusal,
}

type Script = Box<dyn FnMut(Step, usize) -> Fault + Send>;

/// An upload that has not ended.
#[derive(Default)]
pub(crate) struct Upload {
    pub(crate) key: String,
    pub(crate) parts: BTreeMap<u32, Vec<u8>>,
    /// The ids of Azure's blocks in the order in which they first came.
    pub(crate) ids: Vec<String>,
}

/// What it has.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    /// Uploads that have not ended, by id; Azure's, which have none, by the name of the blob.
    pub(crate) uploads: BTreeMap<String, Upload>,
    /// Uploads that were begun, completed and aborted.
    pub(crate) begun: usize,
    pub(crate) completed: usize,
    pub(crate) aborted: usize,
    /// How often each step was asked for since the script was set.
    pub(crate) asked: BTreeMap<Step, usize>,
    refused: bool,
}

struct Shared {
    service: Service,
    kept: Mutex<Kept>,
    script: Mutex<Script>,
    refusal: Condvar,
}

/// The store; its threads end with their connections.
pub(crate) struct SinkStore {
    shared: Arc<Shared>,
    address: SocketAddr,
}

/// A request.
pub(crate) struct Ask {
    method: String,
    pub(crate) key: String,
    query: String,
    headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// Status, headers and body of an answer.
pub(crate) type Said = (u16, String, String);

impl SinkStore {
    pub(crate) fn start(service: Service) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let script: Script = Box::new(|_, _| Fault::None);
        let (kept, script, refusal) = (Mutex::default(), Mutex::new(script), Condvar::new());
        let shared = Arc::new(Shared { service, kept, script, refusal });
        let serves = Arc::clone(&shared);
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&serves);
                std::thread::spawn(move || shared.connection(socket));
            }
        });
        Self { shared, address }
    }

    /// The folder of the exports.
    pub(crate) fn target(&self) -> String {
        format!("{}://bucket/out", self.shared.service.scheme())
    }

    /// The variables by which pinport finds it and may write to it. The secrets are canaries.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let url = format!("http://{}", self.address);
        match self.shared.service {
            Service::S3 => vec![
                ("AWS_ENDPOINT_URL", url),
                ("AWS_ACCESS_KEY_ID", "AKTEST".into()),
                ("AWS_SECRET_ACCESS_KEY", "canary".into()),
            ],
            Service::Gcs => vec![("GOOGLE_BASE_URL", url), ("GOOGLE_SKIP_SIGNATURE", "true".into())],
            Service::Azure => vec![
                ("AZURE_STORAGE_ENDPOINT", url),
                ("AZURE_STORAGE_ACCOUNT_NAME", "account".into()),
                ("AZURE_STORAGE_SAS_TOKEN", "sv=2022-11-02&sp=cw&sig=canary".into()),
            ],
        }
    }

    /// Answers by this from now on: it is given what is asked for, and how often that was asked for before.
    pub(crate) fn script(&self, script: impl FnMut(Step, usize) -> Fault + Send + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(script);
        let mut kept = self.kept();
        (kept.asked, kept.refused) = (BTreeMap::new(), false);
    }

    pub(crate) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.shared.kept.lock().unwrap()
    }
}

impl Shared {
    fn connection(&self, mut socket: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(socket.try_clone().ok()?);
        loop {
            let (mut ask, length) = Ask::head(&mut lines)?;
            let (step, before) = {
                let mut kept = self.kept.lock().unwrap();
                let step = ask.step(self.service, &mut kept);
                let asked = kept.asked.entry(step).or_default();
                *asked += 1;
                (step, *asked - 1)
            };
            let fault = self.script.lock().unwrap()(step, before);
            // What has come and is not read makes a reset of the close.
            ask.body = vec![0; if matches!(fault, Fault::Reset) { length / 2 } else { length }];
            lines.read_exact(&mut ask.body).ok()?;
            let (status, headers, body) = match fault {
                Fault::Cut | Fault::Reset => return None,
                Fault::Refuse(status, code) => refused(status, code),
                Fault::Busy(seconds) => {
                    let code = if self.service == Service::Azure { "ServerBusy" } else { "SlowDown" };
                    let (status, _, body) = refused(503, code);
                    (status, format!("Retry-After: {seconds}\r\n"), body)
                }
                Fault::Lost => {
                    self.right(step, ask);
                    return None;
                }
                Fault::AfterRefusal => {
                    let kept = self.kept.lock().unwrap();
                    let waited = self.refusal.wait_timeout_while(kept, PATIENCE, |kept| !kept.refused);
                    drop(waited.unwrap());
                    self.right(step, ask)
                }
                Fault::None => self.right(step, ask),
            };
            let length = if step == Step::Head {
                String::new()
            } else {
                format!("Content-Length: {}\r\n", body.len())
            };
            socket
                .write_all(format!("HTTP/1.1 {status} X\r\n{length}{headers}\r\n{body}").as_bytes())
                .ok()?;
            if matches!(fault, Fault::Refuse(..)) {
                self.kept.lock().unwrap().refused = true;
                self.refusal.notify_all();
            }
        }
    }

    /// What the service answers.
    fn right(&self, step: Step, ask: Ask) -> Said {
        if let Some(said) = ask.fault(self.service, step) {
            return said;
        }
        let mut kept = self.kept.lock().unwrap();
        match (self.service, step) {
            (Service::Azure, Step::Part(number)) => kept.take_block(number, ask),
            (Service::Azure, Step::Complete) => kept.commit_blocks(&ask),
            _ => kept.answer(step, ask),
        }
    }
}

pub(crate) fn refused(status: u16, code: &str) -> Said {
    (status, String::new(), format!("<Error><Code>{code}</Code><Message>scripted</Message></Error>"))
}

impl Ask {
    /// Reads a request as far as its body, and the length of that.
    fn head(lines: &mut impl BufRead) -> Option<(Self, usize)> {
        let mut line = String::new();
        lines.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        let mut words = line.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (key, query) = (path.trim_start_matches('/').to_owned(), query.to_owned());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).ok()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").map_or(Some(0), |length| length.parse().ok())?;
        Some((Self { method, key, query, headers, body: Vec::new() }, length))
    }

    pub(crate) fn of(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    fn step(&self, service: Service, kept: &mut Kept) -> Step {
        match (&*self.method, self.of("uploadId"), self.of("partNumber"), self.of("comp")) {
            ("PUT", None, None, Some("block")) if service == Service::Azure => kept.block(self),
            ("PUT", None, None, Some("blocklist")) if service == Service::Azure => Step::Complete,
            ("PUT", Some(_), Some(number), None) => Step::Part(number.parse().unwrap()),
            ("POST", None, None, None) if self.of("uploads").is_some() => Step::Begin,
            ("POST", Some(_), None, None) => Step::Complete,
            ("DELETE", Some(_), None, None) => Step::Abort,
            ("DELETE", None, None, None) => Step::Delete,
            ("PUT", None, None, None) => Step::Put,
            ("HEAD", None, None, None) => Step::Head,
            _ => Step::Unknown,
        }
    }

    /// What is wrong with a request, as the service sees it.
    fn fault(&self, service: Service, step: Step) -> Option<Said> {
        let header = |name: &str| self.headers.get(name).map_or("", String::as_str);
        let signed = header("authorization").contains("AWS4-HMAC-SHA256");
        let may = match service {
            Service::S3 => signed,
            Service::Gcs => !signed,
            Service::Azure => self.of("sig") == Some("canary"),
        };
        if !may {
            return Some(refused(403, "AuthenticationFailed"));
        }
        // Google and Azure want it of empty bodies, too.
        if ["POST", "PUT"].contains(&&*self.method) && header("content-length").is_empty() {
            return Some(refused(411, "MissingContentLength"));
        }
        let is_blob = service == Service::Azure && step == Step::Put;
        (is_blob && header("x-ms-blob-type") != "BlockBlob").then(|| refused(400, "MissingRequiredHeader"))
    }
}

/// What an object that was written is answered with.
pub(crate) fn tagged(status: u16) -> Said {
    (status, "ETag: \"e\"\r\n".into(), String::new())
}

impl Kept {
    /// As S3 answers, and Google in the same protocol; Azure too what needs no blocks.
    fn answer(&mut self, step: Step, ask: Ask) -> Said {
        let key = ask.key.clone();
        let id = ask.of("uploadId").unwrap_or_default().to_owned();
        match step {
            Step::Begin => {
                self.begun += 1;
                let id = format!("upload-{}", self.begun);
                self.uploads.insert(id.clone(), Upload { key: key.clone(), ..Upload::default() });
                let body = format!(
                    "<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>{key}</Key>\
                     <UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                );
                (200, String::new(), body)
            }
            Step::Part(number) => match self.uploads.get_mut(&id) {
                Some(upload) => {
                    upload.parts.insert(number, ask.body);
                    tagged(200)
                }
                None => refused(404, "NoSuchUpload"),
            },
            Step::Complete => {
                let listed = String::from_utf8_lossy(&ask.body).matches("<PartNumber>").count();
                match self.uploads.remove(&id) {
                    Some(upload) if upload.parts.len() == listed => self.complete(upload),
                    Some(_) => return refused(400, "InvalidPart"),
                    None => return refused(404, "NoSuchUpload"),
                }
                let body = format!(
                    "<CompleteMultipartUploadResult><Key>{key}</Key><ETag>\"e\"</ETag></CompleteMultipartUploadResult>"
                );
                (200, String::new(), body)
            }
            Step::Abort => match self.uploads.remove(&id) {
                Some(_) => {
                    self.aborted += 1;
                    (204, String::new(), String::new())
                }
                None => refused(404, "NoSuchUpload"),
            },
            Step::Delete => {
                self.objects.remove(&key);
                (204, String::new(), String::new())
            }
            Step::Put => {
                self.objects.insert(key, ask.body);
                tagged(201)
            }
            Step::Head => match self.objects.get(&key) {
                Some(object) => (200, format!("Content-Length: {}\r\n", object.len()), String::new()),
                None => (404, "Content-Length: 0\r\n".into(), String::new()),
            },
            Step::Unknown => refused(400, "InvalidRequest"),
        }
    }

    pub(crate) fn complete(&mut self, upload: Upload) {
        self.completed += 1;
        self.objects.insert(upload.key, upload.parts.into_values().flatten().collect());
    }
}
